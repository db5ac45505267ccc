//! Parquet files.

use crate::format::foreign::plain;
use crate::shared::tables::{TableFormat, TableReader};
use crate::shared::write::pieces::{PieceFile, PieceFormat, PieceWriter};
use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter, ProjectionMask, parquet_to_arrow_schema};
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::WriterProperties;
use purlin_api::transform::Probe;
use purlin_api::{Budget, Error, FileInfo, Result};
use std::fs::File;

/// How much of a file's end is looked at first: the footers of most files are shorter.
const TAIL_BYTES: usize = 64 << 10;
/// Longest footer that is read.
const FOOTER_BYTES_MAX: usize = 256 << 20;

/// Reads Parquet files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parquet;

fn damaged(path: &str, e: &ParquetError) -> Error {
    let text = match e {
        ParquetError::General(text) | ParquetError::EOF(text) | ParquetError::ArrowError(text) => {
            text.clone()
        }
        other => other.to_string(),
    };
    Error::data(format!("cannot read `{path}` as Parquet: {text}"))
}

impl TableFormat for Parquet {
    fn schema(&self, probe: &dyn Probe, file: &FileInfo) -> Result<SchemaRef> {
        let mut bytes_max = TAIL_BYTES;
        loop {
            let tail = probe.tail(&file.path, bytes_max)?;
            check_end(&file.path, &tail)?;
            let mut reader = ParquetMetaDataReader::new();
            match reader.try_parse_sized(&tail, file.bytes) {
                Ok(()) => {
                    let metadata = reader.finish().map_err(|e| damaged(&file.path, &e))?;
                    return arrow_schema(&file.path, &metadata);
                }
                Err(ParquetError::NeedMoreData(more)) if more > bytes_max && more <= FOOTER_BYTES_MAX => {
                    if more as u64 > file.bytes {
                        let what = "its footer would be longer than the file";
                        return Err(damaged(&file.path, &ParquetError::General(what.to_owned())));
                    }
                    bytes_max = more;
                }
                Err(e) => return Err(damaged(&file.path, &e)),
            }
        }
    }

    fn open(
        &self,
        path: &str,
        wanted: &dyn Fn(&str) -> bool,
        budget: Budget,
    ) -> Result<Box<dyn TableReader>> {
        let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| damaged(path, &e))?;
        let schema = builder.schema().clone();
        let roots = schema.fields().iter().enumerate().filter(|(_, f)| wanted(f.name())).map(|(i, _)| i);
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let rows = rows_a_batch(builder.metadata(), budget);
        let reader = builder.with_projection(mask).with_batch_size(rows).build();
        let reader = reader.map_err(|e| damaged(path, &e))?;
        Ok(Box::new(Rows { path: path.to_owned(), schema, reader }))
    }

    fn name(&self) -> &'static str {
        "Parquet"
    }
}

/// Says in plain words what files that do not end like Parquet are.
fn check_end(path: &str, tail: &[u8]) -> Result<()> {
    let what = match tail.last_chunk::<4>() {
        Some(b"PAR1") => return Ok(()),
        Some(b"PARE") => "is encrypted Parquet, which cannot be read",
        _ if tail.is_empty() => "is empty: it is not a Parquet file",
        _ => "is not a Parquet file, or was cut off: it does not end in a Parquet footer",
    };
    Err(Error::data(format!("`{path}` {what}")))
}

fn arrow_schema(path: &str, metadata: &ParquetMetaData) -> Result<SchemaRef> {
    let file = metadata.file_metadata();
    let schema = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata());
    schema.map(Into::into).map_err(|e| damaged(path, &e))
}

/// As many rows as are about as many bytes as a batch may have.
fn rows_a_batch(metadata: &ParquetMetaData, budget: Budget) -> usize {
    let groups = metadata.row_groups();
    let rows: i64 = groups.iter().map(|g| g.num_rows().max(0)).fold(0, i64::saturating_add);
    let bytes: i64 = groups.iter().map(|g| g.total_byte_size().max(0)).fold(0, i64::saturating_add);
    let a_row = usize::try_from(bytes / rows.max(1)).unwrap_or(usize::MAX).max(1);
    (budget.bytes_max / a_row).clamp(1, budget.rows_max.max(1))
}

struct Rows {
    path: String,
    schema: SchemaRef,
    reader: ParquetRecordBatchReader,
}

impl TableReader for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn next(&mut self) -> Result<Option<RecordBatch>> {
        self.reader.next().transpose().map_err(|e| damaged(&self.path, &ParquetError::from(e)))
    }
}

/// Writes Parquet files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ParquetOut {
    pub(crate) codec: Compression,
    /// Rows are written out when this many bytes are held.
    pub(crate) row_group_bytes: usize,
}

/// The codec of one of Beam's words.
pub(crate) fn codec(word: &str) -> Option<Compression> {
    Some(match word.to_ascii_lowercase().as_str() {
        "none" | "uncompressed" => Compression::UNCOMPRESSED,
        "snappy" => Compression::SNAPPY,
        "gzip" => Compression::GZIP(GzipLevel::default()),
        "zstd" => Compression::ZSTD(ZstdLevel::default()),
        _ => return None,
    })
}

/// Why rows of this schema cannot be written, if so.
pub(crate) fn check_schema(schema: &Schema) -> Result<(), String> {
    if schema.fields().is_empty() {
        return Err("the rows have no fields".to_owned());
    }
    ArrowSchemaConverter::new().convert(&plain(schema)).map(|_| ()).map_err(|e| match e {
        ParquetError::ArrowError(text) | ParquetError::General(text) | ParquetError::NYI(text) => text,
        other => other.to_string(),
    })
}

impl PieceFormat for ParquetOut {
    fn begin(&self, out: PieceFile, schema: &SchemaRef) -> Result<Box<dyn PieceWriter>> {
        let properties = WriterProperties::builder()
            .set_compression(self.codec)
            .set_created_by(concat!("purlin ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let writer = ArrowWriter::try_new(out, schema.clone(), Some(properties)).map_err(not_written)?;
        Ok(Box::new(Groups { writer, bytes_max: self.row_group_bytes }))
    }

    fn describe(&self) -> String {
        let codec = self.codec.to_string();
        let codec = codec.split('(').next().unwrap_or_default().to_lowercase();
        format!("parquet, {codec}")
    }
}

fn not_written(e: ParquetError) -> Error {
    match e {
        ParquetError::External(e) => match e.downcast::<std::io::Error>() {
            Ok(e) => Error::io("write", "a Parquet file", *e),
            Err(e) => Error::data(format!("cannot write a Parquet file: {e}")),
        },
        e => Error::data(format!("cannot write a Parquet file: {e}")),
    }
}

struct Groups {
    writer: ArrowWriter<PieceFile>,
    bytes_max: usize,
}

impl PieceWriter for Groups {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.writer.write(rows).map_err(not_written)?;
        if self.writer.in_progress_size() >= self.bytes_max { self.flush() } else { Ok(()) }
    }

    fn waiting_bytes(&self) -> usize {
        self.writer.memory_size()
    }

    fn flush(&mut self) -> Result<()> {
        self.writer.flush().map_err(not_written)
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let out = self.writer.into_inner().map_err(not_written)?;
        out.into_inner().map(|_| ()).map_err(|e| Error::io("write", "a Parquet file", e.into_error()))
    }
}

//! Writing Parquet.

use super::text;
use crate::shared::write::pieces::{PieceFile, PieceFormat, PieceWriter, plain};
use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use purlin_api::{Error, Result};
use std::fs::File;

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
        "lz4" | "lz4_raw" => Compression::LZ4_RAW,
        _ => return None,
    })
}

/// Why rows of this schema cannot be written, if so.
pub(crate) fn check_schema(schema: &Schema) -> Result<(), String> {
    if schema.fields().is_empty() {
        return Err("the rows have no fields".to_owned());
    }
    ArrowSchemaConverter::new().convert(&plain(schema)).map(|_| ()).map_err(text)
}

impl PieceFormat for ParquetOut {
    fn begin(&self, out: PieceFile, schema: &SchemaRef) -> Result<Box<dyn PieceWriter>> {
        let properties = WriterProperties::builder()
            .set_compression(self.codec)
            // The names that the format asks for inside lists and maps.
            .set_coerce_types(true)
            .set_created_by(concat!("purlin ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let writer = ArrowWriter::try_new(out, schema.clone(), Some(properties)).map_err(not_written)?;
        Ok(Box::new(Groups { writer, bytes_max: self.row_group_bytes }))
    }

    fn read_back(&self, path: &str, take: &mut dyn FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        let file = File::open(path).map_err(|e| Error::io("read", path, e))?;
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(file).and_then(|b| b.build()).map_err(not_written)?;
        for rows in reader {
            take(rows?)?;
        }
        Ok(())
    }

    fn goes_on(&self) -> bool {
        // Its index stands at the end and speaks of all that is before.
        false
    }

    fn means(&self) -> String {
        // A spool knows nothing of codecs.
        "parquet".to_owned()
    }

    fn describe(&self) -> String {
        let codec = match self.codec {
            Compression::UNCOMPRESSED => "not compressed",
            Compression::SNAPPY => "snappy",
            Compression::GZIP(_) => "gzip",
            Compression::ZSTD(_) => "zstd",
            _ => "lz4",
        };
        format!("parquet, {codec}")
    }
}

fn not_written(e: ParquetError) -> Error {
    match e {
        ParquetError::External(e) => match e.downcast::<std::io::Error>() {
            Ok(e) => Error::io("write", "a Parquet file", *e),
            Err(e) => Error::data(format!("cannot write a Parquet file: {e}")),
        },
        e => Error::data(format!("cannot write a Parquet file: {}", text(e))),
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

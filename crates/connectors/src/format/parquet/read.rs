//! Reading Parquet: one row group after the other, some thousand rows at a time.

use super::types::{Columns, columns, convert};
use super::{pages, text};
use crate::shared::tables::{Chunk, TableFormat, TableReader, guard};
use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use purlin_api::transform::Probe;
use purlin_api::{Budget, Error, FileInfo, Result};
use std::fs::File;
use std::sync::Arc;

/// How much of a file's end is looked at first: the footers of most files are shorter.
const TAIL_BYTES: usize = 64 << 10;
/// Longest footer that is read.
const FOOTER_BYTES_MAX: usize = 256 << 20;

/// Reads Parquet files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parquet;

fn damaged(path: &str, what: impl std::fmt::Display) -> Error {
    Error::data(format!("cannot read `{path}` as Parquet: {what}"))
}

impl TableFormat for Parquet {
    fn schema(&self, probe: &dyn Probe, file: &FileInfo) -> Result<SchemaRef> {
        let mut bytes_max = TAIL_BYTES;
        loop {
            let tail = probe.tail(&file.path, bytes_max)?;
            check_end(&file.path, &tail)?;
            let parsed = guard(|| {
                let mut reader = ParquetMetaDataReader::new();
                reader.try_parse_sized(&tail, file.bytes).and_then(|()| reader.finish())
            })
            .map_err(|e| damaged(&file.path, e))?;
            match parsed {
                Ok(metadata) => return Ok(described(&file.path, metadata)?.1.ours),
                Err(ParquetError::NeedMoreData(more)) if more as u64 > file.bytes => {
                    return Err(damaged(&file.path, "its footer would be longer than the file"));
                }
                Err(ParquetError::NeedMoreData(more)) if more > bytes_max && more <= FOOTER_BYTES_MAX => {
                    bytes_max = more;
                }
                Err(e) => return Err(damaged(&file.path, text(e))),
            }
        }
    }

    fn open(
        &self,
        path: &str,
        wanted: &dyn Fn(&str) -> bool,
        budget: Budget,
    ) -> Result<Box<dyn TableReader>> {
        let io = |e| Error::io("open", path, e);
        let mut file = File::open(path).map_err(io)?;
        let bytes = file.metadata().map_err(io)?.len();
        check_end(path, &end_of(&mut file, bytes).map_err(io)?)?;
        let metadata = guard(|| ParquetMetaDataReader::new().parse_and_finish(&file))
            .and_then(|parsed| parsed.map_err(text))
            .map_err(|e| damaged(path, e))?;
        let (metadata, columns) = described(path, metadata)?;
        check_groups(path, metadata.metadata())?;
        let all = columns.ours.fields().iter().enumerate();
        let roots: Vec<usize> = all.filter(|(_, f)| wanted(f.name())).map(|(i, _)| i).collect();
        let kept = Arc::new(columns.ours.project(&roots)?);
        let mask = ProjectionMask::roots(metadata.parquet_schema(), roots);
        Ok(Box::new(Rows {
            path: path.to_owned(),
            file,
            bytes,
            metadata,
            ours: columns.ours,
            kept,
            mask,
            budget,
            next_group: 0,
            group: None,
            rows: 0,
            ahead: None,
        }))
    }

    fn name(&self) -> &'static str {
        "Parquet"
    }
}

fn end_of(file: &mut File, bytes: u64) -> std::io::Result<Vec<u8>> {
    use std::io::{Read, Seek, SeekFrom};
    file.seek(SeekFrom::Start(bytes.saturating_sub(4)))?;
    let mut end = Vec::new();
    file.take(4).read_to_end(&mut end)?;
    Ok(end)
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

/// The columns of a file. What Arrow's own writers leave about their types beside the file's own schema is
/// passed over: with and without it a file has the same columns.
fn described(path: &str, metadata: ParquetMetaData) -> Result<(ArrowReaderMetadata, Columns)> {
    let metadata = Arc::new(metadata);
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let load = |options| {
        guard(|| ArrowReaderMetadata::try_new(metadata.clone(), options))
            .and_then(|loaded| loaded.map_err(text))
            .map_err(|e| damaged(path, e))
    };
    let loaded = load(options)?;
    let columns = columns(loaded.schema(), loaded.parquet_schema())
        .map_err(|e| Error::data(format!("cannot read `{path}`: {e}")))?;
    if columns.decoded.fields() == loaded.schema().fields() {
        return Ok((loaded, columns));
    }
    Ok((load(ArrowReaderOptions::new().with_schema(columns.decoded.clone()))?, columns))
}

/// The rows of a file are those of its row groups.
fn check_groups(path: &str, metadata: &ParquetMetaData) -> Result<()> {
    let rows = |g: &RowGroupMetaData| u64::try_from(g.num_rows()).ok();
    let all = metadata.row_groups().iter().try_fold(0u64, |all, g| all.checked_add(rows(g)?));
    let says = metadata.file_metadata().num_rows();
    match all {
        Some(all) if u64::try_from(says) == Ok(all) => Ok(()),
        _ => Err(damaged(path, format!("its footer says {says} rows, its row groups others"))),
    }
}

/// An open row group.
struct Group {
    number: usize,
    reader: ParquetRecordBatchReader,
    /// Rows of it that have not been read.
    left: u64,
}

struct Rows {
    path: String,
    file: File,
    /// The file's size.
    bytes: u64,
    metadata: ArrowReaderMetadata,
    /// All columns of the file, in our types.
    ours: SchemaRef,
    /// Those that are read.
    kept: Arc<Schema>,
    mask: ProjectionMask,
    budget: Budget,
    next_group: usize,
    group: Option<Group>,
    /// Rows before the open row group.
    rows: u64,
    /// Read and not yet given.
    ahead: Option<RecordBatch>,
}

impl Rows {
    fn damaged(&self, number: usize, what: impl std::fmt::Display) -> Error {
        let rows = self.metadata.metadata().row_groups().get(number).map_or(0, |g| g.num_rows());
        let (first, last) = (self.rows + 1, self.rows.saturating_add_signed(rows));
        damaged(&self.path, format!("row group {} (rows {first} to {last}): {what}", number + 1))
    }

    /// Opens the next row group; false if there is none.
    fn advance(&mut self) -> Result<bool> {
        let number = self.next_group;
        let groups = self.metadata.metadata().clone();
        let Some(group) = groups.row_groups().get(number) else { return Ok(false) };
        self.next_group += 1;
        let (mut bytes, mut leaves) = (0i64, 0);
        for (i, column) in group.columns().iter().enumerate().filter(|(i, _)| self.mask.leaf_included(*i)) {
            let known = match column.compression() {
                Compression::BROTLI(_) => {
                    Err("its pages are compressed with brotli, which is not read here".to_owned())
                }
                Compression::LZO => {
                    Err("its pages are compressed with lzo, which is not read here".to_owned())
                }
                _ => Ok(()),
            };
            known.and_then(|()| pages::check(&mut self.file, self.bytes, column)).map_err(|e| {
                let name = group.schema_descr().columns().get(i).map(|c| c.path().string());
                self.damaged(number, format!("column `{}`: {e}", name.unwrap_or_default()))
            })?;
            bytes = bytes.saturating_add(column.uncompressed_size().max(0));
            leaves += 1;
        }
        let rows = u64::try_from(group.num_rows()).unwrap_or(0);
        // Dictionaries make what is decoded larger than what is stored.
        let a_row = (u64::try_from(bytes).unwrap_or(0) / rows.max(1)).max(8 * leaves).max(1);
        let rows_max = usize::try_from(self.budget.bytes_max as u64 / a_row).unwrap_or(usize::MAX);
        let file = self.file.try_clone().map_err(|e| Error::io("read", &self.path, e))?;
        let reader = guard(|| {
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
                .with_row_groups(vec![number])
                .with_projection(self.mask.clone())
                .with_batch_size(rows_max.clamp(1, self.budget.rows_max.max(1)))
                .build()
        })
        .and_then(|built| built.map_err(text))
        .map_err(|e| self.damaged(number, e))?;
        self.group = Some(Group { number, reader, left: rows });
        Ok(true)
    }

    /// The next rows as the decoder gives them.
    fn decoded(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let Some(mut group) = self.group.take() else {
                if self.advance()? {
                    continue;
                }
                return Ok(None);
            };
            let number = group.number;
            let next = guard(|| group.reader.next().transpose())
                .and_then(|next| next.map_err(|e| text(ParquetError::from(e))));
            match next {
                Ok(Some(rows)) if rows.num_rows() as u64 <= group.left && rows.num_rows() > 0 => {
                    group.left -= rows.num_rows() as u64;
                    self.group = Some(group);
                    return Ok(Some(rows));
                }
                Ok(None) if group.left == 0 => {
                    let groups = self.metadata.metadata().row_groups();
                    self.rows += groups.get(number).map_or(0, |g| g.num_rows()).unsigned_abs();
                }
                Ok(_) => {
                    let what = "its pages do not hold as many rows as its footer says";
                    return Err(self.damaged(number, what));
                }
                Err(e) => return Err(self.damaged(number, e)),
            }
        }
    }
}

impl TableReader for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.ours
    }

    fn next(&mut self, rows_max: usize) -> Result<Option<Chunk>> {
        let rows = match self.ahead.take() {
            Some(rows) => rows,
            None => match self.decoded()? {
                Some(rows) => rows,
                None => return Ok(None),
            },
        };
        let taken = rows.num_rows().min(rows_max.max(1));
        if taken < rows.num_rows() {
            self.ahead = Some(rows.slice(taken, rows.num_rows() - taken));
        }
        convert(&rows.slice(0, taken), &self.kept).map(Some)
    }
}

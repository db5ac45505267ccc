//! The running reader of files of columns.

use super::waiting::Waiting;
use super::{Chunk, TableNode, TableReader};
use crate::shared::read::OnBad;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, StructArray};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use bytes::Bytes;
use purlin_api::shape::physical;
use purlin_api::source::BoxFuture;
use purlin_api::unite::conform;
use purlin_api::{Batch, Budget, Error, ErrorKind, EventTime, Pull, Result, Resume, Source, SourceStatus};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How many bad units one pull gives at most, about.
const ERRORS_MAX: usize = 100;
/// Rows passed over at once when a reader goes on in the middle of a file.
const SKIP_ROWS: u64 = 1024;

/// Where a reader stands, as it is kept in a checkpoint.
#[derive(Debug, Serialize, Deserialize)]
struct Position {
    file: Option<String>,
    /// Rows of that file that were given (or went to the error output).
    rows: u64,
    waiting: Waiting,
}

struct Open {
    path: String,
    reader: Box<dyn TableReader>,
    rows: u64,
}

/// A running reader.
pub(crate) struct TablesSource {
    node: TableNode,
    schema: SchemaRef,
    waiting: Waiting,
    open: Option<Open>,
    errors: Vec<BadUnit>,
    read: u64,
    dead: u64,
}

/// A file or row that cannot be read.
struct BadUnit {
    file: String,
    row: Option<u64>,
    reason: String,
}

impl TablesSource {
    /// A reader of one lane's share of a node's files.
    pub(crate) fn new(node: TableNode, lane: usize, lanes: usize) -> Result<Self> {
        let schema = match node.outputs.first() {
            Some(out) => physical(&out.shape.schema),
            None => return Err(Error::internal("a reader has no output")),
        };
        let waiting = Waiting { next: lane, step: lanes.max(1), end: node.files.len() };
        Ok(TablesSource { node, schema, waiting, open: None, errors: Vec::new(), read: 0, dead: 0 })
    }

    /// Goes on at a position that a pull gave as [`Resume::Seek`].
    #[cfg_attr(not(test), expect(dead_code, reason = "sources cannot be restored through the contract yet"))]
    pub(crate) fn seek(&mut self, position: &[u8]) -> Result<()> {
        let position: Position = serde_json::from_slice(position)
            .map_err(|e| Error::internal(format!("a file reader's position is unreadable: {e}")))?;
        self.waiting = position.waiting;
        self.open = None;
        let Some(path) = position.file else { return Ok(()) };
        let budget = Budget { rows_max: SKIP_ROWS as usize, bytes_max: 1 << 20 };
        let mut open = self.start(path, budget)?;
        while open.rows < position.rows {
            let skip = (position.rows - open.rows).min(SKIP_ROWS) as usize;
            let Some(chunk) = open.reader.next(skip)? else {
                let what =
                    format!("`{}` has fewer rows than were read of it before: was it changed?", open.path);
                return Err(Error::data(what));
            };
            open.rows += chunk.taken as u64;
        }
        self.open = Some(open);
        Ok(())
    }

    fn start(&self, path: String, budget: Budget) -> Result<Open> {
        let wanted = |name: &str| {
            let mut fields = self.schema.fields().iter().zip(&self.node.needed);
            fields.any(|(f, needed)| *needed && f.name() == name)
        };
        let reader = self.node.format.open(&path, &wanted, budget)?;
        self.node.check_fits(&path, reader.schema().fields())?;
        Ok(Open { path, reader, rows: 0 })
    }

    fn pull(&mut self, budget: Budget) -> Result<Pull> {
        let mut pull = Pull { status: SourceStatus::Ready, watermark: EventTime::MIN, ..Pull::done() };
        while pull.batches.is_empty() && self.errors.len() < ERRORS_MAX {
            if let Some(open) = self.open.take() {
                self.step(open, &mut pull, budget)?;
                continue;
            }
            let Some(file) = self.waiting.pop().and_then(|i| self.node.files.get(i)) else {
                pull.status = SourceStatus::Done;
                pull.watermark = EventTime::MAX;
                break;
            };
            let path = file.path.clone();
            match self.start(path.clone(), budget) {
                Ok(open) => self.open = Some(open),
                Err(e) => self.bad(&mut pull, path, None, e)?,
            }
        }
        if !self.errors.is_empty() {
            let errors = std::mem::take(&mut self.errors);
            pull.batches.extend(error_batches(&errors, budget.rows_max.max(1))?.into_iter().map(|b| (1, b)));
        }
        self.read += pull.read;
        self.dead += pull.dead;
        if pull.status == SourceStatus::Done {
            self.check_threshold()?;
        }
        pull.resume = self.position()?;
        Ok(pull)
    }

    /// Gives the next rows of the open file.
    fn step(&mut self, mut open: Open, pull: &mut Pull, budget: Budget) -> Result<()> {
        let Chunk { rows, bad, taken } = match open.reader.next(budget.rows_max.max(1)) {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Ok(()),
            Err(e) => {
                let what = match open.rows {
                    0 => e,
                    n => Error::new(e.kind(), format!("{}; it was read up to row {n}", e.message())),
                };
                return self.bad(pull, open.path, None, what);
            }
        };
        if rows.num_rows() > 0 {
            pull.read += rows.num_rows() as u64;
            pull.batches.push((0, Batch::untimed(conform(&rows, &self.schema)?)));
        }
        for (row, reason) in bad {
            let row = open.rows + row as u64 + 1;
            let what = Error::data(format!("`{}`, row {row}: {reason}", open.path));
            self.bad(pull, open.path.clone(), Some(row), what)?;
        }
        open.rows += taken as u64;
        self.open = Some(open);
        Ok(())
    }

    fn bad(&mut self, pull: &mut Pull, file: String, row: Option<u64>, e: Error) -> Result<()> {
        // A disk that does not answer is no fault of a file.
        if e.kind() != ErrorKind::Data {
            return Err(e);
        }
        if self.node.on_bad == OnBad::Fail {
            let help =
                "to go on without what cannot be read, give the transform `error_handling: {output: NAME}`";
            return Err(Error::new(e.kind(), format!("{}; {help}", e.message())).caused_by(e));
        }
        pull.read += 1;
        pull.dead += 1;
        self.errors.push(BadUnit { file, row, reason: e.message().to_owned() });
        Ok(())
    }

    fn check_threshold(&self) -> Result<()> {
        let OnBad::Output { threshold: Some(threshold) } = self.node.on_bad else { return Ok(()) };
        if self.dead as f64 / self.read.max(1) as f64 <= threshold {
            return Ok(());
        }
        Err(Error::data(format!(
            "{} of {} rows and files could not be read, more than the threshold of {threshold} that `error_handling` sets",
            self.dead, self.read
        )))
    }

    fn position(&self) -> Result<Resume> {
        let (file, rows) = match &self.open {
            Some(open) => (Some(open.path.clone()), open.rows),
            None => (None, 0),
        };
        let bytes = serde_json::to_vec(&Position { file, rows, waiting: self.waiting })
            .map_err(|e| Error::internal(format!("a file reader's position cannot be kept: {e}")))?;
        Ok(Resume::Seek(Bytes::from(bytes)))
    }
}

impl Source for TablesSource {
    fn next(&mut self, budget: Budget) -> BoxFuture<'_, Result<Pull>> {
        Box::pin(std::future::ready(self.pull(budget)))
    }

    fn progress(&self) -> Option<(u64, u64)> {
        let total: u64 = self.node.files.iter().map(|f| f.bytes).sum();
        let files = self.node.files.iter().take(self.waiting.end);
        let waiting: u64 = files.skip(self.waiting.next).step_by(self.waiting.step).map(|f| f.bytes).sum();
        Some((total.saturating_sub(waiting), total))
    }

    fn split(&mut self) -> Option<Box<dyn Source>> {
        // Half of the files that are not begun; a file is never divided.
        if matches!(self.node.on_bad, OnBad::Output { threshold: Some(_) }) {
            return None;
        }
        let mut other = TablesSource::new(self.node.clone(), 0, 1).ok()?;
        other.waiting = self.waiting.split()?;
        Some(Box::new(other))
    }
}

/// The schema of error rows: `element` with the file and, if it was one row, its number from 1.
pub(super) fn error_schema() -> SchemaRef {
    let element = Fields::from(vec![
        Field::new("file", DataType::Utf8, false),
        Field::new("row", DataType::Int64, true),
    ]);
    Arc::new(Schema::new(vec![
        Field::new("element", DataType::Struct(element), false),
        Field::new("msg", DataType::Utf8, false),
        Field::new("stack", DataType::Utf8, false),
    ]))
}

fn error_batches(errors: &[BadUnit], rows_max: usize) -> Result<Vec<Batch>> {
    let schema = physical(&error_schema());
    let batch = |errors: &[BadUnit]| -> Result<Batch> {
        let files: ArrayRef = Arc::new(errors.iter().map(|e| Some(e.file.as_str())).collect::<StringArray>());
        let rows = errors.iter().map(|e| e.row.and_then(|r| i64::try_from(r).ok()));
        let rows: ArrayRef = Arc::new(rows.collect::<Int64Array>());
        let DataType::Struct(fields) = schema.field(0).data_type() else {
            return Err(Error::internal("error rows have other columns than they should"));
        };
        let element: ArrayRef = Arc::new(StructArray::try_new(fields.clone(), vec![files, rows], None)?);
        let messages: ArrayRef = Arc::new(errors.iter().map(|e| Some(&e.reason)).collect::<StringArray>());
        let place = |e: &BadUnit| match e.row {
            Some(row) => Some(format!("{}:{row}", e.file)),
            None => Some(e.file.clone()),
        };
        let places: ArrayRef = Arc::new(errors.iter().map(place).collect::<StringArray>());
        Ok(Batch::untimed(RecordBatch::try_new(schema.clone(), vec![element, messages, places])?))
    };
    errors.chunks(rows_max).map(batch).collect()
}

//! The running reader of files of columns.

use super::{Chunk, TableNode, TableReader};
use crate::shared::read::OnBad;
use crate::shared::read::work::{FileState, OpenAt, Position, Remainder, Shared, Todo, Work};
use crate::shared::scan::Framing;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, StructArray};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use bytes::Bytes;
use purlin_api::shape::physical;
use purlin_api::source::BoxFuture;
use purlin_api::unite::conform;
use purlin_api::{Batch, Budget, Error, ErrorKind, EventTime, Pull, Result, Resume, Source, SourceStatus};
use std::collections::VecDeque;
use std::sync::Arc;

/// How many bad units one pull gives at most, about.
const ERRORS_MAX: usize = 100;
/// Rows passed over at once when a reader goes on in the middle of a file.
const SKIP_ROWS: u64 = 1024;

struct Open {
    /// Which of the files.
    index: usize,
    path: String,
    reader: Box<dyn TableReader>,
    /// Rows of it that were given (or went to the error output).
    rows: u64,
    /// The file when it was opened.
    seen: FileState,
    /// Its length.
    bytes: u64,
}

/// A running reader: it takes a file from the queue that all lanes share, reads it, and takes the next.
pub(crate) struct TablesSource {
    node: TableNode,
    schema: SchemaRef,
    shared: Arc<Shared>,
    work: Arc<Work>,
    /// Files that others held before a restart, to be read first.
    inherited: VecDeque<Todo>,
    /// What it has finished; the rest is put in when the position is asked for.
    position: Position,
    /// Whether it has taken what there was before a restart.
    begun: bool,
    open: Option<Open>,
    errors: Vec<BadUnit>,
    ended: bool,
}

/// A file or row that cannot be read.
struct BadUnit {
    file: String,
    row: Option<u64>,
    reason: String,
}

impl TablesSource {
    /// A reader that takes its files from a queue.
    pub(crate) fn new(node: TableNode, shared: Arc<Shared>) -> Result<Self> {
        let schema = match node.outputs.first() {
            Some(out) => physical(&out.shape.schema),
            None => return Err(Error::internal("a reader has no output")),
        };
        let work = shared.work();
        work.begin_lane();
        let (position, inherited) = (work.blank(), VecDeque::new());
        Ok(TablesSource {
            node,
            schema,
            shared,
            work,
            inherited,
            position,
            begun: false,
            open: None,
            errors: Vec::new(),
            ended: false,
        })
    }

    /// Opens a file again of which rows were given before a restart.
    fn reopen(&self, index: usize, at: &OpenAt) -> Result<Open> {
        let budget = Budget { rows_max: SKIP_ROWS as usize, bytes_max: 1 << 20 };
        let mut open = self.start(index, at.path.clone(), budget)?;
        while open.rows < at.offset {
            let skip = (at.offset - open.rows).min(SKIP_ROWS) as usize;
            let Some(chunk) = open.reader.next(skip)? else {
                let what =
                    format!("`{}` has fewer rows than were read of it before: was it changed?", open.path);
                return Err(Error::data(what));
            };
            open.rows += chunk.taken as u64;
        }
        Ok(open)
    }

    fn start(&self, index: usize, path: String, budget: Budget) -> Result<Open> {
        let wanted = |name: &str| {
            let mut fields = self.schema.fields().iter().zip(&self.node.needed);
            fields.any(|(f, needed)| *needed && f.name() == name)
        };
        let reader = self.node.format.open(&path, &wanted, budget)?;
        self.node.check_fits(&path, reader.schema().fields())?;
        let seen = FileState::of(&path).map_err(|e| Error::io("open", &path, e))?;
        let bytes = self.work.file(index).map_or(0, |f| f.bytes);
        Ok(Open { index, path, reader, rows: 0, seen, bytes })
    }

    /// A file is read to its end, or as far as it can be.
    fn close(&mut self, index: usize, bytes: u64) {
        self.work.progressed(bytes);
        self.position.finish(index);
    }

    fn pull(&mut self, budget: Budget) -> Result<Pull> {
        if !std::mem::replace(&mut self.begun, true) {
            (self.position, self.inherited) = self.work.begin();
        }
        let mut pull = Pull { status: SourceStatus::Ready, watermark: EventTime::MIN, ..Pull::done() };
        while pull.batches.is_empty() && self.errors.len() < ERRORS_MAX {
            if let Some(open) = self.open.take() {
                self.step(open, &mut pull, budget)?;
                continue;
            }
            let Some(todo) = self.inherited.pop_front().or_else(|| self.work.take()) else {
                pull.status = SourceStatus::Done;
                pull.watermark = EventTime::MAX;
                break;
            };
            if let Some(at) = todo.left.and_then(|left| left.open) {
                self.open = Some(self.reopen(todo.index, &at)?);
                continue;
            }
            let file = self.work.file(todo.index).ok_or_else(|| Error::internal("a piece of no file"))?;
            let (path, bytes) = (file.path.clone(), file.bytes);
            match self.start(todo.index, path.clone(), budget) {
                Ok(open) => self.open = Some(open),
                Err(e) => {
                    self.bad(&mut pull, path, None, e)?;
                    self.close(todo.index, bytes);
                }
            }
        }
        if !self.errors.is_empty() {
            let errors = std::mem::take(&mut self.errors);
            pull.batches.extend(error_batches(&errors, budget.rows_max.max(1))?.into_iter().map(|b| (1, b)));
        }
        self.position.read += pull.read;
        self.position.dead += pull.dead;
        if pull.status == SourceStatus::Done && !std::mem::replace(&mut self.ended, true) {
            self.check_threshold()?;
        }
        pull.resume = self.resume()?;
        Ok(pull)
    }

    /// Gives the next rows of the open file.
    fn step(&mut self, mut open: Open, pull: &mut Pull, budget: Budget) -> Result<()> {
        let Chunk { rows, bad, taken } = match open.reader.next(budget.rows_max.max(1)) {
            Ok(Some(chunk)) => chunk,
            Ok(None) => {
                self.close(open.index, open.bytes);
                return Ok(());
            }
            Err(e) => {
                self.close(open.index, open.bytes);
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

    /// The lane that ends last judges the units of all.
    fn check_threshold(&self) -> Result<()> {
        let Some(tally) = self.work.end_lane(self.position.read, self.position.dead) else { return Ok(()) };
        let OnBad::Output { threshold: Some(threshold) } = self.node.on_bad else { return Ok(()) };
        if tally.dead as f64 / tally.read.max(1) as f64 <= threshold {
            return Ok(());
        }
        Err(Error::data(format!(
            "{} of {} rows and files could not be read, more than the threshold of {threshold} that `error_handling` sets",
            tally.dead, tally.read
        )))
    }

    fn resume(&mut self) -> Result<Resume> {
        self.position.inherited = self.inherited.iter().filter_map(|todo| todo.left.clone()).collect();
        self.position.held = self.open.as_ref().map(|open| {
            let at = OpenAt { path: open.path.clone(), offset: open.rows, line: 0, seen: open.seen };
            Remainder { piece: open.index, next: open.index + 1, open: Some(at) }
        });
        self.position.resume()
    }
}

impl Source for TablesSource {
    fn next(&mut self, budget: Budget) -> BoxFuture<'_, Result<Pull>> {
        Box::pin(std::future::ready(self.pull(budget)))
    }

    fn restore(&mut self, positions: &[Bytes]) -> Result<()> {
        let work = self.shared.restore(&self.node.files, Framing::Lines, positions)?;
        // It may have found the restored work when it was built.
        if !Arc::ptr_eq(&work, &self.work) {
            work.begin_lane();
            self.position = work.blank();
            self.work = work;
        }
        Ok(())
    }

    fn progress(&self) -> Option<(u64, u64)> {
        Some(self.work.progress())
    }

    fn split(&mut self) -> Option<Box<dyn Source>> {
        // Another reader at the same queue; a file is never divided.
        if self.work.is_empty() {
            return None;
        }
        let other = TablesSource::new(self.node.clone(), self.shared.clone()).ok()?;
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

//! The source that reads files record by record, whatever their format.

use super::records::{Fault, Record, Records};
use super::scan::Framing;
use crate::format::columns::Column;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use bytes::Bytes;
use purlin_api::shape::physical;
use purlin_api::source::BoxFuture;
use purlin_api::transform::BuildCx;
use purlin_api::{
    Batch, Budget, Error, EventTime, FileInfo, Output, PlanNode, Pull, Result, Resume, Running, Source,
    SourceStatus,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Longest record that is read unless the config says otherwise: 64 MiB.
pub(crate) const RECORD_BYTES_MAX: i64 = 64 << 20;
/// About how many bytes one pull decodes: some milliseconds of work.
const PULL_BYTES: u64 = 2 << 20;
/// Opening a file counts as reading this many bytes.
const OPEN_COST_BYTES: u64 = 64 << 10;
/// How much of a bad record goes into its error row, in bytes.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is a row.
    Row,
    /// The author said to pass over it.
    Skipped,
    /// It is a header, no unit of data.
    Header,
}

/// Why a record is no row.
#[derive(Debug)]
pub(crate) struct RowError {
    /// The line of the problem, if it is not the one on which the record begins.
    pub(crate) line: Option<u64>,
    /// Where in the line, from 1, if known.
    pub(crate) column: Option<u64>,
    /// What is wrong: one sentence without a full stop.
    pub(crate) reason: String,
    /// What the author could do.
    pub(crate) help: Option<String>,
}

impl RowError {
    /// A record that does not fit, somewhere in its line.
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        RowError { line: None, column: None, reason: reason.into(), help: None }
    }

    /// Adds what to do.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// What stops a decoder.
#[derive(Debug)]
pub(crate) enum Stop {
    /// This record is bad; the next may be good.
    Row(RowError),
    /// The file as a whole does not fit.
    File(Error),
}

impl From<RowError> for Stop {
    fn from(e: RowError) -> Self {
        Stop::Row(e)
    }
}

/// Turns records into columns. A record that fails must leave no trace in them.
pub(crate) trait Decoder: Send {
    /// A file begins.
    fn open(&mut self, file: &str) -> Result<()>;
    /// True once the records that come are data.
    fn at_data(&self) -> bool {
        true
    }
    /// Takes a record.
    fn record(&mut self, record: &Record<'_>) -> Result<Fate, Stop>;
    /// How many rows were taken since the last [`Decoder::finish`].
    fn rows(&self) -> usize;
    /// Gives the rows taken.
    fn finish(&mut self) -> Result<RecordBatch>;
}

/// A file format with its options, bound to a schema.
pub(crate) trait Format: std::fmt::Debug + Send + Sync {
    /// How files are divided into records.
    fn framing(&self) -> Framing;
    /// A decoder that fills the needed columns and leaves the others null.
    fn decoder(&self, schema: &SchemaRef, needed: &[bool]) -> Box<dyn Decoder>;
    /// For `explain`.
    fn describe(&self) -> String;
}

/// What happens to records that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum OnBad {
    /// The run fails.
    Fail,
    /// They are passed over and counted.
    Skip,
    /// They go to the error output; the run fails if more than this fraction of all records does.
    Output { threshold: Option<f64> },
}

/// A bound file reader.
#[derive(Clone, Debug)]
pub(crate) struct ReadNode {
    pub(crate) format: Arc<dyn Format>,
    pub(crate) files: Arc<[FileInfo]>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) needed: Vec<bool>,
    pub(crate) on_bad: OnBad,
    pub(crate) record_bytes_max: usize,
}

impl PlanNode for ReadNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        let files = match &*self.files {
            [one] => one.path.clone(),
            [first, ..] => format!("{} files, first {}", self.files.len(), first.path),
            [] => "no files".to_owned(),
        };
        let read = self.needed.iter().filter(|n| **n).count();
        let columns = if read == self.needed.len() {
            String::new()
        } else {
            format!("; {read} of {} columns", self.needed.len())
        };
        let errors = self.outputs.get(1).map(|o| format!("; errors to {}", o.tag)).unwrap_or_default();
        format!("{}; {files}{columns}{errors}", self.format.describe())
    }

    fn prune(&self, needed: &[bool]) -> Option<Arc<dyn PlanNode>> {
        if needed.len() != self.needed.len() || needed == self.needed {
            return None;
        }
        Some(Arc::new(ReadNode { needed: needed.to_vec(), ..self.clone() }))
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        // A threshold is a fraction of all records, so that all must be counted in one lane.
        let lanes = match self.on_bad {
            OnBad::Output { threshold: Some(_) } if cx.lane == 0 => 1,
            OnBad::Output { threshold: Some(_) } => {
                let none = ReadNode { files: Arc::from([]), ..self.clone() };
                return Ok(Running::Source(Box::new(FilesSource::new(none, 0, 1)?)));
            }
            _ => cx.lanes,
        };
        Ok(Running::Source(Box::new(FilesSource::new(self.clone(), cx.lane, lanes)?)))
    }
}

/// Where a reader stands, as it is kept in a checkpoint.
#[derive(Debug, Serialize, Deserialize)]
struct Position {
    /// The path of the file it is in.
    file: Option<String>,
    /// Bytes of that file (decompressed) that were read.
    offset: u64,
    /// The line that comes next.
    line: u64,
    /// The files that come after it.
    waiting: Waiting,
}

/// Files to be read, by index: every `step`th from `next` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    /// The next one.
    pub(crate) next: usize,
    pub(crate) step: usize,
    pub(crate) end: usize,
}

impl Waiting {
    /// The next one.
    pub(crate) fn pop(&mut self) -> Option<usize> {
        let i = (self.next < self.end).then_some(self.next)?;
        self.next = self.next.saturating_add(self.step.max(1));
        Some(i)
    }

    fn len(&self) -> usize {
        self.end.saturating_sub(self.next).div_ceil(self.step.max(1))
    }

    /// Gives the second half away; `None` if there is only one.
    pub(crate) fn split(&mut self) -> Option<Waiting> {
        let len = self.len();
        let keep = len.div_ceil(2);
        if keep == len {
            return None;
        }
        let border = self.next + keep * self.step.max(1);
        let other = Waiting { next: border, ..*self };
        self.end = border;
        Some(other)
    }
}

/// A running file reader.
pub(crate) struct FilesSource {
    node: ReadNode,
    /// The files to read after the open one.
    waiting: Waiting,
    open: Option<(String, Records)>,
    decoder: Box<dyn Decoder>,
    errors: Option<ErrorRows>,
    /// Records so far, and the bad ones among them.
    read: u64,
    dead: u64,
}

impl FilesSource {
    /// A reader of one lane's share of a node's files.
    pub(crate) fn new(node: ReadNode, lane: usize, lanes: usize) -> Result<Self> {
        let schema = match node.outputs.first() {
            Some(out) => physical(&out.shape.schema),
            None => return Err(Error::internal("a reader has no output")),
        };
        let waiting = Waiting { next: lane, step: lanes.max(1), end: node.files.len() };
        let decoder = node.format.decoder(&schema, &node.needed);
        let errors = matches!(node.on_bad, OnBad::Output { .. }).then(ErrorRows::default);
        Ok(FilesSource { node, waiting, open: None, decoder, errors, read: 0, dead: 0 })
    }

    /// Goes on at a position that a pull gave as [`Resume::Seek`].
    #[cfg_attr(not(test), expect(dead_code, reason = "sources cannot be restored through the contract yet"))]
    pub(crate) fn seek(&mut self, position: &[u8]) -> Result<()> {
        let position: Position = serde_json::from_slice(position)
            .map_err(|e| Error::internal(format!("a file reader's position is unreadable: {e}")))?;
        self.waiting = position.waiting;
        self.open = None;
        let Some(path) = position.file else { return Ok(()) };
        if !self.node.files.iter().any(|f| f.path == path) {
            return Err(Error::data(format!("the file `{path}`, which was being read, is no longer there")));
        }
        let mut records = self.start(&path)?;
        if position.offset > 0 {
            // What stands before the data (a header, a bracket) tells how to read the rest.
            loop {
                let Some(record) = records.next()? else { break };
                if self.decoder.at_data() {
                    break;
                }
                match self.decoder.record(&record) {
                    Ok(_) => {}
                    Err(Stop::File(e)) => return Err(e),
                    Err(Stop::Row(e)) => return Err(bad_record(&path, record.line, &e)),
                }
                if self.decoder.at_data() && !matches!(self.node.format.framing(), Framing::JsonArray) {
                    break;
                }
            }
            records.skip_to(position.offset, position.line)?;
        }
        self.open = Some((path, records));
        Ok(())
    }

    fn start(&mut self, path: &str) -> Result<Records> {
        let records = Records::open(path, self.node.format.framing(), self.node.record_bytes_max)?;
        self.decoder.open(path)?;
        Ok(records)
    }

    fn pull(&mut self, budget: Budget) -> Result<Pull> {
        let rows_max = budget.rows_max.max(1);
        let bytes_max = PULL_BYTES.min((budget.bytes_max as u64).max(1));
        let mut pull = Pull { status: SourceStatus::Ready, watermark: EventTime::MIN, ..Pull::done() };
        let mut bytes = 0;
        while self.decoder.rows() + self.errors.as_ref().map_or(0, ErrorRows::len) < rows_max
            && bytes < bytes_max
        {
            if self.open.is_none() {
                let next = self.waiting.pop().and_then(|i| self.node.files.get(i));
                let Some(path) = next.map(|f| f.path.clone()) else {
                    pull.status = SourceStatus::Done;
                    pull.watermark = EventTime::MAX;
                    break;
                };
                let records = self.start(&path)?;
                self.open = Some((path, records));
                bytes += OPEN_COST_BYTES;
            }
            bytes += self.step(&mut pull)?;
        }
        if self.decoder.rows() > 0 {
            pull.batches.push((0, Batch::untimed(self.decoder.finish()?)));
        }
        if let Some(errors) = self.errors.as_mut().filter(|e| e.len() > 0) {
            pull.batches.push((1, Batch::untimed(errors.finish()?)));
        }
        self.read += pull.read;
        self.dead += pull.dead;
        if pull.status == SourceStatus::Done {
            self.check_threshold()?;
        }
        pull.resume = self.position()?;
        Ok(pull)
    }

    /// Takes the next record of the open file; returns how many bytes it had.
    fn step(&mut self, pull: &mut Pull) -> Result<u64> {
        let Some((path, records)) = &mut self.open else { return Ok(0) };
        let (before, _) = records.position();
        let Some(record) = records.next()? else {
            self.open = None;
            return Ok(0);
        };
        let fate = match record.fault {
            Some(fault) => Err(Stop::Row(fault_text(fault, self.node.record_bytes_max))),
            None => self.decoder.record(&record),
        };
        match fate {
            Ok(Fate::Header) => {}
            Ok(Fate::Row) => pull.read += 1,
            Ok(Fate::Skipped) => {
                pull.read += 1;
                pull.skipped += 1;
            }
            Err(Stop::File(e)) => return Err(e),
            Err(Stop::Row(e)) => {
                pull.read += 1;
                pull.dead += 1;
                match (&mut self.errors, self.node.on_bad) {
                    (Some(errors), _) => errors.push(path, &record, &e)?,
                    (None, OnBad::Skip) => {}
                    (None, _) => return Err(bad_record(path, record.line, &e)),
                }
            }
        }
        let (after, _) = records.position();
        Ok(after.saturating_sub(before))
    }

    fn check_threshold(&self) -> Result<()> {
        let OnBad::Output { threshold: Some(threshold) } = self.node.on_bad else { return Ok(()) };
        let fraction = self.dead as f64 / self.read.max(1) as f64;
        if fraction <= threshold {
            return Ok(());
        }
        Err(Error::data(format!(
            "{} of {} records could not be read, more than the threshold of {threshold} that `error_handling` sets",
            self.dead, self.read
        )))
    }

    fn position(&self) -> Result<Resume> {
        let (file, offset, line) = match &self.open {
            Some((_, records)) if !records.at_border() => return Ok(Resume::Barrier),
            Some((path, records)) => {
                let (offset, line) = records.position();
                (Some(path.clone()), offset, line)
            }
            None => (None, 0, 1),
        };
        let position = Position { file, offset, line, waiting: self.waiting };
        let bytes = serde_json::to_vec(&position)
            .map_err(|e| Error::internal(format!("a file reader's position cannot be kept: {e}")))?;
        Ok(Resume::Seek(Bytes::from(bytes)))
    }
}

impl Source for FilesSource {
    fn next(&mut self, budget: Budget) -> BoxFuture<'_, Result<Pull>> {
        Box::pin(std::future::ready(self.pull(budget)))
    }

    fn progress(&self) -> Option<(u64, u64)> {
        let size = |path: &str| self.node.files.iter().find(|f| f.path == path).map_or(0, |f| f.bytes);
        let total: u64 = self.node.files.iter().map(|f| f.bytes).sum();
        let files = self.node.files.iter().take(self.waiting.end);
        let waiting: u64 = files.skip(self.waiting.next).step_by(self.waiting.step).map(|f| f.bytes).sum();
        // Inside a compressed file the offset counts what came out of it: near enough for a bar.
        let open = self.open.as_ref().map_or(0, |(p, records)| size(p).saturating_sub(records.position().0));
        Some((total.saturating_sub(waiting + open), total))
    }

    fn split(&mut self) -> Option<Box<dyn Source>> {
        // Half of the files that are not begun; a file is never divided.
        if matches!(self.node.on_bad, OnBad::Output { threshold: Some(_) }) {
            return None;
        }
        let mut other = FilesSource::new(self.node.clone(), 0, 1).ok()?;
        other.waiting = self.waiting.split()?;
        Some(Box::new(other))
    }
}

fn fault_text(fault: Fault, record_bytes_max: usize) -> RowError {
    match fault {
        Fault::TooLong => RowError::new(format!("the record is longer than {record_bytes_max} bytes"))
            .help("raise `max_line_bytes` if it is meant to be"),
        Fault::OpenQuote { line, column } => RowError {
            line: Some(line),
            column,
            reason: format!("the quote opened in line {line} is never closed"),
            help: Some("close it, or write a quote inside quotes twice".to_owned()),
        },
        Fault::OpenArray => RowError::new("the JSON array is never closed; the file was cut off"),
    }
}

/// `FILE:LINE[:COLUMN]`.
fn place(file: &str, line: u64, e: &RowError) -> String {
    let line = e.line.unwrap_or(line);
    match e.column {
        Some(column) => format!("{file}:{line}:{column}"),
        None => format!("{file}:{line}"),
    }
}

fn bad_record(file: &str, line: u64, e: &RowError) -> Error {
    let place = place(file, line, e);
    let help = e.help.as_ref().map(|h| format!("; {h}")).unwrap_or_default();
    Error::data(format!(
        "{place}: {}{help}; to go on without such lines, give the transform `error_handling: {{output: NAME}}`",
        e.reason
    ))
}

/// The schema of error rows of file readers: `element` with file, line and text of the record.
pub(crate) fn error_schema() -> SchemaRef {
    let element = Fields::from(vec![
        Field::new("file", DataType::Utf8, false),
        Field::new("line", DataType::Int64, false),
        Field::new("text", DataType::Utf8, false),
    ]);
    Arc::new(Schema::new(vec![
        Field::new("element", DataType::Struct(element), false),
        Field::new("msg", DataType::Utf8, false),
        Field::new("stack", DataType::Utf8, false),
    ]))
}

/// Error rows that are being gathered.
#[derive(Default)]
struct ErrorRows {
    columns: Option<Vec<Column>>,
    rows: usize,
}

impl ErrorRows {
    fn len(&self) -> usize {
        self.rows
    }

    fn push(&mut self, file: &str, record: &Record<'_>, e: &RowError) -> Result<()> {
        let columns = self.columns.get_or_insert_with(|| {
            physical(&error_schema()).fields().iter().map(|f| Column::new(f)).collect()
        });
        let kept = record.bytes.get(..TEXT_BYTES_MAX).unwrap_or(record.bytes);
        let text = String::from_utf8_lossy(kept);
        let line = e.line.unwrap_or(record.line);
        let [Column::Struct(element), msg, stack] = columns.as_mut_slice() else {
            return Err(Error::internal("error rows have other columns than they should"));
        };
        let [name, number, content] = element.columns_mut() else {
            return Err(Error::internal("error elements have other fields than they should"));
        };
        name.push_text(file);
        number.push_int(i64::try_from(line).unwrap_or(i64::MAX));
        content.push_text(&text);
        element.push_valid();
        msg.push_text(&e.reason);
        stack.push_text(&place(file, record.line, e));
        self.rows += 1;
        Ok(())
    }

    fn finish(&mut self) -> Result<RecordBatch> {
        let schema = physical(&error_schema());
        let rows = std::mem::take(&mut self.rows);
        let columns = self.columns.take().unwrap_or_default();
        batch_of(&schema, columns.into_iter().map(Column::finish), rows)
    }
}

/// A batch of finished columns.
pub(crate) fn batch_of(
    schema: &SchemaRef,
    columns: impl Iterator<Item = Result<ArrayRef>>,
    rows: usize,
) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns.collect::<Result<_>>()?, &options)?)
}

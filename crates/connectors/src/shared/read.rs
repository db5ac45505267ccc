//! The source that reads files record by record, whatever their format, in one lane or in several.

mod again;
mod errors;
mod origins;
pub(crate) mod pieces;
mod source;
mod waiting;
pub(crate) mod work;

pub(crate) use errors::error_schema;
pub(crate) use source::FilesSource;

use super::records::{Ahead, Record};
use super::scan::Framing;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use pieces::Cut;
use purlin_api::{
    BuildCx, Division, Error, EventTime, FileInfo, Guarantee, Output, PlanNode, Promise, Result, Running,
    StateShape,
};
use std::sync::Arc;
use work::{Shared, Work};

/// Longest record that is read unless the config says otherwise: 64 MiB.
pub(crate) const RECORD_BYTES_MAX: i64 = 64 << 20;

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
    /// Takes lines that it can read without having each given to it, from the first that lies ahead: how many, all of
    /// them rows, and their bytes with line ends. It may stop at any line; that is given as a record then.
    fn lines(&mut self, ahead: &Ahead<'_>, rows_max: usize) -> (u64, usize) {
        let _ = (ahead, rows_max);
        (0, 0)
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

/// The files of a reader.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    /// What the author wrote.
    pub(crate) pattern: String,
    /// What it matches.
    pub(crate) list: Arc<[FileInfo]>,
    /// Whether it stands for a pipe or a device, which can be read but once.
    pub(crate) stream: bool,
}

impl std::ops::Deref for Files {
    type Target = Arc<[FileInfo]>;

    fn deref(&self) -> &Self::Target {
        &self.list
    }
}

impl Files {
    /// Some files, for tests.
    #[cfg(test)]
    pub(crate) fn test(list: impl Into<Arc<[FileInfo]>>) -> Self {
        Files { pattern: "*".to_owned(), list: list.into(), stream: false }
    }

    /// What a reader of them promises.
    pub(crate) fn guarantee(&self) -> Guarantee {
        if self.stream {
            let because = format!("what was read of the pipe `{}` cannot be read again", self.pattern);
            return Guarantee { promise: Promise::AtMostOnce, because };
        }
        let because = "reading goes on where a checkpoint says, in files that have not changed".to_owned();
        Guarantee { promise: Promise::ExactlyOnce, because }
    }

    /// What a position in them means.
    pub(crate) fn state(&self, format: &str) -> StateShape {
        StateShape::new(format!("reads {} as {format}", self.pattern))
    }
}

/// A bound file reader.
#[derive(Clone, Debug)]
pub(crate) struct ReadNode {
    pub(crate) format: Arc<dyn Format>,
    pub(crate) files: Files,
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
        explained(&self.format.describe(), &self.files, &self.needed, &self.outputs)
    }

    fn prune(&self, needed: &[bool]) -> Option<Arc<dyn PlanNode>> {
        if needed.len() != self.needed.len() || needed == self.needed {
            return None;
        }
        Some(Arc::new(ReadNode { needed: needed.to_vec(), ..self.clone() }))
    }

    fn divide(&self, how: Division) -> Option<Arc<dyn PlanNode>> {
        let (cut, pieces) = pieces::divided(&self.files, self.format.framing(), how)?;
        Some(Arc::new(DividedRead { node: self.clone(), cut, pieces }))
    }

    fn state(&self) -> Option<StateShape> {
        Some(self.files.state(&self.format.describe()))
    }

    fn guarantee(&self) -> Option<Guarantee> {
        Some(self.files.guarantee())
    }

    fn again(&self, units: RecordBatch, _: Vec<EventTime>) -> Result<Arc<dyn PlanNode>> {
        again::again(self, &units)
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        start(self, Cut::Together, cx)
    }
}

/// A bound file reader whose files are cut into pieces.
#[derive(Clone, Debug)]
struct DividedRead {
    node: ReadNode,
    cut: Cut,
    pieces: usize,
}

impl PlanNode for DividedRead {
    fn outputs(&self) -> &[Output] {
        self.node.outputs()
    }

    fn explain(&self) -> String {
        format!("{}; in {} pieces", self.node.explain(), self.pieces)
    }

    fn lanes_max(&self) -> usize {
        self.pieces
    }

    fn state(&self) -> Option<StateShape> {
        self.node.state()
    }

    fn guarantee(&self) -> Option<Guarantee> {
        self.node.guarantee()
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        start(&self.node, self.cut, cx)
    }
}

/// A reader in words: its format, its files, which columns it reads, where errors go.
pub(crate) fn explained(format: &str, files: &[FileInfo], needed: &[bool], outputs: &[Output]) -> String {
    let files = match files {
        [one] => one.path.clone(),
        [first, ..] => format!("{} files, first {}", files.len(), first.path),
        [] => "no files".to_owned(),
    };
    let read = needed.iter().filter(|n| **n).count();
    let columns =
        if read == needed.len() { String::new() } else { format!("; {read} of {} columns", needed.len()) };
    let errors = outputs.get(1).map(|o| format!("; errors to {}", o.tag)).unwrap_or_default();
    format!("{format}; {files}{columns}{errors}")
}

/// An instance that takes pieces of the queue that all lanes share.
fn start(node: &ReadNode, cut: Cut, cx: &BuildCx) -> Result<Running> {
    let work = || Shared::new(Work::new(node.files.list.clone(), node.format.framing(), cut));
    let shared = cx.shared.get_or_make(work)?;
    let source = FilesSource::new(node.clone(), shared)?.with_origins(cx.environment.keeps_letters);
    Ok(Running::Source(Box::new(source)))
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

#[cfg(test)]
mod tests;

//! The source that reads files of columns (Parquet, Avro), whatever their format.
//!
//! A file that cannot be read is one bad unit: with an `error_handling` its name and the reason go to the
//! error output, and the rows that were read before the damage stay. So is a row with a value that our
//! types cannot hold.

use crate::format::foreign;
use crate::shared::bind::limits;
use crate::shared::read::{OnBad, Waiting};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, StructArray};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use bytes::Bytes;
use purlin_api::shape::physical;
use purlin_api::source::BoxFuture;
use purlin_api::transform::{BuildCx, Probe};
use purlin_api::unite::{conform, schema_of, unite_fields};
use purlin_api::{
    Batch, BindCx, Budget, Error, EventTime, FileInfo, Output, OutputRole, PlanNode, Pull, Result, Resume,
    Running, Shape, Source, SourceStatus, Windowing,
};
use purlin_spec::config::Spanned;
use purlin_spec::types::ErrorHandling;
use purlin_spec::{Diagnostic, suggest};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How many files are looked at to find the fields. What comes later must fit.
const SAMPLE_FILES: usize = 100;
/// How many bad units one pull gives at most.
const ERRORS_MAX: usize = 100;

/// A format of columns.
pub(crate) trait TableFormat: std::fmt::Debug + Send + Sync {
    /// The schema of a file, from a look at one of its ends.
    fn schema(&self, probe: &dyn Probe, file: &FileInfo) -> Result<SchemaRef>;
    /// Opens a file; only columns for which `wanted` holds need be read.
    fn open(&self, path: &str, wanted: &dyn Fn(&str) -> bool, budget: Budget)
    -> Result<Box<dyn TableReader>>;
    /// For `explain` and messages.
    fn name(&self) -> &'static str;
}

/// An open file.
pub(crate) trait TableReader: Send {
    /// The schema of the whole file.
    fn schema(&self) -> &SchemaRef;
    /// The next rows (of the wanted columns), about as many as the budget said.
    fn next(&mut self) -> Result<Option<RecordBatch>>;
}

/// A bound reader.
#[derive(Clone, Debug)]
pub(crate) struct TableNode {
    pub(crate) format: Arc<dyn TableFormat>,
    files: Arc<[FileInfo]>,
    outputs: Vec<Output>,
    needed: Vec<bool>,
    /// Only these columns, whatever else the files have.
    columns: Option<Arc<[String]>>,
    on_bad: OnBad,
}

/// Binds a reader: unites the schemas of the files.
pub(crate) fn bind(
    format: Arc<dyn TableFormat>,
    cx: &mut BindCx<'_>,
    files: Option<Arc<[FileInfo]>>,
    columns: Option<&[Spanned<String>]>,
    errors: Option<&ErrorHandling>,
    path: &Spanned<String>,
) -> Option<Arc<dyn PlanNode>> {
    let limits = limits(cx, errors, None);
    let files = files?;
    let mut fields = sampled(format.as_ref(), cx, &files, errors.is_some(), path)?;
    if let Some(columns) = columns {
        fields = chosen(&fields, columns, cx)?;
    }
    if fields.is_empty() {
        let what = format!("the {} files of `{}` have no columns", format.name(), path.value);
        cx.diagnostics.push(Diagnostic::error("file/no-columns", path.span, what));
        return None;
    }
    let shape = |schema| Shape { schema, windowing: Arc::new(Windowing::global()), bounded: true };
    let tag = if errors.is_some() { "good" } else { "out" };
    let needed = vec![true; fields.len()];
    let mut outputs =
        vec![Output { tag: tag.to_owned(), shape: shape(schema_of(fields)), role: OutputRole::Main }];
    if let Some(e) = errors {
        let tag = e.output.value.clone();
        outputs.push(Output { tag, shape: shape(error_schema()), role: OutputRole::Error });
    }
    let columns = columns.map(|c| c.iter().map(|c| c.value.clone()).collect());
    let (on_bad, _) = limits?;
    Some(Arc::new(TableNode { format, files, outputs, needed, columns, on_bad }))
}

/// The fields of all files together. With error handling, files that cannot be read are left for the run.
fn sampled(
    format: &dyn TableFormat,
    cx: &mut BindCx<'_>,
    files: &[FileInfo],
    lenient: bool,
    path: &Spanned<String>,
) -> Option<Fields> {
    let mut united: Option<(Fields, String)> = None;
    let mut refused: Option<Error> = None;
    for file in files.iter().take(SAMPLE_FILES) {
        let schema = guard(&file.path, format.name(), || format.schema(cx.probe, file));
        let fields = match schema.and_then(|s| ours(&file.path, &s)) {
            Ok(s) => s.fields().clone(),
            Err(e) if lenient => {
                refused.get_or_insert(e);
                continue;
            }
            Err(e) => {
                cx.diagnostics.push(Diagnostic::error("file/cannot-read", path.span, e.message()));
                return None;
            }
        };
        united = Some(match united {
            None => (fields, file.path.clone()),
            Some((all, first)) => match unite_fields(&all, &fields, false) {
                Ok(all) => (all, first),
                Err(_) if lenient => (all, first),
                Err(name) => {
                    let what = format!(
                        "`{name}` has types in `{first}` and `{}` that have nothing in common",
                        file.path
                    );
                    cx.diagnostics.push(
                        Diagnostic::error("schema/files-differ", path.span, what)
                            .help("read the files apart, or give the transform an `error_handling`"),
                    );
                    return None;
                }
            },
        });
    }
    if united.is_none() {
        let why = refused.map_or_else(|| "there are no files".to_owned(), message_of);
        cx.diagnostics.push(Diagnostic::error("file/cannot-read", path.span, why));
    }
    united.map(|(fields, _)| fields)
}

fn chosen(fields: &Fields, columns: &[Spanned<String>], cx: &mut BindCx<'_>) -> Option<Fields> {
    let find = |c: &Spanned<String>| match fields.iter().find(|f| *f.name() == c.value) {
        Some(f) => Some(f.clone()),
        None => {
            let names = suggest::listed(fields.iter().map(|f| f.name().as_str()));
            let what = format!("the files have no column `{}`", c.value);
            cx.diagnostics.push(
                Diagnostic::error("schema/unknown-field", c.span, what).help(format!("they have {names}")),
            );
            None
        }
    };
    let found: Vec<_> = columns.iter().map(find).collect();
    found.into_iter().collect()
}

fn ours(path: &str, schema: &Schema) -> Result<SchemaRef> {
    foreign::schema(schema).map_err(|e| Error::data(format!("`{path}`: {e}")))
}

/// Decoders of foreign bytes are not ours: whatever they do with damaged ones, it is an error of the file.
fn guard<T>(path: &str, format: &str, f: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_or_else(|_| {
        Err(Error::data(format!("`{path}` is damaged: its content breaks the rules of {format} files")))
    })
}

impl PlanNode for TableNode {
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
        format!("{}; {files}{columns}{errors}", self.format.name().to_lowercase())
    }

    fn prune(&self, needed: &[bool]) -> Option<Arc<dyn PlanNode>> {
        if needed.len() != self.needed.len() || needed == self.needed {
            return None;
        }
        Some(Arc::new(TableNode { needed: needed.to_vec(), ..self.clone() }))
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        // A threshold is a fraction of all units, so that all must be counted in one lane.
        let one_lane = matches!(self.on_bad, OnBad::Output { threshold: Some(_) });
        let (lane, lanes) = if one_lane { (0, 1) } else { (cx.lane, cx.lanes) };
        let mut source = TablesSource::new(self.clone(), lane, lanes)?;
        if one_lane && cx.lane > 0 {
            source.waiting.end = 0;
        }
        Ok(Running::Source(Box::new(source)))
    }
}

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
    /// Read and not yet given: a decoder may give more than it was asked for.
    ahead: Option<RecordBatch>,
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
        let budget = Budget { rows_max: 1024, bytes_max: 1 << 20 };
        let mut open = self.start(path, budget)?;
        while open.rows < position.rows {
            let Some(rows) = open.reader.next()? else { break };
            let skip = usize::try_from(position.rows - open.rows).unwrap_or(usize::MAX).min(rows.num_rows());
            open.rows += skip as u64;
            if skip < rows.num_rows() {
                open.ahead = Some(rows.slice(skip, rows.num_rows() - skip));
            }
        }
        self.open = Some(open);
        Ok(())
    }

    fn start(&self, path: String, budget: Budget) -> Result<Open> {
        let wanted = |name: &str| {
            let fields = self.schema.fields().iter().zip(&self.node.needed);
            fields.into_iter().any(|(f, needed)| *needed && f.name() == name)
        };
        let reader = self.node.format.open(&path, &wanted, budget)?;
        self.check_fits(&path, reader.schema())?;
        Ok(Open { path, reader, rows: 0, ahead: None })
    }

    /// A file must have no fields that the rows have not, and none of another type.
    fn check_fits(&self, path: &str, schema: &Schema) -> Result<()> {
        let all = ours(path, schema)?;
        let kept = all
            .fields()
            .iter()
            .filter(|f| self.node.columns.as_ref().is_none_or(|columns| columns.contains(f.name())));
        let fields: Fields = kept.cloned().collect();
        if let Some(f) = fields.iter().find(|f| self.schema.column_with_name(f.name()).is_none()) {
            let what = format!("`{path}` has a column `{}` that the files before it have not", f.name());
            return Err(Error::data(what));
        }
        match unite_fields(self.schema.fields(), &fields, false) {
            Ok(united) if physical(&Schema::new(united.clone())) == self.schema => Ok(()),
            Ok(_) => {
                Err(Error::data(format!("`{path}` has columns of other types than the files before it")))
            }
            Err(name) => {
                let what = format!("`{name}` has another type in `{path}` than in the files before it");
                Err(Error::data(what))
            }
        }
    }

    fn pull(&mut self, budget: Budget) -> Result<Pull> {
        let mut pull = Pull { status: SourceStatus::Ready, watermark: EventTime::MIN, ..Pull::done() };
        while pull.batches.is_empty() && self.errors.len() < ERRORS_MAX {
            if self.open.is_none() {
                let Some(file) = self.waiting.pop().and_then(|i| self.node.files.get(i)) else {
                    pull.status = SourceStatus::Done;
                    pull.watermark = EventTime::MAX;
                    break;
                };
                let path = file.path.clone();
                match guard(&path, self.node.format.name(), || self.start(path.clone(), budget)) {
                    Ok(open) => self.open = Some(open),
                    Err(e) => self.bad(&mut pull, path, None, e)?,
                }
                continue;
            }
            self.step(&mut pull, budget)?;
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
    fn step(&mut self, pull: &mut Pull, budget: Budget) -> Result<()> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        let next = match open.ahead.take() {
            Some(rows) => Ok(Some(rows)),
            None => guard(&open.path, self.node.format.name(), || open.reader.next()),
        };
        let rows = match next {
            Ok(Some(rows)) => rows,
            Ok(None) => return Ok(()),
            Err(e) => {
                let what = match open.rows {
                    0 => e,
                    n => Error::new(e.kind(), format!("{}; it was read up to row {n}", e.message())),
                };
                return self.bad(pull, open.path, None, what);
            }
        };
        let taken = rows.num_rows().min(budget.rows_max.max(1));
        if taken < rows.num_rows() {
            open.ahead = Some(rows.slice(taken, rows.num_rows() - taken));
        }
        let first = open.rows;
        open.rows += taken as u64;
        let path = open.path.clone();
        self.open = Some(open);
        self.give(pull, &path, first, &rows.slice(0, taken))
    }

    /// Brings rows into our types; if some cannot be, those become bad units, the others are given.
    fn give(&mut self, pull: &mut Pull, path: &str, first: u64, rows: &RecordBatch) -> Result<()> {
        let types = ours(path, rows.schema_ref())?;
        let give = |pull: &mut Pull, rows: &RecordBatch| -> Result<()> {
            if rows.num_rows() > 0 {
                pull.read += rows.num_rows() as u64;
                pull.batches.push((0, Batch::untimed(conform(rows, &self.schema)?)));
            }
            Ok(())
        };
        if let Ok(rows) = foreign::rows(rows, &types) {
            return give(pull, &rows);
        }
        let mut bad = Vec::new();
        for i in 0..rows.num_rows() {
            match foreign::rows(&rows.slice(i, 1), &types) {
                Ok(row) => give(pull, &row)?,
                Err(e) => bad.push((first + i as u64 + 1, e)),
            }
        }
        for (row, e) in bad {
            let what = format!("`{path}`, row {row}: {}", cause(&e));
            self.bad(pull, path.to_owned(), Some(row), Error::data(what))?;
        }
        Ok(())
    }

    fn bad(&mut self, pull: &mut Pull, file: String, row: Option<u64>, e: Error) -> Result<()> {
        if self.node.on_bad == OnBad::Fail {
            let help = "give the transform an `error_handling` with an `output` for what cannot be read";
            return Err(Error::new(e.kind(), format!("{}; {help}", e.message())).caused_by(e));
        }
        pull.read += 1;
        pull.dead += 1;
        self.errors.push(BadUnit { file, row, reason: message_of(e) });
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

/// The message alone: the path is part of it.
fn message_of(e: Error) -> String {
    e.message().to_owned()
}

/// What a failed conversion says, without the words around it.
fn cause(e: &arrow_schema::ArrowError) -> String {
    match e {
        arrow_schema::ArrowError::CastError(text) | arrow_schema::ArrowError::ComputeError(text) => {
            text.clone()
        }
        other => other.to_string(),
    }
}

/// The schema of error rows: `element` with the file and, if it was one row, its number from 1.
fn error_schema() -> SchemaRef {
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

/// A reader of all columns of the files of a pattern, for tests.
#[cfg(test)]
pub(crate) fn tests_source(format: Arc<dyn TableFormat>, path: &Spanned<String>) -> TablesSource {
    let mut d = purlin_spec::Diagnostics::default();
    let span = purlin_spec::Span::default();
    let probe = &super::probe::LocalProbe;
    let mut cx = BindCx { label: "T", span, type_span: span, beam_compat: false, probe, diagnostics: &mut d };
    let files: Arc<[FileInfo]> = super::path::find(&path.value).unwrap().into();
    let fields = sampled(format.as_ref(), &mut cx, &files, false, path).unwrap();
    let shape = Shape { schema: schema_of(fields), windowing: Arc::new(Windowing::global()), bounded: true };
    let needed = vec![true; shape.schema.fields().len()];
    let outputs = vec![Output { tag: "out".to_owned(), shape, role: OutputRole::Main }];
    let node = TableNode { format, files, outputs, needed, columns: None, on_bad: OnBad::Fail };
    TablesSource::new(node, 0, 1).unwrap()
}

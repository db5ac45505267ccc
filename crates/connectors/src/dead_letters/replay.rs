//! Giving letters back: what takes the place of a pipeline's readers, and what stands before its other transforms.

use super::edit::conformed;
use super::journal::{Answer, FailedAgain, Given};
use super::letter::Letter;
use super::required::{lacking, unmarked};
use super::writer::Prepared;
use super::{rows, sink};
use arrow_array::RecordBatch;
use arrow_schema::{DataType, Schema, SchemaRef};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use purlin_api::shape::physical;
use purlin_api::source::BoxFuture;
use purlin_api::{
    Batch, Budget, BuildCx, Dict, Error, ErrorKind, EventTime, Output, OutputRole, Pane, PlanNode, Pull,
    Result, Running, Shape, Source, SourceStatus, Times, Window, WindowFn, Windowing,
};
use std::sync::Arc;

/// A reader with the outputs of another that gives nothing and ends.
pub fn nothing(like: &dyn PlanNode) -> Arc<dyn PlanNode> {
    let mut outputs = like.outputs().to_vec();
    outputs.iter_mut().for_each(|o| o.shape.bounded = true);
    Arc::new(RowsNode { outputs, rows: None })
}

/// A reader that is given back the units that it refused.
///
/// # Errors
/// If it cannot decode them by themselves, or they are not its own.
pub fn to_reader(reader: &dyn PlanNode, letters: &[(&Letter, Given<'_>)]) -> Result<Arc<dyn PlanNode>> {
    let errors = reader.outputs().iter().find(|o| o.role == OutputRole::Error);
    let schema = errors.and_then(|o| match o.shape.schema.field_with_name("element").ok()?.data_type() {
        DataType::Struct(fields) => Some(Schema::new(fields.clone())),
        _ => None,
    });
    let Some(schema) = schema else {
        let text = "it has no error output any more, so that it cannot be told what it refused";
        return Err(Error::new(ErrorKind::Config, text));
    };
    let times = letters.iter().map(|(l, _)| l.event_time()).collect();
    reader.again(together(letters, &schema)?, times)
}

/// A reader that gives letters to an input of this shape, as rows with their times and windows.
///
/// # Errors
/// If a letter does not fit the input.
pub fn to_input(input: &Shape, letters: &[(&Letter, Given<'_>)]) -> Result<Arc<dyn PlanNode>> {
    let rows = together(letters, &input.schema)?;
    let times = Times::Each(letters.iter().map(|(l, _)| l.time_us).collect());
    let windows = letters.iter().map(|(l, _)| window(l, &input.windowing)).collect::<Result<Vec<_>>>()?;
    let windows = Dict::from_rows(windows, Window::Global);
    let batch = Batch { rows, times, windows, panes: Dict::one(Pane::UNKNOWN), origins: None };
    let shape = Shape { bounded: true, ..input.clone() };
    let outputs = vec![Output { tag: "out".to_owned(), shape, role: OutputRole::Main }];
    Ok(Arc::new(RowsNode { outputs, rows: Some(batch) }))
}

/// The window that the row was in, unless the windowing of its input was changed.
fn window(letter: &Letter, windowing: &Windowing) -> Result<Window> {
    let kept = letter.window();
    if windowing.window_fn == WindowFn::Global {
        return Ok(Window::Global);
    }
    let mut assigned = Vec::new();
    windowing.window_fn.assign(letter.event_time(), |w| assigned.push(w));
    if assigned.contains(&kept) || (windowing.window_fn.merges() && kept != Window::Global) {
        return Ok(kept);
    }
    match <[Window; 1]>::try_from(assigned) {
        Ok([only]) => Ok(only),
        Err(all) => Err(misfit(
            letter,
            &format!("its window is none of the {} that the pipeline puts its time into by now", all.len()),
        )),
    }
}

fn misfit(letter: &Letter, why: &str) -> Error {
    Error::new(
        ErrorKind::Config,
        format!("letter {} cannot be given to `{}`: {why}", letter.id, letter.transform),
    )
}

/// The rows of letters in one batch.
fn together(letters: &[(&Letter, Given<'_>)], schema: &Schema) -> Result<RecordBatch> {
    let plain = physical(schema);
    let rows = letters.iter().map(|(letter, given)| {
        let row = rows::decode(given.row).and_then(|row| fitting(letter, &unmarked(&row)?, schema, &plain));
        row.map_err(|e| misfit(letter, e.message()))
    });
    Ok(arrow_select::concat::concat_batches(&plain, &rows.collect::<Result<Vec<_>>>()?)?)
}

/// The row of a letter as an input takes it.
fn fitting(letter: &Letter, row: &RecordBatch, schema: &Schema, plain: &SchemaRef) -> Result<RecordBatch> {
    let fitting = if row.schema() == *plain { row.clone() } else { conformed(row, plain)? };
    let Some(path) = lacking(&fitting, schema) else { return Ok(fitting) };
    let id = &letter.id;
    let new = schema.fields().iter().find(|f| **f.name() == path && row.column_by_name(&path).is_none());
    Err(Error::data(match new {
        Some(_) => format!(
            "it has no field `{path}`, which is never null there: it was kept before that field was; let the pipeline \
             take rows without it, or give the letter up with `purlin deadletters drop {id}`"
        ),
        None => format!(
            "its field `{path}` is null, and is never null there; give it a value: `purlin deadletters edit {id} --set \
             {path}=VALUE`"
        ),
    }))
}

/// Gives rows, and ends.
#[derive(Clone, Debug)]
struct RowsNode {
    outputs: Vec<Output>,
    rows: Option<Batch>,
}

impl PlanNode for RowsNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        format!("{} dead letters", self.rows.as_ref().map_or(0, Batch::len))
    }

    fn build(&self, _: &BuildCx) -> Result<Running> {
        Ok(Running::Source(Box::new(Rows { rows: self.rows.clone(), given: 0 })))
    }
}

struct Rows {
    rows: Option<Batch>,
    given: usize,
}

impl Source for Rows {
    fn next(&mut self, budget: Budget) -> BoxFuture<'_, Result<Pull>> {
        let Some(rows) = self.rows.as_ref().filter(|r| self.given < r.len()) else {
            return Box::pin(std::future::ready(Ok(Pull::done())));
        };
        let count = budget.rows_max.max(1).min(rows.len() - self.given);
        let batch = rows.slice(self.given, count);
        self.given += count;
        let pull = Pull {
            batches: vec![(0, batch)],
            status: SourceStatus::Ready,
            watermark: EventTime::MIN,
            read: count as u64,
            ..Pull::done()
        };
        Box::pin(std::future::ready(Ok(pull)))
    }
}

/// True for the type whose writer says which letters failed again.
pub fn keeps_letters(type_name: &str) -> bool {
    type_name == sink::NAME
}

/// The letters that failed again, as the writer of letters said when it was asked to prepare.
///
/// # Errors
/// If it is not its answer.
pub fn failed_again(prepared: &[u8]) -> Result<Vec<FailedAgain>> {
    if prepared.is_empty() {
        return Ok(Vec::new());
    }
    let answer: Result<Prepared, _> = serde_json::from_slice(prepared);
    answer
        .map(|p| p.failed)
        .map_err(|e| Error::internal(format!("the writer of letters gave no answer: {e}")))
}

/// What a writer answered, for the journal.
pub fn answer(transform: &str, prepared: &[u8]) -> Answer {
    Answer { transform: transform.to_owned(), prepared: STANDARD.encode(prepared) }
}

/// What a writer answered, from the journal.
///
/// # Errors
/// If it was not written by [`answer`].
pub fn answered(answer: &Answer) -> Result<Bytes> {
    let bytes = STANDARD.decode(&answer.prepared);
    bytes
        .map(Bytes::from)
        .map_err(|e| Error::data(format!("an answer in the journal cannot be decoded: {e}")))
}

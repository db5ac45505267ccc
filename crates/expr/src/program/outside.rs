//! Python that is not compiled: what a worker process is told of it, and what its results become.
//!
//! A [`Setup`] says in JSON what the worker computes on each row:
//!
//! ```text
//! {"columns": ["a", "b"],          the fields of a row, in the order of its tuple
//!  "tagged": [false, true],        which of them hold values that are not plain Python (rows, instants)
//!  "jobs": [{"kind": "expression" | "callable" | "file", "code": "...", "name": "f",
//!            "columns": [0],       the parameters of an expression; the fields of a callable's row
//!            "truth": false}]}     whether only the truth of the value is wanted
//! ```
//!
//! A row is a tuple of its columns; if it cannot be encoded, a text that says why. A result is a tuple of the
//! value alone, or of an exception's `repr` and traceback. The encoding is CPython's `marshal`, version 2;
//! rows, instants and sets are tuples that begin with `...` and a number (the table is in `wire.rs`).

use std::sync::Arc;

use arrow_array::builder::BinaryBuilder;
use arrow_array::{Array as _, BinaryArray, RecordBatch, new_null_array};
use arrow_schema::{DataType, Field, Schema};
use serde_json::{Value as Json, json};

use super::{Code, Evaluated, Program, RowContext, RowError, shown_schema};
use crate::any::is_any;
use crate::arrow::{Column, build};
use crate::interp::Machine;
use crate::ir::{Const, Entry, Expr, ExprKind};
use crate::problem::Problem;
use crate::python::scan::{Scan, expression, script};
use crate::types::{Ty, declared_field};
use crate::value::{Raise, Res, Value, repr, value_error};
use crate::wire;

/// An expression that a worker computes. Immutable once its transform is bound.
#[derive(Debug)]
pub struct Outside {
    /// What becomes of values, as for any program; its code is never run.
    shell: Program,
    kind: &'static str,
    text: String,
    name: Option<String>,
    /// The columns of the input that it reads.
    columns: Vec<usize>,
    construct: String,
}

impl Outside {
    /// Takes code that [`super::compile`] refused with `problems`. The output type is the declared one, else
    /// that of the function's annotation, else any.
    ///
    /// # Errors
    /// `problems`, if one is about more than constructs that are not compiled; or what the code needs that
    /// workers do not have.
    pub fn new(
        code: Code<'_>,
        input: &Schema,
        output_type: Option<&Json>,
        problems: Vec<Problem>,
    ) -> Result<Outside, Vec<Problem>> {
        let construct = problems.first().and_then(Problem::construct).map(str::to_owned);
        let Some(construct) = construct.filter(|_| problems.iter().all(|p| p.construct().is_some())) else {
            return Err(problems);
        };
        let (kind, scan, name) = match code {
            Code::Expression(text) => ("expression", expression(text)?, None),
            Code::Callable(text) => ("callable", script(text, None)?, None),
            Code::File { text, name } => ("file", script(text, Some(name))?, Some(name.to_owned())),
        };
        let columns = columns(kind, &scan, input);
        let mut read = columns.iter().filter_map(|i| input.fields().get(*i));
        if let Some(field) = read.find(|f| !Column::readable(f)) {
            let what = field.data_type();
            let message = format!("field `{}` has type {what}, which expressions cannot read", field.name());
            return Err(vec![Problem::new("expr/unsupported", message, None)]);
        }
        let inferred = scan.returns.clone().unwrap_or(Ty::Any);
        let output = match output_type {
            Some(schema) => declared_field(schema, "value").map_err(|p| vec![p])?,
            None => inferred.to_field("value"),
        };
        let nothing = Expr { kind: ExprKind::Const(Const::None), at: 0, end: 0 };
        let shell = Program {
            entry: Entry::Expression { body: nothing, slots: 0 },
            source: scan.text.clone(),
            names: Arc::from([]),
            fields: Vec::new(),
            columns: Vec::new(),
            whole_row: false,
            plain: None,
            output,
            declared: output_type.map(shown_schema),
            inferred,
            vector: None,
            utc_only: false,
            condition: false,
        };
        Ok(Outside { shell, kind, text: scan.text, name, columns, construct })
    }

    /// The construct that is not compiled: `a class`.
    pub fn construct(&self) -> &str {
        &self.construct
    }

    /// The values as a field called `name`, with the mark of type Any where it has it.
    pub fn field(&self, name: impl Into<String>) -> Field {
        self.shell.field(name)
    }

    /// The input columns that are read, ascending.
    pub fn columns(&self) -> Vec<usize> {
        self.columns.clone()
    }

    /// See [`Program::require_utc`].
    pub fn require_utc(&mut self) {
        self.shell.require_utc();
    }

    /// See [`Program::as_condition`].
    pub fn as_condition(&mut self) {
        self.shell.as_condition();
    }

    /// What tells this job from others on the same input.
    pub fn key(&self) -> String {
        self.job(&self.columns).to_string()
    }

    /// The job with its columns at these places of the row.
    fn job(&self, places: &[usize]) -> Json {
        json!({
            "kind": self.kind,
            "code": self.text,
            "name": self.name,
            "columns": places,
            "truth": self.shell.condition,
        })
    }

    /// The values of a batch from what the worker gave for each row.
    pub fn values(&self, results: &BinaryArray, context: &RowContext) -> Evaluated {
        let columns: Vec<Option<Column>> = Vec::new();
        let mut machine = Machine::new(&columns, Arc::from([]), context.now_micros);
        let (mut values, mut errors) = (Vec::with_capacity(results.len()), Vec::new());
        let mut bytes = 0_usize;
        for row in 0..results.len() {
            machine.start_row(row);
            let value = result(results, row).and_then(|given| match given {
                Ok(value) => {
                    let stored = self.shell.stored(&mut machine, value)?;
                    super::fits(stored, &mut bytes).map(Ok)
                }
                Err(failed) => Ok(Err(failed)),
            });
            let failed = match value {
                Ok(Ok(value)) => {
                    values.push(value);
                    continue;
                }
                Ok(Err((message, stack))) => RowError { row, message, stack },
                Err(raise) => self.shell.row_error(row, &raise),
            };
            values.push(Value::None);
            errors.push(failed);
        }
        match build(&values, &self.shell.output) {
            Ok(values) => Evaluated { values, errors },
            Err(e) => {
                let raise = Raise::new("MemoryError", e.to_string());
                let errors = (0..results.len()).map(|row| self.shell.row_error(row, &raise)).collect();
                Evaluated { values: new_null_array(self.shell.output.data_type(), results.len()), errors }
            }
        }
    }
}

/// A value, or an exception's text and traceback.
fn result(results: &BinaryArray, row: usize) -> Res<Result<Value, (String, String)>> {
    let nothing = || value_error("the python3 worker gave no result for this row");
    if results.is_null(row) {
        return Err(nothing());
    }
    let Value::Tuple(parts) = wire::read(results.value(row))? else { return Err(nothing()) };
    match parts.0.as_slice() {
        [value] => Ok(Ok(value.clone())),
        [Value::Str(message), Value::Str(stack)] => Ok(Err((message.to_string(), stack.to_string()))),
        _ => Err(nothing()),
    }
}

/// A function may look at any field of its row; an expression reads those it names.
fn columns(kind: &str, scan: &Scan, input: &Schema) -> Vec<usize> {
    let named = |(_, f): &(usize, &Arc<Field>)| kind != "expression" || scan.names.contains(f.name());
    input.fields().iter().enumerate().filter(named).map(|(i, _)| i).collect()
}

/// What one worker computes: several jobs on the same rows.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The columns that are sent, by place in the row's tuple.
    columns: Vec<(usize, Field)>,
    text: String,
}

impl Setup {
    /// For these jobs, on rows of `input`.
    pub fn new(jobs: &[&Outside], input: &Schema) -> Setup {
        let mut sent: Vec<usize> = jobs.iter().flat_map(|j| j.columns.iter().copied()).collect();
        sent.sort_unstable();
        sent.dedup();
        let places = |job: &Outside| -> Vec<usize> {
            job.columns.iter().filter_map(|c| sent.binary_search(c).ok()).collect()
        };
        let described: Vec<Json> = jobs.iter().map(|job| job.job(&places(job))).collect();
        let columns: Vec<(usize, Field)> =
            sent.iter().filter_map(|i| Some((*i, input.fields().get(*i)?.as_ref().clone()))).collect();
        let text = json!({
            "columns": columns.iter().map(|(_, f)| f.name()).collect::<Vec<_>>(),
            "tagged": columns.iter().map(|(_, f)| !is_plain(f)).collect::<Vec<_>>(),
            "jobs": described,
        });
        Setup { columns, text: text.to_string() }
    }

    /// The input columns that are sent, ascending.
    pub fn columns(&self) -> impl Iterator<Item = usize> + '_ {
        self.columns.iter().map(|(i, _)| *i)
    }

    /// As JSON, for the worker.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The rows of a batch, encoded.
    ///
    /// # Errors
    /// They need more than 2 GiB, or a column is not of the type it was planned with.
    pub fn encode(&self, batch: &RecordBatch) -> Result<BinaryArray, String> {
        let column = |(i, field): &(usize, Field)| {
            let array = batch.columns().get(*i).ok_or_else(|| format!("column {i} is missing"))?;
            Column::new(array, field)
        };
        let columns = self.columns.iter().map(column).collect::<Result<Vec<_>, String>>()?;
        let mut out = BinaryBuilder::new();
        let (mut encoded, mut total) = (Vec::new(), 0_usize);
        for row in 0..batch.num_rows() {
            encoded.clear();
            let values = columns.iter().map(|c| c.value(row)).collect::<Res<Vec<Value>>>();
            if let Err(raise) = values.and_then(|values| wire::put_tuple(&mut encoded, &values)) {
                encoded.clear();
                let message = repr(&Value::Exception(raise.exception.clone()));
                let message = message.unwrap_or_else(|_| raise.exception.kind.to_owned());
                wire::put_text(&mut encoded, &message).map_err(|_| "a row is too long".to_owned())?;
            }
            total = total.saturating_add(encoded.len());
            if i32::try_from(total).is_err() {
                return Err("the rows of a batch need more than 2 GiB: use smaller batches".to_owned());
            }
            out.append_value(&encoded);
        }
        Ok(out.finish())
    }
}

/// Whether all values of a field are plain Python: numbers, text, bytes, lists and dictionaries of these.
fn is_plain(field: &Field) -> bool {
    if is_any(field) {
        return true;
    }
    match field.data_type() {
        DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) => is_plain(f),
        DataType::Map(entries, _) => is_plain_map(entries),
        DataType::Dictionary(_, values) => {
            is_plain(&Field::new("value", values.as_ref().clone(), field.is_nullable()))
        }
        DataType::Struct(_)
        | DataType::Timestamp(..)
        | DataType::Date32
        | DataType::Date64
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Duration(_) => false,
        _ => true,
    }
}

fn is_plain_map(entries: &Field) -> bool {
    matches!(entries.data_type(), DataType::Struct(parts) if parts.iter().all(|f| is_plain(f)))
}

//! Compiled programs: what they read, what they give, how they run.

pub mod outside;

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, new_null_array};
use arrow_schema::{DataType, Field, Schema};
use arrow_select::interleave::interleave;

use crate::arrow::{Column, Misfit, build, conform};
use crate::generic;
use crate::infer::infer;
use crate::interp::{Args, Frame, Machine};
use crate::ir::{Entry, ExprKind};
use crate::problem::Problem;
use crate::python::{self, Names};
use crate::types::{Ty, declared_field};
use crate::value::{Raise, Res, Value, repr, text};
use crate::vector;

/// The language of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Beam's `generic`: a field, a literal, or one comparison.
    Generic,
    /// The compiled part of Python.
    Python,
}

/// The user's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code<'a> {
    /// An expression over the fields.
    Expression(&'a str),
    /// A function of the row: a lambda, a builtin's name, or a script whose last definition it is.
    Callable(&'a str),
    /// Function `name` of a Python file.
    File {
        /// The whole file.
        text: &'a str,
        /// The function.
        name: &'a str,
    },
}

/// How to compile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Copy Beam's quirks: unknown names fail at run, generic integers have 32 bits and only `<` and `>`.
    pub beam_compat: bool,
}

/// What rows are computed with beside their fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowContext {
    /// What `datetime.now()` gives, microseconds since 1970; without it such calls fail.
    pub now_micros: Option<i64>,
}

/// The values of a batch.
#[derive(Debug, Clone)]
pub struct Evaluated {
    /// One value per row of the batch; null where the row failed.
    pub values: ArrayRef,
    /// The rows that failed, in order.
    pub errors: Vec<RowError>,
}

/// Why a row failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowError {
    /// Index in the batch.
    pub row: usize,
    /// CPython's `repr` of the exception: `ZeroDivisionError('division by zero')`.
    pub message: String,
    /// A traceback.
    pub stack: String,
}

/// A compiled expression. Immutable; shared freely between threads.
#[derive(Debug)]
pub struct Program {
    entry: Entry,
    source: String,
    names: Arc<[Arc<str>]>,
    fields: Vec<Field>,
    columns: Vec<usize>,
    whole_row: bool,
    plain: Option<usize>,
    output: Field,
    /// The declared type as messages show it.
    declared: Option<String>,
    inferred: Ty,
    vector: Option<vector::Vectorised>,
    /// Whether a datetime in another zone than UTC is an error.
    utc_only: bool,
    /// Whether only the truth of the value is wanted.
    condition: bool,
}

/// Compiles `code` against the schema of its input. `output_type` is a JSON-schema type that each value must
/// have (Beam YAML's `output_type`).
///
/// # Errors
/// All problems found: syntax, unknown names, constructs outside the subset, types that cannot be.
pub fn compile(
    language: Language,
    code: Code<'_>,
    input: &Schema,
    output_type: Option<&serde_json::Value>,
    options: &Options,
) -> Result<Program, Vec<Problem>> {
    let fields: Vec<String> = input.fields().iter().map(|f| f.name().clone()).collect();
    let names = Names { fields: &fields, beam_compat: options.beam_compat };
    let is_decimal =
        |i: usize| input.fields().get(i).is_some_and(|f| matches!(f.data_type(), DataType::Decimal128(..)));
    let (entry, source) = match (language, code) {
        // A text that is exactly a field's name is that field in every language.
        (_, Code::Expression(text)) if fields.iter().any(|f| f == text) => {
            (generic::compile(text, &fields, &is_decimal, options.beam_compat)?, text)
        }
        (Language::Generic, Code::Expression(text)) => {
            (generic::compile(text, &fields, &is_decimal, options.beam_compat)?, text)
        }
        (Language::Generic, Code::Callable(_) | Code::File { .. }) => {
            let problem = Problem::new("expr/unsupported", "the generic language has no functions", None);
            return Err(vec![problem.help("add `language: python`")]);
        }
        (Language::Python, Code::Expression(text)) => (python::expression(text, &names)?, text),
        (Language::Python, Code::Callable(text)) => (python::callable(text, &names)?, text),
        (Language::Python, Code::File { text, name }) => (python::file(text, name, &names)?, text),
    };
    let uses = crate::ir::uses(&entry, fields.len());
    let stack = (4 << 20) + source.len() * 256;
    let plain = match &entry {
        Entry::Expression { body, .. } => {
            if let ExprKind::Column(index) = body.kind {
                Some(index)
            } else {
                None
            }
        }
        Entry::Callable { .. } => None,
    };
    let unreadable =
        uses.columns.iter().filter_map(|i| input.fields().get(*i)).find(|f| !Column::readable(f));
    if let Some(field) = unreadable.filter(|_| plain.is_none() || output_type.is_some()) {
        let message =
            format!("field `{}` has type {}, which expressions cannot read", field.name(), field.data_type());
        return Err(vec![Problem::new("expr/unsupported", message, None)]);
    }
    let types: Vec<Ty> = input.fields().iter().map(|f| Ty::of_field(f)).collect();
    let shared: Arc<[Arc<str>]> = fields.iter().map(|f| Arc::from(f.as_str())).collect();
    let inferred = stacker::maybe_grow(stack, stack, || infer(&entry, &types, &shared, options.beam_compat));
    if !inferred.problems.is_empty() {
        return Err(inferred.problems);
    }
    let output = match (output_type, plain.and_then(|i| input.fields().get(i))) {
        (Some(schema), _) => declared_field(schema, "value").map_err(|p| vec![p])?,
        (None, Some(field)) => field.as_ref().clone(),
        (None, None) => inferred.ty.to_field("value"),
    };
    let plain_fields: Vec<Field> = input.fields().iter().map(|f| f.as_ref().clone()).collect();
    let vectorised = stacker::maybe_grow(stack, stack, || vector::plan(&entry, &plain_fields, &output));
    Ok(Program {
        source: source.to_owned(),
        names: shared,
        fields: plain_fields,
        columns: uses.columns,
        whole_row: uses.whole_row,
        plain: plain.filter(|_| output_type.is_none()),
        output,
        declared: output_type.map(shown_schema),
        inferred: inferred.ty,
        vector: vectorised,
        utc_only: false,
        condition: false,
        entry,
    })
}

/// As Python prints the schema.
fn shown_schema(schema: &serde_json::Value) -> String {
    let schema = match schema {
        serde_json::Value::String(kind) => serde_json::json!({ "type": kind }),
        other => other.clone(),
    };
    let shown = crate::json::parse(&schema.to_string()).and_then(|v| repr(&v));
    shown.unwrap_or_else(|_| schema.to_string())
}

impl Program {
    /// The type of the values and whether they may be null (beside rows that failed).
    pub fn field_type(&self) -> (DataType, bool) {
        (self.output.data_type().clone(), self.output.is_nullable())
    }

    /// The values as a field called `name`, with the mark of type Any where it has it.
    pub fn field(&self, name: impl Into<String>) -> Field {
        self.output.clone().with_name(name)
    }

    /// Whether the values' type is not known: they are JSON texts then (see [`crate::any_field`]).
    pub fn is_any(&self) -> bool {
        crate::any::is_any(&self.output)
    }

    /// The input columns that are read, ascending.
    pub fn columns(&self) -> Vec<usize> {
        self.columns.clone()
    }

    /// The column that the program is, if it is nothing more.
    pub fn as_plain_field(&self) -> Option<usize> {
        self.plain
    }

    /// How it runs: `column`, `vectorised` or `row by row`.
    pub fn describe(&self) -> String {
        match (self.plain, &self.vector) {
            (Some(_), _) => "column",
            (None, Some(_)) => "vectorised",
            (None, None) => "row by row",
        }
        .to_owned()
    }

    /// Computes one value per row. `batch` has the columns of the schema it was compiled against.
    pub fn eval(&self, batch: &RecordBatch, context: &RowContext) -> Evaluated {
        if let Some(column) = self.plain.and_then(|i| batch.columns().get(i)) {
            return Evaluated { values: Arc::clone(column), errors: Vec::new() };
        }
        let stack = crate::interp::STACK_SEGMENT;
        stacker::maybe_grow(stack, stack, || match &self.vector {
            Some(vector) => self.eval_vector(vector, batch, context),
            None => self.eval_rows(batch, context, None),
        })
    }

    /// Makes a datetime in another zone than UTC an error of its row, as Beam's timestamps do.
    pub fn require_utc(&mut self) {
        self.utc_only = true;
    }

    /// Gives the truth of values that have no type: a match, an object of any kind. Typed values stay what
    /// they are, for [`crate::truthy`].
    pub fn as_condition(&mut self) {
        if self.plain.is_none() && self.is_any() {
            self.output = Field::new("value", DataType::Boolean, false);
            self.inferred = Ty::of_field(&self.output);
            self.vector = None;
            self.condition = true;
        }
    }

    /// Row by row only; tests compare both ways.
    #[cfg(test)]
    pub(crate) fn eval_by_row(&self, batch: &RecordBatch, context: &RowContext) -> Evaluated {
        self.eval_rows(batch, context, None)
    }

    /// Column by column; rows that need more than that, or fail, are done again one by one.
    fn eval_vector(
        &self,
        vector: &vector::Vectorised,
        batch: &RecordBatch,
        context: &RowContext,
    ) -> Evaluated {
        let Some((values, left)) = vector.eval(batch) else { return self.eval_rows(batch, context, None) };
        if left.is_empty() {
            return Evaluated { values, errors: Vec::new() };
        }
        let again = self.eval_rows(batch, context, Some(&left));
        let mut picks: Vec<(usize, usize)> = (0..batch.num_rows()).map(|i| (0, i)).collect();
        for (i, row) in left.iter().enumerate() {
            if let Some(pick) = picks.get_mut(*row) {
                *pick = (1, i);
            }
        }
        match interleave(&[values.as_ref(), again.values.as_ref()], &picks) {
            Ok(values) => Evaluated { values, errors: again.errors },
            Err(_) => self.eval_rows(batch, context, None),
        }
    }

    /// Evaluates the given rows, or all.
    fn eval_rows(&self, batch: &RecordBatch, context: &RowContext, only: Option<&[usize]>) -> Evaluated {
        let count = only.map_or(batch.num_rows(), <[usize]>::len);
        let mut columns: Vec<Option<Column>> = Vec::new();
        columns.resize_with(self.names.len(), || None);
        for index in &self.columns {
            let (Some(array), Some(field)) = (batch.columns().get(*index), self.fields.get(*index)) else {
                continue;
            };
            match Column::new(array, field) {
                Ok(column) => {
                    if let Some(place) = columns.get_mut(*index) {
                        *place = Some(column);
                    }
                }
                Err(message) => return self.all_failed(batch, only, &Raise::new("TypeError", message)),
            }
        }
        let mut machine = Machine::new(&columns, Arc::clone(&self.names), context.now_micros);
        let start = match self.start(&mut machine) {
            Ok(start) => start,
            Err(raise) => return self.all_failed(batch, only, &raise),
        };
        let (mut values, mut errors) = (Vec::with_capacity(count), Vec::new());
        let mut bytes = 0_usize;
        for i in 0..count {
            let row = only.map_or(i, |rows| rows.get(i).copied().unwrap_or(i));
            machine.start_row(row);
            match self.row_value(&mut machine, &start).and_then(|value| fits(value, &mut bytes)) {
                Ok(value) => values.push(value),
                Err(raise) => {
                    values.push(Value::None);
                    errors.push(self.row_error(row, &raise));
                }
            }
        }
        machine.start_row(0);
        drop(start.frame.take());
        match build(&values, &self.output) {
            Ok(values) => Evaluated { values, errors },
            Err(e) => self.all_failed(batch, only, &Raise::new("MemoryError", e.to_string())),
        }
    }

    fn all_failed(&self, batch: &RecordBatch, only: Option<&[usize]>, raise: &Raise) -> Evaluated {
        let rows: Vec<usize> = only.map_or_else(|| (0..batch.num_rows()).collect(), <[usize]>::to_vec);
        let values = new_null_array(self.output.data_type(), rows.len());
        Evaluated { values, errors: rows.into_iter().map(|row| self.row_error(row, raise)).collect() }
    }

    /// Runs the module's code, if there is any.
    fn start(&self, machine: &mut Machine<'_>) -> Res<Start> {
        match &self.entry {
            Entry::Expression { slots, .. } => Ok(Start { frame: Frame::new(*slots, None), callee: None }),
            Entry::Callable { module, slots, callee } => {
                let frame = Frame::new(*slots, None);
                machine.start_row(0);
                machine.block(module, &frame)?;
                let callee = machine.eval(callee, &frame)?;
                Ok(Start { frame, callee: Some(callee) })
            }
        }
    }

    fn row_value(&self, machine: &mut Machine<'_>, start: &Start) -> Res<Value> {
        let value = match (&self.entry, &start.callee) {
            (Entry::Expression { body, .. }, _) => machine.eval(body, &start.frame)?,
            (Entry::Callable { .. }, Some(callee)) => {
                let row = if self.whole_row { machine.whole_row()? } else { Value::None };
                machine.call(callee, Args::of(vec![row]))?
            }
            (Entry::Callable { .. }, None) => Value::None,
        };
        self.stored(machine, value)
    }

    /// The value in the form that it is stored in.
    fn stored(&self, machine: &mut Machine<'_>, value: Value) -> Res<Value> {
        if self.utc_only
            && let Value::DateTime(d) = &value
            && d.zone.as_ref().is_some_and(|z| z.offset != 0)
        {
            return Err(Raise::new("ValueError", format!("{} not in UTC", d.iso("T"))));
        }
        let value = if self.condition { Value::Bool(value.truthy()) } else { value };
        conform(machine, value.clone(), &self.output).map_err(|misfit| match misfit {
            Misfit::Raise(raise) => raise,
            Misfit::Type => self.misfit(&value),
        })
    }

    fn misfit(&self, value: &Value) -> Raise {
        let shown = match text(value) {
            Ok(shown) if shown.chars().count() > 200 => shown.chars().take(200).chain("…".chars()).collect(),
            Ok(shown) => shown,
            Err(_) => value.type_name().to_owned(),
        };
        let message = match &self.declared {
            Some(schema) => format!("{shown} violates schema {schema}"),
            None => format!(
                "{shown} ({}) is not of the type inferred for this expression, {}: declare its output_type",
                value.type_name(),
                self.inferred.describe()
            ),
        };
        Raise::new("TypeError", message)
    }

    fn row_error(&self, row: usize, raise: &Raise) -> RowError {
        let exception = Value::Exception(raise.exception.clone());
        let message = repr(&exception).unwrap_or_else(|_| raise.exception.kind.to_owned());
        let at = usize::try_from(raise.at.unwrap_or(0)).unwrap_or(0).min(self.source.len());
        let before = self.source.get(..at).unwrap_or("");
        let line = before.matches('\n').count() + 1;
        let code = self.source.lines().nth(line - 1).unwrap_or("").trim();
        let kind = raise.exception.kind;
        let tail = match text(&exception) {
            Ok(detail) if !detail.is_empty() => format!("{kind}: {detail}"),
            _ => kind.to_owned(),
        };
        let file = match self.entry {
            Entry::Expression { .. } => "<expression>",
            Entry::Callable { .. } => "<callable>",
        };
        let stack = format!(
            "Traceback (most recent call last):\n  File \"{file}\", line {line}\n    {code}\n{tail}\n"
        );
        RowError { row, message, stack }
    }
}

/// Each row's memory is bounded, but many such rows are not: a batch's texts end where Arrow's arrays do.
fn fits(value: Value, bytes: &mut usize) -> Res<Value> {
    *bytes = bytes.saturating_add(match &value {
        Value::Str(s) => s.len(),
        Value::Bytes(b) => b.len(),
        Value::List(l) => l.0.borrow().len().saturating_mul(size_of::<Value>()),
        _ => 0,
    });
    if i32::try_from(*bytes).is_err() {
        return Err(Raise::new("MemoryError", "the values of the batch need more than 2 GiB"));
    }
    Ok(value)
}

/// What rows start from: the module's variables and the function.
struct Start {
    frame: std::rc::Rc<Frame>,
    callee: Option<Value>,
}

//! `MatchAll`: the files that patterns in rows name.

use crate::shared::path;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use purlin_api::shape::{is_any, physical, type_name};
use purlin_api::{
    Batch, BindCx, BuildCx, Entry, Error, ErrorKind, InputShape, More, OpCx, Operator, Output, OutputRole,
    PlanNode, Port, Result, Running, Shape, Transform,
};
use purlin_spec::config::{Spanned, wrong_kind};
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, Diagnostics, FromNode, Kind, Node, suggest};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

purlin_spec::config! {
    /// Gives a row for each file that a path or pattern in its input names, with `path`, `size_in_bytes` and
    /// `last_updated_in_seconds` (since 1970). Time and window are those of the input's row. Files are looked for
    /// while the job runs, when the row comes.
    ///
    /// Patterns are those of the readers: `*`, `?`, `[ab]` and `**`; hidden files do not match. A null names no file.
    /// A folder, or an address that is not local, fails the job.
    ///
    /// ```yaml
    /// - type: MatchAll
    ///   input: Patterns
    ///   config: {file_pattern: pattern, empty_match_treatment: ALLOW_IF_WILDCARD}
    /// ```
    pub struct MatchAll {
        /// The field with the pattern. It may be left out if the input has only one.
        pub file_pattern: Option<Spanned<String>>,
        /// What a pattern without files does: `ALLOW` (the default) gives no row, `DISALLOW` fails the job, and
        /// `ALLOW_IF_WILDCARD` fails it unless the pattern has a `*`.
        pub empty_match_treatment: Option<Empty>,
    }
}

/// What a pattern without files does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Empty {
    /// It gives no row.
    Allow,
    /// It fails the job.
    Disallow,
    /// It fails the job unless it has a `*`.
    AllowIfWildcard,
}

impl FromNode for Empty {
    fn kind() -> Kind {
        Kind::Word(&["ALLOW", "DISALLOW", "ALLOW_IF_WILDCARD"])
    }

    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        Some(match node.as_text() {
            Some("ALLOW") => Empty::Allow,
            Some("DISALLOW") => Empty::Disallow,
            Some("ALLOW_IF_WILDCARD") => Empty::AllowIfWildcard,
            _ => {
                wrong_kind(node, "`ALLOW`, `DISALLOW` or `ALLOW_IF_WILDCARD`", d);
                return None;
            }
        })
    }
}

/// Its catalogue entry.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "MatchAll",
            doc: MatchAll::doc(),
            inputs: Inputs::One,
            error_handling: false,
            fields: MatchAll::fields,
        },
        decode: |node, d| MatchAll::from_node(node, d).map(|t| Arc::new(t) as Arc<dyn Transform>),
    }
}

impl Transform for MatchAll {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let [input] = inputs else {
            let what = format!("`{}` takes one input, not {}", cx.label, inputs.len());
            cx.diagnostics.push(Diagnostic::error("input/count", cx.span, what));
            return None;
        };
        let column = self.column(&input.shape.schema, cx)?;
        let fields = vec![
            Field::new("path", DataType::Utf8, false),
            Field::new("size_in_bytes", DataType::Int64, false),
            Field::new("last_updated_in_seconds", DataType::Float64, true),
        ];
        let shape = input.shape.with_schema(Arc::new(Schema::new(fields)));
        let outputs = vec![Output { tag: "out".to_owned(), shape, role: OutputRole::Main }];
        Some(Arc::new(MatchNode {
            outputs,
            column,
            empty: self.empty_match_treatment.unwrap_or(Empty::Allow),
        }))
    }
}

impl MatchAll {
    /// The column of the patterns.
    fn column(&self, schema: &Schema, cx: &mut BindCx<'_>) -> Option<usize> {
        let names = || schema.fields().iter().map(|f| f.name().as_str());
        let mut refuse = |d: Diagnostic| {
            cx.diagnostics.push(d);
            None
        };
        let (at, span) = match &self.file_pattern {
            Some(name) => match names().position(|n| n == name.value) {
                Some(at) => (at, name.span),
                None => {
                    let text = format!("unknown field `{}`", name.value);
                    return refuse(
                        Diagnostic::error("name/unknown-field", name.span, text)
                            .label(format!("the input has: {}", suggest::listed(names())))
                            .maybe_help(suggest::did_you_mean(&name.value, names())),
                    );
                }
            },
            None if schema.fields().len() == 1 => (0, cx.span),
            None => {
                let text = format!("`{}` does not say which field has the pattern", cx.label);
                return refuse(
                    Diagnostic::error("config/missing-field", cx.span, text)
                        .label(format!("the input has: {}", suggest::listed(names())))
                        .help("add `file_pattern: FIELD`"),
                );
            }
        };
        let field = schema.field(at);
        if is_any(field) || !matches!(field.data_type(), DataType::Utf8 | DataType::Null) {
            let text = format!("field `{}` has no patterns: it is no text", field.name());
            return refuse(
                Diagnostic::error("match/not-text", span, text).label(format!("it is {}", type_name(field))),
            );
        }
        Some(at)
    }
}

#[derive(Debug)]
struct MatchNode {
    outputs: Vec<Output>,
    column: usize,
    empty: Empty,
}

impl PlanNode for MatchNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        "files by pattern".to_owned()
    }

    fn columns_needed(&self, _: &[Vec<bool>], inputs: &[Shape]) -> Vec<Vec<bool>> {
        let width = inputs.first().map_or(0, |s| s.schema.fields().len());
        vec![(0..width).map(|c| c == self.column).collect()]
    }

    fn build(&self, _: &BuildCx) -> Result<Running> {
        let output = self.outputs.first().ok_or_else(|| Error::internal("a match without an output"))?;
        let schema = physical(&output.shape.schema);
        let operator = MatchOperator { schema, column: self.column, empty: self.empty, pending: None };
        Ok(Running::Operator(Box::new(operator)))
    }
}

#[derive(Debug)]
struct MatchOperator {
    schema: SchemaRef,
    column: usize,
    empty: Empty,
    /// A batch and its next row.
    pending: Option<(Batch, usize)>,
}

/// Files found, and the row of each.
#[derive(Default)]
struct Found {
    parents: Vec<u32>,
    paths: Vec<String>,
    sizes: Vec<i64>,
    times: Vec<Option<f64>>,
}

impl MatchOperator {
    fn step(&mut self, cx: &mut OpCx) -> Result<More> {
        let Some((batch, mut row)) = self.pending.take() else { return Ok(More::No) };
        let column = batch.rows.columns().get(self.column);
        let patterns = column.ok_or_else(|| Error::internal("a match on a missing column"))?;
        let mut found = Found::default();
        while row < batch.len() && found.parents.len() < cx.rows_max.max(1) {
            let pattern = match patterns.data_type() {
                DataType::Utf8 if patterns.is_valid(row) => Some(patterns.as_string::<i32>().value(row)),
                _ => None,
            };
            let files = self.look(pattern, row, &mut found)?;
            cx.fates.in_state -= 1;
            *(if files == 0 { &mut cx.fates.filtered } else { &mut cx.fates.passed }) += 1;
            row += 1;
        }
        if !found.parents.is_empty() {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(StringArray::from(found.paths)),
                Arc::new(Int64Array::from(found.sizes)),
                Arc::new(Float64Array::from(found.times)),
            ];
            let rows = RecordBatch::try_new(self.schema.clone(), columns)?;
            cx.emit(0, batch.take(&UInt32Array::from(found.parents))?.with_rows(rows));
        }
        if row < batch.len() {
            self.pending = Some((batch, row));
            return Ok(More::Yes);
        }
        Ok(More::No)
    }

    /// Adds the files of a pattern; answers how many.
    fn look(&self, pattern: Option<&str>, row: usize, found: &mut Found) -> Result<usize> {
        let files = match pattern {
            Some("") | None => Vec::new(),
            Some(pattern) => path::find(pattern)?,
        };
        let shown = pattern.unwrap_or_default();
        let allowed = match self.empty {
            Empty::Allow => true,
            Empty::Disallow => false,
            Empty::AllowIfWildcard => shown.contains('*'),
        };
        if files.is_empty() && !allowed {
            let what =
                format!("found no files that match `{shown}`, which `empty_match_treatment` does not allow");
            return Err(Error::new(ErrorKind::Data, what));
        }
        for file in &files {
            let metadata = std::fs::metadata(&file.path).map_err(|e| Error::io("open", &file.path, e))?;
            let changed = metadata.modified().ok().map(|t| match t.duration_since(UNIX_EPOCH) {
                Ok(since) => since.as_secs_f64(),
                Err(e) => -e.duration().as_secs_f64(),
            });
            found.parents.push(row as u32);
            found.paths.push(file.path.clone());
            found.sizes.push(i64::try_from(metadata.len()).unwrap_or(i64::MAX));
            found.times.push(changed);
        }
        Ok(files.len())
    }
}

impl Operator for MatchOperator {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        cx.fates.in_state += batch.len() as u64;
        self.pending = Some((batch, 0));
        self.step(cx)
    }

    fn resume(&mut self, cx: &mut OpCx) -> Result<More> {
        self.step(cx)
    }
}

#[cfg(test)]
mod tests;

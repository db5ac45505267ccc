//! `Combine` in SQL: `SELECT keys, aggregates … GROUP BY keys`.
//!
//! Plain aggregates of expressions, and what is computed of them, run as any Combine does: no rows are kept, panes
//! and triggers work. What cannot be taken apart so (`count(DISTINCT x)`, `stddev(x)`, …) runs as a query over each
//! window when it ends.

use super::finish::Finish;
use super::value::Value;
use super::{Combine, Part, aggregated};
use crate::common::{find, names};
use crate::expressions::Compiled;
use crate::sql::{Column, diagnostic, per_window};
use arrow_schema::{Field, Schema};
use purlin_api::shape::physical;
use purlin_api::{BindCx, Distribution, InputShape, PlanNode};
use purlin_grouping::accumulate::AggregateFn;
use purlin_spec::config::Spanned;
use purlin_spec::types::{Code, Snippet};
use purlin_spec::{Diagnostic, suggest};
use purlin_sql::{Aggregates, PCOLLECTION, Problem, Query, SimpleFn};
use std::sync::Arc;

/// An output and its SQL.
struct Output<'a> {
    name: &'a Spanned<String>,
    sql: Snippet,
}

/// Binds a `Combine` in SQL.
pub(super) fn bind(
    combine: &Combine,
    keys: Vec<usize>,
    input: &InputShape,
    cx: &mut BindCx<'_>,
) -> Option<Arc<dyn PlanNode>> {
    let schema = &input.shape.schema;
    let outputs: Vec<Option<Output<'_>>> =
        combine.combine.0.iter().map(|(n, a)| output(combine, n, a, schema, cx)).collect();
    let outputs = outputs.into_iter().collect::<Option<Vec<_>>>()?;
    match taken_apart(&outputs, &keys, schema) {
        Ok(Some((parts, finish))) => aggregated(&input.shape, keys, parts, finish, cx),
        Ok(None) => whole(&outputs, keys, input, cx),
        Err(wrong) => {
            let (problem, snippet) = *wrong;
            cx.diagnostics.push(explained(diagnostic(problem, &snippet), schema, combine));
            None
        }
    }
}

/// Adds to a problem what is particular to aggregates.
fn explained(d: Diagnostic, schema: &Schema, combine: &Combine) -> Diagnostic {
    let field = d.message.strip_prefix("unknown column `").and_then(|m| m.strip_suffix('`'));
    match field.filter(|f| find(schema, f).is_some()) {
        Some(field) => {
            let keys: Vec<&str> = combine.group_by.0.iter().map(|k| k.value.as_str()).collect();
            let text = format!("column `{field}` is used outside of an aggregate, and is not in `group_by`");
            Diagnostic::error("combine/not-grouped", d.span.unwrap_or_default(), text)
                .label(format!("group_by: {}", suggest::listed(keys)))
                .help(format!("aggregate it, as in `max({field})`, or add it to `group_by`"))
        }
        None => d,
    }
}

/// The SQL of an output: what is written, or a function around a value.
fn output<'a>(
    combine: &Combine,
    name: &'a Spanned<String>,
    a: &super::config::Aggregate,
    schema: &Schema,
    cx: &mut BindCx<'_>,
) -> Option<Output<'a>> {
    combine.free(name, cx)?;
    if let Some(config) = &a.config {
        cx.diagnostics.push(
            Diagnostic::error("combine/fn-config", config.span, "a function in SQL has no `config`")
                .help("write it out: `n: \"approx_percentile_cont(x, 0.9)\"`"),
        );
        return None;
    }
    let function = &a.function;
    let (text, span) = match &a.value {
        Some(value) => {
            let Code::Expression(snippet) = &value.code else {
                cx.diagnostics.push(Diagnostic::error(
                    "sql/callable",
                    value.span,
                    "SQL has expressions, not functions of a row",
                ));
                return None;
            };
            (format!("{}({})", function.value, quoted_field(&snippet.text, schema)), snippet.span)
        }
        None if purlin_sql::is_aggregate(&function.value) && find(schema, &function.value).is_none() => {
            if find(schema, &name.value).is_none() {
                let text = format!("unknown field `{}`", name.value);
                cx.diagnostics.push(
                    Diagnostic::error("name/unknown-field", name.span, text)
                        .label(format!("the input has: {}", suggest::listed(names(schema))))
                        .help(format!(
                            "say what to aggregate: `{}: \"{}(FIELD)\"`",
                            name.value, function.value
                        )),
                );
                return None;
            }
            (format!("{}({})", function.value, identifier(&name.value)), function.span)
        }
        None => (function.value.clone(), function.span),
    };
    Some(Output { name, sql: Snippet { text, span } })
}

/// The bare name of a field is that field, whatever characters it has.
fn quoted_field(text: &str, schema: &Schema) -> String {
    if find(schema, text).is_some() { identifier(text) } else { text.to_owned() }
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

type Apart = Option<(Vec<Part>, Option<Finish>)>;

/// All outputs as plain aggregates, and what is computed of these.
fn taken_apart(
    outputs: &[Output<'_>],
    keys: &[usize],
    schema: &Schema,
) -> Result<Apart, Box<(Problem, Snippet)>> {
    let mut split = Vec::new();
    for (i, o) in outputs.iter().enumerate() {
        match Aggregates::split(&o.sql.text, &prefix(i), schema).map_err(|p| Box::new((p, o.sql.clone())))? {
            Some(s) => split.push(s),
            None => return Ok(None),
        }
    }
    let plain = split.iter().all(Aggregates::is_plain);
    let key_fields = keys.iter().filter_map(|k| schema.fields().get(*k).cloned());
    let mut fields: Vec<Arc<Field>> = key_fields.collect();
    let mut parts = Vec::new();
    for (i, (s, o)) in split.iter_mut().zip(outputs).enumerate() {
        for (n, simple) in std::mem::take(&mut s.simple).into_iter().enumerate() {
            let name = if plain { o.name.value.clone() } else { format!("{}{n}", prefix(i)) };
            let value = simple.value.map(|v| {
                match v.as_column().and_then(|at| Some((at, schema.fields().get(at)?))) {
                    Some((at, field)) => Compiled::column(at, field),
                    None => Compiled::sql(Column::new(v)),
                }
            });
            let field = value
                .as_ref()
                .map_or_else(|| Field::new(&name, arrow_schema::DataType::Int64, true), |v| v.field(&name));
            let Ok(function) = AggregateFn::resolve(own_name(simple.function), &field) else {
                return Ok(None);
            };
            let result = match simple.function {
                SimpleFn::Mean => arrow_schema::DataType::Float64,
                SimpleFn::Rows => arrow_schema::DataType::Int64,
                _ => field.data_type().clone(),
            };
            fields.push(Arc::new(Field::new(&name, result, true)));
            parts.push(Part { name, value: value.map(Value::Plain), function });
        }
    }
    if plain {
        return Ok(Some((parts, None)));
    }
    let results = Schema::new(fields);
    let mut columns: Vec<(String, Compiled)> = Vec::new();
    for (at, field) in results.fields().iter().take(keys.len()).enumerate() {
        columns.push((field.name().clone(), Compiled::column(at, field)));
    }
    for (s, o) in split.iter().zip(outputs) {
        let e = s.finish(&results).map_err(|p| Box::new((p, o.sql.clone())))?;
        let compiled = match e.as_column().and_then(|at| Some((at, results.fields().get(at)?))) {
            Some((at, field)) => Compiled::column(at, field),
            None => Compiled::sql(Column::new(e)),
        };
        columns.push((o.name.value.clone(), compiled));
    }
    Ok(Some((parts, Some(Finish::new(columns)))))
}

/// What the plain aggregates of an output are called inside.
fn prefix(output: usize) -> String {
    format!("__sql{output}_")
}

fn own_name(f: SimpleFn) -> &'static str {
    match f {
        SimpleFn::Sum => "sum",
        SimpleFn::Rows => "count",
        SimpleFn::Mean => "mean",
        SimpleFn::Min => "min",
        SimpleFn::Max => "max",
    }
}

/// The aggregation as one query, over each window.
fn whole(
    outputs: &[Output<'_>],
    keys: Vec<usize>,
    input: &InputShape,
    cx: &mut BindCx<'_>,
) -> Option<Arc<dyn PlanNode>> {
    let schema = &input.shape.schema;
    let keyed: Vec<String> =
        keys.iter().filter_map(|k| schema.fields().get(*k)).map(|f| identifier(f.name())).collect();
    let aggregates = outputs.iter().map(|o| format!("({}) AS {}", o.sql.text, identifier(&o.name.value)));
    let selected: Vec<String> = keyed.iter().cloned().chain(aggregates).collect();
    let mut text = format!("SELECT {} FROM {PCOLLECTION}", selected.join(", "));
    if !keyed.is_empty() {
        text = format!("{text} GROUP BY {}", keyed.join(", "));
    }
    let query = match Query::compile(&text, &[(PCOLLECTION.to_owned(), physical(schema))]) {
        Ok(query) => query,
        Err(mut problem) => {
            problem.at = None;
            let named =
                |o: &&Output<'_>| problem.unknown.as_ref().is_some_and(|u| o.sql.text.contains(&u.name));
            let snippet = outputs.iter().find(named).or(outputs.first()).map(|o| o.sql.clone())?;
            cx.diagnostics.push(diagnostic(problem, &snippet));
            return None;
        }
    };
    let distribution = if keys.is_empty() { Distribution::Single } else { Distribution::Keyed(keys) };
    per_window(query, std::slice::from_ref(input), distribution, cx)
}

//! An expression in SQL as a computed column.

use super::problems::diagnostic;
use crate::errors::Failure;
use crate::expressions::Compiled;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Schema, SchemaRef};
use purlin_api::shape::{nullable_type, physical};
use purlin_api::unite::fit;
use purlin_api::{BindCx, Error, EventTime, Result};
use purlin_expr::{Language, Options, Program, RowContext};
use purlin_spec::Diagnostic;
use purlin_spec::types::{Code, Expression};
use purlin_sql::Expression as Sql;
use std::sync::Arc;

/// A computed column.
#[derive(Debug)]
pub(crate) struct Column {
    sql: Arc<Sql>,
    /// Checks the values against the type that the author declared.
    declared: Option<Declared>,
}

#[derive(Debug)]
struct Declared {
    program: Program,
    schema: SchemaRef,
}

impl Column {
    pub(crate) fn new(sql: Sql) -> Self {
        Column { sql: Arc::new(sql), declared: None }
    }

    /// The field of its values; the name means nothing.
    pub(crate) fn field(&self) -> Field {
        match &self.declared {
            Some(d) => d.program.field("value"),
            None => self.sql.field().clone(),
        }
    }

    /// The columns of the input it reads.
    pub(crate) fn columns(&self) -> Vec<usize> {
        self.sql.columns()
    }

    /// For `explain`.
    pub(crate) fn text(&self) -> &str {
        self.sql.text()
    }

    /// Its value for each row; rows that fail are pushed to `failures`, and null in the result.
    pub(crate) fn eval(
        &self,
        rows: &RecordBatch,
        now: EventTime,
        failures: &mut Vec<Failure>,
    ) -> Result<ArrayRef> {
        let present = (now > EventTime::MIN).then_some(now.0);
        let evaluated = self.sql.evaluate(rows, present).map_err(Error::internal)?;
        let before = failures.len();
        failures.extend(evaluated.errors.into_iter().map(|e| {
            let stack = format!("in the SQL expression\n  {}\nSqlError: {}\n", self.sql.text(), e.message);
            Failure { stack, ..Failure::raised(e.row, "SqlError", &e.message) }
        }));
        let Some(declared) = &self.declared else { return Ok(evaluated.values) };
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let values =
            RecordBatch::try_new_with_options(declared.schema.clone(), vec![evaluated.values], &options)?;
        let checked = declared.program.eval(&values, &RowContext { now_micros: present });
        let failed: Vec<usize> = failures.iter().skip(before).map(|f| f.row).collect();
        let misfits = checked.errors.into_iter().filter(|e| !failed.contains(&e.row));
        failures.extend(misfits.map(|e| Failure { row: e.row, message: e.message, stack: e.stack }));
        fit(&checked.values, &nullable_type(declared.program.field("value").data_type()))
    }
}

/// Compiles an expression, or pushes what is wrong with it.
pub(crate) fn compile(expression: &Expression, input: &Schema, cx: &mut BindCx<'_>) -> Option<Compiled> {
    let Code::Expression(snippet) = &expression.code else {
        cx.diagnostics.push(
            Diagnostic::error("sql/callable", expression.span, "SQL has expressions, not functions of a row")
                .help("write `expression: …`, or use `language: python` for a callable"),
        );
        return None;
    };
    let sql = match Sql::compile(&snippet.text, input) {
        Ok(sql) => sql,
        Err(problem) => {
            cx.diagnostics.push(diagnostic(problem, snippet));
            return None;
        }
    };
    if let (Some(at), None) = (sql.as_column(), &expression.output_type)
        && let Some(field) = input.fields().get(at)
    {
        return Some(Compiled::column(at, field));
    }
    let mut column = Column::new(sql);
    if let Some(declared) = &expression.output_type {
        column.declared = Some(declare(&declared.to_json(), &column, expression, cx)?);
    }
    Some(Compiled::sql(column))
}

/// What checks values against a declared type: the language of plain names, which does that already.
fn declare(t: &serde_json::Value, column: &Column, e: &Expression, cx: &mut BindCx<'_>) -> Option<Declared> {
    let given = Schema::new(vec![column.sql.field().clone().with_name("value")]);
    let code = purlin_expr::Code::Expression("value");
    let options = Options { beam_compat: cx.beam_compat };
    match purlin_expr::compile(Language::Python, code, &given, Some(t), &options) {
        Ok(program) => Some(Declared { program, schema: physical(&given) }),
        Err(problems) => {
            for p in problems {
                let mut d = Diagnostic::error(p.code, e.span, p.message);
                d.help = p.help;
                cx.diagnostics.push(d);
            }
            None
        }
    }
}

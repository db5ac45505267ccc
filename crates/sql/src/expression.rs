//! One SQL expression over the columns of a row.

use crate::problem::Problem;
use crate::rowwise::{Evaluated, RowQuery};
use crate::{PCOLLECTION, guard, parse, plan, spell};
use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema, SchemaRef};
use sqlparser::ast::{Expr, Ident, SelectItem, SetExpr};
use std::sync::Arc;

/// An expression, checked against the columns that it is over.
#[derive(Debug)]
pub struct Expression {
    text: String,
    query: RowQuery,
}

impl Expression {
    /// Checks `text` against the columns of a row. The row may be called `PCOLLECTION`.
    ///
    /// # Errors
    /// What is wrong with it: syntax, unknown names, types that do not fit.
    pub fn compile(text: &str, input: &Schema) -> Result<Self, Problem> {
        guard::planning(|| {
            let parsed = parse::expression(text)?;
            Expression::of(parsed, text, input)
        })
    }

    /// Checks a parsed expression, whose places are those of `text`.
    pub(crate) fn of(mut parsed: Expr, text: &str, input: &Schema) -> Result<Self, Problem> {
        spell::expression(&mut parsed)?;
        let tables = [(PCOLLECTION.to_owned(), all_nullable(input))];
        let plan = plan::analyzed(selecting(parsed)?, text, &tables)?;
        let plan = plan::simplified(plan, text)?;
        let Some(query) = RowQuery::of(&plan, &tables, text)? else {
            return Err(Problem::new("sql/not-a-row-expression", "this expression needs more than the row")
                .help(
                    "aggregates belong into a Combine, subqueries and window functions into a Sql transform",
                ));
        };
        Ok(Expression { text: one_line(text), query })
    }

    /// The same with another text to show.
    #[must_use]
    pub(crate) fn shown_as(mut self, text: &str) -> Self {
        self.text = one_line(text);
        self
    }

    /// The field of its values; its name means nothing.
    pub fn field(&self) -> &Field {
        // A query that selects one expression has one column.
        self.query.schema().field(0)
    }

    /// The columns it reads.
    pub fn columns(&self) -> Vec<usize> {
        self.query.reads().iter().enumerate().filter_map(|(i, read)| read.then_some(i)).collect()
    }

    /// The column that it merely moves.
    pub fn as_column(&self) -> Option<usize> {
        self.query.moves(0)
    }

    /// Its text on one line.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its value for each row. `now` is the present, in microseconds since 1970.
    ///
    /// # Errors
    /// Rows that are not those it was compiled for.
    pub fn evaluate(&self, rows: &RecordBatch, now: Option<i64>) -> Result<Evaluated, String> {
        self.query.evaluate(rows, now)
    }
}

/// Text on one line, for people.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Rows may have nulls wherever they are not read.
pub(crate) fn all_nullable(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(
        schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect::<Vec<_>>(),
    ))
}

fn selecting(e: Expr) -> Result<sqlparser::ast::Query, Problem> {
    let mut query = parse::query(&format!("SELECT NULL FROM {PCOLLECTION}"))?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.projection = vec![SelectItem::ExprWithAlias { expr: e, alias: Ident::new("value") }];
    }
    Ok(query)
}

//! SQL: expressions in `language: sql`, and the `Sql` transform.
//!
//! What SQL means is said in `purlin-sql`; here it meets configs, windows and the ledger. Without the feature `sql`
//! the same things exist, and refuse.

#[cfg(not(feature = "sql"))]
mod absent;
#[cfg(feature = "sql")]
mod column;
#[cfg(feature = "sql")]
mod node;
#[cfg(feature = "sql")]
mod problems;
#[cfg(all(test, feature = "sql"))]
mod property;
#[cfg(feature = "sql")]
mod rows;
#[cfg(all(test, feature = "sql"))]
mod tests;
#[cfg(feature = "sql")]
mod windows;

#[cfg(not(feature = "sql"))]
pub(crate) use absent::{Column, bind, compile};
#[cfg(feature = "sql")]
pub(crate) use column::{Column, compile};
#[cfg(feature = "sql")]
pub(crate) use node::{bind, per_window};
#[cfg(feature = "sql")]
pub(crate) use problems::diagnostic;

use crate::expressions::Compiled;
use arrow_schema::DataType;
use purlin_api::shape::type_name;
use purlin_api::{BindCx, Entry, InputShape, PlanNode, Transform};
use purlin_spec::config::Spanned;
use purlin_spec::types::Expression;
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, FromNode, Span};
use std::sync::Arc;

purlin_spec::config! {
    /// Runs a query over its inputs: per window, if the rows are windowed.
    ///
    /// The SQL is Calcite's, as in Beam. An only input is the table `PCOLLECTION`; if `input` is a mapping, its
    /// keys are the tables. Names of tables and columns are case-sensitive, and may be put in `"double quotes"` or
    /// in backticks.
    ///
    /// A query over one table without aggregates, `ORDER BY`, `DISTINCT`, window functions or subqueries runs as
    /// rows come, and each row keeps its time and window. Any other query waits until a window is over and
    /// runs over all its rows; its results have the last millisecond of the window as their time. So all inputs
    /// need the same windows, and an input without an end needs windows. Without rows there is no result, not
    /// even of `count(*)`. All rows of a window are kept and queried in one lane; a Combine or a Join
    /// that says the same uses all of them, and a Combine keeps no rows.
    ///
    /// The result is the same however the rows arrive: where a query leaves the order open, rows are taken in
    /// the order of their values.
    ///
    /// ```yaml
    /// - type: Sql
    ///   input: {o: Orders, c: Customers}
    ///   windowing: {type: fixed, size: 1h}
    ///   config:
    ///     query: |
    ///       SELECT c.country, COUNT(*) AS orders, SUM(o.price * o.quantity) AS revenue
    ///       FROM o JOIN c ON o.customer_id = c.id
    ///       GROUP BY c.country
    /// ```
    ///
    /// An integer that overflows, a division by zero and a cast that cannot be done fail the run. Sums of
    /// decimals are exact; decimals leave the query as floats. The guide says more about
    /// [SQL](../guide/sql.md).
    pub struct Sql {
        /// The query: `SELECT …`, with `WITH`, `JOIN`, `UNION`, subqueries and window functions.
        pub query: Spanned<String>,
    }
}

/// What the catalogue knows of it.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "Sql",
            doc: Sql::doc(),
            inputs: Inputs::Named,
            error_handling: false,
            fields: Sql::fields,
        },
        decode: |node, d| Sql::from_node(node, d).map(|t| Arc::new(t) as Arc<dyn Transform>),
    }
}

impl Transform for Sql {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        if inputs.is_empty() {
            cx.diagnostics.push(
                Diagnostic::error("input/missing", cx.span, format!("`{}` has no input", cx.label))
                    .help("add `input: NAME`, or `input: {table: NAME, …}`"),
            );
            return None;
        }
        built_in(cx.type_span, cx).then(|| bind(self, inputs, cx)).flatten()
    }
}

/// True if this program was built with SQL; else says so.
pub(crate) fn built_in(span: Span, cx: &mut BindCx<'_>) -> bool {
    let there = cfg!(feature = "sql");
    if !there {
        cx.diagnostics.push(
            Diagnostic::error("sql/not-built", span, "this build of Purlin has no SQL")
                .help("build it with `--features sql`, which is the default"),
        );
    }
    there
}

/// True if an expression in SQL is a condition; else says so.
pub(crate) fn is_condition(compiled: &Compiled, written: &Expression, cx: &mut BindCx<'_>) -> bool {
    let is = matches!(compiled.data_type(), DataType::Boolean | DataType::Null) && !compiled.is_any();
    if !is {
        let text =
            format!("a condition in SQL must be a boolean, not {}", type_name(&compiled.field("keep")));
        cx.diagnostics.push(
            Diagnostic::error("sql/condition", written.span, text)
                .help("compare it: `x <> 0`, `x IS NOT NULL`"),
        );
    }
    is
}

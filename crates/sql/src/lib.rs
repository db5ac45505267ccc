//! SQL over Arrow record batches.
//!
//! [`Expression`] is the value of one SQL expression for each row of a batch; [`Query`] is a query over named
//! tables. Both are checked and planned once, against schemas, and then run over batches. Planning and running
//! are DataFusion's; what people write is Calcite's SQL as Beam takes it (`spell`), with Calcite's answers where
//! DataFusion's differ: integers that overflow and divisions by zero are errors of their row.
//!
//! **Invariants.** Nothing but a query can be planned: no statement that changes something, no file and no
//! address can be named (there are no table functions, and the only tables are those that were given). A result
//! depends on the rows alone: no clock is read (`CURRENT_TIMESTAMP` is what the caller says), no thread is
//! started, and an error of a row is found for that row alone, however rows are put in batches.

mod aggregates;
mod arithmetic;
mod expression;
mod functions;
mod guard;
mod lazy;
mod output;
mod parse;
mod physical;
mod plan;
mod problem;
mod provider;
mod query;
mod rowwise;
mod spell;
mod temporal;
#[cfg(test)]
mod tests;

pub use aggregates::{Aggregates, Simple, SimpleFn, is_aggregate};
pub use expression::Expression;
pub use problem::{Place, Problem, Unknown};
pub use query::Query;
pub use rowwise::{Evaluated, RowError, RowQuery, Selected};

/// The table that an only input is called.
pub const PCOLLECTION: &str = "PCOLLECTION";

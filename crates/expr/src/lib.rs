//! The expression languages inside Beam YAML pipelines: *generic* (a field, a literal, one comparison) and
//! *python* (expressions, lambdas and simple functions), compiled against the input's schema.
//!
//! [`compile`] resolves names and types before any data flows; [`Program::eval`] computes one value per row
//! of a batch, with CPython's semantics: a row that raises gives an error with CPython's text. Simple
//! programs run column by column, all others row by row; both give the same values.

mod any;
mod arrow;
mod builtins;
mod generic;
mod infer;
mod interp;
mod ir;
mod json;
mod problem;
mod program;
mod ptransform;
mod python;
mod regex;
mod types;
mod value;
mod vector;
mod wire;

#[cfg(test)]
mod tests;

pub use any::{any_field, is_any};
pub use problem::{Problem, nearest};
pub use program::outside;
pub use program::{Code, Evaluated, Language, Options, Program, RowContext, RowError, compile};
pub use ptransform::{Elementwise, Form, Mapped, elementwise};
pub use vector::{truthy, truthy_any};

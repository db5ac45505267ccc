//! Column by column: the common expressions over numbers, truth values and texts.
//!
//! Rows that would raise, or need more than 64 bits, are not decided here but left to the interpreter, so both
//! ways give the same values and the same errors.

mod eval;
mod kernel;
mod plan;
mod truth;

use std::sync::Arc;

use arrow_array::{Array as _, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field};

pub(crate) use plan::plan;
pub use truth::{truthy, truthy_any};

use crate::ir::{Binary, Compare};

/// A program in its vectorised form.
#[derive(Debug)]
pub(crate) struct Vectorised {
    root: Node,
    fields: Vec<(usize, Field)>,
    output: DataType,
    nullable: bool,
}

/// What a node gives, beside None.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Only None.
    None,
    Bool,
    Int,
    Float,
    Str,
}

#[derive(Debug)]
enum Node {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Arc<str>),
    Column(usize),
    Arithmetic(Binary, Box<Node>, Box<Node>, Kind),
    Concat(Vec<Node>),
    Compare(Compare, Box<Node>, Box<Node>),
    Contains(Box<Node>, Box<Node>),
    IsNone(Box<Node>),
    Not(Box<Node>),
    /// Short-circuit with values: `true` for `and`.
    Logic(bool, Box<Node>, Box<Node>),
    If(Box<Node>, Box<Node>, Box<Node>),
    Apply(Apply, Box<Node>),
    /// Starts or ends with a text.
    Affix(bool, Box<Node>, Box<Node>),
    /// An integer where a float is stored.
    Widen(Box<Node>),
}

/// Functions of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Apply {
    Negate,
    Absolute,
    Round,
    ToInt,
    ToFloat,
    ToText,
    ToBool,
    Length,
    Upper,
    Lower,
    Strip,
    StripLeft,
    StripRight,
}

impl Vectorised {
    /// The values, and the rows that the interpreter must do. `None` if a column has an unexpected layout.
    pub(crate) fn eval(&self, batch: &RecordBatch) -> Option<(ArrayRef, Vec<usize>)> {
        let rows = batch.num_rows();
        let mut run = eval::Run::new(batch, &self.fields, rows)?;
        let vector = run.node(&self.root);
        if run.too_large {
            return None;
        }
        let values = vector.store(rows, &self.output)?;
        let mut trouble = run.trouble;
        if !self.nullable && values.null_count() > 0 {
            for (row, flag) in trouble.iter_mut().enumerate() {
                *flag |= values.is_null(row);
            }
        }
        // Mostly there is none: that is told by whole blocks.
        if !trouble.iter().fold(false, |any, t| any | t) {
            return Some((values, Vec::new()));
        }
        let left = trouble.iter().enumerate().filter(|(_, t)| **t).map(|(i, _)| i).collect();
        Some((values, left))
    }
}

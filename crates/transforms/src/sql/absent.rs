//! In place of SQL, in a program that was built without it.

use super::Sql;
use crate::errors::Failure;
use crate::expressions::Compiled;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Field, Schema};
use purlin_api::{BindCx, EventTime, InputShape, PlanNode, Result};
use purlin_spec::types::Expression;
use std::sync::Arc;

/// A computed column, of which there are none.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Column {}

impl Column {
    pub(crate) fn field(&self) -> Field {
        match *self {}
    }

    pub(crate) fn columns(&self) -> Vec<usize> {
        match *self {}
    }

    pub(crate) fn text(&self) -> &str {
        match *self {}
    }

    pub(crate) fn eval(&self, _: &RecordBatch, _: EventTime, _: &mut Vec<Failure>) -> Result<ArrayRef> {
        match *self {}
    }
}

/// Refuses.
pub(crate) fn compile(e: &Expression, _: &Schema, cx: &mut BindCx<'_>) -> Option<Compiled> {
    super::built_in(e.span, cx);
    None
}

/// Refuses.
pub(crate) fn bind(_: &Sql, _: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
    super::built_in(cx.type_span, cx);
    None
}

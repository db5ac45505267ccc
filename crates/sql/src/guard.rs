//! Room on the stack, and a net under DataFusion.

use crate::problem::Problem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Stack for planning: each of the operators that `parse` lets through may be a level of a recursion whose frames
/// are large without optimisation. The system gives pages only as they are touched.
const PLANNING_BYTES: usize = 256 << 20;
/// Stack for running, for each operator of a text, and what is there at least.
const OPERATOR_BYTES: usize = 24 << 10;
const LEAST_BYTES: usize = 256 << 10;

/// How much stack the expressions of a text need to be run or dropped.
pub(crate) fn room(text: &str) -> usize {
    LEAST_BYTES + OPERATOR_BYTES * crate::parse::operators(text)
}

/// Plans something. A panic of the planner becomes a problem.
pub(crate) fn planning<T>(plan: impl FnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
    // The recursions of planning are walked on a stack of their own once, not grown at every level.
    let planned =
        stacker::maybe_grow(PLANNING_BYTES / 2, PLANNING_BYTES, || catch_unwind(AssertUnwindSafe(plan)));
    planned.unwrap_or_else(|panic| {
        Err(Problem::new("sql/planner", format!("the SQL planner gave up: {}", said(panic.as_ref()))))
    })
}

/// Runs something with this much stack. A panic of a kernel becomes an error's text.
pub(crate) fn running<T>(room: usize, run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let ran = stacker::maybe_grow(room, room.max(2 << 20), || catch_unwind(AssertUnwindSafe(run)));
    ran.unwrap_or_else(|panic| Err(format!("the SQL engine gave up: {}", said(panic.as_ref()))))
}

/// Runs something that plans and runs.
pub(crate) fn planning_and_running<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    running(PLANNING_BYTES, run)
}

/// Drops something that is as deep as its text has operators.
pub(crate) fn dropped<T>(room: usize, deep: T) {
    stacker::maybe_grow(room, room.max(2 << 20), || drop(deep));
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text =
        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("for a reason that it did not say").to_owned()
}

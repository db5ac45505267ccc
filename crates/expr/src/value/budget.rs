//! The work of walking values: comparing, hashing.
//!
//! A tuple may hold another one twice, and that one a third twice: forty of them are walked in hours. What walks
//! values has no evaluator at hand, so its steps are counted by thread, anew for each row.

use std::cell::Cell;

use super::{Raise, Res};

/// Values that may be walked for one row: about a second of work.
const WALKED_MAX: u64 = 20_000_000;

thread_local! {
    static WALKED: Cell<u64> = const { Cell::new(0) };
}

/// Another row begins on this thread.
pub(crate) fn start_row() {
    WALKED.set(0);
}

/// Counts one value, and the bytes of it that are looked at.
pub(super) fn walk(bytes: usize) -> Res<()> {
    let walked =
        WALKED.get().saturating_add(1).saturating_add(u64::try_from(bytes >> 10).unwrap_or(u64::MAX));
    WALKED.set(walked);
    if walked > WALKED_MAX {
        return Err(Raise::limit("TimeoutError", format!("the row compared more than {WALKED_MAX} values")));
    }
    Ok(())
}

//! State that outlives a process: the tables of a transform.
//!
//! An operator that remembers anything from one call to the next keeps it in *tables* and declares them
//! ([`Operator::tables`](crate::Operator::tables)). The runner saves and restores them; no operator does. A table is
//! what the log of its changes makes of it: rows of a fixed schema that are applied in order to an empty one. A *whole*
//! log makes the table from nothing, a partial one brings it from the last barrier to this one.
//!
//! Every row of the log belongs to a key slot ([`crate::key`]), so that a restored job may have other lanes: each lane
//! is given the rows of its slots. What belongs to no key (the state of a transform that runs in one lane, a counter)
//! is put into a slot of the lane that saves it: [`own_slot`].
//!
//! | table | holds |
//! |---|---|
//! | [`Entries`] | values by key |
//! | [`KeptRows`] | rows that wait |
//! | [`LaneCell`] | one small value a lane, such as a count |

mod cell;
mod columns;
mod entries;
mod names;
mod rows;
mod slots;

pub use cell::LaneCell;
pub use columns::{Columns, int_lists, ints, read_int_lists, read_ints, window_key};
pub use columns::{read_windows, window_columns, window_fields};
pub use entries::Entries;
pub use names::numbered;
pub use rows::{InWindow, KeptRows, PartId, Place};
pub use slots::{KeySlots, RowSlots};

use crate::error::{Error, Result};
use crate::key::{self, KEY_SLOTS};
use arrow_array::{BooleanArray, RecordBatch, UInt16Array};
use arrow_schema::SchemaRef;

/// Rows of a table's log, each with its key slot.
#[derive(Clone, Debug)]
pub struct StateRows {
    /// The key slot of each row, less than [`KEY_SLOTS`].
    pub slots: UInt16Array,
    /// As many rows, of the table's schema.
    pub rows: RecordBatch,
}

impl StateRows {
    /// Puts rows and their slots together.
    ///
    /// # Errors
    /// If they are not equally many: a bug of the table.
    pub fn new(slots: Vec<u16>, rows: RecordBatch) -> Result<Self> {
        if slots.len() != rows.num_rows() || slots.iter().any(|s| *s >= KEY_SLOTS) {
            return Err(Error::internal(format!(
                "{} slots for {} rows of state",
                slots.len(),
                rows.num_rows()
            )));
        }
        Ok(StateRows { slots: slots.into(), rows })
    }

    /// The rows of the slots of one lane.
    ///
    /// # Errors
    /// If rows cannot be taken: a bug.
    pub fn of_lane(&self, lane: usize, lanes: usize) -> Result<StateRows> {
        let mine = |slot: u16| key::lane(slot, lanes) == lane;
        if self.slots.values().iter().all(|s| mine(*s)) {
            return Ok(self.clone());
        }
        let keep: BooleanArray = self.slots.values().iter().map(|s| Some(mine(*s))).collect();
        let slots = self.slots.values().iter().copied().filter(|s| mine(*s)).collect::<Vec<_>>();
        StateRows::new(slots, arrow_select::filter::filter_record_batch(&self.rows, &keep)?)
    }

    /// All rows in one slot.
    pub fn in_slot(slot: u16, rows: RecordBatch) -> Self {
        StateRows { slots: vec![slot.min(KEY_SLOTS - 1); rows.num_rows()].into(), rows }
    }
}

/// How much of a table is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// What has changed since it was last asked, or restored. A table may answer with all of it.
    Changes,
}

/// What a table answers.
#[derive(Clone, Debug)]
pub struct Saved {
    /// What was answered. [`Extent::Whole`] replaces everything saved before.
    pub extent: Extent,
    /// The log, in order. Empty if nothing has changed.
    pub log: Vec<StateRows>,
}

/// A table of state.
///
/// ```text
///  new --> apply* --> [ changes of the owner ]* --> save(Whole) --> [ changes ]* --> save(Changes) --> ...
/// ```
///
/// **Constraints.** `save` sees what all calls to the owner so far have done, costs no more than it answers, and does
/// not touch the disk. Until `save` is called for the first time nothing needs to be noted of what has changed, so that
/// a job without checkpoints pays nothing. What is applied makes the table as it was, whatever lanes there were then.
pub trait StateTable {
    /// Its name, which tells it from the other tables of the transform and stays the same for ever.
    fn name(&self) -> &'static str;

    /// The schema of its log. It is part of the format of what is stored.
    fn schema(&self) -> SchemaRef;

    /// Its log.
    ///
    /// # Errors
    /// If state cannot be expressed as rows: a bug.
    fn save(&mut self, extent: Extent) -> Result<Saved>;

    /// Applies rows of a log, in order. Rows of one slot come in the order in which they were saved.
    ///
    /// # Errors
    /// If the rows make no sense.
    fn apply(&mut self, rows: &StateRows) -> Result<()>;
}

/// A key slot that belongs to this lane.
pub fn own_slot(lane: usize, lanes: usize) -> u16 {
    (0..KEY_SLOTS).find(|slot| key::lane(*slot, lanes) >= lane).unwrap_or(KEY_SLOTS - 1)
}

/// When a log of changes has more rows than this, and [`STALE_TIMES`] as many as the table, the table answers with
/// all of it: else what is stored would grow for ever.
const STALE_ROWS: usize = 4096;
const STALE_TIMES: usize = 3;

/// True if a table of `live` rows should answer with all of them rather than with `changes` more rows behind the
/// `logged` ones since it last did.
fn is_stale(live: usize, logged: usize, changes: usize) -> bool {
    logged.saturating_add(changes) > live.saturating_mul(STALE_TIMES).saturating_add(STALE_ROWS)
}

/// Rows that one piece of a log has at most, about.
const LOG_ROWS: usize = 1 << 16;

/// What a transform's state means, for finding out whether state that was saved fits a file that has been changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateShape {
    /// All that must be the same for old state to mean the same, in words: `group by customer (text); sum(amount
    /// decimal); windows fixed 30s; …`. No settings that may change freely, such as limits.
    pub means: String,
}

impl StateShape {
    /// State that means this.
    pub fn new(means: impl Into<String>) -> Self {
        StateShape { means: means.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lane_owns_a_slot() {
        for lanes in [1, 2, 3, 7, 64, 1000] {
            for lane in 0..lanes {
                assert_eq!(key::lane(own_slot(lane, lanes), lanes), lane, "{lane} of {lanes}");
            }
        }
    }
}

//! The ids of the messages that a lane has given, as a table that checkpoints keep. Pure.
//!
//! What a checkpoint holds of a message is in it once: its rows, and here its id. If the process dies before the
//! message is acknowledged it comes again, and is known. What was given after the barrier is lost with the
//! process, is not in the table, and is given again.
//!
//! **How long.** An id is remembered until its message is acknowledged (the service has answered), and for
//! [`HORIZON_US`] after that; of acknowledged ones at most [`IDS_MAX`]. After a restart the time counts anew, as no
//! time passes for messages while nobody reads. Messages of the checkpoint of which it is not known that they were
//! acknowledged are *owed*: they are remembered until they come, for a day.
//!
//! **Copies** are remembered, and acknowledged, with the epoch *after* the one in which they come: the lane that gave the
//! first one may be an epoch ahead, and until that epoch is in a checkpoint its message must come again and be new.
//!
//! **The log.** A row for each epoch in which messages were given, with the ids one behind the other; each row says how far the
//! lane has acknowledged. What is forgotten by age or number is not logged: `restored` forgets it by the same rule.

use super::seen::Seen;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, BinaryArray, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use purlin_api::state::{Extent, Saved, StateRows, StateTable};
use purlin_api::{Error, Result};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

/// How long ids are remembered after their messages were acknowledged, in microseconds: ten minutes, as Beam says.
pub(super) const HORIZON_US: i64 = 600_000_000;
/// Ids of acknowledged messages that are remembered at most, by all lanes together; some 50 bytes each.
pub(super) const IDS_MAX: usize = 1_000_000;
/// How long owed messages are waited for: a backlog may come before them.
const OWED_US: i64 = 86_400_000_000;
/// Stands for the epoch of what is owed: none that will be acknowledged.
const OWED_EPOCH: i64 = i64::MAX;
const ID_BYTES: usize = 16;

/// The ids of one epoch.
#[derive(Debug)]
struct Mark {
    epoch: u64,
    /// When its barrier passed, in microseconds since 1970.
    at: i64,
    /// Where it ends, counted from the first id ever.
    end: u64,
    acknowledged_at: Option<i64>,
}

/// A row that is being restored.
#[derive(Debug)]
struct Filled {
    slot: u16,
    epoch: i64,
    at: i64,
    ids: Vec<u128>,
}

/// A row to be saved: epoch, time, ids.
type Logged = (i64, i64, Vec<u8>);

/// What one lane remembers.
#[derive(Debug)]
pub(super) struct Given {
    slot: u16,
    ids_max: usize,
    ids: VecDeque<u128>,
    /// Copies since the last barrier.
    copies: Vec<u128>,
    /// Those before it.
    returned: Vec<u128>,
    /// How many were forgotten: the place of the first of `ids`, counted from the first ever.
    gone: u64,
    marks: VecDeque<Mark>,
    owed: HashSet<u128, ahash::RandomState>,
    owed_until: i64,
    /// The last epoch that is known to be acknowledged.
    acknowledged: u64,
    /// Where what was saved ends, and what it says was acknowledged; `None`: nothing was saved yet.
    saved: Option<(u64, u64)>,
    filled: Vec<Filled>,
    /// What the rows say was acknowledged, by slot: lanes of then.
    filled_acknowledged: BTreeMap<u16, i64>,
}

impl Given {
    /// Nothing given yet. `slot` belongs to the lane.
    pub(super) fn new(slot: u16, ids_max: usize) -> Self {
        Given {
            slot,
            ids_max: ids_max.max(1),
            ids: VecDeque::new(),
            copies: Vec::new(),
            returned: Vec::new(),
            gone: 0,
            marks: VecDeque::new(),
            owed: HashSet::default(),
            owed_until: 0,
            acknowledged: 0,
            saved: None,
            filled: Vec::new(),
            filled_acknowledged: BTreeMap::new(),
        }
    }

    /// A message is given or, if this answers false, is a copy of one that was.
    pub(super) fn give(&mut self, id: u128, seen: &mut Seen) -> bool {
        let is_new = seen.add(id);
        if is_new {
            self.ids.push_back(id);
        } else {
            self.copies.push(id);
        }
        is_new
    }

    /// What was given since the last barrier belongs to this epoch, and copies to the next.
    pub(super) fn barrier(&mut self, epoch: u64, now: i64, seen: &mut Seen) {
        let end = self.gone + self.ids.len() as u64;
        if self.sealed() < end {
            self.marks.push_back(Mark { epoch, at: now, end, acknowledged_at: None });
        }
        // Copies of the epoch before are in this one, and remembered from now on as any other id.
        for id in std::mem::take(&mut self.returned) {
            if self.owed.remove(&id) {
                seen.remove(id);
            }
        }
        self.ids.extend(&self.copies);
        self.returned = std::mem::take(&mut self.copies);
        self.forget(now, seen);
    }

    fn sealed(&self) -> u64 {
        self.marks.back().map_or(self.gone, |m| m.end)
    }

    /// The service has answered that all messages of epochs up to this one are acknowledged.
    pub(super) fn acknowledged(&mut self, epoch: u64, now: i64) {
        self.acknowledged = self.acknowledged.max(epoch);
        for mark in self.marks.iter_mut().filter(|m| m.epoch <= epoch) {
            mark.acknowledged_at.get_or_insert(now);
        }
    }

    /// Forgets what need not be remembered any more.
    fn forget(&mut self, now: i64, seen: &mut Seen) {
        while let Some(Mark { end, acknowledged_at: Some(since), .. }) = self.marks.front() {
            let old = now.saturating_sub(*since) >= HORIZON_US;
            let end = *end;
            while self.gone < end && (old || self.ids.len() > self.ids_max) {
                let Some(id) = self.ids.pop_front() else { break };
                self.gone += 1;
                seen.remove(id);
            }
            if self.gone < end {
                break;
            }
            self.marks.pop_front();
        }
        if now >= self.owed_until {
            self.owed.drain().for_each(|id| seen.remove(id));
        }
    }

    /// Its table has been filled: all that is remembered counts from `now` on.
    pub(super) fn restored(&mut self, now: i64, seen: &mut Seen) {
        self.forget_filled();
        self.owed_until = now.saturating_add(OWED_US);
        let acknowledged = std::mem::take(&mut self.filled_acknowledged);
        self.acknowledged = acknowledged.values().max().map_or(0, |e| (*e).max(0).unsigned_abs());
        for row in std::mem::take(&mut self.filled) {
            let is_known = acknowledged.get(&row.slot).is_some_and(|a| row.epoch <= *a);
            for id in &row.ids {
                if is_known {
                    self.ids.push_back(*id);
                    seen.add(*id);
                } else if self.owed.insert(*id) {
                    seen.add(*id);
                }
            }
            let end = self.gone + self.ids.len() as u64;
            if self.sealed() < end {
                let epoch = row.epoch.max(0).unsigned_abs();
                self.marks.push_back(Mark { epoch, at: row.at, end, acknowledged_at: Some(now) });
            }
        }
        self.forget(now, seen);
    }

    /// Leaves of the rows that are being restored what would be remembered; oldest first.
    fn forget_filled(&mut self) {
        self.filled.sort_by_key(|r| (r.at, r.epoch));
        let newest = self.filled.last().map_or(0, |r| r.at);
        let acknowledged = &self.filled_acknowledged;
        let mut left = self.ids_max;
        for row in self.filled.iter_mut().rev() {
            if acknowledged.get(&row.slot).is_none_or(|a| row.epoch > *a) {
                continue;
            }
            // Acknowledged some time after `at`: twice as long is long enough.
            let kept =
                if newest.saturating_sub(row.at) > 2 * HORIZON_US { 0 } else { row.ids.len().min(left) };
            left -= kept;
            row.ids.drain(..row.ids.len() - kept);
        }
        self.filled.retain(|r| !r.ids.is_empty());
    }

    fn rows(&self, rows: &[Logged]) -> Result<StateRows> {
        let ints =
            |of: fn(&Logged) -> i64| -> ArrayRef { Arc::new(rows.iter().map(of).collect::<Int64Array>()) };
        let said = Int64Array::from_value(signed(self.acknowledged), rows.len());
        let ids: BinaryArray = rows.iter().map(|(_, _, ids)| Some(ids.as_slice())).collect();
        let columns = vec![ints(|r| r.0), ints(|r| r.1), Arc::new(said), Arc::new(ids) as ArrayRef];
        Ok(StateRows::in_slot(self.slot, RecordBatch::try_new(schema(), columns)?))
    }
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn schema() -> SchemaRef {
    let int = |name: &str| Field::new(name, DataType::Int64, false);
    Arc::new(Schema::new(vec![
        int("epoch"),
        int("at"),
        int("acknowledged"),
        Field::new("ids", DataType::Binary, false),
    ]))
}

impl StateTable for Given {
    fn name(&self) -> &'static str {
        "messages given"
    }

    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn save(&mut self, extent: Extent) -> Result<Saved> {
        let sealed = self.sealed();
        let now = (sealed, self.acknowledged);
        // After a restart the lanes may be others, and what is owed has no epoch: the first answer is all of it.
        let (extent, from) = match (extent, self.saved) {
            (Extent::Changes, Some(saved)) if saved == now => {
                return Ok(Saved { extent: Extent::Changes, log: Vec::new() });
            }
            (Extent::Changes, Some((end, _))) => (Extent::Changes, end.max(self.gone)),
            _ => (Extent::Whole, self.gone),
        };
        let mut rows = Vec::new();
        if extent == Extent::Whole && !self.owed.is_empty() {
            let at = self.owed_until.saturating_sub(OWED_US);
            rows.push((OWED_EPOCH, at, self.owed.iter().flat_map(|id| id.to_be_bytes()).collect()));
        }
        let mut begin = self.gone;
        for mark in &self.marks {
            let (first, last) = (begin.max(from), mark.end);
            begin = mark.end;
            if first < last {
                let place = |n: u64| usize::try_from(n - self.gone).unwrap_or(usize::MAX).min(self.ids.len());
                let ids = self.ids.range(place(first)..place(last)).flat_map(|id| id.to_be_bytes()).collect();
                rows.push((signed(mark.epoch), mark.at, ids));
            }
        }
        if rows.is_empty() {
            rows.push((0, 0, Vec::new()));
        }
        self.saved = Some(now);
        Ok(Saved { extent, log: vec![self.rows(&rows)?] })
    }

    fn apply(&mut self, rows: &StateRows) -> Result<()> {
        let odd = || Error::data("the ids of messages in the checkpoint make no sense");
        let columns = rows.rows.columns();
        let int = |n: usize| columns.get(n).and_then(|c| c.as_primitive_opt::<Int64Type>()).ok_or_else(odd);
        let (epochs, ats, acknowledged) = (int(0)?, int(1)?, int(2)?);
        let ids = columns.get(3).and_then(|c| c.as_binary_opt::<i32>()).ok_or_else(odd)?;
        for (row, slot) in rows.slots.values().iter().enumerate() {
            let said = self.filled_acknowledged.entry(*slot).or_insert(0);
            *said = (*said).max(acknowledged.value(row));
            let (parts, rest) = ids.value(row).as_chunks::<ID_BYTES>();
            if !rest.is_empty() {
                return Err(odd());
            }
            if !parts.is_empty() {
                self.filled.push(Filled {
                    slot: *slot,
                    epoch: epochs.value(row),
                    at: ats.value(row),
                    ids: parts.iter().map(|id| u128::from_be_bytes(*id)).collect(),
                });
            }
        }
        // A log that was not made anew for long has many more than will be remembered.
        if self.filled.iter().map(|r| r.ids.len()).sum::<usize>() > 4 * self.ids_max {
            self.forget_filled();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! What is kept of one window of one key, and where.

use crate::trigger::TriggerState;
use purlin_api::{EventTime, Window};
use std::sync::Arc;

/// One window of one key.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) key: Arc<[u8]>,
    pub(super) window: Window,
    pub(super) state: TriggerState,
    /// `None` once the trigger has finished: the slot is a tombstone that turns rows away.
    pub(super) cell: Option<u32>,
    /// Rows that no pane had yet.
    pub(super) rows_new: u64,
    /// Rows that the next pane has: all since the last clearing.
    pub(super) rows_all: u64,
    /// The epoch of the first row that is kept.
    pub(super) since: Option<u64>,
    /// Panes fired so far.
    pub(super) index: i64,
    /// Panes fired so far that were not early.
    pub(super) nonspeculative: i64,
    /// The watermark has passed the end, and the trigger was asked then.
    pub(super) ended: bool,
    /// The combined timestamp of the rows; `None` if all were behind the watermark.
    pub(super) stamp: Option<EventTime>,
    /// Where it holds the output watermark. For end-of-window timestamps of sessions this may lag
    /// behind the window, until the watermark gets there.
    pub(super) hold: Option<EventTime>,
    /// Its entry among the watermark's appointments: not after its next event, maybe before.
    pub(super) due: EventTime,
    /// Its entry among the clock's appointments: not after its next deadline, maybe before.
    pub(super) timer: Option<EventTime>,
    /// It has changed since the state was saved. Only noted if it ever is.
    pub(super) touched: bool,
    /// It has been saved under its key and window.
    pub(super) logged: bool,
}

/// Slots by number. Numbers of removed ones are given again.
#[derive(Debug, Default)]
pub(super) struct Slab {
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
}

impl Slab {
    pub(super) fn get(&self, id: u32) -> Option<&Slot> {
        self.slots.get(id as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Slot> {
        self.slots.get_mut(id as usize)?.as_mut()
    }

    /// All there are, in no order.
    pub(super) fn ids(&self) -> Vec<u32> {
        let used = |(id, slot): (usize, &Option<Slot>)| slot.as_ref().map(|_| id as u32);
        self.slots.iter().enumerate().filter_map(used).collect()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn add(&mut self, slot: Slot) -> u32 {
        if let Some(id) = self.free.pop()
            && let Some(place) = self.slots.get_mut(id as usize)
        {
            *place = Some(slot);
            return id;
        }
        self.slots.push(Some(slot));
        // Four thousand million slots do not fit into memory.
        (self.slots.len() - 1) as u32
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<Slot> {
        let slot = self.slots.get_mut(id as usize)?.take()?;
        if self.free.len() + 1 == self.slots.len() {
            // The last one is gone: give the memory back.
            self.slots = Vec::new();
            self.free = Vec::new();
        } else {
            self.free.push(id);
        }
        Some(slot)
    }

    /// Puts slots into the order they fire in: window, then key.
    pub(super) fn sort(&self, ids: &mut [u32]) {
        if ids.len() > 1 {
            ids.sort_unstable_by_key(|id| self.get(*id).map(|s| (&s.window, &s.key)));
        }
    }
}

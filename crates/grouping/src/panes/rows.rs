//! Rows: finding or making their slot, merging sessions, and what a row leaves behind there.

use super::slots::Slot;
use super::{Cells, PaneCx, PaneDriver, TimestampCombiner};
use purlin_api::{EventTime, Holds, Window};
use std::sync::Arc;

impl TimestampCombiner {
    /// The output time of one row.
    fn of_row(self, window: &Window, t: EventTime) -> EventTime {
        match self {
            TimestampCombiner::EndOfWindow => window.max_timestamp(),
            TimestampCombiner::Earliest | TimestampCombiner::Latest => t,
        }
    }

    /// Of two output times in one window.
    fn join(self, a: Option<EventTime>, b: Option<EventTime>) -> Option<EventTime> {
        match (a, b) {
            (Some(a), Some(b)) => Some(match self {
                TimestampCombiner::Earliest => a.min(b),
                TimestampCombiner::EndOfWindow | TimestampCombiner::Latest => a.max(b),
            }),
            (a, b) => a.or(b),
        }
    }
}

impl PaneDriver {
    /// The slot of exactly this window, made if need be; `None` if it is closed.
    pub(super) fn exact(
        &mut self,
        key: &[u8],
        window: &Window,
        cx: &PaneCx<'_>,
        cells: &mut dyn Cells,
    ) -> Option<u32> {
        match self.index.find(key, window, &self.slots) {
            Some(id) => self.slots.get(id)?.cell.map(|_| id),
            None => Some(self.open(key, window, cx, cells)),
        }
    }

    /// The slot of the session that this window falls into, after it has been extended and merged with
    /// others; `None` if one of them is closed.
    ///
    /// A closed session takes no rows, so it never merges and never takes a live one down with it.
    pub(super) fn session(
        &mut self,
        key: &[u8],
        window: &Window,
        cx: &mut PaneCx<'_>,
        cells: &mut dyn Cells,
    ) -> Option<u32> {
        let mut met = std::mem::take(&mut self.scratch);
        self.index.overlapping(key, window, &mut met);
        let live = met.iter().all(|id| self.slots.get(*id).is_some_and(|s| s.cell.is_some()));
        let found = match met.split_first() {
            _ if !live => None,
            None => Some(self.open(key, window, cx, cells)),
            Some((first, rest)) => {
                for id in rest {
                    self.absorb(*first, *id, cx.holds, cells);
                }
                self.extend(*first, window, !rest.is_empty(), cx);
                Some(*first)
            }
        };
        self.scratch = met;
        found
    }

    fn open(&mut self, key: &[u8], window: &Window, cx: &PaneCx<'_>, cells: &mut dyn Cells) -> u32 {
        let expiry = self.windowing.expiry(window);
        let end = window.end().min(expiry);
        let ended = cx.watermark >= end;
        let due = if ended { expiry } else { end };
        let id = self.slots.add(Slot {
            key: self.index.key(key).unwrap_or_else(|| Arc::from(key)),
            window: window.clone(),
            state: self.machine.start(),
            cell: Some(cells.add()),
            rows_new: 0,
            rows_all: 0,
            since: None,
            index: 0,
            nonspeculative: 0,
            ended,
            stamp: None,
            hold: None,
            due,
            timer: None,
            touched: false,
            logged: false,
        });
        self.index.insert(id, &self.slots);
        self.due.insert((due, id));
        id
    }

    /// Brings the session `from` into the earlier session `into`.
    fn absorb(&mut self, into: u32, from: u32, holds: &mut Holds, cells: &mut dyn Cells) {
        let since = self.slots.get(from).and_then(|s| s.since);
        let Some(gone) = self.drop_slot(from, holds) else { return };
        self.note_respan(into);
        let Some(slot) = self.slots.get_mut(into) else { return };
        let oldest = [slot.since, since].into_iter().flatten().min();
        self.kept.change(slot.since, oldest);
        slot.since = oldest;
        let old = slot.window.clone();
        slot.window = span(&old, &gone.window);
        slot.rows_new += gone.rows_new;
        slot.rows_all += gone.rows_all;
        slot.stamp = self.combiner.join(slot.stamp, gone.stamp);
        self.machine.on_merge(&mut slot.state, &gone.state);
        self.index.respan(into, &slot.key, &old, &slot.window);
        if let (Some(into), Some(from)) = (slot.cell, gone.cell) {
            cells.merge(into, from);
            cells.remove(from);
        }
    }

    /// Makes a session as long as it takes to contain `window`.
    fn extend(&mut self, id: u32, window: &Window, merged: bool, cx: &PaneCx<'_>) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        let grown = span(&slot.window, window);
        if grown == slot.window && !merged {
            return;
        }
        if grown != slot.window {
            self.note_respan(id);
        }
        let Some(slot) = self.slots.get_mut(id) else { return };
        self.index.respan(id, &slot.key, &slot.window, &grown);
        slot.window = grown;
        // Beam does not carry pane counters over to another window: its panes count from 0.
        slot.index = 0;
        slot.nonspeculative = 0;
        let expiry = self.windowing.expiry(&slot.window);
        let end = slot.window.end().min(expiry);
        slot.ended = cx.watermark >= end;
        self.machine.on_window(&mut slot.state, &cx.moment(&slot.window));
        let next = if slot.ended { expiry } else { end };
        // Later than before: the old appointment is kept and put off when it comes. But a session that
        // had ended has one at its expiry, which may be too late now.
        if next < slot.due {
            self.arm_due(id, next);
        }
    }

    /// Counts a row into its slot; answers its cell.
    pub(super) fn take_row(&mut self, id: u32, t: EventTime, cx: &mut PaneCx<'_>) -> Option<u32> {
        self.touch(id);
        let slot = self.slots.get_mut(id)?;
        let cell = slot.cell?;
        self.machine.on_row(&mut slot.state, &cx.moment(&slot.window));
        slot.rows_new += 1;
        slot.rows_all += 1;
        if slot.since.is_none() {
            slot.since = Some(self.epoch);
            self.kept.add(self.epoch);
        }
        let stamp = self.combiner.of_row(&slot.window, t);
        // Behind the watermark no hold can be placed any more, so Beam leaves the row's time out.
        if stamp >= cx.watermark {
            slot.stamp = self.combiner.join(slot.stamp, Some(stamp));
        }
        let hold = match self.combiner {
            TimestampCombiner::EndOfWindow => {
                slot.stamp.map(|_| slot.hold.unwrap_or(slot.window.max_timestamp()))
            }
            TimestampCombiner::Earliest | TimestampCombiner::Latest => slot.stamp,
        };
        self.set_hold(id, hold, cx.holds);
        self.arm_timer(id, cx.now);
        self.current = Some(id);
        Some(cell)
    }

    pub(super) fn set_hold(&mut self, id: u32, hold: Option<EventTime>, holds: &mut Holds) {
        if let Some(slot) = self.slots.get_mut(id) {
            self.holds.change(&slot.window, slot.hold, hold, holds);
            slot.hold = hold;
        }
    }

    /// Makes `at` the slot's one appointment with the watermark.
    pub(super) fn arm_due(&mut self, id: u32, at: EventTime) {
        if let Some(slot) = self.slots.get_mut(id) {
            self.due.remove(&(slot.due, id));
            slot.due = at;
            self.due.insert((at, id));
        }
    }

    /// Sees to it that the slot is looked at when its next deadline comes.
    pub(super) fn arm_timer(&mut self, id: u32, now: EventTime) {
        if !self.machine.uses_clock() {
            return;
        }
        let Some(slot) = self.slots.get_mut(id) else { return };
        let Some(next) = self.machine.next_timer(&slot.state, now) else { return };
        // An earlier appointment is kept, though its deadline may be gone: it is put off when it comes.
        if slot.timer.is_none_or(|t| next < t) {
            if let Some(t) = slot.timer.replace(next) {
                self.timers.remove(&(t, id));
            }
            self.timers.insert((next, id));
        }
    }

    /// Takes a slot out of everything; its cell is the caller's to free.
    pub(super) fn drop_slot(&mut self, id: u32, holds: &mut Holds) -> Option<Slot> {
        self.set_hold(id, None, holds);
        let slot = self.slots.remove(id)?;
        self.note_gone(&slot);
        self.kept.change(slot.since, None);
        self.index.remove(id, &slot);
        self.due.remove(&(slot.due, id));
        if let Some(t) = slot.timer {
            self.timers.remove(&(t, id));
        }
        Some(slot)
    }
}

/// The least window that contains both.
fn span(a: &Window, b: &Window) -> Window {
    if a == b {
        return a.clone();
    }
    Window::Interval { start: a.start().min(b.start()), end: a.end().max(b.end()) }
}

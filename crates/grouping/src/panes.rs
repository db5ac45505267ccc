//! Panes: which rows belong together, when they go out, and when their state goes.
//!
//! A [`PaneDriver`] knows windows, triggers, lateness and holds, and nothing of columns. Values live in
//! *cells* that the caller keeps, one per live (key, window), reached through [`Cells`].
//!
//! ```text
//!  on_row --> Cell(c): accumulate the row into c --> after_row --> [Firing]
//!         \-> Late: count it, route it
//!  on_watermark, on_timer --> [Firing]
//! ```
//!
//! **Constraints.** Each [`Firing`] is read and [settled](Firing::settle) before the driver is called
//! again: until then the cell holds the pane. `on_watermark` must be called at every move of the
//! watermark before the next row, and `cx.holds` must always be the same set.
//!
//! **Order.** What one call fires comes by time, then window, then key. Rows act one by one, so panes do
//! not depend on how rows are cut into batches; a watermark that jumps fires what one that creeps fires.
//!
//! **Cost.** A row costs one look-up (sessions: two, the second ordered). A watermark costs what is due,
//! whatever is live.

use crate::trigger::{Moment, TriggerMachine};
use holds::HoldBook;
use index::Index;
use purlin_api::{EventTime, Holds, Kept, Pane, Window, Windowing};
use slots::Slab;
use std::collections::BTreeSet;
use std::sync::Arc;

mod fire;
mod holds;
mod index;
mod rows;
mod slots;
pub(crate) mod state;

/// Where the caller keeps values: one cell per live (key, window).
pub trait Cells {
    /// Makes an empty cell and names it. Names of removed cells may be given again.
    fn add(&mut self) -> u32;
    /// Adds what is in `from` to `into`: two sessions have met, `into` is the earlier one. The driver
    /// calls [`Cells::remove`] for `from` next. Rows that were placed but not yet accumulated must be
    /// brought into their cells first.
    fn merge(&mut self, into: u32, from: u32);
    /// Empties a cell that lives on.
    fn clear(&mut self, cell: u32);
    /// Frees a cell.
    fn remove(&mut self, cell: u32);
}

/// Where a row goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// Into this cell.
    Cell(u32),
    /// Nowhere: its window has expired, or its trigger has finished (Beam drops those too).
    Late,
}

/// What becomes of a cell after its pane was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing: later panes contain it again.
    Keep,
    /// It is emptied.
    Clear,
    /// It goes: no pane will follow.
    Remove,
}

/// One pane of one window of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firing {
    /// The key.
    pub key: Arc<[u8]>,
    /// The window.
    pub window: Window,
    /// Where its values are; `None` for an empty pane.
    pub cell: Option<u32>,
    /// How many rows are in this pane.
    pub rows: u64,
    /// How many of them are in a pane for the first time: what leaves "in state" for "passed".
    pub rows_new: u64,
    /// Which pane it is.
    pub pane: Pane,
    /// The event time of what is emitted.
    pub timestamp: EventTime,
    /// What to do with the cell once it is read.
    pub after: After,
}

impl Firing {
    /// Does to the cell what [`Firing::after`] says; call it when the pane has been read.
    pub fn settle(&self, cells: &mut dyn Cells) {
        match (self.cell, self.after) {
            (Some(cell), After::Clear) => cells.clear(cell),
            (Some(cell), After::Remove) => cells.remove(cell),
            (_, After::Keep) | (None, _) => {}
        }
    }
}

/// What the driver is given to work with.
#[derive(Debug)]
pub struct PaneCx<'a> {
    /// The input watermark.
    pub watermark: EventTime,
    /// Processing time.
    pub now: EventTime,
    /// The holds on the output watermark.
    pub holds: &'a mut Holds,
}

impl<'a> PaneCx<'a> {
    /// A context at these times.
    pub fn new(watermark: EventTime, now: EventTime, holds: &'a mut Holds) -> Self {
        PaneCx { watermark, now, holds }
    }

    fn moment(&self, window: &Window) -> Moment {
        Moment { watermark: self.watermark, window_end: window.end(), now: self.now }
    }
}

/// Which time a pane's result has (Beam's `TimestampCombiner`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TimestampCombiner {
    /// The greatest timestamp in the window.
    #[default]
    EndOfWindow,
    /// The least time of its rows that were not behind the watermark.
    Earliest,
    /// The greatest time of its rows that were not behind the watermark.
    Latest,
}

/// The panes of one aggregation in one lane.
#[derive(Debug)]
pub struct PaneDriver {
    windowing: Arc<Windowing>,
    machine: TriggerMachine,
    combiner: TimestampCombiner,
    beam_last: bool,
    slots: Slab,
    index: Index,
    /// When a slot wants the watermark's attention; each slot is in here once, at `Slot::due`.
    due: BTreeSet<(EventTime, u32)>,
    /// When a slot wants the clock's attention; each slot is in here at most once, at `Slot::timer`.
    timers: BTreeSet<(EventTime, u32)>,
    holds: HoldBook,
    /// The epoch that rows belong to, and from which epochs rows are kept.
    epoch: u64,
    kept: Kept,
    /// The slot of the row that `after_row` is about.
    current: Option<u32>,
    /// Nothing before state is saved or restored.
    notes: Option<state::Notes>,
    /// Kept to save allocations.
    scratch: Vec<u32>,
}

impl PaneDriver {
    /// A driver whose panes have the greatest timestamp of their window.
    pub fn new(windowing: Arc<Windowing>) -> Self {
        PaneDriver::with_combiner(windowing, TimestampCombiner::EndOfWindow)
    }

    /// A driver whose panes have the time that `combiner` says.
    pub fn with_combiner(windowing: Arc<Windowing>, combiner: TimestampCombiner) -> Self {
        let merges = windowing.window_fn.merges();
        PaneDriver {
            machine: TriggerMachine::new(&windowing.trigger),
            combiner,
            beam_last: false,
            slots: Slab::default(),
            index: Index::new(merges),
            due: BTreeSet::new(),
            timers: BTreeSet::new(),
            holds: HoldBook::new(merges),
            epoch: 0,
            kept: Kept::default(),
            current: None,
            notes: None,
            scratch: Vec::new(),
            windowing,
        }
    }

    /// Copies a quirk of Beam's Python SDK: a pane is the last one only if its trigger has finished.
    /// By default it also is when nothing can follow, because the window allows no lateness.
    #[must_use]
    pub fn beam_last(mut self, on: bool) -> Self {
        self.beam_last = on;
        self
    }

    /// Places a row with this key, window and event time. Sessions may merge.
    pub fn on_row(
        &mut self,
        key: &[u8],
        window: &Window,
        t: EventTime,
        cx: &mut PaneCx<'_>,
        cells: &mut dyn Cells,
    ) -> Placed {
        self.current = None;
        if self.windowing.expiry(window) <= cx.watermark {
            return Placed::Late;
        }
        let found = if self.windowing.window_fn.merges() {
            self.session(key, window, cx, cells)
        } else {
            self.exact(key, window, cx, cells)
        };
        let Some(id) = found else { return Placed::Late };
        self.take_row(id, t, cx).map_or(Placed::Late, Placed::Cell)
    }

    /// True if [`PaneDriver::after_row`] would fire: a caller that accumulates rows in bulk does so first.
    pub fn fires_after_row(&self, cx: &PaneCx<'_>) -> bool {
        let slot = self.current.and_then(|id| self.slots.get(id));
        slot.is_some_and(|s| s.cell.is_some() && self.machine.should_fire(&s.state, &cx.moment(&s.window)))
    }

    /// Fires what is due now that the row placed last is in its cell: one pane at most.
    pub fn after_row(&mut self, cx: &mut PaneCx<'_>, cells: &mut dyn Cells, fired: &mut Vec<Firing>) {
        if self.fires_after_row(cx)
            && let Some(id) = self.current
        {
            self.fire(id, fire::Cause::Row, cx, cells, fired);
        }
        self.current = None;
    }

    /// Fires what is due at `cx.watermark` and frees what has expired. A cell is in one firing at most.
    pub fn on_watermark(&mut self, cx: &mut PaneCx<'_>, cells: &mut dyn Cells, fired: &mut Vec<Firing>) {
        self.current = None;
        while let Some(t) = first_until(&self.due, cx.watermark) {
            let ids = self.take_due(t);
            for id in &ids {
                self.reach(*id, t, cx, cells, fired);
            }
            self.scratch = ids;
        }
    }

    /// Fires what is due at `cx.now`. A cell is in one firing at most.
    pub fn on_timer(&mut self, cx: &mut PaneCx<'_>, cells: &mut dyn Cells, fired: &mut Vec<Firing>) {
        self.current = None;
        while let Some(t) = first_until(&self.timers, cx.now) {
            let ids = self.take_timers(t);
            for id in &ids {
                self.ring(*id, cx, cells, fired);
            }
            self.scratch = ids;
        }
    }

    /// When [`PaneDriver::on_timer`] should be called next, in processing time. It may turn out to be
    /// too early: then nothing fires.
    pub fn next_timer(&self) -> Option<EventTime> {
        self.timers.first().map(|(t, _)| *t)
    }

    /// The rows to come belong to this epoch.
    pub fn set_epoch(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    /// The oldest epoch of which rows are kept.
    pub fn oldest_epoch(&self) -> Option<u64> {
        self.kept.oldest()
    }

    /// How many (key, window) there is state for, closed ones included.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// True if there is no state at all.
    pub fn is_empty(&self) -> bool {
        self.slots.len() == 0
            && self.index.is_empty()
            && self.due.is_empty()
            && self.timers.is_empty()
            && self.holds.is_empty()
            && self.kept.is_empty()
    }

    /// The slots at `t`, in the order they fire, no longer in `due`.
    fn take_due(&mut self, t: EventTime) -> Vec<u32> {
        let mut ids = take_at(&mut self.due, t, std::mem::take(&mut self.scratch));
        self.slots.sort(&mut ids);
        ids
    }

    fn take_timers(&mut self, t: EventTime) -> Vec<u32> {
        let mut ids = take_at(&mut self.timers, t, std::mem::take(&mut self.scratch));
        self.slots.sort(&mut ids);
        ids
    }
}

/// The first time in `queue` that is not after `limit`.
fn first_until(queue: &BTreeSet<(EventTime, u32)>, limit: EventTime) -> Option<EventTime> {
    queue.first().map(|(t, _)| *t).filter(|t| *t <= limit)
}

/// Takes all entries of time `t` out of `queue`.
fn take_at(queue: &mut BTreeSet<(EventTime, u32)>, t: EventTime, mut ids: Vec<u32>) -> Vec<u32> {
    ids.clear();
    while queue.first().is_some_and(|(first, _)| *first == t)
        && let Some((_, id)) = queue.pop_first()
    {
        ids.push(id);
    }
    ids
}

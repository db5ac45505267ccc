//! Firing panes, and the end of windows.

use super::slots::Slot;
use super::{After, Cells, Firing, PaneCx, PaneDriver, TimestampCombiner};
use purlin_api::{AccumulationMode, EventTime, Holds, Pane, Timing, Trigger, Window};

/// What led to a pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// A row.
    Row,
    /// A deadline in processing time.
    Timer,
    /// The watermark passed the end of the window.
    End,
    /// The watermark passed the end and the allowed lateness.
    Expiry,
}

impl PaneDriver {
    /// The appointment of a slot with the watermark, at `t`.
    pub(super) fn reach(
        &mut self,
        id: u32,
        t: EventTime,
        cx: &mut PaneCx<'_>,
        cells: &mut dyn Cells,
        fired: &mut Vec<Firing>,
    ) {
        self.touch(id);
        let Some(slot) = self.slots.get_mut(id) else { return };
        let expiry = self.windowing.expiry(&slot.window);
        let end = slot.window.end().min(expiry);
        let to_end = !slot.ended && slot.cell.is_some();
        let next = if to_end { end } else { expiry };
        if next > t {
            // The session has grown since.
            if slot.hold.is_some() && self.combiner == TimestampCombiner::EndOfWindow {
                let hold = Some(slot.window.max_timestamp());
                self.set_hold(id, hold, cx.holds);
            }
            self.arm_due(id, next);
            return;
        }
        if to_end {
            slot.ended = true;
            let idle = slot.rows_new == 0;
            if self.machine.should_fire(&slot.state, &cx.moment(&slot.window)) {
                self.fire(id, Cause::End, cx, cells, fired);
            } else if idle {
                self.release(id, cx.holds);
            }
            if expiry > t {
                self.arm_due(id, expiry);
                return;
            }
        }
        self.expire(id, cx, cells, fired);
    }

    /// Ends a window: rows that are still waiting go out in a last pane, whatever the trigger says.
    fn expire(&mut self, id: u32, cx: &mut PaneCx<'_>, cells: &mut dyn Cells, fired: &mut Vec<Firing>) {
        let Some(slot) = self.slots.get(id) else { return };
        if slot.cell.is_some() && slot.rows_new > 0 {
            self.fire(id, Cause::Expiry, cx, cells, fired);
        } else if let Some(slot) = self.drop_slot(id, cx.holds)
            && let Some(cell) = slot.cell
        {
            cells.remove(cell);
        }
    }

    /// The appointment of a slot with the clock.
    pub(super) fn ring(
        &mut self,
        id: u32,
        cx: &mut PaneCx<'_>,
        cells: &mut dyn Cells,
        fired: &mut Vec<Firing>,
    ) {
        self.touch(id);
        let Some(slot) = self.slots.get_mut(id) else { return };
        slot.timer = None;
        if self.machine.should_fire(&slot.state, &cx.moment(&slot.window)) {
            self.fire(id, Cause::Timer, cx, cells, fired);
        }
        self.arm_timer(id, cx.now);
    }

    /// Fires one pane, unless it would be empty for no reason, and does what follows from it.
    pub(super) fn fire(
        &mut self,
        id: u32,
        cause: Cause,
        cx: &mut PaneCx<'_>,
        cells: &mut dyn Cells,
        fired: &mut Vec<Firing>,
    ) {
        let plain = self.windowing.trigger == Trigger::Default;
        let discards = self.windowing.accumulation == AccumulationMode::Discarding;
        let Some(slot) = self.slots.get_mut(id) else { return };
        let Some(cell) = slot.cell else { return };
        let expiry = self.windowing.expiry(&slot.window);
        let finished =
            cause != Cause::Expiry && self.machine.on_fire(&mut slot.state, &cx.moment(&slot.window));
        let gone = expiry <= cx.watermark;
        let timing = timing(slot, cause, expiry, cx.watermark);
        let idle = slot.rows_new == 0;
        let emits = !idle || (timing == Timing::OnTime && self.machine.has_on_time_pane());
        let full = emits && !(idle && discards);
        if emits {
            let is_last = finished
                || cause == Cause::Expiry
                || if self.beam_last {
                    // Beam groups the global window with the default trigger on another path.
                    plain && slot.window == Window::Global
                } else {
                    cause == Cause::End && expiry <= slot.window.end()
                };
            let end = slot.window.max_timestamp();
            fired.push(Firing {
                key: slot.key.clone(),
                window: slot.window.clone(),
                cell: full.then_some(cell),
                rows: if discards { slot.rows_new } else { slot.rows_all },
                rows_new: slot.rows_new,
                pane: next_pane(slot, timing, is_last),
                timestamp: match self.combiner {
                    TimestampCombiner::EndOfWindow => end,
                    TimestampCombiner::Earliest | TimestampCombiner::Latest => slot.stamp.unwrap_or(end),
                },
                after: match (full, finished || gone, discards) {
                    (false, ..) | (true, false, false) => After::Keep,
                    (true, true, _) => After::Remove,
                    (true, false, true) => After::Clear,
                },
            });
        }
        slot.rows_new = 0;
        if discards {
            slot.rows_all = 0;
            self.kept.change(slot.since.take(), None);
        }
        if (finished || gone) && !full {
            cells.remove(cell);
        }
        if gone {
            self.drop_slot(id, cx.holds);
        } else if finished {
            self.close(id, cx.holds);
        } else if !(timing == Timing::Early && self.machine.has_on_time_pane()) {
            // Else an on-time pane is still to come, and its timestamp must not be overtaken.
            self.release(id, cx.holds);
        }
    }

    /// Makes a slot a tombstone, which stays until the window expires.
    fn close(&mut self, id: u32, holds: &mut Holds) {
        self.release(id, holds);
        let Some(slot) = self.slots.get_mut(id) else { return };
        slot.cell = None;
        slot.state = Default::default();
        slot.rows_all = 0;
        self.kept.change(slot.since.take(), None);
        if let Some(t) = slot.timer.take() {
            self.timers.remove(&(t, id));
        }
    }

    fn release(&mut self, id: u32, holds: &mut Holds) {
        if let Some(slot) = self.slots.get_mut(id) {
            slot.stamp = None;
            self.set_hold(id, None, holds);
        }
    }
}

/// Where a pane stands to the end of its window.
fn timing(slot: &Slot, cause: Cause, expiry: EventTime, watermark: EventTime) -> Timing {
    let end = slot.window.end();
    let first = slot.nonspeculative == 0;
    match cause {
        Cause::Row | Cause::Timer if watermark < end => Timing::Early,
        // Beam calls no pane on time that a row or a clock caused.
        Cause::Row | Cause::Timer => Timing::Late,
        Cause::End => Timing::OnTime,
        // Only while rows still hold the watermark: else downstream is past the window already.
        Cause::Expiry if first && (expiry <= end || slot.stamp.is_some()) => Timing::OnTime,
        Cause::Expiry => Timing::Late,
    }
}

/// Counts a pane.
fn next_pane(slot: &mut Slot, timing: Timing, is_last: bool) -> Pane {
    let early = timing == Timing::Early;
    let pane = Pane {
        is_first: slot.index == 0,
        is_last,
        timing,
        index: slot.index,
        nonspeculative_index: if early { -1 } else { slot.nonspeculative },
    };
    slot.index += 1;
    slot.nonspeculative += i64::from(!early);
    pane
}

//! Rows that wait for the end of their window, and windows that have ended but still take late rows.
//!
//! Only joins that keep no row without a partner have such windows: a late row adds its pairs to what was given
//! before, and nothing that was given becomes wrong.

use super::closing::{Closing, RowWindows, Then};
use super::operator::{Layout, no_port};
use super::side::Side;
use arrow_array::RecordBatch;
use purlin_api::pane::Timing;
use purlin_api::{EventTime, OpCx, Pane, Port, Result, Window};
use std::collections::{BTreeMap, VecDeque};

/// Rows by input.
type Parts = Vec<Vec<RecordBatch>>;

/// The pane of late rows. All have one number: panes are counted by key elsewhere, and how many there were before must
/// not depend on what else came in the same batch or lane.
const LATE: Pane =
    Pane { is_first: false, is_last: false, timing: Timing::Late, index: 1, nonspeculative_index: 1 };

/// A window that the watermark has not passed.
#[derive(Debug)]
struct Open {
    parts: Parts,
    /// The epoch of its first row.
    since: u64,
}

/// A window that has ended.
#[derive(Debug)]
struct Ended {
    /// The epoch of its first row.
    since: u64,
    parts: Parts,
    /// By input: which rows found partners so far.
    used: Vec<Vec<bool>>,
}

#[derive(Debug, Default)]
pub(super) struct Windows {
    /// By end, so that windows are found in the order of time.
    open: BTreeMap<(EventTime, Window), Open>,
    /// By expiry.
    ended: BTreeMap<(EventTime, Window), Ended>,
    /// Late rows that are not joined yet.
    late: VecDeque<(Port, Window, RecordBatch)>,
}

impl Windows {
    /// Keeps some rows of an input in one window, or counts them late.
    pub(super) fn keep(
        &mut self,
        layout: &Layout,
        port: Port,
        window: &Window,
        rows: RecordBatch,
        cx: &mut OpCx,
    ) -> Result<()> {
        let count = rows.num_rows() as u64;
        if layout.windowing.expiry(window) <= cx.watermark {
            cx.fates.late += count;
            return Ok(());
        }
        cx.fates.in_state += count;
        if window.end() <= cx.watermark {
            self.late.push_back((port, window.clone(), rows));
            return Ok(());
        }
        let open = self.open.entry((window.end(), window.clone())).or_insert_with(|| {
            cx.kept.add(cx.epoch);
            Open { parts: vec![Vec::new(); layout.sides.len()], since: cx.epoch }
        });
        open.parts.get_mut(port).ok_or_else(|| no_port(port))?.push(rows);
        Ok(())
    }

    /// What is to be joined next.
    pub(super) fn next(&mut self, layout: &Layout, cx: &mut OpCx) -> Result<Option<Closing>> {
        if self.open.first_key_value().is_some_and(|((end, _), _)| *end <= cx.watermark)
            && let Some(((_, window), open)) = self.open.pop_first()
        {
            return self.on_time(layout, window, open, cx).map(Some);
        }
        if let Some((port, window, rows)) = self.late.pop_front() {
            return self.late(layout, port, window, rows, cx).map(Some);
        }
        while self.ended.first_key_value().is_some_and(|((expiry, _), _)| *expiry <= cx.watermark) {
            if let Some((_, ended)) = self.ended.pop_first() {
                cx.kept.change(Some(ended.since), None);
                Closing::settle(&ended.used, cx);
            }
        }
        Ok(None)
    }

    fn on_time(&mut self, layout: &Layout, window: Window, open: Open, cx: &mut OpCx) -> Result<Closing> {
        let Open { parts, since } = open;
        let expiry = layout.windowing.expiry(&window);
        let stays = expiry > window.end();
        let pane = Pane { is_last: !stays, ..Pane::ONLY };
        let mut then = Then::Settle;
        if stays {
            let rows = |p: &Vec<RecordBatch>| p.iter().map(RecordBatch::num_rows).sum();
            let used = parts.iter().map(|p| vec![false; rows(p)]).collect();
            let ended = Ended { since, parts: parts.clone(), used };
            self.ended.insert((expiry, window.clone()), ended);
            then = Then::Stay { expiry, window: window.clone(), late: None };
        } else {
            cx.kept.change(Some(since), None);
        }
        let sides = layout.sides.iter().zip(parts).map(|(s, p)| Side::new(&s.schema, p));
        let sides = sides.collect::<Result<_>>()?;
        Closing::new(layout, &layout.steps, sides, RowWindows::One(window), pane, then)
    }

    /// The late rows with all rows of the other inputs: the pairs that are not given yet.
    fn late(
        &mut self,
        layout: &Layout,
        port: Port,
        window: Window,
        rows: RecordBatch,
        cx: &mut OpCx,
    ) -> Result<Closing> {
        let (expiry, inputs) = (layout.windowing.expiry(&window), layout.sides.len());
        let ended = self.ended.entry((expiry, window.clone())).or_insert_with(|| {
            cx.kept.add(cx.epoch);
            Ended { since: cx.epoch, parts: vec![Vec::new(); inputs], used: vec![Vec::new(); inputs] }
        });
        let sides = layout.sides.iter().zip(&ended.parts).enumerate().map(|(input, (side, parts))| {
            let parts = if input == port { vec![rows.clone()] } else { parts.clone() };
            Side::new(&side.schema, parts)
        });
        let sides = sides.collect::<Result<_>>()?;
        let used = ended.used.get_mut(port).ok_or_else(|| no_port(port))?;
        let late = Some((port, used.len()));
        used.resize(used.len() + rows.num_rows(), false);
        ended.parts.get_mut(port).ok_or_else(|| no_port(port))?.push(rows);
        let then = Then::Stay { expiry, window: window.clone(), late };
        Closing::new(layout, &layout.steps, sides, RowWindows::One(window), LATE, then)
    }

    /// Takes back rows that were joined and stay.
    pub(super) fn stay(
        &mut self,
        closing: &Closing,
        expiry: EventTime,
        window: Window,
        late: Option<(Port, usize)>,
    ) {
        let Some(ended) = self.ended.get_mut(&(expiry, window)) else { return };
        for (input, (all, new)) in ended.used.iter_mut().zip(&closing.used).enumerate() {
            let from = late.filter(|(port, _)| *port == input).map_or(0, |(_, from)| from);
            all.iter_mut().skip(from).zip(new).for_each(|(all, new)| *all |= new);
        }
    }
}

//! Rows that wait for the end of their window, and windows that have ended but still take late rows.
//!
//! Only joins that keep no row without a partner have such windows: a late row adds its pairs to what was given
//! before, and nothing that was given becomes wrong.

use super::closing::{Closing, Results, RowWindows, Then};
use super::operator::{Layout, SideLayout, no_port};
use super::side::Side;
use arrow_array::RecordBatch;
use purlin_api::pane::Timing;
use purlin_api::state::{InWindow, KeptRows, PartId, numbered};
use purlin_api::{Error, EventTime, OpCx, Pane, Port, Result, StateTable, Window};
use std::collections::{BTreeMap, VecDeque};

/// Rows by input, in a table of that input.
type Parts = Vec<Vec<PartId>>;

/// The pane of late rows. All have one number: panes are counted by key elsewhere, and how many there were before must
/// not depend on what else came in the same batch or lane.
const LATE: Pane =
    Pane { is_first: false, is_last: false, timing: Timing::Late, index: 1, nonspeculative_index: 1 };

/// How many rows of a result are made at a time where only what they are made of is asked for.
const TRIAL_ROWS: usize = 8192;

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

impl Ended {
    fn new(since: u64, inputs: usize) -> Self {
        Ended { since, parts: vec![Vec::new(); inputs], used: vec![Vec::new(); inputs] }
    }
}

#[derive(Debug)]
pub(super) struct Windows {
    /// By input: the rows of windows that are open.
    waiting: Vec<KeptRows>,
    /// By input: the rows of windows that have ended.
    joined: Vec<KeptRows>,
    /// By end, so that windows are found in the order of time.
    open: BTreeMap<(EventTime, Window), Open>,
    /// By expiry.
    ended: BTreeMap<(EventTime, Window), Ended>,
    /// Late rows that are not joined yet: none between two calls.
    late: VecDeque<(Port, Window, RecordBatch)>,
}

/// A table for each input.
pub(super) fn stores(name: &str, sides: &[SideLayout]) -> Vec<KeptRows> {
    let table = |(input, side): (usize, &SideLayout)| {
        KeptRows::new(numbered(name, input), side.schema.clone(), side.slots.clone())
    };
    sides.iter().enumerate().map(table).collect()
}

impl Windows {
    pub(super) fn new(sides: &[SideLayout]) -> Self {
        Windows {
            waiting: stores("waiting", sides),
            joined: stores("joined", sides),
            open: BTreeMap::new(),
            ended: BTreeMap::new(),
            late: VecDeque::new(),
        }
    }

    pub(super) fn tables(&mut self) -> Vec<&mut dyn StateTable> {
        let all = self.waiting.iter_mut().chain(&mut self.joined);
        all.map(|table| table as &mut dyn StateTable).collect()
    }

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
        let id =
            self.waiting.get_mut(port).ok_or_else(|| no_port(port))?.add(rows, InWindow::One(window.clone()));
        self.open(window, cx, port, id)
    }

    /// Puts rows that wait into their window.
    fn open(&mut self, window: &Window, cx: &mut OpCx, port: Port, id: PartId) -> Result<()> {
        let inputs = self.waiting.len();
        let open = self.open.entry((window.end(), window.clone())).or_insert_with(|| {
            cx.kept.add(cx.epoch);
            Open { parts: vec![Vec::new(); inputs], since: cx.epoch }
        });
        open.parts.get_mut(port).ok_or_else(|| no_port(port))?.push(id);
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
                take(&mut self.joined, &ended.parts)?;
            }
        }
        Ok(None)
    }

    fn on_time(&mut self, layout: &Layout, window: Window, open: Open, cx: &mut OpCx) -> Result<Closing> {
        let Open { parts, since } = open;
        let parts = take(&mut self.waiting, &parts)?;
        let expiry = layout.windowing.expiry(&window);
        let stays = expiry > window.end();
        let pane = Pane { is_last: !stays, ..Pane::ONLY };
        let mut then = Then::Settle;
        if stays {
            let ended = self.ended.entry((expiry, window.clone())).or_insert_with(|| {
                cx.kept.add(since);
                Ended::new(since, layout.sides.len())
            });
            let from = ended.used.iter().map(Vec::len).collect();
            for (input, parts) in parts.iter().enumerate() {
                for rows in parts {
                    stay(&mut self.joined, ended, input, &window, rows.clone())?;
                }
            }
            then = Then::Stay { expiry, window: window.clone(), from };
        }
        cx.kept.change(Some(since), None);
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
            Ended::new(cx.epoch, inputs)
        });
        let mut parts = read(&self.joined, &ended.parts)?;
        *parts.get_mut(port).ok_or_else(|| no_port(port))? = vec![rows.clone()];
        let mut from = vec![0; inputs];
        if let (Some(from), Some(used)) = (from.get_mut(port), ended.used.get(port)) {
            *from = used.len();
        }
        stay(&mut self.joined, ended, port, &window, rows)?;
        let sides = layout.sides.iter().zip(parts).map(|(s, p)| Side::new(&s.schema, p));
        let sides = sides.collect::<Result<_>>()?;
        let then = Then::Stay { expiry, window: window.clone(), from };
        Closing::new(layout, &layout.steps, sides, RowWindows::One(window), LATE, then)
    }

    /// Takes back which rows were joined, of rows that stay.
    pub(super) fn stay(&mut self, closing: &Closing, expiry: EventTime, window: Window, from: &[usize]) {
        let Some(ended) = self.ended.get_mut(&(expiry, window)) else { return };
        for ((all, new), from) in ended.used.iter_mut().zip(&closing.used).zip(from) {
            all.iter_mut().skip(*from).zip(new).for_each(|(all, new)| *all |= new);
        }
    }

    /// Finds the windows again of the rows that were restored.
    pub(super) fn restored(&mut self, layout: &Layout, cx: &mut OpCx) -> Result<()> {
        let inputs = layout.sides.len();
        for input in 0..inputs {
            let waiting = self.waiting.get_mut(input).ok_or_else(|| no_port(input))?;
            let found = waiting.restored_by_window()?;
            cx.fates.in_state += waiting.len() as u64;
            for (window, id) in found {
                self.open(&window, cx, input, id)?;
            }
            let joined = self.joined.get_mut(input).ok_or_else(|| no_port(input))?;
            let found = joined.restored_by_window()?;
            cx.fates.in_state += joined.len() as u64;
            for (window, id) in found {
                let rows = joined.rows(id)?.num_rows();
                let key = (layout.windowing.expiry(&window), window);
                let ended = self.ended.entry(key).or_insert_with(|| {
                    cx.kept.add(cx.epoch);
                    Ended::new(cx.epoch, inputs)
                });
                let (Some(parts), Some(used)) = (ended.parts.get_mut(input), ended.used.get_mut(input))
                else {
                    return Err(no_port(input));
                };
                parts.push(id);
                used.resize(used.len() + rows, false);
            }
        }
        for ((_, window), ended) in &mut self.ended {
            ended.used = partners(layout, window, read(&self.joined, &ended.parts)?)?;
        }
        Ok(())
    }
}

/// Which rows of a window have partners, by input. Joins whose windows stay keep no rows without one, so that those
/// are all rows in the join of everything that came, in whatever order it did.
fn partners(layout: &Layout, window: &Window, parts: Vec<Vec<RecordBatch>>) -> Result<Vec<Vec<bool>>> {
    let sides = layout.sides.iter().zip(parts).map(|(s, p)| Side::new(&s.schema, p));
    let windows = RowWindows::One(window.clone());
    let sides = sides.collect::<Result<_>>()?;
    let mut closing = Closing::new(layout, &layout.steps, sides, windows, LATE, Then::Settle)?;
    while closing.next(layout, TRIAL_ROWS, &mut Results::default())?.is_some() {}
    Ok(closing.used)
}

/// Adds rows to a window that has ended.
fn stay(
    joined: &mut [KeptRows],
    ended: &mut Ended,
    input: usize,
    window: &Window,
    rows: RecordBatch,
) -> Result<()> {
    let (Some(table), Some(parts), Some(used)) =
        (joined.get_mut(input), ended.parts.get_mut(input), ended.used.get_mut(input))
    else {
        return Err(no_port(input));
    };
    used.resize(used.len() + rows.num_rows(), false);
    parts.push(table.add(rows, InWindow::One(window.clone())));
    Ok(())
}

fn tables_and_inputs() -> Error {
    Error::internal("a join has other tables than inputs")
}

/// The rows of these parts, by input.
fn read(tables: &[KeptRows], parts: &Parts) -> Result<Vec<Vec<RecordBatch>>> {
    if tables.len() != parts.len() {
        return Err(tables_and_inputs());
    }
    let of =
        |(table, ids): (&KeptRows, &Vec<PartId>)| ids.iter().map(|id| table.rows(*id).cloned()).collect();
    tables.iter().zip(parts).map(of).collect()
}

/// The same, and removes them.
fn take(tables: &mut [KeptRows], parts: &Parts) -> Result<Vec<Vec<RecordBatch>>> {
    if tables.len() != parts.len() {
        return Err(tables_and_inputs());
    }
    let of = |(table, ids): (&mut KeptRows, &Vec<PartId>)| ids.iter().map(|id| table.take(*id)).collect();
    tables.iter_mut().zip(parts).map(of).collect()
}

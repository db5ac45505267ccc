//! Windows that go out whole, when the watermark passes their end.
//!
//! Rows are added to the groups of their window. Within the allowed lateness a window that went out stays:
//! every late row makes a pane of its own.

use super::Aggregate;
use super::emit::{Each, Emitter, Piece};
use super::parts::{Part, Parts};
use super::pools::PaneCount;
use super::table::{Columns, HashedKeys};
use super::windows::{State, WindowTable, pop_until, state_of};
use arrow_array::UInt32Array;
use arrow_select::take::take;
use purlin_api::{
    AccumulationMode, Batch, EventTime, More, OpCx, Operator, Pane, Port, Result, StateTable, Timing, Window,
};
use std::collections::HashMap;

/// A window that is going out.
struct Closing {
    window: Window,
    state: State,
    /// The next group to go, and how many are left.
    next: u32,
    left: usize,
}

/// Groups of one pool that go out together.
#[derive(Default)]
struct Outgoing {
    pool: Option<usize>,
    groups: Vec<u32>,
    /// Whose groups they are: so many of each window.
    windows: Vec<(Window, usize)>,
    /// Windows whose last groups these are.
    complete: Vec<Closing>,
}

/// The operator.
pub(super) struct WholeWindows {
    table: WindowTable,
    emitter: Emitter,
    closing: Option<Closing>,
    scratch: Vec<u32>,
}

/// Where the rows of a window go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Into the groups of this pool.
    Pool(usize),
    /// Each into a pane of its own.
    AfterEnd,
    Late,
}

/// A batch that is being worked on.
struct Rows<'a> {
    parts: &'a Parts<'a, Kind>,
    keys: &'a HashedKeys,
    columns: &'a Columns,
}

impl WholeWindows {
    pub(super) fn new(aggregate: Aggregate) -> Result<Self> {
        // A function that cannot be built fails here and not at the first row.
        aggregate.accumulators()?;
        Ok(WholeWindows {
            emitter: Emitter::new(aggregate.emitted()),
            closing: None,
            scratch: Vec::new(),
            table: WindowTable::new(aggregate),
        })
    }

    pub(super) fn state_bytes(&self) -> usize {
        let closing = self.closing.as_ref().map_or(0, |_| size_of::<State>());
        self.table.size_bytes() + closing
    }

    pub(super) fn state_groups(&self) -> usize {
        let closing = self.closing.as_ref().map_or(0, |c| c.state.member.len());
        self.table.groups() + closing
    }

    fn retracts(&self) -> bool {
        self.table.aggregate.windowing.accumulation == AccumulationMode::Retracting
    }

    /// Decides where the rows of a window go.
    fn kind(&mut self, window: &Window, watermark: EventTime) -> Result<Kind> {
        if self.table.aggregate.windowing.expiry(window) <= watermark {
            return Ok(Kind::Late);
        }
        if window.end() <= watermark || self.table.is_ahead(window) {
            return Ok(Kind::AfterEnd);
        }
        let table = &mut self.table;
        let state = state_of(&mut table.open, window, &mut table.pools, &table.aggregate)?;
        Ok(Kind::Pool(state.pool))
    }

    /// Adds rows to windows that share a pool.
    fn absorb(
        &mut self,
        pool: usize,
        parts: &[Part<'_, Kind>],
        rows: &Rows<'_>,
        cx: &mut OpCx,
    ) -> Result<()> {
        let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return Ok(()) };
        let table = &mut self.table;
        let places = first.places.start..last.places.end;
        self.scratch.clear();
        for part in parts {
            let state = state_of(&mut table.open, part.window, &mut table.pools, &table.aggregate)?;
            let groups = &mut table.pools.get_mut(pool)?.groups;
            let row_of = rows.parts.rows(part.places.clone());
            groups.intern(&mut state.member, rows.keys, row_of, &mut self.scratch);
            state.rows += part.places.len() as u64;
            state.keeps(cx);
        }
        let pool = table.pools.get_mut(pool)?;
        pool.groups.grow();
        cx.fates.in_state += places.len() as u64;
        pool.touch(&self.scratch);
        pool.groups.add(&self.scratch, &table.aggregate.feeds, rows.columns, places)
    }

    /// Rows of a window that went out and has not expired: each makes a pane. Rows of different keys have
    /// nothing to do with each other, so the first row of every key goes in one step, then the second,
    /// and so on. Rows that are too late nevertheless are added to `late`.
    fn after_end(
        &mut self,
        part: &Part<'_, Kind>,
        rows: &Rows<'_>,
        late: &mut Vec<u32>,
        cx: &mut OpCx,
    ) -> Result<()> {
        let table = &mut self.table;
        let (once, forgets) = (table.aggregate.fires_once(), table.aggregate.forgets());
        table.late(part.window)?;
        let state = state_of(&mut table.fired, part.window, &mut table.pools, &table.aggregate)?;
        if !forgets {
            state.keeps(cx);
        }
        let at = state.pool;
        let pool = table.pools.get_mut(at)?;
        self.scratch.clear();
        let row_of = rows.parts.rows(part.places.clone());
        pool.groups.intern(&mut state.member, rows.keys, row_of, &mut self.scratch);
        pool.touch(&self.scratch);
        pool.groups.grow();
        pool.panes.resize(pool.groups.len(), PaneCount::default());
        let mut seen = HashMap::<u32, u32>::new();
        let mut rounds: Vec<(u32, u32, u32)> = Vec::with_capacity(part.places.len());
        let row_of = rows.parts.rows(part.places.clone());
        for ((group, row), place) in self.scratch.iter().zip(row_of).zip(part.places.clone()) {
            let nth = seen.entry(*group).or_insert(0);
            let before = pool.panes.get(*group as usize).map_or(0, |p| p.count) + *nth;
            if once && before > 0 {
                late.push(row as u32);
            } else {
                rounds.push((*nth, place as u32, *group));
                *nth += 1;
            }
        }
        rounds.sort_by_key(|(round, ..)| *round);
        for round in rounds.chunk_by(|a, b| a.0 == b.0) {
            let places = UInt32Array::from_iter_values(round.iter().map(|(_, place, _)| *place));
            let groups: Vec<u32> = round.iter().map(|(.., group)| *group).collect();
            let columns = rows.columns.map(|c| Ok(take(c, &places, None)?))?;
            self.late_panes(at, part.window, &columns, &groups, cx)?;
        }
        Ok(())
    }

    /// One late row for each of these groups.
    fn late_panes(
        &mut self,
        at: usize,
        window: &Window,
        columns: &Columns,
        groups: &[u32],
        cx: &mut OpCx,
    ) -> Result<()> {
        let retracts = self.retracts();
        let table = &mut self.table;
        let (once, forgets) = (table.aggregate.fires_once(), table.aggregate.forgets());
        let pool = table.pools.get_mut(at)?;
        let codec = &table.aggregate.codec;
        let had = |g: &u32| pool.panes.get(*g as usize).copied().unwrap_or_default();
        let piece = |columns, panes: Vec<Pane>| Piece {
            windows: Each::One(window.clone()),
            times: Each::One(window.max_timestamp()),
            rows: panes.len(),
            panes: Each::Rows(panes),
            columns,
        };
        if retracts {
            let before: Vec<u32> = groups.iter().copied().filter(|g| had(g).count > 0).collect();
            if !before.is_empty() {
                let earlier = |p: PaneCount| PaneCount { count: p.count - 1, ..p };
                let panes = before.iter().map(|g| pane_after(earlier(had(g)), once)).collect();
                let taken_back = piece(pool.groups.emit(codec, &before)?, panes);
                self.emitter.push(taken_back, Some(true), cx)?;
            }
        }
        pool.groups.add(groups, &table.aggregate.feeds, columns, 0..groups.len())?;
        let panes = groups.iter().map(|g| pane_after(had(g), once)).collect();
        let results = piece(pool.groups.emit(codec, groups)?, panes);
        self.emitter.push(results, retracts.then_some(false), cx)?;
        if forgets {
            pool.groups.clear(groups);
        }
        for group in groups {
            if let Some(panes) = pool.panes.get_mut(*group as usize) {
                panes.count += 1;
            }
        }
        cx.fates.passed += groups.len() as u64;
        Ok(())
    }

    /// Sends out what the watermark has passed, at most about `cx.rows_max` rows of it.
    fn advance(&mut self, cx: &mut OpCx) -> Result<More> {
        let mut room = cx.rows_max.max(1);
        let mut outgoing = Outgoing::default();
        loop {
            if self.closing.is_none() {
                self.closing = pop_until(&mut self.table.open, cx.watermark).map(|((_, window), state)| {
                    Closing { window, next: state.member.first(), left: state.member.len(), state }
                });
            }
            if room == 0 && self.closing.is_some() {
                self.send(outgoing, cx)?;
                self.emitter.flush(cx)?;
                return Ok(More::Yes);
            }
            let Some(mut closing) = self.closing.take() else { break };
            if outgoing.pool != Some(closing.state.pool) {
                self.send(std::mem::take(&mut outgoing), cx)?;
                outgoing.pool = Some(closing.state.pool);
            }
            let pool = self.table.pools.get(closing.state.pool)?;
            let (groups, next) = pool.groups.walk(closing.next, room.min(closing.left));
            room -= groups.len();
            closing.next = next;
            closing.left = if groups.is_empty() { 0 } else { closing.left - groups.len() };
            outgoing.windows.push((closing.window.clone(), groups.len()));
            outgoing.groups.extend(groups);
            if closing.left > 0 {
                self.closing = Some(closing);
            } else {
                outgoing.complete.push(closing);
            }
        }
        self.send(outgoing, cx)?;
        self.emitter.flush(cx)?;
        let lateness = self.table.aggregate.windowing.allowed_lateness;
        while let Some((_, mut state)) = pop_until(&mut self.table.fired, cx.watermark.plus(-lateness)) {
            state.forgets(cx);
            self.table.close(&state)?;
        }
        Ok(More::No)
    }

    /// Sends out groups of one pool.
    fn send(&mut self, outgoing: Outgoing, cx: &mut OpCx) -> Result<()> {
        let Some(pool) = outgoing.pool else { return Ok(()) };
        let pool = self.table.pools.get(pool)?;
        let piece = Piece {
            times: Each::of_runs(&outgoing.windows, Window::max_timestamp),
            panes: Each::of_runs(&outgoing.windows, |w| self.pane_at_end(w)),
            windows: Each::of_runs(&outgoing.windows, Window::clone),
            columns: pool.groups.emit(&self.table.aggregate.codec, &outgoing.groups)?,
            rows: outgoing.groups.len(),
        };
        let flag = self.retracts().then_some(false);
        self.emitter.push(piece, flag, cx)?;
        outgoing.complete.into_iter().try_for_each(|closing| self.closed(closing, cx))
    }

    fn closed(&mut self, closing: Closing, cx: &mut OpCx) -> Result<()> {
        let Closing { window, mut state, .. } = closing;
        cx.fates.in_state -= state.rows;
        cx.fates.passed += state.rows;
        state.rows = 0;
        let expired = self.table.aggregate.windowing.expiry(&window) <= cx.watermark;
        if expired || self.table.aggregate.forgets() {
            state.forgets(cx);
        }
        if expired { self.table.close(&state) } else { self.table.stays(window, state) }
    }

    fn pane_at_end(&self, window: &Window) -> Pane {
        let windowing = &self.table.aggregate.windowing;
        let is_last = self.table.aggregate.fires_once()
            || if self.table.aggregate.beam_last {
                // Beam groups the global window with the default trigger on another path.
                *window == Window::Global
            } else {
                windowing.expiry(window) <= window.end()
            };
        Pane { is_last, ..Pane::ONLY }
    }
}

impl Operator for WholeWindows {
    fn on_batch(&mut self, _port: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        let keys = self.table.aggregate.key_columns(&batch)?;
        let keys = self.table.hashed(&keys, batch.len())?;
        let parts = Parts::new(&batch, |window| self.kind(window, cx.watermark))?;
        let columns = Columns::new(batch.rows.columns(), &self.table.aggregate.feeds, |c| parts.ordered(c))?;
        let rows = Rows { parts: &parts, keys: &keys, columns: &columns };
        let mut late = Vec::new();
        for alike in parts.kinds() {
            match alike.first().map(|part| part.kind) {
                Some(Kind::Pool(pool)) => self.absorb(pool, alike, &rows, cx)?,
                Some(Kind::AfterEnd) => {
                    alike.iter().try_for_each(|part| self.after_end(part, &rows, &mut late, cx))?;
                }
                Some(Kind::Late) => {
                    let places = alike.iter().flat_map(|part| parts.rows(part.places.clone()));
                    late.extend(places.map(|row| row as u32));
                }
                None => {}
            }
        }
        self.emitter.flush(cx)?;
        self.table.aggregate.late(&batch, late, cx)?;
        Ok(More::No)
    }

    fn on_watermark(&mut self, cx: &mut OpCx) -> Result<More> {
        self.advance(cx)
    }

    fn resume(&mut self, cx: &mut OpCx) -> Result<More> {
        self.advance(cx)
    }

    fn tables(&mut self) -> Vec<&mut dyn StateTable> {
        vec![&mut self.table]
    }

    fn restored(&mut self, cx: &mut OpCx) -> Result<()> {
        self.table.restored(cx)
    }
}

/// The pane that follows those a group has had.
fn pane_after(had: PaneCount, once: bool) -> Pane {
    let index = i64::from(had.count);
    let timing = if had.count == 0 && had.punctual { Timing::OnTime } else { Timing::Late };
    Pane { is_first: index == 0, is_last: once, timing, index, nonspeculative_index: index }
}

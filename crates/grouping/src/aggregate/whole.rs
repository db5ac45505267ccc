//! Windows that go out whole, when the watermark passes their end.
//!
//! Each window has a table of its keys. Within the allowed lateness a window that went out stays: every
//! late row makes a pane of its own.

use super::Aggregate;
use super::emit::{Each, Emitter, Piece};
use super::parts::Parts;
use super::table::{Columns, Groups, HashedKeys};
use ahash::RandomState;
use arrow_array::UInt32Array;
use arrow_select::take::take;
use purlin_api::{
    AccumulationMode, Batch, EventTime, More, OpCx, Operator, Pane, Port, Result, Timing, Trigger, Window,
};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// By end, so that windows are found in the order of time.
type Windows = BTreeMap<(EventTime, Window), State>;

/// What is kept of a window.
struct State {
    groups: Groups,
    /// Rows that no pane has had yet.
    rows: u64,
    /// How many panes a group has had; only kept after the first.
    panes: Vec<u32>,
    /// How many groups, from the first, had their first pane on time.
    punctual: usize,
}

/// A window that is going out.
struct Closing {
    window: Window,
    state: State,
    /// The next group to go.
    next: usize,
}

/// The operator.
pub(super) struct WholeWindows {
    aggregate: Aggregate,
    random: RandomState,
    emitter: Emitter,
    /// Windows the watermark has not passed.
    open: Windows,
    closing: Option<Closing>,
    /// Windows that went out and may still get late rows.
    fired: Windows,
    scratch: Vec<u32>,
}

/// The rows of one window in a batch.
struct Part<'a> {
    window: &'a Window,
    places: Range<usize>,
    parts: &'a Parts<'a>,
    keys: &'a HashedKeys,
    columns: &'a Columns,
}

impl WholeWindows {
    pub(super) fn new(aggregate: Aggregate) -> Result<Self> {
        // A function that cannot be built fails here and not at the first row.
        aggregate.accumulators()?;
        Ok(WholeWindows {
            random: RandomState::new(),
            emitter: Emitter::new(aggregate.emitted()),
            open: Windows::new(),
            closing: None,
            fired: Windows::new(),
            scratch: Vec::new(),
            aggregate,
        })
    }

    pub(super) fn state_bytes(&self) -> usize {
        let kept = self.open.values().chain(self.fired.values()).chain(self.closing.iter().map(|c| &c.state));
        kept.map(|s| s.groups.size_bytes() + s.panes.capacity() * 4).sum()
    }

    pub(super) fn state_groups(&self) -> usize {
        let kept = self.open.values().chain(self.fired.values()).chain(self.closing.iter().map(|c| &c.state));
        kept.map(|s| s.groups.len()).sum()
    }

    /// The trigger has fired for good once a pane went out.
    fn fires_once(&self) -> bool {
        self.aggregate.windowing.trigger != Trigger::Default
    }

    fn forgets(&self) -> bool {
        self.fires_once() || self.aggregate.windowing.accumulation == AccumulationMode::Discarding
    }

    fn absorb(&mut self, part: &Part<'_>, cx: &mut OpCx) -> Result<()> {
        let state = state_of(&mut self.open, part.window, &self.aggregate)?;
        state.groups.intern(part.keys, part.parts.rows(part.places.clone()), &mut self.scratch);
        state.groups.add(&self.scratch, &self.aggregate.feeds, part.columns, part.places.clone())?;
        let rows = part.places.len() as u64;
        state.rows += rows;
        cx.fates.in_state += rows;
        Ok(())
    }

    /// Rows of a window that went out and has not expired: each makes a pane. Rows of different keys
    /// have nothing to do with each other, so the first row of every key goes in one step, then the
    /// second, and so on. Places of rows that are too late nevertheless are added to `late`.
    fn after_end(&mut self, part: &Part<'_>, late: &mut Vec<u32>, cx: &mut OpCx) -> Result<()> {
        let once = self.fires_once();
        let state = state_of(&mut self.fired, part.window, &self.aggregate)?;
        let rows: Vec<usize> = part.parts.rows(part.places.clone()).collect();
        state.groups.intern(part.keys, rows.iter().copied(), &mut self.scratch);
        state.panes.resize(state.groups.len(), 0);
        let mut seen = HashMap::<u32, u32>::new();
        let mut rounds: Vec<(u32, u32, u32)> = Vec::with_capacity(rows.len());
        for ((group, row), place) in self.scratch.iter().zip(rows).zip(part.places.clone()) {
            let nth = seen.entry(*group).or_insert(0);
            let before = state.panes.get(*group as usize).copied().unwrap_or(0) + *nth;
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
            self.late_panes(part, &places, &groups, cx)?;
        }
        Ok(())
    }

    /// One late row for each of these groups.
    fn late_panes(
        &mut self,
        part: &Part<'_>,
        places: &UInt32Array,
        groups: &[u32],
        cx: &mut OpCx,
    ) -> Result<()> {
        let (once, forgets) = (self.fires_once(), self.forgets());
        let retracts = self.aggregate.windowing.accumulation == AccumulationMode::Retracting;
        let state = state_of(&mut self.fired, part.window, &self.aggregate)?;
        let codec = &self.aggregate.codec;
        let count = |g: &u32| state.panes.get(*g as usize).copied().unwrap_or(0);
        let punctual = state.punctual;
        let piece = |columns, panes: Vec<Pane>| Piece {
            windows: Each::One(part.window.clone()),
            times: Each::One(part.window.max_timestamp()),
            rows: panes.len(),
            panes: Each::Rows(panes),
            columns,
        };
        if retracts {
            let before: Vec<u32> = groups.iter().copied().filter(|g| count(g) > 0).collect();
            if !before.is_empty() {
                let panes = before.iter().map(|g| pane_after(count(g) - 1, (*g as usize) < punctual, once));
                let taken_back = piece(state.groups.emit(codec, &before)?, panes.collect());
                self.emitter.push(taken_back, Some(true), cx)?;
            }
        }
        let columns = part.columns.map(|c| Ok(take(c, places, None)?))?;
        state.groups.add(groups, &self.aggregate.feeds, &columns, 0..groups.len())?;
        let panes = groups.iter().map(|g| pane_after(count(g), (*g as usize) < punctual, once));
        let results = piece(state.groups.emit(codec, groups)?, panes.collect());
        self.emitter.push(results, retracts.then_some(false), cx)?;
        if forgets {
            state.groups.clear(groups);
        }
        for group in groups {
            if let Some(panes) = state.panes.get_mut(*group as usize) {
                *panes += 1;
            }
        }
        cx.fates.passed += groups.len() as u64;
        Ok(())
    }

    /// Sends out what the watermark has passed, at most about `cx.rows_max` rows of it.
    fn advance(&mut self, cx: &mut OpCx) -> Result<More> {
        let mut room = cx.rows_max.max(1);
        loop {
            if self.closing.is_none() {
                self.closing = pop_until(&mut self.open, cx.watermark).map(|((_, window), state)| Closing {
                    window,
                    state,
                    next: 0,
                });
            }
            let Some(mut closing) = self.closing.take() else { break };
            if room == 0 {
                self.closing = Some(closing);
                self.emitter.flush(cx)?;
                return Ok(More::Yes);
            }
            let len = closing.state.groups.len();
            let end = len.min(closing.next + room);
            self.send(&closing, end, cx)?;
            room -= end - closing.next;
            closing.next = end;
            if end < len {
                self.closing = Some(closing);
            } else {
                self.closed(closing, cx);
            }
        }
        self.emitter.flush(cx)?;
        let lateness = self.aggregate.windowing.allowed_lateness;
        while pop_until(&mut self.fired, cx.watermark.plus(-lateness)).is_some() {}
        Ok(More::No)
    }

    fn send(&mut self, closing: &Closing, end: usize, cx: &mut OpCx) -> Result<()> {
        let groups: Vec<u32> = (closing.next as u32..end as u32).collect();
        let piece = Piece {
            windows: Each::One(closing.window.clone()),
            times: Each::One(closing.window.max_timestamp()),
            panes: Each::One(self.pane_at_end(&closing.window)),
            columns: closing.state.groups.emit(&self.aggregate.codec, &groups)?,
            rows: groups.len(),
        };
        let retracts = self.aggregate.windowing.accumulation == AccumulationMode::Retracting;
        self.emitter.push(piece, retracts.then_some(false), cx)
    }

    fn closed(&mut self, closing: Closing, cx: &mut OpCx) {
        let Closing { window, mut state, .. } = closing;
        cx.fates.in_state -= state.rows;
        cx.fates.passed += state.rows;
        state.rows = 0;
        if self.aggregate.windowing.expiry(&window) > cx.watermark {
            if self.forgets() {
                state.groups.clear_all();
            }
            state.punctual = state.groups.len();
            state.panes = vec![1; state.punctual];
            self.fired.insert((window.end(), window), state);
        }
    }

    fn pane_at_end(&self, window: &Window) -> Pane {
        let windowing = &self.aggregate.windowing;
        let is_last = self.fires_once()
            || if self.aggregate.beam_compat {
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
        let aggregate = &self.aggregate;
        let keys =
            HashedKeys::new(&aggregate.codec, &aggregate.key_columns(&batch)?, batch.len(), &self.random)?;
        let parts = Parts::new(&batch);
        let columns = Columns::new(batch.rows.columns(), &aggregate.feeds, |c| parts.ordered(c))?;
        let mut late = Vec::new();
        for (window, places) in parts.iter() {
            let places = places.clone();
            if self.aggregate.windowing.expiry(window) <= cx.watermark {
                late.extend(parts.rows(places).map(|row| row as u32));
                continue;
            }
            let part = Part { window, places, parts: &parts, keys: &keys, columns: &columns };
            if window.end() <= cx.watermark {
                self.after_end(&part, &mut late, cx)?;
            } else {
                self.absorb(&part, cx)?;
            }
        }
        self.emitter.flush(cx)?;
        self.aggregate.late(&batch, late, cx)?;
        Ok(More::No)
    }

    fn on_watermark(&mut self, cx: &mut OpCx) -> Result<More> {
        self.advance(cx)
    }

    fn resume(&mut self, cx: &mut OpCx) -> Result<More> {
        self.advance(cx)
    }
}

fn state_of<'a>(windows: &'a mut Windows, window: &Window, aggregate: &Aggregate) -> Result<&'a mut State> {
    use std::collections::btree_map::Entry;
    Ok(match windows.entry((window.end(), window.clone())) {
        Entry::Occupied(found) => found.into_mut(),
        Entry::Vacant(free) => {
            let groups = Groups::new(aggregate.accumulators()?);
            free.insert(State { groups, rows: 0, panes: Vec::new(), punctual: 0 })
        }
    })
}

fn pop_until(windows: &mut Windows, end: EventTime) -> Option<((EventTime, Window), State)> {
    if windows.first_key_value().is_some_and(|((t, _), _)| *t <= end) { windows.pop_first() } else { None }
}

/// The pane of a group that has had `count` of them, given whether the first was on time.
fn pane_after(count: u32, punctual: bool, once: bool) -> Pane {
    let index = i64::from(count);
    Pane {
        is_first: count == 0,
        is_last: once,
        timing: if count == 0 && punctual { Timing::OnTime } else { Timing::Late },
        index,
        nonspeculative_index: index,
    }
}

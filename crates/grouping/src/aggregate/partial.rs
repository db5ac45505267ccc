//! Partial aggregation: rows are grouped where they are, and states are shuffled in their place.
//!
//! The table is bounded; when it is full it is emptied downstream, so memory has a limit and nothing is
//! ever waited for. Where hardly two rows meet in a group, grouping twice is a loss: then rows pass
//! through as states of one row each, and every now and then grouping is tried again.
//!
//! **Lateness.** A partial row is in the window of its rows, and the windows the watermark has passed are
//! emptied before the watermark moves on: what was on time here is on time downstream. Rows that are
//! late here go on at once; the completing step judges them, by their window, as it would have anyway.

mod state;

use super::emit::{Each, Emitter, Piece};
use super::parts::Parts;
use super::table::{Columns, Groups, HashedKeys, Member};
use super::{Aggregate, Aggregation, Feed, ROWS};
use crate::accumulate::{Accumulator, AggregateFn};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use purlin_api::shape::physical;
use purlin_api::{Batch, EventTime, More, OpCx, Operator, Pane, Port, Result, StateTable, Window};
use state::PartialTable;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// Groups the table holds at most, about.
const GROUPS_MAX: usize = 64 * 1024;
/// Bytes the table holds at most, about.
const BYTES_MAX: usize = 16 << 20;
/// Rows after which it is judged whether grouping pays.
const PROBE_ROWS: u64 = 32 * 1024;
/// Rows that pass through before grouping is tried again.
const PASS_ROWS: u64 = 1 << 20;
/// More groups than this in a hundred rows do not pay.
const GROUPS_PERCENT_MAX: u64 = 80;

/// An aggregation in two steps.
#[derive(Clone, Debug)]
pub struct Lift {
    /// Runs where the rows are.
    pub partial: Partial,
    /// Runs where equal keys meet, on what `partial` emits; its keys are the first columns.
    pub complete: Aggregate,
}

/// The first of two steps.
#[derive(Clone, Debug)]
pub struct Partial {
    aggregate: Aggregate,
    /// What the accumulators are fed with, the count of rows included.
    feeds: Vec<Feed>,
    rows: AggregateFn,
    output: SchemaRef,
}

impl Aggregate {
    /// The aggregation in two steps, if that gives the same results and can pay: windows go out whole,
    /// no lateness, no late output, and every aggregate's state is smaller than its rows.
    pub fn lift(&self) -> Result<Option<Lift>> {
        let exact = self.fires_whole() && self.windowing.allowed_lateness == 0;
        let pays = self.aggregations.iter().all(|a| a.function.shrinks());
        if !exact || !pays || self.windowing.late_output.is_some() {
            return Ok(None);
        }
        let keys = self.keys.iter().filter_map(|k| self.input.fields().get(*k));
        let mut fields: Vec<Field> = keys.map(|f| f.as_ref().clone()).collect();
        let mut states = Vec::new();
        for Aggregation { name, function, .. } in &self.aggregations {
            let start = fields.len();
            fields.extend(function.state_fields(name));
            states.push(Feed::States(start..fields.len()));
        }
        fields.push(Field::new(ROWS, DataType::Int64, false));
        let output: SchemaRef = Arc::new(Schema::new(fields));
        let rows = AggregateFn::resolve("count", &Field::new(ROWS, DataType::Null, true));
        let rows = rows.map_err(purlin_api::Error::internal)?;
        let feeds = self.feeds.iter().cloned().chain([Feed::Values(None)]).collect();
        let complete = Aggregate {
            row_columns: output.fields().len(),
            input: output.clone(),
            keys: (0..self.keys.len()).collect(),
            feeds: states,
            ..self.clone()
        };
        Ok(Some(Lift { partial: Partial { aggregate: self.clone(), feeds, rows, output }, complete }))
    }
}

impl Partial {
    /// The schema of partial rows: the keys, the states, and [`ROWS`].
    pub fn output(&self) -> &SchemaRef {
        &self.output
    }

    /// A running instance for one lane; `slot` is a key slot that is this lane's: its state is saved there.
    pub fn operator(&self, slot: u16) -> Result<PartialOperator> {
        Ok(PartialOperator {
            emitter: Emitter::new(physical(&self.output)),
            schema: physical(&self.output),
            table: PartialTable::new(self.clone(), slot)?,
            leaving: None,
            until: EventTime::MIN,
            mode: Mode::Probe { rows: 0, groups: 0 },
            scratch: Vec::new(),
        })
    }

    fn accumulators(&self) -> Result<Vec<Box<dyn Accumulator>>> {
        self.functions().map(AggregateFn::accumulator).collect()
    }

    /// Those of the aggregates, and the count of rows.
    fn functions(&self) -> impl Iterator<Item = &AggregateFn> {
        self.aggregate.functions().chain(std::iter::once(&self.rows))
    }
}

/// Whether rows are grouped.
enum Mode {
    /// They are; so many rows made so many groups.
    Probe { rows: u64, groups: u64 },
    /// So many rows more pass through.
    Pass { rows: u64 },
}

/// What is kept of a window.
struct State {
    member: Member,
    rows: u64,
    /// The epoch of its first row.
    since: u64,
}

impl State {
    fn new(groups: &mut Groups, epoch: u64) -> Self {
        State { member: groups.open(), rows: 0, since: epoch }
    }
}

/// A window that is being emptied.
struct Leaving {
    window: Window,
    state: State,
    /// The next group to go, and how many are left.
    next: u32,
    left: usize,
}

/// A running first step. It counts rows as passed when their state has gone out.
pub struct PartialOperator {
    table: PartialTable,
    schema: SchemaRef,
    emitter: Emitter,
    leaving: Option<Leaving>,
    /// Windows that end up to here are to be emptied.
    until: EventTime,
    mode: Mode,
    scratch: Vec<u32>,
}

impl PartialOperator {
    /// About how many bytes of state it holds.
    pub fn state_bytes(&self) -> usize {
        self.table.groups.size_bytes()
    }

    /// How many groups it holds.
    pub fn state_groups(&self) -> usize {
        let kept: usize = self.table.windows.values().map(|s| s.member.len()).sum();
        kept + self.leaving.as_ref().map_or(0, |l| l.left)
    }

    #[cfg(test)]
    pub(super) fn pass_from_now_on(&mut self) {
        self.mode = Mode::Pass { rows: u64::MAX };
    }

    fn group(&mut self, batch: &Batch, cx: &mut OpCx) -> Result<()> {
        let aggregate = &self.table.partial.aggregate;
        let keys = HashedKeys::new(
            &aggregate.codec,
            &aggregate.key_columns(batch)?,
            batch.len(),
            &self.table.random,
        )?;
        let parts = Parts::new(batch, |_| Ok(()))?;
        let columns = Columns::new(batch.rows.columns(), &self.table.partial.feeds, |c| parts.ordered(c))?;
        let groups_before = self.table.groups.len();
        self.scratch.clear();
        for part in parts.kinds().flatten() {
            let state = match self.table.windows.entry((part.window.end(), part.window.clone())) {
                Entry::Occupied(found) => found.into_mut(),
                Entry::Vacant(free) => {
                    cx.kept.add(cx.epoch);
                    free.insert(State::new(&mut self.table.groups, cx.epoch))
                }
            };
            let rows = parts.rows(part.places.clone());
            self.table.groups.intern(&mut state.member, &keys, rows, &mut self.scratch);
            state.rows += part.places.len() as u64;
        }
        self.table.groups.grow();
        self.table.groups.add(&self.scratch, &self.table.partial.feeds, &columns, 0..batch.len())?;
        self.table.changed = true;
        let new_groups = self.table.groups.len() - groups_before;
        let n = batch.len() as u64;
        cx.fates.in_state += n;
        if let Mode::Probe { rows, groups } = &mut self.mode {
            *rows += n;
            *groups += new_groups as u64;
        }
        Ok(())
    }

    /// Makes a state of each row.
    fn pass(&mut self, batch: &Batch, cx: &mut OpCx) -> Result<()> {
        let aggregate = &self.table.partial.aggregate;
        let columns = Columns::new(batch.rows.columns(), &self.table.partial.feeds, |c| Ok(c.clone()))?;
        let groups: Vec<u32> = (0..batch.len() as u32).collect();
        let mut states: Vec<ArrayRef> = aggregate.key_columns(batch)?;
        for (mut accumulator, feed) in
            self.table.partial.accumulators()?.into_iter().zip(&self.table.partial.feeds)
        {
            accumulator.resize(groups.len());
            columns.feed(feed, 0..groups.len(), accumulator.as_mut(), &groups)?;
            states.extend(accumulator.state(&groups)?);
        }
        let rows = RecordBatch::try_new(self.schema.clone(), states)?;
        cx.emit(super::OUT, batch.with_rows(rows));
        cx.fates.passed += batch.len() as u64;
        Ok(())
    }

    /// Decides how the next rows are treated. True if the table must be emptied.
    fn judge(&mut self, rows_new: u64) -> bool {
        match &mut self.mode {
            Mode::Pass { rows } => {
                *rows = rows.saturating_sub(rows_new);
                if *rows == 0 {
                    self.mode = Mode::Probe { rows: 0, groups: 0 };
                }
                false
            }
            Mode::Probe { rows, groups } if *rows >= PROBE_ROWS => {
                let pays = *groups * 100 <= *rows * GROUPS_PERCENT_MAX;
                self.mode =
                    if pays { Mode::Probe { rows: 0, groups: 0 } } else { Mode::Pass { rows: PASS_ROWS } };
                !pays
            }
            Mode::Probe { .. } => false,
        }
    }

    /// Empties the windows that are due, about `cx.rows_max` rows of them.
    fn drain(&mut self, cx: &mut OpCx) -> Result<More> {
        let room = cx.rows_max.max(1);
        let mut windows: Vec<(Window, usize)> = Vec::new();
        let mut groups: Vec<u32> = Vec::new();
        let mut more = More::No;
        while let Some(mut leaving) = self.leaving.take().or_else(|| self.next_due()) {
            if groups.len() >= room {
                self.leaving = Some(leaving);
                more = More::Yes;
                break;
            }
            let (some, next) = self.table.groups.walk(leaving.next, (room - groups.len()).min(leaving.left));
            leaving.next = next;
            leaving.left = if some.is_empty() { 0 } else { leaving.left - some.len() };
            windows.push((leaving.window.clone(), some.len()));
            groups.extend(some);
            if leaving.left > 0 {
                self.leaving = Some(leaving);
            } else {
                cx.kept.change(Some(leaving.state.since), None);
                cx.fates.in_state -= leaving.state.rows;
                cx.fates.passed += leaving.state.rows;
            }
        }
        if !groups.is_empty() {
            let piece = Piece {
                times: Each::of_runs(&windows, Window::max_timestamp),
                windows: Each::of_runs(&windows, Window::clone),
                panes: Each::One(Pane::UNKNOWN),
                columns: self.table.groups.states(&self.table.partial.aggregate.codec, &groups)?,
                rows: groups.len(),
            };
            self.emitter.push(piece, None, cx)?;
            self.emitter.flush(cx)?;
        }
        if more == More::No {
            self.until = cx.watermark;
            if self.table.windows.is_empty() && self.table.groups.len() > 0 {
                self.table.groups = Groups::new(self.table.partial.accumulators()?);
            }
        }
        Ok(more)
    }

    fn next_due(&mut self) -> Option<Leaving> {
        let first = self.table.windows.first_entry().filter(|first| first.key().0 <= self.until)?;
        let ((_, window), state) = first.remove_entry();
        self.table.changed = true;
        Some(Leaving { window, next: state.member.first(), left: state.member.len(), state })
    }
}

impl Operator for PartialOperator {
    fn on_batch(&mut self, _port: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        if batch.is_empty() {
            return Ok(More::No);
        }
        if matches!(self.mode, Mode::Pass { .. }) {
            self.pass(&batch, cx)?;
        } else {
            self.group(&batch, cx)?;
        }
        let full = self.table.groups.len() >= GROUPS_MAX || self.table.groups.size_bytes() >= BYTES_MAX;
        let loses = self.judge(batch.len() as u64);
        self.until = if full || loses { EventTime::MAX } else { self.until.max(cx.watermark) };
        self.drain(cx)
    }

    fn on_watermark(&mut self, cx: &mut OpCx) -> Result<More> {
        self.until = self.until.max(cx.watermark);
        self.drain(cx)
    }

    fn resume(&mut self, cx: &mut OpCx) -> Result<More> {
        self.drain(cx)
    }

    fn on_end(&mut self, cx: &mut OpCx) -> Result<More> {
        self.until = EventTime::MAX;
        self.drain(cx)
    }

    fn tables(&mut self) -> Vec<&mut dyn StateTable> {
        vec![&mut self.table]
    }

    fn restored(&mut self, cx: &mut OpCx) -> Result<()> {
        self.table.restored(cx);
        Ok(())
    }
}

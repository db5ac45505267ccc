//! Partial aggregation: rows are grouped where they are, and states are shuffled in their place.
//!
//! The table is bounded; when it is full it is emptied downstream, so memory has a limit and nothing is
//! ever waited for. Where hardly two rows meet in a group, grouping twice is a loss: then rows pass
//! through as states of one row each, and every now and then grouping is tried again.
//!
//! **Lateness.** A partial row is in the window of its rows, and the windows the watermark has passed are
//! emptied before the watermark moves on: what was on time here is on time downstream. Rows that are
//! late here go on at once; the completing step judges them, by their window, as it would have anyway.

use super::emit::{Each, Emitter, Piece};
use super::parts::Parts;
use super::table::{Columns, Groups, HashedKeys};
use super::{Aggregate, Aggregation, Feed, ROWS};
use crate::accumulate::{Accumulator, AggregateFn};
use ahash::RandomState;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use purlin_api::shape::physical;
use purlin_api::{Batch, EventTime, More, OpCx, Operator, Pane, Port, Result, Window};
use std::collections::BTreeMap;
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

    /// A running instance for one lane.
    pub fn operator(&self) -> Result<PartialOperator> {
        self.accumulators()?;
        Ok(PartialOperator {
            emitter: Emitter::new(physical(&self.output)),
            schema: physical(&self.output),
            partial: self.clone(),
            random: RandomState::new(),
            windows: BTreeMap::new(),
            groups: 0,
            bytes: 0,
            leaving: None,
            until: EventTime::MIN,
            mode: Mode::Probe { rows: 0, groups: 0 },
            scratch: Vec::new(),
        })
    }

    fn accumulators(&self) -> Result<Vec<Box<dyn Accumulator>>> {
        let mut all = self.aggregate.accumulators()?;
        all.push(self.rows.accumulator()?);
        Ok(all)
    }
}

/// Whether rows are grouped.
enum Mode {
    /// They are; so many rows made so many groups.
    Probe { rows: u64, groups: u64 },
    /// So many rows more pass through.
    Pass { rows: u64 },
}

/// The groups of one window.
struct State {
    groups: Groups,
    rows: u64,
}

/// A window that is being emptied.
struct Leaving {
    window: Window,
    state: State,
    next: usize,
}

/// A running first step. It counts rows as passed when their state has gone out.
pub struct PartialOperator {
    partial: Partial,
    schema: SchemaRef,
    random: RandomState,
    emitter: Emitter,
    windows: BTreeMap<(EventTime, Window), State>,
    /// Groups and bytes in `windows`.
    groups: usize,
    bytes: usize,
    leaving: Option<Leaving>,
    /// Windows that end up to here are to be emptied.
    until: EventTime,
    mode: Mode,
    scratch: Vec<u32>,
}

impl PartialOperator {
    /// About how many bytes of state it holds.
    pub fn state_bytes(&self) -> usize {
        self.bytes + self.leaving.as_ref().map_or(0, |l| l.state.groups.size_bytes())
    }

    /// How many groups it holds.
    pub fn state_groups(&self) -> usize {
        self.groups + self.leaving.as_ref().map_or(0, |l| l.state.groups.len() - l.next)
    }

    #[cfg(test)]
    pub(super) fn pass_from_now_on(&mut self) {
        self.mode = Mode::Pass { rows: u64::MAX };
    }

    fn group(&mut self, batch: &Batch, cx: &mut OpCx) -> Result<()> {
        let aggregate = &self.partial.aggregate;
        let keys =
            HashedKeys::new(&aggregate.codec, &aggregate.key_columns(batch)?, batch.len(), &self.random)?;
        let parts = Parts::new(batch);
        let columns = Columns::new(batch.rows.columns(), &self.partial.feeds, |c| parts.ordered(c))?;
        let mut new_groups = 0;
        for (window, places) in parts.iter() {
            let at = (window.end(), (*window).clone());
            let state = match self.windows.entry(at) {
                std::collections::btree_map::Entry::Occupied(found) => found.into_mut(),
                std::collections::btree_map::Entry::Vacant(free) => {
                    free.insert(State { groups: Groups::new(self.partial.accumulators()?), rows: 0 })
                }
            };
            let (groups, bytes) = (state.groups.len(), state.groups.size_bytes());
            state.groups.intern(&keys, parts.rows(places.clone()), &mut self.scratch);
            state.groups.add(&self.scratch, &self.partial.feeds, &columns, places.clone())?;
            state.rows += places.len() as u64;
            new_groups += state.groups.len() - groups;
            self.bytes = (self.bytes + state.groups.size_bytes()).saturating_sub(bytes);
        }
        self.groups += new_groups;
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
        let aggregate = &self.partial.aggregate;
        let columns = Columns::new(batch.rows.columns(), &self.partial.feeds, |c| Ok(c.clone()))?;
        let groups: Vec<u32> = (0..batch.len() as u32).collect();
        let mut states: Vec<ArrayRef> = aggregate.key_columns(batch)?;
        for (mut accumulator, feed) in self.partial.accumulators()?.into_iter().zip(&self.partial.feeds) {
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
        let mut room = cx.rows_max.max(1);
        loop {
            if self.leaving.is_none()
                && let Some(first) = self.windows.first_entry()
                && first.key().0 <= self.until
            {
                let ((_, window), state) = first.remove_entry();
                self.groups -= state.groups.len();
                self.bytes = self.bytes.saturating_sub(state.groups.size_bytes());
                self.leaving = Some(Leaving { window, state, next: 0 });
            }
            let Some(mut leaving) = self.leaving.take() else { break };
            if room == 0 {
                self.leaving = Some(leaving);
                self.emitter.flush(cx)?;
                return Ok(More::Yes);
            }
            let len = leaving.state.groups.len();
            let end = len.min(leaving.next + room);
            let groups: Vec<u32> = (leaving.next as u32..end as u32).collect();
            let piece = Piece {
                times: Each::One(leaving.window.max_timestamp()),
                windows: Each::One(leaving.window.clone()),
                panes: Each::One(Pane::UNKNOWN),
                columns: leaving.state.groups.states(&self.partial.aggregate.codec, &groups)?,
                rows: groups.len(),
            };
            self.emitter.push(piece, None, cx)?;
            room -= groups.len();
            leaving.next = end;
            if end < len {
                self.leaving = Some(leaving);
            } else {
                cx.fates.in_state -= leaving.state.rows;
                cx.fates.passed += leaving.state.rows;
            }
        }
        self.emitter.flush(cx)?;
        self.until = cx.watermark;
        Ok(More::No)
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
        let full = self.groups >= GROUPS_MAX || self.bytes >= BYTES_MAX;
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
}

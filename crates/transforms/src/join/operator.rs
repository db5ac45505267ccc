//! A running join: rows wait for the end of their window.

use super::plan::{Place, Step};
use super::probe::{Chunk, NONE, Pipeline};
use super::side::Side;
use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::SchemaRef;
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use purlin_api::key::KeyCodec;
use purlin_api::{Batch, Dict, Error, EventTime, More, OpCx, Operator, Pane, Port, Result, Times, Window};
use std::collections::BTreeMap;

/// What is kept of an input.
#[derive(Debug)]
pub(super) struct SideLayout {
    /// The columns, rising.
    pub(super) kept: Vec<usize>,
    /// Their schema.
    pub(super) schema: SchemaRef,
}

/// A join whose columns are numbered as they are kept.
#[derive(Debug)]
pub(super) struct Layout {
    /// By input.
    pub(super) sides: Vec<SideLayout>,
    pub(super) first: usize,
    pub(super) steps: Vec<(Step, KeyCodec)>,
    /// The fields of the result.
    pub(super) columns: Vec<Place>,
    /// The schema that results carry.
    pub(super) schema: SchemaRef,
}

/// The rows of a window that is not over, by input.
#[derive(Debug)]
struct Waiting {
    parts: Vec<Vec<RecordBatch>>,
    rows: u64,
}

/// A window that is being joined.
#[derive(Debug)]
struct Closing {
    window: Window,
    rows: u64,
    pipeline: Pipeline,
    /// By place in the order of the steps: which rows are in the result.
    used: Vec<Vec<bool>>,
}

/// The operator.
#[derive(Debug)]
pub(super) struct JoinOperator {
    layout: Layout,
    /// By end, so that windows are found in the order of time.
    open: BTreeMap<(EventTime, Window), Waiting>,
    closing: Option<Closing>,
}

/// Results of a call, in pieces that each lie in one window.
#[derive(Default)]
struct Results {
    pieces: Vec<(Window, RecordBatch)>,
}

impl JoinOperator {
    pub(super) fn new(layout: Layout) -> Self {
        JoinOperator { layout, open: BTreeMap::new(), closing: None }
    }

    /// Keeps some rows of an input in one window, or counts them late.
    fn keep(&mut self, port: Port, window: &Window, rows: RecordBatch, cx: &mut OpCx) -> Result<()> {
        let count = rows.num_rows() as u64;
        if window.end() <= cx.watermark {
            cx.fates.late += count;
            return Ok(());
        }
        let inputs = self.layout.sides.len();
        let waiting = self
            .open
            .entry((window.end(), window.clone()))
            .or_insert_with(|| Waiting { parts: vec![Vec::new(); inputs], rows: 0 });
        let parts = waiting.parts.get_mut(port).ok_or_else(|| no_port(port))?;
        parts.push(rows);
        waiting.rows += count;
        cx.fates.in_state += count;
        Ok(())
    }

    /// Joins what the watermark has passed, and gives at most about `cx.rows_max` rows of it.
    fn advance(&mut self, cx: &mut OpCx) -> Result<More> {
        let mut room = cx.rows_max.max(1);
        let mut results = Results::default();
        loop {
            if self.closing.is_none() {
                self.closing = self.next_window(cx.watermark)?;
            }
            let Some(closing) = &mut self.closing else { break };
            if room == 0 {
                results.send(&self.layout.schema, cx)?;
                return Ok(More::Yes);
            }
            match closing.pipeline.next(room)? {
                Some(chunk) => {
                    room -= chunk.len().min(room);
                    closing.mark(&chunk);
                    let rows = self.layout.rows(&closing.pipeline, &chunk)?;
                    results.pieces.push((closing.window.clone(), rows));
                }
                None => {
                    closing.settle(cx);
                    self.closing = None;
                }
            }
        }
        results.send(&self.layout.schema, cx)?;
        Ok(More::No)
    }

    fn next_window(&mut self, watermark: EventTime) -> Result<Option<Closing>> {
        if self.open.first_key_value().is_none_or(|((end, _), _)| *end > watermark) {
            return Ok(None);
        }
        let Some(((_, window), waiting)) = self.open.pop_first() else { return Ok(None) };
        let sides = self.layout.sides.iter().zip(waiting.parts).map(|(s, p)| Side::new(&s.schema, p));
        let sides: Vec<Side> = sides.collect::<Result<_>>()?;
        let order = self.layout.order();
        let used = order.map(|i| vec![false; sides.get(i).map_or(0, Side::len)]).collect();
        let pipeline = Pipeline::new(sides, self.layout.first, &self.layout.steps)?;
        Ok(Some(Closing { window, rows: waiting.rows, pipeline, used }))
    }
}

fn no_port(port: Port) -> Error {
    Error::internal(format!("this join has no input port {port}"))
}

impl Layout {
    /// The inputs in the order of the steps.
    fn order(&self) -> impl Iterator<Item = usize> {
        std::iter::once(self.first).chain(self.steps.iter().map(|(s, _)| s.input))
    }

    /// The rows of the result that a chunk says.
    fn rows(&self, pipeline: &Pipeline, chunk: &Chunk) -> Result<RecordBatch> {
        let missing = || Error::internal("a join gives a column of a missing input");
        let picks: Vec<_> = self
            .order()
            .zip(&chunk.ids)
            .map(|(input, ids)| {
                Some((input, pipeline.sides.get(input)?, pipeline.sides.get(input)?.picks(ids)))
            })
            .collect::<Option<_>>()
            .ok_or_else(missing)?;
        let column = |place: &Place| {
            let (_, side, picks) = picks.iter().find(|(i, ..)| *i == place.input).ok_or_else(missing)?;
            side.column(place.column, picks)
        };
        let columns: Vec<ArrayRef> = self.columns.iter().map(column).collect::<Result<_>>()?;
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

impl Closing {
    fn mark(&mut self, chunk: &Chunk) {
        for (used, ids) in self.used.iter_mut().zip(&chunk.ids) {
            for id in ids.iter().filter(|id| **id != NONE) {
                if let Some(u) = used.get_mut(*id as usize) {
                    *u = true;
                }
            }
        }
    }

    /// Rows that are in the result went on; the others were dropped by the type of the join.
    fn settle(&self, cx: &mut OpCx) {
        let passed: usize = self.used.iter().flatten().filter(|u| **u).count();
        cx.fates.in_state -= self.rows;
        cx.fates.passed += passed as u64;
        cx.fates.filtered += self.rows - passed as u64;
    }
}

impl Results {
    fn send(self, schema: &SchemaRef, cx: &mut OpCx) -> Result<()> {
        let Some((first, _)) = self.pieces.first() else { return Ok(()) };
        let rows = match self.pieces.as_slice() {
            [(_, rows)] => rows.clone(),
            pieces => concat_batches(schema, pieces.iter().map(|(_, rows)| rows))?,
        };
        let mut windows: Vec<Window> = Vec::new();
        let mut keys: Vec<u32> = Vec::with_capacity(rows.num_rows());
        for (window, rows) in &self.pieces {
            if windows.last() != Some(window) {
                windows.push(window.clone());
            }
            keys.extend(std::iter::repeat_n((windows.len() - 1) as u32, rows.num_rows()));
        }
        let (times, windows) = if windows.len() == 1 {
            (Times::One(first.max_timestamp()), Dict::one(first.clone()))
        } else {
            let ends: Vec<i64> = windows.iter().map(|w| w.max_timestamp().0).collect();
            let times = keys.iter().filter_map(|k| ends.get(*k as usize).copied()).collect();
            (Times::Each(times), Dict::new(windows, keys))
        };
        cx.emit(0, Batch { rows, times, windows, panes: Dict::one(Pane::ONLY) });
        Ok(())
    }
}

impl Operator for JoinOperator {
    fn on_batch(&mut self, port: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        let kept = &self.layout.sides.get(port).ok_or_else(|| no_port(port))?.kept;
        let rows = batch.rows.project(kept)?;
        if let Some(window) = batch.windows.single() {
            self.keep(port, window, rows, cx)?;
            return Ok(More::No);
        }
        let mut by_window: Vec<Vec<u32>> = vec![Vec::new(); batch.windows.values().len()];
        for row in 0..batch.len() {
            if let Some(list) = by_window.get_mut(batch.windows.key(row)) {
                list.push(row as u32);
            }
        }
        for (window, list) in batch.windows.values().iter().zip(by_window) {
            if !list.is_empty() {
                let part = take_record_batch(&rows, &UInt32Array::from(list))?;
                self.keep(port, window, part, cx)?;
            }
        }
        Ok(More::No)
    }

    fn on_watermark(&mut self, cx: &mut OpCx) -> Result<More> {
        self.advance(cx)
    }

    fn resume(&mut self, cx: &mut OpCx) -> Result<More> {
        self.advance(cx)
    }
}

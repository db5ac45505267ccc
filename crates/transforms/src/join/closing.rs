//! Rows that are complete and are being joined, and what comes of them.

use super::operator::Layout;
use super::plan::Step;
use super::probe::{Chunk, NONE, Pipeline};
use super::side::Side;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use arrow_select::concat::concat_batches;
use purlin_api::key::KeyCodec;
use purlin_api::{Batch, Dict, EventTime, OpCx, Pane, Result, Times, Window};

/// Some rows being joined.
#[derive(Debug)]
pub(super) struct Closing {
    windows: RowWindows,
    pane: Pane,
    pipeline: Pipeline,
    /// By input: which rows are in the result.
    pub(super) used: Vec<Vec<bool>>,
    pub(super) then: Then,
}

/// The windows of the rows.
#[derive(Debug)]
pub(super) enum RowWindows {
    /// All are in this one.
    One(Window),
    /// Several, and which of them each row is in, by input.
    Each(Vec<Window>, Vec<Vec<u32>>),
}

/// What becomes of the rows once they are joined.
#[derive(Debug)]
pub(super) enum Then {
    /// They are done with.
    Settle,
    /// They stay in this window until it expires, at this time.
    Stay {
        expiry: EventTime,
        window: Window,
        /// By input: how many of the window's rows stand before the first that is joined here.
        from: Vec<usize>,
    },
}

impl Closing {
    /// `sides` by input.
    pub(super) fn new(
        layout: &Layout,
        steps: &[(Step, KeyCodec)],
        sides: Vec<Side>,
        windows: RowWindows,
        pane: Pane,
        then: Then,
    ) -> Result<Self> {
        let used = sides.iter().map(|s| vec![false; s.len()]).collect();
        let pipeline = Pipeline::new(sides, layout.first, steps)?;
        Ok(Closing { windows, pane, pipeline, used, then })
    }

    /// Adds about this many rows of the result at most; answers how many, none at the end.
    pub(super) fn next(
        &mut self,
        layout: &Layout,
        room: usize,
        results: &mut Results,
    ) -> Result<Option<usize>> {
        let Some(chunk) = self.pipeline.next(room)? else { return Ok(None) };
        for (input, ids) in layout.order().zip(&chunk.ids) {
            let Some(used) = self.used.get_mut(input) else { continue };
            for id in ids.iter().filter(|id| **id != NONE) {
                if let Some(u) = used.get_mut(*id as usize) {
                    *u = true;
                }
            }
        }
        results.pieces.push(layout.rows(&self.pipeline, &chunk)?);
        for row in 0..chunk.len() {
            if let Some(window) = self.window(layout, &chunk, row) {
                results.mark(window, self.pane);
            }
        }
        Ok(Some(chunk.len()))
    }

    /// The window of a row of the result: that of any row in it.
    fn window(&self, layout: &Layout, chunk: &Chunk, row: usize) -> Option<&Window> {
        let (windows, numbers) = match &self.windows {
            RowWindows::One(window) => return Some(window),
            RowWindows::Each(windows, numbers) => (windows, numbers),
        };
        let number = layout.order().zip(&chunk.ids).find_map(|(input, ids)| {
            let id = ids.get(row).copied().filter(|id| *id != NONE)?;
            numbers.get(input)?.get(id as usize).copied()
        });
        windows.get(number? as usize)
    }

    /// Rows that are in the result went on; the others were dropped by the type of the join.
    pub(super) fn settle(used: &[Vec<bool>], cx: &mut OpCx) {
        let rows: usize = used.iter().map(Vec::len).sum();
        let passed = used.iter().flatten().filter(|u| **u).count();
        cx.fates.in_state -= rows as u64;
        cx.fates.passed += passed as u64;
        cx.fates.filtered += (rows - passed) as u64;
    }
}

/// Results of a call.
#[derive(Default)]
pub(super) struct Results {
    pieces: Vec<RecordBatch>,
    windows: Vec<Window>,
    window_of: Vec<u32>,
    panes: Vec<Pane>,
    pane_of: Vec<u32>,
}

impl Results {
    /// The window and pane of the next row.
    fn mark(&mut self, window: &Window, pane: Pane) {
        if self.windows.last() != Some(window) {
            self.windows.push(window.clone());
        }
        if self.panes.last() != Some(&pane) {
            self.panes.push(pane);
        }
        self.window_of.push((self.windows.len() - 1) as u32);
        self.pane_of.push((self.panes.len() - 1) as u32);
    }

    pub(super) fn send(self, schema: &SchemaRef, cx: &mut OpCx) -> Result<()> {
        let rows = match self.pieces.as_slice() {
            [] => return Ok(()),
            [rows] => rows.clone(),
            pieces => concat_batches(schema, pieces)?,
        };
        let (times, windows) = match self.windows.as_slice() {
            [one] => (Times::One(one.max_timestamp()), Dict::one(one.clone())),
            several => {
                let ends: Vec<i64> = several.iter().map(|w| w.max_timestamp().0).collect();
                let times = self.window_of.iter().filter_map(|k| ends.get(*k as usize).copied()).collect();
                (Times::Each(times), Dict::new(self.windows, self.window_of))
            }
        };
        let panes = match self.panes.as_slice() {
            [one] => Dict::one(*one),
            _ => Dict::new(self.panes, self.pane_of),
        };
        cx.emit(0, Batch { rows, times, windows, panes, origins: None });
        Ok(())
    }
}

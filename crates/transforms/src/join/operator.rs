//! A running join: rows wait for the end of their window or session.

use super::closing::{Closing, Results, Then};
use super::plan::{Place, Step};
use super::probe::{Chunk, Pipeline};
use super::sessions::{SessionLayout, Sessions};
use super::windows::Windows;
use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::SchemaRef;
use purlin_api::key::KeyCodec;
use purlin_api::state::RowSlots;
use purlin_api::{Batch, Error, More, OpCx, Operator, Port, Result, StateTable, Windowing, take_rows};
use std::sync::Arc;

/// What is kept of an input.
#[derive(Debug)]
pub(super) struct SideLayout {
    /// The columns, rising.
    pub(super) kept: Vec<usize>,
    /// Their schema.
    pub(super) schema: SchemaRef,
    /// The key slots of its rows.
    pub(super) slots: RowSlots,
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
    /// The windows of all inputs.
    pub(super) windowing: Arc<Windowing>,
    /// Set if they are sessions.
    pub(super) sessions: Option<SessionLayout>,
}

/// The operator.
#[derive(Debug)]
pub(super) struct JoinOperator {
    layout: Layout,
    windows: Windows,
    sessions: Sessions,
    closing: Option<Closing>,
}

impl JoinOperator {
    pub(super) fn new(layout: Layout) -> Self {
        let (windows, sessions) = (Windows::new(&layout.sides), Sessions::new(&layout.sides));
        JoinOperator { layout, windows, sessions, closing: None }
    }

    /// Joins what the watermark has passed, and gives at most about `cx.rows_max` rows of it.
    fn advance(&mut self, cx: &mut OpCx) -> Result<More> {
        let mut room = cx.rows_max.max(1);
        let mut results = Results::default();
        loop {
            if self.closing.is_none() {
                self.closing = match &self.layout.sessions {
                    Some(sessions) => self.sessions.next(&self.layout, sessions, cx)?,
                    None => self.windows.next(&self.layout, cx)?,
                };
            }
            let Some(closing) = &mut self.closing else { break };
            if room == 0 {
                results.send(&self.layout.schema, cx)?;
                return Ok(More::Yes);
            }
            match closing.next(&self.layout, room, &mut results)? {
                Some(rows) => room -= rows.min(room),
                None => self.finish(cx),
            }
        }
        results.send(&self.layout.schema, cx)?;
        Ok(More::No)
    }

    /// All of a window, or of some sessions, is joined.
    fn finish(&mut self, cx: &mut OpCx) {
        let Some(mut closing) = self.closing.take() else { return };
        match std::mem::replace(&mut closing.then, Then::Settle) {
            Then::Settle => Closing::settle(&closing.used, cx),
            Then::Stay { expiry, window, from } => self.windows.stay(&closing, expiry, window, &from),
        }
    }
}

pub(super) fn no_port(port: Port) -> Error {
    Error::internal(format!("this join has no input port {port}"))
}

impl Layout {
    /// The inputs in the order of the steps.
    pub(super) fn order(&self) -> impl Iterator<Item = usize> {
        std::iter::once(self.first).chain(self.steps.iter().map(|(s, _)| s.input))
    }

    /// The rows of the result that a chunk says.
    pub(super) fn rows(&self, pipeline: &Pipeline, chunk: &Chunk) -> Result<RecordBatch> {
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

impl Operator for JoinOperator {
    fn on_batch(&mut self, port: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        let kept = &self.layout.sides.get(port).ok_or_else(|| no_port(port))?.kept;
        let rows = batch.rows.project(kept)?;
        if let Some(sessions) = &self.layout.sessions {
            self.sessions.keep(sessions, port, &batch, rows, cx)?;
            return Ok(More::No);
        }
        if let Some(window) = batch.windows.single() {
            self.windows.keep(&self.layout, port, window, rows, cx)?;
            return self.advance(cx);
        }
        let mut by_window: Vec<Vec<u32>> = vec![Vec::new(); batch.windows.values().len()];
        for row in 0..batch.len() {
            if let Some(list) = by_window.get_mut(batch.windows.key(row)) {
                list.push(row as u32);
            }
        }
        for (window, list) in batch.windows.values().iter().zip(by_window) {
            if !list.is_empty() {
                let part = take_rows(&rows, &UInt32Array::from(list))?;
                self.windows.keep(&self.layout, port, window, part, cx)?;
            }
        }
        // Rows that are late but allowed give their pairs now.
        self.advance(cx)
    }

    fn on_watermark(&mut self, cx: &mut OpCx) -> Result<More> {
        self.advance(cx)
    }

    fn resume(&mut self, cx: &mut OpCx) -> Result<More> {
        self.advance(cx)
    }

    fn tables(&mut self) -> Vec<&mut dyn StateTable> {
        match &self.layout.sessions {
            Some(_) => self.sessions.tables(),
            None => self.windows.tables(),
        }
    }

    fn restored(&mut self, cx: &mut OpCx) -> Result<()> {
        match &self.layout.sessions {
            Some(sessions) => self.sessions.restored(sessions, cx),
            None => self.windows.restored(&self.layout, cx),
        }
    }
}

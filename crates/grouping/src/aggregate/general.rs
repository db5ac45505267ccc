//! Panes of all kinds: rows are placed one by one by the pane driver, and accumulated in bulk.

mod state;

use super::Aggregate;
use super::cells::{Said, Store};
use super::emit::{Each, Emitter, Piece};
use super::table::Columns;
use crate::panes::{Firing, PaneCx, PaneDriver, Placed};
use arrow_schema::DataType;
use purlin_api::key::KeyCodec;
use purlin_api::{
    AccumulationMode, Batch, EventTime, More, OpCx, Operator, Port, Result, StateTable, TimerId,
};
use state::PaneTable;
use std::collections::VecDeque;
use std::sync::Arc;

/// The only timer.
const TIMER: TimerId = 0;
/// About what the driver keeps for a key in a window.
const SLOT_BYTES: usize = 256;

/// The operator.
pub(super) struct Panes {
    table: PaneTable,
    emitter: Emitter,
    /// Panes that fired and did not go out yet.
    fired: VecDeque<Firing>,
    timer: Option<EventTime>,
    /// The entry in the context: the oldest epoch that the driver keeps rows of.
    since: Option<u64>,
    /// Reads and writes the results of panes that may be taken back.
    retracts: Option<KeyCodec>,
}

impl Panes {
    pub(super) fn new(aggregate: Aggregate) -> Result<Self> {
        let retracts = if aggregate.windowing.accumulation == AccumulationMode::Retracting {
            let results = aggregate.emitted();
            let results =
                results.fields().iter().skip(aggregate.keys.len()).take(aggregate.aggregations.len());
            let types: Vec<DataType> = results.map(|f| f.data_type().clone()).collect();
            Some(KeyCodec::new(&types)?)
        } else {
            None
        };
        let driver = PaneDriver::new(aggregate.windowing.clone()).beam_last(aggregate.beam_last);
        let cells = Store::new(aggregate.accumulators()?, aggregate.feeds.clone());
        Ok(Panes {
            emitter: Emitter::new(aggregate.emitted()),
            fired: VecDeque::new(),
            timer: None,
            since: None,
            table: PaneTable::new(aggregate, driver, cells, retracts.is_some())?,
            retracts,
        })
    }

    pub(super) fn state_bytes(&self) -> usize {
        self.table.cells.size_bytes() + self.table.driver.len() * SLOT_BYTES
    }

    pub(super) fn state_groups(&self) -> usize {
        self.table.driver.len()
    }

    fn row(&mut self, row: usize, key: &[u8], batch: &Batch, cx: &mut OpCx) -> Result<Placed> {
        let mut panes = PaneCx::new(cx.watermark, cx.now, &mut cx.holds);
        let (window, time) = (batch.windows.get(row), batch.times.get(row));
        let placed = self.table.driver.on_row(key, window, time, &mut panes, &mut self.table.cells);
        if let Placed::Cell(cell) = placed {
            cx.fates.in_state += 1;
            self.table.cells.place(row, cell);
        }
        if self.table.driver.fires_after_row(&panes) {
            self.table.cells.bring_in();
            let mut fired = Vec::new();
            self.table.driver.after_row(&mut panes, &mut self.table.cells, &mut fired);
            self.fired.extend(fired);
            self.send(usize::MAX, cx)?;
        }
        Ok(placed)
    }

    /// Sends out at most `room` panes.
    fn send(&mut self, room: usize, cx: &mut OpCx) -> Result<()> {
        let panes: Vec<Firing> = self.fired.drain(..room.min(self.fired.len())).collect();
        // An empty pane has nothing to say: as a row it would look like a result.
        let full: Vec<(&Firing, u32)> = panes.iter().filter_map(|f| Some((f, f.cell?))).collect();
        if !full.is_empty() {
            let keys = self.table.aggregate.codec.decode(full.iter().map(|(f, _)| f.key.as_ref()))?;
            let groups: Vec<u32> = full.iter().map(|(_, cell)| *cell).collect();
            let results = self.table.cells.emit(&groups)?;
            if let Some(codec) = &self.retracts {
                let earlier = self.table.cells.retract(&full, &results, codec)?;
                self.send_retractions(earlier, cx)?;
            }
            let piece = Piece {
                windows: Each::Rows(full.iter().map(|(f, _)| f.window.clone()).collect()),
                times: Each::Rows(full.iter().map(|(f, _)| f.timestamp).collect()),
                panes: Each::Rows(full.iter().map(|(f, _)| f.pane).collect()),
                columns: keys.into_iter().chain(results).collect(),
                rows: full.len(),
            };
            let flag = self.retracts.is_some().then_some(false);
            self.emitter.push(piece, flag, cx)?;
        }
        for firing in &panes {
            cx.fates.in_state -= firing.rows_new;
            cx.fates.passed += firing.rows_new;
            firing.settle(&mut self.table.cells);
        }
        self.table.cells.check()
    }

    fn send_retractions(&mut self, earlier: Vec<(Arc<[u8]>, Said)>, cx: &mut OpCx) -> Result<()> {
        let Some(codec) = &self.retracts else { return Ok(()) };
        if earlier.is_empty() {
            return Ok(());
        }
        let mut columns = self.table.aggregate.codec.decode(earlier.iter().map(|(key, _)| key.as_ref()))?;
        columns.extend(codec.decode(earlier.iter().map(|(_, r)| r.values.as_slice()))?);
        let piece = Piece {
            windows: Each::Rows(earlier.iter().map(|(_, r)| r.window.clone()).collect()),
            times: Each::Rows(earlier.iter().map(|(_, r)| r.time).collect()),
            panes: Each::Rows(earlier.iter().map(|(_, r)| r.pane).collect()),
            columns,
            rows: earlier.len(),
        };
        self.emitter.push(piece, Some(true), cx)
    }

    /// Sends out what fired, in steps of about `cx.rows_max` rows.
    fn drain(&mut self, cx: &mut OpCx) -> Result<More> {
        self.send(cx.rows_max.max(1), cx)?;
        self.emitter.flush(cx)?;
        if !self.fired.is_empty() {
            return Ok(More::Yes);
        }
        self.table.cells.shrink(&self.table.aggregate)?;
        let since = self.table.driver.oldest_epoch();
        cx.kept.change(std::mem::replace(&mut self.since, since), since);
        self.arm(cx);
        Ok(More::No)
    }

    /// Sees to it that the timer is set for the next deadline.
    fn arm(&mut self, cx: &mut OpCx) {
        let timer = self.table.driver.next_timer();
        if timer != self.timer {
            match timer {
                Some(at) => cx.set_timer(TIMER, at),
                None => cx.clear_timer(TIMER),
            }
            self.timer = timer;
        }
    }

    /// Sends out all that fired before.
    fn finish_last(&mut self, cx: &mut OpCx) -> Result<()> {
        while !self.fired.is_empty() {
            self.drain(cx)?;
        }
        Ok(())
    }
}

impl Operator for Panes {
    fn on_batch(&mut self, _port: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        self.finish_last(cx)?;
        self.table.driver.set_epoch(cx.epoch);
        let keys =
            self.table.aggregate.codec.encode(&self.table.aggregate.key_columns(&batch)?, batch.len())?;
        self.table.cells.columns =
            Columns::new(batch.rows.columns(), &self.table.aggregate.feeds, |c| Ok(c.clone()))?;
        let mut late = Vec::new();
        for (row, key) in keys.iter().enumerate() {
            if self.row(row, key, &batch, cx)? == Placed::Late {
                late.push(row as u32);
            }
        }
        self.table.cells.bring_in();
        self.table.cells.check()?;
        self.table.cells.columns = Columns::default();
        self.table.aggregate.late(&batch, late, cx)?;
        self.drain(cx)
    }

    fn on_watermark(&mut self, cx: &mut OpCx) -> Result<More> {
        self.finish_last(cx)?;
        let mut fired = Vec::new();
        let mut panes = PaneCx::new(cx.watermark, cx.now, &mut cx.holds);
        self.table.driver.on_watermark(&mut panes, &mut self.table.cells, &mut fired);
        self.fired.extend(fired);
        self.drain(cx)
    }

    fn on_timer(&mut self, _id: TimerId, cx: &mut OpCx) -> Result<More> {
        self.finish_last(cx)?;
        // The runner has taken it: a later one must be set anew even if it is for the same time.
        self.timer = None;
        let mut fired = Vec::new();
        let mut panes = PaneCx::new(cx.watermark, cx.now, &mut cx.holds);
        self.table.driver.on_timer(&mut panes, &mut self.table.cells, &mut fired);
        self.fired.extend(fired);
        self.drain(cx)
    }

    fn resume(&mut self, cx: &mut OpCx) -> Result<More> {
        self.drain(cx)
    }

    fn tables(&mut self) -> Vec<&mut dyn StateTable> {
        vec![&mut self.table]
    }

    fn restored(&mut self, cx: &mut OpCx) -> Result<()> {
        self.table.restored(cx);
        self.since = self.table.driver.oldest_epoch();
        cx.kept.change(None, self.since);
        self.arm(cx);
        Ok(())
    }
}

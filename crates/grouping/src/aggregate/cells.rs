//! The values of the panes that are being driven: one group of the accumulators for each cell.

mod state;

use super::table::Columns;
use super::{Aggregate, Feed};
use crate::accumulate::Accumulator;
use crate::panes::{After, Cells, Firing};
use arrow_array::{ArrayRef, UInt32Array};
use arrow_select::take::take;
use purlin_api::key::KeyCodec;
use purlin_api::{Error, EventTime, Pane, Result, Window};
pub(super) use state::{SAID, said_codec};
use std::collections::HashMap;
use std::sync::Arc;

/// What a pane said.
pub(super) struct Said {
    pub(super) window: Window,
    pub(super) time: EventTime,
    pub(super) pane: Pane,
    /// The aggregates, as key bytes.
    pub(super) values: Vec<u8>,
}

/// The cells of a pane driver.
///
/// Rows are placed one by one and [brought in](Store::bring_in) together, before anything that looks at
/// a cell or moves it.
pub(super) struct Store {
    accumulators: Vec<Box<dyn Accumulator>>,
    feeds: Vec<Feed>,
    /// The columns of the batch that is being placed.
    pub(super) columns: Columns,
    /// Rows that were placed and not brought in, and their cells.
    rows: Vec<u32>,
    groups: Vec<u32>,
    /// How many cells were ever made since the store was last empty.
    len: u32,
    free: Vec<u32>,
    /// What the last pane of a cell said, if it may have to be taken back: one entry, or one for each
    /// session that was merged.
    said: HashMap<u32, Vec<Said>>,
    /// The driver's calls cannot fail; what went wrong in them waits here.
    failed: Option<Error>,
}

impl Store {
    pub(super) fn new(accumulators: Vec<Box<dyn Accumulator>>, feeds: Vec<Feed>) -> Self {
        Store {
            accumulators,
            feeds,
            columns: Columns::default(),
            rows: Vec::new(),
            groups: Vec::new(),
            len: 0,
            free: Vec::new(),
            said: HashMap::new(),
            failed: None,
        }
    }

    /// Notes that a row of the batch belongs to a cell.
    pub(super) fn place(&mut self, row: usize, cell: u32) {
        self.rows.push(row as u32);
        self.groups.push(cell);
    }

    /// Accumulates the rows that were placed. [`Store::check`] tells whether it went well.
    pub(super) fn bring_in(&mut self) {
        if self.rows.is_empty() {
            return;
        }
        if let Err(e) = self.accumulate() {
            self.failed.get_or_insert(e);
        }
        self.rows.clear();
        self.groups.clear();
    }

    fn accumulate(&mut self) -> Result<()> {
        let (Some(first), Some(last)) = (self.rows.first(), self.rows.last()) else { return Ok(()) };
        let (first, last) = (*first as usize, *last as usize);
        let taken;
        let (columns, range) = if last + 1 - first == self.rows.len() {
            (&self.columns, first..last + 1)
        } else {
            let rows = UInt32Array::from(self.rows.clone());
            taken = self.columns.map(|c| Ok(take(c, &rows, None)?))?;
            (&taken, 0..self.rows.len())
        };
        for (accumulator, feed) in self.accumulators.iter_mut().zip(&self.feeds) {
            columns.feed(feed, range.clone(), accumulator.as_mut(), &self.groups)?;
        }
        Ok(())
    }

    /// Fails if anything has.
    pub(super) fn check(&mut self) -> Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }

    /// The aggregates of these cells.
    pub(super) fn emit(&mut self, cells: &[u32]) -> Result<Vec<ArrayRef>> {
        self.bring_in();
        self.check()?;
        self.accumulators.iter().map(|a| a.emit(cells)).collect()
    }

    /// Remembers what panes say that others may follow, and returns what those before them said.
    pub(super) fn retract(
        &mut self,
        panes: &[(&Firing, u32)],
        results: &[ArrayRef],
        codec: &KeyCodec,
    ) -> Result<Vec<(Arc<[u8]>, Said)>> {
        let values = codec.encode(results, panes.len())?;
        let mut earlier = Vec::new();
        for ((firing, cell), values) in panes.iter().zip(values.iter()) {
            let said = self.said.remove(cell).unwrap_or_default();
            earlier.extend(said.into_iter().map(|said| (firing.key.clone(), said)));
            if firing.after == After::Keep {
                let said = Said {
                    window: firing.window.clone(),
                    time: firing.timestamp,
                    pane: firing.pane,
                    values: values.to_vec(),
                };
                self.said.insert(*cell, vec![said]);
            }
        }
        Ok(earlier)
    }

    /// The accumulators, by cell.
    pub(super) fn accumulators(&self) -> &[Box<dyn Accumulator>] {
        &self.accumulators
    }

    /// The accumulators, by cell.
    pub(super) fn accumulators_mut(&mut self) -> &mut [Box<dyn Accumulator>] {
        &mut self.accumulators
    }

    /// Gives memory back when no cell is left.
    pub(super) fn shrink(&mut self, aggregate: &Aggregate) -> Result<()> {
        if self.len > 0 && self.free.len() == self.len as usize {
            self.accumulators = aggregate.accumulators()?;
            self.free = Vec::new();
            self.len = 0;
        }
        Ok(())
    }

    pub(super) fn size_bytes(&self) -> usize {
        let said: usize = self.said.values().flatten().map(|s| s.values.capacity() + size_of::<Said>()).sum();
        self.accumulators.iter().map(|a| a.size_bytes()).sum::<usize>() + said + self.free.capacity() * 4
    }
}

impl Cells for Store {
    fn add(&mut self) -> u32 {
        if let Some(cell) = self.free.pop() {
            return cell;
        }
        let cell = self.len;
        self.len += 1;
        for accumulator in &mut self.accumulators {
            accumulator.resize(self.len as usize);
        }
        cell
    }

    fn merge(&mut self, into: u32, from: u32) {
        self.bring_in();
        for accumulator in &mut self.accumulators {
            accumulator.merge(into, from);
        }
        if let Some(said) = self.said.remove(&from) {
            self.said.entry(into).or_default().extend(said);
        }
    }

    fn clear(&mut self, cell: u32) {
        self.bring_in();
        for accumulator in &mut self.accumulators {
            accumulator.clear(cell);
        }
    }

    fn remove(&mut self, cell: u32) {
        self.clear(cell);
        self.said.remove(&cell);
        self.free.push(cell);
    }
}

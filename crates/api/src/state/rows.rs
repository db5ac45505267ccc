//! Rows that wait.

mod log;
#[cfg(test)]
mod tests;

use super::{Extent, RowSlots, Saved, StateRows, StateTable, is_stale};
use crate::batch::take_rows;
use crate::error::{Error, Result};
use crate::time::EventTime;
use crate::window::Window;
use arrow_array::{BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_schema::SchemaRef;
use arrow_select::filter::filter_record_batch;
use arrow_select::interleave::interleave;
use std::collections::BTreeMap;

/// Some rows of the table that were added together.
pub type PartId = u64;
/// Where a row is: its part, and its number in there.
pub type Place = (PartId, usize);

/// The windows of some rows.
#[derive(Clone, Debug, PartialEq)]
pub enum InWindow {
    /// All are in this one.
    One(Window),
    /// Start and end by row.
    Each(Vec<(EventTime, EventTime)>),
}

impl InWindow {
    /// The window of a row.
    pub fn get(&self, row: usize) -> Window {
        match self {
            InWindow::One(window) => window.clone(),
            InWindow::Each(spans) => match spans.get(row) {
                Some((start, end)) => Window::Interval { start: *start, end: *end },
                None => Window::Global,
            },
        }
    }

    fn pick(&self, rows: impl Iterator<Item = usize>) -> Self {
        match self {
            InWindow::One(window) => InWindow::One(window.clone()),
            InWindow::Each(spans) => InWindow::Each(rows.filter_map(|row| spans.get(row).copied()).collect()),
        }
    }
}

/// Rows that were added together.
#[derive(Debug)]
struct Part {
    rows: RecordBatch,
    windows: InWindow,
    /// Which rows are still there; `None`: all.
    live: Option<Vec<bool>>,
    live_rows: usize,
    /// How the log calls them, once they are in it: ids that are the only ones in their slot.
    saved: Option<Vec<(u16, u64)>>,
}

impl Part {
    fn is_live(&self, row: usize) -> bool {
        self.live.as_ref().is_none_or(|live| live.get(row) == Some(&true))
    }

    fn live(&self) -> impl Iterator<Item = usize> {
        (0..self.rows.num_rows()).filter(|row| self.is_live(*row))
    }
}

/// What has changed since the last save.
#[derive(Debug, Default)]
struct Changes {
    /// Parts that are not in the log.
    added: Vec<PartId>,
    /// The ids of rows in the log that are gone, by slot.
    gone: BTreeMap<u16, Vec<u64>>,
    gone_rows: usize,
}

/// A table of rows that wait: of one schema, each in a window. Rows are added in parts, and removed by the part or one
/// by one. Before it is saved for the first time it is a list of batches and nothing else.
///
/// Rows have an id in the log, so that one row there says of many that they are gone.
#[derive(Debug)]
pub struct KeptRows {
    name: &'static str,
    schema: SchemaRef,
    slots: RowSlots,
    parts: BTreeMap<PartId, Part>,
    next_part: PartId,
    rows: usize,
    /// Set from the first save on.
    changes: Option<Changes>,
    next_id: u64,
    /// Rows of the log since it was last saved whole.
    logged: usize,
    /// What a log that is being applied says is gone: ranges of ids by slot, both ends included.
    gone: BTreeMap<u16, Vec<(u64, u64)>>,
}

fn no_part() -> Error {
    Error::internal("rows that wait are not there")
}

impl KeptRows {
    /// An empty table for rows of this schema.
    pub fn new(name: &'static str, schema: SchemaRef, slots: RowSlots) -> Self {
        KeptRows {
            name,
            schema,
            slots,
            parts: BTreeMap::new(),
            next_part: 0,
            rows: 0,
            changes: None,
            next_id: 0,
            logged: 0,
            gone: BTreeMap::new(),
        }
    }

    /// How many rows wait.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// True if no row waits.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// How many rows are in memory: those that wait, and those that went from a part of which others still wait.
    pub fn held(&self) -> usize {
        self.parts.values().map(|p| p.rows.num_rows()).sum()
    }

    /// Adds rows.
    pub fn add(&mut self, rows: RecordBatch, windows: InWindow) -> PartId {
        let id = self.insert(rows, windows, None);
        if let Some(changes) = &mut self.changes {
            changes.added.push(id);
        }
        id
    }

    fn insert(&mut self, rows: RecordBatch, windows: InWindow, saved: Option<Vec<(u16, u64)>>) -> PartId {
        let id = self.next_part;
        self.next_part += 1;
        self.rows += rows.num_rows();
        self.parts.insert(id, Part { live_rows: rows.num_rows(), rows, windows, live: None, saved });
        id
    }

    /// The rows of a part, also those that are gone.
    ///
    /// # Errors
    /// If there is no such part: a bug of the caller.
    pub fn rows(&self, part: PartId) -> Result<&RecordBatch> {
        Ok(&self.parts.get(&part).ok_or_else(no_part)?.rows)
    }

    /// All parts: their rows, also those that are gone, and the windows of these.
    pub fn parts(&self) -> impl Iterator<Item = (PartId, &RecordBatch, &InWindow)> {
        self.parts.iter().map(|(id, p)| (*id, &p.rows, &p.windows))
    }

    /// Removes a part of which no row has been removed, and answers its rows.
    ///
    /// # Errors
    /// If there is no such part: a bug of the caller.
    pub fn take(&mut self, part: PartId) -> Result<RecordBatch> {
        let part = self.parts.remove(&part).ok_or_else(no_part)?;
        self.rows -= part.live_rows;
        if let (Some(changes), Some(saved)) = (&mut self.changes, &part.saved) {
            changes.gone_rows += saved.len();
            for (slot, id) in saved {
                changes.gone.entry(*slot).or_default().push(*id);
            }
        }
        Ok(part.rows)
    }

    /// The rows at these places, in their order.
    ///
    /// # Errors
    /// If they are not there: a bug of the caller.
    pub fn pick(&self, places: &[Place]) -> Result<RecordBatch> {
        let (mut parts, mut at) = (Vec::new(), BTreeMap::new());
        let mut indices = Vec::with_capacity(places.len());
        let mut last = None;
        for (id, row) in places {
            let index = match last {
                Some((last, index)) if last == *id => index,
                _ => *at.entry(*id).or_insert_with(|| {
                    parts.push(*id);
                    parts.len() - 1
                }),
            };
            last = Some((*id, index));
            indices.push((index, *row));
        }
        let parts = parts.iter().map(|id| self.rows(*id)).collect::<Result<Vec<_>>>()?;
        let columns = (0..self.schema.fields().len()).map(|c| {
            let of: Vec<_> = parts.iter().filter_map(|p| p.columns().get(c).map(|c| c.as_ref())).collect();
            Ok(interleave(&of, &indices)?)
        });
        let columns = match places {
            [] => return Ok(RecordBatch::new_empty(self.schema.clone())),
            _ => columns.collect::<Result<Vec<_>>>()?,
        };
        let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    /// Removes rows one by one. Their parts go with the last of them.
    ///
    /// # Errors
    /// If they are not there: a bug of the caller.
    pub fn remove(&mut self, places: &[Place]) -> Result<()> {
        for (id, row) in places {
            let part = self.parts.get_mut(id).ok_or_else(no_part)?;
            let rows = part.rows.num_rows();
            let live = part.live.get_or_insert_with(|| vec![true; rows]);
            let live = live.get_mut(*row).filter(|live| **live).ok_or_else(no_part)?;
            *live = false;
            part.live_rows -= 1;
            self.rows -= 1;
            let name = part.saved.as_ref().and_then(|saved| saved.get(*row));
            if let (Some(changes), Some((slot, id))) = (&mut self.changes, name) {
                changes.gone_rows += 1;
                changes.gone.entry(*slot).or_default().push(*id);
            }
            if part.live_rows == 0 {
                self.parts.remove(id);
            }
        }
        Ok(())
    }

    /// Writes the rows at these places, which must be all that wait, anew, so that those that are gone leave memory.
    /// Answers where each of them is now. Only for rows in intervals.
    ///
    /// # Errors
    /// If they are not all: a bug of the caller.
    pub fn compact(&mut self, places: &[Place]) -> Result<Vec<Place>> {
        if places.len() != self.rows {
            return Err(Error::internal(format!("{} of {} rows that wait", places.len(), self.rows)));
        }
        // Rows that are in the log have ids, and stay apart from those that are not.
        let mut halves = [(Vec::new(), Vec::new(), Vec::new()), (Vec::new(), Vec::new(), Vec::new())];
        let mut places_now: Vec<(usize, usize)> = Vec::with_capacity(places.len());
        for (id, row) in places {
            let part = self.parts.get(id).ok_or_else(no_part)?;
            let Window::Interval { start, end } = part.windows.get(*row) else { return Err(no_part()) };
            let name = part.saved.as_ref().and_then(|saved| saved.get(*row)).copied();
            let half = usize::from(name.is_some());
            let Some((of, spans, names)) = halves.get_mut(half) else { continue };
            places_now.push((half, of.len()));
            of.push((*id, *row));
            spans.push((start, end));
            names.extend(name);
        }
        let mut parts = Vec::new();
        for (of, spans, names) in halves {
            parts.push((self.pick(&of)?, spans, names));
        }
        self.parts.clear();
        self.rows = 0;
        let mut ids = Vec::new();
        for (rows, spans, names) in parts {
            let saved = (!names.is_empty()).then_some(names);
            ids.push(self.insert(rows, InWindow::Each(spans), saved));
        }
        if let (Some(changes), Some(id)) = (&mut self.changes, ids.first()) {
            changes.added = vec![*id];
        }
        self.parts.retain(|_, part| part.live_rows > 0);
        Ok(places_now.into_iter().filter_map(|(half, row)| Some((*ids.get(half)?, row))).collect())
    }

    /// After a log has been applied: removes the rows that it says are gone.
    ///
    /// # Errors
    /// If rows cannot be taken: a bug.
    fn settle(&mut self) -> Result<()> {
        let mut gone = std::mem::take(&mut self.gone);
        gone.values_mut().for_each(|ranges| ranges.sort_unstable());
        let is_gone = |(slot, id): &(u16, u64)| {
            let Some(ranges) = gone.get(slot) else { return false };
            let before = ranges.partition_point(|(from, _)| from <= id);
            before.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, to)| id <= to)
        };
        for part in self.parts.values_mut() {
            let Some(saved) = part.saved.as_mut().filter(|saved| saved.iter().any(is_gone)) else { continue };
            let stays: Vec<bool> = saved.iter().map(|name| !is_gone(name)).collect();
            part.windows = part.windows.pick((0..stays.len()).filter(|row| stays.get(*row) == Some(&true)));
            saved.retain(|name| !is_gone(name));
            self.rows -= stays.len() - saved.len();
            part.rows = filter_record_batch(&part.rows, &BooleanArray::from(stays))?;
            part.live_rows = saved.len();
        }
        self.parts.retain(|_, part| part.live_rows > 0);
        Ok(())
    }

    /// After a log has been applied: the rows that wait now.
    ///
    /// # Errors
    /// If rows cannot be taken: a bug.
    pub fn restored(&mut self) -> Result<Vec<PartId>> {
        self.settle()?;
        Ok(self.parts.keys().copied().collect())
    }

    /// After a log has been applied: the rows that wait now, each part in one window.
    ///
    /// # Errors
    /// If rows cannot be taken: a bug.
    pub fn restored_by_window(&mut self) -> Result<Vec<(Window, PartId)>> {
        self.settle()?;
        let mixed: Vec<PartId> = self
            .parts
            .iter()
            .filter(|(_, p)| matches!(p.windows, InWindow::Each(_)))
            .map(|(id, _)| *id)
            .collect();
        for id in mixed {
            let Some(part) = self.parts.remove(&id) else { continue };
            self.rows -= part.live_rows;
            let mut by_window: BTreeMap<Window, Vec<u32>> = BTreeMap::new();
            for row in 0..part.rows.num_rows() {
                by_window.entry(part.windows.get(row)).or_default().push(row as u32);
            }
            for (window, rows) in by_window {
                let name = |row: &u32| part.saved.as_ref()?.get(*row as usize).copied();
                let saved: Option<Vec<_>> = rows.iter().map(name).collect();
                let rows = take_rows(&part.rows, &UInt32Array::from(rows))?;
                self.insert(rows, InWindow::One(window), saved);
            }
        }
        Ok(self.parts.iter().map(|(id, p)| (p.windows.get(0), *id)).collect())
    }
}

impl StateTable for KeptRows {
    fn name(&self) -> &'static str {
        self.name
    }

    fn schema(&self) -> SchemaRef {
        log::schema(&self.schema)
    }

    fn save(&mut self, extent: Extent) -> Result<Saved> {
        let changes = match (extent, self.changes.take()) {
            (Extent::Changes, Some(changes)) => {
                let added = |id: &PartId| self.parts.get(id).map_or(0, |p| p.live_rows);
                let rows = changes.added.iter().map(added).sum::<usize>() + changes.gone_rows;
                (!is_stale(self.rows, self.logged, rows)).then_some((changes, rows))
            }
            _ => None,
        };
        self.changes = Some(Changes::default());
        let Some((changes, rows)) = changes else {
            let all: Vec<PartId> = self.parts.keys().copied().collect();
            self.logged = self.rows;
            return Ok(Saved { extent: Extent::Whole, log: self.log_parts(&all)? });
        };
        self.logged += rows;
        let mut log = self.log_parts(&changes.added)?;
        log.extend(log::gone(&self.schema(), &changes.gone)?);
        Ok(Saved { extent, log })
    }

    fn apply(&mut self, rows: &StateRows) -> Result<()> {
        self.changes.get_or_insert_default();
        self.logged += rows.rows.num_rows();
        self.apply_log(rows)
    }
}

//! The state of a pane driver as columns: what changed, and what is put back.
//!
//! A slot is known by its key and window. A session that has grown is another one: the old is gone, the new is put.

use super::slots::Slot;
use super::{Cells, PaneDriver};
use crate::state::{Columns, WindowColumns, Windows, damaged, window_fields};
use crate::trigger::TriggerState;
use arrow_array::builder::{BinaryBuilder, BooleanBuilder, Int64Builder, ListBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, Int64Array, ListArray};
use arrow_schema::{DataType, Field};
use purlin_api::{EventTime, Holds, Result, Window};
use std::sync::Arc;

/// A key, and its window.
pub(crate) type SlotName = (Arc<[u8]>, Window);

/// What has changed since the state was last saved.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Slots with [`Slot::touched`], and maybe others.
    touched: Vec<u32>,
    /// Slots that were saved, and are no longer, or under another window.
    gone: Vec<SlotName>,
}

/// The columns of slots.
pub(crate) fn slot_fields() -> Vec<Field> {
    let int = |name: &str| Field::new(name, DataType::Int64, true);
    let flag = |name: &str| Field::new(name, DataType::Boolean, true);
    let mut fields = window_fields();
    fields.push(Field::new("key", DataType::Binary, true));
    let item = Field::new_list_field(DataType::Int64, true);
    fields.push(Field::new("trigger", DataType::List(Arc::new(item)), true));
    fields.extend(
        ["rows_new", "rows_all", "index", "nonspeculative", "stamp", "hold", "due", "timer"].map(int),
    );
    fields.extend(["live", "kept", "ended"].map(flag));
    fields
}

/// Slots read from columns.
pub(crate) struct Slots<'a> {
    windows: Windows<'a>,
    keys: &'a BinaryArray,
    triggers: &'a ListArray,
    ints: [&'a Int64Array; 8],
    live: &'a BooleanArray,
    kept: &'a BooleanArray,
    ended: &'a BooleanArray,
}

impl<'a> Slots<'a> {
    pub(crate) fn new(columns: &mut Columns<'a>) -> Result<Self> {
        let windows = Windows::new(columns.take(3)?)?;
        let keys = columns.bytes()?;
        let triggers = columns.any()?;
        let triggers = triggers.as_list_opt().ok_or_else(|| damaged("triggers have lists"))?;
        let mut int = || columns.ints();
        let ints = [int()?, int()?, int()?, int()?, int()?, int()?, int()?, int()?];
        let (live, kept, ended) = (columns.flags()?, columns.flags()?, columns.flags()?);
        Ok(Slots { windows, keys, triggers, ints, live, kept, ended })
    }

    pub(crate) fn name(&self, row: usize) -> Result<(&'a [u8], Window)> {
        let key = if self.keys.is_valid(row) { self.keys.value(row) } else { &[] };
        Ok((key, self.windows.get(row)?))
    }

    pub(crate) fn is_live(&self, row: usize) -> bool {
        self.live.is_valid(row) && self.live.value(row)
    }

    fn slot(&self, row: usize, key: Arc<[u8]>, window: Window, cell: Option<u32>) -> Result<Slot> {
        let is = |a: &BooleanArray| a.is_valid(row) && a.value(row);
        let int = |n: usize| self.ints.get(n).filter(|a| a.is_valid(row)).map(|a| a.value(row));
        let time = |n: usize| int(n).map(EventTime);
        let count = |n: usize| int(n).and_then(|n| u64::try_from(n).ok());
        let missing = || damaged("a number is missing");
        let (rows_new, rows_all) = (count(0).ok_or_else(missing)?, count(1).ok_or_else(missing)?);
        if rows_new > rows_all || (rows_new > 0 && !(cell.is_some() && is(self.kept))) {
            return Err(damaged("rows wait where no rows are kept"));
        }
        let trigger = if self.triggers.is_valid(row) { Some(self.triggers.value(row)) } else { None };
        let trigger = trigger.as_ref().and_then(|t| t.as_primitive_opt::<Int64Type>());
        Ok(Slot {
            key,
            window,
            state: TriggerState::from_numbers(trigger.map_or(&[], |t| t.values())),
            cell,
            rows_new,
            rows_all,
            // The epoch is that of the restored job; see `PaneDriver::restored`.
            since: is(self.kept).then_some(0),
            index: int(2).ok_or_else(missing)?,
            nonspeculative: int(3).ok_or_else(missing)?,
            ended: is(self.ended),
            stamp: time(4),
            hold: time(5),
            due: time(6).ok_or_else(missing)?,
            timer: time(7),
            touched: false,
            logged: true,
        })
    }
}

impl PaneDriver {
    /// From now on changes are noted; nothing counts as saved.
    pub(crate) fn note(&mut self) {
        self.notes = Some(Notes::default());
        for id in self.slots.ids() {
            if let Some(slot) = self.slots.get_mut(id) {
                (slot.touched, slot.logged) = (false, false);
            }
        }
    }

    /// True if changes are noted.
    pub(crate) fn notes(&self) -> bool {
        self.notes.is_some()
    }

    /// Notes that a slot changes.
    #[inline]
    pub(super) fn touch(&mut self, id: u32) {
        if let Some(notes) = &mut self.notes
            && let Some(slot) = self.slots.get_mut(id)
            && !slot.touched
        {
            slot.touched = true;
            notes.touched.push(id);
        }
    }

    /// Notes that what was saved of a slot is gone.
    pub(super) fn note_gone(&mut self, slot: &Slot) {
        if let (Some(notes), true) = (&mut self.notes, slot.logged) {
            notes.gone.push((slot.key.clone(), slot.window.clone()));
        }
    }

    /// Notes that a slot gets another window.
    pub(super) fn note_respan(&mut self, id: u32) {
        if let Some(notes) = &mut self.notes
            && let Some(slot) = self.slots.get_mut(id)
            && std::mem::replace(&mut slot.logged, false)
        {
            notes.gone.push((slot.key.clone(), slot.window.clone()));
        }
    }

    /// All slots.
    pub(crate) fn all(&self) -> Vec<u32> {
        self.slots.ids()
    }

    /// The slots that have changed, and those that were saved and are gone. They count as unchanged from now on.
    pub(crate) fn changes(&mut self) -> (Vec<u32>, Vec<SlotName>) {
        let Notes { mut touched, gone } = self.notes.replace(Notes::default()).unwrap_or_default();
        touched.retain(|id| {
            self.slots.get_mut(*id).is_some_and(|slot| std::mem::replace(&mut slot.touched, false))
        });
        (touched, gone)
    }

    /// The key bytes and the cell of a slot.
    pub(crate) fn slot(&self, id: u32) -> Option<(&[u8], Option<u32>)> {
        self.slots.get(id).map(|s| (s.key.as_ref(), s.cell))
    }

    /// The columns of some slots, which count as saved then.
    pub(crate) fn columns(&mut self, ids: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut windows = WindowColumns::default();
        let mut keys = BinaryBuilder::new();
        let mut triggers = ListBuilder::new(Int64Builder::new());
        let mut ints: [Int64Builder; 8] = Default::default();
        let mut flags: [BooleanBuilder; 3] = Default::default();
        for id in ids {
            let Some(slot) = self.slots.get_mut(*id) else { continue };
            slot.logged = true;
            windows.push(&slot.window)?;
            keys.append_value(&slot.key);
            triggers.values().append_slice(slot.state.numbers());
            triggers.append(true);
            let time = |t: Option<EventTime>| t.map(|t| t.0);
            let values = [
                Some(slot.rows_new as i64),
                Some(slot.rows_all as i64),
                Some(slot.index),
                Some(slot.nonspeculative),
                time(slot.stamp),
                time(slot.hold),
                Some(slot.due.0),
                time(slot.timer),
            ];
            ints.iter_mut().zip(values).for_each(|(column, value)| column.append_option(value));
            let values = [slot.cell.is_some(), slot.since.is_some(), slot.ended];
            flags.iter_mut().zip(values).for_each(|(column, value)| column.append_value(value));
        }
        let mut columns: Vec<ArrayRef> = windows.finish().into();
        columns.push(Arc::new(keys.finish()));
        columns.push(Arc::new(triggers.finish()));
        columns.extend(ints.map(|mut c| Arc::new(c.finish()) as ArrayRef));
        columns.extend(flags.map(|mut c| Arc::new(c.finish()) as ArrayRef));
        Ok(columns)
    }

    /// Puts a slot back as it was saved, in the place of one that is there; answers the new one's cell, and that
    /// of the old one, which is free. Nothing is held or due before [`PaneDriver::restored`].
    pub(crate) fn put(
        &mut self,
        slots: &Slots<'_>,
        row: usize,
        cells: &mut dyn Cells,
    ) -> Result<(Option<u32>, Option<u32>)> {
        let (key, window) = slots.name(row)?;
        let freed = self.take_back(key, &window, cells).flatten();
        let cell = slots.is_live(row).then(|| cells.add());
        let key = self.index.key(key).unwrap_or_else(|| Arc::from(key));
        let id = self.slots.add(slots.slot(row, key, window, cell)?);
        self.index.insert(id, &self.slots);
        Ok((cell, freed))
    }

    /// Takes a slot back that was put and is gone; answers its cell, which is free. `None` if there is none.
    pub(crate) fn take_back(
        &mut self,
        key: &[u8],
        window: &Window,
        cells: &mut dyn Cells,
    ) -> Option<Option<u32>> {
        let id = self.index.find(key, window, &self.slots)?;
        let slot = self.slots.remove(id)?;
        self.index.remove(id, &slot);
        if let Some(cell) = slot.cell {
            cells.remove(cell);
        }
        Some(slot.cell)
    }

    /// All slots have been put: makes their holds and appointments, and answers how many rows wait. Rows that are
    /// kept are of `epoch`.
    pub(crate) fn restored(&mut self, epoch: u64, holds: &mut Holds) -> u64 {
        self.epoch = epoch;
        let mut waiting = 0_u64;
        for id in self.slots.ids() {
            let Some(slot) = self.slots.get_mut(id) else { continue };
            waiting = waiting.saturating_add(slot.rows_new);
            if let Some(since) = &mut slot.since {
                *since = epoch;
                self.kept.add(epoch);
            }
            self.holds.change(&slot.window, None, slot.hold, holds);
            self.due.insert((slot.due, id));
            self.timers.extend(slot.timer.map(|t| (t, id)));
        }
        waiting
    }
}

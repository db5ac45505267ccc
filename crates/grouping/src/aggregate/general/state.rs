//! The log of panes of all kinds: a row for each key in a window that was put, and one for each that is gone.

use super::super::Aggregate;
use super::super::cells::{SAID, Store, said_codec};
use super::super::states::{merge_states, nulls, state_fields, states};
use crate::panes::PaneDriver;
use crate::panes::state::{SlotName, Slots, slot_fields};
use crate::state::{Columns, ROWS_MAX, WindowColumns, damaged, slot_of};
use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, BinaryArray, ListArray, RecordBatch, UInt8Array, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::take::take;
use purlin_api::key::KeyCodec;
use purlin_api::{Error, Extent, OpCx, Result, Saved, StateRows, StateTable};
use std::collections::BTreeMap;
use std::sync::Arc;

const PUT: u8 = 0;
const GONE: u8 = 1;

/// The panes of all keys, and their values: all of the state.
pub(super) struct PaneTable {
    pub(super) aggregate: Aggregate,
    pub(super) driver: PaneDriver,
    pub(super) cells: Store,
    /// Writes down what panes said, where they may be taken back.
    said: Option<KeyCodec>,
    schema: SchemaRef,
}

impl PaneTable {
    pub(super) fn new(
        aggregate: Aggregate,
        driver: PaneDriver,
        cells: Store,
        retracts: bool,
    ) -> Result<Self> {
        let mut fields = vec![Field::new("kind", DataType::UInt8, false)];
        fields.extend(slot_fields());
        if retracts {
            let item = Field::new_list_field(DataType::Binary, true);
            fields.push(Field::new(SAID, DataType::List(Arc::new(item)), true));
        }
        fields.extend(state_fields(aggregate.functions()));
        let said = if retracts { Some(said_codec()?) } else { None };
        Ok(PaneTable { aggregate, driver, cells, said, schema: Arc::new(Schema::new(fields)) })
    }

    /// All is restored: says so to the context.
    pub(super) fn restored(&mut self, cx: &mut OpCx) {
        let waiting = self.driver.restored(cx.epoch, &mut cx.holds);
        cx.fates.in_state = cx.fates.in_state.saturating_add(waiting);
    }

    fn gone(&self, gone: &[SlotName]) -> Result<StateRows> {
        let mut windows = WindowColumns::default();
        gone.iter().try_for_each(|(_, window)| windows.push(window))?;
        let keys = BinaryArray::from_iter_values(gone.iter().map(|(key, _)| key));
        let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt8Array::from(vec![GONE; gone.len()]))];
        columns.extend(windows.finish());
        columns.push(Arc::new(keys));
        let rest = self.schema.fields().iter().skip(columns.len()).map(|f| f.as_ref().clone());
        columns.extend(nulls(&rest.collect::<Vec<_>>(), gone.len()));
        let slots = gone.iter().map(|(key, _)| slot_of(key)).collect();
        StateRows::new(slots, RecordBatch::try_new(self.schema.clone(), columns)?)
    }

    fn put_rows(&mut self, ids: &[u32]) -> Result<StateRows> {
        let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt8Array::from(vec![PUT; ids.len()]))];
        columns.extend(self.driver.columns(ids)?);
        let (mut slots, mut cells) = (Vec::with_capacity(ids.len()), Vec::with_capacity(ids.len()));
        for id in ids {
            let (key, cell) = self.driver.slot(*id).ok_or_else(|| Error::internal("a slot was lost"))?;
            slots.push(slot_of(key));
            cells.push(cell);
        }
        if let Some(codec) = &self.said {
            columns.push(Arc::new(self.cells.said_column(&cells, codec)?));
        }
        let live: Vec<u32> = cells.iter().flatten().copied().collect();
        let states = states(self.cells.accumulators(), &live)?;
        if live.len() == cells.len() {
            columns.extend(states);
        } else {
            let mut next = 0..;
            let at: UInt32Array = cells.iter().map(|cell| cell.and_then(|_| next.next())).collect();
            for column in &states {
                columns.push(take(column, &at, None)?);
            }
        }
        StateRows::new(slots, RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}

impl StateTable for PaneTable {
    fn name(&self) -> &'static str {
        "panes"
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn save(&mut self, extent: Extent) -> Result<Saved> {
        let whole = extent == Extent::Whole || !self.driver.notes();
        let (ids, gone) = if whole {
            self.driver.note();
            (self.driver.all(), Vec::new())
        } else {
            self.driver.changes()
        };
        let mut log = Vec::new();
        // First, as another session may have taken the place of one that is gone.
        for gone in gone.chunks(ROWS_MAX) {
            log.push(self.gone(gone)?);
        }
        for ids in ids.chunks(ROWS_MAX) {
            log.push(self.put_rows(ids)?);
        }
        Ok(Saved { extent: if whole { Extent::Whole } else { Extent::Changes }, log })
    }

    fn apply(&mut self, rows: &StateRows) -> Result<()> {
        if !self.driver.notes() {
            self.driver.note();
        }
        let mut columns = Columns::of(&rows.rows);
        let kinds = columns.kinds()?;
        let slots = Slots::new(&mut columns)?;
        let said: Option<&ListArray> = match &self.said {
            Some(_) => columns.any()?.as_list_opt(),
            None => None,
        };
        let mut row_of = BTreeMap::<u32, u32>::new();
        for (row, kind) in kinds.iter().enumerate() {
            let (key, window) = slots.name(row)?;
            if rows.slots.values().get(row) != Some(&slot_of(key)) {
                return Err(damaged("a key in a slot where it does not belong"));
            }
            match *kind {
                PUT => {
                    let (cell, freed) = self.driver.put(&slots, row, &mut self.cells)?;
                    freed.and_then(|cell| row_of.remove(&cell));
                    let Some(cell) = cell else { continue };
                    row_of.insert(cell, row as u32);
                    if let (Some(codec), Some(said)) = (&self.said, said) {
                        self.cells.say(cell, &said.value(row), codec)?;
                    }
                }
                GONE => match self.driver.take_back(key, &window, &mut self.cells) {
                    Some(freed) => drop(freed.and_then(|cell| row_of.remove(&cell))),
                    None => {
                        return Err(damaged(format!("the end of a window that is not there: {window:?}")));
                    }
                },
                _ => return Err(damaged("a row of an unknown kind")),
            }
        }
        // Decoding finds out whether they are keys of these types at all.
        let keys = row_of.values().map(|row| slots.name(*row as usize).map(|(key, _)| key));
        self.aggregate.codec.decode(keys.collect::<Result<Vec<_>>>()?)?;
        let (cells, rows): (Vec<u32>, Vec<u32>) = row_of.into_iter().unzip();
        let functions = self.aggregate.functions();
        merge_states(self.cells.accumulators_mut(), functions, &cells, columns.rest(), &rows)
    }
}

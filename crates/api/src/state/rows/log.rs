//! Rows that wait, as a log.
//!
//! A row of the log is a row that was added, under an id, or says of ranges of ids in its slot that they are gone.

use super::{InWindow, KeptRows, PartId};
use crate::batch::take_rows;
use crate::error::{Error, Result};
use crate::state::{
    LOG_ROWS, StateRows, int_lists, ints, read_int_lists, read_ints, read_windows, window_columns,
    window_fields,
};
use crate::window::Window;
use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, RecordBatch, RecordBatchOptions, StructArray, UInt32Array, new_null_array,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The columns before the row itself.
const ID: usize = 0;
const GONE: usize = 1;
const WINDOW: usize = 2;
const ROW: usize = 5;

/// The schema of the log of rows of this schema.
pub(super) fn schema(rows: &Schema) -> SchemaRef {
    let ranges = DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)));
    // Null in rows that speak of others.
    let fields = rows.fields().iter().map(|f| Arc::new(f.as_ref().clone().with_nullable(true)));
    let mut columns = vec![Field::new("id", DataType::Int64, true), Field::new("gone", ranges, true)];
    columns.extend(window_fields());
    columns.push(Field::new("row", DataType::Struct(fields.collect()), true));
    Arc::new(Schema::new(columns))
}

/// A piece of the log that says which rows are gone.
pub(super) fn gone(schema: &SchemaRef, gone: &BTreeMap<u16, Vec<u64>>) -> Result<Option<StateRows>> {
    if gone.is_empty() {
        return Ok(None);
    }
    let ranges = |ids: &Vec<u64>| {
        let mut ids: Vec<i64> = ids.iter().map(|id| id.cast_signed()).collect();
        ids.sort_unstable();
        let mut ranges: Vec<i64> = Vec::new();
        for id in ids {
            match ranges.last_mut() {
                Some(last) if *last == id - 1 => *last = id,
                _ => ranges.extend([id, id]),
            }
        }
        ranges
    };
    let lists = int_lists(gone.values().map(|ids| Some(ranges(ids))));
    let null = |f: &Arc<Field>| new_null_array(f.data_type(), gone.len());
    let columns = schema.fields().iter().enumerate();
    let columns = columns.map(|(at, f)| if at == GONE { Arc::clone(&lists) } else { null(f) });
    let rows = RecordBatch::try_new(Arc::clone(schema), columns.collect())?;
    StateRows::new(gone.keys().copied().collect(), rows).map(Some)
}

impl KeptRows {
    /// The log of these parts, as far as they are still there; from now on their rows have ids.
    pub(super) fn log_parts(&mut self, parts: &[PartId]) -> Result<Vec<StateRows>> {
        let schema = schema(&self.schema);
        let (mut log, mut slots, mut pieces) = (Vec::new(), Vec::new(), Vec::new());
        for id in parts {
            let Some((part_slots, piece)) = self.log_part(*id, &schema)? else { continue };
            if !slots.is_empty() && slots.len() + part_slots.len() > LOG_ROWS {
                log.push(StateRows::new(std::mem::take(&mut slots), concat_batches(&schema, &pieces)?)?);
                pieces.clear();
            }
            slots.extend(part_slots);
            pieces.push(piece);
        }
        match pieces.as_slice() {
            [] => {}
            [one] => log.push(StateRows::new(slots, one.clone())?),
            several => log.push(StateRows::new(slots, concat_batches(&schema, several)?)?),
        }
        Ok(log)
    }

    fn log_part(&mut self, id: PartId, schema: &SchemaRef) -> Result<Option<(Vec<u16>, RecordBatch)>> {
        let Some(part) = self.parts.get_mut(&id) else { return Ok(None) };
        if part.saved.is_none() {
            let slots = self.slots.of(&part.rows)?;
            let first = self.next_id;
            self.next_id += slots.len() as u64;
            part.saved = Some(slots.into_iter().zip(first..).collect());
        }
        let names = part.saved.as_ref().ok_or_else(super::no_part)?;
        let live: Vec<usize> = part.live().collect();
        let rows = match live.len() == part.rows.num_rows() {
            true => part.rows.clone(),
            false => take_rows(&part.rows, &live.iter().map(|r| Some(*r as u32)).collect::<UInt32Array>())?,
        };
        let names: Vec<(u16, u64)> = live.iter().filter_map(|row| names.get(*row).copied()).collect();
        let windows: Vec<Window> = live.iter().map(|row| part.windows.get(*row)).collect();
        let field = schema.field(ROW);
        let DataType::Struct(fields) = field.data_type() else { return Err(super::no_part()) };
        let row =
            StructArray::try_new_with_length(fields.clone(), rows.columns().to_vec(), None, live.len())?;
        let no_ranges = new_null_array(schema.field(GONE).data_type(), live.len());
        let mut columns: Vec<ArrayRef> =
            vec![ints(names.iter().map(|(_, id)| Some(id.cast_signed()))), no_ranges];
        columns.extend(window_columns(windows.iter().map(Some)));
        columns.push(Arc::new(row));
        let rows = RecordBatch::try_new(Arc::clone(schema), columns)?;
        Ok(Some((names.into_iter().map(|(slot, _)| slot).collect(), rows)))
    }

    /// Takes in a piece of the log.
    pub(super) fn apply_log(&mut self, log: &StateRows) -> Result<()> {
        let columns = log.rows.columns();
        let wrong = || Error::internal(format!("stored rows of `{}` are of another schema", self.name));
        if log.rows.schema_ref().fields() != self.schema_of_log().fields() {
            return Err(wrong());
        }
        let ids: Vec<Option<i64>> = read_ints(columns, ID)?.collect();
        let mut added = Vec::new();
        let mut names = Vec::new();
        for (row, (id, slot)) in ids.iter().zip(log.slots.values()).enumerate() {
            if let Some(id) = id {
                self.next_id = self.next_id.max(id.cast_unsigned().saturating_add(1));
                added.push(row as u32);
                names.push((*slot, id.cast_unsigned()));
            }
        }
        if added.len() < ids.len() {
            let lists = read_int_lists(columns, GONE)?;
            for (ranges, slot) in lists.iter().zip(log.slots.values()) {
                for range in ranges.chunks_exact(2) {
                    let [from, to] = range else { continue };
                    let (from, to) = (from.cast_unsigned(), to.cast_unsigned());
                    self.next_id = self.next_id.max(to.saturating_add(1));
                    self.gone.entry(*slot).or_default().push((from, to));
                }
            }
        }
        if added.is_empty() {
            return Ok(());
        }
        let log = match added.len() == ids.len() {
            true => log.rows.clone(),
            false => take_rows(&log.rows, &UInt32Array::from(added))?,
        };
        let windows = read_windows(log.columns(), WINDOW)?;
        let row = log.columns().get(ROW).and_then(|c| c.as_struct_opt()).ok_or_else(wrong)?;
        let options = RecordBatchOptions::new().with_row_count(Some(row.len()));
        let rows =
            RecordBatch::try_new_with_options(Arc::clone(&self.schema), row.columns().to_vec(), &options)?;
        self.insert_in_windows(rows, &windows, &names)
    }

    fn schema_of_log(&self) -> SchemaRef {
        schema(&self.schema)
    }

    /// Adds rows of a log; those in windows that are no intervals in a part for each window.
    fn insert_in_windows(
        &mut self,
        rows: RecordBatch,
        windows: &[Window],
        names: &[(u16, u64)],
    ) -> Result<()> {
        let Some(first) = windows.first() else { return Ok(()) };
        if windows.iter().all(|w| w == first) {
            self.insert(rows, InWindow::One(first.clone()), Some(names.to_vec()));
            return Ok(());
        }
        let span = |w: &Window| match w {
            Window::Interval { start, end } => Some((*start, *end)),
            _ => None,
        };
        if let Some(spans) = windows.iter().map(span).collect::<Option<Vec<_>>>() {
            self.insert(rows, InWindow::Each(spans), Some(names.to_vec()));
            return Ok(());
        }
        let mut by_window: BTreeMap<&Window, Vec<u32>> = BTreeMap::new();
        for (row, window) in windows.iter().enumerate() {
            by_window.entry(window).or_default().push(row as u32);
        }
        for (window, places) in by_window {
            let names = places.iter().filter_map(|row| names.get(*row as usize).copied()).collect();
            let part = take_rows(&rows, &UInt32Array::from(places))?;
            self.insert(part, InWindow::One(window.clone()), Some(names));
        }
        Ok(())
    }
}

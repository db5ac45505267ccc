//! What panes said, as a column: a list for each cell, in which each entry is the key bytes of a row.

use super::{Said, Store};
use crate::state::{Columns, WindowColumns, Windows, damaged};
use arrow_array::builder::{BinaryBuilder, ListBuilder};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, Int64Array, ListArray, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use purlin_api::key::KeyCodec;
use purlin_api::{EventTime, Pane, Result, Timing};
use std::sync::Arc;

/// The name of the column.
pub(in super::super) const SAID: &str = "said";

const INT: DataType = DataType::Int64;
/// Window, time, pane, results.
const TYPES: [DataType; 10] =
    [INT, INT, DataType::Binary, INT, INT, INT, INT, DataType::Boolean, DataType::Boolean, DataType::Binary];

const TIMINGS: [Timing; 4] = [Timing::Early, Timing::OnTime, Timing::Late, Timing::Unknown];

/// Reads and writes entries of the column.
pub(in super::super) fn said_codec() -> Result<KeyCodec> {
    KeyCodec::new(&TYPES)
}

impl Store {
    /// What the last panes of these cells said.
    pub(in super::super) fn said_column(&self, cells: &[Option<u32>], codec: &KeyCodec) -> Result<ListArray> {
        let of = |cell: &Option<u32>| cell.and_then(|c| self.said.get(&c)).map_or(&[][..], Vec::as_slice);
        let all: Vec<&Said> = cells.iter().flat_map(of).collect();
        let mut windows = WindowColumns::default();
        all.iter().try_for_each(|said| windows.push(&said.window))?;
        let int = |f: fn(&Said) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(all.iter().map(|said| f(said))))
        };
        let flag = |f: fn(&Said) -> bool| -> ArrayRef {
            Arc::new(all.iter().map(|said| Some(f(said))).collect::<BooleanArray>())
        };
        let timing = |t: Timing| TIMINGS.iter().position(|other| *other == t).unwrap_or_default() as i64;
        let timings = Int64Array::from_iter_values(all.iter().map(|said| timing(said.pane.timing)));
        let mut columns: Vec<ArrayRef> = windows.finish().into();
        columns.push(int(|said| said.time.0));
        columns.push(Arc::new(timings));
        columns.push(int(|said| said.pane.index));
        columns.push(int(|said| said.pane.nonspeculative_index));
        columns.push(flag(|said| said.pane.is_first));
        columns.push(flag(|said| said.pane.is_last));
        columns.push(Arc::new(BinaryArray::from_iter_values(all.iter().map(|said| &said.values))));
        let entries = codec.encode(&columns, all.len())?;
        let mut entries = entries.iter();
        let mut lists = ListBuilder::new(BinaryBuilder::new());
        for cell in cells {
            entries.by_ref().take(of(cell).len()).for_each(|entry| lists.values().append_value(entry));
            lists.append(true);
        }
        Ok(lists.finish())
    }

    /// Puts back what the last panes of a cell said: a list of the column.
    pub(in super::super) fn say(&mut self, cell: u32, entries: &ArrayRef, codec: &KeyCodec) -> Result<()> {
        let entries =
            entries.as_binary_opt::<i32>().ok_or_else(|| damaged("what panes said is not bytes"))?;
        if entries.is_empty() {
            return Ok(());
        }
        let columns = codec.decode(entries.iter().map(Option::unwrap_or_default))?;
        let fields = TYPES.iter().map(|t| Field::new("", t.clone(), true)).collect::<Vec<_>>();
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        let mut columns = Columns::of(&rows);
        let windows = Windows::new(columns.take(3)?)?;
        let (times, timings) = (columns.ints()?, columns.ints()?);
        let (indexes, nonspeculative) = (columns.ints()?, columns.ints()?);
        let (first, last, values) = (columns.flags()?, columns.flags()?, columns.bytes()?);
        let mut said = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            let timing = usize::try_from(timings.value(row)).ok().and_then(|t| TIMINGS.get(t));
            said.push(Said {
                window: windows.get(row)?,
                time: EventTime(times.value(row)),
                pane: Pane {
                    is_first: first.value(row),
                    is_last: last.value(row),
                    timing: *timing.ok_or_else(|| damaged("a pane that cannot be"))?,
                    index: indexes.value(row),
                    nonspeculative_index: nonspeculative.value(row),
                },
                values: values.value(row).to_vec(),
            });
        }
        self.said.insert(cell, said);
        Ok(())
    }
}

//! The log of a first step: all of its groups, each time. There are few of them, and after a restart it makes no
//! difference which lane has them.

use super::{Partial, State};
use crate::aggregate::states::{merge_states, state_fields, states};
use crate::aggregate::table::{Groups, HashedKeys};
use crate::state::{Columns, ROWS_MAX, WindowColumns, Windows, damaged, window_fields};
use ahash::RandomState;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, BinaryArray, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use purlin_api::{EventTime, Extent, OpCx, Result, Saved, StateRows, StateTable, Window};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The windows and groups of a first step: all of its state.
pub(super) struct PartialTable {
    pub(super) partial: Partial,
    pub(super) random: RandomState,
    pub(super) windows: BTreeMap<(EventTime, Window), State>,
    /// The groups of all windows. Those that have left stay until the table is empty or full.
    pub(super) groups: Groups,
    /// It is not what was saved last.
    pub(super) changed: bool,
    saved: bool,
    /// The slot that all rows are in.
    slot: u16,
    schema: SchemaRef,
}

impl PartialTable {
    pub(super) fn new(partial: Partial, slot: u16) -> Result<Self> {
        let mut fields = window_fields();
        fields.push(Field::new("key", DataType::Binary, true));
        fields.extend(state_fields(partial.functions()));
        Ok(PartialTable {
            random: RandomState::new(),
            windows: BTreeMap::new(),
            groups: Groups::new(partial.accumulators()?),
            changed: false,
            saved: false,
            slot,
            schema: Arc::new(Schema::new(fields)),
            partial,
        })
    }

    /// All is restored: says so to the context.
    pub(super) fn restored(&mut self, cx: &mut OpCx) {
        for state in self.windows.values_mut() {
            state.since = cx.epoch;
            cx.kept.add(cx.epoch);
            cx.fates.in_state = cx.fates.in_state.saturating_add(state.rows);
        }
    }

    fn rows(&self, groups: &[(&Window, u32)]) -> Result<StateRows> {
        let mut windows = WindowColumns::default();
        groups.iter().try_for_each(|(window, _)| windows.push(window))?;
        let groups: Vec<u32> = groups.iter().map(|(_, group)| *group).collect();
        let keys = BinaryArray::from_iter_values(groups.iter().map(|g| self.groups.key(*g)));
        let mut columns: Vec<ArrayRef> = windows.finish().into();
        columns.push(Arc::new(keys));
        columns.extend(states(self.groups.accumulators(), &groups)?);
        Ok(StateRows::in_slot(self.slot, RecordBatch::try_new(self.schema.clone(), columns)?))
    }
}

impl StateTable for PartialTable {
    fn name(&self) -> &'static str {
        "partials"
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn save(&mut self, extent: Extent) -> Result<Saved> {
        if extent == Extent::Changes && self.saved && !self.changed {
            return Ok(Saved { extent, log: Vec::new() });
        }
        (self.saved, self.changed) = (true, false);
        let all = self.windows.iter().flat_map(|((_, window), state)| {
            self.groups.all(&state.member).into_iter().map(move |group| (window, group))
        });
        let all: Vec<(&Window, u32)> = all.collect();
        let log = all.chunks(ROWS_MAX).map(|groups| self.rows(groups)).collect::<Result<Vec<_>>>()?;
        Ok(Saved { extent: Extent::Whole, log })
    }

    fn apply(&mut self, rows: &StateRows) -> Result<()> {
        let n = rows.rows.num_rows();
        let mut columns = Columns::of(&rows.rows);
        let windows = Windows::new(columns.take(3)?)?;
        let keys = columns.bytes()?;
        let states = columns.rest();
        // The last one counts rows.
        let counts = states.last().and_then(|c| c.as_primitive_opt::<Int64Type>());
        let counts = counts.ok_or_else(|| damaged("rows are not counted"))?;
        let codec = &self.partial.aggregate.codec;
        let keys = codec.decode((0..n).map(|row| if keys.is_valid(row) { keys.value(row) } else { &[] }))?;
        let keys = HashedKeys::new(codec, &keys, n, &self.random)?;
        let mut groups = Vec::with_capacity(n);
        for row in 0..n {
            let window = windows.get(row)?;
            let PartialTable { windows: all, groups: table, .. } = self;
            let state = all.entry((window.end(), window)).or_insert_with(|| State::new(table, 0));
            table.intern(&mut state.member, &keys, std::iter::once(row), &mut groups);
            let count = u64::try_from(counts.value(row));
            let count = count.map_err(|_| damaged("a number of rows that cannot be"))?;
            state.rows = state.rows.saturating_add(count);
        }
        self.groups.grow();
        self.changed = true;
        let rows: Vec<u32> = (0..n as u32).collect();
        let functions = self.partial.functions();
        merge_states(self.groups.accumulators_mut(), functions, &groups, states, &rows)
    }
}

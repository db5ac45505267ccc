//! The states of accumulators as columns of a log.

use crate::accumulate::{Accumulator, AggregateFn};
use crate::state::damaged;
use arrow_array::{ArrayRef, UInt32Array, new_null_array};
use arrow_schema::{Field, Schema};
use arrow_select::take::take;
use purlin_api::Result;
use purlin_api::shape::physical;

/// The columns of the states of these functions, named by number: outputs may be named anew.
pub(super) fn state_fields<'a>(functions: impl Iterator<Item = &'a AggregateFn>) -> Vec<Field> {
    let fields = functions.enumerate().flat_map(|(i, f)| f.state_fields(&i.to_string()));
    let fields = physical(&Schema::new(fields.collect::<Vec<_>>()));
    fields.fields().iter().map(|f| f.as_ref().clone()).collect()
}

/// The states of these groups.
pub(super) fn states(accumulators: &[Box<dyn Accumulator>], groups: &[u32]) -> Result<Vec<ArrayRef>> {
    let mut columns = Vec::new();
    for accumulator in accumulators {
        columns.extend(accumulator.state(groups)?);
    }
    Ok(columns)
}

/// Columns of nulls.
pub(super) fn nulls(fields: &[Field], rows: usize) -> Vec<ArrayRef> {
    fields.iter().map(|f| new_null_array(f.data_type(), rows)).collect()
}

/// Adds the states in these rows to their groups.
pub(super) fn merge_states<'a>(
    accumulators: &mut [Box<dyn Accumulator>],
    functions: impl Iterator<Item = &'a AggregateFn>,
    groups: &[u32],
    states: &[ArrayRef],
    rows: &[u32],
) -> Result<()> {
    let all = states.first().map_or(0, |s| s.len());
    let in_order = rows.len() == all && rows.iter().enumerate().all(|(i, row)| i == *row as usize);
    let mut rest = states.iter();
    let rows = UInt32Array::from(rows.to_vec());
    for (accumulator, function) in accumulators.iter_mut().zip(functions) {
        let fields = function.state_fields("");
        let mut columns = Vec::with_capacity(fields.len());
        for _ in &fields {
            let column = rest.next().ok_or_else(|| damaged("a state column is missing"))?;
            columns.push(if in_order { column.clone() } else { take(column, &rows, None)? });
        }
        accumulator.merge_state(groups, &columns)?;
    }
    Ok(())
}

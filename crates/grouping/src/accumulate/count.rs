//! `count`: rows, nulls among them.

use super::{Accumulator, Block, Cell, Cells, blocks, only, unplanned};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array};
use purlin_api::Result;
use std::sync::Arc;

#[derive(Clone, Default)]
struct Count(i64);

impl Cell for Count {
    fn merge(&mut self, from: &Self) {
        self.0 += from.0;
    }
}

pub(super) struct CountAccumulator(Cells<Count>);

impl CountAccumulator {
    pub(super) fn new() -> Self {
        CountAccumulator(Cells::new())
    }
}

impl Accumulator for CountAccumulator {
    fn resize(&mut self, groups: usize) {
        self.0.resize(groups);
    }

    fn update(&mut self, groups: &[u32], _values: &ArrayRef) -> Result<()> {
        let mut add = |group: u32, rows: usize| {
            if let Some(cell) = self.0.get_mut(group) {
                cell.0 += rows as i64;
            }
        };
        for (block, range) in blocks(groups) {
            match block {
                Block::One(group) => add(group, range.len()),
                Block::Each(groups) => groups.iter().for_each(|group| add(*group, 1)),
            }
        }
        Ok(())
    }

    fn merge(&mut self, into: u32, from: u32) {
        self.0.merge(into, from);
    }

    fn clear(&mut self, group: u32) {
        self.0.clear(group);
    }

    fn emit(&self, groups: &[u32]) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from_iter_values(self.0.of(groups).map(|c| c.0))))
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.emit(groups)?])
    }

    fn merge_state(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result<()> {
        let state = only(states)?;
        let counts = state.as_primitive_opt::<Int64Type>().ok_or_else(|| unplanned(state))?;
        for (group, n) in groups.iter().zip(counts.values()) {
            if let Some(cell) = self.0.get_mut(*group) {
                cell.0 += n;
            }
        }
        Ok(())
    }

    fn size_bytes(&self) -> usize {
        self.0.size_bytes()
    }
}

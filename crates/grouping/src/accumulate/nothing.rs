//! Aggregates over a column that is null everywhere: null for every group.

use super::{Accumulator, NullRule};
use arrow_array::{ArrayRef, new_null_array};
use arrow_schema::DataType;
use purlin_api::Result;

pub(super) struct NothingAccumulator {
    output: DataType,
    nulls: NullRule,
}

impl NothingAccumulator {
    pub(super) fn new(output: DataType, nulls: NullRule) -> Self {
        NothingAccumulator { output, nulls }
    }
}

impl Accumulator for NothingAccumulator {
    fn resize(&mut self, _groups: usize) {}

    fn update(&mut self, _groups: &[u32], values: &ArrayRef) -> Result<()> {
        self.nulls.check(values)
    }

    fn merge(&mut self, _into: u32, _from: u32) {}

    fn clear(&mut self, _group: u32) {}

    fn emit(&self, groups: &[u32]) -> Result<ArrayRef> {
        Ok(new_null_array(&self.output, groups.len()))
    }

    fn state(&self, _groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(Vec::new())
    }

    fn merge_state(&mut self, _groups: &[u32], _states: &[ArrayRef]) -> Result<()> {
        Ok(())
    }

    fn size_bytes(&self) -> usize {
        0
    }
}

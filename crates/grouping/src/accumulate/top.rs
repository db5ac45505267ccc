//! The greatest or least few values of a group, as a list, best first (Beam's `TopCombineFn`).

use super::extreme::Side;
use super::{Accumulator, NullRule, only, unplanned};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ListArray};
use arrow_buffer::OffsetBuffer;
use arrow_schema::FieldRef;
use purlin_api::key::KeyCodec;
use purlin_api::{Error, Result};
use std::sync::Arc;

/// The key bytes of null.
const NULL: &[u8] = &[0];

pub(super) struct TopAccumulator {
    side: Side,
    n: usize,
    nulls: NullRule,
    item: FieldRef,
    codec: KeyCodec,
    /// Canonical key bytes, best first, at most `n` a group.
    best: Vec<Vec<Vec<u8>>>,
    bytes: usize,
}

impl TopAccumulator {
    pub(super) fn new(side: Side, n: usize, nulls: NullRule, item: FieldRef) -> Result<Self> {
        let codec = KeyCodec::new(std::slice::from_ref(item.data_type()))?;
        Ok(TopAccumulator { side, n, nulls, item, codec, best: Vec::new(), bytes: 0 })
    }

    fn add(&mut self, group: u32, value: &[u8]) {
        let (side, n) = (self.side, self.n);
        let Some(best) = self.best.get_mut(group as usize) else { return };
        let place = best.partition_point(|other| match side {
            Side::Max => other.as_slice() >= value,
            Side::Min => other.as_slice() <= value,
        });
        if place >= n {
            return;
        }
        let spare = if best.len() == n { best.pop() } else { None };
        let mut value_kept = spare.unwrap_or_default();
        self.bytes -= value_kept.capacity();
        value_kept.clear();
        value_kept.extend_from_slice(value);
        self.bytes += value_kept.capacity();
        best.insert(place, value_kept);
    }

    /// Adds values to the groups at their places.
    fn add_all(&mut self, groups: impl Iterator<Item = u32>, values: &ArrayRef) -> Result<()> {
        let keys = self.codec.encode(std::slice::from_ref(values), values.len())?;
        for (group, key) in groups.zip(keys.iter()) {
            if key != NULL {
                self.add(group, key);
            }
        }
        Ok(())
    }

    fn take(&mut self, group: u32) -> Vec<Vec<u8>> {
        let taken = self.best.get_mut(group as usize).map(std::mem::take).unwrap_or_default();
        self.bytes -= taken.iter().map(Vec::capacity).sum::<usize>();
        taken
    }
}

impl Accumulator for TopAccumulator {
    fn resize(&mut self, groups: usize) {
        self.bytes -= self.best.iter().skip(groups).flatten().map(Vec::capacity).sum::<usize>();
        self.best.resize(groups, Vec::new());
    }

    fn update(&mut self, groups: &[u32], values: &ArrayRef) -> Result<()> {
        self.nulls.check(values)?;
        self.add_all(groups.iter().copied(), values)
    }

    fn merge(&mut self, into: u32, from: u32) {
        for value in self.take(from) {
            self.add(into, &value);
        }
    }

    fn clear(&mut self, group: u32) {
        self.take(group);
    }

    fn emit(&self, groups: &[u32]) -> Result<ArrayRef> {
        let lists = || groups.iter().filter_map(|g| self.best.get(*g as usize));
        let values = self.codec.decode(lists().flatten().map(Vec::as_slice))?.pop();
        let values = values.ok_or_else(|| Error::internal("a list of the best has no column"))?;
        if values.len() > i32::MAX as usize {
            return Err(Error::data("more than 2^31 values in the lists of one batch"));
        }
        let offsets = OffsetBuffer::from_lengths(lists().map(Vec::len));
        Ok(Arc::new(ListArray::try_new(self.item.clone(), offsets, values, None)?))
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.emit(groups)?])
    }

    fn merge_state(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result<()> {
        let state = only(states)?;
        let lists = state.as_list_opt::<i32>().ok_or_else(|| unplanned(state))?;
        for (row, group) in groups.iter().enumerate().take(lists.len()) {
            let values = lists.value(row);
            self.add_all(std::iter::repeat_n(*group, values.len()), &values)?;
        }
        Ok(())
    }

    fn size_bytes(&self) -> usize {
        let values: usize = self.best.iter().map(|b| b.capacity() * size_of::<Vec<u8>>()).sum();
        self.bytes + values + self.best.capacity() * size_of::<Vec<Vec<u8>>>()
    }
}

//! Different values of a group: all of them as a list (Beam's `ToSetCombineFn`), or about how many there
//! are (Beam's `ApproximateUniqueCombineFn`).

use super::{Accumulator, NullRule, only, unplanned};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int64Array, ListArray};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field, FieldRef};
use purlin_api::key::{KeyCodec, hash};
use purlin_api::{Error, Result};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The key bytes of null.
const NULL: &[u8] = &[0];
/// About what a set keeps for an entry beside its bytes.
const ENTRY_BYTES: usize = size_of::<Vec<u8>>() + 8;

/// All different values, in their order; null is one of them.
pub(super) struct SetAccumulator {
    item: FieldRef,
    codec: KeyCodec,
    sets: Vec<BTreeSet<Vec<u8>>>,
    bytes: usize,
}

impl SetAccumulator {
    pub(super) fn new(item: FieldRef) -> Result<Self> {
        let codec = KeyCodec::new(std::slice::from_ref(item.data_type()))?;
        Ok(SetAccumulator { item, codec, sets: Vec::new(), bytes: 0 })
    }

    fn add_all(&mut self, groups: impl Iterator<Item = u32>, values: &ArrayRef) -> Result<()> {
        let keys = self.codec.encode(std::slice::from_ref(values), values.len())?;
        for (group, key) in groups.zip(keys.iter()) {
            let Some(set) = self.sets.get_mut(group as usize) else { continue };
            if !set.contains(key) {
                self.bytes += key.len() + ENTRY_BYTES;
                set.insert(key.to_vec());
            }
        }
        Ok(())
    }

    fn take(&mut self, group: u32) -> BTreeSet<Vec<u8>> {
        let taken = self.sets.get_mut(group as usize).map(std::mem::take).unwrap_or_default();
        self.bytes -= bytes_of(&taken);
        taken
    }
}

fn bytes_of(set: &BTreeSet<Vec<u8>>) -> usize {
    set.iter().map(|v| v.len() + ENTRY_BYTES).sum()
}

impl Accumulator for SetAccumulator {
    fn resize(&mut self, groups: usize) {
        self.bytes -= self.sets.iter().skip(groups).map(bytes_of).sum::<usize>();
        self.sets.resize(groups, BTreeSet::new());
    }

    fn update(&mut self, groups: &[u32], values: &ArrayRef) -> Result<()> {
        self.add_all(groups.iter().copied(), values)
    }

    fn merge(&mut self, into: u32, from: u32) {
        let taken = self.take(from);
        let Some(set) = self.sets.get_mut(into as usize) else { return };
        for value in taken {
            let bytes = value.len() + ENTRY_BYTES;
            if set.insert(value) {
                self.bytes += bytes;
            }
        }
    }

    fn clear(&mut self, group: u32) {
        self.take(group);
    }

    fn emit(&self, groups: &[u32]) -> Result<ArrayRef> {
        let sets = || groups.iter().filter_map(|g| self.sets.get(*g as usize));
        let values = self.codec.decode(sets().flatten().map(Vec::as_slice))?.pop();
        let values = values.ok_or_else(|| Error::internal("a list of values has no column"))?;
        list(&self.item, sets().map(BTreeSet::len), values)
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
        self.bytes + self.sets.capacity() * size_of::<BTreeSet<Vec<u8>>>()
    }
}

/// A column of lists. Fails if they have too many values for one.
pub(super) fn list(
    item: &FieldRef,
    lens: impl IntoIterator<Item = usize>,
    values: ArrayRef,
) -> Result<ArrayRef> {
    if values.len() > i32::MAX as usize {
        return Err(Error::data("more than 2^31 values in the lists of one batch"));
    }
    Ok(Arc::new(ListArray::try_new(item.clone(), OffsetBuffer::from_lengths(lens), values, None)?))
}

/// The type of the state of [`ApproxDistinctAccumulator`].
pub(super) fn hashes_type() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Int64, true)))
}

/// About how many different values there are, nulls left out.
///
/// It keeps the `k` least hashes (bottom-k sketch, Bar-Yossef et al. 2002): how close together they lie
/// says how many there are in all. Up to `k` values the answer is exact; beyond, its standard error is
/// 1/√(k − 2). However rows are split and merged, the answer is the same.
pub(super) struct ApproxDistinctAccumulator {
    k: usize,
    nulls: NullRule,
    codec: KeyCodec,
    least: Vec<BTreeSet<u64>>,
}

impl ApproxDistinctAccumulator {
    pub(super) fn new(k: usize, nulls: NullRule, input: &DataType) -> Result<Self> {
        let codec = KeyCodec::new(std::slice::from_ref(input))?;
        Ok(ApproxDistinctAccumulator { k, nulls, codec, least: Vec::new() })
    }

    fn add(&mut self, group: u32, hash: u64) {
        let Some(least) = self.least.get_mut(group as usize) else { return };
        if least.len() < self.k {
            least.insert(hash);
        } else if least.last().is_some_and(|last| hash < *last) && least.insert(hash) {
            least.pop_last();
        }
    }

    fn estimate(&self, least: &BTreeSet<u64>) -> i64 {
        let exact = least.len() as i64;
        match least.last() {
            Some(last) if least.len() >= self.k && *last > 0 => {
                let share = *last as f64 / 2f64.powi(64);
                ((self.k as f64 - 1.0) / share).round() as i64
            }
            _ => exact,
        }
    }
}

impl Accumulator for ApproxDistinctAccumulator {
    fn resize(&mut self, groups: usize) {
        self.least.resize(groups, BTreeSet::new());
    }

    fn update(&mut self, groups: &[u32], values: &ArrayRef) -> Result<()> {
        self.nulls.check(values)?;
        let keys = self.codec.encode(std::slice::from_ref(values), values.len())?;
        for (group, key) in groups.iter().zip(keys.iter()) {
            if key != NULL {
                self.add(*group, hash(key));
            }
        }
        Ok(())
    }

    fn merge(&mut self, into: u32, from: u32) {
        let taken = self.least.get_mut(from as usize).map(std::mem::take).unwrap_or_default();
        taken.into_iter().for_each(|h| self.add(into, h));
    }

    fn clear(&mut self, group: u32) {
        if let Some(least) = self.least.get_mut(group as usize) {
            least.clear();
        }
    }

    fn emit(&self, groups: &[u32]) -> Result<ArrayRef> {
        let of = |g: &u32| self.least.get(*g as usize).map(|l| self.estimate(l));
        Ok(Arc::new(Int64Array::from_iter_values(groups.iter().filter_map(of))))
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let sets = || groups.iter().filter_map(|g| self.least.get(*g as usize));
        let hashes = Int64Array::from_iter_values(sets().flatten().map(|h| h.cast_signed()));
        let item = Arc::new(Field::new("item", DataType::Int64, true));
        Ok(vec![list(&item, sets().map(BTreeSet::len), Arc::new(hashes))?])
    }

    fn merge_state(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result<()> {
        let state = only(states)?;
        let lists = state.as_list_opt::<i32>().ok_or_else(|| unplanned(state))?;
        for (row, group) in groups.iter().enumerate().take(lists.len()) {
            let values = lists.value(row);
            let hashes = values.as_primitive_opt::<Int64Type>().ok_or_else(|| unplanned(&values))?;
            hashes.values().iter().for_each(|h| self.add(*group, h.cast_unsigned()));
        }
        Ok(())
    }

    fn size_bytes(&self) -> usize {
        let hashes: usize = self.least.iter().map(|l| l.len() * 2 * size_of::<u64>()).sum();
        hashes + self.least.capacity() * size_of::<BTreeSet<u64>>()
    }
}

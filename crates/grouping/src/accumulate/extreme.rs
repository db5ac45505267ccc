//! `max` and `min`. Numbers and times compare as such; everything else, and floats that are equal or
//! NaN, in the order of canonical key bytes: text by code point, false before true, lists item by
//! item, NaN greatest.

use super::{Accumulator, NullRule, only, unplanned};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray};
use arrow_buffer::{ArrowNativeType, NullBuffer, ScalarBuffer};
use arrow_schema::DataType;
use purlin_api::key::KeyCodec;
use purlin_api::{Error, Result};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Max,
    Min,
}

/// Values with an order of their own.
pub(super) trait Ordered: Copy + Send {
    /// True if it is beyond `other` on the upper side.
    fn above(self, other: Self) -> bool;
}

impl Ordered for i64 {
    fn above(self, other: Self) -> bool {
        self > other
    }
}

impl Ordered for i128 {
    fn above(self, other: Self) -> bool {
        self > other
    }
}

impl Ordered for f64 {
    fn above(self, other: Self) -> bool {
        self > other || (self.is_nan() && !other.is_nan())
    }
}

/// Extremes of numbers and times.
pub(super) struct PrimitiveExtreme<T: ArrowPrimitiveType> {
    side: Side,
    nulls: NullRule,
    output: DataType,
    best: Vec<T::Native>,
    seen: Vec<bool>,
}

impl<T: ArrowPrimitiveType> PrimitiveExtreme<T>
where
    T::Native: Ordered,
{
    pub(super) fn new(side: Side, nulls: NullRule, output: DataType) -> Self {
        PrimitiveExtreme { side, nulls, output, best: Vec::new(), seen: Vec::new() }
    }

    #[inline]
    fn add(&mut self, group: u32, value: T::Native) {
        let group = group as usize;
        let (Some(best), Some(seen)) = (self.best.get_mut(group), self.seen.get_mut(group)) else { return };
        let better = match self.side {
            Side::Max => value.above(*best),
            Side::Min => best.above(value),
        };
        if better || !*seen {
            *best = value;
            *seen = true;
        }
    }
}

impl<T: ArrowPrimitiveType> Accumulator for PrimitiveExtreme<T>
where
    T::Native: Ordered,
{
    fn resize(&mut self, groups: usize) {
        self.best.resize(groups, T::Native::usize_as(0));
        self.seen.resize(groups, false);
    }

    fn update(&mut self, groups: &[u32], values: &ArrayRef) -> Result<()> {
        self.nulls.check(values)?;
        let values = values.as_primitive_opt::<T>().ok_or_else(|| unplanned(values))?;
        if values.null_count() == 0 {
            for (group, value) in groups.iter().zip(values.values()) {
                self.add(*group, *value);
            }
        } else {
            for (group, value) in groups.iter().zip(values.iter()) {
                if let Some(value) = value {
                    self.add(*group, value);
                }
            }
        }
        Ok(())
    }

    fn merge(&mut self, into: u32, from: u32) {
        let at = from as usize;
        if let (Some(value), Some(true)) = (self.best.get(at).copied(), self.seen.get(at)) {
            self.clear(from);
            self.add(into, value);
        }
    }

    fn clear(&mut self, group: u32) {
        if let Some(seen) = self.seen.get_mut(group as usize) {
            *seen = false;
        }
    }

    fn emit(&self, groups: &[u32]) -> Result<ArrayRef> {
        let at = |g: &u32| self.best.get(*g as usize).copied();
        let values: ScalarBuffer<T::Native> = groups.iter().filter_map(at).collect();
        let seen: Vec<bool> = groups.iter().filter_map(|g| self.seen.get(*g as usize).copied()).collect();
        let nulls = NullBuffer::from(seen);
        Ok(Arc::new(PrimitiveArray::<T>::try_new(values, Some(nulls))?.with_data_type(self.output.clone())))
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.emit(groups)?])
    }

    fn merge_state(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result<()> {
        let nulls = std::mem::replace(&mut self.nulls, NullRule::Skip);
        let merged = self.update(groups, only(states)?);
        self.nulls = nulls;
        merged
    }

    fn size_bytes(&self) -> usize {
        self.best.capacity() * size_of::<T::Native>() + self.seen.capacity()
    }
}

/// Extremes of all other types, kept as canonical key bytes.
pub(super) struct KeyExtreme {
    side: Side,
    nulls: NullRule,
    codec: KeyCodec,
    /// Empty: no value yet (no key of a column is empty).
    best: Vec<Vec<u8>>,
    bytes: usize,
}

/// The key bytes of null.
const NULL: &[u8] = &[0];

impl KeyExtreme {
    pub(super) fn new(side: Side, nulls: NullRule, output: &DataType) -> Result<Self> {
        let codec = KeyCodec::new(std::slice::from_ref(output))?;
        Ok(KeyExtreme { side, nulls, codec, best: Vec::new(), bytes: 0 })
    }

    fn add(&mut self, group: u32, value: &[u8]) {
        let side = self.side;
        let Some(best) = self.best.get_mut(group as usize) else { return };
        let better = match side {
            Side::Max => value > best.as_slice(),
            Side::Min => value < best.as_slice(),
        };
        if better || best.is_empty() {
            self.bytes -= best.capacity();
            best.clear();
            best.extend_from_slice(value);
            self.bytes += best.capacity();
        }
    }
}

impl Accumulator for KeyExtreme {
    fn resize(&mut self, groups: usize) {
        self.bytes -= self.best.iter().skip(groups).map(Vec::capacity).sum::<usize>();
        self.best.resize(groups, Vec::new());
    }

    fn update(&mut self, groups: &[u32], values: &ArrayRef) -> Result<()> {
        self.nulls.check(values)?;
        let keys = self.codec.encode(std::slice::from_ref(values), values.len())?;
        for (group, key) in groups.iter().zip(keys.iter()) {
            if key != NULL {
                self.add(*group, key);
            }
        }
        Ok(())
    }

    fn merge(&mut self, into: u32, from: u32) {
        let Some(value) = self.best.get_mut(from as usize).map(std::mem::take) else { return };
        self.bytes -= value.capacity();
        if !value.is_empty() {
            self.add(into, &value);
        }
    }

    fn clear(&mut self, group: u32) {
        if let Some(best) = self.best.get_mut(group as usize) {
            self.bytes -= best.capacity();
            *best = Vec::new();
        }
    }

    fn emit(&self, groups: &[u32]) -> Result<ArrayRef> {
        let keys = groups.iter().filter_map(|g| self.best.get(*g as usize));
        let keys = keys.map(|key| if key.is_empty() { NULL } else { key.as_slice() });
        let column = self.codec.decode(keys)?.pop();
        column.ok_or_else(|| Error::internal("an extreme has no column"))
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.emit(groups)?])
    }

    fn merge_state(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result<()> {
        let nulls = std::mem::replace(&mut self.nulls, NullRule::Skip);
        let merged = self.update(groups, only(states)?);
        self.nulls = nulls;
        merged
    }

    fn size_bytes(&self) -> usize {
        self.bytes + self.best.capacity() * size_of::<Vec<u8>>()
    }
}

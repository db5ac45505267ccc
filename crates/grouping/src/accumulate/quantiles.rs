//! Values that cut a group in parts of equal size (Beam's `ApproximateQuantilesCombineFn`).
//!
//! Values stand on levels; one on level `i` counts for 2^i. A level that is full is sorted, and every second
//! value goes up (Manku, Rajagopalan and Lindsay 1998). So a group keeps at most [`LEVEL_VALUES`] values for
//! each doubling, and all of them, exactly, until the first level has been full once.

use super::distinct::list;
use super::{Accumulator, NullRule, only, unplanned};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int64Array, StructArray};
use arrow_schema::{DataType, Field, FieldRef, Fields};
use purlin_api::key::KeyCodec;
use purlin_api::{Error, Result};
use std::sync::Arc;

/// The key bytes of null.
const NULL: &[u8] = &[0];
/// How many values a level holds. With n values the rank of a result is off by at most about
/// log2(n / `LEVEL_VALUES`) / `LEVEL_VALUES` of n: a quarter of a percent for a million.
pub(super) const LEVEL_VALUES: usize = 4096;

/// The level, in a state, of the mark of [`Sketch::odd`].
const ODD: i64 = -2;

/// The type of one entry of the state: the level and the value.
fn entry(item: &Field) -> Fields {
    let level = Field::new("level", DataType::Int64, true);
    [level, item.clone().with_name("value")].into_iter().collect()
}

/// The type of the state, for values of this field.
pub(super) fn state_type(item: &Field) -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Struct(entry(item)), true)))
}

#[derive(Clone, Default)]
struct Sketch {
    levels: Vec<Vec<Vec<u8>>>,
    /// The least and greatest value, which may have been left out on the way up.
    ends: Option<(Vec<u8>, Vec<u8>)>,
    /// Flips with each level that goes up, so that neither the lower nor the upper halves always win.
    odd: bool,
}

impl Sketch {
    /// Widens the ends.
    fn note(&mut self, value: &[u8]) {
        match &mut self.ends {
            None => self.ends = Some((value.to_vec(), value.to_vec())),
            Some((least, _)) if value < least.as_slice() => *least = value.to_vec(),
            Some((_, greatest)) if value > greatest.as_slice() => *greatest = value.to_vec(),
            Some(_) => {}
        }
    }

    fn add(&mut self, level: usize, value: Vec<u8>) {
        self.note(&value);
        self.push(level, value);
        self.shrink(level);
    }

    fn push(&mut self, level: usize, value: Vec<u8>) {
        if self.levels.len() <= level {
            self.levels.resize(level + 1, Vec::new());
        }
        if let Some(values) = self.levels.get_mut(level) {
            values.push(value);
        }
    }

    fn shrink(&mut self, from: usize) {
        let mut level = from;
        while let Some(values) = self.levels.get_mut(level).filter(|v| v.len() >= LEVEL_VALUES) {
            let mut values = std::mem::take(values);
            values.sort_unstable();
            let skip = usize::from(self.odd);
            self.odd = !self.odd;
            values.into_iter().skip(skip).step_by(2).for_each(|v| self.push(level + 1, v));
            level += 1;
        }
    }

    /// `count` values from the least to the greatest, as Beam picks them.
    fn quantiles(&self, count: usize) -> Vec<&[u8]> {
        let Some((least, greatest)) = &self.ends else { return Vec::new() };
        let mut all: Vec<(&[u8], u128)> = Vec::new();
        for (level, values) in self.levels.iter().enumerate() {
            all.extend(values.iter().map(|v| (v.as_slice(), 1_u128 << level.min(63))));
        }
        all.sort_unstable();
        let weight: u128 = all.iter().map(|(_, w)| w).sum();
        let mut picked = vec![least.as_slice()];
        let mut values = all.into_iter();
        let mut passed = 0;
        let mut last = least.as_slice();
        for k in 0..count.saturating_sub(2) as u128 {
            let target = (weight.saturating_sub(1) + k * weight) / (count as u128 - 1);
            while passed <= target {
                let Some((value, w)) = values.next() else { break };
                passed += w;
                last = value;
            }
            picked.push(last);
        }
        picked.push(greatest.as_slice());
        picked
    }

    fn bytes(&self) -> usize {
        self.levels.iter().flatten().map(|v| v.capacity() + size_of::<Vec<u8>>()).sum()
    }
}

pub(super) struct QuantilesAccumulator {
    count: usize,
    reverse: bool,
    nulls: NullRule,
    item: FieldRef,
    codec: KeyCodec,
    sketches: Vec<Sketch>,
}

impl QuantilesAccumulator {
    pub(super) fn new(count: usize, reverse: bool, nulls: NullRule, item: FieldRef) -> Result<Self> {
        let codec = KeyCodec::new(std::slice::from_ref(item.data_type()))?;
        Ok(QuantilesAccumulator { count, reverse, nulls, item, codec, sketches: Vec::new() })
    }

    fn of<'a>(&'a self, groups: &'a [u32]) -> impl Iterator<Item = &'a Sketch> {
        groups.iter().filter_map(|g| self.sketches.get(*g as usize))
    }

    fn decode<'a>(&self, keys: impl IntoIterator<Item = &'a [u8]>) -> Result<ArrayRef> {
        let column = self.codec.decode(keys)?.pop();
        column.ok_or_else(|| Error::internal("quantiles have no column"))
    }
}

impl Accumulator for QuantilesAccumulator {
    fn resize(&mut self, groups: usize) {
        self.sketches.resize(groups, Sketch::default());
    }

    fn update(&mut self, groups: &[u32], values: &ArrayRef) -> Result<()> {
        self.nulls.check(values)?;
        let keys = self.codec.encode(std::slice::from_ref(values), values.len())?;
        for (group, key) in groups.iter().zip(keys.iter()).filter(|(_, key)| *key != NULL) {
            if let Some(sketch) = self.sketches.get_mut(*group as usize) {
                sketch.add(0, key.to_vec());
            }
        }
        Ok(())
    }

    fn merge(&mut self, into: u32, from: u32) {
        let taken = self.sketches.get_mut(from as usize).map(std::mem::take).unwrap_or_default();
        let Some(sketch) = self.sketches.get_mut(into as usize) else { return };
        // The ends weigh nothing: they are noted, not counted again.
        if let Some((least, greatest)) = taken.ends {
            sketch.note(&least);
            sketch.note(&greatest);
        }
        for (level, values) in taken.levels.into_iter().enumerate() {
            values.into_iter().for_each(|v| sketch.add(level, v));
        }
    }

    fn clear(&mut self, group: u32) {
        if let Some(sketch) = self.sketches.get_mut(group as usize) {
            *sketch = Sketch::default();
        }
    }

    fn emit(&self, groups: &[u32]) -> Result<ArrayRef> {
        let mut picked: Vec<&[u8]> = Vec::new();
        let mut lens = Vec::with_capacity(groups.len());
        for sketch in self.of(groups) {
            let mut quantiles = sketch.quantiles(self.count);
            if self.reverse {
                quantiles.reverse();
            }
            lens.push(quantiles.len());
            picked.append(&mut quantiles);
        }
        list(&self.item, lens, self.decode(picked)?)
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let (mut levels, mut values, mut lens) = (Vec::new(), Vec::new(), Vec::new());
        for sketch in self.of(groups) {
            let before = levels.len();
            // The ends come first, on level −1: they weigh nothing. Then, on level −2, that the next level to go up
            // starts with its second value.
            for end in sketch.ends.iter().flat_map(|(least, greatest)| [least, greatest]) {
                levels.push(-1_i64);
                values.push(end.as_slice());
            }
            if let (true, Some((least, _))) = (sketch.odd, &sketch.ends) {
                levels.push(ODD);
                values.push(least.as_slice());
            }
            for (level, on) in sketch.levels.iter().enumerate() {
                levels.extend(std::iter::repeat_n(level as i64, on.len()));
                values.extend(on.iter().map(Vec::as_slice));
            }
            lens.push(levels.len() - before);
        }
        let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(levels)), self.decode(values)?];
        let entries = StructArray::try_new(entry(&self.item), columns, None)?;
        let item = Arc::new(Field::new("item", entries.data_type().clone(), true));
        Ok(vec![list(&item, lens, Arc::new(entries))?])
    }

    fn merge_state(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result<()> {
        let state = only(states)?;
        let lists = state.as_list_opt::<i32>().ok_or_else(|| unplanned(state))?;
        for (row, group) in groups.iter().enumerate().take(lists.len()) {
            let entries = lists.value(row);
            let [levels, values] = entries.as_struct_opt().map_or(&[][..], StructArray::columns) else {
                return Err(unplanned(&entries));
            };
            let levels = levels.as_primitive_opt::<Int64Type>().ok_or_else(|| unplanned(levels))?;
            let keys = self.codec.encode(std::slice::from_ref(values), values.len())?;
            let Some(sketch) = self.sketches.get_mut(*group as usize) else { continue };
            // A group that was empty becomes just what the state was made of.
            sketch.odd |= sketch.ends.is_none() && levels.values().contains(&ODD);
            for (level, key) in levels.values().iter().zip(keys.iter()) {
                match usize::try_from(*level) {
                    Ok(level) => sketch.add(level.min(63), key.to_vec()),
                    Err(_) => sketch.note(key),
                }
            }
        }
        Ok(())
    }

    fn size_bytes(&self) -> usize {
        self.sketches.iter().map(Sketch::bytes).sum::<usize>()
            + self.sketches.capacity() * size_of::<Sketch>()
    }
}

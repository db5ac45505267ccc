//! The greatest or least few values of a group, as a list, best first (Beam's `TopCombineFn`); or the values
//! with the greatest or least rank, where each comes as a row of rank and value.

use super::distinct::list;
use super::extreme::Side;
use super::{Accumulator, NullRule, only, unplanned};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, UInt32Array};
use arrow_schema::{DataType, FieldRef};
use arrow_select::take::take;
use purlin_api::key::KeyCodec;
use purlin_api::{Error, Result};
use std::sync::Arc;

/// What comes, and what goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Best {
    /// Values, as a list.
    Values,
    /// Rows of rank and value; the values go out as a list.
    Ranked,
    /// Rows of rank and value; the value of the best goes out, null if there is none.
    RankedOne,
}

/// The key bytes of null.
const NULL: &[u8] = &[0];

pub(super) struct TopAccumulator {
    side: Side,
    n: usize,
    nulls: NullRule,
    best_of: Best,
    item: FieldRef,
    codec: KeyCodec,
    /// Canonical key bytes, best first, at most `n` a group.
    best: Vec<Vec<Vec<u8>>>,
    bytes: usize,
}

impl TopAccumulator {
    /// `item` is the field of what comes.
    pub(super) fn new(side: Side, n: usize, nulls: NullRule, best_of: Best, item: FieldRef) -> Result<Self> {
        let codec = KeyCodec::new(std::slice::from_ref(item.data_type()))?;
        Ok(TopAccumulator { side, n, nulls, best_of, item, codec, best: Vec::new(), bytes: 0 })
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

    /// How many values these groups have.
    fn lens<'a>(&'a self, groups: &'a [u32]) -> impl Iterator<Item = usize> + 'a {
        groups.iter().filter_map(|g| self.best.get(*g as usize)).map(Vec::len)
    }

    /// What these groups have, one behind the other.
    fn items(&self, groups: &[u32]) -> Result<ArrayRef> {
        let lists = groups.iter().filter_map(|g| self.best.get(*g as usize));
        let items = self.codec.decode(lists.flatten().map(Vec::as_slice))?.pop();
        items.ok_or_else(|| Error::internal("a list of the best has no column"))
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
        let items = self.items(groups)?;
        if self.best_of == Best::Values {
            return list(&self.item, self.lens(groups), items);
        }
        let rows = items.as_struct_opt().ok_or_else(|| unplanned(&items))?;
        let (Some(values), DataType::Struct(fields)) = (rows.columns().get(1), items.data_type()) else {
            return Err(unplanned(&items));
        };
        if self.best_of == Best::Ranked {
            let item = fields.get(1).map(|f| Arc::new(f.as_ref().clone().with_name("item")));
            return list(&item.ok_or_else(|| unplanned(&items))?, self.lens(groups), values.clone());
        }
        let mut next = 0..;
        let at: UInt32Array =
            self.lens(groups).map(|len| if len == 0 { None } else { next.next() }).collect();
        Ok(take(values, &at, None)?)
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![list(&self.item, self.lens(groups), self.items(groups)?)?])
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

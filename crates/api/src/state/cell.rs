//! One small value a lane.

use super::{Columns, Extent, Saved, StateRows, StateTable, own_slot};
use crate::error::Result;
use crate::transform::BuildCx;
use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

/// A small value of a lane, such as a count. Where lanes become fewer, their values become one.
#[derive(Debug)]
pub struct LaneCell<T> {
    name: &'static str,
    slot: u16,
    value: T,
    merge: fn(&T, &T) -> T,
    changed: bool,
    /// What was restored, by slot.
    restored: BTreeMap<u16, T>,
}

impl<T: Columns + Clone + Default> LaneCell<T> {
    /// Of an instance; `merge` makes one value of those of two lanes.
    pub fn new(name: &'static str, cx: &BuildCx, merge: fn(&T, &T) -> T) -> Self {
        let slot = own_slot(cx.lane, cx.lanes);
        LaneCell { name, slot, value: T::default(), merge, changed: false, restored: BTreeMap::new() }
    }

    /// Changes the value.
    pub fn set(&mut self, value: T) {
        self.value = value;
        self.changed = true;
    }
}

impl<T> Deref for LaneCell<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Columns + Clone + Default> StateTable for LaneCell<T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(T::fields()))
    }

    fn save(&mut self, extent: Extent) -> Result<Saved> {
        if extent == Extent::Changes && !self.changed {
            return Ok(Saved { extent, log: Vec::new() });
        }
        self.changed = false;
        // All of it, so that the values of lanes that are no more do not count again.
        let rows = RecordBatch::try_new(self.schema(), T::write(&[Some(&self.value)])?)?;
        Ok(Saved { extent: Extent::Whole, log: vec![StateRows::in_slot(self.slot, rows)] })
    }

    fn apply(&mut self, rows: &StateRows) -> Result<()> {
        let values = T::read(rows.rows.columns())?;
        self.restored.extend(rows.slots.values().iter().copied().zip(values));
        let mut values = self.restored.values();
        if let Some(first) = values.next() {
            self.value = values.fold(first.clone(), |all, v| (self.merge)(&all, v));
            // The next change, or the next whole answer, speaks for all of these slots.
            self.changed = self.restored.len() > 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(lane: usize, lanes: usize) -> LaneCell<u64> {
        LaneCell::new("n", &BuildCx { lane, lanes, ..BuildCx::one_lane("T", 1) }, |a, b| a + b)
    }

    #[test]
    fn lanes_add_up_and_later_values_replace_earlier_ones() {
        let (mut a, mut b, mut one) = (cell(0, 2), cell(1, 2), cell(0, 1));
        a.set(3);
        b.set(4);
        let mut logs = vec![a.save(Extent::Changes).unwrap(), b.save(Extent::Whole).unwrap()];
        assert!(a.save(Extent::Changes).unwrap().log.is_empty());
        a.set(5);
        logs.push(a.save(Extent::Changes).unwrap());
        logs.iter().flat_map(|l| &l.log).for_each(|rows| one.apply(rows).unwrap());
        assert_eq!(*one, 9);
        let saved = one.save(Extent::Changes).unwrap();
        let mut again = cell(0, 1);
        assert_eq!(saved.extent, Extent::Whole);
        saved.log.iter().for_each(|rows| again.apply(rows).unwrap());
        assert_eq!(*again, 9);
    }
}

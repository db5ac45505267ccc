//! Values by key.

use super::{Columns, Extent, KeySlots, LOG_ROWS, Saved, StateRows, StateTable, is_stale};
use crate::error::{Error, Result};
use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, BinaryArray, BooleanArray, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// A map from key bytes to values. From the first save on it notes which keys change; before that it is a map and
/// nothing else.
#[derive(Debug)]
pub struct Entries<V> {
    name: &'static str,
    slots: KeySlots,
    map: HashMap<Arc<[u8]>, V>,
    /// The keys that have changed since it was last saved or restored; none are noted before.
    changed: Option<HashSet<Arc<[u8]>>>,
    /// Rows of the log since it was last saved whole.
    logged: usize,
}

impl<V> Entries<V> {
    /// An empty one.
    pub fn new(name: &'static str, slots: KeySlots) -> Self {
        Entries { name, slots, map: HashMap::new(), changed: None, logged: 0 }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Option<&V> {
        self.map.get(key)
    }

    /// The key as the map holds it, so that others may share it.
    pub fn shared_key(&self, key: &[u8]) -> Option<Arc<[u8]>> {
        self.map.get_key_value(key).map(|(k, _)| Arc::clone(k))
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<[u8]>, &V)> {
        self.map.iter()
    }

    fn note(&mut self, key: &Arc<[u8]>) {
        if let Some(changed) = &mut self.changed {
            changed.insert(Arc::clone(key));
        }
    }

    /// The value of a key, to be changed; a new one if there is none.
    pub fn entry(&mut self, key: Arc<[u8]>, new: impl FnOnce() -> V) -> &mut V {
        self.note(&key);
        self.map.entry(key).or_insert_with(new)
    }

    /// The value of a key, to be changed.
    pub fn change(&mut self, key: &[u8]) -> Option<&mut V> {
        if let Some(changed) = &mut self.changed {
            let (key, _) = self.map.get_key_value(key)?;
            changed.insert(Arc::clone(key));
        }
        self.map.get_mut(key)
    }

    /// Sets the value of a key.
    pub fn put(&mut self, key: Arc<[u8]>, value: V) {
        self.note(&key);
        self.map.insert(key, value);
    }

    /// Removes a key.
    pub fn remove(&mut self, key: &[u8]) -> Option<V> {
        let (key, value) = self.map.remove_entry(key)?;
        self.note(&key);
        Some(value)
    }

    /// Changes a value, or removes it where `stays` says false, without noting it: for what follows from the
    /// watermark, and is done again by [`Entries::retain`] when the table has been restored.
    pub fn expire(&mut self, key: &[u8], stays: impl FnOnce(&mut V) -> bool) {
        if let Some(value) = self.map.get_mut(key)
            && !stays(value)
        {
            self.map.remove(key);
        }
    }

    /// The same for all.
    pub fn retain(&mut self, mut stays: impl FnMut(&[u8], &mut V) -> bool) {
        self.map.retain(|key, value| stays(key, value));
    }
}

impl<V: Columns> Entries<V> {
    fn log(&self, entries: &[(&Arc<[u8]>, Option<&V>)]) -> Result<StateRows> {
        let keys: BinaryArray = entries.iter().map(|(k, _)| Some(k.as_ref())).collect();
        let gone: BooleanArray = entries.iter().map(|(_, v)| Some(v.is_none())).collect();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(gone)];
        columns.extend(V::write(&entries.iter().map(|(_, v)| *v).collect::<Vec<_>>())?);
        let slots = entries.iter().map(|(k, _)| self.slots.of(k)).collect();
        StateRows::new(slots, RecordBatch::try_new(schema::<V>(), columns)?)
    }
}

fn schema<V: Columns>() -> SchemaRef {
    let mut fields =
        vec![Field::new("key", DataType::Binary, false), Field::new("gone", DataType::Boolean, false)];
    fields.extend(V::fields());
    Arc::new(Schema::new(fields))
}

impl<V: Columns> StateTable for Entries<V> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn schema(&self) -> SchemaRef {
        schema::<V>()
    }

    fn save(&mut self, extent: Extent) -> Result<Saved> {
        let changed = match (extent, self.changed.take()) {
            (Extent::Changes, Some(changed)) if !is_stale(self.map.len(), self.logged, changed.len()) => {
                changed
            }
            _ => {
                let all: Vec<_> = self.map.iter().map(|(k, v)| (k, Some(v))).collect();
                let log = all.chunks(LOG_ROWS).map(|part| self.log(part)).collect::<Result<Vec<_>>>()?;
                (self.logged, self.changed) = (self.map.len(), Some(HashSet::new()));
                return Ok(Saved { extent: Extent::Whole, log });
            }
        };
        let entries: Vec<_> = changed.iter().map(|k| (k, self.map.get(k))).collect();
        let log = entries.chunks(LOG_ROWS).map(|part| self.log(part)).collect::<Result<Vec<_>>>()?;
        (self.logged, self.changed) = (self.logged + changed.len(), Some(HashSet::new()));
        Ok(Saved { extent, log })
    }

    fn apply(&mut self, rows: &StateRows) -> Result<()> {
        let wrong = || Error::internal(format!("stored state of `{}` has other columns", self.name));
        let columns = rows.rows.columns();
        let (Some(keys), Some(gone), Some(values)) = (
            columns.first().and_then(|c| c.as_binary_opt::<i32>()),
            columns.get(1).and_then(|c| c.as_boolean_opt()),
            columns.get(2..),
        ) else {
            return Err(wrong());
        };
        for ((key, gone), value) in keys.iter().zip(gone.iter()).zip(V::read(values)?) {
            let key = key.ok_or_else(wrong)?;
            if gone == Some(true) {
                self.map.remove(key);
            } else if let Some(old) = self.map.get_mut(key) {
                *old = value;
            } else {
                self.map.insert(Arc::from(key), value);
            }
        }
        self.logged += rows.rows.num_rows();
        self.changed.get_or_insert_default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u64) -> Arc<[u8]> {
        Arc::from(n.to_be_bytes())
    }

    fn entries() -> Entries<u64> {
        Entries::new("t", KeySlots::OfKey { behind: 0 })
    }

    fn rows(saved: &Saved) -> usize {
        saved.log.iter().map(|l| l.rows.num_rows()).sum()
    }

    #[test]
    fn changes_are_what_was_touched() {
        let (mut a, mut b) = (entries(), entries());
        (0..1000).for_each(|n| a.put(key(n), n));
        let whole = a.save(Extent::Changes).unwrap();
        assert_eq!((whole.extent, rows(&whole)), (Extent::Whole, 1000), "nothing was noted before");
        a.put(key(5), 50);
        *a.entry(key(2000), || 1) += 1;
        *a.change(&key(6)).unwrap() = 60;
        assert_eq!((a.remove(&key(7)), a.change(&key(7))), (Some(7), None));
        a.expire(&key(8), |_| false);
        let changes = a.save(Extent::Changes).unwrap();
        assert_eq!((changes.extent, rows(&changes)), (Extent::Changes, 4));
        assert_eq!(rows(&a.save(Extent::Changes).unwrap()), 0);
        for log in [&whole, &changes] {
            log.log.iter().for_each(|l| b.apply(l).unwrap());
        }
        assert_eq!(b.get(&key(8)), Some(&8), "what follows from the watermark is not noted");
        b.retain(|_, v| *v != 8);
        let all = |e: &Entries<u64>| e.iter().map(|(k, v)| (k.clone(), *v)).collect::<HashMap<_, _>>();
        assert_eq!(all(&a), all(&b));
        assert_eq!(rows(&b.save(Extent::Changes).unwrap()), 0, "restored as of now");
    }

    #[test]
    fn a_log_that_is_mostly_stale_is_written_anew() {
        let mut a = entries();
        a.put(key(0), 0);
        let mut logged = rows(&a.save(Extent::Whole).unwrap());
        for round in 0..100 {
            (0..100).for_each(|n| a.put(key(round * 100 + n), n));
            assert!((0..100).all(|n| a.remove(&key(round * 100 + n)).is_some()));
            let saved = a.save(Extent::Changes).unwrap();
            logged = rows(&saved) + if saved.extent == Extent::Whole { 0 } else { logged };
            assert!(logged <= super::super::STALE_ROWS + super::super::STALE_TIMES, "{logged}");
        }
    }

    #[test]
    fn other_columns_are_refused() {
        let rows = RecordBatch::new_empty(Arc::new(Schema::new(u64::fields())));
        assert!(entries().apply(&StateRows::in_slot(0, rows)).is_err());
    }
}

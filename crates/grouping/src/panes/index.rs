//! From (key, window) to the slot.

use super::slots::{Slab, Slot};
use ahash::{AHashMap, RandomState};
use hashbrown::HashTable;
use purlin_api::{EventTime, Window};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Finds slots.
#[derive(Debug)]
pub(super) enum Index {
    /// Windows that do not merge: by equality.
    Exact { table: HashTable<u32>, hasher: RandomState },
    /// Windows that merge: by key, then by span. The spans of a key never overlap.
    Spans { keys: AHashMap<Arc<[u8]>, KeyUse>, spans: BTreeMap<(u64, EventTime, EventTime), u32>, next: u64 },
}

/// A key that has windows.
#[derive(Debug)]
pub(super) struct KeyUse {
    id: u64,
    windows: usize,
}

impl Index {
    pub(super) fn new(merges: bool) -> Self {
        if merges {
            Index::Spans { keys: AHashMap::new(), spans: BTreeMap::new(), next: 0 }
        } else {
            // Fixed seeds: nothing may depend on a hash, and this keeps it so that nothing can differ.
            Index::Exact { table: HashTable::new(), hasher: RandomState::with_seeds(1, 2, 3, 4) }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Index::Exact { table, .. } => table.is_empty(),
            Index::Spans { keys, spans, .. } => keys.is_empty() && spans.is_empty(),
        }
    }

    /// The slot of exactly this window.
    pub(super) fn find(&self, key: &[u8], window: &Window, slots: &Slab) -> Option<u32> {
        match self {
            Index::Exact { table, hasher } => {
                let same = |id: &u32| slots.get(*id).is_some_and(|s| *s.key == *key && s.window == *window);
                table.find(hasher.hash_one((key, window)), same).copied()
            }
            Index::Spans { keys, spans, .. } => {
                let id = keys.get(key)?.id;
                spans.get(&(id, window.start(), window.end())).copied()
            }
        }
    }

    /// The slots whose windows overlap this one, earliest first. Windows that only touch do not.
    pub(super) fn overlapping(&self, key: &[u8], window: &Window, found: &mut Vec<u32>) {
        found.clear();
        let Index::Spans { keys, spans, .. } = self else { return };
        let Some(KeyUse { id, .. }) = keys.get(key) else { return };
        let (start, end) = (window.start(), window.end());
        // An empty window (gap 0) overlaps nothing but itself.
        let until = EventTime(end.0.max(start.0.saturating_add(1)));
        let before =
            spans.range((*id, EventTime(i64::MIN), EventTime(i64::MIN))..(*id, until, EventTime(i64::MIN)));
        let met = before.rev().take_while(|((_, s, e), _)| *e > start || (*s, *e) == (start, end));
        found.extend(met.map(|(_, slot)| *slot));
        found.reverse();
    }

    /// The key as it is stored, if it has windows already.
    pub(super) fn key(&self, key: &[u8]) -> Option<Arc<[u8]>> {
        match self {
            Index::Exact { .. } => None,
            Index::Spans { keys, .. } => keys.get_key_value(key).map(|(k, _)| k.clone()),
        }
    }

    /// Adds the slot `id`, which `slots` has already.
    pub(super) fn insert(&mut self, id: u32, slots: &Slab) {
        let Some(slot) = slots.get(id) else { return };
        match self {
            Index::Exact { table, hasher } => {
                let hash = |s: &Slot| hasher.hash_one((&*s.key, &s.window));
                table.insert_unique(hash(slot), id, |id| slots.get(*id).map_or(0, hash));
            }
            Index::Spans { keys, spans, next } => {
                let user = keys.entry(slot.key.clone()).or_insert_with(|| {
                    *next += 1;
                    KeyUse { id: *next, windows: 0 }
                });
                user.windows += 1;
                spans.insert((user.id, slot.window.start(), slot.window.end()), id);
            }
        }
    }

    /// Takes the slot `id` out; `slot` is what it has been filed under.
    pub(super) fn remove(&mut self, id: u32, slot: &Slot) {
        match self {
            Index::Exact { table, hasher } => {
                let hash = hasher.hash_one((&*slot.key, &slot.window));
                if let Ok(entry) = table.find_entry(hash, |other| *other == id) {
                    entry.remove();
                }
            }
            Index::Spans { keys, spans, .. } => {
                let Some(user) = keys.get_mut(&slot.key) else { return };
                spans.remove(&(user.id, slot.window.start(), slot.window.end()));
                user.windows -= 1;
                if user.windows == 0 {
                    keys.remove(&slot.key);
                }
            }
        }
    }

    /// Files the slot `id` of `key` under another span.
    pub(super) fn respan(&mut self, id: u32, key: &[u8], old: &Window, new: &Window) {
        let Index::Spans { keys, spans, .. } = self else { return };
        if let Some(user) = keys.get(key) {
            spans.remove(&(user.id, old.start(), old.end()));
            spans.insert((user.id, new.start(), new.end()), id);
        }
    }
}

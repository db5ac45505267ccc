//! The groups of one window: keys by group number, and the accumulators.

use super::Feed;
use crate::accumulate::Accumulator;
use ahash::RandomState;
use arrow_array::ArrayRef;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use purlin_api::key::{KeyCodec, KeyRows};
use purlin_api::{Error, Result};
use std::ops::Range;

/// The keys of some rows, with their hashes.
pub(super) struct HashedKeys {
    keys: KeyRows,
    hashes: Vec<u64>,
}

impl HashedKeys {
    pub(super) fn new(
        codec: &KeyCodec,
        columns: &[ArrayRef],
        rows: usize,
        random: &RandomState,
    ) -> Result<Self> {
        let keys = codec.encode(columns, rows)?;
        let hashes = if columns.is_empty() {
            vec![0; rows]
        } else {
            keys.iter().map(|k| random.hash_one(k)).collect()
        };
        Ok(HashedKeys { keys, hashes })
    }

    pub(super) fn get(&self, row: usize) -> (&[u8], u64) {
        (self.keys.get(row), self.hashes.get(row).copied().unwrap_or(0))
    }
}

/// Group numbers by key, in the order in which keys came first.
#[derive(Default)]
pub(super) struct KeyTable {
    table: HashTable<u32>,
    hashes: Vec<u64>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl KeyTable {
    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// The group of a key; a new one if the key is new.
    #[inline]
    pub(super) fn intern(&mut self, key: &[u8], hash: u64) -> u32 {
        let KeyTable { table, hashes, bytes, ends } = self;
        let same = |group: &u32| {
            hashes.get(*group as usize) == Some(&hash) && key_at(bytes, ends, *group as usize) == key
        };
        match table.entry(hash, same, |group| hashes.get(*group as usize).copied().unwrap_or(0)) {
            Entry::Occupied(found) => *found.get(),
            Entry::Vacant(free) => {
                let group = ends.len() as u32;
                free.insert(group);
                hashes.push(hash);
                bytes.extend_from_slice(key);
                ends.push(bytes.len());
                group
            }
        }
    }

    pub(super) fn key(&self, group: usize) -> &[u8] {
        key_at(&self.bytes, &self.ends, group)
    }

    fn size_bytes(&self) -> usize {
        self.table.capacity() * 5
            + self.hashes.capacity() * 8
            + self.bytes.capacity()
            + self.ends.capacity() * 8
    }
}

#[inline]
fn key_at<'a>(bytes: &'a [u8], ends: &[usize], group: usize) -> &'a [u8] {
    let start = if group == 0 { 0 } else { ends.get(group - 1).copied().unwrap_or(0) };
    ends.get(group).and_then(|end| bytes.get(start..*end)).unwrap_or(&[])
}

/// The groups of one window.
pub(super) struct Groups {
    pub(super) keys: KeyTable,
    accumulators: Vec<Box<dyn Accumulator>>,
}

impl Groups {
    pub(super) fn new(accumulators: Vec<Box<dyn Accumulator>>) -> Self {
        Groups { keys: KeyTable::default(), accumulators }
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The groups of rows, new ones included; `row` names a row of `keys` by place.
    pub(super) fn intern(
        &mut self,
        keys: &HashedKeys,
        rows: impl Iterator<Item = usize>,
        into: &mut Vec<u32>,
    ) {
        into.clear();
        // Equal neighbours are frequent: one key, no key, sorted input.
        let mut last: Option<(&[u8], u64, u32)> = None;
        into.extend(rows.map(|row| {
            let (key, hash) = keys.get(row);
            if let Some((last_key, last_hash, group)) = last
                && last_hash == hash
                && last_key == key
            {
                return group;
            }
            let group = self.keys.intern(key, hash);
            last = Some((key, hash, group));
            group
        }));
        let len = self.keys.len();
        for accumulator in &mut self.accumulators {
            accumulator.resize(len);
        }
    }

    /// Adds rows to their groups. `columns` are those of the input, in the order of `groups`.
    pub(super) fn add(
        &mut self,
        groups: &[u32],
        feeds: &[Feed],
        columns: &Columns,
        rows: Range<usize>,
    ) -> Result<()> {
        for (accumulator, feed) in self.accumulators.iter_mut().zip(feeds) {
            columns.feed(feed, rows.clone(), accumulator.as_mut(), groups)?;
        }
        Ok(())
    }

    pub(super) fn clear(&mut self, groups: &[u32]) {
        for accumulator in &mut self.accumulators {
            for group in groups {
                accumulator.clear(*group);
            }
        }
    }

    /// Empties all groups and gives their memory back; the keys stay.
    pub(super) fn clear_all(&mut self) {
        let len = self.keys.len();
        for accumulator in &mut self.accumulators {
            accumulator.resize(0);
            accumulator.resize(len);
        }
    }

    /// The key columns and results of these groups.
    pub(super) fn emit(&self, codec: &KeyCodec, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut columns = codec.decode(groups.iter().map(|g| self.keys.key(*g as usize)))?;
        for accumulator in &self.accumulators {
            columns.push(accumulator.emit(groups)?);
        }
        Ok(columns)
    }

    /// The key columns and states of these groups.
    pub(super) fn states(&self, codec: &KeyCodec, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut columns = codec.decode(groups.iter().map(|g| self.keys.key(*g as usize)))?;
        for accumulator in &self.accumulators {
            columns.extend(accumulator.state(groups)?);
        }
        Ok(columns)
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.keys.size_bytes() + self.accumulators.iter().map(|a| a.size_bytes()).sum::<usize>()
    }
}

/// The columns that accumulators are fed with, by their place in the input; others are left out.
#[derive(Default)]
pub(super) struct Columns(Vec<Option<ArrayRef>>);

impl Columns {
    /// The columns that `feeds` read, each passed through `order`.
    pub(super) fn new(
        all: &[ArrayRef],
        feeds: &[Feed],
        mut order: impl FnMut(&ArrayRef) -> Result<ArrayRef>,
    ) -> Result<Self> {
        let mut columns = vec![None; all.len()];
        for index in feeds.iter().flat_map(Feed::columns) {
            let column = all.get(index).zip(columns.get_mut(index));
            let (from, to) =
                column.ok_or_else(|| Error::internal(format!("column {index} of {}", all.len())))?;
            if to.is_none() {
                *to = Some(order(from)?);
            }
        }
        Ok(Columns(columns))
    }

    /// The same columns, changed one by one.
    pub(super) fn map(&self, mut change: impl FnMut(&ArrayRef) -> Result<ArrayRef>) -> Result<Self> {
        let columns = self.0.iter().map(|c| c.as_ref().map(&mut change).transpose());
        Ok(Columns(columns.collect::<Result<_>>()?))
    }

    fn get(&self, index: usize, rows: &Range<usize>) -> Result<ArrayRef> {
        let column = self.0.get(index).and_then(Option::as_ref);
        let column = column.ok_or_else(|| Error::internal(format!("column {index} was not kept")))?;
        if rows.len() == column.len() {
            return Ok(column.clone());
        }
        Ok(column.slice(rows.start, rows.len()))
    }

    /// Feeds some rows to an accumulator.
    pub(super) fn feed(
        &self,
        feed: &Feed,
        rows: Range<usize>,
        accumulator: &mut dyn Accumulator,
        groups: &[u32],
    ) -> Result<()> {
        match feed {
            Feed::Values(Some(index)) => accumulator.update(groups, &self.get(*index, &rows)?),
            Feed::Values(None) => {
                let nothing: ArrayRef = std::sync::Arc::new(arrow_array::NullArray::new(rows.len()));
                accumulator.update(groups, &nothing)
            }
            Feed::States(range) => {
                let states: Vec<ArrayRef> =
                    range.clone().map(|i| self.get(i, &rows)).collect::<Result<_>>()?;
                accumulator.merge_state(groups, &states)
            }
        }
    }
}

impl Feed {
    /// The input columns it reads.
    fn columns(&self) -> Range<usize> {
        match self {
            Feed::Values(Some(index)) => *index..*index + 1,
            Feed::Values(None) => 0..0,
            Feed::States(range) => range.clone(),
        }
    }
}

//! The groups of windows: keys by group number, and the accumulators.

use super::Feed;
use super::states::states;
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
    /// There are no key columns: all keys are empty.
    alike: bool,
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
        Ok(HashedKeys { keys, hashes, alike: columns.is_empty() })
    }

    pub(super) fn get(&self, row: usize) -> (&[u8], u64) {
        (self.keys.get(row), self.hashes.get(row).copied().unwrap_or(0))
    }
}

/// Group numbers by window and key, in the order in which they came first.
#[derive(Default)]
struct KeyTable {
    table: HashTable<u32>,
    groups: Vec<GroupKey>,
    bytes: Vec<u8>,
}

/// What tells a group from others, side by side: a table that is larger than the processor's caches costs
/// as much as the places that are looked at.
#[derive(Clone, Copy)]
struct GroupKey {
    hash: u64,
    /// Where its key begins in the bytes of all.
    start: usize,
    len: u32,
    window: u32,
}

impl KeyTable {
    /// The group of a key in a window; a new one if it is new.
    #[inline]
    fn intern(&mut self, window: u32, key: &[u8], hash: u64) -> u32 {
        // Any odd number with bits all over: windows must not share places in the table.
        let hash = hash ^ u64::from(window).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let KeyTable { table, groups, bytes } = self;
        let same = |group: &u32| {
            groups
                .get(*group as usize)
                .is_some_and(|g| g.hash == hash && g.window == window && key_of(bytes, g) == key)
        };
        match table.entry(hash, same, |group| groups.get(*group as usize).map_or(0, |g| g.hash)) {
            Entry::Occupied(found) => *found.get(),
            Entry::Vacant(free) => {
                let group = groups.len() as u32;
                free.insert(group);
                groups.push(GroupKey { hash, start: bytes.len(), len: key.len() as u32, window });
                bytes.extend_from_slice(key);
                group
            }
        }
    }

    fn key(&self, group: u32) -> &[u8] {
        self.groups.get(group as usize).map_or(&[], |g| key_of(&self.bytes, g))
    }

    fn size_bytes(&self) -> usize {
        self.table.capacity() * 5 + self.groups.capacity() * size_of::<GroupKey>() + self.bytes.capacity()
    }
}

#[inline]
fn key_of<'a>(bytes: &'a [u8], group: &GroupKey) -> &'a [u8] {
    bytes.get(group.start..group.start + group.len as usize).unwrap_or(&[])
}

/// No group.
const NONE: u32 = u32::MAX;

/// The groups of one window in a [`Groups`]: a chain, in the order in which keys came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// The window's number in the table.
    window: u32,
    first: u32,
    last: u32,
    len: u32,
}

impl Member {
    /// How many groups.
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// The window's number in the table.
    pub(super) fn number(&self) -> u32 {
        self.window
    }

    /// Where [`Groups::walk`] begins.
    pub(super) fn first(&self) -> u32 {
        self.first
    }
}

/// The groups of one window, or of several that share a table.
pub(super) struct Groups {
    keys: KeyTable,
    /// The group after a group in the chain of its window.
    next: Vec<u32>,
    accumulators: Vec<Box<dyn Accumulator>>,
    windows: u32,
}

impl Groups {
    pub(super) fn new(accumulators: Vec<Box<dyn Accumulator>>) -> Self {
        Groups { keys: KeyTable::default(), next: Vec::new(), accumulators, windows: 0 }
    }

    /// How many groups there are in all windows that ever were here.
    pub(super) fn len(&self) -> usize {
        self.next.len()
    }

    /// A further window.
    pub(super) fn open(&mut self) -> Member {
        let window = self.windows;
        self.windows += 1;
        Member { window, first: NONE, last: NONE, len: 0 }
    }

    /// Appends the groups of rows to `into`, new ones included; `rows` are rows of `keys`. Before rows are
    /// added, [`Groups::grow`] must be called.
    pub(super) fn intern(
        &mut self,
        member: &mut Member,
        keys: &HashedKeys,
        rows: impl Iterator<Item = usize>,
        into: &mut Vec<u32>,
    ) {
        let mut rows = rows.peekable();
        if let (true, Some(row)) = (keys.alike, rows.peek()) {
            let (key, hash) = keys.get(*row);
            let group = self.keys.intern(member.window, key, hash);
            if group as usize == self.next.len() {
                self.link(member, group);
            }
            into.extend(rows.map(|_| group));
            return;
        }
        // Equal neighbours are frequent: few keys, sorted input.
        let mut last: Option<(&[u8], u64, u32)> = None;
        into.extend(rows.map(|row| {
            let (key, hash) = keys.get(row);
            if let Some((last_key, last_hash, group)) = last
                && last_hash == hash
                && last_key == key
            {
                return group;
            }
            let group = self.keys.intern(member.window, key, hash);
            if group as usize == self.next.len() {
                self.link(member, group);
            }
            last = Some((key, hash, group));
            group
        }));
    }

    /// Hangs a new group behind the others of its window.
    fn link(&mut self, member: &mut Member, group: u32) {
        self.next.push(NONE);
        match self.next.get_mut(member.last as usize) {
            Some(next) => *next = group,
            None => member.first = group,
        }
        member.last = group;
        member.len += 1;
    }

    /// Makes room for new groups in the accumulators.
    pub(super) fn grow(&mut self) {
        for accumulator in &mut self.accumulators {
            accumulator.resize(self.next.len());
        }
    }

    /// At most `max` groups of a chain from `from` on, and where it goes on.
    pub(super) fn walk(&self, from: u32, max: usize) -> (Vec<u32>, u32) {
        let mut groups = Vec::new();
        let mut at = from;
        while at != NONE && groups.len() < max {
            groups.push(at);
            at = self.next.get(at as usize).copied().unwrap_or(NONE);
        }
        (groups, at)
    }

    /// All groups of a window.
    pub(super) fn all(&self, member: &Member) -> Vec<u32> {
        self.walk(member.first, usize::MAX).0
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

    /// The key columns and results of these groups.
    pub(super) fn emit(&self, codec: &KeyCodec, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut columns = codec.decode(groups.iter().map(|g| self.keys.key(*g)))?;
        for accumulator in &self.accumulators {
            columns.push(accumulator.emit(groups)?);
        }
        Ok(columns)
    }

    /// The key columns and states of these groups.
    pub(super) fn states(&self, codec: &KeyCodec, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut columns = codec.decode(groups.iter().map(|g| self.keys.key(*g)))?;
        columns.extend(states(&self.accumulators, groups)?);
        Ok(columns)
    }

    /// The accumulators by group number.
    pub(super) fn accumulators(&self) -> &[Box<dyn Accumulator>] {
        &self.accumulators
    }

    /// The accumulators by group number.
    pub(super) fn accumulators_mut(&mut self) -> &mut [Box<dyn Accumulator>] {
        &mut self.accumulators
    }

    /// The key bytes of a group.
    pub(super) fn key(&self, group: u32) -> &[u8] {
        self.keys.key(group)
    }

    /// The number of a group's window.
    pub(super) fn window_of(&self, group: u32) -> u32 {
        self.keys.groups.get(group as usize).map_or(NONE, |g| g.window)
    }

    pub(super) fn size_bytes(&self) -> usize {
        let accumulators: usize = self.accumulators.iter().map(|a| a.size_bytes()).sum();
        self.keys.size_bytes() + self.next.capacity() * 4 + accumulators
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

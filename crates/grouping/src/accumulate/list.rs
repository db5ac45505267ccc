//! `group` and `concat`: the values themselves, in the order they came.
//!
//! Values stay in columns, in chunks; each group is a chain of row numbers through them. So adding,
//! merging and emptying groups moves no value.

use super::{Accumulator, NullRule, only, unplanned};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ListArray, UInt32Array, new_empty_array};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, FieldRef};
use arrow_select::concat::concat;
use arrow_select::interleave::interleave;
use arrow_select::take::take;
use purlin_api::{Error, Result};
use std::sync::Arc;

/// What a row of the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    /// One item: `group`.
    Item,
    /// A list of items: `concat`.
    List,
}

/// Chunks grow to about this size: text and lists of more than 2^31 bytes have no place in one column.
const CHUNK_BYTES_MAX: usize = 1 << 29;

/// No row.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Chain {
    first: u32,
    last: u32,
    len: u32,
}

const EMPTY: Chain = Chain { first: NONE, last: NONE, len: 0 };

pub(super) struct ListAccumulator {
    element: Element,
    item: FieldRef,
    nulls: NullRule,
    chains: Vec<Chain>,
    /// The row after a row in its chain.
    next: Vec<u32>,
    /// The values, with the number of each chunk's first row.
    chunks: Vec<(usize, ArrayRef)>,
    /// Rows that are in no chain any more.
    dead: usize,
}

impl ListAccumulator {
    pub(super) fn new(element: Element, item: FieldRef, nulls: NullRule) -> Self {
        ListAccumulator {
            element,
            item,
            nulls,
            chains: Vec::new(),
            next: Vec::new(),
            chunks: Vec::new(),
            dead: 0,
        }
    }

    fn add_items(&mut self, groups: impl Iterator<Item = u32>, items: &ArrayRef) -> Result<()> {
        if items.is_empty() {
            return Ok(());
        }
        if self.next.len() + items.len() >= NONE as usize {
            self.compact()?;
            if self.next.len() + items.len() >= NONE as usize {
                return Err(Error::data("more than 2^32 values in the lists of one window"));
            }
        }
        let start = self.next.len();
        self.next.resize(start + items.len(), NONE);
        self.keep(start, items)?;
        for (row, group) in (start..).zip(groups) {
            self.append(group, row as u32, row as u32, 1);
        }
        Ok(())
    }

    /// Hangs the rows `first..last` of a chain behind a group's own.
    fn append(&mut self, group: u32, first: u32, last: u32, len: u32) {
        let Some(chain) = self.chains.get_mut(group as usize) else {
            self.dead += len as usize;
            return;
        };
        let end = std::mem::replace(&mut chain.last, last);
        chain.len += len;
        if end == NONE {
            chain.first = first;
        } else if let Some(next) = self.next.get_mut(end as usize) {
            *next = first;
        }
    }

    /// Stores values. They are copied: a slice would keep the batch it was cut from in memory.
    fn keep(&mut self, start: usize, items: &ArrayRef) -> Result<()> {
        let all = UInt32Array::from_iter_values(0..items.len() as u32);
        self.chunks.push((start, take(items, &all, None)?));
        // Neighbours of like size become one, so that there are few chunks and few copies of a value.
        while let [.., (at, a), (_, b)] = self.chunks.as_slice() {
            let bytes = a.get_array_memory_size() + b.get_array_memory_size();
            if a.len() > b.len() * 2 || bytes > CHUNK_BYTES_MAX {
                break;
            }
            let joined = (*at, concat(&[a.as_ref(), b.as_ref()])?);
            self.chunks.truncate(self.chunks.len() - 2);
            self.chunks.push(joined);
        }
        Ok(())
    }

    /// The rows of these groups, chain after chain.
    fn rows(&self, groups: &[u32]) -> Vec<usize> {
        let chains = || groups.iter().filter_map(|g| self.chains.get(*g as usize));
        let mut rows = Vec::with_capacity(chains().map(|c| c.len as usize).sum());
        for chain in chains() {
            let mut row = chain.first;
            while row != NONE {
                rows.push(row as usize);
                row = self.next.get(row as usize).copied().unwrap_or(NONE);
            }
        }
        rows
    }

    fn values(&self, rows: &[usize]) -> Result<ArrayRef> {
        match self.chunks.as_slice() {
            [] => Ok(new_empty_array(self.item.data_type())),
            [(_, only)] => {
                let rows = UInt32Array::from_iter_values(rows.iter().map(|r| *r as u32));
                Ok(take(only, &rows, None)?)
            }
            chunks => {
                let arrays: Vec<&dyn Array> = chunks.iter().map(|(_, a)| a.as_ref()).collect();
                let place = |row: &usize| {
                    let chunk = chunks.partition_point(|(start, _)| start <= row).saturating_sub(1);
                    (chunk, row - chunks.get(chunk).map_or(0, |(start, _)| *start))
                };
                let places: Vec<(usize, usize)> = rows.iter().map(place).collect();
                Ok(interleave(&arrays, &places)?)
            }
        }
    }

    /// Drops the values that no group has.
    fn compact(&mut self) -> Result<()> {
        let groups: Vec<u32> = (0..self.chains.len() as u32).collect();
        let rows = self.rows(&groups);
        let values = self.values(&rows)?;
        self.chunks = if values.is_empty() { Vec::new() } else { vec![(0, values)] };
        self.next = (1..=rows.len() as u32).collect();
        let mut at = 0;
        for chain in &mut self.chains {
            if chain.len == 0 {
                continue;
            }
            let last = at + chain.len - 1;
            (chain.first, chain.last) = (at, last);
            if let Some(next) = self.next.get_mut(last as usize) {
                *next = NONE;
            }
            at = last + 1;
        }
        self.dead = 0;
        Ok(())
    }

    /// Gives memory back if no row is left.
    fn forget_dead(&mut self) {
        if self.dead > 0 && self.dead == self.next.len() {
            self.next = Vec::new();
            self.chunks = Vec::new();
            self.dead = 0;
        }
    }

    fn add_lists(&mut self, groups: &[u32], lists: &ArrayRef) -> Result<()> {
        let lists = lists.as_list_opt::<i32>().ok_or_else(|| unplanned(lists))?;
        let (Some(start), Some(end)) = (lists.value_offsets().first(), lists.value_offsets().last()) else {
            return Ok(());
        };
        let (start, len) = (*start as usize, (*end - *start) as usize);
        let offsets = lists.value_offsets().windows(2).map(|w| match w {
            [from, to] => (*to - *from).max(0) as usize,
            _ => 0,
        });
        // Null lists are skipped, even where values lie under them.
        let groups = groups.iter().zip(offsets).enumerate();
        let groups =
            groups.flat_map(|(i, (g, n))| std::iter::repeat_n(if lists.is_null(i) { NONE } else { *g }, n));
        self.add_items(groups, &lists.values().slice(start, len))
    }
}

impl Accumulator for ListAccumulator {
    fn resize(&mut self, groups: usize) {
        self.dead += self.chains.iter().skip(groups).map(|c| c.len as usize).sum::<usize>();
        self.chains.resize(groups, EMPTY);
        self.forget_dead();
    }

    fn update(&mut self, groups: &[u32], values: &ArrayRef) -> Result<()> {
        if self.dead > 1024 && self.dead * 2 > self.next.len() {
            self.compact()?;
        }
        match self.element {
            Element::Item => self.add_items(groups.iter().copied(), values),
            Element::List => {
                self.nulls.check(values)?;
                self.add_lists(groups, values)
            }
        }
    }

    fn merge(&mut self, into: u32, from: u32) {
        let Some(chain) = self.chains.get_mut(from as usize) else { return };
        let chain = std::mem::replace(chain, EMPTY);
        if chain.len > 0 {
            self.append(into, chain.first, chain.last, chain.len);
        }
    }

    fn clear(&mut self, group: u32) {
        if let Some(chain) = self.chains.get_mut(group as usize) {
            self.dead += chain.len as usize;
            *chain = EMPTY;
        }
        self.forget_dead();
    }

    fn emit(&self, groups: &[u32]) -> Result<ArrayRef> {
        let values = self.values(&self.rows(groups))?;
        let lens = groups.iter().filter_map(|g| self.chains.get(*g as usize)).map(|c| c.len as usize);
        if values.len() > i32::MAX as usize {
            return Err(Error::data("more than 2^31 values in the lists of one batch"));
        }
        Ok(Arc::new(ListArray::try_new(self.item.clone(), OffsetBuffer::from_lengths(lens), values, None)?))
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.emit(groups)?])
    }

    fn merge_state(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result<()> {
        self.add_lists(groups, only(states)?)
    }

    fn size_bytes(&self) -> usize {
        self.chains.capacity() * size_of::<Chain>()
            + self.next.capacity() * size_of::<u32>()
            + self.chunks.iter().map(|(_, a)| a.get_array_memory_size()).sum::<usize>()
    }
}

/// The item field of a list type.
pub(super) fn item_of(list: &DataType) -> Option<FieldRef> {
    match list {
        DataType::List(item) => Some(item.clone()),
        _ => None,
    }
}

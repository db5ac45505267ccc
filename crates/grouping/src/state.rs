//! What the tables of state have in common: windows and keys as columns, and sets of key slots.
//!
//! The log of a table has a row for each key in a window that was put, and rows that say what became of a window.
//! The schemas here are formats of what is stored: they may grow, and must not change.

use arrow_array::builder::{BinaryBuilder, Int64Builder};
use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Int64Type, UInt8Type};
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, Int64Array, PrimitiveArray, RecordBatch};
use arrow_schema::{DataType, Field};
use purlin_api::key::{KEY_SLOTS, hash, slot};
use purlin_api::{Error, EventTime, Result, Window};
use std::sync::Arc;

/// Rows of a log that are put together at most: as many as a batch of results has.
pub(crate) const ROWS_MAX: usize = 8192;

/// The key slot of a key.
pub(crate) fn slot_of(key: &[u8]) -> u16 {
    slot(hash(key))
}

/// A log that makes no sense.
pub(crate) fn damaged(what: impl std::fmt::Display) -> Error {
    Error::data(format!("the saved state of an aggregation is damaged: {what}"))
}

/// The columns of a window.
pub(crate) fn window_fields() -> Vec<Field> {
    let field = |name: &str, t: DataType| Field::new(name, t, true);
    vec![
        field("window_start", DataType::Int64),
        field("window_end", DataType::Int64),
        field("window_bytes", DataType::Binary),
    ]
}

/// Windows as columns: the global one is null, one that was made outside has its encoding and its end.
#[derive(Default)]
pub(crate) struct WindowColumns {
    starts: Int64Builder,
    ends: Int64Builder,
    bytes: BinaryBuilder,
}

impl WindowColumns {
    pub(crate) fn push(&mut self, window: &Window) -> Result<()> {
        let (start, end, bytes) = match window {
            Window::Global => (None, None, None),
            Window::Interval { start, end } => (Some(start.0), Some(end.0), None),
            Window::Opaque { bytes, max } => (None, Some(max.0), Some(bytes.as_ref())),
            _ => return Err(Error::internal("a window of a kind that state has no form for")),
        };
        self.starts.append_option(start);
        self.ends.append_option(end);
        self.bytes.append_option(bytes);
        Ok(())
    }

    pub(crate) fn finish(mut self) -> [ArrayRef; 3] {
        [Arc::new(self.starts.finish()), Arc::new(self.ends.finish()), Arc::new(self.bytes.finish())]
    }
}

/// Windows read from columns.
pub(crate) struct Windows<'a> {
    starts: &'a Int64Array,
    ends: &'a Int64Array,
    bytes: &'a BinaryArray,
}

impl<'a> Windows<'a> {
    /// Of three columns that [`WindowColumns`] made.
    pub(crate) fn new(columns: &'a [ArrayRef]) -> Result<Self> {
        let [starts, ends, bytes] = columns else { return Err(damaged("windows have three columns")) };
        Ok(Windows {
            starts: numbers::<Int64Type>(starts)?,
            ends: numbers::<Int64Type>(ends)?,
            bytes: bytes_of(bytes)?,
        })
    }

    pub(crate) fn get(&self, row: usize) -> Result<Window> {
        let of = |a: &Int64Array| a.is_valid(row).then(|| EventTime(a.value(row)));
        match (of(self.starts), of(self.ends), self.bytes.is_valid(row)) {
            (None, None, false) => Ok(Window::Global),
            (Some(start), Some(end), false) if start <= end => Ok(Window::Interval { start, end }),
            (None, Some(max), true) => Ok(Window::Opaque { bytes: self.bytes.value(row).into(), max }),
            _ => Err(damaged("a window that cannot be")),
        }
    }

    /// True if a row has the window of the row before it.
    pub(crate) fn repeats(&self, row: usize) -> bool {
        let Some(before) = row.checked_sub(1) else { return false };
        let same = |a: &Int64Array| {
            a.is_valid(row) == a.is_valid(before) && (a.is_null(row) || a.value(row) == a.value(before))
        };
        same(self.starts) && same(self.ends) && self.bytes.is_null(row) && self.bytes.is_null(before)
    }
}

/// The rows of a log, column by column from the first.
pub(crate) struct Columns<'a> {
    all: &'a [ArrayRef],
    next: usize,
}

impl<'a> Columns<'a> {
    pub(crate) fn of(rows: &'a RecordBatch) -> Self {
        Columns { all: rows.columns(), next: 0 }
    }

    /// The next `n` columns.
    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [ArrayRef]> {
        let from = self.next;
        self.next += n;
        self.all.get(from..self.next).ok_or_else(|| damaged("columns are missing"))
    }

    fn one(&mut self) -> Result<&'a ArrayRef> {
        self.take(1)?.first().ok_or_else(|| damaged("a column is missing"))
    }

    /// All further columns.
    pub(crate) fn rest(&self) -> &'a [ArrayRef] {
        self.all.get(self.next..).unwrap_or(&[])
    }

    pub(crate) fn ints(&mut self) -> Result<&'a Int64Array> {
        numbers::<Int64Type>(self.one()?)
    }

    pub(crate) fn kinds(&mut self) -> Result<&'a [u8]> {
        Ok(numbers::<UInt8Type>(self.one()?)?.values())
    }

    pub(crate) fn flags(&mut self) -> Result<&'a BooleanArray> {
        let column = self.one()?;
        column
            .as_boolean_opt()
            .ok_or_else(|| damaged(format!("{} where truths should be", column.data_type())))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a BinaryArray> {
        bytes_of(self.one()?)
    }

    pub(crate) fn any(&mut self) -> Result<&'a ArrayRef> {
        self.one()
    }
}

fn numbers<T: ArrowPrimitiveType>(column: &ArrayRef) -> Result<&PrimitiveArray<T>> {
    let typed = column.as_primitive_opt::<T>();
    typed.ok_or_else(|| damaged(format!("{} where numbers should be", column.data_type())))
}

fn bytes_of(column: &ArrayRef) -> Result<&BinaryArray> {
    let typed = column.as_binary_opt::<i32>();
    typed.ok_or_else(|| damaged(format!("{} where bytes should be", column.data_type())))
}

/// Some key slots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SlotSet(Option<Box<[u64; SlotSet::WORDS]>>);

impl SlotSet {
    const WORDS: usize = KEY_SLOTS as usize / 64;

    pub(crate) fn insert(&mut self, slot: u16) {
        let words = self.0.get_or_insert_default();
        if let Some(word) = words.get_mut(usize::from(slot / 64)) {
            *word |= 1 << (slot % 64);
        }
    }

    pub(crate) fn contains(&self, slot: u16) -> bool {
        let word = self.0.as_ref().and_then(|w| w.get(usize::from(slot / 64)));
        word.is_some_and(|w| w & (1 << (slot % 64)) != 0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u16> {
        (0..KEY_SLOTS).filter(|slot| self.0.is_some() && self.contains(*slot))
    }

    /// True if all of these are in `other` too.
    pub(crate) fn within(&self, other: &SlotSet) -> bool {
        self.iter().all(|slot| other.contains(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_come_back() {
        let opaque = Window::Opaque { bytes: [1, 2].as_slice().into(), max: EventTime(7) };
        let all = [Window::Global, Window::interval(-5, 9), Window::interval(3, 3), opaque.clone(), opaque];
        let mut columns = WindowColumns::default();
        all.iter().for_each(|w| columns.push(w).unwrap());
        let columns = columns.finish();
        let read = Windows::new(&columns).unwrap();
        let back: Vec<Window> = (0..all.len()).map(|row| read.get(row).unwrap()).collect();
        assert_eq!(back, all);
        assert!((0..all.len()).all(|row| !read.repeats(row)), "opaque ones are read anew");
    }

    #[test]
    fn slots_are_a_set() {
        let mut set = SlotSet::default();
        assert!(set.is_empty() && !set.contains(3));
        [3, 1023, 64, 3].iter().for_each(|s| set.insert(*s));
        assert_eq!(set.iter().collect::<Vec<_>>(), [3, 64, 1023]);
        let mut more = set.clone();
        more.insert(0);
        assert!(set.within(&more) && !more.within(&set));
    }
}

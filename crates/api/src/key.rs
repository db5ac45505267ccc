//! Canonical key bytes: what grouping, key slots and order are defined on.
//!
//! A key of some columns is one byte string. Equal keys have equal bytes, different keys have different
//! ones, and the order of bytes is the order of values (null first, then column by column). The bytes
//! of a column end by themselves, so that no key is the beginning of another key of the same types.
//!
//! | value | bytes |
//! |---|---|
//! | null | `00` |
//! | false, true | `01`, `02` |
//! | int, timestamp, datetime, date, time, duration | `01`, then 8 bytes, greatest first, the sign bit flipped |
//! | decimal | `01`, then its units in 16 bytes, greatest first, the sign bit flipped |
//! | float | `01`, then 8 bytes in total order; −0 is 0, every NaN is one NaN, the greatest float |
//! | text, bytes | `01`, the bytes with `00` as `01 01` and `01` as `01 02`, then `00` |
//! | list | `01`, then `01` and the value for each item, then `00` |
//! | row | `01`, then its fields |
//! | map | `01`, then `01`, key and value for each entry in order of the keys, then `00` |
//!
//! Key slots outlive processes: changing a byte here changes the format of everything that is stored.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use crate::error::{Error, Result};
use crate::shape::type_name;
use arrow_array::ArrayRef;
use arrow_schema::{DataType, Field, TimeUnit};

/// How many key slots there are: the unit in which keyed state is spread over lanes and stored.
pub const KEY_SLOTS: u16 = 1024;

/// The hash of key bytes (XXH3, 64 bits, seed 0): the same in every process.
pub fn hash(key: &[u8]) -> u64 {
    twox_hash::XxHash3_64::oneshot(key)
}

/// The key slot of a hash. It uses bits in the middle, which leaves both ends to hash tables.
pub fn slot(hash: u64) -> u16 {
    ((hash >> 32) % u64::from(KEY_SLOTS)) as u16
}

/// The lane that owns a slot; every lane has a contiguous range of them. No lanes count as one.
pub fn lane(slot: u16, lanes: usize) -> usize {
    usize::from(slot.min(KEY_SLOTS - 1)) * lanes.max(1) / usize::from(KEY_SLOTS)
}

/// The keys of some rows, in one buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRows {
    bytes: Vec<u8>,
    /// Where each key ends.
    ends: Vec<usize>,
}

impl KeyRows {
    /// How many keys.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The key of a row; empty if there is no such row.
    pub fn get(&self, row: usize) -> &[u8] {
        let Some(end) = self.ends.get(row) else { return &[] };
        let start = row.checked_sub(1).and_then(|r| self.ends.get(r)).copied().unwrap_or(0);
        self.bytes.get(start..*end).unwrap_or(&[])
    }

    /// All keys, in the order of the rows.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bytes.as_slice();
        let mut start = 0;
        self.ends.iter().map(move |end| {
            // Ends never sink and the last is the length of the buffer.
            let (key, after) = rest.split_at((end - start).min(rest.len()));
            start = *end;
            rest = after;
            key
        })
    }

    /// Bytes held.
    pub fn size_bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<usize>()
    }
}

/// Makes keys of columns, and columns of keys.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyCodec {
    types: Vec<DataType>,
}

impl KeyCodec {
    /// For columns of these types. Fails for types that no collection has.
    pub fn new(types: &[DataType]) -> Result<Self> {
        for t in types {
            if !encodes(t) {
                let name = type_name(&Field::new("key", t.clone(), true));
                return Err(Error::internal(format!("values of type {name} cannot be keys")));
            }
        }
        Ok(KeyCodec { types: types.to_vec() })
    }

    /// The types of its columns.
    pub fn types(&self) -> &[DataType] {
        &self.types
    }

    /// The keys of `rows` rows. Without columns each of them is empty. Fails if the columns are not of
    /// the codec's types or have another number of rows: a bug of the caller.
    pub fn encode(&self, columns: &[ArrayRef], rows: usize) -> Result<KeyRows> {
        if columns.len() != self.types.len() {
            return Err(Error::internal(format!(
                "{} key columns where {} were planned",
                columns.len(),
                self.types.len()
            )));
        }
        for (column, planned) in columns.iter().zip(&self.types) {
            if !same_type(column.data_type(), planned) {
                return Err(Error::internal(format!(
                    "key column of type {} where {planned} was planned",
                    column.data_type()
                )));
            }
            if column.len() != rows {
                return Err(Error::internal(format!(
                    "key column of {} rows where there are {rows}",
                    column.len()
                )));
            }
        }
        encode::encode(columns, rows)
    }

    /// The columns that keys were made of. Lossless but for −0, the bits of NaNs and the order of the
    /// entries of maps. Fails on bytes that no key of these types has.
    pub fn decode<'a>(&self, keys: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        decode::decode(&self.types, keys)
    }
}

/// True if values of this type can be part of a key.
pub fn encodes(t: &DataType) -> bool {
    match t {
        DataType::Null | DataType::Boolean | DataType::Int64 | DataType::Float64 => true,
        DataType::Utf8 | DataType::Binary | DataType::Timestamp(TimeUnit::Microsecond, _) => true,
        DataType::Decimal128(..) | DataType::Date32 => true,
        DataType::Time64(TimeUnit::Microsecond) | DataType::Duration(TimeUnit::Microsecond) => true,
        DataType::List(item) => encodes(item.data_type()),
        DataType::Struct(fields) => fields.iter().all(|f| encodes(f.data_type())),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(kv) => kv.len() == 2 && kv.iter().all(|f| encodes(f.data_type())),
            _ => false,
        },
        _ => false,
    }
}

/// Equal but for the names and flags of inner fields, which say nothing of values.
fn same_type(a: &DataType, b: &DataType) -> bool {
    match (a, b) {
        (DataType::List(a), DataType::List(b)) => same_type(a.data_type(), b.data_type()),
        (DataType::Map(a, _), DataType::Map(b, _)) => same_type(a.data_type(), b.data_type()),
        (DataType::Struct(a), DataType::Struct(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_type(a.data_type(), b.data_type()))
        }
        (DataType::Timestamp(a, _), DataType::Timestamp(b, _)) => a == b,
        // The precision is a bound; units mean the same where the scale is the same.
        (DataType::Decimal128(_, a), DataType::Decimal128(_, b)) => a == b,
        (a, b) => a == b,
    }
}

//! Columns to key bytes.

use super::KeyRows;
use crate::error::{Error, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, DurationMicrosecondType, Float64Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_buffer::NullBuffer;
use arrow_schema::DataType;

/// Bytes of a present int, float or timestamp: the marker and the value.
const FIXED: usize = 9;

pub(super) fn encode(columns: &[ArrayRef], rows: usize) -> Result<KeyRows> {
    let columns: Vec<Column<'_>> = columns.iter().map(|c| Column::of(c.as_ref())).collect::<Result<_>>()?;
    if columns.is_empty() {
        return Ok(KeyRows { bytes: Vec::new(), ends: vec![0; rows] });
    }
    if let [Column::Int { values, nulls: None }] = columns.as_slice() {
        return Ok(ints(values));
    }
    let mut bytes = Vec::with_capacity(columns.iter().map(|c| c.size_hint(rows)).sum());
    let mut ends = Vec::with_capacity(rows);
    if let [Column::Bytes { offsets, values, nulls: None, plain: true }] = columns.as_slice() {
        for pair in offsets.windows(2) {
            plain_bytes(values, pair, &mut bytes);
            ends.push(bytes.len());
        }
        return Ok(KeyRows { bytes, ends });
    }
    for row in 0..rows {
        for column in &columns {
            column.append(row, &mut bytes);
        }
        ends.push(bytes.len());
    }
    Ok(KeyRows { bytes, ends })
}

fn ints(values: &[i64]) -> KeyRows {
    let mut bytes = vec![1; values.len() * FIXED];
    for (chunk, v) in bytes.chunks_exact_mut(FIXED).zip(values) {
        if let Some(at) = chunk.get_mut(1..) {
            at.copy_from_slice(&ordered_int(*v));
        }
    }
    KeyRows { bytes, ends: (1..=values.len()).map(|n| n * FIXED).collect() }
}

/// A column with its type found once, so that rows cost no lookups.
enum Column<'a> {
    Null,
    Boolean(&'a BooleanArray),
    /// Ints and timestamps.
    Int {
        values: &'a [i64],
        nulls: Option<&'a NullBuffer>,
    },
    /// Dates, in days.
    Days {
        values: &'a [i32],
        nulls: Option<&'a NullBuffer>,
    },
    Decimal {
        values: &'a [i128],
        nulls: Option<&'a NullBuffer>,
    },
    Float {
        values: &'a [f64],
        nulls: Option<&'a NullBuffer>,
    },
    /// Text and bytes; `plain` if no byte needs an escape.
    Bytes {
        offsets: &'a [i32],
        values: &'a [u8],
        nulls: Option<&'a NullBuffer>,
        plain: bool,
    },
    List {
        offsets: &'a [i32],
        item: Box<Column<'a>>,
        nulls: Option<&'a NullBuffer>,
    },
    Struct {
        fields: Vec<Column<'a>>,
        nulls: Option<&'a NullBuffer>,
    },
    Map {
        offsets: &'a [i32],
        key: Box<Column<'a>>,
        value: Box<Column<'a>>,
        nulls: Option<&'a NullBuffer>,
    },
}

impl<'a> Column<'a> {
    fn of(array: &'a dyn Array) -> Result<Self> {
        let nulls = array.nulls().filter(|n| n.null_count() > 0);
        Ok(match array.data_type() {
            DataType::Null => Column::Null,
            DataType::Boolean => Column::Boolean(array.as_boolean()),
            DataType::Int64 => Column::Int { values: array.as_primitive::<Int64Type>().values(), nulls },
            DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, _) => {
                Column::Int { values: array.as_primitive::<TimestampMicrosecondType>().values(), nulls }
            }
            DataType::Time64(arrow_schema::TimeUnit::Microsecond) => {
                Column::Int { values: array.as_primitive::<Time64MicrosecondType>().values(), nulls }
            }
            DataType::Duration(arrow_schema::TimeUnit::Microsecond) => {
                Column::Int { values: array.as_primitive::<DurationMicrosecondType>().values(), nulls }
            }
            DataType::Date32 => Column::Days { values: array.as_primitive::<Date32Type>().values(), nulls },
            DataType::Decimal128(..) => {
                Column::Decimal { values: array.as_primitive::<Decimal128Type>().values(), nulls }
            }
            DataType::Float64 => {
                Column::Float { values: array.as_primitive::<Float64Type>().values(), nulls }
            }
            DataType::Utf8 => {
                let a = array.as_string::<i32>();
                Column::bytes(a.value_offsets(), a.value_data(), nulls)
            }
            DataType::Binary => {
                let a = array.as_binary::<i32>();
                Column::bytes(a.value_offsets(), a.value_data(), nulls)
            }
            DataType::List(_) => {
                let a = array.as_list::<i32>();
                Column::List {
                    offsets: a.value_offsets(),
                    item: Box::new(Column::of(a.values().as_ref())?),
                    nulls,
                }
            }
            DataType::Struct(_) => {
                let fields = array.as_struct().columns().iter().map(|c| Column::of(c.as_ref()));
                Column::Struct { fields: fields.collect::<Result<_>>()?, nulls }
            }
            DataType::Map(..) => {
                let a = array.as_map();
                let key = Box::new(Column::of(a.keys().as_ref())?);
                let value = Box::new(Column::of(a.values().as_ref())?);
                Column::Map { offsets: a.value_offsets(), key, value, nulls }
            }
            other => return Err(Error::internal(format!("values of type {other} cannot be keys"))),
        })
    }

    fn bytes(offsets: &'a [i32], values: &'a [u8], nulls: Option<&'a NullBuffer>) -> Self {
        let first = offsets.first().map_or(0, |o| *o as usize);
        let last = offsets.last().map_or(0, |o| *o as usize);
        let used = values.get(first..last).unwrap_or(values);
        // No early exit within a block: this loop becomes a few vector instructions.
        let plain = used.chunks(256).all(|block| block.iter().fold(true, |plain, b| plain & (*b > 1)));
        Column::Bytes { offsets, values, nulls, plain }
    }

    /// About how many bytes `rows` rows will take.
    fn size_hint(&self, rows: usize) -> usize {
        match self {
            Column::Null | Column::Boolean(_) => rows,
            Column::Bytes { offsets, .. } => {
                let first = offsets.first().copied().unwrap_or(0);
                let last = offsets.last().copied().unwrap_or(0);
                rows * 2 + (last - first).max(0) as usize
            }
            _ => rows * FIXED,
        }
    }

    fn append(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            out.push(0);
            return;
        }
        match self {
            Column::Null => out.push(0),
            Column::Boolean(a) => out.push(1 + u8::from(a.value(row))),
            Column::Int { values, .. } => {
                out.extend_from_slice(&marked(ordered_int(values.get(row).copied().unwrap_or(0))));
            }
            Column::Days { values, .. } => {
                let days = i64::from(values.get(row).copied().unwrap_or(0));
                out.extend_from_slice(&marked(ordered_int(days)));
            }
            Column::Decimal { values, .. } => {
                let units = values.get(row).copied().unwrap_or(0);
                out.push(1);
                out.extend_from_slice(&(units as u128 ^ (1 << 127)).to_be_bytes());
            }
            Column::Float { values, .. } => {
                out.extend_from_slice(&marked(ordered_float(values.get(row).copied().unwrap_or(0.0))));
            }
            Column::Bytes { offsets, values, plain, .. } => {
                let Some(pair) = offsets.get(row..row + 2) else { return out.push(0) };
                if *plain { plain_bytes(values, pair, out) } else { escaped_bytes(values, pair, out) }
            }
            Column::List { offsets, item, .. } => {
                out.push(1);
                for i in range(offsets, row) {
                    out.push(1);
                    item.append(i, out);
                }
                out.push(0);
            }
            Column::Struct { fields, .. } => {
                out.push(1);
                for field in fields {
                    field.append(row, out);
                }
            }
            Column::Map { offsets, key, value, .. } => append_map(range(offsets, row), key, value, out),
        }
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Column::Null => true,
            Column::Boolean(a) => a.is_null(row),
            Column::Int { nulls, .. }
            | Column::Days { nulls, .. }
            | Column::Decimal { nulls, .. }
            | Column::Float { nulls, .. }
            | Column::Bytes { nulls, .. }
            | Column::List { nulls, .. }
            | Column::Struct { nulls, .. }
            | Column::Map { nulls, .. } => nulls.is_some_and(|n| n.is_null(row)),
        }
    }
}

fn append_map(entries: std::ops::Range<usize>, key: &Column<'_>, value: &Column<'_>, out: &mut Vec<u8>) {
    let mut sorted: Vec<Vec<u8>> = entries
        .map(|i| {
            let mut entry = Vec::new();
            key.append(i, &mut entry);
            value.append(i, &mut entry);
            entry
        })
        .collect();
    // Keys end by themselves, so whole entries sort by key first.
    sorted.sort_unstable();
    out.push(1);
    for entry in sorted {
        out.push(1);
        out.extend_from_slice(&entry);
    }
    out.push(0);
}

fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    match offsets.get(row..row + 2) {
        Some([start, end]) => *start as usize..*end as usize,
        _ => 0..0,
    }
}

fn plain_bytes(values: &[u8], pair: &[i32], out: &mut Vec<u8>) {
    out.push(1);
    out.extend_from_slice(values.get(range(pair, 0)).unwrap_or(&[]));
    out.push(0);
}

fn escaped_bytes(values: &[u8], pair: &[i32], out: &mut Vec<u8>) {
    out.push(1);
    for b in values.get(range(pair, 0)).unwrap_or(&[]) {
        match b {
            0 | 1 => out.extend_from_slice(&[1, b + 1]),
            b => out.push(*b),
        }
    }
    out.push(0);
}

fn marked(value: [u8; 8]) -> [u8; FIXED] {
    let [a, b, c, d, e, f, g, h] = value;
    [1, a, b, c, d, e, f, g, h]
}

fn ordered_int(v: i64) -> [u8; 8] {
    (v as u64 ^ (1 << 63)).to_be_bytes()
}

fn ordered_float(v: f64) -> [u8; 8] {
    let v = if v == 0.0 {
        0.0
    } else if v.is_nan() {
        f64::NAN.abs()
    } else {
        v
    };
    let bits = v.to_bits();
    // Negative floats count down: all their bits flip. Positive ones come after them.
    let ordered = if bits >> 63 == 1 { !bits } else { bits ^ (1 << 63) };
    ordered.to_be_bytes()
}

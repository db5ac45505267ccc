//! Many rows of one batch as JSON.

use super::{or_null, timestamp_text, write_text, write_value};
use crate::shape::is_any;
use arrow_array::TimestampMicrosecondArray;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, TimeUnit};

/// Writes the rows of one batch as JSON objects; keys are escaped and types looked up once.
#[derive(Debug)]
pub struct RowWriter<'a> {
    columns: Vec<Column<'a>>,
    rows: usize,
}

#[derive(Debug)]
struct Column<'a> {
    /// `{"name":` for the first column, `,"name":` for the others.
    key: Vec<u8>,
    field: &'a Field,
    array: &'a ArrayRef,
    /// False if all rows have a value.
    nulls: bool,
    values: Values<'a>,
}

/// The types that most columns have, found once for all rows.
#[derive(Debug)]
enum Values<'a> {
    Int(&'a Int64Array),
    Float(&'a Float64Array),
    Text(&'a StringArray),
    /// With the text of the last one, quotes included: the ends of windows come in long runs.
    Time(&'a TimestampMicrosecondArray, Option<(i64, Vec<u8>)>),
    Other,
}

impl<'a> Values<'a> {
    fn of(field: &Field, array: &'a ArrayRef) -> Self {
        let found = match array.data_type() {
            DataType::Int64 => array.as_primitive_opt::<Int64Type>().map(Values::Int),
            DataType::Float64 => array.as_primitive_opt::<Float64Type>().map(Values::Float),
            DataType::Utf8 if !is_any(field) => array.as_string_opt::<i32>().map(Values::Text),
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
                array.as_primitive_opt::<TimestampMicrosecondType>().map(|a| Values::Time(a, None))
            }
            _ => None,
        };
        found.unwrap_or(Values::Other)
    }
}

impl<'a> RowWriter<'a> {
    /// For the rows of `batch`.
    pub fn new(batch: &'a RecordBatch) -> Self {
        let fields = batch.schema_ref().fields().iter();
        let columns = fields.zip(batch.columns()).enumerate().map(|(i, (field, array))| {
            let mut key = vec![if i == 0 { b'{' } else { b',' }];
            write_text(field.name(), &mut key);
            key.push(b':');
            let nulls = array.null_count() > 0;
            Column { key, field: field.as_ref(), array, nulls, values: Values::of(field, array) }
        });
        RowWriter { columns: columns.collect(), rows: batch.num_rows() }
    }

    /// Appends one row; a row past the end is `null`.
    pub fn write(&mut self, row: usize, out: &mut Vec<u8>) {
        if row >= self.rows {
            out.extend_from_slice(b"null");
            return;
        }
        if self.columns.is_empty() {
            out.push(b'{');
        }
        for column in &mut self.columns {
            out.extend_from_slice(&column.key);
            column.write(row, out);
        }
        out.push(b'}');
    }
}

impl Column<'_> {
    fn write(&mut self, row: usize, out: &mut Vec<u8>) {
        if self.nulls && self.array.is_null(row) {
            return out.extend_from_slice(b"null");
        }
        match &mut self.values {
            Values::Int(a) => or_null(serde_json::to_writer(&mut *out, &a.value(row)), out),
            Values::Float(a) => write_float(a.value(row), out),
            Values::Text(a) => write_text(a.value(row), out),
            Values::Time(a, last) => {
                let micros = a.value(row);
                match last {
                    Some((at, text)) if *at == micros => out.extend_from_slice(text),
                    _ => {
                        let mut text = Vec::new();
                        write_text(&timestamp_text(micros), &mut text);
                        out.extend_from_slice(&text);
                        *last = Some((micros, text));
                    }
                }
            }
            Values::Other => write_value(self.field, self.array, row, out),
        }
    }
}

/// Appends a float as serde_json does: the shortest text that reads back equal.
fn write_float(value: f64, out: &mut Vec<u8>) {
    if let Some(hundredths) = hundredths(value) {
        let size = hundredths.unsigned_abs();
        if hundredths < 0 {
            out.push(b'-');
        }
        or_null(serde_json::to_writer(&mut *out, &(size / 100)), out);
        let digit = |d: u64| b'0' + (d % 10) as u8;
        let (tenths, rest) = (digit(size / 10), digit(size));
        out.extend_from_slice(&[b'.', tenths, rest]);
        if rest == b'0' {
            out.pop();
        }
        return;
    }
    or_null(serde_json::to_writer(&mut *out, &value), out);
}

/// The hundredths of a float that is the one nearest to a number of so many: most amounts are. With at most
/// fifteen digits no two decimals have the same float, so that their digits are the shortest text.
fn hundredths(value: f64) -> Option<i64> {
    /// Adding this leaves no bits for a fraction: the nearest whole number without a call.
    const SHIFT: f64 = 1.5 * (1_u64 << 52) as f64;
    let whole = (value * 100.0 + SHIFT) - SHIFT;
    let is_exact = value.abs() < 1e13 && whole / 100.0 == value;
    // Zero has a sign that an integer has not.
    (is_exact && whole != 0.0).then_some(whole as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn floats_are_written_as_serde_json_writes_them(
            float in prop_oneof![
                (-2_000_000_i64..2_000_000).prop_map(|n| n as f64 / 100.0),
                any::<i64>().prop_map(|n| (n >> (n & 63)) as f64 / 100.0),
                any::<i64>().prop_map(|n| (n >> (n & 63)) as f64 / 1000.0),
                any::<f64>(),
                Just(-0.0),
            ],
        ) {
            let mut out = Vec::new();
            write_float(float, &mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&float).unwrap());
        }
    }
}

//! Rows as JSON: what `WriteToJson` writes, and what messages and logs print of a row.
//!
//! Floats are the shortest text that reads back equal, NaN and infinity are null, decimals are numbers with
//! all their digits, timestamps are RFC 3339 in UTC with a `Z`, datetimes have no `Z`, dates are `2024-01-31`,
//! durations are seconds, nested rows and maps are objects, bytes are UTF-8 text (what is not UTF-8 becomes
//! U+FFFD), and a column without a common type ([`crate::shape::any_field`]) is written as the JSON it holds.

use crate::decimal;
use crate::shape::is_any;
use arrow_array::cast::AsArray;
use arrow_array::temporal_conversions as temporal;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Decimal128Type, Decimal256Type, DurationMicrosecondType,
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, TimeUnit};
use serde_json::{Map, Number, Value};
use std::borrow::Cow;

mod rows;

pub use rows::RowWriter;

/// One row as a JSON value. A row past the end is null.
pub fn row_to_json(batch: &RecordBatch, row: usize) -> Value {
    if row >= batch.num_rows() {
        return Value::Null;
    }
    let schema = batch.schema_ref();
    let fields = schema.fields().iter().zip(batch.columns());
    Value::Object(fields.map(|(f, c)| (f.name().clone(), to_json(f, c, row))).collect())
}

/// One value of a column as JSON; `row` must lie inside.
pub fn to_json(field: &Field, array: &dyn Array, row: usize) -> Value {
    match look(field, array, row) {
        Look::Null => Value::Null,
        Look::Bool(b) => Value::Bool(b),
        Look::Int(i) => Value::from(i),
        Look::UInt(i) => Value::from(i),
        Look::Float(f) => Number::from_f64(f).map_or(Value::Null, Value::Number),
        Look::Float32(f) => short(f).map_or(Value::Null, Value::Number),
        Look::Decimal(units, scale) => decimal_value(units, scale),
        Look::Text(t) => Value::String(t.into_owned()),
        Look::Json(t) => serde_json::from_str(t).unwrap_or_else(|_| Value::String(t.to_owned())),
        Look::List(f, items) => Value::Array((0..items.len()).map(|i| to_json(f, &items, i)).collect()),
        Look::Row(fields, columns) => Value::Object(
            fields.iter().zip(columns).map(|(f, c)| (f.name().clone(), to_json(f, c, row))).collect(),
        ),
        Look::Map(entries) => {
            let mut object = Map::new();
            for (key, field, values, i) in entries_of(&entries) {
                object.insert(key, to_json(field, values, i));
            }
            Value::Object(object)
        }
    }
}

/// Appends one row as compact JSON, without a line end. For many rows [`RowWriter`] is faster.
pub fn write_json(batch: &RecordBatch, row: usize, out: &mut Vec<u8>) {
    RowWriter::new(batch).write(row, out);
}

/// One row as compact JSON text, cut after `chars_max` characters: for messages.
pub fn row_text(batch: &RecordBatch, row: usize, chars_max: usize) -> String {
    let mut out = Vec::new();
    write_json(batch, row, &mut out);
    shortened(String::from_utf8_lossy(&out).into_owned(), chars_max)
}

/// `text`, cut with an ellipsis if it has more than `chars_max` characters.
pub fn shortened(text: String, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

/// Appends one value of a column as compact JSON; `row` must lie inside.
pub fn write_value(field: &Field, array: &dyn Array, row: usize, out: &mut Vec<u8>) {
    match look(field, array, row) {
        Look::Null => out.extend_from_slice(b"null"),
        Look::Bool(b) => out.extend_from_slice(if b { b"true" } else { b"false" }),
        Look::Int(i) => or_null(serde_json::to_writer(&mut *out, &i), out),
        Look::UInt(i) => or_null(serde_json::to_writer(&mut *out, &i), out),
        Look::Float(f) => or_null(serde_json::to_writer(&mut *out, &f), out),
        Look::Float32(f) => or_null(serde_json::to_writer(&mut *out, &f), out),
        Look::Decimal(units, scale) => out.extend_from_slice(decimal::text(units, scale).as_bytes()),
        Look::Text(t) => write_text(&t, out),
        Look::Json(t) => out.extend_from_slice(t.as_bytes()),
        Look::List(f, items) => {
            out.push(b'[');
            for i in 0..items.len() {
                if i > 0 {
                    out.push(b',');
                }
                write_value(f, &items, i, out);
            }
            out.push(b']');
        }
        Look::Row(fields, columns) => {
            out.push(b'{');
            for (i, (f, c)) in fields.iter().zip(columns).enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_text(f.name(), out);
                out.push(b':');
                write_value(f, c, row, out);
            }
            out.push(b'}');
        }
        Look::Map(entries) => {
            out.push(b'{');
            for (n, (key, field, values, i)) in entries_of(&entries).enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                write_text(&key, out);
                out.push(b':');
                write_value(field, values, i, out);
            }
            out.push(b'}');
        }
    }
}

/// Appends a JSON string with its quotes.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    // Mostly there is nothing to escape; that is told by whole blocks.
    let special = |b: &u8| (*b < b' ') | (*b == b'"') | (*b == b'\\');
    if !bytes.iter().fold(false, |any, b| any | special(b)) {
        out.extend_from_slice(bytes);
        out.push(b'"');
        return;
    }
    let mut from = 0;
    for (i, b) in bytes.iter().enumerate() {
        let escape: &[u8] = match b {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..=0x1f => b"",
            _ => continue,
        };
        out.extend_from_slice(bytes.get(from..i).unwrap_or_default());
        if escape.is_empty() {
            out.extend_from_slice(format!("\\u{b:04x}").as_bytes());
        } else {
            out.extend_from_slice(escape);
        }
        from = i + 1;
    }
    out.extend_from_slice(bytes.get(from..).unwrap_or_default());
    out.push(b'"');
}

/// Microseconds since 1970 as RFC 3339 in UTC with a `Z` and as many decimals as needed. Years outside
/// 0 to 9999 have a sign and six digits, as in ISO 8601's expanded form.
pub fn timestamp_text(micros: i64) -> String {
    if let Ok(t) = jiff::Timestamp::from_microsecond(micros)
        && micros >= YEAR_ZERO
    {
        return t.to_string();
    }
    let (days, rest) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
    let (year, month, day) = civil(days);
    let (seconds, fraction) = (rest / 1_000_000, rest % 1_000_000);
    let decimals = if fraction == 0 {
        String::new()
    } else {
        format!(".{fraction:06}").trim_end_matches('0').to_owned()
    };
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:+07}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}{decimals}Z")
}

/// 0000-01-01T00:00:00Z in microseconds.
const YEAR_ZERO: i64 = -62_167_219_200_000_000;

/// Year, month and day of a count of days since 1970-01-01, in the proleptic Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    // Years that start in March put the leap day last; eras of 400 years repeat.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// As a number where a float of 64 bits prints the same digits, otherwise as text: a [`Value`] has no other numbers.
fn decimal_value(units: i128, scale: i8) -> Value {
    /// Up to here decimals and floats are told apart.
    const EXACT: u128 = 1_000_000_000_000_000;
    let text = decimal::text(units, scale);
    match (scale, i64::try_from(units)) {
        (0, Ok(int)) => Value::from(int),
        _ if units.unsigned_abs() < EXACT && scale >= 0 => match text.parse().ok().and_then(Number::from_f64)
        {
            Some(number) => Value::Number(number),
            None => Value::String(text),
        },
        _ => Value::String(text),
    }
}

/// The decimal digits of the short float, not those of its exact value in 64 bits.
fn short(f: f32) -> Option<Number> {
    f.to_string().parse().ok().and_then(Number::from_f64)
}

/// Writing a number into memory does not fail (NaN and infinity are written as null).
fn or_null(written: serde_json::Result<()>, out: &mut Vec<u8>) {
    if written.is_err() {
        out.extend_from_slice(b"null");
    }
}

/// One value, seen through its type.
enum Look<'a> {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    Float32(f32),
    /// Units and their scale.
    Decimal(i128, i8),
    Text(Cow<'a, str>),
    Json(&'a str),
    List(&'a Field, ArrayRef),
    Row(&'a arrow_schema::Fields, &'a [ArrayRef]),
    Map(arrow_array::StructArray),
}

fn value<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> Option<T::Native> {
    array.as_primitive_opt::<T>().map(|a| a.value(row))
}

fn look<'a>(field: &'a Field, array: &'a dyn Array, row: usize) -> Look<'a> {
    if row >= array.len() || array.is_null(row) {
        return Look::Null;
    }
    // A type and an array that disagree would be a bug; null is what is left to say then.
    typed(field, array, row).unwrap_or(Look::Null)
}

fn typed<'a>(field: &'a Field, array: &'a dyn Array, row: usize) -> Option<Look<'a>> {
    Some(match array.data_type() {
        DataType::Int64 => Look::Int(value::<Int64Type>(array, row)?),
        DataType::Utf8 => {
            let text = array.as_string_opt::<i32>()?.value(row);
            if is_any(field) { Look::Json(text) } else { Look::Text(text.into()) }
        }
        DataType::Float64 => Look::Float(value::<Float64Type>(array, row)?),
        DataType::Boolean => Look::Bool(array.as_boolean_opt()?.value(row)),
        DataType::Decimal128(_, scale) => Look::Decimal(value::<Decimal128Type>(array, row)?, *scale),
        DataType::Timestamp(unit, zone) => {
            let text = timestamp(*unit, array, row)?;
            // Without a zone it is no instant, and must not read as one.
            let text = if zone.is_none() { text.trim_end_matches('Z').to_owned() } else { text };
            Look::Text(text.into())
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            Look::Float(value::<DurationMicrosecondType>(array, row)? as f64 / 1e6)
        }
        DataType::Struct(_) => {
            let DataType::Struct(fields) = field.data_type() else { return None };
            Look::Row(fields, array.as_struct_opt()?.columns())
        }
        DataType::List(_) => Look::List(item(field)?, array.as_list_opt::<i32>()?.value(row)),
        DataType::LargeList(_) => Look::List(item(field)?, array.as_list_opt::<i64>()?.value(row)),
        DataType::FixedSizeList(..) => Look::List(item(field)?, array.as_fixed_size_list_opt()?.value(row)),
        DataType::Map(..) => Look::Map(array.as_map_opt()?.value(row)),
        DataType::Binary => Look::Text(String::from_utf8_lossy(array.as_binary_opt::<i32>()?.value(row))),
        DataType::LargeBinary => {
            Look::Text(String::from_utf8_lossy(array.as_binary_opt::<i64>()?.value(row)))
        }
        DataType::BinaryView => Look::Text(String::from_utf8_lossy(array.as_binary_view_opt()?.value(row))),
        DataType::FixedSizeBinary(_) => {
            Look::Text(String::from_utf8_lossy(array.as_fixed_size_binary_opt()?.value(row)))
        }
        DataType::LargeUtf8 => Look::Text(array.as_string_opt::<i64>()?.value(row).into()),
        DataType::Utf8View => Look::Text(array.as_string_view_opt()?.value(row).into()),
        DataType::Int8 => Look::Int(value::<Int8Type>(array, row)?.into()),
        DataType::Int16 => Look::Int(value::<Int16Type>(array, row)?.into()),
        DataType::Int32 => Look::Int(value::<Int32Type>(array, row)?.into()),
        DataType::UInt8 => Look::UInt(value::<UInt8Type>(array, row)?.into()),
        DataType::UInt16 => Look::UInt(value::<UInt16Type>(array, row)?.into()),
        DataType::UInt32 => Look::UInt(value::<UInt32Type>(array, row)?.into()),
        DataType::UInt64 => Look::UInt(value::<UInt64Type>(array, row)?),
        DataType::Float16 => Look::Float32(value::<Float16Type>(array, row)?.to_f32()),
        DataType::Float32 => Look::Float32(value::<Float32Type>(array, row)?),
        DataType::Null => Look::Null,
        other => Look::Text(rare(other, array, row)?.into()),
    })
}

/// Types that only files and databases bring.
fn rare(data_type: &DataType, array: &dyn Array, row: usize) -> Option<String> {
    Some(match data_type {
        DataType::Date32 => {
            temporal::as_date::<Date32Type>(value::<Date32Type>(array, row)?.into())?.to_string()
        }
        DataType::Date64 => temporal::as_date::<Date64Type>(value::<Date64Type>(array, row)?)?.to_string(),
        DataType::Time32(TimeUnit::Second) => {
            temporal::as_time::<Time32SecondType>(value::<Time32SecondType>(array, row)?.into())?.to_string()
        }
        DataType::Time32(_) => {
            temporal::as_time::<Time32MillisecondType>(value::<Time32MillisecondType>(array, row)?.into())?
                .to_string()
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            temporal::as_time::<Time64MicrosecondType>(value::<Time64MicrosecondType>(array, row)?)?
                .to_string()
        }
        DataType::Time64(_) => {
            temporal::as_time::<Time64NanosecondType>(value::<Time64NanosecondType>(array, row)?)?.to_string()
        }
        DataType::Decimal256(..) => array.as_primitive_opt::<Decimal256Type>()?.value_as_string(row),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary_opt()?;
            let at = *dictionary.normalized_keys().get(row)?;
            let field = Field::new("", dictionary.values().data_type().clone(), true);
            match to_json(&field, dictionary.values(), at) {
                Value::String(s) => s,
                other => other.to_string(),
            }
        }
        other => format!("<{other}>"),
    })
}

fn item(field: &Field) -> Option<&Field> {
    match field.data_type() {
        DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) => Some(f),
        _ => None,
    }
}

fn timestamp(unit: TimeUnit, array: &dyn Array, row: usize) -> Option<String> {
    Some(match unit {
        TimeUnit::Second => {
            timestamp_text(value::<TimestampSecondType>(array, row)?.saturating_mul(1_000_000))
        }
        TimeUnit::Millisecond => {
            timestamp_text(value::<TimestampMillisecondType>(array, row)?.saturating_mul(1000))
        }
        TimeUnit::Microsecond => timestamp_text(value::<TimestampMicrosecondType>(array, row)?),
        TimeUnit::Nanosecond => {
            let nanos = value::<TimestampNanosecondType>(array, row)?;
            jiff::Timestamp::from_nanosecond(i128::from(nanos)).ok()?.to_string()
        }
    })
}

/// Key, value field, values and index of each entry of a map.
fn entries_of(
    entries: &arrow_array::StructArray,
) -> impl Iterator<Item = (String, &Field, &dyn Array, usize)> + '_ {
    let fields = entries.fields();
    let pair = match (fields.first(), fields.get(1), entries.columns()) {
        (Some(key), Some(value), [keys, values]) => Some((key, value, keys, values)),
        _ => None,
    };
    pair.into_iter().flat_map(move |(key, value, keys, values)| {
        (0..entries.len()).map(move |i| {
            let name = match to_json(key, keys, i) {
                Value::String(s) => s,
                other => other.to_string(),
            };
            (name, value.as_ref(), values as &dyn Array, i)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use arrow_array::{BinaryArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
    use arrow_schema::Schema;
    use std::sync::Arc;

    fn text(batch: &RecordBatch, row: usize) -> String {
        let mut out = Vec::new();
        write_json(batch, row, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn one(field: Field, column: ArrayRef) -> RecordBatch {
        RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![column]).unwrap()
    }

    #[test]
    fn nested_values_are_objects_and_lists() {
        let b = testing::rows(
            r#"[{"a": 1, "b": {"x": [1.5, null], "y": "q\"\n\u0001"}}, {"a": null, "b": null}]"#,
        )
        .unwrap();
        assert_eq!(text(&b, 0), r#"{"a":1,"b":{"x":[1.5,null],"y":"q\"\n\u0001"}}"#);
        assert_eq!(text(&b, 1), r#"{"a":null,"b":null}"#);
        assert_eq!(row_to_json(&b, 0).to_string(), text(&b, 0));
        assert_eq!(text(&b, 2), "null");
    }

    #[test]
    fn floats_are_shortest_and_finite() {
        let b = one(
            Field::new("f", DataType::Float64, true),
            Arc::new(Float64Array::from(vec![0.12345678901234567, 1.0, 1e20, f64::NAN, f64::INFINITY, -0.0])),
        );
        let all: Vec<String> = (0..b.num_rows()).map(|i| text(&b, i)).collect();
        assert_eq!(
            all,
            [
                r#"{"f":0.12345678901234566}"#,
                r#"{"f":1.0}"#,
                r#"{"f":1e+20}"#,
                r#"{"f":null}"#,
                r#"{"f":null}"#,
                r#"{"f":-0.0}"#
            ]
            .map(|s| s.replace("1e+20", &serde_json::to_string(&1e20).unwrap()))
        );
    }

    #[test]
    fn timestamps_are_utc() {
        let times =
            vec![0, 1_500_000, crate::EventTime::MIN.0, 253_402_300_800_000_000, -62_167_219_200_000_000];
        let array = TimestampMicrosecondArray::from(times).with_timezone("UTC");
        let b = one(Field::new("t", array.data_type().clone(), true), Arc::new(array));
        let all: Vec<String> = (0..b.num_rows()).map(|i| text(&b, i)).collect();
        assert_eq!(
            all,
            [
                r#"{"t":"1970-01-01T00:00:00Z"}"#,
                r#"{"t":"1970-01-01T00:00:01.5Z"}"#,
                // Beam's own least timestamp, as its Java SDK prints it (but for the padding of the year).
                r#"{"t":"-290308-12-21T19:59:05.225Z"}"#,
                r#"{"t":"+010000-01-01T00:00:00Z"}"#,
                r#"{"t":"0000-01-01T00:00:00Z"}"#,
            ]
        );
    }

    #[test]
    fn any_columns_hold_json_and_bytes_are_text() {
        let any = crate::shape::any_field("v");
        let b = one(any, Arc::new(StringArray::from(vec![Some(r#"{"a":[1]}"#), Some("\"x\""), None])));
        assert_eq!(text(&b, 0), r#"{"v":{"a":[1]}}"#);
        assert_eq!(text(&b, 1), r#"{"v":"x"}"#);
        assert_eq!(row_to_json(&b, 0)["v"]["a"][0], 1);
        assert_eq!(text(&b, 2), r#"{"v":null}"#);
        let bytes = one(
            Field::new("b", DataType::Binary, true),
            Arc::new(BinaryArray::from(vec![&b"\xc3\xa9\xff"[..]])),
        );
        assert_eq!(text(&bytes, 0), "{\"b\":\"é\u{fffd}\"}");
    }

    #[test]
    fn long_rows_are_shortened() {
        let b = one(Field::new("n", DataType::Int64, true), Arc::new(Int64Array::from(vec![123_456_789])));
        assert_eq!(row_text(&b, 0, 8), r#"{"n":123…"#);
        assert_eq!(row_text(&b, 0, 80), r#"{"n":123456789}"#);
    }
}

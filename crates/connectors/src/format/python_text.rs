//! Values as Python prints them: what `WriteToText` and `WriteToCsv` put into files.

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Field, TimeUnit};
use purlin_api::decimal;
use purlin_api::json::{timestamp_text, to_json};
use purlin_api::shape::is_any;
use serde_json::Value;

/// Appends `str(value)`; `row` must lie inside. With `beam_compat`, timestamps print as Beam's do.
pub(crate) fn write_str(field: &Field, array: &dyn Array, row: usize, beam_compat: bool, out: &mut String) {
    if array.is_null(row) {
        out.push_str("None");
        return;
    }
    match array.data_type() {
        DataType::Utf8 if !is_any(field) => {
            out.push_str(array.as_string_opt::<i32>().map_or("", |a| a.value(row)));
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) if !beam_compat => {
            let micros = array.as_primitive_opt::<TimestampMicrosecondType>().map_or(0, |a| a.value(row));
            out.push_str(&timestamp_text(micros));
        }
        DataType::Decimal128(_, scale) => {
            let units = array.as_primitive_opt::<Decimal128Type>().map_or(0, |a| a.value(row));
            out.push_str(&decimal::text(units, *scale));
        }
        DataType::Timestamp(_, None) | DataType::Date32 | DataType::Time64(_) => {
            if let Value::String(text) = to_json(field, array, row) {
                out.push_str(&text);
            }
        }
        DataType::Utf8 => match to_json(field, array, row) {
            Value::String(s) => out.push_str(&s),
            other => json_repr(&other, out),
        },
        _ => write_repr(field, array, row, beam_compat, out),
    }
}

/// Appends `repr(value)`; nested rows print as `Row(a=1)`.
fn write_repr(field: &Field, array: &dyn Array, row: usize, beam_compat: bool, out: &mut String) {
    if row >= array.len() || array.is_null(row) {
        out.push_str("None");
        return;
    }
    let done = match array.data_type() {
        DataType::Boolean => {
            array.as_boolean_opt().map(|a| out.push_str(if a.value(row) { "True" } else { "False" }))
        }
        DataType::Int64 => {
            array.as_primitive_opt::<Int64Type>().map(|a| out.push_str(&a.value(row).to_string()))
        }
        DataType::Float64 => {
            array.as_primitive_opt::<Float64Type>().map(|a| out.push_str(&float_text(a.value(row))))
        }
        DataType::Utf8 if !is_any(field) => {
            array.as_string_opt::<i32>().map(|a| text_repr(a.value(row), out))
        }
        DataType::Binary => array.as_binary_opt::<i32>().map(|a| bytes_repr(a.value(row), out)),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            array.as_primitive_opt::<TimestampMicrosecondType>().map(|a| {
                let micros = a.value(row);
                if beam_compat {
                    beam_timestamp(micros, out)
                } else {
                    text_repr(&timestamp_text(micros), out)
                }
            })
        }
        DataType::Decimal128(_, scale) => array
            .as_primitive_opt::<Decimal128Type>()
            .map(|a| out.push_str(&format!("Decimal('{}')", decimal::text(a.value(row), *scale)))),
        DataType::List(item) => array.as_list_opt::<i32>().map(|a| {
            let items = a.value(row);
            separated(out, "[", "]", 0..items.len(), |i, out| write_repr(item, &items, i, beam_compat, out));
        }),
        DataType::Struct(fields) => array.as_struct_opt().map(|a| {
            let members = fields.iter().zip(a.columns());
            separated(out, "Row(", ")", members, |(f, c), out| {
                out.push_str(f.name());
                out.push('=');
                write_repr(f, c, row, beam_compat, out);
            });
        }),
        _ => None,
    };
    if done.is_none() {
        json_repr(&to_json(field, array, row), out);
    }
}

/// Appends a JSON value as Python prints the object it is loaded as.
pub(crate) fn json_repr(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(b) => out.push_str(if *b { "True" } else { "False" }),
        Value::Number(n) => match n.as_f64().filter(|_| n.is_f64()) {
            Some(f) => out.push_str(&float_text(f)),
            None => out.push_str(&n.to_string()),
        },
        Value::String(s) => text_repr(s, out),
        Value::Array(items) => separated(out, "[", "]", items, json_repr),
        Value::Object(members) => separated(out, "{", "}", members, |(k, v), out| {
            text_repr(k, out);
            out.push_str(": ");
            json_repr(v, out);
        }),
    }
}

fn separated<T>(
    out: &mut String,
    open: &str,
    close: &str,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(T, &mut String),
) {
    out.push_str(open);
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        write(item, out);
    }
    out.push_str(close);
}

/// The shortest digits that read back equal, in Python's form: `1.0`, `1e+16`, `1e-05`.
pub(crate) fn float_text(f: f64) -> String {
    if !f.is_finite() {
        return if f.is_nan() {
            "nan"
        } else if f > 0.0 {
            "inf"
        } else {
            "-inf"
        }
        .to_owned();
    }
    let text = format!("{f:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = f.to_string();
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

fn beam_timestamp(micros: i64, out: &mut String) {
    let (seconds, rest) = (micros.abs() / 1_000_000, micros.abs() % 1_000_000);
    let sign = if micros < 0 { "-" } else { "" };
    let fraction = if rest == 0 { String::new() } else { format!(".{rest:06}") };
    out.push_str(&format!("Timestamp({sign}{seconds}{fraction})"));
}

fn quote_for(has_single: bool, has_double: bool) -> char {
    if has_single && !has_double { '"' } else { '\'' }
}

fn text_repr(text: &str, out: &mut String) {
    let quote = quote_for(text.contains('\''), text.contains('"'));
    out.push(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push(quote);
}

fn bytes_repr(bytes: &[u8], out: &mut String) {
    let quote = quote_for(bytes.contains(&b'\''), bytes.contains(&b'"'));
    out.push('b');
    out.push(quote);
    for &b in bytes {
        match b {
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b'\\' => out.push_str("\\\\"),
            b if char::from(b) == quote => {
                out.push('\\');
                out.push(quote);
            }
            0x20..=0x7e => out.push(char::from(b)),
            b => out.push_str(&format!("\\x{b:02x}")),
        }
    }
    out.push(quote);
}

/// `str(value)` of one column of a batch.
pub(crate) fn column_str(
    batch: &RecordBatch,
    column: usize,
    row: usize,
    beam_compat: bool,
    out: &mut String,
) {
    if let Some(array) = batch.columns().get(column) {
        write_str(batch.schema_ref().field(column), array, row, beam_compat, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use purlin_api::testing;

    #[test]
    fn floats() {
        let cases = [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e16, "1e+16"),
            (123456789012345680.0, "1.2345678901234568e+17"),
            (1e15, "1000000000000000.0"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
            (5e-324, "5e-324"),
        ];
        for (f, want) in cases {
            assert_eq!(float_text(f), want);
        }
    }

    #[test]
    fn values_print_as_in_python() {
        let batch = testing::rows(
            r#"[{"i": 1, "f": 1.0, "b": true, "n": null, "s": "it's", "l": [1, null], "r": {"x": "a", "y": [true]}, "any": 1},
                {"i": 2, "f": 2.5, "b": false, "n": null, "s": "a\"b'\n", "l": [], "r": null, "any": {"k": "v"}}]"#,
        )
        .unwrap();
        let line = |row: usize| -> Vec<String> {
            (0..batch.num_columns())
                .map(|c| {
                    let mut out = String::new();
                    column_str(&batch, c, row, false, &mut out);
                    out
                })
                .collect()
        };
        assert_eq!(line(0), ["1", "1.0", "True", "None", "it's", "[1, None]", "Row(x='a', y=[True])", "1"]);
        assert_eq!(line(1), ["2", "2.5", "False", "None", "a\"b'\n", "[]", "None", "{'k': 'v'}"]);
        let mut out = String::new();
        text_repr("a\"b'\n", &mut out);
        out.push(' ');
        bytes_repr(b"a'\xff", &mut out);
        out.push(' ');
        beam_timestamp(-1_500_000, &mut out);
        assert_eq!(out, "'a\"b\\'\\n' b\"a'\\xff\" Timestamp(-1.500000)");
    }
}

//! Columns into JSON.

use crate::shared::write::{Encoder, RowEncoder};
use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use purlin_api::Result;
use purlin_api::json::{RowWriter, to_json, write_text, write_value};
use purlin_api::shape::is_any;
use serde_json::Value;

/// How JSON is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JsonOut {
    /// One object a line; otherwise one array a file.
    pub(crate) lines: bool,
    /// As pandas writes: floats with ten decimals at most, ASCII only, `/` escaped, nested rows as lists.
    pub(crate) beam_compat: bool,
}

impl Encoder for JsonOut {
    fn prologue(&self, _: &Schema, out: &mut Vec<u8>) {
        if !self.lines {
            out.push(b'[');
        }
    }

    fn rows<'a>(&'a self, batch: &'a RecordBatch) -> Box<dyn RowEncoder + 'a> {
        if self.beam_compat {
            Box::new(PandasRows { out: *self, batch })
        } else {
            Box::new(Rows { out: *self, rows: RowWriter::new(batch) })
        }
    }

    fn epilogue(&self, out: &mut Vec<u8>) {
        if !self.lines {
            out.push(b']');
        }
    }

    fn describe(&self) -> String {
        if self.lines { "json lines" } else { "json array" }.to_owned()
    }
}

impl JsonOut {
    fn before(self, first: bool, out: &mut Vec<u8>) {
        if !self.lines && !first {
            out.push(b',');
        }
    }

    fn after(self, out: &mut Vec<u8>) {
        if self.lines {
            out.push(b'\n');
        }
    }
}

struct Rows<'a> {
    out: JsonOut,
    rows: RowWriter<'a>,
}

impl RowEncoder for Rows<'_> {
    fn write(&mut self, row: usize, first: bool, out: &mut Vec<u8>) -> Result<()> {
        self.out.before(first, out);
        self.rows.write(row, out);
        self.out.after(out);
        Ok(())
    }
}

struct PandasRows<'a> {
    out: JsonOut,
    batch: &'a RecordBatch,
}

impl RowEncoder for PandasRows<'_> {
    fn write(&mut self, row: usize, first: bool, out: &mut Vec<u8>) -> Result<()> {
        self.out.before(first, out);
        out.push(b'{');
        let fields = self.batch.schema_ref().fields().iter();
        for (i, (field, column)) in fields.zip(self.batch.columns()).enumerate() {
            if i > 0 {
                out.push(b',');
            }
            ascii(field.name(), out);
            out.push(b':');
            pandas_value(field, column, row, out);
        }
        out.push(b'}');
        self.out.after(out);
        Ok(())
    }
}

fn pandas_value(field: &Field, array: &dyn Array, row: usize, out: &mut Vec<u8>) {
    if row >= array.len() || array.is_null(row) {
        out.extend_from_slice(b"null");
        return;
    }
    let list = |items: &mut dyn Iterator<Item = (&Field, &dyn Array, usize)>, out: &mut Vec<u8>| {
        out.push(b'[');
        for (i, (f, a, row)) in items.enumerate() {
            if i > 0 {
                out.push(b',');
            }
            pandas_value(f, a, row, out);
        }
        out.push(b']');
    };
    match array.data_type() {
        DataType::Float64 => {
            let f = array.as_primitive_opt::<Float64Type>().map_or(f64::NAN, |a| a.value(row));
            out.extend_from_slice(ten_decimals(f).as_bytes());
        }
        DataType::Struct(_) => {
            let DataType::Struct(fields) = field.data_type() else { return };
            let columns = array.as_struct_opt().map_or(&[][..], |s| s.columns());
            list(&mut fields.iter().zip(columns).map(|(f, c)| (f.as_ref(), c.as_ref(), row)), out);
        }
        DataType::List(item) => {
            let items = array.as_list_opt::<i32>().map(|l| l.value(row));
            let items = items.as_ref().map(|i| i.as_ref());
            let count = items.map_or(0, |i| i.len());
            list(&mut (0..count).filter_map(|i| items.map(|a| (item.as_ref(), a, i))), out);
        }
        DataType::Utf8 if !is_any(field) => {
            ascii(array.as_string_opt::<i32>().map_or("", |a| a.value(row)), out);
        }
        DataType::Boolean | DataType::Int64 | DataType::Decimal128(..) => write_value(field, array, row, out),
        _ => pandas_json(&to_json(field, array, row), out),
    }
}

fn pandas_json(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(b) => out.extend_from_slice(if *b { b"true" } else { b"false" }),
        Value::Number(n) => match n.as_f64().filter(|_| n.is_f64()) {
            Some(f) => out.extend_from_slice(ten_decimals(f).as_bytes()),
            None => out.extend_from_slice(n.to_string().as_bytes()),
        },
        Value::String(s) => ascii(s, out),
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                pandas_json(item, out);
            }
            out.push(b']');
        }
        Value::Object(members) => {
            out.push(b'{');
            for (i, (key, item)) in members.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                ascii(key, out);
                out.push(b':');
                pandas_json(item, out);
            }
            out.push(b'}');
        }
    }
}

/// A float rounded to ten decimals, as pandas' `double_precision=10` does; very large and very small ones
/// with an exponent.
fn ten_decimals(f: f64) -> String {
    if !f.is_finite() {
        return "null".to_owned();
    }
    if f.abs() >= 1e16 {
        return crate::format::python_text::float_text(f);
    }
    let text = format!("{f:.10}");
    let text = text.trim_end_matches('0');
    match text.strip_suffix('.') {
        Some(whole) => format!("{whole}.0"),
        None => text.to_owned(),
    }
}

/// A JSON string in ASCII, with `/` escaped.
fn ascii(text: &str, out: &mut Vec<u8>) {
    let mut plain = Vec::with_capacity(text.len() + 2);
    write_text(text, &mut plain);
    for c in String::from_utf8_lossy(&plain).chars() {
        match c {
            '/' => out.extend_from_slice(b"\\/"),
            c if c.is_ascii() => out.push(c as u8),
            c => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
                }
            }
        }
    }
}

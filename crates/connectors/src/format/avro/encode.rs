//! Rows as the bytes of a block.

use super::container::{put_bytes, put_long};
use super::schema::{Member, Type, Unit};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int64Type, Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Fields};

/// Whether columns can be written as a record, as far as types tell.
///
/// # Errors
/// Why not.
pub(super) fn check(members: &[Member], fields: &Fields) -> Result<(), String> {
    if let Some(f) = fields.iter().find(|f| !members.iter().any(|m| m.name == *f.name())) {
        return Err(format!("the `schema` has no field `{}`, which the rows have", f.name()));
    }
    for m in members {
        match fields.find(&m.name) {
            Some((_, f)) => fits(&m.of, f.data_type()).map_err(|e| format!("`{}` {e}", m.name))?,
            None if takes_null(&m.of) => {}
            None => return Err(format!("the rows have no field `{}`, which the `schema` needs", m.name)),
        }
    }
    Ok(())
}

fn takes_null(of: &Type) -> bool {
    match of {
        Type::Null => true,
        Type::Union(branches) => branches.contains(&Type::Null),
        _ => false,
    }
}

/// Whether values of a column can be values of a type: some of them may not fit all the same.
fn fits(of: &Type, column: &DataType) -> Result<(), String> {
    use DataType as D;
    let good = match (of, column) {
        (Type::Union(branches), D::Null) => return nullable(branches),
        (Type::Union(branches), _) => branches.iter().any(|b| *b != Type::Null && fits(b, column).is_ok()),
        (Type::Null, D::Null) | (Type::Boolean, D::Boolean) => true,
        (Type::Int | Type::Long, D::Int64) => true,
        (Type::Float | Type::Double, D::Int64 | D::Float64) => true,
        (Type::Bytes, D::Binary | D::Utf8) | (Type::Fixed(_), D::Binary) => true,
        (Type::Text | Type::Enum(_), D::Utf8) => true,
        (Type::Date, D::Date32) | (Type::TimeMillis | Type::TimeMicros, D::Time64(_)) => true,
        (Type::Timestamp(_), D::Timestamp(..)) => true,
        (Type::Decimal { scale, .. }, D::Decimal128(_, s)) => scale == s,
        (Type::Uuid, D::Utf8) => true,
        (Type::Array(items), D::List(item)) => return fits(items, item.data_type()),
        (Type::Map(values), D::Map(entries, _)) => match entries.data_type() {
            D::Struct(kv) => return kv.get(1).map_or(Ok(()), |v| fits(values, v.data_type())),
            _ => false,
        },
        (Type::Record(members), D::Struct(fields)) => return check(members, fields),
        _ => false,
    };
    if good { Ok(()) } else { Err(format!("cannot be written as {}", of.describe())) }
}

fn nullable(branches: &[Type]) -> Result<(), String> {
    if branches.contains(&Type::Null) {
        Ok(())
    } else {
        Err("is always null, and the `schema` takes none".to_owned())
    }
}

/// Appends rows.
///
/// # Errors
/// A value that the schema does not take; `out` then ends anywhere.
pub(super) fn rows(members: &[Member], rows: &RecordBatch, out: &mut Vec<u8>) -> Result<(), String> {
    let columns: Vec<Option<&ArrayRef>> = members.iter().map(|m| rows.column_by_name(&m.name)).collect();
    for row in 0..rows.num_rows() {
        for (m, column) in members.iter().zip(&columns) {
            value(&m.of, column.map(AsRef::as_ref), row, out).map_err(|e| format!("`{}` {e}", m.name))?;
        }
    }
    Ok(())
}

/// One value; a column that the rows have not is null.
fn value(of: &Type, column: Option<&dyn Array>, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
    let column = column.filter(|c| *c.data_type() != DataType::Null && c.is_valid(row));
    match (of, column) {
        (Type::Union(branches), None) => match branches.iter().position(|b| *b == Type::Null) {
            Some(i) => put_long(i as i64, out),
            None => return Err("is null, and the `schema` takes none".to_owned()),
        },
        (Type::Union(branches), Some(column)) => return branch(branches, column, row, out),
        (Type::Null, None) => {}
        (_, None) => return Err("is null, and the `schema` takes none".to_owned()),
        (of, Some(column)) => return plain(of, column, row, out),
    }
    Ok(())
}

/// The first type of a union that takes the value.
fn branch(branches: &[Type], column: &dyn Array, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
    let before = out.len();
    let mut refused = None;
    for (i, of) in branches.iter().enumerate().filter(|(_, b)| **b != Type::Null) {
        if branches.len() > 2 && fits(of, column.data_type()).is_err() {
            continue;
        }
        put_long(i as i64, out);
        match plain(of, column, row, out) {
            Ok(()) => return Ok(()),
            Err(e) => refused = Some(e),
        }
        out.truncate(before);
    }
    Err(refused.unwrap_or_else(|| "fits no type of the union".to_owned()))
}

fn plain(of: &Type, column: &dyn Array, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
    let unfit = || Err(format!("cannot be written as {}", of.describe()));
    match (of, column.data_type()) {
        (Type::Boolean, DataType::Boolean) => out.push(u8::from(column.as_boolean().value(row))),
        (Type::Int, DataType::Int64) => {
            let value = column.as_primitive::<Int64Type>().value(row);
            match i32::try_from(value) {
                Ok(_) => put_long(value, out),
                Err(_) => return Err(format!("is {value}, and an `int` of the `schema` has 32 bits")),
            }
        }
        (Type::Long, DataType::Int64) => put_long(column.as_primitive::<Int64Type>().value(row), out),
        (Type::Float | Type::Double, _) => {
            let value = match column.data_type() {
                DataType::Int64 => column.as_primitive::<Int64Type>().value(row) as f64,
                DataType::Float64 => column.as_primitive::<Float64Type>().value(row),
                _ => return unfit(),
            };
            match of {
                Type::Float => out.extend_from_slice(&(value as f32).to_le_bytes()),
                _ => out.extend_from_slice(&value.to_le_bytes()),
            }
        }
        (Type::Bytes, DataType::Binary) => put_bytes(column.as_binary::<i32>().value(row), out),
        (Type::Bytes | Type::Text, DataType::Utf8) => {
            put_bytes(column.as_string::<i32>().value(row).as_bytes(), out);
        }
        (Type::Fixed(size), DataType::Binary) => {
            let bytes = column.as_binary::<i32>().value(row);
            if bytes.len() != *size {
                return Err(format!("has {} bytes, and the `schema` asks for {size}", bytes.len()));
            }
            out.extend_from_slice(bytes);
        }
        (Type::Enum(symbols), DataType::Utf8) => {
            let word = column.as_string::<i32>().value(row);
            match symbols.iter().position(|s| s == word) {
                Some(i) => put_long(i as i64, out),
                None => return Err(format!("is `{word}`, which is no symbol of the enum")),
            }
        }
        (Type::Uuid, DataType::Utf8) => {
            let text = column.as_string::<i32>().value(row);
            match uuid(text) {
                Some(bytes) => out.extend_from_slice(&bytes),
                None => return Err(format!("is `{text}`, which is no UUID")),
            }
        }
        (Type::Date, DataType::Date32) => {
            put_long(i64::from(column.as_primitive::<Date32Type>().value(row)), out);
        }
        (Type::TimeMillis | Type::TimeMicros, DataType::Time64(_)) => {
            let micros = column.as_primitive::<Time64MicrosecondType>().value(row);
            put_long(if *of == Type::TimeMillis { micros.div_euclid(1000) } else { micros }, out);
        }
        (Type::Timestamp(unit), DataType::Timestamp(..)) => {
            let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
            put_long(in_unit(micros, *unit)?, out);
        }
        (Type::Decimal { fixed, digits, .. }, DataType::Decimal128(..)) => {
            let value = column.as_primitive::<Decimal128Type>().value(row);
            decimal(value, *fixed, *digits, out)?;
        }
        (Type::Array(items), DataType::List(_)) => {
            let list = column.as_list::<i32>().value(row);
            put_items(list.len(), out, |i, out| value(items, Some(list.as_ref()), i, out))?;
        }
        (Type::Map(values), DataType::Map(..)) => {
            let entries = column.as_map().value(row);
            let keys = entries.column(0).as_string_opt::<i32>();
            let Some(keys) = keys else { return Err("has keys that are no text".to_owned()) };
            put_items(entries.len(), out, |i, out| {
                put_bytes(keys.value(i).as_bytes(), out);
                value(values, Some(entries.column(1).as_ref()), i, out)
            })?;
        }
        (Type::Record(members), DataType::Struct(_)) => {
            let inner = column.as_struct();
            for m in members.iter() {
                let column = inner.column_by_name(&m.name).map(AsRef::as_ref);
                value(&m.of, column, row, out).map_err(|e| format!("(`{}` in it) {e}", m.name))?;
            }
        }
        _ => return unfit(),
    }
    Ok(())
}

/// Items in one run, and the end after it.
fn put_items(
    count: usize,
    out: &mut Vec<u8>,
    mut item: impl FnMut(usize, &mut Vec<u8>) -> Result<(), String>,
) -> Result<(), String> {
    if count > 0 {
        put_long(count as i64, out);
        for i in 0..count {
            item(i, out)?;
        }
    }
    put_long(0, out);
    Ok(())
}

fn in_unit(micros: i64, unit: Unit) -> Result<i64, String> {
    match unit {
        Unit::Millis => Ok(micros.div_euclid(1000)),
        Unit::Micros => Ok(micros),
        Unit::Nanos => micros.checked_mul(1000).ok_or_else(|| {
            format!("is {micros} microseconds from 1970, too far to be counted in nanoseconds")
        }),
    }
}

/// Big-endian two's complement, as short as it can be unless the size is given.
fn decimal(value: i128, fixed: Option<usize>, digits: u8, out: &mut Vec<u8>) -> Result<(), String> {
    if 10u128.checked_pow(u32::from(digits)).is_some_and(|end| value.unsigned_abs() >= end) {
        return Err(format!("has more than the {digits} digits of the `schema`"));
    }
    let bytes = value.to_be_bytes();
    let sign = if value < 0 { 0xff } else { 0 };
    let spare = bytes.windows(2).take_while(|w| w[0] == sign && (w[1] & 0x80 != 0) == (value < 0)).count();
    let short = bytes.get(spare..).unwrap_or(&bytes);
    match fixed {
        None => put_bytes(short, out),
        Some(size) if size < short.len() => {
            return Err(format!("has a decimal too large for {size} bytes"));
        }
        Some(size) => {
            out.extend(std::iter::repeat_n(sign, size - short.len()));
            out.extend_from_slice(short);
        }
    }
    Ok(())
}

fn uuid(text: &str) -> Option<[u8; 16]> {
    let hex: Vec<u8> = text.bytes().filter(|b| *b != b'-').collect();
    let mut bytes = [0; 16];
    if hex.len() != 32 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(hex.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

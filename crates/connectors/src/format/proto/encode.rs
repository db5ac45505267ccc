//! Rows into messages.

use super::schema::{Int, Key, Member, Message, Presence, Type};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Fields};
use std::sync::Arc;

/// Writes rows by a message type.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    message: Arc<Message>,
}

impl Writer {
    /// By this message, for rows of these fields.
    ///
    /// # Errors
    /// Why rows of these fields cannot be such messages.
    pub(crate) fn new(message: Arc<Message>, fields: &Fields) -> Result<Self, String> {
        check(&message, fields)?;
        Ok(Writer { message })
    }

    /// Appends a row.
    ///
    /// # Errors
    /// A value that the message does not take; `out` then ends anywhere.
    pub(crate) fn write(&self, rows: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        let schema = rows.schema_ref();
        members(&self.message, schema.fields(), rows.columns(), row, out)
    }
}

/// Whether rows of these fields can be messages, as far as types tell.
fn check(message: &Message, fields: &Fields) -> Result<(), String> {
    for f in fields {
        let Some(m) = message.members.iter().find(|m| m.name == *f.name()) else {
            return Err(format!("`{}` has no field `{}`, which the rows have", message.name, f.name()));
        };
        let good = match (m.how, f.data_type()) {
            (_, DataType::Null) => true,
            (Presence::Repeated, DataType::List(item)) => fits(&m.of, item.data_type())?,
            (Presence::Map(Key::Text), DataType::Map(entries, _)) => match entries.data_type() {
                DataType::Struct(kv) => {
                    kv.get(1).is_some_and(|v| fits(&m.of, v.data_type()).unwrap_or(false))
                }
                _ => false,
            },
            (Presence::Repeated | Presence::Map(_), _) => false,
            (_, of) => fits(&m.of, of)?,
        };
        if !good {
            return Err(format!("`{}` cannot be written as {}", f.name(), m.of.describe()));
        }
    }
    Ok(())
}

fn fits(of: &Type, column: &DataType) -> Result<bool, String> {
    Ok(match (of, column) {
        (Type::Int(_), DataType::Int64) | (Type::Bool, DataType::Boolean) => true,
        (Type::Float | Type::Double, DataType::Int64 | DataType::Float64) => true,
        (Type::Text | Type::Enum(_), DataType::Utf8) => true,
        (Type::Bytes, DataType::Binary | DataType::Utf8) | (Type::Timestamp, DataType::Timestamp(..)) => true,
        (Type::Message(m), DataType::Struct(fields)) => {
            check(m, fields)?;
            true
        }
        _ => false,
    })
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn tag(number: u32, kind: u8, out: &mut Vec<u8>) {
    varint(u64::from(number) << 3 | u64::from(kind), out);
}

fn run(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    tag(number, 2, out);
    varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends the fields of one row, in the order of the message.
fn members(
    message: &Message,
    fields: &Fields,
    columns: &[ArrayRef],
    row: usize,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    for m in &message.members {
        let Some((at, _)) = fields.find(&m.name) else { continue };
        let Some(column) = columns.get(at).filter(|c| *c.data_type() != DataType::Null && c.is_valid(row))
        else {
            continue;
        };
        member(m, column, row, out).map_err(|e| format!("`{}`: {e}", m.name))?;
    }
    Ok(())
}

fn member(m: &Member, column: &dyn Array, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
    match m.how {
        Presence::Explicit => value(&m.of, m.number, column, row, out),
        Presence::Implicit => {
            let before = out.len();
            value(&m.of, m.number, column, row, out)?;
            if is_default(&m.of, column, row) {
                out.truncate(before);
            }
            Ok(())
        }
        Presence::Repeated => {
            let Some(list) = column.as_list_opt::<i32>() else { return Err(misfit(&m.of)) };
            let items = list.value(row);
            if let Some(i) = (0..items.len()).find(|i| items.is_null(*i)) {
                return Err(format!("item {i} is null, and items of messages are not"));
            }
            (0..items.len()).try_for_each(|i| value(&m.of, m.number, &items, i, out))
        }
        Presence::Map(_) => {
            let Some(map) = column.as_map_opt() else { return Err(misfit(&m.of)) };
            let entries = map.value(row);
            let (Some(keys), Some(values)) =
                (entries.columns().first().and_then(|c| c.as_string_opt::<i32>()), entries.columns().get(1))
            else {
                return Err(misfit(&m.of));
            };
            for i in 0..entries.len() {
                let mut entry = Vec::new();
                run(1, keys.value(i).as_bytes(), &mut entry);
                if values.is_valid(i) {
                    value(&m.of, 2, values, i, &mut entry)?;
                }
                run(m.number, &entry, out);
            }
            Ok(())
        }
    }
}

/// Values that are not written where absent means the default.
fn is_default(of: &Type, column: &dyn Array, row: usize) -> bool {
    match (of, column.data_type()) {
        (Type::Enum(values), _) => {
            let first = values.iter().find(|(n, _)| *n == 0).map(|(_, name)| name.as_str());
            column.as_string_opt::<i32>().map(|c| c.value(row)) == first
        }
        (_, DataType::Int64) => column.as_primitive_opt::<Int64Type>().is_some_and(|c| c.value(row) == 0),
        (_, DataType::Boolean) => column.as_boolean_opt().is_some_and(|c| !c.value(row)),
        // Minus zero is not the default.
        (_, DataType::Float64) => {
            column.as_primitive_opt::<Float64Type>().is_some_and(|c| c.value(row).to_bits() == 0)
        }
        (_, DataType::Utf8) => column.as_string_opt::<i32>().is_some_and(|c| c.value(row).is_empty()),
        (_, DataType::Binary) => column.as_binary_opt::<i32>().is_some_and(|c| c.value(row).is_empty()),
        _ => false,
    }
}

fn misfit(of: &Type) -> String {
    format!("the value is not {}", of.describe())
}

fn value(of: &Type, number: u32, column: &dyn Array, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
    let odd = || misfit(of);
    match of {
        Type::Int(how) => {
            let n = column.as_primitive_opt::<Int64Type>().ok_or_else(odd)?.value(row);
            int(*how, number, n, out)?;
        }
        Type::Bool => {
            tag(number, 0, out);
            varint(u64::from(column.as_boolean_opt().ok_or_else(odd)?.value(row)), out);
        }
        Type::Float | Type::Double => {
            let f = match column.as_primitive_opt::<Float64Type>() {
                Some(c) => c.value(row),
                None => column.as_primitive_opt::<Int64Type>().ok_or_else(odd)?.value(row) as f64,
            };
            if *of == Type::Float {
                tag(number, 5, out);
                out.extend_from_slice(&(f as f32).to_le_bytes());
            } else {
                tag(number, 1, out);
                out.extend_from_slice(&f.to_le_bytes());
            }
        }
        Type::Text => run(number, column.as_string_opt::<i32>().ok_or_else(odd)?.value(row).as_bytes(), out),
        Type::Bytes => match column.as_binary_opt::<i32>() {
            Some(c) => run(number, c.value(row), out),
            None => run(number, column.as_string_opt::<i32>().ok_or_else(odd)?.value(row).as_bytes(), out),
        },
        Type::Enum(values) => {
            let name = column.as_string_opt::<i32>().ok_or_else(odd)?.value(row);
            let known = values.iter().find(|(_, n)| n == name).map(|(n, _)| *n);
            let n = known
                .or_else(|| name.parse().ok())
                .ok_or_else(|| format!("`{name}` is no value of the enum"))?;
            tag(number, 0, out);
            varint(n.cast_unsigned(), out);
        }
        Type::Timestamp => {
            let us = column.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(odd)?.value(row);
            let mut inner = Vec::new();
            int(Int::Int64, 1, us.div_euclid(1_000_000), &mut inner)?;
            int(Int::Int64, 2, us.rem_euclid(1_000_000) * 1000, &mut inner)?;
            run(number, &inner, out);
        }
        Type::Message(m) => {
            let s = column.as_struct_opt().ok_or_else(odd)?;
            let mut inner = Vec::new();
            members(m, s.fields(), s.columns(), row, &mut inner)?;
            run(number, &inner, out);
        }
    }
    Ok(())
}

fn int(how: Int, number: u32, n: i64, out: &mut Vec<u8>) -> Result<(), String> {
    let large = |what: &str| format!("{n} is no {what}");
    match how {
        Int::Int32 | Int::Int64 => {
            if how == Int::Int32 && i32::try_from(n).is_err() {
                return Err(large("int32"));
            }
            tag(number, 0, out);
            varint(n.cast_unsigned(), out);
        }
        Int::UInt32 | Int::UInt64 => {
            if how == Int::UInt32 && u32::try_from(n).is_err() {
                return Err(large("uint32"));
            }
            tag(number, 0, out);
            varint(u64::try_from(n).map_err(|_| large("unsigned integer"))?, out);
        }
        Int::SInt32 | Int::SInt64 => {
            if how == Int::SInt32 && i32::try_from(n).is_err() {
                return Err(large("sint32"));
            }
            tag(number, 0, out);
            varint(((n << 1) ^ (n >> 63)).cast_unsigned(), out);
        }
        Int::Fixed32 => {
            tag(number, 5, out);
            out.extend_from_slice(&u32::try_from(n).map_err(|_| large("fixed32"))?.to_le_bytes());
        }
        Int::SFixed32 => {
            tag(number, 5, out);
            out.extend_from_slice(&i32::try_from(n).map_err(|_| large("sfixed32"))?.to_le_bytes());
        }
        Int::Fixed64 => {
            tag(number, 1, out);
            out.extend_from_slice(&u64::try_from(n).map_err(|_| large("fixed64"))?.to_le_bytes());
        }
        Int::SFixed64 => {
            tag(number, 1, out);
            out.extend_from_slice(&n.to_le_bytes());
        }
    }
    Ok(())
}

//! Messages into columns (<https://protobuf.dev/programming-guides/encoding/>).

use super::schema::{Int, Key, Member, Message, Presence, Type};
use crate::format::columns::Column;
use crate::shared::read::batch_of;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use purlin_api::Result;
use std::borrow::Cow;
use std::sync::Arc;

/// Why bytes are no message.
type Damage = String;

/// A value as it stands in the bytes.
#[derive(Clone, Copy, Debug)]
enum Wire<'a> {
    Varint(u64),
    Fixed32([u8; 4]),
    Fixed64([u8; 8]),
    Run(&'a [u8]),
}

/// Appends messages to columns.
pub(crate) struct Reader {
    message: Arc<Message>,
    schema: SchemaRef,
    needed: Vec<bool>,
    columns: Vec<Column>,
    rows: usize,
}

impl Reader {
    /// For columns of `schema`, which are those of the message; what is not needed is null.
    pub(crate) fn new(message: &Arc<Message>, schema: &SchemaRef, needed: &[bool]) -> Self {
        let (message, schema, needed) = (message.clone(), schema.clone(), needed.to_vec());
        let mut reader = Reader { message, schema, needed, columns: Vec::new(), rows: 0 };
        reader.begin();
        reader
    }

    fn begin(&mut self) {
        let fields = self.schema.fields().iter().zip(&self.needed);
        self.columns =
            fields.map(|(f, needed)| if *needed { Column::new(f) } else { Column::unread(f) }).collect();
        self.rows = 0;
    }

    /// Takes a message, or says why it is none.
    ///
    /// # Errors
    /// The reason. Nothing of it is left in the columns.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), String> {
        let read = fill(bytes, &self.message, &mut self.columns);
        if read.is_err() {
            let rows = self.rows;
            self.columns.iter_mut().for_each(|c| c.truncate(rows));
        } else {
            self.rows += 1;
        }
        read.map_err(|e| format!("it is no message `{}`: {e}", self.message.name))
    }

    /// The columns of all messages taken.
    ///
    /// # Errors
    /// Columns that cannot be made.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch> {
        let (rows, columns) = (self.rows, std::mem::take(&mut self.columns));
        self.begin();
        batch_of(&self.schema, columns.into_iter().map(Column::finish), rows)
    }
}

fn ends() -> Damage {
    "it ends inside a field".to_owned()
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Damage> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or_else(ends)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("an integer in it has no end".to_owned())
}

fn take<'a>(bytes: &mut &'a [u8], len: u64) -> Result<&'a [u8], Damage> {
    let len = usize::try_from(len).map_err(|_| ends())?;
    let (taken, rest) = bytes.split_at_checked(len).ok_or_else(ends)?;
    *bytes = rest;
    Ok(taken)
}

fn array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Damage> {
    take(bytes, N as u64)?.try_into().map_err(|_| ends())
}

/// The number of the next field, and its value.
fn next<'a>(bytes: &mut &'a [u8]) -> Result<(u64, Wire<'a>), Damage> {
    let tag = varint(bytes)?;
    let wire = match tag & 7 {
        0 => Wire::Varint(varint(bytes)?),
        1 => Wire::Fixed64(array(bytes)?),
        2 => {
            let len = varint(bytes)?;
            Wire::Run(take(bytes, len)?)
        }
        5 => Wire::Fixed32(array(bytes)?),
        3 | 4 => return Err("it has a group, which is not supported".to_owned()),
        other => return Err(format!("a field has the unknown kind {other}")),
    };
    match tag >> 3 {
        0 => Err("a field has the number 0".to_owned()),
        number => Ok((number, wire)),
    }
}

/// Appends one message: one value to each column.
fn fill(bytes: &[u8], message: &Message, columns: &mut [Column]) -> Result<(), Damage> {
    let mut rest = bytes;
    let mut found: Vec<(usize, Wire<'_>)> = Vec::with_capacity(message.members.len());
    // Most writers give fields in the order of the message.
    let mut guess = 0;
    while !rest.is_empty() {
        let (number, wire) = next(&mut rest)?;
        let is = |m: &Member| u64::from(m.number) == number;
        let at = match message.members.get(guess) {
            Some(m) if is(m) => Some(guess),
            _ => message.members.iter().position(is),
        };
        // What this text does not know may come from a newer one.
        if let Some(at) = at {
            found.push((at, wire));
            guess = if message.members.get(at).is_some_and(|m| m.how == Presence::Repeated) {
                at
            } else {
                at + 1
            };
        }
    }
    for (at, (member, column)) in message.members.iter().zip(columns).enumerate() {
        let wires = found.iter().filter(|(i, _)| *i == at).map(|(_, w)| *w);
        push_member(member, wires, column).map_err(|e| format!("`{}`: {e}", member.name))?;
    }
    Ok(())
}

fn push_member<'a>(
    member: &Member,
    mut wires: impl Iterator<Item = Wire<'a>>,
    column: &mut Column,
) -> Result<(), Damage> {
    if let Column::Null(..) = column {
        column.push_null();
        return Ok(());
    }
    match (member.how, column) {
        (Presence::Repeated, Column::List(list)) => {
            for wire in wires {
                push_items(&member.of, wire, list.items_mut())?;
            }
            list.push_valid();
        }
        (Presence::Map(key), Column::Map(map)) => {
            let mut entries: Vec<(String, Cow<'a, [u8]>)> = Vec::new();
            for wire in wires {
                let Wire::Run(entry) = wire else { return Err(misfit("a map")) };
                let text = key_text(key, entry)?;
                entries.retain(|(k, _)| *k != text);
                entries.push((text, Cow::Borrowed(entry)));
            }
            for (text, entry) in entries {
                let (keys, values) = map.entries_mut();
                keys.push_text(&text);
                push_last(&member.of, of_number(&entry, 2)?, false, values)?;
            }
            map.push_valid();
        }
        (how, column) => {
            let all: Vec<Wire<'a>> = wires.by_ref().collect();
            push_last(&member.of, all, how == Presence::Explicit, column)?;
        }
    }
    Ok(())
}

/// The values of one field of an entry.
fn of_number(mut bytes: &[u8], number: u64) -> Result<Vec<Wire<'_>>, Damage> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (n, wire) = next(&mut bytes)?;
        if n == number {
            found.push(wire);
        }
    }
    Ok(found)
}

fn key_text(key: Key, entry: &[u8]) -> Result<String, Damage> {
    let last = of_number(entry, 1)?.pop();
    Ok(match (key, last) {
        (Key::Text, None) => String::new(),
        (Key::Text, Some(Wire::Run(text))) => text_of(text)?.to_owned(),
        (Key::Text, Some(_)) => return Err(misfit("a string")),
        (Key::Bool, None) => "false".to_owned(),
        (Key::Bool, Some(Wire::Varint(v))) => (v != 0).to_string(),
        (Key::Bool, Some(_)) => return Err(misfit("a bool")),
        (Key::Int(_), None) => "0".to_owned(),
        (Key::Int(how), Some(wire)) => int(how, wire)?.to_string(),
    })
}

fn misfit(wants: &str) -> Damage {
    format!("what stands there is not {wants}")
}

fn text_of(bytes: &[u8]) -> Result<&str, Damage> {
    std::str::from_utf8(bytes).map_err(|_| "the text is not UTF-8".to_owned())
}

fn int(how: Int, wire: Wire<'_>) -> Result<i64, Damage> {
    let large = |n: u64| i64::try_from(n).map_err(|_| format!("{n} is more than an int holds"));
    match (how, wire) {
        // Negative numbers of 32 bits are written with 64; what is longer is cut, as everybody does.
        (Int::Int32, Wire::Varint(v)) => Ok(i64::from(v as i32)),
        (Int::Int64, Wire::Varint(v)) => Ok(v.cast_signed()),
        (Int::UInt32, Wire::Varint(v)) => Ok(i64::from(v as u32)),
        (Int::UInt64, Wire::Varint(v)) => large(v),
        (Int::SInt32 | Int::SInt64, Wire::Varint(v)) => Ok((v >> 1).cast_signed() ^ -(v & 1).cast_signed()),
        (Int::Fixed32, Wire::Fixed32(b)) => Ok(i64::from(u32::from_le_bytes(b))),
        (Int::SFixed32, Wire::Fixed32(b)) => Ok(i64::from(i32::from_le_bytes(b))),
        (Int::Fixed64, Wire::Fixed64(b)) => large(u64::from_le_bytes(b)),
        (Int::SFixed64, Wire::Fixed64(b)) => Ok(i64::from_le_bytes(b)),
        _ => Err(misfit("an integer of this kind")),
    }
}

/// Appends the items of one occurrence of a repeated field: one, or many packed together.
fn push_items(of: &Type, wire: Wire<'_>, items: &mut Column) -> Result<(), Damage> {
    let Wire::Run(mut packed) = wire else { return push(of, wire, items) };
    let single = matches!(of, Type::Text | Type::Bytes | Type::Message(_) | Type::Timestamp);
    if single {
        return push(of, wire, items);
    }
    while !packed.is_empty() {
        let wire = match of {
            Type::Float | Type::Int(Int::Fixed32 | Int::SFixed32) => Wire::Fixed32(array(&mut packed)?),
            Type::Double | Type::Int(Int::Fixed64 | Int::SFixed64) => Wire::Fixed64(array(&mut packed)?),
            _ => Wire::Varint(varint(&mut packed)?),
        };
        push(of, wire, items)?;
    }
    Ok(())
}

/// Appends the value of a field that is not repeated: the last one counts, and messages in parts are one.
fn push_last(of: &Type, all: Vec<Wire<'_>>, or_null: bool, column: &mut Column) -> Result<(), Damage> {
    match (of, all.as_slice()) {
        (_, []) if or_null => column.push_null(),
        (of, []) => push_default(of, column)?,
        (Type::Message(_) | Type::Timestamp, [_, _, ..]) => {
            let mut joined = Vec::new();
            for wire in all {
                let Wire::Run(part) = wire else { return Err(misfit(of.describe())) };
                joined.extend_from_slice(part);
            }
            push(of, Wire::Run(&joined), column)?;
        }
        (of, [.., last]) => push(of, *last, column)?,
    }
    Ok(())
}

fn push_default(of: &Type, column: &mut Column) -> Result<(), Damage> {
    match (of, column) {
        (Type::Int(_), column) => column.push_int(0),
        (Type::Bool, column) => column.push_bool(false),
        (Type::Float | Type::Double, column) => column.push_float(0.0),
        (Type::Text, column) => column.push_text(""),
        (Type::Bytes, Column::Binary(bytes)) => bytes.push(b""),
        (Type::Enum(values), column) => column.push_text(&enum_text(values, 0)),
        (Type::Message(_) | Type::Timestamp, column) => push(of, Wire::Run(b""), column)?,
        (Type::Bytes, column) => column.push_null(),
    }
    Ok(())
}

/// The name of a value; one without a name is its number.
fn enum_text(values: &[(i64, String)], number: i64) -> Cow<'_, str> {
    match values.iter().find(|(n, _)| *n == number) {
        Some((_, name)) => Cow::Borrowed(name),
        None => Cow::Owned(number.to_string()),
    }
}

/// Appends one value.
fn push(of: &Type, wire: Wire<'_>, column: &mut Column) -> Result<(), Damage> {
    match (of, wire, column) {
        (_, _, column @ Column::Null(..)) => column.push_null(),
        (Type::Int(how), wire, column) => column.push_int(int(*how, wire)?),
        (Type::Bool, Wire::Varint(v), column) => column.push_bool(v != 0),
        (Type::Float, Wire::Fixed32(b), column) => column.push_float(f64::from(f32::from_le_bytes(b))),
        (Type::Double, Wire::Fixed64(b), column) => column.push_float(f64::from_le_bytes(b)),
        (Type::Text, Wire::Run(b), column) => column.push_text(text_of(b)?),
        (Type::Bytes, Wire::Run(b), Column::Binary(bytes)) => bytes.push(b),
        (Type::Enum(values), Wire::Varint(v), column) => {
            column.push_text(&enum_text(values, v.cast_signed()))
        }
        (Type::Message(m), Wire::Run(b), Column::Struct(row)) => {
            fill(b, m, row.columns_mut())?;
            row.push_valid();
        }
        (Type::Timestamp, Wire::Run(b), Column::Time(times, valid, _)) => {
            times.push(timestamp(b)?);
            valid.append_non_null();
        }
        (of, _, _) => return Err(misfit(of.describe())),
    }
    Ok(())
}

/// `google.protobuf.Timestamp` in microseconds since 1970.
fn timestamp(bytes: &[u8]) -> Result<i64, Damage> {
    let part = |number| -> Result<i64, Damage> {
        match of_number(bytes, number)?.pop() {
            None => Ok(0),
            Some(Wire::Varint(v)) => Ok(v.cast_signed()),
            Some(_) => Err(misfit("a Timestamp")),
        }
    };
    let (seconds, nanos) = (part(1)?, part(2)?);
    let us = seconds.checked_mul(1_000_000).and_then(|us| us.checked_add(nanos.div_euclid(1000)));
    us.ok_or_else(|| format!("{seconds} seconds lie outside of time"))
}

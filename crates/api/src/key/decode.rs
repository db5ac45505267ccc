//! Key bytes to columns.

use crate::error::{Error, Result};
use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Decimal128Builder, Float64Builder, Int64Builder, StringBuilder,
};
use arrow_array::{Array, ArrayRef, Date32Array, Int64Array, ListArray, MapArray, NullArray, StructArray};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, FieldRef, Fields};
use std::sync::Arc;

pub(super) fn decode<'a>(
    types: &[DataType],
    keys: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<ArrayRef>> {
    let mut columns: Vec<Column> = types.iter().map(Column::of).collect::<Result<_>>()?;
    if let [Column::Utf8(text, scratch)] = columns.as_mut_slice() {
        // One text is the most frequent key.
        for key in keys {
            match plain_text(key) {
                Some(plain) => text.append_value(std::str::from_utf8(plain).map_err(|_| damaged())?),
                None => one_text(key, text, scratch)?,
            }
        }
        return columns.into_iter().map(Column::finish).collect();
    }
    for key in keys {
        let mut rest = Reader(key);
        for column in &mut columns {
            column.read(&mut rest)?;
        }
        if !rest.0.is_empty() {
            return Err(damaged());
        }
    }
    columns.into_iter().map(Column::finish).collect()
}

/// The text that a key consists of, if nothing in it was escaped.
fn plain_text(key: &[u8]) -> Option<&[u8]> {
    let [1, plain @ .., 0] = key else { return None };
    plain.iter().fold(true, |all, b| all & (*b > 1)).then_some(plain)
}

/// A key that is a text or null.
fn one_text(key: &[u8], text: &mut StringBuilder, scratch: &mut Vec<u8>) -> Result<()> {
    let mut rest = Reader(key);
    read_text(&mut rest, text, scratch)?;
    if rest.0.is_empty() { Ok(()) } else { Err(damaged()) }
}

fn read_text(from: &mut Reader<'_>, text: &mut StringBuilder, scratch: &mut Vec<u8>) -> Result<()> {
    if from.present()? {
        from.bytes(scratch)?;
        text.append_value(std::str::from_utf8(scratch).map_err(|_| damaged())?);
    } else {
        text.append_null();
    }
    Ok(())
}

fn damaged() -> Error {
    Error::internal("key bytes do not fit the types of the key")
}

/// Ints as the times, durations or dates that they stand for.
fn as_type(ints: &Int64Array, t: &DataType) -> Result<ArrayRef> {
    if t == &DataType::Date32 {
        return Ok(Arc::new(ints.iter().map(|d| d.map(|d| d as i32)).collect::<Date32Array>()));
    }
    // The same 64 bits under another name.
    let data = ints.to_data().into_builder().data_type(t.clone()).build()?;
    Ok(arrow_array::make_array(data))
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8> {
        let (first, rest) = self.0.split_first().ok_or_else(damaged)?;
        self.0 = rest;
        Ok(*first)
    }

    /// True if the value is present.
    fn present(&mut self) -> Result<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(damaged()),
        }
    }

    fn fixed(&mut self) -> Result<u64> {
        let (value, rest) = self.0.split_first_chunk::<8>().ok_or_else(damaged)?;
        self.0 = rest;
        Ok(u64::from_be_bytes(*value))
    }

    fn int(&mut self) -> Result<i64> {
        Ok((self.fixed()? ^ (1 << 63)) as i64)
    }

    fn decimal(&mut self) -> Result<i128> {
        let (value, rest) = self.0.split_first_chunk::<16>().ok_or_else(damaged)?;
        self.0 = rest;
        Ok((u128::from_be_bytes(*value) ^ (1 << 127)) as i128)
    }

    fn float(&mut self) -> Result<f64> {
        let ordered = self.fixed()?;
        Ok(f64::from_bits(if ordered >> 63 == 1 { ordered ^ (1 << 63) } else { !ordered }))
    }

    fn bytes(&mut self, out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        loop {
            let plain = self.0.iter().position(|b| *b <= 1).ok_or_else(damaged)?;
            let (copied, rest) = self.0.split_at(plain);
            out.extend_from_slice(copied);
            self.0 = rest;
            if self.byte()? == 0 {
                return Ok(());
            }
            match self.byte()? {
                b @ (1 | 2) => out.push(b - 1),
                _ => return Err(damaged()),
            }
        }
    }
}

/// Values of one type that are being read.
enum Column {
    Null(usize),
    Boolean(BooleanBuilder),
    Int(Int64Builder),
    /// What keys keep as ints: times, durations, dates in days. Stored as this type.
    AsInt(Int64Builder, DataType),
    Decimal(Decimal128Builder),
    Float(Float64Builder),
    Utf8(StringBuilder, Vec<u8>),
    Binary(BinaryBuilder, Vec<u8>),
    List {
        field: FieldRef,
        item: Box<Column>,
        rows: Nested,
    },
    Struct {
        fields: Fields,
        columns: Vec<Column>,
        rows: Nested,
    },
    Map {
        entries: FieldRef,
        sorted: bool,
        fields: Fields,
        key: Box<Column>,
        value: Box<Column>,
        rows: Nested,
    },
}

/// Offsets and nulls of nested values.
struct Nested {
    offsets: Vec<i32>,
    valid: BooleanBufferBuilder,
}

impl Nested {
    fn new() -> Self {
        Nested { offsets: vec![0], valid: BooleanBufferBuilder::new(0) }
    }

    fn push(&mut self, items: usize, valid: bool) -> Result<()> {
        let end = i32::try_from(items)
            .map_err(|_| Error::data("more than 2^31 values in the lists of one batch"))?;
        self.offsets.push(end);
        self.valid.append(valid);
        Ok(())
    }

    fn finish(mut self) -> (OffsetBuffer<i32>, Option<NullBuffer>) {
        // Offsets start at 0 and only grow: `push` is given running totals.
        (OffsetBuffer::new(ScalarBuffer::from(self.offsets)), nulls(&mut self.valid))
    }
}

fn nulls(valid: &mut BooleanBufferBuilder) -> Option<NullBuffer> {
    Some(NullBuffer::new(valid.finish())).filter(|n| n.null_count() > 0)
}

impl Column {
    fn of(t: &DataType) -> Result<Self> {
        Ok(match t {
            DataType::Null => Column::Null(0),
            DataType::Boolean => Column::Boolean(BooleanBuilder::new()),
            DataType::Int64 => Column::Int(Int64Builder::new()),
            DataType::Float64 => Column::Float(Float64Builder::new()),
            DataType::Timestamp(..) | DataType::Time64(_) | DataType::Duration(_) | DataType::Date32 => {
                Column::AsInt(Int64Builder::new(), t.clone())
            }
            DataType::Decimal128(..) => Column::Decimal(Decimal128Builder::new().with_data_type(t.clone())),
            DataType::Utf8 => Column::Utf8(StringBuilder::new(), Vec::new()),
            DataType::Binary => Column::Binary(BinaryBuilder::new(), Vec::new()),
            DataType::List(field) => {
                let item = Box::new(Column::of(field.data_type())?);
                Column::List { field: field.clone(), item, rows: Nested::new() }
            }
            DataType::Struct(fields) => {
                let columns = fields.iter().map(|f| Column::of(f.data_type())).collect::<Result<_>>()?;
                Column::Struct { fields: fields.clone(), columns, rows: Nested::new() }
            }
            DataType::Map(entries, sorted) => {
                let DataType::Struct(fields) = entries.data_type() else { return Err(damaged()) };
                let [key, value] = fields.as_ref() else { return Err(damaged()) };
                Column::Map {
                    entries: entries.clone(),
                    sorted: *sorted,
                    fields: fields.clone(),
                    key: Box::new(Column::of(key.data_type())?),
                    value: Box::new(Column::of(value.data_type())?),
                    rows: Nested::new(),
                }
            }
            other => return Err(Error::internal(format!("values of type {other} cannot be keys"))),
        })
    }

    fn len(&self) -> usize {
        use arrow_array::builder::ArrayBuilder;
        match self {
            Column::Null(n) => *n,
            Column::Boolean(b) => b.len(),
            Column::Int(b) => b.len(),
            Column::Float(b) => b.len(),
            Column::AsInt(b, _) => b.len(),
            Column::Decimal(b) => b.len(),
            Column::Utf8(b, _) => b.len(),
            Column::Binary(b, _) => b.len(),
            Column::List { rows, .. } | Column::Struct { rows, .. } | Column::Map { rows, .. } => {
                rows.valid.len()
            }
        }
    }

    fn read(&mut self, from: &mut Reader<'_>) -> Result<()> {
        match self {
            Column::Null(n) => {
                *n += 1;
                if from.present()? {
                    return Err(damaged());
                }
            }
            Column::Boolean(b) => match from.byte()? {
                0 => b.append_null(),
                1 => b.append_value(false),
                2 => b.append_value(true),
                _ => return Err(damaged()),
            },
            Column::Int(b) => b.append_option(from.present()?.then(|| from.int()).transpose()?),
            Column::Float(b) => b.append_option(from.present()?.then(|| from.float()).transpose()?),
            Column::AsInt(b, _) => b.append_option(from.present()?.then(|| from.int()).transpose()?),
            Column::Decimal(b) => b.append_option(from.present()?.then(|| from.decimal()).transpose()?),
            Column::Utf8(b, scratch) => read_text(from, b, scratch)?,
            Column::Binary(b, scratch) => {
                if from.present()? {
                    from.bytes(scratch)?;
                    b.append_value(&scratch);
                } else {
                    b.append_null();
                }
            }
            Column::List { .. } | Column::Struct { .. } | Column::Map { .. } => {
                return self.read_nested(from);
            }
        }
        Ok(())
    }

    fn read_nested(&mut self, from: &mut Reader<'_>) -> Result<()> {
        let present = from.present()?;
        match self {
            Column::List { item, rows, .. } => {
                while present && from.present()? {
                    item.read(from)?;
                }
                rows.push(item.len(), present)
            }
            Column::Struct { columns, rows, .. } => {
                for column in columns {
                    if present { column.read(from)? } else { column.read_null()? }
                }
                rows.valid.append(present);
                Ok(())
            }
            Column::Map { key, value, rows, .. } => {
                while present && from.present()? {
                    key.read(from)?;
                    value.read(from)?;
                }
                rows.push(key.len(), present)
            }
            _ => Err(damaged()),
        }
    }

    fn read_null(&mut self) -> Result<()> {
        self.read(&mut Reader(&[0]))
    }

    fn finish(self) -> Result<ArrayRef> {
        Ok(match self {
            Column::Null(n) => Arc::new(NullArray::new(n)),
            Column::Boolean(mut b) => Arc::new(b.finish()),
            Column::Int(mut b) => Arc::new(b.finish()),
            Column::Float(mut b) => Arc::new(b.finish()),
            Column::AsInt(mut b, t) => {
                let ints = b.finish();
                if t == DataType::Date32 && ints.iter().flatten().any(|d| i32::try_from(d).is_err()) {
                    return Err(damaged());
                }
                as_type(&ints, &t)?
            }
            Column::Decimal(mut b) => Arc::new(b.finish()),
            Column::Utf8(mut b, _) => Arc::new(b.finish()),
            Column::Binary(mut b, _) => Arc::new(b.finish()),
            Column::List { field, item, rows } => {
                let (offsets, nulls) = rows.finish();
                Arc::new(ListArray::try_new(field, offsets, item.finish()?, nulls)?)
            }
            Column::Struct { fields, columns, mut rows } => {
                let len = rows.valid.len();
                let columns = columns.into_iter().map(Column::finish).collect::<Result<Vec<_>>>()?;
                let nulls = nulls(&mut rows.valid);
                Arc::new(StructArray::try_new_with_length(fields, columns, nulls, len)?)
            }
            Column::Map { entries, sorted, fields, key, value, rows } => {
                let (offsets, nulls) = rows.finish();
                let columns = vec![key.finish()?, value.finish()?];
                let pairs = StructArray::try_new(fields, columns, None)?;
                let map = MapArray::try_new(entries, offsets, pairs, nulls, sorted)?;
                debug_assert!(map.len() + 1 == map.offsets().len());
                Arc::new(map)
            }
        })
    }
}

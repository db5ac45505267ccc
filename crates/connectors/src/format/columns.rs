//! Columns that are being filled row by row and can take a row back.

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray,
    MapArray, NullArray, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, FieldRef, Fields, TimeUnit};
use purlin_api::decimal;
use purlin_api::shape::is_any;
use purlin_api::{Error, Result};
use std::collections::HashMap;
use std::sync::Arc;

/// A column that is being filled.
///
/// The `push_*` methods of another type than the column's push null: decoders check types first.
#[derive(Debug)]
pub(crate) enum Column {
    /// A column that nobody reads, or whose values are all null; of any type.
    Null(DataType, usize),
    /// `bool`.
    Bool(BooleanBufferBuilder, NullBufferBuilder),
    /// `int`.
    Int(Vec<i64>, NullBufferBuilder),
    /// `float`.
    Float(Vec<f64>, NullBufferBuilder),
    /// `str`.
    Text(Bytes),
    /// JSON text of values without a common type.
    Any(Bytes),
    /// `bytes`.
    Binary(Bytes),
    /// `timestamp` in microseconds, with its zone.
    Time(Vec<i64>, NullBufferBuilder, Option<Arc<str>>),
    /// `decimal`: units.
    Decimal(Vec<i128>, NullBufferBuilder, DecimalType),
    /// `date`: days since 1970.
    Date(Vec<i32>, NullBufferBuilder),
    /// `list`.
    List(Box<ListColumn>),
    /// `map` from text.
    Map(Box<MapColumn>),
    /// A nested row.
    Struct(StructColumn),
}

/// Which decimals a column takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DecimalType {
    pub(crate) precision: u8,
    pub(crate) scale: i8,
}

impl DecimalType {
    /// The units of a number in text, which may have spaces around it.
    pub(crate) fn parse(self, text: &str) -> Result<i128, decimal::Misfit> {
        decimal::parse(text.trim_matches([' ', '\t']).as_bytes(), self.precision, self.scale)
    }
}

/// Maps: the columns of all their keys and values.
#[derive(Debug)]
pub(crate) struct MapColumn {
    entries: FieldRef,
    offsets: Vec<i32>,
    keys: Column,
    values: Column,
    valid: NullBufferBuilder,
}

/// How large a column is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Size {
    values: usize,
    /// Of text.
    bytes: usize,
}

/// Values of different lengths.
#[derive(Debug)]
pub(crate) struct Bytes {
    offsets: Vec<i32>,
    bytes: Vec<u8>,
    valid: NullBufferBuilder,
}

/// Lists and the column of all their items.
#[derive(Debug)]
pub(crate) struct ListColumn {
    field: FieldRef,
    offsets: Vec<i32>,
    items: Column,
    valid: NullBufferBuilder,
}

/// Nested rows.
#[derive(Debug)]
pub(crate) struct StructColumn {
    fields: Fields,
    index: FieldIndex,
    columns: Vec<Column>,
    valid: NullBufferBuilder,
}

/// Rows with more fields than this find them by hash, smaller ones by looking through.
const SCAN_FIELDS_MAX: usize = 16;

/// The fields of a row, found by name.
#[derive(Debug, Default)]
pub(crate) struct FieldIndex(HashMap<String, usize>);

impl FieldIndex {
    /// Of these fields.
    pub(crate) fn of(fields: &Fields) -> Self {
        if fields.len() <= SCAN_FIELDS_MAX {
            return FieldIndex::default();
        }
        FieldIndex(fields.iter().enumerate().map(|(i, f)| (f.name().clone(), i)).collect())
    }

    /// Most rows have their fields in one order: `guess` is the field after the last one found.
    pub(crate) fn find(&self, fields: &Fields, name: &str, guess: usize) -> Option<usize> {
        if fields.get(guess).is_some_and(|f| f.name() == name) {
            return Some(guess);
        }
        if fields.len() <= SCAN_FIELDS_MAX {
            return fields.iter().position(|f| f.name() == name);
        }
        self.0.get(name).copied()
    }
}

impl Column {
    /// An empty column for a field.
    pub(crate) fn new(field: &Field) -> Self {
        let valid = NullBufferBuilder::new(0);
        match field.data_type() {
            DataType::Boolean => Column::Bool(BooleanBufferBuilder::new(0), valid),
            DataType::Int64 => Column::Int(Vec::new(), valid),
            DataType::Float64 => Column::Float(Vec::new(), valid),
            DataType::Utf8 if is_any(field) => Column::Any(Bytes::new()),
            DataType::Utf8 => Column::Text(Bytes::new()),
            DataType::Binary => Column::Binary(Bytes::new()),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => Column::Time(Vec::new(), valid, zone.clone()),
            DataType::Decimal128(precision, scale) => {
                let t = DecimalType { precision: *precision, scale: *scale };
                Column::Decimal(Vec::new(), valid, t)
            }
            DataType::Date32 => Column::Date(Vec::new(), valid),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(pair) => match pair.as_ref() {
                    [key, value] => Column::Map(Box::new(MapColumn {
                        entries: entries.clone(),
                        offsets: vec![0],
                        keys: Column::new(key),
                        values: Column::new(value),
                        valid,
                    })),
                    _ => Column::Null(field.data_type().clone(), 0),
                },
                _ => Column::Null(field.data_type().clone(), 0),
            },
            DataType::List(item) => Column::List(Box::new(ListColumn {
                field: item.clone(),
                offsets: vec![0],
                items: Column::new(item),
                valid,
            })),
            DataType::Struct(fields) => Column::Struct(StructColumn {
                columns: fields.iter().map(|f| Column::new(f)).collect(),
                index: FieldIndex::of(fields),
                fields: fields.clone(),
                valid,
            }),
            other => Column::Null(other.clone(), 0),
        }
    }

    /// A column of nulls for a field that nobody reads.
    pub(crate) fn unread(field: &Field) -> Self {
        Column::Null(field.data_type().clone(), 0)
    }

    /// How many values it has.
    pub(crate) fn len(&self) -> usize {
        match self {
            Column::Null(_, n) => *n,
            Column::Bool(v, _) => v.len(),
            Column::Int(v, _) | Column::Time(v, _, _) => v.len(),
            Column::Float(v, _) => v.len(),
            Column::Text(b) | Column::Any(b) | Column::Binary(b) => b.len(),
            Column::Decimal(v, _, _) => v.len(),
            Column::Date(v, _) => v.len(),
            Column::List(l) => l.offsets.len() - 1,
            Column::Map(m) => m.offsets.len() - 1,
            Column::Struct(s) => s.valid.len(),
        }
    }

    /// How large it is.
    pub(crate) fn size(&self) -> Size {
        let bytes = match self {
            Column::Text(b) | Column::Any(b) | Column::Binary(b) => b.bytes.len(),
            _ => 0,
        };
        Size { values: self.len(), bytes }
    }

    /// Makes room at once for a column about as large, instead of growing step by step.
    pub(crate) fn reserve(&mut self, size: Size) {
        let some_more = |n: usize| n + n / 16;
        match self {
            Column::Int(v, _) | Column::Time(v, ..) => v.reserve(size.values),
            Column::Float(v, _) => v.reserve(size.values),
            Column::Text(b) | Column::Any(b) | Column::Binary(b) => {
                b.offsets.reserve(size.values);
                b.bytes.reserve(some_more(size.bytes));
            }
            _ => {}
        }
    }

    /// Takes the values from `len` on back, and what an unfinished list or row left behind.
    pub(crate) fn truncate(&mut self, len: usize) {
        match self {
            Column::Null(_, n) => *n = len.min(*n),
            Column::Bool(v, valid) => {
                v.truncate(len);
                valid.truncate(len);
            }
            Column::Int(v, valid) | Column::Time(v, valid, _) => {
                v.truncate(len);
                valid.truncate(len);
            }
            Column::Float(v, valid) => {
                v.truncate(len);
                valid.truncate(len);
            }
            Column::Decimal(v, valid, _) => {
                v.truncate(len);
                valid.truncate(len);
            }
            Column::Date(v, valid) => {
                v.truncate(len);
                valid.truncate(len);
            }
            Column::Map(m) => {
                m.offsets.truncate(len + 1);
                m.valid.truncate(len);
                let entries = m.offsets.last().map_or(0, |o| *o as usize);
                m.keys.truncate(entries);
                m.values.truncate(entries);
            }
            Column::Text(b) | Column::Any(b) | Column::Binary(b) => b.truncate(len),
            Column::List(l) => {
                l.offsets.truncate(len + 1);
                l.valid.truncate(len);
                l.items.truncate(l.offsets.last().map_or(0, |o| *o as usize));
            }
            Column::Struct(s) => {
                s.valid.truncate(len);
                s.columns.iter_mut().for_each(|c| c.truncate(len));
            }
        }
    }

    /// Appends null.
    pub(crate) fn push_null(&mut self) {
        match self {
            Column::Null(_, n) => *n += 1,
            Column::Bool(v, valid) => {
                v.append(false);
                valid.append_null();
            }
            Column::Int(v, valid) | Column::Time(v, valid, _) => {
                v.push(0);
                valid.append_null();
            }
            Column::Float(v, valid) => {
                v.push(0.0);
                valid.append_null();
            }
            Column::Text(b) | Column::Any(b) | Column::Binary(b) => b.push_null(),
            Column::Decimal(v, valid, _) => {
                v.push(0);
                valid.append_null();
            }
            Column::Date(v, valid) => {
                v.push(0);
                valid.append_null();
            }
            Column::Map(m) => {
                m.offsets.push(m.offsets.last().copied().unwrap_or(0));
                m.valid.append_null();
            }
            Column::List(l) => {
                l.offsets.push(l.offsets.last().copied().unwrap_or(0));
                l.valid.append_null();
            }
            Column::Struct(s) => {
                s.columns.iter_mut().for_each(Column::push_null);
                s.valid.append_null();
            }
        }
    }

    /// Appends a truth value.
    pub(crate) fn push_bool(&mut self, value: bool) {
        match self {
            Column::Bool(v, valid) => {
                v.append(value);
                valid.append_non_null();
            }
            other => other.push_null(),
        }
    }

    /// Appends an integer (to a float column: as a float).
    pub(crate) fn push_int(&mut self, value: i64) {
        match self {
            Column::Int(v, valid) | Column::Time(v, valid, _) => {
                v.push(value);
                valid.append_non_null();
            }
            Column::Float(..) => self.push_float(value as f64),
            other => other.push_null(),
        }
    }

    /// Appends a float.
    pub(crate) fn push_float(&mut self, value: f64) {
        match self {
            Column::Float(v, valid) => {
                v.push(value);
                valid.append_non_null();
            }
            other => other.push_null(),
        }
    }

    /// Appends a decimal, in the column's units.
    #[inline]
    pub(crate) fn push_units(&mut self, units: i128) {
        match self {
            Column::Decimal(v, valid, _) => {
                v.push(units);
                valid.append_non_null();
            }
            other => other.push_null(),
        }
    }

    /// Appends a date, in days since 1970.
    pub(crate) fn push_days(&mut self, days: i32) {
        match self {
            Column::Date(v, valid) => {
                v.push(days);
                valid.append_non_null();
            }
            other => other.push_null(),
        }
    }

    /// Appends text (to an `any` column: JSON text).
    pub(crate) fn push_text(&mut self, value: &str) {
        match self {
            Column::Text(b) | Column::Any(b) | Column::Binary(b) => b.push(value.as_bytes()),
            other => other.push_null(),
        }
    }

    /// The Arrow array of all values.
    ///
    /// # Errors
    /// Text columns of more than 2 GiB.
    pub(crate) fn finish(self) -> Result<ArrayRef> {
        Ok(match self {
            Column::Null(DataType::Null, n) => Arc::new(NullArray::new(n)),
            Column::Null(t, n) => arrow_array::new_null_array(&t, n),
            Column::Bool(mut v, valid) => Arc::new(BooleanArray::new(v.finish(), valid.build())),
            Column::Int(v, valid) => Arc::new(Int64Array::try_new(v.into(), valid.build())?),
            Column::Float(v, valid) => Arc::new(Float64Array::try_new(v.into(), valid.build())?),
            Column::Time(v, valid, zone) => {
                let array = TimestampMicrosecondArray::try_new(v.into(), valid.build())?;
                Arc::new(array.with_timezone_opt(zone))
            }
            Column::Decimal(v, valid, t) => {
                let array = Decimal128Array::try_new(v.into(), valid.build())?;
                Arc::new(array.with_precision_and_scale(t.precision, t.scale)?)
            }
            Column::Date(v, valid) => Arc::new(Date32Array::try_new(v.into(), valid.build())?),
            Column::Map(m) => {
                let DataType::Struct(pair) = m.entries.data_type() else {
                    return Err(Error::internal("a map without entries"));
                };
                let columns = vec![m.keys.finish()?, m.values.finish()?];
                let rows = StructArray::try_new(pair.clone(), columns, None)?;
                Arc::new(MapArray::try_new(m.entries, offsets(m.offsets)?, rows, m.valid.build(), false)?)
            }
            Column::Text(b) | Column::Any(b) => {
                let (offsets, bytes, valid) = b.finish()?;
                Arc::new(StringArray::try_new(offsets, bytes, valid)?)
            }
            Column::Binary(b) => {
                let (offsets, bytes, valid) = b.finish()?;
                Arc::new(BinaryArray::try_new(offsets, bytes, valid)?)
            }
            Column::List(l) => {
                let offsets = offsets(l.offsets)?;
                Arc::new(ListArray::try_new(l.field, offsets, l.items.finish()?, l.valid.build())?)
            }
            Column::Struct(s) => {
                let len = s.valid.len();
                let columns = s.columns.into_iter().map(Column::finish).collect::<Result<Vec<_>>>()?;
                Arc::new(StructArray::try_new_with_length(s.fields, columns, s.valid.build(), len)?)
            }
        })
    }
}

impl Bytes {
    fn new() -> Self {
        Bytes { offsets: vec![0], bytes: Vec::new(), valid: NullBufferBuilder::new(0) }
    }

    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    fn truncate(&mut self, len: usize) {
        self.offsets.truncate(len + 1);
        self.bytes.truncate(self.offsets.last().map_or(0, |o| *o as usize));
        self.valid.truncate(len);
    }

    /// Appends a value; to text: UTF-8.
    #[inline]
    pub(crate) fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.end();
        self.valid.append_non_null();
    }

    /// Appends the first `len` bytes of `from`. Copying a block of fixed size and taking the rest back is
    /// faster for short values than a copy of just so many.
    #[inline]
    pub(crate) fn push_head(&mut self, from: &[u8], len: usize) {
        const BLOCK: usize = 32;
        match from.first_chunk::<BLOCK>() {
            Some(block) if len <= BLOCK => {
                let end = self.bytes.len() + len;
                self.bytes.extend_from_slice(block);
                self.bytes.truncate(end);
            }
            _ => self.bytes.extend_from_slice(from.get(..len).unwrap_or(from)),
        }
        self.end();
        self.valid.append_non_null();
    }

    fn push_null(&mut self) {
        self.end();
        self.valid.append_null();
    }

    fn end(&mut self) {
        // An offset that does not fit is found by `finish`.
        self.offsets.push(i32::try_from(self.bytes.len()).unwrap_or(i32::MIN));
    }

    fn finish(self) -> Result<(OffsetBuffer<i32>, Buffer, Option<arrow_buffer::NullBuffer>)> {
        Ok((offsets(self.offsets)?, Buffer::from_vec(self.bytes), self.valid.build()))
    }
}

fn offsets(offsets: Vec<i32>) -> Result<OffsetBuffer<i32>> {
    // They ascend, and one that did not fit is no number of bytes: the last tells of all.
    if offsets.last().is_some_and(|last| *last < 0) {
        return Err(Error::new(
            purlin_api::ErrorKind::Exhausted,
            "a batch has more than 2 GiB of text in one column; lower `max_line_bytes`",
        ));
    }
    Ok(OffsetBuffer::new(ScalarBuffer::from(offsets)))
}

impl ListColumn {
    /// The column to push the items of the next list to.
    pub(crate) fn items_mut(&mut self) -> &mut Column {
        &mut self.items
    }

    /// Ends a list: all items pushed since the last one are its.
    pub(crate) fn push_valid(&mut self) {
        self.offsets.push(i32::try_from(self.items.len()).unwrap_or(i32::MIN));
        self.valid.append_non_null();
    }
}

impl MapColumn {
    /// The columns to push the keys and values of the next map to.
    pub(crate) fn entries_mut(&mut self) -> (&mut Column, &mut Column) {
        (&mut self.keys, &mut self.values)
    }

    /// Ends a map: all entries pushed since the last one are its.
    pub(crate) fn push_valid(&mut self) {
        self.offsets.push(i32::try_from(self.keys.len()).unwrap_or(i32::MIN));
        self.valid.append_non_null();
    }
}

impl StructColumn {
    /// The columns of the fields; each must get one value before [`StructColumn::push_valid`].
    pub(crate) fn columns_mut(&mut self) -> &mut [Column] {
        &mut self.columns
    }

    /// Fields, their index, columns, and how many rows are complete.
    pub(crate) fn parts_mut(&mut self) -> (&Fields, &FieldIndex, &mut [Column], usize) {
        (&self.fields, &self.index, &mut self.columns, self.valid.len())
    }

    /// Ends a row.
    pub(crate) fn push_valid(&mut self) {
        self.valid.append_non_null();
        let len = self.valid.len();
        // A field that got no value is null.
        for c in self.columns.iter_mut().filter(|c| c.len() < len) {
            c.push_null();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Array, RecordBatch};
    use arrow_schema::Schema;
    use purlin_api::json::row_to_json;

    #[test]
    fn rows_taken_back_leave_no_trace() {
        let inner = Fields::from(vec![
            Field::new("t", DataType::Utf8, true),
            Field::new("l", DataType::List(Arc::new(Field::new("item", DataType::Int64, true))), true),
        ]);
        let field = Field::new("s", DataType::Struct(inner), true);
        let mut column = Column::new(&field);
        let push = |column: &mut Column, text: &str, items: &[i64]| {
            let Column::Struct(s) = column else { panic!() };
            let [t, Column::List(l)] = s.columns_mut() else { panic!() };
            t.push_text(text);
            items.iter().for_each(|i| l.items_mut().push_int(*i));
            l.push_valid();
            s.push_valid();
        };
        push(&mut column, "a", &[1, 2]);
        push(&mut column, "bad", &[3]);
        column.truncate(1);
        column.push_null();
        push(&mut column, "c", &[]);
        let array = column.finish().unwrap();
        assert_eq!(array.len(), 3);
        let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![array]).unwrap();
        let rows: Vec<String> = (0..3).map(|i| row_to_json(&batch, i).to_string()).collect();
        assert_eq!(rows, [r#"{"s":{"t":"a","l":[1,2]}}"#, r#"{"s":null}"#, r#"{"s":{"t":"c","l":[]}}"#]);
    }

    #[test]
    fn types_nobody_reads_are_null() {
        for t in [DataType::Utf8, DataType::Null, DataType::Date32] {
            let mut c = Column::unread(&Field::new("x", t.clone(), true));
            c.push_text("x");
            c.push_null();
            c.truncate(1);
            let array = c.finish().unwrap();
            assert_eq!((array.len(), array.logical_null_count(), array.data_type()), (1, 1, &t));
        }
    }
}

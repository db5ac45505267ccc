//! The column types of Parquet files, brought into ours.
//!
//! Integers become `int`, floats `float`, all kinds of text and bytes one kind each, timestamps UTC with
//! microseconds. Times without a zone count as UTC. Decimals, dates and times of day stay what they are.

use crate::shared::tables::{Chunk, uuid_text};
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{
    Array, ArrayRef, ListArray, MapArray, RecordBatch, RecordBatchOptions, StringArray, StructArray,
};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use arrow_select::concat::concat_batches;
use parquet::basic::{ConvertedType, LogicalType, Type as PhysicalType};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};
use purlin_api::{Error, Result};
use std::sync::Arc;

/// Deepest nesting that is read.
const DEPTH_MAX: usize = 64;
/// Most digits of a decimal that are kept.
const DECIMAL_DIGITS_MAX: u8 = 38;

/// The columns of a file: in the types that its pages are decoded to, and in ours.
pub(super) struct Columns {
    pub(super) decoded: SchemaRef,
    pub(super) ours: SchemaRef,
}

/// What the types of a file become. `from` is what the decoder would make of `parquet`; of some columns
/// it can make better: old timestamps without loss beyond the year 2262, words of an enum as text.
///
/// # Errors
/// Why a field cannot be read: nested too deeply, a name twice, a type without an equal.
pub(super) fn columns(from: &Schema, parquet: &SchemaDescriptor) -> Result<Columns, String> {
    let mut walk = Walk { parquet, leaf: 0 };
    let (decoded, ours) = walk.fields(from.fields(), 0)?;
    Ok(Columns { decoded: Arc::new(Schema::new(decoded)), ours: Arc::new(Schema::new(ours)) })
}

/// Leaves stand in the same order in both schemas.
struct Walk<'a> {
    parquet: &'a SchemaDescriptor,
    leaf: usize,
}

impl Walk<'_> {
    fn fields(&mut self, from: &Fields, depth: usize) -> Result<(Fields, Fields), String> {
        let mut names = std::collections::HashSet::new();
        if let Some(twice) = from.iter().find(|f| !names.insert(f.name())) {
            return Err(format!("there are several fields called `{}`", twice.name()));
        }
        let both = from.iter().map(|f| self.field(f, depth)).collect::<Result<Vec<_>, _>>()?;
        let (decoded, ours): (Vec<Field>, Vec<Field>) = both.into_iter().unzip();
        Ok((decoded.into(), ours.into()))
    }

    fn field(&mut self, f: &Field, depth: usize) -> Result<(Field, Field), String> {
        if depth > DEPTH_MAX {
            return Err(format!("`{}` is nested deeper than {DEPTH_MAX} levels", f.name()));
        }
        let with = |t: DataType| f.clone().with_data_type(t);
        let (decoded, ours) = match f.data_type() {
            DataType::List(i) => {
                let (decoded, ours) = self.field(i, depth + 1)?;
                let list = |i: Field| DataType::List(Arc::new(i));
                (with(list(decoded)), list(ours.with_name("item")))
            }
            DataType::Struct(inner) => {
                let (decoded, ours) = self.fields(inner, depth + 1)?;
                (with(DataType::Struct(decoded)), DataType::Struct(ours))
            }
            DataType::Map(entries, sorted) => {
                let DataType::Struct(kv) = entries.data_type() else { return Err(unreadable(f)) };
                let [key, value] = kv.as_ref() else { return Err(unreadable(f)) };
                let (key, our_key) = self.field(key, depth + 1)?;
                let (value, our_value) = self.field(value, depth + 1)?;
                let map = |entries: &str, pair: Vec<Field>| {
                    DataType::Map(
                        Arc::new(Field::new(entries, DataType::Struct(pair.into()), false)),
                        *sorted,
                    )
                };
                let our_key = our_key.with_name("key").with_nullable(false);
                let ours = map("entries", vec![our_key, our_value.with_name("value")]);
                (with(map(entries.name(), vec![key, value])), ours)
            }
            leaf => {
                let column = self.parquet.columns().get(self.leaf).ok_or_else(|| unreadable(f))?;
                self.leaf += 1;
                let decoded = decoded_type(leaf, column);
                let ours = our_type(&decoded, column).ok_or_else(|| unreadable(f))?;
                (with(decoded), ours)
            }
        };
        Ok((decoded, Field::new(f.name(), ours, true)))
    }
}

fn unreadable(f: &Field) -> String {
    format!("`{}` has the type {}, which cannot be read", f.name(), f.data_type())
}

fn decoded_type(leaf: &DataType, column: &ColumnDescriptor) -> DataType {
    if column.physical_type() == PhysicalType::INT96 {
        return DataType::Timestamp(TimeUnit::Microsecond, None);
    }
    let is_enum = matches!(column.logical_type_ref(), Some(LogicalType::Enum))
        || column.converted_type() == ConvertedType::ENUM;
    if is_enum && *leaf == DataType::Binary { DataType::Utf8 } else { leaf.clone() }
}

fn our_type(leaf: &DataType, column: &ColumnDescriptor) -> Option<DataType> {
    use DataType as D;
    Some(match leaf {
        D::Null | D::Boolean | D::Int64 | D::Float64 | D::Utf8 | D::Binary | D::Date32 => leaf.clone(),
        _ if leaf.is_integer() => D::Int64,
        _ if leaf.is_floating() => D::Float64,
        D::LargeUtf8 | D::Utf8View => D::Utf8,
        D::FixedSizeBinary(16) if matches!(column.logical_type_ref(), Some(LogicalType::Uuid)) => D::Utf8,
        D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => D::Binary,
        D::Decimal32(p, s) | D::Decimal64(p, s) | D::Decimal128(p, s) | D::Decimal256(p, s) => {
            D::Decimal128((*p).min(DECIMAL_DIGITS_MAX), *s)
        }
        D::Date64 => D::Date32,
        D::Time32(_) | D::Time64(_) => D::Time64(TimeUnit::Microsecond),
        D::Timestamp(..) => D::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        _ => return None,
    })
}

/// Rows in the types that [`columns`] chose; those with a value that its type cannot hold are bad rows.
pub(super) fn convert(from: &RecordBatch, to: &SchemaRef) -> Result<Chunk> {
    let taken = from.num_rows();
    if let Ok(rows) = rows(from, to) {
        return Ok(Chunk { rows, bad: Vec::new(), taken });
    }
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for i in 0..taken {
        match rows(&from.slice(i, 1), to) {
            Ok(row) => good.push(row),
            Err(e) => bad.push((i, cause(&e))),
        }
    }
    if bad.is_empty() {
        return Err(Error::internal("rows that convert one by one do not together"));
    }
    Ok(Chunk { rows: concat_batches(to, &good)?, bad, taken })
}

fn rows(from: &RecordBatch, to: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = from.columns().iter().zip(to.fields()).map(|(c, t)| column(c, t).map_err(|e| (t, e)));
    let columns = columns
        .collect::<Result<Vec<_>, _>>()
        .map_err(|(field, e)| ArrowError::CastError(format!("`{}`: {}", field.name(), cause(&e))))?;
    let options = RecordBatchOptions::new().with_row_count(Some(from.num_rows()));
    RecordBatch::try_new_with_options(to.clone(), columns, &options)
}

fn column(array: &ArrayRef, to: &Field) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == to.data_type() {
        return Ok(array.clone());
    }
    match (array.data_type(), to.data_type()) {
        (DataType::Struct(_), DataType::Struct(target)) => {
            let rows = array.as_struct();
            let columns = rows.columns().iter().zip(target).map(|(c, t)| column(c, t));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            let nulls = rows.nulls().cloned();
            Ok(Arc::new(StructArray::try_new_with_length(target.clone(), columns, nulls, rows.len())?))
        }
        (DataType::List(_), DataType::List(target)) => {
            let list: &ListArray = array.as_list::<i32>();
            let (values, offsets) = used(list.values(), list.offsets());
            let values = column(&values, target)?;
            Ok(Arc::new(ListArray::try_new(target.clone(), offsets, values, list.nulls().cloned())?))
        }
        (DataType::Map(..), DataType::Map(target, sorted)) => {
            let map = array.as_map();
            let pairs: ArrayRef = Arc::new(map.entries().clone());
            let (pairs, offsets) = used(&pairs, map.offsets());
            let pairs = column(&pairs, target)?.as_struct().clone();
            Ok(Arc::new(MapArray::try_new(target.clone(), offsets, pairs, map.nulls().cloned(), *sorted)?))
        }
        (DataType::FixedSizeBinary(16), DataType::Utf8) => {
            let bytes = array.as_fixed_size_binary();
            let text = |i: usize| bytes.is_valid(i).then(|| uuid_text(bytes.value(i)));
            Ok(Arc::new((0..bytes.len()).map(text).collect::<StringArray>()))
        }
        (DataType::Timestamp(_, zone), DataType::Timestamp(unit, to)) => {
            // The zone names no other instant: UTC is what is stored, and what times without one count as.
            let micros = cast(array, &DataType::Timestamp(*unit, zone.clone()))?;
            let micros = micros.as_primitive::<TimestampMicrosecondType>().clone();
            Ok(Arc::new(micros.with_timezone_opt(to.clone())))
        }
        (_, target) => cast(array, target),
    }
}

fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() })
}

/// The values that lie between the offsets: a slice of a list keeps all values of the whole, and a bad one
/// among them is not this row's.
fn used(
    values: &ArrayRef,
    offsets: &arrow_buffer::OffsetBuffer<i32>,
) -> (ArrayRef, arrow_buffer::OffsetBuffer<i32>) {
    let first = offsets.first().copied().unwrap_or_default();
    let last = offsets.last().copied().unwrap_or_default();
    if first == 0 && last as usize == values.len() {
        return (values.clone(), offsets.clone());
    }
    let moved = arrow_buffer::OffsetBuffer::from_lengths(offsets.lengths());
    (values.slice(first as usize, (last - first) as usize), moved)
}

/// What a failed conversion says, without the words around it.
fn cause(e: &ArrowError) -> String {
    match e {
        ArrowError::CastError(text) | ArrowError::ComputeError(text) => text.clone(),
        other => other.to_string(),
    }
}

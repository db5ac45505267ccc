//! Column types of other systems, brought into ours.
//!
//! Integers become `int`, floats `float`, all kinds of text, bytes and lists one kind each, timestamps UTC
//! with microseconds. Times without a zone count as UTC. Decimals, dates and times of day stay what they are.

use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, ListArray, MapArray, RecordBatch, RecordBatchOptions, StringArray, StructArray,
};
use arrow_cast::{CastOptions, can_cast_types, cast_with_options};
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use purlin_api::json::write_value;
use purlin_api::shape::{any_field, is_any};
use std::sync::Arc;

/// Deepest nesting that is read.
const DEPTH_MAX: usize = 64;
/// Most digits of a decimal that are kept.
const DECIMAL_DIGITS_MAX: u8 = 38;

/// The schema in our types, all fields nullable.
///
/// # Errors
/// Why a field cannot be read: nested too deeply, a name twice, a type without an equal.
pub(crate) fn schema(from: &Schema) -> Result<SchemaRef, String> {
    Ok(Arc::new(Schema::new(fields(from.fields(), 0)?)))
}

fn fields(from: &Fields, depth: usize) -> Result<Fields, String> {
    let mut names = std::collections::HashSet::new();
    if let Some(twice) = from.iter().find(|f| !names.insert(f.name())) {
        return Err(format!("there are several fields called `{}`", twice.name()));
    }
    from.iter().map(|f| field(f, depth)).collect()
}

fn field(f: &Field, depth: usize) -> Result<Field, String> {
    if depth > DEPTH_MAX {
        return Err(format!("`{}` is nested deeper than {DEPTH_MAX} levels", f.name()));
    }
    let inner = |i: &Field| field(i, depth + 1);
    let data_type = match f.data_type() {
        DataType::Dictionary(_, values) => {
            return inner(&f.of_type(values.as_ref().clone()));
        }
        DataType::RunEndEncoded(_, values) => {
            return inner(&f.of_type(values.data_type().clone()));
        }
        DataType::Union(variants, _) => {
            for (_, v) in variants.iter() {
                inner(v)?;
            }
            return Ok(any_field(f.name()));
        }
        DataType::List(i)
        | DataType::LargeList(i)
        | DataType::FixedSizeList(i, _)
        | DataType::ListView(i)
        | DataType::LargeListView(i) => DataType::List(Arc::new(inner(i)?.with_name("item"))),
        DataType::Struct(inner) => DataType::Struct(fields(inner, depth + 1)?),
        DataType::Map(entries, sorted) => match entries.data_type() {
            DataType::Struct(kv) if kv.len() == 2 => {
                let mut kv = kv.iter();
                let (Some(k), Some(v)) = (kv.next(), kv.next()) else { return Err(unreadable(f)) };
                let key = inner(k)?.with_name("key").with_nullable(false);
                let pair = Fields::from(vec![key, inner(v)?.with_name("value")]);
                DataType::Map(Arc::new(Field::new("entries", DataType::Struct(pair), false)), *sorted)
            }
            _ => return Err(unreadable(f)),
        },
        leaf => leaf_type(f, leaf).ok_or_else(|| unreadable(f))?,
    };
    Ok(Field::new(f.name(), data_type, true))
}

fn unreadable(f: &Field) -> String {
    format!("`{}` has the type {}, which cannot be read", f.name(), f.data_type())
}

fn leaf_type(f: &Field, leaf: &DataType) -> Option<DataType> {
    use DataType as D;
    Some(match leaf {
        D::Null | D::Boolean | D::Int64 | D::Float64 | D::Utf8 | D::Binary | D::Date32 => leaf.clone(),
        _ if leaf.is_integer() => D::Int64,
        _ if leaf.is_floating() => D::Float64,
        D::LargeUtf8 | D::Utf8View => D::Utf8,
        D::FixedSizeBinary(16) if is_uuid(f) => D::Utf8,
        D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => D::Binary,
        D::Decimal32(p, s) | D::Decimal64(p, s) | D::Decimal128(p, s) | D::Decimal256(p, s) => {
            D::Decimal128((*p).min(DECIMAL_DIGITS_MAX), *s)
        }
        D::Date64 => D::Date32,
        D::Time32(_) | D::Time64(_) => D::Time64(TimeUnit::Microsecond),
        D::Timestamp(..) => D::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        D::Duration(_) => D::Duration(TimeUnit::Microsecond),
        // Calendar intervals have no equal; their text loses nothing.
        other if can_cast_types(other, &D::Utf8) => D::Utf8,
        _ => return None,
    })
}

/// Avro and Parquet mark 16 bytes that are a UUID.
fn is_uuid(f: &Field) -> bool {
    f.metadata().iter().any(|(k, v)| match k.as_str() {
        "logicalType" => v == "uuid",
        "ARROW:extension:name" => v == "arrow.uuid",
        _ => false,
    })
}

trait WithType {
    fn of_type(&self, t: DataType) -> Field;
}

impl WithType for Field {
    fn of_type(&self, t: DataType) -> Field {
        self.clone().with_data_type(t)
    }
}

/// Rows in the types that [`schema`] gave for theirs.
///
/// # Errors
/// A value that the type cannot hold: more than 63 bits, too many digits.
pub(crate) fn rows(from: &RecordBatch, to: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = from
        .schema_ref()
        .fields()
        .iter()
        .zip(from.columns())
        .zip(to.fields())
        .map(|((f, c), t)| column(f, c, t))
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(from.num_rows()));
    RecordBatch::try_new_with_options(to.clone(), columns, &options)
}

fn column(from: &Field, array: &ArrayRef, to: &Field) -> Result<ArrayRef, ArrowError> {
    if is_any(to) {
        return Ok(any_column(from, array));
    }
    if array.data_type() == to.data_type() {
        return Ok(array.clone());
    }
    match (from.data_type(), to.data_type()) {
        (DataType::Dictionary(_, values), _) => {
            let plain = cast(array, values)?;
            column(&from.of_type(values.as_ref().clone()), &plain, to)
        }
        (DataType::RunEndEncoded(_, values), _) => {
            let plain = cast(array, values.data_type())?;
            column(&from.of_type(values.data_type().clone()), &plain, to)
        }
        (DataType::Struct(inner), DataType::Struct(target)) => {
            let rows = array.as_struct();
            let columns = inner.iter().zip(rows.columns()).zip(target).map(|((f, c), t)| column(f, c, t));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            let nulls = rows.nulls().cloned();
            Ok(Arc::new(StructArray::try_new_with_length(target.clone(), columns, nulls, rows.len())?))
        }
        (DataType::List(item), DataType::List(target)) => {
            let list: &ListArray = array.as_list::<i32>();
            let values = column(item, list.values(), target)?;
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            Ok(Arc::new(ListArray::try_new(target.clone(), offsets, values, nulls)?))
        }
        (
            DataType::LargeList(item)
            | DataType::FixedSizeList(item, _)
            | DataType::ListView(item)
            | DataType::LargeListView(item),
            DataType::List(_),
        ) => {
            let list = DataType::List(item.clone());
            column(&from.of_type(list.clone()), &cast(array, &list)?, to)
        }
        (DataType::Map(entries, _), DataType::Map(target, sorted)) => {
            let map = array.as_map();
            let pairs: ArrayRef = Arc::new(map.entries().clone());
            let pairs = column(entries, &pairs, target)?.as_struct().clone();
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            Ok(Arc::new(MapArray::try_new(target.clone(), offsets, pairs, nulls, *sorted)?))
        }
        (DataType::FixedSizeBinary(16), DataType::Utf8) => {
            let bytes = array.as_fixed_size_binary();
            let text = |i: usize| bytes.is_valid(i).then(|| uuid_text(bytes.value(i)));
            Ok(Arc::new((0..bytes.len()).map(text).collect::<StringArray>()))
        }
        (_, target) => cast(array, target),
    }
}

fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() })
}

/// Values of several types as JSON text.
fn any_column(from: &Field, array: &ArrayRef) -> ArrayRef {
    let text = |row: usize| {
        let mut out = Vec::new();
        match (from.data_type(), array.as_union_opt()) {
            (DataType::Union(variants, _), Some(union)) => {
                let id = union.type_id(row);
                match variants.iter().find(|(i, _)| *i == id) {
                    Some((_, f)) => write_value(f, union.child(id), union.value_offset(row), &mut out),
                    None => out.extend_from_slice(b"null"),
                }
            }
            _ => write_value(from, array, row, &mut out),
        }
        Some(String::from_utf8_lossy(&out).into_owned()).filter(|t| t != "null")
    };
    Arc::new((0..array.len()).map(text).collect::<StringArray>())
}

fn uuid_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (i, b) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.extend(char::from_digit(u32::from(b >> 4), 16));
        text.extend(char::from_digit(u32::from(b & 15), 16));
    }
    text
}

/// The schema that files of these rows get: our fields without the marks that only we understand.
pub(crate) fn plain(schema: &Schema) -> SchemaRef {
    fn plain_field(f: &Field) -> Field {
        let data_type = match f.data_type() {
            DataType::List(i) => DataType::List(Arc::new(plain_field(i))),
            DataType::Struct(inner) => DataType::Struct(inner.iter().map(|f| plain_field(f)).collect()),
            DataType::Map(e, sorted) => DataType::Map(Arc::new(plain_field(e)), *sorted),
            other => other.clone(),
        };
        Field::new(f.name(), data_type, f.is_nullable())
    }
    Arc::new(Schema::new(schema.fields().iter().map(|f| plain_field(f)).collect::<Vec<_>>()))
}

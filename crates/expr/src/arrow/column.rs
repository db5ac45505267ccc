//! Reading columns as Python values.

use std::rc::Rc;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Date32Type, Decimal128Type, DurationMicrosecondType, Float64Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType, UInt64Type,
};
use arrow_array::{
    Array as _, ArrayRef, BinaryArray, BooleanArray, ListArray, MapArray, PrimitiveArray, StringArray,
    StructArray,
};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, TimeUnit};
use jiff::civil;

use crate::any::is_any;
use crate::json;
use crate::value::decimal::Decimal;
use crate::value::{DateTime, Dict, Key, Res, Row, Value, date_from_days, raise};

/// A column in one of the few layouts that are read.
pub(crate) enum Column {
    Null,
    Bool(BooleanArray),
    Int(PrimitiveArray<Int64Type>),
    Unsigned(PrimitiveArray<UInt64Type>),
    Float(PrimitiveArray<Float64Type>),
    /// With its scale.
    Decimal(PrimitiveArray<Decimal128Type>, i8),
    Str(StringArray),
    /// JSON text that stands for any value.
    Any(StringArray),
    Bytes(BinaryArray),
    List(ListArray, Box<Column>),
    Map(MapArray, Box<Column>, Box<Column>),
    /// Rows: names, columns, and whether a field counts as absent where it is null.
    Row(StructArray, Arc<[Arc<str>]>, Vec<Column>, Vec<bool>),
    Timestamp(PrimitiveArray<TimestampMicrosecondType>),
    /// Without a zone.
    DateTime(PrimitiveArray<TimestampMicrosecondType>),
    Date(PrimitiveArray<Date32Type>),
    Time(PrimitiveArray<Time64MicrosecondType>),
    Delta(PrimitiveArray<DurationMicrosecondType>),
}

/// Marks fields of a nested row that only some rows have: error rows of several makers on one output. The
/// same key as in `purlin_api::unite`.
const OPTIONAL_KEY: &str = "purlin.optional";

/// A row without the optional fields that are null.
fn present(names: &Arc<[Arc<str>]>, values: Vec<Value>, optional: &[bool]) -> Row {
    let absent = |(value, optional): (&Value, &bool)| *optional && matches!(value, Value::None);
    if !values.iter().zip(optional).any(absent) {
        return Row { names: Arc::clone(names), values };
    }
    let kept = names.iter().zip(values).zip(optional).filter(|((_, v), o)| !absent((v, o)));
    let (names, values): (Vec<Arc<str>>, Vec<Value>) = kept.map(|((n, v), _)| (Arc::clone(n), v)).unzip();
    Row { names: names.into(), values }
}

/// The layout that a type is cast to before it is read; `None` for types that expressions cannot read.
fn layout(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::UInt64 => DataType::UInt64,
        t if t.is_integer() => DataType::Int64,
        t if t.is_floating() => DataType::Float64,
        DataType::Null | DataType::Boolean | DataType::Decimal128(..) => data_type.clone(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Dictionary(_, values) => layout(values)?,
        DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) => {
            DataType::List(Arc::clone(f))
        }
        DataType::Map(..) | DataType::Struct(_) => data_type.clone(),
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::Date32 | DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Duration(_) => DataType::Duration(TimeUnit::Microsecond),
        _ => return None,
    })
}

/// Whether expressions can read columns of a type, all the way down.
fn readable(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) | DataType::Map(f, _) => {
            readable(f.data_type())
        }
        DataType::Struct(fields) => fields.iter().all(|f| readable(f.data_type())),
        other => layout(other).is_some(),
    }
}

impl Column {
    pub(crate) fn readable(field: &Field) -> bool {
        readable(field.data_type())
    }

    /// Prepares an array for reading. The error names what cannot be read.
    pub(crate) fn new(array: &ArrayRef, field: &Field) -> Result<Column, String> {
        let refused = || {
            format!("field `{}` has type {}, which expressions cannot read", field.name(), array.data_type())
        };
        let wanted = layout(array.data_type()).ok_or_else(refused)?;
        let array = if *array.data_type() == wanted {
            Arc::clone(array)
        } else {
            cast(array, &wanted).map_err(|e| format!("{}: {e}", refused()))?
        };
        Ok(match array.data_type() {
            DataType::Null => Column::Null,
            DataType::Boolean => Column::Bool(array.as_boolean().clone()),
            DataType::Int64 => Column::Int(array.as_primitive().clone()),
            DataType::UInt64 => Column::Unsigned(array.as_primitive().clone()),
            DataType::Float64 => Column::Float(array.as_primitive().clone()),
            DataType::Decimal128(_, scale) => Column::Decimal(array.as_primitive().clone(), *scale),
            DataType::Utf8 if is_any(field) => Column::Any(array.as_string().clone()),
            DataType::Utf8 => Column::Str(array.as_string().clone()),
            DataType::Binary => Column::Bytes(array.as_binary().clone()),
            DataType::List(item) => {
                let list = array.as_list();
                Column::List(list.clone(), Box::new(Column::new(list.values(), item)?))
            }
            DataType::Map(entries, _) => {
                let map = array.as_map();
                let DataType::Struct(fields) = entries.data_type() else { return Err(refused()) };
                let (Some(key), Some(value)) = (fields.first(), fields.get(1)) else { return Err(refused()) };
                let keys = Column::new(map.keys(), key)?;
                Column::Map(map.clone(), Box::new(keys), Box::new(Column::new(map.values(), value)?))
            }
            DataType::Struct(fields) => {
                let rows = array.as_struct();
                let columns = rows.columns().iter().zip(fields).map(|(c, f)| Column::new(c, f));
                let columns = columns.collect::<Result<Vec<Column>, String>>()?;
                let names: Arc<[Arc<str>]> = fields.iter().map(|f| Arc::from(f.name().as_str())).collect();
                let optional = fields.iter().map(|f| f.metadata().contains_key(OPTIONAL_KEY)).collect();
                Column::Row(rows.clone(), names, columns, optional)
            }
            DataType::Timestamp(_, Some(_)) => Column::Timestamp(array.as_primitive().clone()),
            DataType::Timestamp(_, None) => Column::DateTime(array.as_primitive().clone()),
            DataType::Date32 => Column::Date(array.as_primitive().clone()),
            DataType::Time64(_) => Column::Time(array.as_primitive().clone()),
            DataType::Duration(_) => Column::Delta(array.as_primitive().clone()),
            _ => return Err(refused()),
        })
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Column::Null => true,
            Column::Bool(a) => a.is_null(row),
            Column::Int(a) => a.is_null(row),
            Column::Unsigned(a) => a.is_null(row),
            Column::Float(a) => a.is_null(row),
            Column::Decimal(a, _) => a.is_null(row),
            Column::Str(a) | Column::Any(a) => a.is_null(row),
            Column::Bytes(a) => a.is_null(row),
            Column::List(a, _) => a.is_null(row),
            Column::Map(a, ..) => a.is_null(row),
            Column::Row(a, ..) => a.is_null(row),
            Column::Timestamp(a) | Column::DateTime(a) => a.is_null(row),
            Column::Date(a) => a.is_null(row),
            Column::Time(a) => a.is_null(row),
            Column::Delta(a) => a.is_null(row),
        }
    }

    fn len(&self) -> usize {
        match self {
            Column::Null => usize::MAX,
            Column::Bool(a) => a.len(),
            Column::Int(a) => a.len(),
            Column::Unsigned(a) => a.len(),
            Column::Float(a) => a.len(),
            Column::Decimal(a, _) => a.len(),
            Column::Str(a) | Column::Any(a) => a.len(),
            Column::Bytes(a) => a.len(),
            Column::List(a, _) => a.len(),
            Column::Map(a, ..) => a.len(),
            Column::Row(a, ..) => a.len(),
            Column::Timestamp(a) | Column::DateTime(a) => a.len(),
            Column::Date(a) => a.len(),
            Column::Time(a) => a.len(),
            Column::Delta(a) => a.len(),
        }
    }

    /// The value of a row.
    pub(crate) fn value(&self, row: usize) -> Res<Value> {
        if row >= self.len() || self.is_null(row) {
            return Ok(Value::None);
        }
        let out_of_range = || raise("OverflowError", "date value out of range");
        Ok(match self {
            Column::Null => Value::None,
            Column::Bool(a) => Value::Bool(a.value(row)),
            Column::Int(a) => Value::Int(a.value(row)),
            Column::Unsigned(a) => Value::from_big(a.value(row).into()),
            Column::Float(a) => Value::Float(a.value(row)),
            Column::Decimal(a, scale) => Value::Decimal(Rc::new(Decimal::from_units(a.value(row), *scale))),
            Column::Str(a) => Value::str(a.value(row)),
            Column::Any(a) => json::parse(a.value(row))?,
            Column::Bytes(a) => Value::Bytes(a.value(row).into()),
            Column::List(a, items) => {
                let (start, end) = bounds(a.value_offsets(), row);
                Value::list((start..end).map(|i| items.value(i)).collect::<Res<_>>()?)
            }
            Column::Map(a, keys, values) => {
                let (start, end) = bounds(a.value_offsets(), row);
                let pair = |i| Ok((Key::new(keys.value(i)?)?, values.value(i)?));
                Value::dict((start..end).map(pair).collect::<Res<Dict>>()?)
            }
            Column::Row(_, names, columns, optional) => {
                let values = columns.iter().map(|c| c.value(row)).collect::<Res<Vec<Value>>>()?;
                Value::Row(Rc::new(present(names, values, optional)))
            }
            Column::Timestamp(a) => Value::Timestamp(a.value(row)),
            Column::DateTime(a) => match DateTime::from_local_micros(a.value(row), None) {
                Some(at) => Value::DateTime(Rc::new(at)),
                None => return out_of_range(),
            },
            Column::Date(a) => match date_from_days(a.value(row)) {
                Some(date) => Value::Date(date),
                None => return out_of_range(),
            },
            Column::Time(a) => match time_of(a.value(row)) {
                Some(time) => Value::Time(time),
                None => return out_of_range(),
            },
            Column::Delta(a) => Value::Delta(a.value(row)),
        })
    }
}

fn bounds(offsets: &[i32], row: usize) -> (usize, usize) {
    let at = |i: usize| offsets.get(i).and_then(|o| usize::try_from(*o).ok()).unwrap_or(0);
    (at(row), at(row + 1))
}

fn time_of(micros: i64) -> Option<civil::Time> {
    DateTime::from_local_micros(micros, None).map(|d| d.naive.time())
}

//! Storing Python values as columns.

use std::rc::Rc;
use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, StringBuilder};
use arrow_array::types::{
    Date32Type, Decimal128Type, DurationMicrosecondType, Float64Type, Int64Type, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use arrow_array::{
    ArrayRef, BooleanArray, ListArray, MapArray, NullArray, PrimitiveArray, StructArray, new_null_array,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{ArrowError, DataType, Field, FieldRef};
use num_traits::ToPrimitive as _;

use crate::any::is_any;
use crate::builtins::decimal::exact;
use crate::interp::Machine;
use crate::json::any_text;
use crate::value::{Key, Raise, Row, Value, days_from_date, time_micros, value_error};

/// Why a value does not fit a field.
pub(crate) enum Misfit {
    /// It is of another type.
    Type,
    /// Converting it failed.
    Raise(Raise),
}

impl From<Raise> for Misfit {
    fn from(raise: Raise) -> Misfit {
        Misfit::Raise(raise)
    }
}

/// The value in the form that [`build`] stores in a column of `field`: bool passes as integer, integer as
/// float, tuples and sets as lists, aware datetimes as instants.
pub(crate) fn conform(machine: &mut Machine<'_>, value: Value, field: &Field) -> Result<Value, Misfit> {
    machine.step()?;
    if matches!(value, Value::None) {
        return if field.is_nullable() { Ok(value) } else { Err(Misfit::Type) };
    }
    if is_any(field) {
        return Ok(Value::Str(any_text(machine, &value)?.into()));
    }
    match (field.data_type(), value) {
        (DataType::Boolean, v @ Value::Bool(_)) => Ok(v),
        (DataType::Int64, v @ (Value::Int(_) | Value::Bool(_))) => Ok(Value::Int(v.as_int().unwrap_or(0))),
        (DataType::Int64, Value::Big(_)) => {
            Err(Raise::new("OverflowError", "Python int too large to convert to 64 bits").into())
        }
        (DataType::Float64, v @ Value::Float(_)) => Ok(v),
        // A decimal would lose digits as a float: `float(x)` says that it may.
        (DataType::Float64, Value::Decimal(_)) => Err(Misfit::Type),
        (DataType::Decimal128(precision, scale), v) => match exact(&v) {
            Some(d) if d.units(*precision, *scale).is_some() => Ok(Value::Decimal(Rc::new(d))),
            _ => Err(Misfit::Type),
        },
        (DataType::Float64, v) => match crate::value::to_big(&v) {
            Some(big) => match big.to_f64().filter(|f| f.is_finite()) {
                Some(f) => Ok(Value::Float(f)),
                None => Err(Raise::new("OverflowError", "int too large to convert to float").into()),
            },
            None => Err(Misfit::Type),
        },
        (DataType::Utf8, v @ Value::Str(_)) | (DataType::Binary, v @ Value::Bytes(_)) => Ok(v),
        (DataType::Date32, v @ Value::Date(_)) => Ok(v),
        (DataType::Time64(_), v @ Value::Time(_)) => Ok(v),
        (DataType::Duration(_), v @ (Value::Delta(_) | Value::Duration(_))) => Ok(v),
        (DataType::Timestamp(_, None), Value::DateTime(d)) => match &d.zone {
            // Kept as microseconds on the local clock.
            None => Ok(Value::Timestamp(d.local_micros())),
            Some(_) => {
                let shown = d.iso(" ");
                Err(value_error(format!("dt has a timezone ({shown}), where one without is wanted: declare output_type {{type: string, format: date-time}}")).into())
            }
        },
        (DataType::Timestamp(_, Some(_)), v @ Value::Timestamp(_)) => Ok(v),
        (DataType::Timestamp(_, Some(_)), Value::DateTime(d)) => match d.utc_micros() {
            Some(micros) => Ok(Value::Timestamp(micros)),
            None => Err(value_error(format!(
                "dt has no timezone info ({}): give it one, such as timezone.utc, or declare output_type {{type: string, format: date-time-local}}",
                d.iso(" ")
            ))
            .into()),
        },
        (DataType::List(item), v) => list(machine, &v, item),
        (DataType::Map(entries, _), Value::Dict(d)) => map(machine, &d, entries),
        (DataType::Struct(fields), Value::Row(row)) => {
            structure(machine, fields, |name| row.get(name).cloned())
        }
        (DataType::Struct(fields), Value::Dict(dict)) => {
            structure(machine, fields, |name| dict.0.borrow().get(&Key::str(name)).cloned())
        }
        _ => Err(Misfit::Type),
    }
}

fn list(machine: &mut Machine<'_>, value: &Value, item: &FieldRef) -> Result<Value, Misfit> {
    let sequence = matches!(
        value,
        Value::List(_) | Value::Tuple(_) | Value::Set(_) | Value::Range(_) | Value::View(..) | Value::Iter(_)
    );
    if !sequence {
        return Err(Misfit::Type);
    }
    let items = machine.collect(value)?;
    Ok(Value::list(items.into_iter().map(|v| conform(machine, v, item)).collect::<Result<_, _>>()?))
}

fn map(
    machine: &mut Machine<'_>,
    dict: &Rc<crate::value::DictCell>,
    entries: &FieldRef,
) -> Result<Value, Misfit> {
    let DataType::Struct(fields) = entries.data_type() else { return Err(Misfit::Type) };
    let Some(value_field) = fields.get(1) else { return Err(Misfit::Type) };
    let pairs: Vec<(Key, Value)> = dict.0.borrow().iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let mut out = crate::value::Dict::new();
    for (key, value) in pairs {
        if key.value().as_str().is_none() {
            return Err(Misfit::Type);
        }
        out.insert(key, conform(machine, value, value_field)?);
    }
    Ok(Value::dict(out))
}

fn structure(
    machine: &mut Machine<'_>,
    fields: &[FieldRef],
    get: impl Fn(&str) -> Option<Value>,
) -> Result<Value, Misfit> {
    let mut values = Vec::with_capacity(fields.len());
    for field in fields {
        values.push(conform(machine, get(field.name()).unwrap_or(Value::None), field)?);
    }
    let names = fields.iter().map(|f| Arc::from(f.name().as_str())).collect();
    Ok(Value::Row(Rc::new(Row { names, values })))
}

/// A column of `field` from conformed values; None where a row failed.
pub(crate) fn build(values: &[Value], field: &Field) -> Result<ArrayRef, ArrowError> {
    check_bytes(values)?;
    let nulls = || NullBuffer::from_iter(values.iter().map(|v| !matches!(v, Value::None)));
    Ok(match field.data_type() {
        DataType::Null => Arc::new(NullArray::new(values.len())),
        DataType::Boolean => {
            let bools = values.iter().map(|v| if let Value::Bool(b) = v { Some(*b) } else { None });
            Arc::new(BooleanArray::from_iter(bools))
        }
        DataType::Int64 => Arc::new(PrimitiveArray::<Int64Type>::from_iter(values.iter().map(Value::as_int))),
        DataType::Float64 => {
            let floats = values.iter().map(|v| if let Value::Float(f) = v { Some(*f) } else { None });
            Arc::new(PrimitiveArray::<Float64Type>::from_iter(floats))
        }
        DataType::Decimal128(precision, scale) => {
            let units = values.iter().map(|v| match v {
                Value::Decimal(d) => d.units(*precision, *scale),
                _ => None,
            });
            let array = PrimitiveArray::<Decimal128Type>::from_iter(units);
            Arc::new(array.with_precision_and_scale(*precision, *scale)?)
        }
        DataType::Utf8 => {
            let mut builder = StringBuilder::new();
            values.iter().for_each(|v| builder.append_option(v.as_str()));
            Arc::new(builder.finish())
        }
        DataType::Binary => {
            let mut builder = BinaryBuilder::new();
            let bytes = values.iter().map(|v| if let Value::Bytes(b) = v { Some(&**b) } else { None });
            bytes.for_each(|b| builder.append_option(b));
            Arc::new(builder.finish())
        }
        DataType::Date32 => {
            let days =
                values.iter().map(|v| if let Value::Date(d) = v { Some(days_from_date(*d)) } else { None });
            Arc::new(PrimitiveArray::<Date32Type>::from_iter(days))
        }
        DataType::Time64(_) => {
            let micros =
                values.iter().map(|v| if let Value::Time(t) = v { Some(time_micros(*t)) } else { None });
            Arc::new(PrimitiveArray::<Time64MicrosecondType>::from_iter(micros))
        }
        DataType::Duration(_) => {
            let micros = values.iter().map(|v| match v {
                Value::Delta(d) | Value::Duration(d) => Some(*d),
                _ => None,
            });
            Arc::new(PrimitiveArray::<DurationMicrosecondType>::from_iter(micros))
        }
        DataType::Timestamp(_, zone) => {
            let micros = values.iter().map(|v| if let Value::Timestamp(t) = v { Some(*t) } else { None });
            let array = PrimitiveArray::<TimestampMicrosecondType>::from_iter(micros);
            Arc::new(array.with_timezone_opt(zone.clone()))
        }
        DataType::List(item) => {
            let (lengths, items) = flatten(values);
            let items = build(&items, item)?;
            Arc::new(ListArray::try_new(Arc::clone(item), offsets(&lengths)?, items, Some(nulls()))?)
        }
        DataType::Map(entries, sorted) => Arc::new(build_map(values, entries, *sorted, nulls())?),
        DataType::Struct(fields) => {
            let column = |(i, f): (usize, &FieldRef)| {
                let part = |v: &Value| match v {
                    Value::Row(row) => row.values.get(i).cloned().unwrap_or(Value::None),
                    _ => Value::None,
                };
                build(&values.iter().map(part).collect::<Vec<Value>>(), f)
            };
            let columns = fields.iter().enumerate().map(column).collect::<Result<Vec<_>, _>>()?;
            let rows = values.len();
            Arc::new(StructArray::try_new_with_length(fields.clone(), columns, Some(nulls()), rows)?)
        }
        other => new_null_array(other, values.len()),
    })
}

/// Arrow's text and binary arrays end at 2 GiB.
fn check_bytes(values: &[Value]) -> Result<(), ArrowError> {
    let length = |v: &Value| match v {
        Value::Str(s) => s.len(),
        Value::Bytes(b) => b.len(),
        _ => 0,
    };
    let total = values.iter().fold(0_usize, |n, v| n.saturating_add(length(v)));
    if i32::try_from(total).is_err() { Err(ArrowError::OffsetOverflowError(total)) } else { Ok(()) }
}

fn flatten(values: &[Value]) -> (Vec<usize>, Vec<Value>) {
    let (mut lengths, mut items) = (Vec::with_capacity(values.len()), Vec::new());
    for value in values {
        let before = items.len();
        if let Value::List(l) = value {
            items.extend(l.0.borrow().iter().cloned());
        }
        lengths.push(items.len() - before);
    }
    (lengths, items)
}

fn offsets(lengths: &[usize]) -> Result<OffsetBuffer<i32>, ArrowError> {
    let total = lengths.iter().sum::<usize>();
    if i32::try_from(total).is_err() {
        return Err(ArrowError::OffsetOverflowError(total));
    }
    Ok(OffsetBuffer::from_lengths(lengths.iter().copied()))
}

fn build_map(
    values: &[Value],
    entries: &FieldRef,
    sorted: bool,
    nulls: NullBuffer,
) -> Result<MapArray, ArrowError> {
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(ArrowError::SchemaError("a map's entries are a struct".to_owned()));
    };
    let (mut lengths, mut keys, mut items) = (Vec::new(), Vec::new(), Vec::new());
    for value in values {
        let before = keys.len();
        if let Value::Dict(d) = value {
            for (key, item) in d.0.borrow().iter() {
                keys.push(key.value().clone());
                items.push(item.clone());
            }
        }
        lengths.push(keys.len() - before);
    }
    let columns =
        [keys, items].iter().zip(fields).map(|(v, f)| build(v, f)).collect::<Result<Vec<_>, _>>()?;
    let pairs = StructArray::try_new(fields.clone(), columns, None)?;
    MapArray::try_new(Arc::clone(entries), offsets(&lengths)?, pairs, Some(nulls), sorted)
}

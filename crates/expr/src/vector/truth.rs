//! Python's truth of whole columns.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{ArrowPrimitiveType, Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array as _, ArrayRef, BooleanArray, PrimitiveArray};
use arrow_cast::cast;
use arrow_schema::DataType;

use crate::json;

/// Whether each value is true in Python: null, zero, false, empty text, bytes, list and map are not. Never null.
pub fn truthy(values: &ArrayRef) -> BooleanArray {
    let rows = values.len();
    let valid = |row: usize| values.is_valid(row);
    let all =
        |test: &dyn Fn(usize) -> bool| BooleanArray::from_iter((0..rows).map(|i| Some(valid(i) && test(i))));
    match values.data_type() {
        DataType::Null => BooleanArray::from(vec![false; rows]),
        DataType::Boolean => {
            let values = values.as_boolean();
            let bits = match values.nulls() {
                Some(nulls) => values.values() & nulls.inner(),
                None => values.values().clone(),
            };
            BooleanArray::new(bits, None)
        }
        DataType::UInt64 => numbers::<UInt64Type>(values.as_primitive(), |v| v != 0),
        DataType::Int64 => numbers::<Int64Type>(values.as_primitive(), |v| v != 0),
        DataType::Float64 => numbers::<Float64Type>(values.as_primitive(), |v| v != 0.0),
        DataType::Utf8 => all(&|i| !values.as_string::<i32>().value(i).is_empty()),
        DataType::Binary => all(&|i| !values.as_binary::<i32>().value(i).is_empty()),
        DataType::List(_) => all(&|i| values.as_list::<i32>().value_length(i) > 0),
        DataType::LargeList(_) => all(&|i| values.as_list::<i64>().value_length(i) > 0),
        DataType::Map(..) => all(&|i| values.as_map().value_length(i) > 0),
        DataType::Duration(_) => match cast(values, &DataType::Int64) {
            Ok(values) => truthy(&values),
            Err(_) => all(&|_| true),
        },
        other => match plain(other).and_then(|t| cast(values, &t).ok()) {
            Some(values) => truthy(&values),
            // Rows and times are always true.
            None => all(&|_| true),
        },
    }
}

fn numbers<T: ArrowPrimitiveType>(
    values: &PrimitiveArray<T>,
    test: impl Fn(T::Native) -> bool,
) -> BooleanArray {
    BooleanArray::from_iter(values.iter().map(|v| Some(v.is_some_and(&test))))
}

/// The layout with a rule of its own that a type is cast to.
fn plain(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        t if t.is_integer() => DataType::Int64,
        t if t.is_floating() || t.is_decimal() => DataType::Float64,
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Dictionary(_, values) => (**values).clone(),
        _ => return None,
    })
}

/// The truth of values of type Any, which are JSON texts.
pub fn truthy_any(values: &ArrayRef) -> BooleanArray {
    let Some(texts) = values.as_string_opt::<i32>() else { return truthy(values) };
    let truth = |text: Option<&str>| Some(text.is_some_and(|t| json::parse(t).map_or(true, |v| v.truthy())));
    BooleanArray::from_iter(texts.iter().map(truth))
}

//! What leaves: values in the types that pipelines know.
//!
//! Integers have 64 bits, floats 64, instants are microseconds in UTC; decimals keep their digits, of which there may
//! be 38.

use crate::problem::Problem;
use arrow_array::types::Float64Type;
use arrow_array::{ArrayRef, cast::AsArray};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DECIMAL128_MAX_PRECISION, DataType, Field};
use std::sync::Arc;

/// The field that leaves for one that was computed.
pub(crate) fn field(f: &Field) -> Result<Field, Problem> {
    let t = settled(f.data_type(), 0).ok_or_else(|| {
        let message = format!(
            "column `{}` would have the type {}, which no other transform knows",
            f.name(),
            f.data_type()
        );
        Problem::new("sql/type", message)
            .help("cast it: `CAST(… AS VARCHAR)`, `CAST(… AS TIMESTAMP)`, `CAST(… AS BIGINT)`")
    })?;
    Ok(Field::new(f.name(), t, true).with_metadata(f.metadata().clone()))
}

/// Types nested deeper are refused.
const DEPTH_MAX: usize = 64;

fn settled(t: &DataType, depth: usize) -> Option<DataType> {
    if depth > DEPTH_MAX {
        return None;
    }
    let inner = |f: &Field| {
        let t = settled(f.data_type(), depth + 1)?;
        Some(Arc::new(Field::new(f.name(), t, true).with_metadata(f.metadata().clone())))
    };
    Some(match t {
        DataType::Null | DataType::Boolean | DataType::Int64 | DataType::Float64 => t.clone(),
        DataType::Utf8 | DataType::Binary | DataType::Date32 => t.clone(),
        t if t.is_integer() => DataType::Int64,
        DataType::Float16 | DataType::Float32 => DataType::Float64,
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => {
            DataType::Decimal128(*p, *s)
        }
        DataType::Decimal256(p, s) => DataType::Decimal128((*p).min(DECIMAL128_MAX_PRECISION), *s),
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(..) => crate::temporal::instant(),
        DataType::List(f)
        | DataType::LargeList(f)
        | DataType::FixedSizeList(f, _)
        | DataType::ListView(f) => DataType::List(inner(f)?),
        DataType::Struct(fs) => {
            DataType::Struct(fs.iter().map(|f| inner(f)).collect::<Option<Vec<_>>>()?.into())
        }
        DataType::Map(entries, sorted) => {
            let DataType::Struct(kv) = entries.data_type() else { return None };
            let [key, value] = kv.iter().collect::<Vec<_>>().try_into().ok()?;
            let key_type = settled(key.data_type(), depth + 1)?;
            let key = Arc::new(Field::new(key.name(), key_type, false));
            let kv = DataType::Struct([key, inner(value)?].into_iter().collect());
            DataType::Map(Arc::new(Field::new(entries.name(), kv, false)), *sorted)
        }
        _ => return None,
    })
}

/// Values in the type that leaves.
///
/// # Errors
/// A value that does not fit.
pub(crate) fn values(computed: &ArrayRef, t: &DataType) -> Result<ArrayRef, String> {
    if computed.data_type() == t {
        return Ok(computed.clone());
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(computed, t, &strict).map_err(|e| crate::problem::plain(&e.to_string()))
}

/// Floats without a negative zero, which SQL does not tell from zero (and `CEIL(-0.5)` would give).
pub(crate) fn one_zero(values: ArrayRef) -> ArrayRef {
    match values.as_primitive_opt::<Float64Type>() {
        Some(floats) => Arc::new(floats.unary::<_, Float64Type>(|f| f + 0.0)),
        None => values,
    }
}

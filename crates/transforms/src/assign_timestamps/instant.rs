//! Instants from values of many types.

use super::rfc3339::Utc;
use crate::errors::Failure;
use crate::expressions::Compiled;
use crate::python::repr;
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};
use purlin_api::decimal::{divide_half_even, power_of_ten, text as decimal_text};
use purlin_api::json::timestamp_text;
use purlin_api::{Error, EventTime, Result};
use serde_json::Value;

/// Whether values of this type may be instants.
pub(super) fn fits(values: &Compiled) -> bool {
    values.is_any()
        || matches!(
            values.data_type(),
            DataType::Int64
                | DataType::Float64
                | DataType::Decimal128(..)
                | DataType::Boolean
                | DataType::Utf8
                | DataType::Null
                | DataType::Timestamp(TimeUnit::Microsecond, _)
        )
}

/// Why a value is not an instant: the kind and text of a Python exception.
type Refusal = (&'static str, String);

/// The instant of each row in microseconds since 1970; what is none is pushed to `failures`.
pub(super) fn times(
    values: &ArrayRef,
    is_any: bool,
    beam_compat: bool,
    failures: &mut Vec<Failure>,
) -> Result<Vec<i64>> {
    let utf8 = || values.as_string::<i32>();
    Ok(match values.data_type() {
        DataType::Int64 => {
            let a = values.as_primitive::<Int64Type>();
            each(values, failures, |row| seconds(a.value(row)))
        }
        DataType::Float64 => {
            let a = values.as_primitive::<Float64Type>();
            each(values, failures, |row| fraction(a.value(row)))
        }
        DataType::Decimal128(_, scale) => {
            let (a, scale) = (values.as_primitive::<Decimal128Type>(), *scale);
            each(values, failures, |row| exact_seconds(a.value(row), scale))
        }
        DataType::Boolean => {
            let a = values.as_boolean();
            each(values, failures, |row| seconds(i64::from(a.value(row))))
        }
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            let a = values.as_primitive::<TimestampMicrosecondType>();
            each(values, failures, |row| {
                let shown = timestamp_text(a.value(row)).trim_end_matches('Z').replace('T', " ");
                Err((
                    "ValueError",
                    format!("dt has no timezone info ({shown}): give it one, such as timezone.utc"),
                ))
            })
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            let a = values.as_primitive::<TimestampMicrosecondType>();
            each(values, failures, |row| in_range(a.value(row)))
        }
        DataType::Utf8 if is_any => {
            let (a, mut utc) = (utf8(), Utc::default());
            each(values, failures, |row| untyped(a.value(row), beam_compat, &mut utc))
        }
        DataType::Utf8 => {
            let (a, mut utc) = (utf8(), Utc::default());
            each(values, failures, |row| text(a.value(row), beam_compat, &mut utc))
        }
        DataType::Null => each(values, failures, |_| Err(null())),
        other => return Err(Error::internal(format!("no instants in {other}"))),
    })
}

fn null() -> Refusal {
    ("TypeError", "Cannot interpret None <class 'NoneType'> as Timestamp.".to_owned())
}

/// The instants that `one` gives of the rows that have a value and did not fail before. A function for each
/// type of column, so that rows cost no calls through pointers.
fn each(
    values: &dyn Array,
    failures: &mut Vec<Failure>,
    mut one: impl FnMut(usize) -> std::result::Result<i64, Refusal>,
) -> Vec<i64> {
    let failed: std::collections::BTreeSet<usize> = failures.iter().map(|f| f.row).collect();
    let (nulls, any_failed) = (values.nulls(), !failed.is_empty());
    let mut instant = |row: usize| {
        if any_failed && failed.contains(&row) {
            return 0;
        }
        let found = if nulls.is_some_and(|n| n.is_null(row)) { Err(null()) } else { one(row) };
        found.unwrap_or_else(|(kind, text)| {
            failures.push(Failure::raised(row, kind, &text));
            0
        })
    };
    (0..values.len()).map(&mut instant).collect()
}

fn in_range(micros: i64) -> std::result::Result<i64, Refusal> {
    let range = EventTime::MIN.0..=EventTime::MAX.0;
    let out = || ("ValueError", format!("timestamp of {micros} microseconds is out of range"));
    if range.contains(&micros) { Ok(micros) } else { Err(out()) }
}

fn seconds(seconds: i64) -> std::result::Result<i64, Refusal> {
    let out = || ("ValueError", format!("timestamp of {seconds} seconds is out of range"));
    seconds.checked_mul(1_000_000).ok_or_else(out).and_then(in_range)
}

/// Decimals of seconds, to the nearest microsecond.
fn exact_seconds(units: i128, scale: i8) -> std::result::Result<i64, Refusal> {
    let decimals = i32::from(scale) - 6;
    let micros = match power_of_ten(decimals.unsigned_abs()) {
        Some(factor) if decimals >= 0 => divide_half_even(units, factor),
        Some(factor) => units.checked_mul(factor),
        None => None,
    };
    let out =
        || ("ValueError", format!("timestamp of {} seconds is out of range", decimal_text(units, scale)));
    micros.and_then(|m| i64::try_from(m).ok()).ok_or_else(out).and_then(in_range)
}

fn fraction(seconds: f64) -> std::result::Result<i64, Refusal> {
    let micros = (seconds * 1e6).round();
    // The bounds are below 2^63, so that the cast is exact enough and never saturates.
    if micros.abs() < 9.223e18 {
        return in_range(micros as i64);
    }
    Err(("ValueError", format!("timestamp of {} seconds is out of range", crate::python::float(seconds))))
}

fn text(text: &str, beam_compat: bool, utc: &mut Utc) -> std::result::Result<i64, Refusal> {
    if beam_compat {
        return Err(("TypeError", format!("Cannot interpret {text} <class 'str'> as Timestamp.")));
    }
    if let Some(micros) = utc.micros(text) {
        return Ok(micros);
    }
    text.trim().parse::<jiff::Timestamp>().map(|t| t.as_microsecond()).map_err(|_| {
        let way = "write RFC 3339 with an offset, such as 2024-01-02T03:04:05Z";
        ("ValueError", format!("{} is not a timestamp: {way}", repr(text)))
    })
}

fn untyped(json: &str, beam_compat: bool, utc: &mut Utc) -> std::result::Result<i64, Refusal> {
    let wrong = || ("TypeError", format!("Cannot interpret {json} as a timestamp"));
    match serde_json::from_str::<Value>(json) {
        Ok(Value::String(s)) => text(&s, beam_compat, utc),
        Ok(Value::Number(n)) => match (n.as_i64(), n.as_f64()) {
            (Some(i), _) => seconds(i),
            (None, Some(f)) => fraction(f),
            (None, None) => Err(wrong()),
        },
        Ok(Value::Bool(b)) => seconds(i64::from(b)),
        _ => Err(wrong()),
    }
}

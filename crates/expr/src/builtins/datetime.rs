//! Module `datetime`, and Beam's Timestamp. The local time zone is UTC, as on Beam's workers.

mod methods;

use std::rc::Rc;

use jiff::civil;
use num_traits::ToPrimitive as _;

use super::strftime::{parse_iso, parse_iso_date, strptime};
use super::{BuiltinDef, def, int_argument, no_attribute};
use crate::interp::{Args, Machine, floor_div_int, mod_int};
use crate::ir::Binary;
use crate::value::{
    DateTime, Res, Value, Zone, date_from_days, days_from_date, raise, type_error, value_error,
};

pub(super) use methods::{attribute, method, methods_of, timestamp_attribute, timestamp_method};

pub(super) const DAY: i64 = 86_400_000_000;
pub(super) const TIMESTAMP_METHODS: &[&str] =
    &["seconds", "to_rfc3339", "to_utc_datetime", "predecessor", "successor"];

pub(super) const TABLE: &[BuiltinDef] = &[
    // Resolved to a value where it is read.
    def("datetime.UTC", |_, _| Ok(Value::Zone(Zone::UTC))),
    def("time.time", |m, a| {
        a.none("time")?;
        #[allow(clippy::cast_precision_loss, reason = "seconds as the nearest float")]
        Ok(Value::Float(now(m)? as f64 / 1e6))
    }),
];

fn now(machine: &Machine<'_>) -> Res<i64> {
    match machine.now {
        Some(now) => Ok(now),
        None => raise("RuntimeError", "the current time is not known here"),
    }
}

fn overflow() -> crate::value::Raise {
    crate::value::Raise::new("OverflowError", "date value out of range")
}

pub(super) fn datetime_value(micros: i64, zone: Option<Zone>) -> Res<Value> {
    DateTime::from_local_micros(micros, zone).map(|d| Value::DateTime(Rc::new(d))).ok_or_else(overflow)
}

pub(super) fn date_value(days: i64) -> Res<Value> {
    i32::try_from(days).ok().and_then(date_from_days).map(Value::Date).ok_or_else(overflow)
}

/// A number of seconds as microseconds, rounded half to even as `fromtimestamp` does.
fn seconds_argument(value: &Value) -> Res<i64> {
    let micros = match value {
        Value::Float(f) if f.is_nan() => return Err(value_error("cannot convert float NaN to integer")),
        Value::Float(f) => (f * 1e6).round_ties_even().to_i64(),
        Value::Timestamp(t) | Value::Duration(t) => Some(*t),
        other => match other.as_int() {
            Some(i) => i.checked_mul(1_000_000),
            None => {
                let kind = other.type_name();
                return Err(type_error(format!("'{kind}' object cannot be interpreted as an integer")));
            }
        },
    };
    micros.ok_or_else(|| {
        crate::value::Raise::new("OverflowError", "timestamp out of range for platform time_t")
    })
}

fn zone_argument(value: Option<&Value>) -> Res<Option<Zone>> {
    match value {
        None | Some(Value::None) => Ok(None),
        Some(Value::Zone(zone)) => Ok(Some(zone.clone())),
        Some(other) => Err(type_error(format!(
            "tzinfo argument must be None or of a tzinfo subclass, not type '{}'",
            other.type_name()
        ))),
    }
}

fn in_zone(utc_micros: i64, zone: Option<Zone>) -> Res<Value> {
    let offset = zone.as_ref().map_or(0, |z| i64::from(z.offset) * 1_000_000);
    datetime_value(utc_micros.saturating_add(offset), zone)
}

/// `Class(args)` of this module.
pub(super) fn construct(_: &mut Machine<'_>, class: &'static str, args: Args) -> Res<Value> {
    match class {
        "datetime" => {
            let names = ["year", "month", "day", "hour", "minute", "second", "microsecond", "tzinfo"];
            let [y, m, d, h, mi, s, us, zone] = args.bind("datetime", names, 3)?;
            let date = civil_date(y.as_ref(), m.as_ref(), d.as_ref())?;
            let time = civil_time([h.as_ref(), mi.as_ref(), s.as_ref(), us.as_ref()])?;
            let zone = zone_argument(zone.as_ref())?;
            Ok(Value::DateTime(Rc::new(DateTime { naive: civil::DateTime::from_parts(date, time), zone })))
        }
        "date" => {
            let [y, m, d] = args.bind("date", ["year", "month", "day"], 3)?;
            civil_date(y.as_ref(), m.as_ref(), d.as_ref()).map(Value::Date)
        }
        "time" => {
            let [h, mi, s, us] = args.bind("time", ["hour", "minute", "second", "microsecond"], 0)?;
            civil_time([h.as_ref(), mi.as_ref(), s.as_ref(), us.as_ref()]).map(Value::Time)
        }
        "timedelta" => timedelta(args),
        "timezone" => {
            let [offset, name] = args.bind("timezone", ["offset", "name"], 1)?;
            let Some(Value::Delta(micros)) = offset else {
                return Err(type_error("timezone() argument 1 must be datetime.timedelta"));
            };
            if micros.abs() >= DAY {
                return Err(value_error(
                    "offset must be a timedelta strictly between -timedelta(hours=24) and timedelta(hours=24)",
                ));
            }
            let name = name.and_then(|n| n.as_str().map(std::sync::Arc::from));
            Ok(Value::Zone(Zone { offset: i32::try_from(micros / 1_000_000).unwrap_or(0), name }))
        }
        "Timestamp" | "Duration" => {
            let [seconds, micros] = args.bind(class, ["seconds", "micros"], 0)?;
            let seconds = seconds.as_ref().map_or(Ok(0), beam_seconds)?;
            let micros = micros.as_ref().map_or(Ok(0), int_argument)?;
            let total = seconds.saturating_add(micros);
            Ok(if class == "Timestamp" { Value::Timestamp(total) } else { Value::Duration(total) })
        }
        _ => Err(type_error(format!("cannot create '{class}' instances"))),
    }
}

/// Seconds as Beam's Timestamp takes them: cut to microseconds.
fn beam_seconds(value: &Value) -> Res<i64> {
    match value {
        Value::Float(f) => match (f * 1e6).trunc().to_i64() {
            Some(micros) => Ok(micros),
            None => raise("OverflowError", "Timestamp out of range"),
        },
        Value::DateTime(d) => match d.utc_micros() {
            Some(micros) => Ok(micros),
            None => Err(value_error(format!("dt has no timezone info ({})", d.iso(" ")))),
        },
        other => seconds_argument(other),
    }
}

fn small<T: TryFrom<i64>>(value: Option<&Value>, default: i64, message: &str) -> Res<T> {
    let n = value.map_or(Ok(default), int_argument)?;
    T::try_from(n).map_err(|_| value_error(message))
}

fn civil_date(y: Option<&Value>, m: Option<&Value>, d: Option<&Value>) -> Res<civil::Date> {
    let year: i16 = small(y, 0, "year is out of range")?;
    let month: i8 = small(m, 0, "month must be in 1..12")?;
    let day: i8 = small(d, 0, "day is out of range for month")?;
    if !(1..=9999).contains(&year) {
        return Err(value_error(format!("year {year} is out of range")));
    }
    if !(1..=12).contains(&month) {
        return Err(value_error("month must be in 1..12"));
    }
    civil::Date::new(year, month, day).map_err(|_| value_error("day is out of range for month"))
}

fn civil_time(parts: [Option<&Value>; 4]) -> Res<civil::Time> {
    let [h, m, s, us] = parts;
    let hour: i8 = small(h, 0, "hour must be in 0..23")?;
    let minute: i8 = small(m, 0, "minute must be in 0..59")?;
    let second: i8 = small(s, 0, "second must be in 0..59")?;
    let micros: i32 = small(us, 0, "microsecond must be in 0..999999")?;
    let checks = [
        ((0..24).contains(&hour), "hour must be in 0..23"),
        ((0..60).contains(&minute), "minute must be in 0..59"),
        ((0..60).contains(&second), "second must be in 0..59"),
        ((0..1_000_000).contains(&micros), "microsecond must be in 0..999999"),
    ];
    if let Some((_, message)) = checks.iter().find(|(good, _)| !good) {
        return Err(value_error(message));
    }
    civil::Time::new(hour, minute, second, micros * 1000).map_err(|_| value_error("invalid time"))
}

fn timedelta(args: Args) -> Res<Value> {
    let names = ["days", "seconds", "microseconds", "milliseconds", "minutes", "hours", "weeks"];
    let units: [i64; 7] = [DAY, 1_000_000, 1, 1000, 60_000_000, 3_600_000_000, 7 * DAY];
    let given = args.bind("timedelta", names, 0)?;
    let mut total: i128 = 0;
    let mut fraction = 0.0;
    for (value, unit) in given.iter().zip(units) {
        match value {
            None => {}
            Some(Value::Float(f)) if !f.is_finite() => {
                return Err(value_error("cannot convert float to integer"));
            }
            #[allow(clippy::cast_precision_loss, reason = "units are below 2^53")]
            Some(Value::Float(f)) => {
                total += f.trunc().to_i128().unwrap_or(0) * i128::from(unit);
                fraction += f.fract() * unit as f64;
            }
            Some(other) => total += i128::from(int_argument(other)?) * i128::from(unit),
        }
    }
    total += fraction.round_ties_even().to_i128().unwrap_or(0);
    delta(total)
}

/// CPython's bound is 999999999 days; 64 bits of microseconds end at 106751991.
fn delta(micros: i128) -> Res<Value> {
    match i64::try_from(micros) {
        Ok(micros) => Ok(Value::Delta(micros)),
        Err(_) => raise(
            "OverflowError",
            format!("days={}; must have magnitude <= 106751990", micros / i128::from(DAY)),
        ),
    }
}

pub(super) fn class_constant(class: &str, name: &str) -> Option<Value> {
    match (class, name) {
        ("timezone", "utc") => Some(Value::Zone(Zone::UTC)),
        ("datetime", "min") => datetime_value(-62_135_596_800_000_000, None).ok(),
        ("datetime", "max") => datetime_value(253_402_300_799_999_999, None).ok(),
        ("date", "min") => date_value(-719_162).ok(),
        ("date", "max") => date_value(2_932_896).ok(),
        _ => None,
    }
}

pub(super) fn has_class_method(class: &str, name: &str) -> bool {
    let names: &[&str] = match class {
        "datetime" => &[
            "combine",
            "fromisoformat",
            "fromordinal",
            "fromtimestamp",
            "now",
            "strptime",
            "today",
            "utcfromtimestamp",
            "utcnow",
        ],
        "date" => &["fromisoformat", "fromordinal", "fromtimestamp", "today"],
        "time" => &["fromisoformat"],
        "Timestamp" => &["from_rfc3339", "from_utc_datetime", "now", "of"],
        "Duration" => &["of"],
        _ => &[],
    };
    names.contains(&name)
}

fn text_of(args: Args, name: &str) -> Res<String> {
    let value = args.one(name)?;
    match value.as_str() {
        Some(s) => Ok(s.to_owned()),
        None => Err(type_error(format!("{name}: argument must be str"))),
    }
}

pub(super) fn class_method(machine: &mut Machine<'_>, class: &str, name: &str, args: Args) -> Res<Value> {
    match (class, name) {
        ("datetime", "now") => {
            let [zone] = args.bind("now", ["tz"], 0)?;
            in_zone(now(machine)?, zone_argument(zone.as_ref())?)
        }
        ("datetime", "utcnow" | "today") => datetime_value(now(machine)?, None),
        ("date", "today") => date_value(now(machine)?.div_euclid(DAY)),
        ("datetime", "fromisoformat") => parse_iso(&text_of(args, "fromisoformat")?),
        ("date", "fromisoformat") => parse_iso_date(&text_of(args, "fromisoformat")?),
        ("time", "fromisoformat") => {
            let text = text_of(args, "fromisoformat")?;
            match parse_iso(&format!("2000-01-01T{text}")) {
                Ok(Value::DateTime(d)) => Ok(Value::Time(d.naive.time())),
                _ => Err(value_error(format!("Invalid isoformat string: {}", crate::value::repr_str(&text)))),
            }
        }
        ("datetime", "strptime") => {
            let [text, format] = args.bind("strptime", ["/", "/"], 2)?;
            match (text, format) {
                (Some(Value::Str(text)), Some(Value::Str(format))) => strptime(&text, &format),
                (Some(Value::Str(_)), Some(other)) | (Some(other), _) => {
                    let at = if matches!(other, Value::Str(_)) { 2 } else { 1 };
                    Err(type_error(format!(
                        "strptime() argument {at} must be str, not {}",
                        other.type_name()
                    )))
                }
                (None, _) => Err(type_error("strptime() takes exactly 2 arguments")),
            }
        }
        ("datetime", "fromtimestamp") => {
            let [seconds, zone] = args.bind("fromtimestamp", ["timestamp", "tz"], 1)?;
            in_zone(seconds_argument(&seconds.unwrap_or(Value::None))?, zone_argument(zone.as_ref())?)
        }
        ("datetime", "utcfromtimestamp") => datetime_value(seconds_argument(&args.one(name)?)?, None),
        ("date", "fromtimestamp") => date_value(seconds_argument(&args.one(name)?)?.div_euclid(DAY)),
        ("datetime" | "date", "fromordinal") => {
            let days = int_argument(&args.one(name)?)?.saturating_sub(719_163);
            if class == "date" { date_value(days) } else { datetime_value(days.saturating_mul(DAY), None) }
        }
        ("datetime", "combine") => match args.bind("combine", ["/", "/", "tzinfo"], 2)? {
            [Some(Value::Date(d)), Some(Value::Time(t)), zone] => {
                let zone = zone_argument(zone.as_ref())?;
                Ok(Value::DateTime(Rc::new(DateTime { naive: civil::DateTime::from_parts(d, t), zone })))
            }
            _ => Err(type_error("combine() takes a date and a time")),
        },
        ("Timestamp", "now") => now(machine).map(Value::Timestamp),
        ("Timestamp", "of" | "from_utc_datetime") => beam_seconds(&args.one(name)?).map(Value::Timestamp),
        ("Duration", "of") => beam_seconds(&args.one(name)?).map(Value::Duration),
        ("Timestamp", "from_rfc3339") => match parse_iso(&text_of(args, name)?)? {
            Value::DateTime(d) => match d.utc_micros() {
                Some(micros) => Ok(Value::Timestamp(micros)),
                None => Err(value_error("the text has no time zone")),
            },
            _ => Err(value_error("not an RFC 3339 text")),
        },
        _ => Err(no_attribute(&Value::Str(class.into()), name)),
    }
}

/// Operators on times; `None` if neither side is one.
pub(crate) fn time_arithmetic(op: Binary, left: &Value, right: &Value) -> Res<Option<Value>> {
    let sub = op == Binary::Sub;
    if !matches!(op, Binary::Add | Binary::Sub) {
        return delta_arithmetic(op, left, right);
    }
    let signed = |d: i64| if sub { d.saturating_neg() } else { d };
    Ok(Some(match (left, right) {
        (Value::DateTime(d), Value::Delta(x)) => {
            datetime_value(d.local_micros().saturating_add(signed(*x)), d.zone.clone())?
        }
        (Value::Delta(x), Value::DateTime(d)) if !sub => {
            datetime_value(d.local_micros().saturating_add(*x), d.zone.clone())?
        }
        (Value::DateTime(a), Value::DateTime(b)) if sub => match (a.utc_micros(), b.utc_micros()) {
            (Some(a), Some(b)) => Value::Delta(a - b),
            (None, None) => Value::Delta(a.local_micros() - b.local_micros()),
            _ => return Err(type_error("can't subtract offset-naive and offset-aware datetimes")),
        },
        (Value::Date(d), Value::Delta(x)) => {
            date_value(i64::from(days_from_date(*d)) + signed(x.div_euclid(DAY)))?
        }
        (Value::Delta(x), Value::Date(d)) if !sub => {
            date_value(i64::from(days_from_date(*d)) + x.div_euclid(DAY))?
        }
        (Value::Date(a), Value::Date(b)) if sub => {
            Value::Delta((i64::from(days_from_date(*a)) - i64::from(days_from_date(*b))) * DAY)
        }
        (Value::Delta(a), Value::Delta(b)) => delta(i128::from(*a) + i128::from(signed(*b)))?,
        (Value::Timestamp(a), Value::Timestamp(b)) if sub => Value::Duration(a.saturating_sub(*b)),
        (Value::Timestamp(a), Value::Duration(b)) => Value::Timestamp(a.saturating_add(signed(*b))),
        (Value::Duration(a), Value::Duration(b)) => Value::Duration(a.saturating_add(signed(*b))),
        (Value::Duration(a), Value::Timestamp(b)) if !sub => Value::Timestamp(a.saturating_add(*b)),
        (Value::Timestamp(a), b) if is_number(b) => {
            Value::Timestamp(a.saturating_add(signed(beam_seconds(b)?)))
        }
        (Value::Duration(a), b) if is_number(b) => {
            Value::Duration(a.saturating_add(signed(beam_seconds(b)?)))
        }
        (b, Value::Timestamp(a)) if is_number(b) && !sub => {
            Value::Timestamp(a.saturating_add(beam_seconds(b)?))
        }
        (b, Value::Timestamp(a)) if is_number(b) => Value::Duration(beam_seconds(b)?.saturating_sub(*a)),
        (b, Value::Duration(a)) if is_number(b) => {
            Value::Duration(beam_seconds(b)?.saturating_add(signed(*a)))
        }
        _ => return Ok(None),
    }))
}

fn is_number(value: &Value) -> bool {
    value.as_int().is_some() || matches!(value, Value::Float(_))
}

/// `*`, `/`, `//` and `%` with time spans.
fn delta_arithmetic(op: Binary, left: &Value, right: &Value) -> Res<Option<Value>> {
    let zero = || raise("ZeroDivisionError", "integer division or modulo by zero");
    #[allow(clippy::cast_precision_loss, reason = "float arithmetic on spans rounds as in CPython")]
    let float = |x: i64| x as f64;
    let rounded = |x: f64| delta(x.round_ties_even().to_i128().unwrap_or(i128::MAX));
    Ok(Some(match (op, left, right) {
        (Binary::Mul, Value::Delta(d), n) | (Binary::Mul, n, Value::Delta(d)) if is_number(n) => match n {
            Value::Float(f) => rounded(float(*d) * f)?,
            n => delta(i128::from(*d) * i128::from(n.as_int().unwrap_or(0)))?,
        },
        (Binary::Div | Binary::FloorDiv | Binary::Mod, Value::Delta(_), Value::Delta(0)) => return zero(),
        (Binary::Div, Value::Delta(a), Value::Delta(b)) => Value::Float(float(*a) / float(*b)),
        (Binary::FloorDiv, Value::Delta(a), Value::Delta(b)) => {
            Value::Int(floor_div_int(*a, *b).unwrap_or(0))
        }
        (Binary::Mod, Value::Delta(a), Value::Delta(b)) => Value::Delta(mod_int(*a, *b).unwrap_or(0)),
        (Binary::Div, Value::Delta(a), Value::Float(b)) if *b != 0.0 => rounded(float(*a) / b)?,
        (Binary::Div | Binary::FloorDiv, Value::Delta(a), n) if n.as_int().is_some() => {
            let n = n.as_int().unwrap_or(0);
            if n == 0 {
                return zero();
            }
            if op == Binary::Div {
                rounded(float(*a) / float(n))?
            } else {
                Value::Delta(floor_div_int(*a, n).unwrap_or(0))
            }
        }
        (Binary::Mul, Value::Duration(d), n) | (Binary::Mul, n, Value::Duration(d)) if is_number(n) => {
            match n {
                Value::Float(f) => Value::Duration((float(*d) * f).trunc().to_i64().unwrap_or(i64::MAX)),
                n => Value::Duration(d.saturating_mul(n.as_int().unwrap_or(0))),
            }
        }
        (Binary::Mod, Value::Timestamp(a) | Value::Duration(a), b)
            if is_number(b) || matches!(b, Value::Duration(_)) =>
        {
            let b = beam_seconds(b)?;
            if b == 0 {
                return zero();
            }
            Value::Duration(mod_int(*a, b).unwrap_or(0))
        }
        _ => return Ok(None),
    }))
}

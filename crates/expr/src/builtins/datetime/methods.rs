//! Methods and attributes of dates, times, spans and Timestamps.

use std::rc::Rc;

use jiff::civil;

use super::{DAY, civil_date, civil_time, datetime_value, in_zone, zone_argument};
use crate::builtins::strftime::strftime;
use crate::builtins::{no_attribute, text_argument};
use crate::interp::{Args, Machine};
use crate::value::{
    DateTime, Res, Value, Zone, date_text, days_from_date, offset_text, time_text, timestamp_text,
    type_error, value_error, zone_name,
};

const DATE: &[&str] =
    &["ctime", "isocalendar", "isoformat", "isoweekday", "replace", "strftime", "toordinal", "weekday"];
const DATETIME: &[&str] = &[
    "astimezone",
    "ctime",
    "date",
    "isocalendar",
    "isoformat",
    "isoweekday",
    "replace",
    "strftime",
    "time",
    "timestamp",
    "toordinal",
    "tzname",
    "utcoffset",
    "weekday",
];

pub(in crate::builtins) fn methods_of(kind: &str) -> &'static [&'static str] {
    match kind {
        "datetime.date" => DATE,
        "datetime.datetime" => DATETIME,
        "datetime.time" => &["isoformat", "replace", "strftime"],
        "datetime.timedelta" => &["total_seconds"],
        "datetime.timezone" => &["tzname", "utcoffset"],
        _ => &[],
    }
}

#[allow(clippy::cast_precision_loss, reason = "seconds as the nearest float")]
fn seconds(micros: i64) -> Value {
    Value::Float(micros as f64 / 1e6)
}

fn date_of(object: &Value) -> Option<civil::Date> {
    match object {
        Value::Date(d) => Some(*d),
        Value::DateTime(d) => Some(d.naive.date()),
        _ => None,
    }
}

pub(in crate::builtins) fn method(_: &mut Machine<'_>, object: &Value, name: &str, args: Args) -> Res<Value> {
    if let Some(date) = date_of(object) {
        match name {
            "weekday" => {
                return args
                    .none(name)
                    .map(|()| Value::Int(i64::from(date.weekday().to_monday_zero_offset())));
            }
            "isoweekday" => {
                return args
                    .none(name)
                    .map(|()| Value::Int(i64::from(date.weekday().to_monday_one_offset())));
            }
            "toordinal" => {
                return args.none(name).map(|()| Value::Int(i64::from(days_from_date(date)) + 719_163));
            }
            "isocalendar" => {
                let week = date.iso_week_date();
                let parts = [
                    i64::from(week.year()),
                    i64::from(week.week()),
                    i64::from(date.weekday().to_monday_one_offset()),
                ];
                return args.none(name).map(|()| Value::tuple(parts.into_iter().map(Value::Int).collect()));
            }
            "ctime" => {
                return args
                    .none(name)
                    .and_then(|()| strftime(object, "%a %b %e %H:%M:%S %Y").map(Value::str));
            }
            _ => {}
        }
    }
    if name == "strftime" && !matches!(object, Value::Delta(_) | Value::Zone(_)) {
        let format = args.one(name)?;
        return strftime(object, text_argument(&format, "strftime() argument 1")?).map(Value::str);
    }
    match object {
        Value::Date(d) => date_method(*d, name, args),
        Value::DateTime(d) => datetime_method(d, name, args),
        Value::Time(t) if name == "isoformat" => args.none(name).map(|()| Value::str(time_text(*t))),
        Value::Time(t) if name == "replace" => {
            let given = args.bind(name, ["hour", "minute", "second", "microsecond"], 0)?;
            replace_time(*t, given).map(Value::Time)
        }
        Value::Delta(d) if name == "total_seconds" => args.none(name).map(|()| seconds(*d)),
        Value::Zone(z) if name == "utcoffset" => Ok(Value::Delta(i64::from(z.offset) * 1_000_000)),
        Value::Zone(z) if name == "tzname" => Ok(Value::str(zone_name(z))),
        other => Err(no_attribute(other, name)),
    }
}

fn date_method(date: civil::Date, name: &str, args: Args) -> Res<Value> {
    match name {
        "isoformat" => args.none(name).map(|()| Value::str(date_text(date))),
        "replace" => {
            let [y, m, d] = args.bind(name, ["year", "month", "day"], 0)?;
            replace_date(date, [y, m, d]).map(Value::Date)
        }
        _ => Err(no_attribute(&Value::Date(date), name)),
    }
}

fn replace_date(date: civil::Date, given: [Option<Value>; 3]) -> Res<civil::Date> {
    let [y, m, d] = given;
    let old = [i64::from(date.year()), i64::from(date.month()), i64::from(date.day())].map(Value::Int);
    civil_date(y.as_ref().or(old.first()), m.as_ref().or(old.get(1)), d.as_ref().or(old.get(2)))
}

fn replace_time(time: civil::Time, given: [Option<Value>; 4]) -> Res<civil::Time> {
    let [h, m, s, us] = given;
    let old = [i64::from(time.hour()), i64::from(time.minute()), i64::from(time.second())].map(Value::Int);
    let micros = Value::Int(i64::from(time.subsec_nanosecond() / 1000));
    civil_time([
        h.as_ref().or(old.first()),
        m.as_ref().or(old.get(1)),
        s.as_ref().or(old.get(2)),
        us.as_ref().or(Some(&micros)),
    ])
}

fn datetime_method(d: &Rc<DateTime>, name: &str, args: Args) -> Res<Value> {
    match name {
        "isoformat" => {
            let [separator, spec] = args.bind(name, ["sep", "timespec"], 0)?;
            let separator = separator.as_ref().map_or(Ok("T"), |s| text_argument(s, "sep"))?.to_owned();
            isoformat(d, &separator, spec.as_ref().and_then(Value::as_str).unwrap_or("auto"))
        }
        "timestamp" => args.none(name).map(|()| seconds(d.utc_micros().unwrap_or_else(|| d.local_micros()))),
        "date" => args.none(name).map(|()| Value::Date(d.naive.date())),
        "time" => args.none(name).map(|()| Value::Time(d.naive.time())),
        "utcoffset" => {
            let offset = d.zone.as_ref().map(|z| Value::Delta(i64::from(z.offset) * 1_000_000));
            args.none(name).map(|()| offset.unwrap_or(Value::None))
        }
        "tzname" => {
            let zone = d.zone.as_ref().map(|z| Value::str(zone_name(z)));
            args.none(name).map(|()| zone.unwrap_or(Value::None))
        }
        "astimezone" => {
            let [zone] = args.bind(name, ["tz"], 0)?;
            let zone = zone_argument(zone.as_ref())?.unwrap_or(Zone::UTC);
            in_zone(d.utc_micros().unwrap_or_else(|| d.local_micros()), Some(zone))
        }
        "replace" => {
            let names = ["year", "month", "day", "hour", "minute", "second", "microsecond", "tzinfo"];
            let [y, m, day, h, mi, s, us, zone] = args.bind(name, names, 0)?;
            let date = replace_date(d.naive.date(), [y, m, day])?;
            let time = replace_time(d.naive.time(), [h, mi, s, us])?;
            let zone = match &zone {
                None => d.zone.clone(),
                Some(zone) => zone_argument(Some(zone))?,
            };
            Ok(Value::DateTime(Rc::new(DateTime { naive: civil::DateTime::from_parts(date, time), zone })))
        }
        _ => Err(no_attribute(&Value::DateTime(Rc::clone(d)), name)),
    }
}

fn isoformat(d: &DateTime, separator: &str, spec: &str) -> Res<Value> {
    let time = d.naive.time();
    let clock = match spec {
        "auto" => return Ok(Value::str(d.iso(separator))),
        "hours" => format!("{:02}", time.hour()),
        "minutes" => format!("{:02}:{:02}", time.hour(), time.minute()),
        "seconds" => format!("{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second()),
        "milliseconds" | "microseconds" => {
            let micros = time.subsec_nanosecond() / 1000;
            let fraction =
                if spec == "milliseconds" { format!("{:03}", micros / 1000) } else { format!("{micros:06}") };
            format!("{:02}:{:02}:{:02}.{fraction}", time.hour(), time.minute(), time.second())
        }
        _ => return Err(value_error("Unknown timespec value")),
    };
    let zone = d.zone.as_ref().map(|z| offset_text(z.offset, ":")).unwrap_or_default();
    Ok(Value::str(format!("{}{separator}{clock}{zone}", date_text(d.naive.date()))))
}

pub(in crate::builtins) fn attribute(object: &Value, name: &str) -> Option<Value> {
    let int = |n: i64| Some(Value::Int(n));
    if let Some(date) = date_of(object) {
        match name {
            "year" => return int(i64::from(date.year())),
            "month" => return int(i64::from(date.month())),
            "day" => return int(i64::from(date.day())),
            _ => {}
        }
    }
    let time = match object {
        Value::Time(t) => Some(*t),
        Value::DateTime(d) => Some(d.naive.time()),
        _ => None,
    };
    if let Some(time) = time {
        match name {
            "hour" => return int(i64::from(time.hour())),
            "minute" => return int(i64::from(time.minute())),
            "second" => return int(i64::from(time.second())),
            "microsecond" => return int(i64::from(time.subsec_nanosecond() / 1000)),
            _ => {}
        }
    }
    match (object, name) {
        (Value::DateTime(d), "tzinfo") => Some(d.zone.clone().map_or(Value::None, Value::Zone)),
        (Value::Delta(d), "days") => int(d.div_euclid(DAY)),
        (Value::Delta(d), "seconds") => int(d.rem_euclid(DAY) / 1_000_000),
        (Value::Delta(d), "microseconds") => int(d.rem_euclid(1_000_000)),
        _ => None,
    }
}

pub(in crate::builtins) fn timestamp_attribute(object: &Value, name: &str) -> Option<Value> {
    match (object, name) {
        (Value::Timestamp(t) | Value::Duration(t), "micros") => Some(Value::Int(*t)),
        _ => None,
    }
}

pub(in crate::builtins) fn timestamp_method(object: &Value, name: &str, args: Args) -> Res<Value> {
    match (object, name) {
        (Value::Timestamp(t) | Value::Duration(t), "seconds") => {
            args.none(name).map(|()| Value::Int(t.div_euclid(1_000_000)))
        }
        (Value::Timestamp(t), "to_rfc3339") => args.none(name).map(|()| Value::str(timestamp_text(*t))),
        (Value::Timestamp(t), "to_utc_datetime") => {
            let [zoned] = args.bind(name, ["has_tz"], 0)?;
            datetime_value(*t, zoned.is_some_and(|z| z.truthy()).then_some(Zone::UTC))
        }
        (Value::Timestamp(t), "predecessor") => {
            args.none(name).map(|()| Value::Timestamp(t.saturating_sub(1)))
        }
        (Value::Timestamp(t), "successor") => args.none(name).map(|()| Value::Timestamp(t.saturating_add(1))),
        (Value::Timestamp(_) | Value::Duration(_), _) => Err(no_attribute(object, name)),
        _ => Err(type_error("not a Timestamp")),
    }
}

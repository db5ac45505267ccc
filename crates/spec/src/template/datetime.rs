//! The object `datetime` of templates: Python's module of that name, with a clock that is given.
//!
//! There is no local time zone: what Python calls local time is UTC here.

use super::calendar::{self, DAY, END, LEAST, SECOND, parts};
use minijinja::value::{DynObject, Kwargs, Object, ObjectRepr, Rest, Value, from_args};
use minijinja::{Error, ErrorKind, State};
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// The module. `now` is the present time in microseconds since 1970 UTC.
pub(crate) fn module(now: i64) -> Value {
    Value::from_object(Module { now: now.clamp(LEAST, END - 1) })
}

#[derive(Debug)]
struct Module {
    now: i64,
}

impl Object for Module {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let class = |kind| Some(Value::from_object(Class { kind, now: self.now }));
        match key.as_str()? {
            "datetime" => class(ClassKind::DateTime),
            "date" => class(ClassKind::Date),
            "time" => class(ClassKind::Time),
            "timedelta" => class(ClassKind::Delta),
            "timezone" => class(ClassKind::Zone),
            "UTC" => Some(Value::from_object(Zone(0))),
            "MINYEAR" => Some(Value::from(1)),
            "MAXYEAR" => Some(Value::from(9999)),
            _ => None,
        }
    }
    fn call_method(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        match self.get_value(&Value::from(method)) {
            Some(class) => class.call(state, args),
            None => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<module 'datetime'>")
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum ClassKind {
    DateTime,
    Date,
    Time,
    Delta,
    Zone,
}

/// A class of the module: callable, with class methods.
#[derive(Debug)]
struct Class {
    kind: ClassKind,
    now: i64,
}

/// A date and a time of day, with an offset if it is aware of one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct DateTime {
    /// Wall time.
    at: i64,
    offset: Option<i32>,
}

/// A date: microseconds of its midnight.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Date(i64);

/// A time of day, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Time(i64);

/// A length of time, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Delta(i64);

/// A fixed offset, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Zone(i32);

fn bad(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, what.into())
}

fn datetime(at: i64, offset: Option<i32>) -> Result<Value, Error> {
    if !(LEAST..END).contains(&at) {
        return Err(bad("date value out of range"));
    }
    Ok(Value::from_object(DateTime { at, offset }))
}

fn date(at: i64) -> Result<Value, Error> {
    if !(LEAST..END).contains(&at) {
        return Err(bad("date value out of range"));
    }
    Ok(Value::from_object(Date(at.div_euclid(DAY) * DAY)))
}

fn delta(micros: Option<i64>) -> Result<Value, Error> {
    const LIMIT: i64 = 999_999_999;
    let micros = micros.filter(|m| m.div_euclid(DAY).abs() <= LIMIT);
    micros.map(|m| Value::from_object(Delta(m))).ok_or_else(|| bad("timedelta is out of range"))
}

fn zone_of(value: Option<&Value>) -> Result<Option<i32>, Error> {
    match value {
        None => Ok(None),
        Some(v) if v.is_none() => Ok(None),
        Some(v) => {
            v.downcast_object_ref::<Zone>().map(|z| Some(z.0)).ok_or_else(|| bad("tzinfo must be a timezone"))
        }
    }
}

/// Integer arguments by position or name; those not given are `None`.
struct Named(Vec<Option<Value>>);

impl Named {
    fn new(names: &[&str], args: &[Value]) -> Result<Self, Error> {
        let (given, kwargs): (Rest<Value>, Kwargs) = from_args(args)?;
        if given.len() > names.len() {
            return Err(Error::from(ErrorKind::TooManyArguments));
        }
        let mut values: Vec<Option<Value>> = given.iter().cloned().map(Some).collect();
        for name in names.iter().skip(values.len()) {
            values.push(kwargs.get::<Option<Value>>(name)?);
        }
        kwargs.assert_all_used()?;
        Ok(Named(values))
    }
    fn value(&self, index: usize) -> Option<&Value> {
        self.0.get(index).and_then(Option::as_ref)
    }
    fn int(&self, index: usize, default: Option<i64>) -> Result<i64, Error> {
        match self.value(index) {
            Some(v) => v.as_i64().ok_or_else(|| bad("an integer is required")),
            None => default.ok_or_else(|| Error::from(ErrorKind::MissingArgument)),
        }
    }
}

impl Object for Class {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match (self.kind, key.as_str()?) {
            (ClassKind::Zone, "utc") => Some(Value::from_object(Zone(0))),
            (ClassKind::DateTime, "min") => datetime(LEAST, None).ok(),
            (ClassKind::DateTime, "max") => datetime(END - 1, None).ok(),
            (ClassKind::Date, "min") => date(LEAST).ok(),
            (ClassKind::Date, "max") => date(END - 1).ok(),
            _ => None,
        }
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        match self.kind {
            ClassKind::DateTime => {
                const NAMES: &[&str] =
                    &["year", "month", "day", "hour", "minute", "second", "microsecond", "tzinfo"];
                let a = Named::new(NAMES, args)?;
                let day = (a.int(0, None)?, a.int(1, None)?, a.int(2, None)?);
                let clock = (a.int(3, Some(0))?, a.int(4, Some(0))?, a.int(5, Some(0))?);
                let at = calendar::instant(day, clock, a.int(6, Some(0))?);
                datetime(at.ok_or_else(|| bad("there is no such day or time"))?, zone_of(a.value(7))?)
            }
            ClassKind::Date => {
                let a = Named::new(&["year", "month", "day"], args)?;
                let day = calendar::days(a.int(0, None)?, a.int(1, None)?, a.int(2, None)?);
                date(day.ok_or_else(|| bad("there is no such day"))? * DAY)
            }
            ClassKind::Time => {
                let a = Named::new(&["hour", "minute", "second", "microsecond"], args)?;
                let clock = (a.int(0, Some(0))?, a.int(1, Some(0))?, a.int(2, Some(0))?);
                let at = calendar::instant((1970, 1, 1), clock, a.int(3, Some(0))?);
                Ok(Value::from_object(Time(at.ok_or_else(|| bad("there is no such time"))?)))
            }
            ClassKind::Delta => new_delta(args),
            ClassKind::Zone => {
                let (offset, _name): (Value, Option<Value>) = from_args(args)?;
                let offset =
                    offset.downcast_object_ref::<Delta>().ok_or_else(|| bad("offset must be a timedelta"))?;
                if offset.0.abs() >= DAY {
                    return Err(bad("offset must be less than a day"));
                }
                Ok(Value::from_object(Zone((offset.0 / SECOND) as i32)))
            }
        }
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        match (self.kind, method) {
            (ClassKind::DateTime, "now") => {
                let a = Named::new(&["tz"], args)?;
                let offset = zone_of(a.value(0))?;
                datetime(self.now + i64::from(offset.unwrap_or(0)) * SECOND, offset)
            }
            (ClassKind::DateTime, "utcnow" | "today") => datetime(self.now, None),
            (ClassKind::Date, "today") => date(self.now),
            (ClassKind::DateTime, "strptime") => {
                let (text, format): (String, String) = from_args(args)?;
                let (at, offset) = calendar::strptime(&text, &format)
                    .ok_or_else(|| bad(format!("time data {text:?} does not match format {format:?}")))?;
                datetime(at, offset)
            }
            (ClassKind::DateTime | ClassKind::Date, "fromisoformat") => {
                let (text,): (String,) = from_args(args)?;
                let wrong = || bad(format!("invalid isoformat string: {text:?}"));
                if self.kind == ClassKind::Date {
                    return date(calendar::date_from_iso(&text).ok_or_else(wrong)? * DAY);
                }
                let (at, offset) = calendar::datetime_from_iso(&text).ok_or_else(wrong)?;
                datetime(at, offset)
            }
            (ClassKind::DateTime, "fromtimestamp" | "utcfromtimestamp") => {
                let a = Named::new(&["timestamp", "tz"], args)?;
                let offset = zone_of(a.value(1))?;
                let at = micros_of(a.value(0), SECOND)?;
                datetime(at.saturating_add(i64::from(offset.unwrap_or(0)) * SECOND), offset)
            }
            (ClassKind::Date, "fromtimestamp") => {
                let a = Named::new(&["timestamp"], args)?;
                date(micros_of(a.value(0), SECOND)?)
            }
            (ClassKind::DateTime, "combine") => {
                let (day, time): (Value, Value) = from_args(args)?;
                match (day_of(&day), time.downcast_object_ref::<Time>()) {
                    (Some(day), Some(time)) => datetime(day + time.0, None),
                    _ => Err(bad("combine takes a date and a time")),
                }
            }
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.kind {
            ClassKind::DateTime => "datetime",
            ClassKind::Date => "date",
            ClassKind::Time => "time",
            ClassKind::Delta => "timedelta",
            ClassKind::Zone => "timezone",
        };
        write!(f, "<class 'datetime.{name}'>")
    }
}

fn day_of(value: &Value) -> Option<i64> {
    let at = value.downcast_object_ref::<DateTime>().map(|d| d.at);
    at.or_else(|| value.downcast_object_ref::<Date>().map(|d| d.0)).map(|at| at.div_euclid(DAY) * DAY)
}

/// A number of `unit`s in microseconds; halves go to the even one, as in Python.
fn micros_of(value: Option<&Value>, unit: i64) -> Result<i64, Error> {
    let Some(value) = value else { return Ok(0) };
    if let Some(i) = value.as_i64().filter(|_| value.is_integer()) {
        return i.checked_mul(unit).ok_or_else(|| bad("timedelta is out of range"));
    }
    let number = f64::try_from(value.clone()).map_err(|_| bad("a number is required"))?;
    let micros = (number * unit as f64).round_ties_even();
    if micros.abs() < 9.0e18 { Ok(micros as i64) } else { Err(bad("timedelta is out of range")) }
}

fn new_delta(args: &[Value]) -> Result<Value, Error> {
    const NAMES: &[&str] = &["days", "seconds", "microseconds", "milliseconds", "minutes", "hours", "weeks"];
    const UNITS: [i64; 7] = [DAY, SECOND, 1, 1000, 60 * SECOND, 3600 * SECOND, 7 * DAY];
    let a = Named::new(NAMES, args)?;
    let mut total = Some(0i64);
    for (i, unit) in UNITS.iter().enumerate() {
        let part = micros_of(a.value(i), *unit)?;
        total = total.and_then(|t| t.checked_add(part));
    }
    delta(total)
}

/// `iso` methods and fields that dates and datetimes share.
fn date_field(at: i64, name: &str) -> Option<Value> {
    let p = parts(at);
    Some(Value::from(match name {
        "year" => p.year,
        "month" => p.month,
        "day" => p.day,
        _ => return None,
    }))
}

fn clock_field(at: i64, name: &str) -> Option<Value> {
    let p = parts(at);
    Some(Value::from(match name {
        "hour" => p.hour,
        "minute" => p.minute,
        "second" => p.second,
        "microsecond" => p.micros,
        _ => return None,
    }))
}

fn date_method(at: i64, offset: Option<i32>, method: &str, args: &[Value]) -> Option<Result<Value, Error>> {
    let (year, week, weekday) = calendar::iso_week(at);
    Some(Ok(match method {
        "strftime" | "__format__" => {
            return Some(
                from_args::<(String,)>(args).map(|(f,)| Value::from(calendar::strftime(&f, at, offset))),
            );
        }
        "weekday" => Value::from(parts(at).weekday),
        "isoweekday" => Value::from(weekday),
        "isocalendar" => Value::from(vec![year, week, weekday]),
        "toordinal" => Value::from(at.div_euclid(DAY) + 719_163),
        "ctime" => Value::from(calendar::strftime("%a %b %e %H:%M:%S %Y", at, None)),
        _ => return None,
    }))
}

impl DateTime {
    fn utc(self) -> i64 {
        self.at - i64::from(self.offset.unwrap_or(0)) * SECOND
    }

    fn iso(self, separator: &str) -> String {
        let offset = self.offset.map(|o| calendar::offset_text(o, ":")).unwrap_or_default();
        format!("{}{separator}{}{offset}", calendar::date_text(self.at), calendar::clock_text(self.at))
    }

    fn iso_method(self, args: &[Value]) -> Result<Value, Error> {
        let a = Named::new(&["sep", "timespec"], args)?;
        let separator = a.value(0).map_or("T".to_owned(), ToString::to_string);
        let clock = match a.value(1).and_then(Value::as_str) {
            None | Some("auto") => calendar::clock_text(self.at),
            Some("hours") => calendar::strftime("%H", self.at, None),
            Some("minutes") => calendar::strftime("%H:%M", self.at, None),
            Some("seconds") => calendar::strftime("%H:%M:%S", self.at, None),
            Some("milliseconds") => {
                format!(
                    "{}.{:03}",
                    calendar::strftime("%H:%M:%S", self.at, None),
                    parts(self.at).micros / 1000
                )
            }
            Some("microseconds") => calendar::strftime("%H:%M:%S.%f", self.at, None),
            Some(_) => return Err(bad("unknown timespec")),
        };
        let offset = self.offset.map(|o| calendar::offset_text(o, ":")).unwrap_or_default();
        Ok(Value::from(format!("{}{separator}{clock}{offset}", calendar::date_text(self.at))))
    }

    fn replace(self, args: &[Value]) -> Result<Value, Error> {
        const NAMES: &[&str] = &["year", "month", "day", "hour", "minute", "second", "microsecond", "tzinfo"];
        let a = Named::new(NAMES, args)?;
        let p = parts(self.at);
        let day = (a.int(0, Some(p.year))?, a.int(1, Some(p.month))?, a.int(2, Some(p.day))?);
        let clock = (a.int(3, Some(p.hour))?, a.int(4, Some(p.minute))?, a.int(5, Some(p.second))?);
        let at = calendar::instant(day, clock, a.int(6, Some(p.micros))?);
        // `tzinfo=None` makes it naive, which is not the same as leaving it out.
        let offset = match a.value(7) {
            Some(v) => zone_of(Some(v))?,
            None if from_args::<(Rest<Value>, Kwargs)>(args)?.1.has("tzinfo") => None,
            None => self.offset,
        };
        datetime(at.ok_or_else(|| bad("there is no such day or time"))?, offset)
    }
}

impl Object for DateTime {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let key = key.as_str()?;
        if key == "tzinfo" {
            return Some(self.offset.map_or(Value::from(()), |o| Value::from_object(Zone(o))));
        }
        date_field(self.at, key).or_else(|| clock_field(self.at, key))
    }
    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        if let Some(done) = date_method(self.at, self.offset, method, args) {
            return done;
        }
        match method {
            "isoformat" => self.iso_method(args),
            "date" => date(self.at),
            "time" => Ok(Value::from_object(Time(self.at.rem_euclid(DAY)))),
            "timestamp" => Ok(Value::from(self.utc() as f64 / SECOND as f64)),
            "replace" => self.replace(args),
            "astimezone" => {
                let offset = zone_of(Named::new(&["tz"], args)?.value(0))?.unwrap_or(0);
                datetime(self.utc() + i64::from(offset) * SECOND, Some(offset))
            }
            "utcoffset" => match self.offset {
                Some(o) => delta(Some(i64::from(o) * SECOND)),
                None => Ok(Value::from(())),
            },
            "tzname" => Ok(self.offset.map_or(Value::from(()), |o| Value::from(calendar::zone_name(o)))),
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        other.downcast_ref::<Self>().map(|o| self.utc().cmp(&o.utc()))
    }
    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.iso(" "))
    }
}

impl Object for Date {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        date_field(self.0, key.as_str()?)
    }
    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        if let Some(done) = date_method(self.0, None, method, args) {
            return done;
        }
        match method {
            "isoformat" => Ok(Value::from(calendar::date_text(self.0))),
            "replace" => {
                let a = Named::new(&["year", "month", "day"], args)?;
                let p = parts(self.0);
                let day =
                    calendar::days(a.int(0, Some(p.year))?, a.int(1, Some(p.month))?, a.int(2, Some(p.day))?);
                date(day.ok_or_else(|| bad("there is no such day"))? * DAY)
            }
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        other.downcast_ref::<Self>().map(|o| self.0.cmp(&o.0))
    }
    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&calendar::date_text(self.0))
    }
}

impl Object for Time {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        clock_field(self.0, key.as_str()?)
    }
    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "strftime" => {
                let (format,): (String,) = from_args(args)?;
                Ok(Value::from(calendar::strftime(&format, self.0, None)))
            }
            "isoformat" => Ok(Value::from(calendar::clock_text(self.0))),
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        other.downcast_ref::<Self>().map(|o| self.0.cmp(&o.0))
    }
    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&calendar::clock_text(self.0))
    }
}

impl Object for Delta {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
    fn is_true(self: &Arc<Self>) -> bool {
        self.0 != 0
    }
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        Some(Value::from(match key.as_str()? {
            "days" => self.0.div_euclid(DAY),
            "seconds" => self.0.rem_euclid(DAY) / SECOND,
            "microseconds" => self.0.rem_euclid(SECOND),
            _ => return None,
        }))
    }
    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        _: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "total_seconds" => Ok(Value::from(self.0 as f64 / SECOND as f64)),
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        other.downcast_ref::<Self>().map(|o| self.0.cmp(&o.0))
    }
    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0.div_euclid(DAY);
        let p = parts(self.0.rem_euclid(DAY));
        if days != 0 {
            write!(f, "{days} day{}, ", if days.abs() == 1 { "" } else { "s" })?;
        }
        write!(f, "{}:{:02}:{:02}", p.hour, p.minute, p.second)?;
        if p.micros != 0 {
            write!(f, ".{:06}", p.micros)?;
        }
        Ok(())
    }
}

impl Object for Zone {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        other.downcast_ref::<Self>().map(|o| self.0.cmp(&o.0))
    }
    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&calendar::zone_name(self.0))
    }
}

/// Arithmetic with a date, datetime or timedelta in it; `None` if there is none.
pub(crate) fn arithmetic(op: char, a: &Value, b: &Value) -> Option<Result<Value, Error>> {
    let length = |v: &Value| v.downcast_object_ref::<Delta>().map(|d| d.0);
    let moment = |v: &Value| v.downcast_object_ref::<DateTime>().copied();
    let day = |v: &Value| v.downcast_object_ref::<Date>().map(|d| d.0);
    let signed = |d: i64| if op == '-' { -d } else { d };
    let number = |v: &Value| v.is_number().then(|| f64::try_from(v.clone()).ok()).flatten();
    Some(match op {
        '+' | '-' => match (moment(a), day(a), length(a), moment(b), day(b), length(b)) {
            (Some(t), _, _, _, _, Some(d)) => datetime(t.at.saturating_add(signed(d)), t.offset),
            (_, Some(t), _, _, _, Some(d)) => date(t.saturating_add(signed(d.div_euclid(DAY) * DAY))),
            (_, _, Some(x), _, _, Some(y)) => delta(x.checked_add(signed(y))),
            (_, _, Some(d), Some(t), _, _) if op == '+' => datetime(t.at.saturating_add(d), t.offset),
            (_, _, Some(d), _, Some(t), _) if op == '+' => date(t.saturating_add(d.div_euclid(DAY) * DAY)),
            (Some(x), _, _, Some(y), _, _) if op == '-' => {
                if x.offset.is_some() == y.offset.is_some() {
                    delta(Some(x.utc() - y.utc()))
                } else {
                    Err(bad("can't subtract offset-naive and offset-aware datetimes"))
                }
            }
            (_, Some(x), _, _, Some(y), _) if op == '-' => delta(Some(x - y)),
            (None, None, None, None, None, None) => return None,
            _ => Err(bad(format!("unsupported operands for {op}"))),
        },
        _ => match (op, length(a), length(b), number(a), number(b)) {
            ('*', Some(d), _, _, Some(n)) | ('*', _, Some(d), Some(n), _) => scaled(d, n),
            ('/', Some(d), _, _, Some(n)) if n != 0.0 => scaled(d, 1.0 / n),
            ('/', Some(x), Some(y), ..) if y != 0 => Ok(Value::from(x as f64 / y as f64)),
            ('f', Some(x), Some(y), ..) if y != 0 => Ok(Value::from(x.div_euclid(y))),
            ('%', Some(x), Some(y), ..) if y != 0 => delta(Some(x.rem_euclid(y))),
            (_, None, None, ..) => return None,
            _ => Err(bad(format!("unsupported operands for {op}"))),
        },
    })
}

fn scaled(micros: i64, by: f64) -> Result<Value, Error> {
    let product = (micros as f64 * by).round_ties_even();
    delta((product.abs() < 9.0e18).then_some(product as i64))
}

//! `strftime`, `strptime` and ISO 8601 texts.

use std::rc::Rc;

use jiff::civil;

use crate::value::{DateTime, Res, Value, Zone, offset_text, repr_str, value_error, zone_name};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

fn name_of<const N: usize>(names: [&'static str; N], at: i8) -> &'static str {
    usize::try_from(at).ok().and_then(|i| names.get(i)).copied().unwrap_or("")
}

fn short(name: &str) -> &str {
    name.get(..3).unwrap_or(name)
}

/// `value.strftime(format)` in the C locale; unknown directives are kept as they are.
pub(super) fn strftime(value: &Value, format: &str) -> Res<String> {
    let epoch = civil::Date::constant(1900, 1, 1);
    let (date, time, zone) = match value {
        Value::Date(d) => (*d, civil::Time::midnight(), None),
        Value::Time(t) => (epoch, *t, None),
        Value::DateTime(d) => (d.naive.date(), d.naive.time(), d.zone.as_ref()),
        _ => (epoch, civil::Time::midnight(), None),
    };
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match chars.next() {
            None => out.push('%'),
            // glibc's flag for numbers without padding.
            Some('-') => match chars.next() {
                None => out.push_str("%-"),
                Some(directive) => match part(directive, date, time, zone) {
                    Some(text) => out.push_str(unpadded(&text)),
                    None => out.extend(['%', '-', directive]),
                },
            },
            Some(directive) => match part(directive, date, time, zone) {
                Some(text) => out.push_str(&text),
                None => out.extend(['%', directive]),
            },
        }
    }
    Ok(out)
}

/// A number without the zeros or spaces before it; other texts as they are.
fn unpadded(text: &str) -> &str {
    let number = !text.is_empty() && text.trim_start().bytes().all(|b| b.is_ascii_digit());
    match text.trim_start_matches(['0', ' ']) {
        _ if !number => text,
        "" => "0",
        rest => rest,
    }
}

fn part(directive: char, date: civil::Date, time: civil::Time, zone: Option<&Zone>) -> Option<String> {
    let weekday = date.weekday().to_monday_zero_offset();
    let twelve = if time.hour() % 12 == 0 { 12 } else { time.hour() % 12 };
    let yday = i32::from(date.day_of_year()) - 1;
    Some(match directive {
        'Y' => date.year().to_string(),
        'y' => format!("{:02}", date.year() % 100),
        'C' => format!("{:02}", date.year() / 100),
        'm' => format!("{:02}", date.month()),
        'd' => format!("{:02}", date.day()),
        'e' => format!("{:2}", date.day()),
        'H' => format!("{:02}", time.hour()),
        'I' => format!("{twelve:02}"),
        'M' => format!("{:02}", time.minute()),
        'S' => format!("{:02}", time.second()),
        'f' => format!("{:06}", time.subsec_nanosecond() / 1000),
        'p' => if time.hour() < 12 { "AM" } else { "PM" }.to_owned(),
        'j' => format!("{:03}", yday + 1),
        'a' => short(name_of(DAYS, weekday)).to_owned(),
        'A' => name_of(DAYS, weekday).to_owned(),
        'b' | 'h' => short(name_of(MONTHS, date.month() - 1)).to_owned(),
        'B' => name_of(MONTHS, date.month() - 1).to_owned(),
        'u' => (weekday + 1).to_string(),
        'w' => ((weekday + 1) % 7).to_string(),
        'U' => format!("{:02}", (yday + 7 - (i32::from(weekday) + 1) % 7) / 7),
        'W' => format!("{:02}", (yday + 7 - i32::from(weekday)) / 7),
        'V' => format!("{:02}", date.iso_week_date().week()),
        'G' => date.iso_week_date().year().to_string(),
        'z' => zone.map(|z| offset_text(z.offset, "")).unwrap_or_default(),
        'Z' => zone.map(zone_name).unwrap_or_default(),
        'F' => format!("{}-{:02}-{:02}", date.year(), date.month(), date.day()),
        'T' | 'X' => format!("{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second()),
        'R' => format!("{:02}:{:02}", time.hour(), time.minute()),
        'D' | 'x' => format!("{:02}/{:02}/{:02}", date.month(), date.day(), date.year() % 100),
        'c' => {
            let (day, month) = (short(name_of(DAYS, weekday)), short(name_of(MONTHS, date.month() - 1)));
            let clock = format!("{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second());
            format!("{day} {month} {:2} {clock} {}", date.day(), date.year())
        }
        's' => {
            let micros = DateTime { naive: civil::DateTime::from_parts(date, time), zone: zone.cloned() };
            (micros.utc_micros().unwrap_or_else(|| micros.local_micros()).div_euclid(1_000_000)).to_string()
        }
        'n' => "\n".to_owned(),
        't' => "\t".to_owned(),
        '%' => "%".to_owned(),
        _ => return None,
    })
}

/// What `strptime` has read so far.
#[derive(Default)]
struct Parsed {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    yday: Option<i64>,
    hour: i64,
    hour12: Option<i64>,
    pm: Option<bool>,
    minute: i64,
    second: i64,
    micros: i64,
    zone: Option<Zone>,
}

/// `datetime.strptime(text, format)`.
pub(super) fn strptime(text: &str, format: &str) -> Res<Value> {
    let mismatch =
        || value_error(format!("time data {} does not match format {}", repr_str(text), repr_str(format)));
    let mut parsed = Parsed::default();
    let mut rest = text;
    let mut directives = expand(format).into_iter();
    while let Some(c) = directives.next() {
        if c.is_whitespace() {
            rest = rest.trim_start();
        } else if c != '%' {
            rest = rest.strip_prefix(c).ok_or_else(mismatch)?;
        } else {
            match directives.next() {
                None => return Err(value_error(format!("stray %  in format {}", repr_str(format)))),
                Some('%') => rest = rest.strip_prefix('%').ok_or_else(mismatch)?,
                Some(directive) => match parsed.read(directive, &mut rest) {
                    Some(true) => {}
                    Some(false) => return Err(mismatch()),
                    None => {
                        let shown = repr_str(&directive.to_string());
                        return Err(value_error(format!(
                            "{shown} is a bad directive in format {}",
                            repr_str(format)
                        )));
                    }
                },
            }
        }
    }
    if !rest.is_empty() {
        return Err(value_error(format!("unconverted data remains: {rest}")));
    }
    parsed.finish().ok_or_else(|| value_error("day is out of range for month"))
}

/// Directives that stand for several others.
fn expand(format: &str) -> Vec<char> {
    let long = [
        ("%T", "%H:%M:%S"),
        ("%X", "%H:%M:%S"),
        ("%R", "%H:%M"),
        ("%F", "%Y-%m-%d"),
        ("%D", "%m/%d/%y"),
        ("%x", "%m/%d/%y"),
        ("%c", "%a %b %d %H:%M:%S %Y"),
    ];
    // `%%` must not become part of another directive.
    let parts = format.split("%%").map(|part| long.iter().fold(part.to_owned(), |s, (a, b)| s.replace(a, b)));
    parts.collect::<Vec<String>>().join("%%").chars().collect()
}

/// Up to `width` digits.
fn digits(rest: &mut &str, width: usize, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
    let most = rest.bytes().take(width).take_while(u8::is_ascii_digit).count();
    // As a regular expression would: fewer digits if more are out of range.
    for count in (1..=most).rev() {
        if let Some(value) = rest.get(..count).and_then(|d| d.parse().ok()).filter(|v| range.contains(v)) {
            *rest = rest.get(count..).unwrap_or("");
            return Some(value);
        }
    }
    None
}

/// One of some names, full or its first three letters, in any case: its index.
fn word(rest: &mut &str, names: &[&str], full: bool) -> Option<i64> {
    for (i, name) in names.iter().enumerate() {
        let name = if full { name } else { short(name) };
        if rest.get(..name.len()).is_some_and(|r| r.eq_ignore_ascii_case(name)) {
            *rest = rest.get(name.len()..).unwrap_or("");
            return i64::try_from(i).ok();
        }
    }
    None
}

impl Parsed {
    /// `None`: no such directive; `Some(false)`: the text does not match.
    fn read(&mut self, directive: char, rest: &mut &str) -> Option<bool> {
        let set = |place: &mut Option<i64>, value: Option<i64>| {
            *place = value;
            value.is_some()
        };
        Some(match directive {
            'Y' => {
                let four = rest.bytes().take(4).filter(u8::is_ascii_digit).count() == 4;
                four && set(&mut self.year, digits(rest, 4, 0..=9999))
            }
            'y' => match digits(rest, 2, 0..=99) {
                Some(y) => set(&mut self.year, Some(if y < 69 { 2000 + y } else { 1900 + y })),
                None => false,
            },
            'm' => set(&mut self.month, digits(rest, 2, 1..=12)),
            'd' => {
                *rest = rest.strip_prefix(' ').unwrap_or(rest);
                set(&mut self.day, digits(rest, 2, 1..=31))
            }
            'j' => set(&mut self.yday, digits(rest, 3, 1..=366)),
            'b' | 'h' => set(&mut self.month, word(rest, &MONTHS, false).map(|m| m + 1)),
            'B' => set(&mut self.month, word(rest, &MONTHS, true).map(|m| m + 1)),
            'a' => word(rest, &DAYS, false).is_some(),
            'A' => word(rest, &DAYS, true).is_some(),
            'I' => set(&mut self.hour12, digits(rest, 2, 1..=12)),
            'H' => digits(rest, 2, 0..=23).map(|v| self.hour = v).is_some(),
            'M' => digits(rest, 2, 0..=59).map(|v| self.minute = v).is_some(),
            'S' => digits(rest, 2, 0..=61).map(|v| self.second = v).is_some(),
            'w' | 'u' => digits(rest, 1, 0..=7).is_some(),
            'p' => match word(rest, &["AM", "PM"], true) {
                Some(i) => {
                    self.pm = Some(i == 1);
                    true
                }
                None => false,
            },
            'f' => {
                let count = rest.bytes().take(6).take_while(u8::is_ascii_digit).count();
                let value = rest.get(..count).and_then(|d| format!("{d:0<6}").parse().ok());
                *rest = rest.get(count..).unwrap_or("");
                value.filter(|_| count > 0).map(|v| self.micros = v).is_some()
            }
            'z' => match offset(rest) {
                Some(zone) => {
                    self.zone = Some(zone);
                    true
                }
                None => false,
            },
            'Z' => match word(rest, &["UTC", "GMT"], true) {
                // CPython reads the name but gives no zone for it.
                Some(_) => true,
                None => rest.is_empty(),
            },
            _ => return None,
        })
    }

    fn finish(self) -> Option<Value> {
        let year = i16::try_from(self.year.unwrap_or(1900)).ok().filter(|y| *y > 0)?;
        let part = |n: i64| i8::try_from(n).ok();
        let date = match self.yday {
            Some(yday) if self.month.is_none() && self.day.is_none() => {
                let first = civil::Date::new(year, 1, 1).ok()?;
                crate::value::date_from_days(
                    crate::value::days_from_date(first) + i32::try_from(yday - 1).ok()?,
                )?
            }
            _ => civil::Date::new(year, part(self.month.unwrap_or(1))?, part(self.day.unwrap_or(1))?).ok()?,
        };
        let hour = match (self.hour12, self.pm) {
            (Some(h), Some(true)) => h % 12 + 12,
            (Some(h), _) => h % 12,
            (None, _) => self.hour,
        };
        let nanos = i32::try_from(self.micros * 1000).ok()?;
        let time = civil::Time::new(part(hour)?, part(self.minute)?, part(self.second)?, nanos).ok()?;
        Some(Value::DateTime(Rc::new(DateTime {
            naive: civil::DateTime::from_parts(date, time),
            zone: self.zone,
        })))
    }
}

/// `Z`, `+01`, `+0100`, `+01:00`, `+01:00:30`.
fn offset(rest: &mut &str) -> Option<Zone> {
    if let Some(after) = rest.strip_prefix(['Z', 'z']) {
        *rest = after;
        return Some(Zone::UTC);
    }
    let negative = rest.starts_with('-');
    let mut after = rest.strip_prefix(['+', '-'])?;
    let two = |after: &mut &str, most: i64| -> Option<i64> {
        let both = after.bytes().take(2).filter(u8::is_ascii_digit).count() == 2;
        if both { digits(after, 2, 0..=most) } else { None }
    };
    let hours = two(&mut after, 23)?;
    let (mut minutes, mut seconds) = (0, 0);
    let colon = after.starts_with(':');
    for place in [&mut minutes, &mut seconds] {
        let mut next = if colon { after.strip_prefix(':').unwrap_or("") } else { after };
        match two(&mut next, 59) {
            Some(value) => {
                *place = value;
                after = next;
            }
            None => break,
        }
    }
    *rest = after;
    let total = i32::try_from(hours * 3600 + minutes * 60 + seconds).ok()?;
    Some(Zone { offset: if negative { -total } else { total }, name: None })
}

fn bad_iso(text: &str) -> crate::value::Raise {
    value_error(format!("Invalid isoformat string: {}", repr_str(text)))
}

/// `date.fromisoformat(text)`.
pub(super) fn parse_iso_date(text: &str) -> Res<Value> {
    let mut rest = text;
    let date = iso_date(&mut rest).map_err(|e| e.unwrap_or_else(|| bad_iso(text)))?;
    if rest.is_empty() { Ok(Value::Date(date)) } else { Err(bad_iso(text)) }
}

/// The error is `None` where the form is wrong, and says what is out of range else.
fn iso_date(rest: &mut &str) -> Result<civil::Date, Option<crate::value::Raise>> {
    let fixed = |rest: &mut &str, width: usize| -> Option<i64> {
        let all = rest.get(..width)?;
        let value = all.bytes().all(|b| b.is_ascii_digit()).then(|| all.parse().ok()).flatten()?;
        *rest = rest.get(width..)?;
        Some(value)
    };
    let year = fixed(rest, 4).ok_or(None)?;
    let dash = rest.starts_with('-');
    if dash {
        *rest = rest.get(1..).unwrap_or("");
    }
    if let Some(week) = rest.strip_prefix('W') {
        *rest = week;
        let week = fixed(rest, 2).ok_or(None)?;
        if dash {
            *rest = rest.strip_prefix('-').unwrap_or(rest);
        }
        let day = fixed(rest, 1).unwrap_or(1);
        let weekday =
            civil::Weekday::from_monday_one_offset(i8::try_from(day).unwrap_or(0)).map_err(|_| None)?;
        let (year, week) = (i16::try_from(year).map_err(|_| None)?, i8::try_from(week).map_err(|_| None)?);
        return civil::ISOWeekDate::new(year, week, weekday).map(|w| w.date()).map_err(|_| None);
    }
    let month = fixed(rest, 2).ok_or(None)?;
    if dash {
        *rest = rest.strip_prefix('-').ok_or(None)?;
    }
    let day = fixed(rest, 2).ok_or(None)?;
    if !(1..=12).contains(&month) {
        return Err(Some(value_error("month must be in 1..12")));
    }
    let narrow = (i16::try_from(year), i8::try_from(month), i8::try_from(day));
    let (Ok(year), Ok(month), Ok(day)) = narrow else { return Err(None) };
    if year == 0 {
        return Err(Some(value_error("year 0 is out of range")));
    }
    civil::Date::new(year, month, day).map_err(|_| Some(value_error("day is out of range for month")))
}

/// `datetime.fromisoformat(text)`.
pub(crate) fn parse_iso(text: &str) -> Res<Value> {
    let mut rest = text;
    let date = iso_date(&mut rest).map_err(|e| e.unwrap_or_else(|| bad_iso(text)))?;
    let mut time = civil::Time::midnight();
    let mut zone = None;
    if let Some(separator) = rest.chars().next() {
        rest = rest.get(separator.len_utf8()..).unwrap_or("");
        time = iso_time(&mut rest, text)?;
        if !rest.is_empty() {
            zone = Some(offset(&mut rest).ok_or_else(|| bad_iso(text))?);
        }
    }
    if !rest.is_empty() {
        return Err(bad_iso(text));
    }
    Ok(Value::DateTime(Rc::new(DateTime { naive: civil::DateTime::from_parts(date, time), zone })))
}

fn iso_time(rest: &mut &str, text: &str) -> Res<civil::Time> {
    let mut parts = [0_i64; 3];
    let mut colon = false;
    for (i, part) in parts.iter_mut().enumerate() {
        if i == 1 {
            colon = rest.starts_with(':');
        }
        let next = match (i, colon) {
            (0, _) => *rest,
            (_, true) => match rest.strip_prefix(':') {
                Some(next) => next,
                None => break,
            },
            (_, false) => *rest,
        };
        match next.get(..2).filter(|d| d.bytes().all(|b| b.is_ascii_digit())).and_then(|d| d.parse().ok()) {
            Some(value) => {
                *part = value;
                *rest = next.get(2..).unwrap_or("");
            }
            None if i == 0 || colon => return Err(bad_iso(text)),
            None => break,
        }
    }
    let mut micros = 0;
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        let count = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let kept = fraction.get(..count.min(6)).unwrap_or("");
        micros = format!("{kept:0<6}").parse().ok().filter(|_| count > 0).ok_or_else(|| bad_iso(text))?;
        *rest = fraction.get(count..).unwrap_or("");
    }
    let [hour, minute, second] = parts;
    for (value, most, name) in [(hour, 23, "hour"), (minute, 59, "minute"), (second, 59, "second")] {
        if value > most {
            return Err(value_error(format!("{name} must be in 0..{most}")));
        }
    }
    let narrow = |n: i64| i8::try_from(n).unwrap_or(0);
    civil::Time::new(narrow(hour), narrow(minute), narrow(second), micros * 1000).map_err(|_| bad_iso(text))
}

//! Dates and instants.

use std::sync::Arc;

use jiff::civil;

/// A fixed offset from UTC, seconds. `name` is set where the user gave one.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Zone {
    pub(crate) offset: i32,
    pub(crate) name: Option<Arc<str>>,
}

impl Zone {
    pub(crate) const UTC: Zone = Zone { offset: 0, name: None };
}

/// `datetime.datetime`, microseconds, years 1 to 9999.
#[derive(Clone)]
pub(crate) struct DateTime {
    pub(crate) naive: civil::DateTime,
    pub(crate) zone: Option<Zone>,
}

const DAY: i64 = 86_400_000_000;

impl DateTime {
    /// From microseconds since 1970 on the local clock; `None` outside the years 1 to 9999.
    pub(crate) fn from_local_micros(micros: i64, zone: Option<Zone>) -> Option<DateTime> {
        let days = i32::try_from(micros.div_euclid(DAY)).ok()?;
        let rest = micros.rem_euclid(DAY);
        let date = date_from_days(days)?;
        let seconds = rest / 1_000_000;
        let part = |n: i64| i8::try_from(n).ok();
        let nanos = i32::try_from(rest % 1_000_000 * 1000).ok()?;
        let time =
            civil::Time::new(part(seconds / 3600)?, part(seconds / 60 % 60)?, part(seconds % 60)?, nanos)
                .ok()?;
        Some(DateTime { naive: civil::DateTime::from_parts(date, time), zone })
    }

    /// Microseconds since 1970 on the local clock.
    pub(crate) fn local_micros(&self) -> i64 {
        i64::from(days_from_date(self.naive.date())) * DAY + time_micros(self.naive.time())
    }

    /// Microseconds since 1970 in UTC; `None` for a datetime without a zone.
    pub(crate) fn utc_micros(&self) -> Option<i64> {
        let zone = self.zone.as_ref()?;
        Some(self.local_micros() - i64::from(zone.offset) * 1_000_000)
    }

    /// `2024-01-02T03:04:05.000006+01:00`, with `separator` between date and time.
    pub(crate) fn iso(&self, separator: &str) -> String {
        let zone = self.zone.as_ref().map(|z| offset_text(z.offset, ":")).unwrap_or_default();
        format!("{}{separator}{}{zone}", date_text(self.naive.date()), time_text(self.naive.time()))
    }
}

/// Days since 1970.
pub(crate) fn days_from_date(date: civil::Date) -> i32 {
    let (y, m, d) = (i32::from(date.year()), i32::from(date.month()), i32::from(date.day()));
    let y = if m <= 2 { y - 1 } else { y };
    let era = y.div_euclid(400);
    let yoe = y - era * 400;
    let doy = (153 * ((m + 9) % 12) + 2) / 5 + d - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

/// The date `days` after 1970-01-01; `None` outside the years 1 to 9999.
pub(crate) fn date_from_days(days: i32) -> Option<civil::Date> {
    let z = days.checked_add(719_468)?;
    let era = z.div_euclid(146_097);
    let doe = z - era * 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i32::from(month <= 2);
    if !(1..=9999).contains(&year) {
        return None;
    }
    let day = doy - (153 * mp + 2) / 5 + 1;
    civil::Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

/// Microseconds since midnight.
pub(crate) fn time_micros(time: civil::Time) -> i64 {
    let seconds = i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second());
    seconds * 1_000_000 + i64::from(time.subsec_nanosecond() / 1000)
}

pub(crate) fn date_text(date: civil::Date) -> String {
    format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day())
}

pub(crate) fn time_text(time: civil::Time) -> String {
    let micros = time.subsec_nanosecond() / 1000;
    let fraction = if micros == 0 { String::new() } else { format!(".{micros:06}") };
    format!("{:02}:{:02}:{:02}{fraction}", time.hour(), time.minute(), time.second())
}

/// `+01:00`; seconds only where there are some.
pub(crate) fn offset_text(offset: i32, colon: &str) -> String {
    let sign = if offset < 0 { '-' } else { '+' };
    let abs = offset.unsigned_abs();
    let seconds = if abs.is_multiple_of(60) { String::new() } else { format!("{colon}{:02}", abs % 60) };
    format!("{sign}{:02}{colon}{:02}{seconds}", abs / 3600, abs / 60 % 60)
}

/// What `tzname()` gives.
pub(crate) fn zone_name(zone: &Zone) -> String {
    match &zone.name {
        Some(name) => name.to_string(),
        None if zone.offset == 0 => "UTC".to_owned(),
        None => format!("UTC{}", offset_text(zone.offset, ":")),
    }
}

/// `str(timedelta)`: `-1 day, 23:59:59.500000`.
pub(crate) fn delta_text(micros: i64) -> String {
    let (days, rest) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    let (seconds, micros) = (rest / 1_000_000, rest % 1_000_000);
    let plural = if days.abs() == 1 { "" } else { "s" };
    let front = if days == 0 { String::new() } else { format!("{days} day{plural}, ") };
    let back = if micros == 0 { String::new() } else { format!(".{micros:06}") };
    format!("{front}{}:{:02}:{:02}{back}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// RFC 3339 in UTC with a `Z`; outside the years 1 to 9999 the seconds.
pub(crate) fn timestamp_text(micros: i64) -> String {
    match DateTime::from_local_micros(micros, None) {
        Some(at) => format!("{}Z", at.iso("T")),
        None => format!("{}.{:06}", micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000)),
    }
}

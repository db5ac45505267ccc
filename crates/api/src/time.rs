//! Instants of event time and durations.
//!
//! Time is a count of microseconds since 1970-01-01T00:00:00Z in 64 bits, with Beam's least and
//! greatest instants (`BoundedWindow.TIMESTAMP_MIN_VALUE` and `_MAX_VALUE`: whole milliseconds).

use std::fmt;

/// A duration in microseconds.
pub type Micros = i64;

/// Microseconds in a second.
pub const SECOND: Micros = 1_000_000;
/// Microseconds in a millisecond.
pub const MILLISECOND: Micros = 1_000;

/// An instant of event time (or, where said so, of processing time): microseconds since the epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTime(pub i64);

impl EventTime {
    /// Before all time: where elements without a timestamp sit, and where watermarks start.
    pub const MIN: EventTime = EventTime(-9_223_372_036_854_775_000);
    /// After all time: a watermark here says that nothing more will come.
    pub const MAX: EventTime = EventTime(9_223_372_036_854_775_000);
    /// The greatest timestamp inside the global window: a day before [`EventTime::MAX`], so that
    /// timers at the end of the window can still fire (Beam's `GlobalWindow.maxTimestamp`).
    pub const END_OF_GLOBAL_WINDOW: EventTime = EventTime(9_223_371_950_454_775_000);

    /// From seconds.
    pub fn from_seconds(seconds: i64) -> Self {
        EventTime(seconds.saturating_mul(SECOND)).clamped()
    }

    /// Within Beam's range.
    #[must_use]
    pub fn clamped(self) -> Self {
        self.clamp(Self::MIN, Self::MAX)
    }

    /// Later by a duration, held within range. The ends of time stay where they are.
    #[must_use]
    pub fn plus(self, d: Micros) -> Self {
        if self == Self::MAX || self == Self::MIN {
            return self;
        }
        EventTime(self.0.saturating_add(d)).clamped()
    }

    /// RFC 3339 in UTC with a `Z`, as many decimals as needed; the ends of time by name.
    pub fn to_rfc3339(self) -> String {
        match self {
            Self::MIN => "the start of time".to_owned(),
            Self::MAX => "the end of time".to_owned(),
            t => jiff::Timestamp::from_microsecond(t.0)
                .map(|t| t.to_string())
                .unwrap_or_else(|_| format!("{} us", t.0)),
        }
    }
}

impl fmt::Debug for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MIN => f.write_str("MIN"),
            Self::MAX => f.write_str("MAX"),
            t if t.0 % SECOND == 0 => write!(f, "{}s", t.0 / SECOND),
            t => write!(f, "{}us", t.0),
        }
    }
}

impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

/// Reads RFC 3339 text with any offset (`2024-03-05T10:00:00+01:00`, a space in place of the `T` too).
pub fn parse_rfc3339(text: &str) -> Option<EventTime> {
    let t: jiff::Timestamp = text.trim().parse().ok()?;
    Some(EventTime(t.as_microsecond()).clamped())
}
/// Days since 1970 of `YYYY-MM-DD`.
pub fn parse_date(text: &str) -> Option<i32> {
    Some(days(civil_date(text)?))
}

/// Microseconds since 1970, on a clock without a zone, of `YYYY-MM-DD`, perhaps with a `T` or a space and
/// `HH:MM`, `HH:MM:SS` or `HH:MM:SS.ffffff`. Text with a zone is refused: it is an instant.
pub fn parse_datetime(text: &str) -> Option<i64> {
    const DAY: i64 = 86_400 * SECOND;
    let date = i64::from(days(civil_date(text.get(..10)?)?));
    let Some(time) = text.get(10..).filter(|t| !t.is_empty()) else { return Some(date * DAY) };
    let time = time.strip_prefix(['T', ' '])?;
    if time.len() < 5 || !time.bytes().all(|b| b.is_ascii_digit() || matches!(b, b':' | b'.')) {
        return None;
    }
    let time: jiff::civil::Time = time.parse().ok()?;
    let seconds = i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second());
    Some(date * DAY + seconds * SECOND + i64::from(time.subsec_nanosecond() / 1000))
}

fn civil_date(text: &str) -> Option<jiff::civil::Date> {
    let bytes = text.as_bytes();
    let plain = bytes.len() == 10
        && bytes
            .iter()
            .enumerate()
            .all(|(i, b)| if i == 4 || i == 7 { *b == b'-' } else { b.is_ascii_digit() });
    if plain { text.parse().ok() } else { None }
}

fn days(date: jiff::civil::Date) -> i32 {
    const EPOCH: jiff::civil::Date = jiff::civil::date(1970, 1, 1);
    EPOCH.until(date).map_or(0, |span| span.get_days())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_datetimes() {
        assert_eq!(parse_date("1970-01-02"), Some(1));
        assert_eq!(parse_date("1969-12-31"), Some(-1));
        assert_eq!(parse_date("2024-02-29"), Some(19_782));
        assert_eq!(parse_date("0001-01-01"), Some(-719_162));
        for bad in
            ["2023-02-29", "2024-1-02", "20240102", "2024-01-02T00:00:00", "2024-01-02 ", "", "٢٠٢٤-٠١"]
        {
            assert_eq!(parse_date(bad), None, "{bad:?}");
        }
        assert_eq!(parse_datetime("1970-01-02T00:00:01.5"), Some(86_401_500_000));
        assert_eq!(parse_datetime("1970-01-01 00:01"), Some(60_000_000));
        assert_eq!(parse_datetime("1970-01-02"), Some(86_400_000_000));
        for bad in [
            "1970-01-01T00:00:00Z",
            "1970-01-01T00:00:00+01:00",
            "1970-01-01T",
            "1970-01-01T24:00",
            "1970-01-01T1:2",
        ] {
            assert_eq!(parse_datetime(bad), None, "{bad:?}");
        }
    }
}

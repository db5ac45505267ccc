//! How fast events are given.

use std::fmt;
use std::str::FromStr;

/// Events in a span of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    per_second: f64,
}

impl FromStr for Rate {
    type Err = String;

    /// `500/min`, `20/s`, `1000/h`; a number alone is by the second.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "wants a number of events by `s`, `min` or `h`, such as `500/min`".to_owned();
        let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
        let seconds = match unit.trim() {
            "s" | "sec" | "second" => 1.0,
            "m" | "min" | "minute" => 60.0,
            "h" | "hour" => 3600.0,
            _ => return Err(wrong()),
        };
        let number: f64 = number.trim().parse().map_err(|_| wrong())?;
        // The upper end is far above what can be sent; it keeps sums of events within range.
        if !(number > 0.0 && number <= 1e12) {
            return Err(wrong());
        }
        Ok(Rate { per_second: number / seconds })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.per_second)
    }
}

/// Says how many events are due. Pure: it is told the time.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    rate: Rate,
    start: i64,
    given: u64,
}

impl Pace {
    /// From `start` on, in microseconds.
    pub fn new(rate: Rate, start: i64) -> Self {
        Pace { rate, start, given: 0 }
    }

    /// How many events to give now, and counts them as given. The first is due at once.
    pub fn due(&mut self, now: i64) -> u64 {
        let passed = (now - self.start).max(0) as f64 / 1e6;
        let due = (passed * self.rate.per_second) as u64 + 1;
        let more = due.saturating_sub(self.given);
        self.given += more;
        more
    }

    /// When the next one is due, in microseconds.
    pub fn next_at(&self) -> i64 {
        self.start + (self.given as f64 / self.rate.per_second * 1e6).ceil() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        for (text, per_second) in [("500/min", 500.0 / 60.0), ("20/s", 20.0), ("20", 20.0), ("3600/h", 1.0)] {
            assert_eq!(text.parse::<Rate>().map(|r| r.per_second), Ok(per_second), "{text}");
        }
        for wrong in ["", "0", "-1/s", "5/day", "fast", "nan/s", "inf"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_minute_at_500_gives_500_whenever_one_asks() {
        for step in [1_000, 120_000, 7_777_777] {
            let mut pace = Pace::new("500/min".parse().unwrap(), 0);
            let mut given = 0;
            for now in (0..60_000_000).step_by(step) {
                given += pace.due(now);
            }
            given += pace.due(59_999_999);
            assert_eq!(given, 500, "asked every {step}");
            assert_eq!(pace.next_at(), 60_000_000);
            assert_eq!(pace.due(pace.next_at()), 1);
        }
    }
}

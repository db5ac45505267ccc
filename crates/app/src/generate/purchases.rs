//! Purchases: CSV, about one a second, with the fields of the purchases job.

use super::random::Random;
use super::truth::{Bad, Truth};
use super::{Options, amount, event_offset, live_time, padded, plain};

pub(super) const HEADER: &[u8] = b"Customer ID,Purchase Amount,Time Stamp\n";
pub(super) const CUSTOMERS: u64 = 100;
/// Seconds since 1970 of the first purchase; a multiple of 30, so that windows are counted from it.
pub(super) const START_SECONDS: u64 = 1_726_644_360;
/// The time from one purchase to the next.
const STEP_MICROS: i64 = 1_000_000;

/// One purchase, good or bad.
pub(super) struct Purchase {
    /// From the start of the data; may be negative for live data.
    micros: i64,
    customer: u64,
    cents: u64,
    bad: Option<Bad>,
}

impl Purchase {
    /// The next one of a row of random numbers. `present` is the processing time of live data, in microseconds
    /// since 1970; other data takes its time from its place.
    pub(super) fn next(number: u64, options: &Options, present: Option<i64>, random: &mut Random) -> Self {
        let micros = match present {
            None => {
                let span =
                    i64::try_from(options.count).unwrap_or(i64::MAX).saturating_mul(STEP_MICROS).max(1);
                event_offset(number, options, span, options.late, random)
            }
            Some(now) => live_time(now, options, random) - START_SECONDS as i64 * 1_000_000,
        };
        let customer = random.below(CUSTOMERS);
        let cents = 100 + random.below(9_900);
        let bad =
            (random.below(1_000_000) < u64::from(options.bad_per_million)).then(|| match random.below(3) {
                0 => Bad::Broken,
                1 => Bad::NoTime,
                _ => Bad::NotANumber,
            });
        Purchase { micros, customer, cents, bad }
    }

    pub(super) fn tell(&self, truth: &mut Truth) {
        match self.bad {
            Some(bad) => truth.bad(bad),
            None => truth.purchase(self.micros, self.customer, self.cents),
        }
    }

    /// Event time in microseconds since 1970.
    pub(super) fn micros(&self) -> i64 {
        START_SECONDS as i64 * 1_000_000 + self.micros
    }

    /// Appends it as a record of CSV.
    pub(super) fn csv(&self, out: &mut Vec<u8>) {
        self.customer(out);
        out.push(b',');
        match self.bad {
            Some(Bad::NotANumber) => out.extend_from_slice(b"abc"),
            _ => amount(self.cents, out),
        }
        out.push(b',');
        match self.bad {
            Some(Bad::NoTime) => out.extend_from_slice(b"yesterday"),
            _ => self.seconds(out),
        }
        if self.bad == Some(Bad::Broken) {
            out.extend_from_slice(b",one,field,too,many");
        }
    }

    /// Appends it as a JSON object.
    pub(super) fn json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"Customer ID":""#);
        self.customer(out);
        out.extend_from_slice(br#"","Purchase Amount":"#);
        match self.bad {
            Some(Bad::NotANumber) => out.extend_from_slice(br#""abc""#),
            _ => amount(self.cents, out),
        }
        out.extend_from_slice(br#","Time Stamp":"#);
        match self.bad {
            Some(Bad::NoTime) => out.extend_from_slice(br#""yesterday""#),
            // As if the writer had died in the middle.
            Some(Bad::Broken) => return,
            _ => self.seconds(out),
        }
        out.push(b'}');
    }

    fn customer(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"CO");
        padded::<2>(self.customer, out);
    }

    fn seconds(&self, out: &mut Vec<u8>) {
        let micros = self.micros().unsigned_abs();
        plain(micros / 1_000_000, out);
        out.push(b'.');
        padded::<6>(micros % 1_000_000, out);
    }
}

//! Orders of a shop: JSON lines over two hours of one day.

use super::random::Random;
use super::truth::{Bad, Truth};
use super::{Options, amount, event_offset, live_time, padded, plain};

pub(super) const CUSTOMERS: u64 = 50_000;
/// Event times, in milliseconds from 2024-02-09T10:00:00Z.
pub(super) const SPAN_MILLIS: i64 = 2 * 3_600_000;
/// 2024-02-09T10:00:00Z in seconds since 1970.
pub(super) const START_SECONDS: i64 = 1_707_472_800;
const START_HOUR: u64 = 10;

/// The columns, as a line of CSV.
pub(super) const HEADER: &[u8] = b"order_id,customer_id,amount,status,country,event_time\n";

const STATUSES: [&str; 5] = ["confirmed", "pending", "shipped", "delivered", "cancelled"];
const COUNTRIES: [&str; 8] = ["India", "Germany", "Brazil", "Japan", "France", "Kenya", "Canada", "Spain"];

/// One order, good or bad.
pub(super) struct Order {
    number: u64,
    /// From the start of the data; negative and past the span for live data.
    millis: i64,
    customer: u64,
    cents: u64,
    status: &'static str,
    country: &'static str,
    bad: Option<Bad>,
}

impl Order {
    /// The next one of a row of random numbers. `present` is the processing time of live data, in microseconds
    /// since 1970; other data takes its time from its place.
    pub(super) fn next(number: u64, options: &Options, present: Option<i64>, random: &mut Random) -> Self {
        let millis = match present {
            None => event_offset(number, options, SPAN_MILLIS, options.late / 1000, random),
            Some(now) => live_time(now, options, random) / 1000 - START_SECONDS * 1000,
        };
        let customer = random.below(CUSTOMERS);
        let cents = 100 + random.below(99_900);
        let (status, country) = (random.pick(&STATUSES), random.pick(&COUNTRIES));
        let bad =
            (random.below(1_000_000) < u64::from(options.bad_per_million)).then(|| match random.below(3) {
                0 => Bad::Broken,
                1 => Bad::MissingId,
                _ => Bad::NotANumber,
            });
        Order { number, millis, customer, cents, status, country, bad }
    }

    pub(super) fn tell(&self, truth: &mut Truth) {
        match self.bad {
            Some(bad) => truth.bad(bad),
            None => truth.order(self.millis, self.customer, self.cents),
        }
    }

    /// Event time in microseconds since 1970.
    pub(super) fn micros(&self) -> i64 {
        START_SECONDS * 1_000_000 + self.millis * 1000
    }

    /// Appends it as a JSON object.
    pub(super) fn json(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        if self.bad != Some(Bad::MissingId) {
            out.extend_from_slice(br#""order_id":"ORD"#);
            self.digits(out);
            out.extend_from_slice(br#"","#);
        }
        out.extend_from_slice(br#""customer_id":"CUST"#);
        padded::<5>(self.customer, out);
        out.extend_from_slice(br#"","amount":"#);
        if self.bad == Some(Bad::NotANumber) {
            out.extend_from_slice(br#""n/a""#);
        } else {
            amount(self.cents, out);
        }
        out.extend_from_slice(br#","status":""#);
        out.extend_from_slice(self.status.as_bytes());
        if self.bad == Some(Bad::Broken) {
            // As if the writer had died in the middle of the line.
            out.extend_from_slice(b"\",\"coun");
            return;
        }
        out.extend_from_slice(br#"","country":""#);
        out.extend_from_slice(self.country.as_bytes());
        out.extend_from_slice(br#"","event_time":""#);
        clock(self.millis, out);
        out.extend_from_slice(b"\"}");
    }

    fn digits(&self, out: &mut Vec<u8>) {
        if self.number < 100_000_000 { padded::<8>(self.number, out) } else { plain(self.number, out) }
    }

    /// Appends it as a record of CSV.
    pub(super) fn csv(&self, out: &mut Vec<u8>) {
        if self.bad != Some(Bad::MissingId) {
            out.extend_from_slice(b"ORD");
            self.digits(out);
        }
        out.extend_from_slice(b",CUST");
        padded::<5>(self.customer, out);
        out.push(b',');
        if self.bad == Some(Bad::NotANumber) {
            out.extend_from_slice(b"n/a");
        } else {
            amount(self.cents, out);
        }
        out.push(b',');
        out.extend_from_slice(self.status.as_bytes());
        if self.bad == Some(Bad::Broken) {
            return;
        }
        out.push(b',');
        out.extend_from_slice(self.country.as_bytes());
        out.push(b',');
        clock(self.millis, out);
    }
}

/// Appends a time of day of the data's own day, or any other time, as RFC 3339 in UTC.
fn clock(millis: i64, out: &mut Vec<u8>) {
    let Some(millis) = u64::try_from(millis).ok().filter(|_| millis < SPAN_MILLIS) else {
        let since_1970 = START_SECONDS * 1000 + millis;
        if let Ok(time) = jiff::Timestamp::from_millisecond(since_1970) {
            out.extend_from_slice(format!("{time:.3}").as_bytes());
        }
        return;
    };
    out.extend_from_slice(b"2024-02-09T");
    padded::<2>(START_HOUR + millis / 3_600_000, out);
    out.push(b':');
    padded::<2>(millis / 60_000 % 60, out);
    out.push(b':');
    padded::<2>(millis / 1000 % 60, out);
    out.push(b'.');
    padded::<3>(millis % 1000, out);
    out.push(b'Z');
}

//! Orders of a shop: JSON lines over two hours of one day.

use super::random::Random;
use super::truth::{Bad, Truth};
use super::{Options, amount, event_offset, padded};

pub(super) const CUSTOMERS: u64 = 50_000;
/// Event times, in milliseconds from 2024-02-09T10:00:00Z.
pub(super) const SPAN_MILLIS: i64 = 2 * 3_600_000;
/// 2024-02-09T10:00:00Z in seconds since 1970.
pub(super) const START_SECONDS: i64 = 1_707_472_800;
const START_HOUR: u64 = 10;

const STATUSES: [&str; 5] = ["confirmed", "pending", "shipped", "delivered", "cancelled"];
const COUNTRIES: [&str; 8] = ["India", "Germany", "Brazil", "Japan", "France", "Kenya", "Canada", "Spain"];

/// Appends one line.
pub(super) fn line(
    number: u64,
    options: &Options,
    random: &mut Random,
    truth: Option<&mut Truth>,
    out: &mut Vec<u8>,
) {
    let millis = event_offset(number, options, SPAN_MILLIS, options.late / 1000, random);
    let customer = random.below(CUSTOMERS);
    let cents = 100 + random.below(99_900);
    let (status, country) = (random.pick(&STATUSES), random.pick(&COUNTRIES));
    let bad = (random.below(1_000_000) < u64::from(options.bad_per_million)).then(|| match random.below(3) {
        0 => Bad::Broken,
        1 => Bad::MissingId,
        _ => Bad::NotANumber,
    });
    if let Some(truth) = truth {
        match bad {
            Some(bad) => truth.bad(bad),
            None => truth.order(millis, customer, cents),
        }
    }
    out.push(b'{');
    if bad != Some(Bad::MissingId) {
        out.extend_from_slice(br#""order_id":"ORD"#);
        padded::<8>(number, out);
        out.extend_from_slice(br#"","#);
    }
    out.extend_from_slice(br#""customer_id":"CUST"#);
    padded::<5>(customer, out);
    out.extend_from_slice(br#"","amount":"#);
    if bad == Some(Bad::NotANumber) {
        out.extend_from_slice(br#""n/a""#);
    } else {
        amount(cents, out);
    }
    out.extend_from_slice(br#","status":""#);
    out.extend_from_slice(status.as_bytes());
    if bad == Some(Bad::Broken) {
        // As if the writer had died in the middle of the line.
        out.extend_from_slice(b"\",\"coun\n");
        return;
    }
    out.extend_from_slice(br#"","country":""#);
    out.extend_from_slice(country.as_bytes());
    out.extend_from_slice(br#"","event_time":""#);
    clock(millis.unsigned_abs(), out);
    out.extend_from_slice(b"\"}\n");
}

fn clock(millis: u64, out: &mut Vec<u8>) {
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

//! Purchases: CSV, about one a second, with the fields of the purchases job.

use super::random::Random;
use super::truth::{Bad, Truth};
use super::{Options, amount, event_offset, padded, plain};

pub(super) const HEADER: &[u8] = b"Customer ID,Purchase Amount,Time Stamp\n";
pub(super) const CUSTOMERS: u64 = 100;
/// Seconds since 1970 of the first purchase; a multiple of 30, so that windows are counted from it.
pub(super) const START_SECONDS: u64 = 1_726_644_360;
/// The time from one purchase to the next.
const STEP_MICROS: i64 = 1_000_000;

/// Appends one line.
pub(super) fn line(
    number: u64,
    options: &Options,
    random: &mut Random,
    truth: Option<&mut Truth>,
    out: &mut Vec<u8>,
) {
    let span = i64::try_from(options.count).unwrap_or(i64::MAX).saturating_mul(STEP_MICROS).max(1);
    let micros = event_offset(number, options, span, options.late, random);
    let customer = random.below(CUSTOMERS);
    let cents = 100 + random.below(9_900);
    let bad = (random.below(1_000_000) < u64::from(options.bad_per_million)).then(|| match random.below(3) {
        0 => Bad::Broken,
        1 => Bad::NoTime,
        _ => Bad::NotANumber,
    });
    if let Some(truth) = truth {
        match bad {
            Some(bad) => truth.bad(bad),
            None => truth.purchase(micros, customer, cents),
        }
    }
    out.extend_from_slice(b"CO");
    padded::<2>(customer, out);
    out.push(b',');
    match bad {
        Some(Bad::NotANumber) => out.extend_from_slice(b"abc"),
        _ => amount(cents, out),
    }
    out.push(b',');
    match bad {
        Some(Bad::NoTime) => out.extend_from_slice(b"yesterday"),
        _ => {
            plain(START_SECONDS + micros.unsigned_abs() / 1_000_000, out);
            out.push(b'.');
            padded::<6>(micros.unsigned_abs() % 1_000_000, out);
        }
    }
    if bad == Some(Bad::Broken) {
        out.extend_from_slice(b",one,field,too,many");
    }
    out.push(b'\n');
}

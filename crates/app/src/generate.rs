//! Made-up data of any size, for benchmarks, tests and first steps.
//!
//! The same options and seed give the same bytes on every machine. While it writes, a generator can keep the
//! [`Truth`]: what a correct pipeline must find, counted in whole cents, so that no float rounds it.

mod orders;
mod pace;
mod purchases;
mod random;
mod stream;
mod truth;

#[cfg(test)]
mod tests;

pub use pace::{Pace, Rate};
pub use stream::{Event, Stream};
pub use truth::{Groups, Totals, Truth};

use orders::Order;
use purchases::Purchase;
use purlin_api::Micros;
use random::Random;
use std::io::{self, Write};

/// How many bytes are handed to the writer at once.
const FLUSH_BYTES: usize = 1 << 20;

/// What is generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dataset {
    /// Orders of a shop as JSON lines.
    Orders,
    /// Purchases as CSV with a header.
    Purchases,
}

/// How much, and of which quality.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Lines of data, good and bad.
    pub count: u64,
    /// Bad lines in a million.
    pub bad_per_million: u32,
    /// How far event times lie before or after their place in the file, at most; microseconds.
    pub late: Micros,
    /// Where the random numbers start.
    pub seed: u64,
}

/// Writes a dataset; with `keep_truth` also says what is in it. That takes about 100 MB of memory for orders.
///
/// # Errors
/// Those of the writer.
pub fn generate(
    dataset: Dataset,
    options: &Options,
    keep_truth: bool,
    out: &mut dyn Write,
) -> io::Result<Option<Truth>> {
    let mut random = Random::new(options.seed);
    let mut truth = keep_truth.then(|| Truth::new(dataset));
    let mut lines = Vec::with_capacity(FLUSH_BYTES + 4096);
    if dataset == Dataset::Purchases {
        lines.extend_from_slice(purchases::HEADER);
    }
    for number in 0..options.count {
        match dataset {
            Dataset::Orders => {
                let order = Order::next(number, options, None, &mut random);
                if let Some(truth) = &mut truth {
                    order.tell(truth);
                }
                order.json(&mut lines);
            }
            Dataset::Purchases => {
                let purchase = Purchase::next(number, options, None, &mut random);
                if let Some(truth) = &mut truth {
                    purchase.tell(truth);
                }
                purchase.csv(&mut lines);
            }
        }
        lines.push(b'\n');
        if lines.len() >= FLUSH_BYTES {
            out.write_all(&lines)?;
            lines.clear();
        }
    }
    out.write_all(&lines)?;
    out.flush()?;
    Ok(truth)
}

/// The event time of live data: the present, or up to `late` before it. Microseconds since 1970.
fn live_time(now: i64, options: &Options, random: &mut Random) -> i64 {
    now - random.below(options.late.max(0).unsigned_abs() + 1) as i64
}

/// The event time of a line as an offset from the first: its place in the file moved by up to `late` either
/// way, within the span. Both times in units of the caller's.
fn event_offset(number: u64, options: &Options, span: i64, late: i64, random: &mut Random) -> i64 {
    let late = late.clamp(0, span);
    let place = u128::from(number) * span.unsigned_abs() as u128 / u128::from(options.count.max(1));
    let moved = random.below(2 * late as u64 + 1) as i64 - late;
    (i64::try_from(place).unwrap_or(span) + moved).clamp(0, span - 1)
}

/// Appends a number with leading zeros; digits above the `N`th are left out.
fn padded<const N: usize>(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [b'0'; N];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&digits);
}

/// Appends a number without leading zeros.
fn plain(number: u64, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let (mut rest, mut used) = (number, 0);
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(20 - used..).unwrap_or_default());
}

/// Appends an amount of cents as units with two decimals.
fn amount(cents: u64, out: &mut Vec<u8>) {
    plain(cents / 100, out);
    out.push(b'.');
    padded::<2>(cents % 100, out);
}

//! What a correct pipeline finds in generated data.

use super::{Dataset, orders, purchases};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How a line is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// Cut off, or with too many fields.
    Broken,
    /// Without `order_id`.
    MissingId,
    /// The amount is text.
    NotANumber,
    /// The time is no time.
    NoTime,
}

/// Rows and their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Rows.
    pub count: u64,
    /// Their amounts, in cents.
    pub cents: u64,
}

impl Totals {
    fn add(&mut self, cents: u64) {
        self.count += 1;
        self.cents += cents;
    }

    fn to_json(self) -> Value {
        json!({"count": self.count, "cents": self.cents})
    }
}

/// A fingerprint of sums by customer in one window: too many groups to list. Groups whose amounts were
/// exchanged, split or joined change it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// Customers with a row.
    pub groups: u64,
    /// The sum over all.
    pub cents: u64,
    /// The sum of (customer's number + 1) * cents.
    pub weighted: u128,
    /// The sum of the squares of cents.
    pub squares: u128,
}

/// What is in a dataset. Windows are named by their start, in seconds since 1970.
#[derive(Clone, Debug)]
pub struct Truth {
    bad: BTreeMap<&'static str, u64>,
    good: Totals,
    /// W1: all rows by window of five minutes (orders only).
    windows: BTreeMap<i64, Totals>,
    /// W2: cents by window of 30 seconds and customer; 0 where there is no row (amounts are positive).
    sums: Vec<u64>,
    customers: u64,
    start_seconds: i64,
    with_windows: bool,
}

/// The length of W1's windows.
const WINDOW_SECONDS: i64 = 300;
/// The length of W2's windows.
const CUSTOMER_WINDOW_SECONDS: i64 = 30;

impl Truth {
    pub(super) fn new(dataset: Dataset) -> Self {
        let (customers, start_seconds) = match dataset {
            Dataset::Orders => (orders::CUSTOMERS, orders::START_SECONDS),
            Dataset::Purchases => (purchases::CUSTOMERS, purchases::START_SECONDS as i64),
        };
        Truth {
            bad: BTreeMap::new(),
            good: Totals::default(),
            windows: BTreeMap::new(),
            sums: Vec::new(),
            customers,
            start_seconds,
            with_windows: dataset == Dataset::Orders,
        }
    }

    pub(super) fn bad(&mut self, bad: Bad) {
        let kind = match bad {
            Bad::Broken => "broken",
            Bad::MissingId => "missing_id",
            Bad::NotANumber => "not_a_number",
            Bad::NoTime => "no_time",
        };
        *self.bad.entry(kind).or_default() += 1;
    }

    pub(super) fn order(&mut self, millis: i64, customer: u64, cents: u64) {
        self.row(millis / 1000, customer, cents);
    }

    pub(super) fn purchase(&mut self, micros: i64, customer: u64, cents: u64) {
        self.row(micros / 1_000_000, customer, cents);
    }

    /// `second`: from the start of the data.
    fn row(&mut self, second: i64, customer: u64, cents: u64) {
        self.good.add(cents);
        if self.with_windows {
            let start = self.start_seconds + second - second % WINDOW_SECONDS;
            self.windows.entry(start).or_default().add(cents);
        }
        let window = (second / CUSTOMER_WINDOW_SECONDS).unsigned_abs();
        let place = (window * self.customers + customer) as usize;
        if place >= self.sums.len() {
            self.sums.resize(((window + 1) * self.customers) as usize, 0);
        }
        if let Some(sum) = self.sums.get_mut(place) {
            *sum += cents;
        }
    }

    /// Good rows.
    pub fn good(&self) -> Totals {
        self.good
    }

    /// Bad lines.
    pub fn bad_lines(&self) -> u64 {
        self.bad.values().sum()
    }

    /// W1: all rows by window of five minutes.
    pub fn by_window(&self) -> &BTreeMap<i64, Totals> {
        &self.windows
    }

    /// W2: sums by customer in windows of 30 seconds, as a fingerprint a window.
    pub fn by_customer(&self) -> BTreeMap<i64, Groups> {
        let windows = self.sums.chunks(self.customers as usize).enumerate();
        windows
            .map(|(i, sums)| {
                let mut all = Groups::default();
                for (customer, cents) in sums.iter().enumerate().filter(|(_, cents)| **cents > 0) {
                    all.groups += 1;
                    all.cents += cents;
                    all.weighted += (customer as u128 + 1) * u128::from(*cents);
                    all.squares += u128::from(*cents) * u128::from(*cents);
                }
                (self.start_seconds + i as i64 * CUSTOMER_WINDOW_SECONDS, all)
            })
            .filter(|(_, groups)| groups.groups > 0)
            .collect()
    }

    /// All of it as JSON. Integers that may pass 64 bits are text.
    pub fn to_json(&self) -> Value {
        let w1: serde_json::Map<_, _> =
            self.windows.iter().map(|(start, totals)| (start.to_string(), totals.to_json())).collect();
        let by_customer = self.by_customer();
        let groups: u64 = by_customer.values().map(|g| g.groups).sum();
        let w2: serde_json::Map<_, _> = by_customer
            .iter()
            .map(|(start, g)| {
                let (weighted, squares) = (g.weighted.to_string(), g.squares.to_string());
                let all =
                    json!({"groups": g.groups, "cents": g.cents, "weighted": weighted, "squares": squares});
                (start.to_string(), all)
            })
            .collect();
        json!({
            "lines": self.good.count + self.bad_lines(),
            "good": self.good.count,
            "cents": self.good.cents,
            "bad": self.bad,
            "w1": w1,
            "w2_groups": groups,
            "w2": w2,
        })
    }
}

//! Made-up data one event at a time, for topics.

use super::orders::{self, Order};
use super::purchases::{self, Purchase};
use super::random::Random;
use super::truth::Truth;
use super::{Dataset, Options};

/// One event, as it is published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// A JSON object (or what is left of one, if it is bad).
    pub payload: Vec<u8>,
    /// When it happened, in microseconds since 1970.
    pub micros: i64,
    /// What no other event of the stream is called.
    pub id: String,
}

/// Gives events for as long as one asks, the same ones for the same options.
#[derive(Debug)]
pub struct Stream {
    dataset: Dataset,
    options: Options,
    random: Random,
    number: u64,
    /// Added to numbers in names: live events of one run are called otherwise than those of another.
    base: Option<u64>,
    truth: Option<Truth>,
}

impl Stream {
    /// From the first event on. `keep_truth` is for events that take their time from their place.
    pub fn new(dataset: Dataset, options: Options, keep_truth: bool) -> Self {
        Stream {
            dataset,
            options,
            random: Random::new(options.seed),
            number: 0,
            base: None,
            truth: keep_truth.then(|| Truth::new(dataset)),
        }
    }

    /// The columns as a line of CSV.
    pub fn header(&self) -> &'static [u8] {
        match self.dataset {
            Dataset::Orders => orders::HEADER,
            Dataset::Purchases => purchases::HEADER,
        }
    }

    /// The next event. `now`, in microseconds since 1970, makes it one of the present; otherwise it has the time
    /// of its place among [`Options::count`]. With `csv`, it is appended there too, as a line.
    pub fn next(&mut self, now: Option<i64>, csv: Option<&mut Vec<u8>>) -> Event {
        let mut payload = Vec::with_capacity(160);
        let number = match now {
            None => self.number,
            Some(now) => *self.base.get_or_insert(now.unsigned_abs()) + self.number,
        };
        self.number += 1;
        match self.dataset {
            Dataset::Orders => {
                let order = Order::next(number, &self.options, now, &mut self.random);
                order.json(&mut payload);
                if let Some(truth) = &mut self.truth {
                    order.tell(truth);
                }
                if let Some(csv) = csv {
                    order.csv(csv);
                    csv.push(b'\n');
                }
                Event { payload, micros: order.micros(), id: format!("ORD{number:08}") }
            }
            Dataset::Purchases => {
                let purchase = Purchase::next(number, &self.options, now, &mut self.random);
                purchase.json(&mut payload);
                if let Some(truth) = &mut self.truth {
                    purchase.tell(truth);
                }
                if let Some(csv) = csv {
                    purchase.csv(csv);
                    csv.push(b'\n');
                }
                Event { payload, micros: purchase.micros(), id: format!("P{number:08}") }
            }
        }
    }

    /// What a correct pipeline finds in the events given so far.
    pub fn truth(&self) -> Option<&Truth> {
        self.truth.as_ref()
    }
}

//! Counters that never fall as long as the process lives, however often a pipeline is started again.
//!
//! A run that goes on from a checkpoint counts on from there: what it reads again is not counted twice, so that a counter
//! stays where it was until the run has passed it. A run that begins anew counts from 0, and comes on top of those before.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// What is counted of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Series {
    /// How often it failed.
    Restarts,
    /// Units read by its sources.
    Read,
    /// Rows that a transform was given, and what became of them.
    Rows(String, &'static str),
    /// Rows that a transform gave, by output.
    Output(String, String),
}

/// Something that counts: a run, by its place among all of its pipeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counting {
    number: u64,
    /// Whether it began at 0, and not where another one had come to.
    is_anew: bool,
}

#[derive(Debug, Default)]
struct Count {
    /// The run that counted last.
    number: u64,
    /// What came together before it, if it began anew.
    base: u64,
    /// The most it has said.
    most: u64,
}

/// The counters of a pipeline, of all its runs.
#[derive(Debug, Default)]
pub struct Tally {
    inner: Mutex<(u64, HashMap<Series, Count>)>,
}

impl Tally {
    fn with<T>(&self, f: impl FnOnce(&mut u64, &mut HashMap<Series, Count>) -> T) -> T {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, counts) = &mut *inner;
        f(last, counts)
    }

    /// Something begins to count.
    pub fn begin(&self, is_anew: bool) -> Counting {
        self.with(|last, _| {
            *last += 1;
            Counting { number: *last, is_anew }
        })
    }

    /// Takes what a run has counted; answers what all have. Of a run before the last nothing more is taken.
    pub fn tell(&self, by: Counting, counted: BTreeMap<Series, u64>) -> BTreeMap<Series, u64> {
        self.with(|_, counts| {
            let shown = counted.into_iter().map(|(series, n)| {
                let count = counts.entry(series.clone()).or_default();
                if by.number > count.number {
                    if by.is_anew {
                        (count.base, count.most) = (count.base + count.most, 0);
                    }
                    count.number = by.number;
                }
                if by.number == count.number {
                    count.most = count.most.max(n);
                }
                (series, count.base + count.most)
            });
            shown.collect()
        })
    }
}

/// The tallies of all pipelines there were, by name: one that is taken out of the project and comes back counts on.
#[derive(Debug, Default)]
pub(crate) struct Tallies(Mutex<HashMap<String, Arc<Tally>>>);

impl Tallies {
    /// That of a pipeline.
    pub(crate) fn of(&self, pipeline: &str) -> Arc<Tally> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(pipeline.to_owned()).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_stay_until_a_run_from_a_checkpoint_has_passed_them() {
        let tally = Tally::default();
        let tell = |by, n| tally.tell(by, [(Series::Read, n)].into())[&Series::Read];
        let first = tally.begin(false);
        assert_eq!([tell(first, 3), tell(first, 10), tell(first, 9)], [3, 10, 10]);
        let second = tally.begin(false);
        assert_eq!([tell(second, 0), tell(second, 9), tell(second, 12)], [10, 10, 12]);
        assert_eq!(tell(first, 20), 12, "it has ended");
    }

    #[test]
    fn runs_that_begin_anew_are_added() {
        let tally = Tally::default();
        let tell = |by, n| tally.tell(by, [(Series::Read, n)].into())[&Series::Read];
        let (first, second) = (tally.begin(true), tally.begin(true));
        assert_eq!([tell(first, 2), tell(second, 0), tell(second, 2), tell(first, 2)], [2, 2, 4, 4]);
        // A live one takes its place: it has not counted before.
        let third = tally.begin(false);
        assert_eq!([tell(third, 1), tell(third, 5)], [4, 7]);
        let other = tally.tell(third, [(Series::Restarts, 1)].into());
        assert_eq!(other, [(Series::Restarts, 1)].into());
    }
}

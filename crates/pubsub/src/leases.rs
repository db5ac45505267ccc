//! Which messages are held, and when their leases must be extended.
//!
//! Messages that arrived together have one deadline, so they are kept together. Pure: the time comes in as a
//! parameter, and which ids to extend or to acknowledge comes out.

use std::collections::{BTreeMap, BTreeSet};

/// Messages of one arrival, by place: from `from` up to but not `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRange {
    /// Which arrival.
    pub batch: u64,
    /// First place.
    pub from: u32,
    /// Place behind the last.
    pub to: u32,
}

#[derive(Debug)]
struct Cohort {
    /// By place; `None` once released.
    ids: Vec<Option<String>>,
    live: usize,
    /// When the leases run out; `None` if they are not extended any more.
    deadline_us: Option<i64>,
    /// When they arrived.
    since_us: i64,
}

/// What is held.
#[derive(Debug)]
pub struct Leases {
    lease_us: i64,
    hold_us_max: i64,
    cohorts: BTreeMap<u64, Cohort>,
    by_deadline: BTreeSet<(i64, u64)>,
    next_batch: u64,
    live: usize,
    let_go: u64,
}

impl Leases {
    /// Leases of `lease_us`, each extended for at most `hold_us_max`.
    pub fn new(lease_us: i64, hold_us_max: i64) -> Self {
        Leases {
            lease_us,
            hold_us_max,
            cohorts: BTreeMap::new(),
            by_deadline: BTreeSet::new(),
            next_batch: 0,
            live: 0,
            let_go: 0,
        }
    }

    /// Messages arrived at `now`; answers the number of their arrival.
    pub fn add(&mut self, ids: Vec<String>, now: i64) -> u64 {
        let batch = self.next_batch;
        self.next_batch += 1;
        if ids.is_empty() {
            return batch;
        }
        let deadline = now.saturating_add(self.lease_us);
        self.live += ids.len();
        self.by_deadline.insert((deadline, batch));
        let live = ids.len();
        let ids = ids.into_iter().map(Some).collect();
        self.cohorts.insert(batch, Cohort { ids, live, deadline_us: Some(deadline), since_us: now });
        batch
    }

    /// Lets go of messages and answers their ids; those let go before have none.
    pub fn release(&mut self, range: LeaseRange) -> Vec<String> {
        let Some(cohort) = self.cohorts.get_mut(&range.batch) else { return Vec::new() };
        let len = cohort.ids.len();
        let (from, to) = ((range.from as usize).min(len), (range.to as usize).min(len));
        let ids: Vec<String> =
            cohort.ids.get_mut(from..to).unwrap_or_default().iter_mut().filter_map(Option::take).collect();
        cohort.live -= ids.len();
        self.live -= ids.len();
        if cohort.live == 0 {
            let deadline = cohort.deadline_us;
            self.cohorts.remove(&range.batch);
            if let Some(deadline) = deadline {
                self.by_deadline.remove(&(deadline, range.batch));
            }
        }
        ids
    }

    /// Lets go of everything and answers the ids.
    pub fn release_all(&mut self) -> Vec<String> {
        self.by_deadline.clear();
        self.live = 0;
        std::mem::take(&mut self.cohorts).into_values().flat_map(|c| c.ids.into_iter().flatten()).collect()
    }

    /// When leases must be extended next: after two thirds of their time.
    pub fn next_due(&self) -> Option<i64> {
        self.by_deadline.first().map(|(deadline, _)| self.due_at(*deadline))
    }

    fn due_at(&self, deadline: i64) -> i64 {
        deadline.saturating_sub(self.lease_us / 3)
    }

    /// The ids whose leases are to be extended at `now`; they count as extended. What was held too long is
    /// left to come again.
    pub fn due(&mut self, now: i64) -> Vec<String> {
        let mut ids = Vec::new();
        while let Some(&(deadline, batch)) = self.by_deadline.first() {
            if self.due_at(deadline) > now {
                break;
            }
            self.by_deadline.pop_first();
            let Some(cohort) = self.cohorts.get_mut(&batch) else { continue };
            if now.saturating_sub(cohort.since_us) >= self.hold_us_max {
                cohort.deadline_us = None;
                self.let_go += cohort.live as u64;
                continue;
            }
            let deadline = now.saturating_add(self.lease_us);
            cohort.deadline_us = Some(deadline);
            self.by_deadline.insert((deadline, batch));
            ids.extend(cohort.ids.iter().flatten().cloned());
        }
        ids
    }

    /// How many messages are held.
    pub fn held(&self) -> usize {
        self.live
    }

    /// How many messages were held so long that their leases are not extended any more.
    pub fn let_go(&self) -> u64 {
        self.let_go
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;

    fn ids(names: &[&str]) -> Vec<String> {
        names.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn leases_are_extended_until_released() {
        let mut l = Leases::new(60 * S, 3600 * S);
        let a = l.add(ids(&["a1", "a2", "a3"]), 0);
        let b = l.add(ids(&["b1"]), 10 * S);
        assert_eq!((l.held(), l.next_due()), (4, Some(40 * S)));
        assert!(l.due(39 * S).is_empty());
        assert_eq!(l.release(LeaseRange { batch: a, from: 1, to: 2 }), ["a2"]);
        assert_eq!(l.due(40 * S), ["a1", "a3"]);
        assert_eq!(l.next_due(), Some(50 * S), "now it is the other's turn");
        assert_eq!(l.due(200 * S), ["b1", "a1", "a3"], "late is better than not at all");
        assert_eq!(l.release(LeaseRange { batch: b, from: 0, to: 9 }), ["b1"]);
        assert_eq!(l.release(LeaseRange { batch: a, from: 0, to: 3 }), ["a1", "a3"]);
        assert!(l.release(LeaseRange { batch: a, from: 0, to: 3 }).is_empty());
        assert_eq!((l.held(), l.next_due()), (0, None));
    }

    #[test]
    fn nothing_is_held_for_ever() {
        let mut l = Leases::new(60 * S, 100 * S);
        let a = l.add(ids(&["a"]), 0);
        assert_eq!(l.due(40 * S), ["a"]);
        assert_eq!(l.due(80 * S), ["a"]);
        assert!(l.due(120 * S).is_empty());
        assert_eq!((l.let_go(), l.next_due()), (1, None));
        assert_eq!(l.release(LeaseRange { batch: a, from: 0, to: 1 }), ["a"], "an ack may still be in time");
    }

    #[test]
    fn all_can_be_given_back() {
        let mut l = Leases::new(60 * S, 100 * S);
        l.add(ids(&["a", "b"]), 0);
        assert_eq!(l.release_all(), ["a", "b"]);
        assert_eq!((l.held(), l.next_due()), (0, None));
    }
}

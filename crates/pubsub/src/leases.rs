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

/// Ids one behind the other: there may be millions, and each alone would cost more than its text.
#[derive(Debug)]
struct Ids {
    text: String,
    /// Where each ends.
    ends: Vec<u32>,
    /// Which are held still.
    held: Vec<bool>,
}

impl Ids {
    fn new(ids: &[String]) -> Self {
        let mut text = String::with_capacity(ids.iter().map(String::len).sum());
        let mut ends = Vec::with_capacity(ids.len());
        for id in ids {
            text.push_str(id);
            ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
        }
        Ids { text, ends, held: vec![true; ids.len()] }
    }

    fn get(&self, place: usize) -> Option<String> {
        let begin = if place == 0 { 0 } else { self.ends.get(place - 1).copied()? };
        let end = self.ends.get(place).copied()?;
        self.text.get(begin as usize..end as usize).map(str::to_owned)
    }

    fn take(&mut self, place: usize) -> Option<String> {
        let held = self.held.get_mut(place)?;
        if std::mem::replace(held, false) { self.get(place) } else { None }
    }

    fn iter(&self) -> impl Iterator<Item = String> {
        self.held.iter().enumerate().filter(|(_, held)| **held).filter_map(|(place, _)| self.get(place))
    }
}

#[derive(Debug)]
struct Cohort {
    ids: Ids,
    live: usize,
    /// When the leases run out; `None` if they are not extended any more.
    deadline_us: Option<i64>,
    /// For how long they are extended next.
    lease_us: i64,
    /// When they arrived.
    since_us: i64,
}

/// Ids whose leases are extended together.
#[derive(Debug, PartialEq, Eq)]
pub struct Extension {
    /// For how long, in seconds.
    pub seconds: i32,
    /// Which.
    pub ids: Vec<String>,
}

/// What is held.
#[derive(Debug)]
pub struct Leases {
    lease_us: i64,
    lease_us_max: i64,
    hold_us_max: i64,
    cohorts: BTreeMap<u64, Cohort>,
    by_deadline: BTreeSet<(i64, u64)>,
    next_batch: u64,
    live: usize,
    let_go: u64,
}

impl Leases {
    /// Leases of `lease_us`, growing to `lease_us_max` (ten minutes is the longest that the service gives at a time),
    /// each extended for at most `hold_us_max`.
    pub fn new(lease_us: i64, lease_us_max: i64, hold_us_max: i64) -> Self {
        Leases {
            lease_us,
            lease_us_max: lease_us_max.max(lease_us),
            hold_us_max,
            cohorts: BTreeMap::new(),
            by_deadline: BTreeSet::new(),
            next_batch: 0,
            live: 0,
            let_go: 0,
        }
    }

    /// Messages arrived at `now`; answers the number of their arrival.
    pub fn add(&mut self, ids: &[String], now: i64) -> u64 {
        let batch = self.next_batch;
        self.next_batch += 1;
        if ids.is_empty() {
            return batch;
        }
        let deadline = now.saturating_add(self.lease_us);
        self.live += ids.len();
        self.by_deadline.insert((deadline, batch));
        let cohort = Cohort {
            live: ids.len(),
            ids: Ids::new(ids),
            deadline_us: Some(deadline),
            lease_us: self.lease_us,
            since_us: now,
        };
        self.cohorts.insert(batch, cohort);
        batch
    }

    /// Lets go of messages and answers their ids; those let go before have none.
    pub fn release(&mut self, range: LeaseRange) -> Vec<String> {
        let Some(cohort) = self.cohorts.get_mut(&range.batch) else { return Vec::new() };
        let to = (range.to as usize).min(cohort.ids.held.len());
        let ids: Vec<String> = (range.from as usize..to).filter_map(|place| cohort.ids.take(place)).collect();
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
        std::mem::take(&mut self.cohorts)
            .into_values()
            .flat_map(|c| c.ids.iter().collect::<Vec<_>>())
            .collect()
    }

    /// When leases must be extended next: a third of the first lease before they run out.
    pub fn next_due(&self) -> Option<i64> {
        self.by_deadline.first().map(|(deadline, _)| self.due_at(*deadline))
    }

    fn due_at(&self, deadline: i64) -> i64 {
        deadline.saturating_sub(self.lease_us / 3)
    }

    /// The ids whose leases are to be extended at `now`; they count as extended. Each time the lease is twice as
    /// long, up to the longest: what has been held for long will be held for long. What was held too long is left
    /// to come again.
    pub fn due(&mut self, now: i64) -> Vec<Extension> {
        let mut all: BTreeMap<i32, Vec<String>> = BTreeMap::new();
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
            cohort.lease_us = cohort.lease_us.saturating_mul(2).min(self.lease_us_max);
            let deadline = now.saturating_add(cohort.lease_us);
            cohort.deadline_us = Some(deadline);
            self.by_deadline.insert((deadline, batch));
            let seconds = i32::try_from(cohort.lease_us / 1_000_000).unwrap_or(i32::MAX);
            all.entry(seconds).or_default().extend(cohort.ids.iter());
        }
        all.into_iter().map(|(seconds, ids)| Extension { seconds, ids }).collect()
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

    fn due(l: &mut Leases, now: i64) -> Vec<(i32, Vec<String>)> {
        l.due(now).into_iter().map(|e| (e.seconds, e.ids)).collect()
    }

    #[test]
    fn leases_are_extended_until_released() {
        let mut l = Leases::new(60 * S, 600 * S, 3600 * S);
        let a = l.add(&ids(&["a1", "a2", "a3"]), 0);
        let b = l.add(&ids(&["b1"]), 10 * S);
        assert_eq!((l.held(), l.next_due()), (4, Some(40 * S)));
        assert!(l.due(39 * S).is_empty());
        assert_eq!(l.release(LeaseRange { batch: a, from: 1, to: 2 }), ["a2"]);
        assert_eq!(due(&mut l, 40 * S), [(120, ids(&["a1", "a3"]))]);
        assert_eq!(l.next_due(), Some(50 * S), "now it is the other's turn");
        let late = due(&mut l, 200 * S);
        assert_eq!(late, [(120, ids(&["b1"])), (240, ids(&["a1", "a3"]))], "late is better than not at all");
        assert_eq!(l.release(LeaseRange { batch: b, from: 0, to: 9 }), ["b1"]);
        assert_eq!(l.release(LeaseRange { batch: a, from: 0, to: 3 }), ["a1", "a3"]);
        assert!(l.release(LeaseRange { batch: a, from: 0, to: 3 }).is_empty());
        assert_eq!((l.held(), l.next_due()), (0, None));
    }

    #[test]
    fn leases_grow_to_ten_minutes() {
        let mut l = Leases::new(60 * S, 600 * S, i64::MAX);
        l.add(&ids(&["a"]), 0);
        let mut seen = Vec::new();
        for _ in 0..6 {
            let now = l.next_due().unwrap();
            seen.push(due(&mut l, now)[0].0);
        }
        assert_eq!(seen, [120, 240, 480, 600, 600, 600]);
        let mut short = Leases::new(15 * S, 15 * S, i64::MAX);
        short.add(&ids(&["a"]), 0);
        assert_eq!((due(&mut short, 10 * S)[0].0, short.next_due()), (15, Some(20 * S)));
    }

    #[test]
    fn nothing_is_held_for_ever() {
        let mut l = Leases::new(60 * S, 600 * S, 100 * S);
        let a = l.add(&ids(&["a"]), 0);
        assert_eq!(due(&mut l, 40 * S).len(), 1);
        assert!(l.due(140 * S).is_empty());
        assert_eq!((l.let_go(), l.next_due()), (1, None));
        assert_eq!(l.release(LeaseRange { batch: a, from: 0, to: 1 }), ["a"], "an ack may still be in time");
    }

    #[test]
    fn all_can_be_given_back() {
        let mut l = Leases::new(60 * S, 600 * S, 100 * S);
        let a = l.add(&ids(&["a", "b", "c"]), 0);
        l.release(LeaseRange { batch: a, from: 0, to: 1 });
        assert_eq!(l.release_all(), ["b", "c"]);
        assert_eq!((l.held(), l.next_due()), (0, None));
    }
}

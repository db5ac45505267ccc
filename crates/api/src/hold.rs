//! Guards that keep a watermark back.

use crate::time::EventTime;
use std::collections::BTreeMap;

/// A counted multiset of holds with owners. The watermark may reach, and not pass, the least hold.
#[derive(Clone, Debug, Default)]
pub struct Holds {
    at: BTreeMap<EventTime, BTreeMap<String, usize>>,
}

impl Holds {
    /// Adds one hold of `owner` at `t`.
    pub fn add(&mut self, t: EventTime, owner: &str) {
        let owners = self.at.entry(t).or_default();
        match owners.get_mut(owner) {
            Some(n) => *n += 1,
            None => {
                owners.insert(owner.to_owned(), 1);
            }
        }
    }

    /// Takes one hold of `owner` at `t` away. Returns false if there was none: a bug of the owner.
    #[must_use]
    pub fn release(&mut self, t: EventTime, owner: &str) -> bool {
        let Some(owners) = self.at.get_mut(&t) else { return false };
        let Some(n) = owners.get_mut(owner) else { return false };
        *n -= 1;
        if *n == 0 {
            owners.remove(owner);
        }
        if owners.is_empty() {
            self.at.remove(&t);
        }
        true
    }

    /// The least hold, if any.
    pub fn min(&self) -> Option<EventTime> {
        self.at.keys().next().copied()
    }

    /// Who holds what: time, owner, count; earliest first.
    pub fn iter(&self) -> impl Iterator<Item = (EventTime, &str, usize)> {
        self.at.iter().flat_map(|(t, o)| o.iter().map(move |(k, n)| (*t, k.as_str(), *n)))
    }

    /// True if nothing is held.
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }
}

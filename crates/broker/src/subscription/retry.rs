//! When messages that were not acknowledged come again.

use super::Micros;
use std::collections::{BTreeSet, HashMap};

/// A retry policy: the delay doubles from the least to the greatest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backoff {
    /// The first delay.
    pub(crate) min_micros: Micros,
    /// The longest delay.
    pub(crate) max_micros: Micros,
}

impl Backoff {
    /// The delay after the delivery `attempt` (from 1) failed: `min * 2^(attempt - 1)`, at most `max`.
    pub(crate) fn delay(&self, attempt: u32) -> Micros {
        let doublings = attempt.saturating_sub(1).min(40);
        self.min_micros.saturating_mul(1 << doublings).clamp(0, self.max_micros.max(self.min_micros))
    }
}

/// A message that waits to be delivered again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// From when it may be delivered.
    pub(crate) due: Micros,
    /// How often it has been delivered.
    pub(crate) attempts: u32,
}

/// The messages of a subscription that wait, without those whose order matters.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    by_offset: HashMap<u64, Waiting>,
    by_due: BTreeSet<(Micros, u64)>,
}

impl Retries {
    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.by_offset.len()
    }

    /// Lets a message wait. It must not wait already.
    pub(crate) fn push(&mut self, offset: u64, waiting: Waiting) {
        self.by_due.insert((waiting.due, offset));
        let before = self.by_offset.insert(offset, waiting);
        debug_assert!(before.is_none(), "offset {offset} waits twice");
    }

    /// Takes the message that is due first, if it is due; of several, the oldest.
    pub(crate) fn pop_due(&mut self, now: Micros) -> Option<(u64, Waiting)> {
        let (due, offset) = *self.by_due.first()?;
        if due > now {
            return None;
        }
        self.by_due.pop_first();
        self.by_offset.remove(&offset).map(|w| (offset, w))
    }

    /// Takes a message out: it was acknowledged after all.
    pub(crate) fn remove(&mut self, offset: u64) -> Option<Waiting> {
        let waiting = self.by_offset.remove(&offset)?;
        self.by_due.remove(&(waiting.due, offset));
        Some(waiting)
    }

    /// When the next is due.
    pub(crate) fn next_due(&self) -> Option<Micros> {
        self.by_due.first().map(|(due, _)| *due)
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.by_offset.clear();
        self.by_due.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_greatest() {
        let backoff = Backoff { min_micros: 10, max_micros: 75 };
        assert_eq!([1, 2, 3, 4, 5, 100].map(|n| backoff.delay(n)), [10, 20, 40, 75, 75, 75]);
        assert_eq!(Backoff::default().delay(7), 0);
        assert_eq!(Backoff { min_micros: i64::MAX, max_micros: i64::MAX }.delay(50), i64::MAX);
    }

    #[test]
    fn the_oldest_of_those_due_comes_first() {
        let mut retries = Retries::default();
        for (offset, due) in [(5, 10), (3, 10), (4, 5)] {
            retries.push(offset, Waiting { due, attempts: 1 });
        }
        assert_eq!(retries.pop_due(4), None);
        assert_eq!(retries.next_due(), Some(5));
        let order: Vec<u64> = std::iter::from_fn(|| retries.pop_due(10)).map(|(o, _)| o).collect();
        assert_eq!((order, retries.len()), (vec![4, 3, 5], 0));
    }
}

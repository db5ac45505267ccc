//! From which epochs state has rows.

use std::collections::VecDeque;

/// A counted multiset of epochs: an operator's entry for each thing it keeps (a window, a session), at the epoch of
/// the first row in it.
///
/// Sources are told that an epoch is committed only when no operator keeps anything of it: until then its rows must
/// come again after a crash. Operators that keep rows for longer than a call should have entries; for one that has
/// none, the runner goes by its rows in state, and waits until there are none at all.
///
/// What is emitted later counts as of the epoch in which it is emitted; the runner knows that it is older.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// Rising epochs, each with how many entries it has. There are few: as many as epochs have open windows.
    at: VecDeque<(u64, u64)>,
}

impl Kept {
    /// Adds an entry. Cheapest for the present epoch.
    pub fn add(&mut self, epoch: u64) {
        match self.at.back_mut() {
            Some((last, n)) if *last == epoch => *n += 1,
            Some((last, _)) if *last > epoch => match self.at.binary_search_by_key(&epoch, |(e, _)| *e) {
                Ok(i) => {
                    if let Some((_, n)) = self.at.get_mut(i) {
                        *n += 1;
                    }
                }
                Err(i) => self.at.insert(i, (epoch, 1)),
            },
            _ => self.at.push_back((epoch, 1)),
        }
    }

    /// Takes an entry away. Returns false if there was none: a bug of the owner.
    #[must_use]
    pub fn release(&mut self, epoch: u64) -> bool {
        let Ok(i) = self.at.binary_search_by_key(&epoch, |(e, _)| *e) else { return false };
        let Some((_, n)) = self.at.get_mut(i) else { return false };
        *n -= 1;
        if *n == 0 {
            let _entry = self.at.remove(i);
        }
        true
    }

    /// Moves an entry from one epoch to another; `None` stands for no entry.
    pub fn change(&mut self, from: Option<u64>, to: Option<u64>) {
        if from == to {
            return;
        }
        if let Some(epoch) = to {
            self.add(epoch);
        }
        if let Some(epoch) = from {
            let was_there = self.release(epoch);
            debug_assert!(was_there, "no entry of epoch {epoch}");
        }
    }

    /// The oldest epoch there is an entry of.
    pub fn oldest(&self) -> Option<u64> {
        self.at.front().map(|(e, _)| *e)
    }

    /// True if nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_known_whatever_the_order() {
        let mut k = Kept::default();
        for e in [3, 5, 5, 4, 1] {
            k.add(e);
        }
        assert_eq!(k.oldest(), Some(1));
        assert!(k.release(1) && k.release(5) && !k.release(2));
        assert_eq!(k.oldest(), Some(3));
        assert!(k.release(3) && k.release(4) && k.release(5) && !k.release(5));
        assert!(k.is_empty() && k.oldest().is_none());
    }
}

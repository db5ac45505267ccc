//! Barrier alignment: pure.

/// Counts which inputs have shown the barrier of the running epoch.
#[derive(Clone, Debug)]
pub struct Alignment {
    seen: Vec<bool>,
    ended: Vec<bool>,
    epoch: Option<u64>,
}

impl Alignment {
    /// For this many inputs.
    pub fn new(slots: usize) -> Self {
        Alignment { seen: vec![false; slots], ended: vec![false; slots], epoch: None }
    }

    /// True if rows of this input belong to the next epoch and must wait.
    pub fn is_blocked(&self, slot: usize) -> bool {
        self.epoch.is_some() && self.seen.get(slot).copied().unwrap_or(false)
    }

    /// The barrier of an input. Answers the epoch once all inputs have shown it (and unblocks them).
    pub fn barrier(&mut self, slot: usize, epoch: u64) -> Option<u64> {
        self.epoch = Some(epoch);
        if let Some(s) = self.seen.get_mut(slot) {
            *s = true;
        }
        self.complete()
    }

    /// An input ended: it needs to show no barrier.
    pub fn end(&mut self, slot: usize) -> Option<u64> {
        if let Some(e) = self.ended.get_mut(slot) {
            *e = true;
        }
        self.complete()
    }

    fn complete(&mut self) -> Option<u64> {
        let epoch = self.epoch?;
        if self.seen.iter().zip(&self.ended).all(|(s, e)| *s || *e) {
            self.seen.fill(false);
            self.epoch = None;
            return Some(epoch);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_wait_until_all_have_shown_the_barrier() {
        let mut a = Alignment::new(3);
        assert_eq!(a.barrier(0, 7), None);
        assert!(a.is_blocked(0) && !a.is_blocked(1));
        assert_eq!(a.end(2), None);
        assert_eq!(a.barrier(1, 7), Some(7));
        assert!(!a.is_blocked(0) && !a.is_blocked(1));
        assert_eq!(a.barrier(1, 8), None);
        assert_eq!(a.end(0), Some(8), "an input that ends lets the others go on");
    }
}

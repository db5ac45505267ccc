//! When a pipeline that failed is started again.

use purlin_api::{EventTime, Micros};

const FIRST: Micros = 1_000_000;
const LONGEST: Micros = 60_000_000;
/// A run that lasted this long was a good one.
const GOOD_RUN: Micros = 300_000_000;

/// Waits of 1 s, 2 s, 4 s … 1 min, from the beginning again after a run of 5 min.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Micros,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Backoff { next: FIRST }
    }

    /// When to start again after a run that began and failed at these times.
    pub(crate) fn after(&mut self, began: EventTime, failed: EventTime) -> EventTime {
        if failed.0.saturating_sub(began.0) >= GOOD_RUN {
            self.next = FIRST;
        }
        let wait = self.next;
        self.next = (wait * 2).min(LONGEST);
        failed.plus(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_start_over_after_a_good_run() {
        let (mut b, mut now, mut waits) = (Backoff::new(), EventTime(0), Vec::new());
        for _ in 0..8 {
            let at = b.after(now, now);
            waits.push((at.0 - now.0) / 1_000_000);
            now = at;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        let failed = now.plus(GOOD_RUN);
        assert_eq!(b.after(now, failed), failed.plus(FIRST));
        assert_eq!(b.after(now, now), now.plus(2 * FIRST));
    }
}

//! How long to wait before trying again.

use tonic::Code;

/// Delays that double up to a greatest one, each shortened at random by up to half so that many clients do
/// not come back at once ("equal jitter").
#[derive(Clone, Debug)]
pub struct Backoff {
    first_us: i64,
    max_us: i64,
    give_up_us: i64,
    next_us: i64,
    began: Option<i64>,
}

impl Backoff {
    /// Delays from `first_us` to `max_us`, until `give_up_us` have gone by since the first failure.
    pub fn new(first_us: i64, max_us: i64, give_up_us: i64) -> Self {
        Backoff { first_us, max_us, give_up_us, next_us: first_us, began: None }
    }

    /// A failure at `now`: the delay before trying again, or `None` to give up. `random` is any number.
    pub fn failed(&mut self, now: i64, random: u64) -> Option<i64> {
        let began = *self.began.get_or_insert(now);
        if now.saturating_sub(began) >= self.give_up_us {
            return None;
        }
        let delay = self.next_us.max(1);
        self.next_us = delay.saturating_mul(2).min(self.max_us);
        let half = delay / 2;
        let spread = i64::try_from(random % (half.unsigned_abs() + 1)).unwrap_or(0);
        Some(delay - spread)
    }

    /// It went well: the next failure is a first one.
    pub fn succeeded(&mut self) {
        self.next_us = self.first_us;
        self.began = None;
    }
}

/// Codes after which a publish may be repeated
/// (<https://cloud.google.com/pubsub/docs/reference/error-codes>).
pub fn publish_is_retried(code: Code) -> bool {
    matches!(
        code,
        Code::Aborted
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::ResourceExhausted
            | Code::Unavailable
            | Code::Unknown
    )
}

/// Codes after which a streaming pull is opened again: the service ends streams now and then.
pub fn stream_is_reopened(code: Code) -> bool {
    matches!(
        code,
        Code::Ok
            | Code::Aborted
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::ResourceExhausted
            | Code::Unavailable
            | Code::Unknown
    )
}

/// Codes after which any other call, none of which does harm when repeated, is repeated.
pub fn call_is_retried(code: Code) -> bool {
    matches!(
        code,
        Code::Aborted
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::ResourceExhausted
            | Code::Unavailable
            | Code::Unknown
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_and_end() {
        let mut b = Backoff::new(100, 1_000, 5_000);
        let at = |b: &mut Backoff, now| b.failed(now, 0);
        assert_eq!([at(&mut b, 0), at(&mut b, 1), at(&mut b, 2)], [Some(100), Some(200), Some(400)]);
        assert_eq!([at(&mut b, 3), at(&mut b, 4), at(&mut b, 4_999)], [Some(800), Some(1_000), Some(1_000)]);
        assert_eq!(at(&mut b, 5_000), None);
        b.succeeded();
        assert_eq!(at(&mut b, 5_001), Some(100));
    }

    #[test]
    fn jitter_takes_at_most_half() {
        for random in 0..1000 {
            let d = Backoff::new(100, 1_000, 1).failed(0, random).unwrap();
            assert!((50..=100).contains(&d), "{d}");
        }
    }
}

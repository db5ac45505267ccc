//! The door to the clock and to waiting.

use crate::tasks;
use std::future::Future;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds of a duration, at most what fits.
pub fn micros(d: Duration) -> i64 {
    i64::try_from(d.as_micros()).unwrap_or(i64::MAX)
}

/// The time of day, in microseconds since 1970 in UTC.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the door: everything else takes the time as a parameter"
)]
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, micros)
}

/// Microseconds on a clock that never goes back, since its first use.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the door: everything else takes the time as a parameter"
)]
pub fn monotonic_us() -> i64 {
    static START: OnceLock<Instant> = OnceLock::new();
    micros(START.get_or_init(Instant::now).elapsed())
}

/// Waits, on any executor: the timer is the network thread's.
pub async fn sleep(d: Duration) {
    // The timer is bound to the runtime it is made in, not to the one that awaits it.
    let timer = match tasks::try_handle() {
        Ok(network) => {
            let _inside = network.enter();
            tokio::time::sleep(d)
        }
        // Nobody waits who has not connected before, and that needs the same threads.
        Err(_) => return,
    };
    timer.await;
}

/// Waits for something at most so long.
pub async fn within<T>(d: Duration, what: impl Future<Output = T>) -> Option<T> {
    tokio::select! { biased;
        got = what => Some(got),
        () = sleep(d) => None,
    }
}

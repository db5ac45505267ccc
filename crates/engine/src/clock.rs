//! The only door to processing time.

use purlin_api::EventTime;
use purlin_api::source::BoxFuture;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Where processing time comes from.
pub trait Clock: Send + Sync {
    /// Now, in microseconds since the epoch.
    fn now(&self) -> EventTime;

    /// Waits until then, or for a minute at most: who waits looks again.
    fn sleep(&self, until: EventTime) -> BoxFuture<'static, ()> {
        let micros = until.0.saturating_sub(self.now().0).clamp(0, 60_000_000);
        Box::pin(tokio::time::sleep(Duration::from_micros(micros as u64)))
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // the door itself
    fn now(&self) -> EventTime {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        EventTime(since.map_or(0, |d| d.as_micros() as i64))
    }
}

/// A clock that stands until it is moved: tests script it.
#[derive(Debug, Default)]
pub struct ScriptedClock(AtomicI64);

impl ScriptedClock {
    /// Starting at this instant.
    pub fn at(t: EventTime) -> Self {
        ScriptedClock(AtomicI64::new(t.0))
    }

    /// Moves it; never back.
    pub fn set(&self, t: EventTime) {
        self.0.fetch_max(t.0, Ordering::SeqCst);
    }
}

impl Clock for ScriptedClock {
    fn now(&self) -> EventTime {
        EventTime(self.0.load(Ordering::SeqCst))
    }
}

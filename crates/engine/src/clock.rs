//! The only door to processing time.

use purlin_api::EventTime;
use std::sync::atomic::{AtomicI64, Ordering};

/// Where processing time comes from.
pub trait Clock: Send + Sync {
    /// Now, in microseconds since the epoch.
    fn now(&self) -> EventTime;
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

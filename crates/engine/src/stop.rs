//! How a job that does not end by itself is paced and stopped.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How a job runs that does not end by itself.
#[derive(Clone, Debug)]
pub struct Live {
    /// How often rows are committed and acknowledged. Sooner if nothing else is to be done.
    pub epoch_every: Duration,
    /// How many rows may wait to be acknowledged because windows with rows of their epoch are open. The oldest are
    /// acknowledged beyond that: after a crash they would be missing in those windows.
    pub unacknowledged_rows_max: u64,
    /// Drains the job once its sources gave nothing for this long.
    pub until_idle: Option<Duration>,
    /// Drains the job after this long.
    pub run_for: Option<Duration>,
}

/// Rows that may wait to be acknowledged, unless told otherwise. Readers can hold more than twice that: what they gave
/// since the last barrier comes on top, and a reader that is full while windows wait for more would wait for ever.
pub const UNACKNOWLEDGED_ROWS_MAX: u64 = 400_000;

impl Default for Live {
    fn default() -> Self {
        Live {
            epoch_every: Duration::from_secs(1),
            unacknowledged_rows_max: UNACKNOWLEDGED_ROWS_MAX,
            until_idle: None,
            run_for: None,
        }
    }
}

/// What someone outside wants of a running job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wish {
    #[default]
    None,
    /// Stop reading and commit; windows that are open stay so.
    Stop,
    /// Stop reading, close all windows and commit.
    Drain,
}

/// Stops a running job from outside.
#[derive(Clone, Debug)]
pub struct Stop {
    halt: Arc<watch::Sender<bool>>,
    wish: Arc<watch::Sender<Wish>>,
    is_live: bool,
}

impl Stop {
    pub(crate) fn new(is_live: bool) -> Self {
        Stop {
            halt: Arc::new(watch::channel(false).0),
            wish: Arc::new(watch::channel(Wish::None).0),
            is_live,
        }
    }

    /// Asks every lane to stop where it is. Nothing uncommitted becomes visible.
    pub fn halt(&self) {
        self.halt.send_replace(true);
    }

    /// Asks the job to come to an end: its sources are read no more, what is in flight is worked off, and a last
    /// epoch is committed. Windows that are open are not closed: their rows are not acknowledged, and come again in
    /// the next run. A job that ends by itself has nothing that could come again; it is halted.
    pub fn stop(&self) {
        self.wish(Wish::Stop);
    }

    /// As [`Stop::stop`], but all windows close and give what they have, as if their inputs had ended.
    pub fn drain(&self) {
        self.wish(Wish::Drain);
    }

    fn wish(&self, wish: Wish) {
        if !self.is_live {
            return self.halt();
        }
        self.wish.send_if_modified(|w| {
            let more = *w == Wish::None;
            if more {
                *w = wish;
            }
            more
        });
    }

    pub(crate) fn halted(&self) -> watch::Receiver<bool> {
        self.halt.subscribe()
    }

    pub(crate) fn is_halted(&self) -> bool {
        *self.halt.borrow()
    }

    pub(crate) fn wishes(&self) -> watch::Receiver<Wish> {
        self.wish.subscribe()
    }
}

/// Why a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All its inputs ended, or it failed.
    End,
    /// It was stopped at once: what was not committed is gone.
    Halted,
    /// It was stopped in order; windows stay open.
    Stopped(Left),
    /// It was stopped in order, and all windows closed.
    Drained(Left),
}

/// What became of acknowledgements in a job that was stopped in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Epochs that were committed.
    pub epochs: u64,
    /// Rows that were read and not acknowledged, because windows with rows of their epoch are open: they come again.
    pub unacknowledged_rows: u64,
    /// Rows that were acknowledged although such windows were open, because there were too many.
    pub early_rows: u64,
}

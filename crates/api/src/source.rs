//! The contract of a source.

use crate::batch::Batch;
use crate::error::Result;
use crate::operator::OutPort;
use crate::state::StateTable;
use crate::time::{EventTime, Micros};
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;

/// A future that a contract returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How much a call of [`Source::next`] may give.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Rows.
    pub rows_max: usize,
    /// Bytes, about.
    pub bytes_max: usize,
}

/// Where a source can go on after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Not at this point: no barrier passes here before a later pull says otherwise.
    Barrier,
    /// After this position, but what came before cannot be given again in the same pieces.
    Seek(Bytes),
    /// At this position, giving exactly the same rows again.
    Replay(Bytes),
}

/// What a source will do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceStatus {
    /// There may be more at once.
    Ready,
    /// Nothing now; ask again after this processing-time delay (0: at once, `next` itself waits). An idle source does
    /// not hold the watermark, and may still move its own: if all are idle, time follows what they promise.
    Idle(Micros),
    /// No more, ever.
    Done,
}

/// What one call of [`Source::next`] gives.
#[derive(Debug)]
pub struct Pull {
    /// Rows by output.
    pub batches: Vec<(OutPort, Batch)>,
    /// No later row will have an earlier time than this.
    pub watermark: EventTime,
    /// What comes next.
    pub status: SourceStatus,
    /// Where this instance could go on from, after these rows.
    pub resume: Resume,
    /// Units read (rows, lines, messages), good and bad.
    pub read: u64,
    /// Units that failed and were given on an error output, or counted as skipped because the author said so.
    pub dead: u64,
    /// Units passed over because the author said so (comments, skipped lines, filters).
    pub skipped: u64,
}

impl Pull {
    /// Nothing more, ever.
    pub fn done() -> Self {
        Pull {
            batches: Vec::new(),
            watermark: EventTime::MAX,
            status: SourceStatus::Done,
            resume: Resume::Barrier,
            read: 0,
            dead: 0,
            skipped: 0,
        }
    }
}

/// A running reader of something outside.
///
/// ```text
///  build --> [ next* --> barrier(e) ]* --> close --> drop
///              |  \--> committed(e): some time after barrier(e)
///              \--> split: part of the work moves to another instance
/// ```
///
/// **Constraints.** The runner owns pausing, barriers, retries and pacing; a source only answers
/// `next`. It must stay within the budget, give back control in about ten milliseconds of work, keep
/// no more than the budget in memory, and never give rows behind its own watermark unless they are
/// late at the origin. Units that cannot be decoded are routed to the error output if the author
/// asked for one, else `next` fails. `read = rows + dead + skipped` must hold over all pulls.
///
/// **Waiting.** A source that has nothing may wait inside the future of `next`. The runner fires timers,
/// injects barriers and stops meanwhile, and for that **drops the future and calls `next` again later**: until it
/// is ready, a future must not have taken anything that a later call would miss (it is *cancel-safe*, like
/// receiving from a channel). A future that is made is polled at once, so a source that never waits may do its work before
/// it returns the future. A source that waits should first answer [`SourceStatus::Idle`] once, so that it does not
/// hold time back, and answer again whenever its watermark has something new to say: an answer may carry no rows.
///
/// **Epochs.** In jobs that do not end by themselves the runner cuts the flow into epochs, numbered from 1, at the
/// same place in every instance: what `next` gave since the barrier before belongs to the epoch that `barrier` names.
/// Once no sink and no operator depends on those rows any more, `committed` is called: only then may they be
/// acknowledged outside. Some epochs may be reported together: `committed(7)` speaks of all up to 7. Rows that
/// wait in windows hold their epoch back, so `committed` may lag far behind `barrier`: what is not acknowledged must be
/// kept alive outside (leases extended) until then, or until `close`. Bounded jobs have no epochs.
///
/// **Lanes.** A divided source ([`PlanNode::divide`](crate::PlanNode::divide)) has an instance in each lane,
/// and they take pieces of the work from one queue ([`BuildCx::shared`](crate::BuildCx::shared)). Each
/// instance keeps the contract by itself: its own ledger, its own watermark (the runner goes by the least),
/// its own end (when the queue is empty). [`Pull::resume`] speaks of the pieces of that instance only: which it
/// has finished, and where it stands in the one it holds. The positions of all instances at one barrier
/// together say what is left: what nobody mentions was not begun. So no lane waits for another, a lane may
/// take a new piece between the barriers of two others, and a restored job may have other lanes.
pub trait Source: Send {
    /// The next rows.
    fn next(&mut self, budget: Budget) -> BoxFuture<'_, Result<Pull>>;

    /// What was given since the barrier before belongs to `epoch`; what follows belongs to the next one. Does not
    /// wait, and does nothing by default.
    fn barrier(&mut self, epoch: u64) {
        let _ = epoch;
    }

    /// Tables of what it remembers beside its position, such as ids it has seen: as
    /// [`Operator::tables`](crate::Operator::tables). Saved right after `barrier`.
    fn tables(&mut self) -> Vec<&mut dyn StateTable> {
        Vec::new()
    }

    /// A process before this one began to read and ended before its first checkpoint: called before the first `next`. What it
    /// had taken and not acknowledged may still come.
    fn restarted(&mut self) {}

    /// True while more is known to come although nothing does just now, such as what a service gives again once it gives up a
    /// process that died. A job that ends when nothing has come for a while waits for that.
    fn awaits_more(&self) -> bool {
        false
    }

    /// Goes on from a checkpoint: called once after the tables have been filled and before the first `next`, with the
    /// positions ([`Pull::resume`]) of all instances there were then, in the order of their lanes; of one that had not
    /// given anything there is none. Each instance is given all of them.
    ///
    /// # Errors
    /// If it cannot go on from there: what was read has changed, or is gone.
    fn restore(&mut self, positions: &[Bytes]) -> Result<()> {
        let _ = positions;
        Ok(())
    }

    /// Everything given before the barrier of `epoch` (earlier epochs included) has been committed by the sinks and
    /// is in no operator's state: acknowledge it outside.
    fn committed(&mut self, epoch: u64) -> BoxFuture<'_, Result<()>> {
        let _ = epoch;
        Box::pin(async { Ok(()) })
    }

    /// The job ends and will not call `next` again: what was given and not acknowledged should be given back, so
    /// that it comes again soon; connections are closed. Not called if the job failed.
    fn close(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    /// How much has been read, and how much there is, in units of its own (bytes, for files), by all
    /// instances that share the work. `None` if that is not known.
    fn progress(&self) -> Option<(u64, u64)> {
        None
    }

    /// Gives part of the remaining work away, if it can be divided.
    fn split(&mut self) -> Option<Box<dyn Source>> {
        None
    }
}

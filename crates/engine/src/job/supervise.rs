//! Watches over all lanes: ends, failures, stalls; and leads those of a live job from epoch to epoch.

use super::Shared;
use super::duties::LastRites;
use super::task::{LaneEnd, sleep};
use crate::checkpoint::{Cut, Image, LanePart, Loaded, Status, Writer};
use crate::commit::{Committer, Orders, Reading, Report, Role};
use crate::epoch::Ages;
use crate::stats::NodeStats;
use crate::stop::{Ending, Left, Stop, Wish};
use crate::why::Watcher;
use purlin_api::operator::LogLevel;
use purlin_api::{Error, EventTime, Result};
use purlin_plan::Graph;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};

/// An epoch that is shorter than usual, because nothing comes, takes at least this long.
const QUIET_EPOCH: Duration = Duration::from_millis(200);
/// How often it is looked whether an epoch is due.
const TICK_MAX: Duration = Duration::from_millis(100);

/// What is left of a job.
pub(super) struct Supervised {
    pub(super) rites: Vec<LastRites>,
    pub(super) failure: Option<Error>,
    pub(super) ending: Ending,
    /// For live jobs: an epoch after all others.
    pub(super) last_epoch: Option<u64>,
}

/// How far a live job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// To be stopped once no epoch is under way.
    Stopping,
    /// To be drained once no epoch is under way.
    Draining,
    /// The last epoch is under way.
    LastEpoch,
    /// Its inputs have been ended.
    Ending,
    /// Everything has ended, and the last epoch is under way: in jobs with checkpoints.
    FinalEpoch,
    /// The last epoch is committed.
    Over,
}

/// Leads a live job.
pub(super) struct Epochs {
    committer: Committer,
    orders: watch::Sender<Orders>,
    to_us: mpsc::Sender<Report>,
    reports: mpsc::Receiver<Report>,
    wishes: watch::Receiver<Wish>,
    looks: watch::Receiver<u64>,
    sources: Vec<Arc<NodeStats>>,
    sinks: Vec<Arc<NodeStats>>,
    phase: Phase,
    began: EventTime,
    /// When the last epoch began, and what had moved and how many rows had been read and written by then.
    last: (EventTime, u64, u64),
    /// What had been read when it was last looked, and when a source was last seen with something to give.
    read: (u64, EventTime),
    told_early: bool,
    saver: Option<Saver>,
    /// Lanes in which everything has ended, of so many.
    done: (usize, usize),
    /// The last epoch of all only says that the one before it is committed.
    confirms: bool,
}

/// Writes checkpoints.
struct Saver {
    /// `None` while it is at work.
    writer: Option<Writer>,
    status: Arc<Status>,
    parts: Vec<LanePart>,
    /// When the epoch began whose checkpoint is being made.
    began: EventTime,
    /// What sinks prepared for the last checkpoint was shown only after it.
    shows: bool,
    at_work: Option<JoinHandle<(Writer, Result<u64>)>>,
}

impl Epochs {
    pub(super) fn new(
        graph: &Graph,
        roles: Vec<Role>,
        shared: &Shared,
        stats: &[Arc<NodeStats>],
        (stop, watcher): (&Stop, &Watcher),
    ) -> Self {
        // Each lane has at most five reports on their way.
        let (to_us, reports) = mpsc::channel(roles.len() * 6 + 16);
        let lanes = roles.len();
        let now = shared.options.clock.now();
        let rows_max = shared.options.live.unacknowledged_rows_max;
        Epochs {
            committer: Committer::new(roles, Ages::new(graph), rows_max),
            orders: watch::channel(Orders::default()).0,
            to_us,
            reports,
            wishes: stop.wishes(),
            looks: watcher.looks.subscribe(),
            sources: stats.iter().filter(|s| s.is_source).cloned().collect(),
            sinks: stats.iter().filter(|s| s.is_sink).cloned().collect(),
            phase: Phase::Running,
            began: now,
            last: (now, 0, 0),
            read: (0, now),
            told_early: false,
            saver: None,
            done: (0, lanes),
            confirms: false,
        }
    }

    /// Writes a checkpoint for every epoch. Answers what lanes go on from.
    pub(super) fn save(&mut self, loaded: Loaded) -> Image {
        let Loaded { image, writer, status } = loaded;
        self.committer.save_after(image.epoch);
        self.orders.send_replace(self.committer.orders());
        let (parts, at_work) = (Vec::new(), None);
        self.saver =
            Some(Saver { writer: Some(writer), status, parts, began: self.began, shows: false, at_work });
        image
    }

    pub(super) fn orders(&self) -> watch::Receiver<Orders> {
        self.orders.subscribe()
    }

    pub(super) fn reports(&self) -> mpsc::Sender<Report> {
        self.to_us.clone()
    }

    /// Does what is due now.
    fn go_on(&mut self, shared: &Shared, stop: &Stop) {
        let (now, options) = (shared.options.clock.now(), &shared.options.live);
        let read: u64 = self.sources.iter().map(|s| s.rows_in()).sum();
        let quiet = read == self.read.0;
        // A source that has more and is not asked, because nobody takes it, is not idle.
        let active = self.sources.iter().any(|s| s.active.load(Ordering::Relaxed) > 0);
        if !quiet || active || now < self.read.1 {
            self.read = (read, now);
        }
        let over = |limit: Option<Duration>, since| limit.is_some_and(|l| passed(since, now) >= l);
        let timed_out = over(options.run_for, self.began) || over(options.until_idle, self.read.1);
        if self.phase == Phase::Running {
            self.phase = match *self.wishes.borrow_and_update() {
                Wish::Drain => Phase::Draining,
                Wish::None if timed_out => Phase::Draining,
                Wish::Stop => Phase::Stopping,
                Wish::None => Phase::Running,
            };
            if self.phase != Phase::Running {
                // At once: an epoch that is under way needs no more than what has been read.
                self.committer.stop_reading(Reading::Off);
            }
        }
        if self.committer.is_between() {
            let all_done = self.saver.is_some() && self.done.0 == self.done.1;
            match self.phase {
                Phase::Running | Phase::Ending if all_done => {
                    self.begin(now);
                    self.phase = Phase::FinalEpoch;
                }
                Phase::Running => self.begin_if_due(shared, now, read, quiet),
                Phase::Stopping => {
                    self.begin(now);
                    self.phase = Phase::LastEpoch;
                }
                Phase::Draining => {
                    self.committer.stop_reading(Reading::Ended);
                    self.phase = Phase::Ending;
                }
                // Lanes that were halted have ended, not committed.
                Phase::LastEpoch | Phase::FinalEpoch if !stop.is_halted() && self.is_to_confirm() => {
                    self.confirms = true;
                    self.begin(now);
                }
                Phase::LastEpoch if !stop.is_halted() => {
                    self.phase = Phase::Over;
                    stop.halt();
                }
                // Drained: the phase tells.
                Phase::FinalEpoch => stop.halt(),
                Phase::LastEpoch | Phase::Ending | Phase::Over => {}
            }
        }
        self.write_if_due(shared);
        self.committer.look(*self.looks.borrow_and_update());
        if let Some(board) = &shared.board {
            board.put_left(self.left());
        }
        let orders = self.committer.orders();
        self.orders.send_if_modified(|o| std::mem::replace(o, orders) != orders);
        if self.committer.early_rows() > 0 && !self.told_early {
            self.told_early = true;
            let text = format!(
                "more than {} rows wait for their windows to close; the oldest are acknowledged before: after a \
                 crash they would be missing in windows that are open now",
                options.unacknowledged_rows_max
            );
            (shared.options.log)("acknowledgements", LogLevel::Error, &text);
        }
    }

    /// Whether one more epoch is to say that the last one is committed. A job that goes on from its checkpoint commits it
    /// again, and relies on what is there then: not on files that somebody took meanwhile, which is what they are for.
    fn is_to_confirm(&self) -> bool {
        !self.confirms && self.saver.as_ref().is_some_and(|s| s.shows)
    }

    fn begin_if_due(&mut self, shared: &Shared, now: EventTime, read: u64, quiet: bool) {
        let moves = shared.moves.load(Ordering::Relaxed);
        let rows = read + self.sinks.iter().map(|s| s.rows_in()).sum::<u64>();
        let (since, moves_then, rows_then) = self.last;
        let every = shared.options.live.epoch_every;
        // Where only time goes on, nobody waits for the end of an epoch.
        let due = if quiet && rows != rows_then { every.min(QUIET_EPOCH) } else { every };
        // Set back, the clock says nothing of how long it has been.
        let is_due = passed(since, now) >= due || now < since;
        if (moves, rows) != (moves_then, rows_then) && is_due {
            self.last = (now, moves, rows);
            self.begin(now);
        }
    }

    fn begin(&mut self, now: EventTime) {
        if let Some(saver) = &mut self.saver {
            saver.parts.clear();
            saver.began = now;
        }
        self.committer.begin();
    }

    /// Begins to write the checkpoint that all lanes have given their part of.
    #[allow(clippy::disallowed_methods)] // disk: one at a time, and the supervisor hears how it ended
    fn write_if_due(&mut self, shared: &Shared) {
        let (Some(saver), Some(epoch)) = (&mut self.saver, self.committer.to_save()) else { return };
        let Some(mut writer) = saver.writer.take() else { return };
        let (at, drained) = (shared.options.clock.now().0, self.phase == Phase::FinalEpoch);
        let cut = Cut { epoch, at, drained, confirms: self.confirms };
        let parts = std::mem::take(&mut saver.parts);
        saver.shows = parts.iter().any(LanePart::shows);
        saver.at_work = Some(spawn_blocking(move || {
            let written = writer.write(cut, parts);
            (writer, written)
        }));
    }

    /// A checkpoint is written, or could not be.
    fn wrote(&mut self, shared: &Shared, wrote: Wrote) -> Result<()> {
        let Some(saver) = &mut self.saver else { return Ok(()) };
        saver.at_work = None;
        let (writer, written) =
            wrote.map_err(|e| Error::internal(format!("a checkpoint was not written: {e}")))?;
        let now = shared.options.clock.now();
        saver.status.wrote(self.committer.epoch(), now, written?, now.0.saturating_sub(saver.began.0));
        saver.writer = Some(writer);
        self.committer.saved();
        Ok(())
    }

    fn reported(&mut self, report: Report) {
        match (report, &mut self.saver) {
            (Report::Part(part), Some(saver)) => saver.parts.push(*part),
            (Report::Done, _) => self.done.0 += 1,
            (report, _) => self.committer.report(report),
        }
    }

    fn left(&self) -> Left {
        Left {
            epochs: self.committer.epoch(),
            unacknowledged_rows: self.committer.waiting().0,
            early_rows: self.committer.early_rows(),
        }
    }
}

fn passed(since: EventTime, now: EventTime) -> Duration {
    Duration::from_micros(now.0.saturating_sub(since.0).max(0) as u64)
}

type Wrote = std::result::Result<(Writer, Result<u64>), tokio::task::JoinError>;

/// What woke the supervisor.
enum Woken {
    /// A lane; `None` once there is none.
    Ended(Option<Box<std::result::Result<LaneEnd, tokio::task::JoinError>>>),
    Reported(Option<Report>),
    /// A checkpoint is written, or could not be.
    Wrote(Box<Wrote>),
    Wished,
    Tick,
}

/// Waits for all lanes; stops the rest when one fails or nothing moves.
pub(super) async fn supervise(
    shared: &Shared,
    tasks: &mut JoinSet<LaneEnd>,
    stop: &Stop,
    mut epochs: Option<&mut Epochs>,
) -> Supervised {
    let (mut rites, mut failure, mut stalled) = (Vec::new(), None, false);
    let mut stall = Stall { after: shared.options.stall_after, at: shared.options.clock.now(), last: (0, 0) };
    let every = shared.options.live.epoch_every;
    let pause = match &epochs {
        Some(_) => (every / 10).clamp(Duration::from_millis(5), TICK_MAX),
        None => (stall.after / 4).max(Duration::from_millis(1)),
    };
    let pause = pause.as_micros() as i64;
    let mut tick = shared.options.clock.now().plus(pause);
    loop {
        let woken = tokio::select! { biased;
            ended = tasks.join_next() => Woken::Ended(ended.map(Box::new)),
            woken = of_epochs(&mut epochs) => woken,
            () = sleep(shared, Some(tick)) => Woken::Tick,
        };
        match woken {
            Woken::Ended(None) => break,
            Woken::Ended(Some(ended)) => {
                shared.live.fetch_sub(1, Ordering::SeqCst);
                let (result, end) = match *ended {
                    Ok(LaneEnd { index, rites, result }) => (result, Some((index, rites))),
                    Err(e) => (Err(Error::internal(format!("a lane broke down: {e}"))), None),
                };
                if let Err(e) = result {
                    failure.get_or_insert(e);
                    stop.halt();
                }
                if let Some((index, of_lane)) = end {
                    if let Some(epochs) = &mut epochs {
                        epochs.committer.lane_ended(index);
                    }
                    rites.push(of_lane);
                }
            }
            Woken::Reported(Some(report)) => {
                if let Some(epochs) = &mut epochs {
                    epochs.reported(report);
                }
            }
            Woken::Wrote(wrote) => {
                if let Some(epochs) = &mut epochs
                    && let Err(e) = epochs.wrote(shared, *wrote)
                {
                    failure.get_or_insert(e);
                    stop.halt();
                }
            }
            Woken::Reported(None) | Woken::Wished => {}
            Woken::Tick => {
                tick = shared.options.clock.now().plus(pause);
                if stall.is_one(shared) && !stop.is_halted() {
                    stalled = true;
                    stop.halt();
                }
            }
        }
        if let Some(epochs) = &mut epochs {
            epochs.go_on(shared, stop);
        }
    }
    if let Some(at_work) = epochs.as_mut().and_then(|e| e.saver.as_mut()?.at_work.take()) {
        // Whoever runs the pipeline next must find the folder at rest. If it was written, it counts; nothing of it was
        // committed, which is done when the pipeline goes on from it.
        if let Ok((_, Err(e))) = at_work.await {
            failure.get_or_insert(e);
        }
    }
    if stalled && failure.is_none() {
        let waiting: Vec<String> = rites.iter().flat_map(|r| r.lane.core.describe_waiting()).collect();
        failure = Some(crate::stall::stalled(&waiting));
    }
    let ending = match &epochs {
        _ if failure.is_some() => Ending::End,
        Some(e) if e.phase == Phase::Over => Ending::Stopped(e.left()),
        Some(e) if e.phase == Phase::FinalEpoch && e.committer.is_between() => Ending::Drained(e.left()),
        _ if stop.is_halted() => Ending::Halted,
        Some(e) if e.phase == Phase::Ending => Ending::Drained(e.left()),
        _ => Ending::End,
    };
    Supervised { rites, failure, ending, last_epoch: epochs.map(|e| e.committer.epoch() + 1) }
}

async fn of_epochs(epochs: &mut Option<&mut Epochs>) -> Woken {
    let Some(epochs) = epochs else { return std::future::pending().await };
    let at_work = epochs.saver.as_mut().and_then(|s| s.at_work.as_mut());
    let wrote = async {
        match at_work {
            Some(at_work) => at_work.await,
            None => std::future::pending().await,
        }
    };
    tokio::select! { biased;
        wrote = wrote => Woken::Wrote(Box::new(wrote)),
        report = epochs.reports.recv() => Woken::Reported(report),
        Ok(()) = epochs.wishes.changed() => Woken::Wished,
        Ok(()) = epochs.looks.changed() => Woken::Wished,
        else => std::future::pending().await,
    }
}

/// Finds jobs in which nothing can go on.
struct Stall {
    after: Duration,
    at: EventTime,
    last: (u64, usize),
}

impl Stall {
    /// True if nothing has moved for the time it takes, and all lanes wait for each other.
    fn is_one(&mut self, shared: &Shared) -> bool {
        let now = shared.options.clock.now();
        let (moves, live) = (shared.moves.load(Ordering::SeqCst), shared.live.load(Ordering::SeqCst));
        let all_wait = shared.waiting.load(Ordering::SeqCst) >= live && live > 0;
        if !all_wait || self.last != (moves, live) {
            (self.last, self.at) = ((moves, live), now);
            return false;
        }
        passed(self.at, now) >= self.after
    }
}

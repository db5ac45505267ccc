//! A whole job on many threads: a task for every lane of every stage.

use crate::align::Alignment;
use crate::channel::{Bounds, Inbox};
use crate::clock::Clock;
use crate::core::SinkCall;
use crate::lane::{Need, Parcel};
use crate::message::Message;
use crate::stats::NodeStats;
use crate::wiring::{self, LaneParts};
use purlin_api::operator::LogLevel;
use purlin_api::{Budget, Error, ErrorKind, EventTime, Result, SourceStatus};
use purlin_plan::Plan;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Takes what transforms log: label, level, text.
pub type LogSink = Arc<dyn Fn(&str, LogLevel, &str) + Send + Sync>;

/// The stack of a stage's thread, in bytes: twice what an operator asks for that may recurse deeply. With less it would
/// map a stack of its own for each batch, and unmapping it stops the other threads. The system gives pages only as they
/// are touched.
const STACK_BYTES: usize = 16 << 20;

/// How a job runs.
#[derive(Clone)]
pub struct JobOptions {
    /// Rows a batch has at most.
    pub rows_max: usize,
    /// The bounds of each queue between stages.
    pub bounds: Bounds,
    /// Threads for stages.
    pub threads: usize,
    /// Processing time.
    pub clock: Arc<dyn Clock>,
    /// Where log lines go.
    pub log: LogSink,
    /// After how long without any movement, with every lane waiting, the job counts as stalled.
    pub stall_after: Duration,
}

/// Stops a running job from outside.
#[derive(Clone, Debug)]
pub struct Stop(Arc<watch::Sender<bool>>);

impl Stop {
    /// Asks every lane to stop where it is. Nothing uncommitted becomes visible.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// A job that is wired and ready to run.
pub struct Job {
    lanes: Vec<LaneParts>,
    stats: Vec<Arc<NodeStats>>,
    options: JobOptions,
    stop: Stop,
}

/// How a job ended.
#[derive(Debug)]
pub struct Outcome {
    /// Whether it ran to its end.
    pub result: Result<()>,
    /// True if it was stopped from outside.
    pub stopped: bool,
    /// Figures by node of the plan's graph.
    pub stats: Vec<Arc<NodeStats>>,
    /// What the sinks made, such as paths of files.
    pub made: Vec<String>,
}

impl Job {
    /// Builds every transform of a plan.
    pub fn new(plan: &Plan, options: JobOptions) -> Result<Self> {
        let wiring = wiring::wire(plan, options.rows_max)?;
        let (tx, _) = watch::channel(false);
        Ok(Job { lanes: wiring.lanes, stats: wiring.stats, options, stop: Stop(Arc::new(tx)) })
    }

    /// Live figures by node.
    pub fn stats(&self) -> Vec<Arc<NodeStats>> {
        self.stats.clone()
    }

    /// A handle that stops it.
    pub fn stop_handle(&self) -> Stop {
        self.stop.clone()
    }

    /// Runs to the end, on threads of its own.
    pub fn run(self) -> Outcome {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.options.threads.max(1))
            .thread_name("purlin-stage")
            .thread_stack_size(STACK_BYTES)
            .enable_time()
            .build();
        match runtime {
            Ok(runtime) => runtime.block_on(self.run_async()),
            Err(e) => Outcome {
                result: Err(Error::new(ErrorKind::Exhausted, format!("cannot start threads: {e}"))),
                stopped: false,
                stats: self.stats,
                made: Vec::new(),
            },
        }
    }

    /// Runs to the end on the present runtime.
    pub async fn run_async(self) -> Outcome {
        let Job { lanes, stats, options, stop } = self;
        let inboxes: BTreeMap<(usize, usize), Arc<Inbox>> =
            lanes.iter().map(|l| ((l.stage, l.lane), Inbox::new(l.inlets.len(), options.bounds))).collect();
        let stall_after = options.stall_after;
        let shared = Arc::new(Shared {
            inboxes,
            options,
            moves: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            live: AtomicUsize::new(lanes.len()),
        });
        let mut tasks = JoinSet::new();
        for lane in lanes {
            let task = Task { shared: shared.clone(), stop: stop.0.subscribe() };
            tasks.spawn(task.drive(lane));
        }
        let (ends, failure, stopped) = supervise(&shared, &mut tasks, &stop, stall_after).await;
        let mut sinks: Vec<_> =
            ends.into_iter().flat_map(|e| e.lane.sinks.into_values().zip(e.sink_labels)).collect();
        let mut result = match failure {
            Some(e) => Err(e),
            None => crate::ledger::check_edges(&stats),
        };
        let mut made = Vec::new();
        if result.is_ok() && !stopped {
            for (sink, label) in &mut sinks {
                result = sink.finish().await.map_err(|e| e.in_place(label));
                if result.is_err() {
                    break;
                }
                made.extend(sink.made());
            }
        }
        if result.is_err() || stopped {
            sinks.iter_mut().for_each(|(s, _)| s.abort());
        }
        Outcome { result, stopped, stats, made }
    }
}

struct Shared {
    inboxes: BTreeMap<(usize, usize), Arc<Inbox>>,
    options: JobOptions,
    /// Messages worked off: anything that counts as progress.
    moves: AtomicU64,
    /// Lanes that wait for another lane.
    waiting: AtomicUsize,
    /// Lanes that have not ended.
    live: AtomicUsize,
}

struct LaneEnd {
    lane: LaneParts,
    sink_labels: Vec<String>,
    result: Result<()>,
}

/// Waits for all lanes; stops the rest when one fails or nothing moves.
async fn supervise(
    shared: &Shared,
    tasks: &mut JoinSet<LaneEnd>,
    stop: &Stop,
    stall_after: Duration,
) -> (Vec<LaneEnd>, Option<Error>, bool) {
    let (mut ends, mut failure, mut stalled) = (Vec::new(), None, false);
    let mut stopped_outside = stop.0.subscribe();
    let mut last = (0, 0);
    loop {
        let ended = tokio::select! { biased;
            ended = tasks.join_next() => ended,
            () = tokio::time::sleep(stall_after) => {
                let (moves, live) = (shared.moves.load(Ordering::SeqCst), shared.live.load(Ordering::SeqCst));
                let all_wait = shared.waiting.load(Ordering::SeqCst) >= live && live > 0;
                if all_wait && last == (moves, live) && !*stopped_outside.borrow_and_update() {
                    stalled = true;
                    stop.stop();
                }
                last = (moves, live);
                continue;
            }
        };
        match ended {
            None => break,
            Some(Ok(mut end)) => {
                shared.live.fetch_sub(1, Ordering::SeqCst);
                if let Err(e) = std::mem::replace(&mut end.result, Ok(())) {
                    failure.get_or_insert(e);
                    stop.stop();
                }
                ends.push(end);
            }
            Some(Err(e)) => {
                shared.live.fetch_sub(1, Ordering::SeqCst);
                failure.get_or_insert_with(|| Error::internal(format!("a lane broke down: {e}")));
                stop.stop();
            }
        }
    }
    if stalled && failure.is_none() {
        let waiting: Vec<String> = ends.iter().flat_map(|e| e.lane.core.describe_waiting()).collect();
        failure = Some(crate::stall::stalled(&waiting));
    }
    let stopped = failure.is_none() && *stop.0.borrow();
    (ends, failure, stopped)
}

mod outside;

/// Stopped from outside, or because another lane failed: not an error of this lane.
enum Halt {
    Stopped,
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(e: Error) -> Self {
        Halt::Failed(e)
    }
}

struct Task {
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
}

impl Task {
    async fn drive(mut self, mut lane: LaneParts) -> LaneEnd {
        let driven = match lane.outside.take() {
            Some(operator) => self.drive_outside(&mut lane, operator).await,
            None if lane.sources.is_empty() => self.drive_inbox(&mut lane).await,
            None => self.drive_sources(&mut lane).await,
        };
        if let Some(inbox) = self.shared.inboxes.get(&(lane.stage, lane.lane)) {
            inbox.close();
        }
        self.flush_log(&mut lane);
        let result = match driven {
            Ok(()) | Err(Halt::Stopped) => Ok(()),
            Err(Halt::Failed(e)) => Err(e),
        };
        let sink_labels = lane.sinks.keys().map(|n| lane.core.label(*n).to_owned()).collect();
        LaneEnd { lane, sink_labels, result }
    }

    async fn drive_sources(&mut self, lane: &mut LaneParts) -> Result<(), Halt> {
        let budget = Budget { rows_max: self.shared.options.rows_max, bytes_max: 16 << 20 };
        let mut open: Vec<(usize, EventTime)> =
            (0..lane.sources.len()).map(|s| (s, EventTime::MIN)).collect();
        while !open.is_empty() {
            let now = self.shared.options.clock.now();
            lane.core.fire_timers(now);
            self.pump(lane).await?;
            let Some(due) = open.iter().map(|(_, at)| *at).min() else { break };
            if due > now {
                let wake = lane.core.next_timer().map_or(due, |t| t.min(due));
                self.sleep(wake, now).await?;
                continue;
            }
            let mut still = Vec::new();
            for (s, at) in open {
                if at > now {
                    still.push((s, at));
                    continue;
                }
                let Some((node, source)) = lane.sources.get_mut(s) else { continue };
                let node = *node;
                let pulled = tokio::select! { biased;
                    _ = self.stop.wait_for(|s| *s) => return Err(Halt::Stopped),
                    pulled = source.next(budget) => pulled,
                };
                let pull = pulled.map_err(|e| e.in_place(lane.core.label(node)))?;
                if let (Some((done, total)), Some(stats)) = (source.progress(), lane.core.stats(node)) {
                    // Each lane tells of all that share the work, and not in order.
                    stats.read_done.fetch_max(done, Ordering::Relaxed);
                    stats.read_total.fetch_max(total, Ordering::Relaxed);
                }
                let status = lane.take_pull(node, pull)?;
                self.pump(lane).await?;
                match status {
                    SourceStatus::Ready => still.push((s, EventTime::MIN)),
                    SourceStatus::Idle(delay) => still.push((s, self.shared.options.clock.now().plus(delay))),
                    SourceStatus::Done => {}
                }
            }
            open = still;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn drive_inbox(&mut self, lane: &mut LaneParts) -> Result<(), Halt> {
        let gone = || Error::internal("a lane without an inbox");
        let inbox = self.shared.inboxes.get(&(lane.stage, lane.lane)).ok_or_else(gone)?.clone();
        let mut align = Alignment::new(lane.inlets.len());
        while !lane.core.all_ended() {
            let now = self.shared.options.clock.now();
            lane.core.fire_timers(now);
            self.pump(lane).await?;
            let (slot, message) = match inbox.try_recv(|s| align.is_blocked(s)) {
                Some(got) => got,
                None => match self.receive(&inbox, &align, lane.core.next_timer(), now).await? {
                    Some(got) => got,
                    None => continue,
                },
            };
            let complete = match &message {
                Message::Barrier(epoch) => align.barrier(slot, *epoch),
                Message::End => align.end(slot),
                _ => None,
            };
            if !matches!(message, Message::Barrier(_)) {
                let inlet = lane.inlets.get(slot).copied().ok_or_else(gone)?;
                lane.core.deliver(inlet.node, inlet.slot, message);
                self.pump(lane).await?;
            }
            if let Some(epoch) = complete {
                let parcels = lane.depart_barrier(epoch)?;
                self.carry(parcels).await?;
            }
        }
        Ok(())
    }

    /// Waits for a message, or until a timer is due (`None`).
    async fn receive(
        &mut self,
        inbox: &Inbox,
        align: &Alignment,
        timer: Option<EventTime>,
        now: EventTime,
    ) -> Result<Option<(usize, Message)>, Halt> {
        let Some(timer) = timer else {
            let _waiting = Waiting::new(&self.shared.waiting);
            return tokio::select! { biased;
                _ = self.stop.wait_for(|s| *s) => Err(Halt::Stopped),
                got = inbox.recv(|s| align.is_blocked(s)) => Ok(Some(got)),
            };
        };
        tokio::select! { biased;
            _ = self.stop.wait_for(|s| *s) => Err(Halt::Stopped),
            got = inbox.recv(|s| align.is_blocked(s)) => Ok(Some(got)),
            () = tokio::time::sleep(until(timer, now)) => Ok(None),
        }
    }

    async fn sleep(&mut self, until_time: EventTime, now: EventTime) -> Result<(), Halt> {
        tokio::select! { biased;
            _ = self.stop.wait_for(|s| *s) => Err(Halt::Stopped),
            () = tokio::time::sleep(until(until_time, now)) => Ok(()),
        }
    }

    /// Works the lane until it is quiet.
    async fn pump(&mut self, lane: &mut LaneParts) -> Result<(), Halt> {
        loop {
            match lane.work()? {
                Need::Nothing => {
                    self.flush_log(lane);
                    return Ok(());
                }
                Need::Carry(parcels) => self.carry(parcels).await?,
                Need::Sink { node, call } => {
                    let label = lane.core.label(node).to_owned();
                    let Some(sink) = lane.sinks.get_mut(&node) else { continue };
                    match call {
                        SinkCall::Write(batch) => {
                            let rows = batch.len() as u64;
                            sink.write(batch).await.map_err(|e| e.in_place(&label))?;
                            lane.core.sink_wrote(node, rows);
                        }
                        SinkCall::Watermark(to) => {
                            sink.on_watermark(to).await.map_err(|e| e.in_place(&label))?;
                        }
                        SinkCall::End => {}
                    }
                }
            }
            self.shared.moves.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn carry(&mut self, parcels: Vec<Parcel>) -> Result<(), Halt> {
        for p in parcels {
            let inbox = self.shared.inboxes.get(&(p.stage, p.lane));
            let inbox =
                inbox.ok_or_else(|| Error::internal("a message to a lane that is not there"))?.clone();
            let _waiting = Waiting::new(&self.shared.waiting);
            tokio::select! { biased;
                sent = inbox.send(p.slot, p.message) => {
                    // A closed inbox means that the lane behind it has ended or is being stopped.
                    if sent.is_err() {
                        return Err(Halt::Stopped);
                    }
                }
                _ = self.stop.wait_for(|s| *s) => return Err(Halt::Stopped),
            }
        }
        Ok(())
    }

    fn flush_log(&self, lane: &mut LaneParts) {
        for (label, level, text) in lane.core.log.drain(..) {
            (self.shared.options.log)(&label, level, &text);
        }
    }
}

/// Counts a lane as waiting for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn until(at: EventTime, now: EventTime) -> Duration {
    Duration::from_micros(at.0.saturating_sub(now.0).clamp(0, 60_000_000) as u64)
}

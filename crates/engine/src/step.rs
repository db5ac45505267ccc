//! A whole job on one thread, stepped by hand, in scripted time.
//!
//! Between two steps nothing is in flight: every message has been worked off. Tests of time, property
//! tests and the simulator run here; the same stage code runs as in [`crate::job`].

mod checkpoints;

pub use checkpoints::Until;

use crate::align::Alignment;
use crate::core::SinkCall;
use crate::epoch::{Ages, Oldest};
use crate::flight::{Flight, Landed};
use crate::lane::{Need, Parcel};
use crate::message::Message;
use crate::stats::NodeStats;
use crate::wiring::{self, LaneParts};
use purlin_api::operator::LogLevel;
use purlin_api::{Batch, Budget, Environment, Error, EventTime, Fates, OutPort, Result, SourceStatus};
use purlin_plan::{NodeId, Plan};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// A job that goes on only when told to.
pub struct StepRun {
    lanes: Vec<LaneParts>,
    aligns: Vec<Alignment>,
    /// Waiting messages by lane and slot.
    queues: Vec<Vec<VecDeque<Message>>>,
    index: BTreeMap<(usize, usize), usize>,
    stats: Vec<Arc<NodeStats>>,
    /// Where each node stands: the lanes of its stage, and its place in them.
    node_at: BTreeMap<NodeId, (Vec<usize>, usize)>,
    budget: Budget,
    barriers: u64,
    ages: Ages,
    /// What is kept, as far as the barrier under way has come.
    kept: Oldest,
    /// Sources that have not ended: lane, and place in it.
    open: Vec<(usize, usize)>,
    saver: Option<checkpoints::Saver>,
}

impl StepRun {
    /// Builds a plan with at most `rows_max` rows a batch.
    pub fn new(plan: &Plan, rows_max: usize) -> Result<Self> {
        StepRun::in_environment(plan, rows_max, &Arc::default())
    }

    /// As [`StepRun::new`], with what connectors are told.
    ///
    /// # Errors
    /// As there.
    pub fn in_environment(plan: &Plan, rows_max: usize, environment: &Arc<Environment>) -> Result<Self> {
        let mut wiring = wiring::wire(plan, rows_max, environment)?;
        wiring.lanes.iter_mut().for_each(|l| l.core.start_epochs(1));
        let index = wiring.lanes.iter().enumerate().map(|(i, l)| ((l.stage, l.lane), i)).collect();
        let mut node_at: BTreeMap<NodeId, (Vec<usize>, usize)> = BTreeMap::new();
        for (i, lane) in wiring.lanes.iter().enumerate() {
            let Some(stage) = plan.stages.stages.get(lane.stage) else { continue };
            for (at, n) in stage.nodes.iter().enumerate() {
                node_at.entry(*n).or_insert((Vec::new(), at)).0.push(i);
            }
        }
        let queues = wiring.lanes.iter().map(|l| vec![VecDeque::new(); l.inlets.len()]).collect();
        let aligns = wiring.lanes.iter().map(|l| Alignment::new(l.inlets.len())).collect();
        let budget = Budget { rows_max, bytes_max: 16 << 20 };
        let mut open: Vec<(usize, usize)> = Vec::new();
        for (i, lane) in wiring.lanes.iter().enumerate() {
            open.extend((0..lane.sources.len()).map(|s| (i, s)));
        }
        Ok(StepRun {
            lanes: wiring.lanes,
            aligns,
            queues,
            index,
            stats: wiring.stats,
            node_at,
            budget,
            barriers: 0,
            ages: Ages::new(&plan.graph),
            kept: Oldest::new(),
            open,
            saver: None,
        })
    }

    /// Figures by node.
    pub fn stats(&self) -> &[Arc<NodeStats>] {
        &self.stats
    }

    /// Gives rows as if the source `node` had read them, then lets everything settle.
    pub fn inject(&mut self, node: NodeId, batches: Vec<(OutPort, Batch)>) -> Result<()> {
        self.push(node, batches, EventTime::MIN, false, false)
    }

    /// Moves the watermark of the source `node`.
    pub fn watermark(&mut self, node: NodeId, to: EventTime) -> Result<()> {
        self.push(node, Vec::new(), to, false, false)
    }

    /// Says that the source `node` is idle.
    pub fn idle(&mut self, node: NodeId) -> Result<()> {
        self.push(node, Vec::new(), EventTime::MIN, true, false)
    }

    /// Ends the source `node`.
    pub fn end(&mut self, node: NodeId) -> Result<()> {
        self.push(node, Vec::new(), EventTime::MAX, false, true)
    }

    fn push(
        &mut self,
        node: NodeId,
        batches: Vec<(OutPort, Batch)>,
        watermark: EventTime,
        idle: bool,
        done: bool,
    ) -> Result<()> {
        let (lanes, at) =
            self.node_at.get(&node).cloned().ok_or_else(|| Error::internal("no such source"))?;
        // Rows are given in the first lane; time, and the end, come in all.
        let mut batches = Some(batches);
        for lane in lanes {
            let parts = self.lanes.get_mut(lane).ok_or_else(|| Error::internal("no such lane"))?;
            let batches = batches.take().unwrap_or_default();
            let rows: u64 = batches.iter().map(|(_, b)| b.len() as u64).sum();
            parts.core.source_gave(at, rows, Fates { passed: rows, ..Fates::default() });
            parts.core.deliver_pull(at, batches, watermark, idle, done)?;
            self.work(lane)?;
            self.settle()?;
        }
        Ok(())
    }

    /// Watches an output: [`StepRun::take_tap`] then answers what it gives.
    pub fn tap(&mut self, node: NodeId, port: OutPort) {
        let Some((lanes, at)) = self.node_at.get(&node).cloned() else { return };
        for lane in lanes {
            if let Some(parts) = self.lanes.get_mut(lane) {
                parts.core.tap(at, port);
            }
        }
    }

    /// What a watched output gave since the last call, lane by lane.
    pub fn take_tap(&mut self, node: NodeId, port: OutPort) -> Vec<Batch> {
        let Some((lanes, at)) = self.node_at.get(&node).cloned() else { return Vec::new() };
        let mut batches = Vec::new();
        for lane in lanes {
            if let Some(parts) = self.lanes.get_mut(lane) {
                batches.extend(parts.core.take_tap(at, port));
            }
        }
        batches
    }

    /// Moves processing time and fires what is due, in order of time.
    pub fn advance_clock(&mut self, to: EventTime) -> Result<()> {
        loop {
            let next = self.lanes.iter().filter_map(|l| l.core.next_timer()).min().filter(|t| *t <= to);
            let now = next.unwrap_or(to);
            for lane in 0..self.lanes.len() {
                if let Some(parts) = self.lanes.get_mut(lane) {
                    parts.core.set_now(now);
                    parts.core.fire_timers(now);
                }
                self.work(lane)?;
            }
            self.settle()?;
            if next.is_none() {
                return Ok(());
            }
        }
    }

    /// Ends an epoch: sends a barrier from every source. Answers the oldest epoch, from 1, that some state still
    /// depends on, if there is one: all before it could be acknowledged.
    pub fn barrier(&mut self) -> Result<Option<u64>> {
        self.barriers += 1;
        let epoch = self.barriers;
        self.kept.clear();
        for lane in 0..self.lanes.len() {
            if self.lanes.get(lane).is_some_and(|l| !l.sources.is_empty()) {
                self.pass_barrier(lane, epoch)?;
            }
        }
        self.settle()?;
        Ok(self.ages.barrier(epoch, &self.kept))
    }

    fn pass_barrier(&mut self, lane: usize, epoch: u64) -> Result<()> {
        self.save_lane(lane, epoch)?;
        let Some(parts) = self.lanes.get_mut(lane) else { return Ok(()) };
        for (at, oldest) in parts.core.pass_barrier(epoch) {
            let Some(node) = parts.nodes.get(at) else { continue };
            self.kept.entry(*node).and_modify(|o| *o = (*o).min(oldest)).or_insert(oldest);
        }
        let parcels = parts.depart_barrier(epoch)?;
        self.carry(parcels)
    }

    /// Reads all sources to their end, in turns, and makes what the sinks wrote visible. An idle
    /// source of a bounded job is asked again at once.
    pub fn run_to_end(&mut self) -> Result<()> {
        let result = self.pull_all().and_then(|()| self.finish());
        if result.is_err() {
            self.abort();
        }
        result
    }

    fn pull_all(&mut self) -> Result<()> {
        while self.pull()? {}
        Ok(())
    }

    /// Asks the next source that has not ended, in turns. Answers whether any is left.
    pub fn pull(&mut self) -> Result<bool> {
        let Some((lane, s)) = (!self.open.is_empty()).then(|| self.open.remove(0)) else { return Ok(false) };
        let budget = self.budget;
        let Some(parts) = self.lanes.get_mut(lane) else { return Ok(true) };
        let Some((node, source)) = parts.sources.get_mut(s) else { return Ok(true) };
        let node = *node;
        let pull = at_once(source.next(budget))?.map_err(|e| e.in_place(parts.core.label(node)))?;
        let status = parts.take_pull(node, pull)?;
        self.work(lane)?;
        self.settle()?;
        if status != SourceStatus::Done {
            self.open.push((lane, s));
        }
        Ok(!self.open.is_empty())
    }

    /// After all sources ended: checks that everything else has, and finishes the sinks.
    pub fn finish(&mut self) -> Result<()> {
        let stuck: Vec<String> = self.lanes.iter().flat_map(|l| l.core.describe_waiting()).collect();
        if !stuck.is_empty() {
            return Err(crate::stall::stalled(&stuck));
        }
        crate::ledger::check_edges(&self.stats)?;
        for lane in &mut self.lanes {
            for (node, sink) in &mut lane.sinks {
                at_once(sink.finish())?.map_err(|e| e.in_place(lane.core.label(*node)))?;
            }
        }
        Ok(())
    }

    /// Takes away what the sinks wrote.
    pub fn abort(&mut self) {
        for sink in self.lanes.iter_mut().flat_map(|l| l.sinks.values_mut()) {
            sink.abort();
        }
    }

    /// What transforms logged since the last call.
    pub fn take_log(&mut self) -> Vec<(Arc<str>, LogLevel, String)> {
        self.lanes.iter_mut().flat_map(|l| std::mem::take(&mut l.core.log)).collect()
    }

    /// How each transform stands, lane by lane.
    pub fn views(&self) -> Vec<crate::why::NodeView> {
        self.lanes.iter().flat_map(|l| l.core.views(&l.nodes, l.lane)).collect()
    }

    /// Works off every waiting message.
    fn settle(&mut self) -> Result<()> {
        loop {
            let mut moved = false;
            for lane in 0..self.queues.len() {
                while let Some((slot, message)) = self.next_message(lane) {
                    moved = true;
                    self.deliver(lane, slot, message)?;
                }
            }
            if !moved {
                return Ok(());
            }
        }
    }

    fn next_message(&mut self, lane: usize) -> Option<(usize, Message)> {
        let align = self.aligns.get(lane)?;
        let queues = self.queues.get_mut(lane)?;
        let slot = (0..queues.len())
            .find(|s| !align.is_blocked(*s) && queues.get(*s).is_some_and(|q| !q.is_empty()))?;
        Some((slot, queues.get_mut(slot)?.pop_front()?))
    }

    fn deliver(&mut self, lane: usize, slot: usize, message: Message) -> Result<()> {
        let gone = || Error::internal("no such lane");
        let align = self.aligns.get_mut(lane).ok_or_else(gone)?;
        let complete = match &message {
            Message::Barrier(epoch) => align.barrier(slot, *epoch),
            Message::End => align.end(slot),
            _ => None,
        };
        let parts = self.lanes.get_mut(lane).ok_or_else(gone)?;
        if !matches!(message, Message::Barrier(_)) {
            match &mut parts.outside {
                None => parts.land(Landed::Message { slot, message })?,
                Some(operator) => {
                    let inlet = parts.inlets.get(slot).copied().ok_or_else(gone)?;
                    let port = parts.core.port(inlet.node, inlet.slot);
                    // One bundle at a time: between two steps nothing is in flight.
                    let mut flight = Flight::new(1);
                    flight.take(operator.as_mut(), port, slot, message);
                    let landed = wait(flight.next()).map_err(|e| e.in_place(parts.core.label(0)))?;
                    parts.land(landed)?;
                }
            }
            self.work(lane)?;
        }
        complete.map_or(Ok(()), |epoch| self.pass_barrier(lane, epoch))
    }

    fn work(&mut self, lane: usize) -> Result<()> {
        loop {
            let Some(parts) = self.lanes.get_mut(lane) else { return Ok(()) };
            match parts.work()? {
                Need::Nothing => return Ok(()),
                Need::Carry(parcels) => self.carry(parcels)?,
                Need::Sink { node, call } => {
                    let label = parts.core.label(node).to_owned();
                    let Some(sink) = parts.sinks.get_mut(&node) else { continue };
                    match call {
                        SinkCall::Write(batch) => {
                            let rows = batch.len() as u64;
                            at_once(sink.write(batch))?.map_err(|e| e.in_place(&label))?;
                            parts.core.sink_wrote(node, rows);
                        }
                        SinkCall::Watermark(to) => {
                            at_once(sink.on_watermark(to))?.map_err(|e| e.in_place(&label))?;
                        }
                        SinkCall::End => {}
                    }
                }
            }
        }
    }

    fn carry(&mut self, parcels: Vec<Parcel>) -> Result<()> {
        for p in parcels {
            let lane = self.index.get(&(p.stage, p.lane)).copied();
            let queue = lane.and_then(|l| self.queues.get_mut(l)).and_then(|q| q.get_mut(p.slot));
            queue
                .ok_or_else(|| Error::internal("a message to a slot that is not there"))?
                .push_back(p.message);
        }
        Ok(())
    }
}

/// Waits for a future on this thread. Asynchronous operators answer in the end, and need no runtime for it.
fn wait<F: Future>(f: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut f = Box::pin(f);
    loop {
        if let Poll::Ready(v) = f.as_mut().poll(&mut Context::from_waker(&waker)) {
            return v;
        }
        std::thread::park();
    }
}

/// Runs a future that must not wait: single-stepped jobs use sources and sinks that answer at once.
fn at_once<F: Future>(f: F) -> Result<F::Output> {
    let mut f = Box::pin(f);
    for _ in 0..1000 {
        if let Poll::Ready(v) = f.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return Ok(v);
        }
    }
    Err(Error::internal("a source or sink waits for something outside, which a single-stepped job cannot"))
}

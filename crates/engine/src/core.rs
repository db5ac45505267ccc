//! One lane of one stage as a synchronous state machine.
//!
//! Fused transforms hand rows to each other here; what leaves the stage is put into an outbox that the
//! driver (asynchronous in `job`, single-stepped in `step`) carries on. The core owns the loop around
//! operators: order of delivery, watermarks, timers, ends, the ledger. No operator repeats any of it.
//!
//! Work is a stack, deepest first: what a call emits is delivered, with all that follows from it,
//! before the call is resumed or its watermark is passed on. So each edge keeps its order.

mod state;

use crate::message::Message;
use crate::stats::NodeStats;
use crate::watermark::{WatermarkMerge, output_watermark};
use crate::why::{HOLDS_MAX, HoldView, InputView, NodeView};
use purlin_api::{
    Answer, Batch, Error, EventTime, Fates, More, OpCx, Operator, OutPort, Port, Result, TimerId,
};
use purlin_plan::NodeId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Where an output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// To a transform of the same stage.
    Local { node: usize, slot: usize },
    /// Out of the stage, by edge number of the wiring.
    Remote { edge: usize },
}

/// What a cell is.
pub(crate) enum Kind {
    /// Gives rows when the driver pulls it.
    Source,
    /// Works on rows.
    Operator(Box<dyn Operator>),
    /// Asks something outside about rows; the driver hands in its answers.
    Async,
    /// Takes rows through the driver, as writing may wait.
    Sink,
}

/// What the driver must do for a sink.
#[derive(Debug)]
pub(crate) enum SinkCall {
    /// Write rows.
    Write(Batch),
    /// Tell it the watermark.
    Watermark(EventTime),
    /// All inputs have ended.
    End,
}

/// What a step did.
#[derive(Debug)]
pub(crate) enum Step {
    /// Nothing is left to do.
    Quiet,
    /// Something; the outbox may hold messages.
    Worked,
    /// The driver must do this for the sink of this node before it steps on.
    Sink { node: usize, call: SinkCall },
}

/// Timers in processing time of one operator.
#[derive(Debug, Default)]
struct Timers {
    by_id: BTreeMap<TimerId, EventTime>,
    by_time: BTreeSet<(EventTime, TimerId)>,
}

impl Timers {
    fn change(&mut self, id: TimerId, at: Option<EventTime>) {
        if let Some(old) = self.by_id.remove(&id) {
            self.by_time.remove(&(old, id));
        }
        if let Some(at) = at {
            self.by_id.insert(id, at);
            self.by_time.insert((at, id));
        }
    }

    fn next(&self) -> Option<EventTime> {
        self.by_time.first().map(|(t, _)| *t)
    }

    fn pop_due(&mut self, now: EventTime) -> Option<TimerId> {
        let (at, id) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.by_time.pop_first();
        self.by_id.remove(&id);
        Some(id)
    }
}

/// One transform of the stage, in this lane.
pub(crate) struct Cell {
    pub(crate) label: Arc<str>,
    kind: Kind,
    cx: OpCx,
    /// The port of each input slot.
    ports: Vec<Port>,
    /// Where each input slot's messages come from.
    from: Vec<NodeId>,
    merge: WatermarkMerge,
    routes: Vec<Vec<Route>>,
    timers: Timers,
    told: EventTime,
    told_idle: bool,
    /// Since when, in processing time, `told` and `told_idle` are what they are.
    told_since: EventTime,
    /// By input slot: since when, in processing time, its watermark or idleness is what it is.
    slots_since: Vec<EventTime>,
    rows_in: u64,
    /// Those of them that were in state when the job went on from a checkpoint.
    restored_rows: u64,
    /// Rows given, by output.
    rows_out: Vec<u64>,
    /// The epoch since which there were rows in state at every barrier.
    in_state_since: Option<u64>,
    ended: bool,
    stats: Arc<NodeStats>,
    /// What came out since it was last looked at, by output that is being watched.
    taps: BTreeMap<OutPort, Vec<Batch>>,
}

impl Cell {
    /// `slots` gives the port of each input slot and where it comes from, `routes` where each output goes.
    pub(crate) fn new(
        label: &str,
        kind: Kind,
        slots: Vec<(Port, NodeId)>,
        routes: Vec<Vec<Route>>,
        rows_max: usize,
        stats: Arc<NodeStats>,
    ) -> Self {
        let (ports, from): (Vec<Port>, Vec<NodeId>) = slots.into_iter().unzip();
        Cell {
            label: Arc::from(label),
            kind,
            cx: OpCx::new(rows_max),
            merge: WatermarkMerge::grouped(groups(&ports, &from)),
            slots_since: vec![EventTime::MIN; ports.len()],
            ports,
            from,
            routes,
            timers: Timers::default(),
            told: EventTime::MIN,
            told_idle: false,
            told_since: EventTime::MIN,
            rows_in: 0,
            restored_rows: 0,
            rows_out: vec![0; stats.rows_out.len()],
            in_state_since: None,
            ended: false,
            stats,
            taps: BTreeMap::new(),
        }
    }
}

/// The groups of input slots: those of one port that come from the lanes of one transform.
fn groups(ports: &[Port], from: &[NodeId]) -> Vec<usize> {
    let mut known: BTreeMap<(Port, NodeId), usize> = BTreeMap::new();
    let slots = ports.iter().zip(from);
    slots
        .map(|(port, from)| {
            let next = known.len();
            *known.entry((*port, *from)).or_insert(next)
        })
        .collect()
}

enum Work {
    Deliver {
        node: usize,
        slot: usize,
        message: Message,
    },
    Resume {
        node: usize,
    },
    Watermark {
        node: usize,
    },
    OnEnd {
        node: usize,
    },
    /// Passes the output watermark on, as far as holds let it.
    Forward {
        node: usize,
    },
    /// Passes the end on.
    ForwardEnd {
        node: usize,
    },
    Timer {
        node: usize,
        id: TimerId,
    },
    /// Leaves the stage.
    Depart {
        edge: usize,
        message: Message,
    },
}

/// One lane of a stage.
pub(crate) struct Core {
    cells: Vec<Cell>,
    stack: Vec<Work>,
    /// Messages that leave the stage, by edge, in order.
    pub(crate) outbox: Vec<(usize, Message)>,
    now: EventTime,
    /// What operators log, by label; the driver prints it.
    pub(crate) log: Vec<(Arc<str>, purlin_api::operator::LogLevel, String)>,
}

impl Core {
    pub(crate) fn new(cells: Vec<Cell>) -> Self {
        Core { cells, stack: Vec::new(), outbox: Vec::new(), now: EventTime::MIN, log: Vec::new() }
    }

    /// Tells the present processing time.
    pub(crate) fn set_now(&mut self, now: EventTime) {
        self.now = self.now.max(now);
    }

    /// Hands in a message from outside the stage. Step until quiet before the next one.
    pub(crate) fn deliver(&mut self, node: usize, slot: usize, message: Message) {
        debug_assert!(self.stack.is_empty(), "deliver while work is left");
        self.stack.push(Work::Deliver { node, slot, message });
    }

    /// Hands in what a source gave: rows, then its watermark.
    pub(crate) fn deliver_pull(
        &mut self,
        node: usize,
        batches: Vec<(OutPort, Batch)>,
        watermark: EventTime,
        idle: bool,
        done: bool,
    ) -> Result<()> {
        let cell = self.cells.get_mut(node).ok_or_else(no_cell)?;
        let grew = watermark > cell.told;
        // Readers take rows and watermarks as signs of life: idleness is told again after them.
        let tell_idle = idle && (!cell.told_idle || grew || !batches.is_empty());
        if cell.told_idle != idle || grew {
            cell.told_since = self.now;
        }
        cell.told_idle = idle;
        if grew {
            cell.told = watermark;
            cell.stats.watermark.store(watermark.0, Ordering::Relaxed);
        }
        if done {
            self.stack.push(Work::ForwardEnd { node });
        } else if tell_idle {
            self.push_all_routes(node, &Message::Idle);
        }
        if grew {
            self.push_all_routes(node, &Message::Watermark(watermark));
        }
        self.push_outputs(node, batches);
        Ok(())
    }

    /// Hands in the answer to a bundle of `rows` rows that an asynchronous operator was given. Nothing of the
    /// bundle has been accounted for before: until now it was in flight.
    pub(crate) fn deliver_answer(
        &mut self,
        node: usize,
        slot: usize,
        rows: u64,
        answer: Answer,
    ) -> Result<()> {
        let cell = self.cells.get_mut(node).ok_or_else(no_cell)?;
        if answer.fates.total() != rows || answer.fates.in_state != 0 {
            let message = format!("the ledger does not balance: {rows} rows in, {:?}", answer.fates);
            return Err(Error::internal(message).in_place(&cell.label));
        }
        cell.merge.touch(slot);
        cell.told_idle = false;
        cell.rows_in += rows;
        cell.stats.rows_in.fetch_add(rows, Ordering::Relaxed);
        let before = cell.cx.fates;
        cell.cx.fates.passed += answer.fates.passed;
        cell.cx.fates.filtered += answer.fates.filtered;
        cell.cx.fates.late += answer.fates.late;
        cell.cx.fates.dead += answer.fates.dead;
        cell.stats.add_fates(&before, &cell.cx.fates);
        let label = &cell.label;
        self.log.extend(answer.log.into_iter().map(|(l, t)| (label.clone(), l, t)));
        self.stack.push(Work::Forward { node });
        self.push_outputs(node, answer.outputs);
        Ok(())
    }

    /// The port that an input slot belongs to.
    pub(crate) fn port(&self, node: usize, slot: usize) -> Port {
        self.cells.get(node).map_or(0, |c| c.port(slot))
    }

    /// Makes due timers fire.
    pub(crate) fn fire_timers(&mut self, now: EventTime) {
        self.set_now(now);
        for node in (0..self.cells.len()).rev() {
            let Some(cell) = self.cells.get_mut(node) else { continue };
            let mut due = Vec::new();
            while let Some(id) = cell.timers.pop_due(now) {
                due.push(id);
            }
            self.stack.extend(due.into_iter().rev().map(|id| Work::Timer { node, id }));
        }
    }

    /// The earliest timer.
    pub(crate) fn next_timer(&self) -> Option<EventTime> {
        self.cells.iter().filter_map(|c| c.timers.next()).min()
    }

    /// True once every transform of the lane has ended.
    pub(crate) fn all_ended(&self) -> bool {
        self.cells.iter().all(|c| c.ended)
    }

    /// Says for each transform that has not ended what it waits for: for the stall report.
    pub(crate) fn describe_waiting(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for c in self.cells.iter().filter(|c| !c.ended) {
            let mut line = format!("`{}`: watermark {}", c.label, c.merge.current());
            let held: Vec<String> = c.merge.held_by().map(|(s, _)| format!("input {}", c.port(s))).collect();
            if !held.is_empty() && !held.iter().all(|h| h.is_empty()) {
                line.push_str(&format!(", waits for {}", held.join(" and ")));
            }
            for (at, owner, n) in c.cx.holds.iter().take(3) {
                line.push_str(&format!(", held at {at} by {owner} ({n} times)"));
            }
            if c.cx.fates.in_state > 0 {
                line.push_str(&format!(", {} rows in state", c.cx.fates.in_state));
            }
            lines.push(line);
        }
        lines
    }

    /// Does one piece of work.
    pub(crate) fn step(&mut self) -> Result<Step> {
        let Some(work) = self.stack.pop() else { return Ok(Step::Quiet) };
        match work {
            Work::Deliver { node, slot, message } => self.on_message(node, slot, message),
            Work::Resume { node } => self.call(node, |op, cx| op.resume(cx)),
            Work::Watermark { node } => self.on_watermark(node),
            Work::OnEnd { node } => self.on_end(node),
            Work::Timer { node, id } => self.call(node, |op, cx| op.on_timer(id, cx)),
            Work::Forward { node } => {
                self.forward(node);
                Ok(Step::Worked)
            }
            Work::ForwardEnd { node } => self.forward_end(node),
            Work::Depart { edge, message } => {
                self.outbox.push((edge, message));
                Ok(Step::Worked)
            }
        }
    }

    fn on_message(&mut self, node: usize, slot: usize, message: Message) -> Result<Step> {
        let cell = self.cells.get_mut(node).ok_or_else(no_cell)?;
        match message {
            Message::Batch(batch) => {
                cell.merge.touch(slot);
                cell.told_idle = false;
                let rows = batch.len() as u64;
                cell.rows_in += rows;
                cell.stats.rows_in.fetch_add(rows, Ordering::Relaxed);
                let port = cell.port(slot);
                match cell.kind {
                    Kind::Sink => Ok(Step::Sink { node, call: SinkCall::Write(batch) }),
                    Kind::Async => Err(Error::internal("a batch passed by its asynchronous operator")),
                    _ => self.call(node, |op, cx| op.on_batch(port, batch, cx)),
                }
            }
            Message::Watermark(to) => {
                cell.told_idle = false;
                cell.slot_changed(slot, self.now);
                if cell.merge.advance(slot, to).is_some() {
                    self.stack.push(Work::Watermark { node });
                }
                Ok(Step::Worked)
            }
            Message::Idle => {
                cell.slot_changed(slot, self.now);
                let grew = cell.merge.idle(slot).is_some();
                // Passes idleness on too, once all inputs are idle.
                self.stack.push(if grew { Work::Watermark { node } } else { Work::Forward { node } });
                Ok(Step::Worked)
            }
            // Aligned by the driver: inside a stage everything before it has been worked off.
            Message::Barrier(_) => Err(Error::internal("a barrier reached a transform")),
            Message::End => {
                cell.slot_changed(slot, self.now);
                let grew = cell.merge.end(slot).is_some();
                if cell.merge.all_ended() {
                    self.stack.push(Work::OnEnd { node });
                }
                if grew {
                    self.stack.push(Work::Watermark { node });
                }
                Ok(Step::Worked)
            }
        }
    }

    fn on_watermark(&mut self, node: usize) -> Result<Step> {
        let cell = self.cells.get_mut(node).ok_or_else(no_cell)?;
        cell.cx.watermark = cell.merge.current();
        match cell.kind {
            Kind::Operator(_) => self.call(node, |op, cx| op.on_watermark(cx)),
            Kind::Sink => {
                let to = cell.cx.watermark;
                cell.stats.watermark.store(to.0, Ordering::Relaxed);
                Ok(Step::Sink { node, call: SinkCall::Watermark(to) })
            }
            Kind::Async => {
                self.stack.push(Work::Forward { node });
                Ok(Step::Worked)
            }
            Kind::Source => Err(Error::internal("a source was given a watermark")),
        }
    }

    fn on_end(&mut self, node: usize) -> Result<Step> {
        self.stack.push(Work::ForwardEnd { node });
        let cell = self.cells.get_mut(node).ok_or_else(no_cell)?;
        match cell.kind {
            Kind::Operator(_) => self.call(node, |op, cx| op.on_end(cx)),
            Kind::Sink => Ok(Step::Sink { node, call: SinkCall::End }),
            Kind::Source | Kind::Async => Ok(Step::Worked),
        }
    }

    fn forward_end(&mut self, node: usize) -> Result<Step> {
        let cell = self.cells.get_mut(node).ok_or_else(no_cell)?;
        if let Some((at, owner, _)) = cell.cx.holds.iter().next() {
            let message = format!("ended while {owner} still holds the watermark at {at}");
            return Err(Error::internal(message).in_place(&cell.label));
        }
        if cell.cx.fates.in_state != 0 {
            let message = format!("ended with {} rows in state", cell.cx.fates.in_state);
            return Err(Error::internal(message).in_place(&cell.label));
        }
        if let Some(epoch) = cell.cx.kept.oldest() {
            let message = format!("ended while it says that it keeps rows of epoch {epoch}");
            return Err(Error::internal(message).in_place(&cell.label));
        }
        cell.ended = true;
        cell.timers = Timers::default();
        self.push_all_routes(node, &Message::End);
        Ok(Step::Worked)
    }

    /// Calls an operator, checks its ledger, and lines up what follows from the call.
    fn call(
        &mut self,
        node: usize,
        f: impl FnOnce(&mut dyn Operator, &mut OpCx) -> Result<More>,
    ) -> Result<Step> {
        let cell = self.cells.get_mut(node).ok_or_else(no_cell)?;
        let Kind::Operator(op) = &mut cell.kind else {
            return Err(Error::internal("a call to something that is no operator").in_place(&cell.label));
        };
        cell.cx.now = self.now;
        let before = cell.cx.fates;
        let more = f(op.as_mut(), &mut cell.cx).map_err(|e| e.in_place(&cell.label))?;
        cell.stats.add_fates(&before, &cell.cx.fates);
        if cell.cx.fates.total() != cell.rows_in {
            let message = format!(
                "the ledger does not balance: {} rows in, but {:?} accounts for {}",
                cell.rows_in,
                cell.cx.fates,
                cell.cx.fates.total()
            );
            return Err(Error::internal(message).in_place(&cell.label));
        }
        for (id, at) in std::mem::take(&mut cell.cx.timers) {
            cell.timers.change(id, at);
        }
        let label = &cell.label;
        self.log.extend(std::mem::take(&mut cell.cx.log).into_iter().map(|(l, t)| (label.clone(), l, t)));
        let outputs = std::mem::take(&mut cell.cx.outputs);
        self.stack.push(if more == More::Yes { Work::Resume { node } } else { Work::Forward { node } });
        self.push_outputs(node, outputs);
        Ok(Step::Worked)
    }

    fn forward(&mut self, node: usize) {
        let Some(cell) = self.cells.get_mut(node) else { return };
        let to = output_watermark(cell.merge.current(), cell.cx.holds.min());
        let grew = to > cell.told;
        let tell_idle = cell.merge.all_idle() && (grew || !cell.told_idle);
        if grew || tell_idle {
            cell.told_since = self.now;
        }
        cell.told_idle |= tell_idle;
        if grew {
            cell.told = to;
            cell.stats.watermark.store(to.0, Ordering::Relaxed);
        }
        // A watermark is a sign of life: idleness is told after it.
        if tell_idle {
            self.push_all_routes(node, &Message::Idle);
        }
        if grew {
            self.push_all_routes(node, &Message::Watermark(to));
        }
    }

    fn push_outputs(&mut self, node: usize, outputs: Vec<(OutPort, Batch)>) {
        if let Some(cell) = self.cells.get_mut(node) {
            if !outputs.is_empty() && !cell.routes.is_empty() && !cell.is_source() {
                // Rows are a sign of life to readers.
                cell.told_idle = false;
            }
            for (port, batch) in &outputs {
                if let Some(out) = cell.rows_out.get_mut(*port) {
                    *out += batch.len() as u64;
                }
                if let Some(out) = cell.stats.rows_out.get(*port) {
                    out.fetch_add(batch.len() as u64, Ordering::Relaxed);
                }
                if let Some(tap) = cell.taps.get_mut(port) {
                    tap.push(batch.clone());
                }
            }
        }
        for (port, batch) in outputs.into_iter().rev() {
            self.push_routes(node, port, &Message::Batch(batch));
        }
    }

    /// Lines a message up for everyone who reads any output.
    fn push_all_routes(&mut self, node: usize, message: &Message) {
        let ports = self.cells.get(node).map_or(0, |c| c.routes.len());
        for port in (0..ports).rev() {
            self.push_routes(node, port, message);
        }
    }

    /// Lines a message up for everyone who reads an output. Local deliveries and departures go through
    /// the stack alike, so that their order is that of emission.
    fn push_routes(&mut self, node: usize, port: OutPort, message: &Message) {
        let Core { cells, stack, .. } = self;
        let Some(routes) = cells.get(node).and_then(|c| c.routes.get(port)) else { return };
        for route in routes.iter().rev() {
            stack.push(match *route {
                Route::Local { node, slot } => Work::Deliver { node, slot, message: message.clone() },
                Route::Remote { edge } => Work::Depart { edge, message: message.clone() },
            });
        }
    }
}

impl Core {
    /// Steps until a sink needs the driver, the outbox holds something, or nothing is left.
    pub(crate) fn run(&mut self) -> Result<Step> {
        loop {
            match self.step()? {
                Step::Worked if self.outbox.is_empty() => continue,
                other => return Ok(other),
            }
        }
    }

    /// What a sink accounts for: rows it was given.
    pub(crate) fn sink_wrote(&mut self, node: usize, rows: u64) {
        if let Some(cell) = self.cells.get_mut(node) {
            let before = cell.cx.fates;
            cell.cx.fates.passed += rows;
            cell.stats.add_fates(&before, &cell.cx.fates);
        }
    }

    /// Watches an output of a node.
    pub(crate) fn tap(&mut self, node: usize, port: OutPort) {
        if let Some(cell) = self.cells.get_mut(node) {
            cell.taps.entry(port).or_default();
        }
    }

    /// What a watched output gave since the last call.
    pub(crate) fn take_tap(&mut self, node: usize, port: OutPort) -> Vec<Batch> {
        let tap = self.cells.get_mut(node).and_then(|c| c.taps.get_mut(&port));
        tap.map(std::mem::take).unwrap_or_default()
    }

    /// The figures of a node.
    pub(crate) fn stats(&self, node: usize) -> Option<&NodeStats> {
        self.cells.get(node).map(|c| c.stats.as_ref())
    }

    /// The label of a node, for errors of its source or sink.
    pub(crate) fn label(&self, node: usize) -> &str {
        self.cells.get(node).map_or("", |c| &c.label)
    }
}

impl Core {
    /// How each transform stands.
    pub(crate) fn views(&self, nodes: &[NodeId], lane: usize) -> Vec<NodeView> {
        let view = |(node, cell): (&NodeId, &Cell)| {
            let input = |(slot, from): (usize, &NodeId)| {
                let (watermark, state) = cell.merge.input(slot)?;
                let since = cell.slots_since.get(slot).copied()?;
                Some(InputView { from: *from, watermark, state, since })
            };
            let hold = |(at, owner, count): (EventTime, &str, usize)| HoldView {
                at,
                owner: owner.to_owned(),
                count,
            };
            NodeView {
                node: *node,
                lane,
                input_watermark: if cell.is_source() { cell.told } else { cell.merge.current() },
                output_watermark: cell.told,
                output_since: cell.told_since,
                is_idle: cell.told_idle,
                has_ended: cell.ended,
                inputs: cell.from.iter().enumerate().filter_map(input).collect(),
                holds: cell.cx.holds.iter().take(HOLDS_MAX).map(hold).collect(),
                rows_in_state: cell.cx.fates.in_state,
                kept_since: cell.cx.kept.oldest().or(cell.in_state_since),
                timer: cell.timers.next(),
            }
        };
        nodes.iter().zip(&self.cells).map(view).collect()
    }

    /// The barrier of `epoch` passes; the lane is quiet. Answers from which epoch on each transform keeps rows.
    pub(crate) fn pass_barrier(&mut self, epoch: u64) -> Vec<(usize, u64)> {
        let mut kept = Vec::new();
        for (node, cell) in self.cells.iter_mut().enumerate() {
            if cell.cx.fates.in_state == 0 {
                cell.in_state_since = None;
            } else {
                cell.in_state_since.get_or_insert(epoch);
            }
            if let Some(oldest) = cell.cx.kept.oldest().or(cell.in_state_since) {
                kept.push((node, oldest));
            }
            cell.cx.epoch = epoch + 1;
        }
        kept
    }

    /// The next epoch is this one, from 1: in jobs without epochs nothing calls this.
    pub(crate) fn start_epochs(&mut self, first: u64) {
        self.cells.iter_mut().for_each(|c| c.cx.epoch = first);
    }

    /// What a source accounts for.
    pub(crate) fn source_gave(&mut self, node: usize, read: u64, fates: Fates) {
        let Some(cell) = self.cells.get_mut(node) else { return };
        let before = cell.cx.fates;
        cell.rows_in += read;
        cell.stats.rows_in.fetch_add(read, Ordering::Relaxed);
        cell.cx.fates.passed += fates.passed;
        cell.cx.fates.filtered += fates.filtered;
        cell.cx.fates.dead += fates.dead;
        cell.stats.add_fates(&before, &cell.cx.fates);
    }
}

impl Cell {
    fn is_source(&self) -> bool {
        matches!(self.kind, Kind::Source)
    }

    fn slot_changed(&mut self, slot: usize, now: EventTime) {
        if let Some(since) = self.slots_since.get_mut(slot) {
            *since = now;
        }
    }

    fn port(&self, slot: usize) -> Port {
        self.ports.get(slot).copied().unwrap_or(0)
    }
}

fn no_cell() -> Error {
    Error::internal("a message for a transform that is not in this stage")
}

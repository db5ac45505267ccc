//! The contract of an operator: work on the CPU that runs to completion on one batch.

use crate::batch::Batch;
use crate::error::Result;
use crate::hold::Holds;
use crate::kept::Kept;
use crate::state::StateTable;
use crate::time::EventTime;

/// Which input of an operator, from 0 in the order its plan node declares them.
pub type Port = usize;
/// Which output of an operator, from 0 in the order its plan node declares them.
pub type OutPort = usize;
/// What an operator calls its timers.
pub type TimerId = u64;

/// Whether a call has more to give than its output budget allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    /// It is done.
    No,
    /// Call [`Operator::resume`] once downstream has room.
    Yes,
}

/// What became of the rows an operator was given: one side of the ledger.
///
/// After every call `in = passed + filtered + late + dead + in_state` must hold; the runner checks it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fates {
    /// Went on (as one or more rows, or inside an aggregate that was emitted).
    pub passed: u64,
    /// Dropped because the author said so.
    pub filtered: u64,
    /// Came after their window was closed.
    pub late: u64,
    /// Failed; routed to the error output.
    pub dead: u64,
    /// Are waiting in state.
    pub in_state: u64,
}

impl Fates {
    /// All rows accounted for.
    pub fn total(&self) -> u64 {
        self.passed + self.filtered + self.late + self.dead + self.in_state
    }
}

/// What an operator is given to work with: outputs, the ledger, holds and timers; nothing else.
#[derive(Debug)]
pub struct OpCx {
    /// What the operator emits, in order. The runner takes it away after each call.
    pub outputs: Vec<(OutPort, Batch)>,
    /// What became of the rows so far (running totals of this lane).
    pub fates: Fates,
    /// The operator's input watermark: no row earlier than this is expected.
    pub watermark: EventTime,
    /// The present processing time.
    pub now: EventTime,
    /// Guards on the output watermark.
    pub holds: Holds,
    /// The epoch that rows given now belong to; 0 in jobs without epochs.
    pub epoch: u64,
    /// From which epochs rows are kept in state: see [`Kept`].
    pub kept: Kept,
    /// Timers in processing time to set (`Some`) or clear (`None`), taken by the runner after each call.
    pub timers: Vec<(TimerId, Option<EventTime>)>,
    /// Lines for the log, in order, taken by the runner after each call.
    pub log: Vec<(LogLevel, String)>,
    /// About how many rows a call should emit before it answers [`More::Yes`].
    pub rows_max: usize,
}

/// How loud a line of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// Something is wrong.
    Error,
    /// Worth reading.
    Info,
    /// Detail.
    Debug,
}

impl OpCx {
    /// A context at the start of time.
    pub fn new(rows_max: usize) -> Self {
        OpCx {
            outputs: Vec::new(),
            fates: Fates::default(),
            watermark: EventTime::MIN,
            now: EventTime::MIN,
            holds: Holds::default(),
            epoch: 0,
            kept: Kept::default(),
            timers: Vec::new(),
            log: Vec::new(),
            rows_max,
        }
    }

    /// Emits a batch; empty ones are dropped.
    pub fn emit(&mut self, port: OutPort, batch: Batch) {
        if !batch.is_empty() {
            self.outputs.push((port, batch));
        }
    }

    /// Asks to be called back at this processing time.
    pub fn set_timer(&mut self, id: TimerId, at: EventTime) {
        self.timers.push((id, Some(at)));
    }

    /// Takes a timer back.
    pub fn clear_timer(&mut self, id: TimerId) {
        self.timers.push((id, None));
    }
}

/// One running instance of a transform.
///
/// ```text
///  build --> [ on_batch | on_watermark | on_timer ]*  --> on_end --> drop
///                 \--- More::Yes --> resume* ---/
/// ```
///
/// **Constraints.** A call runs to completion: no await, spawn, sleep, clock or randomness. Watermarks
/// only grow; after `to = EventTime::MAX` no batch comes. The runner forwards the watermark
/// downstream after `on_watermark` (and all its `resume`s) returned, held back by `cx.holds`. `Err`
/// fails the job: rows that may fail are routed by the operator itself. State must be a function of
/// the calls made, so that a replay gives the same result.
///
/// **State.** What an operator remembers from one call to the next (but for what it can work out again) is in the tables
/// it declares. A restored one is built, its tables are filled, then `restored` is called, all before any other call.
pub trait Operator: Send {
    /// Takes some rows of an input.
    fn on_batch(&mut self, port: Port, batch: Batch, cx: &mut OpCx) -> Result<More>;

    /// The input watermark (least of all inputs) has moved; `cx.watermark` is the new one.
    fn on_watermark(&mut self, cx: &mut OpCx) -> Result<More> {
        let _ = cx;
        Ok(More::No)
    }

    /// A processing-time timer is due.
    fn on_timer(&mut self, id: TimerId, cx: &mut OpCx) -> Result<More> {
        let _ = (id, cx);
        Ok(More::No)
    }

    /// Goes on after [`More::Yes`].
    fn resume(&mut self, cx: &mut OpCx) -> Result<More> {
        let _ = cx;
        Ok(More::No)
    }

    /// The tables that hold its state, always the same ones in the same order. They are saved and restored between
    /// two calls (after all `resume`s).
    fn tables(&mut self) -> Vec<&mut dyn StateTable> {
        Vec::new()
    }

    /// Its tables have been filled from a checkpoint. `cx` is new but for its watermark, which is what it was; the
    /// operator sets again what follows from its tables: `cx.fates.in_state`, holds, kept epochs (all as of
    /// `cx.epoch`), timers. Called with empty tables too, if nothing was saved.
    ///
    /// # Errors
    /// If the tables do not fit together.
    fn restored(&mut self, cx: &mut OpCx) -> Result<()> {
        let _ = cx;
        Ok(())
    }

    /// All inputs have ended (their watermarks came before this).
    fn on_end(&mut self, cx: &mut OpCx) -> Result<More> {
        let _ = cx;
        Ok(More::No)
    }
}

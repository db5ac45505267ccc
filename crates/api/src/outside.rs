//! Work that waits for something outside the program: asynchronous operators, and interpreters that run
//! code the program does not compile.

use crate::batch::Batch;
use crate::error::Result;
use crate::operator::{Fates, LogLevel, OutPort, Port};
use crate::source::BoxFuture;
use arrow_array::BinaryArray;
use std::fmt::Debug;

/// What became of a bundle: it is applied whole or not at all.
#[derive(Debug, Default)]
pub struct Answer {
    /// Rows by output, in order.
    pub outputs: Vec<(OutPort, Batch)>,
    /// What became of the rows of the bundle; their sum is the number of its rows, and none is in state.
    pub fates: Fates,
    /// Lines for the log.
    pub log: Vec<(LogLevel, String)>,
}

/// One running instance of a transform that asks something outside about its rows.
///
/// ```text
///  build --> submit* --> drop
///              \--> an answer each, applied in the order of submitting
/// ```
///
/// The runner owns everything else: it keeps at most [`AsyncOperator::in_flight_max`] bundles in flight,
/// applies their answers in order, holds watermarks, barriers and ends back behind the bundles before them,
/// and drops what is in flight when the job stops.
///
/// **Constraints.** `submit` does not wait: what waits is the future. Every future must answer in the end;
/// limits in time are the operator's own matter. It must not need a certain runtime. `Err` fails the job: rows
/// that may fail are routed by the operator itself. Nothing may depend on the order in which answers become
/// ready, and an answer must be a function of its bundle alone.
pub trait AsyncOperator: Send {
    /// Starts the work on a bundle.
    fn submit(&mut self, port: Port, batch: Batch) -> BoxFuture<'static, Result<Answer>>;

    /// How many bundles may be in flight at once; at least 1.
    fn in_flight_max(&self) -> usize {
        4
    }
}

/// An interpreter of this machine that can run an author's code beside the program.
pub trait Interpreter: Debug + Send + Sync {
    /// What it is, for people: `python3 3.11.7`.
    fn name(&self) -> String;

    /// Starts an instance with what it is to compute, in an encoding that the caller and the interpreter's
    /// script agree on. `label` names the transform and `lane` the instance, for messages.
    fn start(&self, label: &str, lane: usize, setup: &str) -> Result<Box<dyn Evaluator>>;
}

/// A running instance of an [`Interpreter`]. Ends when it is dropped.
pub trait Evaluator: Send {
    /// Computes on encoded rows: one array for each expression of the setup, one encoded value or failure for
    /// each row.
    fn evaluate(&mut self, rows: BinaryArray) -> BoxFuture<'static, Result<Vec<BinaryArray>>>;
}

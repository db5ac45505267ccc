//! The words and the contracts.
//!
//! The one crate that the author of a transform or a connector must read: what a [`Batch`] is, what
//! time, windows and panes are, and what an [`Operator`], a [`Source`], a [`Sink`] and a [`Transform`]
//! promise each other.
//!
//! **Invariants.** No IO, no tokio, no clock: contracts are given what they need. Operators are
//! synchronous and pure: they never await, spawn, sleep, read a clock or draw randomness.

pub mod batch;
pub mod catalog;
pub mod decimal;
pub mod environment;
pub mod error;
pub mod hold;
pub mod json;
pub mod kept;
pub mod key;
pub mod literal;
pub mod operator;
pub mod outside;
pub mod pane;
pub mod shape;
pub mod sink;
pub mod source;
pub mod state;
pub mod testing;
pub mod time;
pub mod transform;
pub mod trigger;
pub mod unite;
pub mod window;

pub use batch::{Batch, Dict, Origin, SourceMessage, Times, take_rows};
pub use catalog::{Catalog, Entry};
pub use environment::{Delivery, Environment};
pub use error::{Error, ErrorKind, Result};
pub use hold::Holds;
pub use kept::Kept;
pub use operator::{Fates, LogLevel, More, OpCx, Operator, OutPort, Port, TimerId};
pub use outside::{Answer, AsyncOperator, Evaluator, Interpreter};
pub use pane::{Pane, Timing};
pub use shape::Shape;
pub use sink::Sink;
pub use source::{Budget, Pull, Resume, Source, SourceStatus};
pub use state::{Extent, Saved, StateRows, StateShape, StateTable};
pub use time::{EventTime, Micros};
pub use transform::{
    BindCx, BuildCx, Circumstances, Distribution, Division, FileInfo, Guarantee, InputShape, LaneShared,
    Output, OutputRole, PlanNode, Probe, Promise, Running, Transform,
};
pub use trigger::Trigger;
pub use window::{AccumulationMode, Window, WindowFn, Windowing};

//! Running: stages, channels, watermarks, timers, lanes.
//!
//! A [`purlin_plan::Plan`] becomes lanes of stages. Each lane is a synchronous state machine
//! that owns the loop around its operators; two drivers carry messages between lanes: [`job`] with a
//! task a lane and bounded inboxes, and [`step`] on one thread in scripted time.
//!
//! **Invariants.** The engine never sees YAML and knows a transform's name only as a label. Every queue
//! has a bound in rows, bytes and messages. Time comes only through [`clock`]. After every call of an
//! operator its ledger balances.

pub mod align;
pub mod channel;
pub mod checkpoint;
pub mod clock;
mod commit;
mod core;
mod epoch;
mod exchange;
mod flight;
pub mod job;
mod lane;
mod ledger;
pub mod message;
mod stall;
pub mod stats;
pub mod step;
pub mod stop;
pub mod watermark;
pub mod why;
mod wiring;

pub use job::{Job, JobOptions, Outcome};
pub use stats::NodeStats;
pub use step::StepRun;
pub use stop::{Ending, Left, Live, Stop, UNACKNOWLEDGED_ROWS_MAX};
pub use why::{JobView, Watcher};

//! `purlin up`: a broker and pipelines in one process, on one data folder.
//!
//! [`project`] reads what is to run. Each pipeline has a `keeper`, a thread that plans it, runs it, starts it again when
//! it failed and when its files changed; [`pipe`] is what others see of it. `run` holds all of them together.

pub mod apply;
mod backoff;
mod files;
mod keeper;
pub mod lock;
pub mod log;
pub mod pipe;
pub mod project;
pub mod record;
pub mod resources;
mod run;
pub mod tally;
mod threads;

pub use run::{Up, up};

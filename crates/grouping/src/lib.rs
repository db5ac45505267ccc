//! Keyed, windowed aggregation: accumulators, triggers, panes.

pub mod accumulate;
pub mod aggregate;
pub mod panes;
mod state;
pub mod trigger;

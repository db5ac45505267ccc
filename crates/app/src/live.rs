//! Pipelines that do not end by themselves: how they can be looked at while they run.

pub mod door;
pub mod why;

//! The program as its users meet it: one binary for all integration tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test fails by these

mod bad_input;
mod broker_kill;
mod command_line;
#[cfg(feature = "pubsub")]
mod conforms;
mod dead_letters;
mod lanes;
mod live;
mod pipes;
#[cfg(feature = "pubsub")]
mod pubsub;
#[cfg(feature = "pubsub")]
mod pubsub_commands;
#[cfg(feature = "pubsub")]
mod pubsub_state;
mod purchases;
mod python_worker;
mod reference;
#[cfg(feature = "pubsub")]
mod restarts;
mod scratch;
mod simulator;
#[cfg(feature = "sql")]
mod sql;
mod stream_equals_batch;
mod timed;
#[cfg(feature = "pubsub")]
mod up;

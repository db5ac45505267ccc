//! The program as its users meet it: one binary for all integration tests.

mod bad_input;
mod command_line;
mod purchases;
mod reference;
mod scratch;
mod stream_equals_batch;
mod timed;

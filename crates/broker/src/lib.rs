//! A server of Google's Pub/Sub API (`google.pubsub.v1`) on a durable log.
//!
//! It knows none of the other crates: pipelines meet it by wire only, like any other client.
//!
//! - [`store`]: logs and journals in one folder.
//! - `subscription`: what is delivered, when, to whom. Its `core` and what that is made of are
//!   state machines that are told the time.
//! - `rpc`: one file for each group of calls.
//! - [`Broker`]: all of it, listening.

mod broker;
mod catalog;
mod clock;
mod dead_letter;
mod error;
mod feed;
mod filter;
mod grpc;
mod housekeeping;
mod hub;
mod limits;
mod message;
mod name;
mod push;
mod rest;
mod rpc;
mod schema;
mod server;
mod status;
pub mod store;
mod subscription;
mod tasks;
mod tls;
mod topic;
mod wire;

pub use broker::{Backlogs, Broker, Options};
pub use error::Error;
pub use hub::Report;
pub use tls::TlsFiles;

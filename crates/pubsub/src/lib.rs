//! A client of Google's Pub/Sub API: where the service is, who asks, and the calls that pipelines and the
//! command line need.
//!
//! - [`Client`] connects and has the calls that manage [topics and subscriptions](admin).
//! - [`Publisher`] gathers messages into requests and repeats those that may be repeated.
//! - [`Subscriber`] holds a streaming pull open, keeps leases alive, and acknowledges in batches.
//!
//! Nothing here asks its caller for a runtime: the network has a thread of its own ([`block_on`] serves callers
//! that are not asynchronous), so work that keeps a pipeline's threads busy does not let leases run out.
//!
//! **Invariants.** What is decided by time ([`batcher`], [`leases`], [`backoff`]) takes the time as a
//! parameter and does no IO. Every queue has a bound with its unit in its name. Every error says which
//! resource on which host, why, and what to do.

pub mod address;
pub mod admin;
pub mod backoff;
pub mod batcher;
pub mod clock;
pub mod credentials;
pub mod leases;
pub mod names;

mod client;
mod error;
mod publisher;
mod subscriber;
mod tasks;

pub use address::Address;
pub use client::{Client, ClientOptions, unique};
pub use error::{Error, ErrorKind, Result};
pub use names::{SnapshotName, SubscriptionName, TopicName};
pub use publisher::{MESSAGE_BYTES_MAX, Publisher, PublisherOptions, check_message, check_message_with};
pub use subscriber::{Arrival, Deliveries, Flushed, LeaseRange, Subscriber, SubscriberOptions};
pub use tasks::block_on;
pub use tonic::Code;

/// The field masks, durations and timestamps that those use.
pub use prost;
pub use prost_types;
/// Messages and requests, as Google's published protos define them.
pub use pubsub_proto::google::pubsub::v1 as proto;

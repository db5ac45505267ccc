//! A server of Google's Pub/Sub API (`google.pubsub.v1`) on a durable log.
//!
//! It knows none of the other crates: pipelines meet it by wire only, like any other client.

pub mod store;

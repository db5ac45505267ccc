//! `purlin topics`, `subscriptions`, `publish`, `pull` and `subscribe`: the everyday calls of a Pub/Sub service,
//! against the broker, an emulator or Google.

pub mod args;
mod publish;
mod pull;
mod show;
mod subscribe;
mod subscriptions;
mod topics;

pub(crate) use publish::publish;
pub(crate) use pull::pull;
pub(crate) use subscribe::subscribe;
pub(crate) use subscriptions::subscriptions;
pub(crate) use topics::topics;

use super::Exit;
use super::output::Output;
use args::ServiceArgs;
use purlin_api::{Error, ErrorKind, Result};
use purlin_pubsub::prost_types::Duration;
use purlin_pubsub::{Client, ClientOptions, SubscriptionName, TopicName};
use std::collections::HashMap;

/// A service, and the project that short names are in.
pub(crate) struct Service {
    pub(crate) client: Client,
    project: Option<String>,
}

impl Service {
    pub(crate) fn open(args: &ServiceArgs) -> Result<Self> {
        let client = Client::new(&ClientOptions { host: args.host.clone(), token: None }).map_err(ours)?;
        let project = client.project(args.project.as_deref());
        Ok(Service { client, project })
    }

    pub(crate) fn topic(&self, name: &str) -> Result<TopicName> {
        TopicName::parse(name, self.project.as_deref()).map_err(ours)
    }

    fn subscription(&self, name: &str) -> Result<SubscriptionName> {
        SubscriptionName::parse(name, self.project.as_deref()).map_err(ours)
    }

    /// The project, for calls about all of it.
    fn project(&self) -> Result<&str> {
        self.project.as_deref().ok_or_else(|| {
            Error::new(ErrorKind::Config, "which project? Use --project, or set GOOGLE_CLOUD_PROJECT")
        })
    }
}

/// An error of the client as one of the program's.
pub(crate) fn ours(e: purlin_pubsub::Error) -> Error {
    use purlin_pubsub::ErrorKind as Theirs;
    let kind = match e.kind() {
        Theirs::Config => ErrorKind::Config,
        Theirs::Exhausted => ErrorKind::Exhausted,
        Theirs::Unavailable => ErrorKind::Unavailable,
        Theirs::AlreadyExists => ErrorKind::Conflict,
        Theirs::Internal => ErrorKind::Internal,
        _ => ErrorKind::Denied,
    };
    Error::new(kind, e.to_string())
}

/// Waits for a call. The network has threads of its own, so any executor will do.
pub(crate) fn ask<T>(call: impl Future<Output = purlin_pubsub::Result<T>>) -> Result<T> {
    futures::executor::block_on(call).map_err(ours)
}

/// Waits a while, on the clock of the client.
pub(crate) fn pause(d: std::time::Duration) {
    futures::executor::block_on(purlin_pubsub::clock::sleep(d));
}

fn finish(result: Result<()>, out: &mut Output) -> Exit {
    match result {
        Ok(()) => Exit::Success,
        Err(e) => {
            out.error(&e);
            if e.kind() == ErrorKind::Config { Exit::Refused } else { Exit::Failed }
        }
    }
}

/// Microseconds as the API's duration.
pub(crate) fn duration(micros: i64) -> Duration {
    Duration {
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(micros.rem_euclid(1_000_000)).unwrap_or(0) * 1000,
    }
}

fn labels(pairs: &[(String, String)]) -> HashMap<String, String> {
    pairs.iter().cloned().collect()
}

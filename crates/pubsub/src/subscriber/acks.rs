//! Telling the service: acknowledgements, messages given back, leases extended.

use super::Shared;
use crate::backoff::{Backoff, call_is_retried};
use crate::client::{random, route};
use crate::clock;
use crate::error::{Error, ErrorKind};
use crate::proto::{AcknowledgeRequest, ModifyAckDeadlineRequest, ReceivedMessage};
use prost::Message;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tonic::{Code, Request, Status};

/// Ids of one request; Google takes 512 KiB of them.
const IDS_MAX: usize = 2500;
const ID_BYTES_MAX: usize = 500_000;
/// Requests without an answer yet.
const REQUESTS_IN_FLIGHT_MAX: usize = 8;
/// How long a request is repeated: about as long as a lease may hold.
const GIVE_UP_US: i64 = 60_000_000;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long leases may go unlooked at.
const LOOK: Duration = Duration::from_millis(500);

/// What becomes of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Done with.
    Ack,
    /// To come again.
    Nack,
}

#[derive(Debug)]
pub(super) enum Job {
    Settle(Answer, Vec<String>),
    Flush(oneshot::Sender<()>),
}

#[derive(Clone, Copy, Debug)]
enum Call {
    Ack,
    Deadline(i32),
}

pub(super) fn gone() -> Error {
    Error::new(ErrorKind::Internal, "the subscriber has stopped")
}

/// Cuts ids into requests.
fn requests(ids: Vec<String>) -> Vec<Vec<String>> {
    let (mut all, mut part, mut bytes) = (Vec::new(), Vec::new(), 0);
    for id in ids {
        let size = id.len() + 4;
        if part.len() >= IDS_MAX || (bytes + size > ID_BYTES_MAX && !part.is_empty()) {
            all.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += size;
        part.push(id);
    }
    if !part.is_empty() {
        all.push(part);
    }
    all
}

/// Works jobs off until nobody can ask any more.
pub(super) async fn run(shared: Arc<Shared>, mut queue: mpsc::Receiver<Job>) {
    let mut in_flight: JoinSet<()> = JoinSet::new();
    while let Some(job) = queue.recv().await {
        match job {
            Job::Flush(done) => {
                while in_flight.join_next().await.is_some() {}
                // Who does not wait any more need not be told.
                done.send(()).unwrap_or_default();
            }
            Job::Settle(answer, ids) => {
                let call = match answer {
                    Answer::Ack => Call::Ack,
                    Answer::Nack => Call::Deadline(0),
                };
                for part in requests(ids) {
                    while in_flight.len() >= REQUESTS_IN_FLIGHT_MAX {
                        in_flight.join_next().await;
                    }
                    let shared = shared.clone();
                    in_flight.spawn(async move {
                        let failed = tell(&shared, call, part).await;
                        if matches!(call, Call::Ack) {
                            shared.acks_failed.fetch_add(failed.len() as u64, Ordering::Relaxed);
                        }
                    });
                }
            }
        }
    }
    while in_flight.join_next().await.is_some() {}
}

/// Extends leases whenever it is time.
pub(super) async fn extend(shared: Arc<Shared>) {
    loop {
        clock::sleep(LOOK).await;
        let due = shared.leases().due(clock::now());
        let mut in_flight: JoinSet<()> = JoinSet::new();
        for extension in due {
            for part in requests(extension.ids) {
                while in_flight.len() >= REQUESTS_IN_FLIGHT_MAX {
                    in_flight.join_next().await;
                }
                let shared = shared.clone();
                in_flight.spawn(async move {
                    // One that cannot be extended comes again, and is known then.
                    drop(tell(&shared, Call::Deadline(extension.seconds), part).await);
                });
            }
        }
        while in_flight.join_next().await.is_some() {}
    }
}

/// Those whose lease the service confirms.
pub(super) async fn confirmed(shared: &Arc<Shared>, received: Vec<ReceivedMessage>) -> Vec<ReceivedMessage> {
    let ids = received.iter().map(|r| r.ack_id.clone()).collect();
    let mut failed = HashSet::new();
    for part in requests(ids) {
        failed.extend(tell(shared, Call::Deadline(shared.options.lease_seconds), part).await);
    }
    received.into_iter().filter(|r| !failed.contains(&r.ack_id)).collect()
}

/// Sends one request as often as needed; answers the ids that were not taken.
async fn tell(shared: &Shared, call: Call, mut ids: Vec<String>) -> Vec<String> {
    let mut backoff = Backoff::new(50_000, 5_000_000, GIVE_UP_US);
    let mut lost = Vec::new();
    loop {
        let Err(status) = send(shared, call, ids.clone()).await else { return lost };
        // Subscriptions that deliver exactly once answer for each id.
        let by_id = id_failures(&status);
        let again = if by_id.is_empty() {
            if !call_is_retried(status.code()) {
                lost.append(&mut ids);
            }
            std::mem::take(&mut ids)
        } else {
            let mut again = Vec::new();
            for id in std::mem::take(&mut ids) {
                match by_id.get(&id) {
                    Some(Failure::Transient) => again.push(id),
                    Some(Failure::Permanent) => lost.push(id),
                    None => {}
                }
            }
            again
        };
        if again.is_empty() {
            return lost;
        }
        ids = again;
        match backoff.failed(clock::monotonic_us(), random()) {
            Some(us) => clock::sleep(Duration::from_micros(us.unsigned_abs())).await,
            None => {
                lost.append(&mut ids);
                return lost;
            }
        }
    }
}

async fn send(shared: &Shared, call: Call, ack_ids: Vec<String>) -> Result<(), Status> {
    let (mut client, subscription) = (shared.client.subscriber(), shared.name.to_string());
    match call {
        Call::Ack => {
            let mut request = Request::new(AcknowledgeRequest { subscription, ack_ids });
            request.set_timeout(REQUEST_TIMEOUT);
            route(&mut request, &shared.target());
            client.acknowledge(request).await?;
        }
        Call::Deadline(ack_deadline_seconds) => {
            let body = ModifyAckDeadlineRequest { subscription, ack_ids, ack_deadline_seconds };
            let mut request = Request::new(body);
            request.set_timeout(REQUEST_TIMEOUT);
            route(&mut request, &shared.target());
            client.modify_ack_deadline(request).await?;
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Transient,
    Permanent,
}

/// `google.rpc.Status`, as far as it is needed.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// `google.rpc.ErrorInfo`: `metadata` has what became of each id.
#[derive(Clone, PartialEq, Message)]
struct ErrorInfo {
    #[prost(map = "string, string", tag = "3")]
    metadata: HashMap<String, String>,
}

/// What a subscription that delivers exactly once says of single ids
/// (<https://cloud.google.com/pubsub/docs/exactly-once-delivery>).
fn id_failures(status: &Status) -> HashMap<String, Failure> {
    if status.code() == Code::Ok || status.details().is_empty() {
        return HashMap::new();
    }
    let Ok(rpc) = RpcStatus::decode(status.details()) else { return HashMap::new() };
    let infos = rpc.details.iter().filter(|a| a.type_url.ends_with("google.rpc.ErrorInfo"));
    infos
        .filter_map(|a| ErrorInfo::decode(a.value.as_slice()).ok())
        .flat_map(|i| i.metadata)
        .filter_map(|(id, said)| {
            let failure = match said.as_str() {
                s if s.starts_with("TRANSIENT_FAILURE_") => Failure::Transient,
                s if s.starts_with("PERMANENT_FAILURE_") => Failure::Permanent,
                _ => return None,
            };
            Some((id, failure))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_cut_into_requests() {
        let parts = requests((0..6000).map(|i| i.to_string()).collect());
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [2500, 2500, 1000]);
        let parts = requests(vec!["x".repeat(300_000); 3]);
        assert_eq!(parts.len(), 3);
    }

    #[test]
    fn answers_by_id_are_read() {
        let info = ErrorInfo {
            metadata: HashMap::from([
                ("a".to_owned(), "PERMANENT_FAILURE_INVALID_ACK_ID".to_owned()),
                ("b".to_owned(), "TRANSIENT_FAILURE_SERVICE_UNAVAILABLE".to_owned()),
            ]),
        };
        let any = prost_types::Any {
            type_url: "type.googleapis.com/google.rpc.ErrorInfo".to_owned(),
            value: info.encode_to_vec(),
        };
        let details = RpcStatus { details: vec![any] }.encode_to_vec();
        let status = Status::with_details(Code::FailedPrecondition, "some ids", details.into());
        let by_id = id_failures(&status);
        assert_eq!((by_id["a"], by_id["b"]), (Failure::Permanent, Failure::Transient));
    }
}

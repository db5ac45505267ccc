//! One streaming pull that is opened again whenever it ends.

use super::{Arrival, Deliveries, Shared, acks};
use crate::backoff::{Backoff, stream_is_reopened};
use crate::client::{is_refused, random, route};
use crate::clock;
use crate::proto::{StreamingPullRequest, StreamingPullResponse};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::{Request, Status, Streaming};

/// How often an empty request says that somebody is still here, as Google asks for.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// A stream that was open for so long was a good one.
const GOOD_US: i64 = 5_000_000;
/// See [`open_patiently`].
const UNANSWERED: Duration = Duration::from_secs(2);
/// For a service that is not there when the first stream is opened.
const FIRST_GIVE_UP_US: i64 = 5_000_000;

/// Runs until the service refuses the subscription, or the subscriber closes.
pub(super) async fn run(shared: Arc<Shared>) {
    attend(&shared).await;
    shared.streams_ended.send_modify(|n| *n += 1);
}

async fn attend(shared: &Arc<Shared>) {
    let mut backoff = Backoff::new(50_000, 10_000_000, clock::micros(shared.options.give_up_after));
    let mut was_open = false;
    let began = clock::monotonic_us();
    loop {
        let mut closing = shared.closing.subscribe();
        let opened = tokio::select! { biased;
            opened = open_patiently(shared) => opened,
            _ = closing.wait_for(|c| *c) => return,
        };
        let status = match opened {
            Ok((answers, requests)) => {
                was_open = true;
                let opened = clock::monotonic_us();
                let (got_some, status) = read(shared, answers, requests).await;
                // The service ends streams now and then, quiet ones too: that is no failure.
                if got_some || clock::monotonic_us() - opened >= GOOD_US {
                    backoff.succeeded();
                }
                status
            }
            Err(status) => status,
        };
        if *shared.closing.borrow() {
            return;
        }
        let now = clock::monotonic_us();
        let hopeless = !was_open && is_refused(&status) && now - began >= FIRST_GIVE_UP_US;
        let delay = backoff.failed(now, random()).filter(|_| stream_is_reopened(status.code()) && !hopeless);
        match delay {
            Some(us) => tokio::select! { biased;
                _ = closing.wait_for(|c| *c) => return,
                () = clock::sleep(Duration::from_micros(us.unsigned_abs())) => {}
            },
            None => {
                shared.queue.fail(shared.client.error("read", &shared.target(), &status));
                return;
            }
        }
    }
}

/// Opens a stream. Some services answer only with the first message: a stream that was not refused for a while
/// counts as open.
async fn open_patiently(shared: &Shared) -> Result<(Streaming<StreamingPullResponse>, Requests), Status> {
    let mut opening = std::pin::pin!(open(shared));
    if let Some(answer) = clock::within(UNANSWERED, &mut opening).await {
        return answer;
    }
    let _open = Open::new(shared);
    opening.await
}

type Requests = mpsc::Sender<StreamingPullRequest>;

async fn open(shared: &Shared) -> Result<(Streaming<StreamingPullResponse>, Requests), Status> {
    // Of bytes 0 means that there is no limit.
    let limit = |n: usize| match n {
        0 => 0,
        n => i64::try_from(n / shared.options.streams).unwrap_or(i64::MAX).max(1),
    };
    let first = StreamingPullRequest {
        subscription: shared.name.to_string(),
        stream_ack_deadline_seconds: shared.options.lease_seconds,
        client_id: shared.client_id.clone(),
        max_outstanding_messages: limit(shared.options.messages_held_max),
        max_outstanding_bytes: limit(shared.options.bytes_held_max),
        ..Default::default()
    };
    let (requests, queue) = mpsc::channel(2);
    if requests.send(first).await.is_err() {
        return Err(Status::internal("the stream of requests ended"));
    }
    let queue = futures::stream::unfold(queue, |mut q| async move { q.recv().await.map(|r| (r, q)) });
    let mut request = Request::new(queue);
    route(&mut request, &shared.target());
    let answers = shared.client.subscriber().streaming_pull(request).await?.into_inner();
    Ok((answers, requests))
}

/// Counts an open stream while it lives.
struct Open<'a>(&'a Shared);

impl<'a> Open<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.moved();
        shared.streams_open.fetch_add(1, Ordering::AcqRel);
        Open(shared)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.streams_open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Reads to the end of the stream; answers whether anything came, and why it ended.
async fn read(
    shared: &Arc<Shared>,
    mut answers: Streaming<StreamingPullResponse>,
    requests: Requests,
) -> (bool, Status) {
    let _open = Open::new(shared);
    let mut closing = shared.closing.subscribe();
    let mut requests = Some(requests);
    let mut got_some = false;
    loop {
        let answer = tokio::select! { biased;
            _ = closing.wait_for(|c| *c), if requests.is_some() => {
                // The service ends the stream too, behind what it has sent: that is then known, and given back.
                requests = None;
                continue;
            }
            answer = answers.message() => answer,
            () = clock::sleep(HEARTBEAT) => {
                if let Some(requests) = &requests {
                    // A full queue has a heartbeat in it.
                    drop(requests.try_send(StreamingPullRequest::default()));
                }
                continue;
            }
        };
        match answer {
            Ok(Some(answer)) => {
                got_some = true;
                take(shared, answer).await;
            }
            Ok(None) => return (got_some, Status::unavailable("the service ended the stream")),
            Err(status) => return (got_some, status),
        }
    }
}

async fn take(shared: &Arc<Shared>, answer: StreamingPullResponse) {
    if let Some(p) = &answer.subscription_properties {
        shared.exactly_once.store(p.exactly_once_delivery_enabled, Ordering::Relaxed);
    }
    let mut received = answer.received_messages;
    if received.is_empty() {
        return;
    }
    shared.moved();
    if shared.exactly_once.load(Ordering::Relaxed) {
        // Only a lease that was confirmed keeps others from getting the message.
        received = acks::confirmed(shared, received).await;
    }
    let (mut ids, mut messages) = (Vec::with_capacity(received.len()), Vec::with_capacity(received.len()));
    for r in received {
        if let Some(message) = r.message {
            ids.push(r.ack_id);
            messages.push(Arrival { message, delivery_attempt: r.delivery_attempt });
        }
    }
    if messages.is_empty() {
        return;
    }
    let at = clock::now();
    let batch = shared.leases().add(&ids, at);
    let mut closing = shared.closing.subscribe();
    tokio::select! { biased;
        // Nobody takes messages any more; their leases are given back.
        _ = closing.wait_for(|c| *c) => {}
        () = shared.queue.put(Deliveries { batch, at, messages }) => {}
    }
}

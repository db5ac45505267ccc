//! `StreamingPull`.
//!
//! One task a stream with two sides: requests (acks, deadlines) are handled as they come; messages are sent as long as
//! the client's limits and its HTTP/2 window let them. Neither waits for the other.

use super::acks::check_seconds;
use super::deliver::put_received;
use crate::clock;
use crate::hub::Hub;
use crate::limits::{
    ACK_DEADLINE_SECONDS_MAX, ACK_DEADLINE_SECONDS_MIN, RESPONSE_BYTES_MAX, RESPONSE_MESSAGES_MAX,
    STREAM_RESPONSES_MAX,
};
use crate::name::{self, Kind};
use crate::status::{invalid, out_of_range};
use crate::subscription::ack_id::AckId;
use crate::subscription::core::{Outcome, Taker};
use crate::subscription::flow::Flow;
use crate::subscription::lease::Holder;
use crate::subscription::rules::SECOND;
use crate::subscription::{Micros, Subscription};
use crate::tasks::spawn;
use bytes::Bytes;
use prost::Message;
use pubsub_proto::google::pubsub::v1 as pb;
use pubsub_proto::google::pubsub::v1::streaming_pull_response::{
    AcknowledgeConfirmation, ModifyAckDeadlineConfirmation, SubscriptionProperties,
};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::Stream;
use tonic::{Status, Streaming};

/// A stream with nothing to say sends an empty response after so long, so that its client (and what lies between) sees
/// that it lives.
const KEEPALIVE: Micros = 30 * SECOND;

/// The responses of a stream.
#[derive(Debug)]
pub(crate) struct Responses(mpsc::Receiver<Result<Bytes, Status>>);

impl Stream for Responses {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

/// Starts a stream.
pub(crate) fn start(hub: Arc<Hub>, requests: Streaming<Bytes>) -> Responses {
    let (sender, receiver) = mpsc::channel(STREAM_RESPONSES_MAX);
    spawn(async move {
        let ended = tokio::select! {
            ended = run(&hub, requests, &sender) => ended,
            () = sender.closed() => return,
        };
        if let Err(status) = ended {
            // A client that is gone needs no last word.
            let _gone = sender.send(Err(status)).await;
        }
    });
    Responses(receiver)
}

async fn run(
    hub: &Hub,
    mut requests: Streaming<Bytes>,
    sender: &mpsc::Sender<Result<Bytes, Status>>,
) -> Result<(), Status> {
    let Some(first) = next(&mut requests).await? else { return Ok(()) };
    name::parse(Kind::Subscription, &first.subscription)?;
    let subscription = hub.catalog.subscription(&first.subscription)?;
    subscription.check_usable()?;
    let deadline = first.stream_ack_deadline_seconds;
    check_stream_deadline(deadline)?;
    let holder =
        subscription.open_stream(Flow::new(first.max_outstanding_messages, first.max_outstanding_bytes));
    let stream = Open { subscription, holder, deadline: AtomicI32::new(deadline), sender };
    stream.handle(&first).await?;
    tokio::select! {
        ended = stream.receive(&mut requests) => ended,
        ended = stream.deliver(hub) => ended,
    }
}

fn check_stream_deadline(seconds: i32) -> Result<(), Status> {
    if seconds < ACK_DEADLINE_SECONDS_MIN {
        return Err(out_of_range(
            "stream_ack_deadline_seconds",
            seconds,
            "minimum",
            ACK_DEADLINE_SECONDS_MIN,
        ));
    }
    if seconds > ACK_DEADLINE_SECONDS_MAX {
        return Err(out_of_range(
            "stream_ack_deadline_seconds",
            seconds,
            "maximum",
            ACK_DEADLINE_SECONDS_MAX,
        ));
    }
    Ok(())
}

async fn next(requests: &mut Streaming<Bytes>) -> Result<Option<pb::StreamingPullRequest>, Status> {
    requests.message().await?.map(super::decode).transpose()
}

/// A stream whose first request was good.
struct Open<'a> {
    subscription: Arc<Subscription>,
    holder: Holder,
    deadline: AtomicI32,
    sender: &'a mpsc::Sender<Result<Bytes, Status>>,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.subscription.close_stream(self.holder);
    }
}

impl Open<'_> {
    /// Handles requests until the client ends its side.
    async fn receive(&self, requests: &mut Streaming<Bytes>) -> Result<(), Status> {
        while let Some(request) = next(requests).await? {
            if !request.subscription.is_empty() && request.subscription != self.subscription.name() {
                return Err(invalid("The subscription of a stream cannot be changed."));
            }
            if request.max_outstanding_messages != 0 || request.max_outstanding_bytes != 0 {
                return Err(invalid(
                    "Flow control settings can be set in the first request of a stream only.",
                ));
            }
            if request.stream_ack_deadline_seconds != 0 {
                check_stream_deadline(request.stream_ack_deadline_seconds)?;
                self.deadline.store(request.stream_ack_deadline_seconds, Ordering::Relaxed);
            }
            self.handle(&request).await?;
        }
        Ok(())
    }

    async fn handle(&self, request: &pb::StreamingPullRequest) -> Result<(), Status> {
        if request.modify_deadline_ack_ids.len() != request.modify_deadline_seconds.len() {
            return Err(invalid(
                "modify_deadline_ack_ids and modify_deadline_seconds must have the same number of elements.",
            ));
        }
        for seconds in &request.modify_deadline_seconds {
            check_seconds(*seconds)?;
        }
        // Only exactly-once subscriptions are told what became of their ids.
        let told = self.subscription.resource().enable_exactly_once_delivery;
        let mut response = pb::StreamingPullResponse::default();
        if !request.ack_ids.is_empty() {
            let ids: Vec<Option<AckId>> = request.ack_ids.iter().map(|id| AckId::parse(id)).collect();
            let outcomes = self.subscription.ack(&ids).await?;
            response.acknowledge_confirmation = told.then(|| {
                let (ack_ids, invalid_ack_ids) = split(&request.ack_ids, &outcomes);
                AcknowledgeConfirmation { ack_ids, invalid_ack_ids, ..Default::default() }
            });
        }
        if !request.modify_deadline_ack_ids.is_empty() {
            let ids = &request.modify_deadline_ack_ids;
            let pairs =
                ids.iter().map(|id| AckId::parse(id)).zip(request.modify_deadline_seconds.iter().copied());
            let outcomes = self.subscription.modify(pairs);
            response.modify_ack_deadline_confirmation = told.then(|| {
                let (ack_ids, invalid_ack_ids) = split(ids, &outcomes);
                ModifyAckDeadlineConfirmation { ack_ids, invalid_ack_ids, ..Default::default() }
            });
        }
        if response != pb::StreamingPullResponse::default() {
            self.send(response.encode_to_vec()).await;
        }
        Ok(())
    }

    /// Sends messages until the stream must end.
    async fn deliver(&self, hub: &Hub) -> Result<(), Status> {
        let mut stopping = hub.stopping.clone();
        let mut keepalive = 0;
        loop {
            if *stopping.borrow_and_update() {
                return Err(Status::unavailable("The broker is shutting down."));
            }
            let Ok(permit) = self.sender.reserve().await else { return Ok(()) };
            let mut waker = self.subscription.waker();
            let taker = Taker {
                holder: self.holder,
                ack_deadline: Micros::from(self.deadline.load(Ordering::Relaxed)) * SECOND,
                messages_max: RESPONSE_MESSAGES_MAX,
                bytes_max: RESPONSE_BYTES_MAX,
            };
            let (deliveries, due) = hub.take(&self.subscription, taker).await?;
            let now = clock::now();
            if !deliveries.is_empty() || now >= keepalive {
                let with_attempt = self.subscription.resource().dead_letter_policy.is_some();
                let mut bytes = Vec::new();
                put_received(&deliveries, with_attempt, &mut bytes);
                permit.send(Ok(self.complete(bytes)));
                keepalive = now + KEEPALIVE;
                continue;
            }
            drop(permit);
            let next = due.map_or(keepalive, |d| d.min(keepalive));
            tokio::select! {
                () = waker.wait(Some(next)) => {}
                _ = stopping.changed() => {}
            }
        }
    }

    async fn send(&self, bytes: Vec<u8>) {
        // Only a stream that has ended takes no more.
        let _gone = self.sender.send(Ok(self.complete(bytes))).await;
    }

    /// Adds the subscription's properties, which clients look for in every response.
    fn complete(&self, mut bytes: Vec<u8>) -> Bytes {
        let resource = self.subscription.resource();
        let properties = pb::StreamingPullResponse {
            subscription_properties: Some(SubscriptionProperties {
                exactly_once_delivery_enabled: resource.enable_exactly_once_delivery,
                message_ordering_enabled: resource.enable_message_ordering,
            }),
            ..Default::default()
        };
        bytes.extend(properties.encode_to_vec());
        bytes.into()
    }
}

/// The ids that were good, and those that were not.
fn split(ids: &[String], outcomes: &[Outcome]) -> (Vec<String>, Vec<String>) {
    let good =
        |o: Outcome| ids.iter().zip(outcomes).filter(|(_, is)| **is == o).map(|(id, _)| id.clone()).collect();
    (good(Outcome::Done), good(Outcome::Invalid))
}

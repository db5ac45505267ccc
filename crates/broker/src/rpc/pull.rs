//! `Pull`.

use super::deliver::put_received;
use crate::clock;
use crate::hub::Hub;
use crate::limits::{PULL_WAIT_MILLIS, RESPONSE_BYTES_MAX, RESPONSE_MESSAGES_MAX};
use crate::name::{self, Kind};
use crate::status::invalid;
use crate::subscription::core::{Delivery, Taker};
use crate::subscription::{Micros, Subscription};
use bytes::Bytes;
use pubsub_proto::google::pubsub::v1 as pb;
use std::sync::Arc;
use tonic::Status;

/// `Pull`, with the response encoded.
pub(crate) async fn pull(hub: &Hub, request: pb::PullRequest) -> Result<Bytes, Status> {
    let (subscription, deliveries) = take(hub, request).await?;
    let mut bytes = Vec::new();
    put_received(&deliveries, subscription.resource().dead_letter_policy.is_some(), &mut bytes);
    Ok(bytes.into())
}

/// Takes messages for one call: waits for the first, not for more.
pub(crate) async fn take(
    hub: &Hub,
    request: pb::PullRequest,
) -> Result<(Arc<Subscription>, Vec<Delivery>), Status> {
    name::parse(Kind::Subscription, &request.subscription)?;
    let subscription = hub.catalog.subscription(&request.subscription)?;
    let wanted = usize::try_from(request.max_messages).ok().filter(|n| *n > 0).ok_or_else(|| {
        invalid(format!("max_messages must be a positive number. You passed {}.", request.max_messages))
    })?;
    let taker = Taker {
        holder: subscription.new_holder(),
        ack_deadline: subscription.ack_deadline(),
        messages_max: wanted.min(RESPONSE_MESSAGES_MAX),
        bytes_max: RESPONSE_BYTES_MAX,
    };
    #[expect(deprecated, reason = "clients may still send it")]
    let wait = if request.return_immediately { 0 } else { PULL_WAIT_MILLIS };
    let until = clock::now() + Micros::try_from(wait).unwrap_or(0) * 1000;
    let mut stopping = hub.stopping.clone();
    loop {
        let mut waker = subscription.waker();
        let (deliveries, due) = hub.take(&subscription, taker).await?;
        if !deliveries.is_empty() || clock::now() >= until || *stopping.borrow() {
            return Ok((subscription, deliveries));
        }
        let next = due.map_or(until, |d| d.min(until));
        tokio::select! {
            () = waker.wait(Some(next)) => {}
            _ = stopping.changed() => {}
        }
    }
}

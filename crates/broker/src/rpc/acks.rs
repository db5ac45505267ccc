//! `Acknowledge` and `ModifyAckDeadline`.

use crate::hub::Hub;
use crate::limits::{ACK_DEADLINE_SECONDS_MAX, ACK_REQUEST_BYTES_MAX};
use crate::name::{self, Kind};
use crate::status::{ack_failures, invalid, out_of_range};
use crate::subscription::Subscription;
use crate::subscription::ack_id::AckId;
use crate::subscription::core::Outcome;
use pubsub_proto::google::pubsub::v1 as pb;
use std::sync::Arc;
use tonic::Status;

/// What `ErrorInfo` says of an ack id that is of no message that is out.
const INVALID_ACK_ID: &str = "PERMANENT_FAILURE_INVALID_ACK_ID";

/// `Acknowledge`.
pub(crate) async fn acknowledge(hub: &Hub, request: pb::AcknowledgeRequest) -> Result<(), Status> {
    let subscription = find(hub, &request.subscription, &request.ack_ids)?;
    let ids: Vec<Option<AckId>> = request.ack_ids.iter().map(|id| AckId::parse(id)).collect();
    let outcomes = subscription.ack(&ids).await?;
    answer(request.ack_ids, &outcomes)
}

/// `ModifyAckDeadline`.
pub(crate) async fn modify(hub: &Hub, request: pb::ModifyAckDeadlineRequest) -> Result<(), Status> {
    let subscription = find(hub, &request.subscription, &request.ack_ids)?;
    check_seconds(request.ack_deadline_seconds)?;
    let ids = request.ack_ids.iter().map(|id| (AckId::parse(id), request.ack_deadline_seconds));
    let outcomes = subscription.modify(ids);
    answer(request.ack_ids, &outcomes)
}

/// Checks the deadline of a message.
pub(crate) fn check_seconds(seconds: i32) -> Result<(), Status> {
    match seconds {
        0..=ACK_DEADLINE_SECONDS_MAX => Ok(()),
        ..0 => Err(out_of_range("ack_deadline_seconds", seconds, "minimum", 0)),
        _ => Err(out_of_range("ack_deadline_seconds", seconds, "maximum", ACK_DEADLINE_SECONDS_MAX)),
    }
}

fn find(hub: &Hub, name: &str, ids: &[String]) -> Result<Arc<Subscription>, Status> {
    name::parse(Kind::Subscription, name)?;
    let subscription = hub.catalog.subscription(name)?;
    if ids.is_empty() {
        return Err(invalid("No ack ids were specified."));
    }
    let bytes: usize = ids.iter().map(|id| id.len() + 2).sum();
    if bytes > ACK_REQUEST_BYTES_MAX {
        return Err(out_of_range("request_size", bytes, "maximum", ACK_REQUEST_BYTES_MAX));
    }
    Ok(subscription)
}

fn answer(ids: Vec<String>, outcomes: &[Outcome]) -> Result<(), Status> {
    let failed = ids.into_iter().zip(outcomes).filter(|(_, o)| **o == Outcome::Invalid);
    let mut failed = failed.map(|(id, _)| (id, INVALID_ACK_ID)).peekable();
    if failed.peek().is_none() { Ok(()) } else { Err(ack_failures(failed)) }
}

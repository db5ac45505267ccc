//! `Seek`.

use crate::clock::{self, Micros, micros_of, span_of};
use crate::error::status_of;
use crate::hub::Hub;
use crate::name::{self, Kind};
use crate::status::invalid;
use crate::store::StoreError;
use crate::subscription::Subscription;
use crate::subscription::acked::AckSet;
use crate::subscription::rules::retention_of;
use pubsub_proto::google::pubsub::v1 as pb;
use pubsub_proto::google::pubsub::v1::seek_request::Target;
use tonic::Status;

/// `Seek`.
pub(crate) async fn seek(hub: &Hub, request: pb::SeekRequest) -> Result<pb::SeekResponse, Status> {
    name::parse(Kind::Subscription, &request.subscription)?;
    let subscription = hub.catalog.subscription(&request.subscription)?;
    subscription.check_usable()?;
    match request.target {
        None => return Err(invalid("A seek needs a time or a snapshot.")),
        Some(Target::Time(time)) => {
            let now = clock::now();
            let at = micros_of(&time);
            let (to, kept_from) =
                tokio::task::block_in_place(|| places(hub, &subscription, at, now)).map_err(status_of)?;
            subscription.seek(|acked| to_offset(acked, to, kept_from)).await?;
        }
        Some(Target::Snapshot(snapshot)) => {
            name::parse(Kind::Snapshot, &snapshot)?;
            let record = hub.catalog.snapshot(&snapshot)?;
            if record.log != subscription.feed().number() {
                return Err(invalid(format!(
                    "The snapshot's topic must be the subscription's. The snapshot is of {}.",
                    record.snapshot.topic
                )));
            }
            let acked = AckSet::decode(&record.acked)
                .ok_or_else(|| Status::data_loss(format!("The snapshot {snapshot} cannot be read.")))?;
            subscription.seek(|_| acked).await?;
        }
    }
    Ok(pb::SeekResponse {})
}

/// The first message of a time, and from where on acknowledged messages are kept, if they are.
fn places(
    hub: &Hub,
    subscription: &Subscription,
    at: Micros,
    now: Micros,
) -> Result<(u64, Option<u64>), StoreError> {
    let log = subscription.feed().log();
    let resource = subscription.resource();
    let by_subscription = if resource.retain_acked_messages {
        Some(log.first_at(now - retention_of(&resource))?.max(subscription.created_at()))
    } else {
        None
    };
    let topic = hub.catalog.topic(&resource.topic).ok().map(|t| t.resource());
    let by_topic = match topic.as_ref().and_then(|t| t.message_retention_duration.as_ref()) {
        Some(span) => Some(log.first_at(now - span_of(span))?),
        None => None,
    };
    let kept_from = [by_subscription, by_topic].into_iter().flatten().min();
    Ok((log.first_at(at)?, kept_from))
}

/// What is acknowledged after a seek to `to`: all before it, and behind it what was acknowledged and is not kept.
fn to_offset(acked: &AckSet, to: u64, kept_from: Option<u64>) -> AckSet {
    let mut set = acked.clone();
    if let Some(kept_from) = kept_from {
        set.cut(kept_from);
    }
    set.insert_range(0, to);
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kept_stays_acknowledged() {
        let mut acked = AckSet::below(10);
        acked.insert(12);
        assert_eq!(to_offset(&acked, 5, None), acked);
        assert_eq!(to_offset(&acked, 5, Some(0)), AckSet::below(5));
        assert_eq!(to_offset(&acked, 5, Some(8)), AckSet::below(8));
        assert_eq!(to_offset(&acked, 20, Some(8)), AckSet::below(20));
    }
}

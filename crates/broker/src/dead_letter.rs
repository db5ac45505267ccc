//! Dead letters: messages that were delivered too often go to another topic.

use crate::clock;
use crate::hub::Hub;
use crate::message;
use crate::subscription::Subscription;
use crate::subscription::ack_id::AckId;
use crate::subscription::core::Delivery;
use tonic::Status;

/// Messages of one publish to the dead-letter topic.
const CHUNK_MESSAGES_MAX: usize = 500;

/// Sends messages to the dead-letter topic and acknowledges them. What cannot be sent comes again at the deadline of
/// its lease, and is tried then.
pub(crate) async fn forward(hub: &Hub, subscription: &Subscription, dead: Vec<Delivery>) {
    for chunk in dead.chunks(CHUNK_MESSAGES_MAX) {
        if let Err(status) = forward_chunk(hub, subscription, chunk).await {
            (hub.report)(&format!(
                "{} dead letters of {} wait, since they cannot be sent: {}",
                chunk.len(),
                subscription.name(),
                status.message()
            ));
        }
    }
}

async fn forward_chunk(hub: &Hub, subscription: &Subscription, dead: &[Delivery]) -> Result<(), Status> {
    let resource = subscription.resource();
    let policy = resource
        .dead_letter_policy
        .as_ref()
        .ok_or_else(|| Status::failed_precondition("the subscription has no dead-letter policy any more"))?;
    let topic = hub.catalog.topic(&policy.dead_letter_topic)?;
    let letters: Vec<Vec<u8>> = dead.iter().map(|d| letter(subscription.name(), d)).collect();
    let letters: Vec<&[u8]> = letters.iter().map(Vec::as_slice).collect();
    topic.feed().publish(hub.store(), &letters, clock::now()).await?;
    let ids: Vec<Option<AckId>> = dead.iter().map(|d| Some(d.ack_id)).collect();
    subscription.ack(&ids).await?;
    Ok(())
}

/// The message with attributes that say where it comes from, as Google names them.
fn letter(subscription: &str, dead: &Delivery) -> Vec<u8> {
    let mut parts = subscription.split('/');
    let (project, id) = (parts.nth(1).unwrap_or_default(), parts.nth(1).unwrap_or_default());
    let published = message::publish_time(&dead.payload).map(clock::rfc3339).unwrap_or_default();
    let attempts = dead.attempt.saturating_sub(1).to_string();
    let mut letter = Vec::with_capacity(dead.payload.len() + 256);
    letter.extend_from_slice(&dead.payload);
    for (key, value) in [
        ("CloudPubSubDeadLetterSourceDeliveryCount", attempts.as_str()),
        ("CloudPubSubDeadLetterSourceSubscription", id),
        ("CloudPubSubDeadLetterSourceSubscriptionProject", project),
        ("CloudPubSubDeadLetterSourceTopicPublishTime", &published),
    ] {
        message::put_attribute(key, value, &mut letter);
    }
    letter
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use pubsub_proto::google::pubsub::v1::PubsubMessage;

    #[test]
    fn a_letter_says_where_it_comes_from() {
        let message = PubsubMessage {
            data: "x".into(),
            attributes: [("a".to_owned(), "b".to_owned())].into(),
            publish_time: Some(clock::timestamp(1_700_000_000_500_000)),
            ..Default::default()
        };
        let dead = Delivery {
            ack_id: AckId { incarnation: 1, offset: 1, lease: 1 },
            attempt: 6,
            payload: message.encode_to_vec().into(),
        };
        let letter = PubsubMessage::decode(&letter("projects/p/subscriptions/s", &dead)[..]).unwrap();
        let attribute = |name: &str| letter.attributes.get(name).map(String::as_str);
        assert_eq!(attribute("a"), Some("b"));
        assert_eq!(attribute("CloudPubSubDeadLetterSourceDeliveryCount"), Some("5"));
        assert_eq!(attribute("CloudPubSubDeadLetterSourceSubscription"), Some("s"));
        assert_eq!(attribute("CloudPubSubDeadLetterSourceSubscriptionProject"), Some("p"));
        assert_eq!(attribute("CloudPubSubDeadLetterSourceTopicPublishTime"), Some("2023-11-14T22:13:20.5Z"));
    }
}

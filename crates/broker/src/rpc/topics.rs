//! Topics.

use super::page::page;
use super::{check, mask};
use crate::catalog::DELETED_TOPIC;
use crate::catalog::records::{Changes, TopicRecord};
use crate::error::status_of;
use crate::hub::Hub;
use crate::name::{self, Kind};
use crate::status::{exists, invalid};
use crate::subscription::acked::AckSet;
use pubsub_proto::google::pubsub::v1 as pb;
use tonic::Status;

/// `CreateTopic`.
pub(crate) async fn create(hub: &Hub, mut topic: pb::Topic) -> Result<pb::Topic, Status> {
    name::check_new(Kind::Topic, &topic.name)?;
    check::topic(hub, &topic)?;
    topic.state = pb::topic::State::Active.into();
    // Tags are for the request only.
    topic.tags.clear();
    let catalog = &hub.catalog;
    let mut change = catalog.change().await;
    if catalog.topic(&topic.name).is_ok() {
        return Err(exists(&topic.name));
    }
    let record = TopicRecord { topic, log: catalog.new_number() };
    catalog.commit(&mut change, Changes::default().put(&record.topic.name, &record)).await?;
    let topic = catalog.add_topic(record).map_err(status_of)?;
    Ok(pb::Topic::clone(&topic.resource()))
}

/// `UpdateTopic`.
pub(crate) async fn update(hub: &Hub, request: pb::UpdateTopicRequest) -> Result<pb::Topic, Status> {
    let new = request.topic.ok_or_else(|| invalid("The request has no topic."))?;
    name::parse(Kind::Topic, &new.name)?;
    let catalog = &hub.catalog;
    let mut change = catalog.change().await;
    let topic = catalog.topic(&new.name)?;
    let resource = mask::topic(&topic.resource(), new, request.update_mask)?;
    check::topic(hub, &resource)?;
    catalog
        .commit(&mut change, Changes::default().put(&resource.name, &topic.record(resource.clone())))
        .await?;
    topic.set_resource(resource.clone());
    Ok(resource)
}

/// `GetTopic`.
pub(crate) async fn get(hub: &Hub, request: pb::GetTopicRequest) -> Result<pb::Topic, Status> {
    name::parse(Kind::Topic, &request.topic)?;
    Ok(pb::Topic::clone(&*hub.catalog.topic(&request.topic)?.resource()))
}

/// `DeleteTopic`: its subscriptions stay, with what they have not acknowledged.
pub(crate) async fn delete(hub: &Hub, request: pb::DeleteTopicRequest) -> Result<(), Status> {
    name::parse(Kind::Topic, &request.topic)?;
    let catalog = &hub.catalog;
    let mut change = catalog.change().await;
    let topic = catalog.topic(&request.topic)?;
    let mut changes = Changes::default().delete(&request.topic);
    let mut orphans = Vec::new();
    for subscription in catalog.subscriptions() {
        let mut resource = pb::Subscription::clone(&subscription.resource());
        if resource.topic == request.topic {
            DELETED_TOPIC.clone_into(&mut resource.topic);
            changes = changes.put(subscription.name(), &subscription.record(resource.clone()));
            orphans.push((subscription, resource));
        }
    }
    catalog.commit(&mut change, changes).await?;
    catalog.remove_topic(&request.topic);
    for (subscription, resource) in orphans {
        subscription.set_resource(resource);
    }
    catalog.release(topic.feed().number()).map_err(status_of)
}

/// `ListTopics`.
pub(crate) async fn list(
    hub: &Hub,
    request: pb::ListTopicsRequest,
) -> Result<pb::ListTopicsResponse, Status> {
    let prefix = format!("projects/{}/", name::project(&request.project)?);
    let topics =
        hub.catalog.topics().into_iter().map(|t| t.resource()).filter(|t| t.name.starts_with(&prefix));
    let (topics, next_page_token) = page(topics, |t| &t.name, request.page_size, &request.page_token)?;
    Ok(pb::ListTopicsResponse {
        topics: topics.iter().map(|t| pb::Topic::clone(t)).collect(),
        next_page_token,
    })
}

/// `ListTopicSubscriptions`.
pub(crate) async fn list_subscriptions(
    hub: &Hub,
    request: pb::ListTopicSubscriptionsRequest,
) -> Result<pb::ListTopicSubscriptionsResponse, Status> {
    name::parse(Kind::Topic, &request.topic)?;
    hub.catalog.topic(&request.topic)?;
    let all = hub.catalog.subscriptions();
    let attached = all.iter().filter(|s| {
        let resource = s.resource();
        resource.topic == request.topic && !resource.detached
    });
    let (page, next_page_token) = page(attached, |s| s.name(), request.page_size, &request.page_token)?;
    let subscriptions = page.into_iter().map(|s| s.name().to_owned()).collect();
    Ok(pb::ListTopicSubscriptionsResponse { subscriptions, next_page_token })
}

/// `DetachSubscription`: it receives nothing any more and loses what it had.
pub(crate) async fn detach(
    hub: &Hub,
    request: pb::DetachSubscriptionRequest,
) -> Result<pb::DetachSubscriptionResponse, Status> {
    name::parse(Kind::Subscription, &request.subscription)?;
    let catalog = &hub.catalog;
    let mut change = catalog.change().await;
    let subscription = catalog.subscription(&request.subscription)?;
    let mut resource = pb::Subscription::clone(&subscription.resource());
    resource.detached = true;
    let record = subscription.record(resource.clone());
    catalog.commit(&mut change, Changes::default().put(subscription.name(), &record)).await?;
    subscription.set_resource(resource);
    let end = subscription.feed().log().bounds().next;
    subscription.seek(|_| AckSet::below(end)).await?;
    Ok(pb::DetachSubscriptionResponse {})
}

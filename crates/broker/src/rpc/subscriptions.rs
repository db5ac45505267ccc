//! Subscriptions.

use super::page::page;
use super::{check, mask};
use crate::catalog::records::{Changes, SubscriptionRecord};
use crate::error::status_of;
use crate::hub::Hub;
use crate::name::{self, Kind};
use crate::status::{exists, invalid};
use crate::subscription::Subscription;
use crate::topic::Topic;
use pubsub_proto::google::pubsub::v1 as pb;
use std::sync::Arc;
use tonic::Status;

/// `CreateSubscription`.
pub(crate) async fn create(
    hub: &Hub,
    mut subscription: pb::Subscription,
) -> Result<pb::Subscription, Status> {
    name::check_new(Kind::Subscription, &subscription.name)?;
    name::parse(Kind::Topic, &subscription.topic)?;
    check::subscription(hub, &mut subscription)?;
    subscription.tags.clear();
    subscription.detached = false;
    let catalog = &hub.catalog;
    let mut change = catalog.change().await;
    let topic = catalog.topic(&subscription.topic)?;
    if catalog.subscription(&subscription.name).is_ok() {
        return Err(exists(&subscription.name));
    }
    let record = SubscriptionRecord {
        subscription,
        log: topic.feed().number(),
        number: catalog.new_number(),
        created_at: topic.feed().log().bounds().next,
    };
    catalog.commit(&mut change, Changes::default().put(&record.subscription.name, &record)).await?;
    let subscription = catalog.add_subscription(record).map_err(status_of)?;
    crate::push::follow(hub, &subscription);
    Ok(shown(hub, &subscription))
}

/// A subscription as clients see it: with what its topic says.
fn shown(hub: &Hub, subscription: &Subscription) -> pb::Subscription {
    let mut resource = pb::Subscription::clone(&subscription.resource());
    let topic = hub.catalog.topic(&resource.topic).ok();
    resource.topic_message_retention_duration =
        topic.and_then(|t: Arc<Topic>| t.resource().message_retention_duration);
    resource
}

/// `UpdateSubscription`.
pub(crate) async fn update(
    hub: &Hub,
    request: pb::UpdateSubscriptionRequest,
) -> Result<pb::Subscription, Status> {
    let new = request.subscription.ok_or_else(|| invalid("The request has no subscription."))?;
    change(hub, &new.name.clone(), |old| mask::subscription(old, new, request.update_mask)).await
}

/// `ModifyPushConfig`.
pub(crate) async fn modify_push_config(
    hub: &Hub,
    request: pb::ModifyPushConfigRequest,
) -> Result<(), Status> {
    let config = request.push_config.unwrap_or_default();
    change(hub, &request.subscription, |old| {
        Ok(pb::Subscription { push_config: Some(config), ..old.clone() })
    })
    .await
    .map(drop)
}

async fn change(
    hub: &Hub,
    name: &str,
    make: impl FnOnce(&pb::Subscription) -> Result<pb::Subscription, Status>,
) -> Result<pb::Subscription, Status> {
    name::parse(Kind::Subscription, name)?;
    let catalog = &hub.catalog;
    let mut change = catalog.change().await;
    let subscription = catalog.subscription(name)?;
    let mut resource = make(&subscription.resource())?;
    check::subscription(hub, &mut resource)?;
    catalog.commit(&mut change, Changes::default().put(name, &subscription.record(resource.clone()))).await?;
    subscription.set_resource(resource);
    crate::push::follow(hub, &subscription);
    Ok(shown(hub, &subscription))
}

/// `GetSubscription`.
pub(crate) async fn get(hub: &Hub, request: pb::GetSubscriptionRequest) -> Result<pb::Subscription, Status> {
    name::parse(Kind::Subscription, &request.subscription)?;
    Ok(shown(hub, &*hub.catalog.subscription(&request.subscription)?))
}

/// `ListSubscriptions`.
pub(crate) async fn list(
    hub: &Hub,
    request: pb::ListSubscriptionsRequest,
) -> Result<pb::ListSubscriptionsResponse, Status> {
    let prefix = format!("projects/{}/", name::project(&request.project)?);
    let all = hub.catalog.subscriptions();
    let ours = all.iter().filter(|s| s.name().starts_with(&prefix));
    let (page, next_page_token) = page(ours, |s| s.name(), request.page_size, &request.page_token)?;
    let subscriptions = page.into_iter().map(|s| shown(hub, s)).collect();
    Ok(pb::ListSubscriptionsResponse { subscriptions, next_page_token })
}

/// `DeleteSubscription`.
pub(crate) async fn delete(hub: &Hub, request: pb::DeleteSubscriptionRequest) -> Result<(), Status> {
    name::parse(Kind::Subscription, &request.subscription)?;
    let catalog = &hub.catalog;
    let mut change = catalog.change().await;
    let subscription = catalog.subscription(&request.subscription)?;
    catalog.commit(&mut change, Changes::default().delete(&request.subscription)).await?;
    subscription.set_deleted();
    catalog.remove_subscription(&subscription).map_err(status_of)
}

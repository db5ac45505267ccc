//! Subscriptions.

use super::page::page;
use crate::catalog::records::{Changes, SubscriptionRecord};
use crate::error::status_of;
use crate::hub::Hub;
use crate::limits;
use crate::name::{self, Kind};
use crate::status::exists;
use pubsub_proto::google::pubsub::v1 as pb;
use tonic::Status;

/// `CreateSubscription`.
pub async fn create(hub: &Hub, mut subscription: pb::Subscription) -> Result<pb::Subscription, Status> {
    name::check_new(Kind::Subscription, &subscription.name)?;
    name::parse(Kind::Topic, &subscription.topic)?;
    if subscription.ack_deadline_seconds == 0 {
        subscription.ack_deadline_seconds = limits::ACK_DEADLINE_SECONDS_MIN;
    }
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
    Ok(pb::Subscription::clone(&subscription.resource()))
}

/// `GetSubscription`.
pub async fn get(hub: &Hub, request: pb::GetSubscriptionRequest) -> Result<pb::Subscription, Status> {
    name::parse(Kind::Subscription, &request.subscription)?;
    Ok(pb::Subscription::clone(&*hub.catalog.subscription(&request.subscription)?.resource()))
}

/// `ListSubscriptions`.
pub async fn list(
    hub: &Hub,
    request: pb::ListSubscriptionsRequest,
) -> Result<pb::ListSubscriptionsResponse, Status> {
    let prefix = format!("projects/{}/", name::project(&request.project)?);
    let all = hub.catalog.subscriptions();
    let ours = all.iter().filter(|s| s.name().starts_with(&prefix));
    let (page, next_page_token) = page(ours, |s| s.name(), request.page_size, &request.page_token)?;
    let subscriptions = page.into_iter().map(|s| pb::Subscription::clone(&s.resource())).collect();
    Ok(pb::ListSubscriptionsResponse { subscriptions, next_page_token })
}

/// `DeleteSubscription`.
pub async fn delete(hub: &Hub, request: pb::DeleteSubscriptionRequest) -> Result<(), Status> {
    name::parse(Kind::Subscription, &request.subscription)?;
    let catalog = &hub.catalog;
    let mut change = catalog.change().await;
    let subscription = catalog.subscription(&request.subscription)?;
    catalog.commit(&mut change, Changes::default().delete(&request.subscription)).await?;
    subscription.set_deleted();
    catalog.remove_subscription(&subscription).map_err(status_of)
}

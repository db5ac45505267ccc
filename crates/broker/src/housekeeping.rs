//! What is done now and then: messages that nobody needs are removed, snapshots expire.

use crate::catalog::is_expired;
use crate::clock::{self, Micros, span_of};
use crate::feed::Feed;
use crate::hub::Hub;
use crate::rpc::snapshots;
use crate::store::StoreError;
use crate::subscription::acked::AckSet;
use crate::subscription::rules::retention_of;
use crate::tasks::stopped;
use std::sync::Arc;
use std::time::Duration;

/// How often.
const INTERVAL: Duration = Duration::from_secs(5);

/// Runs until the broker stops.
pub(crate) async fn run(hub: Arc<Hub>) {
    let mut stopping = hub.stopping.clone();
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = stopped(&mut stopping) => return,
        }
        let now = clock::now();
        expire_snapshots(&hub, now).await;
        for feed in hub.catalog.feeds() {
            // No snapshot is made while it is decided what is needed.
            let _change = hub.catalog.change().await;
            // Files are read and removed.
            if let Err(e) = tokio::task::block_in_place(|| trim(&hub, &feed, now)) {
                (hub.report)(&format!("cannot remove old messages of {}: {e}", feed.log().id()));
            }
        }
    }
}

async fn expire_snapshots(hub: &Hub, now: Micros) {
    for snapshot in hub.catalog.snapshots().iter().filter(|s| is_expired(s, now)) {
        let mut change = hub.catalog.change().await;
        if let Err(status) = snapshots::remove(hub, &mut change, &snapshot.snapshot.name).await {
            (hub.report)(&format!("cannot remove {}: {}", snapshot.snapshot.name, status.message()));
        }
    }
}

/// Removes the messages of a log that no subscription, snapshot or retention needs.
fn trim(hub: &Hub, feed: &Feed, now: Micros) -> Result<(), StoreError> {
    let log = feed.log();
    // Before anything else: what is published from here on is needed by whoever is created meanwhile.
    let mut needed = log.bounds().next;
    for subscription in hub.catalog.subscriptions() {
        if subscription.feed().number() != feed.number() {
            continue;
        }
        let resource = subscription.resource();
        if resource.detached {
            continue;
        }
        let kept = log.first_at(now - retention_of(&resource))?;
        let floor = subscription.keep_from(kept)?;
        needed = needed.min(floor);
        if resource.retain_acked_messages {
            needed = needed.min(kept.max(subscription.created_at()));
        }
    }
    for topic in hub.catalog.topics().iter().filter(|t| t.feed().number() == feed.number()) {
        if let Some(span) = &topic.resource().message_retention_duration {
            needed = needed.min(log.first_at(now - span_of(span))?);
        }
    }
    for snapshot in hub.catalog.snapshots().iter().filter(|s| s.log == feed.number()) {
        needed = needed.min(AckSet::decode(&snapshot.acked).map_or(0, |a| a.floor()));
    }
    if needed > log.bounds().first {
        log.trim(needed)?;
    }
    Ok(())
}

//! What is done now and then: messages that nobody needs are removed, snapshots expire, logs whose disk failed are tried
//! again.

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
        if let Err(e) = hub.catalog.change().await.log().reopen() {
            (hub.report)(&format!("cannot write the catalog: {e}"));
        }
        expire_snapshots(&hub, now).await;
        for feed in hub.catalog.feeds() {
            // No snapshot is made while it is decided what is needed.
            let _change = hub.catalog.change().await;
            // Files are read and removed.
            let kept = tokio::task::block_in_place(|| {
                reopen(&hub, &feed)?;
                trim(&hub, &feed, now)
            });
            if let Err(e) = kept {
                (hub.report)(&format!("cannot write, or remove old messages of {}: {e}", feed.log().id()));
            }
        }
    }
}

/// Lets logs take writes again whose disk failed and works again; does nothing to others.
fn reopen(hub: &Hub, feed: &Feed) -> Result<(), StoreError> {
    feed.log().reopen()?;
    hub.catalog
        .subscriptions()
        .iter()
        .filter(|s| s.feed().number() == feed.number())
        .try_for_each(|s| s.reopen())
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

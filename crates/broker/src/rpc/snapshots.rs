//! Snapshots: what a subscription had acknowledged, kept for a later `Seek`.

use super::{check, mask, page::page};
use crate::catalog::is_expired;
use crate::catalog::records::{Changes, SnapshotRecord};
use crate::clock;
use crate::error::status_of;
use crate::hub::Hub;
use crate::limits::{SNAPSHOT_SECONDS_MAX, SNAPSHOT_SECONDS_MIN};
use crate::name::{self, Kind};
use crate::status::{exists, invalid, not_found};
use crate::subscription::rules::SECOND;
use pubsub_proto::google::pubsub::v1 as pb;
use std::sync::Arc;
use tonic::Status;

/// `CreateSnapshot`.
pub(crate) async fn create(hub: &Hub, request: pb::CreateSnapshotRequest) -> Result<pb::Snapshot, Status> {
    let (project, _) = name::parse(Kind::Subscription, &request.subscription)?;
    let catalog = &hub.catalog;
    let name = if request.name.is_empty() {
        format!("projects/{project}/snapshots/snapshot-{}", catalog.new_number())
    } else {
        request.name.clone()
    };
    name::check_new(Kind::Snapshot, &name)?;
    check::labels(&request.labels)?;
    let mut change = catalog.change().await;
    let subscription = catalog.subscription(&request.subscription)?;
    subscription.check_usable()?;
    if find(hub, &name).is_ok() {
        return Err(exists(&name));
    }
    let acked = subscription.acked();
    let log = subscription.feed().log();
    let now = clock::now();
    let page = tokio::task::block_in_place(|| log.read(acked.floor(), 1)).map_err(status_of)?;
    let oldest = page.records.first().map_or(now, |r| r.time);
    let expires = oldest + SNAPSHOT_SECONDS_MAX * SECOND;
    if expires < now + SNAPSHOT_SECONDS_MIN * SECOND {
        return Err(Status::failed_precondition(
            "The snapshot would expire in less than an hour: the subscription's oldest message is almost 7 days old.",
        ));
    }
    let mut bytes = Vec::new();
    acked.encode(&mut bytes);
    let snapshot = pb::Snapshot {
        name,
        topic: subscription.resource().topic.clone(),
        expire_time: Some(clock::timestamp(expires)),
        labels: request.labels,
    };
    let record = SnapshotRecord { snapshot, log: subscription.feed().number(), acked: bytes };
    catalog.commit(&mut change, Changes::default().put(&record.snapshot.name, &record)).await?;
    catalog.add_snapshot(record.clone());
    Ok(record.snapshot)
}

fn find(hub: &Hub, name: &str) -> Result<Arc<SnapshotRecord>, Status> {
    name::parse(Kind::Snapshot, name)?;
    let snapshot = hub.catalog.snapshot(name)?;
    if is_expired(&snapshot, clock::now()) { Err(not_found(name)) } else { Ok(snapshot) }
}

/// `GetSnapshot`.
pub(crate) async fn get(hub: &Hub, request: pb::GetSnapshotRequest) -> Result<pb::Snapshot, Status> {
    Ok(find(hub, &request.snapshot)?.snapshot.clone())
}

/// `ListSnapshots`.
pub(crate) async fn list(
    hub: &Hub,
    request: pb::ListSnapshotsRequest,
) -> Result<pb::ListSnapshotsResponse, Status> {
    let prefix = format!("projects/{}/", name::project(&request.project)?);
    let now = clock::now();
    let all = hub.catalog.snapshots();
    let ours = all.iter().filter(|s| s.snapshot.name.starts_with(&prefix) && !is_expired(s, now));
    let (page, next_page_token) = page(ours, |s| &s.snapshot.name, request.page_size, &request.page_token)?;
    Ok(pb::ListSnapshotsResponse {
        snapshots: page.into_iter().map(|s| s.snapshot.clone()).collect(),
        next_page_token,
    })
}

/// `ListTopicSnapshots`.
pub(crate) async fn list_of_topic(
    hub: &Hub,
    request: pb::ListTopicSnapshotsRequest,
) -> Result<pb::ListTopicSnapshotsResponse, Status> {
    name::parse(Kind::Topic, &request.topic)?;
    hub.catalog.topic(&request.topic)?;
    let now = clock::now();
    let all = hub.catalog.snapshots();
    let ours = all.iter().filter(|s| s.snapshot.topic == request.topic && !is_expired(s, now));
    let (page, next_page_token) = page(ours, |s| &s.snapshot.name, request.page_size, &request.page_token)?;
    let snapshots = page.into_iter().map(|s| s.snapshot.name.clone()).collect();
    Ok(pb::ListTopicSnapshotsResponse { snapshots, next_page_token })
}

/// `UpdateSnapshot`.
pub(crate) async fn update(hub: &Hub, request: pb::UpdateSnapshotRequest) -> Result<pb::Snapshot, Status> {
    let new = request.snapshot.ok_or_else(|| invalid("The request has no snapshot."))?;
    let mut change = hub.catalog.change().await;
    let old = find(hub, &new.name)?;
    let snapshot = mask::snapshot(&old.snapshot, &new, request.update_mask)?;
    check::labels(&snapshot.labels)?;
    let record = SnapshotRecord { snapshot, ..SnapshotRecord::clone(&old) };
    hub.catalog.commit(&mut change, Changes::default().put(&new.name, &record)).await?;
    hub.catalog.add_snapshot(record.clone());
    Ok(record.snapshot)
}

/// `DeleteSnapshot`.
pub(crate) async fn delete(hub: &Hub, request: pb::DeleteSnapshotRequest) -> Result<(), Status> {
    let mut change = hub.catalog.change().await;
    find(hub, &request.snapshot)?;
    remove(hub, &mut change, &request.snapshot).await
}

/// Takes a snapshot away, whether it has expired or not.
pub(crate) async fn remove(
    hub: &Hub,
    change: &mut crate::catalog::Change<'_>,
    name: &str,
) -> Result<(), Status> {
    hub.catalog.commit(change, Changes::default().delete(name)).await?;
    hub.catalog.remove_snapshot(name).map_err(status_of)
}

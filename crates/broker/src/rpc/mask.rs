//! Field masks: which fields of a resource an update changes.

use crate::status::invalid;
use prost_types::FieldMask;
use pubsub_proto::google::pubsub::v1 as pb;
use tonic::Status;

/// The refusal of a field whose feature the broker does not have.
pub(crate) fn unsupported(field: &str) -> Status {
    Status::unimplemented(format!("The broker has no support for `{field}`."))
}

/// The paths of a mask, in snake case.
fn paths(mask: Option<FieldMask>) -> Result<Vec<String>, Status> {
    let paths = mask.map(|m| m.paths).unwrap_or_default();
    if paths.is_empty() {
        return Err(invalid(
            "The update_mask in the request must be set, and must contain a non-empty paths list.",
        ));
    }
    Ok(paths.iter().flat_map(|p| p.split(',')).map(|p| snake(p.trim())).collect())
}

/// `ackDeadlineSeconds` as `ack_deadline_seconds`.
fn snake(path: &str) -> String {
    let mut snake = String::with_capacity(path.len() + 4);
    for c in path.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

fn unknown(path: &str, what: &str) -> Status {
    invalid(format!(
        "Invalid update_mask provided in the request: `{path}` is no field of a {what} that can be changed."
    ))
}

/// A topic as an update makes it.
pub(crate) fn topic(old: &pb::Topic, new: pb::Topic, mask: Option<FieldMask>) -> Result<pb::Topic, Status> {
    let mut topic = old.clone();
    for path in paths(mask)? {
        match path.as_str() {
            "labels" => topic.labels.clone_from(&new.labels),
            "message_retention_duration" => topic.message_retention_duration = new.message_retention_duration,
            "message_storage_policy" => topic.message_storage_policy.clone_from(&new.message_storage_policy),
            "kms_key_name" => topic.kms_key_name.clone_from(&new.kms_key_name),
            "schema_settings" => topic.schema_settings.clone_from(&new.schema_settings),
            "ingestion_data_source_settings" => {
                topic.ingestion_data_source_settings.clone_from(&new.ingestion_data_source_settings);
            }
            "message_transforms" => topic.message_transforms.clone_from(&new.message_transforms),
            path => {
                let new = new.schema_settings.clone().unwrap_or_default();
                let old = topic.schema_settings.get_or_insert_default();
                match path {
                    "schema_settings.schema" => old.schema = new.schema,
                    "schema_settings.encoding" => old.encoding = new.encoding,
                    "schema_settings.first_revision_id" => old.first_revision_id = new.first_revision_id,
                    "schema_settings.last_revision_id" => old.last_revision_id = new.last_revision_id,
                    _ => return Err(unknown(path, "topic")),
                }
            }
        }
    }
    Ok(topic)
}

/// A subscription as an update makes it.
pub(crate) fn subscription(
    old: &pb::Subscription,
    new: pb::Subscription,
    mask: Option<FieldMask>,
) -> Result<pb::Subscription, Status> {
    let mut subscription = old.clone();
    let s = &mut subscription;
    for path in paths(mask)? {
        match path.as_str() {
            "ack_deadline_seconds" => s.ack_deadline_seconds = new.ack_deadline_seconds,
            "push_config" => s.push_config.clone_from(&new.push_config),
            "retain_acked_messages" => s.retain_acked_messages = new.retain_acked_messages,
            "message_retention_duration" => s.message_retention_duration = new.message_retention_duration,
            "labels" => s.labels.clone_from(&new.labels),
            "expiration_policy" | "expiration_policy.ttl" => s.expiration_policy = new.expiration_policy,
            "dead_letter_policy" => s.dead_letter_policy.clone_from(&new.dead_letter_policy),
            "retry_policy" => s.retry_policy = new.retry_policy,
            "enable_exactly_once_delivery" => {
                s.enable_exactly_once_delivery = new.enable_exactly_once_delivery
            }
            "bigquery_config" | "cloud_storage_config" | "bigtable_config" | "message_transforms" => {
                return Err(unsupported(&path));
            }
            path => part_of_subscription(s, &new, path)?,
        }
    }
    Ok(subscription)
}

fn part_of_subscription(s: &mut pb::Subscription, new: &pb::Subscription, path: &str) -> Result<(), Status> {
    let retry = new.retry_policy.unwrap_or_default();
    let dead = new.dead_letter_policy.clone().unwrap_or_default();
    let push = new.push_config.clone().unwrap_or_default();
    match path {
        "retry_policy.minimum_backoff" => {
            s.retry_policy.get_or_insert_default().minimum_backoff = retry.minimum_backoff;
        }
        "retry_policy.maximum_backoff" => {
            s.retry_policy.get_or_insert_default().maximum_backoff = retry.maximum_backoff;
        }
        "dead_letter_policy.dead_letter_topic" => {
            s.dead_letter_policy.get_or_insert_default().dead_letter_topic = dead.dead_letter_topic;
        }
        "dead_letter_policy.max_delivery_attempts" => {
            s.dead_letter_policy.get_or_insert_default().max_delivery_attempts = dead.max_delivery_attempts;
        }
        "push_config.push_endpoint" => {
            s.push_config.get_or_insert_default().push_endpoint = push.push_endpoint;
        }
        "push_config.attributes" => s.push_config.get_or_insert_default().attributes = push.attributes,
        "push_config.no_wrapper" | "push_config.pubsub_wrapper" => {
            s.push_config.get_or_insert_default().wrapper = push.wrapper;
        }
        _ => return Err(unknown(path, "subscription")),
    }
    Ok(())
}

/// A snapshot as an update makes it.
pub(crate) fn snapshot(
    old: &pb::Snapshot,
    new: &pb::Snapshot,
    mask: Option<FieldMask>,
) -> Result<pb::Snapshot, Status> {
    let mut snapshot = old.clone();
    for path in paths(mask)? {
        match path.as_str() {
            "labels" => snapshot.labels.clone_from(&new.labels),
            "expire_time" => snapshot.expire_time = new.expire_time,
            _ => return Err(unknown(&path, "snapshot")),
        }
    }
    Ok(snapshot)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(paths: &[&str]) -> Option<FieldMask> {
        Some(FieldMask { paths: paths.iter().map(|p| (*p).to_owned()).collect() })
    }

    #[test]
    fn only_named_fields_change() {
        let old = pb::Subscription { ack_deadline_seconds: 10, filter: "f".to_owned(), ..Default::default() };
        let new =
            pb::Subscription { ack_deadline_seconds: 20, retain_acked_messages: true, ..Default::default() };
        let changed = subscription(&old, new.clone(), mask(&["ackDeadlineSeconds"])).unwrap();
        assert_eq!(changed, pb::Subscription { ack_deadline_seconds: 20, ..old.clone() });
        for wrong in ["filter", "name", "topic", "enable_message_ordering", "nothing", ""] {
            assert!(subscription(&old, new.clone(), mask(&[wrong])).is_err(), "{wrong}");
        }
        assert!(subscription(&old, new, mask(&[])).is_err());
    }
}

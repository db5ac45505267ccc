//! Checks of resources that clients give.

use super::mask;
use crate::clock::span_of;
use crate::filter::Filter;
use crate::hub::Hub;
use crate::limits::{self, LABELS_MAX};
use crate::name::{self, Kind};
use crate::status::{invalid, not_found, out_of_range};
use crate::subscription::rules::SECOND;
use pubsub_proto::google::pubsub::v1 as pb;
use std::collections::HashMap;
use tonic::Status;

/// Checks a topic that is to be kept.
pub(crate) fn topic(hub: &Hub, topic: &pb::Topic) -> Result<(), Status> {
    labels(&topic.labels)?;
    if let Some(retention) = &topic.message_retention_duration {
        retention_of("message_retention_duration", retention)?;
    }
    if let Some(settings) = &topic.schema_settings {
        schema_settings(hub, settings)?;
    }
    if topic.ingestion_data_source_settings.is_some() {
        return Err(mask::unsupported("ingestion_data_source_settings"));
    }
    if !topic.message_transforms.is_empty() {
        return Err(mask::unsupported("message_transforms"));
    }
    Ok(())
}

/// Checks a subscription that is to be kept, and fills in what Google fills in.
pub(crate) fn subscription(hub: &Hub, subscription: &mut pb::Subscription) -> Result<(), Status> {
    labels(&subscription.labels)?;
    ack_deadline(&mut subscription.ack_deadline_seconds)?;
    for (set, field) in [
        (subscription.bigquery_config.is_some(), "bigquery_config"),
        (subscription.cloud_storage_config.is_some(), "cloud_storage_config"),
        (subscription.bigtable_config.is_some(), "bigtable_config"),
        (!subscription.message_transforms.is_empty(), "message_transforms"),
    ] {
        if set {
            return Err(mask::unsupported(field));
        }
    }
    let retention = subscription
        .message_retention_duration
        .get_or_insert(prost_types::Duration { seconds: limits::RETENTION_SECONDS_DEFAULT, nanos: 0 });
    retention_of("message_retention_duration", retention)?;
    let month = prost_types::Duration { seconds: 31 * 86_400, nanos: 0 };
    let expiration = subscription.expiration_policy.get_or_insert(pb::ExpirationPolicy { ttl: Some(month) });
    if let Some(ttl) = &expiration.ttl
        && ttl.seconds < 86_400
    {
        return Err(out_of_range("expiration_policy.ttl", format!("{}s", ttl.seconds), "minimum", "86400s"));
    }
    filter(&subscription.filter)?;
    if let Some(policy) = &subscription.retry_policy {
        retry_policy(policy)?;
    }
    if let Some(policy) = &mut subscription.dead_letter_policy {
        dead_letter_policy(hub, policy)?;
    }
    push_config(subscription.push_config.get_or_insert_default())?;
    subscription.state = pb::subscription::State::Active.into();
    Ok(())
}

fn ack_deadline(seconds: &mut i32) -> Result<(), Status> {
    let (least, greatest) = (limits::ACK_DEADLINE_SECONDS_MIN, limits::ACK_DEADLINE_SECONDS_MAX);
    match *seconds {
        0 => *seconds = least,
        n if n < least => return Err(out_of_range("ack_deadline_seconds", n, "minimum", least)),
        n if n > greatest => return Err(out_of_range("ack_deadline_seconds", n, "maximum", greatest)),
        _ => {}
    }
    Ok(())
}

fn retention_of(field: &str, span: &prost_types::Duration) -> Result<(), Status> {
    let (least, greatest) = (limits::RETENTION_SECONDS_MIN, limits::RETENTION_SECONDS_MAX);
    let micros = span_of(span);
    if micros < least * SECOND {
        return Err(out_of_range(field, format!("{}s", span.seconds), "minimum", format!("{least}s")));
    }
    if micros > greatest * SECOND {
        return Err(out_of_range(field, format!("{}s", span.seconds), "maximum", format!("{greatest}s")));
    }
    Ok(())
}

/// Checks labels: <https://cloud.google.com/pubsub/docs/labels>.
pub(crate) fn labels(labels: &HashMap<String, String>) -> Result<(), Status> {
    if labels.len() > LABELS_MAX {
        return Err(out_of_range("labels_count", labels.len(), "maximum", LABELS_MAX));
    }
    let good = |text: &str| {
        text.chars().count() <= 63
            && text.chars().all(|c| c == '-' || c == '_' || c.is_alphanumeric() && !c.is_uppercase())
    };
    for (key, value) in labels {
        if !good(key) || !key.starts_with(char::is_alphabetic) || !good(value) {
            return Err(invalid(format!(
                "Invalid label ({key}={value}): keys and values have at most 63 lower-case letters, digits, `-` and \
                 `_`, and keys begin with a letter."
            )));
        }
    }
    Ok(())
}

fn filter(text: &str) -> Result<(), Status> {
    if text.len() > limits::FILTER_BYTES_MAX {
        return Err(out_of_range("filter_size", text.len(), "maximum", limits::FILTER_BYTES_MAX));
    }
    if !text.is_empty() {
        Filter::parse(text).map_err(|why| invalid(format!("Invalid filter ({text}): {why}.")))?;
    }
    Ok(())
}

fn retry_policy(policy: &pb::RetryPolicy) -> Result<(), Status> {
    let check = |field: &str, span: Option<&prost_types::Duration>, default: i64| {
        let micros = span.map_or(default * SECOND, span_of);
        if micros < 0 {
            return Err(out_of_range(field, format!("{}s", micros / SECOND), "minimum", "0s"));
        }
        if micros > limits::BACKOFF_SECONDS_MAX * SECOND {
            let greatest = format!("{}s", limits::BACKOFF_SECONDS_MAX);
            return Err(out_of_range(field, format!("{}s", micros / SECOND), "maximum", greatest));
        }
        Ok(micros)
    };
    let least = check("retry_policy.minimum_backoff", policy.minimum_backoff.as_ref(), 10)?;
    let greatest = check("retry_policy.maximum_backoff", policy.maximum_backoff.as_ref(), 600)?;
    if least > greatest {
        return Err(invalid(
            "retry_policy.minimum_backoff must not be greater than retry_policy.maximum_backoff.",
        ));
    }
    Ok(())
}

fn dead_letter_policy(hub: &Hub, policy: &mut pb::DeadLetterPolicy) -> Result<(), Status> {
    let (least, greatest) = (limits::DELIVERY_ATTEMPTS_MIN, limits::DELIVERY_ATTEMPTS_MAX);
    let field = "dead_letter_policy.max_delivery_attempts";
    match policy.max_delivery_attempts {
        0 => policy.max_delivery_attempts = least,
        n if n < least => return Err(out_of_range(field, n, "minimum", least)),
        n if n > greatest => return Err(out_of_range(field, n, "maximum", greatest)),
        _ => {}
    }
    name::parse(Kind::Topic, &policy.dead_letter_topic)?;
    hub.catalog.topic(&policy.dead_letter_topic).map(drop)
}

/// Checks where messages are pushed to; nowhere is good too.
pub(crate) fn push_config(config: &pb::PushConfig) -> Result<(), Status> {
    if config.push_endpoint.is_empty() {
        return Ok(());
    }
    crate::push::endpoint::Endpoint::parse(&config.push_endpoint)
        .map(drop)
        .map_err(|why| invalid(format!("Invalid push endpoint ({}): {why}.", config.push_endpoint)))
}

fn schema_settings(hub: &Hub, settings: &pb::SchemaSettings) -> Result<(), Status> {
    if settings.schema == "_deleted-schema_" {
        return Ok(());
    }
    name::parse(Kind::Schema, &settings.schema)?;
    let record = hub.catalog.schema(&settings.schema)?;
    if !matches!(settings.encoding(), pb::Encoding::Json | pb::Encoding::Binary) {
        return Err(invalid("schema_settings.encoding must be JSON or BINARY."));
    }
    for revision in [&settings.first_revision_id, &settings.last_revision_id] {
        if !revision.is_empty() && !record.revisions.iter().any(|r| r.revision_id == *revision) {
            return Err(not_found(&format!("{}@{revision}", settings.schema)));
        }
    }
    Ok(())
}

//! Resources and messages for people and for machines. The JSON has the names of Google's REST API.

use crate::cli::output::Output;
use base64::Engine;
use purlin_pubsub::prost_types::{Duration, Timestamp};
use purlin_pubsub::proto as p;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};

/// Says that something was done; JSON has the resource.
pub(super) fn done(out: &mut Output, what: &str, name: &str, resource: &Value) {
    if out.json {
        let resource = if resource.is_null() { json!({"name": name}) } else { resource.clone() };
        out.print_json(&resource);
    } else {
        out.print(&format!("{what} {name}\n"));
    }
}

/// Some resources: a line each, or a JSON list.
pub(super) fn list(out: &mut Output, all: Vec<Value>) {
    if out.json {
        out.print_json(&Value::Array(all));
        return;
    }
    for resource in all {
        let name = resource.get("name").and_then(Value::as_str).unwrap_or_default();
        match resource.get("topic").and_then(Value::as_str) {
            Some(topic) => out.print(&format!("{name}  of {topic}\n")),
            None => out.print(&format!("{name}\n")),
        }
    }
}

/// One resource: `field: value` lines, or JSON.
pub(super) fn one(out: &mut Output, resource: &Value) {
    if out.json {
        out.print_json(resource);
        return;
    }
    let mut text = String::new();
    for (field, value) in resource.as_object().into_iter().flatten() {
        match value {
            Value::String(s) => text.push_str(&format!("{field}: {s}\n")),
            other => text.push_str(&format!("{field}: {other}\n")),
        }
    }
    out.print(&text);
}

pub(super) fn topic(t: &p::Topic) -> Value {
    let mut m = Map::new();
    m.insert("name".to_owned(), json!(t.name));
    put_labels(&mut m, "labels", &t.labels);
    put_duration(&mut m, "messageRetentionDuration", t.message_retention_duration.as_ref());
    if let Some(s) = &t.schema_settings {
        m.insert(
            "schemaSettings".to_owned(),
            json!({"schema": s.schema, "encoding": s.encoding().as_str_name()}),
        );
    }
    Value::Object(m)
}

pub(super) fn subscription(s: &p::Subscription) -> Value {
    let mut m = Map::new();
    m.insert("name".to_owned(), json!(s.name));
    m.insert("topic".to_owned(), json!(s.topic));
    m.insert("ackDeadlineSeconds".to_owned(), json!(s.ack_deadline_seconds));
    put_duration(&mut m, "messageRetentionDuration", s.message_retention_duration.as_ref());
    for (field, on) in [
        ("retainAckedMessages", s.retain_acked_messages),
        ("enableMessageOrdering", s.enable_message_ordering),
        ("enableExactlyOnceDelivery", s.enable_exactly_once_delivery),
        ("detached", s.detached),
    ] {
        if on {
            m.insert(field.to_owned(), json!(true));
        }
    }
    if !s.filter.is_empty() {
        m.insert("filter".to_owned(), json!(s.filter));
    }
    if let Some(push) = s.push_config.as_ref().filter(|c| !c.push_endpoint.is_empty()) {
        m.insert("pushConfig".to_owned(), json!({"pushEndpoint": push.push_endpoint}));
    }
    if let Some(d) = &s.dead_letter_policy {
        let policy =
            json!({"deadLetterTopic": d.dead_letter_topic, "maxDeliveryAttempts": d.max_delivery_attempts});
        m.insert("deadLetterPolicy".to_owned(), policy);
    }
    if let Some(r) = &s.retry_policy {
        let mut policy = Map::new();
        put_duration(&mut policy, "minimumBackoff", r.minimum_backoff.as_ref());
        put_duration(&mut policy, "maximumBackoff", r.maximum_backoff.as_ref());
        m.insert("retryPolicy".to_owned(), Value::Object(policy));
    }
    put_labels(&mut m, "labels", &s.labels);
    Value::Object(m)
}

/// A message as a line: its payload, then what else is known of it.
pub(super) fn message_line(m: &p::PubsubMessage, delivery_attempt: i32) -> String {
    let payload = match std::str::from_utf8(&m.data) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("base64:{}", encode(&m.data)),
    };
    let mut line = format!("{payload}\n    id {}", m.message_id);
    if let Some(time) = &m.publish_time {
        line.push_str(&format!(", published {}", rfc3339(time)));
    }
    if !m.ordering_key.is_empty() {
        line.push_str(&format!(", ordering key {}", m.ordering_key));
    }
    for (key, value) in sorted(&m.attributes) {
        line.push_str(&format!(", {key}={value}"));
    }
    if delivery_attempt > 0 {
        line.push_str(&format!(", delivery {delivery_attempt}"));
    }
    line.push('\n');
    line
}

/// A message that was pulled, with its lease.
pub(super) fn received(r: &p::ReceivedMessage) -> Value {
    let mut all = message(&r.message.clone().unwrap_or_default(), r.delivery_attempt);
    if let Some(fields) = all.as_object_mut() {
        fields.insert("ackId".to_owned(), json!(r.ack_id));
    }
    all
}

/// A message, as Google's REST API has it.
pub(super) fn message(m: &p::PubsubMessage, delivery_attempt: i32) -> Value {
    let mut message = Map::new();
    message.insert("data".to_owned(), json!(encode(&m.data)));
    put_labels(&mut message, "attributes", &m.attributes);
    message.insert("messageId".to_owned(), json!(m.message_id));
    if let Some(time) = &m.publish_time {
        message.insert("publishTime".to_owned(), json!(rfc3339(time)));
    }
    if !m.ordering_key.is_empty() {
        message.insert("orderingKey".to_owned(), json!(m.ordering_key));
    }
    let mut all = Map::new();
    all.insert("message".to_owned(), Value::Object(message));
    if delivery_attempt > 0 {
        all.insert("deliveryAttempt".to_owned(), json!(delivery_attempt));
    }
    Value::Object(all)
}

fn encode(data: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(data)
}

fn sorted(of: &HashMap<String, String>) -> BTreeMap<&String, &String> {
    of.iter().collect()
}

fn put_labels(m: &mut Map<String, Value>, field: &str, labels: &HashMap<String, String>) {
    if !labels.is_empty() {
        m.insert(field.to_owned(), json!(sorted(labels)));
    }
}

fn put_duration(m: &mut Map<String, Value>, field: &str, d: Option<&Duration>) {
    if let Some(d) = d {
        let fraction = format!("{:09}", d.nanos);
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        m.insert(field.to_owned(), json!(format!("{}{point}{fraction}s", d.seconds)));
    }
}

fn rfc3339(t: &Timestamp) -> String {
    match jiff::Timestamp::new(t.seconds, t.nanos) {
        Ok(time) => time.to_string(),
        Err(_) => format!("{}.{:09}", t.seconds, t.nanos),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_shown_whole() {
        let message = p::PubsubMessage {
            data: "ol\u{e1}".as_bytes().to_vec().into(),
            attributes: HashMap::from([("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())]),
            message_id: "7".to_owned(),
            publish_time: Some(Timestamp { seconds: 1, nanos: 500_000_000 }),
            ordering_key: "k".to_owned(),
        };
        assert_eq!(
            message_line(&message, 2),
            "ol\u{e1}\n    id 7, published 1970-01-01T00:00:01.5Z, ordering key k, a=1, b=2, delivery 2\n"
        );
        let pulled =
            p::ReceivedMessage { ack_id: "x".to_owned(), delivery_attempt: 2, message: Some(message) };
        assert_eq!(received(&pulled)["message"]["data"], "b2zDoQ==");
        assert_eq!(received(&pulled)["deliveryAttempt"], 2);
        assert_eq!(received(&pulled)["ackId"], "x");
    }

    #[test]
    fn a_subscription_shows_what_is_set() {
        let s = p::Subscription {
            name: "projects/p/subscriptions/s".to_owned(),
            topic: "projects/p/topics/t".to_owned(),
            ack_deadline_seconds: 10,
            message_retention_duration: Some(Duration { seconds: 600, nanos: 0 }),
            retry_policy: Some(p::RetryPolicy {
                minimum_backoff: Some(Duration { seconds: 0, nanos: 250_000_000 }),
                maximum_backoff: None,
            }),
            ..p::Subscription::default()
        };
        assert_eq!(
            subscription(&s),
            json!({"name": "projects/p/subscriptions/s", "topic": "projects/p/topics/t", "ackDeadlineSeconds": 10,
                   "messageRetentionDuration": "600s", "retryPolicy": {"minimumBackoff": "0.25s"}})
        );
    }
}

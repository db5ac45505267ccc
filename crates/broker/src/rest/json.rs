//! Resources as Google's JSON has them: camel case, base64, RFC 3339, durations such as `600s`.

use crate::clock::{self, micros_of, rfc3339};
use crate::message;
use crate::status::invalid;
use crate::subscription::core::Delivery;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use prost_types::{Duration, Timestamp};
use pubsub_proto::google::pubsub::v1 as pb;
use pubsub_proto::google::pubsub::v1::push_config::{
    AuthenticationMethod, NoWrapper, OidcToken, PubsubWrapper, Wrapper,
};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use tonic::Status;

/// An object that is read field by field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a>(pub Option<&'a Map<String, Value>>);

impl<'a> Fields<'a> {
    /// The fields of a value; null and nothing have none.
    pub(crate) fn of(value: Option<&'a Value>, what: &str) -> Result<Self, Status> {
        match value {
            None | Some(Value::Null) => Ok(Fields(None)),
            Some(Value::Object(object)) => Ok(Fields(Some(object))),
            Some(_) => Err(invalid(format!("Invalid value at '{what}': expected an object."))),
        }
    }

    /// A field, by its camel case or snake case name.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        let object = self.0?;
        let found = object.get(key).or_else(|| {
            let snake: String = key
                .chars()
                .flat_map(|c| {
                    c.is_ascii_uppercase().then_some('_').into_iter().chain([c.to_ascii_lowercase()])
                })
                .collect();
            object.get(&snake)
        });
        found.filter(|v| !v.is_null())
    }

    /// Whether the object itself is there.
    pub(crate) fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// An object in a field.
    pub(crate) fn object(&self, key: &str) -> Result<Fields<'a>, Status> {
        Fields::of(self.get(key), key)
    }

    /// Text in a field; nothing is empty.
    pub(crate) fn text(&self, key: &str) -> Result<String, Status> {
        match self.get(key) {
            None => Ok(String::new()),
            Some(Value::String(s)) => Ok(s.clone()),
            Some(_) => Err(wrong(key, "text")),
        }
    }

    /// A number in a field, also as text; nothing is 0.
    pub(crate) fn number(&self, key: &str) -> Result<i32, Status> {
        let number = match self.get(key) {
            None => Some(0),
            Some(Value::Number(n)) => n.as_i64().and_then(|n| i32::try_from(n).ok()),
            Some(Value::String(s)) => s.parse().ok(),
            Some(_) => None,
        };
        number.ok_or_else(|| wrong(key, "a number"))
    }

    /// Yes or no in a field; nothing is no.
    pub(crate) fn flag(&self, key: &str) -> Result<bool, Status> {
        match self.get(key) {
            None => Ok(false),
            Some(Value::Bool(b)) => Ok(*b),
            Some(_) => Err(wrong(key, "true or false")),
        }
    }

    /// A list of texts.
    pub(crate) fn texts(&self, key: &str) -> Result<Vec<String>, Status> {
        self.list(key)?
            .iter()
            .map(|v| v.as_str().map(str::to_owned).ok_or_else(|| wrong(key, "a list of texts")))
            .collect()
    }

    /// A list.
    pub(crate) fn list(&self, key: &str) -> Result<&'a [Value], Status> {
        match self.get(key) {
            None => Ok(&[]),
            Some(Value::Array(list)) => Ok(list),
            Some(_) => Err(wrong(key, "a list")),
        }
    }

    /// Texts by key.
    pub(crate) fn map(&self, key: &str) -> Result<HashMap<String, String>, Status> {
        let object = self.object(key)?;
        let pair = |(k, v): (&String, &Value)| {
            v.as_str().map(|v| (k.clone(), v.to_owned())).ok_or_else(|| wrong(key, "an object of texts"))
        };
        object.0.into_iter().flatten().map(pair).collect()
    }

    /// A length of time: `600s`, `1.5s`.
    pub(crate) fn duration(&self, key: &str) -> Result<Option<Duration>, Status> {
        let text = self.text(key)?;
        if text.is_empty() {
            return Ok(None);
        }
        let wrong = || wrong(key, "a duration such as `600s`");
        let number = text.strip_suffix('s').ok_or_else(wrong)?;
        let (seconds, fraction) = number.split_once('.').unwrap_or((number, ""));
        let negative = seconds.starts_with('-');
        let seconds: i64 = seconds.parse().map_err(|_| wrong())?;
        if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        let nanos: i32 = format!("{fraction:0<9}").parse().map_err(|_| wrong())?;
        Ok(Some(Duration { seconds, nanos: if negative { -nanos } else { nanos } }))
    }

    /// A time: RFC 3339.
    pub(crate) fn time(&self, key: &str) -> Result<Option<Timestamp>, Status> {
        let text = self.text(key)?;
        if text.is_empty() {
            return Ok(None);
        }
        let time =
            clock::parse_rfc3339(&text).ok_or_else(|| wrong(key, "a time such as `2024-03-05T12:00:00Z`"))?;
        Ok(Some(clock::timestamp(time)))
    }

    /// Base64 in a field, in either alphabet.
    pub(crate) fn bytes(&self, key: &str) -> Result<Vec<u8>, Status> {
        let text = self.text(key)?;
        STANDARD.decode(&text).or_else(|_| URL_SAFE.decode(&text)).map_err(|_| wrong(key, "base64"))
    }
}

fn wrong(key: &str, expected: &str) -> Status {
    invalid(format!("Invalid value at '{key}': expected {expected}."))
}

/// Puts what is not empty into an object.
fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let is_empty = |v: &Value| match v {
        Value::Null => true,
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_i64() == Some(0),
    };
    Value::Object(fields.into_iter().filter(|(_, v)| !is_empty(v)).map(|(k, v)| (k.to_owned(), v)).collect())
}

fn duration(d: Option<&Duration>) -> Value {
    d.map_or(Value::Null, |d| {
        if d.nanos == 0 {
            return json!(format!("{}s", d.seconds));
        }
        let fraction = format!("{:09}", d.nanos.abs());
        json!(format!("{}.{}s", d.seconds, fraction.trim_end_matches('0')))
    })
}

fn time(t: Option<&Timestamp>) -> Value {
    t.map_or(Value::Null, |t| json!(rfc3339(micros_of(t))))
}

fn enumeration(text: &str, key: &str, find: impl Fn(&str) -> Option<i32>) -> Result<i32, Status> {
    if text.is_empty() { Ok(0) } else { find(text).ok_or_else(|| wrong(key, "one of its names")) }
}

/// A topic.
pub(crate) fn topic(t: &pb::Topic) -> Value {
    let settings = t.schema_settings.as_ref().map_or(Value::Null, |s| {
        object([
            ("schema", json!(s.schema)),
            ("encoding", json!(s.encoding().as_str_name())),
            ("firstRevisionId", json!(s.first_revision_id)),
            ("lastRevisionId", json!(s.last_revision_id)),
        ])
    });
    object([
        ("name", json!(t.name)),
        ("labels", json!(t.labels)),
        ("kmsKeyName", json!(t.kms_key_name)),
        ("schemaSettings", settings),
        ("messageRetentionDuration", duration(t.message_retention_duration.as_ref())),
        ("state", json!(t.state().as_str_name())),
    ])
}

/// Reads a topic.
pub(crate) fn read_topic(f: Fields<'_>) -> Result<pb::Topic, Status> {
    let settings = f.object("schemaSettings")?;
    Ok(pb::Topic {
        name: f.text("name")?,
        labels: f.map("labels")?,
        kms_key_name: f.text("kmsKeyName")?,
        message_retention_duration: f.duration("messageRetentionDuration")?,
        schema_settings: if settings.is_there() {
            Some(pb::SchemaSettings {
                schema: settings.text("schema")?,
                encoding: read_encoding(settings)?,
                first_revision_id: settings.text("firstRevisionId")?,
                last_revision_id: settings.text("lastRevisionId")?,
            })
        } else {
            None
        },
        ..Default::default()
    })
}

/// Reads the field `encoding`.
pub(crate) fn read_encoding(f: Fields<'_>) -> Result<i32, Status> {
    enumeration(&f.text("encoding")?, "encoding", |t| pb::Encoding::from_str_name(t).map(i32::from))
}

/// A subscription.
pub(crate) fn subscription(s: &pb::Subscription) -> Value {
    let dead = s.dead_letter_policy.as_ref().map_or(Value::Null, |p| {
        object([
            ("deadLetterTopic", json!(p.dead_letter_topic)),
            ("maxDeliveryAttempts", json!(p.max_delivery_attempts)),
        ])
    });
    let retry = s.retry_policy.as_ref().map_or(Value::Null, |p| {
        object([
            ("minimumBackoff", duration(p.minimum_backoff.as_ref())),
            ("maximumBackoff", duration(p.maximum_backoff.as_ref())),
        ])
    });
    let expiration =
        s.expiration_policy.as_ref().map_or(Value::Null, |p| object([("ttl", duration(p.ttl.as_ref()))]));
    let mut value = object([
        ("name", json!(s.name)),
        ("topic", json!(s.topic)),
        ("ackDeadlineSeconds", json!(s.ack_deadline_seconds)),
        ("retainAckedMessages", json!(s.retain_acked_messages)),
        ("messageRetentionDuration", duration(s.message_retention_duration.as_ref())),
        ("topicMessageRetentionDuration", duration(s.topic_message_retention_duration.as_ref())),
        ("labels", json!(s.labels)),
        ("enableMessageOrdering", json!(s.enable_message_ordering)),
        ("expirationPolicy", expiration),
        ("filter", json!(s.filter)),
        ("deadLetterPolicy", dead),
        ("retryPolicy", retry),
        ("detached", json!(s.detached)),
        ("enableExactlyOnceDelivery", json!(s.enable_exactly_once_delivery)),
        ("state", json!(s.state().as_str_name())),
    ]);
    if let Some(object) = value.as_object_mut() {
        object.insert("pushConfig".to_owned(), push_config(s.push_config.as_ref()));
    }
    value
}

fn push_config(config: Option<&pb::PushConfig>) -> Value {
    let Some(config) = config else { return json!({}) };
    let mut value =
        object([("pushEndpoint", json!(config.push_endpoint)), ("attributes", json!(config.attributes))]);
    let Some(object) = value.as_object_mut() else { return value };
    if let Some(AuthenticationMethod::OidcToken(token)) = &config.authentication_method {
        let token = json!({"serviceAccountEmail": token.service_account_email, "audience": token.audience});
        object.insert("oidcToken".to_owned(), token);
    }
    match &config.wrapper {
        Some(Wrapper::NoWrapper(w)) => {
            drop(object.insert("noWrapper".to_owned(), json!({"writeMetadata": w.write_metadata})));
        }
        Some(Wrapper::PubsubWrapper(_)) => drop(object.insert("pubsubWrapper".to_owned(), json!({}))),
        None => {}
    }
    value
}

/// Reads where messages are pushed to.
pub(crate) fn read_push_config(f: Fields<'_>) -> Result<pb::PushConfig, Status> {
    let token = f.object("oidcToken")?;
    let bare = f.object("noWrapper")?;
    Ok(pb::PushConfig {
        push_endpoint: f.text("pushEndpoint")?,
        attributes: f.map("attributes")?,
        authentication_method: if token.is_there() {
            Some(AuthenticationMethod::OidcToken(OidcToken {
                service_account_email: token.text("serviceAccountEmail")?,
                audience: token.text("audience")?,
            }))
        } else {
            None
        },
        wrapper: if bare.is_there() {
            Some(Wrapper::NoWrapper(NoWrapper { write_metadata: bare.flag("writeMetadata")? }))
        } else if f.object("pubsubWrapper")?.is_there() {
            Some(Wrapper::PubsubWrapper(PubsubWrapper {}))
        } else {
            None
        },
    })
}

/// Reads a subscription.
pub(crate) fn read_subscription(f: Fields<'_>) -> Result<pb::Subscription, Status> {
    for unknown in ["bigqueryConfig", "cloudStorageConfig", "bigtableConfig", "messageTransforms"] {
        if f.get(unknown).is_some() {
            return Err(Status::unimplemented(format!("The broker has no support for `{unknown}`.")));
        }
    }
    let (push, expiration) = (f.object("pushConfig")?, f.object("expirationPolicy")?);
    let (dead, retry) = (f.object("deadLetterPolicy")?, f.object("retryPolicy")?);
    Ok(pb::Subscription {
        name: f.text("name")?,
        topic: f.text("topic")?,
        push_config: if push.is_there() { Some(read_push_config(push)?) } else { None },
        ack_deadline_seconds: f.number("ackDeadlineSeconds")?,
        retain_acked_messages: f.flag("retainAckedMessages")?,
        message_retention_duration: f.duration("messageRetentionDuration")?,
        labels: f.map("labels")?,
        enable_message_ordering: f.flag("enableMessageOrdering")?,
        expiration_policy: if expiration.is_there() {
            Some(pb::ExpirationPolicy { ttl: expiration.duration("ttl")? })
        } else {
            None
        },
        filter: f.text("filter")?,
        dead_letter_policy: if dead.is_there() {
            Some(pb::DeadLetterPolicy {
                dead_letter_topic: dead.text("deadLetterTopic")?,
                max_delivery_attempts: dead.number("maxDeliveryAttempts")?,
            })
        } else {
            None
        },
        retry_policy: if retry.is_there() {
            Some(pb::RetryPolicy {
                minimum_backoff: retry.duration("minimumBackoff")?,
                maximum_backoff: retry.duration("maximumBackoff")?,
            })
        } else {
            None
        },
        enable_exactly_once_delivery: f.flag("enableExactlyOnceDelivery")?,
        ..Default::default()
    })
}

/// A snapshot.
pub(crate) fn snapshot(s: &pb::Snapshot) -> Value {
    object([
        ("name", json!(s.name)),
        ("topic", json!(s.topic)),
        ("expireTime", time(s.expire_time.as_ref())),
        ("labels", json!(s.labels)),
    ])
}

/// Reads a snapshot.
pub(crate) fn read_snapshot(f: Fields<'_>) -> Result<pb::Snapshot, Status> {
    Ok(pb::Snapshot {
        name: f.text("name")?,
        topic: f.text("topic")?,
        expire_time: f.time("expireTime")?,
        labels: f.map("labels")?,
    })
}

/// A schema.
pub(crate) fn schema(s: &pb::Schema) -> Value {
    object([
        ("name", json!(s.name)),
        ("type", json!(s.r#type().as_str_name())),
        ("definition", json!(s.definition)),
        ("revisionId", json!(s.revision_id)),
        ("revisionCreateTime", time(s.revision_create_time.as_ref())),
    ])
}

/// Reads a schema.
pub(crate) fn read_schema(f: Fields<'_>) -> Result<Option<pb::Schema>, Status> {
    if !f.is_there() {
        return Ok(None);
    }
    Ok(Some(pb::Schema {
        name: f.text("name")?,
        r#type: enumeration(&f.text("type")?, "type", |t| pb::schema::Type::from_str_name(t).map(i32::from))?,
        definition: f.text("definition")?,
        ..Default::default()
    }))
}

/// Reads the view of schemas in a query.
pub(crate) fn read_view(text: &str) -> Result<i32, Status> {
    enumeration(text, "view", |t| pb::SchemaView::from_str_name(t).map(i32::from))
}

/// A message as it is stored.
pub(crate) fn stored_message(payload: &[u8]) -> Map<String, Value> {
    let attributes: Map<String, Value> =
        message::attributes(payload).map(|(k, v)| (k.to_owned(), Value::from(v))).collect();
    let value = object([
        ("data", json!(STANDARD.encode(message::data(payload)))),
        ("attributes", Value::Object(attributes)),
        ("messageId", json!(message::message_id(payload))),
        ("publishTime", message::publish_time(payload).map_or(Value::Null, |t| json!(rfc3339(t)))),
        ("orderingKey", json!(message::ordering_key(payload).map(String::from_utf8_lossy))),
    ]);
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Reads a message that is to be published.
pub(crate) fn read_message(value: &Value) -> Result<pb::PubsubMessage, Status> {
    let f = Fields::of(Some(value), "messages")?;
    Ok(pb::PubsubMessage {
        data: f.bytes("data")?.into(),
        attributes: f.map("attributes")?,
        ordering_key: f.text("orderingKey")?,
        ..Default::default()
    })
}

/// A delivery.
pub(crate) fn received(delivery: &Delivery, with_attempt: bool) -> Value {
    let mut value =
        json!({"ackId": delivery.ack_id.to_string(), "message": stored_message(&delivery.payload)});
    if let Some(object) = value.as_object_mut().filter(|_| with_attempt) {
        object.insert("deliveryAttempt".to_owned(), delivery.attempt.into());
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_come_back() {
        let given = json!({
            "name": "projects/p/subscriptions/s", "topic": "projects/p/topics/t", "ackDeadlineSeconds": 20,
            "retainAckedMessages": true, "messageRetentionDuration": "600.500s", "labels": {"a": "b"},
            "enableMessageOrdering": true, "expirationPolicy": {"ttl": "86400s"}, "filter": "attributes:a",
            "deadLetterPolicy": {"deadLetterTopic": "projects/p/topics/d", "maxDeliveryAttempts": 7},
            "retryPolicy": {"minimumBackoff": "1s", "maximumBackoff": "2s"}, "enableExactlyOnceDelivery": true,
            "pushConfig": {"pushEndpoint": "http://x/", "noWrapper": {"writeMetadata": true},
                           "oidcToken": {"serviceAccountEmail": "a", "audience": "b"}},
        });
        let read = read_subscription(Fields::of(Some(&given), "").unwrap()).unwrap();
        assert_eq!(read.message_retention_duration, Some(Duration { seconds: 600, nanos: 500_000_000 }));
        let mut shown = subscription(&read);
        shown.as_object_mut().unwrap().remove("state");
        let mut expected = given.clone();
        expected["messageRetentionDuration"] = json!("600.5s");
        assert_eq!(shown, expected);
        let snake = json!({"ack_deadline_seconds": "30"});
        assert_eq!(read_subscription(Fields(snake.as_object())).unwrap().ack_deadline_seconds, 30);
    }

    #[test]
    fn wrong_types_are_named() {
        for (wrong, key) in [
            (json!({"ackDeadlineSeconds": "x"}), "ackDeadlineSeconds"),
            (json!({"labels": {"a": 1}}), "labels"),
            (json!({"retainAckedMessages": 1}), "retainAckedMessages"),
            (json!({"messageRetentionDuration": "5m"}), "messageRetentionDuration"),
            (json!({"retryPolicy": []}), "retryPolicy"),
        ] {
            let status = read_subscription(Fields(wrong.as_object())).unwrap_err();
            assert!(status.message().contains(key), "{status:?}");
        }
    }
}

//! Which path is which call.

use super::json::{self, Fields};
use super::{Call, unknown};
use crate::hub::Hub;
use crate::rpc::{acks, publish, pull, schemas, seek, snapshots, subscriptions, topics};
use crate::status::invalid;
use prost::Message;
use prost_types::FieldMask;
use pubsub_proto::google::pubsub::v1 as pb;
use pubsub_proto::google::pubsub::v1::seek_request::Target;
use pubsub_proto::google::pubsub::v1::validate_message_request::SchemaSpec;
use serde_json::{Value, json as value};
use tonic::Status;

/// Answers a call with a JSON value.
pub(crate) async fn call(hub: &Hub, call: Call) -> Result<Value, Status> {
    let parts: Vec<&str> = call.path.split('/').collect();
    match parts.as_slice() {
        ["projects", _, "topics", ..] => topics_call(hub, &call, parts.len(), parts.get(4).copied()).await,
        ["projects", _, "subscriptions"] | ["projects", _, "subscriptions", _] => {
            subscriptions_call(hub, &call, parts.len()).await
        }
        ["projects", _, "snapshots"] | ["projects", _, "snapshots", _] => {
            snapshots_call(hub, &call, parts.len()).await
        }
        ["projects", _, "schemas"] | ["projects", _, "schemas", _] => {
            schemas_call(hub, &call, parts.len()).await
        }
        _ => Err(unknown(&call.method, &call.path)),
    }
}

impl Call {
    fn fields(&self) -> Result<Fields<'_>, Status> {
        Fields::of(Some(&self.body), "body")
    }

    fn query(&self, key: &str) -> String {
        self.query.get(key).cloned().unwrap_or_default()
    }

    fn page_size(&self) -> Result<i32, Status> {
        let text = self.query("pageSize");
        if text.is_empty() { Ok(0) } else { text.parse().map_err(|_| invalid("pageSize must be a number.")) }
    }

    /// `projects/PROJECT`.
    fn project(&self) -> String {
        self.path.split('/').take(2).collect::<Vec<_>>().join("/")
    }

    fn mask(&self) -> Result<Option<FieldMask>, Status> {
        let text = self.fields()?.text("updateMask")?;
        let text = if text.is_empty() { self.query("updateMask") } else { text };
        let paths: Vec<String> = text.split(',').filter(|p| !p.is_empty()).map(str::to_owned).collect();
        Ok(Some(FieldMask { paths }))
    }
}

fn names(key: &str, list: Vec<Value>, token: String) -> Value {
    let mut answer = value!({});
    if let Some(object) = answer.as_object_mut() {
        if !list.is_empty() {
            object.insert(key.to_owned(), list.into());
        }
        if !token.is_empty() {
            object.insert("nextPageToken".to_owned(), token.into());
        }
    }
    answer
}

fn nothing(_: ()) -> Value {
    value!({})
}

async fn topics_call(hub: &Hub, call: &Call, depth: usize, below: Option<&str>) -> Result<Value, Status> {
    let (page_size, page_token) = (call.page_size()?, call.query("pageToken"));
    let topic = call.path.split('/').take(4).collect::<Vec<_>>().join("/");
    match (call.method.as_str(), depth, below, call.verb.as_str()) {
        ("GET", 3, None, "") => {
            let request = pb::ListTopicsRequest { project: call.project(), page_size, page_token };
            let list = topics::list(hub, request).await?;
            Ok(names("topics", list.topics.iter().map(json::topic).collect(), list.next_page_token))
        }
        ("PUT", 4, None, "") => {
            let topic = pb::Topic { name: topic, ..json::read_topic(call.fields()?)? };
            topics::create(hub, topic).await.map(|t| json::topic(&t))
        }
        ("GET", 4, None, "") => {
            topics::get(hub, pb::GetTopicRequest { topic }).await.map(|t| json::topic(&t))
        }
        ("PATCH", 4, None, "") => {
            let new = pb::Topic { name: topic, ..json::read_topic(call.fields()?.object("topic")?)? };
            let request = pb::UpdateTopicRequest { topic: Some(new), update_mask: call.mask()? };
            topics::update(hub, request).await.map(|t| json::topic(&t))
        }
        ("DELETE", 4, None, "") => topics::delete(hub, pb::DeleteTopicRequest { topic }).await.map(nothing),
        ("GET", 5, Some("subscriptions"), "") => {
            let request = pb::ListTopicSubscriptionsRequest { topic, page_size, page_token };
            let list = topics::list_subscriptions(hub, request).await?;
            let subscriptions = list.subscriptions.into_iter().map(Value::from).collect();
            Ok(names("subscriptions", subscriptions, list.next_page_token))
        }
        ("GET", 5, Some("snapshots"), "") => {
            let request = pb::ListTopicSnapshotsRequest { topic, page_size, page_token };
            let list = snapshots::list_of_topic(hub, request).await?;
            Ok(names(
                "snapshots",
                list.snapshots.into_iter().map(Value::from).collect(),
                list.next_page_token,
            ))
        }
        ("POST", 4, None, "publish") => {
            let messages = call.fields()?.list("messages")?.iter().map(json::read_message);
            let messages: Vec<Vec<u8>> =
                messages.map(|m| m.map(|m| m.encode_to_vec())).collect::<Result<_, _>>()?;
            let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
            let response = publish::publish_to(hub, &topic, &messages).await?;
            Ok(value!({"messageIds": response.message_ids}))
        }
        _ => Err(unknown(&call.method, &call.path)),
    }
}

async fn subscriptions_call(hub: &Hub, call: &Call, depth: usize) -> Result<Value, Status> {
    let subscription = call.path.clone();
    let f = call.fields()?;
    match (call.method.as_str(), depth, call.verb.as_str()) {
        ("GET", 3, "") => {
            let (page_size, page_token) = (call.page_size()?, call.query("pageToken"));
            let request = pb::ListSubscriptionsRequest { project: call.project(), page_size, page_token };
            let list = subscriptions::list(hub, request).await?;
            let all = list.subscriptions.iter().map(json::subscription).collect();
            Ok(names("subscriptions", all, list.next_page_token))
        }
        ("PUT", 4, "") => {
            let new = pb::Subscription { name: subscription, ..json::read_subscription(f)? };
            subscriptions::create(hub, new).await.map(|s| json::subscription(&s))
        }
        ("GET", 4, "") => {
            let request = pb::GetSubscriptionRequest { subscription };
            subscriptions::get(hub, request).await.map(|s| json::subscription(&s))
        }
        ("PATCH", 4, "") => {
            let new = pb::Subscription {
                name: subscription,
                ..json::read_subscription(f.object("subscription")?)?
            };
            let request =
                pb::UpdateSubscriptionRequest { subscription: Some(new), update_mask: call.mask()? };
            subscriptions::update(hub, request).await.map(|s| json::subscription(&s))
        }
        ("DELETE", 4, "") => {
            subscriptions::delete(hub, pb::DeleteSubscriptionRequest { subscription }).await.map(nothing)
        }
        ("POST", 4, "detach") => {
            topics::detach(hub, pb::DetachSubscriptionRequest { subscription }).await?;
            Ok(value!({}))
        }
        ("POST", 4, "pull") => {
            #[expect(deprecated, reason = "clients may still send it")]
            let request = pb::PullRequest {
                subscription,
                return_immediately: f.flag("returnImmediately")?,
                max_messages: f.number("maxMessages")?,
            };
            let (subscription, deliveries) = pull::take(hub, request).await?;
            let with_attempt = subscription.resource().dead_letter_policy.is_some();
            let received = deliveries.iter().map(|d| json::received(d, with_attempt)).collect();
            Ok(names("receivedMessages", received, String::new()))
        }
        ("POST", 4, "acknowledge") => {
            let request = pb::AcknowledgeRequest { subscription, ack_ids: f.texts("ackIds")? };
            acks::acknowledge(hub, request).await.map(nothing)
        }
        ("POST", 4, "modifyAckDeadline") => {
            let ack_deadline_seconds = f.number("ackDeadlineSeconds")?;
            let ack_ids = f.texts("ackIds")?;
            let request = pb::ModifyAckDeadlineRequest { subscription, ack_ids, ack_deadline_seconds };
            acks::modify(hub, request).await.map(nothing)
        }
        ("POST", 4, "modifyPushConfig") => {
            let push_config = Some(json::read_push_config(f.object("pushConfig")?)?);
            let request = pb::ModifyPushConfigRequest { subscription, push_config };
            subscriptions::modify_push_config(hub, request).await.map(nothing)
        }
        ("POST", 4, "seek") => {
            let snapshot = f.text("snapshot")?;
            let target = match f.time("time")? {
                Some(time) => Some(Target::Time(time)),
                None => Some(Target::Snapshot(snapshot)).filter(|t| *t != Target::Snapshot(String::new())),
            };
            seek::seek(hub, pb::SeekRequest { subscription, target }).await?;
            Ok(value!({}))
        }
        _ => Err(unknown(&call.method, &call.path)),
    }
}

async fn snapshots_call(hub: &Hub, call: &Call, depth: usize) -> Result<Value, Status> {
    let name = call.path.clone();
    let f = call.fields()?;
    match (call.method.as_str(), depth, call.verb.as_str()) {
        ("GET", 3, "") => {
            let (page_size, page_token) = (call.page_size()?, call.query("pageToken"));
            let request = pb::ListSnapshotsRequest { project: call.project(), page_size, page_token };
            let list = snapshots::list(hub, request).await?;
            Ok(names("snapshots", list.snapshots.iter().map(json::snapshot).collect(), list.next_page_token))
        }
        ("PUT", 4, "") => {
            let (subscription, labels) = (f.text("subscription")?, f.map("labels")?);
            let request = pb::CreateSnapshotRequest { name, subscription, labels, ..Default::default() };
            snapshots::create(hub, request).await.map(|s| json::snapshot(&s))
        }
        ("GET", 4, "") => {
            snapshots::get(hub, pb::GetSnapshotRequest { snapshot: name }).await.map(|s| json::snapshot(&s))
        }
        ("PATCH", 4, "") => {
            let new = pb::Snapshot { name, ..json::read_snapshot(f.object("snapshot")?)? };
            let request = pb::UpdateSnapshotRequest { snapshot: Some(new), update_mask: call.mask()? };
            snapshots::update(hub, request).await.map(|s| json::snapshot(&s))
        }
        ("DELETE", 4, "") => {
            snapshots::delete(hub, pb::DeleteSnapshotRequest { snapshot: name }).await.map(nothing)
        }
        _ => Err(unknown(&call.method, &call.path)),
    }
}

async fn schemas_call(hub: &Hub, call: &Call, depth: usize) -> Result<Value, Status> {
    let (name, parent) = (call.path.clone(), call.project());
    let f = call.fields()?;
    let view = json::read_view(&call.query("view"))?;
    let (page_size, page_token) = (call.page_size()?, call.query("pageToken"));
    match (call.method.as_str(), depth, call.verb.as_str()) {
        ("GET", 3, "") => {
            let request = pb::ListSchemasRequest { parent, view, page_size, page_token };
            let list = schemas::list(hub, request).await?;
            Ok(names("schemas", list.schemas.iter().map(json::schema).collect(), list.next_page_token))
        }
        ("POST", 3, "") => {
            let schema_id = call.query("schemaId");
            let request = pb::CreateSchemaRequest { parent, schema: json::read_schema(f)?, schema_id };
            schemas::create(hub, request).await.map(|s| json::schema(&s))
        }
        ("POST", 3, "validate") => {
            let request =
                pb::ValidateSchemaRequest { parent, schema: json::read_schema(f.object("schema")?)? };
            schemas::validate(hub, request).await.map(|_| value!({}))
        }
        ("POST", 3, "validateMessage") => {
            let named = f.text("name")?;
            let schema_spec = match json::read_schema(f.object("schema")?)? {
                Some(schema) => Some(SchemaSpec::Schema(schema)),
                None => Some(SchemaSpec::Name(named)),
            };
            let (message, encoding) = (f.bytes("message")?.into(), json::read_encoding(f)?);
            let request = pb::ValidateMessageRequest { parent, message, encoding, schema_spec };
            schemas::validate_message(hub, request).await.map(|_| value!({}))
        }
        ("GET", 4, "") => {
            schemas::get(hub, pb::GetSchemaRequest { name, view }).await.map(|s| json::schema(&s))
        }
        ("GET", 4, "listRevisions") => {
            let request = pb::ListSchemaRevisionsRequest { name, view, page_size, page_token };
            let list = schemas::list_revisions(hub, request).await?;
            Ok(names("schemas", list.schemas.iter().map(json::schema).collect(), list.next_page_token))
        }
        ("POST", 4, "commit") => {
            let request = pb::CommitSchemaRequest { name, schema: json::read_schema(f.object("schema")?)? };
            schemas::commit(hub, request).await.map(|s| json::schema(&s))
        }
        ("POST", 4, "rollback") => {
            let request = pb::RollbackSchemaRequest { name, revision_id: f.text("revisionId")? };
            schemas::rollback(hub, request).await.map(|s| json::schema(&s))
        }
        ("DELETE", 4, "deleteRevision") => {
            let request = pb::DeleteSchemaRevisionRequest { name, ..Default::default() };
            schemas::delete_revision(hub, request).await.map(|s| json::schema(&s))
        }
        ("DELETE", 4, "") => schemas::delete(hub, pb::DeleteSchemaRequest { name }).await.map(nothing),
        _ => Err(unknown(&call.method, &call.path)),
    }
}

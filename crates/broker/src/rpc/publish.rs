//! `Publish`: messages stay bytes from the request to the log.

use crate::clock;
use crate::hub::Hub;
use crate::limits::{PUBLISH_BYTES_MAX, PUBLISH_MESSAGES_MAX};
use crate::message;
use crate::name::{self, Kind};
use crate::rpc::schemas::DELETED_SCHEMA;
use crate::status::{invalid, out_of_range};
use crate::wire::fields;
use bytes::Bytes;
use prost::Message;
use pubsub_proto::google::pubsub::v1 as pb;
use tonic::Status;

/// `Publish`, encoded on both sides.
pub(crate) async fn publish(hub: &Hub, body: Bytes) -> Result<Bytes, Status> {
    let (name, messages) = split(&body)?;
    let response = publish_to(hub, name, &messages).await?;
    Ok(response.encode_to_vec().into())
}

/// Publishes encoded messages to a topic.
pub(crate) async fn publish_to(
    hub: &Hub,
    name: &str,
    messages: &[&[u8]],
) -> Result<pb::PublishResponse, Status> {
    name::parse(Kind::Topic, name)?;
    let topic = hub.catalog.topic(name)?;
    if messages.is_empty() {
        return Err(out_of_range("message_count", 0, "minimum", 1));
    }
    if messages.len() > PUBLISH_MESSAGES_MAX {
        return Err(out_of_range("message_count", messages.len(), "maximum", PUBLISH_MESSAGES_MAX));
    }
    let bytes: usize = messages.iter().map(|m| m.len()).sum();
    if bytes > PUBLISH_BYTES_MAX {
        return Err(out_of_range("request_size", bytes, "maximum", PUBLISH_BYTES_MAX));
    }
    let mut keys = messages.iter().map(|m| message::check(m));
    let first_key = keys.next().transpose()?.unwrap_or_default();
    for key in keys {
        let key = key?;
        // Most have none, and comparing what is empty is not free.
        if key.len() != first_key.len() || !key.is_empty() && key != first_key {
            return Err(invalid("All messages of a publish request must have the same ordering key."));
        }
    }
    let resource = topic.resource();
    let first = match &resource.schema_settings {
        None => topic.feed().publish(hub.store(), messages, clock::now()).await?,
        Some(settings) => {
            let validated = validated(hub, settings, messages)?;
            let validated: Vec<&[u8]> = validated.iter().map(Vec::as_slice).collect();
            topic.feed().publish(hub.store(), &validated, clock::now()).await?
        }
    };
    let message_ids = (first..).take(messages.len()).map(|id| id.to_string()).collect();
    Ok(pb::PublishResponse { message_ids })
}

/// Messages that fit the topic's schema, with attributes that say by which revision, as Google writes them.
fn validated(hub: &Hub, settings: &pb::SchemaSettings, messages: &[&[u8]]) -> Result<Vec<Vec<u8>>, Status> {
    if settings.schema == DELETED_SCHEMA {
        return Err(Status::failed_precondition(
            "The topic's schema was deleted. Give the topic another schema, or none, before publishing to it.",
        ));
    }
    let revisions = hub.revisions(settings)?;
    let encoding = settings.encoding();
    let encode = |message: &&[u8]| {
        let mut why = String::new();
        for (id, validator) in &revisions {
            match validator.check(message::data(message), encoding) {
                Ok(()) => {
                    let mut message = message.to_vec();
                    message::put_attribute("googclient_schemaencoding", encoding.as_str_name(), &mut message);
                    message::put_attribute("googclient_schemaname", &settings.schema, &mut message);
                    message::put_attribute("googclient_schemarevisionid", id, &mut message);
                    return Ok(message);
                }
                Err(e) if why.is_empty() => why = e,
                Err(_) => {}
            }
        }
        Err(invalid(format!("Invalid data in message: Message failed schema validation: {why}.")))
    };
    messages.iter().map(encode).collect()
}

/// Topic and messages of an encoded `PublishRequest`.
fn split(body: &[u8]) -> Result<(&str, Vec<&[u8]>), Status> {
    if body.len() > PUBLISH_BYTES_MAX {
        return Err(out_of_range("request_size", body.len(), "maximum", PUBLISH_BYTES_MAX));
    }
    let (mut name, mut messages) = (&[][..], Vec::new());
    for field in fields(body) {
        let field = field.map_err(|e| invalid(format!("The request cannot be read: {e}.")))?;
        match (field.number, field.delimited) {
            (1, true) => name = field.value,
            (2, true) => messages.push(field.value),
            _ => {}
        }
    }
    let name = std::str::from_utf8(name).map_err(|_| invalid("The name of the topic is not UTF-8."))?;
    Ok((name, messages))
}

//! Messages as bytes: checked and completed once when published, delivered as they are.

use crate::clock::{self, Micros};
use crate::limits;
use crate::status::{invalid, out_of_range};
use crate::wire::{self, Field, fields};
use bytes::BufMut;
use tonic::Status;

const DATA: u32 = 1;
const ATTRIBUTES: u32 = 2;
const MESSAGE_ID: u32 = 3;
const PUBLISH_TIME: u32 = 4;
const ORDERING_KEY: u32 = 5;

/// The ordering key of an encoded `PubsubMessage`, unless it is empty.
pub(crate) fn ordering_key(message: &[u8]) -> Option<&[u8]> {
    let key = fields(message).flatten().filter(|f| f.number == ORDERING_KEY).last()?;
    (!key.value.is_empty()).then_some(key.value)
}

/// The payload of an encoded `PubsubMessage`.
pub(crate) fn data(message: &[u8]) -> &[u8] {
    fields(message).flatten().filter(|f| f.number == DATA).last().map_or(&[], |f| f.value)
}

/// The value of an attribute of an encoded `PubsubMessage`.
pub(crate) fn attribute<'a>(message: &'a [u8], name: &str) -> Option<&'a str> {
    let found = attributes(message).filter(|(key, _)| *key == name).last()?;
    Some(found.1)
}

/// The id of an encoded `PubsubMessage`.
pub(crate) fn message_id(message: &[u8]) -> &str {
    let id = fields(message).flatten().filter(|f| f.number == MESSAGE_ID).last();
    id.and_then(|f| std::str::from_utf8(f.value).ok()).unwrap_or_default()
}

/// The publish time of an encoded `PubsubMessage`.
pub(crate) fn publish_time(message: &[u8]) -> Option<Micros> {
    let field = fields(message).flatten().filter(|f| f.number == PUBLISH_TIME).last()?;
    let time = <prost_types::Timestamp as prost::Message>::decode(field.value).ok()?;
    Some(clock::micros_of(&time))
}

/// The attributes of an encoded `PubsubMessage`.
pub(crate) fn attributes(message: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    fields(message).flatten().filter(|f| f.number == ATTRIBUTES).filter_map(|f| entry(f.value))
}

/// Key and value of an entry of a map.
fn entry(bytes: &[u8]) -> Option<(&str, &str)> {
    let (mut key, mut value) = (&[][..], &[][..]);
    for field in fields(bytes) {
        match field.ok()? {
            Field { number: 1, value: v, .. } => key = v,
            Field { number: 2, value: v, .. } => value = v,
            _ => {}
        }
    }
    Some((std::str::from_utf8(key).ok()?, std::str::from_utf8(value).ok()?))
}

/// Checks a message that is to be published. Answers its ordering key.
pub(crate) fn check(message: &[u8]) -> Result<&[u8], Status> {
    let (mut has_data, mut attributes, mut key) = (false, 0usize, &[][..]);
    for field in fields(message) {
        let field = field.map_err(|e| invalid(format!("A message of the request cannot be read: {e}.")))?;
        match field.number {
            DATA..=ATTRIBUTES | ORDERING_KEY if !field.delimited => {
                return Err(invalid("A message of the request cannot be read: a field has the wrong type."));
            }
            DATA => has_data = !field.value.is_empty(),
            ATTRIBUTES => {
                attributes += 1;
                check_attribute(field.value)?;
            }
            ORDERING_KEY => key = field.value,
            _ => {}
        }
    }
    if !has_data && attributes == 0 {
        return Err(invalid(
            "One or more messages in the publish request is empty. Each message must contain either non-empty data, \
             or at least one attribute.",
        ));
    }
    if attributes > limits::ATTRIBUTES_MAX {
        return Err(out_of_range("attributes_count", attributes, "maximum", limits::ATTRIBUTES_MAX));
    }
    if key.len() > limits::ORDERING_KEY_BYTES_MAX {
        return Err(out_of_range("ordering_key_size", key.len(), "maximum", limits::ORDERING_KEY_BYTES_MAX));
    }
    if std::str::from_utf8(key).is_err() {
        return Err(invalid("The ordering key of a message is not UTF-8."));
    }
    Ok(key)
}

fn check_attribute(bytes: &[u8]) -> Result<(), Status> {
    let (key, value) = entry(bytes).ok_or_else(|| invalid("An attribute of a message is not UTF-8 text."))?;
    if key.is_empty() {
        return Err(invalid("An attribute of a message has an empty key."));
    }
    if key.len() > limits::ATTRIBUTE_KEY_BYTES_MAX {
        return Err(out_of_range(
            "attribute_key_size",
            key.len(),
            "maximum",
            limits::ATTRIBUTE_KEY_BYTES_MAX,
        ));
    }
    if value.len() > limits::ATTRIBUTE_VALUE_BYTES_MAX {
        let max = limits::ATTRIBUTE_VALUE_BYTES_MAX;
        return Err(out_of_range("attribute_value_size", value.len(), "maximum", max));
    }
    Ok(())
}

/// Adds an attribute to an encoded message.
pub(crate) fn put_attribute(key: &str, value: &str, into: &mut Vec<u8>) {
    wire::put_header(ATTRIBUTES, wire::bytes_len(1, key.len()) + wire::bytes_len(2, value.len()), into);
    wire::put_bytes(1, key.as_bytes(), into);
    wire::put_bytes(2, value.as_bytes(), into);
}

/// Room for what [`complete`] adds to a message.
pub(crate) const COMPLETED_BYTES: usize = 48;

/// Writes a checked message with its id and its publish time (microseconds since 1970).
pub(crate) fn complete(message: &[u8], id: u64, publish_time: i64, into: &mut Vec<u8>) {
    for field in fields(message).flatten() {
        if matches!(field.number, DATA | ATTRIBUTES | ORDERING_KEY) {
            into.put_slice(field.whole);
        }
    }
    let mut digits = [0u8; 20];
    wire::put_bytes(MESSAGE_ID, decimal(id, &mut digits), into);
    let seconds = publish_time.div_euclid(1_000_000).unsigned_abs();
    let nanos = publish_time.rem_euclid(1_000_000).unsigned_abs() * 1000;
    let length = wire::number_len(1, seconds) + if nanos > 0 { wire::number_len(2, nanos) } else { 0 };
    wire::put_header(PUBLISH_TIME, length, into);
    wire::put_number(1, seconds, into);
    if nanos > 0 {
        wire::put_number(2, nanos, into);
    }
}

fn decimal(mut n: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            return &digits[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use pubsub_proto::google::pubsub::v1::PubsubMessage;

    fn message(data: &str, attributes: &[(&str, &str)], key: &str) -> PubsubMessage {
        PubsubMessage {
            data: data.to_owned().into(),
            attributes: attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ordering_key: key.to_owned(),
            ..Default::default()
        }
    }

    #[test]
    fn id_and_time_are_added_and_what_a_publisher_wrote_there_is_not_kept() {
        let mut given = message("d", &[("a", "1"), ("b", "")], "k");
        given.message_id = "mine".to_owned();
        given.publish_time = Some(prost_types::Timestamp { seconds: 5, nanos: 0 });
        let mut bytes = Vec::new();
        complete(&given.encode_to_vec(), u64::MAX, 1_700_000_000_000_001, &mut bytes);
        let kept = PubsubMessage::decode(&bytes[..]).unwrap();
        assert_eq!(kept.message_id, u64::MAX.to_string());
        assert_eq!(kept.publish_time, Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 1000 }));
        assert_eq!((kept.data, kept.attributes), (given.data, given.attributes));
        assert_eq!(attribute(&bytes, "a"), Some("1"));
        assert_eq!(attribute(&bytes, "b"), Some(""));
        assert_eq!(attribute(&bytes, "c"), None);
        assert_eq!((ordering_key(&bytes), data(&bytes)), (Some(&b"k"[..]), &b"d"[..]));
    }

    #[test]
    fn limits_are_held() {
        let text = |n: usize| "x".repeat(n);
        assert!(check(&message("d", &[], "").encode_to_vec()).is_ok());
        assert!(check(&message("", &[("a", "")], &text(1024)).encode_to_vec()).is_ok());
        let many: Vec<(String, String)> = (0..101).map(|i| (i.to_string(), String::new())).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        for wrong in [
            message("", &[], "k"),
            message("d", &many, ""),
            message("d", &[(&text(257), "")], ""),
            message("d", &[("a", &text(1025))], ""),
            message("d", &[("", "x")], ""),
            message("d", &[], &text(1025)),
        ] {
            assert_eq!(check(&wrong.encode_to_vec()).unwrap_err().code(), tonic::Code::InvalidArgument);
        }
        for wrong in [&b"\xff"[..], b"\x0a\x05a", b"\x08\x01", b"\x12\x03\x0a\x01\xff"] {
            assert!(check(wrong).is_err(), "{wrong:?}");
        }
    }
}

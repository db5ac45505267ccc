//! The messages of an epoch, as a checkpoint keeps them between `prepare` and `commit`. Pure.
//!
//! ```text
//! version 1 | topic | attribute of ids | start of ids | number of messages | message* | CRC-32 of all before, little-endian
//! message: 1 if it is given an id, 0 if its row gave one | ordering key | payload | number of attributes | (name, value)*
//! ```
//!
//! Numbers are LEB128, texts and payloads have their length before them, attributes are sorted by name.
//!
//! **Ids.** The id of a message is the start (lineage, transform, lane, epoch), its number in the epoch and a hash of
//! its content. So it is the same whenever the epoch is committed again, and no other message has it, also if
//! a pipeline went back to an older checkpoint and has other rows in an epoch of the same number.

use bytes::{Buf, Bytes};
use purlin_api::key::hash;
use purlin_api::{Error, Result};
use purlin_pubsub::proto::PubsubMessage;
use std::fmt::Write as _;

/// The attribute of ids, unless the author names one.
pub(super) const ID_ATTRIBUTE: &str = "purlin_id";
/// Longest start of an id; what is longer is hashed.
const ID_START_BYTES_MAX: usize = 200;
/// Longest id: its start, two numbers of 64 bits, a hash, and what is between them.
pub(super) const ID_BYTES_MAX: usize = ID_START_BYTES_MAX + 64;

const VERSION: u8 = 1;
const CRC_BYTES: usize = 4;

/// The start of the ids of one writer: what tells it from all others, in this pipeline and in others.
pub(super) fn id_start(lineage: &str, pipeline: &str, label: &str, lane: usize) -> String {
    let of = hash(format!("{pipeline}\0{label}").as_bytes());
    let start = format!("{lineage}-{of:016x}-{lane}");
    if start.len() <= ID_START_BYTES_MAX { start } else { format!("{:016x}", hash(start.as_bytes())) }
}

/// The messages of an epoch that is not prepared yet.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    messages: u64,
    bytes: Vec<u8>,
}

impl Gathered {
    /// Adds a message. It is given an id unless it `has_id`.
    pub(super) fn push(&mut self, message: &PubsubMessage, has_id: bool) {
        self.messages += 1;
        let out = &mut self.bytes;
        out.push(u8::from(!has_id));
        put(out, message.ordering_key.as_bytes());
        put(out, &message.data);
        let mut attributes: Vec<(&String, &String)> = message.attributes.iter().collect();
        attributes.sort_unstable();
        number(out, attributes.len() as u64);
        for (name, value) in attributes {
            put(out, name.as_bytes());
            put(out, value.as_bytes());
        }
    }

    /// How many bytes they have.
    pub(super) fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// What the checkpoint keeps; nothing is gathered afterwards.
    pub(super) fn prepare(&mut self, topic: &str, id_attribute: &str, id_start: &str) -> Bytes {
        let Gathered { messages, bytes } = std::mem::take(self);
        if messages == 0 {
            return Bytes::new();
        }
        let mut out =
            Vec::with_capacity(bytes.len() + 64 + topic.len() + id_attribute.len() + id_start.len());
        out.push(VERSION);
        for text in [topic, id_attribute, id_start] {
            put(&mut out, text.as_bytes());
        }
        number(&mut out, messages);
        out.extend_from_slice(&bytes);
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        out.into()
    }
}

fn number(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// What was prepared, message by message.
#[derive(Debug)]
pub(super) struct Prepared {
    /// Where the messages go.
    pub(super) topic: String,
    id_attribute: String,
    id_start: String,
    next: u64,
    messages: u64,
    rest: Bytes,
}

impl Prepared {
    /// Reads what [`Gathered::prepare`] wrote; `None` if that was nothing.
    ///
    /// # Errors
    /// If the bytes were changed, or written by a later version.
    pub(super) fn read(mut bytes: Bytes) -> Result<Option<Self>> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let body = bytes.len().checked_sub(CRC_BYTES).ok_or_else(damaged)?;
        let crc = bytes.split_off(body);
        if crc.as_ref() != crc32fast::hash(&bytes).to_le_bytes() {
            return Err(damaged());
        }
        match bytes.try_get_u8() {
            Ok(VERSION) => {}
            Ok(version) => {
                return Err(Error::data(format!(
                    "messages in the checkpoint have the format {version}, and this version of the program knows {VERSION}; \
                     go on with the version that wrote them"
                )));
            }
            Err(_) => return Err(damaged()),
        }
        let (topic, id_attribute, id_start) = (text(&mut bytes)?, text(&mut bytes)?, text(&mut bytes)?);
        let messages = take_number(&mut bytes)?;
        Ok(Some(Prepared { topic, id_attribute, id_start, next: 0, messages, rest: bytes }))
    }

    /// The next message, with its id.
    ///
    /// # Errors
    /// If the bytes make no sense.
    pub(super) fn next(&mut self) -> Result<Option<PubsubMessage>> {
        if self.next == self.messages {
            return if self.rest.is_empty() { Ok(None) } else { Err(damaged()) };
        }
        let whole = self.rest.clone();
        let gets_id = match self.rest.try_get_u8() {
            Ok(0) => false,
            Ok(1) => true,
            _ => return Err(damaged()),
        };
        let ordering_key = text(&mut self.rest)?;
        let data = take(&mut self.rest)?;
        let mut message = PubsubMessage { data, ordering_key, ..PubsubMessage::default() };
        for _ in 0..take_number(&mut self.rest)? {
            let (name, value) = (text(&mut self.rest)?, text(&mut self.rest)?);
            message.attributes.insert(name, value);
        }
        if gets_id {
            let content = whole.slice(..whole.len() - self.rest.len());
            let mut id = self.id_start.clone();
            write!(id, "-{}-{:08x}", self.next, hash(&content) as u32)
                .map_err(|e| Error::internal(e.to_string()))?;
            message.attributes.insert(self.id_attribute.clone(), id);
        }
        self.next += 1;
        Ok(Some(message))
    }
}

fn damaged() -> Error {
    Error::data(
        "the messages that a checkpoint keeps for a topic are damaged: go on from an older checkpoint",
    )
}

fn take_number(bytes: &mut Bytes) -> Result<u64> {
    let mut n = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = bytes.try_get_u8().map_err(|_| damaged())?;
        n |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(n);
        }
    }
    Err(damaged())
}

fn take(bytes: &mut Bytes) -> Result<Bytes> {
    let len = usize::try_from(take_number(bytes)?).map_err(|_| damaged())?;
    if len > bytes.len() {
        return Err(damaged());
    }
    Ok(bytes.split_to(len))
}

fn text(bytes: &mut Bytes) -> Result<String> {
    String::from_utf8(take(bytes)?.to_vec()).map_err(|_| damaged())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{HashMap, HashSet};

    fn all(bytes: Bytes) -> Result<Vec<PubsubMessage>> {
        let Some(mut prepared) = Prepared::read(bytes)? else { return Ok(Vec::new()) };
        std::iter::from_fn(|| prepared.next().transpose()).collect()
    }

    fn message(data: &str, key: &str, attributes: &HashMap<String, String>) -> PubsubMessage {
        PubsubMessage {
            data: data.to_owned().into(),
            ordering_key: key.to_owned(),
            attributes: attributes.clone(),
            ..PubsubMessage::default()
        }
    }

    proptest! {
        #[test]
        fn messages_come_back_in_order_under_ids_of_their_own(
            messages in prop::collection::vec(
                (".{0,200}", "[a-c]?", prop::collection::hash_map("[a-z]{1,8}", ".{0,9}", 0..4), any::<bool>()), 0..20),
            flip in any::<(prop::sample::Index, u8)>(),
        ) {
            let mut gathered = Gathered::default();
            for (data, key, attributes, has_id) in &messages {
                gathered.push(&message(data, key, attributes), *has_id);
            }
            let start = id_start("lineage", "p", "Out", 3);
            let bytes = gathered.prepare("projects/p/topics/t", ID_ATTRIBUTE, &format!("{start}-7"));
            prop_assert!(gathered.size_bytes() == 0 && gathered.prepare("t", "a", "b").is_empty());
            let back = all(bytes.clone()).unwrap();
            prop_assert_eq!(&back, &all(bytes.clone()).unwrap(), "the same ids again");
            prop_assert_eq!(back.len(), messages.len());
            let mut ids = HashSet::new();
            for (mut back, (data, key, attributes, has_id)) in back.into_iter().zip(&messages) {
                if !has_id {
                    let id = back.attributes.remove(ID_ATTRIBUTE).unwrap();
                    prop_assert!(id.len() <= ID_BYTES_MAX && id.starts_with("lineage-"));
                    prop_assert!(ids.insert(id));
                }
                prop_assert_eq!(back, message(data, key, attributes));
            }
            if !bytes.is_empty() && flip.1 != 0 {
                let mut broken = bytes.to_vec();
                let at = flip.0.index(broken.len());
                broken[at] ^= flip.1;
                prop_assert!(all(broken.into()).is_err());
                prop_assert!(all(bytes.slice(..flip.0.index(bytes.len()).max(1))).is_err());
            }
        }

        #[test]
        fn bytes_that_make_no_sense_are_refused(body in prop::collection::vec(any::<u8>(), 0..60)) {
            // With a good sum, so that what is behind it is looked at.
            let mut bytes = vec![VERSION];
            bytes.extend(body);
            bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
            let _no_panic = all(bytes.into());
        }
    }

    #[test]
    fn other_content_has_other_ids() {
        let ids = |data: &str| {
            let mut gathered = Gathered::default();
            gathered.push(&message(data, "", &HashMap::new()), false);
            let bytes = gathered.prepare("t", "id", "l-1");
            all(bytes).unwrap()[0].attributes["id"].clone()
        };
        assert_eq!(ids("a"), ids("a"));
        assert_ne!(ids("a"), ids("b"), "a row of an epoch that was cut anew is no copy");
        let long = id_start(&"x".repeat(5000), "p", "Out", 0);
        assert!(long.len() <= ID_START_BYTES_MAX, "{long}");
        assert_ne!(id_start("l", "p", "A", 0), id_start("l", "p", "B", 0));
        assert_ne!(id_start("l", "p", "A", 0), id_start("l", "p", "A", 1));
    }

    #[test]
    fn a_later_format_is_named() {
        let mut bytes = vec![9, 0];
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        let e = all(bytes.into()).unwrap_err().to_string();
        assert!(e.contains("format 9"), "{e}");
    }
}

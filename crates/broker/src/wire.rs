//! Reading and writing protobuf without messages in between: what is published is kept and delivered as bytes.

use bytes::BufMut;
use prost::encoding::{decode_varint, encode_varint, encoded_len_varint};

/// One field of an encoded message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    /// Its number.
    pub(crate) number: u32,
    /// Its bytes, where it has a length; else what follows the tag.
    pub(crate) value: &'a [u8],
    /// Tag, length and value.
    pub(crate) whole: &'a [u8],
    /// Whether it has a length.
    pub(crate) delimited: bool,
}

/// The bytes are no protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no protobuf message")]
pub(crate) struct Malformed;

/// The fields of an encoded message, in order.
pub(crate) fn fields(bytes: &[u8]) -> Fields<'_> {
    Fields { rest: bytes }
}

/// See [`fields`].
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn read(&mut self) -> Result<Field<'a>, Malformed> {
        let start = self.rest;
        let mut at = start;
        let tag = decode_varint(&mut at).map_err(|_| Malformed)?;
        let number = u32::try_from(tag >> 3).map_err(|_| Malformed)?;
        let (skip, length) = match tag & 7 {
            0 => {
                let before = at.len();
                let mut value = at;
                decode_varint(&mut value).map_err(|_| Malformed)?;
                (0, before - value.len())
            }
            1 => (0, 8),
            5 => (0, 4),
            2 => {
                let before = at.len();
                let length = decode_varint(&mut at).map_err(|_| Malformed)?;
                (before - at.len(), usize::try_from(length).map_err(|_| Malformed)?)
            }
            // Groups are no part of proto3.
            _ => return Err(Malformed),
        };
        let value = at.get(..length).filter(|_| number > 0).ok_or(Malformed)?;
        self.rest = at.get(length..).ok_or(Malformed)?;
        let whole = start.get(..start.len() - self.rest.len()).ok_or(Malformed)?;
        Ok(Field { number, value, whole, delimited: skip > 0 })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// The tag of a field with a length.
fn tag(number: u32) -> u64 {
    u64::from(number) << 3 | 2
}

/// Writes a field with a length.
pub(crate) fn put_bytes(number: u32, value: &[u8], into: &mut impl BufMut) {
    put_header(number, value.len(), into);
    into.put_slice(value);
}

/// Writes tag and length of a field.
pub(crate) fn put_header(number: u32, length: usize, into: &mut impl BufMut) {
    encode_varint(tag(number), into);
    encode_varint(length as u64, into);
}

/// Writes a field that is a number.
pub(crate) fn put_number(number: u32, value: u64, into: &mut impl BufMut) {
    encode_varint(u64::from(number) << 3, into);
    encode_varint(value, into);
}

/// The size of a field with a length.
pub(crate) fn bytes_len(number: u32, length: usize) -> usize {
    encoded_len_varint(tag(number)) + encoded_len_varint(length as u64) + length
}

/// The size of a field that is a number.
pub(crate) fn number_len(number: u32, value: u64) -> usize {
    encoded_len_varint(u64::from(number) << 3) + encoded_len_varint(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use prost::Message;
    use pubsub_proto::google::pubsub::v1::PubsubMessage;

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let whole: usize = fields(&bytes).flatten().map(|f| f.whole.len()).sum();
            prop_assert!(whole <= bytes.len());
        }

        #[test]
        fn fields_are_those_of_the_message(data in proptest::collection::vec(any::<u8>(), 0..40), key in ".{0,9}") {
            let message = PubsubMessage { data: data.clone().into(), ordering_key: key.clone(), ..Default::default() };
            let bytes = message.encode_to_vec();
            let mut again = Vec::new();
            for field in fields(&bytes) {
                let field = field.unwrap();
                put_bytes(field.number, field.value, &mut again);
                prop_assert_eq!(field.whole.len(), bytes_len(field.number, field.value.len()));
            }
            prop_assert_eq!(again, bytes);
        }
    }
}

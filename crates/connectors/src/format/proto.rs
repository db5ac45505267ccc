//! Protocol Buffers: messages described by the text of a `.proto` file, as rows.
//!
//! Integers are `int`, floats are `float`, enums are text, nested messages are rows, `repeated` fields are lists,
//! maps are maps from text, `google.protobuf.Timestamp` is a timestamp. A field with presence (`optional`, a message,
//! part of a `oneof`) may be null; any other has its default when it is absent.

mod decode;
mod encode;
mod parse;
mod schema;

pub(crate) use decode::Reader;
pub(crate) use encode::Writer;
pub(crate) use schema::Message;

#[cfg(test)]
mod tests;

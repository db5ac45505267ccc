//! What a message has, and the columns that it is for us.

use super::parse;
use arrow_schema::{DataType, Field, Fields, TimeUnit};
use std::sync::Arc;

/// A message type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    /// Its full name.
    pub(super) name: String,
    pub(super) members: Vec<Member>,
}

/// A field of a message.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) number: u32,
    pub(super) of: Type,
    pub(super) how: Presence,
}

/// How often a field may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// Absent is the default.
    Implicit,
    /// Absent is null.
    Explicit,
    Repeated,
    /// Entries, with the type of their keys.
    Map(Key),
}

/// What keys of maps are. For us they are text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Text,
    Bool,
    Int(Int),
}

/// How an integer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Int {
    Int32,
    Int64,
    UInt32,
    UInt64,
    /// `sint32`: small negative numbers are short.
    SInt32,
    SInt64,
    Fixed32,
    Fixed64,
    SFixed32,
    SFixed64,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Type {
    Int(Int),
    Bool,
    Float,
    Double,
    Text,
    Bytes,
    /// Names by number.
    Enum(Arc<[(i64, String)]>),
    Message(Arc<Message>),
    /// `google.protobuf.Timestamp`.
    Timestamp,
}

impl Message {
    /// Understands the text of a `.proto` file: the message that no other message uses.
    ///
    /// # Errors
    /// What is wrong with it, with the line.
    pub(crate) fn parse(text: &str) -> Result<Arc<Self>, String> {
        parse::root(text)
    }

    /// The columns.
    pub(crate) fn fields(&self) -> Fields {
        self.members.iter().map(Member::field).collect()
    }
}

impl Member {
    fn field(&self) -> Field {
        let of = self.of.data_type();
        match self.how {
            Presence::Implicit => Field::new(&self.name, of, false),
            Presence::Explicit => Field::new(&self.name, of, true),
            Presence::Repeated => {
                Field::new(&self.name, DataType::List(Arc::new(Field::new("item", of, false))), false)
            }
            Presence::Map(_) => {
                let entries = Fields::from(vec![
                    Field::new("key", DataType::Utf8, false),
                    Field::new("value", of, false),
                ]);
                let entries = Field::new("entries", DataType::Struct(entries), false);
                Field::new(&self.name, DataType::Map(Arc::new(entries), false), false)
            }
        }
    }
}

impl Type {
    fn data_type(&self) -> DataType {
        match self {
            Type::Int(_) => DataType::Int64,
            Type::Bool => DataType::Boolean,
            Type::Float | Type::Double => DataType::Float64,
            Type::Text | Type::Enum(_) => DataType::Utf8,
            Type::Bytes => DataType::Binary,
            Type::Message(m) => DataType::Struct(m.fields()),
            Type::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }

    /// As the language calls it, about.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Type::Int(_) => "an integer",
            Type::Bool => "a bool",
            Type::Float | Type::Double => "a float",
            Type::Text => "a string",
            Type::Bytes => "bytes",
            Type::Enum(_) => "an enum",
            Type::Message(_) => "a message",
            Type::Timestamp => "a Timestamp",
        }
    }
}

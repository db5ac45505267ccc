//! Types of JSON fields from the beginning of a file.

use crate::shared::records::Records;
use crate::shared::scan::Framing;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use indexmap::IndexMap;
use purlin_api::Result;
use purlin_api::shape::any_field;
use serde_json::Value;
use std::sync::Arc;

/// A nested object with more keys than this is taken for a dictionary: its values are kept as JSON.
const NESTED_KEYS_MAX: usize = 1000;

/// What values have in common.
#[derive(Clone, Debug, Default, PartialEq)]
enum Type {
    #[default]
    Null,
    Bool,
    Int,
    Float,
    Text,
    List(Box<Type>),
    Row(IndexMap<String, Type>),
    Any,
}

impl Type {
    fn add(&mut self, value: &Value) {
        let kind = match value {
            Value::Null => return,
            Value::Bool(_) => Type::Bool,
            // Integers above 64 bits are kept as they are written.
            Value::Number(n) if n.is_u64() && !n.is_i64() => Type::Any,
            Value::Number(n) if n.is_i64() => Type::Int,
            Value::Number(_) => Type::Float,
            Value::String(_) => Type::Text,
            Value::Array(items) => return self.add_list(items),
            Value::Object(members) => return self.add_row(members, NESTED_KEYS_MAX),
        };
        *self = match (std::mem::take(self), kind) {
            (Type::Null, k) => k,
            (a, b) if a == b => a,
            (Type::Int | Type::Float, Type::Int | Type::Float) => Type::Float,
            _ => Type::Any,
        };
    }

    fn add_list(&mut self, items: &[Value]) {
        let mut item = match std::mem::take(self) {
            Type::List(item) => item,
            Type::Null => Box::default(),
            _ => {
                *self = Type::Any;
                return;
            }
        };
        items.iter().for_each(|i| item.add(i));
        *self = Type::List(item);
    }

    fn add_row(&mut self, members: &serde_json::Map<String, Value>, keys_max: usize) {
        let mut fields = match std::mem::take(self) {
            Type::Row(fields) => fields,
            Type::Null => IndexMap::new(),
            _ => {
                *self = Type::Any;
                return;
            }
        };
        for (name, value) in members {
            match fields.get_mut(name) {
                Some(t) => t.add(value),
                None => {
                    let mut t = Type::Null;
                    t.add(value);
                    fields.insert(name.clone(), t);
                }
            }
        }
        *self = if fields.len() > keys_max { Type::Any } else { Type::Row(fields) };
    }

    fn field(&self, name: &str, flatten: bool) -> Field {
        let data_type = match self {
            Type::Null => DataType::Null,
            Type::Bool => DataType::Boolean,
            Type::Int => DataType::Int64,
            Type::Float => DataType::Float64,
            Type::Text => DataType::Utf8,
            Type::List(_) | Type::Row(_) if flatten => DataType::Utf8,
            Type::List(item) => DataType::List(Arc::new(item.field("item", false))),
            // An object that was always empty says nothing of what may come.
            Type::Row(fields) if fields.is_empty() => return any_field(name),
            Type::Row(fields) => DataType::Struct(fields.iter().map(|(n, t)| t.field(n, false)).collect()),
            Type::Any => return any_field(name),
        };
        Field::new(name, data_type, true)
    }
}

/// What the beginning of a file shows.
#[derive(Debug)]
pub(crate) struct Sample {
    /// The fields in the order in which they are first met; all may be null.
    pub(crate) schema: SchemaRef,
    /// How many rows were looked at.
    pub(crate) rows: usize,
    /// True if more of the file would tell more.
    pub(crate) wants_more: bool,
}

/// Looks at up to `rows_max` objects of a file's beginning; `whole` says that `head` is all of the file.
/// `flatten`: nested values are text (Beam's way).
///
/// # Errors
/// A file that is not text.
pub(crate) fn sample(
    head: &Bytes,
    whole: bool,
    framing: Framing,
    rows_max: usize,
    flatten: bool,
) -> Result<Sample> {
    let input = std::io::Cursor::new(head.clone());
    let mut records = Records::new(Box::new(input), "", framing, head.len().max(1));
    let (mut all, mut rows, mut cut) = (Type::Row(IndexMap::new()), 0, false);
    while rows < rows_max {
        let Some(record) = records.next()? else { break };
        let value = serde_json::from_slice::<Value>(record.bytes);
        // The last record of a head may go on behind it.
        if !whole && records.position().0 >= head.len() as u64 {
            cut = true;
            break;
        }
        if let Ok(Value::Object(members)) = value {
            all.add_row(&members, usize::MAX);
            rows += 1;
        }
    }
    let fields = match &all {
        Type::Row(fields) => fields.iter().map(|(n, t)| t.field(n, flatten)).collect(),
        _ => Vec::new(),
    };
    let wants_more = !whole && (cut || rows < rows_max);
    Ok(Sample { schema: Arc::new(Schema::new(fields)), rows, wants_more })
}

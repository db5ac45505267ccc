//! Schemas that the author writes: JSON schema to Arrow fields.

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use purlin_api::shape::any_field;
use purlin_spec::{Diagnostic, Diagnostics, Node};
use std::sync::Arc;

/// Deepest nesting of a schema.
const DEPTH_MAX: usize = 64;

/// The fields of a JSON schema of type `object` with `properties`, or of the properties alone.
/// Every field may be null.
pub(crate) fn from_json_schema(node: &Node, d: &mut Diagnostics) -> Option<SchemaRef> {
    let properties = node.get("properties").unwrap_or(node);
    let fields = fields(properties, 0, d)?;
    if fields.is_empty() {
        d.push(Diagnostic::error("schema/no-fields", node.span, "the schema has no properties"));
        return None;
    }
    Some(Arc::new(Schema::new(fields)))
}

fn fields(properties: &Node, depth: usize, d: &mut Diagnostics) -> Option<Fields> {
    let Some(map) = properties.as_map() else {
        purlin_spec::config::wrong_kind(properties, "a mapping from names to types", d);
        return None;
    };
    let fields: Vec<Option<Field>> = map
        .iter()
        .filter(|(name, _)| !name.starts_with("__"))
        .map(|(name, e)| field(name, &e.node, depth, d))
        .collect();
    fields.into_iter().collect()
}

fn field(name: &str, node: &Node, depth: usize, d: &mut Diagnostics) -> Option<Field> {
    let refuse = |d: &mut Diagnostics, what: String| {
        d.push(
            Diagnostic::error("schema/unknown-type", node.span, what)
                .help("valid types: string, integer, number, boolean, bytes, timestamp, array, object"),
        );
        None
    };
    if depth > DEPTH_MAX {
        return refuse(d, format!("the schema of `{name}` is nested deeper than {DEPTH_MAX} levels"));
    }
    let Some(word) = type_word(node) else {
        return refuse(d, format!("the schema of `{name}` does not say its type"));
    };
    let format = node.get("format").and_then(Node::as_text);
    let data_type = match word {
        "string" if format == Some("date-time") => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        "string" | "str" => DataType::Utf8,
        "integer" | "int" => DataType::Int64,
        "number" | "float" => DataType::Float64,
        "boolean" | "bool" => DataType::Boolean,
        "bytes" => DataType::Binary,
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "null" => DataType::Null,
        "array" => match node.get("items") {
            Some(items) => DataType::List(Arc::new(field("item", items, depth + 1, d)?)),
            None => return Some(any_field(name)),
        },
        "object" => match node.get("properties") {
            Some(properties) => DataType::Struct(fields(properties, depth + 1, d)?),
            None => return Some(any_field(name)),
        },
        "any" => return Some(any_field(name)),
        other => return refuse(d, format!("`{name}` has the unknown type `{other}`")),
    };
    Some(Field::new(name, data_type, true))
}

/// `integer`, `{type: integer}` or `{type: [integer, "null"]}`.
fn type_word(node: &Node) -> Option<&str> {
    let word = node.get("type").unwrap_or(node);
    if let Some(list) = word.as_list() {
        let mut words = list.iter().filter_map(Node::as_text).filter(|w| *w != "null");
        return match (words.next(), words.next()) {
            (Some(one), None) => Some(one),
            (Some(_), Some(_)) => Some("any"),
            _ => None,
        };
    }
    word.as_text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::testing::node;
    use purlin_api::shape::type_name;

    fn check(yaml: &str, want: &str) {
        let mut d = Diagnostics::default();
        let text = match from_json_schema(&node(yaml), &mut d) {
            Some(s) => s
                .fields()
                .iter()
                .map(|f| format!("{}: {}", f.name(), type_name(f)))
                .collect::<Vec<_>>()
                .join(", "),
            None => d.iter().map(|d| d.message.clone()).collect::<Vec<_>>().join("; "),
        };
        assert_eq!(text, want);
    }

    #[test]
    fn types() {
        check(
            "{type: object, properties: {a: {type: integer}, b: {type: [string, 'null']}, c: {type: array, items: {type: number}}, d: {type: object, properties: {x: {type: boolean}}}, e: {type: object}}}",
            "a: int, b: str, c: list<float>, d: row<x: bool>, e: any",
        );
        check("{properties: {my col: {type: string, format: date-time}}}", "my col: timestamp");
        check("{a: integer}", "a: int");
        check(
            "{properties: {a: {type: nope}, b: {}}}",
            "`a` has the unknown type `nope`; the schema of `b` does not say its type",
        );
        check("{properties: {}}", "the schema has no properties");
    }
}

//! Schemas that the author writes: JSON schema to Arrow fields.
//!
//! What JSON schema has no word for is spelled as a `format`, as OpenAPI does: `{type: number, format: decimal,
//! scale: 2}` (docs/adr/0015-decimals.md), `date`, `date-time` (an instant) and `date-time-local` (no zone).

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use purlin_api::decimal::DIGITS_MAX;
use purlin_api::shape::any_field;
use purlin_spec::{Diagnostic, Diagnostics, Node, suggest};
use std::sync::Arc;

/// Deepest nesting of a schema.
const DEPTH_MAX: usize = 64;
/// Words that a type of column may be.
const TYPES: [&str; 11] = [
    "string",
    "integer",
    "number",
    "decimal",
    "boolean",
    "bytes",
    "timestamp",
    "array",
    "object",
    "null",
    "any",
];
/// Formats of numbers that say how a program keeps them; they are read as what they are.
const NUMBER_FORMATS: [&str; 5] = ["float", "double", "int32", "int64", "decimal"];
/// The same of integers.
const INTEGER_FORMATS: [&str; 2] = ["int32", "int64"];
/// Words of JSON schema that say how rows are read.
const READ: [&str; 8] =
    ["type", "format", "scale", "precision", "items", "properties", "additionalProperties", "anyOf"];
/// Words of JSON schema that say nothing of how rows are read.
const NOTES: [&str; 16] = [
    "$schema",
    "$id",
    "$comment",
    "title",
    "description",
    "default",
    "example",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "nullable",
    "required",
    "oneOf",
    "unevaluatedProperties",
    "propertyNames",
];
/// Words of JSON schema that only a validator looks at.
const CHECKS: [&str; 20] = [
    "enum",
    "const",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "allOf",
    "not",
    "if",
    "then",
    "else",
];
/// Formats of text that have a type of their own.
const TYPED_FORMATS: [&str; 4] = ["date-time", "date-time-local", "date", "decimal"];
/// Formats of text that stays text.
const TEXT_FORMATS: [&str; 20] = [
    "time",
    "duration",
    "email",
    "idn-email",
    "hostname",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "uri",
    "uri-reference",
    "iri",
    "iri-reference",
    "uuid",
    "uri-template",
    "json-pointer",
    "relative-json-pointer",
    "regex",
    "int32",
    "int64",
    "password",
];

/// The fields of a JSON schema of type `object` with `properties`, or of the properties alone.
/// Every field may be null.
pub(crate) fn from_json_schema(node: &Node, d: &mut Diagnostics) -> Option<SchemaRef> {
    let properties = match node.get("properties") {
        Some(properties) => {
            check_words(node, d);
            properties
        }
        None => node,
    };
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
        let help = format!("valid types: {}", TYPES.join(", "));
        d.push(Diagnostic::error("schema/unknown-type", node.span, what).help(help));
        None
    };
    if depth > DEPTH_MAX {
        return refuse(d, format!("the schema of `{name}` is nested deeper than {DEPTH_MAX} levels"));
    }
    check_words(node, d);
    let word = match type_words(node).as_slice() {
        [] => return refuse(d, format!("the schema of `{name}` does not say its type")),
        [one] => *one,
        ["integer" | "int", "number" | "float"] | ["number" | "float", "integer" | "int"] => "number",
        // Values of several types stay what they are.
        _ => "any",
    };
    let format = node.get("format").and_then(Node::as_text);
    check_format(word, format, node, d);
    let micros = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
    let data_type = match (word, format) {
        ("number" | "float" | "string" | "str", Some("decimal")) | ("decimal", _) => decimal(name, node, d)?,
        ("string" | "str", Some("date-time")) => micros(Some("UTC")),
        ("string" | "str", Some("date-time-local")) => micros(None),
        ("string" | "str", Some("date")) => DataType::Date32,
        ("string" | "str", _) => DataType::Utf8,
        ("integer" | "int", _) => DataType::Int64,
        ("number" | "float", _) => DataType::Float64,
        ("boolean" | "bool", _) => DataType::Boolean,
        ("bytes", _) => DataType::Binary,
        ("timestamp", _) => micros(Some("UTC")),
        ("null", _) => DataType::Null,
        ("array", _) => match node.get("items") {
            Some(items) => DataType::List(Arc::new(field("item", items, depth + 1, d)?)),
            None => return Some(any_field(name)),
        },
        ("object", _) => match (node.get("properties"), node.get("additionalProperties")) {
            (Some(properties), _) => DataType::Struct(fields(properties, depth + 1, d)?),
            (None, Some(values)) if values.as_map().is_some() || values.as_text().is_some() => {
                map_of(field("value", values, depth + 1, d)?)
            }
            (None, _) => return Some(any_field(name)),
        },
        ("any", _) => return Some(any_field(name)),
        (other @ ("date" | "datetime" | "date-time"), _) => {
            let format = if other == "date" { "date" } else { "date-time" };
            let what = format!("`{name}` has the unknown type `{other}`");
            let help = format!("JSON has no such type; write `{{type: string, format: {format}}}`");
            d.push(Diagnostic::error("schema/unknown-type", node.span, what).help(help));
            return None;
        }
        (other, _) => return refuse(d, format!("`{name}` has the unknown type `{other}`")),
    };
    let digits = ["scale", "precision"].into_iter().find_map(|w| Some((w, node.get(w)?)));
    if let (Some((word, given)), false) = (digits, matches!(data_type, DataType::Decimal128(..))) {
        let what = format!("`{name}` has a `{word}` but is no decimal");
        d.push(Diagnostic::error("schema/decimal", given.span, what).help(DECIMAL_HELP));
        return None;
    }
    Some(Field::new(name, data_type, true))
}

/// A map from text.
fn map_of(value: Field) -> DataType {
    let entries = Fields::from(vec![Field::new("key", DataType::Utf8, false), value]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

const DECIMAL_HELP: &str = "write how many decimals it has: `{type: number, format: decimal, scale: 2}`";

/// `scale` and `precision` of a decimal.
fn decimal(name: &str, node: &Node, d: &mut Diagnostics) -> Option<DataType> {
    let mut digits = |word: &str, low: u8| match node.get(word) {
        None => Some(None),
        Some(given) => {
            let n = given.scalar_text().and_then(|t| t.parse::<u8>().ok());
            let n = n.filter(|n| (low..=DIGITS_MAX).contains(n));
            if n.is_none() {
                let what = format!("the `{word}` of `{name}` is a whole number from {low} to {DIGITS_MAX}");
                d.push(Diagnostic::error("schema/decimal", given.span, what));
            }
            n.map(Some)
        }
    };
    let (scale, precision) = (digits("scale", 0), digits("precision", 1));
    let (scale, precision) = (scale?, precision?.unwrap_or(DIGITS_MAX));
    let Some(scale) = scale else {
        d.push(
            Diagnostic::error("schema/decimal", node.span, format!("`{name}` is a decimal without a scale"))
                .help(DECIMAL_HELP),
        );
        return None;
    };
    if scale > precision {
        let what = format!("`{name}` has {scale} decimals in {precision} digits");
        d.push(Diagnostic::error("schema/decimal", node.span, what));
        return None;
    }
    Some(DataType::Decimal128(precision, i8::try_from(scale).ok()?))
}

/// Warns of a format that a type does not have: it says nothing of how values are read.
fn check_format(word: &str, format: Option<&str>, node: &Node, d: &mut Diagnostics) {
    let Some(format) = format else { return };
    let (known, reading): (Vec<&str>, _) = match word {
        "string" | "str" => (TYPED_FORMATS.iter().chain(&TEXT_FORMATS).copied().collect(), "plain text"),
        "number" | "float" => (NUMBER_FORMATS.to_vec(), "a float"),
        "integer" | "int" => (INTEGER_FORMATS.to_vec(), "an integer"),
        "decimal" => (vec!["decimal"], "a decimal"),
        "timestamp" => (vec!["date-time"], "a timestamp"),
        other => (Vec::new(), other),
    };
    if known.contains(&format) {
        return;
    }
    let span = node.get("format").map_or(node.span, |n| n.span);
    d.push(
        Diagnostic::warning("schema/unknown-format", span, format!("`{format}` is no format of `{word}`"))
            .label(format!("read as {reading}"))
            .maybe_help(suggest::did_you_mean(format, known.iter().copied())),
    );
}

/// Says what a word of a schema does not do.
fn check_words(node: &Node, d: &mut Diagnostics) {
    for (word, entry) in node.as_map().into_iter().flatten() {
        let word = word.as_str();
        if READ.contains(&word) || NOTES.contains(&word) || word.starts_with("x-") || word.starts_with("__") {
            continue;
        }
        let diagnostic = if CHECKS.contains(&word) {
            Diagnostic::warning(
                "schema/not-checked",
                entry.key,
                format!("`{word}` is not checked while reading"),
            )
            .help("a `ValidateWithSchema` behind the reader checks all of JSON schema")
        } else {
            let known = READ.iter().chain(&NOTES).chain(&CHECKS).copied();
            Diagnostic::warning("schema/unknown-word", entry.key, format!("`{word}` is no word of a schema"))
                .label("without effect")
                .maybe_help(suggest::did_you_mean(word, known))
        };
        d.push(diagnostic);
    }
}

/// The types that values may have but null: of `integer`, `{type: integer}`, `{type: [integer, "null"]}` and
/// `{anyOf: [{type: integer}, ...]}`.
fn type_words(node: &Node) -> Vec<&str> {
    let mut words: Vec<&str> = match (node.get("type"), node.get("anyOf").or(node.get("oneOf"))) {
        (None, Some(choices)) => choices.as_list().unwrap_or_default().iter().flat_map(type_words).collect(),
        (word, _) => {
            let word = word.unwrap_or(node);
            match word.as_list() {
                Some(list) => list.iter().filter_map(Node::as_text).collect(),
                None => word.as_text().into_iter().collect(),
            }
        }
    };
    if words.len() > 1 {
        words.retain(|w| *w != "null");
        words.dedup();
    }
    words
}

/// True for a field of a schema whose values may be text or something else: in a file of text, text.
pub(crate) fn takes_text(schema: &Node, name: &str) -> bool {
    let fields = schema.get("properties").unwrap_or(schema);
    fields.get(name).is_some_and(|f| type_words(f).iter().any(|w| matches!(*w, "string" | "str")))
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
        check(
            "{a: {type: number, format: decimal, scale: 2}, b: {type: string, format: decimal, scale: 0, precision: 9}, c: {type: [decimal, 'null'], scale: 3}}",
            "a: decimal(38, 2), b: decimal(9, 0), c: decimal(38, 3)",
        );
        check(
            "{a: {type: string, format: date}, b: {type: string, format: date-time-local}, c: {type: string, format: uuid}}",
            "a: date, b: datetime, c: str",
        );
        check(
            "{a: {type: [string, number]}, b: {anyOf: [{type: integer}, {type: 'null'}]}, c: {oneOf: [{type: integer}, {type: string}]}, d: {type: [integer, number]}, e: {type: 'null'}}",
            "a: any, b: int, c: any, d: float, e: null",
        );
        check("{a: {type: object, additionalProperties: {type: integer}}}", "a: map<str, int>");
    }

    #[test]
    fn money_is_never_a_float_by_mistake() {
        let told = |yaml: &str| {
            let mut d = Diagnostics::default();
            let schema = from_json_schema(&node(yaml), &mut d);
            assert!(schema.is_none() && d.has_errors(), "{yaml}: {schema:?}");
            purlin_api::testing::describe(&d)
        };
        for yaml in [
            "{a: {type: number, format: decimel, scale: 2}}",
            "{a: {type: number, scale: 2}}",
            "{a: {type: integer, format: decimal, precision: 9}}",
            "{a: {type: string, precision: 9}}",
        ] {
            let text = told(yaml);
            assert!(
                text.contains("but is no decimal") && text.contains("format: decimal, scale: 2}"),
                "{text}"
            );
        }
        assert!(told("{a: {type: nope}}").contains("decimal"));
        assert!(told("{a: {type: date}}").contains("{type: string, format: date}"));
        assert!(told("{a: {type: datetime}}").contains("{type: string, format: date-time}"));
    }

    #[test]
    fn slips_in_schemas_are_named() {
        check("{a: {type: number, format: decimal}}", "`a` is a decimal without a scale");
        check("{a: {type: decimal, scale: 39}}", "the `scale` of `a` is a whole number from 0 to 38");
        check("{a: {type: decimal, scale: two}}", "the `scale` of `a` is a whole number from 0 to 38");
        check("{a: {type: decimal, scale: 3, precision: 2}}", "`a` has 3 decimals in 2 digits");
        let warned = |yaml: &str| {
            let mut d = Diagnostics::default();
            assert!(from_json_schema(&node(yaml), &mut d).is_some());
            d.iter().map(|d| d.message.clone()).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(warned("{a: {type: string, fromat: date}}"), "`fromat` is no word of a schema");
        assert_eq!(warned("{a: {type: string, format: dat}}"), "`dat` is no format of `string`");
        assert_eq!(warned("{a: {type: number, format: decimel}}"), "`decimel` is no format of `number`");
        assert_eq!(
            warned("{a: {type: [integer, 'null'], format: date-time}}"),
            "`date-time` is no format of `integer`"
        );
        assert_eq!(warned("{a: {type: boolean, format: int8}}"), "`int8` is no format of `boolean`");
        assert_eq!(warned("{a: {type: number, format: double}, b: {type: integer, format: int32}}"), "");
        assert_eq!(warned("{a: {type: integer, minimum: 3}}"), "`minimum` is not checked while reading");
        assert_eq!(
            warned("{type: object, required: [a], properties: {a: {type: string, description: b}}}"),
            ""
        );
    }
}

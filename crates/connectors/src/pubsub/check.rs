//! What both transforms check before anything runs.

use crate::format::avro::Datum;
use crate::format::proto::Message;
use crate::format::schema::from_json_schema;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use purlin_api::{BindCx, Error, ErrorKind};
use purlin_pubsub::{SubscriptionName, TopicName};
use purlin_spec::config::{OneOrMany, Spanned};
use purlin_spec::{Diagnostic, Node, suggest};
use std::sync::Arc;

/// What payloads are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    Raw,
    Text,
    Json,
    Avro,
    Proto,
}

/// The names, in the order of the reference.
const FORMATS: [(&str, Payload); 5] = [
    ("RAW", Payload::Raw),
    ("STRING", Payload::Text),
    ("JSON", Payload::Json),
    ("AVRO", Payload::Avro),
    ("PROTO", Payload::Proto),
];

impl Payload {
    /// The name an author uses.
    pub(super) fn name(self) -> &'static str {
        FORMATS.iter().find(|(_, p)| *p == self).map_or("", |(name, _)| name)
    }

    /// Reads the field `format`.
    pub(super) fn bind(given: &Spanned<String>, cx: &mut BindCx<'_>) -> Option<Payload> {
        let word = given.value.to_ascii_uppercase();
        let found = FORMATS.iter().find(|(name, _)| *name == word).map(|(_, p)| *p);
        if found.is_none() {
            let known = || FORMATS.iter().map(|(name, _)| *name);
            let what = format!("`{}` is not a format of messages", given.value);
            let help = suggest::did_you_mean(&word, known())
                .unwrap_or_else(|| format!("formats: {}", known().collect::<Vec<_>>().join(", ")));
            cx.diagnostics.push(Diagnostic::error("config/unknown-word", given.span, what).help(help));
        }
        found
    }
}

/// Reports a problem.
pub(super) fn refuse<T>(
    cx: &mut BindCx<'_>,
    code: &'static str,
    at: purlin_spec::Span,
    what: String,
) -> Option<T> {
    cx.diagnostics.push(Diagnostic::error(code, at, what));
    None
}

/// Stands for the project that the environment names: nobody looks there before the run.
const ANY_PROJECT: &str = "project";

/// Checks the name of a topic; a short one is completed when the pipeline starts.
pub(super) fn topic(given: &Spanned<String>, cx: &mut BindCx<'_>) -> Option<String> {
    match TopicName::parse(&given.value, Some(ANY_PROJECT)) {
        Ok(_) => Some(given.value.clone()),
        Err(e) => refuse(cx, "pubsub/name", given.span, e.to_string()),
    }
}

/// Checks the name of a subscription; a short one is completed when the pipeline starts.
pub(super) fn subscription(given: &Spanned<String>, cx: &mut BindCx<'_>) -> Option<String> {
    match SubscriptionName::parse(&given.value, Some(ANY_PROJECT)) {
        Ok(_) => Some(given.value.clone()),
        Err(e) => refuse(cx, "pubsub/name", given.span, e.to_string()),
    }
}

/// An error of the client as one of ours.
pub(super) fn failed(e: purlin_pubsub::Error) -> Error {
    use purlin_pubsub::ErrorKind as K;
    let kind = match e.kind() {
        K::Config => ErrorKind::Config,
        K::NotFound | K::Denied | K::Refused => ErrorKind::Denied,
        K::AlreadyExists => ErrorKind::Conflict,
        K::Exhausted => ErrorKind::Exhausted,
        K::Unavailable => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    };
    Error::new(kind, e.to_string()).caused_by(e)
}

/// The schema, without one that says nothing.
pub(super) fn given(schema: Option<&Node>) -> Option<&Node> {
    schema.filter(|s| !s.is_null())
}

/// A format that needs a schema has one; one that takes none has none.
pub(super) fn needs_schema<'a>(
    payload: Payload,
    format: &Spanned<String>,
    schema: Option<&'a Node>,
    cx: &mut BindCx<'_>,
) -> Option<&'a Node> {
    let found = given(schema);
    if found.is_none() {
        let what = format!("messages in the format {} need a `schema`", payload.name());
        let help = match payload {
            Payload::Json => "a JSON schema: `schema: {type: object, properties: {name: {type: string}}}`",
            Payload::Avro => {
                "an Avro schema: `schema: {type: record, name: r, fields: [{name: a, type: long}]}`"
            }
            _ => "the text of a `.proto` file with one message",
        };
        cx.diagnostics.push(Diagnostic::error("pubsub/needs-schema", format.span, what).help(help));
    }
    found
}

/// Refuses a schema for a format without.
pub(super) fn no_schema(payload: Payload, schema: Option<&Node>, cx: &mut BindCx<'_>) {
    if let Some(node) = given(schema) {
        let what = format!("messages in the format {} have no schema", payload.name());
        let help = "leave `schema` out, or use `format: JSON`";
        cx.diagnostics.push(Diagnostic::error("pubsub/no-schema", node.span, what).help(help));
    }
}

/// The fields of a JSON schema; what is `required` is never null.
pub(super) fn json_schema(node: &Node, cx: &mut BindCx<'_>) -> Option<SchemaRef> {
    if node.as_map().is_none() {
        purlin_spec::config::wrong_kind(node, "a JSON schema (a mapping)", cx.diagnostics);
        return None;
    }
    let schema = from_json_schema(node, cx.diagnostics)?;
    Some(Arc::new(Schema::new(required(node, schema.fields()))))
}

fn required(node: &Node, fields: &Fields) -> Fields {
    let names: Vec<&str> = node
        .get("required")
        .and_then(Node::as_list)
        .unwrap_or_default()
        .iter()
        .filter_map(Node::as_text)
        .collect();
    let properties = node.get("properties");
    fields
        .iter()
        .map(|f| {
            let inner = properties.and_then(|p| p.get(f.name()));
            let field = Field::clone(f);
            let field = match (f.data_type(), inner) {
                (DataType::Struct(fields), Some(inner)) => {
                    field.with_data_type(DataType::Struct(required(inner, fields)))
                }
                _ => field,
            };
            Arc::new(field.with_nullable(!names.contains(&f.name().as_str())))
        })
        .collect()
}

/// An Avro schema.
pub(super) fn avro_schema(node: &Node, cx: &mut BindCx<'_>) -> Option<Datum> {
    let json = match node.as_text() {
        Some(text) => text.to_owned(),
        None => node.to_json().to_string(),
    };
    match Datum::new(&json) {
        Ok(datum) => Some(datum),
        Err(e) => {
            refuse(cx, "schema/not-avro", node.span, format!("this is not an Avro schema of a record: {e}"))
        }
    }
}

/// The names of an optional list of fields.
pub(super) fn names(given: Option<&OneOrMany<Spanned<String>>>) -> &[Spanned<String>] {
    given.map_or(&[], |g| g.0.as_slice())
}

/// Refuses names of fields that are empty or there twice.
pub(super) fn distinct<'a>(
    taken: &Fields,
    names: impl Iterator<Item = &'a Spanned<String>>,
    cx: &mut BindCx<'_>,
) -> bool {
    let mut seen: Vec<&str> = taken.iter().map(|f| f.name().as_str()).collect();
    let mut good = true;
    for name in names {
        if name.value.trim().is_empty() {
            cx.diagnostics.push(Diagnostic::error("config/empty-name", name.span, "a field needs a name"));
            good = false;
        } else if seen.contains(&name.value.as_str()) {
            let what = format!("two fields would be called `{}`", name.value);
            cx.diagnostics.push(Diagnostic::error("config/duplicate-name", name.span, what));
            good = false;
        }
        seen.push(&name.value);
    }
    good
}

/// The message of a `.proto` file.
pub(super) fn proto_schema(node: &Node, cx: &mut BindCx<'_>) -> Option<Arc<Message>> {
    let Some(text) = node.as_text() else {
        let what = "the schema of PROTO is the text of a `.proto` file";
        cx.diagnostics.push(
            Diagnostic::error("schema/not-proto", node.span, what)
                .help("`schema: |` and below it `message Order { string customer = 1; int64 cents = 2; }`"),
        );
        return None;
    };
    match Message::parse(text) {
        Ok(message) => Some(message),
        Err(e) => {
            refuse(cx, "schema/not-proto", node.span, format!("this `.proto` file cannot be used: {e}"))
        }
    }
}

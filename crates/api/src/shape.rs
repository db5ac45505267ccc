//! What is known of a collection before it flows: schema, windowing, boundedness.

use crate::window::Windowing;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use std::sync::Arc;

/// The shape of a collection.
///
/// In `schema` the `nullable` flag says what the plan knows. Batches that flow have every field
/// nullable ([`physical`]): a reader may leave out columns that nobody reads.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Names and types.
    pub schema: SchemaRef,
    /// How its rows are windowed.
    pub windowing: Arc<Windowing>,
    /// Whether it ends.
    pub bounded: bool,
}

impl Shape {
    /// The same shape with other columns.
    #[must_use]
    pub fn with_schema(&self, schema: SchemaRef) -> Shape {
        Shape { schema, ..self.clone() }
    }
}

/// The schema that batches of this shape carry: the same fields, all nullable (nested ones too).
pub fn physical(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().iter().map(|f| nullable(f)).collect::<Vec<_>>()))
}

/// A field that may be null, and whose inner fields may be null too (map keys excepted).
pub fn nullable(f: &Field) -> Field {
    Field::new(f.name(), nullable_type(f.data_type()), true).with_metadata(f.metadata().clone())
}

/// A type whose inner fields may be null (map keys excepted).
pub fn nullable_type(t: &DataType) -> DataType {
    match t {
        DataType::List(f) => DataType::List(Arc::new(nullable(f))),
        DataType::Struct(fs) => DataType::Struct(fs.iter().map(|f| Arc::new(nullable(f))).collect()),
        DataType::Map(entries, sorted) => {
            let DataType::Struct(kv) = entries.data_type() else { return t.clone() };
            let kv =
                kv.iter().enumerate().map(|(i, f)| if i == 0 { f.clone() } else { Arc::new(nullable(f)) });
            let entries = Field::new(entries.name(), DataType::Struct(kv.collect()), false);
            DataType::Map(Arc::new(entries), *sorted)
        }
        other => other.clone(),
    }
}

/// The key of the field metadata that marks columns of [`any_field`].
pub const TYPE_KEY: &str = "purlin.type";

/// A field whose values have no common type: text that holds one JSON value a row.
pub fn any_field(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true).with_metadata([(TYPE_KEY.to_owned(), "any".to_owned())].into())
}

/// True for a field made by [`any_field`].
pub fn is_any(f: &Field) -> bool {
    f.metadata().get(TYPE_KEY).is_some_and(|t| t == "any")
}

/// The key of the field metadata that marks a column that no author sees: it goes from a node to the one it was
/// put before ([`crate::PlanNode::ahead`]). The value tells several apart.
pub const HIDDEN_KEY: &str = "purlin.hidden";

/// True for a column that no author sees. Such columns come last.
pub fn is_hidden(f: &Field) -> bool {
    f.metadata().contains_key(HIDDEN_KEY)
}

/// Beam's word for a type, as messages and `explain` print it: `int`, `str`, `list<int>`, …; for types that Beam
/// has no word for, SQL's: `decimal(12, 2)`, `date`. A `timestamp` is an instant, a `datetime` has no zone.
pub fn type_name(f: &Field) -> String {
    if is_any(f) {
        return "any".to_owned();
    }
    match f.data_type() {
        DataType::Null => "null".to_owned(),
        DataType::Boolean => "bool".to_owned(),
        DataType::Int64 => "int".to_owned(),
        DataType::Float64 => "float".to_owned(),
        DataType::Utf8 => "str".to_owned(),
        DataType::Binary => "bytes".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision}, {scale})"),
        DataType::Timestamp(_, Some(_)) => "timestamp".to_owned(),
        DataType::Timestamp(_, None) => "datetime".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Time64(_) => "time".to_owned(),
        DataType::Duration(_) => "duration".to_owned(),
        DataType::List(i) => format!("list<{}>", type_name(i)),
        DataType::Map(e, _) => match e.data_type() {
            DataType::Struct(kv) => {
                format!("map<{}>", kv.iter().map(|f| type_name(f)).collect::<Vec<_>>().join(", "))
            }
            _ => "map".to_owned(),
        },
        DataType::Struct(fs) => {
            format!(
                "row<{}>",
                fs.iter().map(|f| format!("{}: {}", f.name(), type_name(f))).collect::<Vec<_>>().join(", ")
            )
        }
        other => other.to_string().to_lowercase(),
    }
}

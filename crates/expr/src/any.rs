//! The type `Any`: values whose type is not known before the data flows, carried as JSON text.

use arrow_schema::{DataType, Field};

const KEY: &str = "purlin.type";
const ANY: &str = "any";

/// A nullable text field whose values are JSON texts of any type (Beam's `Any`).
pub fn any_field(name: impl Into<String>) -> Field {
    mark_any(Field::new(name, DataType::Utf8, true))
}

/// The same field, marked as JSON text of any type.
pub(crate) fn mark_any(field: Field) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.insert(KEY.to_owned(), ANY.to_owned());
    field.with_metadata(metadata)
}

/// Whether a field holds JSON text that stands for values of any type.
pub fn is_any(field: &Field) -> bool {
    field.metadata().get(KEY).is_some_and(|kind| kind == ANY)
}

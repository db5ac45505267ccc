//! What the binding of most transforms needs.

use arrow_schema::{Field, Schema};
use purlin_api::shape::type_name;
use purlin_api::{BindCx, InputShape, Shape};
use purlin_spec::config::Spanned;
use purlin_spec::{Diagnostic, suggest};
use std::sync::Arc;

/// The only input; a diagnostic if there is none, or more than one.
pub(crate) fn only_input<'a>(inputs: &'a [InputShape], cx: &mut BindCx<'_>) -> Option<&'a InputShape> {
    match inputs {
        [input] => Some(input),
        [] => {
            cx.diagnostics.push(
                Diagnostic::error("input/missing", cx.span, format!("`{}` has no input", cx.label))
                    .help("add `input: NAME`"),
            );
            None
        }
        [_, second, ..] => {
            cx.diagnostics.push(
                Diagnostic::error("input/too-many", second.span, format!("`{}` takes one input", cx.label))
                    .help("put a `Flatten` or a `Join` before it"),
            );
            None
        }
    }
}

/// The place of a field in a schema.
pub(crate) fn find(schema: &Schema, name: &str) -> Option<usize> {
    schema.fields().iter().position(|f| f.name() == name)
}

/// The names of all fields.
pub(crate) fn names(schema: &Schema) -> impl Iterator<Item = &str> {
    schema.fields().iter().map(|f| f.name().as_str())
}

/// The place of a field that the author named, or a diagnostic that lists what there is.
pub(crate) fn known_field(name: &Spanned<String>, schema: &Schema, cx: &mut BindCx<'_>) -> Option<usize> {
    let found = find(schema, &name.value);
    if found.is_none() {
        cx.diagnostics.push(
            Diagnostic::error("name/unknown-field", name.span, format!("unknown field `{}`", name.value))
                .label(format!("the input has: {}", suggest::listed(names(schema))))
                .maybe_help(suggest::did_you_mean(&name.value, names(schema))),
        );
    }
    found
}

/// Fields with their types, as far as values of them are stored the same: `id int, tags list<str>`.
pub(crate) fn described<'a>(fields: impl IntoIterator<Item = &'a Arc<Field>>) -> String {
    let one = |f: &Arc<Field>| format!("{} {}", f.name(), type_name(f));
    fields.into_iter().map(one).collect::<Vec<_>>().join(", ")
}

/// All columns of an input.
pub(crate) fn all_columns(input: Option<&Shape>) -> Vec<bool> {
    vec![true; input.map_or(0, |s| s.schema.fields().len())]
}

/// The columns of an output that are read downstream; all, if nothing is said of it.
pub(crate) fn read_columns(outputs: &[Vec<bool>], port: usize, width: usize) -> Vec<bool> {
    match outputs.get(port) {
        Some(columns) if columns.len() == width => columns.clone(),
        _ => vec![true; width],
    }
}

/// Marks a column as needed.
pub(crate) fn need(columns: &mut [bool], at: usize) {
    if let Some(c) = columns.get_mut(at) {
        *c = true;
    }
}

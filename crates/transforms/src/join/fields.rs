//! Which fields a `Join` gives, and their names.

use super::config::{Fields, Wanted};
use super::plan::{Joined, known_input};
use crate::common::{find, names};
use arrow_schema::{Field, Schema, SchemaRef};
use purlin_api::{BindCx, InputShape};
use purlin_spec::config::Spanned;
use purlin_spec::{Diagnostic, suggest};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One field of the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OutColumn {
    pub(super) name: String,
    pub(super) input: usize,
    pub(super) column: usize,
}

/// The fields of the result: those asked for, then all of the inputs that were not spoken of.
pub(super) fn columns(
    wanted: Option<&Fields>,
    inputs: &[InputShape],
    cx: &mut BindCx<'_>,
) -> Option<Vec<OutColumn>> {
    let wanted = wanted.map_or(&[][..], |f| f.0.as_slice());
    let mut columns = Vec::new();
    let mut good = true;
    let mut asked: BTreeMap<&str, &Spanned<String>> = BTreeMap::new();
    let mut spoken = BTreeSet::new();
    for (tag, wanted) in wanted {
        let Some((input, shape)) = known_input(tag, "fields", inputs, cx) else {
            good = false;
            continue;
        };
        spoken.insert(input);
        let pairs: Vec<(&Spanned<String>, &Spanned<String>)> = match wanted {
            Wanted::Same(list) => list.iter().map(|f| (f, f)).collect(),
            Wanted::Renamed(named) => named.0.iter().map(|(new, field)| (new, field)).collect(),
        };
        for (name, field) in pairs {
            if let Some(before) = asked.insert(&name.value, name) {
                good = false;
                let text = format!("the field name `{}` was specified more than once", name.value);
                cx.diagnostics.push(
                    Diagnostic::error("join/name-twice", name.span, text)
                        .related(before.span, "the first")
                        .help(format!("give it another name: `{}: {{NEW: {}}}`", tag.value, field.value)),
                );
            }
            match known_column(field, shape, cx) {
                Some(column) => columns.push(OutColumn { name: name.value.clone(), input, column }),
                None => good = false,
            }
        }
    }
    for (input, shape) in inputs.iter().enumerate().filter(|(i, _)| !spoken.contains(i)) {
        let all = names(&shape.shape.schema).enumerate();
        columns.extend(all.map(|(column, name)| OutColumn { name: name.to_owned(), input, column }));
    }
    if good && columns.is_empty() {
        good = false;
        cx.diagnostics.push(Diagnostic::error("join/fields", cx.span, "no field is left in the result"));
    }
    distinguish(&mut columns);
    good.then_some(columns)
}

/// The place of a field of an input, or a diagnostic that lists what there is.
pub(super) fn known_column(
    field: &Spanned<String>,
    input: &InputShape,
    cx: &mut BindCx<'_>,
) -> Option<usize> {
    let schema = &input.shape.schema;
    let found = find(schema, &field.value);
    if found.is_none() {
        let text = format!("`{}` is not a valid field in `{}`", field.value, input.tag);
        cx.diagnostics.push(
            Diagnostic::error("name/unknown-field", field.span, text)
                .label(format!("`{}` has: {}", input.tag, suggest::listed(names(schema))))
                .maybe_help(suggest::did_you_mean(&field.value, names(schema))),
        );
    }
    found
}

/// Later fields of a name that is taken get the first free number, as in Calcite.
fn distinguish(columns: &mut [OutColumn]) {
    let mut taken = BTreeSet::new();
    for column in columns {
        let mut numbers = 0_usize..;
        let mut name = column.name.clone();
        while taken.contains(&name) {
            name = format!("{}{}", column.name, numbers.next().unwrap_or_default());
        }
        taken.insert(name.clone());
        column.name = name;
    }
}

/// The schema of the result: fields of an input that may be without a partner may be null.
pub(super) fn schema(columns: &[OutColumn], joined: &Joined, inputs: &[InputShape]) -> SchemaRef {
    let nullable = joined.nullable();
    let field = |c: &OutColumn| {
        let field = inputs.get(c.input)?.shape.schema.fields().get(c.column)?.as_ref().clone();
        let null = field.is_nullable() || nullable.get(c.input).copied().unwrap_or(true);
        Some(field.with_name(&c.name).with_nullable(null))
    };
    Arc::new(Schema::new(columns.iter().filter_map(field).collect::<Vec<Field>>()))
}

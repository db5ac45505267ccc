//! One schema for several: the union of fields, and rows brought into its form.

use crate::error::Result;
use crate::json;
use crate::shape::{any_field, is_any};
use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, ListArray, RecordBatch, RecordBatchOptions, StringArray, StructArray, new_null_array,
};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use std::sync::Arc;

/// The key of the field metadata that marks a field of a nested row as one that some rows do not have: where
/// it is null it counts as absent. Beam keeps such rows as they were, each with its own fields.
pub const OPTIONAL_KEY: &str = "purlin.optional";

fn is_optional(f: &Field) -> bool {
    f.metadata().contains_key(OPTIONAL_KEY)
}

fn optional(f: Field) -> Field {
    let mut metadata = f.metadata().clone();
    metadata.insert(OPTIONAL_KEY.to_owned(), "1".to_owned());
    f.with_metadata(metadata)
}

/// A field that holds the values of both, or `None` if they have nothing in common. Integers beside floats
/// are floats, null fits all, nested rows and lists unite inside. With `mix` different kinds become `any`.
pub fn unite(a: &Field, b: &Field, mix: bool) -> Option<Field> {
    let united = unite_types(a, b, mix)?;
    Some(if is_optional(a) || is_optional(b) { optional(united) } else { united })
}

fn unite_types(a: &Field, b: &Field, mix: bool) -> Option<Field> {
    let nullable = a.is_nullable() || b.is_nullable();
    let field = |t: DataType| Some(Field::new(a.name(), t, nullable));
    let any = || Some(any_field(a.name()).with_nullable(nullable));
    if is_any(a) || is_any(b) {
        return any();
    }
    match (a.data_type(), b.data_type()) {
        (DataType::Null, _) => Some(b.clone().with_name(a.name()).with_nullable(true)),
        (_, DataType::Null) => Some(a.clone().with_nullable(true)),
        (DataType::Int64, DataType::Float64) | (DataType::Float64, DataType::Int64) => {
            field(DataType::Float64)
        }
        (DataType::List(x), DataType::List(y)) => match unite(x, y, mix) {
            Some(item) => field(DataType::List(Arc::new(item))),
            None => None,
        },
        (DataType::Struct(x), DataType::Struct(y)) => {
            let has = |fields: &Fields, f: &Field| fields.iter().any(|o| o.name() == f.name());
            let mark = |f: &Arc<Field>| match has(x, f) && has(y, f) {
                true => f.clone(),
                false => Arc::new(optional(f.as_ref().clone())),
            };
            field(DataType::Struct(unite_fields(x, y, mix).ok()?.iter().map(mark).collect()))
        }
        (x, y) if x == y => Some(a.clone().with_nullable(nullable)),
        _ if mix => any(),
        _ => None,
    }
}

/// The fields of both, those of `a` first; what only one side has may be null.
///
/// # Errors
/// The name of a field whose two types have nothing in common.
pub fn unite_fields(a: &Fields, b: &Fields, mix: bool) -> Result<Fields, String> {
    let mut all = Vec::with_capacity(a.len());
    for f in a {
        let other = b.iter().find(|o| o.name() == f.name());
        all.push(match other {
            Some(o) => unite(f, o, mix).ok_or_else(|| f.name().clone())?,
            None => f.as_ref().clone().with_nullable(true),
        });
    }
    let new = b.iter().filter(|o| !a.iter().any(|f| f.name() == o.name()));
    all.extend(new.map(|o| o.as_ref().clone().with_nullable(true)));
    Ok(all.into())
}

/// Rows in the form of `target` (a physical schema that [`unite_fields`] made of theirs): fields by name,
/// missing ones null.
pub fn conform(rows: &RecordBatch, target: &SchemaRef) -> Result<RecordBatch> {
    if rows.schema_ref() == target {
        return Ok(rows.clone());
    }
    let columns =
        conform_fields(rows.schema_ref().fields(), rows.columns(), target.fields(), rows.num_rows())?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(target.clone(), columns, &options)?)
}

fn conform_fields(from: &Fields, columns: &[ArrayRef], to: &Fields, rows: usize) -> Result<Vec<ArrayRef>> {
    to.iter()
        .map(|target| match from.iter().zip(columns).find(|(f, _)| f.name() == target.name()) {
            Some((f, column)) => conform_column(f, column, target),
            None => Ok(new_null_array(target.data_type(), rows)),
        })
        .collect()
}

fn conform_column(from: &Field, column: &ArrayRef, to: &Field) -> Result<ArrayRef> {
    if is_any(to) && !is_any(from) {
        let text = |row: usize| {
            let mut out = Vec::new();
            json::write_value(from, column, row, &mut out);
            String::from_utf8_lossy(&out).into_owned()
        };
        let texts = (0..column.len()).map(|row| column.is_valid(row).then(|| text(row)));
        // The null type has no validity of its own.
        return Ok(match column.data_type() {
            DataType::Null => new_null_array(to.data_type(), column.len()),
            _ => Arc::new(texts.collect::<StringArray>()),
        });
    }
    if column.data_type() == to.data_type() {
        return Ok(column.clone());
    }
    match (column.data_type(), to.data_type(), from.data_type()) {
        (DataType::List(_), DataType::List(item), DataType::List(from_item)) => {
            let list: &ListArray = column.as_list::<i32>();
            let values = conform_column(from_item, list.values(), item)?;
            Ok(Arc::new(ListArray::try_new(
                item.clone(),
                list.offsets().clone(),
                values,
                list.nulls().cloned(),
            )?))
        }
        (DataType::Struct(fields), DataType::Struct(target), _) => {
            let rows = column.as_struct();
            let columns = conform_fields(fields, rows.columns(), target, rows.len())?;
            let nulls = rows.nulls().cloned();
            Ok(Arc::new(StructArray::try_new_with_length(target.clone(), columns, nulls, rows.len())?))
        }
        (_, target, _) => Ok(arrow_cast::cast(column, target)?),
    }
}

/// A schema of these fields.
pub fn schema_of(fields: Fields) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

/// A column in exactly this type: the same values, inner fields with the names and nulls of `target`.
pub fn fit(column: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    if column.data_type() == target {
        return Ok(column.clone());
    }
    let from = Field::new("", column.data_type().clone(), true);
    conform_column(&from, column, &Field::new("", target.clone(), true))
}

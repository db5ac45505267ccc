//! One schema for several: the union of fields, and rows brought into its form.

use crate::decimal::DIGITS_MAX;
use crate::error::{Error, Result};
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
/// are floats, integers beside decimals are decimals, decimals have the greater scale; decimals beside floats
/// have nothing in common, as floats are not exact. Null fits all, nested rows and lists unite inside. With
/// `mix` different kinds become `any`.
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
        (DataType::Decimal128(p, s), DataType::Int64) | (DataType::Int64, DataType::Decimal128(p, s)) => {
            field(decimal_of((*p, *s), (INT_DIGITS, 0)))
        }
        (DataType::Decimal128(p, s), DataType::Decimal128(q, t)) => field(decimal_of((*p, *s), (*q, *t))),
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

/// Digits of the greatest int.
pub const INT_DIGITS: u8 = 19;

/// The decimal type with the greater scale and room for the digits before both points, as far as there is room.
pub fn decimal_of(a: (u8, i8), b: (u8, i8)) -> DataType {
    let scale = a.1.max(b.1);
    let whole = |(precision, scale): (u8, i8)| i32::from(precision) - i32::from(scale);
    let digits = whole(a).max(whole(b)) + i32::from(scale);
    let precision = u8::try_from(digits).unwrap_or(DIGITS_MAX).clamp(1, DIGITS_MAX);
    DataType::Decimal128(precision, scale)
}

/// Ints or decimals as decimals of a type that [`decimal_of`] gave: no digit is lost.
///
/// # Errors
/// A number that has no room there.
pub fn as_decimals(column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let options = arrow_cast::CastOptions { safe: false, ..arrow_cast::CastOptions::default() };
    arrow_cast::cast_with_options(column, to, &options).map_err(|_| {
        let name = crate::shape::type_name(&Field::new("", to.clone(), true));
        Error::data(format!("a number has too many digits for {name}"))
    })
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
        (_, target @ DataType::Decimal128(..), _) => as_decimals(column, target),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::row_to_json;
    use crate::shape::type_name;
    use crate::testing::rows_of;

    fn united(a: DataType, b: DataType) -> Option<String> {
        unite(&Field::new("a", a, true), &Field::new("a", b, true), false).map(|f| type_name(&f))
    }

    #[test]
    fn decimals_keep_their_digits() {
        use DataType::{Decimal128, Float64, Int64, Utf8};
        assert_eq!(united(Decimal128(8, 2), Decimal128(6, 4)).as_deref(), Some("decimal(10, 4)"));
        assert_eq!(united(Decimal128(8, 2), Int64).as_deref(), Some("decimal(21, 2)"));
        assert_eq!(united(Int64, Decimal128(38, 30)).as_deref(), Some("decimal(38, 30)"));
        assert_eq!(united(Decimal128(8, 2), Float64), None);
        assert_eq!(united(Decimal128(8, 2), Utf8), None);
    }

    #[test]
    fn rows_take_the_greater_scale_or_fail() {
        let schema = |t: DataType| Schema::new(vec![Field::new("a", t, true)]);
        let target = Arc::new(schema(DataType::Decimal128(38, 4)));
        let ints = rows_of(&schema(DataType::Int64), r#"[{"a": -7}, {"a": null}]"#).unwrap();
        let decimals = rows_of(&schema(DataType::Decimal128(8, 2)), r#"[{"a": 1.25}]"#).unwrap();
        let shown = |rows: &RecordBatch| row_to_json(&conform(rows, &target).unwrap(), 0).to_string();
        assert_eq!(shown(&ints), r#"{"a":-7.0}"#);
        assert_eq!(shown(&decimals), r#"{"a":1.25}"#);
        let big = rows_of(&schema(DataType::Int64), r#"[{"a": 9000000000000000000}]"#).unwrap();
        let narrow = Arc::new(schema(DataType::Decimal128(38, 30)));
        let e = conform(&big, &narrow).unwrap_err();
        assert_eq!(e.message(), "a number has too many digits for decimal(38, 30)");
    }
}

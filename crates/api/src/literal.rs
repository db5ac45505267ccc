//! Values written by hand (in a file, in a test) as columns.
//!
//! Types are inferred as Beam's `Create` does: an integer beside a float is a float, a value missing
//! somewhere makes a field nullable, mappings are nested rows. Values without a common type become an
//! [`any_field`]; a field that is null everywhere has the null type.

use crate::decimal;
use crate::error::{Error, Result};
use crate::shape::{any_field, is_any, nullable, nullable_type, physical};
use crate::time;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray,
    MapArray, NullArray, RecordBatch, RecordBatchOptions, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use std::sync::Arc;

/// A value as somebody wrote it.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Literal>),
    /// Names and values in the order written.
    Row(Vec<(String, Literal)>),
}

impl Literal {
    /// From JSON; integers above 64 bits become floats.
    pub fn from_json(v: &serde_json::Value) -> Self {
        use serde_json::Value as J;
        match v {
            J::Null => Literal::Null,
            J::Bool(b) => Literal::Bool(*b),
            J::Number(n) => {
                n.as_i64().map_or_else(|| Literal::Float(n.as_f64().unwrap_or(f64::NAN)), Literal::Int)
            }
            J::String(s) => Literal::Text(s.clone()),
            J::Array(l) => Literal::List(l.iter().map(Literal::from_json).collect()),
            J::Object(m) => Literal::Row(m.iter().map(|(k, v)| (k.clone(), Literal::from_json(v))).collect()),
        }
    }

    /// As JSON; NaN and infinity are null.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as J;
        match self {
            Literal::Null => J::Null,
            Literal::Bool(b) => J::Bool(*b),
            Literal::Int(i) => J::from(*i),
            Literal::Float(f) => J::from(*f),
            Literal::Text(s) => J::String(s.clone()),
            Literal::List(l) => J::Array(l.iter().map(Literal::to_json).collect()),
            Literal::Row(fields) => J::Object(fields.iter().map(|(k, v)| (k.clone(), v.to_json())).collect()),
        }
    }

    /// The value of a field, if it is a row that has it.
    pub fn get(&self, name: &str) -> Option<&Literal> {
        match self {
            Literal::Row(fields) => fields.iter().find(|(k, _)| k == name).map(|(_, v)| v),
            _ => None,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Literal::Null => "null",
            Literal::Bool(_) => "a boolean",
            Literal::Int(_) => "an integer",
            Literal::Float(_) => "a float",
            Literal::Text(_) => "text",
            Literal::List(_) => "a list",
            Literal::Row(_) => "a row",
        }
    }
}

/// The type that values have in common, while it is being found.
#[derive(Clone, Debug, Default)]
struct Slot {
    kind: Type,
    nullable: bool,
}

#[derive(Clone, Debug, Default)]
enum Type {
    #[default]
    Null,
    Bool,
    Int,
    Float,
    Text,
    List(Box<Slot>),
    Row(Vec<(String, Slot)>),
    Any,
}

impl Slot {
    fn add(&mut self, v: &Literal) {
        let kind = match v {
            Literal::Null => {
                self.nullable = true;
                return;
            }
            Literal::Bool(_) => Type::Bool,
            Literal::Int(_) => Type::Int,
            Literal::Float(_) => Type::Float,
            Literal::Text(_) => Type::Text,
            Literal::List(items) => {
                let mut item = match std::mem::take(&mut self.kind) {
                    Type::List(item) => *item,
                    Type::Null => Slot::default(),
                    _ => {
                        self.kind = Type::Any;
                        return;
                    }
                };
                items.iter().for_each(|i| item.add(i));
                Type::List(Box::new(item))
            }
            Literal::Row(fields) => {
                let known = match std::mem::take(&mut self.kind) {
                    Type::Row(known) => Some(known),
                    Type::Null => None,
                    _ => {
                        self.kind = Type::Any;
                        return;
                    }
                };
                Type::Row(add_row(known, fields))
            }
        };
        self.kind = match (std::mem::take(&mut self.kind), kind) {
            (Type::Null, k) => k,
            (Type::Bool, Type::Bool) => Type::Bool,
            (Type::Int, Type::Int) => Type::Int,
            (Type::Float | Type::Int, Type::Int | Type::Float) => Type::Float,
            (Type::Text, Type::Text) => Type::Text,
            _ => Type::Any,
        };
    }

    fn field(&self, name: &str) -> Field {
        let (data_type, nullable) = match &self.kind {
            Type::Any => return any_field(name).with_nullable(self.nullable),
            Type::Null => (DataType::Null, true),
            Type::Bool => (DataType::Boolean, self.nullable),
            Type::Int => (DataType::Int64, self.nullable),
            Type::Float => (DataType::Float64, self.nullable),
            Type::Text => (DataType::Utf8, self.nullable),
            Type::List(item) => (DataType::List(Arc::new(item.field("item"))), self.nullable),
            Type::Row(fields) => {
                (DataType::Struct(fields.iter().map(|(n, s)| s.field(n)).collect()), self.nullable)
            }
        };
        Field::new(name, data_type, nullable)
    }
}

/// The fields of a further row: new ones go last; what is missing on either side may be null.
fn add_row(known: Option<Vec<(String, Slot)>>, fields: &[(String, Literal)]) -> Vec<(String, Slot)> {
    let first = known.is_none();
    let mut slots = known.unwrap_or_default();
    for (name, slot) in &mut slots {
        if !fields.iter().any(|(n, _)| n == name) {
            slot.nullable = true;
        }
    }
    for (name, v) in fields {
        match slots.iter_mut().find(|(n, _)| n == name) {
            Some((_, slot)) => slot.add(v),
            None => {
                let mut slot = Slot { kind: Type::Null, nullable: !first };
                slot.add(v);
                slots.push((name.clone(), slot));
            }
        }
    }
    slots
}

/// A field that fits all the values.
pub fn infer<'a>(name: &str, values: impl IntoIterator<Item = &'a Literal>) -> Field {
    let mut slot = Slot::default();
    values.into_iter().for_each(|v| slot.add(v));
    slot.field(name)
}

/// The schema of rows written as mappings; fields in the order in which they are first met. What is not
/// a row counts as a row with the one field `element`.
pub fn infer_rows<'a>(rows: impl IntoIterator<Item = &'a Literal>) -> SchemaRef {
    let mut all: Option<Vec<(String, Slot)>> = None;
    for row in rows {
        let known = all.take();
        all = Some(match row {
            Literal::Row(fields) => add_row(known, fields),
            other => add_row(known, &[("element".to_owned(), other.clone())]),
        });
    }
    Arc::new(Schema::new(all.unwrap_or_default().iter().map(|(n, s)| s.field(n)).collect::<Vec<_>>()))
}

/// Rows as a batch with the [`physical`] form of `schema`. Fields that a row lacks are null.
///
/// # Errors
/// A value that does not fit its field.
pub fn build_rows(schema: &Schema, rows: &[Literal]) -> Result<RecordBatch> {
    let columns = schema.fields().iter().map(|f| {
        let values: Vec<&Literal> = rows.iter().map(|r| member(r, f.name())).collect();
        build(f, &values)
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(physical(schema), columns, &options)?)
}

fn member<'a>(row: &'a Literal, name: &str) -> &'a Literal {
    match row {
        Literal::Row(_) => row.get(name).unwrap_or(&Literal::Null),
        other if name == "element" => other,
        _ => &Literal::Null,
    }
}

/// Values as a column of a field's type, inner fields nullable. Text fits timestamps (RFC 3339) and bytes
/// (as UTF-8), integers fit floats, rows fit maps.
///
/// # Errors
/// A value that does not fit, or a type that cannot be written by hand.
pub fn build(field: &Field, values: &[&Literal]) -> Result<ArrayRef> {
    let misfit = |v: &Literal| {
        Error::data(format!(
            "field `{}` is {}, not {}",
            field.name(),
            crate::shape::type_name(field),
            v.kind()
        ))
    };
    if is_any(field) {
        let text = values.iter().map(|v| match v {
            Literal::Null => None,
            v => Some(v.to_json().to_string()),
        });
        return Ok(Arc::new(text.collect::<StringArray>()));
    }
    /// One column of scalars, null where the value is.
    macro_rules! scalars {
        ($array:ty, $($pattern:pat => $value:expr),+) => {{
            let column = values.iter().map(|v| match v {
                Literal::Null => Ok(None),
                $( $pattern => Ok(Some($value)), )+
                #[allow(unreachable_patterns)]
                other => Err(misfit(other)),
            });
            Ok(Arc::new(column.collect::<Result<$array>>()?) as ArrayRef)
        }};
    }
    match field.data_type() {
        DataType::Null => match values.iter().find(|v| !matches!(v, Literal::Null)) {
            Some(v) => Err(misfit(v)),
            None => Ok(Arc::new(NullArray::new(values.len()))),
        },
        DataType::Boolean => scalars!(BooleanArray, Literal::Bool(b) => *b),
        DataType::Int64 => scalars!(Int64Array, Literal::Int(i) => *i),
        DataType::Float64 => scalars!(Float64Array, Literal::Float(f) => *f, Literal::Int(i) => *i as f64),
        DataType::Utf8 => scalars!(StringArray, Literal::Text(s) => s.as_str()),
        DataType::Binary => scalars!(BinaryArray, Literal::Text(s) => s.as_bytes()),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let column = values.iter().map(|v| match v {
                Literal::Null => Ok(None),
                Literal::Text(s) if zone.is_none() => {
                    time::parse_datetime(s).map(Some).ok_or_else(|| misfit(v))
                }
                Literal::Text(s) => {
                    s.parse::<jiff::Timestamp>().map(|t| Some(t.as_microsecond())).map_err(|_| misfit(v))
                }
                v => Err(misfit(v)),
            });
            let column = column.collect::<Result<TimestampMicrosecondArray>>()?;
            Ok(Arc::new(column.with_timezone_opt(zone.clone())))
        }
        DataType::Decimal128(precision, scale) => {
            let units = scalar_column(values, |v| decimal(v, *precision, *scale).ok_or_else(|| misfit(v)))?;
            Ok(Arc::new(Decimal128Array::from(units).with_precision_and_scale(*precision, *scale)?))
        }
        DataType::Date32 => {
            let days = scalar_column(values, |v| match v {
                Literal::Text(s) => time::parse_date(s).ok_or_else(|| misfit(v)),
                v => Err(misfit(v)),
            })?;
            Ok(Arc::new(Date32Array::from(days)))
        }
        DataType::List(item) => lists(item, values, misfit),
        DataType::Struct(fields) => structs(fields, values, misfit),
        DataType::Map(entries, _) => maps(field, entries, values, misfit),
        _ => Err(Error::data(format!(
            "field `{}`: {} cannot be written by hand",
            field.name(),
            crate::shape::type_name(field)
        ))),
    }
}

/// One value for each literal that is not null.
fn scalar_column<T>(values: &[&Literal], value: impl Fn(&Literal) -> Result<T>) -> Result<Vec<Option<T>>> {
    let one = |v: &&Literal| match v {
        Literal::Null => Ok(None),
        v => value(v).map(Some),
    };
    values.iter().map(one).collect()
}

/// The units of a number, if it fits exactly. A float stands for the digits that somebody wrote: those that
/// it prints, if they are few enough to be told from all others.
fn decimal(v: &Literal, precision: u8, scale: i8) -> Option<i128> {
    /// Every decimal of so many digits is told from all others by the float next to it.
    const FLOAT_DIGITS: usize = 15;
    let text = match v {
        Literal::Int(i) => i.to_string(),
        Literal::Text(s) => s.clone(),
        Literal::Float(f) => {
            let text = f.to_string();
            let digits = text.trim_start_matches(['-', '0', '.']).bytes().filter(u8::is_ascii_digit).count();
            if digits > FLOAT_DIGITS {
                return None;
            }
            text
        }
        _ => return None,
    };
    decimal::parse(text.as_bytes(), precision, scale).ok()
}

fn valid(values: &[&Literal]) -> Option<NullBuffer> {
    let valid: NullBuffer = values.iter().map(|v| !matches!(v, Literal::Null)).collect();
    (valid.null_count() > 0).then_some(valid)
}

fn lists(item: &Field, values: &[&Literal], misfit: impl Fn(&Literal) -> Error) -> Result<ArrayRef> {
    let (mut items, mut lengths): (Vec<&Literal>, Vec<usize>) =
        (Vec::new(), Vec::with_capacity(values.len()));
    for v in values {
        match v {
            Literal::Null => lengths.push(0),
            Literal::List(l) => {
                items.extend(l);
                lengths.push(l.len());
            }
            other => return Err(misfit(other)),
        }
    }
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(Arc::new(nullable(item)), offsets, build(item, &items)?, valid(values))?))
}

fn structs(fields: &Fields, values: &[&Literal], misfit: impl Fn(&Literal) -> Error) -> Result<ArrayRef> {
    if let Some(v) = values.iter().find(|v| !matches!(v, Literal::Null | Literal::Row(_))) {
        return Err(misfit(v));
    }
    let columns = fields.iter().map(|f| {
        let column: Vec<&Literal> =
            values.iter().map(|v| v.get(f.name()).unwrap_or(&Literal::Null)).collect();
        build(f, &column)
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let fields: Fields = fields.iter().map(|f| nullable(f)).collect();
    Ok(Arc::new(StructArray::try_new_with_length(fields, columns, valid(values), values.len())?))
}

fn maps(
    field: &Field,
    entries: &Field,
    values: &[&Literal],
    misfit: impl Fn(&Literal) -> Error,
) -> Result<ArrayRef> {
    let DataType::Struct(pair) = entries.data_type() else {
        return Err(Error::internal(format!("field `{}` is a map without entries", field.name())));
    };
    let (Some(key), Some(value)) = (pair.first(), pair.get(1)) else {
        return Err(Error::internal(format!("field `{}` is a map without entries", field.name())));
    };
    let (mut keys, mut items, mut lengths) = (Vec::new(), Vec::new(), Vec::with_capacity(values.len()));
    for v in values {
        match v {
            Literal::Null => lengths.push(0),
            Literal::Row(fields) => {
                lengths.push(fields.len());
                keys.extend(fields.iter().map(|(k, _)| Literal::Text(k.clone())));
                items.extend(fields.iter().map(|(_, v)| v));
            }
            other => return Err(misfit(other)),
        }
    }
    let columns = vec![build(key, &keys.iter().collect::<Vec<_>>())?, build(value, &items)?];
    let DataType::Map(entries, sorted) = nullable_type(field.data_type()) else {
        return Err(misfit(&Literal::Null));
    };
    let DataType::Struct(pair) = entries.data_type() else { return Err(misfit(&Literal::Null)) };
    let rows = StructArray::try_new(pair.clone(), columns, None)?;
    Ok(Arc::new(MapArray::try_new(
        entries.clone(),
        OffsetBuffer::from_lengths(lengths),
        rows,
        valid(values),
        sorted,
    )?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::type_name;

    fn rows(json: &str) -> (SchemaRef, RecordBatch) {
        let v: serde_json::Value = serde_json::from_str(json).unwrap();
        let rows: Vec<Literal> = v.as_array().unwrap().iter().map(Literal::from_json).collect();
        let schema = infer_rows(&rows);
        let batch = build_rows(&schema, &rows).unwrap();
        (schema, batch)
    }

    fn types(schema: &Schema) -> String {
        let one =
            |f: &Field| format!("{}: {}{}", f.name(), type_name(f), if f.is_nullable() { "?" } else { "" });
        schema.fields().iter().map(|f| one(f)).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn numbers_unite_and_gaps_are_null() {
        let (schema, batch) = rows(r#"[{"a": 1, "b": 1}, {"a": 2.5, "c": "x"}, 7]"#);
        assert_eq!(types(&schema), "a: float?, b: int?, c: str?, element: int?");
        assert_eq!(
            crate::json::row_to_json(&batch, 0).to_string(),
            r#"{"a":1.0,"b":1,"c":null,"element":null}"#
        );
        assert_eq!(
            crate::json::row_to_json(&batch, 2).to_string(),
            r#"{"a":null,"b":null,"c":null,"element":7}"#
        );
    }

    #[test]
    fn nested_rows_and_lists_unite() {
        let (schema, batch) = rows(
            r#"[{"r": {"x": 1}, "l": []}, {"r": {"x": 2.0, "y": [true]}, "l": [{"p": 1}, {"q": "s"}]}]"#,
        );
        assert_eq!(types(&schema), "r: row<x: float, y: list<bool>>, l: list<row<p: int, q: str>>");
        assert_eq!(
            crate::json::row_to_json(&batch, 1).to_string(),
            r#"{"r":{"x":2.0,"y":[true]},"l":[{"p":1,"q":null},{"p":null,"q":"s"}]}"#
        );
    }

    #[test]
    fn mixed_values_are_any_and_nulls_are_null() {
        let (schema, batch) =
            rows(r#"[{"a": 1, "n": null}, {"a": "x", "n": null}, {"a": [1, "z", null], "n": null}]"#);
        assert_eq!(types(&schema), "a: any, n: null?");
        assert_eq!(crate::json::row_to_json(&batch, 2).to_string(), r#"{"a":[1,"z",null],"n":null}"#);
        assert_eq!(rows(r#"[{"a": true}, {"a": 1}]"#).0.field(0).data_type(), &DataType::Utf8);
        assert_eq!(types(&rows("[]").0), "");
        assert_eq!(rows("[{}, {}]").1.num_rows(), 2);
    }

    #[test]
    fn misfits_are_errors() {
        let field = Field::new("a", DataType::Int64, true);
        let e = build(&field, &[&Literal::Text("x".to_owned())]).unwrap_err();
        assert_eq!(e.message(), "field `a` is int, not text");
        let time = Field::new("t", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true);
        assert!(build(&time, &[&Literal::Text("2024-01-02T00:00:00Z".to_owned()), &Literal::Null]).is_ok());
        assert!(build(&time, &[&Literal::Text("soon".to_owned())]).is_err());
    }

    #[test]
    fn decimals_and_dates() {
        let field = |name: &str, t: DataType| Field::new(name, t, true);
        let schema = Schema::new(vec![
            field("amount", DataType::Decimal128(8, 2)),
            field("day", DataType::Date32),
            field("at", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ]);
        let batch = crate::testing::rows_of(
            &schema,
            r#"[{"amount": 12.5, "day": "2024-02-29", "at": "2024-02-29T10:00:00.5"}, {"amount": "-0.01"}, {"amount": 7}]"#,
        );
        let batch = batch.unwrap();
        let mut lines = Vec::new();
        (0..3).for_each(|i| crate::json::write_json(&batch, i, &mut lines));
        assert_eq!(
            String::from_utf8(lines).unwrap(),
            r#"{"amount":12.50,"day":"2024-02-29","at":"2024-02-29T10:00:00.5"}{"amount":-0.01,"day":null,"at":null}{"amount":7.00,"day":null,"at":null}"#
        );
        for bad in [
            r#"{"amount": 0.001}"#,
            r#"{"amount": 1e300}"#,
            r#"{"day": "2024-02-30"}"#,
            r#"{"at": "2024-01-01T00:00:00Z"}"#,
        ] {
            assert!(crate::testing::rows_of(&schema, &format!("[{bad}]")).is_err(), "{bad}");
        }
    }
}

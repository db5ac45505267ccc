//! Changing the row of a letter.

use super::journal::Edited;
use super::letter::Letter;
use super::required::below;
use super::rows;
use super::wrap::is_unit;
use arrow_array::{ArrayRef, BinaryArray, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use purlin_api::literal::{Literal, build};
use purlin_api::shape::is_any;
use purlin_api::{Error, ErrorKind, Result, json};
use serde_json::Value;
use serde_json::value::RawValue;
use std::sync::Arc;

/// What is to stand in a field.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// This value.
    Value(Value),
    /// What somebody typed: text where the field is text, else JSON.
    Typed(String),
}

impl Wanted {
    /// The value for a place of this type, if there is such a place.
    fn value(&self, place: Option<&Field>) -> Value {
        let typed = match self {
            Wanted::Value(value) => return value.clone(),
            Wanted::Typed(typed) => typed,
        };
        let is_text =
            place.is_some_and(|f| !is_any(f) && matches!(f.data_type(), DataType::Utf8 | DataType::Binary));
        match serde_json::from_str(typed) {
            Ok(value @ (Value::String(_) | Value::Null)) => value,
            Ok(value) if !is_text => value,
            _ => Value::from(typed.as_str()),
        }
    }
}

/// A step of a path: a field, or a place in a list.
#[derive(Debug, PartialEq, Eq)]
enum Step<'p> {
    Field(&'p str),
    Place(usize),
}

/// The steps of `customer.name` or `items[0].price`; `None` if it is no path.
fn steps(path: &str) -> Option<Vec<Step<'_>>> {
    let mut steps = Vec::new();
    for part in path.split('.') {
        let (name, mut rest) = part.split_at(part.find('[').unwrap_or(part.len()));
        if name.is_empty() {
            return None;
        }
        steps.push(Step::Field(name));
        while !rest.is_empty() {
            let (place, after) = rest.strip_prefix('[')?.split_once(']')?;
            steps.push(Step::Place(place.parse().ok()?));
            rest = after;
        }
    }
    Some(steps)
}

/// The field that a path leads to.
fn place(schema: &Schema, steps: &[Step<'_>]) -> Option<Field> {
    let (Step::Field(first), below) = steps.split_first()? else { return None };
    let mut at = schema.field_with_name(first).ok()?.clone();
    for step in below {
        let next = match (step, at.data_type()) {
            (Step::Field(name), DataType::Struct(fields)) => fields.find(name)?.1,
            (Step::Field(_), DataType::Map(entries, _)) => match entries.data_type() {
                DataType::Struct(pair) => pair.get(1)?,
                _ => return None,
            },
            (Step::Place(_), DataType::List(item)) => item,
            _ => return None,
        };
        at = next.as_ref().clone();
    }
    Some(at)
}

/// A value in a row, by path.
pub fn member<'v>(row: &'v Value, path: &str) -> Option<&'v Value> {
    if let Some(whole) = row.get(path) {
        return Some(whole);
    }
    steps(path)?.iter().try_fold(row, |v, step| match step {
        Step::Field(name) => v.get(name),
        Step::Place(i) => v.get(i),
    })
}

/// Gives a value in a row another one. All but the last field on the way must be there.
///
/// # Errors
/// If there is no such place.
fn set(row: &mut Value, path: &str, value: Value) -> Result<()> {
    let nowhere = |what: &str| Error::new(ErrorKind::Config, format!("the row has no `{what}` in `{path}`"));
    let steps = steps(path).ok_or_else(|| {
        Error::new(
            ErrorKind::Config,
            format!("`{path}` is no path; paths are like `customer.name` or `items[0]`"),
        )
    })?;
    let mut at = row;
    for (i, step) in steps.iter().enumerate() {
        let last = i + 1 == steps.len();
        at = match step {
            Step::Field(name) => match at {
                Value::Object(fields) if last || fields.contains_key(*name) => {
                    fields.entry((*name).to_owned()).or_insert(Value::Null)
                }
                _ => return Err(nowhere(name)),
            },
            Step::Place(n) => at.get_mut(n).ok_or_else(|| nowhere(&format!("[{n}]")))?,
        };
    }
    *at = value;
    Ok(())
}

/// The row of a letter with other values: each a path and what is to stand there. Fields that are not named stay
/// exactly as they were.
///
/// # Errors
/// If there is no such field, or a value does not fit its type.
pub fn with_values(letter: &Letter, row: &str, values: &[(String, Wanted)]) -> Result<Edited> {
    let batch = rows::decode(row)?;
    let mut object = json::row_to_json(&batch, 0);
    let mut touched = Vec::new();
    for (path, wanted) in values {
        let steps = steps(path).unwrap_or_default();
        let Some(Step::Field(first)) = steps.first() else {
            return Err(Error::new(ErrorKind::Config, format!("`{path}` is no path")));
        };
        let schema = batch.schema();
        let at = schema.index_of(first).map_err(|_| {
            let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            let text = format!("the row has no field `{first}`; it has {}", names.join(", "));
            Error::new(ErrorKind::Config, text)
        })?;
        set(&mut object, path, wanted.value(place(&schema, &steps).as_ref()))?;
        touched.push(at);
    }
    let mut columns = batch.columns().to_vec();
    for at in touched {
        let field = batch.schema().field(at).clone();
        let value = object.get(field.name()).cloned().unwrap_or_default();
        let column = build(&field, &[&Literal::from_json(&value)]);
        let column = column.map_err(|e| Error::new(ErrorKind::Config, e.message().to_owned()))?;
        if let Some(path) = below(&field, &column, 0) {
            let text = format!("field `{path}` of letter {} is never null; give it a value", letter.id);
            return Err(Error::new(ErrorKind::Config, text));
        }
        if let Some(c) = columns.get_mut(at) {
            *c = column;
        }
    }
    edited(letter, &RecordBatch::try_new(batch.schema(), columns)?)
}

/// The row of a letter with another text or payload: of a unit that a reader refused.
///
/// # Errors
/// If the letter is not of a reader, or the text of a line is not UTF-8.
pub fn with_payload(letter: &Letter, row: &str, bytes: &[u8]) -> Result<Edited> {
    let batch = rows::decode(row)?;
    let schema = batch.schema();
    let at = ["payload", "text"].iter().find_map(|name| schema.index_of(name).ok());
    let at = at.filter(|_| is_unit(&batch)).ok_or_else(|| {
        let text =
            format!("letter {} is not of a reader: it has no payload; change it with --set", letter.id);
        Error::new(ErrorKind::Config, text)
    })?;
    let column: ArrayRef = match schema.field(at).data_type() {
        DataType::Binary => Arc::new(BinaryArray::from(vec![bytes])),
        _ => {
            let text = std::str::from_utf8(bytes)
                .map_err(|e| Error::new(ErrorKind::Config, format!("the text of a line is UTF-8: {e}")))?;
            Arc::new(StringArray::from(vec![text.strip_suffix('\n').unwrap_or(text)]))
        }
    };
    let mut columns = batch.columns().to_vec();
    if let Some(c) = columns.get_mut(at) {
        *c = column;
    }
    edited(letter, &RecordBatch::try_new(schema, columns)?)
}

/// The values that differ between a row and what somebody made of it, field by field.
///
/// # Errors
/// If it is no JSON object.
pub fn differences(before: &str, after: &str) -> Result<Vec<(String, Wanted)>> {
    let parse = |text: &str| match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(Error::new(ErrorKind::Config, "the row is to be one JSON object")),
        Err(e) => Err(Error::new(ErrorKind::Config, format!("the row is no JSON: {e}"))),
    };
    let (before, mut after) = (parse(before)?, parse(after)?);
    let gone: Vec<String> = before.keys().filter(|k| !after.contains_key(*k)).cloned().collect();
    after.extend(gone.into_iter().map(|k| (k, Value::Null)));
    let changed = after.into_iter().filter(|(k, v)| before.get(k) != Some(v));
    Ok(changed.map(|(k, v)| (k, Wanted::Value(v))).collect())
}

fn edited(letter: &Letter, batch: &RecordBatch) -> Result<Edited> {
    let mut text = Vec::new();
    json::write_json(batch, 0, &mut text);
    let text = String::from_utf8(text).map_err(|_| Error::internal("JSON is not UTF-8"))?;
    let element = RawValue::from_string(text).map_err(|_| Error::internal("a row is no JSON"))?;
    Ok(Edited { letter: letter.id.clone(), element, row: rows::encode(batch)? })
}

/// A row of other fields than it has: by name, each as it is written. For pipelines whose fields were changed.
///
/// # Errors
/// If a value does not fit its new type, or has no place.
pub(super) fn conformed(batch: &RecordBatch, schema: &Schema) -> Result<RecordBatch> {
    let object = json::row_to_json(batch, 0);
    let fits = |name: &str| schema.field_with_name(name).is_ok();
    if let Some(lost) = batch.schema().fields().iter().find(|f| !fits(f.name())) {
        return Err(Error::data(format!("its field `{}` has no place there", lost.name())));
    }
    let column = |f: &Arc<Field>| match batch.column_by_name(f.name()) {
        Some(column) if column.data_type() == f.data_type() => Ok(column.clone()),
        _ => build(f, &[&Literal::from_json(object.get(f.name()).unwrap_or(&Value::Null))]),
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
    Ok(RecordBatch::try_new(Arc::new(schema.clone()), columns)?)
}

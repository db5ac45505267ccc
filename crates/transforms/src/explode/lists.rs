//! A column seen as lists, whatever its type.

use crate::errors::Failure;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, Int64Array, StringArray, new_null_array};
use arrow_schema::{DataType, Field};
use purlin_api::shape::{any_field, is_any, nullable};
use purlin_api::{Error, Result};
use serde_json::Value;
use std::sync::Arc;

/// The field of the values that a field explodes into, under the same name; `None` if Python could not
/// iterate over its values.
pub(super) fn item(field: &Field) -> Option<Field> {
    if is_any(field) {
        return Some(any_field(field.name()));
    }
    Some(match field.data_type() {
        DataType::List(item) => item.as_ref().clone().with_name(field.name()),
        DataType::Utf8 => Field::new(field.name(), DataType::Utf8, false),
        DataType::Binary => Field::new(field.name(), DataType::Int64, false),
        // The keys, as Python iterates over a mapping.
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => pair.first()?.as_ref().clone().with_name(field.name()),
            _ => return None,
        },
        DataType::Null => Field::new(field.name(), DataType::Null, true),
        _ => return None,
    })
}

/// The values of all rows one after the other, and which of them are a row's.
#[derive(Debug)]
pub(super) struct Lists {
    values: ArrayRef,
    /// First value and count by row.
    spans: Vec<(u32, u32)>,
}

impl Lists {
    /// The lists of a column; rows without one fail.
    pub(super) fn of(field: &Field, column: &ArrayRef, failures: &mut Vec<Failure>) -> Result<Lists> {
        let mut fail = |row: usize, kind: &str| {
            failures.push(Failure::raised(row, "TypeError", &format!("'{kind}' object is not iterable")));
        };
        let missing = |row: usize| column.is_null(row) || column.data_type() == &DataType::Null;
        (0..column.len()).filter(|row| missing(*row)).for_each(|row| fail(row, "NoneType"));
        if is_any(field) {
            return Ok(Lists::any(column, fail));
        }
        match column.data_type() {
            DataType::List(_) => {
                let list = column.as_list::<i32>();
                Ok(Lists::spans(list.values().clone(), list.offsets(), column))
            }
            DataType::Map(..) => {
                let map = column.as_map();
                Ok(Lists::spans(map.keys().clone(), map.offsets(), column))
            }
            DataType::Utf8 => {
                let texts = column.as_string::<i32>();
                let chars = |t: &str| t.chars().map(String::from).collect::<Vec<_>>();
                Ok(Lists::collect(texts.iter().map(|t| t.map(chars).unwrap_or_default()), |v| {
                    Arc::new(StringArray::from(v))
                }))
            }
            DataType::Binary => {
                let all = column.as_binary::<i32>();
                let bytes = |b: &[u8]| b.iter().map(|b| i64::from(*b)).collect::<Vec<_>>();
                Ok(Lists::collect(all.iter().map(|b| b.map(bytes).unwrap_or_default()), |v| {
                    Arc::new(Int64Array::from(v))
                }))
            }
            DataType::Null => {
                let values = new_null_array(nullable(field).data_type(), 0);
                Ok(Lists { values, spans: vec![(0, 0); column.len()] })
            }
            other => Err(Error::internal(format!("cannot explode {other}"))),
        }
    }

    fn spans(values: ArrayRef, offsets: &[i32], column: &ArrayRef) -> Lists {
        let spans = offsets.windows(2).enumerate().map(|(row, pair)| match pair {
            [from, to] if column.is_valid(row) => (*from as u32, (*to - *from) as u32),
            _ => (0, 0),
        });
        Lists { values, spans: spans.collect() }
    }

    fn collect<T>(lists: impl Iterator<Item = Vec<T>>, build: impl Fn(Vec<T>) -> ArrayRef) -> Lists {
        let (mut all, mut spans) = (Vec::new(), Vec::new());
        for mut list in lists {
            spans.push((all.len() as u32, list.len() as u32));
            all.append(&mut list);
        }
        Lists { values: build(all), spans }
    }

    /// Values without a type: JSON lists, text, and mappings (whose keys count).
    fn any(column: &ArrayRef, mut fail: impl FnMut(usize, &str)) -> Lists {
        let texts = column.as_string::<i32>();
        let mut one = |row: usize, text: Option<&str>| -> Vec<String> {
            let Some(text) = text else { return Vec::new() };
            let quoted = |s: String| Value::String(s).to_string();
            let kind = match serde_json::from_str(text) {
                Ok(Value::Array(items)) => return items.iter().map(Value::to_string).collect(),
                Ok(Value::String(s)) => return s.chars().map(|c| quoted(c.into())).collect(),
                Ok(Value::Object(o)) => return o.into_iter().map(|(k, _)| quoted(k)).collect(),
                Ok(Value::Bool(_)) => "bool",
                Ok(Value::Number(n)) if n.is_f64() => "float",
                Ok(Value::Number(_)) => "int",
                Ok(Value::Null) => "NoneType",
                Err(_) => "object",
            };
            fail(row, kind);
            Vec::new()
        };
        let lists: Vec<Vec<String>> = texts.iter().enumerate().map(|(row, t)| one(row, t)).collect();
        // A null inside a list is a null, not the text `null`.
        Lists::collect(lists.into_iter(), |v| {
            Arc::new(v.into_iter().map(|t| Some(t).filter(|t| t != "null")).collect::<StringArray>())
        })
    }

    /// All values; the spans point into them.
    pub(super) fn values(&self) -> &ArrayRef {
        &self.values
    }

    /// How many values a row has.
    pub(super) fn length(&self, row: usize) -> u32 {
        self.spans.get(row).map_or(0, |s| s.1)
    }

    /// Where the values of a row start.
    pub(super) fn start(&self, row: usize) -> u32 {
        self.spans.get(row).map_or(0, |s| s.0)
    }

    /// Only these rows.
    pub(super) fn keep(self, rows: &[usize]) -> Lists {
        let spans = rows.iter().filter_map(|r| self.spans.get(*r).copied()).collect();
        Lists { values: self.values, spans }
    }
}

//! One JSON value appended to a column while it is parsed: nothing is built in between.

use crate::format::columns::{Column, DecimalType, FieldIndex, MapColumn, StructColumn};
use crate::format::python_text::json_repr;
use arrow_schema::Fields;
use purlin_api::{decimal, time};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

/// Deepest nesting of values kept as JSON text; typed values are held by the parser's own limit of 128.
const ANY_DEPTH_MAX: usize = 120;

/// What to do with nested values in text columns, and with keys that the schema does not have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Nested values become the text that Python prints of them.
    pub(super) python_text: bool,
    /// Unknown keys are passed over; otherwise the row is bad.
    pub(super) extra_keys: bool,
}

/// Where in a row a value is, for messages; written out only when one is needed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    name: &'a str,
    /// What follows the name: `.` for a row, `[]` for a list.
    end: &'static str,
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        write!(f, "{}{}", self.name, self.end)
    }
}

/// Appends the object that a row is.
pub(super) struct Row<'a> {
    pub(super) fields: &'a Fields,
    pub(super) index: &'a FieldIndex,
    pub(super) columns: &'a mut [Column],
    /// Rows in the columns before this one.
    pub(super) rows: usize,
    pub(super) rules: Rules,
    /// What to call this object in messages: nothing for the row itself.
    pub(super) path: Path<'a>,
}

impl<'de> DeserializeSeed<'de> for Row<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Row<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut guess = 0;
        while let Some(found) = map.next_key_seed(Key { fields: self.fields, index: self.index, guess })? {
            let i = match found {
                Ok(i) => i,
                Err(_) if self.rules.extra_keys => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
                Err(key) => {
                    return Err(A::Error::custom(Problem::unknown(&format!("{}{key}", self.path))));
                }
            };
            guess = i + 1;
            let (Some(column), Some(field)) = (self.columns.get_mut(i), self.fields.get(i)) else {
                continue;
            };
            // Of two equal keys the last wins.
            if column.len() > self.rows {
                column.truncate(self.rows);
            }
            map.next_value_seed(Cell { column, name: field.name(), path: &self.path, rules: self.rules })?;
        }
        for column in self.columns.iter_mut().filter(|c| c.len() <= self.rows) {
            column.push_null();
        }
        Ok(())
    }
}

/// Which field a key names, or the key itself.
struct Key<'a> {
    fields: &'a Fields,
    index: &'a FieldIndex,
    guess: usize,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Result<usize, String>;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Result<usize, String>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.index.find(self.fields, key, self.guess).ok_or_else(|| key.to_owned()))
    }
}

/// Appends one value.
struct Cell<'a> {
    column: &'a mut Column,
    name: &'a str,
    path: &'a Path<'a>,
    rules: Rules,
}

impl Cell<'_> {
    fn misfit<E: serde::de::Error>(&self, what: &str) -> E {
        let wanted = match &self.column {
            Column::Null(..) => "null",
            Column::Bool(..) => "bool",
            Column::Int(..) => "int",
            Column::Float(..) => "float",
            Column::Text(_) => "str",
            Column::Any(_) => "any",
            Column::Binary(_) => "bytes",
            Column::Time(_, _, None) => "datetime",
            Column::Time(..) => "timestamp",
            Column::Decimal(_, _, t) => {
                return self.no_decimal(what, *t, decimal::Misfit::NotDecimal);
            }
            Column::Date(..) => "date",
            Column::List(_) => "list",
            Column::Map(_) => "map",
            Column::Struct(_) => "row",
        };
        E::custom(Problem::misfit(what, wanted, &format!("{}{}", self.path, self.name)))
    }

    fn no_decimal<E: serde::de::Error>(&self, what: &str, t: DecimalType, why: decimal::Misfit) -> E {
        let wanted = format!("decimal({}, {})", t.precision, t.scale);
        let place = format!("{}{}", self.path, self.name);
        let reason = why.reason(t.precision, t.scale);
        E::custom(format!("{}: {reason}", Problem::misfit(what, &wanted, &place)))
    }

    /// A number with all its digits as they are written, or text that holds one.
    fn decimal<'de, D: Deserializer<'de>>(self, d: D, t: DecimalType) -> Result<(), D::Error> {
        let raw: &RawValue = serde::Deserialize::deserialize(d)?;
        let raw = raw.get();
        let text: Cow<'_, str> = match raw.as_bytes().first() {
            Some(b'n') => {
                self.column.push_null();
                return Ok(());
            }
            Some(b'"') => serde_json::from_str::<String>(raw).map_err(D::Error::custom)?.into(),
            _ => raw.into(),
        };
        match t.parse(&text) {
            Ok(units) => {
                self.column.push_units(units);
                Ok(())
            }
            Err(why) => Err(self.no_decimal(&purlin_api::json::shortened(raw.to_owned(), 60), t, why)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Cell<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<(), D::Error> {
        match &*self.column {
            // Null-typed columns still say what does not fit.
            Column::Null(t, _) if !t.is_null() => {
                serde::Deserialize::deserialize(d).map(|IgnoredAny| self.column.push_null())
            }
            Column::Any(_) => {
                let raw: &RawValue = serde::Deserialize::deserialize(d)?;
                if depth(raw.get()) > ANY_DEPTH_MAX {
                    return Err(D::Error::custom(Problem::too_deep(&format!("{}{}", self.path, self.name))));
                }
                if raw.get() == "null" {
                    self.column.push_null();
                } else {
                    self.column.push_text(raw.get());
                }
                Ok(())
            }
            Column::Decimal(_, _, t) => {
                let t = *t;
                self.decimal(d, t)
            }
            _ => d.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Cell<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.column.push_null();
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, v: bool) -> Result<(), E> {
        if !matches!(self.column, Column::Bool(..)) {
            return Err(self.misfit(if v { "true" } else { "false" }));
        }
        self.column.push_bool(v);
        Ok(())
    }

    fn visit_i64<E: serde::de::Error>(self, v: i64) -> Result<(), E> {
        if !matches!(self.column, Column::Int(..) | Column::Float(..)) {
            return Err(self.misfit(&v.to_string()));
        }
        self.column.push_int(v);
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<(), E> {
        match (i64::try_from(v), &self.column) {
            (Ok(v), _) => self.visit_i64(v),
            (Err(_), Column::Float(..)) => {
                self.column.push_float(v as f64);
                Ok(())
            }
            (Err(_), _) => Err(self.misfit(&format!("{v} (more than 64 bits)"))),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<(), E> {
        /// Up to here every integer is a float of its own.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match self.column {
            Column::Float(..) => self.column.push_float(v),
            Column::Int(..) if v.fract() == 0.0 && v.abs() <= EXACT => self.column.push_int(v as i64),
            _ => return Err(self.misfit(&v.to_string())),
        }
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<(), E> {
        match self.column {
            Column::Text(_) | Column::Binary(_) => self.column.push_text(v),
            Column::Time(_, _, None) => match time::parse_datetime(v) {
                Some(micros) => self.column.push_int(micros),
                None => return Err(self.misfit(&quoted(v))),
            },
            Column::Time(..) => match v.parse::<jiff::Timestamp>() {
                Ok(t) => self.column.push_int(t.as_microsecond()),
                Err(_) => return Err(self.misfit(&quoted(v))),
            },
            Column::Date(..) => match time::parse_date(v) {
                Some(days) => self.column.push_days(days),
                None => return Err(self.misfit(&quoted(v))),
            },
            _ => return Err(self.misfit(&quoted(v))),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if let Some(text) = self.as_python(|| whole_list(&mut seq))? {
            self.column.push_text(&text);
            return Ok(());
        }
        let Column::List(list) = &mut *self.column else { return Err(self.misfit("a list")) };
        let path = Path { parent: Some(self.path), name: self.name, end: "[]" };
        loop {
            let column = list.items_mut();
            let cell = Cell { column, name: "", path: &path, rules: self.rules };
            if seq.next_element_seed(cell)?.is_none() {
                break;
            }
        }
        list.push_valid();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if let Some(text) = self.as_python(|| whole_object(&mut map))? {
            self.column.push_text(&text);
            return Ok(());
        }
        if let Column::Map(entries) = &mut *self.column {
            let path = Path { parent: Some(self.path), name: self.name, end: "." };
            return all_entries(entries, map, path, self.rules);
        }
        let Column::Struct(row) = &mut *self.column else { return Err(self.misfit("an object")) };
        let path = Path { parent: Some(self.path), name: self.name, end: "." };
        nested(row, map, path, self.rules)
    }
}

impl Cell<'_> {
    /// The Python text of a nested value, if it is wanted.
    fn as_python<E>(&self, value: impl FnOnce() -> Result<Value, E>) -> Result<Option<String>, E> {
        if !(self.rules.python_text && matches!(self.column, Column::Text(_))) {
            return Ok(None);
        }
        let mut text = String::new();
        json_repr(&value()?, &mut text);
        Ok(Some(text))
    }
}

fn nested<'de, A: MapAccess<'de>>(
    row: &mut StructColumn,
    map: A,
    path: Path<'_>,
    rules: Rules,
) -> Result<(), A::Error> {
    let (fields, index, columns, rows) = row.parts_mut();
    Row { fields, index, columns, rows, rules, path }.visit_map(map)?;
    row.push_valid();
    Ok(())
}

/// The members of an object as a map.
fn all_entries<'de, A: MapAccess<'de>>(
    entries: &mut MapColumn,
    mut map: A,
    path: Path<'_>,
    rules: Rules,
) -> Result<(), A::Error> {
    let mut seen = HashSet::new();
    let mut repeated = false;
    while let Some(key) = map.next_key::<String>()? {
        let (keys, values) = entries.entries_mut();
        keys.push_text(&key);
        map.next_value_seed(Cell { column: values, name: &key, path: &path, rules })?;
        repeated |= !seen.insert(key);
    }
    if repeated {
        return Err(A::Error::custom(format!("{MARK}a map has a key twice in field `{}`", path.name)));
    }
    entries.push_valid();
    Ok(())
}

/// The rest of a sequence as a value.
fn whole_list<'de, A: SeqAccess<'de>>(seq: &mut A) -> Result<Value, A::Error> {
    let mut items = Vec::new();
    while let Some(item) = seq.next_element()? {
        items.push(item);
    }
    Ok(Value::Array(items))
}

/// The rest of a map as a value.
fn whole_object<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Value, A::Error> {
    let mut members = serde_json::Map::new();
    while let Some((key, value)) = map.next_entry()? {
        members.insert(key, value);
    }
    Ok(Value::Object(members))
}

/// Texts of problems; a mark tells them from the parser's own.
pub(super) struct Problem;

/// Stands before messages of ours, so that they are told from the parser's.
pub(super) const MARK: char = '\u{1}';

impl Problem {
    fn unknown(key: &str) -> String {
        format!("{MARK}unknown field `{key}`")
    }

    fn misfit(what: &str, wanted: &str, name: &str) -> String {
        format!("{MARK}cannot read {what} as {wanted} in field `{name}`")
    }

    fn too_deep(name: &str) -> String {
        format!("{MARK}field `{name}` is nested deeper than {ANY_DEPTH_MAX} levels")
    }
}

fn quoted(text: &str) -> String {
    format!("{:?}", purlin_api::json::shortened(text.to_owned(), 60))
}

/// How deeply a JSON text nests.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0usize, 0, false, false);
    for b in json.bytes() {
        match b {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

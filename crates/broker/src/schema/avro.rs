//! Avro schemas: reading them, and checking data in Avro's two encodings against them
//! (<https://avro.apache.org/docs/1.12.0/specification/>). Values are walked, not built.

use serde_json::{Map, Value};
use std::collections::HashMap;

/// How deep types and values may be nested.
const DEPTH_MAX: usize = 64;

/// A type; named types are by their index in [`Schema::named`].
#[derive(Clone, Debug, PartialEq)]
enum Type {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Array(Box<Type>),
    Map(Box<Type>),
    Union(Vec<Type>),
    Named(usize),
}

#[derive(Clone, Debug, PartialEq)]
enum Named {
    /// Seen, not read yet: a type inside may name it.
    Open,
    Record(Vec<Field>),
    Enum(Vec<String>),
    Fixed(usize),
}

#[derive(Clone, Debug, PartialEq)]
struct Field {
    name: String,
    type_: Type,
}

/// A schema.
#[derive(Debug)]
pub(crate) struct Schema {
    root: Type,
    named: Vec<Named>,
    names: Vec<String>,
}

#[derive(Default)]
struct Reader {
    index: HashMap<String, usize>,
    named: Vec<Named>,
    names: Vec<String>,
}

impl Schema {
    /// Reads a definition.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|e| format!("it is not JSON: {e}"))?;
        let mut reader = Reader::default();
        let root = reader.type_of(&value, "", 0)?;
        Ok(Schema { root, named: reader.named, names: reader.names })
    }

    /// Checks data in Avro's JSON encoding.
    pub(crate) fn check_json(&self, data: &[u8]) -> Result<(), String> {
        let value: Value = serde_json::from_slice(data).map_err(|e| format!("it is not JSON: {e}"))?;
        self.json(&self.root, &value, "the message", 0)
    }

    /// Checks data in Avro's binary encoding: one datum, nothing after it.
    pub(crate) fn check_binary(&self, data: &[u8]) -> Result<(), String> {
        let mut rest = data;
        self.binary(&self.root, &mut rest, 0)?;
        if rest.is_empty() { Ok(()) } else { Err(format!("{} bytes are left after the value", rest.len())) }
    }

    fn json(&self, type_: &Type, value: &Value, place: &str, depth: usize) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(format!("{place} is nested too deeply"));
        }
        let good = match type_ {
            Type::Null => value.is_null(),
            Type::Boolean => value.is_boolean(),
            Type::Int => value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
            Type::Long => value.as_i64().is_some(),
            Type::Float | Type::Double => value.is_number(),
            Type::String => value.is_string(),
            // Bytes stand as text, one character from 0 to 255 for each.
            Type::Bytes => value.as_str().is_some_and(|s| s.chars().all(|c| u32::from(c) < 256)),
            Type::Array(item) => match value.as_array() {
                Some(items) => {
                    return items
                        .iter()
                        .enumerate()
                        .try_for_each(|(i, v)| self.json(item, v, &format!("{place}[{i}]"), depth + 1));
                }
                None => false,
            },
            Type::Map(item) => match value.as_object() {
                Some(map) => {
                    return map
                        .iter()
                        .try_for_each(|(k, v)| self.json(item, v, &format!("{place}.{k}"), depth + 1));
                }
                None => false,
            },
            Type::Union(branches) => return self.json_union(branches, value, place, depth),
            Type::Named(index) => return self.json_named(*index, value, place, depth),
        };
        if good { Ok(()) } else { Err(format!("{place} is not of type {}", self.name(type_))) }
    }

    /// Null stands as it is; any other branch as an object with the branch's name.
    fn json_union(&self, branches: &[Type], value: &Value, place: &str, depth: usize) -> Result<(), String> {
        if value.is_null() && branches.contains(&Type::Null) {
            return Ok(());
        }
        let single = value.as_object().filter(|o| o.len() == 1).and_then(|o| o.iter().next());
        let branch = single.and_then(|(name, v)| Some((branches.iter().find(|b| self.name(b) == *name)?, v)));
        match branch {
            Some((branch, value)) => self.json(branch, value, place, depth + 1),
            None => {
                let names: Vec<&str> = branches.iter().map(|b| self.name(b)).collect();
                Err(format!("{place} must be {{\"TYPE\": VALUE}} with a type of {}", names.join(", ")))
            }
        }
    }

    fn json_named(&self, index: usize, value: &Value, place: &str, depth: usize) -> Result<(), String> {
        let wrong = || Err(format!("{place} is not of type {}", self.name(&Type::Named(index))));
        match (self.named.get(index), value) {
            (Some(Named::Record(fields)), Value::Object(object)) => {
                for field in fields {
                    let place = format!("{place}.{}", field.name);
                    let value = object.get(&field.name).ok_or_else(|| format!("{place} is missing"))?;
                    self.json(&field.type_, value, &place, depth + 1)?;
                }
                match object.keys().find(|k| !fields.iter().any(|f| f.name == **k)) {
                    Some(extra) => Err(format!("{place}.{extra} is not in the schema")),
                    None => Ok(()),
                }
            }
            (Some(Named::Enum(symbols)), Value::String(s)) if symbols.contains(s) => Ok(()),
            (Some(Named::Fixed(size)), Value::String(s))
                if s.chars().count() == *size && s.chars().all(|c| u32::from(c) < 256) =>
            {
                Ok(())
            }
            _ => wrong(),
        }
    }

    fn binary(&self, type_: &Type, rest: &mut &[u8], depth: usize) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err("the value is nested too deeply".to_owned());
        }
        match type_ {
            Type::Null => Ok(()),
            Type::Boolean => match take(rest, 1)? {
                [0 | 1] => Ok(()),
                _ => Err("a boolean is neither 0 nor 1".to_owned()),
            },
            Type::Int => {
                i32::try_from(long(rest)?).map(drop).map_err(|_| "an int has more than 32 bits".to_owned())
            }
            Type::Long => long(rest).map(drop),
            Type::Float => take(rest, 4).map(drop),
            Type::Double => take(rest, 8).map(drop),
            Type::Bytes => counted(rest).map(drop),
            Type::String => text(rest),
            Type::Array(item) => blocks(rest, |rest| self.binary(item, rest, depth + 1)),
            Type::Map(item) => blocks(rest, |rest| {
                text(rest)?;
                self.binary(item, rest, depth + 1)
            }),
            Type::Union(branches) => {
                let branch = usize::try_from(long(rest)?).ok().and_then(|i| branches.get(i));
                self.binary(branch.ok_or("a union has no such branch")?, rest, depth + 1)
            }
            Type::Named(index) => match self.named.get(*index) {
                Some(Named::Record(fields)) => {
                    fields.iter().try_for_each(|f| self.binary(&f.type_, rest, depth + 1))
                }
                Some(Named::Enum(symbols)) => match usize::try_from(long(rest)?) {
                    Ok(i) if i < symbols.len() => Ok(()),
                    _ => Err("an enum has no such symbol".to_owned()),
                },
                Some(Named::Fixed(size)) => take(rest, *size).map(drop),
                Some(Named::Open) | None => Err("a type was never defined".to_owned()),
            },
        }
    }

    fn name<'a>(&'a self, type_: &Type) -> &'a str {
        match type_ {
            Type::Null => "null",
            Type::Boolean => "boolean",
            Type::Int => "int",
            Type::Long => "long",
            Type::Float => "float",
            Type::Double => "double",
            Type::Bytes => "bytes",
            Type::String => "string",
            Type::Array(_) => "array",
            Type::Map(_) => "map",
            Type::Union(_) => "union",
            Type::Named(index) => self.names.get(*index).map_or("", String::as_str),
        }
    }
}

fn take<'a>(rest: &mut &'a [u8], n: usize) -> Result<&'a [u8], String> {
    let (taken, left) = rest.split_at_checked(n).ok_or("the data ends too early")?;
    *rest = left;
    Ok(taken)
}

/// A zigzag varint of at most 10 bytes.
fn long(rest: &mut &[u8]) -> Result<i64, String> {
    let n = prost::encoding::decode_varint(rest).map_err(|_| "a number cannot be read".to_owned())?;
    Ok((n >> 1) as i64 ^ -((n & 1) as i64))
}

fn counted<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let n = usize::try_from(long(rest)?).map_err(|_| "a length is negative".to_owned())?;
    take(rest, n)
}

fn text(rest: &mut &[u8]) -> Result<(), String> {
    std::str::from_utf8(counted(rest)?).map(drop).map_err(|_| "a string is not UTF-8".to_owned())
}

/// Blocks of items, each with its count (negative: its size in bytes follows), up to one with none.
fn blocks(rest: &mut &[u8], mut item: impl FnMut(&mut &[u8]) -> Result<(), String>) -> Result<(), String> {
    loop {
        let count = long(rest)?;
        if count == 0 {
            return Ok(());
        }
        if count < 0 {
            long(rest)?;
        }
        for _ in 0..count.unsigned_abs() {
            let before = rest.len();
            item(rest)?;
            // Items of no bytes would make the count a promise of work without end.
            if rest.len() == before && count.unsigned_abs() > 1_000_000 {
                return Err("a block has too many items".to_owned());
            }
        }
    }
}

impl Reader {
    fn type_of(&mut self, value: &Value, namespace: &str, depth: usize) -> Result<Type, String> {
        if depth > DEPTH_MAX {
            return Err("it is nested too deeply".to_owned());
        }
        match value {
            Value::String(name) => self.by_name(name, namespace),
            Value::Array(branches) => self.union(branches, namespace, depth),
            Value::Object(object) => self.complex(object, namespace, depth),
            other => Err(format!("`{other}` is no type")),
        }
    }

    fn by_name(&mut self, name: &str, namespace: &str) -> Result<Type, String> {
        Ok(match name {
            "null" => Type::Null,
            "boolean" => Type::Boolean,
            "int" => Type::Int,
            "long" => Type::Long,
            "float" => Type::Float,
            "double" => Type::Double,
            "bytes" => Type::Bytes,
            "string" => Type::String,
            name => {
                let full = full_name(name, namespace);
                let index = self.index.get(&full).or_else(|| self.index.get(name));
                Type::Named(*index.ok_or_else(|| format!("there is no type `{name}`"))?)
            }
        })
    }

    fn union(&mut self, branches: &[Value], namespace: &str, depth: usize) -> Result<Type, String> {
        let types: Vec<Type> =
            branches.iter().map(|b| self.type_of(b, namespace, depth + 1)).collect::<Result<_, _>>()?;
        for (i, type_) in types.iter().enumerate() {
            let same = |other: &Type| match type_ {
                Type::Named(_) => other == type_,
                _ => std::mem::discriminant(other) == std::mem::discriminant(type_),
            };
            if matches!(type_, Type::Union(_)) {
                return Err("a union stands directly in a union".to_owned());
            }
            if types.iter().take(i).any(same) {
                return Err("a union has two branches of one type".to_owned());
            }
        }
        Ok(Type::Union(types))
    }

    fn complex(
        &mut self,
        object: &Map<String, Value>,
        namespace: &str,
        depth: usize,
    ) -> Result<Type, String> {
        let kind = object.get("type").ok_or("a type has no `type`")?;
        let part = |key: &str| object.get(key).ok_or_else(|| format!("a type has no `{key}`"));
        match kind.as_str() {
            Some("array") => Ok(Type::Array(Box::new(self.type_of(part("items")?, namespace, depth + 1)?))),
            Some("map") => Ok(Type::Map(Box::new(self.type_of(part("values")?, namespace, depth + 1)?))),
            Some(kind @ ("record" | "error" | "enum" | "fixed")) => {
                let name = part("name")?.as_str().ok_or("a name is no text")?;
                let namespace = object.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
                let full = full_name(name, namespace);
                if !full.split('.').all(is_name) {
                    return Err(format!("`{full}` is no name"));
                }
                let index = self.named.len();
                if self.index.insert(full.clone(), index).is_some() {
                    return Err(format!("`{full}` is defined twice"));
                }
                self.named.push(Named::Open);
                self.names.push(full.clone());
                let inner = full.rsplit_once('.').map_or("", |(n, _)| n).to_owned();
                let named = match kind {
                    "enum" => Named::Enum(symbols(part("symbols")?)?),
                    "fixed" => {
                        let size = part("size")?.as_u64().and_then(|n| usize::try_from(n).ok());
                        Named::Fixed(size.ok_or("`size` is no number")?)
                    }
                    _ => Named::Record(self.fields(part("fields")?, &inner, depth)?),
                };
                if let Some(place) = self.named.get_mut(index) {
                    *place = named;
                }
                Ok(Type::Named(index))
            }
            _ => self.type_of(kind, namespace, depth + 1),
        }
    }

    fn fields(&mut self, value: &Value, namespace: &str, depth: usize) -> Result<Vec<Field>, String> {
        let mut fields: Vec<Field> = Vec::new();
        for field in value.as_array().ok_or("`fields` is no list")? {
            let name = field.get("name").and_then(Value::as_str).filter(|n| is_name(n));
            let name = name.ok_or("a field has no name, or none that Avro allows")?.to_owned();
            let type_ = field.get("type").ok_or_else(|| format!("the field `{name}` has no type"))?;
            let type_ = self
                .type_of(type_, namespace, depth + 1)
                .map_err(|e| format!("{e}, in the field `{name}`"))?;
            if fields.iter().any(|f| f.name == name) {
                return Err(format!("the field `{name}` is there twice"));
            }
            fields.push(Field { name, type_ });
        }
        Ok(fields)
    }
}

fn symbols(value: &Value) -> Result<Vec<String>, String> {
    let list = value.as_array().ok_or("`symbols` is no list")?;
    let symbol = |v: &Value| {
        v.as_str().filter(|s| is_name(s)).map(str::to_owned).ok_or_else(|| format!("`{v}` is no symbol"))
    };
    list.iter().map(symbol).collect()
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ORDER: &str = r#"{"type": "record", "name": "Order", "namespace": "shop", "fields": [
        {"name": "id", "type": "long"},
        {"name": "note", "type": ["null", "string"]},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["NEW", "PAID"]}},
        {"name": "parent", "type": ["null", "Order"]}
    ]}"#;

    #[test]
    fn json_is_checked() {
        let schema = Schema::parse(ORDER).unwrap();
        let check = |text: &str| schema.check_json(text.as_bytes());
        let good = r#"{"id": 1, "note": {"string": "x"}, "tags": ["a"], "state": "NEW", "parent": null}"#;
        check(good).unwrap();
        check(&good.replace(r#""parent": null"#, &format!(r#""parent": {{"shop.Order": {good}}}"#))).unwrap();
        for (from, to, why) in [
            ("1", "\"1\"", "id is not of type long"),
            (r#"{"string": "x"}"#, "\"x\"", "note must be"),
            ("\"a\"", "5", "tags[0]"),
            ("NEW", "OLD", "state is not of type shop.State"),
            (r#", "parent": null"#, "", "parent is missing"),
            ("\"id\": 1", "\"id\": 1, \"more\": 2", "more is not in the schema"),
        ] {
            let message = check(&good.replace(from, to)).unwrap_err();
            assert!(message.contains(why), "{message}");
        }
    }

    #[test]
    fn binary_is_checked() {
        let schema = Schema::parse(ORDER).unwrap();
        let good = [2, 2, 2, b'x', 2, 2, b'a', 0, 0, 0];
        schema.check_binary(&good).unwrap();
        for cut in 0..good.len() {
            assert!(schema.check_binary(&good[..cut]).is_err(), "{cut}");
        }
        assert!(schema.check_binary(&[&good[..], &[0]].concat()).unwrap_err().contains("left"));
        assert!(schema.check_binary(&[2, 4]).unwrap_err().contains("branch"));
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        for wrong in [
            "",
            "1",
            "\"strin\"",
            "{}",
            r#"{"type": "record", "name": "a"}"#,
            r#"{"type": "record", "name": "1a", "fields": []}"#,
            r#"{"type": "record", "name": "a", "fields": [{"name": "x"}]}"#,
            r#"{"type": "record", "name": "a", "fields": [{"name": "x", "type": "int"}, {"name": "x", "type": "int"}]}"#,
            r#"["int", "int"]"#,
            r#"["int", ["null"]]"#,
            r#"{"type": "enum", "name": "e", "symbols": ["a b"]}"#,
        ] {
            assert!(Schema::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let schema = Schema::parse(ORDER).unwrap();
            let _checked = (schema.check_binary(&bytes), schema.check_json(&bytes));
        }
    }
}

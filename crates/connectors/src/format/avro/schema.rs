//! Avro schemas, and the columns that they are for us.

use arrow_schema::{DataType, Field, Fields, TimeUnit};
use purlin_api::shape::any_field;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Deepest nesting that is read.
const DEPTH_MAX: usize = 64;
/// Most types in a schema, those behind names counted wherever they are used.
const TYPES_MAX: usize = 20_000;
/// Most digits of a decimal that are kept.
const DECIMAL_DIGITS_MAX: u8 = 38;

/// A type, names resolved.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Type {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Enum(Arc<[String]>),
    Array(Arc<Type>),
    Map(Arc<Type>),
    Record(Arc<[Member]>),
    Union(Arc<[Type]>),
    /// Days since 1970, in an `int`.
    Date,
    /// Milliseconds since midnight, in an `int`.
    TimeMillis,
    /// Microseconds since midnight, in a `long`.
    TimeMicros,
    /// A point in time (with or without a zone), in a `long`.
    Timestamp(Unit),
    /// A decimal in bytes, or in as many as are given.
    Decimal {
        fixed: Option<usize>,
        digits: u8,
        scale: i8,
    },
    /// 16 bytes.
    Uuid,
}

/// What a timestamp counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Millis,
    Micros,
    Nanos,
}

/// A field of a record.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) of: Type,
}

/// Understands a schema: the fields of the record that it is.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(json: &str) -> Result<Arc<[Member]>, String> {
    let value: Value = serde_json::from_str(json).map_err(|e| format!("it is no JSON: {e}"))?;
    match Parser::default().parse(&value, "", 0)?.of {
        Type::Record(members) => Ok(members),
        other => Err(format!("it describes {}, not records", other.describe())),
    }
}

/// A type with what it costs.
#[derive(Clone)]
struct Parsed {
    of: Type,
    types: usize,
    depth: usize,
}

impl Parsed {
    fn leaf(of: Type) -> Self {
        Parsed { of, types: 1, depth: 1 }
    }

    fn around(inner: &[Parsed], of: Type) -> Self {
        Parsed {
            of,
            types: inner.iter().map(|p| p.types).fold(1, usize::saturating_add),
            depth: inner.iter().map(|p| p.depth).max().unwrap_or(0) + 1,
        }
    }
}

#[derive(Default)]
struct Parser {
    /// Named types; `None` while one is being read.
    names: HashMap<String, Option<Parsed>>,
}

impl Parser {
    fn parse(&mut self, json: &Value, namespace: &str, depth: usize) -> Result<Parsed, String> {
        if depth > DEPTH_MAX {
            return Err(format!("it is nested deeper than {DEPTH_MAX} levels"));
        }
        let parsed = match json {
            Value::String(word) => self.named(word, namespace)?,
            Value::Array(branches) => self.union(branches, namespace, depth)?,
            Value::Object(_) => self.object(json, namespace, depth)?,
            other => return Err(format!("`{other}` is not a type")),
        };
        if parsed.types > TYPES_MAX || parsed.depth + depth > DEPTH_MAX {
            return Err(format!("it has more than {TYPES_MAX} types or {DEPTH_MAX} levels"));
        }
        Ok(parsed)
    }

    fn named(&self, word: &str, namespace: &str) -> Result<Parsed, String> {
        if let Some(t) = primitive(word) {
            return Ok(Parsed::leaf(t));
        }
        let full = full_name(word, namespace);
        match self.names.get(&full).or_else(|| self.names.get(word)) {
            Some(Some(parsed)) => Ok(parsed.clone()),
            Some(None) => Err(format!("the type `{word}` holds itself, which columns cannot")),
            None => Err(format!("the type `{word}` is not known")),
        }
    }

    fn union(&mut self, branches: &[Value], namespace: &str, depth: usize) -> Result<Parsed, String> {
        let branches: Vec<Parsed> =
            branches.iter().map(|b| self.parse(b, namespace, depth + 1)).collect::<Result<_, _>>()?;
        if branches.is_empty() {
            return Err("a union has no types".to_owned());
        }
        if branches.iter().any(|b| matches!(b.of, Type::Union(_))) {
            return Err("a union stands directly in a union".to_owned());
        }
        let of = Type::Union(branches.iter().map(|b| b.of.clone()).collect());
        Ok(Parsed::around(&branches, of))
    }

    fn object(&mut self, json: &Value, namespace: &str, depth: usize) -> Result<Parsed, String> {
        let word = match json.get("type") {
            Some(Value::String(word)) => word.as_str(),
            Some(inner @ (Value::Object(_) | Value::Array(_))) => {
                return self.parse(inner, namespace, depth + 1);
            }
            _ => return Err("a type does not say what it is".to_owned()),
        };
        let inner = |parser: &mut Self, key: &str| match json.get(key) {
            Some(inner) => parser.parse(inner, namespace, depth + 1),
            None => Err(format!("a type `{word}` has no `{key}`")),
        };
        match word {
            "array" => {
                let items = inner(self, "items")?;
                let of = Type::Array(Arc::new(items.of.clone()));
                Ok(Parsed::around(&[items], of))
            }
            "map" => {
                let values = inner(self, "values")?;
                let of = Type::Map(Arc::new(values.of.clone()));
                Ok(Parsed::around(&[values], of))
            }
            "record" | "error" | "enum" | "fixed" => self.definition(word, json, namespace, depth),
            _ => {
                let base = self.named(word, namespace)?;
                Ok(Parsed { of: logical(json, &base.of).unwrap_or(base.of), ..base })
            }
        }
    }

    /// A type with a name.
    fn definition(
        &mut self,
        word: &str,
        json: &Value,
        namespace: &str,
        depth: usize,
    ) -> Result<Parsed, String> {
        let text = |key| json.get(key).and_then(Value::as_str);
        let name = text("name").ok_or_else(|| format!("a type `{word}` has no `name`"))?;
        let full = full_name(name, text("namespace").unwrap_or(namespace));
        if self.names.insert(full.clone(), None).is_some() {
            return Err(format!("the type `{full}` is there twice"));
        }
        let parsed = match word {
            "enum" => {
                let symbols = json.get("symbols").and_then(Value::as_array).into_iter().flatten();
                let symbols: Option<Arc<[String]>> = symbols.map(|s| s.as_str().map(str::to_owned)).collect();
                let symbols = symbols.filter(|s| !s.is_empty());
                Parsed::leaf(Type::Enum(symbols.ok_or_else(|| format!("the enum `{full}` has no symbols"))?))
            }
            "fixed" => {
                let size = json.get("size").and_then(Value::as_u64).and_then(|s| usize::try_from(s).ok());
                let size = size.filter(|s| *s <= i32::MAX as usize);
                let fixed = Type::Fixed(size.ok_or_else(|| format!("the fixed `{full}` has no size"))?);
                Parsed::leaf(logical(json, &fixed).unwrap_or(fixed))
            }
            _ => {
                let namespace = full.rsplit_once('.').map_or("", |(n, _)| n);
                self.record(&full, json, namespace, depth)?
            }
        };
        self.names.insert(full, Some(parsed.clone()));
        Ok(parsed)
    }

    fn record(&mut self, name: &str, json: &Value, namespace: &str, depth: usize) -> Result<Parsed, String> {
        let fields = json.get("fields").and_then(Value::as_array);
        let fields = fields.ok_or_else(|| format!("the record `{name}` has no fields"))?;
        let (mut names, mut members, mut parsed) = (HashSet::new(), Vec::new(), Vec::new());
        for f in fields {
            let Some(field) = f.get("name").and_then(Value::as_str) else {
                return Err(format!("a field of `{name}` has no name"));
            };
            let Some(of) = f.get("type") else {
                return Err(format!("the field `{field}` of `{name}` has no type"));
            };
            if !names.insert(field) {
                return Err(format!("the record `{name}` has two fields `{field}`"));
            }
            let of = self.parse(of, namespace, depth + 1)?;
            members.push(Member { name: field.to_owned(), of: of.of.clone() });
            parsed.push(of);
        }
        Ok(Parsed::around(&parsed, Type::Record(members.into())))
    }
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

fn primitive(word: &str) -> Option<Type> {
    Some(match word {
        "null" => Type::Null,
        "boolean" => Type::Boolean,
        "int" => Type::Int,
        "long" => Type::Long,
        "float" => Type::Float,
        "double" => Type::Double,
        "bytes" => Type::Bytes,
        "string" => Type::Text,
        _ => return None,
    })
}

/// What a logical type makes of a type. One that is not known, or does not fit, changes nothing: the
/// specification says so.
fn logical(json: &Value, base: &Type) -> Option<Type> {
    let word = json.get("logicalType").and_then(Value::as_str)?;
    Some(match (word, base) {
        ("date", Type::Int) => Type::Date,
        ("time-millis", Type::Int) => Type::TimeMillis,
        ("time-micros", Type::Long) => Type::TimeMicros,
        ("timestamp-millis" | "local-timestamp-millis", Type::Long) => Type::Timestamp(Unit::Millis),
        ("timestamp-micros" | "local-timestamp-micros", Type::Long) => Type::Timestamp(Unit::Micros),
        ("timestamp-nanos" | "local-timestamp-nanos", Type::Long) => Type::Timestamp(Unit::Nanos),
        ("uuid", Type::Fixed(16)) => Type::Uuid,
        ("decimal", Type::Bytes | Type::Fixed(_)) => {
            let number =
                |key| json.get(key).map_or(Some(0), |n| n.as_u64().and_then(|n| u8::try_from(n).ok()));
            let (digits, scale) = (number("precision")?, number("scale")?);
            if digits == 0 || scale > digits || scale > DECIMAL_DIGITS_MAX {
                return None;
            }
            let fixed = if let Type::Fixed(size) = base { Some(*size) } else { None };
            Type::Decimal { fixed, digits: digits.min(DECIMAL_DIGITS_MAX), scale: i8::try_from(scale).ok()? }
        }
        _ => return None,
    })
}

impl Type {
    /// The column that it is for us; every value may be null.
    pub(super) fn field(&self, name: &str) -> Field {
        let data_type = match self {
            Type::Null => DataType::Null,
            Type::Boolean => DataType::Boolean,
            Type::Int | Type::Long => DataType::Int64,
            Type::Float | Type::Double => DataType::Float64,
            Type::Bytes | Type::Fixed(_) => DataType::Binary,
            Type::Text | Type::Enum(_) | Type::Uuid => DataType::Utf8,
            Type::Array(items) => DataType::List(Arc::new(items.field("item"))),
            Type::Map(values) => {
                let pair = vec![Field::new("key", DataType::Utf8, false), values.field("value")];
                DataType::Map(Arc::new(Field::new("entries", DataType::Struct(pair.into()), false)), false)
            }
            Type::Record(members) => DataType::Struct(fields(members)),
            Type::Date => DataType::Date32,
            Type::TimeMillis | Type::TimeMicros => DataType::Time64(TimeUnit::Microsecond),
            Type::Timestamp(_) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Type::Decimal { digits, scale, .. } => DataType::Decimal128(*digits, *scale),
            Type::Union(branches) => return union_field(name, branches),
        };
        Field::new(name, data_type, true)
    }

    /// For messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Type::Union(branches) => {
                let all: Vec<String> = branches.iter().map(Type::describe).collect();
                format!("a union of {}", all.join(", "))
            }
            Type::Int => "`int`".to_owned(),
            Type::Long => "`long`".to_owned(),
            Type::Float => "`float`".to_owned(),
            Type::Double => "`double`".to_owned(),
            Type::Text => "`string`".to_owned(),
            Type::Fixed(size) => format!("a `fixed` of {size} bytes"),
            Type::Enum(_) => "an `enum`".to_owned(),
            Type::Array(_) => "an `array`".to_owned(),
            Type::Map(_) => "a `map`".to_owned(),
            Type::Record(_) => "a `record`".to_owned(),
            Type::Timestamp(_) => "a timestamp".to_owned(),
            Type::TimeMillis | Type::TimeMicros => "a time of day".to_owned(),
            Type::Decimal { digits, scale, .. } => {
                format!("a decimal with {scale} of {digits} digits behind the point")
            }
            other => format!("`{other:?}`").to_lowercase(),
        }
    }
}

/// The columns of a record.
pub(super) fn fields(members: &[Member]) -> Fields {
    members.iter().map(|m| m.of.field(&m.name)).collect()
}

/// A union with null is a column that may be null; integers beside floats are floats; other types
/// together are a column without a common type.
fn union_field(name: &str, branches: &[Type]) -> Field {
    let mut fields = branches.iter().filter(|b| **b != Type::Null).map(|b| b.field(name));
    let Some(first) = fields.next() else { return Type::Null.field(name) };
    let united = fields.try_fold(first, |all, f| {
        if all == f {
            return Some(all);
        }
        let number = |f: &Field| matches!(f.data_type(), DataType::Int64 | DataType::Float64);
        (number(&all) && number(&f)).then(|| Type::Double.field(name))
    });
    united.unwrap_or_else(|| any_field(name))
}

//! Static types of expressions, and how they become Arrow types.

mod declared;

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, TimeUnit};

pub(crate) use declared::declared_field;

use crate::any::{is_any, mark_any};
use crate::ir::Function;

/// What is known of a value before the data flows.
#[derive(Clone, Debug)]
pub(crate) enum Ty {
    /// No value: the type of what an empty list holds, or of code that never ends normally.
    Never,
    None,
    Bool,
    Int,
    Float,
    /// `decimal.Decimal` with at most so many decimals, if that is known.
    Decimal(Option<u8>),
    Str,
    Bytes,
    List(Box<Ty>),
    Tuple(Vec<Ty>),
    Set(Box<Ty>),
    Dict(Box<Ty>, Box<Ty>),
    Row(Vec<(Arc<str>, Ty)>),
    Iter(Box<Ty>),
    Timestamp,
    Duration,
    Date,
    Time,
    /// A datetime that may have a zone or not.
    DateTime,
    /// A datetime that certainly has no zone.
    LocalDateTime,
    Delta,
    Zone,
    Match,
    Pattern,
    Exception,
    Function(Arc<Function>),
    Builtin(&'static str),
    Class(&'static str),
    /// The type, or None.
    Optional(Box<Ty>),
    Any,
}

impl PartialEq for Ty {
    fn eq(&self, other: &Ty) -> bool {
        match (self, other) {
            (Ty::List(a), Ty::List(b)) | (Ty::Set(a), Ty::Set(b)) | (Ty::Iter(a), Ty::Iter(b)) => a == b,
            (Ty::Optional(a), Ty::Optional(b)) => a == b,
            (Ty::Tuple(a), Ty::Tuple(b)) => a == b,
            (Ty::Dict(a, b), Ty::Dict(c, d)) => a == c && b == d,
            (Ty::Row(a), Ty::Row(b)) => a == b,
            (Ty::Function(a), Ty::Function(b)) => Arc::ptr_eq(a, b),
            (Ty::Decimal(a), Ty::Decimal(b)) => a == b,
            (Ty::Builtin(a), Ty::Builtin(b)) | (Ty::Class(a), Ty::Class(b)) => a == b,
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
        }
    }
}

/// Digits of a decimal column whose precision nobody gave; also the greatest scale.
pub(crate) const DECIMAL_DIGITS: u8 = 38;

/// Types nested deeper become Any, so that inference over loops ends.
const DEPTH_MAX: usize = 8;

impl Ty {
    pub(crate) fn list(item: Ty) -> Ty {
        Ty::List(Box::new(item))
    }

    /// `T` or None.
    pub(crate) fn optional(self) -> Ty {
        match self {
            Ty::Never | Ty::None => Ty::None,
            Ty::Any => Ty::Any,
            Ty::Optional(t) => Ty::Optional(t),
            t => Ty::Optional(Box::new(t)),
        }
    }

    /// Without the None.
    pub(crate) fn present(&self) -> &Ty {
        if let Ty::Optional(t) = self { t } else { self }
    }

    /// The least type that holds both; int and float give float.
    pub(crate) fn join(self, other: Ty) -> Ty {
        let joined = match (self, other) {
            (Ty::Never, t) | (t, Ty::Never) => t,
            (a, b) if a == b => a,
            (Ty::Any, _) | (_, Ty::Any) => Ty::Any,
            (Ty::None, t) | (t, Ty::None) => t.optional(),
            (Ty::Optional(a), Ty::Optional(b)) => a.join(*b).optional(),
            (Ty::Optional(a), b) | (b, Ty::Optional(a)) => a.join(b).optional(),
            (Ty::Int, Ty::Float) | (Ty::Float, Ty::Int) => Ty::Float,
            (Ty::Int, Ty::Decimal(s)) | (Ty::Decimal(s), Ty::Int) => Ty::Decimal(s),
            (Ty::Decimal(a), Ty::Decimal(b)) => Ty::Decimal(a.zip(b).map(|(a, b)| a.max(b))),
            (Ty::DateTime, Ty::LocalDateTime) | (Ty::LocalDateTime, Ty::DateTime) => Ty::DateTime,
            (Ty::List(a), Ty::List(b)) => Ty::list(a.join(*b)),
            (Ty::Set(a), Ty::Set(b)) => Ty::Set(Box::new(a.join(*b))),
            (Ty::Iter(a), Ty::Iter(b)) => Ty::Iter(Box::new(a.join(*b))),
            (Ty::Dict(a, b), Ty::Dict(c, d)) => Ty::Dict(Box::new(a.join(*c)), Box::new(b.join(*d))),
            (Ty::Tuple(a), Ty::Tuple(b)) if a.len() == b.len() => {
                Ty::Tuple(a.into_iter().zip(b).map(|(x, y)| x.join(y)).collect())
            }
            (Ty::Row(a), Ty::Row(b)) if a.len() == b.len() && a.iter().zip(&b).all(|(x, y)| x.0 == y.0) => {
                Ty::Row(a.into_iter().zip(b).map(|(x, y)| (x.0, x.1.join(y.1))).collect())
            }
            _ => Ty::Any,
        };
        if joined.depth() > DEPTH_MAX { Ty::Any } else { joined }
    }

    /// The type of values that stand in one dict under different keys: there an int beside a float stays an int.
    pub(crate) fn beside(self, other: Ty) -> Ty {
        let plain = |t: &Ty| if let Ty::Optional(t) = t { t.as_ref().clone() } else { t.clone() };
        match (plain(&self), plain(&other)) {
            (Ty::Int, Ty::Float) | (Ty::Float, Ty::Int) => Ty::Any,
            _ => self.join(other),
        }
    }

    fn depth(&self) -> usize {
        match self {
            Ty::List(t) | Ty::Set(t) | Ty::Iter(t) | Ty::Optional(t) => 1 + t.depth(),
            Ty::Dict(k, v) => 1 + k.depth().max(v.depth()),
            Ty::Tuple(ts) => 1 + ts.iter().map(Ty::depth).max().unwrap_or(0),
            Ty::Row(fields) => 1 + fields.iter().map(|(_, t)| t.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// What iterating over it gives.
    pub(crate) fn item(&self) -> Ty {
        match self {
            Ty::List(t) | Ty::Set(t) | Ty::Iter(t) => (**t).clone(),
            Ty::Dict(k, _) => (**k).clone(),
            Ty::Tuple(ts) => ts.iter().cloned().fold(Ty::Never, Ty::join),
            Ty::Row(fields) => fields.iter().map(|(_, t)| t.clone()).fold(Ty::Never, Ty::join),
            Ty::Str => Ty::Str,
            Ty::Bytes => Ty::Int,
            Ty::Never => Ty::Never,
            Ty::Optional(t) => t.item(),
            _ => Ty::Any,
        }
    }

    /// The name of the class as [`crate::value::Value::type_name`] gives it, where it is certain.
    pub(crate) fn class(&self) -> Option<&'static str> {
        Some(match self {
            Ty::Bool => "bool",
            Ty::Int => "int",
            Ty::Float => "float",
            Ty::Decimal(_) => "decimal.Decimal",
            Ty::Str => "str",
            Ty::Bytes => "bytes",
            Ty::List(_) => "list",
            Ty::Tuple(_) => "tuple",
            Ty::Set(_) => "set",
            Ty::Dict(..) => "dict",
            Ty::Timestamp => "Timestamp",
            Ty::Duration => "Duration",
            Ty::Date => "datetime.date",
            Ty::Time => "datetime.time",
            Ty::DateTime | Ty::LocalDateTime => "datetime.datetime",
            Ty::Delta => "datetime.timedelta",
            Ty::Zone => "datetime.timezone",
            Ty::Match => "re.Match",
            Ty::Pattern => "re.Pattern",
            _ => return None,
        })
    }

    /// The type of a column.
    pub(crate) fn of_field(field: &Field) -> Ty {
        if is_any(field) {
            return Ty::Any;
        }
        let ty = match field.data_type() {
            DataType::Dictionary(_, values) => Ty::of_type(values),
            other => Ty::of_type(other),
        };
        if field.is_nullable() { ty.optional() } else { ty }
    }

    fn of_type(data_type: &DataType) -> Ty {
        match data_type {
            DataType::Null => Ty::None,
            DataType::Boolean => Ty::Bool,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Ty::Str,
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => Ty::Bytes,
            DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) => {
                Ty::list(Ty::of_field(f))
            }
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) => {
                    match fields.iter().map(|f| Ty::of_field(f)).collect::<Vec<Ty>>().as_slice() {
                        [key, value] => Ty::Dict(Box::new(key.clone()), Box::new(value.clone())),
                        _ => Ty::Any,
                    }
                }
                _ => Ty::Any,
            },
            DataType::Struct(fields) => {
                Ty::Row(fields.iter().map(|f| (Arc::from(f.name().as_str()), Ty::of_field(f))).collect())
            }
            DataType::Decimal128(_, scale) => Ty::Decimal(Some(u8::try_from(*scale).unwrap_or(0))),
            DataType::Timestamp(_, Some(_)) => Ty::Timestamp,
            DataType::Timestamp(_, None) => Ty::LocalDateTime,
            DataType::Date32 | DataType::Date64 => Ty::Date,
            DataType::Time32(_) | DataType::Time64(_) => Ty::Time,
            DataType::Duration(_) => Ty::Delta,
            t if t.is_integer() => Ty::Int,
            t if t.is_floating() => Ty::Float,
            _ => Ty::Any,
        }
    }

    /// The Arrow field that values of this type are stored in.
    pub(crate) fn to_field(&self, name: &str) -> Field {
        match self {
            Ty::Optional(t) => t.to_field(name).with_nullable(true),
            Ty::Never | Ty::None => Field::new(name, DataType::Null, true),
            other => match other.to_data_type() {
                Some(data_type) => Field::new(name, data_type, false),
                None => mark_any(Field::new(name, DataType::Utf8, true)),
            },
        }
    }

    /// `None` stands for Any.
    fn to_data_type(&self) -> Option<DataType> {
        Some(match self {
            Ty::Bool => DataType::Boolean,
            Ty::Int => DataType::Int64,
            Ty::Float => DataType::Float64,
            Ty::Decimal(Some(scale)) => DataType::Decimal128(DECIMAL_DIGITS, i8::try_from(*scale).ok()?),
            Ty::Str => DataType::Utf8,
            Ty::Bytes => DataType::Binary,
            Ty::Timestamp | Ty::DateTime => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Ty::LocalDateTime => DataType::Timestamp(TimeUnit::Microsecond, None),
            Ty::Date => DataType::Date32,
            Ty::Time => DataType::Time64(TimeUnit::Microsecond),
            Ty::Delta | Ty::Duration => DataType::Duration(TimeUnit::Microsecond),
            Ty::List(_) | Ty::Set(_) | Ty::Iter(_) | Ty::Tuple(_) => {
                let item = self.item().to_field("item");
                if is_any(&item) {
                    return None;
                }
                DataType::List(Arc::new(item.with_nullable(true)))
            }
            Ty::Dict(key, value) if matches!(**key, Ty::Str | Ty::Never) => {
                let value = value.to_field("value");
                if is_any(&value) {
                    return None;
                }
                map_type(value.with_nullable(true))
            }
            Ty::Row(fields) => {
                DataType::Struct(fields.iter().map(|(n, t)| t.to_field(n)).collect::<Vec<Field>>().into())
            }
            _ => return None,
        })
    }

    /// As messages name it.
    pub(crate) fn describe(&self) -> String {
        match self {
            Ty::Never | Ty::None => "None".to_owned(),
            Ty::List(t) => format!("list[{}]", t.describe()),
            Ty::Set(t) => format!("set[{}]", t.describe()),
            Ty::Dict(k, v) => format!("dict[{}, {}]", k.describe(), v.describe()),
            Ty::Optional(t) => format!("{} or None", t.describe()),
            Ty::Row(_) => "Row".to_owned(),
            Ty::Any => "any".to_owned(),
            other => other.class().unwrap_or("any").to_owned(),
        }
    }
}

/// A map from text.
pub(crate) fn map_type(value: Field) -> DataType {
    let entries = Fields::from(vec![Field::new("key", DataType::Utf8, false), value.with_name("value")]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

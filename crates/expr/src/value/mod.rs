//! The values that expressions compute with: Python's objects, as far as the subset needs them.

pub(crate) mod budget;
mod compare;
pub(crate) mod decimal;
mod drop;
mod exception;
mod float;
mod integer;
mod repr;
mod time;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};
use num_bigint::BigInt;

pub(crate) use compare::{Key, equal, order};
pub(crate) use exception::{
    Exception, Raise, Res, is_exception_type, is_subtype, raise, type_error, value_error,
};
pub(crate) use float::{float_digits, float_fixed, float_repr, round_digits};
pub(crate) use integer::{int_from_float, parse_float, parse_int, to_big};
pub(crate) use repr::{ascii, repr, repr_str, text};
pub(crate) use time::{
    DateTime, Zone, date_from_days, date_text, days_from_date, delta_text, offset_text, time_micros,
    time_text, timestamp_text, zone_name,
};

use crate::builtins::BuiltinDef;
use crate::interp::{Closure, Frame, IterState};
use crate::regex::{Match, Pattern};

/// A dictionary in insertion order.
pub(crate) type Dict = IndexMap<Key, Value>;
/// A set in insertion order (CPython's order is that of its hashes, which nothing may rely on).
pub(crate) type Set = IndexSet<Key>;

/// One Python object. Text and bytes are shared with the program's constants, hence `Arc`.
#[derive(Clone)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// An integer outside 64 bits; never one inside (see [`Value::from_big`]).
    Big(Rc<BigInt>),
    Float(f64),
    Decimal(Rc<decimal::Decimal>),
    Str(Arc<str>),
    Bytes(Arc<[u8]>),
    List(Rc<ListCell>),
    Tuple(Rc<TupleCell>),
    Dict(Rc<DictCell>),
    Set(Rc<SetCell>),
    View(Rc<DictCell>, View),
    Range(Rc<Range>),
    Row(Rc<Row>),
    /// Beam's Timestamp, microseconds since 1970.
    Timestamp(i64),
    /// Beam's Duration, microseconds.
    Duration(i64),
    Date(jiff::civil::Date),
    Time(jiff::civil::Time),
    DateTime(Rc<DateTime>),
    /// `datetime.timedelta`, microseconds.
    Delta(i64),
    Zone(Zone),
    Function(Rc<Closure>),
    Builtin(&'static BuiltinDef),
    /// A class, by its name (`int`, `datetime`, `ValueError`).
    Type(&'static str),
    Module(&'static str),
    Method(Rc<Method>),
    Pattern(Rc<Pattern>),
    Match(Rc<Match>),
    Exception(Rc<Exception>),
    Iter(Rc<IterState>),
    Ellipsis,
}

/// Which part of a dictionary a view shows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    Keys,
    Values,
    Items,
}

pub(crate) struct ListCell(pub(crate) RefCell<Vec<Value>>);
pub(crate) struct TupleCell(pub(crate) Vec<Value>);
pub(crate) struct DictCell(pub(crate) RefCell<Dict>);
pub(crate) struct SetCell {
    pub(crate) items: RefCell<Set>,
    pub(crate) frozen: bool,
}

/// A row: `beam.Row(...)` or the input element. Its names are shared by all rows of a batch.
pub(crate) struct Row {
    pub(crate) names: Arc<[Arc<str>]>,
    pub(crate) values: Vec<Value>,
}

impl Row {
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        let at = self.names.iter().position(|n| **n == *name)?;
        self.values.get(at)
    }
}

/// `range(start, stop, step)` with bounds in 64 bits.
pub(crate) struct Range {
    pub(crate) start: i64,
    pub(crate) stop: i64,
    pub(crate) step: i64,
}

impl Range {
    pub(crate) fn len(&self) -> i64 {
        let (lo, hi, step) = if self.step > 0 {
            (self.start, self.stop, i128::from(self.step))
        } else {
            (self.stop, self.start, -i128::from(self.step))
        };
        let span = i128::from(hi) - i128::from(lo);
        if span <= 0 || step == 0 { 0 } else { i64::try_from((span + step - 1) / step).unwrap_or(i64::MAX) }
    }

    pub(crate) fn get(&self, at: i64) -> Option<i64> {
        let inside = at >= 0 && at < self.len();
        let value = i128::from(self.start) + i128::from(at) * i128::from(self.step);
        inside.then(|| i64::try_from(value).ok()).flatten()
    }
}

/// A method looked up but not yet called: `key=str.lower` keeps one without an object.
pub(crate) struct Method {
    pub(crate) object: Value,
    pub(crate) name: Arc<str>,
}

impl Value {
    pub(crate) fn str(text: impl AsRef<str>) -> Value {
        Value::Str(Arc::from(text.as_ref()))
    }

    pub(crate) fn list(items: Vec<Value>) -> Value {
        Value::List(Rc::new(ListCell(RefCell::new(items))))
    }

    pub(crate) fn tuple(items: Vec<Value>) -> Value {
        Value::Tuple(Rc::new(TupleCell(items)))
    }

    pub(crate) fn dict(items: Dict) -> Value {
        Value::Dict(Rc::new(DictCell(RefCell::new(items))))
    }

    pub(crate) fn set(items: Set, frozen: bool) -> Value {
        Value::Set(Rc::new(SetCell { items: RefCell::new(items), frozen }))
    }

    pub(crate) fn from_big(big: BigInt) -> Value {
        i64::try_from(&big).map_or_else(|_| Value::Big(Rc::new(big)), Value::Int)
    }

    pub(crate) fn from_usize(n: usize) -> Value {
        Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
    }

    /// The name of the value's class, as CPython prints it.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Value::None => "NoneType",
            Value::Bool(_) => "bool",
            Value::Int(_) | Value::Big(_) => "int",
            Value::Float(_) => "float",
            Value::Decimal(_) => "decimal.Decimal",
            Value::Str(_) => "str",
            Value::Bytes(_) => "bytes",
            Value::List(_) => "list",
            Value::Tuple(_) => "tuple",
            Value::Dict(_) => "dict",
            Value::Set(s) => {
                if s.frozen {
                    "frozenset"
                } else {
                    "set"
                }
            }
            Value::View(_, View::Keys) => "dict_keys",
            Value::View(_, View::Values) => "dict_values",
            Value::View(_, View::Items) => "dict_items",
            Value::Range(_) => "range",
            Value::Row(_) => "Row",
            Value::Timestamp(_) => "Timestamp",
            Value::Duration(_) => "Duration",
            Value::Date(_) => "datetime.date",
            Value::Time(_) => "datetime.time",
            Value::DateTime(_) => "datetime.datetime",
            Value::Delta(_) => "datetime.timedelta",
            Value::Zone(_) => "datetime.timezone",
            Value::Function(_) => "function",
            Value::Builtin(_) | Value::Method(_) => "builtin_function_or_method",
            Value::Type(_) => "type",
            Value::Module(_) => "module",
            Value::Pattern(_) => "re.Pattern",
            Value::Match(_) => "re.Match",
            Value::Exception(e) => e.kind,
            Value::Iter(state) => state.type_name(),
            Value::Ellipsis => "ellipsis",
        }
    }

    /// Python's truth: zero, empty and None are false.
    pub(crate) fn truthy(&self) -> bool {
        match self {
            Value::None => false,
            Value::Bool(b) => *b,
            Value::Int(i) | Value::Delta(i) | Value::Duration(i) => *i != 0,
            Value::Float(f) => *f != 0.0,
            Value::Decimal(d) => !d.is_zero(),
            Value::Str(s) => !s.is_empty(),
            Value::Bytes(b) => !b.is_empty(),
            Value::List(l) => !l.0.borrow().is_empty(),
            Value::Tuple(t) => !t.0.is_empty(),
            Value::Dict(d) | Value::View(d, _) => !d.0.borrow().is_empty(),
            Value::Set(s) => !s.items.borrow().is_empty(),
            Value::Range(r) => r.len() > 0,
            _ => true,
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        if let Value::Str(s) = self { Some(s) } else { None }
    }

    /// The integer behind an int or a bool.
    pub(crate) fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(i) => Some(*i),
            Value::Bool(b) => Some(i64::from(*b)),
            _ => None,
        }
    }

    /// The children that may hold more values, for code that walks values without recursion.
    pub(crate) fn is_container(&self) -> bool {
        matches!(
            self,
            Value::List(_)
                | Value::Tuple(_)
                | Value::Dict(_)
                | Value::Row(_)
                | Value::Function(_)
                | Value::Iter(_)
        )
    }
}

/// Frames hold values too: what a closure captured dies with its frame.
pub(crate) fn drop_frame_values(frame: &mut Frame) {
    drop::drop_deep(frame.take_values());
}

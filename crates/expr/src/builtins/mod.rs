//! Python's builtin functions, methods and modules, as tables of names and Rust functions.

mod bytes;
mod class;
mod collections;
mod datetime;
pub(crate) mod decimal;
mod format;
mod functions;
mod math;
mod percent;
mod strftime;
mod text;
mod text_split;

use std::sync::Arc;

pub(crate) use class::construct;
pub(crate) use collections::behind;
pub(crate) use datetime::time_arithmetic;
pub(crate) use format::format_value;
pub(crate) use percent::percent_format;
pub(crate) use text::is_space;

use crate::interp::{Args, Machine};
use crate::regex;
use crate::value::{Res, Value, raise, type_error};

pub(crate) type Call = fn(&mut Machine<'_>, Args) -> Res<Value>;

/// A function that Python code can call by name; `module.name` for a module's.
pub(crate) struct BuiltinDef {
    pub(crate) name: &'static str,
    pub(crate) call: Call,
}

impl std::fmt::Debug for BuiltinDef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// One entry of a table of functions.
pub(crate) const fn def(name: &'static str, call: Call) -> BuiltinDef {
    BuiltinDef { name, call }
}

const TABLES: &[&[BuiltinDef]] =
    &[functions::TABLE, math::TABLE, datetime::TABLE, crate::json::TABLE, regex::TABLE];

/// The function called `name`.
pub(crate) fn find(name: &str) -> Option<&'static BuiltinDef> {
    TABLES.iter().flat_map(|t| t.iter()).find(|b| b.name == name)
}

/// What a module has, for messages.
pub(crate) fn names_of(module: &str) -> Vec<&'static str> {
    let more: &[&'static str] = match module {
        "decimal" => decimal::NAMES,
        "datetime" => &["datetime", "date", "time", "timedelta", "timezone", "UTC"],
        "math" => &["pi", "e", "tau", "inf", "nan"],
        "re" => &["I", "IGNORECASE", "M", "MULTILINE", "S", "DOTALL", "X", "VERBOSE", "A", "ASCII", "error"],
        "json" => &["JSONDecodeError"],
        "apache_beam" => &["Row"],
        "apache_beam.utils.timestamp" => &["Timestamp", "Duration"],
        _ => &[],
    };
    let functions = TABLES.iter().flat_map(|t| t.iter()).filter_map(|b| {
        let rest = b.name.strip_prefix(module)?.strip_prefix('.')?;
        (!rest.contains('.')).then_some(rest)
    });
    let mut names: Vec<&'static str> = functions.chain(more.iter().copied()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The same name with a life of its own.
pub(crate) fn exception_name(name: &str) -> Option<&'static str> {
    const NAMES: &[&str] = &[
        "BaseException",
        "Exception",
        "ArithmeticError",
        "AssertionError",
        "AttributeError",
        "BufferError",
        "DecimalException",
        "DivisionByZero",
        "EOFError",
        "FloatingPointError",
        "ImportError",
        "IndexError",
        "InvalidOperation",
        "KeyError",
        "LookupError",
        "MemoryError",
        "NameError",
        "NotImplementedError",
        "OSError",
        "Overflow",
        "OverflowError",
        "RecursionError",
        "RuntimeError",
        "StopIteration",
        "TimeoutError",
        "TypeError",
        "UnboundLocalError",
        "UnicodeDecodeError",
        "UnicodeEncodeError",
        "UnicodeError",
        "ValueError",
        "ZeroDivisionError",
    ];
    NAMES.iter().find(|n| **n == name).copied()
}

/// The value of a flag of module `re`.
pub(crate) fn regex_flag(name: &str) -> Option<i64> {
    Some(match name {
        "I" | "IGNORECASE" => regex::IGNORECASE,
        "M" | "MULTILINE" => regex::MULTILINE,
        "S" | "DOTALL" => regex::DOTALL,
        "X" | "VERBOSE" => regex::VERBOSE,
        "A" | "ASCII" => regex::ASCII,
        "U" | "UNICODE" => 32,
        "NOFLAG" => 0,
        _ => return None,
    })
}

/// The method `name` of values of class `kind` that this crate has.
fn has_method(kind: &str, name: &str) -> bool {
    methods_of(kind).is_some_and(|names| names.contains(&name))
}

/// The methods of a class, by the name that [`Value::type_name`] gives; `None` if the class has none at all.
pub(crate) fn methods_of(kind: &str) -> Option<Vec<&'static str>> {
    Some(match kind {
        "str" => text::names(),
        "bytes" => bytes::names(),
        "list" => collections::names(collections::LIST),
        "tuple" => collections::names(collections::TUPLE),
        "dict" => collections::names(collections::DICT),
        "set" | "frozenset" => collections::names(collections::SET),
        "int" | "bool" => math::INT_METHODS.to_vec(),
        "float" => math::FLOAT_METHODS.to_vec(),
        "decimal.Decimal" => decimal::METHODS.to_vec(),
        "Row" => vec!["_asdict", "as_dict", "get", "keys", "values", "items"],
        "re.Pattern" => regex::PATTERN_METHODS.to_vec(),
        "re.Match" => regex::MATCH_METHODS.to_vec(),
        "Timestamp" | "Duration" => datetime::TIMESTAMP_METHODS.to_vec(),
        kind if kind.starts_with("datetime.") => datetime::methods_of(kind).to_vec(),
        _ => return None,
    })
}

/// `object.name(args)`.
pub(crate) fn call_method(machine: &mut Machine<'_>, object: &Value, name: &str, args: Args) -> Res<Value> {
    match object {
        Value::Str(s) => match text::find(name) {
            Some(method) => {
                // Those that copy the text count what they make; all others at least go through it.
                match name {
                    "startswith" | "endswith" => machine.scan(s.len())?,
                    "encode" | "partition" | "rpartition" => machine.charge(s.len())?,
                    _ => machine.work(s.len())?,
                }
                method(machine, s, args)
            }
            None => Err(no_attribute(object, name)),
        },
        Value::Bytes(b) => {
            // Most go by way of a text and back.
            machine.charge(b.len().saturating_mul(2))?;
            bytes::call(machine, b, name, args)
        }
        Value::List(_) | Value::Tuple(_) | Value::Dict(_) | Value::Set(_) | Value::Range(_) => {
            collections::call(machine, object, name, args)
        }
        Value::Decimal(d) => decimal::method(d, name, args),
        Value::Int(_) | Value::Big(_) | Value::Bool(_) | Value::Float(_) => math::method(object, name, args),
        Value::Date(_) | Value::Time(_) | Value::DateTime(_) | Value::Delta(_) | Value::Zone(_) => {
            // A directive of two characters may stand for a date and a time.
            let format = args.positional.first().and_then(Value::as_str).map_or(0, str::len);
            machine.charge(format.saturating_mul(16))?;
            datetime::method(machine, object, name, args)
        }
        Value::Timestamp(_) | Value::Duration(_) => datetime::timestamp_method(object, name, args),
        Value::Pattern(p) => regex::pattern_method(machine, p, name, args),
        Value::Match(m) => regex::match_method(machine, m, name, args),
        Value::Type(class) => class::class_method(machine, class, name, args),
        Value::Row(row) if name == "_asdict" || name == "as_dict" => {
            args.none("_asdict")?;
            Ok(class::row_dict(row))
        }
        Value::Iter(_) if name == "__next__" => functions::next(machine, Args::of(vec![object.clone()])),
        Value::Row(_) | Value::Module(_) => {
            let function = attribute(object, name)?;
            machine.call(&function, args)
        }
        other => Err(no_attribute(other, name)),
    }
}

pub(crate) fn no_attribute(object: &Value, name: &str) -> crate::value::Raise {
    let message = match object {
        Value::Type(class) => format!("type object '{class}' has no attribute '{name}'"),
        Value::Module(module) => format!("module '{module}' has no attribute '{name}'"),
        other => format!("'{}' object has no attribute '{name}'", other.type_name()),
    };
    crate::value::Raise::new("AttributeError", message)
}

/// `object.name`.
pub(crate) fn attribute(object: &Value, name: &str) -> Res<Value> {
    let found = match object {
        Value::Row(row) => match name {
            "_fields" => Some(Value::tuple(row.names.iter().map(|n| Value::Str(Arc::clone(n))).collect())),
            _ => row.get(name).cloned(),
        },
        Value::Type(class) => class::class_attribute(class, name),
        Value::Exception(e) => match name {
            "args" => Some(Value::tuple(e.args.clone())),
            "msg" if e.kind == "JSONDecodeError" => e.args.first().cloned(),
            "__class__" => Some(Value::Type(e.kind)),
            _ => None,
        },
        Value::Match(m) => regex::match_attribute(m, name),
        Value::Pattern(p) => regex::pattern_attribute(p, name),
        Value::Function(f) if name == "__name__" => Some(Value::str(f.name())),
        Value::Builtin(b) if name == "__name__" => Some(Value::str(b.name)),
        Value::Range(r) => match name {
            "start" => Some(Value::Int(r.start)),
            "stop" => Some(Value::Int(r.stop)),
            "step" => Some(Value::Int(r.step)),
            _ => None,
        },
        Value::Int(_) | Value::Bool(_) if name == "real" || name == "numerator" => {
            object.as_int().map(Value::Int)
        }
        Value::Int(_) | Value::Bool(_) if name == "imag" => Some(Value::Int(0)),
        Value::Int(_) | Value::Bool(_) if name == "denominator" => Some(Value::Int(1)),
        Value::Timestamp(_) | Value::Duration(_) => datetime::timestamp_attribute(object, name),
        Value::Date(_) | Value::Time(_) | Value::DateTime(_) | Value::Delta(_) => {
            datetime::attribute(object, name)
        }
        _ => None,
    };
    match found {
        Some(value) => Ok(value),
        None if name == "__class__" => Ok(Value::Type(class::class_of(object))),
        None if has_method(object.type_name(), name) => {
            Ok(Value::Method(std::rc::Rc::new(crate::value::Method {
                object: object.clone(),
                name: Arc::from(name),
            })))
        }
        None => Err(no_attribute(object, name)),
    }
}

/// An integer argument.
pub(crate) fn int_argument(value: &Value) -> Res<i64> {
    match value {
        Value::Big(_) => raise("OverflowError", "Python int too large to convert to C ssize_t"),
        other => other.as_int().ok_or_else(|| {
            type_error(format!("'{}' object cannot be interpreted as an integer", other.type_name()))
        }),
    }
}

/// A text argument of a method of texts.
pub(crate) fn text_argument<'v>(value: &'v Value, what: &str) -> Res<&'v str> {
    value.as_str().ok_or_else(|| type_error(format!("{what} must be str, not {}", value.type_name())))
}

//! Classes: making values, class methods, what `type()` gives.

use std::rc::Rc;
use std::sync::Arc;

use super::{datetime, int_argument, no_attribute, text_argument};
use crate::interp::{Args, Machine};
use crate::value::decimal::Rounding;
use crate::value::{
    Dict, Exception, Key, Range, Res, Row, Value, equal, int_from_float, is_exception_type, parse_float,
    parse_int, raise, text, to_big, type_error, value_error,
};

/// The class of a value, by its short name.
pub(super) fn class_of(value: &Value) -> &'static str {
    let name = value.type_name();
    name.strip_prefix("datetime.").or(name.strip_prefix("decimal.")).unwrap_or(name)
}

/// `Class(args)`.
pub(crate) fn construct(machine: &mut Machine<'_>, class: &'static str, args: Args) -> Res<Value> {
    match class {
        "int" | "float" => {
            if let Some(Value::Str(s)) = args.positional.first() {
                machine.charge(s.len())?;
            }
            if class == "int" { int(args) } else { float(args) }
        }
        "str" => string(machine, args),
        "Decimal" => super::decimal::construct(args),
        "bool" => {
            let [value] = args.bind("bool", ["/"], 0)?;
            Ok(Value::Bool(value.is_some_and(|v| v.truthy())))
        }
        "list" => {
            let [values] = args.bind("list", ["/"], 0)?;
            let items = values.map_or(Ok(Vec::new()), |v| machine.collect(&v))?;
            machine.list(items)
        }
        "tuple" => {
            let [values] = args.bind("tuple", ["/"], 0)?;
            let items = values.map_or(Ok(Vec::new()), |v| machine.collect(&v))?;
            machine.charge(items.len() * size_of::<Value>())?;
            Ok(Value::tuple(items))
        }
        "set" | "frozenset" => {
            let [values] = args.bind(class, ["/"], 0)?;
            let items = values.map(|v| machine.collect_keys(&v)).transpose()?.unwrap_or_default();
            machine.charge(items.len() * 32)?;
            Ok(Value::set(items, class == "frozenset"))
        }
        "dict" => dict(machine, args),
        "bytes" => bytes(machine, args),
        "range" => range(args),
        "type" => Ok(Value::Type(class_of(&args.one("type")?))),
        "object" => Ok(Value::Ellipsis),
        "Row" => {
            if !args.positional.is_empty() {
                return Err(type_error("Row() takes only keyword arguments"));
            }
            let (names, values): (Vec<Arc<str>>, Vec<Value>) = args.keywords.into_iter().unzip();
            Ok(Value::Row(Rc::new(Row { names: names.into(), values })))
        }
        class if is_exception_type(class) => {
            Ok(Value::Exception(Rc::new(Exception { kind: class, args: args.positional })))
        }
        class => datetime::construct(machine, class, args),
    }
}

fn int(args: Args) -> Res<Value> {
    let [value, base] = args.bind("int", ["/", "base"], 0)?;
    let Some(value) = value else { return Ok(Value::Int(0)) };
    if let Some(base) = base {
        let base = int_argument(&base)?;
        let Ok(base) = u32::try_from(base) else {
            return Err(value_error("int() base must be >= 2 and <= 36, or 0"));
        };
        return match &value {
            Value::Str(s) => parse_int(s, base, &value),
            Value::Bytes(b) => parse_int(&String::from_utf8_lossy(b), base, &value),
            _ => Err(type_error("int() can't convert non-string with explicit base")),
        };
    }
    match &value {
        Value::Str(s) => parse_int(s, 10, &value),
        Value::Bytes(b) => parse_int(&String::from_utf8_lossy(b), 10, &value),
        Value::Float(f) => int_from_float(*f),
        Value::Decimal(d) => d.to_int(Rounding::Down).map(Value::from_big),
        Value::Timestamp(t) | Value::Duration(t) => Ok(Value::Int(t / 1_000_000)),
        other => to_big(other).map(Value::from_big).ok_or_else(|| {
            let kind = other.type_name();
            type_error(format!(
                "int() argument must be a string, a bytes-like object or a real number, not '{kind}'"
            ))
        }),
    }
}

fn float(args: Args) -> Res<Value> {
    let [value] = args.bind("float", ["/"], 0)?;
    let Some(value) = value else { return Ok(Value::Float(0.0)) };
    Ok(Value::Float(match &value {
        Value::Float(f) => *f,
        Value::Decimal(d) => d.to_float(),
        Value::Str(s) => parse_float(s)?,
        Value::Bytes(b) => parse_float(&String::from_utf8_lossy(b))?,
        #[allow(clippy::cast_precision_loss, reason = "seconds as the nearest float, as in Beam")]
        Value::Timestamp(t) | Value::Duration(t) => *t as f64 / 1e6,
        other => match to_big(other) {
            Some(big) => {
                let float = num_traits::ToPrimitive::to_f64(&big).unwrap_or(f64::INFINITY);
                if float.is_infinite() {
                    return raise("OverflowError", "int too large to convert to float");
                }
                float
            }
            None => {
                let kind = other.type_name();
                return Err(type_error(format!(
                    "float() argument must be a string or a real number, not '{kind}'"
                )));
            }
        },
    }))
}

fn string(machine: &mut Machine<'_>, args: Args) -> Res<Value> {
    let [value, encoding, errors] = args.bind("str", ["object", "encoding", "errors"], 0)?;
    match (value, encoding.is_some() || errors.is_some()) {
        (None, _) => Ok(Value::str("")),
        (Some(Value::Bytes(b)), true) => {
            machine.charge(b.len())?;
            super::bytes::decode(&b, encoding.as_ref(), errors.as_ref())
        }
        (Some(other), true) => {
            let kind = other.type_name();
            Err(type_error(format!("decoding to str: need a bytes-like object, {kind} found")))
        }
        (Some(value @ Value::Str(_)), false) => Ok(value),
        (Some(value), false) => {
            let shown = text(&value)?;
            machine.text(shown)
        }
    }
}

fn dict(machine: &mut Machine<'_>, mut args: Args) -> Res<Value> {
    let keywords = std::mem::take(&mut args.keywords);
    let [values] = args.bind("dict", ["/"], 0)?;
    let mut dict = Dict::new();
    if let Some(values) = values {
        extend_dict(machine, &mut dict, &values)?;
    }
    dict.extend(keywords.into_iter().map(|(k, v)| (Key::str(&k), v)));
    Ok(Value::dict(dict))
}

/// Adds a mapping, or pairs.
pub(super) fn extend_dict(machine: &mut Machine<'_>, dict: &mut Dict, values: &Value) -> Res<()> {
    if let Value::Dict(other) = values {
        let pairs: Vec<(Key, Value)> = other.0.borrow().iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        machine.charge(pairs.len() * 64)?;
        dict.extend(pairs);
        return Ok(());
    }
    for (i, pair) in machine.collect(values)?.into_iter().enumerate() {
        let Ok(parts) = machine.collect(&pair) else {
            return Err(type_error(format!(
                "cannot convert dictionary update sequence element #{i} to a sequence"
            )));
        };
        let got = parts.len();
        let mut parts = parts.into_iter();
        let (Some(key), Some(value), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(value_error(format!(
                "dictionary update sequence element #{i} has length {got}; 2 is required"
            )));
        };
        machine.charge(64)?;
        dict.insert(Key::new(key)?, value);
    }
    Ok(())
}

fn bytes(machine: &mut Machine<'_>, args: Args) -> Res<Value> {
    let [value, encoding, errors] = args.bind("bytes", ["source", "encoding", "errors"], 0)?;
    match value {
        None => Ok(Value::Bytes(Arc::from([]))),
        Some(Value::Str(_)) if encoding.is_none() => Err(type_error("string argument without an encoding")),
        Some(Value::Str(s)) => {
            machine.charge(s.len())?;
            super::bytes::encode(&s, encoding.as_ref(), errors.as_ref())
        }
        Some(value @ Value::Bytes(_)) => Ok(value),
        Some(Value::Int(n)) if n < 0 => Err(value_error("negative count")),
        Some(Value::Int(n)) => {
            let n = usize::try_from(n).unwrap_or(usize::MAX);
            machine.charge(n)?;
            Ok(Value::Bytes(vec![0; n].into()))
        }
        Some(values) => {
            let mut out = Vec::new();
            for value in machine.collect(&values)? {
                let byte = u8::try_from(int_argument(&value)?);
                out.push(byte.map_err(|_| value_error("bytes must be in range(0, 256)"))?);
            }
            Ok(Value::Bytes(out.into()))
        }
    }
}

fn range(args: Args) -> Res<Value> {
    let [a, b, c] = args.bind("range", ["/", "/", "/"], 1)?;
    let part = |v: Option<Value>| v.as_ref().map(int_argument).transpose();
    let (a, b, c) = (part(a)?.unwrap_or(0), part(b)?, part(c)?);
    let (start, stop) = match b {
        Some(stop) => (a, stop),
        None => (0, a),
    };
    match c.unwrap_or(1) {
        0 => Err(value_error("range() arg 3 must not be zero")),
        step => Ok(Value::Range(Rc::new(Range { start, stop, step }))),
    }
}

/// `Class.name(args)`: a class method, or a method given its object first.
pub(super) fn class_method(
    machine: &mut Machine<'_>,
    class: &'static str,
    name: &str,
    mut args: Args,
) -> Res<Value> {
    match (class, name) {
        ("dict", "fromkeys") => {
            let [keys, value] = args.bind("fromkeys", ["/", "/"], 1)?;
            let value = value.unwrap_or(Value::None);
            let keys = machine.collect(&keys.unwrap_or(Value::None))?;
            machine.charge(keys.len() * 64)?;
            let pairs = keys.into_iter().map(|k| Ok((Key::new(k)?, value.clone())));
            Ok(Value::dict(pairs.collect::<Res<Dict>>()?))
        }
        ("bytes", "fromhex") => {
            let digits = args.one("fromhex")?;
            super::bytes::from_hex(text_argument(&digits, "fromhex() argument")?)
        }
        ("int", "from_bytes") => super::math::int_from_bytes(args),
        ("str", "maketrans") => make_trans(args),
        _ if datetime::has_class_method(class, name) => datetime::class_method(machine, class, name, args),
        _ if args.positional.is_empty() => match class_attribute(class, name) {
            Some(_) => Err(type_error(format!("unbound method {class}.{name}() needs an argument"))),
            None => Err(no_attribute(&Value::Type(class), name)),
        },
        _ => {
            let object = args.positional.remove(0);
            if class_of(&object) != class && !crate::value::is_subtype(class_of(&object), class) {
                let got = object.type_name();
                return Err(type_error(format!(
                    "descriptor '{name}' for '{class}' objects doesn't apply to a '{got}' object"
                )));
            }
            super::call_method(machine, &object, name, args)
        }
    }
}

/// `str.maketrans`: a dictionary from code points, for `translate`.
fn make_trans(args: Args) -> Res<Value> {
    let [from, to, gone] = args.bind("maketrans", ["/", "/", "/"], 1)?;
    let from = from.unwrap_or(Value::None);
    let code = |c: char| Value::Int(i64::from(u32::from(c)));
    let mut pairs = Vec::new();
    let Some(to) = to else {
        let Value::Dict(given) = &from else {
            return Err(type_error("if you give only one argument to maketrans it must be a dict"));
        };
        for (key, value) in given.0.borrow().iter() {
            let key = match key.value() {
                Value::Str(s) => match (s.chars().next(), s.chars().nth(1)) {
                    (Some(c), None) => code(c),
                    _ => return Err(value_error("string keys in translate table must be of length 1")),
                },
                other => other.clone(),
            };
            pairs.push((Key::new(key)?, value.clone()));
        }
        return Ok(Value::dict(pairs.into_iter().collect()));
    };
    let (from, to) =
        (text_argument(&from, "maketrans() argument")?, text_argument(&to, "maketrans() argument")?);
    if from.chars().count() != to.chars().count() {
        return Err(value_error("the first two maketrans arguments must have equal length"));
    }
    for (a, b) in from.chars().zip(to.chars()) {
        pairs.push((Key::new(code(a))?, code(b)));
    }
    if let Some(gone) = &gone {
        for c in text_argument(gone, "maketrans() argument 3")?.chars() {
            pairs.push((Key::new(code(c))?, Value::None));
        }
    }
    Ok(Value::dict(pairs.into_iter().collect()))
}

pub(super) fn class_attribute(class: &'static str, name: &str) -> Option<Value> {
    match (class, name) {
        (_, "__name__" | "__qualname__") => Some(Value::str(class)),
        _ => {
            let constant = datetime::class_constant(class, name);
            constant.or_else(|| {
                let long = if class == "Decimal" {
                    "decimal.Decimal".to_owned()
                } else if matches!(class, "datetime" | "date" | "time" | "timedelta" | "timezone") {
                    format!("datetime.{class}")
                } else {
                    class.to_owned()
                };
                let known = super::has_method(&long, name)
                    || datetime::has_class_method(class, name)
                    || matches!(
                        (class, name),
                        ("dict", "fromkeys")
                            | ("bytes", "fromhex")
                            | ("int", "from_bytes")
                            | ("str", "maketrans")
                    );
                known.then(|| {
                    Value::Method(Rc::new(crate::value::Method {
                        object: Value::Type(class),
                        name: Arc::from(name),
                    }))
                })
            })
        }
    }
}

/// `row._asdict()`: nested rows stay rows, as with named tuples.
pub(super) fn row_dict(row: &Row) -> Value {
    Value::dict(row.names.iter().zip(&row.values).map(|(n, v)| (Key::str(n), v.clone())).collect())
}

/// How often a value is among some.
pub(super) fn count_equal(items: &[Value], value: &Value) -> Res<usize> {
    let mut count = 0;
    for item in items {
        count += usize::from(equal(item, value)?);
    }
    Ok(count)
}

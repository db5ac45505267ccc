//! The builtin functions.

use std::cmp::Ordering;

use super::{BuiltinDef, class, def, format, int_argument};
use crate::interp::{Args, Iter, Machine, binary, product_steps};
use crate::ir::Binary;
use crate::value::{
    Res, Value, View, ascii, equal, int_from_float, is_subtype, order, raise, repr, round_digits, text,
    to_big, type_error, value_error,
};

pub(super) const TABLE: &[BuiltinDef] = &[
    def("abs", abs),
    def("all", |m, a| any_all(m, a, "all", false)),
    def("any", |m, a| any_all(m, a, "any", true)),
    def("ascii", |m, a| {
        let shown = ascii(&a.one("ascii")?)?;
        m.text(shown)
    }),
    def("bin", |m, a| radix(m, a, "bin", 2, "0b")),
    def("callable", |_, a| {
        let value = a.one("callable")?;
        Ok(Value::Bool(matches!(
            value,
            Value::Function(_) | Value::Builtin(_) | Value::Type(_) | Value::Method(_)
        )))
    }),
    def("chr", chr),
    def("divmod", divmod),
    def("enumerate", enumerate),
    def("filter", |m, a| {
        let [function, values] = a.bind("filter", ["/", "/"], 2)?;
        let values = m.iter(&values.unwrap_or(Value::None))?;
        Iter::Filter(function.unwrap_or(Value::None), values).into_value()
    }),
    def("format", |m, a| {
        let [value, spec] = a.bind("format", ["/", "/"], 1)?;
        let spec = spec.unwrap_or_else(|| Value::str(""));
        let spec = super::text_argument(&spec, "format() argument 2")?.to_owned();
        let out = format::format_value(m, &value.unwrap_or(Value::None), &spec)?;
        m.text(out)
    }),
    def("getattr", getattr),
    def("hasattr", |_, a| {
        let [object, name] = a.bind("hasattr", ["/", "/"], 2)?;
        let name = name.unwrap_or(Value::None);
        let name = super::text_argument(&name, "attribute name")?;
        Ok(Value::Bool(super::attribute(&object.unwrap_or(Value::None), name).is_ok()))
    }),
    def("hex", |m, a| radix(m, a, "hex", 16, "0x")),
    def("isinstance", |_, a| {
        let [value, class] = a.bind("isinstance", ["/", "/"], 2)?;
        isinstance(&value.unwrap_or(Value::None), &class.unwrap_or(Value::None)).map(Value::Bool)
    }),
    def("iter", |m, a| {
        let value = a.one("iter")?;
        m.iter(&value)
    }),
    def("len", len),
    def("map", |m, a| {
        let mut values = a.positional.into_iter();
        let Some(function) = values.next() else {
            return Err(type_error("map() must have at least two arguments."));
        };
        let iters = values.map(|v| m.iter(&v)).collect::<Res<Vec<Value>>>()?;
        if iters.is_empty() {
            return Err(type_error("map() must have at least two arguments."));
        }
        Iter::Map(function, iters).into_value()
    }),
    def("max", |m, a| extreme(m, a, "max", Ordering::Greater)),
    def("min", |m, a| extreme(m, a, "min", Ordering::Less)),
    def("next", next),
    def("oct", |m, a| radix(m, a, "oct", 8, "0o")),
    def("ord", ord),
    def("pow", pow),
    def("repr", |m, a| {
        let shown = repr(&a.one("repr")?)?;
        m.text(shown)
    }),
    def("reversed", reversed),
    def("round", round),
    def("sorted", |m, mut a| {
        let (key, reverse) = (a.take_keyword("key"), a.take_keyword("reverse"));
        let values = a.one("sorted")?;
        let items = m.collect(&values)?;
        let items = sort(m, items, key, reverse)?;
        m.list(items)
    }),
    def("sum", sum),
    def("zip", |m, mut a| {
        let strict = a.take_keyword("strict").is_some_and(|v| v.truthy());
        let iters = a.positional.iter().map(|v| m.iter(v)).collect::<Res<Vec<Value>>>()?;
        Iter::Zip(iters, strict).into_value()
    }),
];

fn abs(_: &mut Machine<'_>, args: Args) -> Res<Value> {
    match args.one("abs")? {
        Value::Float(f) => Ok(Value::Float(f.abs())),
        Value::Decimal(d) => super::decimal::absolute(&d),
        Value::Delta(d) => Ok(Value::Delta(d.saturating_abs())),
        other => match to_big(&other) {
            Some(big) => Ok(Value::from_big(num_traits::Signed::abs(&big))),
            None => Err(type_error(format!("bad operand type for abs(): '{}'", other.type_name()))),
        },
    }
}

fn any_all(machine: &mut Machine<'_>, args: Args, name: &str, stop: bool) -> Res<Value> {
    let values = args.one(name)?;
    let iter = machine.iter(&values)?;
    while let Some(value) = machine.next(&iter)? {
        if value.truthy() == stop {
            return Ok(Value::Bool(stop));
        }
    }
    Ok(Value::Bool(!stop))
}

fn radix(machine: &mut Machine<'_>, args: Args, name: &str, radix: u32, prefix: &str) -> Res<Value> {
    let value = args.one(name)?;
    let Some(big) = to_big(&value) else {
        return Err(type_error(format!(
            "'{}' object cannot be interpreted as an integer",
            value.type_name()
        )));
    };
    let sign = if big.sign() == num_bigint::Sign::Minus { "-" } else { "" };
    machine.text(format!("{sign}{prefix}{}", big.magnitude().to_str_radix(radix)))
}

fn chr(_: &mut Machine<'_>, args: Args) -> Res<Value> {
    let code = int_argument(&args.one("chr")?)?;
    if !(0..0x11_0000).contains(&code) {
        return Err(value_error("chr() arg not in range(0x110000)"));
    }
    match u32::try_from(code).ok().and_then(char::from_u32) {
        Some(c) => Ok(Value::str(c.to_string())),
        None => raise("NotImplementedError", "a lone surrogate is no text here"),
    }
}

fn ord(_: &mut Machine<'_>, args: Args) -> Res<Value> {
    let value = args.one("ord")?;
    let (length, first) = match &value {
        Value::Str(s) => (s.chars().count(), s.chars().next().map(u32::from)),
        Value::Bytes(b) => (b.len(), b.first().map(|b| u32::from(*b))),
        other => {
            let kind = other.type_name();
            return Err(type_error(format!("ord() expected string of length 1, but {kind} found")));
        }
    };
    match first.filter(|_| length == 1) {
        Some(code) => Ok(Value::Int(i64::from(code))),
        None => Err(type_error(format!("ord() expected a character, but string of length {length} found"))),
    }
}

fn divmod(machine: &mut Machine<'_>, args: Args) -> Res<Value> {
    let [a, b] = args.bind("divmod", ["/", "/"], 2)?;
    let (a, b) = (a.unwrap_or(Value::None), b.unwrap_or(Value::None));
    let fix = |r: crate::value::Raise, sign: &str| {
        let message = text(&Value::Exception(r.exception.clone())).unwrap_or_default();
        match message.strip_prefix(&format!("unsupported operand type(s) for {sign}: ")) {
            Some(rest) => type_error(format!("unsupported operand type(s) for divmod(): {rest}")),
            None if message == "float floor division by zero" => {
                crate::value::Raise::new("ZeroDivisionError", "float divmod()")
            }
            None => r,
        }
    };
    let decimal = matches!((&a, &b), (Value::Decimal(_), _) | (_, Value::Decimal(_)));
    if decimal
        && !b.truthy()
        && a.truthy()
        && super::decimal::exact(&a).zip(super::decimal::exact(&b)).is_some()
    {
        return Err(super::decimal::divided_by_zero());
    }
    let quotient = binary(machine, Binary::FloorDiv, &a, &b).map_err(|r| fix(r, "//"))?;
    Ok(Value::tuple(vec![quotient, binary(machine, Binary::Mod, &a, &b)?]))
}

fn enumerate(machine: &mut Machine<'_>, args: Args) -> Res<Value> {
    let [values, start] = args.bind("enumerate", ["iterable", "start"], 1)?;
    let start = start.as_ref().map_or(Ok(0), int_argument)?;
    let iter = machine.iter(&values.unwrap_or(Value::None))?;
    Iter::Enumerate(iter, start).into_value()
}

fn getattr(_: &mut Machine<'_>, args: Args) -> Res<Value> {
    let [object, name, default] = args.bind("getattr", ["/", "/", "/"], 2)?;
    let name = name.unwrap_or(Value::None);
    let Value::Str(name) = &name else { return Err(type_error("attribute name must be string")) };
    match (super::attribute(&object.unwrap_or(Value::None), name), default) {
        (Err(r), Some(default)) if r.exception.kind == "AttributeError" => Ok(default),
        (found, _) => found,
    }
}

/// `isinstance(value, class)`.
fn isinstance(value: &Value, class: &Value) -> Res<bool> {
    match class {
        Value::Type(name) => Ok(is_subtype(class::class_of(value), name)),
        Value::Tuple(classes) => {
            for class in &classes.0 {
                if isinstance(value, class)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => Err(type_error("isinstance() arg 2 must be a type, a tuple of types, or a union")),
    }
}

fn len(machine: &mut Machine<'_>, args: Args) -> Res<Value> {
    let value = args.one("len")?;
    if let Value::Str(s) = &value {
        machine.scan(s.len())?;
    }
    Ok(Value::from_usize(match &value {
        Value::Str(s) => s.chars().count(),
        Value::Bytes(b) => b.len(),
        Value::List(l) => l.0.borrow().len(),
        Value::Tuple(t) => t.0.len(),
        Value::Dict(d) | Value::View(d, View::Keys | View::Values | View::Items) => d.0.borrow().len(),
        Value::Set(s) => s.items.borrow().len(),
        Value::Range(r) => usize::try_from(r.len()).unwrap_or(usize::MAX),
        Value::Row(r) => r.values.len(),
        other => return Err(type_error(format!("object of type '{}' has no len()", other.type_name()))),
    }))
}

fn extreme(machine: &mut Machine<'_>, mut args: Args, name: &str, wanted: Ordering) -> Res<Value> {
    let key = args.take_keyword("key").filter(|k| !matches!(k, Value::None));
    let default = args.take_keyword("default");
    let items = match args.positional.as_slice() {
        [] => return Err(type_error(format!("{name} expected at least 1 argument, got 0"))),
        [one] => machine.collect(one)?,
        several => several.to_vec(),
    };
    let sign = if wanted == Ordering::Greater { ">" } else { "<" };
    let mut best: Option<(Value, Value)> = None;
    for item in items {
        machine.step()?;
        let rank = match &key {
            Some(key) => machine.call(key, Args::of(vec![item.clone()]))?,
            None => item.clone(),
        };
        let better = match &best {
            None => true,
            Some((_, old)) => order(sign, &rank, old)? == Some(wanted),
        };
        if better {
            best = Some((item, rank));
        }
    }
    match (best, default) {
        (Some((item, _)), _) => Ok(item),
        (None, Some(default)) => Ok(default),
        (None, None) => Err(value_error(format!("{name}() arg is an empty sequence"))),
    }
}

pub(super) fn next(machine: &mut Machine<'_>, args: Args) -> Res<Value> {
    let [iter, default] = args.bind("next", ["/", "/"], 1)?;
    match (machine.next(&iter.unwrap_or(Value::None))?, default) {
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default),
        (None, None) => Err(crate::value::Raise::with_args("StopIteration", Vec::new())),
    }
}

fn pow(machine: &mut Machine<'_>, args: Args) -> Res<Value> {
    let [base, exponent, modulus] = args.bind("pow", ["base", "exp", "mod"], 2)?;
    let (base, exponent) = (base.unwrap_or(Value::None), exponent.unwrap_or(Value::None));
    let Some(modulus) = modulus.filter(|m| !matches!(m, Value::None)) else {
        return binary(machine, Binary::Pow, &base, &exponent);
    };
    match (to_big(&base), to_big(&exponent), to_big(&modulus)) {
        (Some(b), Some(e), Some(m)) => {
            if m == num_bigint::BigInt::ZERO {
                return Err(value_error("pow() 3rd argument cannot be 0"));
            }
            // A few products of the modulus' size for each bit of the exponent; one more round for the inverse.
            let rounds = e.bits().saturating_add(m.bits());
            machine.spend(product_steps(m.bits(), m.bits()).saturating_add(1).saturating_mul(rounds))?;
            machine.spend(product_steps(b.bits(), m.bits()))?;
            if e.sign() == num_bigint::Sign::Minus {
                return match b.modinv(&m).map(|inverse| inverse.modpow(&-e, &m)) {
                    Some(value) => Ok(Value::from_big(value)),
                    None => Err(value_error("base is not invertible for the given modulus")),
                };
            }
            Ok(Value::from_big(b.modpow(&e, &m)))
        }
        _ => Err(type_error("pow() 3rd argument not allowed unless all arguments are integers")),
    }
}

fn reversed(machine: &mut Machine<'_>, args: Args) -> Res<Value> {
    let value = args.one("reversed")?;
    match &value {
        Value::List(l) => {
            let len = l.0.borrow().len();
            Iter::ListBack(value, len).into_value()
        }
        Value::Set(_) | Value::Iter(_) => {
            Err(type_error(format!("'{}' object is not reversible", value.type_name())))
        }
        _ => {
            let mut items = machine.collect(&value)?;
            items.reverse();
            Iter::Values(items.into_iter()).into_value()
        }
    }
}

/// Half to even; without digits an integer.
fn round(machine: &mut Machine<'_>, args: Args) -> Res<Value> {
    let [number, digits] = args.bind("round", ["number", "ndigits"], 1)?;
    let number = number.unwrap_or(Value::None);
    let digits = digits.filter(|d| !matches!(d, Value::None));
    match (&number, digits) {
        (Value::Float(f), None) => int_from_float(f.round_ties_even()),
        (Value::Float(f), Some(d)) => {
            let rounded = round_digits(*f, int_argument(&d)?);
            if rounded.is_infinite() && f.is_finite() {
                return raise("OverflowError", "rounded value too large to represent");
            }
            Ok(Value::Float(rounded))
        }
        (Value::Decimal(d), digits) => {
            super::decimal::round(d, digits.as_ref().map(int_argument).transpose()?)
        }
        (other, digits) => {
            let Some(big) = to_big(other) else {
                let kind = other.type_name();
                return Err(type_error(format!("type {kind} doesn't define __round__ method")));
            };
            match digits.as_ref().map(int_argument).transpose()? {
                Some(d) if d < 0 => {
                    // A power of ten of at most so many digits, and a division by it.
                    machine.spend(product_steps(big.bits(), big.bits()).saturating_mul(16))?;
                    Ok(Value::from_big(round_int(&big, d.unsigned_abs())))
                }
                _ => Ok(Value::from_big(big)),
            }
        }
    }
}

/// An integer rounded to tens, hundreds …, half to even.
fn round_int(big: &num_bigint::BigInt, digits: u64) -> num_bigint::BigInt {
    use num_integer::Integer as _;
    if digits > big.bits() {
        return num_bigint::BigInt::ZERO;
    }
    let unit = num_traits::Pow::pow(num_bigint::BigInt::from(10), u32::try_from(digits).unwrap_or(u32::MAX));
    let (quotient, rest) = big.div_mod_floor(&unit);
    let twice: num_bigint::BigInt = rest * 2;
    let up = match twice.cmp(&unit) {
        Ordering::Less => false,
        Ordering::Greater => true,
        Ordering::Equal => quotient.is_odd(),
    };
    (if up { quotient + 1 } else { quotient }) * unit
}

/// A stable sort by `<`.
pub(super) fn sort(
    machine: &mut Machine<'_>,
    items: Vec<Value>,
    key: Option<Value>,
    reverse: Option<Value>,
) -> Res<Vec<Value>> {
    let reverse = reverse.is_some_and(|r| r.truthy());
    let mut ranked: Vec<(Value, Value)> = Vec::with_capacity(items.len());
    for item in items {
        let rank = match &key {
            Some(key) if !matches!(key, Value::None) => machine.call(key, Args::of(vec![item.clone()]))?,
            _ => item.clone(),
        };
        ranked.push((rank, item));
    }
    machine.charge(ranked.len() * 2 * size_of::<Value>())?;
    machine.spend(ranked.len() as u64 * u64::from(ranked.len().max(1).ilog2()) / 16)?;
    // Reversing before and after keeps equal items in their order, as CPython does.
    if reverse {
        ranked.reverse();
    }
    let mut failure = None;
    ranked.sort_by(|(a, _), (b, _)| {
        if failure.is_some() {
            return Ordering::Equal;
        }
        match order("<", a, b) {
            Ok(o) => o.unwrap_or(Ordering::Equal),
            Err(r) => {
                failure = Some(r);
                Ordering::Equal
            }
        }
    });
    if let Some(r) = failure {
        return Err(r);
    }
    if reverse {
        ranked.reverse();
    }
    Ok(ranked.into_iter().map(|(_, item)| item).collect())
}

fn sum(machine: &mut Machine<'_>, args: Args) -> Res<Value> {
    let [values, start] = args.bind("sum", ["/", "start"], 1)?;
    let mut total = start.unwrap_or(Value::Int(0));
    if matches!(total, Value::Str(_)) {
        return Err(type_error("sum() can't sum strings [use ''.join(seq) instead]"));
    }
    let iter = machine.iter(&values.unwrap_or(Value::None))?;
    while let Some(value) = machine.next(&iter)? {
        total = binary(machine, Binary::Add, &total, &value)?;
    }
    Ok(total)
}

/// Whether a value equals one of some, for methods that search.
pub(super) fn find_equal(items: &[Value], value: &Value) -> Res<Option<usize>> {
    for (i, item) in items.iter().enumerate() {
        if equal(item, value)? {
            return Ok(Some(i));
        }
    }
    Ok(None)
}

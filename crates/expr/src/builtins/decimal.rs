//! Module `decimal`: making decimals, their operators, methods and formats.

use std::cmp::Ordering;
use std::rc::Rc;

use num_bigint::{BigInt, BigUint};
use num_traits::Zero as _;

use super::format::{Spec, pad_number};
use super::no_attribute;
use crate::interp::Args;
use crate::ir::Binary;
use crate::value::decimal::{Decimal, Rounding, signal, split_digits};
use crate::value::{Raise, Res, Value, raise, to_big, type_error, value_error};

pub(super) const METHODS: &[&str] = &[
    "adjusted",
    "as_integer_ratio",
    "compare",
    "conjugate",
    "copy_abs",
    "copy_negate",
    "copy_sign",
    "is_finite",
    "is_infinite",
    "is_nan",
    "is_signed",
    "is_zero",
    "max",
    "min",
    "normalize",
    "quantize",
    "to_integral",
    "to_integral_value",
];

/// Names that the module has beside functions; the values of `ROUND_...` are their names.
pub(crate) const NAMES: &[&str] = &[
    "Decimal",
    "ROUND_UP",
    "ROUND_DOWN",
    "ROUND_CEILING",
    "ROUND_FLOOR",
    "ROUND_HALF_UP",
    "ROUND_HALF_DOWN",
    "ROUND_HALF_EVEN",
    "ROUND_05UP",
    "DecimalException",
    "DivisionByZero",
    "InvalidOperation",
    "Overflow",
];

fn value(decimal: Decimal) -> Value {
    Value::Decimal(Rc::new(decimal))
}

/// The decimal behind a decimal or an integer.
pub(crate) fn exact(value: &Value) -> Option<Decimal> {
    match value {
        Value::Decimal(d) => Some((**d).clone()),
        other => to_big(other).map(|big| Decimal::from_int(&big)),
    }
}

/// `left op right` where one of them is a decimal and the other one or an integer; `None` otherwise.
pub(crate) fn arithmetic(op: Binary, left: &Value, right: &Value) -> Res<Option<Value>> {
    if !matches!(left, Value::Decimal(_)) && !matches!(right, Value::Decimal(_)) {
        return Ok(None);
    }
    let (Some(a), Some(b)) = (exact(left), exact(right)) else { return Ok(None) };
    let result = match op {
        Binary::Add => a.add(&b)?,
        Binary::Sub => a.add(&b.negated())?,
        Binary::Mul => a.multiply(&b)?,
        Binary::Div => a.divide(&b)?,
        Binary::FloorDiv => a.floor_divide(&b)?,
        Binary::Mod => a.remainder(&b)?,
        Binary::Pow => a.power(&b)?,
        _ => return Ok(None),
    };
    Ok(Some(value(result)))
}

/// `-x`, which has no negative zero, and `+x`.
pub(crate) fn signed(decimal: &Decimal, minus: bool) -> Res<Value> {
    let result = if minus { decimal.negated() } else { decimal.clone() };
    Ok(value(if result.is_zero() { result.abs() } else { result }.fix()?))
}

/// `abs(x)`.
pub(super) fn absolute(decimal: &Decimal) -> Res<Value> {
    decimal.abs().fix().map(value)
}

/// `round(x)` and `round(x, digits)`.
pub(super) fn round(decimal: &Decimal, digits: Option<i64>) -> Res<Value> {
    match digits {
        None => decimal.to_int(Rounding::HalfEven).map(Value::from_big),
        Some(digits) => decimal.quantize(digits.saturating_neg(), Rounding::HalfEven).map(value),
    }
}

/// `Decimal(...)`.
pub(super) fn construct(args: Args) -> Res<Value> {
    let [given] = args.bind("Decimal", ["value"], 0)?;
    let not_finite = || raise("NotImplementedError", "infinity and NaN are no decimals here");
    Ok(match given {
        None => value(Decimal::new(false, BigUint::zero(), 0)),
        Some(Value::Str(text)) => match Decimal::parse(&text) {
            Some(Some(decimal)) => value(decimal),
            Some(None) => return not_finite(),
            None => return Err(signal("InvalidOperation", "ConversionSyntax")),
        },
        Some(Value::Float(f)) => match Decimal::from_float(f) {
            Some(decimal) => value(decimal),
            None => return not_finite(),
        },
        Some(other) => match exact(&other) {
            Some(decimal) => value(decimal),
            None if matches!(other, Value::Tuple(_) | Value::List(_)) => {
                return raise("NotImplementedError", "a Decimal from digits is not compiled");
            }
            None => {
                let kind = other.type_name();
                return Err(type_error(format!("conversion from {kind} to Decimal is not supported")));
            }
        },
    })
}

fn operand(given: Option<Value>) -> Res<Decimal> {
    let given = given.unwrap_or(Value::None);
    exact(&given).ok_or_else(|| {
        type_error(format!("conversion from {} to Decimal is not supported", given.type_name()))
    })
}

fn rounding(given: Option<&Value>) -> Res<Rounding> {
    const WRONG: &str = "valid values for rounding are:\n  [ROUND_CEILING, ROUND_FLOOR, ROUND_UP, ROUND_DOWN,\n   ROUND_HALF_UP, ROUND_HALF_DOWN, ROUND_HALF_EVEN,\n   ROUND_05UP]";
    match given {
        None | Some(Value::None) => Ok(Rounding::HalfEven),
        Some(Value::Str(name)) => Rounding::named(name).ok_or_else(|| type_error(WRONG)),
        Some(_) => Err(type_error(WRONG)),
    }
}

/// What `divmod` by zero raises: it has two results.
pub(super) fn divided_by_zero() -> Raise {
    let conditions = ["InvalidOperation", "DivisionByZero"].map(Value::Type);
    Raise::with_args("InvalidOperation", vec![Value::list(conditions.to_vec())])
}

/// `decimal.name(args)`.
pub(super) fn method(decimal: &Decimal, name: &str, args: Args) -> Res<Value> {
    let truth = |args: Args, answer: bool| args.none(name).map(|()| Value::Bool(answer));
    match name {
        "quantize" => {
            let [exponent, mode] = args.bind("quantize", ["exp", "rounding"], 1)?;
            decimal.quantize(operand(exponent)?.exponent, rounding(mode.as_ref())?).map(value)
        }
        "normalize" => args.none(name).and_then(|()| decimal.normalized()).map(value),
        "to_integral_value" | "to_integral" => {
            let [mode] = args.bind(name, ["rounding"], 0)?;
            Ok(value(decimal.to_integral(rounding(mode.as_ref())?)))
        }
        "copy_abs" => args.none(name).map(|()| value(decimal.abs())),
        "copy_negate" => args.none(name).map(|()| value(decimal.negated())),
        "conjugate" => args.none(name).map(|()| value(decimal.clone())),
        "copy_sign" => {
            let negative = operand(Some(args.one(name)?))?.negative;
            Ok(value(Decimal { negative, ..decimal.clone() }))
        }
        "compare" => {
            let order = decimal.compare(&operand(Some(args.one(name)?))?);
            Ok(value(Decimal::from_int(&BigInt::from(order as i8))))
        }
        "max" | "min" => {
            let other = operand(Some(args.one(name)?))?;
            let wanted = if name == "max" { Ordering::Less } else { Ordering::Greater };
            let chosen = if total_order(decimal, &other) == wanted { &other } else { decimal };
            chosen.clone().fix().map(value)
        }
        "adjusted" => args
            .none(name)
            .map(|()| Value::Int(if decimal.is_zero() { decimal.exponent } else { decimal.adjusted() })),
        "as_integer_ratio" => {
            args.none(name)?;
            ratio(decimal)
        }
        "is_zero" => truth(args, decimal.is_zero()),
        "is_signed" => truth(args, decimal.negative),
        "is_finite" => truth(args, true),
        "is_nan" | "is_infinite" => truth(args, false),
        _ => Err(no_attribute(&value(decimal.clone()), name)),
    }
}

/// Equal numbers are ordered by their signs and exponents, as `max` and `min` do.
fn total_order(a: &Decimal, b: &Decimal) -> Ordering {
    a.compare(b).then_with(|| match (a.negative, b.negative) {
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, false) => a.exponent.cmp(&b.exponent),
        (true, true) => b.exponent.cmp(&a.exponent),
    })
}

fn ratio(decimal: &Decimal) -> Res<Value> {
    if decimal.exponent.abs() > 10_000 {
        return raise("MemoryError", "an integer of more than 10000 digits");
    }
    let by = u32::try_from(decimal.exponent.unsigned_abs()).unwrap_or(0);
    let power = num_traits::Pow::pow(BigInt::from(10), by);
    let size = BigInt::from(decimal.digits.clone());
    let size = if decimal.negative { -size } else { size };
    let (top, bottom) = if decimal.exponent >= 0 { (size * power, BigInt::from(1)) } else { (size, power) };
    let common = num_integer::Integer::gcd(&top, &bottom);
    Ok(Value::tuple(vec![Value::from_big(&top / &common), Value::from_big(&bottom / &common)]))
}

/// `format(x, spec)`.
pub(super) fn format(decimal: &Decimal, spec: &Spec) -> Res<String> {
    let wrong = || value_error("invalid format string");
    let kind = spec.kind.unwrap_or('G');
    let known = matches!(kind, 'e' | 'E' | 'f' | 'F' | 'g' | 'G' | 'n' | '%');
    let grouped = spec.grouping == Some('_') || (kind == 'n' && spec.grouping.is_some());
    if !known || spec.alternate || spec.aligned_twice || grouped {
        return Err(wrong());
    }
    let precision = spec.precision.map(|p| i64::try_from(p).unwrap_or(i64::MAX));
    let fixed = matches!(kind, 'f' | 'F' | '%');
    let scientific = matches!(kind, 'e' | 'E');
    let mut number = decimal.clone();
    if kind == '%' {
        number.exponent += 2;
    }
    if number.exponent.abs() > 10_000 && fixed {
        return raise("MemoryError", "a text of more than 10000 digits");
    }
    let significant = |number: &Decimal, digits: i64| {
        let exponent = number.exponent + number.digit_count() - digits;
        let rounded = number.rescale(exponent, Rounding::HalfEven);
        // 9.99 may become 10.0: one digit too many.
        if rounded.digit_count() > digits {
            rounded.rescale(exponent + 1, Rounding::HalfEven)
        } else {
            rounded
        }
    };
    match precision {
        Some(p) if fixed => number = number.rescale(-p, Rounding::HalfEven),
        Some(p) if scientific && !number.is_zero() => number = significant(&number, p + 1),
        Some(p) if !scientific && number.digit_count() > p.max(1) => number = significant(&number, p.max(1)),
        _ => {}
    }
    if number.is_zero() && number.exponent > 0 && fixed {
        number.exponent = 0;
    }
    let digits = number.digits.to_string();
    let left = number.exponent + i64::try_from(digits.len()).unwrap_or(0);
    let point = match precision {
        Some(p) if scientific && number.is_zero() => 1 - p,
        _ if fixed => left,
        _ if !scientific && number.exponent <= 0 && left > -6 => left,
        _ => 1,
    };
    let (whole, mut rest) = split_digits(&digits, point);
    if !rest.is_empty() {
        rest.insert(0, '.');
    }
    if left != point || scientific {
        let e = if matches!(kind, 'e' | 'g' | 'n') { 'e' } else { 'E' };
        rest.push_str(&format!("{e}{:+}", left - point));
    }
    if kind == '%' {
        rest.push('%');
    }
    let negative = number.negative && !(spec.no_negative_zero && number.is_zero());
    Ok(pad_number(negative, "", &whole, &rest, spec, 3))
}

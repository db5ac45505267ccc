//! Binary operators and comparisons.

use std::cmp::Ordering;
use std::rc::Rc;

use num_bigint::BigInt;
use num_integer::Integer as _;
use num_traits::{FromPrimitive as _, Signed as _, ToPrimitive as _, Zero as _};

use super::Machine;
use crate::builtins;
use crate::ir::{Binary, Compare};
use crate::value::{Key, Raise, Res, Value, View, equal, order, raise, to_big, type_error};

/// Integers with more bits are refused.
pub(crate) const BITS_MAX: u64 = 1 << 20;

/// The work of multiplying or dividing integers of so many bits, in steps.
pub(crate) fn product_steps(a: u64, b: u64) -> u64 {
    a.saturating_mul(b) >> 21
}

/// `left op right`.
pub(crate) fn binary(machine: &mut Machine<'_>, op: Binary, left: &Value, right: &Value) -> Res<Value> {
    // The common cases first.
    match (op, left, right) {
        (_, Value::Int(a), Value::Int(b)) => {
            if let Some(value) = small(op, *a, *b) {
                return Ok(value);
            }
        }
        (_, Value::Float(a), Value::Float(b)) => return floats(op, *a, *b, left, right),
        (Binary::Add, Value::Str(a), Value::Str(b)) => {
            machine.charge(a.len() + b.len())?;
            return Ok(Value::Str([&**a, &**b].concat().into()));
        }
        (Binary::Mod, Value::Str(format), _) => return builtins::percent_format(machine, format, right),
        _ => {}
    }
    if let (Some(a), Some(b)) = (to_big(left), to_big(right)) {
        if let (Value::Bool(a), Value::Bool(b)) = (left, right) {
            match op {
                Binary::And => return Ok(Value::Bool(a & b)),
                Binary::Or => return Ok(Value::Bool(a | b)),
                Binary::Xor => return Ok(Value::Bool(a ^ b)),
                _ => {}
            }
        }
        return integers(machine, op, &a, &b, left, right);
    }
    if let (Some(a), Some(b)) = (float_of(left), float_of(right)) {
        return floats(op, a?, b?, left, right);
    }
    if let Some(value) = builtins::decimal::arithmetic(op, left, right)? {
        return Ok(value);
    }
    if let Some(value) = sequences(machine, op, left, right)? {
        return Ok(value);
    }
    if let Some(value) = builtins::time_arithmetic(op, left, right)? {
        return Ok(value);
    }
    Err(unsupported(op, left, right))
}

fn unsupported(op: Binary, left: &Value, right: &Value) -> Raise {
    let (a, b) = (left.type_name(), right.type_name());
    match (op, left) {
        (Binary::Add, Value::Str(_)) => type_error(format!("can only concatenate str (not \"{b}\") to str")),
        (Binary::Add, Value::List(_)) => {
            type_error(format!("can only concatenate list (not \"{b}\") to list"))
        }
        (Binary::Add, Value::Tuple(_)) => {
            type_error(format!("can only concatenate tuple (not \"{b}\") to tuple"))
        }
        (Binary::Add, Value::Bytes(_)) => type_error(format!("can't concat {b} to bytes")),
        (Binary::Mul, Value::Str(_) | Value::List(_) | Value::Tuple(_) | Value::Bytes(_)) => {
            type_error(format!("can't multiply sequence by non-int of type '{b}'"))
        }
        (Binary::Mul, _)
            if matches!(right, Value::Str(_) | Value::List(_) | Value::Tuple(_) | Value::Bytes(_)) =>
        {
            type_error(format!("can't multiply sequence by non-int of type '{a}'"))
        }
        _ => type_error(format!("unsupported operand type(s) for {}: '{a}' and '{b}'", op.sign())),
    }
}

/// 64-bit arithmetic; `None` where it overflows or is not that simple.
fn small(op: Binary, a: i64, b: i64) -> Option<Value> {
    let int = |v: Option<i64>| v.map(Value::Int);
    match op {
        Binary::Add => int(a.checked_add(b)),
        Binary::Sub => int(a.checked_sub(b)),
        Binary::Mul => int(a.checked_mul(b)),
        Binary::FloorDiv => int(floor_div_int(a, b)),
        Binary::Mod => int(mod_int(a, b)),
        Binary::And => Some(Value::Int(a & b)),
        Binary::Or => Some(Value::Int(a | b)),
        Binary::Xor => Some(Value::Int(a ^ b)),
        Binary::Div => {
            let exact = 1_i64 << 53;
            let fits = |v: i64| (-exact..=exact).contains(&v);
            #[allow(clippy::cast_precision_loss, reason = "both are exact in a float")]
            (b != 0 && fits(a) && fits(b)).then(|| Value::Float(a as f64 / b as f64))
        }
        Binary::Pow => {
            let exponent = u32::try_from(b).ok()?;
            int(a.checked_pow(exponent))
        }
        _ => None,
    }
}

/// Floor division; `None` by zero or on overflow.
pub(crate) fn floor_div_int(a: i64, b: i64) -> Option<i64> {
    let quotient = a.checked_div(b)?;
    let inexact = a.checked_rem(b)? != 0 && (a < 0) != (b < 0);
    Some(if inexact { quotient - 1 } else { quotient })
}

/// Modulo with the divisor's sign; `None` by zero.
pub(crate) fn mod_int(a: i64, b: i64) -> Option<i64> {
    if b == -1 {
        return Some(0);
    }
    let rest = a.checked_rem(b)?;
    Some(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })
}

fn integers(
    machine: &mut Machine<'_>,
    op: Binary,
    a: &BigInt,
    b: &BigInt,
    left: &Value,
    right: &Value,
) -> Res<Value> {
    let bounded = |bits: u64| {
        if bits > BITS_MAX {
            raise("MemoryError", format!("an integer of more than {BITS_MAX} bits"))
        } else {
            Ok(())
        }
    };
    machine.charge(usize::try_from((a.bits() + b.bits()) / 8).unwrap_or(usize::MAX))?;
    if matches!(op, Binary::Mul | Binary::Div | Binary::FloorDiv | Binary::Mod) {
        machine.spend(product_steps(a.bits(), b.bits()))?;
    }
    let zero = |message: &str| raise("ZeroDivisionError", message);
    let big = match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => {
            bounded(a.bits() + b.bits())?;
            a * b
        }
        Binary::Div if b.is_zero() => return zero("division by zero"),
        Binary::Div => return true_division(a, b),
        Binary::FloorDiv if b.is_zero() => return zero("integer division or modulo by zero"),
        Binary::Mod if b.is_zero() => return zero("integer modulo by zero"),
        Binary::FloorDiv => a.div_floor(b),
        Binary::Mod => a.mod_floor(b),
        Binary::Pow if b.is_negative() => {
            if a.is_zero() {
                return zero("0.0 cannot be raised to a negative power");
            }
            return floats(op, big_float(a)?, big_float(b)?, left, right);
        }
        Binary::Pow => match u32::try_from(b) {
            Ok(exponent) => {
                let bits = a.bits().saturating_mul(u64::from(exponent));
                bounded(bits)?;
                machine.charge(usize::try_from(bits / 8).unwrap_or(usize::MAX))?;
                machine.spend(product_steps(bits, bits))?;
                a.pow(exponent)
            }
            Err(_) if a.bits() <= 1 => {
                if a.is_negative() && b.is_even() {
                    -a
                } else {
                    a.clone()
                }
            }
            Err(_) => return bounded(u64::MAX).map(|()| Value::None),
        },
        Binary::Shl | Binary::Shr if b.is_negative() => return raise("ValueError", "negative shift count"),
        Binary::Shl if a.is_zero() => BigInt::ZERO,
        Binary::Shl => {
            let by = b.to_u64().unwrap_or(u64::MAX);
            bounded(by.saturating_add(a.bits()))?;
            machine.charge(usize::try_from(by / 8).unwrap_or(usize::MAX))?;
            a << by
        }
        Binary::Shr => match b.to_u64() {
            Some(by) => a >> by,
            None => BigInt::from(if a.is_negative() { -1 } else { 0 }),
        },
        Binary::And => a & b,
        Binary::Or => a | b,
        Binary::Xor => a ^ b,
        Binary::MatMul => return Err(unsupported(op, left, right)),
    };
    Ok(Value::from_big(big))
}

/// The correctly rounded quotient, as CPython's.
fn true_division(a: &BigInt, b: &BigInt) -> Res<Value> {
    let exact = |v: &BigInt| v.bits() <= 53;
    if exact(a) && exact(b) {
        return Ok(Value::Float(big_float(a)? / big_float(b)?));
    }
    if a.is_zero() {
        return Ok(Value::Float(0.0));
    }
    // Scale so that the quotient has 66 bits or so, with a sticky last bit; then one rounding.
    let shift = 66 + i64::try_from(b.bits()).unwrap_or(i64::MAX / 2) - i64::try_from(a.bits()).unwrap_or(0);
    let (n, d) = (a.abs(), b.abs());
    let by = shift.unsigned_abs();
    let (quotient, rest) = if shift >= 0 { (n << by).div_rem(&d) } else { n.div_rem(&(d << by)) };
    let sticky = if rest.is_zero() { quotient } else { quotient | BigInt::from(1) };
    let scaled = sticky.to_f64().unwrap_or(f64::INFINITY);
    let value = scale(scaled, -shift);
    if value.is_infinite() {
        return raise("OverflowError", "integer division result too large for a float");
    }
    let negative = a.is_negative() != b.is_negative();
    Ok(Value::Float(if negative { -value } else { value }))
}

/// `x * 2^by` in steps that do not overflow on the way.
fn scale(mut x: f64, mut by: i64) -> f64 {
    while by != 0 {
        let part = by.clamp(-900, 900);
        x *= 2f64.powi(i32::try_from(part).unwrap_or(0));
        by -= part;
        if x == 0.0 || x.is_infinite() {
            break;
        }
    }
    x
}

fn big_float(big: &BigInt) -> Res<f64> {
    let float = big.to_f64().unwrap_or(f64::INFINITY);
    if float.is_infinite() { raise("OverflowError", "int too large to convert to float") } else { Ok(float) }
}

/// The float behind a number.
fn float_of(value: &Value) -> Option<Res<f64>> {
    match value {
        Value::Float(f) => Some(Ok(*f)),
        other => to_big(other).map(|b| big_float(&b)),
    }
}

fn floats(op: Binary, a: f64, b: f64, left: &Value, right: &Value) -> Res<Value> {
    let zero = |message: &str| raise("ZeroDivisionError", message);
    Ok(Value::Float(match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div if b == 0.0 => return zero("float division by zero"),
        Binary::Div => a / b,
        Binary::FloorDiv if b == 0.0 => return zero("float floor division by zero"),
        Binary::Mod if b == 0.0 => return zero("float modulo"),
        Binary::FloorDiv => float_floor_div(a, b),
        Binary::Mod => float_mod(a, b),
        Binary::Pow => return float_pow(a, b),
        _ => return Err(unsupported(op, left, right)),
    }))
}

/// `a % b` with the sign of `b`; `b` is not zero.
pub(crate) fn float_mod(a: f64, b: f64) -> f64 {
    let rest = a % b;
    if rest == 0.0 {
        return 0.0_f64.copysign(b);
    }
    if (b < 0.0) != (rest < 0.0) { rest + b } else { rest }
}

/// `a // b`; `b` is not zero.
pub(crate) fn float_floor_div(a: f64, b: f64) -> f64 {
    let rest = a % b;
    let mut quotient = (a - rest) / b;
    if rest != 0.0 && (b < 0.0) != (rest < 0.0) {
        quotient -= 1.0;
    }
    if quotient == 0.0 {
        return 0.0_f64.copysign(a / b);
    }
    let floor = quotient.floor();
    if quotient - floor > 0.5 { floor + 1.0 } else { floor }
}

fn float_pow(a: f64, b: f64) -> Res<Value> {
    if a == 0.0 && b < 0.0 {
        return raise("ZeroDivisionError", "0.0 cannot be raised to a negative power");
    }
    if a < 0.0 && a.is_finite() && b.is_finite() && b.fract() != 0.0 {
        return raise("NotImplementedError", "a negative number to a fractional power is a complex number");
    }
    let result = a.powf(b);
    if result.is_infinite() && a.is_finite() && b.is_finite() {
        let args = vec![Value::Int(34), Value::str("Numerical result out of range")];
        return Err(Raise::with_args("OverflowError", args));
    }
    Ok(Value::Float(result))
}

/// Operators of texts, lists, sets and dicts.
fn sequences(machine: &mut Machine<'_>, op: Binary, left: &Value, right: &Value) -> Res<Option<Value>> {
    Ok(Some(match (op, left, right) {
        (Binary::Add, Value::List(a), Value::List(b)) => {
            let mut items = a.0.borrow().clone();
            items.extend(b.0.borrow().iter().cloned());
            machine.list(items)?
        }
        (Binary::Add, Value::Tuple(a), Value::Tuple(b)) => {
            machine.charge((a.0.len() + b.0.len()) * size_of::<Value>())?;
            Value::tuple(a.0.iter().chain(&b.0).cloned().collect())
        }
        (Binary::Add, Value::Bytes(a), Value::Bytes(b)) => {
            machine.charge(a.len() + b.len())?;
            Value::Bytes([&**a, &**b].concat().into())
        }
        (Binary::Mul, sequence, count) | (Binary::Mul, count, sequence)
            if count.as_int().is_some()
                && matches!(sequence, Value::Str(_) | Value::List(_) | Value::Tuple(_) | Value::Bytes(_)) =>
        {
            repeat(machine, sequence, count.as_int().unwrap_or(0))?
        }
        (Binary::Or, Value::Dict(a), Value::Dict(b)) => {
            let mut dict = a.0.borrow().clone();
            dict.extend(b.0.borrow().iter().map(|(k, v)| (k.clone(), v.clone())));
            machine.charge(dict.len() * 64)?;
            Value::dict(dict)
        }
        (
            Binary::And | Binary::Or | Binary::Sub | Binary::Xor,
            Value::Set(_) | Value::View(_, View::Keys | View::Items),
            Value::Set(_) | Value::View(_, View::Keys | View::Items),
        ) => {
            let (a, b) = (machine.collect_keys(left)?, machine.collect_keys(right)?);
            machine.charge((a.len() + b.len()) * 32)?;
            let items = match op {
                Binary::And => a.intersection(&b).cloned().collect(),
                Binary::Or => a.union(&b).cloned().collect(),
                Binary::Sub => a.difference(&b).cloned().collect(),
                _ => a.symmetric_difference(&b).cloned().collect(),
            };
            Value::set(items, matches!(left, Value::Set(s) if s.frozen))
        }
        _ => return Ok(None),
    }))
}

fn repeat(machine: &mut Machine<'_>, sequence: &Value, count: i64) -> Res<Value> {
    let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
    let items = |machine: &mut Machine<'_>, items: &[Value]| -> Res<Vec<Value>> {
        machine.charge(items.len().saturating_mul(count).saturating_mul(size_of::<Value>()))?;
        Ok(std::iter::repeat_n(items, if items.is_empty() { 0 } else { count }).flatten().cloned().collect())
    };
    Ok(match sequence {
        Value::Str(s) => {
            machine.charge(s.len().saturating_mul(count))?;
            Value::str(s.repeat(if s.is_empty() { 0 } else { count }))
        }
        Value::Bytes(b) => {
            machine.charge(b.len().saturating_mul(count))?;
            Value::Bytes(b.repeat(if b.is_empty() { 0 } else { count }).into())
        }
        Value::List(l) => {
            let values = l.0.borrow().clone();
            Value::list(items(machine, &values)?)
        }
        Value::Tuple(t) => Value::tuple(items(machine, &t.0)?),
        _ => Value::None,
    })
}

/// `left op right` for comparisons.
pub(crate) fn compare(machine: &mut Machine<'_>, op: Compare, left: &Value, right: &Value) -> Res<bool> {
    let ordered = |wanted: fn(Ordering) -> bool| Ok(order(op.sign(), left, right)?.is_some_and(wanted));
    match op {
        Compare::Eq => equal(left, right),
        Compare::Ne => Ok(!equal(left, right)?),
        Compare::Lt => ordered(Ordering::is_lt),
        Compare::Le => ordered(Ordering::is_le),
        Compare::Gt => ordered(Ordering::is_gt),
        Compare::Ge => ordered(Ordering::is_ge),
        Compare::Is => Ok(same(left, right)),
        Compare::IsNot => Ok(!same(left, right)),
        Compare::In => contains(machine, right, left),
        Compare::NotIn => Ok(!contains(machine, right, left)?),
    }
}

/// `is`: objects by identity; numbers and texts by type and value (CPython leaves that open).
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::List(a), Value::List(b)) => Rc::ptr_eq(a, b),
        (Value::Dict(a), Value::Dict(b)) => Rc::ptr_eq(a, b),
        (Value::Tuple(a), Value::Tuple(b)) => Rc::ptr_eq(a, b),
        (Value::Set(a), Value::Set(b)) => Rc::ptr_eq(a, b),
        _ => left.type_name() == right.type_name() && equal(left, right).unwrap_or(false),
    }
}

fn contains(machine: &mut Machine<'_>, container: &Value, value: &Value) -> Res<bool> {
    match container {
        Value::Str(text) => match value {
            Value::Str(part) => {
                machine.scan(text.len())?;
                Ok(text.contains(&**part))
            }
            other => {
                let kind = other.type_name();
                Err(type_error(format!("'in <string>' requires string as left operand, not {kind}")))
            }
        },
        Value::Bytes(bytes) => match value {
            Value::Bytes(part) if !part.is_empty() => {
                machine.work(bytes.len().saturating_mul(part.len()))?;
                Ok(bytes.windows(part.len()).any(|w| *w == **part))
            }
            Value::Bytes(_) => Ok(true),
            other => match other.as_int() {
                Some(i) => Ok(bytes.iter().any(|b| i64::from(*b) == i)),
                None => {
                    Err(type_error(format!("a bytes-like object is required, not '{}'", other.type_name())))
                }
            },
        },
        Value::Dict(d) | Value::View(d, View::Keys) => {
            Ok(d.0.borrow().contains_key(&Key::new(value.clone())?))
        }
        Value::Set(s) => Ok(s.items.borrow().contains(&Key::new(value.clone())?)),
        Value::Range(r) => match value.as_int() {
            Some(i) => Ok(range_has(r, i)),
            None => Ok(matches!(value, Value::Float(f) if f.fract() == 0.0
                && i64::from_f64(*f).is_some_and(|i| range_has(r, i)))),
        },
        Value::List(_) | Value::Tuple(_) | Value::Row(_) | Value::View(..) | Value::Iter(_) => {
            let iter = machine.iter(container)?;
            while let Some(item) = machine.next(&iter)? {
                if same_nan(&item, value) || equal(&item, value)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        other => Err(type_error(format!("argument of type '{}' is not iterable", other.type_name()))),
    }
}

/// Identity counts before equality: a NaN is in a list that holds it.
fn same_nan(a: &Value, b: &Value) -> bool {
    matches!((a, b), (Value::Float(x), Value::Float(y)) if x.is_nan() && y.is_nan())
}

fn range_has(range: &crate::value::Range, i: i64) -> bool {
    let inside =
        if range.step > 0 { i >= range.start && i < range.stop } else { i <= range.start && i > range.stop };
    inside && (i128::from(i) - i128::from(range.start)) % i128::from(range.step) == 0
}

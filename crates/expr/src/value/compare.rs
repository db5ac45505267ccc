//! Equality, order and hashing across Python's types.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use num_bigint::BigInt;
use num_traits::{FromPrimitive as _, Signed as _, ToPrimitive as _};

use super::budget::walk;
use super::decimal::Decimal;
use super::{Res, Value, View, raise, to_big, type_error};

/// Deeper values than this are refused: comparing them would need unbounded stack.
const DEPTH_MAX: u32 = 200;

/// Bytes that comparing or hashing a value may look at, without its parts.
fn length(value: &Value) -> usize {
    match value {
        Value::Str(s) => s.len(),
        Value::Bytes(b) => b.len(),
        Value::Set(s) => s.items.borrow().len().saturating_mul(64),
        _ => 0,
    }
}

/// `a == b`.
pub(crate) fn equal(a: &Value, b: &Value) -> Res<bool> {
    equal_at(a, b, 0)
}

fn equal_at(a: &Value, b: &Value, depth: u32) -> Res<bool> {
    if depth > DEPTH_MAX {
        return raise("RecursionError", "maximum recursion depth exceeded in comparison");
    }
    walk(length(a).min(length(b)))?;
    Ok(match (a, b) {
        (Value::None, Value::None) | (Value::Ellipsis, Value::Ellipsis) => true,
        (Value::Str(x), Value::Str(y)) => x == y,
        (Value::Int(x), Value::Int(y)) => x == y,
        (Value::Bytes(x), Value::Bytes(y)) => x == y,
        (Value::List(x), Value::List(y)) => {
            Rc::ptr_eq(x, y) || equal_items(&x.0.borrow(), &y.0.borrow(), depth)?
        }
        (Value::Tuple(x), Value::Tuple(y)) => equal_items(&x.0, &y.0, depth)?,
        (Value::Row(x), Value::Row(y)) => x.names == y.names && equal_items(&x.values, &y.values, depth)?,
        (Value::Dict(x), Value::Dict(y)) => Rc::ptr_eq(x, y) || equal_dicts(x, y, depth)?,
        (Value::Set(x), Value::Set(y)) => Rc::ptr_eq(x, y) || *x.items.borrow() == *y.items.borrow(),
        (Value::View(x, v), Value::View(y, w)) if v == w && *v != View::Values => equal_dicts(x, y, depth)?,
        (Value::Range(x), Value::Range(y)) => {
            x.len() == y.len() && (x.len() == 0 || x.start == y.start && (x.len() == 1 || x.step == y.step))
        }
        (Value::Date(x), Value::Date(y)) => x == y,
        (Value::Time(x), Value::Time(y)) => x == y,
        (Value::DateTime(x), Value::DateTime(y)) => match (x.utc_micros(), y.utc_micros()) {
            (Some(x), Some(y)) => x == y,
            (None, None) => x.naive == y.naive,
            _ => false,
        },
        (Value::Delta(x), Value::Delta(y)) => x == y,
        (Value::Zone(x), Value::Zone(y)) => x.offset == y.offset,
        (Value::Type(x) | Value::Module(x), Value::Type(y) | Value::Module(y)) => x == y,
        (Value::Builtin(x), Value::Builtin(y)) => x.name == y.name,
        (Value::Function(x), Value::Function(y)) => Rc::ptr_eq(x, y),
        (Value::Exception(x), Value::Exception(y)) => Rc::ptr_eq(x, y),
        (Value::Iter(x), Value::Iter(y)) => Rc::ptr_eq(x, y),
        (Value::Pattern(x), Value::Pattern(y)) => x.source == y.source && x.flags == y.flags,
        (Value::Match(x), Value::Match(y)) => Rc::ptr_eq(x, y),
        _ => number_order(a, b) == Some(Some(Ordering::Equal)),
    })
}

fn equal_items(a: &[Value], b: &[Value], depth: u32) -> Res<bool> {
    if a.len() != b.len() {
        return Ok(false);
    }
    for (x, y) in a.iter().zip(b) {
        if !equal_at(x, y, depth + 1)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn equal_dicts(a: &Rc<super::DictCell>, b: &Rc<super::DictCell>, depth: u32) -> Res<bool> {
    let (a, b) = (a.0.borrow(), b.0.borrow());
    if a.len() != b.len() {
        return Ok(false);
    }
    for (key, x) in a.iter() {
        match b.get(key) {
            Some(y) if equal_at(x, y, depth + 1)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// The order of two numbers (times count as seconds); `None` if either is no number, `Some(None)`
/// if they have no order (NaN).
fn number_order(a: &Value, b: &Value) -> Option<Option<Ordering>> {
    let instant = |v: &Value| match v {
        Value::Timestamp(t) | Value::Duration(t) => Some(*t),
        _ => None,
    };
    if instant(a).is_some() || instant(b).is_some() {
        let micros = |v: &Value| instant(v).or_else(|| seconds_to_micros(v));
        return Some(Some(micros(a)?.cmp(&micros(b)?)));
    }
    if let (Some(x), Some(y)) = (a.as_int(), b.as_int()) {
        return Some(Some(x.cmp(&y)));
    }
    match (a, b) {
        (Value::Decimal(x), Value::Decimal(y)) => Some(Some(x.compare(y))),
        (Value::Decimal(x), other) => Some(decimal_with(x, other)?),
        (other, Value::Decimal(y)) => Some(decimal_with(y, other)?.map(Ordering::reverse)),
        (Value::Float(x), Value::Float(y)) => Some(x.partial_cmp(y)),
        (Value::Float(x), _) => Some(float_with_int(*x, &to_big(b)?)),
        (_, Value::Float(y)) => Some(float_with_int(*y, &to_big(a)?).map(Ordering::reverse)),
        _ => Some(Some(to_big(a)?.cmp(&to_big(b)?))),
    }
}

/// Exact: a float counts as the number it is.
fn decimal_with(x: &Decimal, other: &Value) -> Option<Option<Ordering>> {
    Some(match other {
        Value::Float(f) if f.is_nan() => None,
        Value::Float(f) if f.is_infinite() => Some(if *f > 0.0 { Ordering::Less } else { Ordering::Greater }),
        Value::Float(f) => Decimal::from_float(*f).map(|y| x.compare(&y)),
        other => Some(x.compare(&Decimal::from_int(&to_big(other)?))),
    })
}

/// Exact: no rounding of the integer to a float.
fn float_with_int(x: f64, y: &BigInt) -> Option<Ordering> {
    if x.is_nan() {
        return None;
    }
    if x.is_infinite() {
        return Some(if x > 0.0 { Ordering::Greater } else { Ordering::Less });
    }
    let whole = BigInt::from_f64(x.trunc())?;
    Some(whole.cmp(y).then_with(|| x.fract().partial_cmp(&0.0).unwrap_or(Ordering::Equal)))
}

/// Seconds as Beam's Timestamp takes them: cut to microseconds.
pub(super) fn seconds_to_micros(value: &Value) -> Option<i64> {
    match value {
        Value::Float(f) => (f * 1e6).trunc().to_i64(),
        other => other.as_int()?.checked_mul(1_000_000),
    }
}

/// The order of `a` and `b` for operator `op` (`<`, `>=` …); `None` if unordered (NaN).
pub(crate) fn order(op: &str, a: &Value, b: &Value) -> Res<Option<Ordering>> {
    order_at(op, a, b, 0)
}

fn order_at(op: &str, a: &Value, b: &Value, depth: u32) -> Res<Option<Ordering>> {
    if depth > DEPTH_MAX {
        return raise("RecursionError", "maximum recursion depth exceeded in comparison");
    }
    walk(length(a).min(length(b)))?;
    let refused = || {
        let short = |v: &Value| v.type_name();
        type_error(format!("'{op}' not supported between instances of '{}' and '{}'", short(a), short(b)))
    };
    Ok(match (a, b) {
        (Value::Str(x), Value::Str(y)) => Some(x.cmp(y)),
        (Value::Bytes(x), Value::Bytes(y)) => Some(x.cmp(y)),
        (Value::List(x), Value::List(y)) => order_items(op, &x.0.borrow(), &y.0.borrow(), depth)?,
        (Value::Tuple(x), Value::Tuple(y)) => order_items(op, &x.0, &y.0, depth)?,
        (Value::Row(x), Value::Row(y)) => order_items(op, &x.values, &y.values, depth)?,
        (Value::Set(x), Value::Set(y)) => {
            let (x, y) = (x.items.borrow(), y.items.borrow());
            match (x.is_subset(&y), y.is_subset(&x)) {
                (true, true) => Some(Ordering::Equal),
                (true, false) => Some(Ordering::Less),
                (false, true) => Some(Ordering::Greater),
                (false, false) => None,
            }
        }
        (Value::Date(x), Value::Date(y)) => Some(x.cmp(y)),
        (Value::Time(x), Value::Time(y)) => Some(x.cmp(y)),
        (Value::Delta(x), Value::Delta(y)) => Some(x.cmp(y)),
        (Value::DateTime(x), Value::DateTime(y)) => match (x.utc_micros(), y.utc_micros()) {
            (Some(x), Some(y)) => Some(x.cmp(&y)),
            (None, None) => Some(x.naive.cmp(&y.naive)),
            _ => return Err(type_error("can't compare offset-naive and offset-aware datetimes")),
        },
        (Value::Decimal(_), Value::Float(f)) | (Value::Float(f), Value::Decimal(_)) if f.is_nan() => {
            return Err(super::decimal::invalid());
        }
        _ => number_order(a, b).ok_or_else(refused)?,
    })
}

fn order_items(op: &str, a: &[Value], b: &[Value], depth: u32) -> Res<Option<Ordering>> {
    for (x, y) in a.iter().zip(b) {
        if !equal_at(x, y, depth + 1)? {
            return order_at(op, x, y, depth + 1);
        }
    }
    Ok(Some(a.len().cmp(&b.len())))
}

/// A value that may be a key: hashable, all the way down.
#[derive(Clone)]
pub(crate) struct Key(Value);

impl Key {
    /// A key, or `TypeError: unhashable type`.
    pub(crate) fn new(value: Value) -> Res<Key> {
        check_hashable(&value, 0)?;
        Ok(Key(value))
    }

    pub(crate) fn str(text: &str) -> Key {
        Key(Value::str(text))
    }

    pub(crate) fn value(&self) -> &Value {
        &self.0
    }

    pub(crate) fn into_value(self) -> Value {
        self.0
    }
}

fn check_hashable(value: &Value, depth: u32) -> Res<()> {
    walk(length(value))?;
    match value {
        _ if depth > DEPTH_MAX => raise("RecursionError", "maximum recursion depth exceeded"),
        Value::List(_) | Value::Dict(_) | Value::View(..) => unhashable(value),
        Value::Set(s) if !s.frozen => unhashable(value),
        Value::Tuple(t) => t.0.iter().try_for_each(|v| check_hashable(v, depth + 1)),
        Value::Row(r) => r.values.iter().try_for_each(|v| check_hashable(v, depth + 1)),
        _ => Ok(()),
    }
}

fn unhashable(value: &Value) -> Res<()> {
    Err(type_error(format!("unhashable type: '{}'", value.type_name())))
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        // Keys are hashable, so their depth is bounded and comparing cannot fail. NaN equals itself
        // as a key only by identity in CPython; here never.
        equal(&self.0, &other.0).unwrap_or(false)
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_value(&self.0, state);
    }
}

fn hash_value<H: Hasher>(value: &Value, state: &mut H) {
    match value {
        Value::Str(s) => s.hash(state),
        Value::Bytes(b) => b.hash(state),
        Value::Tuple(t) => t.0.iter().for_each(|v| hash_value(v, state)),
        Value::Row(r) => r.values.iter().for_each(|v| hash_value(v, state)),
        Value::Float(f) => hash_float(*f, state),
        Value::Decimal(d) => hash_decimal(d, state),
        Value::Big(b) => hash_big(b, state),
        Value::Timestamp(t) | Value::Duration(t) => {
            if t % 1_000_000 == 0 {
                (t / 1_000_000).hash(state);
            } // else several floats may equal it, so nothing is hashed; such keys are rare
        }
        Value::Date(d) => d.hash(state),
        Value::DateTime(d) => d.utc_micros().hash(state),
        Value::Delta(d) => d.hash(state),
        Value::Type(t) => t.hash(state),
        other => {
            if let Some(i) = other.as_int() {
                i.hash(state);
            } else {
                other.type_name().hash(state);
            }
        }
    }
}

/// Equal numbers hash equally: a whole float like its integer.
fn hash_float<H: Hasher>(x: f64, state: &mut H) {
    if x.is_finite() && x.fract() == 0.0 {
        hash_big(&BigInt::from_f64(x).unwrap_or_default(), state);
    } else {
        x.to_bits().hash(state);
    }
}

/// Like the integer or the float that it may equal.
fn hash_decimal<H: Hasher>(x: &Decimal, state: &mut H) {
    match x.units(19, 0).and_then(|i| i64::try_from(i).ok()) {
        Some(i) => i.hash(state),
        None => {
            let float = x.to_float();
            if float.fract() == 0.0 && float.abs() < 1e300 {
                // A whole number beyond 64 bits, or one that only looks whole as a float.
                match x.to_int(super::decimal::Rounding::Down) {
                    Ok(big) if x.compare(&Decimal::from_int(&big)).is_eq() => hash_big(&big, state),
                    _ => hash_float(float, state),
                }
            } else {
                hash_float(float, state);
            }
        }
    }
}

fn hash_big<H: Hasher>(big: &BigInt, state: &mut H) {
    match i64::try_from(big) {
        Ok(i) => i.hash(state),
        Err(_) => (big.is_negative(), big.bits()).hash(state),
    }
}

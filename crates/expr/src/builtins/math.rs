//! Module `math`, and the methods of numbers.

use num_bigint::BigInt;
use num_traits::{Signed as _, ToPrimitive as _};

use super::{BuiltinDef, def, no_attribute};
use crate::interp::{Args, BITS_MAX, Machine, product_steps};
use crate::value::decimal::Rounding;
use crate::value::{Raise, Res, Value, int_from_float, raise, to_big, type_error, value_error};

pub(super) const TABLE: &[BuiltinDef] = &[
    def("math.acos", |_, a| domain(a, |x| x.acos())),
    def("math.asin", |_, a| domain(a, |x| x.asin())),
    def("math.atan", |_, a| domain(a, f64::atan)),
    def("math.atan2", |_, a| two(a, "atan2", f64::atan2)),
    def("math.ceil", |_, a| whole(a, "ceil", f64::ceil)),
    def("math.copysign", |_, a| two(a, "copysign", f64::copysign)),
    def("math.cos", |_, a| domain(a, f64::cos)),
    def("math.degrees", |_, a| domain(a, |x| x * (180.0 / std::f64::consts::PI))),
    def("math.exp", |_, a| range(a, f64::exp)),
    def("math.fabs", |_, a| domain(a, f64::abs)),
    def("math.factorial", factorial),
    def("math.comb", comb),
    def("math.perm", perm),
    def("math.floor", |_, a| whole(a, "floor", f64::floor)),
    def("math.fmod", |_, a| two(a, "fmod", |x, y| x % y)),
    def("math.fsum", |m, a| {
        let values = a.one("fsum")?;
        let parts = m.collect(&values)?.iter().map(number).collect::<Res<Vec<f64>>>()?;
        Ok(Value::Float(exact_sum(&parts)))
    }),
    def("math.gcd", |m, a| {
        let all = a.positional.iter().map(integer).collect::<Res<Vec<BigInt>>>()?;
        for big in &all {
            m.spend(4 * product_steps(big.bits(), big.bits()))?;
        }
        Ok(Value::from_big(all.iter().fold(BigInt::ZERO, |x, y| num_integer::Integer::gcd(&x, y))))
    }),
    def("math.hypot", |_, a| {
        let parts = a.positional.iter().map(number).collect::<Res<Vec<f64>>>()?;
        Ok(Value::Float(parts.iter().fold(0.0_f64, |x, y| x.hypot(*y))))
    }),
    def("math.isclose", is_close),
    def("math.isfinite", |_, a| Ok(Value::Bool(number(&a.one("isfinite")?)?.is_finite()))),
    def("math.isinf", |_, a| Ok(Value::Bool(number(&a.one("isinf")?)?.is_infinite()))),
    def("math.isnan", |_, a| Ok(Value::Bool(number(&a.one("isnan")?)?.is_nan()))),
    def("math.isqrt", |m, a| {
        let big = integer(&a.one("isqrt")?)?;
        m.spend(16 * product_steps(big.bits(), big.bits()))?;
        if big.is_negative() {
            return Err(value_error("isqrt() argument must be nonnegative"));
        }
        Ok(Value::from_big(big.sqrt()))
    }),
    def("math.log", log),
    def("math.log10", |_, a| positive(a, f64::log10)),
    def("math.log1p", |_, a| domain(a, f64::ln_1p)),
    def("math.log2", |_, a| positive(a, f64::log2)),
    def("math.pow", |_, a| two(a, "pow", f64::powf)),
    def("math.prod", |m, a| {
        let values = a.one("prod")?;
        let mut product = Value::Int(1);
        for value in m.collect(&values)? {
            product = crate::interp::binary(m, crate::ir::Binary::Mul, &product, &value)?;
        }
        Ok(product)
    }),
    def("math.radians", |_, a| domain(a, |x| x * (std::f64::consts::PI / 180.0))),
    def("math.sin", |_, a| domain(a, f64::sin)),
    def("math.sqrt", |_, a| domain(a, f64::sqrt)),
    def("math.tan", |_, a| domain(a, f64::tan)),
    def("math.trunc", |_, a| whole(a, "trunc", f64::trunc)),
];

fn number(value: &Value) -> Res<f64> {
    match value {
        Value::Float(f) => Ok(*f),
        Value::Decimal(d) => Ok(d.to_float()),
        other => match to_big(other) {
            Some(big) => match big.to_f64().filter(|f| f.is_finite()) {
                Some(f) => Ok(f),
                None => raise("OverflowError", "int too large to convert to float"),
            },
            None => Err(type_error(format!("must be real number, not {}", other.type_name()))),
        },
    }
}

fn integer(value: &Value) -> Res<BigInt> {
    to_big(value).ok_or_else(|| {
        type_error(format!("'{}' object cannot be interpreted as an integer", value.type_name()))
    })
}

/// NaN out of a number is an error.
fn domain(args: Args, f: impl Fn(f64) -> f64) -> Res<Value> {
    let x = number(&args.one("math function")?)?;
    let y = f(x);
    if y.is_nan() && !x.is_nan() { Err(value_error("math domain error")) } else { Ok(Value::Float(y)) }
}

/// Infinity out of a finite number is an error.
fn range(args: Args, f: impl Fn(f64) -> f64) -> Res<Value> {
    let x = number(&args.one("math function")?)?;
    let y = f(x);
    if y.is_infinite() && x.is_finite() {
        raise("OverflowError", "math range error")
    } else {
        Ok(Value::Float(y))
    }
}

fn two(args: Args, name: &str, f: impl Fn(f64, f64) -> f64) -> Res<Value> {
    let [x, y] = args.bind(name, ["/", "/"], 2)?;
    let (x, y) = (number(&x.unwrap_or(Value::None))?, number(&y.unwrap_or(Value::None))?);
    let z = f(x, y);
    if z.is_nan() && !x.is_nan() && !y.is_nan() {
        return Err(value_error("math domain error"));
    }
    if z.is_infinite() && x.is_finite() && y.is_finite() {
        return raise(
            if x == 0.0 { "ValueError" } else { "OverflowError" },
            if x == 0.0 { "math domain error" } else { "math range error" },
        );
    }
    Ok(Value::Float(z))
}

fn whole(args: Args, name: &str, f: impl Fn(f64) -> f64) -> Res<Value> {
    match args.one(name)? {
        Value::Float(x) => int_from_float(f(x)),
        Value::Decimal(d) => {
            let rounding = match name {
                "ceil" => Rounding::Ceiling,
                "floor" => Rounding::Floor,
                _ => Rounding::Down,
            };
            d.to_int(rounding).map(Value::from_big)
        }
        other => match to_big(&other) {
            Some(big) => Ok(Value::from_big(big)),
            None if name == "trunc" => {
                Err(type_error(format!("type {} doesn't define __trunc__ method", other.type_name())))
            }
            None => Err(type_error(format!("must be real number, not {}", other.type_name()))),
        },
    }
}

/// The logarithm of any positive integer, also past the range of floats.
fn big_log(value: &Value, f: impl Fn(f64) -> f64) -> Res<f64> {
    if let Value::Big(big) = value
        && big.is_positive()
    {
        let shift = big.bits().saturating_sub(1000);
        let small = (&**big >> shift).to_f64().unwrap_or(f64::INFINITY);
        #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
        return Ok(f(small) + f(2.0) * shift as f64);
    }
    let x = number(value)?;
    if x <= 0.0 { Err(value_error("math domain error")) } else { Ok(f(x)) }
}

fn positive(args: Args, f: impl Fn(f64) -> f64) -> Res<Value> {
    big_log(&args.one("log")?, f).map(Value::Float)
}

fn log(_: &mut Machine<'_>, args: Args) -> Res<Value> {
    let [x, base] = args.bind("log", ["/", "/"], 1)?;
    let top = big_log(&x.unwrap_or(Value::None), f64::ln)?;
    match base {
        None => Ok(Value::Float(top)),
        Some(base) => {
            let bottom = big_log(&base, f64::ln)?;
            if bottom == 0.0 {
                return raise("ZeroDivisionError", "float division by zero");
            }
            Ok(Value::Float(top / bottom))
        }
    }
}

fn factorial(machine: &mut Machine<'_>, args: Args) -> Res<Value> {
    let value = args.one("factorial")?;
    let n = integer(&value)?;
    if n.is_negative() {
        return Err(value_error("factorial() not defined for negative values"));
    }
    let Some(n) = n.to_u64().filter(|n| *n <= 20_000) else {
        return Err(Raise::new("OverflowError", "factorial() argument should not exceed 20000 here"));
    };
    let mut product = BigInt::from(1);
    for i in 2..=n {
        machine.spend(1 + product_steps(product.bits(), 64))?;
        product *= i;
    }
    Ok(Value::from_big(product))
}

/// How many ways there are to choose, in order or not.
fn chosen(machine: &mut Machine<'_>, args: Args, name: &str, ordered: bool) -> Res<Value> {
    let [n, k] = args.bind(name, ["/", "/"], if ordered { 1 } else { 2 })?;
    let n = integer(&n.unwrap_or(Value::None))?;
    let k = k.map_or_else(|| Ok(n.clone()), |k| integer(&k))?;
    if n.is_negative() || k.is_negative() {
        return Err(value_error(format!("{name}() arguments must be non-negative integers")));
    }
    let k = if ordered || &n - &k > k || k > n { k } else { &n - &k };
    if k > n {
        return Ok(Value::Int(0));
    }
    let Some(k) = k.to_u64().filter(|k| *k <= 20_000) else {
        return Err(Raise::new("OverflowError", format!("{name}() argument should not exceed 20000 here")));
    };
    let mut product = BigInt::from(1);
    for i in 0..k {
        machine.step()?;
        product *= &n - i;
        if !ordered {
            product /= i + 1;
        }
        if product.bits() > BITS_MAX {
            return raise("MemoryError", format!("an integer of more than {BITS_MAX} bits"));
        }
        machine.spend(product_steps(product.bits(), n.bits()))?;
    }
    Ok(Value::from_big(product))
}

fn comb(machine: &mut Machine<'_>, args: Args) -> Res<Value> {
    chosen(machine, args, "comb", false)
}

fn perm(machine: &mut Machine<'_>, args: Args) -> Res<Value> {
    chosen(machine, args, "perm", true)
}

fn is_close(_: &mut Machine<'_>, mut args: Args) -> Res<Value> {
    let relative = args.take_keyword("rel_tol").map_or(Ok(1e-9), |v| number(&v))?;
    let absolute = args.take_keyword("abs_tol").map_or(Ok(0.0), |v| number(&v))?;
    let [a, b] = args.bind("isclose", ["/", "/"], 2)?;
    let (a, b) = (number(&a.unwrap_or(Value::None))?, number(&b.unwrap_or(Value::None))?);
    let near = a == b
        || (a.is_finite()
            && b.is_finite()
            && (a - b).abs() <= (relative * a.abs().max(b.abs())).max(absolute));
    Ok(Value::Bool(near))
}

/// A sum without rounding on the way (Shewchuk's partials).
fn exact_sum(values: &[f64]) -> f64 {
    let mut partials: Vec<f64> = Vec::new();
    for value in values {
        let mut x = *value;
        let mut kept = Vec::with_capacity(partials.len() + 1);
        for y in partials {
            let (big, small) = if x.abs() < y.abs() { (y, x) } else { (x, y) };
            let high = big + small;
            let low = small - (high - big);
            if low != 0.0 {
                kept.push(low);
            }
            x = high;
        }
        kept.push(x);
        partials = kept;
    }
    partials.iter().sum()
}

pub(super) const INT_METHODS: &[&str] = &["bit_count", "bit_length", "conjugate"];
pub(super) const FLOAT_METHODS: &[&str] = &["conjugate", "is_integer"];

pub(super) fn method(object: &Value, name: &str, args: Args) -> Res<Value> {
    args.none(name)?;
    if let Value::Float(f) = object {
        return match name {
            "is_integer" => Ok(Value::Bool(f.is_finite() && f.fract() == 0.0)),
            "conjugate" => Ok(Value::Float(*f)),
            _ => Err(no_attribute(object, name)),
        };
    }
    let big = integer(object)?;
    match name {
        "bit_length" => Ok(Value::Int(i64::try_from(big.bits()).unwrap_or(i64::MAX))),
        "bit_count" => Ok(Value::Int(i64::try_from(big.magnitude().count_ones()).unwrap_or(i64::MAX))),
        "conjugate" => Ok(Value::from_big(big)),
        _ => Err(no_attribute(object, name)),
    }
}

/// `int.from_bytes(bytes, byteorder)`, unsigned.
pub(super) fn int_from_bytes(args: Args) -> Res<Value> {
    let [bytes, order] = args.bind("from_bytes", ["bytes", "byteorder"], 1)?;
    super::bytes::int_from(&bytes.unwrap_or(Value::None), &order.unwrap_or_else(|| Value::str("big")))
}

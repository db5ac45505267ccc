//! `decimal.Decimal`: exact numbers in the decimal system, by the General Decimal Arithmetic specification
//! (speleotrove.com/decimal) in Python's default context: 28 digits, a half to the even digit, exponents up to
//! 999999. Infinity and NaN are left out.

use std::cmp::Ordering;

use num_bigint::{BigInt, BigUint, Sign};
use num_integer::Integer as _;
use num_traits::{One as _, Pow as _, ToPrimitive as _, Zero as _};

use super::{Raise, Res, Value, raise};

/// Digits of results.
pub(crate) const PRECISION: i64 = 28;
const EXPONENT_MAX: i64 = 999_999;
const TINIEST: i64 = -EXPONENT_MAX - PRECISION + 1;
const TOP: i64 = EXPONENT_MAX - PRECISION + 1;
/// Numbers with more digits than this are not written out as whole numbers.
const DIGITS_MAX: i64 = 100_000;

/// `±digits × 10^exponent`.
#[derive(Clone, Debug)]
pub(crate) struct Decimal {
    pub(crate) negative: bool,
    pub(crate) digits: BigUint,
    pub(crate) exponent: i64,
}

/// What happens to digits that are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounding {
    Up,
    Down,
    Ceiling,
    Floor,
    HalfUp,
    HalfDown,
    HalfEven,
    ZeroFiveUp,
}

impl Rounding {
    /// By the name that Python's constants have as values.
    pub(crate) fn named(name: &str) -> Option<Rounding> {
        Some(match name {
            "ROUND_UP" => Rounding::Up,
            "ROUND_DOWN" => Rounding::Down,
            "ROUND_CEILING" => Rounding::Ceiling,
            "ROUND_FLOOR" => Rounding::Floor,
            "ROUND_HALF_UP" => Rounding::HalfUp,
            "ROUND_HALF_DOWN" => Rounding::HalfDown,
            "ROUND_HALF_EVEN" => Rounding::HalfEven,
            "ROUND_05UP" => Rounding::ZeroFiveUp,
            _ => return None,
        })
    }

    /// Whether the digits before the cut go up by one; `rest` compares what is cut off with a half.
    fn up(self, negative: bool, kept: &BigUint, rest: Option<Ordering>) -> bool {
        let Some(rest) = rest else { return false };
        match self {
            Rounding::Up => true,
            Rounding::Down => false,
            Rounding::Ceiling => !negative,
            Rounding::Floor => negative,
            Rounding::HalfUp => rest.is_ge(),
            Rounding::HalfDown => rest.is_gt(),
            Rounding::HalfEven => rest.is_gt() || (rest.is_eq() && kept.is_odd()),
            Rounding::ZeroFiveUp => (kept % 5_u32).is_zero(),
        }
    }
}

/// A signal of Python's decimals: the exception, and the condition it lists.
pub(crate) fn signal(kind: &'static str, condition: &'static str) -> Raise {
    Raise::with_args(kind, vec![Value::list(vec![Value::Type(condition)])])
}

pub(crate) fn invalid() -> Raise {
    signal("InvalidOperation", "InvalidOperation")
}

fn ten(n: i64) -> BigUint {
    BigUint::from(10_u32).pow(u32::try_from(n).unwrap_or(0))
}

/// How many digits; zero has one.
fn count(digits: &BigUint) -> i64 {
    if digits.is_zero() {
        return 1;
    }
    // log10(2) from below and above, then one comparison.
    let guess = i64::try_from((u128::from(digits.bits()) - 1) * 30_103 / 100_000).unwrap_or(i64::MAX);
    if *digits >= ten(guess + 1) {
        guess + 2
    } else if *digits >= ten(guess) {
        guess + 1
    } else {
        guess
    }
}

impl Decimal {
    pub(crate) fn new(negative: bool, digits: BigUint, exponent: i64) -> Decimal {
        Decimal { negative, digits, exponent }
    }

    /// Units of `10^-scale`.
    pub(crate) fn from_units(units: i128, scale: i8) -> Decimal {
        Decimal::new(units < 0, units.unsigned_abs().into(), -i64::from(scale))
    }

    /// The units of `10^-scale`, if there are no more decimals and they fit 38 digits.
    pub(crate) fn units(&self, precision: u8, scale: i8) -> Option<i128> {
        if self.digits.is_zero() {
            return Some(0);
        }
        let shift = self.exponent + i64::from(scale);
        if self.digit_count() + shift > i64::from(precision) {
            return None;
        }
        let size = if shift >= 0 {
            &self.digits * ten(shift)
        } else {
            if -shift >= self.digit_count() {
                return None;
            }
            let (size, rest) = self.digits.div_rem(&ten(-shift));
            if !rest.is_zero() {
                return None;
            }
            size
        };
        let size = size.to_i128()?;
        Some(if self.negative { -size } else { size })
    }

    pub(crate) fn from_int(int: &BigInt) -> Decimal {
        Decimal::new(int.sign() == Sign::Minus, int.magnitude().clone(), 0)
    }

    /// The exact value of a float; `None` for infinity and NaN.
    pub(crate) fn from_float(f: f64) -> Option<Decimal> {
        if !f.is_finite() {
            return None;
        }
        let bits = f.abs().to_bits();
        let (raw, fraction) = ((bits >> 52) as i64, bits & ((1 << 52) - 1));
        let (mantissa, exponent) =
            if raw == 0 { (fraction, -1074) } else { (fraction | 1 << 52, raw - 1075) };
        if mantissa == 0 {
            return Some(Decimal::new(f.is_sign_negative(), BigUint::zero(), 0));
        }
        let zeros = i64::from(mantissa.trailing_zeros());
        let (mantissa, exponent) = (BigUint::from(mantissa >> zeros), exponent + zeros);
        let by = u32::try_from(exponent.unsigned_abs()).ok()?;
        Some(if exponent >= 0 {
            Decimal::new(f < 0.0, mantissa << by, 0)
        } else {
            // m / 2^k is m × 5^k / 10^k.
            Decimal::new(f < 0.0, mantissa * BigUint::from(5_u32).pow(by), exponent)
        })
    }

    /// Python's syntax: spaces around, a sign, digits with single underscores, a point, an exponent. `None`
    /// if it is none; `Some(None)` for infinity and NaN.
    pub(crate) fn parse(text: &str) -> Option<Option<Decimal>> {
        let text = text.trim_matches(crate::builtins::is_space).replace('_', "");
        let text: String = text.chars().map(super::integer::ascii_digit).collect();
        let (negative, body) = match text.as_bytes().first() {
            Some(b'-') => (true, text.get(1..)?),
            Some(b'+') => (false, text.get(1..)?),
            _ => (false, text.as_str()),
        };
        let lower = body.to_ascii_lowercase();
        let payload = lower.strip_prefix('s').unwrap_or(&lower).strip_prefix("nan");
        if matches!(lower.as_str(), "inf" | "infinity")
            || payload.is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit()))
        {
            return Some(None);
        }
        let (number, exponent) = match lower.split_once('e') {
            Some((number, e)) => (number, e.parse::<i64>().ok().filter(|e| e.abs() < 1 << 50)?),
            None => (lower.as_str(), 0),
        };
        let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && decimals.is_empty() {
            return None;
        }
        let digits = format!("{whole}{decimals}");
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let digits = BigUint::parse_bytes(digits.as_bytes(), 10)?;
        Some(Some(Decimal::new(negative, digits, exponent - i64::try_from(decimals.len()).ok()?)))
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.digits.is_zero()
    }

    pub(crate) fn digit_count(&self) -> i64 {
        count(&self.digits)
    }

    /// The exponent of the first digit.
    pub(crate) fn adjusted(&self) -> i64 {
        self.exponent + self.digit_count() - 1
    }

    /// With the given exponent, digits left out rounded. The caller bounds how many zeros this may add.
    pub(crate) fn rescale(&self, exponent: i64, rounding: Rounding) -> Decimal {
        let cut = exponent - self.exponent;
        if self.is_zero() {
            return Decimal::new(self.negative, BigUint::zero(), exponent);
        }
        if cut <= 0 {
            return Decimal::new(self.negative, &self.digits * ten(-cut), exponent);
        }
        let (kept, rest) = if cut > self.digit_count() {
            (BigUint::zero(), Some(Ordering::Less))
        } else {
            let unit = ten(cut);
            let (kept, rest) = self.digits.div_rem(&unit);
            let half = if rest.is_zero() { None } else { Some((rest * 2_u32).cmp(&unit)) };
            (kept, half)
        };
        let up = rounding.up(self.negative, &kept, rest);
        Decimal::new(self.negative, if up { kept + 1_u32 } else { kept }, exponent)
    }

    /// As the result of an operation: at most 28 digits.
    pub(crate) fn fix(self) -> Res<Decimal> {
        let overflow = || signal("Overflow", "Overflow");
        if self.is_zero() {
            return Ok(Decimal { exponent: self.exponent.clamp(TINIEST, EXPONENT_MAX), ..self });
        }
        let least = self.digit_count() + self.exponent - PRECISION;
        if least > TOP {
            return Err(overflow());
        }
        let least = least.max(TINIEST);
        if self.exponent >= least {
            return Ok(self);
        }
        let mut fixed = self.rescale(least, Rounding::HalfEven);
        if fixed.digit_count() > PRECISION {
            fixed.digits /= 10_u32;
            fixed.exponent += 1;
            if fixed.exponent > TOP {
                return Err(overflow());
            }
        }
        Ok(fixed)
    }

    pub(crate) fn negated(&self) -> Decimal {
        Decimal { negative: !self.negative, ..self.clone() }
    }

    pub(crate) fn abs(&self) -> Decimal {
        Decimal { negative: false, ..self.clone() }
    }

    pub(crate) fn add(&self, other: &Decimal) -> Res<Decimal> {
        let least = self.exponent.min(other.exponent);
        if self.is_zero() && other.is_zero() {
            return Decimal::new(self.negative && other.negative, BigUint::zero(), least).fix();
        }
        for (zero, value) in [(self, other), (other, self)] {
            if zero.is_zero() {
                let exponent = least.max(value.exponent - PRECISION - 1);
                return value.rescale(exponent, Rounding::HalfEven).fix();
            }
        }
        let (a, b) = aligned(self, other);
        let sum = a.signed() + b.signed();
        if sum.is_zero() {
            return Decimal::new(false, BigUint::zero(), least).fix();
        }
        Decimal::new(sum.sign() == Sign::Minus, sum.magnitude().clone(), a.exponent).fix()
    }

    fn signed(&self) -> BigInt {
        BigInt::from_biguint(if self.negative { Sign::Minus } else { Sign::Plus }, self.digits.clone())
    }

    pub(crate) fn multiply(&self, other: &Decimal) -> Res<Decimal> {
        let negative = self.negative != other.negative;
        Decimal::new(negative, &self.digits * &other.digits, self.exponent + other.exponent).fix()
    }

    pub(crate) fn divide(&self, other: &Decimal) -> Res<Decimal> {
        let negative = self.negative != other.negative;
        if other.is_zero() {
            return Err(by_zero(self));
        }
        let ideal = self.exponent - other.exponent;
        if self.is_zero() {
            return Decimal::new(negative, BigUint::zero(), ideal).fix();
        }
        let shift = other.digit_count() - self.digit_count() + PRECISION + 1;
        let mut exponent = ideal - shift;
        let (mut quotient, rest) = if shift >= 0 {
            (&self.digits * ten(shift)).div_rem(&other.digits)
        } else {
            self.digits.div_rem(&(&other.digits * ten(-shift)))
        };
        if !rest.is_zero() {
            // One digit more than are kept: it must only not look like a half that is none.
            if (&quotient % 5_u32).is_zero() {
                quotient += 1_u32;
            }
        } else {
            while exponent < ideal && (&quotient % 10_u32).is_zero() {
                quotient /= 10_u32;
                exponent += 1;
            }
        }
        Decimal::new(negative, quotient, exponent).fix()
    }

    /// The whole part of the quotient, towards zero, and the rest with the sign of the dividend.
    pub(crate) fn divide_whole(&self, other: &Decimal) -> Res<(Decimal, Decimal)> {
        let negative = self.negative != other.negative;
        let ideal = self.exponent.min(other.exponent);
        let distance = self.adjusted() - other.adjusted();
        if self.is_zero() || distance <= -2 {
            return Ok((Decimal::new(negative, BigUint::zero(), 0), self.rescale(ideal, Rounding::HalfEven)));
        }
        if distance <= PRECISION {
            let (a, b) =
                (&self.digits * ten(self.exponent - ideal), &other.digits * ten(other.exponent - ideal));
            let (quotient, rest) = a.div_rem(&b);
            if quotient < ten(PRECISION) {
                return Ok((Decimal::new(negative, quotient, 0), Decimal::new(self.negative, rest, ideal)));
            }
        }
        Err(signal("InvalidOperation", "DivisionImpossible"))
    }

    pub(crate) fn floor_divide(&self, other: &Decimal) -> Res<Decimal> {
        if other.is_zero() {
            return Err(by_zero(self));
        }
        self.divide_whole(other).map(|(quotient, _)| quotient)
    }

    pub(crate) fn remainder(&self, other: &Decimal) -> Res<Decimal> {
        if other.is_zero() {
            return Err(if self.is_zero() { by_zero(self) } else { invalid() });
        }
        self.divide_whole(other)?.1.fix()
    }

    /// `self ** exponent` for whole exponents.
    pub(crate) fn power(&self, exponent: &Decimal) -> Res<Decimal> {
        let n = match exponent.units(18, 0) {
            Some(n) => n,
            None => {
                return raise(
                    "NotImplementedError",
                    "a decimal to a power that is no whole number is not compiled",
                );
            }
        };
        if n == 0 {
            return if self.is_zero() { Err(invalid()) } else { Ok(Decimal::new(false, BigUint::one(), 0)) };
        }
        let negative = self.negative && n % 2 != 0;
        if self.is_zero() {
            let infinite = "infinity is no decimal here";
            return if n > 0 {
                Ok(Decimal::new(negative, BigUint::zero(), 0))
            } else {
                raise("NotImplementedError", infinite)
            };
        }
        let size = i64::try_from(n.unsigned_abs()).unwrap_or(i64::MAX);
        if self.digit_count().saturating_mul(size) > DIGITS_MAX && self.digits != BigUint::one() {
            return raise("NotImplementedError", "a power of so many digits is not compiled");
        }
        let by = u32::try_from(size).unwrap_or(u32::MAX);
        let digits = if self.digits.is_one() { BigUint::one() } else { self.digits.clone().pow(by) };
        let power = Decimal::new(negative, digits, self.exponent.saturating_mul(size));
        if n > 0 { power.fix() } else { Decimal::new(false, BigUint::one(), 0).divide(&power) }
    }

    /// Rounded to the exponent of `like`.
    pub(crate) fn quantize(&self, exponent: i64, rounding: Rounding) -> Res<Decimal> {
        if !(TINIEST..=EXPONENT_MAX).contains(&exponent) {
            return Err(invalid());
        }
        if self.is_zero() {
            return Decimal::new(self.negative, BigUint::zero(), exponent).fix();
        }
        if self.adjusted() > EXPONENT_MAX || self.adjusted() - exponent + 1 > PRECISION {
            return Err(invalid());
        }
        let rounded = self.rescale(exponent, rounding);
        if rounded.adjusted() > EXPONENT_MAX || rounded.digit_count() > PRECISION {
            return Err(invalid());
        }
        rounded.fix()
    }

    /// Without zeros at the end.
    pub(crate) fn normalized(&self) -> Res<Decimal> {
        let mut fixed = self.clone().fix()?;
        if fixed.is_zero() {
            return Ok(Decimal::new(fixed.negative, BigUint::zero(), 0));
        }
        while (&fixed.digits % 10_u32).is_zero() && fixed.exponent < EXPONENT_MAX {
            fixed.digits /= 10_u32;
            fixed.exponent += 1;
        }
        Ok(fixed)
    }

    /// As a whole number, rounded.
    pub(crate) fn to_int(&self, rounding: Rounding) -> Res<BigInt> {
        if self.is_zero() {
            return Ok(BigInt::ZERO);
        }
        if self.exponent > DIGITS_MAX {
            return raise("MemoryError", format!("an integer of more than {DIGITS_MAX} digits"));
        }
        Ok(self.rescale(0, rounding).signed())
    }

    /// Rounded to a whole number, if it has decimals.
    pub(crate) fn to_integral(&self, rounding: Rounding) -> Decimal {
        if self.exponent >= 0 { self.clone() } else { self.rescale(0, rounding) }
    }

    pub(crate) fn to_float(&self) -> f64 {
        let sign = if self.negative { "-" } else { "" };
        format!("{sign}{}e{}", self.digits, self.exponent).parse().unwrap_or(f64::NAN)
    }

    /// Exact, whatever the exponents.
    pub(crate) fn compare(&self, other: &Decimal) -> Ordering {
        let sign = |d: &Decimal| if d.is_zero() { 0 } else { 1 - 2 * i32::from(d.negative) };
        let (a, b) = (sign(self), sign(other));
        if a != b || a == 0 {
            return a.cmp(&b);
        }
        let sizes = self.adjusted().cmp(&other.adjusted()).then_with(|| {
            let least = self.exponent.min(other.exponent);
            // Equally many digits before the point: the zeros are as many as the other has digits.
            (&self.digits * ten(self.exponent - least)).cmp(&(&other.digits * ten(other.exponent - least)))
        });
        if a < 0 { sizes.reverse() } else { sizes }
    }

    /// `str()`: plain where that has few zeros, else with an exponent.
    pub(crate) fn text(&self) -> String {
        let digits = self.digits.to_string();
        let length = i64::try_from(digits.len()).unwrap_or(i64::MAX);
        let left = self.exponent + length;
        let point = if self.exponent <= 0 && left > -6 { left } else { 1 };
        let (whole, rest) = split_digits(&digits, point);
        let rest = if rest.is_empty() { rest } else { format!(".{rest}") };
        let exponent = if left == point { String::new() } else { format!("E{:+}", left - point) };
        format!("{}{whole}{rest}{exponent}", if self.negative { "-" } else { "" })
    }
}

/// Digits before and behind a point `at` digits from the left; zeros where there are none.
pub(crate) fn split_digits(digits: &str, at: i64) -> (String, String) {
    let length = i64::try_from(digits.len()).unwrap_or(i64::MAX);
    let zeros = |n: i64| "0".repeat(usize::try_from(n).unwrap_or(0));
    if at <= 0 {
        ("0".to_owned(), format!("{}{digits}", zeros(-at)))
    } else if at >= length {
        (format!("{digits}{}", zeros(at - length)), String::new())
    } else {
        let (whole, rest) = digits.split_at(usize::try_from(at).unwrap_or(0));
        (whole.to_owned(), rest.to_owned())
    }
}

fn by_zero(dividend: &Decimal) -> Raise {
    if dividend.is_zero() {
        signal("InvalidOperation", "DivisionUndefined")
    } else {
        signal("DivisionByZero", "DivisionByZero")
    }
}

/// Both with one exponent, for adding. A number far below the other's last digit that counts becomes one unit
/// there: only that it is not zero matters.
fn aligned(a: &Decimal, b: &Decimal) -> (Decimal, Decimal) {
    let a_is_greater = a.exponent >= b.exponent;
    let (high, low) = if a_is_greater { (a, b) } else { (b, a) };
    let edge = high.exponent + (-1).min(high.digit_count() - PRECISION - 2);
    let low = if low.digit_count() + low.exponent - 1 < edge {
        Decimal::new(low.negative, BigUint::one(), edge)
    } else {
        low.clone()
    };
    let digits = &high.digits * ten(high.exponent - low.exponent);
    let high = Decimal::new(high.negative, digits, low.exponent);
    if a_is_greater { (high, low) } else { (low, high) }
}

//! Exact decimals: text to digits and back, and the arithmetic that columns of them need.
//!
//! A value is a count of units of `10^-scale` in 128 bits, as in Arrow's `Decimal128(precision, scale)`:
//! with scale 2, 1250 is 12.50. Nothing here goes through a float.

use std::cmp::Ordering;
use std::fmt;

/// Most digits that 128 bits hold for certain.
pub const DIGITS_MAX: u8 = 38;

/// Why a text is no decimal of a scale and precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// It is not a decimal number: words, spaces inside, digits that are not ASCII, infinity, NaN.
    NotDecimal,
    /// It has more decimals than the scale, and they are not zeros.
    Decimals,
    /// It has more digits than the precision leaves before the point.
    Size,
}

impl Misfit {
    /// For the end of a message: `more than 2 decimals`.
    pub fn reason(self, precision: u8, scale: i8) -> String {
        match self {
            Misfit::NotDecimal => "it is not a decimal number".to_owned(),
            Misfit::Decimals => format!("it has more than {}", counted(scale.into(), "decimal")),
            Misfit::Size => {
                format!(
                    "it has more than {} before the point",
                    counted(whole_digits(precision, scale), "digit")
                )
            }
        }
    }
}

fn counted(n: i32, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn whole_digits(precision: u8, scale: i8) -> i32 {
    i32::from(precision) - i32::from(scale)
}

/// `10^n`, if it fits.
pub fn power_of_ten(n: u32) -> Option<i128> {
    10_i128.checked_pow(n)
}

/// True if `units` has at most `precision` digits.
pub fn fits(units: i128, precision: u8) -> bool {
    match power_of_ten(u32::from(precision)) {
        Some(limit) => units.unsigned_abs() < limit.unsigned_abs(),
        None => true,
    }
}

/// Reads a decimal: an optional sign, digits with an optional point, an optional exponent (`12.50`, `-.5`,
/// `1.25e1`). Zeros behind the last decimal count for nothing; spaces are not taken.
///
/// # Errors
/// Text that is no decimal number, or does not fit exactly.
pub fn parse(text: &[u8], precision: u8, scale: i8) -> Result<i128, Misfit> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (number, exponent) = match text.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => (text.get(..at).unwrap_or_default(), exponent(text.get(at + 1..).unwrap_or_default())?),
        None => (text, 0),
    };
    let (whole, decimals) = match number.iter().position(|b| *b == b'.') {
        Some(at) => (number.get(..at).unwrap_or_default(), number.get(at + 1..).unwrap_or_default()),
        None => (number, &[][..]),
    };
    let digits = || whole.iter().chain(decimals);
    if whole.is_empty() && decimals.is_empty() || !digits().all(u8::is_ascii_digit) {
        return Err(Misfit::NotDecimal);
    }
    // The digits as they stand are units of 10^-(decimals - exponent); what is wanted is 10^-scale.
    let zeros = digits().rev().take_while(|b| **b == b'0').count();
    let significant = whole.len() + decimals.len() - zeros;
    let mut units = 0_i128;
    for b in digits().take(significant) {
        let digit = i128::from(b - b'0');
        units = units.checked_mul(10).and_then(|u| u.checked_add(digit)).ok_or(Misfit::Size)?;
    }
    if units == 0 {
        return Ok(0);
    }
    let length = |n: usize| i64::try_from(n).unwrap_or(i64::MAX / 4);
    let shift = i64::from(scale)
        .saturating_add(exponent)
        .saturating_sub(length(decimals.len()))
        .saturating_add(length(zeros));
    if shift < 0 {
        return Err(Misfit::Decimals);
    }
    let factor = u32::try_from(shift).ok().and_then(power_of_ten).ok_or(Misfit::Size)?;
    let units = units.checked_mul(factor).filter(|u| fits(*u, precision)).ok_or(Misfit::Size)?;
    Ok(if negative { -units } else { units })
}

fn exponent(text: &[u8]) -> Result<i64, Misfit> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Misfit::NotDecimal);
    }
    let add = |n: i64, b: &u8| n.saturating_mul(10).saturating_add(i64::from(b - b'0'));
    let size = digits.iter().fold(0_i64, add);
    Ok(if negative { -size } else { size })
}

/// Appends the digits with `scale` decimals: `12.50`, `-0.05`.
pub fn write(units: i128, scale: i8, out: &mut impl fmt::Write) -> fmt::Result {
    let Some(scale) = usize::try_from(scale).ok().filter(|s| *s > 0) else {
        // A negative scale counts tens, hundreds, ...
        let zeros = if units == 0 { 0 } else { usize::from(scale.unsigned_abs()) };
        return write!(out, "{units}{:0<zeros$}", "");
    };
    let sign = if units < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", units.unsigned_abs(), width = scale + 1);
    let (whole, decimals) = digits.split_at(digits.len() - scale);
    write!(out, "{sign}{whole}.{decimals}")
}

/// The digits with `scale` decimals.
pub fn text(units: i128, scale: i8) -> String {
    let mut out = String::new();
    // Writing to a text does not fail.
    write(units, scale, &mut out).map_or_else(|_| String::new(), |()| out)
}

/// The same value in units of another scale; `None` if it loses decimals or does not fit 128 bits.
pub fn rescale(units: i128, from: i8, to: i8) -> Option<i128> {
    let shift = i32::from(to) - i32::from(from);
    let factor = power_of_ten(shift.unsigned_abs());
    match factor {
        _ if units == 0 => Some(0),
        Some(factor) if shift >= 0 => units.checked_mul(factor),
        Some(factor) => (units % factor == 0).then(|| units / factor),
        None => None,
    }
}

/// `a / b` as a whole number, a half to the even one; `None` if `b` is zero or nothing fits.
pub fn divide_half_even(a: i128, b: i128) -> Option<i128> {
    let (quotient, rest) = (a.checked_div(b)?, a.checked_rem(b)?);
    let (twice, size) = (rest.unsigned_abs() * 2, b.unsigned_abs());
    let away = match twice.cmp(&size) {
        Ordering::Less => false,
        Ordering::Greater => true,
        Ordering::Equal => quotient % 2 != 0,
    };
    let step = if (a < 0) == (b < 0) { 1 } else { -1 };
    if away { quotient.checked_add(step) } else { Some(quotient) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts() {
        use Misfit::{Decimals, NotDecimal, Size};
        let cases: &[(&str, Result<&str, Misfit>)] = &[
            ("12.50", Ok("12.50")),
            ("12.5", Ok("12.50")),
            ("12", Ok("12.00")),
            ("12.500", Ok("12.50")),
            ("-0.01", Ok("-0.01")),
            ("-0", Ok("0.00")),
            ("+1", Ok("1.00")),
            (".5", Ok("0.50")),
            ("5.", Ok("5.00")),
            ("1e2", Ok("100.00")),
            ("1.25E+1", Ok("12.50")),
            ("1500e-3", Ok("1.50")),
            ("0e999999999999999999999", Ok("0.00")),
            ("00012.5", Ok("12.50")),
            ("12.505", Err(Decimals)),
            ("1e-3", Err(Decimals)),
            ("1e400", Err(Size)),
            ("1e99999999999999999999", Err(Size)),
            ("1e-99999999999999999999", Err(Decimals)),
            ("1000000", Err(Size)),
            ("999999.99", Ok("999999.99")),
            ("1234567890123456789012345678901234567890", Err(Size)),
            ("NaN", Err(NotDecimal)),
            ("inf", Err(NotDecimal)),
            ("", Err(NotDecimal)),
            ("-", Err(NotDecimal)),
            (".", Err(NotDecimal)),
            ("e5", Err(NotDecimal)),
            ("1e", Err(NotDecimal)),
            ("1_000", Err(NotDecimal)),
            ("1,5", Err(NotDecimal)),
            ("1.2.3", Err(NotDecimal)),
            (" 1", Err(NotDecimal)),
            ("١٢", Err(NotDecimal)),
            ("0x1", Err(NotDecimal)),
        ];
        for (given, want) in cases {
            let got = parse(given.as_bytes(), 8, 2).map(|u| text(u, 2));
            assert_eq!(got.as_deref(), want.as_deref(), "{given:?}");
        }
        assert_eq!(parse(b"0.1", 38, 38).map(|u| text(u, 38)).unwrap(), format!("0.1{}", "0".repeat(37)));
        assert_eq!(text(-5, 0), "-5");
        assert_eq!(text(5, -2), "500");
        assert_eq!(text(i128::MIN, 3).len(), 41);
    }

    #[test]
    fn halves_go_to_the_even_side() {
        let cases = [(5, 2, 2), (7, 2, 4), (-5, 2, -2), (-7, 2, -4), (5, -2, -2), (1, 3, 0), (-2, 3, -1)];
        for (a, b, want) in cases {
            assert_eq!(divide_half_even(a, b), Some(want), "{a} / {b}");
        }
        assert_eq!(divide_half_even(1, 0), None);
        assert_eq!(divide_half_even(i128::MAX, 2), Some(i128::MAX / 2 + 1));
    }

    #[test]
    fn scales() {
        assert_eq!(rescale(150, 2, 4), Some(15000));
        assert_eq!(rescale(150, 2, 1), Some(15));
        assert_eq!(rescale(155, 2, 1), None);
        assert_eq!(rescale(i128::MAX, 0, 1), None);
        assert_eq!(rescale(0, 38, -100), Some(0));
        assert_eq!(rescale(1, 0, 100), None);
    }

    proptest! {
        #[test]
        fn text_and_back(units in -(10_i128.pow(38) - 1)..10_i128.pow(38), scale in 0i8..=38) {
            let shown = text(units, scale);
            prop_assert_eq!(parse(shown.as_bytes(), DIGITS_MAX, scale), Ok(units));
            prop_assert_eq!(rescale(units, scale, scale), Some(units));
        }

        #[test]
        fn no_text_panics(given in "[-+0-9.eE_ ]{0,20}", scale in -3i8..=38) {
            if let Ok(units) = parse(given.as_bytes(), DIGITS_MAX, scale) {
                prop_assert!(fits(units, DIGITS_MAX));
            }
        }
    }
}

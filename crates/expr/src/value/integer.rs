//! Integers from text and floats.

use num_bigint::BigInt;
use num_traits::FromPrimitive as _;

use super::{Raise, Res, Value, raise, repr, repr_str, value_error};

/// The big integer behind an int or a bool.
pub(crate) fn to_big(value: &Value) -> Option<BigInt> {
    match value {
        Value::Big(b) => Some((**b).clone()),
        other => other.as_int().map(BigInt::from),
    }
}

/// `int(x)`: towards zero.
pub(crate) fn int_from_float(x: f64) -> Res<Value> {
    if x.is_nan() {
        return raise("ValueError", "cannot convert float NaN to integer");
    }
    if x.is_infinite() {
        return raise("OverflowError", "cannot convert float infinity to integer");
    }
    let whole = x.trunc();
    if (-9.0e18..9.0e18).contains(&whole) {
        #[allow(clippy::cast_possible_truncation, reason = "the bound was checked")]
        return Ok(Value::Int(whole as i64));
    }
    Ok(Value::from_big(BigInt::from_f64(whole).unwrap_or_default()))
}

/// `int(text, base)`. `shown` is what the message shows.
pub(crate) fn parse_int(text: &str, base: u32, shown: &Value) -> Res<Value> {
    let bad = || -> Raise {
        let shown = repr(shown).unwrap_or_else(|_| repr_str(text));
        value_error(format!("invalid literal for int() with base {base}: {shown}"))
    };
    let trimmed = text.trim_matches(crate::builtins::is_space);
    let (negative, body) = match trimmed.as_bytes().first() {
        Some(b'-') => (true, trimmed.get(1..).unwrap_or("")),
        Some(b'+') => (false, trimmed.get(1..).unwrap_or("")),
        _ => (false, trimmed),
    };
    let too_long = |digits: usize| {
        raise(
            "ValueError",
            format!(
                "Exceeds the limit (4300 digits) for integer string conversion: value has {digits} digits; use \
                 sys.set_int_max_str_digits() to increase the limit",
            ),
        )
    };
    // Not looked at: this is no number that anyone wrote.
    if body.len() > 1 << 16 {
        return too_long(body.len());
    }
    let lower = body.to_ascii_lowercase();
    let prefixed = match lower.get(..2) {
        Some("0x") if base == 16 || base == 0 => Some(16),
        Some("0o") if base == 8 || base == 0 => Some(8),
        Some("0b") if base == 2 || base == 0 => Some(2),
        _ => None,
    };
    let (radix, digits) = match prefixed {
        Some(radix) => (radix, lower.get(2..).unwrap_or("").trim_start_matches('_')),
        None => (if base == 0 { 10 } else { base }, lower.as_str()),
    };
    if !(2..=36).contains(&radix) {
        return raise("ValueError", "int() base must be >= 2 and <= 36, or 0");
    }
    let digits: String = digits.chars().map(ascii_digit).collect();
    let underscores = digits.starts_with('_') || digits.ends_with('_') || digits.contains("__");
    if digits.is_empty() || underscores || !digits.chars().all(|c| c == '_' || c.is_digit(radix)) {
        return Err(bad());
    }
    if digits.len() > 4300 {
        return too_long(digits.len());
    }
    let big = BigInt::parse_bytes(digits.replace('_', "").as_bytes(), radix).ok_or_else(bad)?;
    Ok(Value::from_big(if negative { -big } else { big }))
}

/// Digits of other scripts count as digits in Python; fullwidth and Arabic-Indic are the ones met.
pub(super) fn ascii_digit(c: char) -> char {
    for zero in ['\u{660}', '\u{6f0}', '\u{966}', '\u{ff10}'] {
        if let Some(digit) = u32::from(c).checked_sub(u32::from(zero)).filter(|d| *d < 10) {
            return char::from_digit(digit, 10).unwrap_or(c);
        }
    }
    c
}

/// `float(text)`.
pub(crate) fn parse_float(text: &str) -> Res<f64> {
    let bad = || value_error(format!("could not convert string to float: {}", repr_str(text)));
    let trimmed = text.trim_matches(crate::builtins::is_space);
    let lower: String = trimmed.chars().map(ascii_digit).collect::<String>().to_ascii_lowercase();
    let (negative, body) = match lower.as_bytes().first() {
        Some(b'-') => (true, lower.get(1..).unwrap_or("")),
        Some(b'+') => (false, lower.get(1..).unwrap_or("")),
        _ => (false, lower.as_str()),
    };
    let magnitude = match body {
        "inf" | "infinity" => f64::INFINITY,
        "nan" => f64::NAN,
        _ => {
            let plain =
                body.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'+' | b'-' | b'_'));
            let bytes = body.as_bytes();
            let near_digits = |at: usize| {
                let digit = |i: Option<usize>| i.and_then(|i| bytes.get(i)).is_some_and(u8::is_ascii_digit);
                digit(at.checked_sub(1)) && digit(Some(at + 1))
            };
            let underscores = bytes.iter().enumerate().all(|(i, b)| *b != b'_' || near_digits(i));
            if !plain || !underscores || body.starts_with(['+', '-']) {
                return Err(bad());
            }
            body.replace('_', "").parse::<f64>().map_err(|_| bad())?
        }
    };
    Ok(if negative { -magnitude } else { magnitude })
}

//! Floats as text, by CPython's rules.

/// `repr(x)`: the shortest digits that read back equal; an exponent below 1e-4 and from 1e16 on.
pub(crate) fn float_repr(x: f64) -> String {
    if x.is_nan() {
        return "nan".to_owned();
    }
    if x.is_infinite() {
        return if x > 0.0 { "inf".to_owned() } else { "-inf".to_owned() };
    }
    let (digits, exponent) = split(&format!("{x:e}"));
    let sign = if x.is_sign_negative() { "-" } else { "" };
    if (-4..16).contains(&exponent) {
        let plain = point(&digits, exponent);
        let dot = if plain.contains('.') { "" } else { ".0" };
        format!("{sign}{plain}{dot}")
    } else {
        format!("{sign}{}", scientific(&digits, exponent, 'e'))
    }
}

/// The decimal digits and the exponent of Rust's `{:e}` text, sign dropped.
fn split(text: &str) -> (String, i32) {
    let text = text.trim_start_matches('-');
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    (mantissa.replace('.', ""), exponent.parse().unwrap_or(0))
}

/// Significant digits of `|x|` rounded to `count` of them (at least 1), and the exponent.
pub(crate) fn float_digits(x: f64, count: usize) -> (String, i32) {
    let known = count.clamp(1, EXACT_DIGITS);
    let (mut digits, exponent) = split(&format!("{:.*e}", known - 1, x.abs()));
    if x.is_finite() {
        digits.push_str(&"0".repeat(count.saturating_sub(known)));
    }
    (digits, exponent)
}

/// No float has more digits than this but zeros; Rust's own formatting ends at 65535.
const EXACT_DIGITS: usize = 1100;

/// `|x|` with so many decimals.
pub(crate) fn float_fixed(x: f64, decimals: usize) -> String {
    let known = decimals.min(EXACT_DIGITS);
    let shown = format!("{:.*}", known, x.abs());
    if x.is_finite() { shown + &"0".repeat(decimals - known) } else { shown }
}

/// `d.ddd` digits placed without an exponent.
pub(super) fn point(digits: &str, exponent: i32) -> String {
    if exponent < 0 {
        let zeros = usize::try_from(-exponent - 1).unwrap_or(0);
        return format!("0.{}{digits}", "0".repeat(zeros));
    }
    let whole = usize::try_from(exponent).unwrap_or(0) + 1;
    if digits.len() <= whole {
        return format!("{digits}{}", "0".repeat(whole - digits.len()));
    }
    let (left, right) = digits.split_at(whole);
    format!("{left}.{right}")
}

fn scientific(digits: &str, exponent: i32, e: char) -> String {
    let (first, rest) = digits.split_at(1.min(digits.len()));
    let dot = if rest.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{first}{dot}{rest}{e}{sign}{:02}", exponent.abs())
}

/// `round(x, digits)`: the decimal nearest to the exact binary value, ties to even.
pub(crate) fn round_digits(x: f64, digits: i64) -> f64 {
    if !x.is_finite() || x == 0.0 || digits > 330 {
        return x;
    }
    if digits < -310 {
        return 0.0_f64.copysign(x);
    }
    if digits >= 0 {
        return format!("{:.*}", usize::try_from(digits).unwrap_or(0), x).parse().unwrap_or(x);
    }
    // Ties are exact only in whole numbers, which `{:e}` rounds correctly from the exact value.
    let exponent = split(&format!("{:e}", x.abs())).1;
    let kept = i64::from(exponent) + 1 + digits;
    if kept > 0 {
        return format!("{:.*e}", usize::try_from(kept - 1).unwrap_or(0), x).parse().unwrap_or(x);
    }
    let half = 5.0 * 10f64.powi(i32::try_from(-digits - 1).unwrap_or(0));
    let one = 10.0 * half / 5.0;
    if kept == 0 && x.abs() > half { one.copysign(x) } else { 0.0_f64.copysign(x) }
}

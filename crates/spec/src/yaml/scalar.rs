//! What a scalar means under YAML 1.1, as PyYAML's safe loader reads it.
//!
//! The forms are those of <https://yaml.org/type/> with PyYAML's narrowings: a float needs a dot, an
//! exponent needs a sign, `y` and `n` are text.

use crate::node::Value;

/// What a plain scalar without a tag means.
pub(crate) fn resolve(text: &str) -> Value {
    if let Some(b) = boolean(text) {
        return Value::Bool(b);
    }
    if is_null(text) {
        return Value::Null;
    }
    // Everything else that is not text starts with one of these.
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Value::Text(text.to_owned());
    }
    integer(text)
        .or_else(|| float(text).map(Value::Float))
        .or_else(|| is_timestamp(text).then(|| Value::Date(text.to_owned())))
        .unwrap_or_else(|| Value::Text(text.to_owned()))
}

/// `~`, `null` and nothing.
pub(crate) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// `yes`, `On`, `FALSE` and their like; each in three spellings.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

fn unsigned(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// True for one character of `first` followed by any of `rest` or `_`.
fn is_run(text: &str, first: impl Fn(char) -> bool, rest: impl Fn(char) -> bool) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(first) && chars.all(|c| c == '_' || rest(c))
}

/// Decimal, `012` octal, `0x1F`, `0b101` and base 60 (`12:30:00`), with `_` between digits.
pub(crate) fn integer(text: &str) -> Option<Value> {
    let (negative, body) = unsigned(text);
    let digit = |c: char| c.is_ascii_digit();
    let (radix, digits) = if let Some(d) = body.strip_prefix("0b").filter(|d| is_digits(d, 2)) {
        (2, d)
    } else if let Some(d) = body.strip_prefix("0x").filter(|d| is_digits(d, 16)) {
        (16, d)
    } else if let Some(d) = body.strip_prefix('0').filter(|d| is_digits(d, 8)) {
        (8, d)
    } else if body == "0" || is_run(body, |c| matches!(c, '1'..='9'), digit) {
        (10, body)
    } else if body.contains(':') {
        return base_60(negative, body);
    } else {
        return None;
    };
    let digits: String = digits.chars().filter(|c| *c != '_').collect();
    if digits.is_empty() {
        // `0_` is zero for PyYAML; `0x_` is an error there and text here.
        return (radix == 8).then_some(Value::Int(0));
    }
    from_digits(negative, &digits, radix)
}

fn is_digits(text: &str, radix: u32) -> bool {
    !text.is_empty() && text.chars().all(|c| c == '_' || c.is_digit(radix))
}

fn from_digits(negative: bool, digits: &str, radix: u32) -> Option<Value> {
    let signed = if negative { format!("-{digits}") } else { digits.to_owned() };
    if let Ok(i) = i64::from_str_radix(&signed, radix) {
        return Some(Value::Int(i));
    }
    let decimal = if radix == 10 { digits.to_owned() } else { to_decimal(digits, radix)? };
    Some(Value::BigInt(if negative { format!("-{decimal}") } else { decimal }))
}

/// Longest integer converted from another base, in digits: the conversion takes quadratic time.
const BIG_DIGITS_MAX: usize = 4096;

/// Schoolbook conversion of an integer of any size.
fn to_decimal(digits: &str, radix: u32) -> Option<String> {
    if digits.len() > BIG_DIGITS_MAX {
        return None;
    }
    let mut decimal = vec![0u8]; // least digit first
    for c in digits.chars() {
        let mut carry = c.to_digit(radix)?;
        for d in &mut decimal {
            let value = u32::from(*d) * radix + carry;
            *d = (value % 10) as u8;
            carry = value / 10;
        }
        while carry > 0 {
            decimal.push((carry % 10) as u8);
            carry /= 10;
        }
    }
    while decimal.len() > 1 && decimal.last() == Some(&0) {
        decimal.pop();
    }
    Some(decimal.iter().rev().map(|d| char::from(b'0' + d)).collect())
}

/// `190:20:30`: every part after the first is below 60.
fn base_60(negative: bool, body: &str) -> Option<Value> {
    let mut parts = body.split(':');
    let first = parts.next()?;
    if !is_run(first, |c| matches!(c, '1'..='9'), |c| c.is_ascii_digit()) {
        return None;
    }
    let mut total: i64 = first.replace('_', "").parse().ok()?;
    for part in parts {
        total = total.checked_mul(60)?.checked_add(sixtieth(part)?)?;
    }
    Some(Value::Int(if negative { -total } else { total }))
}

fn sixtieth(part: &str) -> Option<i64> {
    let good = matches!(part.len(), 1 | 2) && part.bytes().all(|b| b.is_ascii_digit());
    part.parse().ok().filter(|v| good && *v < 60)
}

/// A plain float: it needs a dot; an exponent needs a sign.
pub(crate) fn float(text: &str) -> Option<f64> {
    let (negative, body) = unsigned(text);
    let sign = if negative { -1.0 } else { 1.0 };
    match body {
        ".inf" | ".Inf" | ".INF" => return Some(sign * f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" if body.len() == text.len() => return Some(f64::NAN),
        _ => {}
    }
    let digit = |c: char| c.is_ascii_digit();
    let (mantissa, exponent) = match body.find(['e', 'E']) {
        Some(at) => (body.get(..at)?, body.get(at + 1..)?),
        None => (body, "+0"),
    };
    let exponent_digits = exponent.strip_prefix(['+', '-'])?;
    if exponent_digits.is_empty() || !exponent_digits.chars().all(digit) {
        return None;
    }
    let (whole, fraction) = mantissa.split_once('.')?;
    if whole.contains(':') {
        return (mantissa.len() == body.len()).then(|| base_60_float(sign, whole, fraction)).flatten();
    }
    let good = if whole.is_empty() {
        is_run(fraction, digit, digit) && body.len() == text.len()
    } else {
        is_run(whole, digit, digit) && fraction.chars().all(|c| c == '_' || digit(c))
    };
    good.then(|| text.replace('_', "").parse().ok()).flatten()
}

fn base_60_float(sign: f64, whole: &str, fraction: &str) -> Option<f64> {
    let mut parts = whole.split(':');
    let first = parts.next()?;
    let digit = |c: char| c.is_ascii_digit();
    if !is_run(first, digit, digit) || !fraction.chars().all(|c| c == '_' || digit(c)) {
        return None;
    }
    let mut total: f64 = first.replace('_', "").parse().ok()?;
    for part in parts {
        total = total * 60.0 + sixtieth(part)? as f64;
    }
    let fraction: f64 = format!("0.{}", fraction.replace('_', "")).parse().unwrap_or(0.0);
    Some(sign * (total + fraction))
}

/// A float under the tag `!!float`, where integers and any exponent are fine too.
pub(crate) fn tagged_float(text: &str) -> Option<f64> {
    float(text).or_else(|| {
        let plain = text.replace('_', "");
        let numeric = plain.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E'));
        numeric.then(|| plain.parse().ok()).flatten()
    })
}

/// A reader of fixed patterns.
struct Pattern<'a>(&'a str);

impl Pattern<'_> {
    /// Between `least` and `most` digits.
    fn digits(&mut self, least: usize, most: usize) -> Option<u32> {
        let n = self.0.bytes().take(most).take_while(u8::is_ascii_digit).count();
        let (head, tail) = self.0.split_at_checked(n).filter(|_| n >= least)?;
        self.0 = tail;
        head.parse().ok()
    }
    fn one_of(&mut self, set: &[char]) -> Option<()> {
        self.0 = self.0.strip_prefix(set)?;
        Some(())
    }
    fn blanks(&mut self) -> bool {
        let rest = self.0.trim_start_matches([' ', '\t']);
        let some = rest.len() < self.0.len();
        self.0 = rest;
        some
    }
}

/// `2024-01-02`, or a date and a time with an optional zone; the numbers are not checked.
pub(crate) fn is_timestamp(text: &str) -> bool {
    date_and_time(text).is_some()
}

/// True if the numbers of a timestamp are those of a real day and time.
pub(crate) fn is_real_timestamp(text: &str) -> bool {
    date_and_time(text).is_some_and(|[year, month, day, hour, minute, second]| {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            1..=12 => 31,
            _ => 0,
        };
        year >= 1 && (1..=days).contains(&day) && hour < 24 && minute < 60 && second < 60
    })
}

fn date_and_time(text: &str) -> Option<[u32; 6]> {
    let mut p = Pattern(text);
    let year = p.digits(4, 4)?;
    p.one_of(&['-'])?;
    let month = p.digits(1, 2)?;
    p.one_of(&['-'])?;
    let day = p.digits(1, 2)?;
    if p.0.is_empty() {
        // A bare date has two digits each.
        return (text.len() == 10).then_some([year, month, day, 0, 0, 0]);
    }
    if p.one_of(&['T', 't']).is_none() && !p.blanks() {
        return None;
    }
    let hour = p.digits(1, 2)?;
    p.one_of(&[':'])?;
    let minute = p.digits(2, 2)?;
    p.one_of(&[':'])?;
    let second = p.digits(2, 2)?;
    if p.one_of(&['.']).is_some() {
        p.0 = p.0.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    if !p.0.is_empty() {
        p.blanks();
        if p.one_of(&['Z']).is_none() {
            p.one_of(&['+', '-'])?;
            p.digits(1, 2)?;
            if p.one_of(&[':']).is_some() {
                p.digits(2, 2)?;
            }
        }
    }
    p.0.is_empty().then_some([year, month, day, hour, minute, second])
}

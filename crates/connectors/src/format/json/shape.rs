//! The shape of lines, learned from one of them.
//!
//! Programs write their objects alike: the same keys in the same order, with the same bytes between the
//! values. A [`Shape`] keeps those bytes. A line that has them all is read by comparing them and taking the
//! values in between; any other line is left to the parser. So this reader must accept less than the
//! parser and give the same for what it accepts; it never judges a line.

use super::bytes::{Known, digits8, text_end};
use crate::format::columns::{Column, FieldIndex};
use arrow_schema::Fields;

/// Most digits of a number that is read here: they fit a float exactly, and so do their powers of ten, so
/// that one division rounds correctly.
const DIGITS_MAX: usize = 15;
const POWERS_OF_TEN: [f64; DIGITS_MAX + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// The same as integers, as far as eight digits go.
const TENS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// What lines have in common.
#[derive(Debug)]
pub(super) struct Shape {
    parts: Vec<Part>,
    /// The bytes after the last value.
    end: Known,
    /// Columns that are read and that such lines have no key for.
    missing: Vec<usize>,
}

/// A value and what stands before it.
#[derive(Debug)]
struct Part {
    /// From the end of the value before; with the opening quote of a text.
    before: Known,
    is_text: bool,
    /// `None`: nobody reads it.
    column: Option<usize>,
}

/// What kind of value a column takes here.
fn takes(column: &Column, is_text: bool) -> bool {
    match column {
        Column::Text(_) | Column::Binary(_) => is_text,
        Column::Int(..) | Column::Float(..) => !is_text,
        Column::Decimal(..) => true,
        // Whatever stands there: it is passed over. A column of type null does judge its values.
        Column::Null(t, _) => !t.is_null(),
        _ => false,
    }
}

impl Shape {
    /// Learns from a line that the parser has accepted. `None`: the line has nested values, escapes,
    /// repeated keys, truth values or nulls, or a column wants something else.
    pub(super) fn learn(
        line: &[u8],
        fields: &Fields,
        index: &FieldIndex,
        columns: &[Column],
    ) -> Option<Shape> {
        if has_control(line) {
            return None;
        }
        let is_read = |c: &usize| !matches!(columns.get(*c), Some(Column::Null(t, _)) if !t.is_null());
        let mut keys: Vec<&str> = Vec::new();
        let mut parts = Vec::new();
        let (mut from, mut at) = (0, past(line, 0, b'{')?);
        loop {
            let (key, after_key) = text_at(line, past(line, at, b'"')?)?;
            let key = std::str::from_utf8(key).ok()?;
            if keys.contains(&key) {
                return None;
            }
            let value = spaces(line, past(line, after_key, b':')?);
            let is_text = line.get(value) == Some(&b'"');
            let start = value + usize::from(is_text);
            let end = if is_text { text_at(line, start)?.1 } else { number_at(line, start)?.end };
            let column = index.find(fields, key, keys.len());
            if !column.and_then(|c| columns.get(c)).is_none_or(|c| takes(c, is_text)) {
                return None;
            }
            parts.push(Part {
                before: Known::new(line.get(from..start)?),
                is_text,
                column: column.filter(is_read),
            });
            keys.push(key);
            from = end;
            match past(line, end, b',') {
                Some(next) => at = next,
                None => break,
            }
        }
        past(line, from, b'}')?;
        let missing = (0..columns.len()).filter(is_read);
        let missing = missing.filter(|c| !parts.iter().any(|p| p.column == Some(*c))).collect();
        Some(Shape { parts, end: Known::new(line.get(from..)?), missing })
    }

    /// Appends the row that `bytes` begin with, which may go on behind it; to columns that nobody reads nothing is
    /// appended. How long it is; `None` if it has another shape: values may have been appended to some columns then, which
    /// must be taken back.
    #[inline]
    pub(super) fn read(&self, bytes: &[u8], columns: &mut [Column]) -> Option<usize> {
        let (mut rest, mut is_ascii) = (bytes, true);
        for part in &self.parts {
            rest = part.before.after(rest)?;
            let column = part.column.and_then(|c| columns.get_mut(c));
            let used = if part.is_text {
                let end = text_end(rest)?;
                is_ascii &= end.is_ascii;
                match column {
                    Some(Column::Text(bytes) | Column::Binary(bytes)) => bytes.push_head(rest, end.at),
                    Some(c @ Column::Decimal(..)) => {
                        push_decimal(c, std::str::from_utf8(rest.get(..end.at)?).ok()?)?;
                    }
                    Some(other) => other.push_null(),
                    None => {}
                }
                rest = rest.get(end.at..)?;
                (rest.first() == Some(&b'"')).then_some(1)?
            } else {
                let number = number_at(rest, 0)?;
                match column {
                    Some(c @ Column::Decimal(..)) => {
                        push_decimal(c, std::str::from_utf8(rest.get(..number.end)?).ok()?)?;
                    }
                    Some(c @ Column::Float(..)) => c.push_float(number.float()),
                    Some(c @ Column::Int(..)) => c.push_int(number.int()?),
                    Some(other) => other.push_null(),
                    None => {}
                }
                number.end
            };
            rest = rest.get(used..)?;
        }
        let used = bytes.len() - self.end.after(rest)?.len();
        // All else was compared, so only texts may be no UTF-8, also those that nobody reads.
        if !is_ascii {
            std::str::from_utf8(bytes.get(..used)?).ok()?;
        }
        for missing in &self.missing {
            columns.get_mut(*missing)?.push_null();
        }
        Some(used)
    }
}

/// Digits that do not fit are for the parser to judge.
#[inline]
fn push_decimal(column: &mut Column, text: &str) -> Option<()> {
    let Column::Decimal(_, _, t) = column else { return None };
    let units = t.parse(text).ok()?;
    column.push_units(units);
    Some(())
}

/// True if no control character is in a line: none may stand in a text, and only some between values.
/// All bytes are looked at, so that the compiler can take many at once.
fn has_control(line: &[u8]) -> bool {
    line.iter().fold(u8::MAX, |least, b| least.min(*b)) < b' '
}

/// The first byte that is no space, from `at` on.
fn spaces(line: &[u8], at: usize) -> usize {
    let rest = line.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|b| **b == b' ').count()
}

/// Behind the byte `wanted`, if that is what comes after spaces.
fn past(line: &[u8], at: usize, wanted: u8) -> Option<usize> {
    let at = spaces(line, at);
    (line.get(at) == Some(&wanted)).then_some(at + 1)
}

/// The text from `start` to the next quote, and where the line goes on behind that. Not with escapes.
#[inline]
fn text_at(line: &[u8], start: usize) -> Option<(&[u8], usize)> {
    let rest = line.get(start..)?;
    let end = text_end(rest)?.at;
    (rest.get(end) == Some(&b'"')).then_some(())?;
    Some((rest.get(..end)?, start + end + 1))
}

/// A number without exponent.
#[derive(Clone, Copy, Debug)]
struct Number {
    negative: bool,
    /// All its digits.
    digits: u64,
    decimals: usize,
    has_point: bool,
    end: usize,
}

impl Number {
    #[inline]
    fn float(self) -> f64 {
        let size = self.digits as f64 / POWERS_OF_TEN.get(self.decimals).copied().unwrap_or(f64::NAN);
        if self.negative { -size } else { size }
    }

    /// Whole floats are integers too, but that is left to the parser.
    #[inline]
    fn int(self) -> Option<i64> {
        let size = (!self.has_point).then(|| i64::try_from(self.digits).ok())??;
        Some(if self.negative { -size } else { size })
    }
}

#[inline]
fn number_at(line: &[u8], start: usize) -> Option<Number> {
    let negative = line.get(start) == Some(&b'-');
    let mut at = start + usize::from(negative);
    let first = at;
    let mut digits = 0;
    at = digits_at(line, at, &mut digits);
    let whole = at - first;
    // No number begins with a zero and another digit, and minus zero is for the parser.
    if whole == 0 || (whole > 1 && line.get(first) == Some(&b'0')) {
        return None;
    }
    let has_point = line.get(at) == Some(&b'.');
    let mut decimals = 0;
    if has_point {
        let point = at;
        at = digits_at(line, at + 1, &mut digits);
        decimals = at - point - 1;
        if decimals == 0 {
            return None;
        }
    }
    let exponent = matches!(line.get(at), Some(b'e' | b'E'));
    if exponent || whole + decimals > DIGITS_MAX || (negative && digits == 0) {
        return None;
    }
    Some(Number { negative, digits, decimals, has_point, end: at })
}

/// Appends the digits from `at` on to a number, which wraps around if they are too many; where they end.
#[inline]
fn digits_at(line: &[u8], at: usize, number: &mut u64) -> usize {
    let rest = line.get(at..).unwrap_or_default();
    let mut count = 0;
    if let Some(eight) = rest.first_chunk::<8>() {
        let (first, digits) = digits8(*eight);
        *number = number.wrapping_mul(TENS.get(digits).copied().unwrap_or(1)).wrapping_add(first);
        if digits < 8 {
            return at + digits;
        }
        count = 8;
    }
    for b in rest.get(count..).unwrap_or_default() {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        *number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
        count += 1;
    }
    at + count
}

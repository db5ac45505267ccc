//! What one cell of a CSV file means.

use super::Layout;
use crate::format::columns::DecimalType;
use std::borrow::Cow;
use std::collections::HashSet;

/// Texts that pandas takes for null.
const PANDAS_NULLS: [&str; 19] = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A",
    "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
];
/// Length of the longest of them.
const PANDAS_NULL_BYTES_MAX: usize = 9;

/// Texts that mean null.
#[derive(Clone, Debug)]
pub(crate) struct Nulls {
    /// Whether pandas' list counts.
    pub(crate) pandas: bool,
    /// Further ones.
    pub(crate) more: HashSet<String>,
}

impl Default for Nulls {
    fn default() -> Self {
        Nulls { pandas: true, more: HashSet::new() }
    }
}

impl Nulls {
    /// True for a text that means null.
    pub(crate) fn has(&self, text: &str) -> bool {
        if text.is_empty() {
            return self.pandas || self.more.contains(text);
        }
        // Most cells are told from the list by their first byte.
        let candidate = text.len() <= PANDAS_NULL_BYTES_MAX
            && matches!(text.as_bytes().first(), Some(b'#' | b'-' | b'1' | b'<' | b'N' | b'n'));
        (candidate && self.pandas && PANDAS_NULLS.contains(&text))
            || (!self.more.is_empty() && self.more.contains(text))
    }
}

/// Texts that are truth values beside pandas' own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Truths {
    pub(crate) yes: HashSet<String>,
    pub(crate) no: HashSet<String>,
}

impl Truths {
    /// A truth value as pandas reads it.
    pub(crate) fn read(&self, text: &str) -> Option<bool> {
        match text {
            "True" | "true" | "TRUE" => Some(true),
            "False" | "false" | "FALSE" => Some(false),
            _ if self.yes.contains(text) => Some(true),
            _ if self.no.contains(text) => Some(false),
            _ => None,
        }
    }
}

/// How numbers are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    /// Between a number and its decimals.
    pub(crate) point: u8,
    /// Between groups of digits.
    pub(crate) thousands: Option<u8>,
}

impl Default for Numbers {
    fn default() -> Self {
        Numbers { point: b'.', thousands: None }
    }
}

impl Numbers {
    /// The number with a point before its decimals and nothing between its digits. What is no number stays none.
    pub(crate) fn plain<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.point == b'.' && self.thousands.is_none() {
            return Cow::Borrowed(text);
        }
        let trimmed = text.trim_matches([' ', '\t']);
        let unsigned = trimmed.strip_prefix(['-', '+']).unwrap_or(trimmed);
        let starts = |b: &u8| b.is_ascii_digit() || *b == self.point;
        if !unsigned.as_bytes().first().is_some_and(starts) {
            return Cow::Borrowed(text);
        }
        let mut plain = String::with_capacity(trimmed.len());
        for c in trimmed.chars() {
            match u8::try_from(c) {
                Ok(b) if Some(b) == self.thousands => {}
                Ok(b) if b == self.point => plain.push('.'),
                // Neither: then it is no number.
                Ok(b'.') => return Cow::Borrowed("not a number"),
                _ => plain.push(c),
            }
        }
        Cow::Owned(plain)
    }
}

/// A decimal integer of 64 bits, perhaps with a sign and spaces around.
pub(crate) fn integer(text: &str) -> Option<i64> {
    let text = text.trim_matches([' ', '\t']);
    let (negative, digits) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value: i64 = 0;
    for b in digits {
        let digit = i64::from(b.checked_sub(b'0').filter(|d| *d <= 9)?);
        // Counting down holds the least integer too.
        value = value.checked_mul(10)?.checked_sub(digit)?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// A number, perhaps with an exponent, or `inf`. `nan` is a null, not a number.
pub(crate) fn float(text: &str) -> Option<f64> {
    let text = text.trim_matches([' ', '\t']);
    text.parse::<f64>().ok().filter(|f| !f.is_nan())
}

/// True for `007` and `-01.5`, not for `0`, `0.5` and `1`.
pub(crate) fn has_leading_zero(text: &str) -> bool {
    let text = text.trim_start_matches([' ', '\t']);
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    matches!(digits.as_bytes(), [b'0', b'0'..=b'9', ..])
}

/// What the cells of a column look like, while a sample is read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    null: bool,
    bool: bool,
    int: bool,
    /// An integer that does not fit into 64 bits.
    big: bool,
    float: bool,
    text: bool,
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CellType {
    Bool,
    Int,
    Float,
    Text,
    /// Text `True` or `False`, as pandas makes of truth values beside nulls.
    TruthText,
    /// RFC 3339; never found by sampling.
    Time,
    /// A date and time without a zone; never found by sampling.
    DateTime,
    /// `YYYY-MM-DD`; never found by sampling.
    Date,
    /// Exact; never found by sampling.
    Decimal(DecimalType),
}

impl Seen {
    /// Adds a cell.
    pub(crate) fn add(&mut self, text: &str, layout: &Layout) {
        if self.text {
            return;
        }
        let plain = layout.numbers.plain(text);
        if layout.nulls.has(text) {
            self.null = true;
        } else if !layout.beam_compat && has_leading_zero(&plain) {
            self.text = true;
        } else if integer(&plain).is_some() {
            self.int = true;
        } else if float(&plain).is_some() {
            let digits = plain.trim_matches([' ', '\t']).trim_start_matches(['-', '+']);
            let whole = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            *(if whole { &mut self.big } else { &mut self.float }) = true;
        } else if layout.truths.read(text).is_some() {
            self.bool = true;
        } else {
            self.text = true;
        }
    }

    /// Adds a cell that a short row lacks.
    pub(crate) fn add_null(&mut self) {
        self.null = true;
    }

    /// pandas' type: an integer beside a null is a float, truth values beside anything else are text.
    /// A column of nulls is a float; without any row it is text.
    pub(crate) fn cell_type(self) -> CellType {
        let Seen { null, bool, int, big, float, text } = self;
        if text || (bool && (int || big || float)) || (big && !float) {
            CellType::Text
        } else if bool && null {
            CellType::TruthText
        } else if bool {
            CellType::Bool
        } else if float || null {
            CellType::Float
        } else if int {
            CellType::Int
        } else {
            CellType::Text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let ints = [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("+5", Some(5)),
            (" 12\t", Some(12)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("", None),
            ("-", None),
            ("1_000", None),
            ("1.0", None),
            ("١", None),
        ];
        for (text, want) in ints {
            assert_eq!(integer(text), want, "{text:?}");
        }
        for (text, want) in [
            ("1e3", Some(1000.0)),
            (".5", Some(0.5)),
            ("-inf", Some(f64::NEG_INFINITY)),
            ("nan", None),
            ("1e", None),
            ("0x1", None),
        ] {
            assert_eq!(float(text), want, "{text:?}");
        }
    }

    #[test]
    fn numbers_as_other_countries_write_them() {
        let german = Numbers { point: b',', thousands: Some(b'.') };
        let english = Numbers { point: b'.', thousands: Some(b',') };
        let comma = Numbers { point: b',', thousands: None };
        let cases = [
            (german, "1.234,5", Some(1234.5)),
            (german, "-1.000", Some(-1000.0)),
            (german, ",5", Some(0.5)),
            (english, "1,234", Some(1234.0)),
            (english, "1,", Some(1.0)),
            (english, ",1", None),
            (comma, "1,5", Some(1.5)),
            (comma, "2.5", None),
            (comma, "2", Some(2.0)),
        ];
        for (numbers, text, want) in cases {
            assert_eq!(float(&numbers.plain(text)), want, "{text:?}");
        }
    }

    #[test]
    fn types_of_samples() {
        let check = |cells: &[&str], compat: bool| {
            let mut seen = Seen::default();
            let layout = Layout { beam_compat: compat, ..Layout::default() };
            cells.iter().for_each(|c| seen.add(c, &layout));
            seen.cell_type()
        };
        assert_eq!(check(&["1", "-2"], false), CellType::Int);
        assert_eq!(check(&["1", "", "2"], false), CellType::Float);
        assert_eq!(check(&["1", "2.5"], false), CellType::Float);
        assert_eq!(check(&["true", "False"], false), CellType::Bool);
        assert_eq!(check(&["true", "NA"], false), CellType::TruthText);
        assert_eq!(check(&["true", "1"], false), CellType::Text);
        assert_eq!(check(&["007", "1"], false), CellType::Text);
        assert_eq!(check(&["007", "1"], true), CellType::Int);
        assert_eq!(check(&["0", "0.5"], false), CellType::Float);
        assert_eq!(check(&["99999999999999999999"], false), CellType::Text);
        assert_eq!(check(&["NaN", "null"], false), CellType::Float);
        assert_eq!(check(&[], false), CellType::Text);
        assert_eq!(check(&["2024-01-01"], false), CellType::Text);
    }
}

//! Spans of time as they are written in a file.

use crate::config::{FromNode, Kind};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::{Node, Value};

/// A span of time in microseconds; written as seconds (`30`, `0.5`) or with a unit (`ms s m h d`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(i64);

/// Unit, microseconds.
const UNITS: [(&str, i64); 5] =
    [("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000), ("d", 86_400_000_000)];

impl Duration {
    /// No time at all.
    pub const ZERO: Duration = Duration(0);

    /// From microseconds.
    pub const fn from_micros(micros: i64) -> Self {
        Duration(micros)
    }

    /// In microseconds.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Reads `1.5h`, `200ms`, `30`; the text after the number is the unit.
    ///
    /// # Errors
    /// What is wrong with it, as the rest of a sentence about the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits_end = text.rfind(|c: char| c.is_ascii_digit() || c == '.').map_or(0, |i| i + 1);
        let (number, unit) = text.split_at(digits_end);
        if number.is_empty() {
            return Err("has no number; write for example `30s`".to_owned());
        }
        let unit = unit.trim();
        let micros = match unit {
            "" => 1_000_000,
            _ => match UNITS.iter().find(|(u, _)| *u == unit) {
                Some((_, micros)) => *micros,
                None => {
                    return Err(format!("has the unknown time unit `{unit}`; valid units: ms, s, m, h, d"));
                }
            },
        };
        decimal(number.trim(), micros).map(Duration)
    }

    /// True if `text` is written in days, which Beam 2.77 takes as 12 hours.
    pub fn in_days(text: &str) -> bool {
        text.trim()
            .strip_suffix('d')
            .is_some_and(|n| n.trim_end().ends_with(|c: char| c.is_ascii_digit() || c == '.'))
    }
}

/// `number * micros`, exactly for plain decimals, rounded to a microsecond.
fn decimal(number: &str, micros: i64) -> Result<i64, String> {
    let out_of_range = || "is out of range".to_owned();
    let bad = || "is not a number with a unit; write for example `1.5h`".to_owned();
    let (negative, plain) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = plain.split_once('.').unwrap_or((plain, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return match number.parse::<f64>() {
            Ok(f) if f.is_finite() => from_float(f * micros as f64).ok_or_else(out_of_range),
            _ => Err(bad()),
        };
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| out_of_range())? };
    let mut total = whole.checked_mul(i128::from(micros)).ok_or_else(out_of_range)?;
    // Digits past the 18th are far below a microsecond.
    let fraction: String = fraction.chars().take(18).collect();
    if !fraction.is_empty() {
        let scale = 10_i128.pow(fraction.len() as u32);
        let digits: i128 = fraction.parse().map_err(|_| bad())?;
        total += (digits * i128::from(micros) + scale / 2) / scale;
    }
    i64::try_from(if negative { -total } else { total }).map_err(|_| out_of_range())
}

fn from_float(micros: f64) -> Option<i64> {
    let rounded = micros.round();
    (rounded.abs() < 9.2e18).then_some(rounded as i64)
}

impl FromNode for Duration {
    fn kind() -> Kind {
        Kind::Duration
    }

    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        let text = match &node.value {
            Value::Text(s) => s.clone(),
            Value::Int(i) => i.to_string(),
            Value::Float(f) => f.to_string(),
            _ => {
                crate::config::wrong_kind(node, "a duration, such as `30s`", d);
                return None;
            }
        };
        match Duration::parse(&text) {
            Ok(duration) => {
                if Duration::in_days(&text) {
                    d.push(
                        Diagnostic::warning(
                            "duration/beam-days",
                            node.span,
                            format!("`{text}` is taken as days of 24 hours"),
                        )
                        .label("Beam 2.77 takes a day as 12 hours here")
                        .help("write hours, so that both agree"),
                    );
                }
                Some(duration)
            }
            Err(why) => {
                d.push(Diagnostic::error("duration/invalid", node.span, format!("duration `{text}` {why}")));
                None
            }
        }
    }
}

//! Texts as Python prints them, where Beam's output shows them.

use purlin_api::Window;
use std::fmt::Write as _;

/// The `repr` of a text: single quotes, unless it has single and no double ones.
pub(crate) fn repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if c.is_control() => {
                // Writing to a String cannot fail.
                if write!(out, "\\x{:02x}", u32::from(c)).is_err() {
                    out.push(c);
                }
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

/// The `repr` of a float: shortest digits, exponents with a sign and two digits.
pub(crate) fn float(f: f64) -> String {
    if f.is_nan() {
        return "nan".to_owned();
    }
    let text = format!("{f:?}");
    match text.split_once('e') {
        None => text,
        Some((digits, exponent)) => {
            let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
            format!("{}e{sign}{exponent:0>2}", digits.strip_suffix(".0").unwrap_or(digits))
        }
    }
}

/// A window as Beam's Python prints it: `[0.0, 10.0)` in seconds, or `GlobalWindow`.
pub(crate) fn window_text(window: &Window) -> String {
    let seconds = |t: purlin_api::EventTime| float(t.0 as f64 / 1e6);
    match window {
        Window::Global => "GlobalWindow".to_owned(),
        w => format!("[{}, {})", seconds(w.start()), seconds(w.end())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reprs_are_those_of_python() {
        assert_eq!(repr("a'b"), r#""a'b""#);
        assert_eq!(repr("a'b\"c\n"), r#"'a\'b"c\n'"#);
        assert_eq!(repr("\u{1}é"), "'\\x01é'");
        assert_eq!(
            [1.0, 1e16, 1e-5, 0.0001, 1.5e300, -0.25].map(float),
            ["1.0", "1e+16", "1e-05", "0.0001", "1.5e+300", "-0.25"]
        );
        assert_eq!(window_text(&Window::interval(-250_000, 250_000)), "[-0.25, 0.25)");
        assert_eq!(window_text(&Window::Global), "GlobalWindow");
    }
}

//! `template % values`.

use super::format::{apply_float, apply_int, apply_text, number_spec};
use crate::interp::{Machine, get_item};
use crate::value::{
    Raise, Res, Value, ascii, int_from_float, raise, repr, text, to_big, type_error, value_error,
};

/// `template % values`.
pub(crate) fn percent_format(machine: &mut Machine<'_>, template: &str, values: &Value) -> Res<Value> {
    let given: Vec<Value> = match values {
        Value::Tuple(t) => t.0.clone(),
        other => vec![other.clone()],
    };
    let mut template = Template { rest: template, given: given.into_iter(), values, by_name: false };
    let mut out = String::new();
    while let Some(at) = template.rest.find('%') {
        out.push_str(template.rest.get(..at).unwrap_or(""));
        template.rest = template.rest.get(at + 1..).unwrap_or("");
        let part = template.conversion()?;
        machine.charge(part.len())?;
        out.push_str(&part);
    }
    out.push_str(template.rest);
    let unused = template.given.next().is_some() && !template.by_name;
    if unused && !matches!(values, Value::Dict(_) | Value::List(_)) {
        return Err(type_error("not all arguments converted during string formatting"));
    }
    machine.text(out)
}

struct Template<'t> {
    rest: &'t str,
    given: std::vec::IntoIter<Value>,
    values: &'t Value,
    by_name: bool,
}

impl Template<'_> {
    fn next_value(&mut self) -> Res<Value> {
        self.given.next().ok_or_else(|| type_error("not enough arguments for format string"))
    }

    fn next_char(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = self.rest.get(c.len_utf8()..).unwrap_or("");
        Some(c)
    }

    /// A number in the template, or `*` for one among the values.
    fn number(&mut self) -> Res<Option<i64>> {
        if let Some(rest) = self.rest.strip_prefix('*') {
            self.rest = rest;
            return match self.next_value()?.as_int() {
                Some(i) => Ok(Some(i)),
                None => Err(type_error("* wants int")),
            };
        }
        let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        if digits.is_empty() {
            return Ok(None);
        }
        digits.parse().map(Some).map_err(|_| value_error("width too big"))
    }

    fn conversion(&mut self) -> Res<String> {
        let mut named = None;
        if let Some(rest) = self.rest.strip_prefix('(') {
            let Some((name, rest)) = rest.split_once(')') else {
                return Err(value_error("incomplete format key"));
            };
            if !matches!(self.values, Value::Dict(_)) {
                return Err(type_error("format requires a mapping"));
            }
            self.rest = rest;
            self.by_name = true;
            named = Some(get_item(self.values, &Value::str(name))?);
        }
        let end = self.rest.find(|c| !"-+ 0#".contains(c)).unwrap_or(self.rest.len());
        let (flags, rest) = self.rest.split_at(end);
        let mut flags = flags.to_owned();
        self.rest = rest;
        let width = self.number()?.unwrap_or(0);
        if width < 0 {
            flags.push('-');
        }
        let mut precision = None;
        if let Some(rest) = self.rest.strip_prefix('.') {
            self.rest = rest;
            precision = Some(usize::try_from(self.number()?.unwrap_or(0)).unwrap_or(0));
        }
        self.rest = self.rest.trim_start_matches(['h', 'l', 'L']);
        let Some(kind) = self.next_char() else { return Err(value_error("incomplete format")) };
        if kind == '%' {
            return Ok("%".to_owned());
        }
        let value = match named {
            Some(value) => value,
            None => self.next_value()?,
        };
        let width = usize::try_from(width.unsigned_abs()).unwrap_or(usize::MAX);
        let spec = number_spec(&flags, width, precision, if matches!(kind, 'i' | 'u') { 'd' } else { kind });
        match kind {
            's' => Ok(apply_text(&text(&value)?, &spec)),
            'r' => Ok(apply_text(&repr(&value)?, &spec)),
            'a' => Ok(apply_text(&ascii(&value)?, &spec)),
            'c' => Ok(apply_text(&character(&value)?, &spec)),
            'd' | 'i' | 'u' => {
                let whole = match &value {
                    Value::Float(f) => int_from_float(*f)?,
                    Value::Decimal(d) => Value::from_big(d.to_int(crate::value::decimal::Rounding::Down)?),
                    other => other.clone(),
                };
                match to_big(&whole) {
                    Some(big) => apply_int(&big, &spec),
                    None => Err(refused(kind, "a real number", &value)),
                }
            }
            'x' | 'X' | 'o' => match to_big(&value) {
                Some(big) => apply_int(&big, &spec),
                None => Err(refused(kind, "an integer", &value)),
            },
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
                let float = match &value {
                    Value::Float(f) => Some(*f),
                    Value::Decimal(d) => Some(d.to_float()),
                    other => to_big(other).and_then(|b| num_traits::ToPrimitive::to_f64(&b)),
                };
                match float {
                    Some(f) => apply_float(f, &spec),
                    None => Err(type_error(format!("must be real number, not {}", value.type_name()))),
                }
            }
            other => raise(
                "ValueError",
                format!("unsupported format character '{other}' ({:#x})", u32::from(other)),
            ),
        }
    }
}

fn refused(kind: char, wanted: &str, value: &Value) -> Raise {
    type_error(format!("%{kind} format: {wanted} is required, not {}", value.type_name()))
}

fn character(value: &Value) -> Res<String> {
    match value {
        Value::Str(s) if s.chars().count() == 1 => Ok(s.to_string()),
        other => match other.as_int() {
            Some(code) => match u32::try_from(code).ok().and_then(char::from_u32) {
                Some(c) => Ok(c.to_string()),
                None => raise("OverflowError", "%c arg not in range(0x110000)"),
            },
            None => Err(type_error("%c requires int or char")),
        },
    }
}

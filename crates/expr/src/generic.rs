//! The *generic* language: a field, a literal, or one comparison of two of these.

use std::sync::Arc;

use crate::ir::{Arguments, Compare, Const, Entry, Expr, ExprKind};
use crate::problem::{Problem, unknown_name};

/// Two characters before one, so that `<=` is not read as `<`.
const OPERATORS: [(&str, Compare); 6] = [
    ("<=", Compare::Le),
    (">=", Compare::Ge),
    ("==", Compare::Eq),
    ("!=", Compare::Ne),
    ("<", Compare::Lt),
    (">", Compare::Gt),
];

/// `is_decimal` says of a field whether it holds decimals.
pub(crate) fn compile(
    text: &str,
    fields: &[String],
    is_decimal: &dyn Fn(usize) -> bool,
    beam_compat: bool,
) -> Result<Entry, Vec<Problem>> {
    let generic = Generic { text, fields, is_decimal, beam_compat };
    let body = match generic.atom(0, text.len()) {
        Ok(Some(atom)) => atom,
        Err(problem) => return Err(vec![problem]),
        Ok(None) => match generic.comparison()? {
            Some(comparison) => comparison,
            None => return Err(vec![generic.refused()]),
        },
    };
    Ok(Entry::Expression { body, slots: 0 })
}

struct Generic<'a> {
    text: &'a str,
    fields: &'a [String],
    is_decimal: &'a dyn Fn(usize) -> bool,
    beam_compat: bool,
}

impl Generic<'_> {
    fn make(&self, kind: ExprKind, start: usize, end: usize) -> Expr {
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Expr { kind, at: narrow(start), end: narrow(end) }
    }

    /// A field or a literal; `None` if it is neither.
    fn atom(&self, start: usize, end: usize) -> Result<Option<Expr>, Problem> {
        let raw = self.text.get(start..end).unwrap_or("");
        if let Some(index) = self.fields.iter().position(|f| f == raw) {
            return Ok(Some(self.make(ExprKind::Column(index), start, end)));
        }
        let start = start + (raw.len() - raw.trim_start().len());
        let text = raw.trim();
        let end = start + text.len();
        if let Some(index) = self.fields.iter().position(|f| f == text) {
            return Ok(Some(self.make(ExprKind::Column(index), start, end)));
        }
        let constant = match number(text) {
            Some(Number::Float(f)) => Some(Const::Float(f)),
            Some(Number::Int(i)) if self.beam_compat && i32::try_from(i).map_or(true, |i| i == i32::MIN) => {
                return Err(self.too_big(text, start, end, 32));
            }
            Some(Number::Int(i)) => Some(Const::Int(i)),
            Some(Number::TooBig) => {
                return Err(self.too_big(text, start, end, if self.beam_compat { 32 } else { 64 }));
            }
            None => quoted(text).map(|s| Const::Str(Arc::from(s))),
        };
        Ok(constant.map(|c| self.make(ExprKind::Const(c), start, end)))
    }

    fn too_big(&self, text: &str, start: usize, end: usize, bits: u32) -> Problem {
        let message = format!("the integer {text} does not fit {bits} bits");
        Problem::new("expr/type", message, Some(start..end))
            .help("`language: python` has integers of any size")
    }

    /// The first operator that has an atom on both sides: names and texts may hold operators too.
    fn comparison(&self) -> Result<Option<Expr>, Vec<Problem>> {
        for (at, _) in self.text.char_indices() {
            let rest = self.text.get(at..).unwrap_or("");
            let Some((sign, op)) = OPERATORS.iter().find(|(sign, _)| rest.starts_with(sign)) else {
                continue;
            };
            let left = self.atom(0, at).map_err(|p| vec![p])?;
            let right = self.atom(at + sign.len(), self.text.len()).map_err(|p| vec![p])?;
            let (Some(left), Some(right)) = (left, right) else { continue };
            if self.beam_compat && sign.len() > 1 {
                let message = format!("Beam's generic language refuses `{sign}`");
                let range = Some(at..at + sign.len());
                return Err(vec![
                    Problem::new("expr/unsupported", message, range).help("add `language: python`"),
                ]);
            }
            let left = self.as_decimal(left, &right);
            let right = self.as_decimal(right, &left);
            let kind = ExprKind::Compare(Box::new(left), vec![(*op, right)]);
            return Ok(Some(self.make(kind, 0, self.text.len())));
        }
        Ok(None)
    }

    /// A literal beside a field of decimals stands for its digits, not for the float next to them.
    fn as_decimal(&self, literal: Expr, other: &Expr) -> Expr {
        let ExprKind::Column(index) = other.kind else { return literal };
        let (ExprKind::Const(Const::Float(_)), false) = (&literal.kind, self.beam_compat) else {
            return literal;
        };
        if !(self.is_decimal)(index) {
            return literal;
        }
        let (start, end) = (literal.at as usize, literal.end as usize);
        let digits = Const::Str(Arc::from(self.text.get(start..end).unwrap_or("")));
        let args = Arguments {
            positional: vec![self.make(ExprKind::Const(digits), start, end)],
            ..Arguments::default()
        };
        let class = self.make(ExprKind::Const(Const::Type("Decimal")), start, end);
        self.make(ExprKind::Call { function: Box::new(class), args }, start, end)
    }

    /// Names what is unknown where the text has the right form, else the form.
    fn refused(&self) -> Problem {
        let fields = self.fields.iter().map(String::as_str);
        let parts = OPERATORS.iter().find_map(|(sign, _)| {
            self.text.find(sign).map(|at| [(0, at), (at + sign.len(), self.text.len())])
        });
        let sides: Vec<(usize, usize)> = parts.map_or_else(|| vec![(0, self.text.len())], |p| p.to_vec());
        for (start, end) in sides {
            let raw = self.text.get(start..end).unwrap_or("");
            let name = raw.trim();
            let word = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
            if word && matches!(self.atom(start, end), Ok(None)) {
                let message = format!("unknown field `{name}`");
                return unknown_name(message, name, "fields", fields, Some(start..end));
            }
        }
        let message = format!("`{}` is no field, literal or comparison of two of them", self.text.trim());
        let problem = Problem::new("expr/syntax", message, Some(0..self.text.len()));
        let listed = self.fields.iter().map(String::as_str).take(20).collect::<Vec<_>>().join(", ");
        problem
            .help("other expressions need a language: add `language: python`")
            .help(format!("fields: {listed}"))
    }
}

enum Number {
    Int(i64),
    Float(f64),
    TooBig,
}

/// `-?\d+` or `-?\d+\.\d*`.
fn number(text: &str) -> Option<Number> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    match digits.split_once('.') {
        None if !digits.is_empty() && all_digits(digits) => {
            Some(text.parse().map_or(Number::TooBig, Number::Int))
        }
        Some((whole, rest)) if !whole.is_empty() && all_digits(whole) && all_digits(rest) => {
            text.parse().ok().map(Number::Float)
        }
        _ => None,
    }
}

/// Text in double quotes, without quotes and backslashes inside.
fn quoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"').filter(|s| !s.contains(['"', '\\']))
}

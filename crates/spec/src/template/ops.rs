//! The operators of templates, bounded: no expression can make more than a fixed amount of text.

use super::arithmetic::{CAT, OPS};
use super::datetime;
use super::prepare::TICK;
use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{Rest, Tuple, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// All text and list items that one rendering may make on the way, in bytes.
pub(crate) const MADE_BYTES_MAX: u64 = 256 << 20;
/// Widest padding, indentation and precision.
const WIDTH_MAX: usize = 10_000;
/// What a list item counts for.
const ITEM_BYTES: usize = 32;

/// The detail of errors that say a limit was met.
pub(crate) const LIMIT_MET: &str = "the template makes too much text";

/// How much a rendering has made so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Budget(Arc<AtomicU64>);

impl Budget {
    /// Accounts for `bytes` about to be made.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), Error> {
        let before = self.0.fetch_add(bytes as u64, Ordering::Relaxed);
        if before.saturating_add(bytes as u64) > MADE_BYTES_MAX {
            return Err(Error::new(ErrorKind::InvalidOperation, LIMIT_MET));
        }
        Ok(())
    }
}

/// Registers the functions that rewritten expressions call.
pub(crate) fn register(env: &mut Environment<'_>, budget: &Budget) {
    let b = budget.clone();
    env.add_function(OPS, move |ops: &str, args: Rest<Value>| -> Result<Value, Error> {
        let mut rest = args.iter();
        let mut left = rest.next().cloned().ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
        for (op, right) in ops.chars().zip(rest) {
            left = apply(op, &left, right, &b)?;
        }
        Ok(left)
    });
    let b = budget.clone();
    env.add_function(CAT, move |args: Rest<Value>| -> Result<Value, Error> {
        let mut text = String::new();
        for value in args.iter() {
            defined(value)?;
            let part = text_of(value, &b)?;
            b.take(part.len())?;
            text.push_str(&part);
        }
        Ok(Value::from(text))
    });
    let b = budget.clone();
    env.add_function(TICK, move |bytes: usize| -> Result<(), Error> { b.take(bytes) });
}

/// An error that names the variable, for a value that is undefined.
pub(crate) fn defined(value: &Value) -> Result<(), Error> {
    if value.is_undefined() {
        // The engine's own way, which keeps where the value came from.
        value.get_attr("x")?;
    }
    Ok(())
}

/// A value as text. Lists can hold one text many times, so their text is accounted for as it grows.
pub(crate) fn text_of(value: &Value, budget: &Budget) -> Result<String, Error> {
    if let Some(s) = value.as_str() {
        return Ok(s.to_owned());
    }
    if value.is_number() && !value.is_integer() {
        return Ok(f64::try_from(value.clone()).map_or_else(|_| value.to_string(), float_text));
    }
    let mut out = Bounded { text: String::new(), budget };
    if std::fmt::write(&mut out, format_args!("{value}")).is_err() {
        return Err(Error::new(ErrorKind::InvalidOperation, LIMIT_MET));
    }
    Ok(out.text)
}

/// A float as Python's `repr` has it.
fn float_text(f: f64) -> String {
    if !f.is_finite() {
        return if f.is_nan() {
            "nan"
        } else if f > 0.0 {
            "inf"
        } else {
            "-inf"
        }
        .to_owned();
    }
    if f != 0.0 && !(1e-4..1e16).contains(&f.abs()) {
        let text = format!("{f:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    format!("{f:?}")
}

struct Bounded<'a> {
    text: String,
    budget: &'a Budget,
}

impl std::fmt::Write for Bounded<'_> {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        self.budget.take(s.len()).map_err(|_| std::fmt::Error)?;
        self.text.push_str(s);
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Number {
    Int(i128),
    Float(f64),
}

fn number(value: &Value) -> Option<Number> {
    if value.kind() == ValueKind::Bool {
        return Some(Number::Int(i128::from(value.is_true())));
    }
    if !value.is_number() {
        return None;
    }
    if value.is_integer() {
        return i128::try_from(value.clone()).ok().map(Number::Int);
    }
    f64::try_from(value.clone()).ok().map(Number::Float)
}

fn bad(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, what.into())
}

fn apply(op: char, a: &Value, b: &Value, budget: &Budget) -> Result<Value, Error> {
    defined(a)?;
    defined(b)?;
    if let Some(done) = datetime::arithmetic(op, a, b) {
        return done;
    }
    if let (Some(x), Some(y)) = (number(a), number(b)) {
        return numbers(op, x, y);
    }
    match (op, a.as_str(), b.as_str()) {
        ('+', Some(x), Some(y)) => {
            budget.take(x.len().saturating_add(y.len()))?;
            return Ok(Value::from(format!("{x}{y}")));
        }
        ('*', Some(s), _) | ('*', _, Some(s)) => {
            let times = if a.as_str().is_some() { b } else { a };
            if let Some(Number::Int(n)) = number(times) {
                let n = usize::try_from(n.max(0)).unwrap_or(usize::MAX);
                budget.take(s.len().saturating_mul(n))?;
                return Ok(Value::from(s.repeat(n)));
            }
        }
        ('%', Some(f), _) => {
            let args = if b.is_tuple() { b.try_iter()?.collect() } else { vec![b.clone()] };
            return printf(f, &args, budget).map(Value::from);
        }
        _ => {}
    }
    lists(op, a, b, budget)?.ok_or_else(|| {
        let sign = if op == 'f' { "//".to_owned() } else { op.to_string() };
        bad(format!("`{sign}` does not work between {} and {}", a.kind(), b.kind()))
    })
}

/// Lists added and repeated.
fn lists(op: char, a: &Value, b: &Value, budget: &Budget) -> Result<Option<Value>, Error> {
    let is_list = |v: &Value| matches!(v.kind(), ValueKind::Seq | ValueKind::Iterable);
    let times = |v: &Value| match number(v) {
        Some(Number::Int(n)) => Some(usize::try_from(n.max(0)).unwrap_or(usize::MAX)),
        _ => None,
    };
    let copies: Vec<(&Value, usize)> = match op {
        '+' if is_list(a) && is_list(b) && a.is_tuple() == b.is_tuple() => vec![(a, 1), (b, 1)],
        '*' => match (is_list(a), is_list(b), times(a), times(b)) {
            (true, false, _, Some(n)) => vec![(a, n)],
            (false, true, Some(n), _) => vec![(b, n)],
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    let mut items: Vec<Value> = Vec::new();
    for (list, n) in copies {
        let part: Vec<Value> = list.try_iter()?.collect();
        budget.take(part.len().saturating_mul(n).saturating_mul(ITEM_BYTES))?;
        for _ in 0..if part.is_empty() { 0 } else { n } {
            items.extend(part.iter().cloned());
        }
    }
    Ok(Some(if a.is_tuple() || b.is_tuple() { Value::from(Tuple::from(items)) } else { Value::from(items) }))
}

fn numbers(op: char, a: Number, b: Number) -> Result<Value, Error> {
    let by_zero = || bad("division by zero");
    let too_large = || bad("the number is too large");
    let (x, y) = match (a, b) {
        (Number::Int(x), Number::Int(y)) if op != '/' => {
            let done = match op {
                '+' => x.checked_add(y),
                '-' => x.checked_sub(y),
                '*' => x.checked_mul(y),
                _ if y == 0 => return Err(by_zero()),
                'f' => x.checked_div(y).map(|q| q - i128::from(x % y != 0 && (x < 0) != (y < 0))),
                _ => x.checked_rem(y).map(|r| if r != 0 && (r < 0) != (y < 0) { r + y } else { r }),
            };
            let done = done.ok_or_else(too_large)?;
            return Ok(i64::try_from(done).map_or_else(|_| Value::from(done), Value::from));
        }
        _ => (float(a), float(b)),
    };
    Ok(Value::from(match op {
        '+' => x + y,
        '-' => x - y,
        '*' => x * y,
        _ if y == 0.0 => return Err(by_zero()),
        '/' => x / y,
        'f' => (x / y).floor(),
        _ => {
            let r = x % y;
            if r != 0.0 && (r < 0.0) != (y < 0.0) { r + y } else { r }
        }
    }))
}

fn float(n: Number) -> f64 {
    match n {
        Number::Int(i) => i as f64,
        Number::Float(f) => f,
    }
}

/// `'%02d' % 7`, with widths bounded.
pub(crate) fn printf(text: &str, args: &[Value], budget: &Budget) -> Result<String, Error> {
    formatted(FormatStyle::Printf, text, args, budget)
}

/// `'{:>5}'.format(x)` and `'%5d' % x`, with widths bounded.
pub(crate) fn formatted(
    style: FormatStyle,
    text: &str,
    args: &[Value],
    budget: &Budget,
) -> Result<String, Error> {
    args.iter().try_for_each(defined)?;
    let signs = text.matches(['%', '{']).count();
    let widest = widest_number(text)
        .max(args.iter().filter_map(Value::as_usize).filter(|_| text.contains('*')).max().unwrap_or(0));
    if signs > 0 && widest > WIDTH_MAX {
        return Err(bad(format!("a width above {WIDTH_MAX} in a format")));
    }
    // A field may show any argument, and as often as it likes.
    let longest = args.iter().filter_map(Value::as_str).map(str::len).max().unwrap_or(64);
    budget.take(signs.saturating_mul(longest.saturating_add(widest)).saturating_add(text.len()))?;
    format(style, text, args)
}

fn widest_number(text: &str) -> usize {
    text.split(|c: char| !c.is_ascii_digit())
        .filter(|d| !d.is_empty())
        .map(|d| d.parse().unwrap_or(usize::MAX))
        .max()
        .unwrap_or(0)
}

/// Checks a padding or indentation width.
pub(crate) fn width(n: usize) -> Result<usize, Error> {
    if n > WIDTH_MAX { Err(bad(format!("a width above {WIDTH_MAX}"))) } else { Ok(n) }
}

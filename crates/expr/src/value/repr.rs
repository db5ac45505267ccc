//! `str`, `repr` and `ascii` of values.

use super::time::{date_text, time_micros, time_text};
use super::{Res, Value, View, delta_text, float_repr, raise, zone_name};

/// Deeper values are refused, and a list that holds itself ends here.
const DEPTH_MAX: u32 = 200;
/// A text longer than this is refused: one value may hold another a million times.
const TEXT_MAX: usize = 64 << 20;

/// `str(value)`.
pub(crate) fn text(value: &Value) -> Res<String> {
    Ok(match value {
        Value::Str(s) => s.to_string(),
        Value::Exception(e) => match e.args.as_slice() {
            [] => String::new(),
            [only] if e.kind == "KeyError" => repr(only)?,
            [only] => text(only)?,
            several => repr(&Value::tuple(several.to_vec()))?,
        },
        Value::Decimal(d) => d.text(),
        Value::Date(d) => date_text(*d),
        Value::Time(t) => time_text(*t),
        Value::DateTime(d) => d.iso(" "),
        Value::Delta(d) => delta_text(*d),
        Value::Zone(z) => zone_name(z),
        other => repr(other)?,
    })
}

/// `repr(value)`.
pub(crate) fn repr(value: &Value) -> Res<String> {
    let mut out = String::new();
    write_repr(&mut out, value, 0)?;
    Ok(out)
}

/// `ascii(value)`: `repr` with everything beyond ASCII escaped.
pub(crate) fn ascii(value: &Value) -> Res<String> {
    let shown = repr(value)?;
    let mut out = String::with_capacity(shown.len());
    for c in shown.chars() {
        if c.is_ascii() { out.push(c) } else { escape(&mut out, c) }
    }
    Ok(out)
}

fn write_repr(out: &mut String, value: &Value, depth: u32) -> Res<()> {
    if depth > DEPTH_MAX {
        return raise(
            "RecursionError",
            "maximum recursion depth exceeded while getting the repr of an object",
        );
    }
    if out.len() > TEXT_MAX {
        return raise("MemoryError", "the text of the value is too long");
    }
    match value {
        Value::None => out.push_str("None"),
        Value::Ellipsis => out.push_str("Ellipsis"),
        Value::Bool(b) => out.push_str(if *b { "True" } else { "False" }),
        Value::Int(i) => put(out, format_args!("{i}")),
        Value::Big(b) => {
            if b.bits() > 14_300 {
                return raise(
                    "ValueError",
                    "Exceeds the limit (4300 digits) for integer string conversion; use sys.set_int_max_str_digits() \
                     to increase the limit",
                );
            }
            put(out, format_args!("{b}"));
        }
        Value::Float(f) => out.push_str(&float_repr(*f)),
        Value::Decimal(d) => put(out, format_args!("Decimal('{}')", d.text())),
        Value::Str(s) => out.push_str(&repr_str(s)),
        Value::Bytes(b) => repr_bytes(out, b),
        Value::List(l) => items(out, "[", l.0.borrow().iter(), "]", depth)?,
        Value::Tuple(t) => items(out, "(", t.0.iter(), if t.0.len() == 1 { ",)" } else { ")" }, depth)?,
        Value::Dict(d) => pairs(out, &d.0.borrow(), depth)?,
        Value::Set(s) => {
            let set = s.items.borrow();
            let (open, close) = match (s.frozen, set.is_empty()) {
                (true, true) => ("frozenset(", ")"),
                (true, false) => ("frozenset({", "})"),
                (false, true) => ("set(", ")"),
                (false, false) => ("{", "}"),
            };
            items(out, open, set.iter().map(super::Key::value), close, depth)?;
        }
        Value::View(d, kind) => view(out, d, *kind, depth)?,
        Value::Row(r) => {
            out.push_str("Row(");
            for (i, (name, value)) in r.names.iter().zip(&r.values).enumerate() {
                put(out, format_args!("{}{name}=", if i == 0 { "" } else { ", " }));
                write_repr(out, value, depth + 1)?;
            }
            out.push(')');
        }
        Value::Exception(e) => {
            out.push_str(e.kind);
            items(out, "(", e.args.iter(), ")", depth)?;
        }
        other => repr_other(out, other)?,
    }
    Ok(())
}

/// Values without parts.
fn repr_other(out: &mut String, value: &Value) -> Res<()> {
    match value {
        Value::Range(r) if r.step == 1 => put(out, format_args!("range({}, {})", r.start, r.stop)),
        Value::Range(r) => put(out, format_args!("range({}, {}, {})", r.start, r.stop, r.step)),
        Value::Timestamp(t) => put(out, format_args!("Timestamp({})", seconds(*t))),
        Value::Duration(t) => put(out, format_args!("Duration({})", seconds(*t))),
        Value::Date(d) => put(out, format_args!("datetime.date({}, {}, {})", d.year(), d.month(), d.day())),
        Value::Time(t) => put(out, format_args!("datetime.time({})", clock(*t))),
        Value::DateTime(d) => {
            let date = d.naive.date();
            let head = format!("{}, {}, {}", date.year(), date.month(), date.day());
            put(out, format_args!("datetime.datetime({head}, {}", clock(d.naive.time())));
            if let Some(zone) = &d.zone {
                out.push_str(", tzinfo=");
                repr_other(out, &Value::Zone(zone.clone()))?;
            }
            out.push(')');
        }
        Value::Delta(d) => repr_delta(out, *d),
        Value::Zone(z) if z.offset == 0 && z.name.is_none() => out.push_str("datetime.timezone.utc"),
        Value::Zone(z) => {
            out.push_str("datetime.timezone(");
            repr_delta(out, i64::from(z.offset) * 1_000_000);
            if let Some(name) = &z.name {
                put(out, format_args!(", {}", repr_str(name)));
            }
            out.push(')');
        }
        Value::Type(name) => put(out, format_args!("<class '{}'>", type_path(name))),
        Value::Module(name) => put(out, format_args!("<module '{name}'>")),
        Value::Builtin(b) => put(out, format_args!("<built-in function {}>", b.name)),
        Value::Function(f) => put(out, format_args!("<function {}>", f.name())),
        Value::Pattern(p) => put(out, format_args!("re.compile({})", repr_str(&p.source))),
        Value::Match(m) => {
            let (start, end) = m.span(0).unwrap_or((0, 0));
            let shown = m.group_text(0).map(repr_str).unwrap_or_default();
            put(out, format_args!("<re.Match object; span=({start}, {end}), match={shown}>"));
        }
        other => put(out, format_args!("<{} object>", other.type_name())),
    }
    Ok(())
}

fn type_path(name: &str) -> String {
    match name {
        "datetime" | "date" | "time" | "timedelta" | "timezone" => format!("datetime.{name}"),
        "Decimal" | "DecimalException" | "InvalidOperation" | "DivisionByZero" | "DivisionUndefined"
        | "DivisionImpossible" | "ConversionSyntax" | "Overflow" => format!("decimal.{name}"),
        "JSONDecodeError" => "json.decoder.JSONDecodeError".to_owned(),
        "error" => "re.error".to_owned(),
        _ => name.to_owned(),
    }
}

fn put(out: &mut String, args: std::fmt::Arguments<'_>) {
    out.push_str(&args.to_string());
}

fn items<'a>(
    out: &mut String,
    open: &str,
    values: impl Iterator<Item = &'a Value>,
    close: &str,
    depth: u32,
) -> Res<()> {
    out.push_str(open);
    for (i, value) in values.enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        write_repr(out, value, depth + 1)?;
    }
    out.push_str(close);
    Ok(())
}

fn pairs(out: &mut String, dict: &super::Dict, depth: u32) -> Res<()> {
    out.push('{');
    for (i, (key, value)) in dict.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        write_repr(out, key.value(), depth + 1)?;
        out.push_str(": ");
        write_repr(out, value, depth + 1)?;
    }
    out.push('}');
    Ok(())
}

fn view(out: &mut String, dict: &super::DictCell, kind: View, depth: u32) -> Res<()> {
    let dict = dict.0.borrow();
    match kind {
        View::Keys => items(out, "dict_keys([", dict.keys().map(super::Key::value), "])", depth),
        View::Values => items(out, "dict_values([", dict.values(), "])", depth),
        View::Items => {
            let tuples: Vec<Value> =
                dict.iter().map(|(k, v)| Value::tuple(vec![k.value().clone(), v.clone()])).collect();
            items(out, "dict_items([", tuples.iter(), "])", depth)
        }
    }
}

fn clock(time: jiff::civil::Time) -> String {
    let micros = time_micros(time) % 1_000_000;
    match (time.second(), micros) {
        (0, 0) => format!("{}, {}", time.hour(), time.minute()),
        (second, 0) => format!("{}, {}, {second}", time.hour(), time.minute()),
        (second, micros) => format!("{}, {}, {second}, {micros}", time.hour(), time.minute()),
    }
}

fn repr_delta(out: &mut String, micros: i64) {
    let day = 86_400_000_000;
    let (days, rest) = (micros.div_euclid(day), micros.rem_euclid(day));
    let parts: Vec<String> =
        [("days", days), ("seconds", rest / 1_000_000), ("microseconds", rest % 1_000_000)]
            .iter()
            .filter(|(_, n)| *n != 0)
            .map(|(name, n)| format!("{name}={n}"))
            .collect();
    let inside = if parts.is_empty() { "0".to_owned() } else { parts.join(", ") };
    put(out, format_args!("datetime.timedelta({inside})"));
}

/// Beam prints whole seconds without a dot.
fn seconds(micros: i64) -> String {
    let (sign, abs) = (if micros < 0 { "-" } else { "" }, micros.unsigned_abs());
    if abs.is_multiple_of(1_000_000) {
        return format!("{sign}{}", abs / 1_000_000);
    }
    format!("{sign}{}.{:06}", abs / 1_000_000, abs % 1_000_000)
}

/// `repr` of a text: single quotes unless only double ones avoid escaping.
pub(crate) fn repr_str(s: &str) -> String {
    let quote = if s.contains('\'') && !s.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(s.len() + 2);
    out.push(quote);
    for c in s.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if is_printable(c) => out.push(c),
            c => escape(&mut out, c),
        }
    }
    out.push(quote);
    out
}

fn escape(out: &mut String, c: char) {
    match u32::from(c) {
        n @ ..=0xff => put(out, format_args!("\\x{n:02x}")),
        n @ ..=0xffff => put(out, format_args!("\\u{n:04x}")),
        n => put(out, format_args!("\\U{n:08x}")),
    }
}

/// `str.isprintable` of one character. Rust's escape table is the same but for combining marks,
/// which Python prints.
pub(crate) fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    if matches!(u32::from(c), 0x300..=0x36f | 0x483..=0x489 | 0xfe00..=0xfe0f | 0x1ab0..=0x1aff | 0x20d0..=0x20ff)
    {
        return true;
    }
    c.escape_debug().count() == 1 && !c.is_whitespace()
}

fn repr_bytes(out: &mut String, bytes: &[u8]) {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    out.push('b');
    out.push(quote);
    for &b in bytes {
        match b {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b if char::from(b) == quote => {
                out.push('\\');
                out.push(quote);
            }
            b' '..=b'~' => out.push(char::from(b)),
            b => put(out, format_args!("\\x{b:02x}")),
        }
    }
    out.push(quote);
}

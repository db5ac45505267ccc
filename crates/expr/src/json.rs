//! Module `json`: reading and writing JSON texts as CPython does.

use crate::builtins::{BuiltinDef, def};
use crate::interp::{Args, Machine};
use crate::value::{
    Dict, Key, Raise, Res, Value, float_repr, order, parse_float, parse_int, raise, timestamp_text,
    type_error, value_error,
};

pub(crate) const TABLE: &[BuiltinDef] = &[def("json.dumps", dumps), def("json.loads", loads)];

/// Texts nested deeper are refused.
const DEPTH_MAX: usize = 200;

fn loads(machine: &mut Machine<'_>, args: Args) -> Res<Value> {
    let text = match args.one("json.loads")? {
        Value::Str(s) => s.to_string(),
        Value::Bytes(b) => match std::str::from_utf8(&b) {
            Ok(s) => s.to_owned(),
            Err(_) => return Err(value_error("the bytes are not UTF-8")),
        },
        other => {
            let kind = other.type_name();
            return Err(type_error(format!("the JSON object must be str, bytes or bytearray, not {kind}")));
        }
    };
    // A list of empty lists takes the most room for its text.
    machine.charge(text.len().saturating_mul(16))?;
    if text.starts_with('\u{feff}') {
        return Err(decode_error("Unexpected UTF-8 BOM (decode using utf-8-sig)", &text, 0));
    }
    parse(&text)
}

/// The value of a JSON text.
pub(crate) fn parse(text: &str) -> Res<Value> {
    let mut reader = Reader { text, at: 0 };
    reader.space();
    let value = reader.value(0)?;
    reader.space();
    if reader.at < text.len() { Err(decode_error("Extra data", text, reader.at)) } else { Ok(value) }
}

/// `JSONDecodeError('what: line 1 column 2 (char 1)')`.
fn decode_error(what: &str, text: &str, at: usize) -> Raise {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    let chars = before.chars().count();
    Raise::new("JSONDecodeError", format!("{what}: line {line} column {column} (char {chars})"))
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn failed<T>(&self, what: &str) -> Res<T> {
        Err(decode_error(what, self.text, self.at))
    }

    fn value(&mut self, depth: usize) -> Res<Value> {
        if depth > DEPTH_MAX {
            return raise("RecursionError", "maximum recursion depth exceeded while decoding a JSON object");
        }
        const WORDS: [(&str, Value); 6] = [
            ("null", Value::None),
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("NaN", Value::Float(f64::NAN)),
            ("Infinity", Value::Float(f64::INFINITY)),
            ("-Infinity", Value::Float(f64::NEG_INFINITY)),
        ];
        match self.peek() {
            Some(b'"') => self.string().map(Value::str),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            _ => {
                let rest = self.rest();
                if let Some((word, value)) = WORDS.into_iter().find(|(word, _)| rest.starts_with(word)) {
                    self.at += word.len();
                    return Ok(value);
                }
                self.number()
            }
        }
    }

    fn number(&mut self) -> Res<Value> {
        let start = self.at;
        let digits = |reader: &mut Self| {
            let from = reader.at;
            while reader.peek().is_some_and(|b| b.is_ascii_digit()) {
                reader.at += 1;
            }
            reader.at > from
        };
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let first = self.peek();
        if first == Some(b'0') {
            self.at += 1;
        } else if !digits(self) {
            self.at = start;
            return self.failed("Expecting value");
        }
        let whole = self.at;
        if self.peek() == Some(b'.') {
            self.at += 1;
            if !digits(self) {
                self.at = whole;
            }
        }
        let fraction = self.at;
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if !digits(self) {
                self.at = fraction;
            }
        }
        let text = self.text.get(start..self.at).unwrap_or("");
        if self.at == whole {
            parse_int(text, 10, &Value::str(text))
        } else {
            parse_float(text).map(Value::Float)
        }
    }

    fn array(&mut self, depth: usize) -> Res<Value> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::list(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::list(items));
                }
                _ => return self.failed("Expecting ',' delimiter"),
            }
            self.space();
        }
    }

    fn object(&mut self, depth: usize) -> Res<Value> {
        self.at += 1;
        let mut dict = Dict::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::dict(dict));
        }
        loop {
            if self.peek() != Some(b'"') {
                return self.failed("Expecting property name enclosed in double quotes");
            }
            let key = self.string()?;
            self.space();
            if self.peek() != Some(b':') {
                return self.failed("Expecting ':' delimiter");
            }
            self.at += 1;
            self.space();
            let value = self.value(depth + 1)?;
            dict.insert(Key::str(&key), value);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::dict(dict));
                }
                _ => return self.failed("Expecting ',' delimiter"),
            }
            self.space();
        }
    }

    fn string(&mut self) -> Res<String> {
        let start = self.at;
        self.at += 1;
        let mut out = String::new();
        loop {
            let plain = self.rest().find(|c: char| c == '"' || c == '\\' || c < ' ');
            let Some(plain) = plain else {
                return Err(decode_error("Unterminated string starting at", self.text, start));
            };
            out.push_str(self.rest().get(..plain).unwrap_or(""));
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => self.escape(&mut out, start)?,
                _ => return self.failed("Invalid control character at"),
            }
        }
    }

    fn escape(&mut self, out: &mut String, start: usize) -> Res<()> {
        let slash = self.at;
        self.at += 1;
        let Some(c) = self.peek() else {
            return Err(decode_error("Unterminated string starting at", self.text, start));
        };
        self.at += 1;
        out.push(match c {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(out, slash),
            _ => return Err(decode_error("Invalid \\escape", self.text, slash)),
        });
        Ok(())
    }

    fn hex(&mut self, slash: usize) -> Res<u32> {
        let digits = self.text.get(self.at..self.at + 4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        match digits.and_then(|d| u32::from_str_radix(d, 16).ok()) {
            Some(code) => {
                self.at += 4;
                Ok(code)
            }
            None => Err(decode_error("Invalid \\uXXXX escape", self.text, slash + 1)),
        }
    }

    fn unicode_escape(&mut self, out: &mut String, slash: usize) -> Res<()> {
        let mut code = self.hex(slash)?;
        if (0xd800..0xdc00).contains(&code) && self.rest().starts_with("\\u") {
            self.at += 2;
            let low = self.hex(self.at - 2)?;
            if (0xdc00..0xe000).contains(&low) {
                code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            }
        }
        // A lone surrogate is no character; Rust's texts cannot hold it.
        out.push(char::from_u32(code).unwrap_or('\u{fffd}'));
        Ok(())
    }
}

/// How `json.dumps` writes.
pub(crate) struct Style {
    indent: Option<String>,
    item: String,
    key: String,
    sort: bool,
    ascii: bool,
    skip: bool,
    allow_nan: bool,
    default: Option<Value>,
    /// Times, rows and sets as JSON has them; for fields of type Any.
    lenient: bool,
}

/// A value of type Any as JSON text: what no JSON has is written as Purlin writes it elsewhere.
pub(crate) fn any_text(machine: &mut Machine<'_>, value: &Value) -> Res<String> {
    let style = Style {
        indent: None,
        item: ", ".to_owned(),
        key: ": ".to_owned(),
        sort: false,
        ascii: false,
        skip: false,
        allow_nan: false,
        default: None,
        lenient: true,
    };
    let mut out = String::new();
    style.write(machine, &mut out, value, 0)?;
    Ok(out)
}

fn dumps(machine: &mut Machine<'_>, mut args: Args) -> Res<Value> {
    let mut flag = |name: &str, default: bool| args.take_keyword(name).map_or(default, |v| v.truthy());
    let (sort, ascii, skip) = (flag("sort_keys", false), flag("ensure_ascii", true), flag("skipkeys", false));
    let allow_nan = flag("allow_nan", true);
    let indent = match args.take_keyword("indent") {
        None | Some(Value::None) => None,
        Some(Value::Str(s)) => Some(s.to_string()),
        Some(n) => Some(" ".repeat(usize::try_from(n.as_int().unwrap_or(0)).unwrap_or(0).min(1000))),
    };
    let (mut item, mut key) = (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned());
    if let Some(Value::Tuple(t)) = args.take_keyword("separators")
        && let [Value::Str(i), Value::Str(k)] = t.0.as_slice()
    {
        (item, key) = (i.to_string(), k.to_string());
    }
    let default = args.take_keyword("default").filter(|d| !matches!(d, Value::None));
    let style = Style { indent, item, key, sort, ascii, skip, allow_nan, default, lenient: false };
    let value = args.one("json.dumps")?;
    let mut out = String::new();
    style.write(machine, &mut out, &value, 0)?;
    machine.text(out)
}

impl Style {
    fn write(&self, machine: &mut Machine<'_>, out: &mut String, value: &Value, depth: usize) -> Res<()> {
        machine.step()?;
        if depth > DEPTH_MAX {
            return raise("ValueError", "Circular reference detected");
        }
        match value {
            Value::None => out.push_str("null"),
            Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Value::Int(_) | Value::Big(_) => out.push_str(&crate::value::repr(value)?),
            Value::Float(f) => self.float(out, *f)?,
            Value::Str(s) => {
                machine.charge(s.len())?;
                self.string(out, s);
            }
            Value::List(l) => {
                let items = l.0.borrow().clone();
                self.array(machine, out, &items, depth)?;
            }
            Value::Tuple(t) => self.array(machine, out, &t.0, depth)?,
            Value::Row(r) if !self.lenient => self.array(machine, out, &r.values, depth)?,
            Value::Row(r) => {
                let pairs = r.names.iter().map(|n| Value::str(&**n)).zip(r.values.iter().cloned());
                self.object(machine, out, pairs.collect(), depth)?;
            }
            Value::Dict(d) => {
                let pairs = d.0.borrow().iter().map(|(k, v)| (k.value().clone(), v.clone())).collect();
                self.object(machine, out, pairs, depth)?;
            }
            other => self.other(machine, out, other, depth)?,
        }
        Ok(())
    }

    fn other(&self, machine: &mut Machine<'_>, out: &mut String, value: &Value, depth: usize) -> Res<()> {
        if let Some(default) = &self.default {
            let replaced = machine.call(default, Args::of(vec![value.clone()]))?;
            return self.write(machine, out, &replaced, depth + 1);
        }
        if self.lenient {
            match value {
                Value::Decimal(d) => {
                    out.push_str(&d.text());
                    return Ok(());
                }
                Value::Timestamp(_) | Value::DateTime(_) | Value::Date(_) | Value::Time(_) => {
                    let text = match value {
                        Value::Timestamp(t) => timestamp_text(*t),
                        Value::DateTime(d) => d.iso("T"),
                        other => crate::value::text(other)?,
                    };
                    self.string(out, &text);
                    return Ok(());
                }
                Value::Delta(d) | Value::Duration(d) => {
                    #[allow(clippy::cast_precision_loss, reason = "seconds as the nearest float")]
                    return self.float(out, *d as f64 / 1e6);
                }
                Value::Set(_) | Value::Range(_) | Value::View(..) | Value::Iter(_) => {
                    let items = machine.collect(value)?;
                    return self.array(machine, out, &items, depth);
                }
                _ => {}
            }
        }
        let kind = value.type_name().trim_start_matches("datetime.").trim_start_matches("decimal.");
        Err(type_error(format!("Object of type {kind} is not JSON serializable")))
    }

    fn float(&self, out: &mut String, f: f64) -> Res<()> {
        let text = match (f.is_finite(), self.lenient) {
            (true, _) => float_repr(f),
            (false, true) => "null".to_owned(),
            (false, false) if !self.allow_nan => {
                return Err(value_error("Out of range float values are not JSON compliant"));
            }
            (false, false) if f.is_nan() => "NaN".to_owned(),
            (false, false) if f > 0.0 => "Infinity".to_owned(),
            _ => "-Infinity".to_owned(),
        };
        out.push_str(&text);
        Ok(())
    }

    fn string(&self, out: &mut String, s: &str) {
        out.push('"');
        for c in s.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                c if c < ' ' || (self.ascii && !c.is_ascii()) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }

    fn newline(&self, machine: &mut Machine<'_>, out: &mut String, depth: usize) -> Res<()> {
        if let Some(indent) = &self.indent {
            machine.charge(depth.saturating_mul(indent.len()))?;
            out.push('\n');
            (0..depth).for_each(|_| out.push_str(indent));
        }
        Ok(())
    }

    fn array(&self, machine: &mut Machine<'_>, out: &mut String, items: &[Value], depth: usize) -> Res<()> {
        machine.charge(items.len() * 4)?;
        out.push('[');
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                machine.charge(self.item.len())?;
                out.push_str(&self.item);
            }
            self.newline(machine, out, depth + 1)?;
            self.write(machine, out, item, depth + 1)?;
        }
        if !items.is_empty() {
            self.newline(machine, out, depth)?;
        }
        out.push(']');
        machine.charge(out.len() >> 8)
    }

    fn object(
        &self,
        machine: &mut Machine<'_>,
        out: &mut String,
        pairs: Vec<(Value, Value)>,
        depth: usize,
    ) -> Res<()> {
        let mut pairs = pairs;
        if self.sort {
            let mut failure = None;
            pairs.sort_by(|(a, _), (b, _)| match order("<", b, a) {
                Ok(o) => o.map_or(std::cmp::Ordering::Equal, std::cmp::Ordering::reverse),
                Err(r) => {
                    failure.get_or_insert(r);
                    std::cmp::Ordering::Equal
                }
            });
            if let Some(r) = failure {
                return Err(r);
            }
        }
        machine.charge(pairs.len() * 8)?;
        out.push('{');
        let mut first = true;
        for (key, value) in &pairs {
            let Some(name) = self.key_text(key)? else { continue };
            if !first {
                out.push_str(&self.item);
            }
            first = false;
            self.newline(machine, out, depth + 1)?;
            machine.charge(name.len() + self.key.len() + self.item.len())?;
            self.string(out, &name);
            out.push_str(&self.key);
            self.write(machine, out, value, depth + 1)?;
        }
        if !first {
            self.newline(machine, out, depth)?;
        }
        out.push('}');
        Ok(())
    }

    fn key_text(&self, key: &Value) -> Res<Option<String>> {
        Ok(Some(match key {
            Value::Str(s) => s.to_string(),
            Value::None => "null".to_owned(),
            Value::Bool(b) => b.to_string(),
            Value::Int(_) | Value::Big(_) => crate::value::repr(key)?,
            Value::Float(f) => float_repr(*f),
            _ if self.skip => return Ok(None),
            other => {
                let kind = other.type_name();
                return Err(type_error(format!("keys must be str, int, float, bool or None, not {kind}")));
            }
        }))
    }
}

//! Methods of texts, but for splitting and stripping.

use std::sync::Arc;

use super::{bytes, format, int_argument, text_argument, text_split as split};
use crate::interp::{Args, Machine, slice_bounds};
use crate::value::{Res, Value, type_error, value_error};

pub(super) type TextMethod = fn(&mut Machine<'_>, &Arc<str>, Args) -> Res<Value>;

const TABLE: &[(&str, TextMethod)] = &[
    ("capitalize", |m, s, a| plain(m, s, a, "capitalize", capitalize)),
    ("casefold", |m, s, a| {
        plain(m, s, a, "casefold", |s| s.to_lowercase().replace('ß', "ss").replace('ς', "σ"))
    }),
    ("center", |m, s, a| pad(m, s, a, "center")),
    ("count", |_, s, a| {
        let (part, window) = search_arguments(s, a, "count")?;
        Ok(Value::from_usize(if part.is_empty() {
            window.1.chars().count() + 1
        } else {
            window.1.matches(&*part).count()
        }))
    }),
    ("encode", |_, s, a| {
        let [encoding, errors] = a.bind("encode", ["encoding", "errors"], 0)?;
        bytes::encode(s, encoding.as_ref(), errors.as_ref())
    }),
    ("endswith", |_, s, a| affix(s, a, "endswith", |s, part| s.ends_with(part))),
    ("expandtabs", expand_tabs),
    ("find", |_, s, a| search(s, a, "find", false)),
    ("format", |m, s, a| format::str_format(m, s, a)),
    ("format_map", |m, s, a| {
        let map = a.one("format_map")?;
        format::str_format_map(m, s, &map)
    }),
    ("index", |_, s, a| found(search(s, a, "index", false)?)),
    ("isalnum", |_, s, a| test(s, a, "isalnum", |c| is_alpha(c) || c.is_numeric())),
    ("isalpha", |_, s, a| test(s, a, "isalpha", is_alpha)),
    ("isascii", |_, s, a| a.none("isascii").map(|()| Value::Bool(s.is_ascii()))),
    ("isdecimal", |_, s, a| test(s, a, "isdecimal", is_decimal)),
    ("isdigit", |_, s, a| test(s, a, "isdigit", |c| is_decimal(c) || is_super_digit(c))),
    ("isidentifier", |_, s, a| {
        a.none("isidentifier")?;
        let start = |c: char| c == '_' || c.is_alphabetic();
        let rest = |c: char| start(c) || c.is_numeric();
        Ok(Value::Bool(s.chars().next().is_some_and(start) && s.chars().all(rest)))
    }),
    ("islower", |_, s, a| cased(s, a, "islower", char::is_lowercase, char::is_uppercase)),
    ("isnumeric", |_, s, a| test(s, a, "isnumeric", char::is_numeric)),
    ("isprintable", |_, s, a| {
        a.none("isprintable")?;
        Ok(Value::Bool(s.chars().all(|c| {
            crate::value::repr_str(c.encode_utf8(&mut [0; 4])).chars().any(|d| d == c) || c == '\\'
        })))
    }),
    ("isspace", |_, s, a| test(s, a, "isspace", is_space)),
    ("istitle", is_title),
    ("isupper", |_, s, a| cased(s, a, "isupper", char::is_uppercase, char::is_lowercase)),
    ("join", join),
    ("ljust", |m, s, a| pad(m, s, a, "ljust")),
    ("lower", |m, s, a| plain(m, s, a, "lower", str::to_lowercase)),
    ("lstrip", |m, s, a| split::strip(m, s, a, "lstrip")),
    ("partition", |_, s, a| split::partition(s, a, "partition")),
    ("removeprefix", |m, s, a| {
        let part = a.one("removeprefix")?;
        let part = text_argument(&part, "removeprefix() argument")?;
        m.text(s.strip_prefix(part).unwrap_or(s).to_owned())
    }),
    ("removesuffix", |m, s, a| {
        let part = a.one("removesuffix")?;
        let part = text_argument(&part, "removesuffix() argument")?;
        m.text(s.strip_suffix(part).unwrap_or(s).to_owned())
    }),
    ("replace", replace),
    ("rfind", |_, s, a| search(s, a, "rfind", true)),
    ("rindex", |_, s, a| found(search(s, a, "rindex", true)?)),
    ("rjust", |m, s, a| pad(m, s, a, "rjust")),
    ("rpartition", |_, s, a| split::partition(s, a, "rpartition")),
    ("rsplit", |m, s, a| split::split(m, s, a, "rsplit")),
    ("rstrip", |m, s, a| split::strip(m, s, a, "rstrip")),
    ("split", |m, s, a| split::split(m, s, a, "split")),
    ("splitlines", split::split_lines),
    ("startswith", |_, s, a| affix(s, a, "startswith", |s, part| s.starts_with(part))),
    ("strip", |m, s, a| split::strip(m, s, a, "strip")),
    ("swapcase", |m, s, a| plain(m, s, a, "swapcase", swap_case)),
    ("title", |m, s, a| plain(m, s, a, "title", title)),
    ("translate", translate),
    ("upper", |m, s, a| plain(m, s, a, "upper", str::to_uppercase)),
    ("zfill", zfill),
];

pub(super) fn find(name: &str) -> Option<TextMethod> {
    let at = TABLE.binary_search_by(|(n, _)| (*n).cmp(name)).ok()?;
    TABLE.get(at).map(|(_, method)| *method)
}

pub(super) fn names() -> Vec<&'static str> {
    TABLE.iter().map(|(name, _)| *name).collect()
}

/// White space as `str.isspace` and `str.strip` see it.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

fn is_alpha(c: char) -> bool {
    c.is_alphabetic() && !c.is_numeric()
}

fn is_decimal(c: char) -> bool {
    c.is_ascii_digit() || (!c.is_ascii() && c.is_numeric() && decimal_zero(c).is_some())
}

/// The zero of the decimal digits that `c` is one of. The blocks met in practice.
fn decimal_zero(c: char) -> Option<u32> {
    const ZEROS: [u32; 22] = [
        0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xe50, 0xed0,
        0xf20, 0x1040, 0x17e0, 0x1810, 0xff10, 0x1d7ce, 0x1d7d8, 0x1d7e2,
    ];
    ZEROS.into_iter().find(|zero| (*zero..zero + 10).contains(&u32::from(c)))
}

fn is_super_digit(c: char) -> bool {
    matches!(u32::from(c), 0xb2 | 0xb3 | 0xb9 | 0x2070 | 0x2074..=0x2079 | 0x2080..=0x2089 | 0x2460..=0x2468)
}

fn plain(
    machine: &mut Machine<'_>,
    s: &str,
    args: Args,
    name: &str,
    f: impl Fn(&str) -> String,
) -> Res<Value> {
    args.none(name)?;
    machine.text(f(s))
}

fn test(s: &str, args: Args, name: &str, f: impl Fn(char) -> bool) -> Res<Value> {
    args.none(name)?;
    Ok(Value::Bool(!s.is_empty() && s.chars().all(f)))
}

fn cased(s: &str, args: Args, name: &str, yes: fn(char) -> bool, no: fn(char) -> bool) -> Res<Value> {
    args.none(name)?;
    Ok(Value::Bool(s.chars().any(yes) && !s.chars().any(no)))
}

fn capitalize(s: &str) -> String {
    let mut chars = s.chars();
    match chars.next() {
        Some(first) => title_char(first) + &chars.as_str().to_lowercase(),
        None => String::new(),
    }
}

/// Title case of one character: `ß` gives `Ss`, not `SS`.
fn title_char(c: char) -> String {
    let mut upper = c.to_uppercase();
    let mut out: String = upper.next().into_iter().collect();
    out.extend(upper.flat_map(char::to_lowercase));
    out
}

fn title(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    let mut inside = false;
    for c in s.chars() {
        if inside {
            out.extend(c.to_lowercase())
        } else {
            out.push_str(&title_char(c))
        }
        inside = c.is_alphabetic();
    }
    out
}

fn is_title(_: &mut Machine<'_>, s: &Arc<str>, args: Args) -> Res<Value> {
    args.none("istitle")?;
    let (mut inside, mut any) = (false, false);
    for c in s.chars() {
        if c.is_uppercase() {
            if inside {
                return Ok(Value::Bool(false));
            }
            (inside, any) = (true, true);
        } else if c.is_lowercase() {
            if !inside {
                return Ok(Value::Bool(false));
            }
            any = true;
        } else {
            inside = false;
        }
    }
    Ok(Value::Bool(any))
}

fn swap_case(s: &str) -> String {
    let swap = |c: char| -> String {
        if c.is_uppercase() { c.to_lowercase().collect() } else { c.to_uppercase().collect() }
    };
    s.chars().map(swap).collect()
}

fn join(machine: &mut Machine<'_>, s: &Arc<str>, args: Args) -> Res<Value> {
    let values = args.one("str.join")?;
    let items = machine.collect(&values).map_err(|r| match r.exception.kind {
        "TypeError" if !r.fatal && !matches!(values, Value::Iter(_)) => {
            type_error("can only join an iterable")
        }
        _ => r,
    })?;
    let mut out = String::new();
    for (i, item) in items.iter().enumerate() {
        let Value::Str(part) = item else {
            let kind = item.type_name();
            return Err(type_error(format!("sequence item {i}: expected str instance, {kind} found")));
        };
        if i > 0 {
            out.push_str(s);
        }
        machine.charge(part.len() + s.len())?;
        out.push_str(part);
    }
    Ok(Value::str(out))
}

fn pad(machine: &mut Machine<'_>, s: &str, args: Args, name: &str) -> Res<Value> {
    let [width, fill] = args.bind(name, ["/", "/"], 1)?;
    let width = usize::try_from(int_argument(&width.unwrap_or(Value::None))?).unwrap_or(0);
    let fill = match &fill {
        None => ' ',
        Some(f) => {
            let mut chars = text_argument(f, "The fill character")?.chars();
            match (chars.next(), chars.next()) {
                (Some(c), None) => c,
                _ => return Err(type_error("The fill character must be exactly one character long")),
            }
        }
    };
    let length = s.chars().count();
    let missing = width.saturating_sub(length);
    machine.charge(missing.saturating_mul(fill.len_utf8()))?;
    let left = match name {
        "ljust" => 0,
        "rjust" => missing,
        // CPython's rule for an odd rest.
        _ => missing / 2 + (missing & width & 1),
    };
    let run = |n: usize| std::iter::repeat_n(fill, n).collect::<String>();
    machine.text(format!("{}{s}{}", run(left), run(missing - left)))
}

fn zfill(machine: &mut Machine<'_>, s: &Arc<str>, args: Args) -> Res<Value> {
    let width = usize::try_from(int_argument(&args.one("zfill")?)?).unwrap_or(0);
    let missing = width.saturating_sub(s.chars().count());
    machine.charge(missing)?;
    let (sign, rest) = match s.strip_prefix(['+', '-']) {
        Some(rest) => (s.get(..1).unwrap_or(""), rest),
        None => ("", &**s),
    };
    machine.text(format!("{sign}{}{rest}", "0".repeat(missing)))
}

fn replace(machine: &mut Machine<'_>, s: &Arc<str>, args: Args) -> Res<Value> {
    let [old, new, count] = args.bind("replace", ["/", "/", "count"], 2)?;
    let (old, new) = (old.unwrap_or(Value::None), new.unwrap_or(Value::None));
    let old = text_argument(&old, "replace() argument 1")?;
    let new = text_argument(&new, "replace() argument 2")?;
    let count = count.as_ref().map_or(Ok(-1), int_argument)?;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let hits = if old.is_empty() { s.chars().count() + 1 } else { s.matches(old).count() };
    machine.charge(hits.min(count).saturating_mul(new.len()).saturating_add(s.len()))?;
    machine.text(if count == usize::MAX { s.replace(old, new) } else { s.replacen(old, new, count) })
}

/// The part to search for, and the window `[start:end]` with its offset in characters.
fn search_arguments<'s>(s: &'s str, args: Args, name: &str) -> Res<(Arc<str>, (usize, &'s str))> {
    let [part, start, end] = args.bind(name, ["/", "/", "/"], 1)?;
    let part = match part {
        Some(Value::Str(part)) => part,
        other => {
            let kind = other.map_or("NoneType", |o| o.type_name());
            return Err(type_error(format!("must be str, not {kind}")));
        }
    };
    window(s, start, end).map(|w| (part, w))
}

fn window(s: &str, start: Option<Value>, end: Option<Value>) -> Res<(usize, &str)> {
    let bound = |v: Option<Value>| match v {
        None | Some(Value::None) => Ok(None),
        Some(v) => int_argument(&v).map(Some),
    };
    let (start, end) = (bound(start)?, bound(end)?);
    if start.is_none() && end.is_none() {
        return Ok((0, s));
    }
    let length = s.chars().count();
    let picked = slice_bounds(&[start, end, None], length)?;
    let byte = |i: usize| s.char_indices().nth(i).map_or(s.len(), |(at, _)| at);
    Ok(match (picked.first(), picked.last()) {
        (Some(first), Some(last)) => (*first, s.get(byte(*first)..byte(*last + 1)).unwrap_or("")),
        _ => {
            let at = start.map_or(0, |v| if v < 0 { 0 } else { usize::try_from(v).unwrap_or(usize::MAX) });
            // Past the end not even the empty text is found.
            (at, if at > length { "\u{0}" } else { "" })
        }
    })
}

fn search(s: &str, args: Args, name: &str, last: bool) -> Res<Value> {
    let (part, (offset, window)) = search_arguments(s, args, name)?;
    if window == "\u{0}" && offset > s.chars().count() {
        return Ok(Value::Int(-1));
    }
    let at = if last { window.rfind(&*part) } else { window.find(&*part) };
    Ok(match at.and_then(|at| window.get(..at)) {
        Some(before) => Value::from_usize(offset + before.chars().count()),
        None => Value::Int(-1),
    })
}

fn found(at: Value) -> Res<Value> {
    if matches!(at, Value::Int(-1)) { Err(value_error("substring not found")) } else { Ok(at) }
}

fn affix(s: &str, args: Args, name: &str, test: impl Fn(&str, &str) -> bool) -> Res<Value> {
    let [parts, start, end] = args.bind(name, ["/", "/", "/"], 1)?;
    let (_, window) = window(s, start, end)?;
    let parts = match parts {
        Some(Value::Tuple(parts)) => parts.0.clone(),
        other => other.into_iter().collect(),
    };
    for part in &parts {
        let Value::Str(part) = part else {
            let kind = part.type_name();
            return Err(type_error(format!("{name} first arg must be str or a tuple of str, not {kind}")));
        };
        if test(window, part) {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn expand_tabs(machine: &mut Machine<'_>, s: &Arc<str>, args: Args) -> Res<Value> {
    let [size] = args.bind("expandtabs", ["tabsize"], 0)?;
    let size = usize::try_from(size.as_ref().map_or(Ok(8), int_argument)?).unwrap_or(0);
    let (mut out, mut column) = (String::new(), 0);
    for c in s.chars() {
        match c {
            '\t' => {
                let n = if size == 0 { 0 } else { size - column % size };
                machine.charge(n)?;
                out.extend(std::iter::repeat_n(' ', n));
                column += n;
            }
            '\n' | '\r' => {
                out.push(c);
                column = 0;
            }
            c => {
                out.push(c);
                column += 1;
            }
        }
    }
    machine.text(out)
}

/// `s.translate({ord: replacement})`.
fn translate(machine: &mut Machine<'_>, s: &Arc<str>, args: Args) -> Res<Value> {
    let table = args.one("translate")?;
    let Value::Dict(table) = &table else {
        return Err(type_error(format!("'{}' object is not subscriptable", table.type_name())));
    };
    let mut out = String::new();
    for c in s.chars() {
        let key = crate::value::Key::new(Value::Int(i64::from(u32::from(c))))?;
        let found = table.0.borrow().get(&key).cloned();
        match found {
            None => out.push(c),
            Some(Value::None) => {}
            Some(Value::Str(t)) => {
                machine.charge(t.len())?;
                out.push_str(&t);
            }
            Some(other) => {
                let code = u32::try_from(int_argument(&other)?).ok().and_then(char::from_u32);
                out.push(code.ok_or_else(|| value_error("character mapping must be in range(0x110000)"))?);
            }
        }
    }
    machine.text(out)
}

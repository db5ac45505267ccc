//! Methods of patterns and matches.

use std::rc::Rc;
use std::sync::Arc;

use super::{Anchor, Match, Pattern};
use crate::builtins::{int_argument, no_attribute};
use crate::interp::{Args, Iter, Machine};
use crate::value::{Dict, Key, Raise, Res, Value, raise, text, type_error};

pub(crate) const PATTERN_METHODS: &[&str] =
    &["findall", "finditer", "fullmatch", "match", "search", "split", "sub", "subn"];
pub(crate) const MATCH_METHODS: &[&str] = &["end", "expand", "group", "groupdict", "groups", "span", "start"];

pub(crate) fn pattern_method(
    machine: &mut Machine<'_>,
    p: &Rc<Pattern>,
    name: &str,
    args: Args,
) -> Res<Value> {
    if PATTERN_METHODS.contains(&name) {
        run(machine, p, name, args)
    } else {
        Err(no_attribute(&Value::Pattern(Rc::clone(p)), name))
    }
}

pub(crate) fn pattern_attribute(p: &Rc<Pattern>, name: &str) -> Option<Value> {
    match name {
        "pattern" => Some(Value::str(&p.source)),
        "flags" => Some(Value::Int(p.flags | 32)),
        _ => None,
    }
}

pub(crate) fn match_attribute(m: &Rc<Match>, name: &str) -> Option<Value> {
    match name {
        "string" => Some(Value::Str(Arc::clone(&m.text))),
        "re" => Some(Value::Pattern(Rc::clone(&m.pattern))),
        "lastindex" => {
            let last = m.groups.iter().rposition(Option::is_some).filter(|i| *i > 0);
            Some(last.map_or(Value::None, Value::from_usize))
        }
        _ => None,
    }
}

fn haystack(value: Option<&Value>) -> Res<Arc<str>> {
    match value {
        Some(Value::Str(s)) => Ok(Arc::clone(s)),
        Some(Value::Bytes(_)) => Err(type_error("cannot use a string pattern on a bytes-like object")),
        other => {
            let kind = other.map_or("NoneType", Value::type_name);
            Err(type_error(format!("expected string or bytes-like object, got '{kind}'")))
        }
    }
}

/// `pattern.name(args)`.
pub(super) fn run(machine: &mut Machine<'_>, p: &Rc<Pattern>, name: &str, args: Args) -> Res<Value> {
    match name {
        "match" | "search" | "fullmatch" => {
            let [string, start, end] = args.bind(name, ["string", "pos", "endpos"], 1)?;
            let mut string = haystack(string.as_ref())?;
            let byte = |s: &str, v: &Value| -> Res<usize> {
                let at = usize::try_from(int_argument(v)?).unwrap_or(0);
                Ok(s.char_indices().nth(at).map_or(s.len(), |(i, _)| i))
            };
            if let Some(end) = &end {
                let cut = byte(&string, end)?;
                string = string.get(..cut).unwrap_or("").into();
            }
            let from = start.as_ref().map_or(Ok(0), |s| byte(&string, s))?;
            let anchor = match name {
                "match" => Anchor::Start,
                "fullmatch" => Anchor::Whole,
                _ => Anchor::Anywhere,
            };
            machine.charge(string.len() >> 2)?;
            if from > 0 && anchor != Anchor::Anywhere {
                // `\A` only matches at 0, so what comes before is cut off.
                let rest: Arc<str> = string.get(from..).unwrap_or("").into();
                return Ok(found(p.find(anchor, &rest, 0)?));
            }
            Ok(found(p.find(anchor, &string, from)?))
        }
        "findall" => {
            let [string] = args.bind(name, ["string"], 1)?;
            let all = matches(machine, p, &haystack(string.as_ref())?, usize::MAX)?;
            charge_groups(machine, &all)?;
            machine.list(all.iter().map(groups_or_all).collect())
        }
        "finditer" => {
            let [string] = args.bind(name, ["string"], 1)?;
            let all = matches(machine, p, &haystack(string.as_ref())?, usize::MAX)?;
            let values: Vec<Value> = all.into_iter().map(|m| Value::Match(Rc::new(m))).collect();
            Iter::Values(values.into_iter()).into_value()
        }
        "split" => {
            let [string, limit] = args.bind(name, ["string", "maxsplit"], 1)?;
            let limit = limit.as_ref().map_or(Ok(0), int_argument)?;
            split(machine, p, &haystack(string.as_ref())?, limit)
        }
        _ => {
            let [replacement, string, count] = args.bind(name, ["repl", "string", "count"], 2)?;
            let count = count.as_ref().map_or(Ok(0), int_argument)?;
            let string = haystack(string.as_ref())?;
            let (out, n) = substitute(machine, p, &replacement.unwrap_or(Value::None), &string, count)?;
            let out = machine.text(out)?;
            Ok(if name == "subn" { Value::tuple(vec![out, Value::from_usize(n)]) } else { out })
        }
    }
}

fn found(m: Option<Match>) -> Value {
    m.map_or(Value::None, |m| Value::Match(Rc::new(m)))
}

/// All matches, one after the other. After an empty one the next starts a character on.
fn matches(machine: &mut Machine<'_>, p: &Rc<Pattern>, string: &Arc<str>, limit: usize) -> Res<Vec<Match>> {
    let mut out = Vec::new();
    let mut at = 0;
    machine.charge(string.len())?;
    while out.len() < limit && at <= string.len() {
        // How far the search looked is not known: texts of megabytes may be gone through for each match.
        machine.spend(1 + (string.len() as u64 >> 14))?;
        let Some(m) = p.find(Anchor::Anywhere, string, at)? else { break };
        let (start, end) = m.groups.first().copied().flatten().unwrap_or((at, at));
        machine.charge(64 + m.groups.len() * 32)?;
        let next = string.get(end..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8);
        at = if end == start { end + next } else { end };
        out.push(m);
    }
    Ok(out)
}

/// Counts the texts of the groups, which are copied.
fn charge_groups<'a>(machine: &mut Machine<'_>, matches: impl IntoIterator<Item = &'a Match>) -> Res<()> {
    let bytes = matches.into_iter().flat_map(|m| m.groups.iter().flatten()).map(|(start, end)| end - start);
    machine.charge(bytes.fold(0, usize::saturating_add))
}

fn group_value(m: &Match, index: usize, missing: &Value) -> Value {
    m.group_text(index).map_or_else(|| missing.clone(), Value::str)
}

/// What `findall` gives for one match.
fn groups_or_all(m: &Match) -> Value {
    let empty = Value::str("");
    match m.groups.len() {
        0 | 1 => group_value(m, 0, &empty),
        2 => group_value(m, 1, &empty),
        n => Value::tuple((1..n).map(|i| group_value(m, i, &empty)).collect()),
    }
}

fn split(machine: &mut Machine<'_>, p: &Rc<Pattern>, string: &Arc<str>, limit: i64) -> Res<Value> {
    let limit = if limit == 0 { usize::MAX } else { usize::try_from(limit).unwrap_or(0) };
    let mut out = Vec::new();
    let mut from = 0;
    let all = matches(machine, p, string, limit)?;
    machine.charge(string.len())?;
    charge_groups(machine, &all)?;
    for m in all {
        let (start, end) = m.groups.first().copied().flatten().unwrap_or((0, 0));
        out.push(Value::str(string.get(from..start).unwrap_or("")));
        out.extend((1..m.groups.len()).map(|i| group_value(&m, i, &Value::None)));
        from = end;
    }
    out.push(Value::str(string.get(from..).unwrap_or("")));
    machine.list(out)
}

fn substitute(
    machine: &mut Machine<'_>,
    p: &Rc<Pattern>,
    replacement: &Value,
    string: &Arc<str>,
    count: i64,
) -> Res<(String, usize)> {
    let limit = if count <= 0 { usize::MAX } else { usize::try_from(count).unwrap_or(usize::MAX) };
    let all = matches(machine, p, string, limit)?;
    let n = all.len();
    let (mut out, mut from) = (String::new(), 0);
    for m in all {
        let (start, end) = m.groups.first().copied().flatten().unwrap_or((0, 0));
        out.push_str(string.get(from..start).unwrap_or(""));
        from = end;
        match replacement {
            Value::Str(template) => {
                let before = out.len();
                expand(&m, template, &mut out)?;
                machine.charge(out.len() - before)?;
            }
            function @ (Value::Function(_) | Value::Builtin(_) | Value::Type(_) | Value::Method(_)) => {
                let value = machine.call(function, Args::of(vec![Value::Match(Rc::new(m))]))?;
                match value {
                    Value::Str(s) => {
                        machine.charge(s.len())?;
                        out.push_str(&s);
                    }
                    Value::None => {}
                    other => {
                        let message = format!("expected str instance, {} found", other.type_name());
                        return Err(type_error(format!("sequence item 1: {message}")));
                    }
                }
            }
            other => {
                return Err(type_error(format!(
                    "decoding to str: need a bytes-like object, {} found",
                    other.type_name()
                )));
            }
        }
    }
    out.push_str(string.get(from..).unwrap_or(""));
    Ok((out, n))
}

/// `\1`, `\g<name>` and escapes of a replacement text.
fn expand(m: &Match, template: &str, out: &mut String) -> Res<()> {
    let mut rest = template;
    while let Some(at) = rest.find('\\') {
        out.push_str(rest.get(..at).unwrap_or(""));
        rest = rest.get(at + 1..).unwrap_or("");
        let Some(c) = rest.chars().next() else {
            return Err(Raise::new(
                "error",
                format!("bad escape (end of pattern) at position {}", template.len() - 1),
            ));
        };
        rest = rest.get(c.len_utf8()..).unwrap_or("");
        match c {
            'g' => {
                let name = rest.strip_prefix('<').and_then(|r| r.split_once('>'));
                let Some((name, after)) = name else { return raise("error", "missing <") };
                rest = after;
                let index = index_of(m, name)?;
                out.push_str(m.group_text(index).unwrap_or(""));
            }
            '0' => out.push('\0'),
            '1'..='9' => {
                let more = rest.bytes().take(1).take_while(u8::is_ascii_digit).count();
                let digits = format!("{c}{}", rest.get(..more).unwrap_or(""));
                rest = rest.get(more..).unwrap_or("");
                let index = digits.parse::<usize>().unwrap_or(usize::MAX);
                if index >= m.groups.len() {
                    return raise("error", format!("invalid group reference {index} at position 1"));
                }
                out.push_str(m.group_text(index).unwrap_or(""));
            }
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'a' => out.push('\u{7}'),
            'f' => out.push('\u{c}'),
            'v' => out.push('\u{b}'),
            c if c.is_ascii_alphabetic() => {
                return raise("error", format!("bad escape \\{c} at position {at}"));
            }
            '\\' => out.push('\\'),
            c => out.extend(['\\', c]),
        }
    }
    out.push_str(rest);
    Ok(())
}

fn index_of(m: &Match, name: &str) -> Res<usize> {
    let index = match name.parse::<usize>() {
        Ok(index) => Some(index),
        Err(_) => m.names.iter().position(|n| n.as_deref() == Some(name)),
    };
    match index.filter(|i| *i < m.groups.len()) {
        Some(index) => Ok(index),
        None => raise("IndexError", "no such group"),
    }
}

fn group_index(m: &Match, index: &Value) -> Res<usize> {
    match index {
        Value::Str(name) => index_of(m, name),
        other => match other.as_int().and_then(|i| usize::try_from(i).ok()).filter(|i| *i < m.groups.len()) {
            Some(index) => Ok(index),
            None => raise("IndexError", "no such group"),
        },
    }
}

/// `match[index]`, `match.group(index)`.
pub(crate) fn group(m: &Match, index: &Value) -> Res<Value> {
    Ok(group_value(m, group_index(m, index)?, &Value::None))
}

pub(crate) fn match_method(machine: &mut Machine<'_>, m: &Rc<Match>, name: &str, args: Args) -> Res<Value> {
    match name {
        "group" | "groups" | "groupdict" => charge_groups(machine, [&**m])?,
        _ => machine.scan(m.text.len())?,
    }
    match name {
        "group" => match args.positional.as_slice() {
            [] => group(m, &Value::Int(0)),
            [one] => group(m, one),
            several => Ok(Value::tuple(several.iter().map(|i| group(m, i)).collect::<Res<_>>()?)),
        },
        "groups" => {
            let [missing] = args.bind(name, ["default"], 0)?;
            let missing = missing.unwrap_or(Value::None);
            Ok(Value::tuple((1..m.groups.len()).map(|i| group_value(m, i, &missing)).collect()))
        }
        "groupdict" => {
            let [missing] = args.bind(name, ["default"], 0)?;
            let missing = missing.unwrap_or(Value::None);
            let named = m.names.iter().enumerate().filter_map(|(i, n)| n.as_ref().map(|n| (i, n)));
            let dict: Dict = named.map(|(i, n)| (Key::str(n), group_value(m, i, &missing))).collect();
            Ok(Value::dict(dict))
        }
        "start" | "end" | "span" => {
            let [index] = args.bind(name, ["/"], 0)?;
            let index = index.map_or(Ok(0), |i| group_index(m, &i))?;
            let span = m.span(index).map(|(a, b)| (Value::from_usize(a), Value::from_usize(b)));
            let (start, end) = span.unwrap_or((Value::Int(-1), Value::Int(-1)));
            Ok(match name {
                "start" => start,
                "end" => end,
                _ => Value::tuple(vec![start, end]),
            })
        }
        "expand" => {
            let template = text(&args.one(name)?)?;
            let mut out = String::new();
            // At most one reference in two characters.
            machine.charge(m.text.len().saturating_mul(template.len() / 2))?;
            expand(m, &template, &mut out)?;
            machine.text(out)
        }
        _ => Err(no_attribute(&Value::Match(Rc::clone(m)), name)),
    }
}

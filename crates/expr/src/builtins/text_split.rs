//! Splitting and stripping texts.

use std::sync::Arc;

use super::{int_argument, is_space};
use crate::interp::{Args, Machine};
use crate::value::{Res, Value, type_error, value_error};

pub(super) fn strip(machine: &mut Machine<'_>, s: &str, args: Args, name: &str) -> Res<Value> {
    let [chars] = args.bind(name, ["/"], 0)?;
    let chars: Option<Vec<char>> = match &chars {
        None | Some(Value::None) => None,
        Some(Value::Str(c)) => Some(c.chars().collect()),
        Some(_) => return Err(type_error(format!("{name} arg must be None or str"))),
    };
    let cut = |c: char| chars.as_ref().map_or_else(|| is_space(c), |set| set.contains(&c));
    let out = match name {
        "lstrip" => s.trim_start_matches(cut),
        "rstrip" => s.trim_end_matches(cut),
        _ => s.trim_matches(cut),
    };
    machine.text(out.to_owned())
}

pub(super) fn split(machine: &mut Machine<'_>, s: &str, args: Args, name: &str) -> Res<Value> {
    let [separator, limit] = args.bind(name, ["sep", "maxsplit"], 0)?;
    let limit = usize::try_from(limit.as_ref().map_or(Ok(-1), int_argument)?).unwrap_or(usize::MAX);
    let backwards = name == "rsplit";
    let mut parts: Vec<&str> = match &separator {
        None | Some(Value::None) => split_space(s, limit, backwards),
        Some(Value::Str(sep)) if sep.is_empty() => return Err(value_error("empty separator")),
        Some(Value::Str(sep)) => match (limit, backwards) {
            (usize::MAX, _) => s.split(&**sep).collect(),
            (n, false) => s.splitn(n + 1, &**sep).collect(),
            (n, true) => s.rsplitn(n + 1, &**sep).collect(),
        },
        Some(other) => return Err(type_error(format!("must be str or None, not {}", other.type_name()))),
    };
    let separator_given = !matches!(separator, None | Some(Value::None));
    if backwards && (limit != usize::MAX || !separator_given) {
        parts.reverse();
    }
    texts(machine, parts)
}

/// By runs of white space; the ends give no empty parts. Backwards: last part first.
fn split_space(s: &str, limit: usize, backwards: bool) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = s;
    loop {
        rest = if backwards { rest.trim_end_matches(is_space) } else { rest.trim_start_matches(is_space) };
        if rest.is_empty() {
            return parts;
        }
        if parts.len() == limit {
            // CPython strips only the outer end of what is left.
            parts.push(rest);
            return parts;
        }
        let (part, next) = if backwards {
            let at = rest
                .rfind(is_space)
                .map_or(0, |at| at + rest.get(at..).and_then(|r| r.chars().next()).map_or(1, char::len_utf8));
            (rest.get(at..).unwrap_or(""), rest.get(..at).unwrap_or(""))
        } else {
            let at = rest.find(is_space).unwrap_or(rest.len());
            (rest.get(..at).unwrap_or(""), rest.get(at..).unwrap_or(""))
        };
        parts.push(part);
        rest = next;
    }
}

fn texts(machine: &mut Machine<'_>, parts: Vec<&str>) -> Res<Value> {
    machine.charge(parts.iter().map(|p| p.len() + 16).sum())?;
    machine.list(parts.into_iter().map(Value::str).collect())
}

pub(super) fn partition(s: &str, args: Args, name: &str) -> Res<Value> {
    let separator = args.one(name)?;
    let Value::Str(sep) = &separator else {
        return Err(type_error(format!("must be str, not {}", separator.type_name())));
    };
    if sep.is_empty() {
        return Err(value_error("empty separator"));
    }
    let last = name == "rpartition";
    let parts = if last { s.rsplit_once(&**sep) } else { s.split_once(&**sep) };
    let (a, b, c) = match (parts, last) {
        (Some((a, c)), _) => (a, &**sep, c),
        (None, false) => (s, "", ""),
        (None, true) => ("", "", s),
    };
    Ok(Value::tuple(vec![Value::str(a), Value::str(b), Value::str(c)]))
}

pub(super) fn split_lines(machine: &mut Machine<'_>, s: &Arc<str>, args: Args) -> Res<Value> {
    let [keep] = args.bind("splitlines", ["keepends"], 0)?;
    let keep = keep.is_some_and(|k| k.truthy());
    let ends = |c: char| {
        matches!(
            c,
            '\n' | '\r'
                | '\u{b}'
                | '\u{c}'
                | '\u{1c}'
                | '\u{1d}'
                | '\u{1e}'
                | '\u{85}'
                | '\u{2028}'
                | '\u{2029}'
        )
    };
    let mut parts = Vec::new();
    let mut rest: &str = s;
    while !rest.is_empty() {
        let Some(at) = rest.find(ends) else {
            parts.push(rest);
            break;
        };
        let tail = rest.get(at..).unwrap_or("");
        let width = if tail.starts_with("\r\n") { 2 } else { tail.chars().next().map_or(1, char::len_utf8) };
        parts.push(rest.get(..if keep { at + width } else { at }).unwrap_or(""));
        rest = rest.get(at + width..).unwrap_or("");
    }
    texts(machine, parts)
}

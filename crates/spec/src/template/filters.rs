//! Filters and text methods: those the engine lacks, those that must agree with Jinja in white space, and
//! those whose result needs a bound.

use super::ops::{Budget, defined, formatted, text_of, width};
use minijinja::formatting::FormatStyle;
use minijinja::value::{Kwargs, Rest, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State};
use minijinja_contrib::{filters as contrib, pycompat};

/// Registers them all.
pub(crate) fn register(env: &mut Environment<'_>, budget: &Budget) {
    let b = budget.clone();
    env.add_filter(
        "indent",
        move |text: &Value, width: Option<Value>, first: Option<bool>, blank: Option<bool>, more: Kwargs| {
            indent(text, width, first, blank, &more, &b)
        },
    );
    let b = budget.clone();
    env.add_filter(
        "join",
        move |list: &Value, separator: Option<Value>, attribute: Option<Value>, more: Kwargs| {
            join(list, separator, attribute, &more, &b)
        },
    );
    let b = budget.clone();
    env.add_filter("replace", move |text: &Value, from: &str, to: &Value, count: Option<usize>| {
        replace(&text_of(text, &b)?, from, &text_of(to, &b)?, count, &b)
    });
    let b = budget.clone();
    env.add_filter("format", move |text: &Value, args: Rest<Value>| {
        formatted(FormatStyle::Printf, &text_of(text, &b)?, &args, &b).map(Value::from)
    });
    let b = budget.clone();
    env.add_filter("string", move |value: &Value| -> Result<Value, Error> {
        defined(value)?;
        let text = text_of(value, &b)?;
        b.take(text.len())?;
        Ok(Value::from(text))
    });
    let b = budget.clone();
    env.add_filter("center", move |text: &Value, to: Option<usize>| -> Result<Value, Error> {
        Ok(pad(&text_of(text, &b)?, width(to.unwrap_or(80))?, ' ', Side::Both))
    });
    env.add_filter("tojson", |value: &Value, indent: Option<Value>, more: Kwargs| -> Result<Value, Error> {
        let indent = match indent {
            Some(indent) => Some(indent),
            None => more.get::<Option<Value>>("indent")?,
        };
        if let Some(n) = indent.as_ref().and_then(Value::as_usize) {
            width(n)?;
        }
        minijinja::filters::tojson(value, indent, more)
    });
    env.add_filter("wordcount", |text: &str| {
        text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|w| !w.is_empty()).count()
    });
    env.add_filter("batch", |state: &mut State<'_, '_>, list: Value, count: usize, fill: Option<Value>| {
        minijinja::filters::batch(state, list, width(count)?, fill)
    });
    env.add_filter("slice", |state: &mut State<'_, '_>, list: Value, count: usize, fill: Option<Value>| {
        minijinja::filters::slice(state, list, width(count)?, fill)
    });
    let b = budget.clone();
    env.add_filter("truncate", move |text: &Value, args: Rest<Value>, more: Kwargs| {
        truncate(text, &args, &more, &b)
    });
    env.add_filter("striptags", contrib::striptags);
    env.add_filter("filesizeformat", contrib::filesizeformat);
    env.add_function("cycler", |items: Rest<Value>| minijinja_contrib::globals::cycler(items.to_vec()));
    env.add_function("joiner", minijinja_contrib::globals::joiner);
    let b = budget.clone();
    env.set_unknown_method_callback(move |state, value, method, args| {
        call_method(state, value, method, args, &b)
    });
}

/// Jinja's `indent`: the first line and blank lines only on demand; a line end at the end stays.
fn indent(
    text: &Value,
    by: Option<Value>,
    first: Option<bool>,
    blank: Option<bool>,
    more: &Kwargs,
    budget: &Budget,
) -> Result<Value, Error> {
    defined(text)?;
    let flag = |given: Option<bool>, name: &str| match given {
        Some(b) => Ok(b),
        None => more.get::<Option<bool>>(name).map(|b| b.unwrap_or(false)),
    };
    let by = match by {
        Some(by) => Some(by),
        None => more.get::<Option<Value>>("width")?,
    };
    let (first, blank) = (flag(first, "first")?, flag(blank, "blank")?);
    more.assert_all_used()?;
    let indentation = match &by {
        None => " ".repeat(4),
        Some(v) => match v.as_str() {
            Some(s) => s.to_owned(),
            None => " ".repeat(width(v.as_usize().ok_or_else(|| Error::from(ErrorKind::InvalidOperation))?)?),
        },
    };
    let text = text_of(text, budget)?;
    let lines = text.matches('\n').count() + 1;
    budget.take(text.len().saturating_add(lines.saturating_mul(indentation.len())))?;
    let mut out = String::with_capacity(text.len());
    for (i, line) in text.split('\n').enumerate() {
        if i > 0 {
            out.push('\n');
        }
        if if i == 0 { first } else { blank || !line.is_empty() } {
            out.push_str(&indentation);
        }
        out.push_str(line);
    }
    Ok(Value::from(out))
}

fn join(
    list: &Value,
    separator: Option<Value>,
    attribute: Option<Value>,
    more: &Kwargs,
    budget: &Budget,
) -> Result<Value, Error> {
    defined(list)?;
    let or_named = |v: Option<Value>, name: &str| match v {
        Some(v) => Ok(Some(v)),
        None => more.get::<Option<Value>>(name),
    };
    let separator = or_named(separator, "d")?.map_or_else(String::new, |s| s.to_string());
    let attribute = or_named(attribute, "attribute")?;
    more.assert_all_used()?;
    let mut out = String::new();
    for (i, item) in list.try_iter()?.enumerate() {
        let item = match &attribute {
            Some(key) => item.get_item(key)?,
            None => item,
        };
        defined(&item)?;
        let part = text_of(&item, budget)?;
        budget.take(part.len().saturating_add(separator.len()))?;
        if i > 0 {
            out.push_str(&separator);
        }
        out.push_str(&part);
    }
    Ok(Value::from(out))
}

/// Jinja's `truncate(length=255, killwords=false, end='...', leeway=5)`.
fn truncate(text: &Value, args: &[Value], more: &Kwargs, budget: &Budget) -> Result<Value, Error> {
    defined(text)?;
    let arg = |i: usize, name: &str| match args.get(i) {
        Some(v) => Ok(Some(v.clone())),
        None => more.get::<Option<Value>>(name),
    };
    let length = arg(0, "length")?.and_then(|v| v.as_usize()).unwrap_or(255);
    let kill = arg(1, "killwords")?.is_some_and(|v| v.is_true());
    let end = arg(2, "end")?.map_or_else(|| "...".to_owned(), |v| v.to_string());
    let leeway = arg(3, "leeway")?.and_then(|v| v.as_usize()).unwrap_or(5);
    more.assert_all_used()?;
    let text = text_of(text, budget)?;
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(Value::from(text));
    }
    let kept: String = text.chars().take(length.saturating_sub(end.chars().count())).collect();
    let whole =
        if kill { kept.as_str() } else { kept.rsplit_once(' ').map_or(kept.as_str(), |(words, _)| words) };
    Ok(Value::from(format!("{whole}{end}")))
}

fn replace(text: &str, from: &str, to: &str, count: Option<usize>, budget: &Budget) -> Result<Value, Error> {
    let found = text.matches(from).take(count.unwrap_or(usize::MAX)).count();
    budget.take(text.len().saturating_add(found.saturating_mul(to.len())))?;
    Ok(Value::from(text.replacen(from, to, count.unwrap_or(usize::MAX))))
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Left,
    Right,
    Both,
}

/// Adds `fill` on a side, up to `to` characters.
fn pad(text: &str, to: usize, fill: char, side: Side) -> Value {
    let missing = to.saturating_sub(text.chars().count());
    let left = match side {
        Side::Left => missing,
        Side::Right => 0,
        Side::Both => missing / 2,
    };
    let run = |n: usize| fill.to_string().repeat(n);
    Value::from(format!("{}{text}{}", run(left), run(missing - left)))
}

fn call_method(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    args: &[Value],
    budget: &Budget,
) -> Result<Value, Error> {
    if value.kind() == ValueKind::String
        && let Some(done) = text_method(value.as_str().unwrap_or_default(), method, args, budget)
    {
        return done;
    }
    if value.kind() == ValueKind::Seq && method == "index" {
        let wanted = args.first().cloned().unwrap_or_default();
        let found = value.try_iter()?.position(|item| item == wanted);
        let missing = || Error::new(ErrorKind::InvalidOperation, format!("{wanted} is not in list"));
        return found.map(Value::from).ok_or_else(missing);
    }
    pycompat::unknown_method_callback(state, value, method, args)
}

fn texts<'a>(parts: impl IntoIterator<Item = &'a str>) -> Value {
    Value::from(parts.into_iter().map(Value::from).collect::<Vec<_>>())
}

/// Methods of Python's `str` that are bounded or missing elsewhere.
fn text_method(text: &str, method: &str, args: &[Value], budget: &Budget) -> Option<Result<Value, Error>> {
    let word = |i: usize| args.get(i).and_then(Value::as_str);
    let fill = || word(1).and_then(|f| f.chars().next()).unwrap_or(' ');
    let to = || width(args.first().and_then(Value::as_usize).unwrap_or(0));
    let padded = |fill: char, side: Side| to().map(|n| pad(text, n, fill, side));
    Some(match (method, word(0)) {
        ("format", _) => formatted(FormatStyle::StrFormat, text, args, budget).map(Value::from),
        ("replace", Some(from)) => {
            let count = args.get(2).and_then(Value::as_usize);
            return word(1).map(|to| replace(text, from, to, count, budget));
        }
        ("join", _) => {
            let list = args.first()?;
            return Some(
                Kwargs::try_from(Value::from(()))
                    .or_else(|_| Ok(std::iter::empty::<(String, Value)>().collect()))
                    .and_then(|none| join(list, Some(Value::from(text)), None, &none, budget)),
            );
        }
        ("ljust", _) => padded(fill(), Side::Right),
        ("rjust", _) => padded(fill(), Side::Left),
        ("center", _) => padded(fill(), Side::Both),
        ("zfill", _) => to().map(|n| {
            let (sign, digits) =
                text.strip_prefix(['-', '+']).map_or(("", text), |d| text.split_at(text.len() - d.len()));
            Value::from(format!("{sign}{}", pad(digits, n.saturating_sub(sign.len()), '0', Side::Left)))
        }),
        ("removeprefix", Some(p)) => Ok(Value::from(text.strip_prefix(p).unwrap_or(text))),
        ("removesuffix", Some(p)) => Ok(Value::from(text.strip_suffix(p).unwrap_or(text))),
        ("casefold", None) => Ok(Value::from(text.to_lowercase())),
        ("swapcase", None) => Ok(Value::from(
            text.chars()
                .flat_map(|c| {
                    if c.is_uppercase() {
                        c.to_lowercase().collect::<Vec<_>>()
                    } else {
                        c.to_uppercase().collect()
                    }
                })
                .collect::<String>(),
        )),
        ("partition", Some(s)) => {
            let (head, mid, tail) = text.split_once(s).map_or((text, "", ""), |(h, t)| (h, s, t));
            Ok(texts([head, mid, tail]))
        }
        ("rpartition", Some(s)) => {
            let (head, mid, tail) = text.rsplit_once(s).map_or(("", "", text), |(h, t)| (h, s, t));
            Ok(texts([head, mid, tail]))
        }
        ("rsplit", Some(s)) if !s.is_empty() => {
            let parts = args.get(1).and_then(Value::as_usize).map_or(usize::MAX, |n| n.saturating_add(1));
            let mut list: Vec<&str> = text.rsplitn(parts, s).collect();
            list.reverse();
            Ok(texts(list))
        }
        ("index", Some(s)) => text
            .find(s)
            .map(|at| Value::from(text.get(..at).map_or(0, |t| t.chars().count())))
            .ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "substring not found")),
        _ => return None,
    })
}

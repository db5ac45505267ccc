//! Calls of methods over types.

use std::sync::Arc;

use super::Infer;
use super::calls::groups_of;
use crate::ir::{Arguments, Const, Expr, ExprKind};
use crate::types::Ty;

impl Infer<'_> {
    pub(super) fn method_call(&mut self, object: &Expr, name: &Arc<str>, args: &Arguments, at: &Expr) -> Ty {
        let ty = self.expr(object);
        let given = self.all(&args.positional);
        let spread = args.positional.iter().any(|e| matches!(e.kind, ExprKind::Starred(_)));
        args.keywords.iter().for_each(|(_, e)| drop(self.expr(e)));
        self.grow(object, &ty, name, &given);
        match (ty.present(), &**name) {
            (Ty::Row(fields), "_asdict" | "as_dict") => {
                let value = fields.iter().map(|f| f.1.clone()).fold(Ty::Never, Ty::join);
                Ty::Dict(Box::new(Ty::Str), Box::new(value))
            }
            (Ty::Row(_), _) => self.attribute(&ty, name, at),
            (Ty::Class("datetime"), "strptime") if has_no_zone(args.positional.get(1)) => Ty::LocalDateTime,
            (Ty::Class(class), _) => class_method(class, name, &given),
            // Without a word on the zone it stays as it is.
            (Ty::LocalDateTime, "replace")
                if spread
                    || given.len() > 7
                    || args.keywords.iter().any(|(n, _)| n.as_deref().is_none_or(|n| n == "tzinfo")) =>
            {
                Ty::DateTime
            }
            (Ty::Any | Ty::Never | Ty::None | Ty::Iter(_) | Ty::Exception, _) => Ty::Any,
            (known, _) => {
                if let Some(class) = known.class() {
                    self.check_method(class, name, at);
                }
                method_type(known, name, &given)
            }
        }
    }

    /// Methods that put something into their object.
    fn grow(&mut self, object: &Expr, ty: &Ty, name: &str, given: &[Ty]) {
        let arg = |i: usize| given.get(i).cloned().unwrap_or(Ty::Any);
        let added = match (ty.present(), name) {
            (Ty::List(_), "append") => arg(0),
            (Ty::List(_), "extend") => arg(0).item(),
            (Ty::List(_), "insert") => arg(1),
            (Ty::Set(_), "add") => arg(0),
            (Ty::Set(_), "update") => arg(0).item(),
            (Ty::Dict(..), "setdefault") => {
                let (key, value) = (arg(0), given.get(1).cloned().unwrap_or(Ty::None));
                return self
                    .refine(object, &|t| t.join(Ty::Dict(Box::new(key.clone()), Box::new(value.clone()))));
            }
            (Ty::Dict(..), "update") => {
                let other = match given.first().map(Ty::present) {
                    Some(d @ Ty::Dict(..)) => d.clone(),
                    _ => Ty::Dict(Box::new(Ty::Any), Box::new(Ty::Any)),
                };
                return self.refine(object, &|t| t.join(other.clone()));
            }
            _ => return,
        };
        self.refine(object, &|t| match t {
            Ty::List(item) => Ty::list(item.join(added.clone())),
            Ty::Set(item) => Ty::Set(Box::new(item.join(added.clone()))),
            other => other,
        });
    }
}

fn class_method(class: &'static str, name: &str, given: &[Ty]) -> Ty {
    match (class, name) {
        ("datetime", "now" | "utcnow" | "today" | "fromisoformat" | "strptime" | "fromtimestamp") => {
            Ty::DateTime
        }
        ("datetime", "utcfromtimestamp" | "combine" | "fromordinal") => Ty::DateTime,
        ("date", "today" | "fromisoformat" | "fromtimestamp" | "fromordinal") => Ty::Date,
        ("time", "fromisoformat") => Ty::Time,
        ("Timestamp", "of" | "now" | "from_rfc3339" | "from_utc_datetime") => Ty::Timestamp,
        ("Duration", "of") => Ty::Duration,
        ("dict", "fromkeys") => {
            let value = given.get(1).cloned().unwrap_or(Ty::None);
            Ty::Dict(Box::new(given.first().map_or(Ty::Any, Ty::item)), Box::new(value))
        }
        ("bytes", "fromhex") => Ty::Bytes,
        ("int", "from_bytes") => Ty::Int,
        ("Decimal", "from_float") => Ty::Any,
        // `str.upper(x)`: the method of x.
        _ => match given.split_first() {
            Some((first, rest)) if first.present().class() == Some(class) => {
                method_type(first.present(), name, rest)
            }
            _ => Ty::Any,
        },
    }
}

/// True for a format of `strptime` that reads no zone.
fn has_no_zone(format: Option<&Expr>) -> bool {
    match format.map(|e| &e.kind) {
        Some(ExprKind::Const(Const::Str(s))) => !s.contains("%z") && !s.contains("%Z"),
        _ => false,
    }
}

/// `re.findall` and `re.split`, whose types hang on the pattern's groups.
pub(super) fn regex_list(name: &str, pattern: Option<&Expr>) -> Ty {
    match pattern.map(|e| &e.kind) {
        Some(ExprKind::Const(Const::Str(s))) => match (name, groups_of(s)) {
            ("re.findall", Some(0 | 1)) | ("re.split", Some(0)) => Ty::list(Ty::Str),
            ("re.split", Some(_)) => Ty::list(Ty::Str.optional()),
            ("re.findall", Some(n)) => Ty::list(Ty::Tuple(vec![Ty::Str; n])),
            _ => Ty::Any,
        },
        _ => Ty::Any,
    }
}

/// `object.name(…)`, where it succeeds.
fn method_type(object: &Ty, name: &str, given: &[Ty]) -> Ty {
    match object {
        Ty::Str => text_method(name),
        Ty::Bytes => match name {
            "decode" | "hex" => Ty::Str,
            "find" | "count" => Ty::Int,
            "startswith" | "endswith" => Ty::Bool,
            "split" => Ty::list(Ty::Bytes),
            _ => Ty::Bytes,
        },
        Ty::List(item) => match name {
            "index" | "count" => Ty::Int,
            "pop" => (**item).clone(),
            "copy" => object.clone(),
            _ => Ty::None,
        },
        Ty::Tuple(_) => Ty::Int,
        Ty::Dict(key, value) => match name {
            "get" => given.get(1).cloned().unwrap_or(Ty::None).join((**value).clone()),
            "setdefault" | "pop" => given.get(1).cloned().unwrap_or(Ty::Never).join((**value).clone()),
            "keys" => Ty::Iter(key.clone()),
            "values" => Ty::Iter(value.clone()),
            "items" => Ty::Iter(Box::new(Ty::Tuple(vec![(**key).clone(), (**value).clone()]))),
            "popitem" => Ty::Tuple(vec![(**key).clone(), (**value).clone()]),
            "copy" => object.clone(),
            _ => Ty::None,
        },
        Ty::Set(item) => match name {
            "pop" => (**item).clone(),
            "isdisjoint" | "issubset" | "issuperset" => Ty::Bool,
            "union" | "symmetric_difference" => {
                let others = given.iter().map(Ty::item).fold((**item).clone(), Ty::join);
                Ty::Set(Box::new(others))
            }
            "copy" | "intersection" | "difference" => object.clone(),
            _ => Ty::None,
        },
        Ty::Int | Ty::Bool => Ty::Int,
        Ty::Float => {
            if name == "is_integer" {
                Ty::Bool
            } else {
                Ty::Float
            }
        }
        Ty::Decimal(scale) => match name {
            "quantize" => match given.first().map(Ty::present) {
                Some(Ty::Decimal(scale)) => Ty::Decimal(*scale),
                Some(Ty::Int | Ty::Bool) => Ty::Decimal(Some(0)),
                _ => Ty::Decimal(None),
            },
            "to_integral" | "to_integral_value" | "compare" => Ty::Decimal(Some(0)),
            "max" | "min" => object.clone().join(given.first().map_or(Ty::Any, |t| t.present().clone())),
            "adjusted" => Ty::Int,
            "as_integer_ratio" => Ty::Tuple(vec![Ty::Int; 2]),
            name if name.starts_with("is_") => Ty::Bool,
            _ => Ty::Decimal(*scale),
        },
        Ty::Match => match_method(name, given),
        Ty::Pattern => match name {
            "match" | "search" | "fullmatch" => Ty::Match.optional(),
            "sub" => Ty::Str,
            "finditer" => Ty::Iter(Box::new(Ty::Match)),
            "subn" => Ty::Tuple(vec![Ty::Str, Ty::Int]),
            _ => Ty::Any,
        },
        Ty::DateTime | Ty::LocalDateTime | Ty::Date | Ty::Time | Ty::Delta | Ty::Timestamp | Ty::Duration => {
            time_method(object, name)
        }
        _ => Ty::Any,
    }
}

fn text_method(name: &str) -> Ty {
    match name {
        "count" | "find" | "index" | "rfind" | "rindex" => Ty::Int,
        "split" | "rsplit" | "splitlines" => Ty::list(Ty::Str),
        "partition" | "rpartition" => Ty::Tuple(vec![Ty::Str; 3]),
        "encode" => Ty::Bytes,
        "startswith" | "endswith" => Ty::Bool,
        name if name.starts_with("is") => Ty::Bool,
        _ => Ty::Str,
    }
}

fn match_method(name: &str, given: &[Ty]) -> Ty {
    match name {
        // Group 0 always took part; others may not have.
        "group" if given.is_empty() => Ty::Str,
        "group" if given.len() == 1 => Ty::Str.optional(),
        "group" => Ty::Tuple(vec![Ty::Str.optional(); given.len()]),
        "groups" => Ty::Iter(Box::new(Ty::Str.optional())),
        "groupdict" => Ty::Dict(Box::new(Ty::Str), Box::new(Ty::Str.optional())),
        "start" | "end" => Ty::Int,
        "span" => Ty::Tuple(vec![Ty::Int; 2]),
        _ => Ty::Str,
    }
}

fn time_method(object: &Ty, name: &str) -> Ty {
    match (object, name) {
        (_, "strftime" | "isoformat" | "ctime" | "to_rfc3339") => Ty::Str,
        (_, "weekday" | "isoweekday" | "toordinal" | "seconds") => Ty::Int,
        (_, "timestamp" | "total_seconds") => Ty::Float,
        (_, "isocalendar") => Ty::Tuple(vec![Ty::Int; 3]),
        (_, "date") => Ty::Date,
        (_, "time") => Ty::Time,
        (_, "tzname") => Ty::Str.optional(),
        (_, "utcoffset") => Ty::Delta.optional(),
        (_, "to_utc_datetime" | "astimezone") => Ty::DateTime,
        (t, "replace" | "predecessor" | "successor") => t.clone(),
        _ => Ty::Any,
    }
}

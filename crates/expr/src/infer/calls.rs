//! Calls of functions and classes over types.

use super::Infer;
use super::methods::regex_list;
use crate::ir::{Arguments, Const, Expr, ExprKind};
use crate::types::{DECIMAL_DIGITS, Ty};
use crate::value::decimal::Decimal;
use crate::value::is_exception_type;

impl Infer<'_> {
    pub(super) fn call(&mut self, function: &Ty, given: &[Ty], args: &Arguments, at: Option<&Expr>) -> Ty {
        match function {
            Ty::Function(f) => self.run(&f.clone(), given, args),
            Ty::Class("Decimal") => Ty::Decimal(made_scale(given, args)),
            Ty::Class(class) => self.construct(class, given, args),
            Ty::Builtin(name) => self.builtin(name, given, args, at),
            _ => Ty::Any,
        }
    }

    fn construct(&mut self, class: &'static str, given: &[Ty], args: &Arguments) -> Ty {
        let item = || given.first().map_or(Ty::Never, Ty::item);
        match class {
            "int" => Ty::Int,
            "float" => Ty::Float,
            "str" => Ty::Str,
            "bool" => Ty::Bool,
            "bytes" => Ty::Bytes,
            "list" => Ty::list(item()),
            "set" | "frozenset" => Ty::Set(Box::new(item())),
            "tuple" => match given.first().map(Ty::present) {
                Some(t @ Ty::Tuple(_)) => t.clone(),
                Some(_) => Ty::Iter(Box::new(item())),
                None => Ty::Tuple(Vec::new()),
            },
            "dict" => self.dict(given, args),
            "range" => Ty::Iter(Box::new(Ty::Int)),
            "type" => Ty::Class("object"),
            "Row" => {
                let fields =
                    args.keywords.iter().map(|(name, e)| name.clone().map(|name| (name, self.expr(e))));
                fields.collect::<Option<Vec<_>>>().map_or(Ty::Any, Ty::Row)
            }
            "datetime"
                if given.len() < 8
                    && args.keywords.iter().all(|(n, _)| n.as_deref().is_some_and(|n| n != "tzinfo")) =>
            {
                Ty::LocalDateTime
            }
            "datetime" => Ty::DateTime,
            "date" => Ty::Date,
            "time" => Ty::Time,
            "timedelta" => Ty::Delta,
            "timezone" => Ty::Zone,
            "Timestamp" => Ty::Timestamp,
            "Duration" => Ty::Duration,
            class if is_exception_type(class) => Ty::Exception,
            _ => Ty::Any,
        }
    }

    fn dict(&mut self, given: &[Ty], args: &Arguments) -> Ty {
        let (mut key, mut value) = match given.first().map(Ty::present) {
            None => (Ty::Never, Ty::Never),
            Some(Ty::Dict(k, v)) => ((**k).clone(), (**v).clone()),
            Some(pairs) => match pairs.item() {
                Ty::Tuple(parts) => match parts.as_slice() {
                    [k, v] => (k.clone(), v.clone()),
                    _ => return Ty::Any,
                },
                Ty::Never => (Ty::Never, Ty::Never),
                _ => return Ty::Any,
            },
        };
        for (name, e) in &args.keywords {
            let ty = self.expr(e);
            if name.is_none() {
                return Ty::Any;
            }
            key = key.join(Ty::Str);
            value = value.join(ty);
        }
        Ty::Dict(Box::new(key), Box::new(value))
    }

    fn builtin(&mut self, name: &'static str, given: &[Ty], args: &Arguments, at: Option<&Expr>) -> Ty {
        let first = given.first().map_or(Ty::Any, |t| t.present().clone());
        let keyword =
            |name: &str| args.keywords.iter().find(|(n, _)| n.as_deref() == Some(name)).map(|(_, e)| e);
        if let Some(ty) = simple(name) {
            return ty;
        }
        match name {
            "abs" => {
                if first == Ty::Bool {
                    Ty::Int
                } else {
                    numeric(&first)
                }
            }
            "divmod" => {
                let second = given.get(1).map_or(Ty::Any, |t| t.present().clone());
                let one = match (&first, &second) {
                    (Ty::Int | Ty::Bool, Ty::Int | Ty::Bool) => Ty::Int,
                    (Ty::Int | Ty::Bool | Ty::Float, Ty::Int | Ty::Bool | Ty::Float) => Ty::Float,
                    _ => Ty::Any,
                };
                Ty::Tuple(vec![one.clone(), one])
            }
            "round" => match (&first, given.len() > 1 || keyword("ndigits").is_some()) {
                (Ty::Decimal(_), false) => Ty::Int,
                (Ty::Decimal(_), true) => {
                    match args.positional.get(1).or(keyword("ndigits")).map(|e| &e.kind) {
                        Some(ExprKind::Const(Const::Int(n))) => {
                            Ty::Decimal(u8::try_from((*n).max(0)).ok().filter(|n| *n <= DECIMAL_DIGITS))
                        }
                        // Round to tens: `-1` is an operator and a number.
                        Some(ExprKind::Unary(..)) => Ty::Decimal(Some(0)),
                        _ => Ty::Decimal(None),
                    }
                }
                (Ty::Int | Ty::Bool, _) | (Ty::Float, false) => Ty::Int,
                (Ty::Float, true) => Ty::Float,
                _ => Ty::Any,
            },
            "max" | "min" => {
                let starred = args.positional.iter().any(|e| matches!(e.kind, ExprKind::Starred(_)));
                let found = match given {
                    _ if starred => Ty::Any,
                    [one] => one.item(),
                    several => several.iter().cloned().fold(Ty::Never, Ty::join),
                };
                match keyword("default") {
                    Some(default) => found.join(self.expr(default)),
                    None => found,
                }
            }
            "sum" => self.sum(&first, given),
            "sorted" => Ty::list(first.item()),
            "reversed" | "iter" | "filter" => {
                let source = if name == "filter" { given.get(1).cloned().unwrap_or(Ty::Any) } else { first };
                let item = source.item();
                let no_function = name == "filter" && given.first() == Some(&Ty::None);
                Ty::Iter(Box::new(if no_function { item.present().clone() } else { item }))
            }
            "next" => match given.get(1) {
                Some(default) => first.item().join(default.clone()),
                None => first.item(),
            },
            "enumerate" => Ty::Iter(Box::new(Ty::Tuple(vec![Ty::Int, first.item()]))),
            "zip" => Ty::Iter(Box::new(Ty::Tuple(given.iter().map(Ty::item).collect()))),
            "map" => {
                let items: Vec<Ty> = given.iter().skip(1).map(Ty::item).collect();
                let function = given.first().cloned().unwrap_or(Ty::Any);
                Ty::Iter(Box::new(self.call(&function, &items, &Arguments::default(), at)))
            }
            "re.findall" | "re.split" => regex_list(name, args.positional.first()),
            "getattr" => match (&first, args.positional.get(1).map(|e| &e.kind)) {
                (Ty::Row(fields), Some(ExprKind::Const(crate::ir::Const::Str(name)))) => {
                    match fields.iter().find(|(n, _)| n == name) {
                        Some((_, ty)) => ty.clone(),
                        None => given.get(2).cloned().unwrap_or(Ty::Never),
                    }
                }
                _ => Ty::Any,
            },
            _ => Ty::Any,
        }
    }

    fn sum(&mut self, values: &Ty, given: &[Ty]) -> Ty {
        let start = given.get(1).cloned().unwrap_or(Ty::Int);
        match (values.item().present(), start) {
            (t @ Ty::Decimal(_), Ty::Int | Ty::Bool) => t.clone(),
            (t @ (Ty::Decimal(_) | Ty::Int | Ty::Never), start @ Ty::Decimal(_)) => start.join(t.clone()),
            (Ty::Never | Ty::Int | Ty::Bool, Ty::Int | Ty::Bool) => Ty::Int,
            (Ty::Int | Ty::Bool | Ty::Float, Ty::Int | Ty::Bool | Ty::Float) => Ty::Float,
            (item @ Ty::List(_), start @ Ty::List(_)) => start.join(item.clone()),
            _ => Ty::Any,
        }
    }
}

/// How many decimals `Decimal(...)` has at most, if that is known.
fn made_scale(given: &[Ty], args: &Arguments) -> Option<u8> {
    match (given.first().map(Ty::present), args.positional.first().map(|e| &e.kind)) {
        (_, Some(ExprKind::Const(Const::Str(text)))) => {
            let decimal = Decimal::parse(text).flatten()?;
            u8::try_from(decimal.exponent.saturating_neg().max(0)).ok().filter(|s| *s <= DECIMAL_DIGITS)
        }
        (Some(Ty::Decimal(scale)), _) => *scale,
        (Some(Ty::Int | Ty::Bool) | None, _) => Some(0),
        _ => None,
    }
}

fn numeric(ty: &Ty) -> Ty {
    match ty {
        Ty::Int | Ty::Float | Ty::Delta | Ty::Decimal(_) => ty.clone(),
        _ => Ty::Any,
    }
}

/// Functions whose result has one type.
fn simple(name: &str) -> Option<Ty> {
    Some(match name {
        "len" | "ord" => Ty::Int,
        "any" | "all" | "callable" | "hasattr" | "isinstance" => Ty::Bool,
        "ascii" | "bin" | "chr" | "format" | "hex" | "oct" | "repr" | "json.dumps" | "re.escape"
        | "re.sub" => Ty::Str,
        "re.compile" => Ty::Pattern,
        "re.match" | "re.search" | "re.fullmatch" => Ty::Match.optional(),
        "re.finditer" => Ty::Iter(Box::new(Ty::Match)),
        "re.subn" => Ty::Tuple(vec![Ty::Str, Ty::Int]),
        "math.floor" | "math.ceil" | "math.trunc" | "math.gcd" | "math.comb" | "math.perm"
        | "math.factorial" | "math.isqrt" => Ty::Int,
        "math.isnan" | "math.isinf" | "math.isfinite" | "math.isclose" => Ty::Bool,
        "math.prod" => return None,
        "time.time" => Ty::Float,
        name if name.starts_with("math.") => Ty::Float,
        _ => return None,
    })
}

/// What `findall` and `split` give, where the pattern is known: texts, or tuples of groups.
pub(super) fn groups_of(pattern: &str) -> Option<usize> {
    let (mut groups, mut escaped, mut class) = (0, false, false);
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' if !class => {
                class = true;
                // A `]` right at the start is a plain one.
                if chars.peek() == Some(&'^') {
                    chars.next();
                }
                if chars.peek() == Some(&']') {
                    chars.next();
                }
            }
            ']' => class = false,
            '(' if !class => {
                if chars.peek() != Some(&'?') {
                    groups += 1;
                } else {
                    let rest: String = chars.clone().skip(1).take(2).collect();
                    if rest.starts_with("P<") {
                        groups += 1;
                    }
                    if rest.starts_with('(') {
                        return None;
                    }
                }
            }
            _ => {}
        }
    }
    Some(groups)
}

//! The static type of a program: an abstract run of it over types instead of values.
//!
//! What is found decides the Arrow type before any data flows, so values are still checked when they are
//! stored: a wrong guess is a row error, never a wrong value.

mod calls;
mod methods;
mod stmt;

use std::sync::Arc;

use crate::builtins;
use crate::ir::{
    Arguments, Binary, Clause, CompKind, Const, Entry, Expr, ExprKind, Function, ParamKind, Target, Unary,
    Var,
};
use crate::problem::{Problem, unknown_name};
use crate::python::cpython;
use crate::types::Ty;

/// What inference found.
pub(crate) struct Inferred {
    pub(crate) ty: Ty,
    /// Names that certainly do not exist on values of a known type.
    pub(crate) problems: Vec<Problem>,
}

/// Calls of the program's own functions are followed this deep.
const CALLS_MAX: usize = 6;
/// Nodes visited at most: loops and calls are gone through several times.
const WORK_MAX: usize = 200_000;

/// Infers the type of what `entry` gives for a row of `columns`.
pub(crate) fn infer(entry: &Entry, columns: &[Ty], names: &[Arc<str>], beam_compat: bool) -> Inferred {
    let mut infer = Infer {
        columns,
        names,
        scopes: Vec::new(),
        returned: Ty::Never,
        dead: false,
        loops: Vec::new(),
        calls: 0,
        work: 0,
        problems: Vec::new(),
        strict: !beam_compat,
    };
    let ty = match entry {
        Entry::Expression { body, slots } => {
            infer.scopes.push(vec![Ty::Never; *slots]);
            infer.expr(body)
        }
        Entry::Callable { module, slots, callee } => {
            infer.scopes.push(vec![Ty::Never; *slots]);
            infer.block(module);
            infer.dead = false;
            let callee = infer.expr(callee);
            let row = infer.row();
            infer.call(&callee, &[row], &Arguments::default(), None)
        }
    };
    let ty = if infer.work > WORK_MAX { Ty::Any } else { ty };
    infer.problems.dedup();
    Inferred { ty, problems: infer.problems }
}

/// The types of one function's variables.
type Scope = Vec<Ty>;

struct Infer<'a> {
    columns: &'a [Ty],
    names: &'a [Arc<str>],
    scopes: Vec<Scope>,
    /// What the function being run has returned so far.
    returned: Ty,
    /// After a return, a raise, a break: nothing more is reached.
    dead: bool,
    /// For each loop being run, the variables where it was left or continued.
    loops: Vec<Option<Vec<Scope>>>,
    calls: usize,
    work: usize,
    problems: Vec<Problem>,
    strict: bool,
}

impl Infer<'_> {
    fn row(&self) -> Ty {
        Ty::Row(self.names.iter().cloned().zip(self.columns.iter().cloned()).collect())
    }

    fn get(&self, var: &Var) -> Ty {
        let scope =
            self.scopes.len().checked_sub(usize::from(var.depth) + 1).and_then(|i| self.scopes.get(i));
        scope.and_then(|s| s.get(usize::from(var.slot))).cloned().unwrap_or(Ty::Any)
    }

    fn set(&mut self, var: &Var, ty: Ty) {
        let at = self.scopes.len().checked_sub(usize::from(var.depth) + 1);
        let Some(scope) = at.and_then(|i| self.scopes.get_mut(i)) else { return };
        if let Some(place) = scope.get_mut(usize::from(var.slot)) {
            // Writing another function's variable does not undo what it held.
            *place = if var.depth == 0 { ty } else { std::mem::replace(place, Ty::Never).join(ty) };
        }
    }

    fn problem(&mut self, message: String, wrong: &str, kind: &str, known: &[&str], at: &Expr) {
        if self.strict {
            let range = usize::try_from(at.at).unwrap_or(0)..usize::try_from(at.end).unwrap_or(0);
            let problem = unknown_name(message, wrong, kind, known.iter().copied(), Some(range));
            if !self.problems.contains(&problem) {
                self.problems.push(problem);
            }
        }
    }

    fn all(&mut self, exprs: &[Expr]) -> Vec<Ty> {
        exprs.iter().map(|e| self.expr(e)).collect()
    }

    /// The elements of a display, starred ones unpacked.
    fn items(&mut self, exprs: &[Expr]) -> Ty {
        let mut ty = Ty::Never;
        for expr in exprs {
            let item = match &expr.kind {
                ExprKind::Starred(inner) => self.expr(inner).item(),
                _ => self.expr(expr),
            };
            ty = ty.join(item);
        }
        ty
    }

    fn expr(&mut self, expr: &Expr) -> Ty {
        self.work += 1;
        if self.work > WORK_MAX {
            return Ty::Any;
        }
        match &expr.kind {
            ExprKind::Const(constant) => constant_type(constant),
            ExprKind::Column(index) => self.columns.get(*index).cloned().unwrap_or(Ty::Any),
            ExprKind::Var(var) => self.get(var),
            ExprKind::Unknown(_) => Ty::Never,
            ExprKind::Unary(op, e) => {
                let ty = self.expr(e);
                match (op, ty.present()) {
                    (Unary::Not, _) => Ty::Bool,
                    (Unary::Invert, Ty::Int | Ty::Bool) => Ty::Int,
                    (_, Ty::Bool) => Ty::Int,
                    (Unary::Minus | Unary::Plus, t @ Ty::Decimal(_)) => t.clone(),
                    (_, t @ (Ty::Int | Ty::Float | Ty::Delta | Ty::Duration)) => t.clone(),
                    _ => Ty::Any,
                }
            }
            ExprKind::Binary(op, a, b) => {
                let (a, b) = (self.expr(a), self.expr(b));
                binary_type(*op, a.present(), b.present())
            }
            ExprKind::And(parts) => self.logic(parts, true),
            ExprKind::Or(parts) => self.logic(parts, false),
            ExprKind::Compare(left, rest) => {
                self.expr(left);
                rest.iter().for_each(|(_, e)| drop(self.expr(e)));
                Ty::Bool
            }
            ExprKind::If { test, then, otherwise } => {
                self.expr(test);
                let known = crate::infer::stmt::narrowing(test);
                let before = self.narrow(known.as_ref(), true);
                let then = self.expr(then);
                self.restore(known.as_ref(), before);
                let before = self.narrow(known.as_ref(), false);
                let otherwise = self.expr(otherwise);
                self.restore(known.as_ref(), before);
                then.join(otherwise)
            }
            ExprKind::Attribute(object, name) => {
                let ty = self.expr(object);
                self.attribute(&ty, name, expr)
            }
            ExprKind::Subscript(object, index) => self.subscript(object, index),
            ExprKind::Slice(a, b, c) => {
                [a, b, c].into_iter().flatten().for_each(|e| drop(self.expr(e)));
                Ty::Any
            }
            ExprKind::Call { function, args } => {
                let function_type = self.expr(function);
                let given = self.all(&args.positional);
                args.keywords.iter().for_each(|(_, e)| drop(self.expr(e)));
                self.call(&function_type, &given, args, Some(expr))
            }
            ExprKind::MethodCall { object, name, args } => self.method_call(object, name, args, expr),
            ExprKind::Starred(e) => self.expr(e),
            ExprKind::Named(var, e) => {
                let ty = self.expr(e);
                self.set(var, ty.clone());
                ty
            }
            ExprKind::Lambda(function) => Ty::Function(Arc::clone(function)),
            _ => self.display(expr),
        }
    }

    fn display(&mut self, expr: &Expr) -> Ty {
        match &expr.kind {
            ExprKind::List(es) => Ty::list(self.items(es)),
            ExprKind::Set(es) => Ty::Set(Box::new(self.items(es))),
            ExprKind::Tuple(es) if es.iter().any(|e| matches!(e.kind, ExprKind::Starred(_))) => {
                self.items(es);
                Ty::Any
            }
            ExprKind::Tuple(es) => Ty::Tuple(self.all(es)),
            ExprKind::Dict(pairs) => {
                let (mut key, mut value) = (Ty::Never, Ty::Never);
                for (k, v) in pairs {
                    let v = self.expr(v);
                    match (k, v) {
                        (Some(k), v) => {
                            key = key.join(self.expr(k));
                            value = value.beside(v);
                        }
                        (None, Ty::Dict(k, v)) => {
                            key = key.join(*k);
                            value = value.beside(*v);
                        }
                        (None, _) => (key, value) = (Ty::Any, Ty::Any),
                    }
                }
                Ty::Dict(Box::new(key), Box::new(value))
            }
            ExprKind::Comprehension(kind, c) => {
                self.clauses(&c.clauses, None);
                let element = self.expr(&c.element);
                let value = c.value.as_ref().map(|v| self.expr(v));
                match kind {
                    CompKind::List => Ty::list(element),
                    CompKind::Set => Ty::Set(Box::new(element)),
                    CompKind::Dict => Ty::Dict(Box::new(element), Box::new(value.unwrap_or(Ty::Any))),
                }
            }
            ExprKind::Generator(g) => {
                let first = self.expr(&g.first);
                self.scopes.push(vec![Ty::Never; g.slots]);
                self.clauses(&g.clauses, Some(first));
                let element = self.expr(&g.element);
                self.scopes.pop();
                Ty::Iter(Box::new(element))
            }
            ExprKind::Text(parts) => {
                self.text(parts);
                Ty::Str
            }
            _ => Ty::Any,
        }
    }

    fn text(&mut self, parts: &[crate::ir::TextPart]) {
        for part in parts {
            if let crate::ir::TextPart::Value { value, spec, .. } = part {
                self.expr(value);
                self.text(spec);
            }
        }
    }

    fn clauses(&mut self, clauses: &[Clause], mut first: Option<Ty>) {
        for clause in clauses {
            let source = match first.take() {
                Some(ty) => ty,
                None => self.expr(&clause.iter),
            };
            self.assign(&clause.target, source.item());
            clause.conditions.iter().for_each(|e| drop(self.expr(e)));
        }
    }

    /// `a and b` gives a where a is false, `or` where it is true; None is only ever false.
    fn logic(&mut self, parts: &[Expr], and: bool) -> Ty {
        let mut ty = Ty::Never;
        let mut narrowed = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            let last = i + 1 == parts.len();
            let part_type = self.expr(part);
            ty = ty.join(match (last, and, part_type) {
                (true, _, t) => t,
                (false, false, t) => {
                    if t == Ty::None {
                        Ty::Never
                    } else {
                        t.present().clone()
                    }
                }
                // Rows, matches and times are never false.
                (false, true, Ty::Optional(t)) if always_true(&t) => Ty::None,
                (false, true, t) if always_true(&t) => Ty::Never,
                (false, true, t) => t,
            });
            let known = stmt::narrowing(part);
            let before = self.narrow(known.as_ref(), and);
            narrowed.push((known, before));
        }
        for (known, before) in narrowed.into_iter().rev() {
            self.restore(known.as_ref(), before);
        }
        ty
    }

    fn subscript(&mut self, object: &Expr, index: &Expr) -> Ty {
        let ty = self.expr(object);
        let index_type = self.expr(index);
        if matches!(index.kind, ExprKind::Slice(..)) {
            return match ty.present() {
                t @ (Ty::Str | Ty::Bytes | Ty::List(_)) => t.clone(),
                _ => Ty::Any,
            };
        }
        match (ty.present(), &index.kind) {
            (Ty::List(t), _) => (**t).clone(),
            (Ty::Dict(_, v), _) => (**v).clone(),
            (Ty::Str, _) => Ty::Str,
            (Ty::Bytes, _) => Ty::Int,
            (Ty::Match, _) => Ty::Str.optional(),
            (Ty::Tuple(ts), ExprKind::Const(Const::Int(i))) => {
                element(ts.len(), *i).and_then(|i| ts.get(i)).cloned().unwrap_or(Ty::Never)
            }
            (Ty::Row(fs), ExprKind::Const(Const::Int(i))) => {
                element(fs.len(), *i).and_then(|i| fs.get(i)).map(|f| f.1.clone()).unwrap_or(Ty::Never)
            }
            (t @ (Ty::Tuple(_) | Ty::Row(_)), _) if index_type == Ty::Int => t.item(),
            _ => Ty::Any,
        }
    }

    fn assign(&mut self, target: &Target, ty: Ty) {
        match target {
            Target::Var(var) => self.set(var, ty),
            Target::Subscript(object, index) => {
                let index = self.expr(index);
                self.refine(object, &|container| match container {
                    Ty::Dict(k, v) => {
                        Ty::Dict(Box::new(k.join(index.clone())), Box::new(v.beside(ty.clone())))
                    }
                    Ty::List(t) => Ty::list(t.join(ty.clone())),
                    other => other,
                });
            }
            Target::Unpack(targets, star) => {
                let parts = match ty.present() {
                    Ty::Tuple(ts) if star.is_none() && ts.len() == targets.len() => ts.clone(),
                    Ty::Row(fs) if star.is_none() && fs.len() == targets.len() => {
                        fs.iter().map(|f| f.1.clone()).collect()
                    }
                    other => vec![other.item(); targets.len()],
                };
                for (i, (target, part)) in targets.iter().zip(parts).enumerate() {
                    self.assign(target, if *star == Some(i) { Ty::list(part) } else { part });
                }
            }
        }
    }

    /// Changes the type of a container in place: the variable at the root of `object` gets the new type.
    fn refine(&mut self, object: &Expr, change: &dyn Fn(Ty) -> Ty) {
        match &object.kind {
            ExprKind::Var(var) => {
                let ty = match self.get(var) {
                    Ty::Optional(t) => Ty::Optional(Box::new(change(*t))),
                    t => change(t),
                };
                self.set(var, ty);
            }
            ExprKind::Subscript(inner, _) => self.refine(inner, &|ty| inside(ty, change)),
            ExprKind::MethodCall { object: inner, name, .. }
                if matches!(&**name, "setdefault" | "get" | "pop") =>
            {
                self.refine(inner, &|ty| inside(ty, change));
            }
            _ => {}
        }
    }

    /// `object.name`.
    fn attribute(&mut self, ty: &Ty, name: &str, at: &Expr) -> Ty {
        match (ty.present(), name) {
            (Ty::Row(_), "_fields") => Ty::list(Ty::Str),
            (Ty::Row(fields), _) => match fields.iter().find(|(n, _)| **n == *name) {
                Some((_, ty)) => ty.clone(),
                None => {
                    let known: Vec<&str> = fields.iter().map(|f| &*f.0).collect();
                    self.problem(format!("the row has no field `{name}`"), name, "fields", &known, at);
                    Ty::Any
                }
            },
            (Ty::Date | Ty::DateTime | Ty::LocalDateTime, "year" | "month" | "day") => Ty::Int,
            (Ty::Time | Ty::DateTime | Ty::LocalDateTime, "hour" | "minute" | "second" | "microsecond") => {
                Ty::Int
            }
            (Ty::DateTime, "tzinfo") => Ty::Zone.optional(),
            (Ty::LocalDateTime, "tzinfo") => Ty::None,
            (Ty::Delta, "days" | "seconds" | "microseconds") => Ty::Int,
            (Ty::Timestamp | Ty::Duration, "micros") => Ty::Int,
            (Ty::Class(_) | Ty::Function(_) | Ty::Builtin(_), "__name__") => Ty::Str,
            (Ty::Class("timezone"), "utc") => Ty::Zone,
            (Ty::Class("datetime"), "min" | "max") => Ty::LocalDateTime,
            (Ty::Class("date"), "min" | "max") => Ty::Date,
            (Ty::Match, "string") => Ty::Str,
            (_, "__class__") => Ty::Class("object"),
            (known, _) => {
                if let Some(class) = known.class() {
                    self.check_method(class, name, at);
                }
                Ty::Any
            }
        }
    }

    /// A problem if values of `class` have no method `name`.
    fn check_method(&mut self, class: &'static str, name: &str, at: &Expr) {
        let known = builtins::methods_of(class).unwrap_or_default();
        let everywhere = matches!(name, "real" | "imag" | "numerator" | "denominator" | "__class__");
        let regex =
            class.starts_with("re.") && matches!(name, "pattern" | "flags" | "string" | "re" | "lastindex");
        let exists = everywhere || regex || known.contains(&name);
        if !exists {
            let short = class.trim_start_matches("datetime.");
            if cpython::has_attribute(class, name) {
                let range = usize::try_from(at.at).unwrap_or(0)..usize::try_from(at.end).unwrap_or(0);
                let what = format!("`{name}` of {short}");
                let problem = Problem::uncompiled(&what, Some(range));
                if self.strict && !self.problems.contains(&problem) {
                    self.problems.push(problem);
                }
                return;
            }
            let message = format!("`{name}` is no method of {short} that is compiled");
            self.problem(message, name, &format!("methods of {short}"), &known, at);
        }
    }

    /// Runs a function of the program with arguments of the given types.
    fn run(&mut self, function: &Arc<Function>, given: &[Ty], args: &Arguments) -> Ty {
        if self.calls >= CALLS_MAX {
            return Ty::Any;
        }
        let level = usize::from(function.level).min(self.scopes.len());
        let mut scope = vec![Ty::Any; function.slots];
        scope.iter_mut().skip(function.params.len()).for_each(|t| *t = Ty::Never);
        let spread = args.positional.iter().any(|e| matches!(e.kind, ExprKind::Starred(_)));
        for (i, param) in function.params.iter().enumerate() {
            let keyword = args.keywords.iter().find(|(n, _)| n.as_ref() == Some(&param.name));
            let ty = match (param.kind, given.get(i), keyword) {
                (ParamKind::Rest | ParamKind::Keywords, ..) => Ty::Any,
                (_, Some(ty), _) if !spread && param.kind != ParamKind::KeywordOnly => ty.clone(),
                (_, _, Some((_, e))) => self.expr(e),
                _ if spread => Ty::Any,
                _ => param.default.as_ref().map_or(Ty::Any, |d| self.expr(d)),
            };
            if let Some(place) = scope.get_mut(i) {
                *place = ty;
            }
        }
        let outer = self.scopes.split_off(level);
        self.scopes.push(scope);
        let (returned, dead) =
            (std::mem::replace(&mut self.returned, Ty::Never), std::mem::replace(&mut self.dead, false));
        let loops = std::mem::take(&mut self.loops);
        self.calls += 1;
        self.block(&function.body);
        self.calls -= 1;
        self.loops = loops;
        if !self.dead {
            self.returned = std::mem::replace(&mut self.returned, Ty::Never).join(Ty::None);
        }
        self.dead = dead;
        self.scopes.truncate(level);
        self.scopes.extend(outer);
        std::mem::replace(&mut self.returned, returned)
    }
}

/// The types of the containers inside a container, changed.
fn inside(ty: Ty, change: &dyn Fn(Ty) -> Ty) -> Ty {
    match ty {
        Ty::List(t) => Ty::list(change(*t)),
        Ty::Dict(k, v) => Ty::Dict(k, Box::new(change(*v))),
        Ty::Optional(t) => Ty::Optional(Box::new(inside(*t, change))),
        other => other,
    }
}

fn element(len: usize, index: i64) -> Option<usize> {
    let at = if index < 0 { index + i64::try_from(len).ok()? } else { index };
    usize::try_from(at).ok().filter(|i| *i < len)
}

fn always_true(ty: &Ty) -> bool {
    matches!(
        ty,
        Ty::Row(_)
            | Ty::Match
            | Ty::Pattern
            | Ty::Timestamp
            | Ty::Date
            | Ty::DateTime
            | Ty::LocalDateTime
            | Ty::Time
            | Ty::Zone
    )
}

fn constant_type(constant: &Const) -> Ty {
    match constant {
        Const::None => Ty::None,
        Const::Bool(_) => Ty::Bool,
        Const::Int(_) | Const::Big(_) => Ty::Int,
        Const::Float(_) => Ty::Float,
        Const::Str(_) => Ty::Str,
        Const::Bytes(_) => Ty::Bytes,
        Const::Ellipsis | Const::Module(_) => Ty::Any,
        Const::Builtin(b) if b.name == "datetime.UTC" => Ty::Zone,
        Const::Builtin(b) => Ty::Builtin(b.name),
        Const::Type(name) => Ty::Class(name),
    }
}

/// How many decimals the result of an operator on decimals has at most, if that is known.
fn decimal_type(op: Binary, a: &Ty, b: &Ty) -> Option<Ty> {
    let scale = |t: &Ty| match t {
        Ty::Decimal(scale) => Some(*scale),
        Ty::Int | Ty::Bool => Some(Some(0)),
        _ => None,
    };
    if !matches!((a, b), (Ty::Decimal(_), _) | (_, Ty::Decimal(_))) {
        return None;
    }
    let (a, b) = (scale(a)?, scale(b)?);
    let both = a.zip(b);
    Some(Ty::Decimal(match op {
        Binary::Add | Binary::Sub | Binary::Mod => both.map(|(a, b)| a.max(b)),
        Binary::Mul => both.map(|(a, b)| a.saturating_add(b)).filter(|s| *s <= crate::types::DECIMAL_DIGITS),
        Binary::FloorDiv => Some(0),
        Binary::Div | Binary::Pow => None,
        _ => return None,
    }))
}

/// `a op b`, where it succeeds.
fn binary_type(op: Binary, a: &Ty, b: &Ty) -> Ty {
    if let Some(ty) = decimal_type(op, a, b) {
        return ty;
    }
    let int = |t: &Ty| matches!(t, Ty::Int | Ty::Bool);
    let number = |t: &Ty| matches!(t, Ty::Int | Ty::Bool | Ty::Float);
    match (op, a, b) {
        (Binary::And | Binary::Or | Binary::Xor, Ty::Bool, Ty::Bool) => Ty::Bool,
        (Binary::Div, a, b) if number(a) && number(b) => Ty::Float,
        // A negative exponent gives a float.
        (Binary::Pow, a, b) if int(a) && int(b) => Ty::Any,
        (Binary::Pow, a, b) if number(a) && number(b) => Ty::Float,
        (_, a, b) if int(a) && int(b) => Ty::Int,
        (Binary::Add | Binary::Sub | Binary::Mul | Binary::FloorDiv | Binary::Mod, a, b)
            if number(a) && number(b) =>
        {
            Ty::Float
        }
        (Binary::Mod, Ty::Str, _) => Ty::Str,
        (Binary::Add, Ty::Str, Ty::Str) => Ty::Str,
        (Binary::Add, Ty::Bytes, Ty::Bytes) => Ty::Bytes,
        (Binary::Add, Ty::List(a), Ty::List(b)) => Ty::list((**a).clone().join((**b).clone())),
        (Binary::Add, Ty::Tuple(a), Ty::Tuple(b)) => Ty::Tuple(a.iter().chain(b).cloned().collect()),
        (Binary::Mul, t @ (Ty::Str | Ty::Bytes | Ty::List(_)), n)
        | (Binary::Mul, n, t @ (Ty::Str | Ty::Bytes | Ty::List(_)))
            if int(n) =>
        {
            t.clone()
        }
        (Binary::And | Binary::Or | Binary::Sub | Binary::Xor, Ty::Set(a), Ty::Set(b)) => {
            Ty::Set(Box::new((**a).clone().join((**b).clone())))
        }
        (Binary::Or, a @ Ty::Dict(..), b @ Ty::Dict(..)) => a.clone().join(b.clone()),
        (Binary::Sub, Ty::DateTime | Ty::LocalDateTime, Ty::DateTime | Ty::LocalDateTime)
        | (Binary::Sub, Ty::Date, Ty::Date) => Ty::Delta,
        (Binary::Add | Binary::Sub, t @ (Ty::DateTime | Ty::LocalDateTime | Ty::Date), Ty::Delta)
        | (Binary::Add, Ty::Delta, t @ (Ty::DateTime | Ty::LocalDateTime | Ty::Date)) => t.clone(),
        (Binary::Add | Binary::Sub | Binary::Mod, Ty::Delta, Ty::Delta) => Ty::Delta,
        (Binary::Div, Ty::Delta, Ty::Delta) => Ty::Float,
        (Binary::FloorDiv, Ty::Delta, Ty::Delta) => Ty::Int,
        (Binary::Mul | Binary::Div | Binary::FloorDiv, Ty::Delta, n) if number(n) => Ty::Delta,
        (Binary::Mul, n, Ty::Delta) if number(n) => Ty::Delta,
        (Binary::Sub, Ty::Timestamp, Ty::Timestamp) => Ty::Duration,
        (Binary::Add | Binary::Sub, Ty::Timestamp, t) if number(t) || *t == Ty::Duration => Ty::Timestamp,
        (Binary::Add, t, Ty::Timestamp) if number(t) || *t == Ty::Duration => Ty::Timestamp,
        (Binary::Sub, t, Ty::Timestamp) if number(t) => Ty::Duration,
        (Binary::Mod, Ty::Timestamp | Ty::Duration, _) => Ty::Duration,
        (Binary::Add | Binary::Sub | Binary::Mul, Ty::Duration, t) if number(t) || *t == Ty::Duration => {
            Ty::Duration
        }
        _ => Ty::Any,
    }
}

//! Expressions.

use std::rc::Rc;
use std::sync::Arc;

use super::iter::GeneratorState;
use super::{Frame, Iter, Machine, access, binary, compare};
use crate::builtins;
use crate::ir::{Clause, CompKind, Compare, Comprehension, Const, Expr, ExprKind, TextPart, Unary};
use crate::value::{Dict, Key, Raise, Res, Set, Value, ascii, repr, text, type_error};

impl Machine<'_> {
    pub(crate) fn eval(&mut self, expr: &Expr, frame: &Rc<Frame>) -> Res<Value> {
        self.step()?;
        self.eval_kind(expr, frame).map_err(|r| r.placed(expr.at))
    }

    fn eval_kind(&mut self, expr: &Expr, frame: &Rc<Frame>) -> Res<Value> {
        match &expr.kind {
            ExprKind::Const(constant) => Ok(constant_value(constant)),
            ExprKind::Column(index) => self.column(*index),
            ExprKind::Var(var) => frame.get(var),
            ExprKind::Unknown(name) => Err(Raise::new("NameError", format!("name '{name}' is not defined"))),
            ExprKind::Binary(op, left, right) => {
                let left = self.eval(left, frame)?;
                let right = self.eval(right, frame)?;
                binary(self, *op, &left, &right)
            }
            ExprKind::Compare(left, rest) => self.comparison(left, rest, frame),
            ExprKind::And(parts) => self.logic(parts, false, frame),
            ExprKind::Or(parts) => self.logic(parts, true, frame),
            ExprKind::Unary(op, operand) => {
                let value = self.eval(operand, frame)?;
                unary(*op, &value)
            }
            ExprKind::If { test, then, otherwise } => {
                let branch = if self.eval(test, frame)?.truthy() { then } else { otherwise };
                self.eval(branch, frame)
            }
            ExprKind::Attribute(object, name) => {
                let object = self.eval(object, frame)?;
                builtins::attribute(&object, name)
            }
            ExprKind::Subscript(object, index) => {
                let object = self.eval(object, frame)?;
                let index = self.index(index, frame)?;
                access::get_index(self, &object, &index)
            }
            ExprKind::Call { function, args } => {
                let function = self.eval(function, frame)?;
                let args = self.arguments(args, frame)?;
                self.call(&function, args)
            }
            ExprKind::MethodCall { object, name, args } => {
                let object = self.eval(object, frame)?;
                let args = self.arguments(args, frame)?;
                builtins::call_method(self, &object, name, args)
            }
            ExprKind::Named(var, value) => {
                let value = self.eval(value, frame)?;
                frame.set(var, Some(value.clone()));
                Ok(value)
            }
            ExprKind::Text(parts) => {
                let mut out = String::new();
                self.text_parts(parts, frame, &mut out)?;
                Ok(Value::str(out))
            }
            ExprKind::Lambda(function) => self.closure(function, frame),
            ExprKind::Slice(..) => Err(type_error("a slice is only an index")),
            ExprKind::Starred(_) => Err(type_error("can't use starred expression here")),
            _ => self.display(expr, frame),
        }
    }

    /// List, tuple, set and dict displays, comprehensions, generators.
    fn display(&mut self, expr: &Expr, frame: &Rc<Frame>) -> Res<Value> {
        match &expr.kind {
            ExprKind::List(items) => {
                let items = self.items(items, frame)?;
                self.list(items)
            }
            ExprKind::Tuple(items) => {
                let items = self.items(items, frame)?;
                self.charge(items.len() * size_of::<Value>())?;
                Ok(Value::tuple(items))
            }
            ExprKind::Set(items) => {
                let items = self.items(items, frame)?;
                Ok(Value::set(items.into_iter().map(Key::new).collect::<Res<Set>>()?, false))
            }
            ExprKind::Dict(pairs) => {
                let mut dict = Dict::new();
                for (key, value) in pairs {
                    match key {
                        Some(key) => {
                            let key = Key::new(self.eval(key, frame)?)?;
                            dict.insert(key, self.eval(value, frame)?);
                        }
                        None => match self.eval(value, frame)? {
                            Value::Dict(other) => {
                                dict.extend(other.0.borrow().iter().map(|(k, v)| (k.clone(), v.clone())));
                            }
                            other => {
                                return Err(type_error(format!(
                                    "'{}' object is not a mapping",
                                    other.type_name()
                                )));
                            }
                        },
                    }
                }
                self.charge(dict.len() * 64)?;
                Ok(Value::dict(dict))
            }
            ExprKind::Comprehension(kind, comprehension) => self.comprehend(*kind, comprehension, frame),
            ExprKind::Generator(generator) => {
                let source = self.eval(&generator.first, frame)?;
                let first = self.iter(&source)?;
                let inner = Frame::new(generator.slots, Some(Rc::clone(frame)));
                self.captured.push(Rc::clone(&inner));
                let state = GeneratorState::new(Arc::clone(generator), first, inner);
                Iter::Generator(Box::new(state)).into_value()
            }
            _ => Ok(Value::None),
        }
    }

    pub(super) fn items(&mut self, exprs: &[Expr], frame: &Rc<Frame>) -> Res<Vec<Value>> {
        let mut out = Vec::with_capacity(exprs.len());
        for expr in exprs {
            match &expr.kind {
                ExprKind::Starred(inner) => {
                    let value = self.eval(inner, frame)?;
                    out.extend(self.collect(&value)?);
                }
                _ => out.push(self.eval(expr, frame)?),
            }
        }
        Ok(out)
    }

    fn logic(&mut self, parts: &[Expr], stop: bool, frame: &Rc<Frame>) -> Res<Value> {
        let mut value = Value::None;
        for part in parts {
            value = self.eval(part, frame)?;
            if value.truthy() == stop {
                break;
            }
        }
        Ok(value)
    }

    fn comparison(&mut self, left: &Expr, rest: &[(Compare, Expr)], frame: &Rc<Frame>) -> Res<Value> {
        let mut left = self.eval(left, frame)?;
        for (op, right) in rest {
            let right = self.eval(right, frame)?;
            if !compare(self, *op, &left, &right)? {
                return Ok(Value::Bool(false));
            }
            left = right;
        }
        Ok(Value::Bool(true))
    }

    fn comprehend(&mut self, kind: CompKind, comprehension: &Comprehension, frame: &Rc<Frame>) -> Res<Value> {
        let mut list = Vec::new();
        let mut set = Set::new();
        let mut dict = Dict::new();
        self.clause(&comprehension.clauses, frame, &mut |machine| {
            let element = machine.eval(&comprehension.element, frame)?;
            machine.charge(size_of::<Value>())?;
            match (kind, &comprehension.value) {
                (CompKind::Dict, Some(value)) => {
                    let value = machine.eval(value, frame)?;
                    dict.insert(Key::new(element)?, value);
                }
                (CompKind::Set, _) => {
                    set.insert(Key::new(element)?);
                }
                _ => list.push(element),
            }
            Ok(())
        })?;
        Ok(match kind {
            CompKind::List => Value::list(list),
            CompKind::Set => Value::set(set, false),
            CompKind::Dict => Value::dict(dict),
        })
    }

    fn clause(
        &mut self,
        clauses: &[Clause],
        frame: &Rc<Frame>,
        found: &mut dyn FnMut(&mut Self) -> Res<()>,
    ) -> Res<()> {
        let Some((clause, rest)) = clauses.split_first() else { return found(self) };
        let source = self.eval(&clause.iter, frame)?;
        let iter = self.iter(&source)?;
        'items: while let Some(value) = self.next(&iter)? {
            self.assign(&clause.target, value, frame)?;
            for condition in &clause.conditions {
                if !self.eval(condition, frame)?.truthy() {
                    continue 'items;
                }
            }
            self.clause(rest, frame, found)?;
        }
        Ok(())
    }

    fn text_parts(&mut self, parts: &[TextPart], frame: &Rc<Frame>, out: &mut String) -> Res<()> {
        for part in parts {
            match part {
                TextPart::Literal(literal) => out.push_str(literal),
                TextPart::Value { value, conversion, spec } => {
                    let value = self.eval(value, frame)?;
                    let value = match conversion {
                        None => value,
                        Some('r') => Value::str(repr(&value)?),
                        Some('a') => Value::str(ascii(&value)?),
                        Some(_) => Value::str(text(&value)?),
                    };
                    let mut format = String::new();
                    self.text_parts(spec, frame, &mut format)?;
                    let piece = builtins::format_value(self, &value, &format)?;
                    self.charge(piece.len())?;
                    out.push_str(&piece);
                }
            }
        }
        Ok(())
    }
}

pub(super) fn constant_value(constant: &Const) -> Value {
    match constant {
        Const::None => Value::None,
        Const::Bool(b) => Value::Bool(*b),
        Const::Int(i) => Value::Int(*i),
        Const::Big(b) => Value::from_big(b.clone()),
        Const::Float(f) => Value::Float(*f),
        Const::Str(s) => Value::Str(Arc::clone(s)),
        Const::Bytes(b) => Value::Bytes(Arc::clone(b)),
        Const::Ellipsis => Value::Ellipsis,
        // `datetime.UTC` is a value that the table of functions keeps.
        Const::Builtin(b) if b.name == "datetime.UTC" => Value::Zone(crate::value::Zone::UTC),
        Const::Builtin(b) => Value::Builtin(b),
        Const::Type(t) => Value::Type(t),
        Const::Module(m) => Value::Module(m),
    }
}

fn unary(op: Unary, value: &Value) -> Res<Value> {
    let refused =
        |sign: &str| Err(type_error(format!("bad operand type for unary {sign}: '{}'", value.type_name())));
    match (op, value) {
        (Unary::Not, v) => Ok(Value::Bool(!v.truthy())),
        (Unary::Minus, Value::Float(f)) => Ok(Value::Float(-f)),
        (Unary::Plus, Value::Float(f)) => Ok(Value::Float(*f)),
        (Unary::Minus, Value::Delta(d)) => Ok(Value::Delta(d.saturating_neg())),
        (Unary::Minus, Value::Duration(d)) => Ok(Value::Duration(d.saturating_neg())),
        (Unary::Minus | Unary::Plus, Value::Decimal(d)) => builtins::decimal::signed(d, op == Unary::Minus),
        (Unary::Plus, Value::Delta(_)) => Ok(value.clone()),
        (op, v) => match (crate::value::to_big(v), op) {
            (Some(i), Unary::Minus) => Ok(Value::from_big(-i)),
            (Some(i), Unary::Plus) => Ok(Value::from_big(i)),
            (Some(i), Unary::Invert) => Ok(Value::from_big(-i - 1)),
            (_, Unary::Minus) => refused("-"),
            (_, Unary::Plus) => refused("+"),
            (_, _) => refused("~"),
        },
    }
}

//! Expressions.

use std::collections::HashMap;
use std::sync::Arc;

use num_bigint::BigInt;
use ruff_python_ast::{self as ast, Expr as Ast};
use ruff_text_size::{Ranged as _, TextRange};

use super::imports::shared;
use super::{DEPTH_MAX, Lower, Scope, names};
use crate::ir::{
    Arguments, Binary, Clause, CompKind, Compare, Comprehension, Const, Expr, ExprKind, Generator, Target,
    TextPart, Unary,
};
use crate::problem::Problem;

impl Lower<'_> {
    pub(super) fn expr(&mut self, expr: &Ast) -> Expr {
        let range = expr.range();
        self.depth += 1;
        let kind = if self.depth > DEPTH_MAX {
            // One report is enough: everything above it fails with it.
            if !self.problems.iter().any(|p| p.code == "expr/too-deep") {
                let message = format!("the expression is nested more than {DEPTH_MAX} deep");
                self.problems.push(Problem::new("expr/too-deep", message, Some(self.range(range))));
            }
            ExprKind::Const(Const::None)
        } else {
            self.kind(expr)
        };
        self.depth -= 1;
        self.make(kind, range)
    }

    fn boxed(&mut self, expr: &Ast) -> Box<Expr> {
        Box::new(self.expr(expr))
    }

    fn all(&mut self, exprs: &[Ast]) -> Vec<Expr> {
        exprs.iter().map(|e| self.expr(e)).collect()
    }

    fn kind(&mut self, expr: &Ast) -> ExprKind {
        match expr {
            Ast::Name(name) => self.name(name.id.as_str(), name.range()),
            Ast::BooleanLiteral(b) => ExprKind::Const(Const::Bool(b.value)),
            Ast::NoneLiteral(_) => ExprKind::Const(Const::None),
            Ast::EllipsisLiteral(_) => ExprKind::Const(Const::Ellipsis),
            Ast::NumberLiteral(n) => self.number(n),
            Ast::StringLiteral(s) => ExprKind::Const(Const::Str(shared(s.value.to_str()))),
            Ast::BytesLiteral(b) => {
                ExprKind::Const(Const::Bytes(b.value.bytes().collect::<Vec<u8>>().into()))
            }
            Ast::FString(f) => self.f_string(f),
            Ast::UnaryOp(u) => self.unary(u),
            Ast::BinOp(b) => {
                let (left, right) = (self.boxed(&b.left), self.boxed(&b.right));
                ExprKind::Binary(binary_op(b.op), left, right)
            }
            Ast::BoolOp(b) => match b.op {
                ast::BoolOp::And => ExprKind::And(self.all(&b.values)),
                ast::BoolOp::Or => ExprKind::Or(self.all(&b.values)),
            },
            Ast::Compare(c) => {
                let left = self.boxed(&c.left);
                let rest =
                    c.ops.iter().zip(c.comparators.iter()).map(|(op, e)| (compare_op(*op), self.expr(e)));
                ExprKind::Compare(left, rest.collect())
            }
            Ast::If(i) => {
                let (test, then, otherwise) =
                    (self.boxed(&i.test), self.boxed(&i.body), self.boxed(&i.orelse));
                ExprKind::If { test, then, otherwise }
            }
            Ast::Attribute(a) => self.attribute(a),
            Ast::Subscript(s) => self.subscript(s),
            Ast::Slice(s) => {
                let mut part = |e: &Option<Box<Ast>>| e.as_ref().map(|e| self.boxed(e));
                ExprKind::Slice(part(&s.lower), part(&s.upper), part(&s.step))
            }
            Ast::Call(c) => self.call(c),
            Ast::List(l) => ExprKind::List(self.all(&l.elts)),
            Ast::Tuple(t) => ExprKind::Tuple(self.all(&t.elts)),
            Ast::Set(s) => ExprKind::Set(self.all(&s.elts)),
            Ast::Dict(d) => {
                let pair = |i: &ast::DictItem| (i.key.as_ref().map(|k| self.expr(k)), self.expr(&i.value));
                ExprKind::Dict(d.items.iter().map(pair).collect())
            }
            Ast::Starred(s) => ExprKind::Starred(self.boxed(&s.value)),
            Ast::ListComp(c) => self.comprehension(CompKind::List, &c.generators, &c.elt, None),
            Ast::SetComp(c) => self.comprehension(CompKind::Set, &c.generators, &c.elt, None),
            Ast::DictComp(c) => match &c.key {
                Some(key) => self.comprehension(CompKind::Dict, &c.generators, key, Some(&c.value)),
                None => self.refuse("`**` in a comprehension", c.range()),
            },
            Ast::Generator(g) => self.generator(g),
            Ast::Lambda(l) => self.lambda(l, false),
            Ast::Named(n) => self.named(n),
            Ast::Await(_) => self.refuse("`await`", expr.range()),
            Ast::Yield(_) | Ast::YieldFrom(_) => self.refuse("`yield`", expr.range()),
            Ast::TString(_) => self.refuse("a template string", expr.range()),
            Ast::IpyEscapeCommand(_) => self.refuse("a shell escape", expr.range()),
        }
    }

    fn refuse(&mut self, what: &str, range: TextRange) -> ExprKind {
        self.unsupported(what, range);
        ExprKind::Const(Const::None)
    }

    fn number(&mut self, literal: &ast::ExprNumberLiteral) -> ExprKind {
        match &literal.value {
            ast::Number::Float(f) => ExprKind::Const(Const::Float(*f)),
            ast::Number::Complex { .. } => self.refuse("a complex number", literal.range()),
            ast::Number::Int(i) => match i.as_i64() {
                Some(i) => ExprKind::Const(Const::Int(i)),
                None => match big_literal(&i.to_string()) {
                    Some(big) => ExprKind::Const(Const::Big(big)),
                    None => self.refuse("an integer literal of this length", literal.range()),
                },
            },
        }
    }

    fn unary(&mut self, unary: &ast::ExprUnaryOp) -> ExprKind {
        let operand = self.boxed(&unary.operand);
        match (unary.op, &operand.kind) {
            // Negative literals are literals, so that they have a type of their own.
            (ast::UnaryOp::USub, ExprKind::Const(Const::Int(i))) if *i != i64::MIN => {
                ExprKind::Const(Const::Int(-i))
            }
            (ast::UnaryOp::USub, ExprKind::Const(Const::Float(f))) => ExprKind::Const(Const::Float(-f)),
            (ast::UnaryOp::USub, _) => ExprKind::Unary(Unary::Minus, operand),
            (ast::UnaryOp::UAdd, _) => ExprKind::Unary(Unary::Plus, operand),
            (ast::UnaryOp::Not, _) => ExprKind::Unary(Unary::Not, operand),
            (ast::UnaryOp::Invert, _) => ExprKind::Unary(Unary::Invert, operand),
        }
    }

    fn f_string(&mut self, string: &ast::ExprFString) -> ExprKind {
        let mut parts = Vec::new();
        for part in string.value.iter() {
            match part {
                ast::FStringPart::Literal(s) => parts.push(TextPart::Literal(shared(&s.value))),
                ast::FStringPart::FString(f) => self.text_parts(f.elements.iter(), &mut parts),
            }
        }
        ExprKind::Text(parts)
    }

    fn text_parts<'e>(
        &mut self,
        elements: impl Iterator<Item = &'e ast::InterpolatedStringElement>,
        parts: &mut Vec<TextPart>,
    ) {
        for element in elements {
            match element {
                ast::InterpolatedStringElement::Literal(l) => parts.push(TextPart::Literal(shared(&l.value))),
                ast::InterpolatedStringElement::Interpolation(i) => {
                    let value = self.expr(&i.expression);
                    let mut spec = Vec::new();
                    if let Some(s) = &i.format_spec {
                        self.text_parts(s.elements.iter(), &mut spec);
                    }
                    let mut conversion = match i.conversion {
                        ast::ConversionFlag::None => None,
                        ast::ConversionFlag::Str => Some('s'),
                        ast::ConversionFlag::Repr => Some('r'),
                        ast::ConversionFlag::Ascii => Some('a'),
                    };
                    if i.debug_text.is_some() {
                        parts.push(TextPart::Literal(shared(&self.debug_text(i))));
                        conversion = conversion.or(if i.format_spec.is_none() { Some('r') } else { None });
                    }
                    parts.push(TextPart::Value { value, conversion, spec });
                }
            }
        }
    }

    /// `{x = }` shows the text up to and with the `=`, blanks too.
    fn debug_text(&self, element: &ast::InterpolatedElement) -> String {
        let start = element.range().start().to_usize() + 1;
        let inside = element.expression.range().end().to_usize();
        let text = self.source.text.get(start..inside).unwrap_or("");
        let rest = self.source.text.get(inside..).unwrap_or("");
        let tail = rest.find('=').map_or(0, |at| {
            let after = rest.get(at + 1..).unwrap_or("");
            at + 1 + (after.len() - after.trim_start().len())
        });
        format!("{text}{}", rest.get(..tail).unwrap_or(""))
    }

    fn attribute(&mut self, attribute: &ast::ExprAttribute) -> ExprKind {
        let name = attribute.attr.as_str();
        let value = self.boxed(&attribute.value);
        if let ExprKind::Var(var) = &value.kind
            && self.is_row(var)
            && let Some(column) = self.column(name, attribute.attr.range())
        {
            return column;
        }
        if let Some(constant) = self.constant_attribute(&value, name, attribute.attr.range()) {
            return constant;
        }
        ExprKind::Attribute(value, shared(name))
    }

    fn subscript(&mut self, subscript: &ast::ExprSubscript) -> ExprKind {
        let value = self.boxed(&subscript.value);
        let index = self.boxed(&subscript.slice);
        if let (ExprKind::Var(var), ExprKind::Const(Const::Int(i))) = (&value.kind, &index.kind)
            && self.is_row(var)
        {
            let count = self.names.fields.len();
            let at = if *i < 0 {
                usize::try_from(-i).ok().and_then(|b| count.checked_sub(b))
            } else {
                usize::try_from(*i).ok()
            };
            if let Some(at) = at.filter(|at| *at < count) {
                return ExprKind::Column(at);
            }
        }
        ExprKind::Subscript(value, index)
    }

    fn call(&mut self, call: &ast::ExprCall) -> ExprKind {
        if let Ast::Name(name) = &*call.func
            && matches!(
                name.id.as_str(),
                "eval" | "exec" | "open" | "compile" | "globals" | "locals" | "input" | "vars"
            )
            && self.variable(name.id.as_str()).is_none()
        {
            return self.refuse(&format!("`{}()`", name.id), call.range());
        }
        if let Ast::Name(name) = &*call.func
            && super::cpython::is_builtin(name.id.as_str())
            && !self.is_known(name.id.as_str())
        {
            return self.refuse(&format!("`{}()`", name.id), call.range());
        }
        let function = self.boxed(&call.func);
        let positional = self.all(&call.arguments.args);
        let keyword = |k: &ast::Keyword| (k.arg.as_ref().map(|a| shared(a.as_str())), self.expr(&k.value));
        let keywords = call.arguments.keywords.iter().map(keyword).collect();
        let args = Arguments { positional, keywords };
        match *function {
            Expr { kind: ExprKind::Attribute(object, name), .. } => {
                ExprKind::MethodCall { object, name, args }
            }
            _ => ExprKind::Call { function, args },
        }
    }

    fn named(&mut self, named: &ast::ExprNamed) -> ExprKind {
        let value = self.boxed(&named.value);
        let Ast::Name(name) = &*named.target else {
            return self.refuse("this target of `:=`", named.range());
        };
        // A walrus binds in the function around comprehensions.
        let outer = self.scopes.last().is_some_and(|s| s.outer.iter().any(|n| n == name.id.as_str()));
        let var = if outer {
            self.variable(&name.id)
        } else {
            let slot = self.scopes.last_mut().map_or(0, |s| s.local(&name.id));
            Some(crate::ir::Var { depth: 0, slot, name: shared(&name.id) })
        };
        match var {
            Some(var) => ExprKind::Named(var, value),
            None => self.refuse("this target of `:=`", named.range()),
        }
    }

    fn comprehension(
        &mut self,
        kind: CompKind,
        generators: &[ast::Comprehension],
        element: &Ast,
        value: Option<&Ast>,
    ) -> ExprKind {
        let Some((first, _)) = generators.split_first() else { return ExprKind::Const(Const::None) };
        let first_iter = self.expr(&first.iter);
        if let Some(scope) = self.scopes.last_mut() {
            scope.comprehensions.push(HashMap::new());
        }
        let clauses = self.clauses(generators, Some(first_iter));
        let element = self.expr(element);
        let value = value.map(|v| self.expr(v));
        if let Some(scope) = self.scopes.last_mut() {
            scope.comprehensions.pop();
        }
        ExprKind::Comprehension(kind, Box::new(Comprehension { clauses, element, value }))
    }

    /// A generator runs later and piecewise, so it has a frame of its own.
    fn generator(&mut self, generator: &ast::ExprGenerator) -> ExprKind {
        let Some((first, _)) = generator.generators.split_first() else {
            return ExprKind::Const(Const::None);
        };
        let first_iter = self.expr(&first.iter);
        let mut scope = Scope::default();
        scope.comprehensions.push(HashMap::new());
        self.scopes.push(scope);
        let placeholder = Expr { kind: ExprKind::Const(Const::None), at: 0, end: 0 };
        let clauses = self.clauses(&generator.generators, Some(placeholder));
        let element = self.expr(&generator.elt);
        if !names::assigned_in_expr(&generator.elt).is_empty() {
            self.unsupported("`:=` in a generator expression", generator.range());
        }
        let slots = self.scopes.pop().map_or(0, |s| s.slots.len());
        ExprKind::Generator(Arc::new(Generator { slots, first: first_iter, clauses, element }))
    }

    /// The `for … if …` parts. The first `iter` was already resolved, in the scope around.
    fn clauses(&mut self, generators: &[ast::Comprehension], mut first: Option<Expr>) -> Vec<Clause> {
        let mut clauses = Vec::new();
        for generator in generators {
            if generator.is_async {
                self.unsupported("`async for`", generator.range());
            }
            let iter = match first.take() {
                Some(iter) => iter,
                None => self.expr(&generator.iter),
            };
            let target = self.comprehension_target(&generator.target);
            let conditions = self.all(&generator.ifs);
            clauses.push(Clause { target, iter, conditions });
        }
        clauses
    }

    fn comprehension_target(&mut self, target: &Ast) -> Target {
        for name in names::assigned_in_expr(target) {
            if let Some(scope) = self.scopes.last_mut() {
                let slot = scope.slot(&name);
                if let Some(overlay) = scope.comprehensions.last_mut() {
                    overlay.insert(name, slot);
                }
            }
        }
        self.target(target)
    }
}

fn big_literal(text: &str) -> Option<BigInt> {
    let text = text.replace('_', "").to_lowercase();
    let (digits, radix) = match text.get(..2) {
        Some("0x") => (text.get(2..)?, 16),
        Some("0o") => (text.get(2..)?, 8),
        Some("0b") => (text.get(2..)?, 2),
        _ => (text.as_str(), 10),
    };
    if digits.len() > 4300 { None } else { BigInt::parse_bytes(digits.as_bytes(), radix) }
}

pub(super) fn binary_op(op: ast::Operator) -> Binary {
    match op {
        ast::Operator::Add => Binary::Add,
        ast::Operator::Sub => Binary::Sub,
        ast::Operator::Mult => Binary::Mul,
        ast::Operator::MatMult => Binary::MatMul,
        ast::Operator::Div => Binary::Div,
        ast::Operator::Mod => Binary::Mod,
        ast::Operator::Pow => Binary::Pow,
        ast::Operator::LShift => Binary::Shl,
        ast::Operator::RShift => Binary::Shr,
        ast::Operator::BitOr => Binary::Or,
        ast::Operator::BitXor => Binary::Xor,
        ast::Operator::BitAnd => Binary::And,
        ast::Operator::FloorDiv => Binary::FloorDiv,
    }
}

fn compare_op(op: ast::CmpOp) -> Compare {
    match op {
        ast::CmpOp::Eq => Compare::Eq,
        ast::CmpOp::NotEq => Compare::Ne,
        ast::CmpOp::Lt => Compare::Lt,
        ast::CmpOp::LtE => Compare::Le,
        ast::CmpOp::Gt => Compare::Gt,
        ast::CmpOp::GtE => Compare::Ge,
        ast::CmpOp::Is => Compare::Is,
        ast::CmpOp::IsNot => Compare::IsNot,
        ast::CmpOp::In => Compare::In,
        ast::CmpOp::NotIn => Compare::NotIn,
    }
}

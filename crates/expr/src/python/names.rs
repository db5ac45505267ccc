//! Which names a piece of code binds or mentions.

use std::collections::HashSet;

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{self as ast, Expr, ExprContext, Stmt};

use crate::ir;

/// The names that `body` binds in its own scope: not those of functions and comprehensions inside.
pub(crate) fn assigned(body: &[Stmt]) -> Vec<String> {
    let mut found = Assigned { names: Vec::new(), outer: Vec::new() };
    body.iter().for_each(|s| found.visit_stmt(s));
    let Assigned { mut names, outer } = found;
    names.retain(|n| !outer.contains(n));
    names
}

/// The names that `body`, functions inside too, reads.
pub(super) fn read(body: &[Stmt]) -> HashSet<String> {
    let mut found = Read(HashSet::new());
    body.iter().for_each(|s| found.visit_stmt(s));
    found.0
}

struct Read(HashSet<String>);

impl<'a> Visitor<'a> for Read {
    fn visit_expr(&mut self, expr: &'a Expr) {
        if let Expr::Name(name) = expr
            && name.ctx == ExprContext::Load
        {
            self.0.insert(name.id.to_string());
        }
        walk_expr(self, expr);
    }
}

/// The names that `body` declares `global` or `nonlocal`.
pub(super) fn declared_outer(body: &[Stmt]) -> Vec<String> {
    let mut found = Assigned { names: Vec::new(), outer: Vec::new() };
    body.iter().for_each(|s| found.visit_stmt(s));
    found.outer
}

/// The module-level names whose value may change: all but those that one plain import binds.
pub(super) fn bound_twice(suite: &[Stmt]) -> HashSet<String> {
    let mut once: HashSet<String> = HashSet::new();
    let mut twice: HashSet<String> = HashSet::new();
    for stmt in suite {
        let import = matches!(stmt, Stmt::Import(_) | Stmt::ImportFrom(_));
        for name in assigned(std::slice::from_ref(stmt)) {
            if !once.insert(name.clone()) || !import {
                twice.insert(name);
            }
        }
    }
    let mut globals = Globals(twice);
    suite.iter().for_each(|s| globals.visit_stmt(s));
    globals.0
}

/// The names that `body`, functions inside too, declares `global`.
pub(super) fn declared_global(body: &[Stmt]) -> Vec<String> {
    let mut globals = Globals(HashSet::new());
    body.iter().for_each(|s| globals.visit_stmt(s));
    globals.0.into_iter().collect()
}

struct Globals(HashSet<String>);

impl<'a> Visitor<'a> for Globals {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        if let Stmt::Global(global) = stmt {
            self.0.extend(global.names.iter().map(|n| n.id.to_string()));
        }
        walk_stmt(self, stmt);
    }
}

/// The names that walruses in an expression bind in the scope around it.
pub(super) fn assigned_in_expr(expr: &Expr) -> Vec<String> {
    let mut found = Assigned { names: Vec::new(), outer: Vec::new() };
    found.visit_expr(expr);
    found.names
}

struct Assigned {
    names: Vec<String>,
    outer: Vec<String>,
}

impl Assigned {
    fn add(&mut self, name: &str) {
        if !self.names.iter().any(|n| n == name) {
            self.names.push(name.to_owned());
        }
    }
}

impl<'a> Visitor<'a> for Assigned {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::FunctionDef(def) => self.add(&def.name.id),
            Stmt::ClassDef(def) => self.add(&def.name.id),
            Stmt::Import(import) => import.names.iter().for_each(|a| self.add(bound_name(a))),
            Stmt::ImportFrom(import) => import.names.iter().for_each(|a| self.add(bound_name(a))),
            Stmt::Global(ast::StmtGlobal { names, .. }) | Stmt::Nonlocal(ast::StmtNonlocal { names, .. }) => {
                self.outer.extend(names.iter().map(|n| n.id.to_string()));
            }
            other => walk_stmt(self, other),
        }
    }

    fn visit_except_handler(&mut self, handler: &'a ast::ExceptHandler) {
        let ast::ExceptHandler::ExceptHandler(inner) = handler;
        if let Some(name) = &inner.name {
            self.add(&name.id);
        }
        ast::visitor::walk_except_handler(self, handler);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Lambda(_) => {}
            Expr::Name(name) if name.ctx != ExprContext::Load => self.add(&name.id),
            other => walk_expr(self, other),
        }
    }

    fn visit_comprehension(&mut self, clause: &'a ast::Comprehension) {
        self.visit_expr(&clause.iter);
        clause.ifs.iter().for_each(|e| self.visit_expr(e));
    }
}

/// `import a.b` binds `a`.
pub(super) fn bound_name(alias: &ast::Alias) -> &str {
    match &alias.asname {
        Some(name) => name.as_str(),
        None => alias.name.as_str().split('.').next().unwrap_or(""),
    }
}

/// Whether anything in `body`, functions inside too, reads a variable called `name`.
pub(crate) fn mentions(body: &[Stmt], name: &str) -> bool {
    let mut found = Mentions { name, stores: false, found: false };
    body.iter().for_each(|s| found.visit_stmt(s));
    found.found
}

/// Whether anything in `body`, functions inside too, binds or redeclares a variable called `name`.
pub(super) fn rebinds(body: &[Stmt], name: &str) -> bool {
    let mut found = Mentions { name, stores: true, found: false };
    body.iter().for_each(|s| found.visit_stmt(s));
    found.found || assigned(body).iter().any(|n| n == name) || declared_outer(body).iter().any(|n| n == name)
}

/// Whether a lambda's first parameter keeps its value.
pub(super) fn never_rebound(lambda: &ast::ExprLambda) -> bool {
    let first = lambda.parameters.as_ref().and_then(|p| p.iter_non_variadic_params().next());
    first.is_some_and(|p| {
        let mut found = Mentions { name: p.parameter.name.as_str(), stores: true, found: false };
        found.visit_expr(&lambda.body);
        !found.found
    })
}

struct Mentions<'n> {
    name: &'n str,
    stores: bool,
    found: bool,
}

impl<'a> Visitor<'a> for Mentions<'_> {
    fn visit_expr(&mut self, expr: &'a Expr) {
        if let Expr::Name(name) = expr
            && name.id.as_str() == self.name
            && (name.ctx != ExprContext::Load) == self.stores
        {
            self.found = true;
        }
        walk_expr(self, expr);
    }
}

/// Whether an expression refers to nothing but columns and constants, and makes no frame.
pub(super) fn only_columns(expr: &ir::Expr) -> bool {
    use ir::ExprKind as K;
    let args = |a: &ir::Arguments| {
        a.positional.iter().all(only_columns) && a.keywords.iter().all(|(_, e)| only_columns(e))
    };
    match &expr.kind {
        K::Const(_) | K::Column(_) | K::Unknown(_) => true,
        K::Var(_) | K::Comprehension(..) | K::Generator(_) | K::Lambda(_) | K::Named(..) => false,
        K::Unary(_, e) | K::Attribute(e, _) | K::Starred(e) => only_columns(e),
        K::Binary(_, a, b) | K::Subscript(a, b) => only_columns(a) && only_columns(b),
        K::And(es) | K::Or(es) | K::List(es) | K::Tuple(es) | K::Set(es) => es.iter().all(only_columns),
        K::Compare(a, rest) => only_columns(a) && rest.iter().all(|(_, e)| only_columns(e)),
        K::If { test, then, otherwise } => {
            only_columns(test) && only_columns(then) && only_columns(otherwise)
        }
        K::Slice(a, b, c) => [a, b, c].iter().all(|e| e.as_ref().is_none_or(|e| only_columns(e))),
        K::Call { function, args: a } => only_columns(function) && args(a),
        K::MethodCall { object, args: a, .. } => only_columns(object) && args(a),
        K::Dict(pairs) => pairs.iter().all(|(k, v)| k.as_ref().is_none_or(only_columns) && only_columns(v)),
        K::Text(parts) => parts.iter().all(part_only_columns),
    }
}

fn part_only_columns(part: &ir::TextPart) -> bool {
    match part {
        ir::TextPart::Literal(_) => true,
        ir::TextPart::Value { value, spec, .. } => only_columns(value) && spec.iter().all(part_only_columns),
    }
}

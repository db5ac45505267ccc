//! Statements over types.

use super::{Infer, Scope, WORK_MAX, binary_type};
use crate::ir::{Compare, Const, Expr, ExprKind, Handler, Stmt, StmtKind, Target, Unary, Var};
use crate::types::Ty;

/// Passes over a loop until its variables settle; then what still moves is Any.
const PASSES_MAX: usize = 6;

/// A variable that a test tells to be None or not.
pub(super) struct Known {
    var: Var,
    /// Present where the test is true (else where it is false).
    present_if: bool,
}

/// `x`, `not x`, `x is None`, `x is not None`, and the first of these in an `and`.
pub(super) fn narrowing(test: &Expr) -> Option<Known> {
    match &test.kind {
        ExprKind::Var(var) => Some(Known { var: var.clone(), present_if: true }),
        ExprKind::Named(var, _) => Some(Known { var: var.clone(), present_if: true }),
        ExprKind::Unary(Unary::Not, inner) => {
            narrowing(inner).map(|known| Known { present_if: !known.present_if, ..known })
        }
        ExprKind::Compare(left, rest) => match (&left.kind, rest.as_slice()) {
            (
                ExprKind::Var(var),
                [(op @ (Compare::Is | Compare::IsNot | Compare::Eq | Compare::Ne), right)],
            ) if matches!(right.kind, ExprKind::Const(Const::None)) => {
                let present_if = matches!(op, Compare::IsNot | Compare::Ne);
                Some(Known { var: var.clone(), present_if })
            }
            _ => None,
        },
        ExprKind::And(parts) => parts.first().and_then(narrowing).filter(|known| known.present_if),
        _ => None,
    }
}

impl Infer<'_> {
    /// Takes the None out of a variable's type where the test's outcome says so; gives the type before.
    pub(super) fn narrow(&mut self, known: Option<&Known>, outcome: bool) -> Option<Ty> {
        let known = known.filter(|k| k.present_if == outcome && k.var.depth == 0)?;
        let before = self.get(&known.var);
        self.set(&known.var, before.present().clone());
        Some(before)
    }

    pub(super) fn restore(&mut self, known: Option<&Known>, before: Option<Ty>) {
        if let (Some(known), Some(before)) = (known, before) {
            self.set(&known.var, before);
        }
    }

    pub(super) fn block(&mut self, stmts: &[Stmt]) {
        for stmt in stmts {
            self.work += 1;
            if self.dead || self.work > WORK_MAX {
                return;
            }
            self.stmt(stmt);
        }
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::Expr(e) => drop(self.expr(e)),
            StmtKind::Assign(targets, value) => {
                let ty = self.expr(value);
                targets.iter().for_each(|t| self.assign(t, ty.clone()));
            }
            StmtKind::Augment(target, op, value) => {
                let value = self.expr(value);
                let old = match target {
                    Target::Var(var) => self.get(var),
                    Target::Subscript(object, _) => self.expr(object).item_of(),
                    Target::Unpack(..) => Ty::Any,
                };
                let new = match (op, old.present()) {
                    // `list += iterable` takes any iterable.
                    (crate::ir::Binary::Add, Ty::List(t)) => Ty::list((**t).clone().join(value.item())),
                    (_, old) => binary_type(*op, old, value.present()),
                };
                self.assign(target, new);
            }
            StmtKind::Def(var, function) => self.set(var, Ty::Function(function.clone())),
            StmtKind::If(test, then, otherwise) => self.branches(test, then, otherwise),
            StmtKind::While(test, body, otherwise) => {
                self.expr(test);
                self.repeat(body, &mut |infer| drop(infer.expr(test)));
                self.block(otherwise);
            }
            StmtKind::For { target, iter, body, otherwise } => {
                let source = self.expr(iter);
                self.repeat(body, &mut |infer| infer.assign(target, source.item()));
                self.block(otherwise);
            }
            StmtKind::Break | StmtKind::Continue => {
                let here = self.scopes.clone();
                if let Some(Some(exits)) = self.loops.last_mut() {
                    join_scopes(exits, here);
                } else if let Some(exits) = self.loops.last_mut() {
                    *exits = Some(here);
                }
                self.dead = true;
            }
            StmtKind::Return(value) => {
                let ty = value.as_ref().map_or(Ty::None, |e| self.expr(e));
                self.returned = std::mem::replace(&mut self.returned, Ty::Never).join(ty);
                self.dead = true;
            }
            StmtKind::Raise(e) => {
                e.iter().for_each(|e| drop(self.expr(e)));
                self.dead = true;
            }
            StmtKind::Assert(test, message) => {
                self.expr(test);
                message.iter().for_each(|e| drop(self.expr(e)));
                self.narrow(narrowing(test).as_ref(), true);
            }
            StmtKind::Try { body, handlers, otherwise, finally } => {
                self.attempt(body, handlers, otherwise);
                let dead = std::mem::replace(&mut self.dead, false);
                self.block(finally);
                self.dead |= dead;
            }
            StmtKind::Delete(_) => {}
        }
    }

    fn branches(&mut self, test: &Expr, then: &[Stmt], otherwise: &[Stmt]) {
        self.expr(test);
        let known = narrowing(test);
        let start = self.scopes.clone();
        self.narrow(known.as_ref(), true);
        self.block(then);
        let after_then = std::mem::replace(&mut self.scopes, start);
        let then_dead = std::mem::replace(&mut self.dead, false);
        self.narrow(known.as_ref(), false);
        self.block(otherwise);
        self.merge(after_then, then_dead);
    }

    /// The body may fail anywhere, so a handler sees what was before it or after.
    fn attempt(&mut self, body: &[Stmt], handlers: &[Handler], otherwise: &[Stmt]) {
        let start = self.scopes.clone();
        self.block(body);
        let mut raised = self.scopes.clone();
        join_scopes(&mut raised, start);
        if !self.dead {
            self.block(otherwise);
        }
        for handler in handlers {
            let after = std::mem::replace(&mut self.scopes, raised.clone());
            let dead = std::mem::replace(&mut self.dead, false);
            if let Some(var) = &handler.name {
                self.set(var, Ty::Exception);
            }
            self.block(&handler.body);
            self.merge(after, dead);
        }
    }

    /// Joins in another way of getting here.
    fn merge(&mut self, other: Vec<Scope>, other_dead: bool) {
        match (self.dead, other_dead) {
            (_, true) => {}
            (true, false) => {
                self.scopes = other;
                self.dead = false;
            }
            (false, false) => join_scopes(&mut self.scopes, other),
        }
    }

    /// Runs a loop's body over types until they no longer change.
    fn repeat(&mut self, body: &[Stmt], start: &mut dyn FnMut(&mut Self)) {
        self.loops.push(None);
        for pass in 0..PASSES_MAX {
            let before = self.scopes.clone();
            start(self);
            self.block(body);
            if self.dead {
                self.scopes = before.clone();
                self.dead = false;
            } else {
                join_scopes(&mut self.scopes, before.clone());
            }
            if let Some(Some(exits)) = self.loops.last().cloned() {
                join_scopes(&mut self.scopes, exits);
            }
            if self.scopes == before {
                break;
            }
            if pass + 1 == PASSES_MAX {
                for (scope, old) in self.scopes.iter_mut().zip(&before) {
                    scope
                        .iter_mut()
                        .zip(old)
                        .filter(|(new, old)| new != old)
                        .for_each(|(new, _)| *new = Ty::Any);
                }
            }
        }
        self.loops.pop();
    }
}

fn join_scopes(scopes: &mut [Scope], other: Vec<Scope>) {
    for (scope, other) in scopes.iter_mut().zip(other) {
        for (ty, other) in scope.iter_mut().zip(other) {
            *ty = std::mem::replace(ty, Ty::Never).join(other);
        }
    }
}

impl Ty {
    /// What subscripting gives: the values of a dict, the items of a list.
    fn item_of(&self) -> Ty {
        match self.present() {
            Ty::Dict(_, v) => (**v).clone(),
            other => other.item(),
        }
    }
}

//! Statements.

use ruff_python_ast::{self as ast, Expr as Ast, Stmt as AstStmt};
use ruff_text_size::Ranged as _;

use super::expr::binary_op;
use super::{Lower, stmt_name};
use crate::ir::{Expr, Handler, Stmt, StmtKind, Target};

impl Lower<'_> {
    pub(super) fn stmt(&mut self, stmt: &AstStmt, out: &mut Vec<Stmt>) {
        let at = self.at(stmt.range());
        let kind = match stmt {
            AstStmt::Pass(_) | AstStmt::Global(_) | AstStmt::Nonlocal(_) => return,
            AstStmt::Import(i) => return self.import(i, out),
            AstStmt::ImportFrom(i) => return self.import_from(i, out),
            AstStmt::Expr(e) if e.value.is_string_literal_expr() => return,
            AstStmt::Expr(e) => StmtKind::Expr(self.expr(&e.value)),
            AstStmt::Assign(a) => {
                let value = self.expr(&a.value);
                StmtKind::Assign(a.targets.iter().map(|t| self.target(t)).collect(), value)
            }
            AstStmt::AnnAssign(a) => match &a.value {
                None => return,
                Some(value) => {
                    let value = self.expr(value);
                    StmtKind::Assign(vec![self.target(&a.target)], value)
                }
            },
            AstStmt::AugAssign(a) => {
                let value = self.expr(&a.value);
                StmtKind::Augment(self.target(&a.target), binary_op(a.op), value)
            }
            AstStmt::FunctionDef(def) => {
                let function = self.function_def(def, false);
                let var = self.bind(&def.name.id);
                match (function, var) {
                    (Some(function), Some(var)) => StmtKind::Def(var, function),
                    _ => return,
                }
            }
            AstStmt::If(i) => self.if_stmt(i),
            AstStmt::While(w) => {
                let test = self.expr(&w.test);
                StmtKind::While(test, self.loop_body(&w.body), self.nested(&w.orelse))
            }
            AstStmt::For(f) => {
                if f.is_async {
                    self.unsupported("`async for`", f.range());
                }
                let iter = self.expr(&f.iter);
                let target = self.target(&f.target);
                StmtKind::For {
                    target,
                    iter,
                    body: self.loop_body(&f.body),
                    otherwise: self.nested(&f.orelse),
                }
            }
            AstStmt::Break(_) if self.loops > 0 => StmtKind::Break,
            AstStmt::Continue(_) if self.loops > 0 => StmtKind::Continue,
            AstStmt::Break(_) => return self.misplaced("`break` outside a loop", stmt),
            AstStmt::Continue(_) => return self.misplaced("`continue` outside a loop", stmt),
            AstStmt::Return(r) if self.scopes.len() > 1 => {
                StmtKind::Return(r.value.as_ref().map(|v| self.expr(v)))
            }
            AstStmt::Return(_) => return self.misplaced("`return` outside a function", stmt),
            AstStmt::Raise(r) => {
                if let Some(cause) = &r.cause {
                    self.expr(cause);
                }
                StmtKind::Raise(r.exc.as_ref().map(|e| self.expr(e)))
            }
            AstStmt::Assert(a) => {
                let test = self.expr(&a.test);
                StmtKind::Assert(test, a.msg.as_ref().map(|m| self.expr(m)))
            }
            AstStmt::Try(t) => self.try_stmt(t),
            AstStmt::Delete(d) => StmtKind::Delete(d.targets.iter().map(|t| self.target(t)).collect()),
            other => return self.unsupported(stmt_name(other), other.range()),
        };
        out.push(Stmt { kind, at });
    }

    fn misplaced(&mut self, what: &str, stmt: &AstStmt) {
        let range = self.range(stmt.range());
        self.problems.push(crate::problem::Problem::new("expr/syntax", what, Some(range)));
    }

    fn nested(&mut self, stmts: &[AstStmt]) -> Vec<Stmt> {
        let mut out = Vec::new();
        self.block(stmts, &mut out);
        out
    }

    fn loop_body(&mut self, stmts: &[AstStmt]) -> Vec<Stmt> {
        self.loops += 1;
        let body = self.nested(stmts);
        self.loops -= 1;
        body
    }

    /// `elif` is an `if` in the `else`.
    fn if_stmt(&mut self, stmt: &ast::StmtIf) -> StmtKind {
        // Each `elif` nests in the one before.
        if let Some(clause) = stmt.elif_else_clauses.get(super::DEPTH_MAX) {
            self.unsupported(
                &format!("an `if` with more than {} branches", super::DEPTH_MAX),
                clause.range(),
            );
            return StmtKind::Break;
        }
        let test = self.expr(&stmt.test);
        let then = self.nested(&stmt.body);
        let clauses: Vec<(Option<Expr>, Vec<Stmt>, u32)> = stmt
            .elif_else_clauses
            .iter()
            .map(|c| (c.test.as_ref().map(|t| self.expr(t)), self.nested(&c.body), self.at(c.range())))
            .collect();
        let otherwise = clauses.into_iter().rev().fold(Vec::new(), |rest, (test, body, at)| match test {
            Some(test) => vec![Stmt { kind: StmtKind::If(test, body, rest), at }],
            None => body,
        });
        StmtKind::If(test, then, otherwise)
    }

    fn try_stmt(&mut self, stmt: &ast::StmtTry) -> StmtKind {
        if stmt.is_star {
            self.unsupported("`except*`", stmt.range());
        }
        let body = self.nested(&stmt.body);
        let mut handlers = Vec::new();
        for ast::ExceptHandler::ExceptHandler(handler) in &stmt.handlers {
            let class = handler.type_.as_ref().map(|t| self.expr(t));
            let name = handler.name.as_ref().and_then(|n| self.bind(n.as_str()));
            handlers.push(Handler { class, name, body: self.nested(&handler.body) });
        }
        StmtKind::Try {
            body,
            handlers,
            otherwise: self.nested(&stmt.orelse),
            finally: self.nested(&stmt.finalbody),
        }
    }

    pub(super) fn target(&mut self, target: &Ast) -> Target {
        match target {
            Ast::Name(name) => match self.bind(&name.id) {
                Some(var) => return Target::Var(var),
                None => self.unsupported("this target", name.range()),
            },
            Ast::Subscript(s) => {
                let value = self.expr(&s.value);
                let index = self.expr(&s.slice);
                return Target::Subscript(value, index);
            }
            Ast::Tuple(ast::ExprTuple { elts, .. }) | Ast::List(ast::ExprList { elts, .. }) => {
                self.depth += 1;
                let targets = if self.depth > super::DEPTH_MAX {
                    self.unsupported("a target nested this deep", target.range());
                    Vec::new()
                } else {
                    elts.iter().map(|e| self.target(e)).collect()
                };
                self.depth -= 1;
                let star = elts.iter().position(|e| e.is_starred_expr());
                return Target::Unpack(targets, star);
            }
            Ast::Starred(s) => return self.target(&s.value),
            Ast::Attribute(a) => self.unsupported("assigning to an attribute", a.range()),
            other => self.unsupported("this target", other.range()),
        }
        Target::Subscript(self.nothing(), self.nothing())
    }
}

//! Functions and lambdas.

use std::sync::Arc;

use ruff_python_ast as ast;
use ruff_text_size::Ranged as _;

use super::imports::shared;
use super::{DEPTH_MAX, Lower, Scope, names};
use crate::ir::{Const, Expr, ExprKind, Function, Param, ParamKind, Stmt, StmtKind};
use crate::problem::Problem;

impl Lower<'_> {
    /// `row`: the first parameter always holds the current row.
    pub(super) fn function_def(&mut self, def: &ast::StmtFunctionDef, row: bool) -> Option<Arc<Function>> {
        if def.is_async {
            self.unsupported("`async def`", def.range());
        }
        if let Some(decorator) = def.decorator_list.first() {
            self.unsupported("a decorator", decorator.range());
        }
        let params = self.params(&def.parameters);
        let level = u16::try_from(self.scopes.len()).ok()?;
        self.scopes.push(self.function_scope(&params, row));
        if let Some(scope) = self.scopes.last_mut() {
            scope.outer = names::declared_outer(&def.body);
            scope.globals = names::declared_global(&def.body);
            for name in names::assigned(&def.body) {
                scope.local(&name);
            }
        }
        let loops = std::mem::take(&mut self.loops);
        let mut body = Vec::new();
        self.block(&def.body, &mut body);
        self.loops = loops;
        let scope = self.scopes.pop()?;
        let name = shared(def.name.as_str());
        Some(Arc::new(Function { name, params, slots: scope.slots.len(), body, level }))
    }

    pub(super) fn lambda(&mut self, lambda: &ast::ExprLambda, row: bool) -> ExprKind {
        let params = lambda.parameters.as_ref().map(|p| self.params(p)).unwrap_or_default();
        let level = u16::try_from(self.scopes.len()).unwrap_or(u16::MAX);
        self.scopes.push(self.function_scope(&params, row));
        let value = self.expr(&lambda.body);
        let at = value.at;
        let body = vec![Stmt { kind: StmtKind::Return(Some(value)), at }];
        let slots = self.scopes.pop().map_or(0, |s| s.slots.len());
        let name = shared("<lambda>");
        ExprKind::Lambda(Arc::new(Function { name, params, slots, body, level }))
    }

    fn function_scope(&self, params: &[Param], row: bool) -> Scope {
        let mut scope = Scope::default();
        for param in params {
            scope.local(&param.name);
        }
        scope.row_slot = row.then_some(0);
        scope
    }

    /// Defaults belong to the scope around; annotations are not evaluated.
    fn params(&mut self, parameters: &ast::Parameters) -> Vec<Param> {
        let mut params = Vec::new();
        let groups =
            [(&parameters.posonlyargs, ParamKind::PositionalOnly), (&parameters.args, ParamKind::Normal)];
        for (group, kind) in groups {
            for p in group.iter() {
                params.push(self.param(p, kind));
            }
        }
        if let Some(rest) = &parameters.vararg {
            params.push(Param { name: shared(rest.name.as_str()), kind: ParamKind::Rest, default: None });
        }
        for p in parameters.kwonlyargs.iter() {
            params.push(self.param(p, ParamKind::KeywordOnly));
        }
        if let Some(rest) = &parameters.kwarg {
            params.push(Param { name: shared(rest.name.as_str()), kind: ParamKind::Keywords, default: None });
        }
        params
    }

    fn param(&mut self, p: &ast::ParameterWithDefault, kind: ParamKind) -> Param {
        let default = p.default.as_ref().map(|d| self.expr(d));
        Param { name: shared(p.parameter.name.as_str()), kind, default }
    }

    pub(super) fn block(&mut self, stmts: &[ast::Stmt], out: &mut Vec<Stmt>) {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            if !self.problems.iter().any(|p| p.code == "expr/too-deep") {
                let range = stmts.first().map(|s| self.range(s.range()));
                let message = format!("the statements are nested more than {DEPTH_MAX} deep");
                self.problems.push(Problem::new("expr/too-deep", message, range));
            }
        } else {
            stmts.iter().for_each(|s| self.stmt(s, out));
        }
        self.depth -= 1;
    }

    /// A constant in place of what was refused.
    pub(super) fn nothing(&self) -> Expr {
        Expr { kind: ExprKind::Const(Const::None), at: 0, end: 0 }
    }
}

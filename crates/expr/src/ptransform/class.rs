//! `class X(beam.PTransform)`: what its object holds becomes variables, its methods functions.

use super::{Res, Support, Taken};
use ruff_python_ast::visitor::{Visitor, walk_expr};
use ruff_python_ast::{self as ast, Expr, Stmt};
use ruff_text_size::Ranged as _;
use serde_json::{Map, Value};

use super::steps::Step;

/// What the variables for an object's attributes are called.
const PREFIX: &str = "__self_";

impl<'a> Taken<'a> {
    /// The steps of a transform's class.
    pub(super) fn class(
        &mut self,
        class: &'a ast::StmtClassDef,
        args: &[Value],
        kwargs: &Map<String, Value>,
    ) -> Res<Vec<Step>> {
        let mut expand = None;
        for stmt in &class.body {
            if let Stmt::FunctionDef(def) = stmt {
                self.attributes(def);
            }
        }
        let init =
            class.body.iter().find_map(|s| s.as_function_def_stmt().filter(|d| &*d.name == "__init__"));
        match init {
            Some(init) => {
                let parameters: Vec<_> = init.parameters.iter_non_variadic_params().skip(1).collect();
                self.bind(&parameters, args, kwargs)?;
            }
            None => self.bind(&[], args, kwargs)?,
        }
        for stmt in &class.body {
            match stmt {
                Stmt::FunctionDef(def) if &*def.name == "expand" => expand = Some(def),
                Stmt::FunctionDef(def) if &*def.name == "__init__" => {}
                Stmt::FunctionDef(def) => self.method(stmt, def)?,
                Stmt::Assign(assign) => {
                    for target in assign.targets.iter().filter_map(Expr::as_name_expr) {
                        let range = target.range().start().to_usize()..target.range().end().to_usize();
                        self.text.replace(range, format!("{PREFIX}{}", target.id));
                    }
                    self.support(stmt);
                }
                Stmt::Expr(_) | Stmt::Pass(_) => {}
                other => self.support(other),
            }
        }
        for stmt in init.into_iter().flat_map(|d| &d.body).filter(|s| !is_super(s)) {
            self.support(stmt);
        }
        let Some(expand) = expand else {
            return Err(super::refused(format!("class `{}` has no `expand`", class.name)));
        };
        let Some(collection) = expand.parameters.iter_non_variadic_params().nth(1) else {
            return Err(super::refused("`expand` takes no collection"));
        };
        self.collections.insert(collection.parameter.name.to_string(), Vec::new());
        self.body(&expand.body)
    }

    /// Writes `self.x` as a variable wherever the object is known by that name.
    fn attributes(&mut self, def: &'a ast::StmtFunctionDef) {
        let is_static = def
            .decorator_list
            .iter()
            .any(|d| super::steps::dotted(&d.expression).as_deref() == Some("staticmethod"));
        let Some(object) = def.parameters.iter_non_variadic_params().next().filter(|_| !is_static) else {
            return;
        };
        let mut found = Attributes { object: object.parameter.name.as_str(), found: Vec::new() };
        def.body.iter().for_each(|s| found.visit_stmt(s));
        for (range, name) in found.found {
            self.text.replace(range, format!("{PREFIX}{name}"));
        }
    }

    /// A method becomes a function without the object.
    fn method(&mut self, stmt: &Stmt, def: &ast::StmtFunctionDef) -> Res<()> {
        let decorators: Vec<_> = def
            .decorator_list
            .iter()
            .map(|d| super::steps::dotted(&d.expression).unwrap_or_default())
            .collect();
        let is_static = match decorators.as_slice() {
            [] => false,
            [only] if only == "staticmethod" => true,
            [first, ..] => {
                let message = format!("the decorator `{first}` of `{}`", def.name);
                return Err(super::refused(message));
            }
        };
        for d in &def.decorator_list {
            // The decorator, and the line that it stands on.
            let start = d.range().start().to_usize();
            self.text.replace(start..def.name.range().start().to_usize(), "def ".to_owned());
        }
        let name = format!("{PREFIX}{}", def.name);
        let range = def.name.range();
        self.text.replace(range.start().to_usize()..range.end().to_usize(), name.clone());
        let mut parameters = def.parameters.iter_non_variadic_params();
        if !is_static && let Some(object) = parameters.next() {
            let start = object.range().start().to_usize();
            let end = parameters.next().map_or(object.range().end(), |p| p.range().start());
            self.text.replace(start..end.to_usize(), String::new());
        }
        let text = self.text.statement(stmt);
        self.support.push(Support { function: Some(name), text });
        Ok(())
    }
}

/// `super().__init__(…)`, or the same with the name of the base class.
fn is_super(stmt: &Stmt) -> bool {
    let Stmt::Expr(e) = stmt else { return false };
    let Expr::Call(call) = e.value.as_ref() else { return e.value.is_string_literal_expr() };
    matches!(call.func.as_ref(), Expr::Attribute(a) if &*a.attr == "__init__")
}

struct Attributes<'a> {
    object: &'a str,
    found: Vec<(std::ops::Range<usize>, String)>,
}

impl<'a> Visitor<'a> for Attributes<'_> {
    fn visit_expr(&mut self, expr: &'a Expr) {
        if let Expr::Attribute(a) = expr
            && let Expr::Name(name) = a.value.as_ref()
            && name.id.as_str() == self.object
        {
            let range = a.range().start().to_usize()..a.range().end().to_usize();
            self.found.push((range, a.attr.to_string()));
            return;
        }
        walk_expr(self, expr);
    }
}

//! Beam transforms written in Python: those that only map, filter and flatten become functions of a row.
//!
//! `pcoll | beam.Filter(p) | beam.Map(f)` says nothing that needs Beam: this module takes such sources apart and
//! writes scripts, in the Python that [`crate::compile`] takes, that say the same row by row.

mod class;
mod constant;
mod emit;
mod steps;

use crate::problem::Problem;
use constant::Constants;
use emit::Text;
use ruff_python_ast::{self as ast, Expr, Stmt};
use ruff_text_size::Ranged as _;
use serde_json::{Map, Value};
use std::collections::HashMap;
use steps::Step;

/// How the source is meant, as `constructor` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `__callable__`: a function that is given the collection and expands it.
    Callable,
    /// `__constructor__`: a function or a class that makes a transform.
    Constructor,
}

/// What a source does with each row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Elementwise {
    /// Conditions that a row must meet, in this order: callables of the row.
    pub filters: Vec<String>,
    /// What a row that meets them becomes; without it, rows pass.
    pub result: Option<Mapped>,
}

/// What a row becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// A callable of the row.
    pub code: String,
    /// Whether its value is a list of results, not one.
    pub many: bool,
}

/// Takes the source of a transform apart. `args` and `kwargs` are what its function is called with besides the
/// collection.
///
/// # Errors
/// What in it is not Python, or does more than map, filter and flatten.
pub fn elementwise(
    source: &str,
    form: Form,
    args: &[Value],
    kwargs: &Map<String, Value>,
) -> Result<Elementwise, Vec<Problem>> {
    const TEXT_MAX: usize = 64 << 10;
    if source.len() > TEXT_MAX {
        let message = format!("the source has {} bytes; at most {TEXT_MAX} are compiled", source.len());
        return Err(vec![Problem::new("expr/too-deep", message, None)]);
    }
    let stack = (4 << 20) + source.len() * 2048;
    stacker::maybe_grow(stack, stack, || {
        let source = crate::python::script_text(source);
        let parsed = ruff_python_parser::parse_module(&source)
            .map_err(|e| vec![Problem::new("expr/syntax", format!("invalid Python: {}", e.error), None)])?;
        let mut taken = Taken::new(&source);
        let steps = taken.module(parsed.suite(), form, args, kwargs).map_err(|p| vec![p])?;
        taken.scripts(steps).map_err(|p| vec![p])
    })
}

type Res<T> = Result<T, Problem>;

fn refused(what: impl Into<String>) -> Problem {
    Problem::new("python/transform", what, None)
}

/// A source that is being taken apart.
struct Taken<'a> {
    text: Text<'a>,
    constants: Constants,
    /// Names that stand for collections, and the steps that led to them.
    collections: HashMap<String, Vec<Step>>,
    /// Imports by the names that they bind; written only if they are used.
    imports: Vec<(Vec<String>, String)>,
    /// Statements that the functions may need, in order.
    support: Vec<Support>,
    /// Names bound outside of the function that expands.
    outer: Vec<String>,
}

/// A statement that functions may need.
struct Support {
    /// The function it defines.
    function: Option<String>,
    text: String,
}

impl<'a> Taken<'a> {
    fn new(source: &'a str) -> Self {
        Taken {
            text: Text::new(source),
            constants: Constants::default(),
            collections: HashMap::new(),
            imports: Vec::new(),
            support: Vec::new(),
            outer: Vec::new(),
        }
    }

    /// The steps of the transform that the last statement of a module defines.
    fn module(
        &mut self,
        suite: &'a [Stmt],
        form: Form,
        args: &[Value],
        kwargs: &Map<String, Value>,
    ) -> Res<Vec<Step>> {
        let Some((last, before)) = suite.split_last() else {
            return Err(refused("the source is empty"));
        };
        self.text.protect(suite);
        for stmt in before {
            self.support(stmt);
        }
        self.outer = crate::python::assigned(before);
        match last {
            Stmt::FunctionDef(def) => {
                let decorated = def.decorator_list.iter().any(|d| is_ptransform_fn(&d.expression));
                let collection = form == Form::Callable || decorated;
                self.function(&def.parameters, usize::from(collection), args, kwargs)?;
                self.body(&def.body)
            }
            Stmt::Expr(e) if e.value.is_lambda_expr() => {
                let Expr::Lambda(lambda) = e.value.as_ref() else {
                    return Err(refused("not a function"));
                };
                if let Some(parameters) = &lambda.parameters {
                    self.function(parameters, usize::from(form == Form::Callable), args, kwargs)?;
                }
                self.steps(&lambda.body)
            }
            Stmt::ClassDef(class) if form == Form::Constructor => self.class(class, args, kwargs),
            _ => {
                let what = "the source does not end with a function or a class that makes a transform";
                Err(refused(what))
            }
        }
    }

    /// Binds the parameters of the function that expands; the first `collections` are collections.
    fn function(
        &mut self,
        parameters: &ast::Parameters,
        collections: usize,
        args: &[Value],
        kwargs: &Map<String, Value>,
    ) -> Res<()> {
        let names: Vec<_> = parameters.iter_non_variadic_params().collect();
        for p in names.iter().take(collections) {
            self.collections.insert(p.parameter.name.to_string(), Vec::new());
        }
        if names.len() < collections {
            return Err(refused("the function takes no collection"));
        }
        self.bind(names.get(collections..).unwrap_or_default(), args, kwargs)
    }

    /// Gives parameters the values that the config says, else their defaults.
    fn bind(
        &mut self,
        parameters: &[&ast::ParameterWithDefault],
        args: &[Value],
        kwargs: &Map<String, Value>,
    ) -> Res<()> {
        for (i, p) in parameters.iter().enumerate() {
            let name = p.parameter.name.as_str();
            let given = args.get(i).or_else(|| kwargs.get(name));
            let value = match (given, &p.default) {
                (Some(value), _) => {
                    self.constants.set(name, value.clone());
                    constant::literal(value)
                }
                (None, Some(default)) => {
                    if let Some(value) = constant::of(default) {
                        self.constants.set(name, value);
                    }
                    self.text.slice(default.range())
                }
                (None, None) => {
                    return Err(Problem::new(
                        "python/arguments",
                        format!("the function's parameter `{name}` is given no value"),
                        None,
                    )
                    .help(format!("add it to the `kwargs`: `{name}: …`")));
                }
            };
            if self.outer.iter().any(|o| o == name) {
                return Err(Problem::new(
                    "python/transform",
                    format!("`{name}` is a parameter and also a name of the module"),
                    None,
                ));
            }
            self.support.push(Support { function: None, text: format!("{name} = {value}") });
        }
        let known = |k: &str| parameters.iter().any(|p| p.parameter.name.as_str() == k);
        if let Some(extra) = kwargs.keys().find(|k| !known(k)) {
            let names: Vec<_> = parameters.iter().map(|p| p.parameter.name.as_str()).collect();
            let message = format!("the function has no parameter `{extra}`");
            let listed = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(Problem::new("python/arguments", message, None).help(format!("parameters: {listed}")));
        }
        if args.len() > parameters.len() {
            let message = format!("{} arguments for {} parameters", args.len(), parameters.len());
            return Err(Problem::new("python/arguments", message, None));
        }
        Ok(())
    }

    /// The steps that a body returns.
    fn body(&mut self, body: &'a [Stmt]) -> Res<Vec<Step>> {
        let inner = crate::python::assigned(body);
        if let Some(both) = inner.iter().find(|n| self.outer.contains(n) && !self.is_import(n)) {
            let what = format!("`{both}` is bound in the function and in the module");
            return Err(refused(what));
        }
        match self.block(body)? {
            Some(steps) => Ok(steps),
            None => Err(refused("the function returns no collection")),
        }
    }

    fn is_import(&self, name: &str) -> bool {
        self.imports.iter().any(|(names, _)| names.iter().any(|n| n == name))
    }

    /// Statements up to a `return`, whose steps are the answer.
    fn block(&mut self, body: &'a [Stmt]) -> Res<Option<Vec<Step>>> {
        for stmt in body {
            match stmt {
                Stmt::Return(ast::StmtReturn { value: Some(value), .. }) => {
                    return self.steps(value).map(Some);
                }
                Stmt::Expr(e) if e.value.is_string_literal_expr() => {}
                Stmt::If(branch) => {
                    if let Some(steps) = self.branch(branch)? {
                        return Ok(Some(steps));
                    }
                }
                Stmt::Assign(assign) if self.mentions_collection(stmt) => {
                    let [Expr::Name(name)] = assign.targets.as_slice() else {
                        return Err(refused("a collection is bound to several names"));
                    };
                    let steps = self.steps(&assign.value)?;
                    self.collections.insert(name.id.to_string(), steps);
                }
                other if self.mentions_collection(other) => {
                    let what = format!("`{}` uses the collection", self.text.first_line(other.range()));
                    return Err(refused(what));
                }
                other => self.support(other),
            }
        }
        Ok(None)
    }

    /// An `if` on what the config says is decided here.
    fn branch(&mut self, branch: &'a ast::StmtIf) -> Res<Option<Vec<Step>>> {
        let all = std::iter::once((Some(branch.test.as_ref()), &branch.body))
            .chain(branch.elif_else_clauses.iter().map(|c| (c.test.as_ref(), &c.body)));
        for (test, body) in all {
            let holds = match test {
                None => true,
                Some(test) => self.constants.truth(test).ok_or_else(|| {
                    let what =
                        format!("`if {}` does not only depend on the config", self.text.slice(test.range()));
                    refused(what)
                })?,
            };
            if holds {
                return self.block(body);
            }
        }
        Ok(None)
    }

    fn mentions_collection(&self, stmt: &Stmt) -> bool {
        self.collections.keys().any(|name| crate::python::mentions(std::slice::from_ref(stmt), name))
    }

    /// Keeps a statement that functions may need.
    fn support(&mut self, stmt: &Stmt) {
        let text = self.text.statement(stmt);
        match stmt {
            Stmt::Import(_) | Stmt::ImportFrom(_) => {
                let names = crate::python::assigned(std::slice::from_ref(stmt));
                self.imports.push((names, text));
            }
            Stmt::FunctionDef(def) => {
                let function = Some(def.name.to_string());
                self.support.push(Support { function, text });
            }
            _ => self.support.push(Support { function: None, text }),
        }
    }
}

/// `@beam.ptransform_fn`, which makes a function of a collection a constructor.
fn is_ptransform_fn(decorator: &Expr) -> bool {
    steps::dotted(decorator).is_some_and(|d| d.rsplit('.').next() == Some("ptransform_fn"))
}

#[cfg(test)]
mod tests;

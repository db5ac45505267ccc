//! What a text says of itself without being compiled: for code that a worker runs.

use std::collections::HashSet;
use std::ops::Range;

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{self as ast, Expr, Stmt};
use ruff_text_size::{Ranged as _, TextRange};

use super::cpython;
use super::source::Source;
use crate::problem::Problem;
use crate::types::Ty;

/// What the worker's `apache_beam` has.
const BEAM: &[(&str, &[&str])] = &[
    ("apache_beam", &["Row", "pvalue", "utils"]),
    ("apache_beam.pvalue", &["Row"]),
    ("apache_beam.utils", &["timestamp"]),
    ("apache_beam.utils.timestamp", &["Timestamp", "Duration"]),
];

/// A text that was read.
pub(crate) struct Scan {
    /// It, without the indentation that all its lines share.
    pub(crate) text: String,
    /// Every name in it.
    pub(crate) names: HashSet<String>,
    /// What the annotation of the callable says it gives.
    pub(crate) returns: Option<Ty>,
}

/// Reads an expression.
pub(crate) fn expression(text: &str) -> Result<Scan, Vec<Problem>> {
    let source = Source::expression(text);
    let parsed = ruff_python_parser::parse_expression(&source.text).map_err(|e| vec![source.syntax(&e)])?;
    let mut found = Found::new(&source);
    found.visit_expr(parsed.expr());
    found.finish(text.to_owned(), None)
}

/// Reads a script, whose callable is function `name`, or its last definition.
pub(crate) fn script(text: &str, name: Option<&str>) -> Result<Scan, Vec<Problem>> {
    let source = Source::script(text);
    let parsed = ruff_python_parser::parse_module(&source.text).map_err(|e| vec![source.syntax(&e)])?;
    let suite = parsed.suite();
    let mut found = Found::new(&source);
    suite.iter().for_each(|s| found.visit_stmt(s));
    let callee = suite.iter().rev().find_map(|s| match s {
        Stmt::FunctionDef(def) => name.is_none_or(|n| def.name.as_str() == n).then_some(def),
        _ => None,
    });
    // A decorator may give another function, and a generator gives a list.
    let returns = callee.filter(|def| def.decorator_list.is_empty()).and_then(|def| def.returns.as_deref());
    let returns = returns.and_then(annotated);
    found.finish(source.text.clone(), returns)
}

/// The type that an annotation names, if it is one that columns have.
fn annotated(annotation: &Expr) -> Option<Ty> {
    match annotation {
        Expr::Name(name) => match name.id.as_str() {
            "str" => Some(Ty::Str),
            "int" => Some(Ty::Int),
            "float" => Some(Ty::Float),
            "bool" => Some(Ty::Bool),
            "bytes" => Some(Ty::Bytes),
            "datetime" => Some(Ty::DateTime),
            "Timestamp" => Some(Ty::Timestamp),
            _ => None,
        },
        Expr::Attribute(a) if a.attr.as_str() == "datetime" => Some(Ty::DateTime),
        Expr::Subscript(s) => {
            let Expr::Name(name) = &*s.value else { return None };
            match name.id.as_str() {
                "Optional" => annotated(&s.slice).map(Ty::optional),
                "list" | "List" => annotated(&s.slice).map(Ty::list),
                _ => None,
            }
        }
        Expr::BinOp(b) if b.op == ast::Operator::BitOr => match (&*b.left, &*b.right) {
            (some, Expr::NoneLiteral(_)) | (Expr::NoneLiteral(_), some) => annotated(some).map(Ty::optional),
            _ => None,
        },
        _ => None,
    }
}

struct Found<'s> {
    source: &'s Source,
    names: HashSet<String>,
    problems: Vec<Problem>,
}

impl<'s> Found<'s> {
    fn new(source: &'s Source) -> Self {
        Found { source, names: HashSet::new(), problems: Vec::new() }
    }

    fn finish(self, text: String, returns: Option<Ty>) -> Result<Scan, Vec<Problem>> {
        if self.problems.is_empty() {
            Ok(Scan { text, names: self.names, returns })
        } else {
            Err(self.problems)
        }
    }

    fn problem(&mut self, message: String, help: &str, range: TextRange) {
        let at = |n: ruff_text_size::TextSize| self.source.original(n.to_usize());
        let range: Range<usize> = at(range.start())..at(range.end());
        self.problems.push(Problem::new("expr/unsupported", message, Some(range)).help(help));
    }

    fn beam(&mut self, module: &str, name: &str, range: TextRange) {
        let known = BEAM.iter().find(|(m, _)| *m == module).map_or(&[][..], |(_, names)| *names);
        if !known.contains(&name) {
            let message = format!("`{module}.{name}` is Beam's Python, which is not here");
            let help = "of `apache_beam` there are `Row`, `utils.timestamp.Timestamp` and `Duration`";
            self.problem(message, help, range);
        }
    }

    fn module(&mut self, name: &str, range: TextRange) {
        if name.split('.').next() == Some("apache_beam") {
            if !BEAM.iter().any(|(m, _)| *m == name) {
                let (parent, last) = name.rsplit_once('.').unwrap_or(("apache_beam", name));
                self.beam(parent, last, range);
            }
        } else if !cpython::is_module(name) {
            let top = name.split('.').next().unwrap_or(name);
            let message = format!("needs {top}, which is not part of Python's standard library");
            self.problem(
                message,
                "write it with the standard library, or compute it before the pipeline",
                range,
            );
        }
    }
}

impl<'a> Visitor<'a> for Found<'_> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::Import(import) => {
                import.names.iter().for_each(|a| self.module(a.name.as_str(), a.range()));
            }
            Stmt::ImportFrom(import) => {
                let module = import.module.as_ref().map_or("", |m| m.as_str());
                if import.level > 0 {
                    let message = "an import that begins with a dot has no package to start from".to_owned();
                    self.problem(message, "name the module in full", import.range());
                } else if BEAM.iter().any(|(m, _)| *m == module) {
                    for a in &import.names {
                        self.beam(module, a.name.as_str(), a.range());
                    }
                } else {
                    self.module(module, import.range());
                }
            }
            _ => {}
        }
        walk_stmt(self, stmt);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Name(name) => {
                self.names.insert(name.id.to_string());
            }
            Expr::Attribute(a) => {
                if matches!(&*a.value, Expr::Name(n) if n.id.as_str() == "beam") {
                    self.beam("apache_beam", a.attr.as_str(), a.range());
                }
            }
            _ => {}
        }
        walk_expr(self, expr);
    }
}

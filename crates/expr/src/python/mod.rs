//! Python text to the resolved program: parse, find the callable, resolve names.

pub(crate) mod cpython;
mod expr;
mod function;
mod imports;
mod names;
pub(crate) mod scan;
mod source;
mod stmt;

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use ruff_python_ast as ast;
use ruff_text_size::{Ranged as _, TextRange};

use crate::ir::{Const, Entry, Expr, ExprKind, Function, Stmt, Var};
use crate::problem::{Problem, unknown_name};
use source::Source;

pub(crate) use names::{assigned, mentions};

/// Longer texts are refused: nesting, and so the stack needed, grows with the text.
const TEXT_MAX: usize = 64 << 10;
/// Expressions nested deeper than this are refused.
const DEPTH_MAX: usize = 200;

/// What the text may refer to.
pub(crate) struct Names<'a> {
    pub(crate) fields: &'a [String],
    pub(crate) beam_compat: bool,
}

/// Compiles an expression over the fields.
pub(crate) fn expression(text: &str, names: &Names<'_>) -> Result<Entry, Vec<Problem>> {
    bounded(text, || {
        let source = Source::expression(text);
        let parsed =
            ruff_python_parser::parse_expression(&source.text).map_err(|e| vec![source.syntax(&e)])?;
        let mut lower = Lower::new(&source, names, Mode::Expression);
        lower.scopes.push(Scope::default());
        let body = lower.expr(parsed.expr());
        let slots = lower.scopes.pop().map_or(0, |s| s.slots.len());
        lower.finish(Entry::Expression { body, slots })
    })
}

/// Compiles a callable: a builtin's name, a lambda, or a script whose last definition counts.
pub(crate) fn callable(text: &str, names: &Names<'_>) -> Result<Entry, Vec<Problem>> {
    script(text, None, names)
}

/// A script without the indentation that all its lines share.
pub(crate) fn script_text(text: &str) -> String {
    Source::script(text).text
}

/// Compiles function `name` of a file.
pub(crate) fn file(text: &str, name: &str, names: &Names<'_>) -> Result<Entry, Vec<Problem>> {
    script(text, Some(name), names)
}

fn script(text: &str, name: Option<&str>, names: &Names<'_>) -> Result<Entry, Vec<Problem>> {
    bounded(text, || {
        let source = Source::script(text);
        let parsed = ruff_python_parser::parse_module(&source.text).map_err(|e| vec![source.syntax(&e)])?;
        let mut lower = Lower::new(&source, names, Mode::Script);
        let entry = lower.module(parsed.suite(), name);
        match entry {
            Some(entry) => lower.finish(entry),
            None => Err(lower.problems),
        }
    })
}

/// Refuses texts that are too long and gives the others the stack that their nesting may need.
fn bounded(text: &str, work: impl FnOnce() -> Result<Entry, Vec<Problem>>) -> Result<Entry, Vec<Problem>> {
    if text.len() > TEXT_MAX {
        let message = format!("the text has {} bytes; at most {TEXT_MAX} are compiled", text.len());
        return Err(vec![Problem::new("expr/too-deep", message, None)]);
    }
    let stack = (4 << 20) + text.len() * 2048;
    stacker::maybe_grow(stack, stack, work)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Fields are names.
    Expression,
    /// The function gets the row.
    Script,
}

/// A function's (or the module's, or a generator's) variables while it is resolved.
#[derive(Default)]
struct Scope {
    slots: Vec<Arc<str>>,
    locals: HashMap<String, u16>,
    /// The variables of comprehensions being resolved, inner last. They have slots in this frame.
    comprehensions: Vec<HashMap<String, u16>>,
    /// Names declared `global` or `nonlocal`.
    outer: Vec<String>,
    /// Names declared `global`.
    globals: Vec<String>,
    /// Slot of the parameter that always holds the current input row.
    row_slot: Option<u16>,
}

impl Scope {
    fn slot(&mut self, name: &str) -> u16 {
        self.slots.push(Arc::from(name));
        u16::try_from(self.slots.len() - 1).unwrap_or(u16::MAX)
    }

    fn local(&mut self, name: &str) -> u16 {
        if let Some(slot) = self.locals.get(name) {
            return *slot;
        }
        let slot = self.slot(name);
        self.locals.insert(name.to_owned(), slot);
        slot
    }

    fn find(&self, name: &str) -> Option<u16> {
        self.comprehensions.iter().rev().find_map(|c| c.get(name)).or_else(|| self.locals.get(name)).copied()
    }
}

struct Lower<'a> {
    source: &'a Source,
    names: &'a Names<'a>,
    mode: Mode,
    scopes: Vec<Scope>,
    /// Module-level names bound once, by an import.
    imports: HashMap<String, Const>,
    /// Module-level names that more than one statement may bind.
    bound_twice: HashSet<String>,
    /// Names that the module reads somewhere.
    read: HashSet<String>,
    problems: Vec<Problem>,
    depth: usize,
    loops: usize,
}

impl<'a> Lower<'a> {
    fn new(source: &'a Source, names: &'a Names<'a>, mode: Mode) -> Lower<'a> {
        Lower {
            source,
            names,
            mode,
            scopes: Vec::new(),
            imports: HashMap::new(),
            bound_twice: HashSet::new(),
            read: HashSet::new(),
            problems: Vec::new(),
            depth: 0,
            loops: 0,
        }
    }

    fn finish(self, entry: Entry) -> Result<Entry, Vec<Problem>> {
        if self.problems.is_empty() { Ok(entry) } else { Err(self.problems) }
    }

    /// A range of the parsed text in the user's text.
    fn range(&self, range: TextRange) -> Range<usize> {
        self.source.original(range.start().to_usize())..self.source.original(range.end().to_usize())
    }

    fn at(&self, range: TextRange) -> u32 {
        u32::try_from(self.range(range).start).unwrap_or(u32::MAX)
    }

    fn unsupported(&mut self, what: &str, range: TextRange) {
        let range = self.range(range);
        let message = format!("{what} is not part of the Python that is compiled");
        self.problems.push(Problem::new("expr/unsupported", message, Some(range)));
    }

    fn make(&self, kind: ExprKind, range: TextRange) -> Expr {
        let range = self.range(range);
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Expr { kind, at: narrow(range.start), end: narrow(range.end) }
    }

    /// The module's statements, and the callable among them.
    fn module(&mut self, suite: &[ast::Stmt], wanted: Option<&str>) -> Option<Entry> {
        let Some(index) = self.callee_index(suite, wanted) else {
            let message = match wanted {
                Some(name) => format!("the file defines no function `{name}`"),
                None => "the text defines no function".to_owned(),
            };
            self.problems.push(Problem::new("expr/unknown-name", message, None));
            return None;
        };
        self.scopes.push(Scope::default());
        self.bind_module_names(suite);
        let mut module: Vec<Stmt> = Vec::new();
        let mut callee: Option<Expr> = None;
        let is_import = |s: &ast::Stmt| matches!(s, ast::Stmt::Import(_) | ast::Stmt::ImportFrom(_));
        // Imports first: a function above one may use it.
        suite.iter().filter(|s| is_import(s)).for_each(|s| self.stmt(s, &mut module));
        for (i, stmt) in suite.iter().enumerate() {
            if i != index {
                if !is_import(stmt) {
                    self.stmt(stmt, &mut module);
                }
                continue;
            }
            match stmt {
                ast::Stmt::FunctionDef(def) => {
                    let row = self.may_stand_for_row(def, suite);
                    let function = self.function_def(def, row)?;
                    let var = self.bind(&def.name.id)?;
                    callee = Some(self.make(ExprKind::Var(var.clone()), def.range()));
                    let at = self.at(def.range());
                    module.push(Stmt { kind: crate::ir::StmtKind::Def(var, function), at });
                }
                ast::Stmt::Expr(e) => callee = Some(self.callee_expr(&e.value)),
                ast::Stmt::Assign(assign) => {
                    callee = Some(self.callee_expr(&assign.value));
                }
                other => self.unsupported(stmt_name(other), other.range()),
            }
        }
        let slots = self.scopes.pop().map_or(0, |s| s.slots.len());
        Some(simplify(module, slots, callee?))
    }

    /// Which top-level statement is the callable: the one of the given name, else the last.
    fn callee_index(&self, suite: &[ast::Stmt], wanted: Option<&str>) -> Option<usize> {
        match wanted {
            None => suite.len().checked_sub(1),
            Some(name) => suite.iter().rposition(|s| match s {
                ast::Stmt::FunctionDef(def) => def.name.as_str() == name,
                ast::Stmt::ClassDef(def) => def.name.as_str() == name,
                ast::Stmt::Assign(a) => {
                    matches!(a.targets.as_slice(), [ast::Expr::Name(n)] if n.id.as_str() == name)
                }
                _ => false,
            }),
        }
    }

    fn callee_expr(&mut self, value: &ast::Expr) -> Expr {
        match value {
            ast::Expr::Lambda(lambda) => {
                let row = names::never_rebound(lambda);
                let kind = self.lambda(lambda, row);
                self.make(kind, lambda.range())
            }
            other => self.expr(other),
        }
    }

    /// Whether the first parameter of the callable always holds the current row: nothing else calls it.
    fn may_stand_for_row(&self, def: &ast::StmtFunctionDef, suite: &[ast::Stmt]) -> bool {
        let Some(first) = def.parameters.iter_non_variadic_params().next() else { return false };
        let name = first.parameter.name.as_str();
        !names::mentions(suite, def.name.as_str()) && !names::rebinds(&def.body, name)
    }

    fn bind_module_names(&mut self, suite: &[ast::Stmt]) {
        let assigned = names::assigned(suite);
        self.bound_twice = names::bound_twice(suite);
        self.read = names::read(suite);
        if let Some(scope) = self.scopes.last_mut() {
            for name in assigned {
                scope.local(&name);
            }
        }
    }

    /// The variable that a binding of `name` in the current scope writes.
    fn bind(&mut self, name: &str) -> Option<Var> {
        let declared_outer = self.scopes.last().is_some_and(|s| s.outer.iter().any(|n| n == name));
        if declared_outer {
            let global = self.scopes.last().is_some_and(|s| s.globals.iter().any(|n| n == name));
            if global && let Some(module) = self.scopes.first_mut() {
                module.local(name);
            }
            return self.variable(name);
        }
        let scope = self.scopes.last_mut()?;
        let slot = match scope.find(name) {
            Some(slot) => slot,
            None => scope.local(name),
        };
        Some(Var { depth: 0, slot, name: Arc::from(name) })
    }

    /// The variable in scope under `name`, from the inside out.
    fn variable(&self, name: &str) -> Option<Var> {
        let global = self.scopes.last().is_some_and(|s| s.globals.iter().any(|n| n == name));
        for (depth, scope) in self.scopes.iter().rev().enumerate() {
            if global && depth + 1 < self.scopes.len() {
                continue;
            }
            let skipped = depth == 0 && scope.outer.iter().any(|n| n == name);
            if let Some(slot) = scope.find(name).filter(|_| !skipped) {
                return Some(Var { depth: u16::try_from(depth).ok()?, slot, name: Arc::from(name) });
            }
        }
        None
    }

    /// Whether a name means something to the compiler here.
    fn is_known(&self, name: &str) -> bool {
        self.variable(name).is_some()
            || (self.mode == Mode::Expression && self.names.fields.iter().any(|f| f == name))
            || imports::builtin(name).is_some()
    }

    /// Whether `var` is the parameter that holds the current row.
    fn is_row(&self, var: &Var) -> bool {
        let depth = usize::from(var.depth);
        let scope = self.scopes.len().checked_sub(depth + 1).and_then(|i| self.scopes.get(i));
        scope.is_some_and(|s| s.row_slot == Some(var.slot))
    }

    fn name(&mut self, name: &str, range: TextRange) -> ExprKind {
        if let Some(var) = self.variable(name) {
            if let Some(imported) =
                self.imports.get(name).filter(|_| usize::from(var.depth) + 1 == self.scopes.len())
            {
                return ExprKind::Const(imported.clone());
            }
            return ExprKind::Var(var);
        }
        if self.mode == Mode::Expression
            && let Some(index) = self.names.fields.iter().position(|f| f == name)
        {
            return ExprKind::Column(index);
        }
        if let Some(found) = imports::builtin(name) {
            return ExprKind::Const(found);
        }
        // A worker knows it. As an expression on its own it is more likely a field that is not there.
        if self.mode == Mode::Script && cpython::is_builtin(name) {
            self.unsupported(&format!("`{name}`"), range);
            return ExprKind::Const(Const::None);
        }
        if self.names.beam_compat {
            return ExprKind::Unknown(Arc::from(name));
        }
        if self.mode == Mode::Expression
            && let Some(found) = imports::in_expressions(name)
        {
            return ExprKind::Const(found);
        }
        let range = self.range(range);
        let problem = if self.mode == Mode::Expression {
            let fields = self.names.fields.iter().map(String::as_str);
            let mut problem =
                unknown_name(format!("unknown name `{name}`"), name, "fields", fields, Some(range));
            if imports::is_module(name) {
                problem = problem.help(format!(
                    "modules are only known to callables: `callable: |` with `import {name}` and a function"
                ));
            }
            problem
        } else {
            let fields = self.names.fields.iter().any(|f| f == name);
            let known: Vec<&str> =
                self.scopes.iter().flat_map(|s| s.locals.keys().map(String::as_str)).collect();
            let problem = unknown_name(
                format!("unknown name `{name}`"),
                name,
                "names here",
                known.iter().copied(),
                Some(range),
            );
            if imports::is_module(name) {
                problem.help(format!("add `import {name}`"))
            } else if fields {
                problem.help(format!("a callable gets the row: write `row.{name}`"))
            } else {
                problem
            }
        };
        self.problems.push(problem);
        ExprKind::Const(Const::None)
    }

    /// Field `name` of the input row.
    fn column(&mut self, name: &str, range: TextRange) -> Option<ExprKind> {
        if let Some(index) = self.names.fields.iter().position(|f| f == name) {
            return Some(ExprKind::Column(index));
        }
        let method = matches!(name, "_asdict" | "as_dict" | "_fields");
        if !method && !self.names.beam_compat {
            let range = self.range(range);
            let fields = self.names.fields.iter().map(String::as_str);
            let message = format!("the input has no field `{name}`");
            self.problems.push(unknown_name(message, name, "fields", fields, Some(range)));
            return Some(ExprKind::Const(Const::None));
        }
        None
    }
}

/// A callable that only returns an expression over fields of its row is an expression.
fn simplify(module: Vec<Stmt>, slots: usize, callee: Expr) -> Entry {
    use crate::ir::StmtKind;
    let function: Option<&Arc<Function>> = match (&callee.kind, module.as_slice()) {
        (ExprKind::Lambda(f), []) => Some(f),
        (ExprKind::Var(v), [Stmt { kind: StmtKind::Def(w, f), .. }]) if v == w => Some(f),
        _ => None,
    };
    let simple = function.is_some_and(|f| {
        f.slots == 1 && matches!(f.body.as_slice(), [Stmt { kind: StmtKind::Return(Some(e)), .. }] if names::only_columns(e))
    });
    if !simple {
        return Entry::Callable { module, slots, callee };
    }
    let found = function.cloned();
    drop(module);
    drop(callee);
    // The function was shared only by what was just dropped.
    match found.map(Arc::try_unwrap) {
        Some(Ok(mut function)) => match function.body.pop().map(|s| s.kind) {
            Some(StmtKind::Return(Some(body))) => Entry::Expression { body, slots: 0 },
            _ => none_entry(),
        },
        _ => none_entry(),
    }
}

fn none_entry() -> Entry {
    Entry::Expression { body: Expr { kind: ExprKind::Const(Const::None), at: 0, end: 0 }, slots: 0 }
}

/// How messages call a statement.
fn stmt_name(stmt: &ast::Stmt) -> &'static str {
    match stmt {
        ast::Stmt::ClassDef(_) => "a class",
        ast::Stmt::With(_) => "`with`",
        ast::Stmt::Match(_) => "`match`",
        ast::Stmt::TypeAlias(_) => "`type`",
        ast::Stmt::Import(_) | ast::Stmt::ImportFrom(_) => "an import where a function is needed",
        _ => "this statement as the callable",
    }
}

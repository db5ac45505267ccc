//! What modules and builtin names mean.

use std::sync::Arc;

use ruff_python_ast as ast;
use ruff_text_size::Ranged as _;

use super::{Lower, names};
use crate::builtins;
use crate::ir::{Const, Expr, ExprKind, Stmt, StmtKind, Target};
use crate::problem::{Problem, unknown_name};
use crate::value::decimal::Rounding;
use crate::value::is_exception_type;

/// Modules that scripts may import.
const MODULES: &[&str] =
    &["datetime", "decimal", "json", "math", "re", "time", "apache_beam", "apache_beam.utils.timestamp"];
/// Modules whose names are only used in annotations, which are not evaluated.
const ANNOTATIONS: &[&str] = &["typing", "__future__", "collections.abc"];

const TYPES: &[&str] = &[
    "int",
    "float",
    "str",
    "bool",
    "list",
    "dict",
    "set",
    "frozenset",
    "tuple",
    "bytes",
    "object",
    "type",
    "range",
];

pub(super) fn is_module(name: &str) -> bool {
    MODULES.contains(&name) && name != "apache_beam"
}

/// A builtin name, or `beam`.
pub(super) fn builtin(name: &str) -> Option<Const> {
    if name == "beam" {
        return Some(Const::Module("apache_beam"));
    }
    if let Some(known) = TYPES.iter().find(|t| **t == name) {
        return Some(Const::Type(known));
    }
    let imported = ["error", "JSONDecodeError"].contains(&name) || builtins::decimal::NAMES.contains(&name);
    if is_exception_type(name) && !imported {
        return exception(name);
    }
    if name.contains('.') {
        return None;
    }
    builtins::find(name).map(Const::Builtin)
}

fn exception(name: &str) -> Option<Const> {
    builtins::exception_name(name).map(Const::Type)
}

/// A name that expressions know without an import, beyond Beam's: they have no place to write one.
pub(super) fn in_expressions(name: &str) -> Option<Const> {
    match name {
        "Decimal" => attribute("decimal", name),
        "timedelta" | "timezone" => attribute("datetime", name),
        name if name.starts_with("ROUND_") => attribute("decimal", name),
        _ => None,
    }
}

/// An attribute of a module.
pub(super) fn attribute(module: &str, name: &str) -> Option<Const> {
    let known = match (module, name) {
        ("datetime", "datetime") => Const::Type("datetime"),
        ("datetime", "date") => Const::Type("date"),
        ("datetime", "time") => Const::Type("time"),
        ("datetime", "timedelta") => Const::Type("timedelta"),
        ("datetime", "timezone") => Const::Type("timezone"),
        ("datetime", "UTC") => Const::Builtin(builtins::find("datetime.UTC")?),
        ("decimal", "Decimal") => Const::Type("Decimal"),
        ("decimal", "DecimalException" | "DivisionByZero" | "InvalidOperation" | "Overflow") => {
            exception(name)?
        }
        ("decimal", rounding) if Rounding::named(rounding).is_some() => Const::Str(shared(rounding)),
        ("json", "JSONDecodeError") => Const::Type("JSONDecodeError"),
        ("re", "error") => Const::Type("error"),
        ("apache_beam", "Row") => Const::Type("Row"),
        ("apache_beam", "utils") => Const::Module("apache_beam.utils"),
        ("apache_beam.utils", "timestamp") => Const::Module("apache_beam.utils.timestamp"),
        ("apache_beam.utils.timestamp", "Timestamp") => Const::Type("Timestamp"),
        ("apache_beam.utils.timestamp", "Duration") => Const::Type("Duration"),
        ("math", "pi") => Const::Float(std::f64::consts::PI),
        ("math", "e") => Const::Float(std::f64::consts::E),
        ("math", "tau") => Const::Float(std::f64::consts::TAU),
        ("math", "inf") => Const::Float(f64::INFINITY),
        ("math", "nan") => Const::Float(f64::NAN),
        ("re", flag) if builtins::regex_flag(flag).is_some() => Const::Int(builtins::regex_flag(flag)?),
        _ => Const::Builtin(builtins::find(&format!("{module}.{name}"))?),
    };
    Some(known)
}

impl Lower<'_> {
    /// `module.name`, or a problem that lists what the module has.
    pub(super) fn module_attribute(
        &mut self,
        module: &str,
        name: &str,
        range: ruff_text_size::TextRange,
    ) -> Const {
        if let Some(found) = attribute(module, name) {
            return found;
        }
        let shown = if module == "apache_beam" { "beam" } else { module };
        let range = self.range(range);
        let known = builtins::names_of(module);
        let message = format!("`{shown}.{name}` is not part of the Python that is compiled");
        let mut problem =
            unknown_name(message, name, &format!("`{shown}` has"), known.iter().copied(), Some(range));
        problem.code = "expr/unsupported";
        self.problems.push(problem);
        Const::None
    }

    pub(super) fn import(&mut self, import: &ast::StmtImport, out: &mut Vec<Stmt>) {
        for alias in &import.names {
            let full = alias.name.as_str();
            let Some(known) = MODULES.iter().find(|m| **m == full) else {
                // What is imported and never used is not missed.
                if !ANNOTATIONS.contains(&full) && self.read.contains(names::bound_name(alias)) {
                    self.unknown_module(full, alias.range());
                }
                continue;
            };
            // `import a.b` binds a; `import a.b as c` binds a.b.
            let bound = if alias.asname.is_none() && full.contains('.') { "apache_beam" } else { known };
            self.bind_import(names::bound_name(alias), Const::Module(bound), alias.range(), out);
        }
    }

    pub(super) fn import_from(&mut self, import: &ast::StmtImportFrom, out: &mut Vec<Stmt>) {
        let module = import.module.as_ref().map_or("", |m| m.as_str()).to_owned();
        if ANNOTATIONS.contains(&module.as_str()) {
            for alias in &import.names {
                self.bind_import(names::bound_name(alias), Const::Type("object"), alias.range(), out);
            }
            return;
        }
        let Some(known) = MODULES.iter().find(|m| **m == module).filter(|_| import.level == 0) else {
            let shown = if module.is_empty() { ".".to_owned() } else { module };
            let used = |a: &ast::Alias| a.name.as_str() == "*" || self.read.contains(names::bound_name(a));
            if import.names.iter().any(used) {
                self.unknown_module(&shown, import.range());
            }
            return;
        };
        for alias in &import.names {
            if alias.name.as_str() == "*" {
                self.unsupported("`import *`", alias.range());
                continue;
            }
            let value = self.module_attribute(known, alias.name.as_str(), alias.range());
            self.bind_import(names::bound_name(alias), value, alias.range(), out);
        }
    }

    fn unknown_module(&mut self, name: &str, range: ruff_text_size::TextRange) {
        let range = self.range(range);
        let help = format!("modules: {}", MODULES.join(", "));
        self.problems.push(Problem::uncompiled(&format!("importing `{name}`"), Some(range)).help(help));
    }

    /// A module-level import is a constant unless its name is bound elsewhere too; others are assignments.
    fn bind_import(
        &mut self,
        name: &str,
        value: Const,
        range: ruff_text_size::TextRange,
        out: &mut Vec<Stmt>,
    ) {
        let at = self.at(range);
        if self.scopes.len() == 1 && !self.bound_twice.contains(name) {
            self.imports.insert(name.to_owned(), value.clone());
        }
        if let Some(var) = self.bind(name) {
            let value = Expr { kind: ExprKind::Const(value), at, end: at };
            if self.imports.contains_key(&*var.name) && self.scopes.len() == 1 {
                return;
            }
            out.push(Stmt { kind: StmtKind::Assign(vec![Target::Var(var)], value), at });
        }
    }

    /// A constant's attribute at compile time, for modules only.
    pub(super) fn constant_attribute(
        &mut self,
        value: &Expr,
        name: &str,
        range: ruff_text_size::TextRange,
    ) -> Option<ExprKind> {
        match &value.kind {
            ExprKind::Const(Const::Module(module)) => {
                Some(ExprKind::Const(self.module_attribute(module, name, range)))
            }
            _ => None,
        }
    }
}

/// A name as shared text.
pub(super) fn shared(name: &str) -> Arc<str> {
    Arc::from(name)
}

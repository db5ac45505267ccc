//! The resolved program: names are slots, columns or constants; constructs outside the subset are gone.

use std::sync::Arc;

use num_bigint::BigInt;

use crate::builtins::BuiltinDef;

/// An expression and the byte offset of its start in the user's text.
#[derive(Debug)]
pub(crate) struct Expr {
    pub(crate) kind: ExprKind,
    pub(crate) at: u32,
    pub(crate) end: u32,
}

/// A variable: `depth` frames out, slot `slot`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Var {
    pub(crate) depth: u16,
    pub(crate) slot: u16,
    pub(crate) name: Arc<str>,
}

#[derive(Debug, Clone)]
pub(crate) enum Const {
    None,
    Bool(bool),
    Int(i64),
    Big(BigInt),
    Float(f64),
    Str(Arc<str>),
    Bytes(Arc<[u8]>),
    Ellipsis,
    Builtin(&'static BuiltinDef),
    Type(&'static str),
    Module(&'static str),
}

#[derive(Debug)]
pub(crate) enum ExprKind {
    Const(Const),
    /// A field of the input row, by index.
    Column(usize),
    Var(Var),
    /// A name nothing binds; only under `beam_compat`, where it fails when reached.
    Unknown(Arc<str>),
    Unary(Unary, Box<Expr>),
    Binary(Binary, Box<Expr>, Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Compare(Box<Expr>, Vec<(Compare, Expr)>),
    If {
        test: Box<Expr>,
        then: Box<Expr>,
        otherwise: Box<Expr>,
    },
    Attribute(Box<Expr>, Arc<str>),
    Subscript(Box<Expr>, Box<Expr>),
    /// Only as the index of a subscript.
    Slice(Option<Box<Expr>>, Option<Box<Expr>>, Option<Box<Expr>>),
    Call {
        function: Box<Expr>,
        args: Arguments,
    },
    MethodCall {
        object: Box<Expr>,
        name: Arc<str>,
        args: Arguments,
    },
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Set(Vec<Expr>),
    /// A missing key is `**value`.
    Dict(Vec<(Option<Expr>, Expr)>),
    /// Only as an element of a display or an argument.
    Starred(Box<Expr>),
    Comprehension(CompKind, Box<Comprehension>),
    Generator(Arc<Generator>),
    Text(Vec<TextPart>),
    Lambda(Arc<Function>),
    Named(Var, Box<Expr>),
}

#[derive(Debug, Default)]
pub(crate) struct Arguments {
    pub(crate) positional: Vec<Expr>,
    /// A missing name is `**value`.
    pub(crate) keywords: Vec<(Option<Arc<str>>, Expr)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unary {
    Minus,
    Plus,
    Not,
    Invert,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Mod,
    Pow,
    Shl,
    Shr,
    And,
    Or,
    Xor,
    MatMul,
}

impl Binary {
    /// As messages print it.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Binary::Add => "+",
            Binary::Sub => "-",
            Binary::Mul => "*",
            Binary::Div => "/",
            Binary::FloorDiv => "//",
            Binary::Mod => "%",
            Binary::Pow => "** or pow()",
            Binary::Shl => "<<",
            Binary::Shr => ">>",
            Binary::And => "&",
            Binary::Or => "|",
            Binary::Xor => "^",
            Binary::MatMul => "@",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compare {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Is,
    IsNot,
    In,
    NotIn,
}

impl Compare {
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Compare::Eq => "==",
            Compare::Ne => "!=",
            Compare::Lt => "<",
            Compare::Le => "<=",
            Compare::Gt => ">",
            Compare::Ge => ">=",
            Compare::Is => "is",
            Compare::IsNot => "is not",
            Compare::In => "in",
            Compare::NotIn => "not in",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CompKind {
    List,
    Set,
    Dict,
}

/// A list, set or dict comprehension. Its variables are slots of the frame around it.
#[derive(Debug)]
pub(crate) struct Comprehension {
    pub(crate) clauses: Vec<Clause>,
    /// The element, or the key of a dict.
    pub(crate) element: Expr,
    pub(crate) value: Option<Expr>,
}

#[derive(Debug)]
pub(crate) struct Clause {
    pub(crate) target: Target,
    pub(crate) iter: Expr,
    pub(crate) conditions: Vec<Expr>,
}

/// A generator expression: a frame of its own, run step by step. The first `iter` is evaluated
/// outside of it, when the generator is made.
#[derive(Debug)]
pub(crate) struct Generator {
    pub(crate) slots: usize,
    pub(crate) first: Expr,
    pub(crate) clauses: Vec<Clause>,
    pub(crate) element: Expr,
}

#[derive(Debug)]
pub(crate) enum TextPart {
    Literal(Arc<str>),
    Value { value: Expr, conversion: Option<char>, spec: Vec<TextPart> },
}

#[derive(Debug)]
pub(crate) enum Target {
    Var(Var),
    Subscript(Expr, Expr),
    /// With the index of the starred one.
    Unpack(Vec<Target>, Option<usize>),
}

/// A `def` or a lambda. Parameters are the first slots, in the order of `params`.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: Arc<str>,
    pub(crate) params: Vec<Param>,
    pub(crate) slots: usize,
    pub(crate) body: Vec<Stmt>,
    /// How many function scopes lie around it.
    pub(crate) level: u16,
}

#[derive(Debug)]
pub(crate) struct Param {
    pub(crate) name: Arc<str>,
    pub(crate) kind: ParamKind,
    pub(crate) default: Option<Expr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParamKind {
    PositionalOnly,
    Normal,
    KeywordOnly,
    /// `*args`
    Rest,
    /// `**kwargs`
    Keywords,
}

#[derive(Debug)]
pub(crate) struct Stmt {
    pub(crate) kind: StmtKind,
    pub(crate) at: u32,
}

#[derive(Debug)]
pub(crate) enum StmtKind {
    Expr(Expr),
    Assign(Vec<Target>, Expr),
    Augment(Target, Binary, Expr),
    Def(Var, Arc<Function>),
    If(Expr, Vec<Stmt>, Vec<Stmt>),
    While(Expr, Vec<Stmt>, Vec<Stmt>),
    For { target: Target, iter: Expr, body: Vec<Stmt>, otherwise: Vec<Stmt> },
    Break,
    Continue,
    Return(Option<Expr>),
    Raise(Option<Expr>),
    Assert(Expr, Option<Expr>),
    Try { body: Vec<Stmt>, handlers: Vec<Handler>, otherwise: Vec<Stmt>, finally: Vec<Stmt> },
    Delete(Vec<Target>),
}

#[derive(Debug)]
pub(crate) struct Handler {
    /// Without: `except:`.
    pub(crate) class: Option<Expr>,
    pub(crate) name: Option<Var>,
    pub(crate) body: Vec<Stmt>,
}

/// What is run for each row.
#[derive(Debug)]
pub(crate) enum Entry {
    /// An expression over columns, in a frame of `slots`.
    Expression { body: Expr, slots: usize },
    /// Module code run once, then `callee` called with the row.
    Callable { module: Vec<Stmt>, slots: usize, callee: Expr },
}

/// What a program reads of its input.
pub(crate) struct Uses {
    /// Ascending.
    pub(crate) columns: Vec<usize>,
    /// The row itself is handed on, so all columns count.
    pub(crate) whole_row: bool,
}

pub(crate) fn uses(entry: &Entry, fields: usize) -> Uses {
    let mut walk = Walk::default();
    let whole_row = match entry {
        Entry::Expression { body, .. } => {
            walk.expr(body);
            false
        }
        Entry::Callable { module, callee, .. } => {
            walk.block(module);
            walk.expr(callee);
            // The parameter counts wherever its name is read: shadowing only makes this cautious.
            match row_parameter(module, callee) {
                Some(name) => walk.names.contains(&name),
                None => true,
            }
        }
    };
    let mut columns = if whole_row { (0..fields).collect() } else { walk.columns };
    columns.sort_unstable();
    columns.dedup();
    Uses { columns, whole_row }
}

/// The name of the first parameter of the function that is called for each row.
fn row_parameter(module: &[Stmt], callee: &Expr) -> Option<Arc<str>> {
    let function = match &callee.kind {
        ExprKind::Lambda(function) => function,
        ExprKind::Var(var) => module.iter().rev().find_map(|s| match &s.kind {
            StmtKind::Def(defined, function) if defined == var => Some(function),
            _ => None,
        })?,
        _ => return None,
    };
    let first = function.params.first()?;
    matches!(first.kind, ParamKind::Normal | ParamKind::PositionalOnly).then(|| Arc::clone(&first.name))
}

#[derive(Default)]
struct Walk {
    columns: Vec<usize>,
    names: Vec<Arc<str>>,
}

impl Walk {
    fn all<'e>(&mut self, exprs: impl IntoIterator<Item = &'e Expr>) {
        exprs.into_iter().for_each(|e| self.expr(e));
    }

    fn args(&mut self, args: &Arguments) {
        self.all(&args.positional);
        self.all(args.keywords.iter().map(|(_, e)| e));
    }

    fn clauses(&mut self, clauses: &[Clause]) {
        for clause in clauses {
            self.expr(&clause.iter);
            self.target(&clause.target);
            self.all(&clause.conditions);
        }
    }

    fn function(&mut self, function: &Function) {
        self.all(function.params.iter().filter_map(|p| p.default.as_ref()));
        self.block(&function.body);
    }

    fn text(&mut self, parts: &[TextPart]) {
        for part in parts {
            if let TextPart::Value { value, spec, .. } = part {
                self.expr(value);
                self.text(spec);
            }
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Const(_) | ExprKind::Unknown(_) => {}
            ExprKind::Column(index) => self.columns.push(*index),
            ExprKind::Var(var) => self.names.push(Arc::clone(&var.name)),
            ExprKind::Unary(_, e)
            | ExprKind::Attribute(e, _)
            | ExprKind::Starred(e)
            | ExprKind::Named(_, e) => {
                self.expr(e);
            }
            ExprKind::Binary(_, a, b) | ExprKind::Subscript(a, b) => self.all([&**a, &**b]),
            ExprKind::And(es)
            | ExprKind::Or(es)
            | ExprKind::List(es)
            | ExprKind::Tuple(es)
            | ExprKind::Set(es) => {
                self.all(es);
            }
            ExprKind::Compare(a, rest) => {
                self.expr(a);
                self.all(rest.iter().map(|(_, e)| e));
            }
            ExprKind::If { test, then, otherwise } => self.all([&**test, &**then, &**otherwise]),
            ExprKind::Slice(a, b, c) => self.all([a, b, c].into_iter().filter_map(|e| e.as_deref())),
            ExprKind::Call { function, args } => {
                self.expr(function);
                self.args(args);
            }
            ExprKind::MethodCall { object, args, .. } => {
                self.expr(object);
                self.args(args);
            }
            ExprKind::Dict(pairs) => {
                self.all(pairs.iter().filter_map(|(k, _)| k.as_ref()));
                self.all(pairs.iter().map(|(_, v)| v));
            }
            ExprKind::Comprehension(_, c) => {
                self.clauses(&c.clauses);
                self.expr(&c.element);
                self.all(&c.value);
            }
            ExprKind::Generator(g) => {
                self.expr(&g.first);
                self.clauses(&g.clauses);
                self.expr(&g.element);
            }
            ExprKind::Text(parts) => self.text(parts),
            ExprKind::Lambda(function) => self.function(function),
        }
    }

    fn target(&mut self, target: &Target) {
        match target {
            Target::Var(_) => {}
            Target::Subscript(object, index) => self.all([object, index]),
            Target::Unpack(targets, _) => targets.iter().for_each(|t| self.target(t)),
        }
    }

    fn block(&mut self, stmts: &[Stmt]) {
        for stmt in stmts {
            self.stmt(stmt);
        }
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::Expr(e) => self.expr(e),
            StmtKind::Assign(targets, e) => {
                targets.iter().for_each(|t| self.target(t));
                self.expr(e);
            }
            StmtKind::Augment(target, _, e) => {
                if let Target::Var(var) = target {
                    self.names.push(Arc::clone(&var.name));
                }
                self.target(target);
                self.expr(e);
            }
            StmtKind::Def(_, function) => self.function(function),
            StmtKind::If(test, a, b) | StmtKind::While(test, a, b) => {
                self.expr(test);
                self.block(a);
                self.block(b);
            }
            StmtKind::For { target, iter, body, otherwise } => {
                self.target(target);
                self.expr(iter);
                self.block(body);
                self.block(otherwise);
            }
            StmtKind::Break | StmtKind::Continue => {}
            StmtKind::Return(e) | StmtKind::Raise(e) => self.all(e),
            StmtKind::Assert(test, message) => {
                self.expr(test);
                self.all(message);
            }
            StmtKind::Try { body, handlers, otherwise, finally } => {
                self.block(body);
                for handler in handlers {
                    self.all(&handler.class);
                    self.block(&handler.body);
                }
                self.block(otherwise);
                self.block(finally);
            }
            StmtKind::Delete(targets) => targets.iter().for_each(|t| self.target(t)),
        }
    }
}

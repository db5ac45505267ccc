//! Which programs run column by column, and how.

use std::sync::Arc;

use arrow_schema::{DataType, Field};

use super::{Apply, Kind, Node, Vectorised};
use crate::ir::{Arguments, Binary, Compare, Const, Entry, Expr, ExprKind, TextPart, Unary};
use crate::types::Ty;

/// The vectorised form of a program, if all of it has one.
pub(crate) fn plan(entry: &Entry, fields: &[Field], output: &Field) -> Option<Vectorised> {
    let Entry::Expression { body, .. } = entry else { return None };
    let types: Vec<Ty> = fields.iter().map(Ty::of_field).collect();
    let mut planner = Planner { types: &types, used: Vec::new() };
    let (root, kind) = planner.root(body, output.data_type())?;
    let wanted = match output.data_type() {
        _ if crate::any::is_any(output) => return None,
        DataType::Boolean => Kind::Bool,
        DataType::Int64 => Kind::Int,
        DataType::Float64 => Kind::Float,
        DataType::Utf8 => Kind::Str,
        _ => return None,
    };
    let root = match (kind, wanted) {
        (a, b) if a == b => root,
        (Kind::Int, Kind::Float) => Node::Widen(Box::new(root)),
        _ => return None,
    };
    planner.used.sort_unstable();
    planner.used.dedup();
    let fields = planner.used.iter().filter_map(|i| fields.get(*i).map(|f| (*i, f.clone()))).collect();
    Some(Vectorised { root, fields, output: output.data_type().clone(), nullable: output.is_nullable() })
}

struct Planner<'t> {
    types: &'t [Ty],
    used: Vec<usize>,
}

type Planned = Option<(Node, Kind)>;

fn number(kind: Kind) -> bool {
    matches!(kind, Kind::Bool | Kind::Int | Kind::Float)
}

impl Planner<'_> {
    /// The topmost node: only here may the branches of an `if` be an integer and a float, as the value is
    /// stored as a float at once.
    fn root(&mut self, expr: &Expr, output: &DataType) -> Planned {
        if let ExprKind::If { test, then, otherwise } = &expr.kind
            && *output == DataType::Float64
        {
            let (test, _) = self.node(test)?;
            let (then, a) = self.root(then, output)?;
            let (otherwise, b) = self.root(otherwise, output)?;
            let widen = |node: Node, kind: Kind| match kind {
                Kind::Int => Some(Node::Widen(Box::new(node))),
                Kind::Float | Kind::None => Some(node),
                _ => None,
            };
            let branches = (Box::new(widen(then, a)?), Box::new(widen(otherwise, b)?));
            return Some((Node::If(Box::new(test), branches.0, branches.1), Kind::Float));
        }
        self.node(expr)
    }

    fn node(&mut self, expr: &Expr) -> Planned {
        match &expr.kind {
            ExprKind::Const(constant) => constant_node(constant),
            ExprKind::Column(index) => {
                let kind = match self.types.get(*index)?.present() {
                    Ty::Bool => Kind::Bool,
                    Ty::Int => Kind::Int,
                    Ty::Float => Kind::Float,
                    Ty::Str => Kind::Str,
                    Ty::None => Kind::None,
                    _ => return None,
                };
                self.used.push(*index);
                Some((Node::Column(*index), kind))
            }
            ExprKind::Binary(op, a, b) => self.binary(*op, a, b),
            ExprKind::Unary(op, e) => {
                let (node, kind) = self.node(e)?;
                match (op, kind) {
                    (Unary::Not, _) => Some((Node::Not(Box::new(node)), Kind::Bool)),
                    (Unary::Minus, Kind::Int | Kind::Float) => {
                        Some((Node::Apply(Apply::Negate, Box::new(node)), kind))
                    }
                    _ => None,
                }
            }
            ExprKind::And(parts) => self.logic(parts, true),
            ExprKind::Or(parts) => self.logic(parts, false),
            ExprKind::Compare(left, rest) => self.comparison(left, rest),
            ExprKind::If { test, then, otherwise } => {
                let (test, _) = self.node(test)?;
                let (then, a) = self.node(then)?;
                let (otherwise, b) = self.node(otherwise)?;
                let kind = same(a, b)?;
                Some((Node::If(Box::new(test), Box::new(then), Box::new(otherwise)), kind))
            }
            ExprKind::Call { function, args } => self.call(function, args),
            ExprKind::MethodCall { object, name, args } => self.method(object, name, args),
            ExprKind::Text(parts) => self.text(parts),
            _ => None,
        }
    }

    fn binary(&mut self, op: Binary, a: &Expr, b: &Expr) -> Planned {
        let (a, x) = self.node(a)?;
        let (b, y) = self.node(b)?;
        if (op, x, y) == (Binary::Add, Kind::Str, Kind::Str) {
            return Some((Node::Concat(vec![a, b]), Kind::Str));
        }
        if !number(x) || !number(y) {
            return None;
        }
        let kind = match op {
            Binary::Div => Kind::Float,
            Binary::Add | Binary::Sub | Binary::Mul | Binary::FloorDiv | Binary::Mod => {
                if x == Kind::Float || y == Kind::Float { Kind::Float } else { Kind::Int }
            }
            _ => return None,
        };
        Some((Node::Arithmetic(op, Box::new(a), Box::new(b), kind), kind))
    }

    fn logic(&mut self, parts: &[Expr], and: bool) -> Planned {
        let mut planned: Planned = None;
        for part in parts.iter().rev() {
            let (node, kind) = self.node(part)?;
            planned = Some(match planned {
                None => (node, kind),
                Some((rest, other)) => (Node::Logic(and, Box::new(node), Box::new(rest)), same(kind, other)?),
            });
        }
        planned
    }

    /// `a < b < c` is `a < b and b < c`: nothing here has side effects.
    fn comparison(&mut self, left: &Expr, rest: &[(Compare, Expr)]) -> Planned {
        let mut left = left;
        let mut planned: Option<Node> = None;
        for (op, right) in rest {
            let one = self.compare(*op, left, right)?;
            planned = Some(match planned {
                None => one,
                Some(before) => Node::Logic(true, Box::new(before), Box::new(one)),
            });
            left = right;
        }
        planned.map(|node| (node, Kind::Bool))
    }

    fn compare(&mut self, op: Compare, left: &Expr, right: &Expr) -> Option<Node> {
        let negated = |yes: bool, node: Node| if yes { node } else { Node::Not(Box::new(node)) };
        if let (
            Compare::In | Compare::NotIn,
            ExprKind::List(items) | ExprKind::Tuple(items) | ExprKind::Set(items),
        ) = (op, &right.kind)
        {
            let constant = |e: &Expr| matches!(e.kind, ExprKind::Const(_));
            if items.is_empty() || items.len() > 64 || !items.iter().all(constant) {
                return None;
            }
            let mut any: Option<Node> = None;
            for item in items {
                let one = self.compare(Compare::Eq, left, item)?;
                any = Some(match any {
                    None => one,
                    Some(before) => Node::Logic(false, Box::new(before), Box::new(one)),
                });
            }
            return any.map(|node| negated(op == Compare::In, node));
        }
        let (a, x) = self.node(left)?;
        let (b, y) = self.node(right)?;
        let comparable = (number(x) && number(y)) || (x == Kind::Str && y == Kind::Str);
        match op {
            Compare::Is | Compare::Eq if y == Kind::None && matches!(b, Node::None) => {
                Some(Node::IsNone(Box::new(a)))
            }
            Compare::IsNot | Compare::Ne if y == Kind::None && matches!(b, Node::None) => {
                Some(negated(false, Node::IsNone(Box::new(a))))
            }
            Compare::In | Compare::NotIn if x == Kind::Str && y == Kind::Str => {
                Some(negated(op == Compare::In, Node::Contains(Box::new(b), Box::new(a))))
            }
            Compare::Is | Compare::IsNot | Compare::In | Compare::NotIn => None,
            op if comparable => Some(Node::Compare(op, Box::new(a), Box::new(b))),
            _ => None,
        }
    }

    fn call(&mut self, function: &Expr, args: &Arguments) -> Planned {
        let name = match &function.kind {
            ExprKind::Const(Const::Builtin(b)) => b.name,
            ExprKind::Const(Const::Type(t)) => t,
            _ => return None,
        };
        let [only] = args.positional.as_slice() else { return None };
        if !args.keywords.is_empty() {
            return None;
        }
        let (node, kind) = self.node(only)?;
        let (apply, out) = match (name, kind) {
            ("len", Kind::Str) => (Apply::Length, Kind::Int),
            ("abs", Kind::Int | Kind::Float) => (Apply::Absolute, kind),
            ("round", Kind::Float) => (Apply::Round, Kind::Int),
            ("int", Kind::Bool | Kind::Int | Kind::Float | Kind::Str) => (Apply::ToInt, Kind::Int),
            ("float", Kind::Bool | Kind::Int | Kind::Float | Kind::Str) => (Apply::ToFloat, Kind::Float),
            ("str", Kind::Bool | Kind::Int | Kind::Float | Kind::Str) => (Apply::ToText, Kind::Str),
            ("bool", _) => (Apply::ToBool, Kind::Bool),
            _ => return None,
        };
        Some((Node::Apply(apply, Box::new(node)), out))
    }

    fn method(&mut self, object: &Expr, name: &str, args: &Arguments) -> Planned {
        let (node, kind) = self.node(object)?;
        if kind != Kind::Str || !args.keywords.is_empty() {
            return None;
        }
        let node = Box::new(node);
        match args.positional.as_slice() {
            [] => {
                let apply = match name {
                    "upper" => Apply::Upper,
                    "lower" => Apply::Lower,
                    "strip" => Apply::Strip,
                    "lstrip" => Apply::StripLeft,
                    "rstrip" => Apply::StripRight,
                    _ => return None,
                };
                Some((Node::Apply(apply, node), Kind::Str))
            }
            [part] if matches!(name, "startswith" | "endswith") => {
                let (part, Kind::Str) = self.node(part)? else { return None };
                Some((Node::Affix(name == "startswith", node, Box::new(part)), Kind::Bool))
            }
            _ => None,
        }
    }

    fn text(&mut self, parts: &[TextPart]) -> Planned {
        let mut nodes = Vec::with_capacity(parts.len());
        for part in parts {
            nodes.push(match part {
                TextPart::Literal(text) => Node::Str(Arc::clone(text)),
                TextPart::Value { value, conversion: None | Some('s'), spec } if spec.is_empty() => {
                    let (node, _) = self.node(value)?;
                    Node::Apply(Apply::ToText, Box::new(node))
                }
                TextPart::Value { .. } => return None,
            });
        }
        Some((Node::Concat(nodes), Kind::Str))
    }
}

/// One kind for two branches; None goes with all.
fn same(a: Kind, b: Kind) -> Option<Kind> {
    match (a, b) {
        (a, b) if a == b => Some(a),
        (Kind::None, k) | (k, Kind::None) => Some(k),
        _ => None,
    }
}

fn constant_node(constant: &Const) -> Planned {
    Some(match constant {
        Const::None => (Node::None, Kind::None),
        Const::Bool(b) => (Node::Bool(*b), Kind::Bool),
        Const::Int(i) => (Node::Int(*i), Kind::Int),
        Const::Float(f) => (Node::Float(*f), Kind::Float),
        Const::Str(s) => (Node::Str(Arc::clone(s)), Kind::Str),
        _ => return None,
    })
}

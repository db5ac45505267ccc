//! What the config says, as Python.

use ruff_python_ast::{CmpOp, Expr, Number, UnaryOp};
use serde_json::{Map, Value};

/// Names whose values the config says.
#[derive(Default)]
pub(super) struct Constants(Map<String, Value>);

impl Constants {
    pub(super) fn set(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    fn value(&self, expr: &Expr) -> Option<Value> {
        match expr {
            Expr::Name(name) => self.0.get(name.id.as_str()).cloned(),
            other => of(other),
        }
    }

    /// Whether a condition holds, if that can be told.
    pub(super) fn truth(&self, test: &Expr) -> Option<bool> {
        match test {
            Expr::UnaryOp(not) if not.op == UnaryOp::Not => Some(!self.truth(&not.operand)?),
            Expr::Compare(c) => {
                let ([op], [right]) = (&*c.ops, &*c.comparators) else { return None };
                let (left, right) = (self.value(&c.left)?, self.value(right)?);
                match op {
                    CmpOp::Eq => Some(left == right),
                    CmpOp::NotEq => Some(left != right),
                    CmpOp::Is if right.is_null() => Some(left.is_null()),
                    CmpOp::IsNot if right.is_null() => Some(!left.is_null()),
                    _ => None,
                }
            }
            other => self.value(other).map(|v| truthy(&v)),
        }
    }
}

fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(b) => *b,
        Value::Number(n) => n.as_f64() != Some(0.0),
        Value::String(s) => !s.is_empty(),
        Value::Array(a) => !a.is_empty(),
        Value::Object(o) => !o.is_empty(),
    }
}

/// The value of a literal.
pub(super) fn of(expr: &Expr) -> Option<Value> {
    match expr {
        Expr::NoneLiteral(_) => Some(Value::Null),
        Expr::BooleanLiteral(b) => Some(b.value.into()),
        Expr::StringLiteral(s) => Some(s.value.to_str().into()),
        Expr::NumberLiteral(n) => match &n.value {
            Number::Int(i) => i.as_i64().map(Value::from),
            Number::Float(f) => serde_json::Number::from_f64(*f).map(Value::Number),
            Number::Complex { .. } => None,
        },
        _ => None,
    }
}

/// A value of the config, as a Python literal.
pub(super) fn literal(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(n) => n.to_string(),
        Value::String(s) => text(s),
        Value::Array(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let pairs: Vec<_> = map.iter().map(|(k, v)| format!("{}: {}", text(k), literal(v))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
    }
}

fn text(s: &str) -> String {
    let mut out = String::from("'");
    for c in s.chars() {
        match c {
            '\\' | '\'' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => out.push_str(&format!("\\U{:08x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

//! Short ways to write configs in tests.

use purlin_spec::config::Spanned;
use purlin_spec::types::{Code, ErrorHandling, Expression, Snippet};
use purlin_spec::{Node, Span, node};

pub(crate) fn spanned(text: &str) -> Spanned<String> {
    Spanned { value: text.to_owned(), span: Span::default() }
}

pub(crate) fn expression(text: &str) -> Expression {
    let code = Code::Expression(Snippet { text: text.to_owned(), span: Span::default() });
    Expression { code, output_type: None, span: Span::default() }
}

pub(crate) fn callable(text: &str) -> Expression {
    let code = Code::Callable(Snippet { text: text.to_owned(), span: Span::default() });
    Expression { code, output_type: None, span: Span::default() }
}

pub(crate) fn handling(output: Option<&str>, threshold: Option<f64>) -> Option<ErrorHandling> {
    output.map(|o| ErrorHandling { output: spanned(o), threshold })
}

/// The tree of a JSON value.
pub(crate) fn node_of(v: &serde_json::Value) -> Node {
    use serde_json::Value as J;
    let value = match v {
        J::Null => node::Value::Null,
        J::Bool(b) => node::Value::Bool(*b),
        J::Number(n) => n.as_i64().map_or_else(|| node::Value::Float(n.as_f64().unwrap()), node::Value::Int),
        J::String(s) => node::Value::Text(s.clone()),
        J::Array(l) => node::Value::List(l.iter().map(node_of).collect()),
        J::Object(m) => {
            let entry = |v| node::Entry { key: Span::default(), node: node_of(v) };
            node::Value::Map(m.iter().map(|(k, v)| (k.clone(), entry(v))).collect())
        }
    };
    Node::new(value, Span::default())
}

/// A config decoded from JSON; the error is the text of all diagnostics.
pub(crate) fn config<T: purlin_spec::FromNode>(v: serde_json::Value) -> Result<T, String> {
    let mut d = purlin_spec::Diagnostics::default();
    T::from_node(&node_of(&v), &mut d).ok_or_else(|| purlin_api::testing::describe(&d))
}

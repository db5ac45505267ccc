//! The `combine:` of a `Combine`.

use purlin_spec::config::{Named, Spanned, check_keys, wrong_kind};
use purlin_spec::types::Expression;
use purlin_spec::{Diagnostic, Diagnostics, FromNode, Kind, Node};

/// Output fields and how each is aggregated.
pub(crate) type Aggregates = Named<Aggregate>;

/// One aggregate as written.
#[derive(Clone, Debug)]
pub(crate) struct Aggregate {
    /// What is aggregated, if it is said.
    pub(crate) value: Option<Expression>,
    /// The name of the function.
    pub(crate) function: Spanned<String>,
    /// Arguments of the function.
    pub(crate) config: Option<Node>,
}

impl FromNode for Aggregate {
    fn kind() -> Kind {
        Kind::AnyOf(vec![Kind::Word(&super::functions::NAMES), Kind::Map(Box::new(Kind::Any))])
    }

    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        if node.as_map().is_none() {
            let (function, config) = function(node, d)?;
            return Some(Aggregate { value: None, function, config });
        }
        if let Some((name, value)) = turned_around(node) {
            let message = format!("`{name}` is a function, not a field of an aggregate");
            d.push(
                Diagnostic::error("combine/fn-missing", node.span, message)
                    .help(format!("write `{{value: {value}, fn: {name}}}`")),
            );
            return None;
        }
        if !check_keys(node, "an aggregate", &["value", "fn"], d) {
            return None;
        }
        let Some(f) = node.get("fn") else {
            d.push(
                Diagnostic::error("combine/fn-missing", node.span, "this aggregate has no `fn`")
                    .help("add for example `fn: sum`"),
            );
            return None;
        };
        let value = match node.get("value").filter(|v| !v.is_null()) {
            Some(v) => Expression::from_node(v, d).map(Some),
            None => Some(None),
        };
        let (function, config) = function(f, d)?;
        Some(Aggregate { value: value?, function, config })
    }
}

/// `{sum: amount}`, which is not how an aggregate is written.
fn turned_around(node: &Node) -> Option<(&str, String)> {
    let map = node.as_map()?;
    let (name, entry) = map.iter().find(|(k, _)| super::functions::NAMES.contains(&k.as_str()))?;
    (!map.contains_key("fn"))
        .then(|| (name.as_str(), entry.node.scalar_text().unwrap_or_else(|| "…".to_owned())))
}

/// A function: its name, or a mapping with `type` and `config`.
fn function(node: &Node, d: &mut Diagnostics) -> Option<(Spanned<String>, Option<Node>)> {
    if node.as_text().is_some() {
        return Some((Spanned::from_node(node, d)?, None));
    }
    if node.as_map().is_none() {
        wrong_kind(node, "the name of a function, or a mapping with `type` and `config`", d);
        return None;
    }
    if !check_keys(node, "`fn`", &["type", "config"], d) {
        return None;
    }
    let Some(name) = node.get("type") else {
        d.push(Diagnostic::error("combine/fn-type-missing", node.span, "this `fn` has no `type`"));
        return None;
    };
    let empty = |n: &Node| n.is_null() || n.as_map().is_some_and(|m| m.is_empty());
    Some((Spanned::from_node(name, d)?, node.get("config").filter(|c| !empty(c)).cloned()))
}

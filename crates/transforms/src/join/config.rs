//! How a `Join` is written.

use purlin_spec::config::{Named, Spanned, wrong_kind};
use purlin_spec::{Diagnostic, Diagnostics, FromNode, Kind, Node, Span, suggest};

/// One equality: inputs, and the field of each.
pub(crate) type Equality = Named<Spanned<String>>;

/// The `equalities:` as written.
#[derive(Clone, Debug)]
pub(crate) enum Equalities {
    /// The same field in all inputs.
    Everywhere(Spanned<String>),
    /// Each on its own, and where the list stands.
    Listed(Vec<Equality>, Span),
}

impl Equalities {
    /// Where they stand.
    pub(crate) fn span(&self) -> Span {
        match self {
            Equalities::Everywhere(name) => name.span,
            Equalities::Listed(_, span) => *span,
        }
    }
}

impl FromNode for Equalities {
    fn kind() -> Kind {
        Kind::AnyOf(vec![Kind::Text, Kind::List(Box::new(Kind::Map(Box::new(Kind::Text))))])
    }

    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        if let Some(list) = node.as_list() {
            if list.is_empty() {
                d.push(
                    Diagnostic::error("join/equality", node.span, "`equalities` is empty")
                        .help("say what must be equal: `equalities: [{left: id, right: id}]`"),
                );
                return None;
            }
            let all: Vec<Option<Equality>> = list.iter().map(|n| equality(n, d)).collect();
            return all.into_iter().collect::<Option<_>>().map(|l| Equalities::Listed(l, node.span));
        }
        if node.scalar_text().is_none() {
            let wanted =
                "`equalities` to be the name of a field, or a list of mappings from inputs to fields";
            wrong_kind(node, wanted, d);
            return None;
        }
        Spanned::from_node(node, d).map(Equalities::Everywhere)
    }
}

fn equality(node: &Node, d: &mut Diagnostics) -> Option<Equality> {
    if node.as_map().is_none_or(|m| m.len() < 2) {
        d.push(
            Diagnostic::error(
                "join/equality",
                node.span,
                "an equality is a mapping containing at least 2 items",
            )
            .label(format!("this is {}", node.kind_name()))
            .help("write inputs and their fields: `{left: id, right: id}`"),
        );
        return None;
    }
    Named::from_node(node, d)
}

/// The `type:` as written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum JoinType {
    Inner,
    Left,
    Right,
    Outer,
    /// Outer for these inputs, inner for the others.
    OuterOf(Vec<Spanned<String>>),
}

const WORDS: [&str; 4] = ["inner", "left", "right", "outer"];

impl FromNode for JoinType {
    fn kind() -> Kind {
        let listed = Kind::Map(Box::new(Kind::List(Box::new(Kind::Text))));
        Kind::AnyOf(vec![Kind::Word(&WORDS), listed])
    }

    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        if let Some(map) = node.as_map() {
            let only = map.first().filter(|(key, _)| map.len() == 1 && *key == "outer");
            let inputs = only.and_then(|(_, e)| e.node.as_list().map(|l| (l.is_empty(), &e.node)));
            return match inputs {
                Some((false, list)) => Vec::from_node(list, d).map(JoinType::OuterOf),
                _ => {
                    d.push(
                        invalid(node)
                            .label("a mapping names the inputs to outer join, and nothing else")
                            .help("write `{outer: [input1, input2]}`; all other inputs are inner joined"),
                    );
                    None
                }
            };
        }
        Some(match node.as_text() {
            Some("inner") => JoinType::Inner,
            Some("left") => JoinType::Left,
            Some("right") => JoinType::Right,
            Some("outer") => JoinType::Outer,
            other => {
                d.push(
                    invalid(node)
                        .label("it must be `inner`, `left`, `right`, `outer` or `{outer: [input, …]}`")
                        .maybe_help(other.and_then(|text| suggest::did_you_mean(text, WORDS))),
                );
                return None;
            }
        })
    }
}

fn invalid(node: &Node) -> Diagnostic {
    let shown = match node.as_text() {
        Some(text) => format!("{text:?}"),
        None => node.to_json().to_string(),
    };
    Diagnostic::error("join/type", node.span, format!("invalid value {shown} for `type`"))
}

/// The fields wanted of one input.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// Under their own names.
    Same(Vec<Spanned<String>>),
    /// New names and the fields.
    Renamed(Named<Spanned<String>>),
}

impl FromNode for Wanted {
    fn kind() -> Kind {
        Kind::AnyOf(vec![Kind::List(Box::new(Kind::Text)), Kind::Map(Box::new(Kind::Text))])
    }

    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        if node.as_list().is_some() {
            return Vec::from_node(node, d).map(Wanted::Same);
        }
        if node.as_map().is_some() {
            return Named::from_node(node, d).map(Wanted::Renamed);
        }
        let everything = node.as_text() == Some("*");
        d.push(
            Diagnostic::error(
                "join/fields",
                node.span,
                "the fields of an input must be a list or a mapping from new names to fields",
            )
            .label(format!("this is {}", node.kind_name()))
            .maybe_help(everything.then(|| "an input that is left out gives all its fields".to_owned())),
        );
        None
    }
}

/// The `fields:` as written: by input.
#[derive(Clone, Debug)]
pub(crate) struct Fields(pub(crate) Vec<(Spanned<String>, Wanted)>);

impl FromNode for Fields {
    fn kind() -> Kind {
        Kind::Map(Box::new(Wanted::kind()))
    }

    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        // Beam takes an empty list for "all" as well.
        if node.as_list().is_some_and(<[Node]>::is_empty) {
            return Some(Fields(Vec::new()));
        }
        Named::from_node(node, d).map(|n| Fields(n.0))
    }
}

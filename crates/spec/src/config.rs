//! One definition of a config, many uses: decoding, lints, JSON schema, reference page.
//!
//! A config is a struct written inside [`config!`](crate::config!). Its doc comments become the
//! reference page; its field types decide what is accepted.

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::{Node, Span, Value};
use crate::suggest;
use indexmap::IndexMap;

/// What a config field accepts, as data.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Any YAML value.
    Any,
    /// Text. Numbers and booleans written plain are taken by their spelling.
    Text,
    /// `true` or `false`.
    Bool,
    /// An integer in 64 bits.
    Int,
    /// A number.
    Float,
    /// A duration: number (seconds) or text with a unit, `ms s m h d`.
    Duration,
    /// An expression: text, number, or a mapping with `expression`, `callable`, or `path` and `name`.
    Expression,
    /// A JSON schema, as a mapping.
    JsonSchema,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list.
    List(Box<Kind>),
    /// One, or a list of them.
    OneOrMany(Box<Kind>),
    /// A mapping from names to values.
    Map(Box<Kind>),
    /// A mapping with these fields.
    Struct(Vec<FieldDef>),
    /// Any of these.
    AnyOf(Vec<Kind>),
}

/// One field of a config.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldDef {
    /// The key.
    pub name: &'static str,
    /// What it does; Markdown.
    pub doc: &'static str,
    /// What it accepts.
    pub kind: Kind,
    /// Whether it must be given.
    pub required: bool,
    /// The default, as it would be written.
    pub default: Option<&'static str>,
}

/// A type that a node can be decoded into.
pub trait FromNode: Sized {
    /// What it accepts.
    fn kind() -> Kind;
    /// Decodes, or says what is wrong and returns `None`.
    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self>;
    /// The value of a field that is not given; `None` makes the field required.
    fn absent() -> Option<Self> {
        None
    }
}

/// A struct made by [`config!`](crate::config!).
pub trait Config: FromNode {
    /// Its fields, in order.
    fn fields() -> Vec<FieldDef>;
    /// Its doc comment.
    fn doc() -> &'static str;
}

/// Says that a value is of the wrong kind.
pub fn wrong_kind(node: &Node, wanted: &str, d: &mut Diagnostics) {
    d.push(
        Diagnostic::error(
            "config/wrong-type",
            node.span,
            format!("expected {wanted}, found {}", node.kind_name()),
        )
        .label(format!("this is {}", node.kind_name())),
    );
}

/// How messages name a config: a transform by its type, which its struct is named after, and a config
/// that several of them share by the key it stands under.
pub fn written(what: &'static str) -> &'static str {
    if what == "`ErrorHandling`" { "`error_handling`" } else { what }
}

/// Checks that a node is a mapping with no key outside `fields`; unknown keys get the nearest name.
pub fn check_keys(node: &Node, what: &str, fields: &[&str], d: &mut Diagnostics) -> bool {
    let Some(map) = node.as_map() else {
        wrong_kind(node, &format!("a mapping ({what})"), d);
        return false;
    };
    let mut good = true;
    for (key, entry) in map {
        if key.starts_with("__") || fields.contains(&key.as_str()) {
            continue;
        }
        good = false;
        d.push(
            Diagnostic::error("config/unknown-field", entry.key, format!("{what} has no field `{key}`"))
                .label(if fields.is_empty() {
                    "it takes no fields".to_owned()
                } else {
                    format!("valid fields: {}", suggest::listed(fields.iter().copied()))
                })
                .maybe_help(suggest::did_you_mean(key, fields.iter().copied())),
        );
    }
    good
}

/// Decodes one field of a mapping. Used by [`config!`](crate::config!).
pub fn field<T: FromNode>(
    node: &Node,
    what: &str,
    name: &'static str,
    default: Option<T>,
    good: &mut bool,
    d: &mut Diagnostics,
) -> Option<T> {
    let value = match node.get(name) {
        Some(n) if !(n.is_null() && (default.is_some() || T::absent().is_some())) => T::from_node(n, d),
        _ => {
            let value = default.or_else(T::absent);
            let keys = node.as_map().into_iter().flatten().map(|(k, _)| k.as_str());
            // An unknown field that looks like this one was reported already.
            if value.is_none() && (*good || !suggest::slipped(name, keys, &[])) {
                d.push(
                    Diagnostic::error(
                        "config/missing-field",
                        node.span,
                        format!("{what} needs the field `{name}`"),
                    )
                    .help(format!("add `{name}:` to its `config`")),
                );
            }
            value
        }
    };
    *good &= value.is_some();
    value
}

/// Defines a config struct together with its decoder and description.
///
/// ```
/// purlin_spec::config! {
///     /// Reads lines.
///     pub struct ReadLines {
///         /// Where.
///         pub path: String,
///         /// How many at most.
///         pub limit: Option<i64>,
///         /// Whether to strip line ends.
///         pub strip: bool = true,
///     }
/// }
/// ```
#[macro_export]
macro_rules! config {
    (
        $(#[doc = $doc:literal])*
        pub struct $name:ident {
            $( $(#[doc = $fdoc:literal])* pub $field:ident $(as $key:literal)? : $ty:ty $(= $default:expr)? ),* $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            $( $(#[doc = $fdoc])* pub $field: $ty, )*
        }

        impl $crate::config::Config for $name {
            fn fields() -> Vec<$crate::config::FieldDef> {
                vec![$( $crate::config::FieldDef {
                    name: $crate::config!(@key $field $($key)?),
                    doc: concat!($($fdoc, "\n"),*),
                    kind: <$ty as $crate::config::FromNode>::kind(),
                    required: $crate::config!(@required $ty $(, $default)?),
                    default: $crate::config!(@text $($default)?),
                } ),*]
            }
            fn doc() -> &'static str {
                concat!($($doc, "\n"),*)
            }
        }

        impl $crate::config::FromNode for $name {
            fn kind() -> $crate::config::Kind {
                $crate::config::Kind::Struct(<$name as $crate::config::Config>::fields())
            }
            fn from_node(node: &$crate::node::Node, d: &mut $crate::diagnostic::Diagnostics) -> Option<Self> {
                const KEYS: &[&str] = &[$( $crate::config!(@key $field $($key)?) ),*];
                let what = $crate::config::written(concat!("`", stringify!($name), "`"));
                let mut good = $crate::config::check_keys(node, what, KEYS, d);
                node.as_map()?;
                $( let $field: Option<$ty> = $crate::config::field(
                    node, what, $crate::config!(@key $field $($key)?), $crate::config!(@default $($default)?), &mut good, d); )*
                if !good {
                    return None;
                }
                Some($name { $( $field: $field?, )* })
            }
        }
    };
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
    (@required $ty:ty) => { <$ty as $crate::config::FromNode>::absent().is_none() };
    (@required $ty:ty, $default:expr) => { false };
    (@default) => { None };
    (@default $default:expr) => { Some($default) };
    (@text) => { None };
    (@text $default:expr) => { Some(stringify!($default)) };
}

impl FromNode for String {
    fn kind() -> Kind {
        Kind::Text
    }
    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        let text = node.scalar_text();
        if text.is_none() {
            wrong_kind(node, "text", d);
        }
        text
    }
}

impl FromNode for bool {
    fn kind() -> Kind {
        Kind::Bool
    }
    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        match node.value {
            Value::Bool(b) => Some(b),
            _ => {
                wrong_kind(node, "`true` or `false`", d);
                None
            }
        }
    }
}

impl FromNode for i64 {
    fn kind() -> Kind {
        Kind::Int
    }
    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        match node.value {
            Value::Int(i) => Some(i),
            _ => {
                wrong_kind(node, "an integer", d);
                None
            }
        }
    }
}

impl FromNode for f64 {
    fn kind() -> Kind {
        Kind::Float
    }
    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        match node.value {
            Value::Int(i) => Some(i as f64),
            Value::Float(f) => Some(f),
            _ => {
                wrong_kind(node, "a number", d);
                None
            }
        }
    }
}

impl FromNode for Node {
    fn kind() -> Kind {
        Kind::Any
    }
    fn from_node(node: &Node, _: &mut Diagnostics) -> Option<Self> {
        Some(node.clone())
    }
}

impl<T: FromNode> FromNode for Option<T> {
    fn kind() -> Kind {
        T::kind()
    }
    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        T::from_node(node, d).map(Some)
    }
    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: FromNode> FromNode for Vec<T> {
    fn kind() -> Kind {
        Kind::List(Box::new(T::kind()))
    }
    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        let Some(list) = node.as_list() else {
            wrong_kind(node, "a list", d);
            return None;
        };
        // Decode all before giving up, so that every problem is reported.
        let items: Vec<Option<T>> = list.iter().map(|n| T::from_node(n, d)).collect();
        items.into_iter().collect()
    }
}

impl<T: FromNode> FromNode for IndexMap<String, T> {
    fn kind() -> Kind {
        Kind::Map(Box::new(T::kind()))
    }
    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        let Some(map) = node.as_map() else {
            wrong_kind(node, "a mapping", d);
            return None;
        };
        let items: Vec<Option<(String, T)>> =
            map.iter().map(|(k, e)| T::from_node(&e.node, d).map(|v| (k.clone(), v))).collect();
        items.into_iter().collect()
    }
}

/// One value or a list of them.
#[derive(Clone, Debug, PartialEq)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T: FromNode> FromNode for OneOrMany<T> {
    fn kind() -> Kind {
        Kind::OneOrMany(Box::new(T::kind()))
    }
    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        match &node.value {
            Value::List(_) => Vec::<T>::from_node(node, d).map(OneOrMany),
            _ => T::from_node(node, d).map(|t| OneOrMany(vec![t])),
        }
    }
}

/// A value together with its place, for messages of later checks.
#[derive(Clone, Debug, PartialEq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub span: Span,
}

impl<T: FromNode> FromNode for Spanned<T> {
    fn kind() -> Kind {
        T::kind()
    }
    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        T::from_node(node, d).map(|value| Spanned { value, span: node.span })
    }
}

/// A mapping from names to values that also remembers where each name stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Named<T>(pub Vec<(Spanned<String>, T)>);

impl<T: FromNode> FromNode for Named<T> {
    fn kind() -> Kind {
        Kind::Map(Box::new(T::kind()))
    }
    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        let Some(map) = node.as_map() else {
            wrong_kind(node, "a mapping", d);
            return None;
        };
        let items: Vec<Option<_>> = map
            .iter()
            .map(|(k, e)| Some((Spanned { value: k.clone(), span: e.key }, T::from_node(&e.node, d)?)))
            .collect();
        items.into_iter().collect::<Option<Vec<_>>>().map(Named)
    }
}

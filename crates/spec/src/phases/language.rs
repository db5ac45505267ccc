//! The default language of expressions, and names of languages.

use super::keys;
use super::tree::{Body, Transform, walk};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::{Entry, Node, Value};
use crate::suggest;

pub(crate) fn apply(root: &mut Transform, d: &mut Diagnostics) {
    walk(root, &mut |t| {
        if !matches!(t.body, Body::Leaf) || !keys::WITH_LANGUAGE.contains(&t.type_name.value.as_str()) {
            return;
        }
        let span = t.config.span;
        match t.config.get("language") {
            Some(n) if n.as_text().is_some_and(|l| keys::LANGUAGES.contains(&l)) => {}
            Some(n) => {
                let given = n.scalar_text().unwrap_or_else(|| n.kind_name().to_owned());
                d.push(
                    Diagnostic::error(
                        "language/unknown",
                        n.span,
                        format!("Unknown language `{given}` for `{}`", t.label()),
                    )
                    .label(format!("one of: {}", keys::LANGUAGES.join(", ")))
                    .maybe_help(suggest::did_you_mean(&given, keys::LANGUAGES.iter().copied())),
                );
                t.broken = true;
            }
            None => {
                if let Value::Map(map) = &mut t.config.value {
                    let node = Node::new(Value::Text("generic".to_owned()), span);
                    map.insert("language".to_owned(), Entry { key: span, node });
                }
            }
        }
    });
}

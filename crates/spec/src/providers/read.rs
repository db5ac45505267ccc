//! The `providers` list and the files it includes.

use super::{Definition, DefinitionKind, Providers};
use crate::config::Spanned;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::{Entry, Node, Sources, Value};
use crate::phases::keys;
use crate::phases::read::{text, wrong_shape};
use crate::suggest;
use crate::template::{LineMap, Loader};
use indexmap::IndexMap;

/// Reads providers, following includes.
pub(crate) struct Includes<'a> {
    pub(crate) loader: &'a dyn Loader,
    pub(crate) sources: &'a mut Sources,
    /// The files being read, outermost first.
    pub(crate) open: Vec<String>,
}

/// Includes nested deeper than this are taken for a mistake.
const INCLUDE_DEPTH_MAX: usize = 32;

impl Includes<'_> {
    /// Adds the providers of a list that stands in the file `self.open.last()`.
    pub(crate) fn list(&mut self, node: &Node, providers: &mut Providers, d: &mut Diagnostics) {
        let Some(list) = node.as_list() else {
            wrong_shape(node, "`providers`", "a list", d);
            providers.incomplete = true;
            return;
        };
        for item in list {
            match item.as_map() {
                Some(m) if m.contains_key("include") => self.include(item, m, providers, d),
                Some(_) => {
                    let file = self.open.last().cloned().unwrap_or_default();
                    match provider(item, &file, d) {
                        Some(definitions) => {
                            definitions.iter().for_each(|(name, def)| providers.add(name, def.clone()))
                        }
                        None => providers.incomplete = true,
                    }
                }
                None => {
                    wrong_shape(item, "a provider", "a mapping", d);
                    providers.incomplete = true;
                }
            }
        }
    }

    /// Adds the providers of another file.
    fn include(
        &mut self,
        item: &Node,
        map: &IndexMap<String, Entry>,
        providers: &mut Providers,
        d: &mut Diagnostics,
    ) {
        if let Some((key, entry)) = map.iter().find(|(k, _)| *k != "include" && !k.starts_with("__")) {
            d.push(
                Diagnostic::error(
                    "provider/include",
                    entry.key,
                    format!("`{key}` cannot stand beside `include`"),
                )
                .label("an include stands alone"),
            );
        }
        // Until it has been read to the end, its transforms are not known.
        let was_incomplete = std::mem::replace(&mut providers.incomplete, true);
        let Some(path) = item.get("include").and_then(|n| text(n, "`include`", d)) else { return };
        let loaded = match self.loader.load(&path.value, self.open.last().map(String::as_str)) {
            Ok(loaded) => loaded,
            Err(why) => {
                d.push(
                    Diagnostic::error(
                        "provider/include",
                        path.span,
                        format!("cannot read the provider file `{}`", path.value),
                    )
                    .label(why)
                    .help("paths are relative to the file that includes"),
                );
                return;
            }
        };
        if self.open.contains(&loaded.name) || self.open.len() > INCLUDE_DEPTH_MAX {
            let mut names = self.open.clone();
            names.push(loaded.name);
            d.push(
                Diagnostic::error("provider/include-cycle", path.span, "provider files include each other")
                    .label(names.join(" -> ")),
            );
            return;
        }
        let file = self.sources.add(loaded.name.as_str(), loaded.text.as_str());
        let Some(node) = crate::yaml::parse(file, &loaded.text, &LineMap::identity(file), self.sources, d)
        else {
            return;
        };
        if node.as_list().is_none() {
            d.push(
                Diagnostic::error(
                    "provider/include",
                    node.span,
                    format!("the provider file `{}` is not a list", path.value),
                )
                .label(format!("this is {}", node.kind_name()))
                .related(path.span, "included here"),
            );
            return;
        }
        providers.incomplete = was_incomplete;
        self.open.push(loaded.name);
        self.list(&node, providers, d);
        self.open.pop();
    }
}

/// The definitions of one provider; `None` if there are some that cannot be told.
fn provider(node: &Node, file: &str, d: &mut Diagnostics) -> Option<Vec<(Spanned<String>, Definition)>> {
    for (key, entry) in node.as_map().into_iter().flatten() {
        if !key.starts_with("__") && !keys::PROVIDER.contains(&key.as_str()) {
            d.push(
                Diagnostic::error("shape/unknown-key", entry.key, format!("a provider has no key `{key}`"))
                    .label(format!("valid keys: {}", keys::PROVIDER.join(", ")))
                    .maybe_help(suggest::did_you_mean(key, keys::PROVIDER.iter().copied())),
            );
        }
    }
    for key in ["type", "transforms"] {
        let given = node.as_map().into_iter().flatten().map(|(k, _)| k.as_str());
        if node.get(key).is_none() && !suggest::slipped(key, given, keys::PROVIDER) {
            d.push(Diagnostic::error(
                "provider/missing-key",
                node.span,
                format!("this provider has no `{key}`"),
            ));
        }
    }
    let kind = node.get("type").and_then(|n| text(n, "the `type` of a provider", d));
    let transforms = node.get("transforms")?;
    let Some(map) = transforms.as_map() else {
        wrong_shape(transforms, "`transforms` of a provider", "a mapping from names to definitions", d);
        return None;
    };
    if let Some(n) = node.get("config").filter(|n| n.as_map().is_none()) {
        wrong_shape(n, "`config` of a provider", "a mapping", d);
    }
    let kind_name = kind.as_ref().map_or("", |k| k.value.as_str());
    if let Some(kind) = kind.as_ref().filter(|k| !keys::PROVIDER_TYPES.contains(&k.value.as_str())) {
        d.push(
            Diagnostic::error("provider/type", kind.span, format!("Unknown provider type `{}`", kind.value))
                .label(format!("one of: {}", keys::PROVIDER_TYPES.join(", ")))
                .maybe_help(suggest::did_you_mean(&kind.value, keys::PROVIDER_TYPES.iter().copied())),
        );
    }
    let definitions = map
        .iter()
        .filter(|(name, _)| !name.starts_with("__"))
        .map(|(name, entry)| {
            let kind = match kind_name {
                "yaml" => yaml_transform(name, &entry.node, d),
                "renaming" => renamed(node, name, entry, file, d),
                "python" | "pythonPackage" if is_source(&entry.node) => {
                    DefinitionKind::Python(entry.node.clone())
                }
                other if keys::PROVIDER_TYPES.contains(&other) => {
                    DefinitionKind::Unsupported(other.to_owned())
                }
                _ => DefinitionKind::Broken,
            };
            let name = Spanned { value: name.clone(), span: entry.key };
            (name, Definition { span: entry.key, file: file.to_owned(), kind })
        })
        .collect();
    Some(definitions)
}

/// Whether a transform of a `python` provider is given as source, not by a dotted name.
fn is_source(node: &Node) -> bool {
    node.as_text().is_some_and(|t| t.trim().contains(|c: char| !c.is_alphanumeric() && c != '_' && c != '.'))
}

fn yaml_transform(name: &str, node: &Node, d: &mut Diagnostics) -> DefinitionKind {
    let Some(map) = node.as_map() else {
        wrong_shape(node, &format!("provider transform `{name}`"), "a mapping with a `body`", d);
        return DefinitionKind::Broken;
    };
    let body_slip = if map.contains_key("body") {
        None
    } else {
        suggest::nearest("body", map.keys().map(String::as_str))
    };
    for (key, entry) in map {
        if !key.starts_with("__") && !keys::YAML_TRANSFORM.contains(&key.as_str()) && body_slip != Some(key) {
            d.push(
                Diagnostic::warning(
                    "provider/unknown-key",
                    entry.key,
                    format!("`{key}` of provider transform `{name}` is ignored"),
                )
                .label(format!("known keys: {}", keys::YAML_TRANSFORM.join(", ")))
                .maybe_help(suggest::did_you_mean(key, keys::YAML_TRANSFORM.iter().copied())),
            );
        }
    }
    let mut good = true;
    let config_schema = node.get("config_schema").filter(|n| !n.is_null()).cloned();
    if let Some(n) = config_schema.as_ref().filter(|n| n.as_map().is_none()) {
        wrong_shape(n, "`config_schema`", "a JSON schema (a mapping)", d);
        good = false;
    }
    good &= config_schema.as_ref().is_none_or(|n| super::config_schema::declared(n, 0, d));
    let requires_inputs = match node.get("requires_inputs").map(|n| (n, &n.value)) {
        None => !name.starts_with("Read"),
        Some((_, Value::Bool(b))) => *b,
        Some((n, _)) => {
            wrong_shape(n, "`requires_inputs`", "`true` or `false`", d);
            good = false;
            true
        }
    };
    let body = match node.get("body") {
        Some(n) if n.as_map().is_some() || n.as_text().is_some() => n.clone(),
        Some(n) => {
            wrong_shape(
                n,
                &format!("`body` of provider transform `{name}`"),
                "a transform, as a mapping or text",
                d,
            );
            return DefinitionKind::Broken;
        }
        None => {
            d.push(
                Diagnostic::error(
                    "provider/missing-key",
                    node.span,
                    format!("provider transform `{name}` has no `body`"),
                )
                .label("the body is the transform that stands for it")
                .maybe_help(body_slip.map(|k| format!("is `{k}` a slip of `body`?"))),
            );
            return DefinitionKind::Broken;
        }
    };
    if good { DefinitionKind::Yaml { body, config_schema, requires_inputs } } else { DefinitionKind::Broken }
}

/// A transform of a `renaming` provider: only over `yaml` providers that are given in place.
fn renamed(
    provider_node: &Node,
    name: &str,
    entry: &Entry,
    file: &str,
    d: &mut Diagnostics,
) -> DefinitionKind {
    let Some(to) = text(&entry.node, "the transform behind a renaming", d) else {
        return DefinitionKind::Broken;
    };
    let config = provider_node.get("config");
    let underlying = config.and_then(|c| c.get("underlying_provider"));
    let Some(underlying) = underlying.filter(|u| u.get("type").and_then(Node::as_text) == Some("yaml"))
    else {
        return DefinitionKind::Unsupported("renaming".to_owned());
    };
    let mut mappings = config.and_then(|c| c.get("mappings")).and_then(|m| m.get(name)).cloned();
    // A text stands for the mappings of another transform.
    if let Some(other) = mappings.as_ref().and_then(Node::as_text) {
        mappings = config.and_then(|c| c.get("mappings")).and_then(|m| m.get(other)).cloned();
    }
    let Some(map) = mappings.as_ref().and_then(Node::as_map) else {
        d.push(Diagnostic::error(
            "provider/renaming",
            entry.key,
            format!("Missing transform `{name}` in `mappings`"),
        ));
        return DefinitionKind::Broken;
    };
    let mut fields = IndexMap::new();
    for (from, e) in map.iter().filter(|(k, _)| !k.starts_with("__")) {
        if let Some(to) = text(&e.node, "a renamed field", d) {
            fields.insert(from.clone(), to.value);
        }
    }
    let found = provider(underlying, file, d).into_iter().flatten().find(|(n, _)| n.value == to.value);
    let Some((_, definition)) = found else {
        d.push(Diagnostic::error(
            "provider/renaming",
            to.span,
            format!("the underlying provider has no transform `{}`", to.value),
        ));
        return DefinitionKind::Broken;
    };
    let defaults = config.and_then(|c| c.get("defaults")).and_then(|m| m.get(name)).cloned();
    DefinitionKind::Renamed { to: Box::new(definition), mappings: fields, defaults }
}

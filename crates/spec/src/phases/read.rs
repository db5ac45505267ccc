//! First phase: the shape. Nodes become [`Transform`]s; keys and kinds of values are checked on the way.

use super::keys;
use super::tree::{Body, Group, GroupKind, Reference, Tagged, Transform, Wiring};
use crate::config::Spanned;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::{Entry, Node, Span, Value};
use crate::suggest;
use indexmap::IndexMap;

/// Chains and composites nested deeper than this are refused, to spare the stack.
const DEPTH_MAX: usize = 40;

/// What the shape check must know about transforms.
pub(crate) struct Reader<'a> {
    /// The config fields of a type, if known; for the advice on a key that stands beside `config`.
    pub(crate) fields: &'a dyn Fn(&str) -> Option<Vec<String>>,
}

/// Says that a value has the wrong kind for the structure of the file.
pub(crate) fn wrong_shape(node: &Node, what: &str, wanted: &str, d: &mut Diagnostics) {
    d.push(misshaped(node, what, wanted));
}

fn misshaped(node: &Node, what: &str, wanted: &str) -> Diagnostic {
    Diagnostic::error(
        "shape/wrong-type",
        node.span,
        format!("{what} must be {wanted}, not {}", node.kind_name()),
    )
    .label(format!("this is {}", node.kind_name()))
}

impl Reader<'_> {
    /// The whole `pipeline:`.
    pub(crate) fn pipeline(&self, node: &Node, d: &mut Diagnostics) -> Option<Transform> {
        let Some(map) = node.as_map() else {
            let help = node.as_list().map(|_| "put the list under `transforms:`".to_owned());
            d.push(misshaped(node, "`pipeline`", "a mapping").maybe_help(help));
            return None;
        };
        let kind = match node.get("type") {
            None => GroupKind::Composite,
            Some(n) => match n.as_text() {
                Some("chain") => GroupKind::Chain,
                Some("composite") => GroupKind::Composite,
                other => {
                    let given = other.map_or_else(|| n.kind_name().to_owned(), |t| format!("`{t}`"));
                    d.push(
                        Diagnostic::error(
                            "shape/pipeline-type",
                            n.span,
                            format!("the type of a pipeline cannot be {given}"),
                        )
                        .label("one of: composite, chain"),
                    );
                    GroupKind::Composite
                }
            },
        };
        let broken = !self.keys(map, "`pipeline`", keys::PIPELINE, None, d);
        Some(Transform { broken, ..self.group(node, kind, "`pipeline`", 0, d) })
    }

    /// A transform, chain or composite; `None` if not even its name can be told.
    pub(crate) fn transform(&self, node: &Node, depth: usize, d: &mut Diagnostics) -> Option<Transform> {
        let Some(map) = node.as_map() else {
            wrong_shape(node, "a transform", "a mapping", d);
            return None;
        };
        let name = node.get("name").and_then(|n| text(n, "`name`", d));
        let Some(type_name) = self.type_name(node, name.as_ref(), d) else {
            let name = name?;
            return Some(broken(node, name));
        };
        if depth > DEPTH_MAX {
            d.push(Diagnostic::error(
                "shape/too-deep",
                node.span,
                "chains and composites are nested too deeply",
            ));
            return None;
        }
        let label = format!("`{}`", name.as_ref().map_or(&type_name.value, |n| &n.value));
        let mut t = match type_name.value.as_str() {
            "chain" => {
                let good = self.keys(map, &format!("chain {label}"), keys::CHAIN, None, d);
                let mut t = self.group(node, GroupKind::Chain, &label, depth, d);
                t.broken |= !good;
                t
            }
            "composite" => {
                let good = self.keys(map, &format!("composite {label}"), keys::COMPOSITE, None, d);
                let mut t = self.group(node, GroupKind::Composite, &label, depth, d);
                t.broken |= !good;
                t
            }
            _ => {
                let good =
                    self.keys(map, &format!("transform {label}"), keys::TRANSFORM, Some(&type_name.value), d);
                let mut t = self.leaf(node, &type_name, d);
                t.broken |= !good;
                t
            }
        };
        t.name = name;
        t.type_name = type_name;
        Some(t)
    }

    fn type_name(
        &self,
        node: &Node,
        name: Option<&Spanned<String>>,
        d: &mut Diagnostics,
    ) -> Option<Spanned<String>> {
        match node.get("type") {
            Some(n) => text(n, "`type`", d),
            None => {
                let whose = name.map_or_else(|| "this transform".to_owned(), |n| format!("`{}`", n.value));
                let hint = node.as_map().and_then(|m| {
                    let keys = m.keys().map(String::as_str).filter(|k| !keys::CHAIN.contains(k));
                    suggest::nearest("type", keys).map(|k| format!("is `{k}` a slip of `type`?"))
                });
                d.push(
                    Diagnostic::error("type/missing", node.span, format!("Missing type of {whose}"))
                        .label("every transform has a `type`")
                        .maybe_help(hint),
                );
                None
            }
        }
    }

    fn leaf(&self, node: &Node, type_name: &Spanned<String>, d: &mut Diagnostics) -> Transform {
        let mut t = common(node, Body::Leaf, d);
        match node.get("config") {
            Some(n) if n.as_map().is_some() => t.config = n.clone(),
            Some(n) => {
                wrong_shape(n, &format!("`config` of `{}`", type_name.value), "a mapping", d);
                t.broken = true;
            }
            None => t.config = self.meant_config(node, &type_name.value).unwrap_or(t.config),
        }
        if let Some(n) = node.get("output_schema") {
            if n.as_map().is_some() {
                t.output_schema = Some(n.clone());
            } else {
                wrong_shape(n, "`output_schema`", "a JSON schema (a mapping)", d);
                t.broken = true;
            }
        }
        t
    }

    /// The config that a misspelt `config:`, or options beside `type:`, were meant to be. The slip itself is
    /// reported already; with this, nothing is called missing that is there.
    fn meant_config(&self, node: &Node, type_name: &str) -> Option<Node> {
        let map = node.as_map()?;
        let unknown = || map.iter().filter(|(k, _)| !keys::TRANSFORM.contains(&k.as_str()));
        if let Some(near) = suggest::nearest("config", unknown().map(|(k, _)| k.as_str())) {
            return node.get(near).filter(|n| n.as_map().is_some()).cloned();
        }
        let fields = (self.fields)(type_name)?;
        let options: IndexMap<_, _> =
            unknown().filter(|(k, _)| fields.contains(k)).map(|(k, e)| (k.clone(), e.clone())).collect();
        (!options.is_empty()).then(|| Node::new(Value::Map(options), type_span(node)))
    }

    fn group(
        &self,
        node: &Node,
        kind: GroupKind,
        label: &str,
        depth: usize,
        d: &mut Diagnostics,
    ) -> Transform {
        let mut group = Group::new(kind);
        let has = |key: &str| node.get(key).is_some();
        let members_given = has("transforms") || (has("source") && has("sink"));
        let given = || node.as_map().into_iter().flatten().map(|(k, _)| k.as_str());
        let slip = |key: &str| suggest::slipped(key, given(), keys::CHAIN);
        if !members_given && (slip("transforms") || slip("source") || slip("sink")) {
            group.incomplete = true; // the misspelt key is reported where keys are checked
        } else if !members_given {
            d.push(
                Diagnostic::error("shape/no-transforms", node.span, format!("{label} has no `transforms`"))
                    .label("it needs `transforms`, or both `source` and `sink`"),
            );
            group.incomplete = true;
        }
        if kind == GroupKind::Chain
            && node.get("transforms").and_then(Node::as_list).is_some_and(<[Node]>::is_empty)
            && !has("source")
            && !has("sink")
        {
            d.push(Diagnostic::error(
                "shape/empty-chain",
                node.span,
                format!("the chain {label} has no members"),
            ));
            group.incomplete = true;
        }
        for key in ["source", "transforms", "sink", "extra_transforms"] {
            let Some(n) = node.get(key) else { continue };
            let members = match key {
                "transforms" | "extra_transforms" => match n.as_list() {
                    Some(list) => list,
                    None => {
                        wrong_shape(n, &format!("`{key}`"), "a list of transforms", d);
                        group.incomplete = true;
                        continue;
                    }
                },
                _ => std::slice::from_ref(n),
            };
            for member in members {
                if kind == GroupKind::Chain && key != "extra_transforms" {
                    group.incomplete |= !implicit_io(member, d);
                }
                let Some(t) = self.transform(member, depth + 1, d) else {
                    group.incomplete = true;
                    continue;
                };
                match key {
                    "source" => group.source = Some(Box::new(t)),
                    "sink" => group.sink = Some(Box::new(t)),
                    "transforms" => group.members.push(t),
                    _ => group.extra.push(t),
                }
            }
        }
        common(node, Body::Group(group), d)
    }

    /// Refuses keys outside `valid`; true if there are none.
    fn keys(
        &self,
        map: &IndexMap<String, Entry>,
        what: &str,
        valid: &[&str],
        type_name: Option<&str>,
        d: &mut Diagnostics,
    ) -> bool {
        let mut good = true;
        for (key, entry) in map {
            if key.starts_with("__") || valid.contains(&key.as_str()) {
                continue;
            }
            good = false;
            let fields = type_name.and_then(|t| (self.fields)(t)).unwrap_or_default();
            let near = suggest::nearest(key, valid.iter().copied());
            let help = if fields.iter().any(|f| f == key) || key == "error_handling" || key == "language" {
                Some(format!("options of a transform stand under `config:`; move `{key}` there"))
            } else if let Some(near) = near {
                Some(format!("did you mean `{near}`?"))
            } else if key == "config" {
                Some("give options to the transforms inside".to_owned())
            } else if valid.contains(&"config") && type_name.is_some() {
                Some(format!("if `{key}` is an option, it stands under `config:`"))
            } else {
                None
            };
            d.push(
                Diagnostic::error("shape/unknown-key", entry.key, format!("{what} has no key `{key}`"))
                    .label(format!("valid keys: {}", suggest::listed(valid.iter().copied())))
                    .maybe_help(help),
            );
        }
        good
    }
}

/// What all transforms have.
fn common(node: &Node, body: Body, d: &mut Diagnostics) -> Transform {
    let mut broken = false;
    let input = node.get("input").map_or(Wiring::Absent, |n| {
        wiring(n, d).unwrap_or_else(|| {
            broken = true;
            Wiring::Absent
        })
    });
    let output = node.get("output").and_then(|n| outputs(n, d));
    broken |= node.get("output").is_some() && output.is_none();
    if let Some(n) = node.get("resource_hints").filter(|n| n.as_map().is_none()) {
        wrong_shape(n, "`resource_hints`", "a mapping", d);
    }
    Transform {
        span: type_span(node),
        type_name: Spanned { value: "composite".to_owned(), span: node.span },
        name: None,
        input,
        output: output.filter(|o| !o.is_empty()),
        windowing: node.get("windowing").filter(|n| !n.is_null()).cloned(),
        config: Node::new(Value::Map(IndexMap::new()), type_span(node)),
        output_schema: None,
        body,
        broken,
    }
}

/// The place to show for a transform: its name, else its type, rather than all of its lines.
fn type_span(node: &Node) -> Span {
    node.get("name").or_else(|| node.get("type")).map_or(node.span, |n| n.span)
}

fn broken(node: &Node, name: Spanned<String>) -> Transform {
    // Its own inputs still count as read.
    let mut quiet = Diagnostics::default();
    let t = common(node, Body::Leaf, &mut quiet);
    Transform {
        type_name: Spanned { value: String::new(), span: node.span },
        name: Some(name),
        broken: true,
        ..t
    }
}

/// `input:`; `None` if it is of the wrong shape.
pub(crate) fn wiring(node: &Node, d: &mut Diagnostics) -> Option<Wiring> {
    let references = |n: &Node, d: &mut Diagnostics| -> Option<Vec<Reference>> {
        match &n.value {
            Value::Text(s) => Some(vec![Reference::Named(Spanned { value: s.clone(), span: n.span })]),
            Value::List(list) => list
                .iter()
                .map(|n| text(n, "an entry of `input`", d).map(Reference::Named))
                .collect::<Vec<_>>()
                .into_iter()
                .collect(),
            _ => {
                wrong_shape(n, "an input", "the name of a transform, or a list of names", d);
                None
            }
        }
    };
    match &node.value {
        Value::Map(m) => {
            let mut tagged = Vec::new();
            let mut good = true;
            for (tag, entry) in m.iter().filter(|(k, _)| !k.starts_with("__")) {
                match references(&entry.node, d) {
                    Some(from) => {
                        tagged.push(Tagged { tag: Spanned { value: tag.clone(), span: entry.key }, from })
                    }
                    None => good = false,
                }
            }
            let wiring = if tagged.is_empty() { Wiring::Empty } else { Wiring::From(tagged) };
            good.then_some(wiring)
        }
        Value::Text(s) if s.is_empty() => Some(Wiring::Empty),
        Value::Text(_) | Value::List(_) => {
            let from = references(node, d)?;
            let tag = Spanned { value: "input".to_owned(), span: node.span };
            Some(if from.is_empty() { Wiring::Empty } else { Wiring::From(vec![Tagged { tag, from }]) })
        }
        _ => {
            wrong_shape(node, "`input`", "a name, a list of names, or a mapping to names", d);
            None
        }
    }
}

fn outputs(node: &Node, d: &mut Diagnostics) -> Option<Vec<(Spanned<String>, Reference)>> {
    match &node.value {
        Value::Text(s) => {
            let tag = Spanned { value: "output".to_owned(), span: node.span };
            Some(vec![(tag, Reference::Named(Spanned { value: s.clone(), span: node.span }))])
        }
        Value::Map(m) => {
            let all: Vec<Option<_>> = m
                .iter()
                .filter(|(k, _)| !k.starts_with("__"))
                .map(|(tag, e)| {
                    let from = text(&e.node, "an output", d)?;
                    Some((Spanned { value: tag.clone(), span: e.key }, Reference::Named(from)))
                })
                .collect();
            all.into_iter().collect()
        }
        _ => {
            wrong_shape(node, "`output`", "a name, or a mapping to names", d);
            None
        }
    }
}

/// Text, or a message that `what` must be text.
pub(crate) fn text(node: &Node, what: &str, d: &mut Diagnostics) -> Option<Spanned<String>> {
    match node.as_text() {
        Some(s) => Some(Spanned { value: s.to_owned(), span: node.span }),
        None => {
            let scalar = node.as_map().is_none() && node.as_list().is_none() && !node.is_null();
            d.push(misshaped(node, what, "text").maybe_help(scalar.then(|| "put it in quotes".to_owned())));
            None
        }
    }
}

/// Refuses `input` and `output` on a member of a chain.
fn implicit_io(member: &Node, d: &mut Diagnostics) -> bool {
    let mut good = true;
    for key in ["input", "output"] {
        let Some(entry) = member.as_map().and_then(|m| m.get(key)) else { continue };
        good = false;
        let who = member
            .get("name")
            .or_else(|| member.get("type"))
            .and_then(Node::as_text)
            .unwrap_or("a transform");
        d.push(
            Diagnostic::error(
                "chain/explicit-io",
                entry.key,
                format!("Explicit `{key}` on `{who}`, which is a member of a chain"),
            )
            .label("a chain connects its members itself")
            .help("use `type: composite` to name inputs, or put the transform under `extra_transforms`"),
        );
    }
    good
}

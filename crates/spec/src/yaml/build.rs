//! Events to tree: anchors, merge keys, duplicate keys, and the bounds on what a text may unfold to.

use super::scalar;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::{Entry, Node, Position, Span, Value};
use crate::template::LineMap;
use indexmap::IndexMap;
use saphyr_parser::{Event, Marker, ScalarStyle, Tag};
use std::borrow::Cow;
use std::collections::HashMap;

/// Most nodes a document may unfold to.
pub(crate) const NODES_MAX: usize = 1_000_000;
/// Most characters that aliases may repeat, in bytes.
pub(crate) const ALIAS_BYTES_MAX: usize = 64 << 20;
/// Deepest nesting.
pub(crate) const DEPTH_MAX: usize = 200;

const TAG_PREFIX: &str = "tag:yaml.org,2002:";

/// A value, and what copying it costs.
#[derive(Clone)]
struct Item {
    node: Node,
    end: Position,
    nodes: usize,
    bytes: usize,
    depth: usize,
    /// A plain `<<`.
    merge: bool,
}

struct Key {
    text: String,
    span: Span,
    merge: bool,
}

enum Body {
    List(Vec<Node>),
    Map { entries: IndexMap<String, Entry>, merged: Vec<(String, Entry)>, key: Option<Key> },
}

/// A list or mapping whose end has not come.
struct Open {
    body: Body,
    start: Position,
    end: Position,
    anchor: usize,
    nodes: usize,
    bytes: usize,
    depth: usize,
}

/// Takes events and makes the tree. Any `None` means: said why, stop.
pub(crate) struct Builder<'a> {
    map: &'a LineMap,
    lines: &'a [&'a str],
    /// The text does not end with a line end.
    cut_at_end: bool,
    stack: Vec<Open>,
    anchors: HashMap<usize, Item>,
    nodes: usize,
    alias_bytes: usize,
    documents: usize,
    root: Option<Node>,
}

impl<'a> Builder<'a> {
    /// For the text with these lines.
    pub(crate) fn new(map: &'a LineMap, lines: &'a [&'a str], text: &str) -> Self {
        Builder {
            map,
            lines,
            cut_at_end: !text.ends_with('\n'),
            stack: Vec::new(),
            anchors: HashMap::new(),
            nodes: 0,
            alias_bytes: 0,
            documents: 0,
            root: None,
        }
    }

    /// The tree; `None` for a text without a document.
    pub(crate) fn finish(self) -> Option<Node> {
        self.root
    }

    /// Takes one event.
    pub(crate) fn event(
        &mut self,
        event: Event<'_>,
        span: saphyr_parser::Span,
        d: &mut Diagnostics,
    ) -> Option<()> {
        let (start, end) = self.places(span);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    d.push(
                        Diagnostic::error(
                            "yaml/many-documents",
                            self.map.span(start, end),
                            "a second document starts here",
                        )
                        .label("a file holds one document")
                        .help("remove the `---`, or move what follows to a file of its own"),
                    );
                    return None;
                }
            }
            Event::Alias(id) => {
                let Some(item) = self.anchors.get(&id).cloned() else {
                    d.push(
                        Diagnostic::error(
                            "yaml/recursive-alias",
                            self.map.span(start, end),
                            "an alias inside its own anchor",
                        )
                        .label("this would never end"),
                    );
                    return None;
                };
                self.alias_bytes = self.alias_bytes.saturating_add(item.bytes);
                let mut item = Item { end, merge: false, ..item };
                item.node.span = self.map.span(start, end);
                let nodes = item.nodes;
                return self.value(item, start, nodes, d);
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                let mut text = text;
                // The scanner ends the last line of a block even where the text does not.
                if block && self.cut_at_end && end.line as usize >= self.lines.len() && text.ends_with('\n') {
                    text.to_mut().pop();
                }
                let span = self.map.span(start, end);
                let node = scalar_node(&text, plain, tag.as_deref(), span, d)?;
                let merge = plain && tag.is_none() && text == "<<";
                let item = Item { node, end, nodes: 1, bytes: text.len(), depth: 0, merge };
                if anchor > 0 {
                    self.anchors.insert(anchor, item.clone());
                }
                return self.value(item, start, 1, d);
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag, "seq", start, end, d)?;
                self.open(Body::List(Vec::new()), anchor, start, end, d)?;
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag, "map", start, end, d)?;
                let body = Body::Map { entries: IndexMap::new(), merged: Vec::new(), key: None };
                self.open(body, anchor, start, end, d)?;
            }
            Event::SequenceEnd | Event::MappingEnd => return self.close(start, end, d),
        }
        Some(())
    }

    /// Columns from 1. An end with nothing before it on its line moves to the end of the last line that
    /// has something: the scanner looks past the end of blocks.
    fn places(&self, span: saphyr_parser::Span) -> (Position, Position) {
        let start = position(span.start);
        let mut end = position(span.end).max(start);
        while end.line > start.line {
            let line = self.lines.get(end.line as usize - 1).copied().unwrap_or_default();
            if !line.chars().take(end.column as usize - 1).all(char::is_whitespace) {
                break;
            }
            end.line -= 1;
            let width = self.lines.get(end.line as usize - 1).map_or(0, |l| l.trim_end().chars().count());
            end.column = width as u32 + 1;
        }
        (start, end.max(start))
    }

    fn check_tag(
        &self,
        tag: Option<Cow<'_, Tag>>,
        wanted: &str,
        start: Position,
        end: Position,
        d: &mut Diagnostics,
    ) -> Option<()> {
        match tag {
            Some(tag) if !is_bare(&tag) && core_name(&tag) != Some(wanted) => {
                unknown_tag(&tag, self.map.span(start, end), d);
                None
            }
            _ => Some(()),
        }
    }

    fn open(
        &mut self,
        body: Body,
        anchor: usize,
        start: Position,
        end: Position,
        d: &mut Diagnostics,
    ) -> Option<()> {
        if self.stack.len() >= DEPTH_MAX {
            too_deep(self.map.span(start, end), d);
            return None;
        }
        self.stack.push(Open { body, start, end: start, anchor, nodes: 1, bytes: 0, depth: 1 });
        Some(())
    }

    fn close(&mut self, at: Position, end: Position, d: &mut Diagnostics) -> Option<()> {
        let open = self.stack.pop()?;
        // Only brackets have a width; the end of a block is where its last value ends.
        let end = if end > at { end } else { open.end };
        let span = self.map.span(open.start, end.max(open.start));
        let value = match open.body {
            Body::List(list) => Value::List(list),
            Body::Map { entries, merged, .. } => Value::Map(with_merged(entries, merged)),
        };
        let item = Item {
            node: Node::new(value, span),
            end,
            nodes: open.nodes,
            bytes: open.bytes,
            depth: open.depth,
            merge: false,
        };
        // Its children were counted as they came; the copy kept for aliases counts too.
        let mut cost = 1;
        if open.anchor > 0 {
            cost += item.nodes;
            self.alias_bytes = self.alias_bytes.saturating_add(item.bytes);
            self.anchors.insert(open.anchor, item.clone());
        }
        self.value(item, open.start, cost, d)
    }

    /// Puts a finished value where it belongs: root, list item, key, or value of a key.
    fn value(&mut self, item: Item, start: Position, cost: usize, d: &mut Diagnostics) -> Option<()> {
        self.nodes = self.nodes.saturating_add(cost);
        if self.nodes > NODES_MAX || self.alias_bytes > ALIAS_BYTES_MAX {
            d.push(
                Diagnostic::error(
                    "yaml/too-large",
                    item.node.span,
                    "the document unfolds to more than it may",
                )
                .label(format!(
                    "more than {NODES_MAX} values, or {} MiB of repeated text",
                    ALIAS_BYTES_MAX >> 20
                ))
                .help("anchors that repeat anchors multiply; write less of them"),
            );
            return None;
        }
        if item.depth + self.stack.len() > DEPTH_MAX {
            too_deep(item.node.span, d);
            return None;
        }
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(item.node);
            return Some(());
        };
        open.nodes = open.nodes.saturating_add(item.nodes);
        open.bytes = open.bytes.saturating_add(item.bytes);
        open.depth = open.depth.max(item.depth + 1);
        open.start = open.start.min(start);
        let nothing = item.end == start;
        if !nothing {
            open.end = open.end.max(item.end);
        }
        match &mut open.body {
            Body::List(list) => list.push(item.node),
            Body::Map { entries, merged, key } => match key.take() {
                None => *key = Some(as_key(item, d)?),
                Some(k) if k.merge => merge(item.node, merged, d)?,
                Some(k) => {
                    let mut node = item.node;
                    // A value that is not there has no place of its own.
                    if nothing && node.is_null() {
                        node.span = k.span;
                    }
                    add(entries, k, node, d);
                }
            },
        }
        Some(())
    }
}

fn position(m: Marker) -> Position {
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Position { line: small(m.line().max(1)), column: small(m.col().saturating_add(1)) }
}

fn too_deep(span: Span, d: &mut Diagnostics) {
    d.push(
        Diagnostic::error("yaml/too-deep", span, "the document is nested too deeply")
            .label(format!("more than {DEPTH_MAX} levels")),
    );
}

fn as_key(item: Item, d: &mut Diagnostics) -> Option<Key> {
    let text = match &item.node.value {
        Value::Null => item.node.raw.clone().or(Some(String::new())),
        _ => item.node.scalar_text(),
    };
    let Some(text) = text else {
        d.push(
            Diagnostic::error(
                "yaml/key",
                item.node.span,
                format!("{} cannot be a key", item.node.kind_name()),
            )
            .label("a key is text")
            .help("if this was meant as a template variable, put quotes around it: `\"{{ name }}\"`"),
        );
        return None;
    };
    Some(Key { text, span: item.node.span, merge: item.merge })
}

fn add(entries: &mut IndexMap<String, Entry>, key: Key, node: Node, d: &mut Diagnostics) {
    if let Some(first) = entries.get(&key.text) {
        d.push(
            Diagnostic::warning(
                "yaml/duplicate-key",
                key.span,
                format!("the key `{}` is given twice", key.text),
            )
            .label("this one counts")
            .related(first.key, "this one is dropped"),
        );
    }
    entries.insert(key.text, Entry { key: key.span, node });
}

/// Takes the value of `<<`: a mapping, or a list of mappings of which the first wins.
fn merge(node: Node, merged: &mut Vec<(String, Entry)>, d: &mut Diagnostics) -> Option<()> {
    let span = node.span;
    let maps = match node.value {
        Value::Map(m) => vec![m],
        Value::List(list) => {
            let maps: Vec<_> = list
                .into_iter()
                .filter_map(|n| {
                    match n.value {
                        Value::Map(m) => Ok(m),
                        _ => Err(n.span),
                    }
                    .map_err(|at| bad_merge(at, d))
                    .ok()
                })
                .collect();
            maps.into_iter().rev().collect()
        }
        _ => {
            bad_merge(span, d);
            return None;
        }
    };
    merged.extend(maps.into_iter().flatten());
    Some(())
}

fn bad_merge(span: Span, d: &mut Diagnostics) {
    d.push(
        Diagnostic::error("yaml/merge", span, "`<<` takes a mapping or a list of mappings")
            .label("this is neither"),
    );
}

/// Merged keys come first, as in PyYAML; the mapping's own keys win.
fn with_merged(entries: IndexMap<String, Entry>, merged: Vec<(String, Entry)>) -> IndexMap<String, Entry> {
    if merged.is_empty() {
        return entries;
    }
    let mut all: IndexMap<String, Entry> = merged.into_iter().collect();
    all.extend(entries);
    all
}

/// The name of a tag such as `!!int`.
fn core_name(tag: &Tag) -> Option<&str> {
    if tag.handle == TAG_PREFIX {
        return Some(&tag.suffix);
    }
    // Verbatim: `!<tag:yaml.org,2002:int>`.
    tag.handle.is_empty().then(|| tag.suffix.strip_prefix(TAG_PREFIX)).flatten()
}

/// `!` alone: resolve as if there were no tag.
fn is_bare(tag: &Tag) -> bool {
    (tag.handle == "!" && tag.suffix.is_empty()) || (tag.handle.is_empty() && tag.suffix == "!")
}

fn unknown_tag(tag: &Tag, span: Span, d: &mut Diagnostics) {
    let name = core_name(tag).map_or_else(|| format!("{}{}", tag.handle, tag.suffix), |n| format!("!!{n}"));
    d.push(
        Diagnostic::error("yaml/tag", span, format!("the tag `{name}` cannot be used here"))
            .label("unknown, or not for this kind of value")
            .help("known tags: !!str, !!int, !!float, !!bool, !!null, !!timestamp, !!seq, !!map"),
    );
}

fn scalar_node(text: &str, plain: bool, tag: Option<&Tag>, span: Span, d: &mut Diagnostics) -> Option<Node> {
    let tag = tag.filter(|t| !is_bare(t));
    let value = match tag {
        None if plain => scalar::resolve(text),
        None => Value::Text(text.to_owned()),
        Some(tag) => {
            let Some(name @ ("str" | "int" | "float" | "bool" | "null" | "timestamp")) = core_name(tag)
            else {
                unknown_tag(tag, span, d);
                return None;
            };
            let Some(value) = tagged(name, text) else {
                d.push(
                    Diagnostic::error(
                        "yaml/tag",
                        span,
                        format!("`{text}` is not what the tag `!!{name}` says"),
                    )
                    .label(format!("not of type {name}")),
                );
                return None;
            };
            value
        }
    };
    if matches!(&value, Value::Date(t) if !scalar::is_real_timestamp(t)) {
        d.push(
            Diagnostic::error(
                "yaml/date",
                span,
                format!("`{text}` looks like a date, but there is no such day or time"),
            )
            .label("YAML reads this as a date")
            .help("put quotes around it to make it text"),
        );
        return None;
    }
    let raw = (plain && tag.is_none() && !text.is_empty()).then(|| text.to_owned());
    Some(Node { value, span, raw })
}

/// The value of a scalar with an explicit tag.
fn tagged(name: &str, text: &str) -> Option<Value> {
    match name {
        "str" => Some(Value::Text(text.to_owned())),
        "int" => scalar::integer(text),
        "float" => scalar::tagged_float(text).map(Value::Float),
        // PyYAML takes any letter case once the tag is explicit.
        "bool" => scalar::boolean(&text.to_lowercase()).map(Value::Bool),
        "null" => Some(Value::Null),
        _ => scalar::is_timestamp(text).then(|| Value::Date(text.to_owned())),
    }
}

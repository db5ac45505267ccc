//! From a use of a provider's transform to the body that stands for it.

use super::{Definition, DefinitionKind, Providers, config_schema};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::{Entry, Node, Sources, Span, Value};
use crate::phases::read::Reader;
use crate::phases::tree::{Body, Group, GroupKind, Transform, Wiring};
use crate::template::{LineMap, Loader, TemplateCx};
use crate::types::Snippet;
use indexmap::IndexMap;

/// Renders, parses and reads bodies.
pub(crate) struct Bodies<'a> {
    pub(crate) loader: &'a dyn Loader,
    pub(crate) now_micros: i64,
    pub(crate) sources: &'a mut Sources,
    pub(crate) reader: &'a Reader<'a>,
}

impl Bodies<'_> {
    /// The body for one use, rendered with its config; `None` if there is a problem, which is reported.
    pub(crate) fn make(
        &mut self,
        used: &Transform,
        providers: &Providers,
        d: &mut Diagnostics,
    ) -> Option<Transform> {
        let name = &used.type_name.value;
        let mut definition = providers.get(name)?;
        let mut config = used.config.clone();
        while let DefinitionKind::Renamed { to, mappings, defaults } = &definition.kind {
            config = rename(config, mappings, defaults.as_ref());
            definition = to;
        }
        match &definition.kind {
            DefinitionKind::Yaml { body, config_schema: schema, requires_inputs } => {
                if !config_schema::check(&config, schema.as_ref(), name, d) {
                    return None;
                }
                let node = self.render(name, definition, body, &config, d)?;
                let body = self.read(name, definition, &node, d)?;
                Some(connect(body, *requires_inputs))
            }
            DefinitionKind::Python(source) => {
                let node = py_transform(source, &config, used.type_name.span);
                self.reader.transform(&node, 0, d).map(|body| connect(body, true))
            }
            DefinitionKind::Unsupported(kind) => {
                d.push(
                    Diagnostic::error(
                        "provider/unsupported",
                        used.type_name.span,
                        format!("`{name}` comes from a provider of type `{kind}`, which is not supported"),
                    )
                    .label("only providers of type `yaml`, and Python source in the file, run here")
                    .related(definition.span, "defined here")
                    .help("write the transform as a `yaml` provider, or run the file on Beam: `python -m apache_beam.yaml.main`"),
                );
                None
            }
            DefinitionKind::Renamed { .. } | DefinitionKind::Broken => None,
        }
    }

    fn read(
        &mut self,
        name: &str,
        definition: &Definition,
        node: &Node,
        d: &mut Diagnostics,
    ) -> Option<Transform> {
        if node.as_map().is_none() {
            d.push(
                Diagnostic::error(
                    "provider/body",
                    definition.span,
                    format!("the body of `{name}` is not a transform"),
                )
                .label(format!("it is {}", node.kind_name())),
            );
            return None;
        }
        self.reader.transform(node, 0, d)
    }

    fn render(
        &mut self,
        name: &str,
        definition: &Definition,
        body: &Node,
        config: &Node,
        d: &mut Diagnostics,
    ) -> Option<Node> {
        let vars = match config.to_json() {
            serde_json::Value::Object(vars) => vars,
            _ => serde_json::Map::new(),
        };
        let cx = TemplateCx { vars, loader: self.loader, now_micros: self.now_micros };
        match body.as_text() {
            Some(text) => self.render_text(
                name,
                definition,
                &Snippet { text: text.to_owned(), span: body.span },
                &cx,
                d,
            ),
            None => self.render_tree(body, &cx, d),
        }
    }

    /// A body given as text is a template of its own, which is then parsed.
    fn render_text(
        &mut self,
        name: &str,
        definition: &Definition,
        text: &Snippet,
        cx: &TemplateCx<'_>,
        d: &mut Diagnostics,
    ) -> Option<Node> {
        let source = format!("{} (body of `{name}`)", definition.file);
        let mut inner = Diagnostics::default();
        let rendered = crate::template::render(&source, &text.text, cx, self.sources, &mut inner);
        let parsed = rendered
            .as_ref()
            .and_then(|r| crate::yaml::parse(r.file, &r.text, &r.map, self.sources, &mut inner));
        // Back from the text of the body to the file it stands in.
        let file = self.sources.add(source, text.text.as_str());
        let sources = &*self.sources;
        let back =
            |span: Span| if span.file == file { text.locate(sources, span.start, span.end) } else { span };
        inner.map_spans(back);
        d.extend(inner);
        parsed.map(|node| moved(node, &back))
    }

    /// In a body given as a mapping every text is a template. Beam writes the mapping as YAML text first, so
    /// keys come sorted, and what stood unquoted there is read again as a plain scalar.
    fn render_tree(&mut self, node: &Node, cx: &TemplateCx<'_>, d: &mut Diagnostics) -> Option<Node> {
        let value = match &node.value {
            Value::Text(s) => return self.render_scalar(s, node, cx, d),
            Value::List(list) => {
                let items: Vec<Option<Node>> = list.iter().map(|n| self.render_tree(n, cx, d)).collect();
                Value::List(items.into_iter().collect::<Option<_>>()?)
            }
            Value::Map(map) => {
                let mut entries: Vec<(&String, &Entry)> = map.iter().collect();
                entries.sort_by_key(|(k, _)| *k);
                let mut rendered = IndexMap::new();
                for (key, entry) in entries {
                    let key_node = Node::new(Value::Text(key.clone()), entry.key);
                    let key = self.render_scalar(key, &key_node, cx, d);
                    let node = self.render_tree(&entry.node, cx, d);
                    rendered.insert(key?.scalar_text()?, Entry { key: entry.key, node: node? });
                }
                Value::Map(rendered)
            }
            _ => return Some(node.clone()),
        };
        Some(Node { value, ..node.clone() })
    }

    fn render_scalar(
        &mut self,
        text: &str,
        node: &Node,
        cx: &TemplateCx<'_>,
        d: &mut Diagnostics,
    ) -> Option<Node> {
        if !text.contains("{{") && !text.contains("{%") && !text.contains("{#") {
            return Some(node.clone());
        }
        let mut rendered = crate::template::render_body(text, node.span, cx, self.sources, d)?.text;
        if text.ends_with('\n') && !rendered.ends_with('\n') {
            rendered.push('\n');
        }
        if plain_in_yaml(text) {
            let mut ignored = Diagnostics::default();
            let map = LineMap::fixed(node.span);
            let parsed = crate::yaml::parse(node.span.file, &rendered, &map, self.sources, &mut ignored);
            if let Some(scalar) =
                parsed.filter(|n| !ignored.has_errors() && n.as_list().is_none() && n.as_map().is_none())
            {
                return Some(Node { span: node.span, ..scalar });
            }
        }
        Some(Node { value: Value::Text(rendered), span: node.span, raw: None })
    }
}

/// The `PyTransform` that a transform given as Python source stands for: the config are its arguments.
fn py_transform(source: &Node, config: &Node, span: Span) -> Node {
    let map = |entries: Vec<(&str, Node)>| {
        let entries = entries.into_iter().map(|(k, node)| (k.to_owned(), Entry { key: node.span, node }));
        Node::new(Value::Map(entries.collect()), span)
    };
    let text = |t: &str| Node::new(Value::Text(t.to_owned()), span);
    let mut fields = vec![
        ("constructor", text("__constructor__")),
        ("args", Node::new(Value::List(vec![source.clone()]), span)),
    ];
    if !config.is_null() {
        fields.push(("kwargs", config.clone()));
    }
    map(vec![("type", text("PyTransform")), ("config", map(fields))])
}

/// Whether PyYAML would write a text without quotes.
fn plain_in_yaml(text: &str) -> bool {
    let mut chars = text.chars();
    let Some(first) = chars.next() else { return false };
    let second_blank = chars.next().is_none_or(char::is_whitespace);
    let bad_start = match first {
        '-' | '?' | ':' => second_blank,
        _ => ",[]{}#&*!|>'\"%@`".contains(first) || first.is_whitespace(),
    };
    !(bad_start
        || text.ends_with(char::is_whitespace)
        || text.ends_with(':')
        || text.contains(": ")
        || text.contains(" #")
        || text.contains('\n'))
}

fn moved(mut node: Node, back: &impl Fn(Span) -> Span) -> Node {
    node.span = back(node.span);
    node.value = match node.value {
        Value::List(list) => Value::List(list.into_iter().map(|n| moved(n, back)).collect()),
        Value::Map(map) => Value::Map(
            map.into_iter()
                .map(|(k, e)| (k, Entry { key: back(e.key), node: moved(e.node, back) }))
                .collect(),
        ),
        other => other,
    };
    node
}

fn rename(config: Node, mappings: &IndexMap<String, String>, defaults: Option<&Node>) -> Node {
    let (span, raw) = (config.span, None);
    let Value::Map(map) = config.value else { return config };
    let mut renamed: IndexMap<String, Entry> =
        map.into_iter().map(|(k, e)| (mappings.get(&k).cloned().unwrap_or(k), e)).collect();
    for (key, entry) in
        defaults.and_then(Node::as_map).into_iter().flatten().filter(|(k, _)| !k.starts_with("__"))
    {
        renamed.entry(key.clone()).or_insert_with(|| entry.clone());
    }
    Node { value: Value::Map(renamed), span, raw }
}

/// Gives a body the inputs of the transform it stands for.
fn connect(mut body: Transform, requires_inputs: bool) -> Transform {
    let is_chain = matches!(&body.body, Body::Group(g) if g.kind == GroupKind::Chain);
    body.input = match body.input {
        // A chain says itself what it reads, if it says anything.
        input @ (Wiring::From(_) | Wiring::Empty) if is_chain => input,
        Wiring::Absent if is_chain && !requires_inputs => Wiring::Absent,
        _ => Wiring::Through,
    };
    let unnamed = body.name.is_none();
    if let Some(group) = body.group_mut() {
        group.transparent = unnamed;
    }
    body
}

/// Puts the body in the place of the transform it stands for.
pub(crate) fn wrap(used: &mut Transform, body: Transform) {
    // A single input goes by the name `input` inside, whatever its tag was.
    if let Wiring::From(tagged) = &mut used.input
        && let [only] = tagged.as_mut_slice()
    {
        only.tag.value = "input".to_owned();
    }
    let group = Group { members: vec![body], last: Some(0), ..Group::new(GroupKind::Provider) };
    used.body = Body::Group(group);
}

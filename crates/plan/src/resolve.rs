//! From leaves to a graph: decoding, order, references, and what stands around each transform.

mod order;
mod outputs;

use crate::build::{Builder, Flow, Made, View, mapping};
use crate::check;
use crate::graph::Graph;
use purlin_api::{Catalog, OutputRole, Probe, Transform};
use purlin_spec::model::{Input, Leaf, LeafId, Spec};
use purlin_spec::node::Entry;
use purlin_spec::vocabulary::Inputs;
use purlin_spec::{Diagnostic, Diagnostics, Node, Value, suggest};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Binds all leaves; `None` if something is wrong with one.
pub(crate) fn resolve(
    spec: &Spec,
    catalog: &Catalog,
    probe: &dyn Probe,
    beam_compat: bool,
    d: &mut Diagnostics,
) -> Option<Graph> {
    let errors_before = d.error_count();
    let decoded: Vec<Option<Decoded>> = spec.leaves.iter().map(|l| decode(l, catalog, d)).collect();
    let order = order::order(&spec.leaves, d);
    let mut resolver = Resolver {
        spec,
        builder: Builder::new(catalog, probe, beam_compat, d),
        outputs: BTreeMap::new(),
        read: BTreeSet::new(),
        failed: order.len() < spec.leaves.len(),
    };
    for id in order {
        let (Some(leaf), Some(decoded)) = (spec.leaves.get(id), decoded.get(id)) else { continue };
        let views = resolver.inputs(leaf).and_then(|inputs| resolver.leaf(leaf, decoded.as_ref()?, inputs));
        match views {
            Some(views) => {
                resolver.outputs.insert(id, views);
            }
            None => resolver.failed = true,
        }
    }
    resolver.unread_errors();
    let Resolver { builder, failed, .. } = resolver;
    let graph = builder.graph;
    check::check(&graph, d);
    (!failed && d.error_count() == errors_before).then_some(graph)
}

/// A leaf's config, decoded.
struct Decoded {
    transform: Arc<dyn Transform>,
    /// Windowing still to be applied around the transform.
    windowing: Option<Node>,
}

fn decode(leaf: &Leaf, catalog: &Catalog, d: &mut Diagnostics) -> Option<Decoded> {
    let type_name = leaf.type_name.value.as_str();
    let Some(entry) = catalog.get(type_name) else {
        d.push(
            Diagnostic::error(
                "type/unknown",
                leaf.type_name.span,
                format!("Unknown transform type `{type_name}`"),
            )
            .label("no transform has this name")
            .maybe_help(suggest::did_you_mean(type_name, catalog.iter().map(|e| e.def.name))),
        );
        return None;
    };
    if entry.def.inputs == Inputs::One && leaf.inputs.is_empty() {
        d.push(
            Diagnostic::error(
                "input/missing",
                leaf.span,
                format!("Missing inputs for transform `{}`", leaf.label()),
            )
            .label(format!("`{type_name}` reads one collection"))
            .help("add `input:` with the name of a transform"),
        );
    }
    // `windowing` beside a WindowInto is its config.
    let (config, windowing) = match (&leaf.windowing, &leaf.config.value) {
        (Some(windowing), Value::Map(map)) if type_name == WINDOW_INTO && !map.contains_key("windowing") => {
            let mut map = map.clone();
            map.insert("windowing".to_owned(), Entry { key: windowing.span, node: windowing.clone() });
            (Node { value: Value::Map(map), ..leaf.config.clone() }, None)
        }
        (windowing, _) => (leaf.config.clone(), windowing.clone()),
    };
    let transform = (entry.decode)(&config, d);
    if transform.is_none() && !d.has_errors() {
        d.push(Diagnostic::error(
            "plan/internal",
            leaf.config.span,
            format!("the config of `{}` was refused without a reason; please report it", leaf.label()),
        ));
    }
    Some(Decoded { transform: transform?, windowing })
}

const WINDOW_INTO: &str = "WindowInto";
const VALIDATE: &str = "ValidateWithSchema";
const FLATTEN: &str = "Flatten";
pub(crate) const DEAD_LETTERS: &str = "WriteToDeadLetters";

struct Resolver<'a> {
    spec: &'a Spec,
    builder: Builder<'a>,
    /// The outputs of the leaves that bound.
    outputs: BTreeMap<LeafId, Vec<View>>,
    /// Outputs that somebody reads, by tag.
    read: BTreeSet<(LeafId, String)>,
    failed: bool,
}

impl Resolver<'_> {
    /// What flows into a leaf; `None` if one of its references is wrong, or leads to a leaf that failed.
    fn inputs(&mut self, leaf: &Leaf) -> Option<Vec<Flow>> {
        // Look at all references first: each wrong one is worth a message.
        let found: Vec<Option<Vec<Flow>>> = leaf.inputs.iter().map(|input| self.references(input)).collect();
        let found: Vec<Vec<Flow>> = found.into_iter().collect::<Option<_>>()?;
        let mut flows = Vec::new();
        for (input, refs) in leaf.inputs.iter().zip(found) {
            if leaf.type_name.value == FLATTEN && refs.len() > 1 {
                let tagged = refs.into_iter().enumerate();
                flows.extend(tagged.map(|(i, f)| Flow { tag: format!("{}{i}", input.tag), ..f }));
            } else if leaf.type_name.value == DEAD_LETTERS {
                // Each row must be known by the node that gave it.
                let apart = refs.into_iter().flat_map(|f| {
                    let from = f.from.clone();
                    from.into_iter().map(move |one| Flow { from: vec![one], ..f.clone() })
                });
                let tagged = apart.enumerate();
                flows.extend(tagged.map(|(i, f)| Flow { tag: format!("{}{i}", input.tag), ..f }));
            } else {
                flows.push(self.builder.merge(leaf, &input.tag, input.span, refs)?);
            }
        }
        Some(flows)
    }

    fn references(&mut self, input: &Input) -> Option<Vec<Flow>> {
        let mut flows = Some(Vec::new());
        for r in &input.from {
            // A leaf that is not there, or that failed, has been spoken of.
            let picked = self.spec.leaves.get(r.leaf).zip(self.outputs.get(&r.leaf));
            let view = picked.and_then(|(leaf, views)| outputs::pick(leaf, views, r, self.builder.d));
            match view {
                Some(view) => {
                    self.read.insert((r.leaf, view.tag.clone()));
                    if let Some(flows) = &mut flows {
                        flows.push(view.flow(&input.tag, r.span));
                    }
                }
                None => {
                    // It was meant, so do not also say that nobody reads it.
                    self.read.extend(r.output.iter().map(|tag| (r.leaf, tag.clone())));
                    flows = None;
                }
            }
        }
        flows
    }

    /// Binds a leaf and what stands around it.
    fn leaf(&mut self, leaf: &Leaf, decoded: &Decoded, inputs: Vec<Flow>) -> Option<Vec<View>> {
        if inputs.iter().any(|f| f.from.is_empty()) {
            return None;
        }
        let mut more = Vec::new();
        let inputs = match &decoded.windowing {
            Some(windowing) if !inputs.is_empty() => {
                self.window_inputs(leaf, windowing, inputs, &mut more)?
            }
            _ => inputs,
        };
        let is_root = inputs.is_empty();
        let label = leaf.label();
        let made =
            Made { leaf, label: &label, type_name: &leaf.type_name.value, implicit: false, ahead_of: None };
        let id = self.builder.add(made, decoded.transform.as_ref(), inputs)?;
        let mut views = self.builder.views(id);
        if let Some(schema) = &leaf.output_schema {
            self.validate(leaf, schema, &mut views)?;
        }
        if let (Some(windowing), true) = (&decoded.windowing, is_root) {
            self.window_outputs(leaf, windowing, &mut views, &mut more)?;
        }
        more.retain(|m: &View| views.iter().all(|v| v.tag != m.tag));
        views.extend(more);
        Some(views)
    }

    fn window_inputs(
        &mut self,
        leaf: &Leaf,
        windowing: &Node,
        inputs: Vec<Flow>,
        more: &mut Vec<View>,
    ) -> Option<Vec<Flow>> {
        let several = inputs.len() > 1;
        let mut windowed = Vec::with_capacity(inputs.len());
        for flow in inputs {
            let (tag, span, is_error) = (flow.tag.clone(), flow.span, flow.is_error);
            let name = several.then_some(tag.as_str());
            let main = self.window(leaf, windowing, name, flow, more)?;
            windowed.push(Flow { is_error, ..main.flow(&tag, span) });
        }
        Some(windowed)
    }

    fn window_outputs(
        &mut self,
        leaf: &Leaf,
        windowing: &Node,
        views: &mut [View],
        more: &mut Vec<View>,
    ) -> Option<()> {
        let several = views.iter().filter(|v| v.role == OutputRole::Main).count() > 1;
        for view in views.iter_mut().filter(|v| v.role == OutputRole::Main) {
            let flow = view.flow("input", windowing.span);
            let name = several.then_some(view.tag.as_str());
            let main = self.window(leaf, windowing, name, flow, more)?;
            *view = View { tag: view.tag.clone(), ..main };
        }
        Some(())
    }

    /// Windows one collection; outputs beside the main one (late rows) go to `more`.
    fn window(
        &mut self,
        leaf: &Leaf,
        windowing: &Node,
        name: Option<&str>,
        flow: Flow,
        more: &mut Vec<View>,
    ) -> Option<View> {
        let label = match name {
            Some(name) => format!("{}[windowing {name}]", leaf.label()),
            None => format!("{}[windowing]", leaf.label()),
        };
        let config = mapping(windowing.span, [("windowing", windowing.clone())]);
        let flow = Flow { tag: "input".to_owned(), ..flow };
        let id = self.builder.implicit(leaf, &label, WINDOW_INTO, &config, vec![flow])?;
        let (main, beside): (Vec<View>, Vec<View>) =
            self.builder.views(id).into_iter().partition(|v| v.role == OutputRole::Main);
        more.extend(beside);
        main.into_iter().next()
    }

    /// Checks the main output against `output_schema`; failures join the leaf's own error output.
    fn validate(&mut self, leaf: &Leaf, schema: &Node, views: &mut [View]) -> Option<()> {
        if let Some(entry) = schema.as_map().and_then(|m| m.get("error_handling")) {
            self.builder.d.push(
                Diagnostic::error(
                    "output-schema/error-handling",
                    entry.key,
                    "`error_handling` is not supported inside `output_schema`",
                )
                .label("failures go where the transform's own failures go")
                .help("put it in the transform's `config`, or use a ValidateWithSchema after it"),
            );
            return None;
        }
        let main = outputs::to_validate(leaf, schema, views, self.builder.d)?;
        let errors = views.iter().position(|v| v.role == OutputRole::Error);
        let error_tag = errors.and_then(|i| views.get(i)).map(|v| v.tag.clone());
        let view = views.get_mut(main)?;
        let config = match &error_tag {
            None => mapping(schema.span, [("schema", schema.clone())]),
            Some(tag) => {
                let span = leaf.error_output.as_ref().map_or(schema.span, |t| t.span);
                let handling = mapping(span, [("output", Node::new(Value::Text(tag.clone()), span))]);
                mapping(schema.span, [("schema", schema.clone()), ("error_handling", handling)])
            }
        };
        let label = format!("{}[output_schema]", leaf.label());
        let flow = view.flow("input", schema.span);
        let id = self.builder.implicit(leaf, &label, VALIDATE, &config, vec![flow])?;
        let checked = self.builder.views(id);
        if let Some(good) = checked.iter().find(|v| v.role == OutputRole::Main) {
            *view = View { tag: view.tag.clone(), ..good.clone() };
        }
        let bad = checked.iter().find(|v| v.role == OutputRole::Error);
        if let (Some(own), Some(bad), Some(tag)) = (errors.and_then(|i| views.get_mut(i)), bad, error_tag) {
            let flows = vec![own.flow("input0", schema.span), bad.flow("input1", schema.span)];
            *own = self.builder.merge_errors(leaf, &tag, flows);
        }
        Some(())
    }

    /// An error output that the author named and nobody reads would lose rows in silence.
    fn unread_errors(&mut self) {
        for leaf in &self.spec.leaves {
            let Some(named) = &leaf.error_output else { continue };
            let made = self.outputs.get(&leaf.id).is_some_and(|v| v.iter().any(|v| v.tag == named.value));
            if !made || self.read.contains(&(leaf.id, named.value.clone())) {
                continue;
            }
            let message = format!("Unconsumed error output `{}` of `{}`", named.value, leaf.label());
            // Inside a composite the output may be handed on to whoever uses the composite, who need not read it.
            let handed_on = !leaf.scope.is_empty() || leaf.main_output.is_some();
            let diagnostic = if handed_on {
                Diagnostic::warning("error-handling/unconsumed", named.span, message)
            } else {
                Diagnostic::error("error-handling/unconsumed", named.span, message)
                    .help(format!("write it somewhere: `input: {}.{}`", leaf.name, named.value))
            };
            self.builder.d.push(diagnostic.label("no transform reads it"));
        }
    }
}

#[cfg(test)]
mod tests;

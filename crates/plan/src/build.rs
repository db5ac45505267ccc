//! Building the graph node by node: binding, merging inputs, and what authors leave implicit.

use crate::errors;
use crate::graph::{Graph, GraphInput, GraphNode, NodeId};
use arrow_schema::{Field, Schema, SchemaRef};
use purlin_api::shape::{nullable, nullable_type};
use purlin_api::{BindCx, Catalog, InputShape, OutPort, OutputRole, PlanNode, Probe, Shape, Transform};
use purlin_spec::model::Leaf;
use purlin_spec::node::Entry;
use purlin_spec::{Diagnostic, Diagnostics, Node, Span, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// One output of a leaf as references see it: it may come from a node that was put in after the leaf's own.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) tag: String,
    pub(crate) role: OutputRole,
    pub(crate) shape: Shape,
    pub(crate) from: Vec<(NodeId, OutPort)>,
}

/// Something that flows into a node that is about to be made.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) tag: String,
    pub(crate) span: Span,
    pub(crate) shape: Shape,
    pub(crate) is_error: bool,
    pub(crate) from: Vec<(NodeId, OutPort)>,
}

impl View {
    pub(crate) fn flow(&self, tag: &str, span: Span) -> Flow {
        Flow {
            tag: tag.to_owned(),
            span,
            shape: self.shape.clone(),
            is_error: self.role == OutputRole::Error,
            from: self.from.clone(),
        }
    }
}

/// The graph under construction.
pub(crate) struct Builder<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) probe: &'a dyn Probe,
    pub(crate) beam_compat: bool,
    pub(crate) d: &'a mut Diagnostics,
    pub(crate) graph: Graph,
    labels: BTreeSet<String>,
}

/// Which node is being made: for whom, and under what name.
#[derive(Clone, Copy)]
pub(crate) struct Made<'l> {
    pub(crate) leaf: &'l Leaf,
    pub(crate) label: &'l str,
    pub(crate) type_name: &'l str,
    /// The author did not write it.
    pub(crate) implicit: bool,
    /// The node before which it is put by that node itself.
    pub(crate) ahead_of: Option<&'l str>,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(
        catalog: &'a Catalog,
        probe: &'a dyn Probe,
        beam_compat: bool,
        d: &'a mut Diagnostics,
    ) -> Self {
        Builder { catalog, probe, beam_compat, d, graph: Graph::default(), labels: BTreeSet::new() }
    }

    /// Binds a transform to its inputs and adds it to the graph.
    pub(crate) fn add(
        &mut self,
        made: Made<'_>,
        transform: &dyn Transform,
        inputs: Vec<Flow>,
    ) -> Option<NodeId> {
        let shapes: Vec<InputShape> = inputs
            .iter()
            .map(|f| InputShape {
                tag: f.tag.clone(),
                shape: f.shape.clone(),
                is_error: f.is_error,
                producer: self.producer(f),
                span: f.span,
            })
            .collect();
        let bound = transform.bind(
            &shapes,
            &mut BindCx {
                label: made.label,
                span: made.leaf.span,
                type_span: made.leaf.type_name.span,
                beam_compat: self.beam_compat,
                probe: self.probe,
                diagnostics: self.d,
            },
        );
        match bound {
            Some(node) => Some(self.push_behind(made, node, inputs)),
            None => {
                self.unexplained(made);
                None
            }
        }
    }

    fn producer(&self, flow: &Flow) -> String {
        let first = flow.from.first().and_then(|(id, _)| self.graph.get(*id));
        first.map(|n| n.ahead_of.as_ref().unwrap_or(&n.label).clone()).unwrap_or_default()
    }

    /// Adds a bound node, and before it those it needs ahead of it.
    fn push_behind(&mut self, made: Made<'_>, node: Arc<dyn PlanNode>, mut inputs: Vec<Flow>) -> NodeId {
        for (port, input) in inputs.iter_mut().enumerate() {
            let Some(ahead) = node.ahead_of(port) else { continue };
            let Some(shape) = ahead.outputs().first().map(|o| o.shape.clone()) else { continue };
            let label = format!("{}[{}]", made.label, self.producer(input));
            let first = Made { label: &label, implicit: true, ahead_of: Some(made.label), ..made };
            let id = self.push(first, ahead, vec![input.clone()]);
            *input = Flow { shape, from: vec![(id, 0)], is_error: false, ..input.clone() };
        }
        let ahead = node.ahead().and_then(|ahead| {
            let shape = ahead.outputs().first()?.shape.clone();
            Some((ahead, shape))
        });
        let (Some((ahead, shape)), [input]) = (ahead, inputs.as_slice()) else {
            return self.push(made, node, inputs);
        };
        let flow = Flow { shape, from: Vec::new(), ..input.clone() };
        let label = format!("{}[python3]", made.label);
        let first = Made {
            label: &label,
            type_name: "PythonWorker",
            implicit: true,
            ahead_of: Some(made.label),
            ..made
        };
        let id = self.push(first, ahead, inputs);
        self.push(made, node, vec![Flow { from: vec![(id, 0)], ..flow }])
    }

    /// Adds a bound node to the graph.
    pub(crate) fn push(&mut self, made: Made<'_>, node: Arc<dyn PlanNode>, inputs: Vec<Flow>) -> NodeId {
        let id = self.graph.nodes.len();
        let mut label = made.label.to_owned();
        let mut copy = 2;
        while !self.labels.insert(label.clone()) {
            label = format!("{}#{copy}", made.label);
            copy += 1;
        }
        self.graph.nodes.push(GraphNode {
            id,
            leaf: Some(made.leaf.id),
            label,
            type_name: made.type_name.to_owned(),
            node,
            inputs: inputs
                .into_iter()
                .map(|f| GraphInput { tag: f.tag, from: f.from, shape: f.shape })
                .collect(),
            span: made.leaf.span,
            implicit: made.implicit,
            ahead_of: made.ahead_of.map(str::to_owned),
        });
        id
    }

    /// Adds a transform of the catalogue that the author did not write.
    pub(crate) fn implicit(
        &mut self,
        leaf: &Leaf,
        label: &str,
        type_name: &str,
        config: &Node,
        inputs: Vec<Flow>,
    ) -> Option<NodeId> {
        let made = Made { leaf, label, type_name, implicit: true, ahead_of: None };
        let Some(entry) = self.catalog.get(type_name) else {
            self.d.push(
                Diagnostic::error(
                    "plan/not-available",
                    leaf.span,
                    format!(
                        "`{}` needs the transform `{type_name}`, which this program does not have",
                        leaf.label()
                    ),
                )
                .label("needed here"),
            );
            return None;
        };
        let Some(transform) = (entry.decode)(config, self.d) else {
            self.unexplained(made);
            return None;
        };
        self.add(made, transform.as_ref(), inputs)
    }

    /// Several references of one input become one: merged in place, or through a `Flatten`.
    pub(crate) fn merge(&mut self, leaf: &Leaf, tag: &str, span: Span, mut flows: Vec<Flow>) -> Option<Flow> {
        if flows.len() == 1 {
            return flows.pop();
        }
        if let Some(shape) = common_shape(&flows) {
            let is_error = flows.iter().all(|f| f.is_error);
            let from = flows.into_iter().flat_map(|f| f.from).collect();
            return Some(Flow { tag: tag.to_owned(), span, shape, is_error, from });
        }
        let is_error = flows.iter().all(|f| f.is_error);
        for (i, flow) in flows.iter_mut().enumerate() {
            flow.tag = format!("input{i}");
        }
        let label = format!("{}-Flatten[{tag}]", leaf.label());
        let id = self.implicit(leaf, &label, "Flatten", &mapping(span, []), flows)?;
        let view = self.views(id).into_iter().find(|v| v.role == OutputRole::Main)?;
        Some(Flow { is_error, ..view.flow(tag, span) })
    }

    /// Error rows of several makers on one output. Rows of different kinds are kept as text.
    pub(crate) fn merge_errors(&mut self, leaf: &Leaf, tag: &str, flows: Vec<Flow>) -> View {
        if let Some(shape) = common_shape(&flows) {
            let from = flows.into_iter().flat_map(|f| f.from).collect();
            return View { tag: tag.to_owned(), role: OutputRole::Error, shape, from };
        }
        let shapes: Vec<Shape> = flows.iter().map(|f| f.shape.clone()).collect();
        let node = errors::merge(tag, &shapes);
        let label = format!("{}-Flatten[{tag}]", leaf.label());
        let made = Made { leaf, label: &label, type_name: "Flatten", implicit: true, ahead_of: None };
        let shape = node.shape().clone();
        let id = self.push(made, Arc::new(node), flows);
        View { tag: tag.to_owned(), role: OutputRole::Error, shape, from: vec![(id, 0)] }
    }

    /// The outputs of a node as references see them: its own, and those of nodes it put ahead of itself, but for the first
    /// ones, which it reads.
    pub(crate) fn views(&self, id: NodeId) -> Vec<View> {
        let Some(node) = self.graph.get(id) else { return Vec::new() };
        let mut views = outputs(node, 0);
        for (from, _) in node.inputs.iter().flat_map(|i| &i.from) {
            let ahead = self.graph.get(*from).filter(|n| n.ahead_of.as_ref() == Some(&node.label));
            views.extend(ahead.into_iter().flat_map(|n| outputs(n, 1)));
        }
        views
    }

    /// A contract was broken: something failed and said nothing.
    fn unexplained(&mut self, made: Made<'_>) {
        if !self.d.has_errors() {
            self.d.push(Diagnostic::error(
                "plan/internal",
                made.leaf.span,
                format!(
                    "`{}` ({}) was refused without a reason; please report it",
                    made.label, made.type_name
                ),
            ));
        }
    }
}

/// The outputs of a node from a port on.
fn outputs(node: &GraphNode, from: OutPort) -> Vec<View> {
    let outputs = node.node.outputs().iter().enumerate().skip(from);
    outputs
        .map(|(port, o)| View {
            tag: o.tag.clone(),
            role: o.role,
            shape: o.shape.clone(),
            from: vec![(node.id, port)],
        })
        .collect()
}

/// A mapping node, for configs that the plan makes up.
pub(crate) fn mapping<const N: usize>(span: Span, entries: [(&str, Node); N]) -> Node {
    let entries = entries.into_iter().map(|(k, node)| (k.to_owned(), Entry { key: span, node })).collect();
    Node::new(Value::Map(entries), span)
}

/// The shape that flows can be merged in without changing a row; `None` if there is none.
fn common_shape(flows: &[Flow]) -> Option<Shape> {
    let (first, rest) = flows.split_first()?;
    let mut shape = first.shape.clone();
    for flow in rest {
        if flow.shape.windowing != shape.windowing {
            return None;
        }
        shape.schema = common_schema(&shape.schema, &flow.shape.schema)?;
        shape.bounded &= flow.shape.bounded;
    }
    Some(shape)
}

fn common_schema(a: &SchemaRef, b: &SchemaRef) -> Option<SchemaRef> {
    if a == b {
        return Some(a.clone());
    }
    if a.fields().len() != b.fields().len() {
        return None;
    }
    let fields: Option<Vec<Field>> =
        a.fields().iter().zip(b.fields()).map(|(f, g)| common_field(f, g)).collect();
    Some(Arc::new(Schema::new(fields?)))
}

/// The same name and type; what may be null in one may be null in both.
fn common_field(f: &Field, g: &Field) -> Option<Field> {
    if f.name() != g.name() || f.metadata() != g.metadata() {
        return None;
    }
    if f.data_type() == g.data_type() {
        return Some(f.clone().with_nullable(f.is_nullable() || g.is_nullable()));
    }
    (nullable_type(f.data_type()) == nullable_type(g.data_type())).then(|| nullable(f))
}

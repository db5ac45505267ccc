//! Two transforms that only tests have: `ScriptedRows`, a source whose rows come when the test says so,
//! and `Observed`, which takes what a test looks at.

use purlin_api::literal::{Literal, infer_rows};
use purlin_api::shape::physical;
use purlin_api::source::BoxFuture;
use purlin_api::{
    Batch, BindCx, Budget, BuildCx, Entry, Error, InputShape, More, OpCx, Operator, OutPort, Output,
    OutputRole, PlanNode, Port, Pull, Result, Running, Shape, Source, Transform, Windowing,
};
use purlin_plan::{NodeId, Plan};
use purlin_spec::config::FieldDef;
use purlin_spec::model::Spec;
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Diagnostics, Node};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) const SCRIPTED: &str = "ScriptedRows";
pub(crate) const OBSERVED: &str = "Observed";

pub(crate) fn entries() -> Vec<Entry> {
    let def = |name, inputs| TransformDef {
        name,
        doc: "Put in by a test.",
        inputs,
        error_handling: false,
        fields: Vec::<FieldDef>::new,
    };
    vec![
        Entry { def: def(SCRIPTED, Inputs::None), decode: decode_scripted },
        Entry { def: def(OBSERVED, Inputs::One), decode: |_, _| Some(Arc::new(Observed)) },
    ]
}

/// Makes the expectations of a cut-down pipeline take whatever comes.
pub(crate) fn observe(mut spec: Spec) -> Spec {
    for leaf in spec.leaves.iter_mut().filter(|l| l.name.starts_with("CheckExpected")) {
        OBSERVED.clone_into(&mut leaf.type_name.value);
    }
    spec
}

/// Makes the mocks of a cut-down pipeline give their rows when told to.
pub(crate) fn script(mut spec: Spec) -> Spec {
    for leaf in spec.leaves.iter_mut().filter(|l| l.name.starts_with("MockOutput[")) {
        SCRIPTED.clone_into(&mut leaf.type_name.value);
    }
    spec
}

/// The outputs behind each expectation, by the name the author gave it.
pub(crate) fn observed(plan: &Plan) -> BTreeMap<String, Vec<(NodeId, OutPort)>> {
    let mut all = BTreeMap::new();
    for node in plan.graph.nodes.iter().filter(|n| n.type_name == OBSERVED) {
        let name = node.label.split_once('[').map_or("", |(_, n)| n.trim_end_matches(']'));
        let from: Vec<_> = node.inputs.iter().flat_map(|i| i.from.iter().copied()).collect();
        all.insert(name.to_owned(), from);
    }
    all
}

/// The sources that stand for each mock, by the name the author gave it.
pub(crate) fn scripted(plan: &Plan) -> BTreeMap<String, NodeId> {
    let mut all = BTreeMap::new();
    for node in plan.graph.nodes.iter().filter(|n| n.type_name == SCRIPTED) {
        let name = node.label.split_once('[').map_or("", |(_, n)| n.trim_end_matches(']'));
        all.insert(name.to_owned(), node.id);
    }
    all
}

/// The schema that rows written in a test have.
pub(crate) fn schema_of(rows: &[Literal]) -> arrow_schema::SchemaRef {
    infer_rows(rows)
}

/// The rows that a test gives, as literals; scalars become rows with the field `element`, as in `Create`.
pub(crate) fn literals(elements: &Node) -> Vec<Literal> {
    let items = elements.as_list().unwrap_or_default();
    items
        .iter()
        .map(|n| match Literal::from_json(&n.to_json()) {
            row @ Literal::Row(_) => row,
            scalar => Literal::Row(vec![("element".to_owned(), scalar)]),
        })
        .collect()
}

fn decode_scripted(config: &Node, _: &mut Diagnostics) -> Option<Arc<dyn Transform>> {
    let rows = config.get("elements").map(literals).unwrap_or_default();
    Some(Arc::new(ScriptedRows { schema: schema_of(&rows) }))
}

#[derive(Debug)]
struct ScriptedRows {
    schema: arrow_schema::SchemaRef,
}

impl Transform for ScriptedRows {
    fn bind(&self, _: &[InputShape], _: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let shape =
            Shape { schema: self.schema.clone(), windowing: Arc::new(Windowing::global()), bounded: false };
        Some(Arc::new(ScriptedNode {
            outputs: vec![Output { tag: "out".to_owned(), shape, role: OutputRole::Main }],
        }))
    }
}

#[derive(Debug)]
struct ScriptedNode {
    outputs: Vec<Output>,
}

impl PlanNode for ScriptedNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }
    fn explain(&self) -> String {
        "rows that the test gives".to_owned()
    }
    fn build(&self, _: &BuildCx) -> Result<Running> {
        Ok(Running::Source(Box::new(Scripted)))
    }
}

/// Never asked for rows: the test hands them in.
struct Scripted;

impl Source for Scripted {
    fn next(&mut self, _: Budget) -> BoxFuture<'_, Result<Pull>> {
        Box::pin(async { Err(Error::internal("a scripted source was asked for rows")) })
    }
}

#[derive(Debug)]
struct Observed;

impl Transform for Observed {
    fn bind(&self, _: &[InputShape], _: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        Some(Arc::new(Observed))
    }
}

impl PlanNode for Observed {
    fn outputs(&self) -> &[Output] {
        &[]
    }
    fn explain(&self) -> String {
        "what the test looks at".to_owned()
    }
    fn build(&self, _: &BuildCx) -> Result<Running> {
        Ok(Running::Operator(Box::new(Swallow)))
    }
}

struct Swallow;

impl Operator for Swallow {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        cx.fates.passed += batch.len() as u64;
        Ok(More::No)
    }
}

/// Rows of a test as a batch of the schema that all its rows share.
pub(crate) fn batch(schema: &arrow_schema::Schema, rows: &[Literal]) -> Result<arrow_array::RecordBatch> {
    purlin_api::literal::build_rows(&physical(schema), rows)
}

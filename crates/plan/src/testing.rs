//! Transforms that only have shapes, and pipelines written in a few words, for tests.

use crate::{Plan, PlanOptions, plan};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use bytes::Bytes;
use purlin_api::transform::Lifted;
use purlin_api::{
    BindCx, BuildCx, Catalog, Distribution, Division, Entry, Error, FileInfo, InputShape, Output, OutputRole,
    PlanNode, Probe, Result, Running, Shape, Transform, WindowFn, Windowing,
};
use purlin_spec::config::Spanned;
use purlin_spec::model::{Input, Leaf, Ref, Spec, TestElements};
use purlin_spec::node;
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Diagnostic, Diagnostics, Node, Span, Value};
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// A value as a node.
pub(crate) fn node(value: &Json) -> Node {
    let value = match value {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => n.as_i64().map_or_else(|| Value::Float(n.as_f64().unwrap()), Value::Int),
        Json::String(s) => Value::Text(s.clone()),
        Json::Array(l) => Value::List(l.iter().map(node).collect()),
        Json::Object(m) => Value::Map(
            m.iter().map(|(k, v)| (k.clone(), node::Entry { key: Span::default(), node: node(v) })).collect(),
        ),
    };
    Node::new(value, Span::default())
}

pub(crate) fn spanned(text: &str) -> Spanned<String> {
    Spanned { value: text.to_owned(), span: Span::default() }
}

/// Elements of a test, by `Transform.output`.
pub(crate) fn elements(name: &str, elements: &Json) -> TestElements {
    TestElements { name: spanned(name), elements: node(elements) }
}

/// A pipeline in the making. References are `name` or `name.output`.
#[derive(Default)]
pub(crate) struct Pipeline {
    pub(crate) spec: Spec,
}

impl Pipeline {
    pub(crate) fn new() -> Self {
        Pipeline::default()
    }

    /// Adds a leaf with one input (several references are flattened; none makes a root).
    pub(crate) fn add(self, type_name: &str, name: &str, reads: &[&str], config: &Json) -> Self {
        let inputs: &[(&str, &[&str])] = if reads.is_empty() { &[] } else { &[("input", reads)] };
        self.named(type_name, name, inputs, config)
    }

    /// Adds a leaf with named inputs. Its line is its number, from 1.
    pub(crate) fn named(
        mut self,
        type_name: &str,
        name: &str,
        inputs: &[(&str, &[&str])],
        config: &Json,
    ) -> Self {
        let id = self.spec.leaves.len();
        let at = Span::at(0, id as u32 + 1, 1, 4);
        let reference = |text: &&str| {
            let find = |n: &str| self.spec.leaves.iter().find(|l| l.label() == n).map(|l| l.id);
            match (find(text), text.rsplit_once('.')) {
                (Some(leaf), _) => Ref { leaf, output: None, span: at },
                (None, Some((before, tag))) => {
                    Ref { leaf: find(before).unwrap(), output: Some(tag.to_owned()), span: at }
                }
                _ => panic!("no leaf {text}"),
            }
        };
        let inputs = inputs
            .iter()
            .map(|(tag, refs)| Input {
                tag: (*tag).to_owned(),
                span: at,
                from: refs.iter().map(reference).collect(),
            })
            .collect();
        let mut scope: Vec<String> = name.split('/').map(str::to_owned).collect();
        let name = scope.pop().unwrap();
        let error_output = config["error_handling"]["output"].as_str().map(spanned);
        self.spec.leaves.push(Leaf {
            id,
            name,
            scope,
            type_name: spanned(type_name),
            span: at,
            config: node(config),
            inputs,
            windowing: None,
            output_schema: None,
            error_output,
            main_output: None,
        });
        self
    }

    /// Changes the last leaf.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Leaf)) -> Self {
        change(self.spec.leaves.last_mut().unwrap());
        self
    }

    pub(crate) fn windowed(self, windowing: &Json) -> Self {
        self.with(|l| l.windowing = Some(node(windowing)))
    }

    /// Plans it; the plan and all codes and messages of diagnostics.
    pub(crate) fn try_plan(&self, options: &PlanOptions) -> (Option<Plan>, Vec<String>) {
        let mut d = Diagnostics::default();
        let plan = plan(&self.spec, &catalog(), &NoFiles, options, &mut d);
        (plan, messages(&d))
    }

    pub(crate) fn plan(&self, lanes: usize) -> Plan {
        let options = PlanOptions { lanes, ..PlanOptions::default() };
        let (plan, messages) = self.try_plan(&options);
        plan.unwrap_or_else(|| panic!("{messages:?}"))
    }

    pub(crate) fn messages(&self) -> Vec<String> {
        self.try_plan(&PlanOptions::default()).1
    }
}

pub(crate) fn messages(d: &Diagnostics) -> Vec<String> {
    d.iter().map(|d| format!("{}: {}", d.code, d.message)).collect()
}

/// No files at all.
pub(crate) struct NoFiles;

impl Probe for NoFiles {
    fn glob(&self, _: &str) -> Result<Vec<FileInfo>> {
        Ok(Vec::new())
    }
    fn head(&self, _: &str, _: usize) -> Result<Bytes> {
        Ok(Bytes::new())
    }
    fn text(&self, _: &str) -> Result<String> {
        Ok(String::new())
    }
    fn can_create(&self, _: &str) -> Result<()> {
        Ok(())
    }
}

macro_rules! entries {
    ($($name:literal $inputs:ident),* $(,)?) => {
        vec![$( Entry {
            def: TransformDef {
                name: $name, doc: "", inputs: Inputs::$inputs, error_handling: true, fields: Vec::new,
            },
            decode: |config, d| decode($name, config, d),
        } ),*]
    };
}

/// The transforms of tests.
pub(crate) fn catalog() -> Catalog {
    Catalog::new([entries![
        "Create" None, "Read" None, "Map" One, "Combine" One, "Flatten" Named, "WindowInto" One,
        "ValidateWithSchema" One, "Partition" One, "WriteToJson" One, "AssertEqual" One, "Join" Named, "Sort" One,
    ]])
}

fn decode(kind: &'static str, config: &Node, d: &mut Diagnostics) -> Option<Arc<dyn Transform>> {
    if config.get("bad_config").is_some() {
        d.push(Diagnostic::error("test/config", config.span, format!("bad config of {kind}")));
        return None;
    }
    Some(Arc::new(Fake { kind, config: config.to_json() }))
}

#[derive(Debug)]
struct Fake {
    kind: &'static str,
    config: Json,
}

impl Transform for Fake {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        if let Some(message) = self.config["fail"].as_str() {
            cx.diagnostics.push(Diagnostic::error("test/bind", cx.span, format!("{}: {message}", cx.label)));
            return None;
        }
        let first = inputs.first().map(|i| i.shape.clone()).unwrap_or_else(|| self.root());
        let mut node = FakeNode {
            explain: self.config["does"].as_str().unwrap_or("").to_owned(),
            ..FakeNode::default()
        };
        match self.kind {
            "Create" | "Read" => {
                node.outputs.push(main("out", &first));
                node.prunable = true;
                node.pieces = self.config["pieces"].as_u64().unwrap_or(0) as usize;
            }
            "WriteToJson" => {}
            "AssertEqual" | "Sort" => {
                node.outputs.push(main("out", &first));
                node.distribution.push(Distribution::Single);
            }
            "Partition" => {
                let tags = self.config["outputs"].as_array().into_iter().flatten().filter_map(Json::as_str);
                node.outputs.extend(tags.map(|t| main(t, &first)));
            }
            "Combine" => self.combine(&first, &mut node),
            "Join" => {
                let fields: Vec<Field> =
                    inputs.iter().flat_map(|i| i.shape.schema.fields()).map(|f| f.as_ref().clone()).collect();
                node.outputs.push(main("out", &first.with_schema(Arc::new(Schema::new(fields)))));
                node.distribution = inputs.iter().map(|_| Distribution::Keyed(vec![0])).collect();
            }
            "Flatten" => node.outputs.push(main("out", &union(inputs, cx)?)),
            "WindowInto" => {
                let seconds = self.config["windowing"]["size"].as_i64().unwrap_or(0);
                let window_fn = match seconds {
                    0 => WindowFn::Global,
                    s => WindowFn::Fixed { size: s * 1_000_000, offset: 0 },
                };
                let windowing = Arc::new(Windowing::of(window_fn));
                node.outputs.push(main("out", &Shape { windowing, ..first.clone() }));
            }
            _ => match self.config.get("fields") {
                Some(fields) => node.outputs.push(main("out", &first.with_schema(schema(fields)))),
                None => node.outputs.push(main("out", &first)),
            },
        }
        if let (Some(tag), Some(input)) = (self.config["error_handling"]["output"].as_str(), inputs.first()) {
            node.outputs.push(errors(tag, &input.shape));
        }
        Some(Arc::new(node))
    }
}

impl Fake {
    fn root(&self) -> Shape {
        Shape {
            schema: schema(&self.config["fields"]),
            windowing: Arc::new(Windowing::global()),
            bounded: self.config["unbounded"] != json!(true),
        }
    }

    fn combine(&self, input: &Shape, node: &mut FakeNode) {
        let column = |name: &Json| input.schema.index_of(name.as_str().unwrap()).unwrap();
        let keys: Vec<usize> = self.config["group_by"].as_array().into_iter().flatten().map(column).collect();
        let mut fields: Vec<Field> = keys.iter().map(|k| input.schema.field(*k).clone()).collect();
        fields.push(Field::new("n", DataType::Int64, true));
        let shape = input.with_schema(Arc::new(Schema::new(fields)));
        node.outputs.push(main("out", &shape));
        let mut needed = vec![false; input.schema.fields().len()];
        let values = self.config["values"].as_array().into_iter().flatten().map(column);
        values.for_each(|i| needed[i] = true);
        node.needs = Some(vec![needed]);
        if self.config["lift"] == json!(true) {
            let complete_keys = (0..keys.len()).collect();
            let step = |explain: &str| FakeNode {
                outputs: vec![main("out", &shape)],
                explain: explain.to_owned(),
                ..FakeNode::default()
            };
            let partial = step("first step");
            let complete =
                FakeNode { distribution: vec![Distribution::Keyed(complete_keys)], ..step("second step") };
            node.lift = Some((Arc::new(partial), Arc::new(complete)));
        }
        node.distribution.push(Distribution::Keyed(keys));
    }
}

fn main(tag: &str, shape: &Shape) -> Output {
    Output { tag: tag.to_owned(), shape: shape.clone(), role: OutputRole::Main }
}

fn errors(tag: &str, input: &Shape) -> Output {
    let element = Field::new("element", DataType::Struct(input.schema.fields().clone()), false);
    let text = |n: &str| Field::new(n, DataType::Utf8, false);
    let shape = input.with_schema(Arc::new(Schema::new(vec![element, text("msg"), text("stack")])));
    Output { tag: tag.to_owned(), shape, role: OutputRole::Error }
}

/// From `{"a": "int", "b": "str?"}`.
fn schema(fields: &Json) -> SchemaRef {
    let fields: Fields = fields
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, t)| {
            let t = t.as_str().unwrap();
            let data_type = match t.trim_end_matches('?') {
                "int" => DataType::Int64,
                "float" => DataType::Float64,
                _ => DataType::Utf8,
            };
            Field::new(name, data_type, t.ends_with('?'))
        })
        .collect();
    Arc::new(Schema::new(fields))
}

fn union(inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Shape> {
    let first = inputs.first()?.shape.clone();
    let mut fields: Vec<Field> = Vec::new();
    for f in inputs.iter().flat_map(|i| i.shape.schema.fields()) {
        match fields.iter().find(|g| g.name() == f.name()) {
            None => fields.push(f.as_ref().clone()),
            Some(g) if g.data_type() == f.data_type() => {}
            Some(_) => {
                let message = format!("{}: `{}` has two types", cx.label, f.name());
                cx.diagnostics.push(Diagnostic::error("test/union", cx.span, message));
                return None;
            }
        }
    }
    Some(first.with_schema(Arc::new(Schema::new(fields))))
}

/// A node that has only shapes.
#[derive(Clone, Debug, Default)]
pub(crate) struct FakeNode {
    pub(crate) outputs: Vec<Output>,
    pub(crate) distribution: Vec<Distribution>,
    explain: String,
    needs: Option<Vec<Vec<bool>>>,
    prunable: bool,
    lift: Option<(Arc<FakeNode>, Arc<FakeNode>)>,
    /// Into how many pieces it can be divided, and whether it is.
    pub(crate) pieces: usize,
    pub(crate) divided: bool,
}

/// A node with outputs of one column, for graphs made by hand.
pub(crate) fn fake_node(outputs: usize, distribution: Vec<Distribution>) -> FakeNode {
    let shape = fake_shape();
    let outputs = (0..outputs).map(|i| main(&format!("o{i}"), &shape)).collect();
    FakeNode { outputs, distribution, ..FakeNode::default() }
}

pub(crate) fn fake_shape() -> Shape {
    Shape { schema: schema(&json!({"a": "int"})), windowing: Arc::new(Windowing::global()), bounded: true }
}

impl PlanNode for FakeNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        self.explain.clone()
    }

    fn distribution(&self, port: usize) -> Distribution {
        self.distribution.get(port).cloned().unwrap_or(Distribution::Any)
    }

    fn columns_needed(&self, outputs: &[Vec<bool>], inputs: &[Shape]) -> Vec<Vec<bool>> {
        let same = |s: &Shape| outputs.len() == 1 && outputs[0].len() == s.schema.fields().len();
        self.needs.clone().unwrap_or_else(|| {
            let all = |s: &Shape| vec![true; s.schema.fields().len()];
            inputs.iter().map(|s| if same(s) { outputs[0].clone() } else { all(s) }).collect()
        })
    }

    fn prune(&self, needed: &[bool]) -> Option<Arc<dyn PlanNode>> {
        let read: Vec<&str> = self.outputs[0]
            .shape
            .schema
            .fields()
            .iter()
            .zip(needed)
            .filter(|(_, n)| **n)
            .map(|(f, _)| f.name().as_str())
            .collect();
        let explain = format!("reads {}", read.join(", "));
        self.prunable.then(|| Arc::new(FakeNode { explain, ..self.clone() }) as _)
    }

    fn divide(&self, _: Division) -> Option<Arc<dyn PlanNode>> {
        let explain = format!("{} in {} pieces", self.explain, self.pieces);
        (self.pieces > 1).then(|| Arc::new(FakeNode { divided: true, explain, ..self.clone() }) as _)
    }

    fn lanes_max(&self) -> usize {
        if self.divided { self.pieces } else { 1 }
    }

    fn lift(&self) -> Option<Lifted> {
        let (partial, complete) = self.lift.clone()?;
        Some(Lifted { partial, complete })
    }

    fn build(&self, _: &BuildCx) -> Result<Running> {
        Err(Error::internal("this node only has shapes"))
    }
}

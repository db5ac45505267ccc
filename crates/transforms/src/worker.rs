//! Expressions that a worker process computes.
//!
//! A transform with such expressions is two nodes. The first is asynchronous: it sends rows to the worker and
//! appends one hidden column for each expression, with the encoded value or exception of each row. The second
//! is the transform as always, which reads those columns instead of evaluating. So failed rows, thresholds,
//! windows and output types stay in one place.

use crate::common::read_columns;
use crate::expressions::Compiled;
use arrow_array::{ArrayRef, BinaryArray, RecordBatch, RecordBatchOptions, cast::AsArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use purlin_api::shape::{HIDDEN_KEY, is_hidden, physical};
use purlin_api::source::BoxFuture;
use purlin_api::transform::Lifted;
use purlin_api::{
    Answer, AsyncOperator, Batch, BindCx, BuildCx, Distribution, Error, ErrorKind, Evaluator, Interpreter,
    Output, OutputRole, PlanNode, Port, Result, Running, Shape, StateShape,
};
use purlin_expr::outside::{Outside, Setup};
use purlin_expr::{Code, Language, Problem};
use purlin_spec::{Diagnostic, Span};
use std::sync::Arc;

/// Bundles in flight: one being computed, one waiting, one whose results are applied.
const IN_FLIGHT_MAX: usize = 3;

/// An expression in the hands of a worker.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) outside: Arc<Outside>,
    interpreter: Arc<dyn Interpreter>,
}

impl Job {
    /// The results for a batch.
    pub(crate) fn results<'b>(&self, rows: &'b RecordBatch) -> Result<&'b BinaryArray> {
        let key = self.outside.key();
        let schema = rows.schema_ref();
        let at = schema.fields().iter().position(|f| f.metadata().get(HIDDEN_KEY) == Some(&key));
        let column = at.and_then(|at| rows.columns().get(at)).and_then(|c| c.as_binary_opt::<i32>());
        column.ok_or_else(|| Error::internal("the worker's results are missing"))
    }
}

/// Gives code to a worker that the compiler refused with `problems`, and says so.
///
/// # Errors
/// What stands against it, for diagnostics.
pub(crate) fn instead(
    language: Language,
    code: Code<'_>,
    input: &Schema,
    output_type: Option<&serde_json::Value>,
    (span, problems): (Span, Vec<Problem>),
    cx: &mut BindCx<'_>,
) -> std::result::Result<Job, Vec<Problem>> {
    if language != Language::Python {
        return Err(problems);
    }
    let refused = problems.clone();
    let outside = Outside::new(code, input, output_type, problems)?;
    let interpreter = cx.probe.python().map_err(|e| {
        let mut refused = refused;
        if let Some(first) = refused.first_mut() {
            first.help.push(format!("a python3 worker could run it, but {}", e.message()));
            first.help.push("install Python 3.9 or newer, or name one in PURLIN_PYTHON".to_owned());
        }
        refused
    })?;
    let text = format!("runs in a python3 worker: {} is not compiled", outside.construct());
    cx.diagnostics.push(
        Diagnostic::warning("python/worker", span, text)
            .label("slower, and needs python3 wherever the pipeline runs"),
    );
    Ok(Job { outside: Arc::new(outside), interpreter })
}

/// The rows of a batch with the hidden columns, for evaluating, and the batch without them, for all else.
pub(crate) fn visible(batch: Batch) -> Result<(RecordBatch, Batch)> {
    let schema = batch.rows.schema_ref();
    let width = schema.fields().iter().take_while(|f| !is_hidden(f)).count();
    let rows = batch.rows.clone();
    if width == schema.fields().len() {
        return Ok((rows, batch));
    }
    let plain = rows.project(&(0..width).collect::<Vec<_>>())?;
    Ok((rows, batch.with_rows(plain)))
}

/// Puts a worker before a node, if one of its expressions needs it.
pub(crate) fn behind(node: Arc<dyn PlanNode>, values: &[&Compiled], input: &Shape) -> Arc<dyn PlanNode> {
    let mut jobs: Vec<Job> = Vec::new();
    for job in values.iter().filter_map(|v| v.job()) {
        if !jobs.iter().any(|j| j.outside.key() == job.outside.key()) {
            jobs.push(job.clone());
        }
    }
    let Some(first) = jobs.first() else { return node };
    let interpreter = first.interpreter.clone();
    let outsides: Vec<&Outside> = jobs.iter().map(|j| j.outside.as_ref()).collect();
    let setup = Setup::new(&outsides, &input.schema);
    let hidden = |(n, outside): (usize, &&Outside)| {
        let metadata = [(HIDDEN_KEY.to_owned(), outside.key())].into();
        Arc::new(Field::new(format!("python3 {n}"), DataType::Binary, false).with_metadata(metadata))
    };
    let fields = input.schema.fields().iter().cloned().chain(outsides.iter().enumerate().map(hidden));
    let shape = input.with_schema(Arc::new(Schema::new(fields.collect::<Vec<_>>())));
    let ahead = WorkerNode {
        outputs: vec![Output { tag: "out".to_owned(), shape, role: OutputRole::Main }],
        width: input.schema.fields().len(),
        constructs: outsides.iter().map(|o| o.construct().to_owned()).collect(),
        setup,
        interpreter,
    };
    Arc::new(Behind { node, input: input.clone(), ahead: Some(Arc::new(ahead)), hidden: jobs.len() })
}

/// A transform that reads hidden columns.
#[derive(Debug)]
struct Behind {
    node: Arc<dyn PlanNode>,
    /// Without the hidden columns.
    input: Shape,
    /// `None` for the steps that it was split into: the worker is before them already.
    ahead: Option<Arc<dyn PlanNode>>,
    hidden: usize,
}

impl PlanNode for Behind {
    fn outputs(&self) -> &[Output] {
        self.node.outputs()
    }

    fn explain(&self) -> String {
        self.node.explain()
    }

    fn distribution(&self, port: Port) -> Distribution {
        self.node.distribution(port)
    }

    fn columns_needed(&self, outputs: &[Vec<bool>], _: &[Shape]) -> Vec<Vec<bool>> {
        let mut inputs = self.node.columns_needed(outputs, std::slice::from_ref(&self.input));
        for columns in &mut inputs {
            columns.resize(self.input.schema.fields().len(), true);
            columns.extend(std::iter::repeat_n(true, self.hidden));
        }
        inputs
    }

    fn lift(&self) -> Option<Lifted> {
        let Lifted { partial, complete } = self.node.lift()?;
        let partial = Behind { node: partial, input: self.input.clone(), ahead: None, hidden: self.hidden };
        Some(Lifted { partial: Arc::new(partial), complete })
    }

    fn claims(&self) -> Vec<String> {
        self.node.claims()
    }

    fn state(&self) -> Option<StateShape> {
        self.node.state()
    }

    fn ahead(&self) -> Option<Arc<dyn PlanNode>> {
        self.ahead.clone()
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        self.node.build(cx)
    }
}

/// Asks a worker for the hidden columns.
#[derive(Debug)]
struct WorkerNode {
    outputs: Vec<Output>,
    /// How many columns come in.
    width: usize,
    constructs: Vec<String>,
    setup: Setup,
    interpreter: Arc<dyn Interpreter>,
}

impl PlanNode for WorkerNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        format!("{}: {}", self.interpreter.name(), self.constructs.join(", "))
    }

    fn columns_needed(&self, outputs: &[Vec<bool>], _: &[Shape]) -> Vec<Vec<bool>> {
        let all = self.outputs.first().map_or(0, |o| o.shape.schema.fields().len());
        let mut columns = read_columns(outputs, 0, all);
        columns.truncate(self.width);
        self.setup.columns().for_each(|c| crate::common::need(&mut columns, c));
        vec![columns]
    }

    fn is_async(&self) -> bool {
        true
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        let output = self.outputs.first().ok_or_else(|| Error::internal("no output"))?;
        Ok(Running::Async(Box::new(WorkerOperator {
            schema: physical(&output.shape.schema),
            setup: self.setup.clone(),
            evaluator: self.interpreter.start(&cx.label, cx.lane, self.setup.text())?,
        })))
    }
}

struct WorkerOperator {
    schema: SchemaRef,
    setup: Setup,
    evaluator: Box<dyn Evaluator>,
}

impl AsyncOperator for WorkerOperator {
    fn submit(&mut self, _: Port, batch: Batch) -> BoxFuture<'static, Result<Answer>> {
        let rows = match self.setup.encode(&batch.rows) {
            Ok(rows) => rows,
            Err(text) => return Box::pin(async { Err(Error::new(ErrorKind::Exhausted, text)) }),
        };
        let results = self.evaluator.evaluate(rows);
        let schema = self.schema.clone();
        Box::pin(async move {
            let mut columns = batch.rows.columns().to_vec();
            columns.extend(results.await?.into_iter().map(|c| Arc::new(c) as ArrayRef));
            let options = RecordBatchOptions::new().with_row_count(Some(batch.len()));
            let rows = RecordBatch::try_new_with_options(schema, columns, &options)?;
            let mut answer = Answer::default();
            answer.fates.passed = batch.len() as u64;
            answer.outputs.push((0, batch.with_rows(rows)));
            Ok(answer)
        })
    }

    fn in_flight_max(&self) -> usize {
        IN_FLIGHT_MAX
    }
}

//! For the tests of transforms: batches from JSON, and an operator driven without a runtime.

use crate::batch::{Batch, Times};
use crate::error::{Error, Result};
use crate::literal::{Literal, build_rows, infer_rows};
use crate::operator::{More, OpCx, Operator, OutPort, Port, TimerId};
use crate::shape::{Shape, physical};
use crate::state::{Extent, Saved, StateRows};
use crate::time::EventTime;
use crate::transform::{BindCx, BuildCx, FileInfo, InputShape, PlanNode, Probe, Running, Transform};
use crate::window::Windowing;
use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use bytes::Bytes;
use purlin_spec::{Diagnostics, Span};
use std::collections::BTreeMap;
use std::sync::Arc;

fn literals(json: &str) -> Result<Vec<Literal>> {
    match serde_json::from_str(json) {
        Ok(serde_json::Value::Array(items)) => Ok(items.iter().map(Literal::from_json).collect()),
        Ok(_) => Err(Error::data("not a JSON list")),
        Err(e) => Err(Error::data(format!("not JSON: {e}"))),
    }
}

/// Rows from a JSON list of objects, types inferred.
pub fn rows(json: &str) -> Result<RecordBatch> {
    let rows = literals(json)?;
    build_rows(&infer_rows(&rows), &rows)
}

/// Rows of a known schema from a JSON list of objects.
pub fn rows_of(schema: &Schema, json: &str) -> Result<RecordBatch> {
    build_rows(schema, &literals(json)?)
}

/// A batch from a JSON list of objects; the integer field `time` (if there is one) gives seconds of event time.
pub fn batch(json: &str) -> Result<Batch> {
    let rows = literals(json)?;
    let times: Option<Vec<i64>> = rows
        .iter()
        .map(|r| match r.get("time") {
            Some(Literal::Int(seconds)) => Some(EventTime::from_seconds(*seconds).0),
            Some(Literal::Float(seconds)) => Some((seconds * 1e6).round() as i64),
            _ => None,
        })
        .collect();
    let rows = build_rows(&infer_rows(&rows), &rows)?;
    Ok(match times {
        Some(times) if !times.is_empty() => Batch::at(rows, Times::Each(times.into())),
        _ => Batch::untimed(rows),
    })
}

/// A bounded collection in the global window.
pub fn shape(schema: SchemaRef) -> Shape {
    Shape { schema, windowing: Arc::new(Windowing::global()), bounded: true }
}

/// The shape that the rows of a JSON list have.
pub fn shape_of(json: &str) -> Result<Shape> {
    Ok(shape(infer_rows(&literals(json)?)))
}

/// A plain input called `input`.
pub fn input(shape: Shape) -> InputShape {
    InputShape {
        tag: "input".to_owned(),
        shape,
        is_error: false,
        producer: String::new(),
        span: Span::default(),
    }
}

/// No files at all.
#[derive(Debug)]
pub struct NoFiles;

impl Probe for NoFiles {
    fn glob(&self, _: &str) -> Result<Vec<FileInfo>> {
        Ok(Vec::new())
    }
    fn head(&self, path: &str, _: usize) -> Result<Bytes> {
        Err(Error::io("read", path, std::io::ErrorKind::NotFound.into()))
    }
    fn tail(&self, path: &str, _: usize) -> Result<Bytes> {
        Err(Error::io("read", path, std::io::ErrorKind::NotFound.into()))
    }
    fn text(&self, path: &str) -> Result<String> {
        Err(Error::io("read", path, std::io::ErrorKind::NotFound.into()))
    }
    fn can_create(&self, _: &str) -> Result<()> {
        Ok(())
    }
}

/// Binds a transform labelled `T`; the error is the text of all diagnostics, `code: message (label) help`.
pub fn bind(
    transform: &dyn Transform,
    inputs: &[InputShape],
    beam_compat: bool,
) -> std::result::Result<Arc<dyn PlanNode>, String> {
    let mut diagnostics = Diagnostics::default();
    let mut cx = BindCx {
        label: "T",
        span: Span::default(),
        type_span: Span::default(),
        beam_compat,
        probe: &NoFiles,
        diagnostics: &mut diagnostics,
    };
    let node = transform.bind(inputs, &mut cx);
    match node {
        Some(node) if !diagnostics.has_errors() => Ok(node),
        _ => Err(describe(&diagnostics)),
    }
}

/// All diagnostics as text, one a line.
pub fn describe(diagnostics: &Diagnostics) -> String {
    let one = |d: &purlin_spec::Diagnostic| {
        format!("{}: {} ({}) {}", d.code, d.message, d.label, d.help.join("; "))
    };
    diagnostics.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// The logs of an operator's tables, by name, as a checkpoint keeps them.
pub type TableLogs = BTreeMap<&'static str, Vec<StateRows>>;

/// Runs an operator step by step and keeps what it emits. After each call the ledger must balance.
pub struct Driver {
    operator: Box<dyn Operator>,
    /// What the operator is given.
    pub cx: OpCx,
    /// All that was emitted.
    pub emitted: Vec<(OutPort, Batch)>,
    rows_in: u64,
}

impl Driver {
    /// An instance of a bound transform, alone in its lane.
    pub fn new(node: &dyn PlanNode) -> Result<Self> {
        let cx = BuildCx::one_lane("T", 1024);
        match node.build(&cx)? {
            Running::Operator(operator) => Ok(Driver::of(operator)),
            Running::Source(_) | Running::Sink(_) | Running::Async(_) => {
                Err(Error::internal("not an operator"))
            }
        }
    }

    /// An operator that is built already.
    pub fn of(operator: Box<dyn Operator>) -> Self {
        Driver { operator, cx: OpCx::new(1024), emitted: Vec::new(), rows_in: 0 }
    }

    /// An instance in one of some lanes that goes on from what [`Driver::save`] gave, maybe by several lanes.
    pub fn restored(
        node: &dyn PlanNode,
        (lane, lanes): (usize, usize),
        logs: &[&TableLogs],
        watermark: EventTime,
    ) -> Result<Self> {
        let cx = BuildCx { lane, lanes, ..BuildCx::one_lane("T", 1024) };
        let Running::Operator(operator) = node.build(&cx)? else {
            return Err(Error::internal("not an operator"));
        };
        let mut driver = Driver::of(operator);
        driver.cx.watermark = watermark;
        driver.cx.epoch = 1;
        for table in driver.operator.tables() {
            let name = table.name();
            let logs = logs.iter().filter_map(|l| l.get(name)).flatten();
            for rows in logs {
                if rows.rows.schema() != table.schema() {
                    return Err(Error::internal(format!("table {}: {:?}", table.name(), rows.rows.schema())));
                }
                table.apply(&rows.of_lane(lane, lanes)?)?;
            }
        }
        driver.operator.restored(&mut driver.cx)?;
        driver.rows_in = driver.cx.fates.in_state;
        Ok(driver)
    }

    /// Saves its tables into `logs`: all of them, or what has changed since then.
    pub fn save(&mut self, extent: Extent, logs: &mut TableLogs) -> Result<()> {
        for table in self.operator.tables() {
            let Saved { extent, log } = table.save(extent)?;
            let kept = logs.entry(table.name()).or_default();
            if extent == Extent::Whole {
                kept.clear();
            }
            kept.extend(log);
        }
        Ok(())
    }

    fn settle(&mut self, mut more: More) -> Result<()> {
        loop {
            let total = self.cx.fates.total();
            if total != self.rows_in {
                return Err(Error::internal(format!(
                    "{} rows in, accounted for {:?}",
                    self.rows_in, self.cx.fates
                )));
            }
            self.emitted.append(&mut self.cx.outputs);
            match more {
                More::No => return Ok(()),
                More::Yes => more = self.operator.resume(&mut self.cx)?,
            }
        }
    }

    /// Gives it a batch, in an epoch of its own.
    pub fn push(&mut self, port: Port, batch: Batch) -> Result<()> {
        self.rows_in += batch.len() as u64;
        self.cx.epoch += 1;
        let more = self.operator.on_batch(port, batch, &mut self.cx)?;
        self.settle(more)
    }

    /// Gives it the rows of a JSON list (see [`batch`]).
    pub fn push_json(&mut self, json: &str) -> Result<()> {
        self.push(0, batch(json)?)
    }

    /// Moves its watermark.
    pub fn watermark(&mut self, to: EventTime) -> Result<()> {
        self.cx.watermark = self.cx.watermark.max(to);
        let more = self.operator.on_watermark(&mut self.cx)?;
        self.settle(more)
    }

    /// Fires a timer.
    pub fn timer(&mut self, id: TimerId) -> Result<()> {
        let more = self.operator.on_timer(id, &mut self.cx)?;
        self.settle(more)
    }

    /// Ends all inputs.
    pub fn end(&mut self) -> Result<()> {
        self.watermark(EventTime::MAX)?;
        let more = self.operator.on_end(&mut self.cx)?;
        self.settle(more)?;
        if !self.cx.kept.is_empty() || !self.cx.holds.is_empty() {
            return Err(Error::internal(format!("ended with {:?} and {:?}", self.cx.kept, self.cx.holds)));
        }
        Ok(())
    }

    /// The rows emitted on a port so far, as JSON texts in order.
    pub fn rows(&self, port: OutPort) -> Vec<String> {
        let mut all = Vec::new();
        for (_, batch) in self.emitted.iter().filter(|(p, _)| *p == port) {
            for row in 0..batch.len() {
                all.push(crate::json::row_to_json(&batch.rows, row).to_string());
            }
        }
        all
    }

    /// Checks that every batch emitted carries the physical schema of its output.
    pub fn check_schemas(&self, node: &dyn PlanNode) -> Result<()> {
        for (port, batch) in &self.emitted {
            let Some(output) = node.outputs().get(*port) else {
                return Err(Error::internal(format!("emitted on port {port}, which does not exist")));
            };
            let wanted = physical(&output.shape.schema);
            if wanted != batch.schema() {
                return Err(Error::internal(format!(
                    "port {port} emitted {:?}, not {wanted:?}",
                    batch.schema()
                )));
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver")
            .field("cx", &self.cx)
            .field("emitted", &self.emitted.len())
            .finish_non_exhaustive()
    }
}

/// Binds, runs over batches given as JSON lists, ends; returns the driver with all that was emitted.
pub fn run(
    transform: &dyn Transform,
    batches: &[&str],
    beam_compat: bool,
) -> std::result::Result<(Arc<dyn PlanNode>, Driver), String> {
    let shape = match batches.first() {
        Some(json) => shape_of(json).map_err(|e| e.to_string())?,
        None => shape(Arc::new(Schema::empty())),
    };
    let node = bind(transform, &[input(shape)], beam_compat)?;
    let mut driver = Driver::new(node.as_ref()).map_err(|e| e.to_string())?;
    let mut all = || -> Result<()> {
        for json in batches {
            driver.push_json(json)?;
        }
        driver.end()?;
        driver.check_schemas(node.as_ref())
    };
    match all() {
        Ok(()) => Ok((node, driver)),
        Err(e) => Err(e.to_string()),
    }
}

//! Pipelines whose ends are in a simulated world.

use super::world::{Bug, Message, World};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use purlin::pipeline::{Pipeline, PipelineOptions};
use purlin_api::source::BoxFuture;
use purlin_api::{
    Batch, Budget, BuildCx, Error, EventTime, Extent, Output, PlanNode, Pull, Result, Resume, Running, Saved,
    Sink, Source, SourceStatus, StateRows, StateShape, StateTable, Times,
};
use purlin_plan::Plan;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// Names, and what follows the source `Orders`; what comes out last goes to the sink `Out`.
pub(super) const PIPELINES: &[(&str, &str)] = &[
    ("rows", "    - {type: Filter, name: Last, input: Orders, config: {language: python, keep: cents > 100}}\n"),
    (
        "sums",
        "
    - {type: Combine, name: Last, input: Orders, windowing: {type: fixed, size: 20s},
       config: {group_by: customer, combine: {n: {value: message, fn: count}, cents: {value: cents, fn: sum}}}}
",
    ),
    (
        "deduplicated",
        "
    - {type: Deduplicate, name: Once, input: Orders, config: {keys: [order_id], horizon: 1h}}
    - {type: Combine, name: Last, input: Once, windowing: {type: fixed, size: 30s},
       config: {group_by: customer, combine: {n: {value: order_id, fn: count}, cents: {value: cents, fn: sum}}}}
",
    ),
    (
        "sliding",
        "
    - {type: Combine, name: Last, input: Orders, windowing: {type: sliding, size: 30s, period: 10s},
       config: {group_by: customer, combine: {least: {value: cents, fn: min}, most: {value: cents, fn: max}}}}
",
    ),
    (
        "sessions",
        "
    - {type: Combine, name: Last, input: Orders, windowing: {type: sessions, gap: 15s},
       config: {group_by: customer, combine: {n: {value: message, fn: count}, cents: {value: cents, fn: sum}}}}
",
    ),
    (
        "two steps",
        "
    - {type: Combine, name: First, input: Orders, windowing: {type: fixed, size: 10s},
       config: {group_by: customer, combine: {cents: {value: cents, fn: sum}}}}
    - {type: Combine, name: Last, input: First, windowing: {type: fixed, size: 1m},
       config: {group_by: [], combine: {most: {value: cents, fn: max}, customers: {value: customer, fn: count}}}}
",
    ),
    (
        "silence",
        "
    - {type: Combine, name: Counts, input: Orders, windowing: {type: fixed, size: 5s},
       config: {group_by: [], combine: {n: {value: message, fn: count}}}}
    - {type: FillEmptyWindows, name: Last, input: Counts, config: {values: {n: 0}}}
",
    ),
    (
        "joined",
        "
    - {type: WindowInto, name: Windows, input: Orders, windowing: {type: fixed, size: 20s}}
    - {type: Combine, name: Sums, input: Windows, config: {group_by: customer, combine: {total: {value: cents, fn: sum}}}}
    - {type: Join, name: Last, input: {o: Windows, s: Sums},
       config: {type: inner, equalities: [{o: customer, s: customer}], fields: {o: [order_id, cents], s: [total]}}}
",
    ),
];

/// A pipeline, planned for some numbers of lanes, that lives in the world it is told.
pub(super) struct SimPlan {
    pub(super) name: &'static str,
    world: Arc<Mutex<Option<World>>>,
    by_lanes: Vec<Plan>,
}

impl SimPlan {
    pub(super) fn new((name, text): &(&'static str, &str)) -> Self {
        let world = Arc::new(Mutex::new(None));
        let text = format!(
            "pipeline:\n  transforms:\n    - {{type: Create, name: Orders, config: {{elements: \
             [{{message: 1, order_id: 1, customer: a, cents: 1}}]}}}}\n{text}    - {{type: LogForTesting, name: Out, \
             input: Last}}\n"
        );
        let by_lanes = (1..=3).map(|lanes| plan(&text, lanes, &world)).collect();
        SimPlan { name, world, by_lanes }
    }

    pub(super) fn live_in(&self, world: &World) {
        *self.world.lock().expect("no thread has died") = Some(world.clone());
    }

    pub(super) fn plan(&self, lanes: usize) -> Plan {
        self.by_lanes[lanes - 1].clone()
    }
}

fn plan(text: &str, lanes: usize, world: &Arc<Mutex<Option<World>>>) -> Plan {
    let variables = serde_json::Map::new();
    let options = PipelineOptions { variables, beam_compat: false, lanes, piece_bytes: None, rewrite: false };
    let mut p = Pipeline::from_text("simulated.yaml", text, &options);
    let plan = p.plan(&options);
    let mut plan = plan.unwrap_or_else(|| panic!("{}", p.diagnostics.render(&p.sources)));
    for node in &mut plan.graph.nodes {
        let outputs = node.node.outputs().to_vec();
        match node.label.as_str() {
            "Orders" => node.node = Arc::new(SimNode { outputs, world: world.clone(), sink: false }),
            "Out" => node.node = Arc::new(SimNode { outputs: Vec::new(), world: world.clone(), sink: true }),
            _ => {}
        }
    }
    plan
}

#[derive(Debug)]
struct SimNode {
    outputs: Vec<Output>,
    world: Arc<Mutex<Option<World>>>,
    sink: bool,
}

impl PlanNode for SimNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }
    fn explain(&self) -> String {
        String::new()
    }
    fn state(&self) -> Option<StateShape> {
        Some(StateShape::new("simulated"))
    }
    fn build(&self, cx: &BuildCx) -> Result<Running> {
        let world = self.world.lock().expect("no thread has died").clone().expect("a world");
        if self.sink {
            let name = format!("{} of {}", cx.lane, cx.lanes);
            return Ok(Running::Sink(Box::new(SimSink { name, world, rows: Vec::new() })));
        }
        Ok(Running::Source(Box::new(SimSource {
            forgets: world.bug() == Bug::ForgetIds,
            world,
            seen: Seen::default(),
            since: Vec::new(),
            epochs: BTreeMap::new(),
            watermark: EventTime::MIN,
        })))
    }
}

/// Ids of messages that were given.
#[derive(Default)]
struct Seen {
    ids: BTreeSet<i64>,
    since: Vec<i64>,
}

impl StateTable for Seen {
    fn name(&self) -> &'static str {
        "seen"
    }
    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]))
    }
    fn save(&mut self, extent: Extent) -> Result<Saved> {
        let since = std::mem::take(&mut self.since);
        let ids = match extent {
            Extent::Whole => self.ids.iter().copied().collect(),
            Extent::Changes => since,
        };
        let column: ArrayRef = Arc::new(Int64Array::from(ids));
        let rows = RecordBatch::try_new(self.schema(), vec![column])?;
        Ok(Saved { extent, log: vec![StateRows::in_slot(0, rows)] })
    }
    fn apply(&mut self, rows: &StateRows) -> Result<()> {
        self.ids.extend(rows.rows.column(0).as_primitive::<Int64Type>().values());
        Ok(())
    }
}

struct SimSource {
    world: World,
    seen: Seen,
    forgets: bool,
    since: Vec<i64>,
    epochs: BTreeMap<u64, Vec<i64>>,
    watermark: EventTime,
}

fn batch(messages: &[Message]) -> Result<Batch> {
    let numbers = |of: fn(&Message) -> i64| -> ArrayRef {
        Arc::new(messages.iter().map(|m| Some(of(m))).collect::<Int64Array>())
    };
    let customers: ArrayRef = Arc::new(messages.iter().map(|m| Some(&m.customer)).collect::<StringArray>());
    let fields = ["message", "order_id", "customer", "cents"];
    let field = |name: &&str| {
        Field::new(*name, if *name == "customer" { DataType::Utf8 } else { DataType::Int64 }, true)
    };
    let schema = Arc::new(Schema::new(fields.iter().map(field).collect::<Vec<_>>()));
    let columns = vec![numbers(|m| m.id), numbers(|m| m.order), customers, numbers(|m| m.cents)];
    let times = messages.iter().map(|m| EventTime::from_seconds(m.time).0).collect();
    Ok(Batch::at(RecordBatch::try_new(schema, columns)?, Times::Each(times)))
}

impl Source for SimSource {
    fn next(&mut self, budget: Budget) -> BoxFuture<'_, Result<Pull>> {
        let got = self.world.receive(budget.rows_max);
        let read = got.len() as u64;
        self.since.extend(got.iter().map(|m| m.id));
        if self.world.bug() == Bug::AcknowledgeEarly {
            self.world.acknowledge(&self.since);
        }
        let mut new = Vec::new();
        for message in got {
            if self.seen.ids.insert(message.id) {
                self.seen.since.push(message.id);
                new.push(message);
            }
        }
        let skipped = read - new.len() as u64;
        if let Some(least) = self.world.least_waiting(&self.seen.ids) {
            self.watermark = self.watermark.max(EventTime::from_seconds(least));
        }
        let status = match read {
            0 if self.world.all_acknowledged() => SourceStatus::Done,
            0 => SourceStatus::Idle(0),
            _ => SourceStatus::Ready,
        };
        let batches = if new.is_empty() { Ok(Vec::new()) } else { batch(&new).map(|b| vec![(0, b)]) };
        let pull = batches.map(|batches| Pull {
            batches,
            watermark: self.watermark,
            status,
            resume: Resume::Seek(Bytes::from_static(b"orders")),
            read,
            dead: 0,
            skipped,
        });
        Box::pin(std::future::ready(pull))
    }
    fn barrier(&mut self, epoch: u64) {
        self.epochs.insert(epoch, std::mem::take(&mut self.since));
    }
    fn tables(&mut self) -> Vec<&mut dyn StateTable> {
        if self.forgets { Vec::new() } else { vec![&mut self.seen] }
    }
    fn committed(&mut self, epoch: u64) -> BoxFuture<'_, Result<()>> {
        let later = self.epochs.split_off(&(epoch + 1));
        for ids in std::mem::replace(&mut self.epochs, later).into_values() {
            self.world.acknowledge(&ids);
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

struct SimSink {
    name: String,
    world: World,
    rows: Vec<String>,
}

impl SimSink {
    fn texts(batch: &Batch) -> impl Iterator<Item = String> + '_ {
        (0..batch.len()).map(|row| {
            let json = purlin_api::json::row_to_json(&batch.rows, row);
            format!("{json} in {:?} at {}", batch.windows.get(row), batch.times.get(row))
        })
    }
}

impl Sink for SimSink {
    fn write(&mut self, batch: Batch) -> BoxFuture<'_, Result<()>> {
        for row in SimSink::texts(&batch) {
            match self.world.bug() {
                Bug::ShowAtOnce => self.world.show_at_once(row),
                _ => self.rows.push(row),
            }
        }
        Box::pin(std::future::ready(Ok(())))
    }
    fn prepare(&mut self, _: u64) -> BoxFuture<'_, Result<Bytes>> {
        let prepared = (self.name.clone(), std::mem::take(&mut self.rows));
        let bytes = serde_json::to_vec(&prepared).map(Bytes::from);
        Box::pin(std::future::ready(bytes.map_err(|e| Error::internal(e.to_string()))))
    }
    fn commit(&mut self, epoch: u64, prepared: Bytes) -> BoxFuture<'_, Result<()>> {
        let read = serde_json::from_slice::<(String, Vec<String>)>(&prepared);
        let read = read.map_err(|e| Error::internal(e.to_string()));
        Box::pin(std::future::ready(read.and_then(|(name, rows)| {
            if rows.is_empty() { Ok(()) } else { self.world.commit(&name, epoch, rows) }
        })))
    }
    fn finish(&mut self) -> BoxFuture<'_, Result<()>> {
        // Jobs without checkpoints show everything now.
        let rows = std::mem::take(&mut self.rows);
        let shown = if rows.is_empty() { Ok(()) } else { self.world.commit(&self.name, 0, rows) };
        Box::pin(std::future::ready(shown))
    }
    fn abort(&mut self) {}
}

//! Pipelines that do not end by themselves: what `purlin why` says of them, and how they run and stop.

use arrow_array::RecordBatch;
use purlin::live::door::{self, Door};
use purlin::live::why::Why;
use purlin::pipeline::{Pipeline, PipelineOptions};
use purlin::report::Summary;
use purlin::run::{self, RunOptions};
use purlin_api::source::BoxFuture;
use purlin_api::{
    Batch, Budget, BuildCx, EventTime, Output, PlanNode, Pull, Result, Resume, Running, Source, SourceStatus,
    Times, literal,
};
use purlin_engine::clock::{Clock, SystemClock};
use purlin_engine::why::{Busy, LaneView};
use purlin_engine::{JobView, Left, Live, StepRun};
use purlin_plan::{NodeId, Plan};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

const TWO_INPUTS: &str = "\
pipeline:
  transforms:
    - {type: Create, name: Shop, config: {elements: [{k: a, v: 1}]}}
    - {type: Create, name: Phone, config: {elements: [{k: a, v: 1}]}}
    - type: Combine
      name: Sums
      input: [Shop, Phone]
      windowing: {type: fixed, size: 1m, allowed_lateness: 30s}
      config: {group_by: k, combine: {s: {value: v, fn: sum}}}
    - {type: LogForTesting, name: Out, input: Sums}
";

fn plan(text: &str) -> Plan {
    let variables = serde_json::Map::new();
    let options =
        PipelineOptions { variables, beam_compat: false, lanes: 2, piece_bytes: None, rewrite: true };
    let mut p = Pipeline::from_text("p.yaml", text, &options);
    let plan = p.plan(&options);
    plan.unwrap_or_else(|| panic!("{}", p.diagnostics.render(&p.sources)))
}

fn node(plan: &Plan, label: &str) -> NodeId {
    plan.graph.nodes.iter().find(|n| n.label == label).map(|n| n.id).expect("a node of this name")
}

fn row(k: &str, v: i64) -> RecordBatch {
    let row = literal::Literal::from_json(&serde_json::json!({"k": k, "v": v}));
    let schema = purlin_api::shape::physical(&literal::infer_rows([&row]));
    literal::build_rows(&schema, &[row]).expect("a row")
}

fn at(seconds: i64) -> EventTime {
    EventTime::from_seconds(seconds)
}

/// What is said of a run that is stepped by hand, a minute after it began.
fn said(plan: &Plan, run: &StepRun) -> (String, serde_json::Value) {
    let nodes = plan.graph.nodes.iter().map(|n| n.id).collect();
    let lane = LaneView { nodes, busy: Busy::No, views: run.views(), is_fresh: true, has_ended: false };
    let left = Left { epochs: 7, unacknowledged_rows: 1200, early_rows: 0 };
    let view = JobView { now: at(300), began: at(240), left, lanes: vec![lane] };
    let why = Why::new("shop.yaml", plan, &view);
    (why.to_text(), why.to_json())
}

#[test]
fn why_names_who_holds_time_and_by_which_rule() {
    let plan = plan(TWO_INPUTS);
    let (shop, phone) = (node(&plan, "Shop"), node(&plan, "Phone"));
    let mut run = StepRun::new(&plan, 100).expect("a run");
    let (text, _) = said(&plan, &run);
    assert!(text.contains("held by `Shop`: it has not said any time yet"), "{text}");

    run.advance_clock(at(200)).expect("time");
    run.inject(shop, vec![(0, Batch::at(row("a", 1), Times::One(at(100))))]).expect("rows");
    run.watermark(shop, at(110)).expect("time");
    run.watermark(phone, at(95)).expect("time");
    let (text, json) = said(&plan, &run);
    for part in [
        "shop.yaml: running for 60.0 s",
        "time stands at 1970-01-01T00:01:35Z (3 min behind the clock)",
        "held by `Phone`: it promises nothing earlier than 1970-01-01T00:01:35Z, and has said nothing later for 100.0 s",
        "epochs: 7 committed; 1,200 rows read wait to be acknowledged",
        "1 rows in state",
        "rule: a fixed window of 1m goes out when the input watermark passes its end, and takes late rows for 30s more; \
         the next one ends at 1970-01-01T00:02:00Z",
    ] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
    assert_eq!(json["held_by"]["transform"], "Phone");
    assert_eq!(json["held_by"]["watermark"], "1970-01-01T00:01:35Z");

    // Idle inputs do not hold; when all are idle, time follows what they promise.
    run.idle(phone).expect("idle");
    let (text, json) = said(&plan, &run);
    assert!(text.contains("held by `Shop`: it promises nothing earlier than 1970-01-01T00:01:50Z"), "{text}");
    assert!(text.contains("input `Phone`: idle for 100.0 s: does not hold time"), "{text}");
    assert_eq!(json["held_by"]["transform"], "Shop");
    run.idle(shop).expect("idle");
    let (text, _) = said(&plan, &run);
    assert!(text.contains("all it reads is idle"), "{text}");
    run.end(shop).expect("end");
    run.end(phone).expect("end");
    let (text, json) = said(&plan, &run);
    assert!(text.contains("nothing holds time: everything has ended"), "{text}");
    assert_eq!(json["held_by"], serde_json::Value::Null);
}

#[test]
fn why_names_holds_and_timers() {
    let text = TWO_INPUTS.replace(
        "{type: fixed, size: 1m, allowed_lateness: 30s}",
        "{type: fixed, size: 1m, trigger: {after_watermark: {early: {after_processing_time: 10s}}}}",
    );
    let plan = plan(&text);
    let mut run = StepRun::new(&plan, 100).expect("a run");
    run.advance_clock(at(295)).expect("time");
    run.inject(node(&plan, "Shop"), vec![(0, Batch::at(row("a", 1), Times::One(at(100))))]).expect("rows");
    for source in ["Shop", "Phone"] {
        run.watermark(node(&plan, source), at(119)).expect("time");
    }
    let (text, json) = said(&plan, &run);
    assert!(text.contains("trigger after_watermark(early after_processing_time(10s))"), "{text}");
    assert!(text.contains("next timer in 5.0 s of processing time"), "{text}");
    let sums = json["transforms"].as_array().expect("a list").iter().find(|t| t["name"] == "Sums");
    assert_eq!(
        sums.expect("Sums")["holds"][0]["owner"],
        "window [1970-01-01T00:01:00Z, 1970-01-01T00:02:00Z)"
    );
}

/// A source that gives what a test sends, and is idle in between.
#[derive(Debug)]
struct Sent {
    outputs: Vec<Output>,
    rows: Mutex<Option<mpsc::Receiver<(EventTime, i64)>>>,
    acknowledged: Arc<AtomicUsize>,
}

impl PlanNode for Sent {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }
    fn explain(&self) -> String {
        String::new()
    }
    fn build(&self, _: &BuildCx) -> Result<Running> {
        let rows = self.rows.lock().expect("a lock").take().expect("one instance");
        let source = SentSource {
            rows,
            heard: false,
            watermark: EventTime::MIN,
            since: 0,
            epochs: Vec::new(),
            acknowledged: self.acknowledged.clone(),
        };
        Ok(Running::Source(Box::new(source)))
    }
}

struct SentSource {
    rows: mpsc::Receiver<(EventTime, i64)>,
    heard: bool,
    watermark: EventTime,
    since: usize,
    epochs: Vec<(u64, usize)>,
    acknowledged: Arc<AtomicUsize>,
}

impl Source for SentSource {
    fn next(&mut self, _: Budget) -> BoxFuture<'_, Result<Pull>> {
        Box::pin(async move {
            let got = if self.heard { self.rows.recv().await } else { None };
            self.heard = true;
            if let Some((t, _)) = &got {
                self.watermark = self.watermark.max(*t);
                self.since += 1;
            }
            let batches = got.iter().map(|(t, v)| (0, Batch::at(row("a", *v), Times::One(*t))));
            Ok(Pull {
                batches: batches.collect(),
                watermark: self.watermark,
                status: if got.is_some() { SourceStatus::Ready } else { SourceStatus::Idle(0) },
                resume: Resume::Barrier,
                read: u64::from(got.is_some()),
                dead: 0,
                skipped: 0,
            })
        })
    }
    fn barrier(&mut self, epoch: u64) {
        self.epochs.push((epoch, std::mem::take(&mut self.since)));
    }
    fn committed(&mut self, epoch: u64) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let rows: usize = self.epochs.iter().filter(|(e, _)| *e <= epoch).map(|(_, n)| n).sum();
            self.epochs.retain(|(e, _)| *e > epoch);
            self.acknowledged.fetch_add(rows, Ordering::SeqCst);
            Ok(())
        })
    }
}

const ONE_INPUT: &str = "\
pipeline:
  type: chain
  transforms:
    - {type: Create, name: Shop, config: {elements: [{k: a, v: 1}]}}
    - type: Combine
      name: Sums
      windowing: WINDOWING
      config: {group_by: k, combine: {s: {value: v, fn: sum}}}
    - {type: LogForTesting, name: Out}
";

/// A running pipeline whose source the test feeds.
struct Fed {
    plan: Arc<Plan>,
    send: mpsc::Sender<(EventTime, i64)>,
    acknowledged: Arc<AtomicUsize>,
    log: Arc<Mutex<Vec<(EventTime, String)>>>,
    stop: purlin_engine::Stop,
    folder: std::path::PathBuf,
    thread: std::thread::JoinHandle<Summary>,
}

#[allow(clippy::disallowed_methods)] // a test's own thread
fn feed(windowing: &str, name: &'static str) -> Fed {
    let mut plan = plan(&ONE_INPUT.replace("WINDOWING", windowing));
    let (send, receive) = mpsc::channel(100);
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let shop = node(&plan, "Shop");
    let source = plan.graph.nodes.get_mut(shop).expect("the source");
    let mut outputs = source.node.outputs().to_vec();
    outputs.iter_mut().for_each(|o| o.shape.bounded = false);
    let rows = Mutex::new(Some(receive));
    source.node = Arc::new(Sent { outputs, rows, acknowledged: acknowledged.clone() });
    let plan = Arc::new(plan);
    let log = Arc::new(Mutex::new(Vec::new()));
    let lines = log.clone();
    let live = Live { epoch_every: Duration::from_millis(50), ..Live::default() };
    let options = RunOptions {
        batch_rows: 100,
        threads: 2,
        log: Arc::new(move |_, _, text| {
            lines.lock().expect("a lock").push((SystemClock.now(), text.to_owned()));
        }),
        live,
        environment: Default::default(),
        checkpoints: None,
    };
    let job = run::job(&plan, &options).expect("a job");
    let stop = job.stop_handle();
    let folder = std::env::temp_dir().join(format!("purlin-live-{}-{name}", std::process::id()));
    let door = Door::open(&folder, name, &plan, job.watcher().expect("a live job")).expect("a door");
    let own = plan.clone();
    let thread = std::thread::spawn(move || {
        let summary = run::run(job, &own, name);
        drop(door);
        summary
    });
    Fed { plan, send, acknowledged, log, stop, folder, thread }
}

impl Fed {
    fn give(&self, t: EventTime, v: i64) {
        self.send.try_send((t, v)).expect("room");
    }

    /// Waits until something is true, for some seconds at most.
    fn until(&self, what: &str, is: impl Fn(&Fed) -> bool) {
        let deadline = SystemClock.now().plus(60_000_000);
        while !is(self) {
            assert!(SystemClock.now() < deadline, "{what} did not come to pass");
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    fn lines(&self) -> Vec<String> {
        self.log.lock().expect("a lock").iter().map(|(_, t)| t.clone()).collect()
    }

    fn end(self) -> Summary {
        let summary = self.thread.join().expect("the run");
        assert!(door::ask(&self.folder, None).is_empty(), "the door is closed");
        std::fs::remove_dir_all(&self.folder).expect("the folder");
        summary
    }
}

#[test]
fn a_live_pipeline_is_asked_and_stopped_in_order() {
    let fed = feed("{type: fixed, size: 10s}", "asked");
    fed.give(at(1), 5);
    let waits =
        |f: &Fed| door::ask(&f.folder, None).first().is_some_and(|a| a.text.contains("1 rows read wait"));
    fed.until("an epoch with the row", waits);
    fed.give(at(12), 7);
    fed.until("the first window", |f| f.lines().len() == 1);
    assert!(fed.lines()[0].contains("\"s\":5") || fed.lines()[0].contains("5"), "{:?}", fed.lines());
    fed.until("acknowledgement", |f| f.acknowledged.load(Ordering::SeqCst) >= 1);
    let answers = door::ask(&fed.folder, Some("asked"));
    assert_eq!(answers.len(), 1);
    let text = &answers[0].text;
    assert!(text.contains("held by `Shop`") && text.contains("1970-01-01T00:00:12Z"), "{text}");
    assert!(text.contains("1 rows in state"), "{text}");
    assert!(door::ask(&fed.folder, Some("other")).is_empty());
    fed.stop.stop();
    let acknowledged = fed.acknowledged.clone();
    let lines = fed.log.clone();
    let summary = fed.end();
    assert!(summary.is_success(), "{}", summary.to_text());
    let text = summary.to_text();
    assert!(text.contains("asked was stopped in order after"), "{text}");
    assert!(
        text.contains("read 2; written 1, filtered 0, late 0, dead letters 0, in state 1 (every"),
        "{text}"
    );
    assert!(
        text.contains("windows stay open with 1 rows; 1 rows read are not acknowledged and come again"),
        "{text}"
    );
    assert_eq!((acknowledged.load(Ordering::SeqCst), lines.lock().expect("a lock").len()), (1, 1));
    assert_eq!(summary.to_json()["status"], "stopped in order");
}

#[test]
fn a_drain_closes_the_windows() {
    let fed = feed("{type: fixed, size: 10s}", "drained");
    fed.give(at(1), 5);
    fed.give(at(12), 7);
    fed.until("the first window", |f| f.lines().len() == 1);
    fed.stop.drain();
    let (acknowledged, lines) = (fed.acknowledged.clone(), fed.log.clone());
    let text = fed.end().to_text();
    assert!(text.contains("drained was drained after") && text.contains("all windows closed"), "{text}");
    assert_eq!((acknowledged.load(Ordering::SeqCst), lines.lock().expect("a lock").len()), (2, 2));
}

#[test]
fn a_trigger_in_processing_time_fires_while_the_source_is_silent() {
    let trigger = "{type: global, trigger: {repeatedly: {after_processing_time: 300ms}}}";
    let fed = feed(trigger, "timed");
    let given = SystemClock.now();
    fed.give(at(1), 5);
    fed.until("a pane", |f| f.lines().len() == 1);
    let took = fed.log.lock().expect("a lock")[0].0.0 - given.0;
    assert!((300_000..30_000_000).contains(&took), "{took} us");
    assert_eq!(node(&fed.plan, "Shop"), 0);
    fed.stop.stop();
    assert!(fed.end().is_success());
}

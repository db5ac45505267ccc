//! What readers and writers of messages keep in checkpoints, with the broker inside the test: processes that die are
//! instances that are dropped, and go on as others that are given what was saved.

use crate::pubsub::{World, message, topic};
use purlin::pipeline::{Pipeline, PipelineOptions};
use purlin_api::state::Extent;
use purlin_api::testing::TableLogs;
use purlin_api::{
    Budget, BuildCx, Delivery, Environment, EventTime, LaneShared, PlanNode, Running, Sink, Source,
    SourceStatus, testing,
};
use purlin_pubsub::block_on;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A transform of a pipeline.
fn node(text: &str, label: &str) -> Arc<dyn PlanNode> {
    let options = PipelineOptions::default();
    let mut pipeline = Pipeline::from_text("p.yaml", text, &options);
    let plan = pipeline.plan(&options);
    let plan = plan.unwrap_or_else(|| panic!("{}", pipeline.diagnostics.render(&pipeline.sources)));
    let node = plan.graph.nodes.iter().find(|n| n.label == label).expect("such a transform");
    node.node.clone()
}

/// The only lane of a job with checkpoints. Where the service is it knows from there alone.
fn cx(w: &World, label: &str) -> BuildCx {
    let environment = Environment {
        pipeline: "p".to_owned(),
        lineage: "1b2c".to_owned(),
        pubsub: Some(w.address.clone()),
        project: Some("shop".to_owned()),
        ..Environment::default()
    };
    BuildCx { environment: Arc::new(environment), ..BuildCx::one_lane(label, 1000) }
}

/// The same lane in another process.
fn another(cx: &BuildCx) -> BuildCx {
    BuildCx { shared: LaneShared::default(), ..cx.clone() }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(future)
}

fn sink(node: &dyn PlanNode, cx: &BuildCx) -> Box<dyn Sink> {
    match node.build(&another(cx)).expect("a sink") {
        Running::Sink(sink) => sink,
        _ => panic!("no sink"),
    }
}

/// A running reader, as the runner has it.
struct Reading(Box<dyn Source>);

/// What came of some messages.
#[derive(Debug, Default, PartialEq)]
struct Came {
    rows: BTreeSet<String>,
    /// How many rows: equal ones count.
    given: usize,
    read: u64,
    skipped: u64,
    watermark: Option<EventTime>,
}

impl Reading {
    fn new(node: &dyn PlanNode, cx: &BuildCx) -> Self {
        match node.build(&another(cx)).expect("a source") {
            Running::Source(source) => Reading(source),
            _ => panic!("no source"),
        }
    }

    fn restored(node: &dyn PlanNode, cx: &BuildCx, logs: &TableLogs) -> Self {
        let mut reading = Reading::new(node, cx);
        for table in reading.0.tables() {
            let log = logs.get(table.name()).expect("a table that was saved");
            log.iter().for_each(|rows| table.apply(rows).expect("rows of the table"));
        }
        reading.0.restore(&[]).expect("it goes on");
        reading
    }

    /// Reads so many messages.
    fn read(&mut self, messages: u64) -> Came {
        let mut came = Came::default();
        // Each pull waits for 20 ms.
        for _ in 0..1500 {
            if came.read >= messages {
                break;
            }
            let pull = now(self.0.next(Budget { rows_max: 100, bytes_max: 1 << 20 })).expect("messages");
            assert!(pull.batches.is_empty() || pull.status == SourceStatus::Ready);
            for (_, batch) in &pull.batches {
                for row in 0..batch.len() {
                    let text = purlin_api::json::row_to_json(&batch.rows, row).to_string();
                    came.given += 1;
                    came.rows.insert(text);
                }
            }
            came.read += pull.read;
            came.skipped += pull.skipped;
            came.watermark = Some(pull.watermark);
        }
        assert_eq!(came.read, messages, "{came:?}");
        came
    }

    fn barrier(&mut self, epoch: u64, logs: &mut TableLogs) {
        self.0.barrier(epoch);
        for table in self.0.tables() {
            let saved = table.save(Extent::Changes).expect("rows");
            let kept = logs.entry(table.name()).or_default();
            if saved.extent == Extent::Whole {
                kept.clear();
            }
            kept.extend(saved.log);
        }
    }
}

fn rows(ids: std::ops::Range<u32>) -> BTreeSet<String> {
    ids.map(|i| format!(r#"{{"payload":"m{i:02}"}}"#)).collect()
}

fn messages(ids: std::ops::Range<u32>) -> Vec<purlin_pubsub::proto::PubsubMessage> {
    ids.map(|i| message(&format!("m{i:02}"), &[])).collect()
}

const COPY: &str = "
pipeline:
  type: chain
  transforms:
    - {type: ReadFromPubSub, name: In, config: {subscription: orders, format: STRING}}
    - {type: WriteToPubSub, name: Out, config: {topic: totals, format: STRING}}
";

#[test]
fn messages_of_a_checkpoint_do_not_come_again_and_later_ones_do() {
    let w = World::new();
    let (reader, cx) = (node(COPY, "In"), cx(&w, "In"));
    let mut logs = TableLogs::new();
    w.publish(messages(0..10));
    let mut first = Reading::new(reader.as_ref(), &cx);
    assert_eq!(first.read(10).rows, rows(0..10));
    first.barrier(1, &mut logs);
    w.publish(messages(10..15));
    assert_eq!(first.read(5).rows, rows(10..15));
    // It dies before it has acknowledged anything.
    drop(first);
    let mut second = Reading::restored(reader.as_ref(), &cx, &logs);
    let came = second.read(15);
    assert_eq!((&came.rows, came.given, came.skipped), (&rows(10..15), 5, 10));
    assert_eq!(came.watermark, Some(EventTime::MIN), "more of before may come");
    second.barrier(2, &mut logs);
    now(second.0.committed(2)).expect("acknowledged");
    // Again, before the copies are acknowledged: they are known still.
    w.publish(messages(15..16));
    assert_eq!(second.read(1).rows, rows(15..16));
    drop(second);
    let mut third = Reading::restored(reader.as_ref(), &cx, &logs);
    let came = third.read(11);
    assert_eq!((&came.rows, came.skipped), (&rows(15..16), 10));
    for epoch in 3..5 {
        third.barrier(epoch, &mut logs);
        now(third.0.committed(epoch)).expect("acknowledged");
    }
    now(third.0.close()).expect("closed");
    assert!(w.drain("orders").is_empty(), "copies are acknowledged an epoch after they came");
}

#[test]
fn an_epoch_that_is_published_twice_is_read_once() {
    let w = World::new();
    let (writer, cx) = (node(COPY, "Out"), cx(&w, "Out"));
    let mut first = sink(writer.as_ref(), &cx);
    let epoch = |n: u32| {
        let json: Vec<Value> = (0..n).map(|i| serde_json::json!({"payload": format!("m{i:02}")})).collect();
        testing::batch(&serde_json::to_string(&json).expect("JSON")).expect("rows")
    };
    now(first.write(epoch(20))).expect("written");
    let one = now(first.prepare(1)).expect("prepared");
    now(first.write(epoch(5))).expect("written");
    assert!(w.drain("totals").is_empty(), "nothing is there before its epoch is committed");
    now(first.commit(1, one.clone())).expect("published");
    first.abort();
    drop(first);
    let mut second = sink(writer.as_ref(), &cx);
    now(second.restore(1, vec![one])).expect("published again");
    now(second.write(epoch(3))).expect("written");
    let two = now(second.prepare(2)).expect("prepared");
    now(second.commit(2, two)).expect("published");
    now(second.finish()).expect("the end");
    assert_eq!(second.made(), ["projects/shop/topics/totals"]);
    // Three rows of the second epoch say the same as some of the first, and are others.
    let reader = |id: &str| {
        let read = format!("{{subscription: totals, format: STRING{id}, attributes: purlin_id}}");
        let text = COPY.replace("{subscription: orders, format: STRING}", &read);
        node(&text.replace("topic: totals, format: STRING", "topic: totals, format: JSON"), "In")
    };
    let mut all = Reading::new(reader("").as_ref(), &cx);
    let came = all.read(43);
    assert_eq!((came.rows.len(), came.given), (23, 43), "the same ids again, and others for other rows");
    drop(all);
    let mut once = Reading::new(reader(", id_attribute: purlin_id").as_ref(), &cx);
    let came = once.read(43);
    assert_eq!((came.rows.len(), came.given, came.skipped), (23, 23, 20));
}

#[test]
fn what_was_prepared_goes_where_it_was_meant_to_go() {
    let w = World::new();
    let (before, cx) = (node(COPY, "Out"), cx(&w, "Out"));
    let mut first = sink(before.as_ref(), &cx);
    now(first.write(testing::batch(r#"[{"payload": "a"}]"#).expect("rows"))).expect("written");
    let prepared = now(first.prepare(1)).expect("prepared");
    // The author has given the transform another topic since then.
    let after = node(&COPY.replace("topic: totals", "topic: orders"), "Out");
    let mut second = sink(after.as_ref(), &cx);
    now(second.restore(1, vec![prepared.clone()])).expect("published");
    assert_eq!((w.drain("totals").len(), w.drain("orders").len()), (1, 0));
    let mut broken = prepared.to_vec();
    broken[9] ^= 1;
    let e = now(second.restore(1, vec![broken.into()])).expect_err("not the bytes that were prepared");
    assert!(e.to_string().contains("damaged"), "{e}");
}

#[test]
fn rows_may_give_ids_of_their_own_and_at_least_once_does_not_wait() {
    let w = World::new();
    let text = COPY.replace(
        "topic: totals, format: STRING",
        "topic: totals, format: STRING, attributes: key, id_attribute: key",
    );
    let text =
        text.replace("format: STRING}}\n    - {type: W", "format: STRING, attributes: key}}\n    - {type: W");
    let writer = node(&text, "Out");
    let batch = || {
        testing::batch(r#"[{"payload": "a", "key": "mine"}, {"payload": "b", "key": null}]"#).expect("rows")
    };
    let mut exactly = sink(writer.as_ref(), &cx(&w, "Out"));
    now(exactly.write(batch())).expect("written");
    let prepared = now(exactly.prepare(7)).expect("prepared");
    now(exactly.commit(7, prepared)).expect("published");
    let got = w.drain("totals");
    assert_eq!(got[0].1["key"], "mine");
    assert!(got[1].1["key"].starts_with("1b2c-") && got[1].1["key"].contains("-0-7-1-"), "{got:?}");
    for (delivery, lineage) in [(Delivery::AtLeastOnce, "1b2c"), (Delivery::ExactlyOnce, "")] {
        let mut at = cx(&w, "Out");
        let environment =
            Environment { delivery, lineage: lineage.to_owned(), ..Environment::clone(&at.environment) };
        at.environment = Arc::new(environment);
        let mut at_once = sink(writer.as_ref(), &at);
        now(at_once.write(batch())).expect("written");
        let got = w.drain("totals");
        assert_eq!((got.len(), got[0].1["key"].as_str()), (2, "mine"), "{delivery:?}");
        assert!(now(at_once.prepare(1)).expect("answered").is_empty());
    }
}

#[test]
fn a_reader_of_a_topic_goes_on_with_its_subscription() {
    let w = World::new();
    let text = COPY.replace("subscription: orders", "topic: orders");
    let (reader, cx) = (node(&text, "In"), cx(&w, "In"));
    let subscriptions = || {
        let c = w.client.clone();
        block_on(async move { c.list_topic_subscriptions(&topic("orders")).await }).expect("a list")
    };
    drop(Reading::new(reader.as_ref(), &cx));
    let all = subscriptions();
    assert_eq!(all.len(), 2, "it is kept: {all:?}");
    w.publish(messages(0..3));
    let mut second = Reading::new(reader.as_ref(), &cx);
    assert_eq!(second.read(3).rows, rows(0..3));
    now(second.0.close()).expect("closed");
    assert_eq!(subscriptions(), all);
}

#[test]
fn check_says_what_is_guaranteed() {
    let w = World::new();
    let said = |text: &str, flag: &str| {
        w.s.write("p.yaml", text);
        let args: Vec<&str> = ["check", "p.yaml", flag].into_iter().filter(|a| !a.is_empty()).collect();
        let ran = w.s.purlin(&args);
        assert_eq!(ran.code, 0, "{}", ran.err);
        ran.out
    };
    assert_eq!(said(COPY, ""), "p.yaml: good\nguarantee: exactly once\n");
    let at_least = format!("{COPY}x-purlin: {{delivery: at_least_once}}\n");
    assert_eq!(
        said(&at_least, ""),
        "p.yaml: good\nguarantee: at least once, because WriteToPubSub \"Out\" (line 6): rows are published as they come; \
         to make it exactly once: leave `delivery: at_least_once` out of `x-purlin`\n"
    );
    let report: Value = serde_json::from_str(&said(&at_least, "--json")).expect("JSON");
    let guarantee = &report[0]["guarantee"];
    assert_eq!(guarantee["promise"], "at_least_once");
    assert_eq!(guarantee["weakest"], serde_json::json!(["Out"]));
    assert_eq!(guarantee["links"][0]["promise"], "exactly_once");
    let batch = "pipeline: {type: chain, transforms: [{type: Create, config: {elements: [{a: x}]}}, {type: \
                 WriteToPubSub, config: {topic: totals, format: RAW}}]}";
    assert!(said(batch, "").contains("guarantee: at least once, because WriteToPubSub"));
    assert_eq!(said(&with_errors(), ""), "p.yaml: good\nguarantee: exactly once\n");
}

/// [`COPY`] of the messages that have no `x` in them; the others come as errors.
fn with_errors() -> String {
    COPY.replace("  type: chain\n", "").replace(
        "    - {type: WriteToPubSub, name: Out, config: {topic: totals, format: STRING}}\n",
        "    - type: MapToFields
      name: Pick
      input: In
      config: {language: python, fields: {text: \"None if 'x' in payload else payload\"}}
    - {type: WriteToPubSub, name: Out, input: Pick, config: {topic: totals, format: STRING, error_handling: {output: bad}}}
    - {type: WriteToPubSub, name: Bad, input: Out.bad, config: {topic: totals, format: JSON}}
",
    )
}

#[test]
fn a_writer_with_an_error_output_is_exactly_once_too() {
    let w = World::new();
    w.publish(messages(0..10));
    let mut first = w.start(COPY, &["--commit-every", "200ms"]);
    let mut came = Vec::new();
    while came.len() < 10 && first.try_wait().expect("a child").is_none() {
        came.extend(w.drain("totals"));
    }
    first.kill().expect("a process that can be killed");
    first.wait().expect("an end");
    // The author gives the writer an error output: it keeps the state it has.
    w.publish(messages(10..20));
    w.publish(["x1", "x2"].map(|text| message(text, &[])).to_vec());
    let mut second = w.start(&with_errors(), &["--commit-every", "200ms"]);
    while came.len() < 15 && second.try_wait().expect("a child").is_none() {
        came.extend(w.drain("totals"));
    }
    second.kill().expect("a process that can be killed");
    second.wait().expect("an end");
    w.publish(messages(20..30));
    let ran = w.run(&with_errors(), &["--until-idle", "3s"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    came.extend(w.drain("totals"));
    let by_id: BTreeMap<&str, &str> =
        came.iter().map(|(text, attributes)| (attributes["purlin_id"].as_str(), text.as_str())).collect();
    let mut once: Vec<&str> = by_id.into_values().collect();
    once.sort_unstable();
    let (once, bad) = once.split_at(30);
    assert_eq!(once, (0..30).map(|i| format!("m{i:02}")).collect::<Vec<_>>());
    assert_eq!(bad.len(), 2, "{bad:?}");
    let error = r#"{"element":{},"msg":"the payload is null","stack":"totals"}"#;
    assert_eq!(bad, [error, error]);
}

#[test]
fn time_does_not_pass_what_came_and_was_not_given() {
    let w = World::new();
    let text = COPY.replace(
        "subscription: orders, format: STRING",
        "subscription: orders, format: STRING, timestamp_attribute: ts, watermark_slack: 1s",
    );
    let ts = |second: i64| message(&format!("at {second}"), &[("ts", &(second * 1000).to_string())]);
    w.publish(vec![ts(100), ts(1000), ts(150)]);
    let mut reading = Reading::new(node(&text, "In").as_ref(), &cx(&w, "In"));
    let mut told = Vec::new();
    while told.iter().map(|(read, _)| read).sum::<u64>() < 3 {
        let pull = now(reading.0.next(Budget { rows_max: 2, bytes_max: 1 << 20 })).expect("messages");
        told.extend((pull.read > 0).then_some((pull.read, pull.watermark)));
    }
    assert_eq!(told, [(2, EventTime::MIN), (1, EventTime::from_seconds(999))]);
}

//! Pipelines that read and publish messages, with the broker inside the test.

use crate::scratch::{Ran, Scratch};
use purlin_broker::{Broker, Options};
use purlin_pubsub::credentials::Credentials;
use purlin_pubsub::proto::{PubsubMessage, Subscription, Topic};
use purlin_pubsub::{Address, Client, SubscriptionName, TopicName, block_on, clock};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// A broker with topics and subscriptions `orders` and `totals`, and a folder.
pub(crate) struct World {
    pub(crate) s: Scratch,
    pub(crate) client: Client,
    pub(crate) address: String,
    _broker: Broker,
}

pub(crate) fn topic(id: &str) -> TopicName {
    TopicName::parse(id, Some("shop")).expect("a name")
}

fn subscription(id: &str) -> SubscriptionName {
    SubscriptionName::parse(id, Some("shop")).expect("a name")
}

impl World {
    pub(crate) fn new() -> Self {
        let s = Scratch::new();
        let options = Options {
            listen: ([127, 0, 0, 1], 0).into(),
            data: s.path().join("broker"),
            token: None,
            push_token: None,
            open: false,
            tls: None,
        };
        let broker = Broker::start(&options, Arc::new(|_: &str| {})).expect("a broker starts");
        let address = broker.address().to_string();
        let at = Address::resolve(Some(&address), None).expect("an address");
        let client = Client::connect(at, Credentials::None).expect("a client");
        let c = client.clone();
        block_on(async move {
            for id in ["orders", "totals"] {
                c.create_topic(Topic { name: topic(id).to_string(), ..Topic::default() }).await?;
                c.create_subscription(Subscription {
                    name: subscription(id).to_string(),
                    topic: topic(id).to_string(),
                    ..Subscription::default()
                })
                .await?;
            }
            Ok(())
        })
        .expect("topics");
        World { s, client, address, _broker: broker }
    }

    pub(crate) fn publish(&self, messages: Vec<PubsubMessage>) {
        let c = self.client.clone();
        block_on(async move { c.publish_once(&topic("orders"), messages).await }).expect("published");
    }

    /// What a subscription has, acknowledged and sorted by payload.
    pub(crate) fn drain(&self, id: &str) -> Vec<(String, HashMap<String, String>)> {
        let (c, name) = (self.client.clone(), subscription(id));
        let mut all = block_on(async move {
            let mut all = Vec::new();
            loop {
                let got = c.pull_once(&name, 1000, Duration::from_secs(1)).await?;
                if got.is_empty() {
                    return Ok(all);
                }
                let ids = got.iter().map(|m| m.ack_id.clone()).collect();
                c.acknowledge_once(&name, ids).await?;
                all.extend(got.into_iter().filter_map(|m| m.message));
            }
        })
        .expect("pulled");
        all.sort_by(|a, b| a.data.cmp(&b.data));
        all.into_iter().map(|m| (String::from_utf8_lossy(&m.data).into_owned(), m.attributes)).collect()
    }

    pub(crate) fn run(&self, pipeline: &str, args: &[&str]) -> Ran {
        self.s.write("p.yaml", pipeline);
        let args: Vec<&str> = ["run", "p.yaml"].iter().chain(args).copied().collect();
        self.s
            .purlin_with(&args, &[("PUBSUB_EMULATOR_HOST", &self.address), ("GOOGLE_CLOUD_PROJECT", "shop")])
    }
}

impl World {
    pub(crate) fn start(&self, pipeline: &str, flags: &[&str]) -> Child {
        self.s.write("p.yaml", pipeline);
        let mut command = Command::new(env!("CARGO_BIN_EXE_purlin"));
        command.args(["run", "p.yaml"]).args(flags).current_dir(self.s.path());
        command.env("PUBSUB_EMULATOR_HOST", &self.address).env("GOOGLE_CLOUD_PROJECT", "shop");
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts")
    }

    /// The subscriptions to the topic `orders`.
    pub(crate) fn subscriptions(&self) -> Vec<String> {
        let c = self.client.clone();
        block_on(async move { c.list_topic_subscriptions(&topic("orders")).await }).expect("a list")
    }

    /// Waits until a run has subscribed to the topic `orders`, or has ended.
    fn wait_for_reader(&self, mut has_ended: impl FnMut() -> bool) {
        while self.subscriptions().len() < 2 && !has_ended() {
            let pause = async {
                clock::sleep(Duration::from_millis(20)).await;
                Ok(())
            };
            block_on(pause).expect("a pause");
        }
    }

    /// Runs a pipeline until so many messages have come to the topic `totals`, and stops it in order, as a service
    /// manager does. Answers those messages, too.
    fn stopped(
        &self,
        pipeline: &str,
        flags: &[&str],
        enough: impl Fn(&[String]) -> bool,
    ) -> (Ran, Vec<String>) {
        let child = self.start(pipeline, flags);
        let mut came = Vec::new();
        for _ in 0..60 {
            came.extend(self.drain("totals").into_iter().map(|(text, _)| text));
            if enough(&came) {
                break;
            }
        }
        let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill");
        assert!(told.success());
        let ended = child.wait_with_output().expect("an end");
        let ran = Ran {
            code: ended.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&ended.stdout).into_owned(),
            err: String::from_utf8_lossy(&ended.stderr).into_owned(),
        };
        (ran, came)
    }
}

pub(crate) fn message(data: &str, attributes: &[(&str, &str)]) -> PubsubMessage {
    PubsubMessage {
        data: data.to_owned().into_bytes().into(),
        attributes: attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        ..PubsubMessage::default()
    }
}

const TOTALS: &str = "
pipeline:
  transforms:
    - type: ReadFromPubSub
      name: Orders
      config:
        subscription: projects/shop/subscriptions/orders
        format: JSON
        timestamp_attribute: ts
        id_attribute: id
        attributes: [shop]
        schema:
          type: object
          required: [customer, cents]
          properties: {customer: {type: string}, cents: {type: integer}}
        error_handling: {output: bad}
    - type: Combine
      input: Orders
      windowing: {type: fixed, size: 30s}
      config: {group_by: [customer, shop], combine: {total: {value: cents, fn: sum}}}
    - type: ExtractWindowingInfo
      input: Combine
      config: {fields: {end: window_end}}
    - type: WriteToPubSub
      input: ExtractWindowingInfo
      config: {topic: totals, format: JSON, attributes: shop, id_attribute: key, timestamp_attribute: at}
    - type: WriteToJson
      input: Orders.bad
      windowing: {type: fixed, size: 1d}
      config: {path: bad}
";

#[test]
fn sums_of_windows_go_from_topic_to_topic() {
    let w = World::new();
    let order = |id: &str, ts: &str, customer: &str, cents: i64| {
        message(
            &json!({"customer": customer, "cents": cents}).to_string(),
            &[("ts", ts), ("id", id), ("shop", "a")],
        )
    };
    w.publish(vec![
        order("1", "2024-09-18T07:27:01Z", "CO1", 100),
        order("2", "2024-09-18T07:27:29.999Z", "CO1", 10),
        order("2", "2024-09-18T07:27:29.999Z", "CO1", 10),
        order("3", "1726644450000", "CO1", 1),
        order("4", "2024-09-18T07:27:05Z", "CO2", 7),
        message("no order", &[("ts", "2024-09-18T07:27:05Z"), ("shop", "a")]),
        message(r#"{"customer": "CO1"}"#, &[("ts", "2024-09-18T07:27:05Z"), ("shop", "a")]),
        message(r#"{"customer": "CO1", "cents": 1}"#, &[("ts", "2024-09-18T07:27:05Z")]),
    ]);
    let ran = w.run(TOTALS, &["--until-idle", "2s"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let got = w.drain("totals");
    let rows: Vec<Value> = got.iter().map(|(t, _)| serde_json::from_str(t).expect("JSON")).collect();
    assert_eq!(
        rows,
        [
            json!({"customer": "CO1", "end": "2024-09-18T07:27:30Z", "total": 110}),
            json!({"customer": "CO1", "end": "2024-09-18T07:28:00Z", "total": 1}),
            json!({"customer": "CO2", "end": "2024-09-18T07:27:30Z", "total": 7}),
        ]
    );
    assert!(got.iter().all(|(_, a)| a.get("shop").is_some_and(|s| s == "a")), "{got:?}");
    assert_eq!(got[0].1.get("at").map(String::as_str), Some("1726644449999"), "the end of the window");
    let mut keys: Vec<&String> = got.iter().filter_map(|(_, a)| a.get("key")).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 3);
    let bad = w.s.lines("bad");
    assert_eq!(bad.len(), 3, "{bad:?}");
    assert!(bad.iter().any(|b| b.contains("it has no attribute `shop`")), "{bad:?}");
    assert!(w.drain("orders").is_empty(), "all was acknowledged");
}

#[test]
fn windows_close_by_the_clock() {
    let w = World::new();
    w.publish((0..20).map(|i| message(&format!("m{i:02}"), &[])).collect());
    let pipeline = "
pipeline:
  type: chain
  transforms:
    - type: ReadFromPubSub
      config: {subscription: orders, format: STRING}
    - type: Combine
      windowing: {type: fixed, size: 1s}
      config: {group_by: [], combine: {n: {value: payload, fn: count}}}
    - type: WriteToPubSub
      config: {topic: totals, format: JSON}
";
    let count = |rows: &[String]| -> i64 {
        rows.iter().filter_map(|t| serde_json::from_str::<Value>(t).ok()?["n"].as_i64()).sum()
    };
    // It is stopped only afterwards: time has closed the windows.
    let (ran, came) = w.stopped(pipeline, &[], |came| count(came) >= 20);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(count(&came), 20, "{came:?}");
    assert!(w.drain("orders").is_empty());
}

#[test]
fn what_waits_in_open_windows_is_not_lost_over_a_stop() {
    let w = World::new();
    w.publish((0..20).map(|i| message(&format!("m{i:02}"), &[])).collect());
    let pipeline = "
pipeline:
  transforms:
    - type: ReadFromPubSub
      config: {subscription: orders, format: STRING}
    - type: Combine
      input: ReadFromPubSub
      windowing: {type: fixed, size: 365d}
      config: {group_by: [], combine: {n: {value: payload, fn: count}}}
    - type: WriteToPubSub
      name: Counts
      input: Combine
      config: {topic: totals, format: JSON}
    - type: WriteToPubSub
      name: Copies
      input: ReadFromPubSub
      config: {topic: totals, format: STRING}
";
    // Without checkpoints what windows hold is in messages that are not acknowledged.
    let (ran, came) = w.stopped(pipeline, &["--no-checkpoints"], |came| came.len() >= 20);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(came.len(), 20, "the copies, and no count: {came:?}");
    assert!(w.drain("totals").is_empty());

    // With them it is there, and the next run goes on with it.
    let (ran, came) = w.stopped(pipeline, &[], |came| came.len() >= 20);
    assert!(ran.code == 0 && came.len() == 20, "{}\n{came:?}", ran.err);
    assert!(ran.err.contains("which are in the checkpoint"), "{}", ran.err);
    assert!(w.drain("orders").is_empty(), "{}", ran.err);
    w.publish(vec![message("m20", &[])]);
    let ran = w.run(pipeline, &["--until-idle", "2s", "--lanes", "3"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let mut came: Vec<String> = w.drain("totals").into_iter().map(|(text, _)| text).collect();
    came.sort();
    assert_eq!(came, ["m20", r#"{"n":21}"#], "{}", ran.err);
}

#[test]
fn topics_are_read_from_the_start_of_the_pipeline_on() {
    let w = World::new();
    w.publish(vec![message("early", &[])]);
    let pipeline = "
pipeline:
  type: chain
  transforms:
    - type: ReadFromPubSub
      config: {topic: orders, format: RAW, attributes_map: all_, publish_time_field: at}
    - type: MapToFields
      config:
        language: python
        fields: {text: payload.decode(), color: 'len(all_)', known: at is not None}
    - type: WriteToPubSub
      config: {topic: totals, format: JSON}
";
    std::thread::scope(|threads| {
        let running = threads.spawn(|| w.run(pipeline, &["--until-idle", "3s", "--no-checkpoints"]));
        w.wait_for_reader(|| running.is_finished());
        w.publish(vec![message("late", &[("color", "red")])]);
        let ran = running.join().expect("the run");
        assert_eq!(ran.code, 0, "{}", ran.err);
    });
    let rows: Vec<String> = w.drain("totals").into_iter().map(|(t, _)| t).collect();
    assert_eq!(rows, [r#"{"color":1,"known":true,"text":"late"}"#]);
    assert_eq!(w.subscriptions(), [subscription("orders").to_string()], "the temporary one is gone");
}

#[test]
fn a_kill_before_the_first_epoch_loses_nothing_of_a_topic() {
    let w = World::new();
    let pipeline = "
pipeline:
  type: chain
  transforms:
    - {type: ReadFromPubSub, config: {topic: orders, format: RAW}}
    - {type: WriteToPubSub, config: {topic: totals, format: RAW}}
";
    let mut first = w.start(pipeline, &["--commit-every", "1h"]);
    w.wait_for_reader(|| first.try_wait().expect("a child").is_some());
    first.kill().expect("a process that can be killed");
    assert_eq!(first.wait().expect("an end").code(), None, "it did not end by itself");

    w.publish(vec![message("while nobody read", &[])]);
    let (ran, came) = w.stopped(pipeline, &[], |c| !c.is_empty());
    assert_eq!((ran.code, came), (0, vec!["while nobody read".to_owned()]), "{}", ran.err);
    assert_eq!(w.subscriptions().len(), 2, "the same subscription");
}

#[test]
fn rows_that_cannot_be_messages_go_to_the_error_output() {
    let w = World::new();
    let pipeline = "
pipeline:
  transforms:
    - type: Create
      config: {elements: [{text: a, k: x}, {text: null, k: y}, {text: b, k: z}]}
    - type: WriteToPubSub
      name: Out
      input: Create
      config: {topic: totals, format: RAW, attributes: [k], error_handling: {output: bad}}
    - type: WriteToJson
      input: Out.bad
      config: {path: bad}
";
    let ran = w.run(pipeline, &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let texts: Vec<String> = w.drain("totals").into_iter().map(|(t, _)| t).collect();
    assert_eq!(texts, ["a", "b"]);
    let bad = w.s.lines("bad");
    assert_eq!(bad.len(), 1, "{bad:?}");
    assert!(bad[0].contains(r#""element":{"text":null,"k":"y"},"msg":"the payload is null""#), "{bad:?}");
    let without = pipeline.replace(", error_handling: {output: bad}", "").replace(
        "    - type: WriteToJson
      input: Out.bad
      config: {path: bad}
",
        "",
    );
    let ran = w.run(&without, &[]);
    assert_ne!(ran.code, 0);
    assert!(
        ran.err.contains("cannot be published to projects/shop/topics/totals: the payload is null"),
        "{}",
        ran.err
    );
}

#[test]
fn what_is_missing_is_said_at_the_start() {
    let w = World::new();
    let read = |name: &str| {
        format!(
            "pipeline: {{type: chain, transforms: [{{type: ReadFromPubSub, config: {{subscription: {name}, format: \
             RAW}}}}, {{type: WriteToPubSub, config: {{topic: totals, format: RAW}}}}]}}"
        )
    };
    let ran = w.run(&read("nothing"), &[]);
    assert_ne!(ran.code, 0);
    assert!(
        ran.err.contains("cannot find subscription `projects/shop/subscriptions/nothing`")
            && ran.err.contains("purlin subscriptions create"),
        "{}",
        ran.err
    );
    w.s.write("q.yaml", read("orders"));
    let env = [("PUBSUB_EMULATOR_HOST", "127.0.0.1:1"), ("GOOGLE_CLOUD_PROJECT", "shop")];
    let ran = w.s.purlin_with(&["run", "q.yaml"], &env);
    assert_ne!(ran.code, 0);
    assert!(ran.err.contains("connection refused; is the broker running?"), "{}", ran.err);
    let env = [("PUBSUB_EMULATOR_HOST", w.address.as_str()), ("GOOGLE_CLOUD_PROJECT", "")];
    let ran = w.s.purlin_with(&["run", "q.yaml"], &env);
    assert_ne!(ran.code, 0);
    let local = "cannot find subscription `projects/local/subscriptions/orders`";
    assert!(ran.err.contains(local), "a broker has a project of its own: {}", ran.err);
    // Nobody asks the broker before the run.
    assert_eq!(w.s.purlin_with(&["check", "q.yaml"], &[("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")]).code, 0);
}

#[test]
fn refused_messages_are_kept_mended_and_given_back_at_their_time() {
    let w = World::new();
    let pipeline = "
pipeline:
  transforms:
    - type: ReadFromPubSub
      name: Orders
      config:
        subscription: projects/shop/subscriptions/orders
        format: JSON
        timestamp_attribute: ts
        schema: {type: object, properties: {id: {type: integer}, cents: {type: integer}}}
        error_handling: {output: broken}
    - {type: WindowInto, name: Minutes, input: Orders, windowing: {type: fixed, size: 60s}}
    - {type: Combine, name: Sums, input: Minutes, config: {group_by: [], combine: {cents: sum}}}
    - {type: WriteToJson, name: Out, input: Sums, config: {path: out/sums}}
    - {type: WriteToDeadLetters, name: Letters, input: Orders.broken}
";
    w.publish(vec![
        message(r#"{"id": 1, "cents": 5}"#, &[("ts", "1000")]),
        message(r#"{"id": 2, "cents": "x"}"#, &[("ts", "2000")]),
        message(r#"{"id": 3, "cents": "y"}"#, &[("ts", "62000")]),
    ]);
    let ran = w.run(pipeline, &["--until-idle", "2s"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let list = || {
        let ran = w.s.purlin(&["deadletters", "list", "p", "--json"]);
        serde_json::from_str::<Value>(&ran.out).expect("JSON")[0].clone()
    };
    let kept = list();
    assert_eq!((&kept["kept"], &kept["waiting"]), (&json!(2), &json!(2)), "{kept}");
    for letter in kept["letters"].as_array().expect("letters") {
        let payload = letter["element"]["payload"].as_str().expect("a payload");
        w.s.write("payload", payload.replace("\"x\"", "7").replace("\"y\"", "9"));
        let id = letter["id"].as_str().expect("an id");
        let ran = w.s.purlin(&["deadletters", "edit", id, "--payload-file", "payload"]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    // No service is asked: the reader is given its messages.
    let ran = w.s.purlin(&["deadletters", "replay", "p.yaml", "--all"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(list()["replayed"], 2);
    let first = "out/sums-1970-01-01T00:00:00-1970-01-01T00:01:00-";
    assert_eq!(w.s.lines(first), [r#"{"cents":5}"#, r#"{"cents":7}"#]);
    assert_eq!(w.s.lines("out/sums-1970-01-01T00:01:00-1970-01-01T00:02:00-replay-"), [r#"{"cents":9}"#]);
    assert!(w.drain("orders").is_empty(), "what was refused was acknowledged");
}

#[test]
fn a_row_that_a_later_transform_refuses_is_kept_with_its_message() {
    let w = World::new();
    let pipeline = "
pipeline:
  transforms:
    - type: ReadFromPubSub
      name: Orders
      config:
        subscription: projects/shop/subscriptions/orders
        format: JSON
        schema: {type: object, properties: {id: {type: integer}, cents: {type: integer}}}
    - type: MapToFields
      name: Rate
      input: Orders
      config: {language: python, fields: {id: id, rate: 100 / cents}, error_handling: {output: failed}}
    - {type: WriteToPubSub, name: Out, input: Rate, config: {topic: totals, format: JSON}}
    - {type: WriteToDeadLetters, name: Letters, input: Rate.failed}
";
    w.publish(vec![
        message(r#"{"id": 1, "cents": 5}"#, &[]),
        message(r#"{"id": 2, "cents": 0, "note": "free"}"#, &[("shop", "a")]),
        message(r#"{"id": 3, "cents": 4}"#, &[]),
    ]);
    let ran = w.run(pipeline, &["--until-idle", "2s"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let list = w.s.purlin(&["deadletters", "list", "p", "--json"]);
    let list: Value = serde_json::from_str(&list.out).expect("JSON");
    let letter = &list[0]["letters"][0];
    assert_eq!(list[0]["kept"], 1, "{list}");
    let message = &letter["message"];
    assert_eq!(message["payload"], r#"{"id": 2, "cents": 0, "note": "free"}"#);
    assert_eq!(message["attributes"], json!({"shop": "a"}));
    let at =
        format!("projects/shop/subscriptions/orders, message {}", message["id"].as_str().expect("an id"));
    assert_eq!(
        (letter["position"].as_str(), &letter["element"]),
        (Some(at.as_str()), &json!({"id": 2, "cents": 0}))
    );
    let id = letter["id"].as_str().expect("an id");
    w.s.write("payload", "{}");
    let ran = w.s.purlin(&["deadletters", "edit", id, "--payload-file", "payload"]);
    assert!(
        ran.code != 0 && ran.err.contains("is not of a reader"),
        "the row is what is given back: {ran:?}"
    );
    let shown = w.s.purlin(&["deadletters", "show", id]).out;
    assert!(shown.contains(&at) && shown.contains(r#""shop":"a""#), "{shown}");
}

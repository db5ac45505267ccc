//! `purlin up`, `status` and `apply` as users meet them: processes on free ports.

use crate::conforms;
use crate::scratch::Scratch;
use purlin_engine::clock::{Clock, SystemClock};
use purlin_pubsub::credentials::Credentials;
use purlin_pubsub::proto::{PubsubMessage, Subscription, Topic};
use purlin_pubsub::{Address, Client, SubscriptionName, TopicName, block_on};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A running `purlin up`.
struct Up {
    process: Child,
    http: String,
    client: Client,
    /// What it said on standard error so far.
    said: Arc<Mutex<String>>,
}

fn free_port() -> u16 {
    // Free a moment later, too: the system does not give a port twice in a row.
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").port()
}

fn topic(id: &str) -> TopicName {
    TopicName::parse(id, Some("local")).expect("a name")
}

fn subscription(id: &str) -> SubscriptionName {
    SubscriptionName::parse(id, Some("local")).expect("a name")
}

fn client(address: &str) -> Client {
    let at = Address::resolve(Some(address), None).expect("an address");
    Client::connect(at, Credentials::None).expect("a client")
}

/// Waits until something is there, for a minute at most.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = SystemClock.now().plus(60_000_000);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(SystemClock.now() < deadline, "{what} did not come to pass");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn get(address: &str, path: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).expect("a connection");
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").expect("a request");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    (status, head.to_ascii_lowercase(), body.to_owned())
}

impl Up {
    /// Starts one in a folder with a `purlin.yaml`; its broker listens on `port`.
    #[allow(clippy::disallowed_methods)] // a test's own thread
    fn start(s: &Scratch, port: u16, args: &[&str]) -> Up {
        let broker = format!("127.0.0.1:{port}");
        let mut process = Command::new(env!("CARGO_BIN_EXE_purlin"))
            .args(["up", "--json", "--http", "127.0.0.1:0", "--broker", &broker])
            .args(args)
            // Connectors look here until they follow the environment of their job.
            .env("PUBSUB_EMULATOR_HOST", &broker)
            .env_remove("GOOGLE_CLOUD_PROJECT")
            .current_dir(s.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let said = Arc::new(Mutex::new(String::new()));
        let (mut errors, heard) = (process.stderr.take().expect("a pipe"), said.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n) =
                errors.read(&mut bytes).map_err(drop).and_then(|n| if n > 0 { Ok(n) } else { Err(()) })
            {
                heard.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..n]));
            }
        });
        let mut out = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut line = String::new();
        out.read_line(&mut line).expect("a line");
        let announced: Value =
            serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}; {}", said.lock().unwrap()));
        // Pipelines print, and somebody has to read it.
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()).is_ok());
        let http = announced["http"].as_str().expect("an address").to_owned();
        assert_eq!(announced["broker"], broker);
        Up { process, http, client: client(&broker), said }
    }

    fn json(&self, path: &str) -> Value {
        let (status, head, body) = get(&self.http, path);
        assert_eq!(status, 200, "{path}: {body}");
        assert!(head.contains("application/json"), "{head}");
        serde_json::from_str(&body).expect("JSON")
    }

    fn pipeline(&self, name: &str) -> Value {
        self.json(&format!("/api/v1/pipelines/{name}"))
    }

    fn until_state(&self, name: &str, state: &str) -> Value {
        until(&format!("{name} {state}; {}", self.said.lock().unwrap()), || {
            let p = self.pipeline(name);
            (p["state"] == state).then_some(p)
        })
    }

    fn publish(&self, id: &str, messages: Vec<PubsubMessage>) {
        let (c, name) = (self.client.clone(), topic(id));
        block_on(async move { c.publish_once(&name, messages).await }).expect("published");
    }

    fn subscribe(&self, id: &str, to: &str) {
        let c = self.client.clone();
        let wanted = Subscription {
            name: subscription(id).to_string(),
            topic: topic(to).to_string(),
            ..Subscription::default()
        };
        block_on(async move { c.create_subscription(wanted).await }).expect("a subscription");
    }

    /// Takes messages until one passes.
    fn until_message(&self, id: &str, passes: impl Fn(&str) -> bool) -> String {
        until("a message", || {
            let (c, name) = (self.client.clone(), subscription(id));
            let got = block_on(async move {
                let got = c.pull_once(&name, 100, Duration::from_millis(500)).await?;
                if !got.is_empty() {
                    c.acknowledge_once(&name, got.iter().map(|m| m.ack_id.clone()).collect()).await?;
                }
                Ok(got)
            });
            let got = got.expect("pulled").into_iter().filter_map(|m| m.message);
            got.map(|m| String::from_utf8_lossy(&m.data).into_owned()).find(|t| passes(t))
        })
    }

    /// SIGTERM, and the exit code.
    fn end(mut self) -> (i32, String) {
        self.terminate();
        let code = self.process.wait().expect("an end").code().unwrap_or(-1);
        let said = self.said.lock().unwrap().clone();
        (code, said)
    }

    fn terminate(&self) {
        let told =
            Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().expect("kill");
        assert!(told.success());
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Ended already, in tests that pass.
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// A purchase so many seconds after the beginning of some window.
fn purchase(customer: &str, cents: i64, after: i64) -> PubsubMessage {
    let seconds = 1_726_644_450 + after;
    let row =
        json!({"Customer ID": customer, "Purchase Amount": cents as f64 / 100.0, "Time Stamp": seconds});
    PubsubMessage {
        data: row.to_string().into_bytes().into(),
        attributes: [
            ("event_time".to_owned(), (seconds * 1000).to_string()),
            ("id".to_owned(), format!("{customer}-{after}")),
        ]
        .into(),
        ..PubsubMessage::default()
    }
}

fn purchases() -> String {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines/purchases/pipeline.yaml");
    std::fs::read_to_string(path).expect("the pipeline")
}

/// Asks everything, and compares it with the description.
fn conforms(up: &Up, name: &str) {
    let document = up.json("/openapi.json");
    for (path, described) in document["paths"].as_object().expect("paths") {
        let path = path.replace("{name}", name);
        if path == "/metrics" || path == "/openapi.json" {
            continue;
        }
        let schema = &described["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        let problems = conforms::problems(&document, schema, &up.json(&path));
        assert!(problems.is_empty(), "{path}: {problems:#?}");
    }
    for wrong in
        ["/nothing", "/api/v1/pipelines/none", "/api/v1/pipelines/none/graph", "/api/v1/pipelines/%ff/graph"]
    {
        let (status, head, body) = get(&up.http, wrong);
        assert!((400..500).contains(&status) && head.contains("application/problem+json"), "{wrong}: {head}");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        let schema = json!({"$ref": "#/components/schemas/Problem"});
        assert_eq!(conforms::problems(&document, &schema, &body), [""; 0], "{wrong}");
    }
}

#[test]
fn purchases_are_summed_and_follow_their_file() {
    let s = Scratch::new();
    s.write("purchases/pipeline.yaml", purchases());
    s.write("purlin.yaml", "name: shop\npipelines: [purchases/pipeline.yaml]\n");
    let port = free_port();
    let up = Up::start(&s, port, &[]);
    up.until_state("purchases", "running");
    up.subscribe("check", "totals");
    up.publish(
        "purchases",
        vec![purchase("CO1", 5160, 1), purchase("CO1", 6461, 29), purchase("CO2", 100, 60)],
    );
    let line = up.until_message("check", |t| t.contains("CO1"));
    assert_eq!(line, "CO1:, $116.21, Window: 2024-09-18 07:27:30 - 2024-09-18 07:28:00");

    conforms(&up, "purchases");
    assert_eq!(up.json("/readyz")["ready"], true);
    let metrics = get(&up.http, "/metrics").2;
    for line in [
        "purlin_pipeline_up{pipeline=\"purchases\"} 1",
        "purlin_pipeline_read_rows_total{pipeline=\"purchases\"} 3",
        "fate=\"passed\"",
        "purlin_subscription_backlog_messages{subscription=\"projects/local/subscriptions/purchases-totals\"}",
        "# EOF",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    let status = s.purlin(&["status"]);
    assert_eq!(status.code, 0, "{status:?}");
    assert!(status.out.contains("purchases  running"), "{status:?}");

    // A broken file: the old version goes on, and the reason is shown.
    s.write("purchases/pipeline.yaml", purchases().replace("type: Combine", "type: Combin"));
    let refused = until("a refusal", || Some(up.pipeline("purchases")).filter(|p| !p["refused"].is_null()));
    assert_eq!((&refused["state"], &refused["well"]), (&json!("running"), &json!(false)));
    assert!(
        refused["refused"]["text"].as_str().expect("a text").contains("did you mean `Combine`?"),
        "{refused}"
    );
    up.publish("purchases", vec![purchase("CO3", 300, 65), purchase("CO3", 1, 120)]);
    assert!(up.until_message("check", |t| t.contains("CO3")).starts_with("CO3:, $3.0, "));
    let status = s.purlin(&["status"]);
    assert!(status.code == 1 && status.out.contains("refused ("), "{status:?}");

    // A good one: the new version takes over.
    s.write(
        "purchases/pipeline.yaml",
        purchases().replace("{row.customer}:, $", "customer {row.customer} $"),
    );
    until("the new version", || {
        let p = up.pipeline("purchases");
        (p["refused"].is_null() && p["state"] == "running" && p["since"] != refused["since"]).then_some(())
    });
    up.publish("purchases", vec![purchase("CO4", 400, 125), purchase("CO4", 1, 180)]);
    assert!(up.until_message("check", |t| t.contains("CO4")).starts_with("customer CO4 $4.0, "));
    let (code, said) = up.end();
    assert_eq!(code, 0, "{said}");
    assert!(!s.path().join(".purlin/run/up.json").exists());
    assert_eq!(s.purlin(&["status"]).code, 1);
}

/// Its Python never answers.
const STUCK: &str = "
pipeline:
  type: chain
  transforms:
    - {type: ReadFromPubSub, config: {subscription: stuck, format: STRING}}
    - type: MapToFields
      config:
        language: python
        fields:
          line:
            callable: |
              class Trap:
                def go(self):
                  while True: pass
              def line(row) -> str:
                return Trap().go()
    - {type: WriteToPubSub, config: {topic: out, format: STRING}}
x-purlin: {resources: {subscriptions: [{name: stuck, topic: orders}]}}
";

#[test]
fn a_second_signal_does_not_wait_for_what_is_stuck() {
    let s = Scratch::new();
    s.write("stuck.yaml", STUCK).write("purlin.yaml", "pipelines: [stuck.yaml]\n");
    let up = Up::start(&s, free_port(), &[]);
    up.until_state("stuck", "running");
    up.publish("orders", vec![PubsubMessage { data: "x".into(), ..PubsubMessage::default() }]);
    until("the message is read", || (up.pipeline("stuck")["read"] == 1).then_some(()));
    up.terminate();
    up.until_state("stuck", "stopping");
    assert_eq!(up.end().0, 1);
}

#[test]
fn a_kill_in_a_window_loses_nothing() {
    let s = Scratch::new();
    s.write("purchases.yaml", purchases());
    s.write("purlin.yaml", "pipelines: [purchases.yaml]\n");
    let port = free_port();
    let up = Up::start(&s, port, &[]);
    up.until_state("purchases", "running");
    up.subscribe("check", "totals");
    up.publish("purchases", vec![purchase("CO1", 5160, 1), purchase("CO1", 6461, 29)]);
    until("both in a window", || (up.pipeline("purchases")["in_state"] == 2).then_some(()));
    // SIGKILL.
    drop(up);
    let up = Up::start(&s, port, &[]);
    up.until_state("purchases", "running");
    until("both again", || (up.pipeline("purchases")["in_state"] == 2).then_some(()));
    up.publish("purchases", vec![purchase("CO2", 100, 60)]);
    let line = up.until_message("check", |t| t.contains("CO1"));
    assert_eq!(line, "CO1:, $116.21, Window: 2024-09-18 07:27:30 - 2024-09-18 07:28:00");
    assert_eq!(up.end().0, 0);
}

const REFUSING: &str = "
pipeline:
  transforms:
    - type: ReadFromPubSub
      name: Orders
      config:
        subscription: orders-in
        format: JSON
        schema: {type: object, properties: {id: {type: integer}}}
        error_handling: {output: broken}
    - {type: WriteToPubSub, name: Out, input: Orders, config: {topic: out, format: JSON}}
    - {type: WriteToDeadLetters, name: Letters, input: Orders.broken}
x-purlin: {resources: {topics: [out], subscriptions: [{name: orders-in, topic: orders}]}}
";

#[test]
fn dead_letters_are_counted_and_survive_a_kill() {
    let s = Scratch::new();
    s.write("orders.yaml", REFUSING);
    s.write("purlin.yaml", "pipelines: [{file: orders.yaml, name: shop}]\n");
    let port = free_port();
    let up = Up::start(&s, port, &[]);
    up.until_state("shop", "running");
    let publish = |up: &Up, ids: std::ops::Range<u32>| {
        let bad = |i| PubsubMessage { data: format!("{{\"id\": \"x{i}\"}}").into(), ..Default::default() };
        up.publish("orders", ids.map(bad).collect());
    };
    let counts = |up: &Up| up.json("/api/v1/pipelines/shop/deadletters");
    let waiting = |up: &Up, n: u64| until("letters", || (counts(up)["waiting"] == n).then_some(()));
    publish(&up, 0..5);
    waiting(&up, 5);
    conforms(&up, "shop");
    publish(&up, 5..8);
    until("they are read", || (up.pipeline("shop")["read"] == 8).then_some(()));
    // SIGKILL.
    drop(up);
    let up = Up::start(&s, port, &[]);
    up.until_state("shop", "running");
    waiting(&up, 8);
    publish(&up, 8..9);
    waiting(&up, 9);
    let listed: Value =
        serde_json::from_str(&s.purlin(&["deadletters", "list", "shop", "--json"]).out).expect("JSON");
    let letters = listed[0]["letters"].as_array().expect("letters").clone();
    let mut payloads: Vec<&str> = letters.iter().filter_map(|l| l["element"]["payload"].as_str()).collect();
    payloads.sort_unstable();
    let wanted: Vec<String> = (0..9).map(|i| format!("{{\"id\": \"x{i}\"}}")).collect();
    assert_eq!(payloads, wanted, "each once");

    // One is mended and given back while the pipeline runs.
    up.subscribe("check", "out");
    let first = letters[0]["id"].as_str().expect("an id");
    s.write("mended", "{\"id\": 7}");
    let edited = s.purlin(&["deadletters", "edit", first, "--payload-file", "mended"]);
    assert_eq!(edited.code, 0, "{edited:?}");
    let broker = format!("127.0.0.1:{port}");
    let args = ["deadletters", "replay", "orders.yaml", first, "--pipeline", "shop"];
    let ran = s.purlin_with(&args, &[("PUBSUB_EMULATOR_HOST", &broker)]);
    assert!(ran.code == 0 && ran.out.contains("read 1 = replayed 1 + failed again 0"), "{ran:?}");
    up.until_message("check", |t| t == r#"{"id":7}"#);
    let c = counts(&up);
    let of = ["kept", "waiting", "replayed", "dropped", "damaged"].map(|name| c[name].as_u64());
    assert_eq!(of, [9, 8, 1, 0, 0].map(Some), "{c}");
    let (code, said) = up.end();
    assert_eq!(code, 0, "{said}");
}

const READER: &str = "
pipeline:
  type: chain
  transforms:
    - {type: ReadFromPubSub, config: {subscription: orders-in, format: STRING}}
    - {type: WriteToPubSub, config: {topic: out, format: STRING}}
";

const BOUNDED: &str = "
pipeline:
  type: chain
  transforms:
    - {type: Create, config: {elements: [{a: 1}, {a: 2}]}}
    - {type: WriteToJson, config: {path: out/rows}}
";

#[test]
fn pipelines_fail_finish_and_are_refused_each_by_itself() {
    let s = Scratch::new();
    s.write("reader.yaml", READER).write("bounded.yaml", BOUNDED);
    s.write("refused.yaml", BOUNDED.replace("WriteToJson", "WriteToJsn"));
    s.write(
        "purlin.yaml",
        "apply: false\npipelines: [reader.yaml, refused.yaml, {file: bounded.yaml, name: once, lanes: 1}]\n",
    );
    let up = Up::start(&s, free_port(), &["--log-format", "json"]);
    up.until_state("once", "finished");
    assert_eq!(s.lines("out/rows"), [r#"{"a":1}"#, r#"{"a":2}"#]);
    let refused = up.until_state("refused", "refused");
    assert!(refused["refused"]["text"].as_str().expect("a text").contains("refused.yaml:"), "{refused}");
    let failed = until("a failure", || {
        Some(up.pipeline("reader")).filter(|p| p["restarts"].as_u64() >= Some(2) && p["state"] == "failed")
    });
    let why = failed["last_error"]["text"].as_str().expect("a text");
    assert!(why.contains("orders-in") && !failed["next_start"].is_null(), "{failed}");
    let (status, _, body) = get(&up.http, "/readyz");
    assert!(status == 503 && body.contains("reader") && !body.contains("once"), "{body}");
    let status = s.purlin(&["status"]);
    assert!(status.code == 1 && status.out.contains("orders-in"), "{status:?}");

    // A second one on the same data is refused, and told by whom.
    let second = s.purlin(&["up", "--http", "127.0.0.1:0", "--broker", "127.0.0.1:0"]);
    assert_eq!(second.code, 2, "{second:?}");
    assert!(second.err.contains(&format!("process {}", up.process.id())), "{second:?}");

    // What was missing comes, and a refused file is mended.
    let c = up.client.clone();
    block_on(async move {
        for id in ["orders", "out"] {
            c.create_topic(Topic { name: topic(id).to_string(), ..Topic::default() }).await?;
        }
        Ok(())
    })
    .expect("topics");
    up.subscribe("orders-in", "orders");
    up.subscribe("check", "out");
    s.write("refused.yaml", BOUNDED.replace("out/rows", "out/mended"));
    up.until_state("reader", "running");
    up.until_state("refused", "finished");
    let hello = PubsubMessage { data: "hello".into(), ..PubsubMessage::default() };
    up.publish("orders", vec![hello]);
    up.until_message("check", |t| t == "hello");
    let (code, said) = up.end();
    assert_eq!(code, 0, "{said}");
    let lines: Vec<Value> = said.lines().map(|l| serde_json::from_str(l).expect("JSON a line")).collect();
    assert!(lines.iter().any(|l| l["level"] == "ERROR" && l["pipeline"] == "reader"), "{said}");
}

const SHAKY: &str = "
pipeline:
  type: chain
  transforms:
    - type: ReadFromPubSub
      config: {subscription: numbers-in, format: JSON, schema: {type: object, properties: {v: {type: integer}}}}
    - {type: MapToFields, name: Share, config: {language: python, fields: {v: 10 // v}}}
    - {type: WriteToPubSub, config: {topic: out, format: JSON}}
x-purlin: {resources: {topics: [out], subscriptions: [{name: numbers-in, topic: numbers}]}}
";

#[test]
fn counters_do_not_fall_when_a_pipeline_is_started_again() {
    let s = Scratch::new();
    s.write("shaky.yaml", SHAKY).write("once.yaml", BOUNDED);
    s.write("purlin.yaml", "commit_every: 60s\npipelines: [shaky.yaml, once.yaml]\n");
    let up = Up::start(&s, free_port(), &[]);
    up.until_state("shaky", "running");
    up.until_state("once", "finished");
    let publish = |v: i64| {
        let data = format!("{{\"v\": {v}}}").into();
        up.publish("numbers", vec![PubsubMessage { data, ..PubsubMessage::default() }]);
    };
    let mut most: std::collections::BTreeMap<String, u64> = std::collections::BTreeMap::new();
    let mut counter = |series: &str| {
        let metrics = get(&up.http, "/metrics").2;
        for (name, n) in
            metrics.lines().filter_map(|l| l.rsplit_once(' ')).filter(|(n, _)| n.contains("_total{"))
        {
            let n = n.parse().expect("a count");
            let before = most.insert(name.to_owned(), n).unwrap_or(0);
            assert!(n >= before, "{name} fell from {before} to {n}");
        }
        most.get(series).copied().unwrap_or(0)
    };
    let passed = "purlin_transform_rows_total{pipeline=\"shaky\",transform=\"Share\",fate=\"passed\"}";
    (0..3).for_each(|_| publish(1));
    until("three passed", || (counter(passed) == 3).then_some(()));
    publish(0);
    until("it failed twice", || {
        (counter("purlin_pipeline_restarts_total{pipeline=\"shaky\"}") >= 2).then_some(())
    });
    assert!(counter(passed) >= 3);

    // A batch pipeline that runs again counts on, also as another entry of the project.
    let rows = "purlin_transform_output_rows_total{pipeline=\"once\",transform=\"Create\",output=\"out\"}";
    assert_eq!(counter(rows), 2);
    s.write("once.yaml", format!("# once more\n{BOUNDED}"));
    until("it runs again", || (counter(rows) == 4).then_some(()));
    s.write("purlin.yaml", "commit_every: 60s\npipelines: [shaky.yaml, {file: once.yaml, lanes: 1}]\n");
    until("it runs a third time", || (counter(rows) == 6).then_some(()));
    assert_eq!(up.end().0, 0);
}

#[test]
fn the_project_file_is_followed() {
    let s = Scratch::new();
    s.write("a.yaml", BOUNDED).write("b.yaml", BOUNDED.replace("out/rows", "out/b"));
    s.write("purlin.yaml", "pipelines: [a.yaml]\n");
    let up = Up::start(&s, free_port(), &[]);
    up.until_state("a", "finished");
    s.write("purlin.yaml", "pipelines: [b.yaml]\n");
    let names = |up: &Up| -> Vec<String> {
        let list = up.json("/api/v1/pipelines")["pipelines"].as_array().cloned().unwrap_or_default();
        list.iter().filter_map(|p| p["name"].as_str().map(str::to_owned)).collect()
    };
    until("the new project", || (names(&up) == ["b"]).then_some(()));
    up.until_state("b", "finished");
    s.write("purlin.yaml", "pipelines: [b.yaml, a.yaml]\npipelnes: 1\n");
    let refused = |up: &Up, part: &str| {
        let why = up.json("/api/v1/pipelines")["refused"]["text"].as_str().unwrap_or_default().to_owned();
        why.contains(part).then_some(())
    };
    until("a refusal", || refused(&up, "did you mean `pipelines`?"));
    assert!(up.said.lock().unwrap().contains("did you mean `pipelines`?"));
    assert_eq!(names(&up), ["b"]);
    let status = s.purlin(&["status"]);
    assert!(status.code == 1 && status.out.contains("its project file is refused"), "{status:?}");
    assert!(status.out.contains("did you mean `pipelines`?") && status.out.contains("b         finished"));
    let status: Value = serde_json::from_str(&s.purlin(&["status", "--json"]).out).expect("JSON");
    assert!(status["refused"]["text"].as_str().expect("a text").contains("purlin.yaml:2"), "{status}");
    assert!(get(&up.http, "/metrics").2.contains("purlin_project_refused 1"));
    // Gone, or empty, it is refused, too.
    std::fs::remove_file(s.path().join("purlin.yaml")).expect("removed");
    until("it is missed", || refused(&up, "cannot read the project file"));
    s.write("purlin.yaml", "");
    until("it is empty", || refused(&up, "purlin.yaml:1"));
    s.write("purlin.yaml", "pipelines: [b.yaml]\n");
    until("it is good", || get(&up.http, "/metrics").2.contains("purlin_project_refused 0").then_some(()));
    assert_eq!(s.purlin(&["status"]).code, 0);

    // What an included file says is followed, too.
    let text = BOUNDED.replace("out/rows", "out/{{ name }}");
    s.write("names.yaml", "# nothing\n").write("c.yaml", format!("{{% include 'names.yaml' %}}\n{text}"));
    s.write("purlin.yaml", "pipelines: [b.yaml, {file: c.yaml, variables: {name: d}}]\n");
    until("c", || (names(&up) == ["b", "c"]).then_some(()));
    let first = up.until_state("c", "finished");
    assert_eq!(s.lines("out/d").len(), 2);
    s.write("names.yaml", "# something else\n");
    until("c once more", || (up.pipeline("c")["since"] != first["since"]).then_some(()));
    nonsense(&up);

    // A kill leaves a record behind, and the folder free.
    drop(up);
    let status = s.purlin(&["status"]);
    assert!(status.code == 1 && status.err.contains("may have been killed"), "{status:?}");
    let up = Up::start(&s, free_port(), &[]);
    up.until_state("b", "finished");
    assert_eq!(up.end().0, 0);
}

#[test]
fn commands_look_where_the_project_has_its_data() {
    let s = Scratch::new();
    s.write("orders.yaml", REFUSING);
    s.write("purlin.yaml", "data: state\npipelines: [orders.yaml]\n");
    let up = Up::start(&s, free_port(), &[]);
    up.until_state("orders", "running");
    up.publish("orders", vec![PubsubMessage { data: vec![b'n', 0xff].into(), ..PubsubMessage::default() }]);
    until("a letter", || (up.json("/api/v1/pipelines/orders/deadletters")["kept"] == 1).then_some(()));
    // Also if something else is wrong with it.
    for project in ["data: state\npipelines: [orders.yaml]\n", "data: state\npipelnes: 1\n"] {
        s.write("purlin.yaml", project);
        let listed = s.purlin(&["deadletters", "list"]);
        assert!(listed.code == 0 && listed.out.contains("kept 1 = waiting 1"), "{listed:?}");
        assert!(s.purlin(&["status"]).out.contains("orders    running"));
        assert!(s.purlin(&["why"]).out.contains("orders"), "{project}");
    }
    until("a refusal", || (!up.json("/api/v1/pipelines")["refused"].is_null()).then_some(()));
    conforms(&up, "orders");
    // Bytes that are no text can be got out.
    let json = |args: &[&str]| serde_json::from_str::<Value>(&s.purlin(args).out).expect("JSON");
    let letter = json(&["deadletters", "list", "--json"])[0]["letters"][0].clone();
    assert_eq!(letter["element"]["payload_base64"], "bv8=", "{letter}");
    let shown = json(&["deadletters", "show", "--json", letter["id"].as_str().expect("an id")])[0].clone();
    for row in ["element", "original"] {
        assert_eq!(shown[row]["payload_base64"], "bv8=", "{shown}");
        assert_eq!(shown[row]["payload"], "n\u{fffd}", "{shown}");
    }
    s.write("purlin.yaml", "data: [state\n");
    let listed = s.purlin(&["deadletters", "list"]);
    assert!(listed.out.contains("no pipeline has dead letters here"), "{listed:?}");
    assert!(listed.err.contains("`.purlin` is taken"), "{listed:?}");
    let listed = s.purlin(&["deadletters", "list", "--data", "state"]);
    assert!(listed.out.contains("kept 1 = waiting 1") && listed.err.is_empty(), "{listed:?}");
    // What `purlin run` keeps is told.
    s.write("purlin.yaml", "data: state\npipelines: [orders.yaml]\n");
    std::fs::create_dir_all(s.path().join(".purlin/deadletters/other")).expect("a folder");
    let listed = s.purlin(&["deadletters", "list"]);
    assert!(listed.out.contains("kept 1 =") && listed.err.contains("--data .purlin"), "{listed:?}");
    assert_eq!(up.end().0, 0);
}

/// Nobody who writes nonsense is heard, and nothing breaks.
fn nonsense(up: &Up) {
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
    for (request, status) in [
        ("\u{0}\u{1}\u{2}\r\n\r\n", "400"),
        (long.as_str(), "4"),
        ("POST /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n", "405"),
        ("GET /healthz HTTP/1.0\r\nHost: evil.example\r\n\r\n", "421"),
        ("GET /api/v1/pipelines/%00%2e%2e/graph HTTP/1.0\r\n\r\n", "404"),
    ] {
        let mut stream = TcpStream::connect(&up.http).expect("a connection");
        // It may hang up before it has heard all.
        let _heard = stream.write_all(request.as_bytes());
        let mut text = String::new();
        let _hung_up = stream.read_to_string(&mut text);
        let got = text.split(' ').nth(1).unwrap_or(status);
        assert!(got.starts_with(status), "{request:.40}: {text}");
    }
    assert_eq!(get(&up.http, "/healthz").0, 200);
}

#[test]
fn apply_shows_makes_and_is_done() {
    let s = Scratch::new();
    let options = purlin_broker::Options::new(([127, 0, 0, 1], 0).into(), s.path().join("broker"));
    let broker = purlin_broker::Broker::start(&options, Arc::new(|_: &str| {})).expect("a broker");
    let host = broker.address().to_string();
    s.write("p.yaml", purchases());
    let apply = |args: &[&str]| {
        let all: Vec<&str> = ["apply", "p.yaml", "--host", &host].iter().chain(args).copied().collect();
        s.purlin(&all)
    };
    let plan = "+ topic projects/local/topics/purchases\n\
                + topic projects/local/topics/totals\n\
                + subscription projects/local/subscriptions/purchases-totals: of topic projects/local/topics/purchases\n";
    let dry = apply(&["--dry-run"]);
    assert!(dry.code == 1 && dry.out == plan, "{dry:?}");
    let unasked = apply(&[]);
    assert!(unasked.code == 1 && unasked.err.contains("purlin apply p.yaml --yes"), "{unasked:?}");
    let made = apply(&["--yes"]);
    assert!(made.code == 0 && made.out == plan, "{made:?}");
    let nothing = apply(&["--dry-run"]);
    assert!(nothing.code == 0 && nothing.out.starts_with("= topic"), "{nothing:?}");
    let again = apply(&["--yes", "--json"]);
    let again: Value = serde_json::from_str(&again.out).expect("JSON");
    let actions: Vec<&Value> =
        again["steps"].as_array().expect("steps").iter().map(|s| &s["action"]).collect();
    assert_eq!(actions, ["keep"; 3]);
    assert_eq!(again["applied"], false);

    // Settings are changed where that is possible, and refused where it is not.
    s.write("p.yaml", purchases().replace("ack_deadline: 60s", "ack_deadline: 30s"));
    let changed = apply(&["--yes"]);
    assert!(
        changed.code == 0 && changed.out.contains("~ subscription") && changed.out.contains("ack_deadline"),
        "{changed:?}"
    );
    assert!(
        apply(&["--yes"]).out.contains("= subscription projects/local/subscriptions/purchases-totals exists")
    );
    s.write("p.yaml", purchases().replace("topic: purchases, ack", "topic: totals, ack"));
    let conflict = apply(&["--yes"]);
    assert!(
        conflict.code == 1 && conflict.out.contains("! subscription") && conflict.out.contains("not of"),
        "{conflict:?}"
    );

    // What is read must be there, or be declared.
    s.write("p.yaml", READER);
    let missing = apply(&["--yes"]);
    assert!(missing.code == 1 && missing.out.contains("{name: orders-in, topic: TOPIC}"), "{missing:?}");
    s.write(
        "p.yaml",
        format!(
            "{READER}\nx-purlin: {{resources: {{topics: [{{nam: x}}], subscriptions: [{{name: y}}]}}}}\n"
        ),
    );
    let slips = apply(&["--yes"]);
    assert!(slips.code == 2 && slips.err.contains("did you mean `name`?"), "{slips:?}");
    assert_eq!(s.purlin(&["check", "p.yaml"]).code, 2);
    broker.stop();
}

#[test]
fn what_is_taken_or_no_folder_is_said_with_what_to_write() {
    let s = Scratch::new();
    s.write("a.yaml", BOUNDED).write("file", "");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("its address").to_string();
    let up = |args: &[&str]| {
        let ran = s.purlin(&[&["up", "a.yaml", "--http", "127.0.0.1:0"], args].concat());
        assert_eq!(ran.code, 2, "{ran:?}");
        ran.err
    };
    let said = up(&["--broker", &taken]);
    assert!(said.contains("choose another port with `broker: {listen: …}` or --broker"), "{said}");
    for data in ["file", "file/below"] {
        let said = up(&["--broker", "127.0.0.1:0", "--data", data]);
        assert!(said.contains("`file` is a file and not a folder"), "{said}");
    }
}

/// Clients that never finish, more than there are places: neither the files of the process nor its answers run out.
#[test]
fn clients_that_do_nothing_are_bounded_and_closed() {
    let s = Scratch::new();
    s.write("a.yaml", BOUNDED).write("purlin.yaml", "pipelines: [a.yaml]\n");
    let up = Up::start(&s, free_port(), &[]);
    let half = |sent: &str| {
        let mut stream = TcpStream::connect(&up.http).expect("a connection");
        stream.write_all(sent.as_bytes()).expect("half a request");
        stream
    };
    let mut idle: Vec<TcpStream> = (0..250).map(|_| half("GET /metr")).collect();
    idle.extend((0..50).map(|_| half("")));
    // One that got its answer, and asks nothing more.
    let mut kept = half("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut bytes = [0; 4];
    kept.read_exact(&mut bytes).expect("an answer");
    idle.push(kept);
    let begun = SystemClock.now();
    assert_eq!(get(&up.http, "/healthz").0, 200);
    assert!(SystemClock.now() < begun.plus(5_000_000), "an answer does not wait for those who ask nothing");
    #[cfg(target_os = "linux")]
    {
        let files = std::fs::read_dir(format!("/proc/{}/fd", up.process.id())).expect("its files").count();
        assert!(files < 250, "{files} files are open");
    }
    for mut stream in idle {
        // Closed is closed, whether in order or not; a minute is for all of them, since their times run together.
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
        let ended = stream.read_to_end(&mut Vec::new());
        let late = ended.is_err_and(|e| {
            matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
        });
        assert!(!late, "a client that does nothing is still there");
    }
    assert_eq!(get(&up.http, "/healthz").0, 200);
    assert_eq!(up.end().0, 0);
}

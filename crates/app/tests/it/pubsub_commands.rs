//! The commands of topics and subscriptions, and the live purchases job, with the broker inside the test.

use crate::purchases;
use crate::scratch::{Ran, Scratch};
use purlin_broker::{Broker, Options};
use purlin_pubsub::credentials::Credentials;
use purlin_pubsub::proto::PubsubMessage;
use purlin_pubsub::{Address, Client, TopicName, block_on};
use serde_json::Value;
use std::sync::Arc;

struct World {
    s: Scratch,
    address: String,
    _broker: Broker,
}

impl World {
    fn new() -> Self {
        let s = Scratch::new();
        let options = Options::new(([127, 0, 0, 1], 0).into(), s.path().join("broker"));
        let broker = Broker::start(&options, Arc::new(|_: &str| {})).expect("a broker starts");
        World { address: broker.address().to_string(), s, _broker: broker }
    }

    fn purlin(&self, args: &[&str]) -> Ran {
        self.s.purlin_with(args, &[("PUBSUB_EMULATOR_HOST", &self.address), ("GOOGLE_CLOUD_PROJECT", "")])
    }

    /// What a command prints, if it goes well.
    fn said(&self, args: &[&str]) -> String {
        let ran = self.purlin(args);
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
        ran.out
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.said(args)).expect("JSON")
    }
}

#[test]
fn topics_and_subscriptions_are_made_shown_and_removed() {
    let w = World::new();
    let said = w.said(&["topics", "create", "orders", "alerts", "--labels", "team=shop"]);
    assert_eq!(
        said,
        "created topic projects/local/topics/orders\ncreated topic projects/local/topics/alerts\n"
    );
    let listed = w.json(&["topics", "list", "--json"]);
    assert_eq!(listed[0]["name"], "projects/local/topics/alerts");
    assert_eq!(listed[1]["labels"]["team"], "shop");

    let options =
        ["--ack-deadline", "20", "--enable-message-ordering", "--message-filter", "attributes:country"];
    let retry = ["--min-retry-delay", "1s", "--dead-letter-topic", "alerts", "--max-delivery-attempts", "7"];
    let create = ["subscriptions", "create", "reader", "--topic", "orders"];
    w.said(&[&create[..], &options[..], &retry[..]].concat());
    let shown = w.json(&["subscriptions", "describe", "reader", "--json"]);
    assert_eq!(shown["ackDeadlineSeconds"], 20);
    assert_eq!(shown["enableMessageOrdering"], true);
    assert_eq!(shown["filter"], "attributes:country");
    assert_eq!(shown["retryPolicy"]["minimumBackoff"], "1s");
    assert_eq!(shown["deadLetterPolicy"]["maxDeliveryAttempts"], 7);
    assert_eq!(w.said(&["topics", "list-subscriptions", "orders"]), "projects/local/subscriptions/reader\n");
    assert!(w.said(&["subscriptions", "list"]).contains("of projects/local/topics/orders"));

    w.said(&["subscriptions", "delete", "reader"]);
    w.said(&["topics", "delete", "orders", "alerts"]);
    assert_eq!(w.said(&["topics", "list"]), "");
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let w = World::new();
    let missing = w.purlin(&["publish", "orders", "--message", "x"]);
    assert_eq!(missing.code, 1);
    assert!(
        missing.err.contains("NOT_FOUND") && missing.err.contains("purlin topics create"),
        "{}",
        missing.err
    );
    w.said(&["topics", "create", "orders"]);
    let twice = w.purlin(&["topics", "create", "orders"]);
    assert!(twice.code == 1 && twice.err.contains("ALREADY_EXISTS"), "{}", twice.err);
    let name = w.purlin(&["topics", "create", "projects/p/subscriptions/orders"]);
    assert!(name.code == 2 && name.err.contains("projects/PROJECT/topics/TOPIC"), "{}", name.err);
    let to = w.purlin(&["generate", "orders", "--to", "orders"]);
    assert!(to.err.contains("pubsub://orders"), "{}", to.err);
    let port = w.purlin(&["broker", "--listen", &w.address, "--data", "other"]);
    assert!(port.code == 2 && port.err.contains("choose another port with --listen"), "{}", port.err);
    let nobody = w.s.purlin_with(&["topics", "list"], &[("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")]);
    assert!(nobody.code == 1 && nobody.err.contains("purlin broker"), "{}", nobody.err);
}

#[test]
fn messages_are_published_pulled_and_sought_again() {
    let w = World::new();
    w.said(&["topics", "create", "orders"]);
    let create = ["subscriptions", "create", "reader", "--topic", "orders", "--retain-acked-messages"];
    w.said(&create);
    w.said(&["publish", "orders", "--message", "one", "--attribute", "country=India,kind=a", "--json"]);
    let got = w.json(&["pull", "reader", "--auto-ack", "--limit", "10", "--json"]);
    assert_eq!(got.as_array().map(Vec::len), Some(1));
    assert_eq!(got[0]["message"]["data"], "b25l");
    assert_eq!(got[0]["message"]["attributes"]["country"], "India");
    w.said(&["subscriptions", "seek", "reader", "--time", "2000-01-01T00:00:00Z"]);
    assert!(w.said(&["pull", "reader", "--auto-ack"]).starts_with("one\n    id "));
    let wrong = w.purlin(&["subscriptions", "seek", "reader", "--time", "yesterday"]);
    assert!(wrong.code == 2 && wrong.err.contains("2024-03-05T12:00:00Z"), "{}", wrong.err);
}

#[cfg(unix)]
#[test]
fn a_handler_gets_each_message_until_it_ends_well() {
    let w = World::new();
    w.said(&["topics", "create", "alerts"]);
    w.said(&["subscriptions", "create", "log", "--topic", "alerts"]);
    for n in ["1", "2", "3"] {
        w.said(&["publish", "alerts", "--message", n, "--attribute", "kind=SPIKE"]);
    }
    // Fails on its first call, and then logs.
    let handler =
        r#"test -e failed || { touch failed; exit 1; }; echo "$PURLIN_ATTRIBUTE_KIND $(cat)" >> log"#;
    let ran = w.purlin(&["subscribe", "log", "--limit", "3", "--exec", handler]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("will come again"), "{}", ran.err);
    assert_eq!(w.s.lines("log"), ["SPIKE 1", "SPIKE 2", "SPIKE 3"]);
    assert_eq!(w.said(&["pull", "log", "--json"]).trim(), "[]");
}

#[cfg(unix)]
#[test]
fn an_attribute_that_no_variable_can_hold_does_not_end_the_handler() {
    let w = World::new();
    w.said(&["topics", "create", "alerts"]);
    w.said(&["subscriptions", "create", "log", "--topic", "alerts"]);
    let at = Address::resolve(Some(&w.address), None).expect("an address");
    let client = Client::connect(at, Credentials::None).expect("a client");
    let message = |kind: &str| PubsubMessage {
        data: "x".into(),
        attributes: [("kind".to_owned(), kind.to_owned())].into(),
        ..PubsubMessage::default()
    };
    let messages = vec![message("a\0b"), message("good")];
    let ids = block_on(async move {
        let topic = TopicName::parse("alerts", Some("local"))?;
        client.publish_once(&topic, messages).await
    })
    .expect("published");
    let handler = r#"echo "${PURLIN_ATTRIBUTE_KIND-none}" >> handled"#;
    let ran = w.purlin(&["subscribe", "log", "--limit", "2", "--exec", handler]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.err.contains(&format!("attribute \"kind\" of message {} has a zero byte", ids[0])),
        "{}",
        ran.err
    );
    assert_eq!(w.s.lines("handled"), ["good", "none"]);
    assert_eq!(w.said(&["pull", "log", "--json"]).trim(), "[]");
}

#[test]
fn a_handler_without_a_command_is_refused_and_nothing_is_acknowledged() {
    let w = World::new();
    w.said(&["topics", "create", "alerts"]);
    w.said(&["subscriptions", "create", "log", "--topic", "alerts"]);
    w.said(&["publish", "alerts", "--message", "precious"]);
    for blank in ["", " \n"] {
        let ran = w.purlin(&["subscribe", "log", "--limit", "1", "--exec", blank]);
        assert!(ran.code == 2 && ran.err.contains("the command of --exec is empty"), "{ran:?}");
    }
    assert!(w.said(&["pull", "log"]).starts_with("precious\n"));
}

#[test]
fn live_purchases_are_summed_printed_and_published() {
    let w = World::new();
    w.said(&["topics", "create", "purchases", "totals"]);
    w.said(&["subscriptions", "create", "purchases-totals", "--topic", "purchases"]);
    w.said(&["subscriptions", "create", "totals-reader", "--topic", "totals"]);
    let generate = ["generate", "purchases", "--count", "400", "--late", "0s", "--to", "pubsub://purchases"];
    w.said(&[&generate[..], &["--csv", "purchases.csv"]].concat());
    let broken = [r#"{"Customer ID": "CO1""#, r#"{"Customer ID": "CO1", "Purchase Amount": "much"}"#];
    for message in broken {
        w.said(&["publish", "purchases", "--message", message, "--attribute", "event_time=1726644400000"]);
    }
    let pipeline = purchases::repository().join("pipelines/purchases/pipeline.yaml").display().to_string();
    let ran = w.purlin(&["run", &pipeline, "--set", "output=out", "--until-idle", "2s"]);
    assert_eq!(ran.code, 0, "{}", ran.err);

    let mut printed: Vec<&str> = ran.out.lines().collect();
    printed.sort_unstable();
    let csv = std::fs::read_to_string(w.s.path().join("purchases.csv")).expect("the CSV");
    let mut expected = purchases::expected(&csv);
    expected.sort_unstable();
    assert_eq!(printed, expected);
    let dead = w.s.lines("out/broken");
    assert_eq!(dead.len(), 2, "{dead:?}");

    let mut published = Vec::new();
    loop {
        let got = w.said(&["pull", "totals-reader", "--limit", "1000", "--auto-ack"]);
        if got.is_empty() {
            break;
        }
        published.extend(got.lines().filter(|l| !l.starts_with(' ')).map(str::to_owned));
    }
    published.sort_unstable();
    assert_eq!(published, expected);
}

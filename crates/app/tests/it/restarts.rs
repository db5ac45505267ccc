//! Live pipelines that are stopped, changed, robbed of what they made, and started again.

use crate::pubsub::{World, message, topic};
use purlin_pubsub::{SubscriptionName, block_on};
use std::fs;

/// Sums of ten seconds, in files.
const WINDOWS: &str = "
pipeline:
  type: chain
  transforms:
    - type: ReadFromPubSub
      name: In
      config: {subscription: orders, format: STRING, attributes: ts, timestamp_attribute: ts, watermark_slack: 1s}
    - type: WriteToText
      name: Out
      windowing: {type: fixed, size: 10s}
      config: {path: out/rows}
";

/// A message with an event time, in seconds.
fn timed(text: &str, second: i64) -> purlin_pubsub::proto::PubsubMessage {
    message(text, &[("ts", &(second * 1000).to_string())])
}

fn windows() -> String {
    // Text is written of one field.
    WINDOWS.replace(
        "    - type: WriteToText",
        "    - {type: MapToFields, name: Line, config: {fields: {line: payload}}}\n    - type: WriteToText",
    )
}

/// The files below `out`, hidden ones too, and what is in them.
fn files(w: &World) -> Vec<(String, String)> {
    let Ok(entries) = fs::read_dir(w.s.path().join("out")) else { return Vec::new() };
    let mut all: Vec<(String, String)> = entries
        .map(|e| {
            let path = e.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(path).expect("text"))
        })
        .collect();
    all.sort();
    all
}

#[test]
fn after_a_drain_files_may_be_taken_and_windows_and_writers_changed() {
    let w = World::new();
    let drained = ["--until-idle", "1s"];
    w.publish(vec![timed("a", 5), timed("b", 7), timed("c", 15)]);
    let ran = w.run(&windows(), &drained);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.err.contains("begins from scratch; checkpoints are kept in .purlin/checkpoints/p"),
        "{}",
        ran.err
    );
    let made = files(&w);
    assert_eq!(made.len(), 2, "{made:?}");

    // Whoever the files are for takes them away.
    fs::remove_dir_all(w.s.path().join("out")).expect("removed");
    w.publish(vec![timed("d", 100)]);
    let ran = w.run(&windows(), &drained);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("goes on from checkpoint "), "{}", ran.err);
    let made = files(&w);
    assert!(made.len() == 1 && made[0].1 == "d\n", "{made:?}");

    let changed = windows().replace("size: 10s", "size: 1m").replace("path: out/rows", "path: out/minutes");
    w.s.write("p.yaml", &changed);
    let planned = w.s.purlin(&["plan", "p.yaml"]);
    assert_eq!(planned.code, 0, "{planned:?}");
    w.publish(vec![timed("e", 205), timed("f", 235)]);
    let ran = w.run(&changed, &drained);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let made: Vec<(String, String)> =
        files(&w).into_iter().filter(|(n, _)| n.starts_with("minutes")).collect();
    let mut lines: Vec<&str> = made[0].1.lines().collect();
    lines.sort_unstable();
    assert_eq!((made.len(), lines), (1, vec!["e", "f"]), "one window of a minute");
}

#[test]
fn who_runs_until_nothing_comes_waits_for_what_the_dead_held() {
    let w = World::new();
    w.publish(vec![timed("a", 5)]);
    let mut first = w.start(&windows(), &["--commit-every", "1h"]);
    // It has the message (in a hidden file), and has acknowledged nothing.
    while files(&w).is_empty() && first.try_wait().expect("a child").is_none() {
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
    first.kill().expect("a process that can be killed");
    first.wait().expect("an end");
    let ran = w.run(&windows(), &["--until-idle", "1s"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let made = files(&w);
    assert!(made.len() == 1 && made[0].1 == "a\n", "{made:?}\n{}", ran.err);
}

#[test]
fn a_subscription_that_is_gone_is_told_and_not_made_again_in_silence() {
    let w = World::new();
    let text = "
pipeline:
  type: chain
  transforms:
    - {type: ReadFromPubSub, name: In, config: {topic: orders, format: STRING}}
    - {type: WriteToPubSub, name: Out, config: {topic: totals, format: STRING}}
";
    let ran = w.run(text, &["--until-idle", "1s"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let mine = w.subscriptions().into_iter().find(|s| s.contains("/purlin-")).expect("its subscription");
    let name = SubscriptionName::parse(&mine, None).expect("a name");
    let c = w.client.clone();
    let gone = name.clone();
    block_on(async move { c.delete_subscription(&gone).await }).expect("deleted");
    w.publish(vec![message("lost", &[])]);
    for _ in 0..2 {
        let ran = w.run(text, &["--until-idle", "1s"]);
        assert_eq!(ran.code, 1, "{}", ran.err);
        assert!(
            ran.err.contains(&format!("the subscription `{mine}`")) && ran.err.contains("is gone"),
            "{}",
            ran.err
        );
        assert!(!w.subscriptions().contains(&mine), "it would be there the next time");
    }
    // The way out that it names.
    let id = mine.rsplit('/').next().expect("an id").to_owned();
    let c = w.client.clone();
    let made = purlin_pubsub::proto::Subscription {
        name: format!("projects/shop/subscriptions/{id}"),
        topic: topic("orders").to_string(),
        ..Default::default()
    };
    block_on(async move { c.create_subscription(made).await }).expect("made");
    w.publish(vec![message("kept", &[])]);
    let ran = w.run(text, &["--until-idle", "1s"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let got: Vec<String> = w.drain("totals").into_iter().map(|(text, _)| text).collect();
    assert_eq!(got, ["kept"]);
}

//! Binding, and messages into rows and back, without a service.

use super::config::{ReadFromPubSub, WriteToPubSub};
use super::decode;
use super::encode::{self, Ids};
use crate::shared::testing::{Folder, node, now};
use arrow_array::cast::AsArray;
use purlin_api::json::row_to_json;
use purlin_api::testing::{NoFiles, batch, describe, shape_of};
use purlin_api::{Batch, BindCx, Budget, BuildCx, EventTime, Running, SourceStatus, Times};
use purlin_pubsub::proto::PubsubMessage;
use purlin_spec::{Diagnostics, FromNode, Span};
use std::collections::HashMap;
use std::sync::Arc;

fn with_cx<T>(
    bind: impl FnOnce(&mut Diagnostics, &dyn Fn(&mut Diagnostics, &mut dyn FnMut(&mut BindCx<'_>))) -> T,
) -> T {
    let mut d = Diagnostics::default();
    bind(&mut d, &|d, f| {
        let (label, span) = ("T", Span::default());
        let mut cx =
            BindCx { label, span, type_span: span, beam_compat: false, probe: &NoFiles, diagnostics: d };
        f(&mut cx);
    })
}

fn read_spec(config: &str) -> Result<decode::Spec, String> {
    with_cx(|d, run| {
        let config = ReadFromPubSub::from_node(&node(config), d).ok_or("config")?;
        let mut spec = None;
        run(d, &mut |cx| spec = config.spec(cx));
        spec.filter(|_| !d.has_errors()).ok_or_else(|| describe(d))
    })
}

fn write_spec(config: &str, rows: &str) -> Result<encode::Spec, String> {
    with_cx(|d, run| {
        let config = WriteToPubSub::from_node(&node(config), d).ok_or("config")?;
        let shape = shape_of(rows).unwrap();
        let mut spec = None;
        run(d, &mut |cx| spec = config.spec(&shape.schema, cx));
        spec.filter(|_| !d.has_errors()).ok_or_else(|| describe(d))
    })
}

fn message(data: &[u8], attributes: &[(&str, &str)], second: i64) -> PubsubMessage {
    PubsubMessage {
        data: data.to_vec().into(),
        attributes: attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        message_id: second.to_string(),
        publish_time: Some(purlin_pubsub::prost_types::Timestamp { seconds: second, nanos: 500_000_000 }),
        ..PubsubMessage::default()
    }
}

/// Good rows with their times, and bad ones.
fn read(config: &str, messages: Vec<PubsubMessage>) -> Result<(Vec<String>, Vec<String>), String> {
    let spec = Arc::new(read_spec(config)?);
    let needed = vec![true; spec.schema().fields().len()];
    let errors = config.contains("error_handling");
    let mut rows = decode::Rows::new(spec.clone(), &needed, errors, "projects/p/subscriptions/s");
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    // Twice, as what one batch leaves behind must not show in the next.
    for messages in [Vec::new(), messages] {
        for m in messages {
            let time = spec.time(&m, 7_000_000);
            rows.push(m, time, 7_000_000).map_err(|e| e.to_string())?;
        }
        let filled = rows.finish().map_err(|e| e.to_string())?;
        for (port, b) in filled.batches {
            let texts = (0..b.len()).map(|i| format!("{} {:?}", row_to_json(&b.rows, i), b.times.get(i)));
            if port == 0 { good.extend(texts) } else { bad.extend(texts) }
        }
    }
    Ok((good, bad))
}

fn good(config: &str, messages: Vec<PubsubMessage>) -> Vec<String> {
    let (good, bad) = read(config, messages).unwrap();
    assert!(bad.is_empty(), "{bad:?}");
    good
}

#[test]
fn payloads_as_they_are() {
    let raw = good(
        "{subscription: sub, format: raw}",
        vec![message(b"msg1", &[], 1), message(b"", &[("a", "b")], 2)],
    );
    assert_eq!(raw, [r#"{"payload":"msg1"} 1500000us"#, r#"{"payload":""} 2500000us"#]);
    let text = good("{topic: top, format: String}", vec![message("köttbullar".as_bytes(), &[], 1)]);
    assert_eq!(text, [r#"{"payload":"köttbullar"} 1500000us"#]);
}

#[test]
fn attributes_and_the_publish_time_are_fields() {
    let config =
        "{subscription: sub, format: RAW, attributes: [attr], attributes_map: all, publish_time_field: at}";
    let rows = good(config, vec![message(b"x", &[("attr", "v"), ("b", "w")], 1)]);
    assert_eq!(
        rows,
        [r#"{"payload":"x","attr":"v","all":{"attr":"v","b":"w"},"at":"1970-01-01T00:00:01.5Z"} 1500000us"#]
    );
    let one =
        good("{subscription: sub, format: RAW, attributes: attr}", vec![message(b"x", &[("attr", "v")], 1)]);
    assert_eq!(one, [r#"{"payload":"x","attr":"v"} 1500000us"#]);
    let e = read(config, vec![message(b"x", &[], 9)]).unwrap_err();
    assert!(e.contains("subscriptions/s, message 9: it has no attribute `attr`"), "{e}");
}

const JSON: &str = "{subscription: sub, format: JSON, schema: {type: object, required: [rank], properties: {\
     rank: {type: integer}, generator: {type: object, required: [x], properties: {x: {type: integer}, y: {type: integer}}}}}, \
     error_handling: {output: bad}}";

#[test]
fn json_by_its_schema() {
    let messages = [
        r#"{"generator": {"x": 0, "y": 0}, "rank": 1}"#,
        r#"{"rank": 2}"#,
        r#"{"generator": {"y": 0}, "rank": 3}"#,
        r#"{"generator": {"x": 1}}"#,
        r#"{"rank": "x"}"#,
        "unparsable",
        "",
        r#"{"rank": 4, "other": true}"#,
    ];
    let messages =
        messages.iter().enumerate().map(|(i, m)| message(m.as_bytes(), &[("a", "b")], i as i64)).collect();
    let (good, bad) = read(JSON, messages).unwrap();
    assert_eq!(
        good,
        [
            r#"{"rank":1,"generator":{"x":0,"y":0}} 500000us"#,
            r#"{"rank":2,"generator":null} 1500000us"#,
            r#"{"rank":4,"generator":null} 7500000us"#,
        ]
    );
    let why: Vec<String> = bad
        .iter()
        .map(|b| {
            let (row, _) = b.rsplit_once(' ').unwrap();
            let row: serde_json::Value = serde_json::from_str(row).unwrap();
            format!("{} {}", row["element"]["message_id"].as_str().unwrap(), row["msg"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        why,
        [
            "4 cannot read \"x\" as int in field `rank`, at character 12",
            "5 invalid JSON: expected value, at character 1",
            "6 the payload is empty",
            "2 the required field `generator.x` is not there",
            "3 the required field `rank` is not there",
        ]
    );
    assert_eq!(
        bad[1],
        r#"{"element":{"payload":"unparsable","attributes":{"a":"b"},"message_id":"5","publish_time":"1970-01-01T00:00:05.5Z"},"msg":"invalid JSON: expected value, at character 1","stack":"projects/p/subscriptions/s, message 5"} 5500000us"#
    );
}

#[test]
fn event_times_by_attribute() {
    let config = "{subscription: sub, format: RAW, timestamp_attribute: ts, error_handling: {output: bad}}";
    let times = ["1234", "1970-01-01T00:00:02.5Z", "1970-01-01 01:00:03+01:00", "-5", "soon", ""];
    let messages =
        times.iter().map(|t| message(b"x", &[("ts", t)], 60)).chain([message(b"x", &[], 61)]).collect();
    let (good, bad) = read(config, messages).unwrap();
    let times: Vec<&str> = good.iter().map(|g| g.rsplit_once(' ').unwrap().1).collect();
    assert_eq!(times, ["1234000us", "2500000us", "3s", "-5000us", "61500000us"]);
    assert_eq!(bad.len(), 2);
    assert!(
        bad[0].contains("the attribute `ts` is no time: `soon`") && bad[0].ends_with("60500000us"),
        "{}",
        bad[0]
    );
}

#[test]
fn avro_by_its_schema() {
    let config = "{subscription: sub, format: avro, schema: {type: record, name: ec, fields: [{name: label, type: string}, \
                  {name: rank, type: int}]}, error_handling: {output: bad}}";
    let (good, bad) = read(config, vec![message(b"\x0637a\x02", &[], 1), message(b"\x06", &[], 2)]).unwrap();
    assert_eq!(good, [r#"{"label":"37a","rank":1} 1500000us"#]);
    assert!(bad[0].contains("it is no record of the schema: it ends inside"), "{}", bad[0]);
}

#[test]
fn proto_by_its_text() {
    let schema = "schema: 'message Order { string customer = 1; optional int64 cents = 2; }'";
    let config = format!("{{subscription: sub, format: PROTO, {schema}, error_handling: {{output: bad}}}}");
    let messages = vec![
        message(b"\x0a\x03CO1\x10\x07", &[], 1),
        message(b"\x0a\x09", &[], 2),
        message(b"", &[("a", "b")], 3),
    ];
    let (good, bad) = read(&config, messages).unwrap();
    assert_eq!(
        good,
        [r#"{"customer":"CO1","cents":7} 1500000us"#, r#"{"customer":"","cents":null} 3500000us"#]
    );
    assert!(bad[0].contains("it is no message `Order`: it ends inside a field"), "{}", bad[0]);
    let written =
        write(&format!("{{topic: top, format: proto, {schema}}}"), r#"[{"customer": "CO1", "cents": 7}]"#);
    assert_eq!(written.unwrap(), [("\n\u{3}CO1\u{10}\u{7}".to_owned(), map(&[]))]);
}

#[test]
fn without_an_error_output_a_bad_message_fails_the_run() {
    let e = read("{subscription: sub, format: STRING}", vec![message(b"\xff", &[], 3)]).unwrap_err();
    assert!(e.contains("message 3") && e.contains("error_handling: {output: NAME}"), "{e}");
}

#[test]
fn readers_that_cannot_be() {
    let folder = Folder::new(&[]);
    let said = |config: &str| folder.bind(&super::source::entry(), config, None, false).unwrap_err();
    assert!(said("{format: RAW}").contains("needs a `subscription` or a `topic`"));
    assert!(said("{topic: top, subscription: sub, format: RAW}").contains("not both"));
    assert!(
        said("{topic: projects/p/subscriptions/sub, format: RAW}")
            .contains("`projects/PROJECT/topics/TOPIC`")
    );
    assert!(said("{topic: top, format: JSN}").contains("`JSON`"));
    assert!(said("{topic: top, format: JSON}").contains("need a `schema`"));
    assert!(said("{topic: top, format: RAW, schema: {a: integer}}").contains("have no schema"));
    assert!(
        said("{topic: top, format: RAW, attributes: [payload]}")
            .contains("two fields would be called `payload`")
    );
    assert!(said("{topic: top, format: RAW, publish_time_field: ' '}").contains("a field needs a name"));
    assert!(said("{topic: top, format: PROTO, schema: {a: integer}}").contains("text of a `.proto` file"));
    assert!(
        said("{topic: top, format: PROTO, schema: 'message A { int32 a = 0; }'}")
            .contains("line 1: 0 is no number")
    );
    assert!(said("{topic: top, format: AVRO, schema: {type: string}}").contains("not an Avro schema"));
}

/// A payload as text, and attributes.
type Written = (String, HashMap<String, String>);

fn write(config: &str, rows: &str) -> Result<Vec<Written>, String> {
    let spec = write_spec(config, rows)?;
    let batch = batch(rows).unwrap();
    let batch = Batch { times: Times::Each(vec![1_234_567; batch.len()].into()), ..batch };
    let mut messages = encode::Rows::new(&spec, &batch).unwrap();
    let mut ids = Ids::now(spec.id_attribute.as_ref(), "run-0".to_owned());
    (0..batch.len())
        .map(|i| messages.message(i, &mut ids))
        .map(|m| m.map(|m| (String::from_utf8_lossy(&m.data).into_owned(), m.attributes)))
        .collect()
}

fn map(entries: &[(&str, &str)]) -> HashMap<String, String> {
    entries.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn rows_become_messages() {
    let raw = write(
        "{topic: top, format: RAW, attributes: [a, b]}",
        r#"[{"x": "hi", "a": "1", "b": null}, {"x": "ho", "a": "2", "b": "3"}]"#,
    );
    assert_eq!(
        raw.unwrap(),
        [("hi".into(), map(&[("a", "1")])), ("ho".into(), map(&[("a", "2"), ("b", "3")]))]
    );
    let json = write(
        "{topic: top, format: json, id_attribute: id, timestamp_attribute: ts}",
        r#"[{"z": 1.5, "a": null, "r": {"q": "é", "p": null}, "l": [{"n": null, "m": 1}]}]"#,
    );
    let attributes = map(&[("id", "run-0-1"), ("ts", "1234")]);
    assert_eq!(json.unwrap(), [(r#"{"l":[{"m":1}],"r":{"q":"é"},"z":1.5}"#.into(), attributes)]);
}

#[test]
fn avro_messages_are_read_back() {
    let schema =
        "schema: {type: record, name: r, fields: [{name: a, type: long}, {name: b, type: ['null', string]}]}";
    let spec =
        write_spec(&format!("{{topic: top, format: AVRO, {schema}}}"), r#"[{"a": 1, "b": "x"}]"#).unwrap();
    let rows = batch(r#"[{"a": 7, "b": "x"}, {"a": 8, "b": null}]"#).unwrap();
    let mut out = encode::Rows::new(&spec, &rows).unwrap();
    let mut ids = Ids::None;
    let messages =
        (0..2).map(|i| PubsubMessage { message_id: "1".into(), ..out.message(i, &mut ids).unwrap() });
    let back = good(&format!("{{topic: top, format: AVRO, {schema}}}"), messages.collect());
    assert_eq!(back, [r#"{"a":7,"b":"x"} 7s"#, r#"{"a":8,"b":null} 7s"#]);
}

#[test]
fn writers_that_cannot_be() {
    let said = |config: &str, rows: &str| write(config, rows).unwrap_err();
    assert!(said("{topic: top, format: RAW}", r#"[{"a": "x", "b": "y"}]"#).contains("these are left: a, b"));
    assert!(said("{topic: top, format: RAW}", r#"[{"a": 1}]"#).contains("`a` is int"));
    assert!(said("{topic: top, format: JSON, attributes: [b]}", r#"[{"a": 1}]"#).contains("no field `b`"));
    assert!(
        said("{topic: top, format: JSON, attributes: a}", r#"[{"a": 1}]"#).contains("attributes are text")
    );
    assert!(
        said("{topic: top, format: JSON, attributes_map: a}", r#"[{"a": 1}]"#)
            .contains("not a map from text")
    );
    assert!(
        said(
            "{topic: top, format: AVRO, schema: {type: record, name: r, fields: [{name: b, type: long}]}}",
            r#"[{"a": 1}]"#
        )
        .contains("cannot be written as Avro")
    );
    assert!(
        said("{topic: top, format: RAW}", r#"[{"a": null}, {"a": "x"}]"#).contains("the payload is null")
    );
}

#[test]
fn messages_have_room_for_the_id_that_they_are_given_later() {
    let spec = write_spec("{topic: top, format: RAW}", r#"[{"x": "a"}]"#).unwrap();
    let say = |len: usize, mut ids: Ids| {
        let rows = batch(&format!(r#"[{{"x": "{}"}}]"#, "a".repeat(len))).unwrap();
        let said = encode::Rows::new(&spec, &rows).unwrap().message(0, &mut ids);
        said.map(|m| m.attributes.len())
    };
    let longest = purlin_pubsub::MESSAGE_BYTES_MAX - 100;
    assert_eq!(say(longest, Ids::None), Ok(0));
    let e = say(longest, Ids::Later("purlin_id".to_owned())).unwrap_err();
    assert!(e.contains("bytes, and at most 10000000 are allowed"), "{e}");
    assert_eq!(say(longest - 300, Ids::Later("purlin_id".to_owned())), Ok(0), "it is given later");
}

/// Decodes units once more: what comes out of each port, as text with times.
fn again(config: &str, units: arrow_array::RecordBatch, time: i64) -> Vec<(usize, String, i64)> {
    let node = with_cx(|d, run| {
        let config = ReadFromPubSub::from_node(&node(config), d).unwrap();
        let mut bound = None;
        run(d, &mut |cx| bound = purlin_api::Transform::bind(&config, &[], cx));
        bound.unwrap()
    });
    let node = node.again(units, vec![EventTime(time)]).unwrap();
    assert!(node.outputs().iter().all(|o| o.shape.bounded));
    let Running::Source(mut source) = node.build(&BuildCx::one_lane("T", 10)).unwrap() else {
        panic!("no source")
    };
    let pull = now(source.next(Budget { rows_max: 10, bytes_max: 1000 })).unwrap();
    assert_eq!((pull.status, pull.read), (SourceStatus::Done, 1));
    let rows = pull.batches.iter().flat_map(|(port, b)| {
        (0..b.len()).map(move |row| (*port, row_to_json(&b.rows, row).to_string(), b.times.get(row).0))
    });
    rows.collect()
}

#[test]
fn refused_messages_come_again_with_attributes_and_time() {
    let config = r#"{subscription: projects/shop/subscriptions/orders, format: JSON, timestamp_attribute: at,
        attributes: [region], error_handling: {output: bad},
        schema: {type: object, properties: {a: {type: integer}}}}"#;
    let spec = Arc::new(read_spec(config).unwrap());
    let mut rows = decode::Rows::new(spec.clone(), &[true, true], true, "s");
    let bad = message(b"{\"a\": \"x\xff\"}", &[("region", "eu"), ("at", "1000")], 9);
    rows.push(bad.clone(), spec.time(&bad, 7), 7).unwrap();
    let (port, refused) = rows.finish().unwrap().batches.remove(0);
    assert_eq!(port, 1);
    let kept = refused.times.get(0).0;
    let element = refused.rows.column(0).as_struct().clone();
    let units = arrow_array::RecordBatch::from(element);
    let twice = again(config, units.clone(), kept);
    let [(1, text, time)] = twice.as_slice() else { panic!("{twice:?}") };
    let (before, after) =
        (row_to_json(&refused.rows, 0), serde_json::from_str::<serde_json::Value>(text).unwrap());
    assert_eq!((&after["element"], &after["msg"], *time), (&before["element"], &before["msg"], kept));
    let mut columns = units.columns().to_vec();
    columns[0] = Arc::new(arrow_array::BinaryArray::from(vec![&br#"{"a": 5}"#[..]]));
    let mended = arrow_array::RecordBatch::try_new(units.schema(), columns).unwrap();
    assert_eq!(again(config, mended, kept), [(0, r#"{"a":5,"region":"eu"}"#.to_owned(), 1_000_000)]);
}

use super::*;
use crate::testing::node_of;
use purlin_api::Windowing;
use purlin_api::testing::{Driver, batch, bind, input, shape_of};
use purlin_spec::Diagnostics;
use serde_json::json;

const ROWS: &str = r#"[{"c": "x", "n": 1, "time": 0}]"#;

fn config(v: serde_json::Value) -> FillEmptyWindows {
    let mut d = Diagnostics::default();
    let t = FillEmptyWindows::from_node(&node_of(&v), &mut d);
    assert!(!d.has_errors(), "{}", purlin_api::testing::describe(&d));
    t.unwrap()
}

fn shape(bounded: bool) -> Shape {
    let windowing = Arc::new(Windowing::of(WindowFn::Fixed { size: 10_000_000, offset: 0 }));
    Shape { windowing, bounded, ..shape_of(ROWS).unwrap() }
}

fn start(v: serde_json::Value, bounded: bool) -> Driver {
    let node = bind(&config(v), &[input(shape(bounded))], false).unwrap();
    Driver::new(node.as_ref()).unwrap()
}

fn give(d: &mut Driver, json: &str) {
    let window_fn = WindowFn::Fixed { size: 10_000_000, offset: 0 };
    let rows = crate::windows::assign(batch(json).unwrap(), &window_fn).unwrap().0;
    d.push(0, rows).unwrap();
}

fn mark(d: &mut Driver, seconds: i64) {
    d.watermark(EventTime::from_seconds(seconds)).unwrap();
}

/// What came since the last call: start of the window, `c`, `n`.
fn got(d: &mut Driver) -> Vec<(i64, String)> {
    let mut all = Vec::new();
    for (_, b) in std::mem::take(&mut d.emitted) {
        for row in 0..b.len() {
            let json = purlin_api::json::row_to_json(&b.rows, row);
            let window = b.windows.get(row);
            assert!(b.times.get(row) < window.end() && b.times.get(row) >= window.start());
            all.push((window.start().0 / 1_000_000, format!("{} {}", json["c"], json["n"])));
        }
    }
    all
}

fn rows(of: &[(i64, &str)]) -> Vec<(i64, String)> {
    of.iter().map(|(s, t)| (*s, (*t).to_owned())).collect()
}

#[test]
fn a_silent_stream_gives_a_row_for_each_window_that_passes() {
    let mut d = start(json!({"values": {"n": 0}}), false);
    mark(&mut d, 13);
    assert_eq!(got(&mut d), [], "the window of 13 s is the first, and is open");
    mark(&mut d, 45);
    assert_eq!(got(&mut d), rows(&[(10, "null 0"), (20, "null 0"), (30, "null 0")]));
    give(&mut d, r#"[{"c": "x", "n": 5, "time": 46}]"#);
    mark(&mut d, 60);
    assert_eq!(got(&mut d), rows(&[(40, "\"x\" 5"), (50, "null 0")]));
    give(&mut d, r#"[{"c": "late", "n": 1, "time": 55}]"#);
    assert_eq!(got(&mut d), rows(&[(50, "\"late\" 1")]), "late rows follow");
    d.end().unwrap();
    assert_eq!(got(&mut d), [], "the window of the last watermark had not passed");
}

#[test]
fn an_input_that_ends_is_filled_between_its_first_and_last_window() {
    let mut d = start(json!({"values": {"n": 0}}), true);
    give(
        &mut d,
        r#"[{"c": "x", "n": 5, "time": 46}, {"c": "x", "n": 4, "time": 12}, {"c": "x", "n": 3, "time": 49}]"#,
    );
    got(&mut d);
    d.end().unwrap();
    assert_eq!(got(&mut d), rows(&[(20, "null 0"), (30, "null 0")]));
    let mut d = start(json!({"values": {"n": 0}}), true);
    d.end().unwrap();
    assert_eq!(got(&mut d), [], "nothing is known of an empty input");
    let mut d = start(json!({"from": 15, "until": "1970-01-01T00:00:40Z"}), true);
    d.end().unwrap();
    assert_eq!(got(&mut d), rows(&[(10, "null null"), (20, "null null"), (30, "null null")]));
}

#[test]
fn groups_are_filled_from_their_first_row_on() {
    let mut d = start(json!({"values": {"n": 0}, "keys": "c"}), false);
    mark(&mut d, 5);
    give(&mut d, r#"[{"c": "x", "n": 1, "time": 5}, {"c": null, "n": 2, "time": 15}]"#);
    got(&mut d);
    mark(&mut d, 20);
    assert_eq!(got(&mut d), rows(&[(10, "\"x\" 0")]));
    give(&mut d, r#"[{"c": "y", "n": 1, "time": 35}]"#);
    got(&mut d);
    mark(&mut d, 40);
    assert_eq!(got(&mut d), rows(&[(20, "null 0"), (20, "\"x\" 0"), (30, "null 0"), (30, "\"x\" 0")]));
}

#[test]
fn many_windows_go_out_in_steps_and_too_many_are_left_out() {
    let mut d = start(json!({"gap_max": 2500}), false);
    d.cx.rows_max = 100;
    mark(&mut d, 1);
    mark(&mut d, 20_005);
    assert!(d.emitted.len() == 20 && d.emitted.iter().all(|(_, b)| b.len() == 100));
    assert_eq!(got(&mut d).last().unwrap().0, 19_990);
    mark(&mut d, 50_000);
    assert_eq!(got(&mut d), []);
    assert_eq!(d.cx.log.len(), 1);
    assert!(
        d.cx.log[0].1.starts_with("3000 windows from 1970-01-01T05:33:20Z to 1970-01-01T13:53:20Z"),
        "{:?}",
        d.cx.log
    );
    mark(&mut d, 50_010);
    assert_eq!(got(&mut d), rows(&[(50_000, "null null")]));
    mark(&mut d, i64::MAX / 2_000_000);
    assert_eq!(d.cx.log.len(), 2);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let refused = |v, shape| bind(&config(v), &[input(shape)], false).unwrap_err();
    let e = refused(json!({}), shape_of(ROWS).unwrap());
    assert!(e.starts_with("fill/windows: `T` needs rows in fixed windows; these are in global"), "{e}");
    assert!(
        refused(json!({"values": {"m": 1}}), shape(true))
            .starts_with("name/unknown-field: unknown field `m`")
    );
    assert!(refused(json!({"values": {"n": "many"}}), shape(true)).starts_with("fill/value: field `n` is"));
    assert!(refused(json!({"values": {"c": "a"}, "keys": ["c"]}), shape(true)).contains("`c` is a key"));
    assert!(refused(json!({"keys": ["c"], "from": 0}), shape(true)).starts_with("fill/from-with-keys"));
    assert!(refused(json!({"gap_max": 0}), shape(true)).starts_with("fill/gap-max"));
    let mut d = Diagnostics::default();
    assert!(FillEmptyWindows::from_node(&node_of(&json!({"from": "noon"})), &mut d).is_none());
    let fine = bind(&config(json!({"values": {"n": 0}})), &[input(shape(true))], false).unwrap();
    assert_eq!(fine.explain(), "a row for each empty window of 10s");
    let schema = &fine.outputs()[0].shape.schema;
    assert!(
        schema.field(0).is_nullable() && schema.field(0).name() == "c",
        "fields that are not given are null"
    );
}

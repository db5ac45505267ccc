//! Every transform with state, through the suite.

use super::*;
use crate::testing::node_of;
use purlin_api::testing::{self, bind, shape_of};
use purlin_api::time::SECOND;
use purlin_api::{Catalog, InputShape, Trigger, WindowFn, Windowing};
use purlin_spec::Diagnostics;
use serde_json::json;
use std::sync::Arc;

const SCRIPTS: u64 = 12;

/// A transform over inputs of these tags.
fn node(name: &str, config: Value, inputs: &[(&str, Shape)]) -> Arc<dyn PlanNode> {
    let mut d = Diagnostics::default();
    let decoded = (Catalog::new([crate::catalog()]).get(name).unwrap().decode)(&node_of(&config), &mut d);
    let transform = decoded.unwrap_or_else(|| panic!("{}", testing::describe(&d)));
    let inputs = inputs
        .iter()
        .map(|(tag, shape)| InputShape { tag: (*tag).to_owned(), ..testing::input(shape.clone()) });
    bind(transform.as_ref(), &inputs.collect::<Vec<_>>(), false).unwrap()
}

fn shape(model: &str, window_fn: WindowFn, bounded: bool) -> Shape {
    Shape { windowing: Arc::new(Windowing::of(window_fn)), bounded, ..shape_of(model).unwrap() }
}

fn fixed() -> WindowFn {
    WindowFn::Fixed { size: 10 * SECOND, offset: 0 }
}

fn sliding() -> WindowFn {
    WindowFn::Sliding { size: 20 * SECOND, period: 10 * SECOND, offset: 0 }
}

const MODEL: &str = r#"[{"k": "", "v": 0}]"#;

/// Few keys, some of them null, and small numbers.
fn row(_: Port, random: &mut Random) -> Value {
    let k = ["a", "b", "c", "d", "e"].get(random.below(6) as usize);
    json!({"k": k, "v": random.below(4)})
}

fn survive(name: &str, config: Value, window_fn: WindowFn, bounded: bool, lanes_max: u64) -> (u64, usize) {
    let shape = shape(MODEL, window_fn, bounded);
    let node = node(name, config, &[("input", shape.clone())]);
    assert!(node.state().is_some(), "{name}");
    survives(node.as_ref(), &Feed { inputs: &[shape], row: &row }, lanes_max, SCRIPTS)
}

#[test]
fn deduplicate() {
    for (config, window_fn) in [
        (json!({"keys": ["k"], "horizon": "10s"}), WindowFn::Global),
        (json!({"keys": ["k", "v"], "horizon": "30s"}), fixed()),
        (json!({"keys": ["k"], "horizon": "15s"}), sliding()),
        (json!({"horizon": "20s"}), WindowFn::Global),
    ] {
        let (failed, rows) = survive("Deduplicate", config, window_fn, false, 3);
        assert!(failed == 0 && rows > 30, "{rows}");
    }
    // What is forgotten for want of room depends on the lane.
    survive("Deduplicate", json!({"keys": ["k", "v"], "horizon": "30s", "keys_max": 4}), fixed(), false, 1);
    let full = json!({"keys": ["k", "v"], "horizon": "30s", "keys_max": 12});
    assert!(survive("Deduplicate", full, fixed(), true, 1).0 > 0, "too many keys in some scripts");
}

#[test]
fn the_changes_of_deduplicate_are_the_keys_that_were_touched() {
    let shape = shape(r#"[{"k": 0}]"#, WindowFn::Global, false);
    let node = node("Deduplicate", json!({"keys": ["k"], "horizon": "1h"}), &[("input", shape.clone())]);
    let mut driver = Driver::new(node.as_ref()).unwrap();
    let rows = |keys: std::ops::Range<i64>, t: i64| {
        let rows: Vec<Value> = keys.map(|k| json!({"k": k})).collect();
        let rows = rows_of(&physical(&shape.schema), &Value::Array(rows).to_string()).unwrap();
        Batch::at(rows, Times::One(EventTime::from_seconds(t)))
    };
    let count = |logs: &TableLogs| logs["seen"].iter().map(|l| l.rows.num_rows()).collect::<Vec<_>>();
    driver.push(0, rows(0..50_000, 0)).unwrap();
    let mut logs = TableLogs::new();
    driver.save(Extent::Changes, &mut logs).unwrap();
    assert_eq!(count(&logs), [50_000]);
    driver.push(0, rows(0..100, 1)).unwrap();
    driver.save(Extent::Changes, &mut logs).unwrap();
    assert_eq!(count(&logs), [50_000], "duplicates change nothing");
    driver.push(0, rows(49_990..50_003, 2)).unwrap();
    driver.save(Extent::Changes, &mut logs).unwrap();
    assert_eq!(count(&logs), [50_000, 3]);
    driver.watermark(EventTime::from_seconds(3599)).unwrap();
    driver.save(Extent::Changes, &mut logs).unwrap();
    assert_eq!(count(&logs), [50_000, 3]);
    driver.watermark(EventTime::from_seconds(3600)).unwrap();
    driver.save(Extent::Changes, &mut logs).unwrap();
    assert_eq!(count(&logs), [3], "a log of which most is forgotten is written anew");
    let mut again = Driver::restored(node.as_ref(), (0, 1), &[&logs], EventTime::from_seconds(3600)).unwrap();
    again.push(0, rows(49_999..50_003, 3)).unwrap();
    assert_eq!(again.rows(0), [r#"{"k":49999}"#], "only that one is forgotten");
}

#[test]
fn fill_empty_windows() {
    for (config, bounded) in [
        (json!({"values": {"v": 0}}), false),
        (json!({"values": {"v": 0}}), true),
        (json!({"values": {"v": 0}, "keys": ["k"]}), false),
        (json!({"values": {"v": 0}, "keys": ["k"], "gap_max": 2}), true),
        (json!({"values": {"v": 0}, "from": 5, "until": 90}), true),
    ] {
        let (failed, rows) = survive("FillEmptyWindows", config, fixed(), bounded, 3);
        assert!(failed == 0 && rows > 30, "{rows}");
    }
}

#[test]
fn sql() {
    for (query, window_fn) in [
        ("select k, sum(v) as s, count(*) as n from PCOLLECTION group by k", fixed()),
        ("select count(*) as n from PCOLLECTION", fixed()),
        ("select k, v, row_number() over (partition by k order by v) as r from PCOLLECTION", sliding()),
        ("select max(v) as m from PCOLLECTION", WindowFn::Global),
    ] {
        let (failed, rows) = survive("Sql", json!({"query": query}), window_fn, true, 3);
        assert!(failed == 0 && rows > 4, "{rows}");
    }
    let shapes = [shape(MODEL, fixed(), false), shape(MODEL, fixed(), false)];
    let config = json!({"query": "select a.k, a.v as x, b.v as y from a join b on a.k = b.k"});
    let node = node("Sql", config, &[("a", shapes[0].clone()), ("b", shapes[1].clone())]);
    assert!(survives(node.as_ref(), &Feed { inputs: &shapes, row: &row }, 3, SCRIPTS).1 > 30);
}

#[test]
fn sql_by_key() {
    let config = json!({"language": "sql", "group_by": ["k"],
        "combine": {"s": {"value": "v", "fn": {"type": "sum"}}, "l": "count(distinct v) * 2"}});
    let shape = shape(MODEL, fixed(), false);
    let node = node("Combine", config, &[("input", shape.clone())]);
    assert_eq!(node.distribution(0), Distribution::Keyed(vec![0]));
    assert!(node.explain().contains("window by window"), "{}", node.explain());
    assert!(survives(node.as_ref(), &Feed { inputs: &[shape], row: &row }, 3, SCRIPTS).1 > 30);
}

/// Joins of `a` and `b`, which have other fields.
fn join(config: Value, windowing: Windowing, bounded: bool) -> usize {
    let other = |model| Shape { windowing: Arc::new(windowing.clone()), bounded, ..shape_of(model).unwrap() };
    let shapes = [other(MODEL), other(r#"[{"k": "", "w": 0.5}]"#), other(r#"[{"k": "", "v": 0}]"#)];
    let inputs = if config.to_string().contains("\"c\"") { 3 } else { 2 };
    let tags: Vec<_> = ["a", "b", "c"].into_iter().zip(shapes.clone()).take(inputs).collect();
    let node = node("Join", config, &tags);
    assert!(node.state().is_some());
    let row = |port: Port, random: &mut Random| match port {
        1 => {
            let k = ["a", "b", "c"].get(random.below(4) as usize);
            json!({"k": k, "w": random.below(4)})
        }
        _ => row(port, random),
    };
    let (failed, rows) = survives(node.as_ref(), &Feed { inputs: &shapes[..inputs], row: &row }, 3, SCRIPTS);
    assert_eq!(failed, 0);
    rows
}

#[test]
fn join_in_windows() {
    for kind in ["inner", "left", "right", "outer"] {
        assert!(join(json!({"type": kind, "equalities": "k"}), Windowing::of(fixed()), false) > 30);
    }
    assert!(join(json!({"equalities": "k"}), Windowing::of(sliding()), false) > 30);
    assert!(join(json!({"type": "outer", "equalities": "k"}), Windowing::global(), true) > 30);
    // An integer and a float: all in one lane.
    let numbers = json!({"equalities": [{"a": "v", "b": "w"}], "fields": {"a": ["k"]}});
    assert!(join(numbers, Windowing::of(fixed()), false) > 30);
    let three = json!({"equalities": [{"a": "k", "b": "k"}, {"b": "k", "c": "k"}], "type": {"outer": ["a"]}});
    assert!(join(three, Windowing::of(fixed()), false) > 4);
}

#[test]
fn join_of_late_rows() {
    let windowing = Windowing { allowed_lateness: 15 * SECOND, ..Windowing::of(fixed()) };
    assert!(join(json!({"equalities": "k"}), windowing, false) > 30);
}

#[test]
fn join_in_sessions() {
    let sessions = || Windowing::of(WindowFn::Sessions { gap: 8 * SECOND });
    for kind in ["inner", "left", "outer"] {
        assert!(join(json!({"type": kind, "equalities": "k"}), sessions(), false) > 30);
    }
}

#[test]
fn assert_equal() {
    let shape = shape(MODEL, WindowFn::Global, true);
    let elements: Vec<Value> =
        (0..8_usize).map(|i| json!({"k": format!("k{}", i % 3), "v": i / 3})).collect();
    let node = node("AssertEqual", json!({"elements": elements}), &[("input", shape.clone())]);
    assert!(node.state().is_some());
    // The same rows in any order, and now and then one more.
    let row = |_: Port, random: &mut Random| elements[random.below(8) as usize].clone();
    let feed = Feed { inputs: std::slice::from_ref(&shape), row: &row };
    assert!(survives(node.as_ref(), &feed, 3, SCRIPTS).0 > SCRIPTS / 2, "most are not equal");
    let all = rows_of(&physical(&shape.schema), &Value::Array(elements.clone()).to_string()).unwrap();
    let calls: Vec<Call> = (0..8).map(|i| Call::Batch(0, Batch::untimed(all.slice(i, 1)))).collect();
    for seed in 0..SCRIPTS {
        let (_, fates) = restarted(node.as_ref(), &calls, 3, &mut Random(seed)).unwrap();
        assert_eq!(fates.passed, 8);
    }
}

#[test]
fn thresholds() {
    let errors = json!({"output": "bad", "threshold": 0.1});
    let small = json!({"type": "object", "properties": {"v": {"maximum": 38}}});
    let by = "['x', 'y'][0 if 1 / v > 0.1 else 1]";
    // One row of forty fails.
    let row = |_: Port, random: &mut Random| json!({"k": "a", "v": random.below(40)});
    for (name, config) in [
        ("Filter", json!({"language": "python", "keep": "1 / v > 0.05"})),
        ("MapToFields", json!({"language": "python", "fields": {"x": "1 / v"}})),
        ("Partition", json!({"language": "python", "by": by, "outputs": ["x", "y"]})),
        ("AssignTimestamps", json!({"language": "python", "timestamp": "100 / v"})),
        ("ValidateWithSchema", json!({"schema": small})),
    ] {
        let mut config = config;
        config["error_handling"] = errors.clone();
        let shape = shape(MODEL, fixed(), false);
        let node = node(name, config, &[("input", shape.clone())]);
        assert!(node.state().is_some(), "{name}");
        let (failed, rows) = survives(node.as_ref(), &Feed { inputs: &[shape], row: &row }, 3, SCRIPTS);
        assert!(failed > 0 && failed < SCRIPTS && rows > 4, "{name}: {failed} failed, {rows} rows");
    }
}

#[test]
fn what_has_no_state_says_so() {
    for (name, config) in [
        ("Filter", json!({"language": "python", "keep": "v > 1"})),
        ("MapToFields", json!({"fields": {"x": "v"}})),
        ("Explode", json!({"fields": "k"})),
        ("Reshuffle", json!({})),
        ("LogForTesting", json!({})),
        ("Sql", json!({"query": "select v + 1 as w from PCOLLECTION"})),
    ] {
        let shape = shape(r#"[{"k": ["x"], "v": 0}]"#, fixed(), false);
        let node = node(name, config, &[("input", shape.clone())]);
        assert!(node.state().is_none(), "{name}");
        let row = |_: Port, random: &mut Random| json!({"k": ["a", "b"], "v": random.below(4)});
        survives(node.as_ref(), &Feed { inputs: &[shape], row: &row }, 1, 3);
    }
}

#[test]
fn what_state_means_tells_what_matters() {
    let means = |config: Value, window_fn: WindowFn, lateness: i64| {
        let windowing = Arc::new(Windowing {
            allowed_lateness: lateness,
            trigger: Trigger::Default,
            ..Windowing::of(window_fn)
        });
        let shape = Shape { windowing, ..shape_of(MODEL).unwrap() };
        let node = node("Join", config, &[("a", shape.clone()), ("b", shape)]);
        node.state().unwrap().means
    };
    let by = |fields: &str| json!({"equalities": fields, "fields": {"a": ["k", "v"]}});
    let plain = means(by("k"), fixed(), 0);
    assert_eq!(
        plain,
        "rows of a (k str, v int), b (k str, v int) that wait; on a.k = b.k; windows fixed(10s)"
    );
    assert_eq!(means(by("k"), fixed(), 5), plain, "lateness may change");
    assert_ne!(means(by("v"), fixed(), 0), plain);
    assert_ne!(means(by("k"), WindowFn::Global, 0), plain);
    let dedup = |config: Value, window_fn| {
        node("Deduplicate", config, &[("input", shape(MODEL, window_fn, false))]).state().unwrap().means
    };
    let plain = dedup(json!({"keys": "k", "horizon": "1h"}), fixed());
    assert_eq!(plain, "keys seen: k str");
    assert_eq!(dedup(json!({"key": "k", "horizon": "2h", "keys_max": 9}), WindowFn::Global), plain);
    assert_ne!(dedup(json!({"key": "v"}), fixed()), plain);
    assert_ne!(dedup(json!({"key": "k"}), sliding()), plain);
}

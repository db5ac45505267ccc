#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by these

use super::*;
use crate::testing::config;
use purlin_api::testing::{self, Driver};
use purlin_api::time::SECOND;
use purlin_api::window::{WindowFn, Windowing};
use purlin_api::{Batch, Distribution, EventTime, Shape, Times, Trigger};
use serde_json::{Value, json};

pub(super) fn input(tag: &str, shape: Shape) -> InputShape {
    InputShape { tag: tag.to_owned(), ..testing::input(shape) }
}

pub(super) fn bind(query: &str, inputs: &[InputShape]) -> Result<Arc<dyn PlanNode>, String> {
    let t: Sql = config(json!({"query": query}))?;
    testing::bind(&t, inputs, false)
}

fn windowed(shape: Shape, windowing: Windowing) -> Shape {
    Shape { windowing: Arc::new(windowing), ..shape }
}

pub(super) fn ten_seconds() -> WindowFn {
    WindowFn::Fixed { size: 10 * SECOND, offset: 0 }
}

const ROWS: &str = r#"[{"k": "a", "v": 3}, {"k": "b", "v": null}, {"k": "a", "v": 4}]"#;

fn refused(query: &str, shape: Shape, wanted: &[&str]) {
    let e = bind(query, &[input("input", shape)]).expect_err(query);
    for w in wanted {
        assert!(e.contains(w), "`{w}` is missing in\n{e}\nfor {query}");
    }
}

#[test]
fn rows_pass_as_they_come() {
    let shape = testing::shape_of(ROWS).unwrap();
    let node = bind("select v + 1 as w, k from PCOLLECTION where k = 'a'", &[input("input", shape)]).unwrap();
    assert_eq!(node.explain(), "sql, row by row: select v + 1 as w, k from PCOLLECTION where k = 'a'");
    assert_eq!(
        (node.distribution(0), node.columns_needed(&[], &[])),
        (Distribution::Any, vec![vec![true, true]])
    );
    let mut driver = Driver::new(node.as_ref()).unwrap();
    driver.push_json(ROWS).unwrap();
    assert_eq!(driver.rows(0), [r#"{"w":4,"k":"a"}"#, r#"{"w":5,"k":"a"}"#]);
    let fates = driver.cx.fates;
    assert_eq!((fates.passed, fates.filtered, fates.in_state), (2, 1, 0));
    driver.check_schemas(node.as_ref()).unwrap();
}

#[test]
fn a_row_that_fails_is_shown() {
    let shape = testing::shape_of(ROWS).unwrap();
    let node = bind("select 12 / (v - 3) as q from PCOLLECTION", &[input("input", shape)]).unwrap();
    let e = Driver::new(node.as_ref()).unwrap().push_json(ROWS).unwrap_err();
    assert_eq!(e.to_string(), r#"transform `T`: SqlError('division by zero'); the row was {"k":"a","v":3}"#);
}

#[test]
fn windows_are_queried_when_they_end() {
    let shape = testing::shape_of(r#"[{"k": "a", "v": 3, "time": 1}]"#).unwrap();
    let inputs = [input("input", windowed(shape, Windowing::of(ten_seconds())))];
    let node = bind("select k, sum(v) as s from PCOLLECTION group by k order by k", &inputs).unwrap();
    assert_eq!(node.distribution(0), Distribution::Single);
    let mut driver = Driver::new(node.as_ref()).unwrap();
    let push = |driver: &mut Driver, rows: &str| {
        let batch = testing::batch(rows).unwrap();
        driver.push(0, crate::windows::assign(batch, &ten_seconds()).unwrap().0).unwrap();
    };
    push(
        &mut driver,
        r#"[{"k": "b", "v": 5, "time": 9}, {"k": "a", "v": 3, "time": 1}, {"k": "a", "v": 1, "time": 12}]"#,
    );
    assert_eq!((driver.emitted.len(), driver.cx.fates.in_state), (0, 3));
    driver.watermark(EventTime::from_seconds(10)).unwrap();
    assert_eq!(driver.rows(0), [r#"{"k":"a","s":3}"#, r#"{"k":"b","s":5}"#]);
    let (_, first) = &driver.emitted[0];
    assert_eq!(first.times.get(0), EventTime(10 * SECOND - 1000));
    assert_eq!(driver.cx.fates.in_state, 1);
    push(&mut driver, r#"[{"k": "late", "v": 5, "time": 2}, {"k": "a", "v": 1, "time": 19}]"#);
    assert_eq!(driver.cx.fates.late, 1);
    driver.end().unwrap();
    assert_eq!(driver.rows(0)[2..], [r#"{"k":"a","s":2}"#]);
    assert_eq!((driver.cx.fates.passed, driver.cx.fates.in_state), (4, 0));
    driver.check_schemas(node.as_ref()).unwrap();
}

#[test]
fn large_results_come_in_pieces() {
    let shape = testing::shape_of(ROWS).unwrap();
    let node =
        bind("select a.v from PCOLLECTION a cross join PCOLLECTION b", &[input("input", shape)]).unwrap();
    let mut driver = Driver::new(node.as_ref()).unwrap();
    driver.cx.rows_max = 2;
    driver.push_json(ROWS).unwrap();
    driver.end().unwrap();
    assert_eq!(driver.rows(0).len(), 9);
    assert!(driver.emitted.iter().all(|(_, b)| b.len() <= 2));
}

#[test]
fn inputs_are_tables() {
    let a = testing::shape_of(r#"[{"k": 1, "x": 2}]"#).unwrap();
    let b = testing::shape_of(r#"[{"k": 1, "y": "p"}]"#).unwrap();
    let unread = testing::shape_of(r#"[{"z": 1}]"#).unwrap();
    let inputs = [input("a", a), input("b", b), input("c", unread)];
    let node = bind("select y, x from a join b on a.k = b.k where x > 1", &inputs).unwrap();
    assert_eq!(node.columns_needed(&[], &[]), [vec![true, true], vec![true, true], vec![false]]);
    let mut driver = Driver::new(node.as_ref()).unwrap();
    let batch = |json| Batch::untimed(testing::rows(json).unwrap());
    driver.push(0, batch(r#"[{"k": 1, "x": 5}, {"k": 1, "x": 1}, {"k": null, "x": 9}]"#)).unwrap();
    driver.push(1, batch(r#"[{"k": 1, "y": "p"}, {"k": null, "y": "q"}]"#)).unwrap();
    driver.push(2, batch(r#"[{"z": 1}]"#)).unwrap();
    assert_eq!((driver.cx.fates.filtered, driver.cx.fates.in_state), (1, 5));
    driver.end().unwrap();
    assert_eq!(driver.rows(0), [r#"{"y":"p","x":5}"#]);
}

#[test]
fn windows_that_cannot_work_are_refused() {
    let shape = || testing::shape_of(ROWS).unwrap();
    let endless = || Shape { bounded: false, ..shape() };
    let sums = "select sum(v) as s from PCOLLECTION";
    refused(sums, endless(), &["window/unbounded-global", "windowing: {type: fixed"]);
    bind("select v from PCOLLECTION", &[input("input", endless())]).unwrap();
    refused(sums, windowed(shape(), Windowing::of(WindowFn::Sessions { gap: SECOND })), &["sql/sessions"]);
    let early = Windowing {
        trigger: Trigger::Repeatedly(Box::new(Trigger::AfterCount(1))),
        allowed_lateness: SECOND,
        ..Windowing::of(ten_seconds())
    };
    refused(sums, windowed(shape(), early), &["sql/panes"]);
    let inputs = [input("a", shape()), input("b", windowed(shape(), Windowing::of(ten_seconds())))];
    let e = bind("select a.v from a, b", &inputs).unwrap_err();
    assert!(e.contains("sql/windows"), "{e}");
}

#[test]
fn what_is_wrong_is_named() {
    let shape = || testing::shape_of(ROWS).unwrap();
    refused("select vv from PCOLLECTION", shape(), &["name/unknown-field", "`vv`", "did you mean `v`?"]);
    refused("select v from Orders", shape(), &["sql/unknown-table", "the only table is `PCOLLECTION`"]);
    refused("select uper(k) from PCOLLECTION", shape(), &["sql/unknown-function", "did you mean `upper`?"]);
    refused("select v frm PCOLLECTION where", shape(), &["sql/syntax"]);
    refused("", shape(), &["sql/syntax", "empty"]);
    refused("select k + 1 from PCOLLECTION", shape(), &["sql/"]);
    let tumble = "select count(*) from PCOLLECTION group by tumble(v, interval '1' hour)";
    refused(tumble, shape(), &["sql/group-window", "windowing"]);
    refused("select k, v from PCOLLECTION group by k", shape(), &["v"]);
}

#[test]
fn nothing_but_queries() {
    let shape = || testing::shape_of(ROWS).unwrap();
    for text in [
        "create table t (a int)",
        "create external table t stored as csv location '/etc/passwd'",
        "copy PCOLLECTION to '/tmp/x.csv'",
        "insert into PCOLLECTION select * from PCOLLECTION",
        "delete from PCOLLECTION",
        "update PCOLLECTION set v = 1",
        "drop table PCOLLECTION",
        "set datafusion.execution.batch_size = 1",
        "explain select * from PCOLLECTION",
        "show tables",
        "describe PCOLLECTION",
        "select * into t from PCOLLECTION",
        "select * from read_csv('/etc/passwd')",
        "select * from '/etc/passwd'",
        "select * from \"/etc/passwd\"",
        "select * from information_schema.tables",
        "select * from generate_series(1, 100000000000)",
        "with recursive r as (select 1 as n union all select n + 1 from r) select n from r",
        "select * from PCOLLECTION; drop table PCOLLECTION",
        "values (1)",
        "select v from PCOLLECTION for update",
        "select random() from PCOLLECTION",
        "select $1 from PCOLLECTION",
        "select @x from PCOLLECTION",
    ] {
        refused(text, shape(), &[""]);
    }
}

#[test]
fn columns_of_several_types_only_pass() {
    let mixed = r#"[{"a": 1, "m": 1}, {"a": 2, "m": "x"}]"#;
    let shape = || testing::shape_of(mixed).unwrap();
    let node = bind("select m, a from PCOLLECTION where a > 1", &[input("input", shape())]).unwrap();
    assert!(purlin_api::shape::is_any(node.outputs()[0].shape.schema.field(0)));
    refused("select upper(m) as u from PCOLLECTION", shape(), &["sql/untyped-column", "output_type"]);
    refused("select m, count(*) as n from PCOLLECTION group by m", shape(), &["sql/untyped-column"]);
}

/// The results of a Combine in SQL, and how it says that it runs.
fn combined(combine: Value, rows: &str) -> Result<(String, Vec<String>), String> {
    let t: crate::combine::Combine = config(json!({"language": "sql", "group_by": "k", "combine": combine}))?;
    let shape = testing::shape_of(rows).unwrap();
    let node = testing::bind(&t, &[testing::input(shape)], false)?;
    let mut driver = Driver::new(node.as_ref()).map_err(|e| e.to_string())?;
    driver.push_json(rows).map_err(|e| e.to_string())?;
    driver.end().map_err(|e| e.to_string())?;
    driver.check_schemas(node.as_ref()).map_err(|e| e.to_string())?;
    let mut rows = driver.rows(0);
    rows.sort();
    Ok((node.explain(), rows))
}

#[test]
fn aggregates_are_taken_apart() {
    let (how, rows) = combined(json!({"n": "count(*)", "v": "sum"}), ROWS).unwrap();
    assert_eq!(how, "group_by k; n = count(); sum(v)");
    assert_eq!(rows, [r#"{"k":"a","n":2,"v":7}"#, r#"{"k":"b","n":1,"v":null}"#]);
    let (how, rows) =
        combined(json!({"mean": "sum(v) / count(v)", "top": {"value": "v + 1", "fn": "max"}}), ROWS).unwrap();
    assert!(how.starts_with("group_by k; ") && how.contains("then mean = sum(v) / count(v)"), "{how}");
    assert_eq!(rows[0], r#"{"k":"a","mean":3,"top":5}"#);
    // The sum of nothing is null, and null by zero is null.
    assert_eq!(rows[1], r#"{"k":"b","mean":null,"top":null}"#);
    let (how, rows) = combined(json!({"d": "count(distinct v)"}), ROWS).unwrap();
    assert!(how.starts_with("sql, window by window: "), "{how}");
    assert_eq!(rows, [r#"{"k":"a","d":2}"#, r#"{"k":"b","d":0}"#]);
}

#[test]
fn problems_of_aggregates_are_named() {
    for (combine, wanted) in [
        (json!({"s": "sum(vv)"}), "did you mean `v`?"),
        (json!({"s": "sum(v) / v"}), "combine/not-grouped"),
        (json!({"s": "v"}), "sql/"),
        (json!({"s": {"value": "v", "fn": {"type": "top", "config": {"n": 1}}}}), "combine/fn-config"),
        (json!({"zz": "sum"}), "unknown field `zz`"),
        (json!({"s": "sum(v"}), "sql/syntax"),
    ] {
        let e = combined(combine.clone(), ROWS).unwrap_err();
        assert!(e.contains(wanted), "{combine}: {e}");
    }
    let overflow = r#"[{"k": "a", "v": 9223372036854775807}, {"k": "a", "v": 1}]"#;
    assert!(combined(json!({"s": "sum(v)"}), overflow).is_err());
    let e = combined(json!({"s": "sum(v)", "d": "count(distinct v)"}), overflow).unwrap_err();
    assert!(e.contains("integer overflow: the sum is 9223372036854775808"), "{e}");
}

#[test]
fn the_present_is_given() {
    let shape = testing::shape_of(ROWS).unwrap();
    let node =
        bind("select current_timestamp as t from PCOLLECTION where v = 3", &[input("input", shape)]).unwrap();
    let mut driver = Driver::new(node.as_ref()).unwrap();
    driver.cx.now = EventTime::from_seconds(60);
    driver.push(0, Batch::at(testing::rows(ROWS).unwrap(), Times::One(EventTime::MIN))).unwrap();
    assert_eq!(driver.rows(0), [r#"{"t":"1970-01-01T00:01:00Z"}"#]);
}

use super::*;
use crate::testing::{config, handling};
use purlin_api::testing;
use serde_json::json;

fn map(v: serde_json::Value) -> MapToFields {
    config(v).unwrap()
}

fn run(v: serde_json::Value, rows: &str) -> std::result::Result<Vec<String>, String> {
    testing::run(&map(v), &[rows], false).map(|(_, d)| d.rows(0))
}

const ROWS: &str = r#"[{"a": 1, "b": "x", "c": 10}, {"a": 2, "b": "y", "c": 20}]"#;

#[test]
fn plain_fields_are_moved_not_computed() {
    let t = map(json!({"fields": {"z": "b", "a": "a"}}));
    let (node, driver) = testing::run(&t, &[ROWS], false).unwrap();
    assert_eq!(driver.rows(0), [r#"{"z":"x","a":1}"#, r#"{"z":"y","a":2}"#]);
    assert_eq!(node.explain(), "z = b, a");
    let shape = testing::shape_of(ROWS).unwrap();
    assert_eq!(node.columns_needed(&[vec![true, false]], &[shape]), [vec![false, true, false]]);
}

#[test]
fn append_keeps_what_is_not_dropped_in_order() {
    let t = json!({"language": "python", "append": true, "drop": ["a", "c"], "fields": {"a": "b + '!'", "total": "a + c"}});
    assert_eq!(
        run(t, ROWS).unwrap(),
        [r#"{"b":"x","a":"x!","total":11}"#, r#"{"b":"y","a":"y!","total":22}"#]
    );
}

#[test]
fn fields_are_checked_before_data_flows() {
    let e = run(json!({"append": true, "drop": "zz", "fields": {}}), ROWS).unwrap_err();
    assert!(e.contains("unknown field `zz`") && e.contains("the input has: a, b, c"), "{e}");
    let e = run(json!({"append": true, "fields": {"a": "b"}}), ROWS).unwrap_err();
    assert!(e.contains("redefinition of field `a`"), "{e}");
    let e = run(json!({"drop": ["a"], "fields": {"a": "b"}}), ROWS).unwrap_err();
    assert!(e.contains("map/drop-without-append"), "{e}");
    let e = run(json!({"language": "python", "fields": {"a": "nosuch + 1", "b": "1 +"}}), ROWS).unwrap_err();
    assert!(e.contains("nosuch") && e.contains("expr/syntax"), "{e}");
    let e = run(json!({"language": "javascript", "fields": {"a": "b"}}), ROWS).unwrap_err();
    assert!(e.contains("language/unsupported"), "{e}");
}

#[test]
fn odd_names_are_fields_too() {
    assert_eq!(run(json!({"fields": {"x": "my col"}}), r#"[{"my col": 1}]"#).unwrap(), [r#"{"x":1}"#]);
}

#[test]
fn rows_that_raise_become_error_rows() {
    let mut t = map(json!({"language": "python", "fields": {"id": "id", "inv": "1 / d"}}));
    t.error_handling = handling(Some("failed"), None);
    let rows = r#"[{"id": 1, "d": 0}, {"id": 2, "d": 4}, {"id": 3, "d": null}]"#;
    let (node, driver) = testing::run(&t, &[rows], false).unwrap();
    assert_eq!(node.outputs().iter().map(|o| o.tag.as_str()).collect::<Vec<_>>(), ["good", "failed"]);
    assert_eq!(driver.rows(0), [r#"{"id":2,"inv":0.25}"#]);
    let bad: Vec<serde_json::Value> =
        driver.rows(1).iter().map(|r| serde_json::from_str(r).unwrap()).collect();
    assert_eq!(bad[0]["element"], json!({"id": 1, "d": 0}));
    assert_eq!(bad[0]["msg"], "ZeroDivisionError('division by zero')");
    assert_eq!(bad[1]["msg"], r#"TypeError("unsupported operand type(s) for /: 'int' and 'NoneType'")"#);
    assert_ne!(bad[0]["stack"], "");
    t.error_handling = handling(Some("failed"), Some(0.25));
    assert!(testing::run(&t, &[rows], false).unwrap_err().contains("threshold"));
    t.error_handling = None;
    let e = testing::run(&t, &[rows], false).unwrap_err();
    assert!(e.starts_with("transform `T`: ZeroDivisionError('division by zero'); the row was"), "{e}");
}

#[test]
fn computed_fields_count_even_if_nobody_reads_them() {
    let t = map(json!({"language": "python", "fields": {"x": "a / c", "y": "b"}}));
    let (node, _) = testing::run(&t, &[ROWS], false).unwrap();
    let shape = testing::shape_of(ROWS).unwrap();
    assert_eq!(node.columns_needed(&[vec![false, false]], &[shape]), [vec![true, false, true]]);
}

#[test]
fn declared_types_are_checked() {
    let fields = json!({"i": {"expression": "b", "output_type": "integer"}});
    let e = run(json!({"language": "python", "fields": fields}), r#"[{"b": "3"}]"#).unwrap_err();
    assert!(e.contains("violates schema") || e.contains("type"), "{e}");
}

#[test]
fn no_fields_at_all_keep_the_rows() {
    let (_, driver) = testing::run(&map(json!({"fields": {}})), &[ROWS], false).unwrap();
    assert_eq!(driver.rows(0), ["{}", "{}"]);
}

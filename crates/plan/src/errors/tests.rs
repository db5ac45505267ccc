use super::merge;
use purlin_api::testing::{Driver, rows_of, shape_of};
use purlin_api::{Batch, PlanNode};

#[test]
fn elements_of_two_kinds_keep_their_own_fields() {
    let rows = [
        r#"[{"element": {"n": "x"}, "msg": "m", "stack": "s"}]"#,
        r#"[{"element": {"n": -2, "k": 1}, "msg": "m", "stack": "s"}]"#,
    ];
    let shapes = rows.map(|r| shape_of(r).unwrap());
    let node = merge("bad", &shapes);
    let mut driver = Driver::new(&node).unwrap();
    for (port, json) in rows.into_iter().enumerate() {
        driver.push(port, Batch::untimed(rows_of(&shapes[port].schema, json).unwrap())).unwrap();
    }
    driver.check_schemas(&node).unwrap();
    assert_eq!(
        driver.rows(0),
        [
            r#"{"element":{"n":"x","k":null},"msg":"m","stack":"s"}"#,
            r#"{"element":{"n":-2,"k":1},"msg":"m","stack":"s"}"#
        ]
    );
    assert_eq!(node.outputs().len(), 1);
}

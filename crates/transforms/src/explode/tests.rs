use super::*;
use purlin_api::testing::{self, Driver};

fn explode(fields: &[&str], cross_product: Option<bool>, errors: bool) -> Explode {
    let spanned = |s: &&str| Spanned { value: (*s).to_owned(), span: Default::default() };
    let handling = || ErrorHandling { output: spanned(&"bad"), threshold: None };
    Explode {
        fields: OneOrMany(fields.iter().map(spanned).collect()),
        cross_product,
        error_handling: errors.then(handling),
    }
}

const ROWS: &str = r#"[{"k": "a", "l": [1, 2], "m": ["x", "y"]}, {"k": "b", "l": [9], "m": []}]"#;

#[test]
fn one_field_copies_the_others_and_drops_empty_lists() {
    let (_, driver) = testing::run(&explode(&["m"], None, false), &[ROWS], false).unwrap();
    assert_eq!(driver.rows(0), [r#"{"k":"a","l":[1,2],"m":"x"}"#, r#"{"k":"a","l":[1,2],"m":"y"}"#]);
    assert_eq!((driver.cx.fates.passed, driver.cx.fates.filtered), (1, 1));
}

#[test]
fn a_cross_product_nests_in_the_order_of_the_fields() {
    let pairs = |fields: &[&str]| {
        let (_, driver) = testing::run(&explode(fields, Some(true), false), &[ROWS], false).unwrap();
        driver.rows(0).iter().map(|r| r.replace(r#"{"k":"a","#, "").replace('"', "")).collect::<Vec<_>>()
    };
    assert_eq!(pairs(&["l", "m"]), ["l:1,m:x}", "l:1,m:y}", "l:2,m:x}", "l:2,m:y}"]);
    assert_eq!(pairs(&["m", "l"]), ["l:1,m:x}", "l:2,m:x}", "l:1,m:y}", "l:2,m:y}"]);
}

#[test]
fn side_by_side_pads_with_null() {
    let (node, driver) = testing::run(&explode(&["l", "m"], Some(false), false), &[ROWS], false).unwrap();
    assert_eq!(
        driver.rows(0),
        [r#"{"k":"a","l":1,"m":"x"}"#, r#"{"k":"a","l":2,"m":"y"}"#, r#"{"k":"b","l":9,"m":null}"#]
    );
    assert!(node.outputs()[0].shape.schema.field(2).is_nullable());
}

#[test]
fn text_explodes_into_characters_and_untyped_values_as_they_are() {
    let (_, driver) =
        testing::run(&explode(&["s"], None, false), &[r#"[{"s": "aé"}, {"s": ""}]"#], false).unwrap();
    assert_eq!(driver.rows(0), [r#"{"s":"a"}"#, r#"{"s":"é"}"#]);
    let mixed = r#"[{"v": [1, null]}, {"v": "hi"}, {"v": {"k": 1}}, {"v": 5}]"#;
    let (_, driver) = testing::run(&explode(&["v"], None, true), &[mixed], false).unwrap();
    assert_eq!(driver.rows(0).join(""), r#"{"v":1}{"v":null}{"v":"h"}{"v":"i"}{"v":"k"}"#);
    assert_eq!(
        driver.rows(1).join(""),
        r#"{"element":{"v":5},"msg":"TypeError(\"'int' object is not iterable\")","stack":"TypeError(\"'int' object is not iterable\")"}"#
    );
}

#[test]
fn a_null_list_fails_the_row() {
    let rows = r#"[{"l": [1]}, {"l": null}, {"l": [2]}]"#;
    let (_, driver) = testing::run(&explode(&["l"], None, true), &[rows], false).unwrap();
    assert_eq!(driver.rows(0), [r#"{"l":1}"#, r#"{"l":2}"#]);
    assert_eq!(driver.rows(1).len(), 1);
    let e = testing::run(&explode(&["l"], None, false), &[rows], false).unwrap_err();
    assert!(e.contains(r#"TypeError("'NoneType' object is not iterable"); the row was {"l":null}"#), "{e}");
}

#[test]
fn long_lists_come_in_pieces() {
    let list = (0..50).map(|i| i.to_string()).collect::<Vec<_>>().join(",");
    let rows = format!(r#"[{{"l": [{list}], "m": [{list}]}}]"#);
    let t = explode(&["l", "m"], Some(true), false);
    let node = testing::bind(&t, &[testing::input(testing::shape_of(&rows).unwrap())], false).unwrap();
    let mut driver = Driver::new(node.as_ref()).unwrap();
    driver.push_json(&rows).unwrap();
    assert_eq!(driver.emitted.iter().map(|(_, b)| b.len()).collect::<Vec<_>>(), [1024, 1024, 452]);
    assert_eq!(driver.rows(0)[51], r#"{"l":1,"m":1}"#);
}

#[test]
fn wrong_fields_are_all_reported() {
    let e = testing::run(&explode(&["zz", "k2"], None, false), &[r#"[{"k2": 5}]"#], false).unwrap_err();
    assert!(
        e.contains("unknown field `zz`") && e.contains("explode/not-a-list") && e.contains("cross-product"),
        "{e}"
    );
}

#[test]
fn the_lists_are_needed_even_if_nobody_reads_them() {
    let shape = testing::shape_of(ROWS).unwrap();
    let node = testing::bind(&explode(&["l"], None, false), &[testing::input(shape.clone())], false).unwrap();
    assert_eq!(node.columns_needed(&[vec![true, false, false]], &[shape]), [vec![true, true, false]]);
}

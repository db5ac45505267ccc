//! Queries of random rows: neither batches nor the order of arrival matter.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by these

use super::tests::{bind, input, ten_seconds};
use proptest::prelude::*;
use purlin_api::testing::{self, Driver};
use purlin_api::window::Windowing;
use purlin_api::{Shape, Times};
use serde_json::json;
use std::sync::Arc;

const QUERIES: [&str; 8] = [
    "select k, v / w as q from PCOLLECTION where w <> 0 and v / w > -3",
    "select k, sum(v) as s, sum(f) as f, count(*) as n, min(w) as m from PCOLLECTION group by k",
    "select v, row_number() over (partition by k order by v) as r from PCOLLECTION",
    "select k, w from PCOLLECTION where w <> 0 and v / w > 1 order by v limit 3",
    "select distinct k, w from PCOLLECTION",
    "select a.v, b.w from PCOLLECTION a join PCOLLECTION b on a.k = b.k and a.v < b.v",
    "select k, array_agg(v) as l, first_value(f) as g from PCOLLECTION group by k",
    "select v from PCOLLECTION where k in (select k from PCOLLECTION where w > 2) union all select max(w) from PCOLLECTION",
];

#[derive(Clone, Debug)]
struct Row(u8, Option<i64>, i64, u8, i64);

fn row() -> impl Strategy<Value = Row> {
    (0..3_u8, proptest::option::of(-9..9_i64), 0..4_i64, 0..10_u8, 0..30_i64)
        .prop_map(|(k, v, w, f, t)| Row(k, v, w, f, t))
}

/// All rows emitted, with their windows and times, in some order.
fn results(query: &str, rows: &[Row], pieces: &[usize], rows_max: usize) -> Vec<String> {
    let json = |rows: &[Row]| {
        let rows = rows.iter().map(
            |Row(k, v, w, f, _)| json!({"k": format!("k{k}"), "v": v, "w": w, "f": f64::from(*f) / 10.0}),
        );
        serde_json::Value::Array(rows.collect()).to_string()
    };
    let model = testing::shape_of(r#"[{"k": "", "v": 0, "w": 0, "f": 0.5}]"#).unwrap();
    let schema = purlin_api::shape::physical(&model.schema);
    let shape = Shape { windowing: Arc::new(Windowing::of(ten_seconds())), ..model };
    let node = bind(query, &[input("input", shape)]).unwrap();
    let mut driver = Driver::new(node.as_ref()).unwrap();
    driver.cx.rows_max = rows_max;
    let mut rest = rows;
    let mut pieces = pieces.iter().cycle();
    while !rest.is_empty() {
        let (now, after) = rest.split_at((*pieces.next().unwrap()).clamp(1, rest.len()));
        rest = after;
        let times = now.iter().map(|r| r.4 * 1_000_000).collect();
        let batch = purlin_api::Batch::at(testing::rows_of(&schema, &json(now)).unwrap(), Times::Each(times));
        driver.push(0, crate::windows::assign(batch, &ten_seconds()).unwrap().0).unwrap();
    }
    driver.end().unwrap();
    assert_eq!(driver.cx.fates.in_state, 0);
    let mut all = Vec::new();
    for (_, batch) in &driver.emitted {
        for r in 0..batch.len() {
            let row = purlin_api::json::row_to_json(&batch.rows, r);
            all.push(format!("{:?} {} {row}", batch.windows.get(r), batch.times.get(r)));
        }
    }
    all.sort();
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn batches_and_arrival_do_not_matter(
        rows in prop::collection::vec(row(), 0..40),
        pieces in prop::collection::vec(1..9_usize, 1..5),
        rows_max in 1..50_usize,
        seed in any::<u64>(),
    ) {
        for query in QUERIES {
            let whole = results(query, &rows, &[usize::MAX], 1024);
            prop_assert_eq!(&results(query, &rows, &pieces, rows_max), &whole, "{}", query);
            let mut shuffled = rows.clone();
            shuffled.sort_by_key(|r| (seed ^ r.4 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(r.0.into()));
            prop_assert_eq!(&results(query, &shuffled, &pieces, rows_max), &whole, "shuffled: {}", query);
        }
    }
}

use super::*;
use crate::testing::config;
use purlin_api::testing::{self, Driver};
use purlin_api::time::SECOND;
use purlin_api::{EventTime, Extent, WindowFn};
use serde_json::json;

fn run_in(
    v: serde_json::Value,
    rows: &str,
    windowing: Windowing,
    beam_compat: bool,
) -> Result<(Arc<dyn PlanNode>, Driver), String> {
    let t: Combine = config(v)?;
    let mut shape = testing::shape_of(rows).unwrap();
    shape.windowing = Arc::new(windowing);
    let node = testing::bind(&t, &[testing::input(shape)], beam_compat)?;
    let mut driver = Driver::new(node.as_ref()).unwrap();
    let batch = testing::batch(rows).unwrap();
    let (batch, _) = crate::windows::assign(batch, &node_windowing(&node)).unwrap();
    driver.push(0, batch).and_then(|()| driver.end()).map_err(|e| e.to_string())?;
    driver.check_schemas(node.as_ref()).unwrap();
    Ok((node, driver))
}

fn node_windowing(node: &Arc<dyn PlanNode>) -> WindowFn {
    node.outputs()[0].shape.windowing.window_fn.clone()
}

fn run(v: serde_json::Value, rows: &str) -> Result<Vec<String>, String> {
    let (_, driver) = run_in(v, rows, Windowing::global(), false)?;
    let mut rows = driver.rows(0);
    rows.sort();
    Ok(rows)
}

#[test]
fn the_built_in_functions() {
    let rows = r#"[{"k": "a", "v": 1, "b": true, "l": [1]}, {"k": "a", "v": 4, "b": false, "l": [2, 3]}, {"k": "b", "v": 3, "b": true, "l": []}]"#;
    let of = |field: &str, function: &str| json!({"value": field, "fn": function});
    let v = json!({"group_by": "k", "combine": {
        "s": of("v", "sum"), "hi": of("v", "max"), "lo": of("v", "min"), "every": of("b", "all"), "some": of("b", "any"),
        "avg": of("v", "mean"), "n": {"value": "v", "fn": {"type": "count", "config": {}}}, "c": of("l", "concat"),
    }});
    assert_eq!(
        run(v, rows).unwrap(),
        [
            r#"{"k":"a","s":5,"hi":4,"lo":1,"every":false,"some":true,"avg":2.5,"n":2,"c":[1,2,3]}"#,
            r#"{"k":"b","s":3,"hi":3,"lo":3,"every":true,"some":true,"avg":3.0,"n":1,"c":[]}"#,
        ]
    );
}

#[test]
fn shorthand_several_keys_and_null_keys() {
    let rows = r#"[{"a": "x", "b": 1, "c": 10}, {"a": null, "b": 1, "c": 5}, {"a": null, "b": 1, "c": 1}]"#;
    let v = json!({"group_by": ["a", "b"], "combine": {"c": "sum"}});
    assert_eq!(run(v, rows).unwrap(), [r#"{"a":"x","b":1,"c":10}"#, r#"{"a":null,"b":1,"c":6}"#]);
    let v = json!({"group_by": [], "combine": {"c": "sum"}});
    assert_eq!(run(v.clone(), rows).unwrap(), [r#"{"c":16}"#]);
    assert_eq!(run(json!({"group_by": "b", "combine": {}}), rows).unwrap(), [r#"{"b":1}"#]);
}

#[test]
fn values_may_be_python_without_saying_so() {
    let rows = r#"[{"k": "a", "p": 2, "q": 3}, {"k": "a", "p": 1, "q": 1}]"#;
    let v = json!({"group_by": "k", "combine": {"r": {"value": "p * q", "fn": "sum"}, "big": {"value": "max(p, q)", "fn": "max"}}});
    assert_eq!(run(v, rows).unwrap(), [r#"{"k":"a","r":7,"big":3}"#]);
    let v = json!({"group_by": "k", "combine": {"r": {"value": "p / (q - 1)", "fn": "sum"}}});
    let e = run(v, rows).unwrap_err();
    assert!(e.contains("ZeroDivisionError") && e.contains(r#"{"k":"a","p":1,"q":1}"#), "{e}");
}

#[test]
fn nulls_are_skipped_but_fail_as_in_beam() {
    let rows = r#"[{"k": "a", "v": 1}, {"k": "a", "v": null}, {"k": "b", "v": null}]"#;
    let v = json!({"group_by": "k", "combine": {"v": "max"}});
    assert_eq!(run(v.clone(), rows).unwrap(), [r#"{"k":"a","v":1}"#, r#"{"k":"b","v":null}"#]);
    let e = run_in(v, rows, Windowing::global(), true).map(|_| ()).unwrap_err();
    assert!(e.contains("not supported between"), "{e}");
}

#[test]
fn results_carry_the_end_of_their_window() {
    let rows = r#"[{"k": "a", "time": 3}, {"k": "a", "time": 7}, {"k": "a", "time": 12}]"#;
    let fixed = Windowing::of(WindowFn::Fixed { size: 10 * SECOND, offset: 0 });
    let v = json!({"group_by": "k", "combine": {"n": {"value": "time", "fn": "count"}}});
    let (node, driver) = run_in(v, rows, fixed, false).unwrap();
    let mut seen: Vec<(EventTime, String)> = Vec::new();
    for (_, b) in &driver.emitted {
        seen.extend(
            (0..b.len()).map(|r| (b.times.get(r), purlin_api::json::row_to_json(&b.rows, r).to_string())),
        );
    }
    seen.sort();
    assert_eq!(
        seen,
        [
            (EventTime(9_999_000), r#"{"k":"a","n":2}"#.into()),
            (EventTime(19_999_000), r#"{"k":"a","n":1}"#.into())
        ]
    );
    assert_eq!(node.distribution(0), purlin_api::Distribution::Keyed(vec![0]));
    assert_eq!(node.explain(), "group_by k; n = count(time)");
}

#[test]
fn two_steps_give_what_one_gives() {
    let rows = r#"[{"k": "a", "p": 2, "z": 0}, {"k": "b", "p": 3, "z": 0}, {"k": "a", "p": 5, "z": 0}]"#;
    let v = json!({"group_by": "k", "combine": {"r": {"value": "p * 2", "fn": "sum"}, "n": {"value": "k", "fn": "count"}}});
    let t: Combine = config(v.clone()).unwrap();
    let shape = testing::shape_of(rows).unwrap();
    let node = testing::bind(&t, &[testing::input(shape.clone())], false).unwrap();
    assert_eq!(node.columns_needed(&[], std::slice::from_ref(&shape)), [vec![true, true, false]]);
    let lifted = node.lift().unwrap();
    let mut partial = Driver::new(lifted.partial.as_ref()).unwrap();
    partial.push_json(rows).unwrap();
    partial.end().unwrap();
    partial.check_schemas(lifted.partial.as_ref()).unwrap();
    let mut complete = Driver::new(lifted.complete.as_ref()).unwrap();
    for (_, batch) in &partial.emitted {
        complete.push(0, batch.clone()).unwrap();
    }
    complete.end().unwrap();
    complete.check_schemas(lifted.complete.as_ref()).unwrap();
    let mut two = complete.rows(0);
    two.sort();
    assert_eq!(two, run(v, rows).unwrap());
}

#[test]
fn late_rows_have_an_output_if_they_are_wanted() {
    let mut windowing = Windowing::of(WindowFn::Fixed { size: 10 * SECOND, offset: 0 });
    windowing.late_output = Some("late".to_owned());
    let v = json!({"group_by": "k", "combine": {"n": {"value": "k + 'x'", "fn": "count"}}});
    let rows = r#"[{"k": "a", "time": 3}]"#;
    let (node, mut driver) = run_in(v, rows, windowing, false).unwrap();
    let output = &node.outputs()[1];
    assert_eq!((output.tag.as_str(), output.role), ("late", OutputRole::Late));
    assert!(node.outputs()[0].shape.windowing.late_output.is_none());
    let (late, _) = crate::windows::assign(testing::batch(rows).unwrap(), &node_windowing(&node)).unwrap();
    driver.push(0, late).unwrap();
    assert_eq!(driver.rows(1), [r#"{"k":"a","time":3}"#]);
    driver.check_schemas(node.as_ref()).unwrap();
}

#[test]
fn what_cannot_work_is_refused() {
    let rows = r#"[{"k": "a", "v": 1}]"#;
    let refused = |v: serde_json::Value| run(v, rows).unwrap_err();
    let e = refused(json!({"group_by": "k", "combine": {"v": "median"}}));
    assert!(e.contains("unknown CombineFn `median`") && e.contains("mean"), "{e}");
    let e = refused(json!({"group_by": "kk", "combine": {"v": {"value": "w", "fn": "sum"}}}));
    assert!(e.contains("unknown field `kk`") && e.contains("`w`"), "{e}");
    assert!(refused(json!({"group_by": "k"})).contains("needs the field `combine`"));
    assert!(refused(json!({"group_by": "k", "combine": {"total": "sum"}})).contains("unknown field `total`"));
    assert!(refused(json!({"group_by": "k", "combine": {"k": "count"}})).contains("combine/name-twice"));
    assert!(
        refused(json!({"group_by": "k", "combine": {"v": {"value": "v"}}})).contains("combine/fn-missing")
    );
    assert!(
        refused(json!({"group_by": "k", "combine": {"v": {"value": "k", "fn": "sum"}}}))
            .contains("needs numbers, not str")
    );
}

#[test]
fn a_further_aggregation_fires_as_often() {
    let early =
        Trigger::AfterWatermark { early: Some(Box::new(Trigger::AfterProcessingTime(5))), late: None };
    let after = Trigger::AfterWatermark { early: Some(Box::new(Trigger::AfterCount(1))), late: None };
    assert_eq!(continuation(&early), after);
    let each = Trigger::AfterEach(vec![Trigger::AfterCount(3), Trigger::Default]);
    let any = Trigger::AfterAny(vec![Trigger::AfterCount(1), Trigger::Default]);
    assert_eq!(continuation(&each), Trigger::Repeatedly(Box::new(any)));
}

/// One aggregate of `v` over rows with `k`, `v` and `time`.
fn one(function: serde_json::Value, rows: &str) -> Result<Vec<String>, String> {
    run(json!({"group_by": [], "combine": {"r": {"value": "v", "fn": function}}}), rows)
}

const ROWS: &str = r#"[{"k": "a", "v": 5, "time": 9}, {"k": "b", "v": 1, "time": 2}, {"k": null, "v": 9, "time": 4},
    {"k": "c", "v": 5, "time": 7}, {"k": "d", "v": null, "time": 1}]"#;

#[test]
fn functions_with_a_config() {
    let table = [
        (json!({"type": "apache_beam.transforms.combiners.TopCombineFn", "config": {"n": 2}}), r#"[9,5]"#),
        (json!({"type": "TopCombineFn", "config": {"n": 2, "reverse": true}}), r#"[1,5]"#),
        (json!({"type": "top", "config": {"n": 3, "by": "k"}}), r#"[null,5,1]"#),
        (json!("set"), r#"[null,1,5,9]"#),
        (json!({"type": "beam.combiners.ToSetCombineFn"}), r#"[null,1,5,9]"#),
        (json!({"type": "quantiles", "config": {"num_quantiles": 3}}), r#"[1,5,9]"#),
        (json!({"type": "quantiles", "config": {"num_quantiles": 2, "reverse": true}}), r#"[9,1]"#),
        (json!("ApproximateUniqueCombineFn"), "3"),
        (json!({"type": "arg_max", "config": {"by": "time"}}), "5"),
        (json!({"type": "arg_min", "config": {"by": "k"}}), "5"),
        (json!({"type": "arg_min", "config": {"by": "time"}}), "null"),
        (json!({"type": "apache_beam.transforms.combiners.MeanCombineFn"}), "5.0"),
        (json!({"type": "apache_beam.transforms.combiners.CountCombineFn", "config": {}}), "5"),
    ];
    for (function, expected) in table {
        let got = one(function.clone(), ROWS).unwrap();
        assert_eq!(got, [format!(r#"{{"r":{expected}}}"#)], "{function}");
    }
}

#[test]
fn samples_do_not_depend_on_the_order() {
    let rows: Vec<String> = (0..50).map(|i| format!(r#"{{"v": {i}}}"#)).collect();
    let sample = |rows: Vec<String>| {
        let function = json!({"type": "SampleCombineFn", "config": {"n": 5}});
        one(function, &format!("[{}]", rows.join(","))).unwrap()
    };
    let forwards = sample(rows.clone());
    assert_eq!(forwards, sample(rows.into_iter().rev().collect()));
    assert_eq!(forwards[0].matches(',').count(), 4, "{forwards:?}");
}

#[test]
fn first_and_last_go_by_event_time() {
    let v = json!({"group_by": "k", "combine": {
        "a": {"value": "v", "fn": "first"}, "z": {"value": "v", "fn": {"type": "LatestCombineFn"}}}});
    let t: Combine = config(v).unwrap();
    let rows = r#"[{"k": 1, "v": "x"}, {"k": 1, "v": "y"}, {"k": 1, "v": "w"}]"#;
    let node = testing::bind(&t, &[testing::input(testing::shape_of(rows).unwrap())], false).unwrap();
    let mut driver = Driver::new(node.as_ref()).unwrap();
    let mut batch = testing::batch(rows).unwrap();
    batch.times = purlin_api::Times::Each(vec![20, 30, 10].into());
    driver.push(0, batch).unwrap();
    driver.end().unwrap();
    driver.check_schemas(node.as_ref()).unwrap();
    assert_eq!(driver.rows(0), [r#"{"k":1,"a":"w","z":"y"}"#]);
}

#[test]
fn configs_that_cannot_work_are_refused() {
    let e = |function| one(function, ROWS).unwrap_err();
    assert!(e(json!("top")).contains("`top` needs `n`"));
    assert!(e(json!({"type": "top", "config": {"m": 1}})).contains("has no field `m`"));
    assert!(e(json!({"type": "top", "config": {"n": -1}})).contains("must lie between 0"));
    assert!(
        e(json!({"type": "top", "config": {"n": 1, "compare": "lambda a, b: a < b"}}))
            .contains("`by: FIELD`")
    );
    assert!(e(json!({"type": "arg_max"})).contains("`arg_max` needs `by`"));
    assert!(e(json!({"type": "arg_max", "config": {"by": "nope"}})).contains("nope"));
    assert!(e(json!({"type": "quantiles", "config": {"num_quantiles": 1}})).contains("between 2"));
    assert!(e(json!({"type": "sum", "config": {"n": 1}})).contains("`sum` has no `config`"));
    let e = e(json!({"type": "apache_beam.transforms.combiners.TopCombinFn", "config": {"n": 1}}));
    assert!(e.contains("did you mean `TopCombineFn`?"), "{e}");
}

#[test]
fn names_are_checked_before_the_input_is_known() {
    let decode = |v: serde_json::Value| {
        let mut d = Diagnostics::default();
        let found = (entry().decode)(&crate::testing::node_of(&v), &mut d).is_some();
        (found, testing::describe(&d))
    };
    let two = json!({"a": "median", "b": {"value": "v", "fn": "beam.TopCombinFn"}, "c": "sum"});
    let (found, told) = decode(json!({"group_by": "k", "combine": two}));
    assert!(!found && told.contains("unknown CombineFn `median`"), "{told}");
    assert!(told.contains("did you mean `TopCombineFn`?"), "{told}");
    let (found, told) = decode(json!({"group_by": "k", "combine": {"t": {"sum": "v"}}}));
    assert!(!found && told.contains("write `{value: v, fn: sum}`"), "{told}");
    let sql = json!({"group_by": "k", "language": "sql", "combine": {"a": "stddev"}});
    assert!(decode(sql).0, "names of other languages are their own");
    assert!(decode(json!({"group_by": "k", "combine": {"a": "sum"}})).0);
}

fn bound(v: serde_json::Value, rows: &str, windowing: Windowing) -> Arc<dyn PlanNode> {
    let t: Combine = config(v).unwrap();
    let shape = Shape { windowing: Arc::new(windowing), ..testing::shape_of(rows).unwrap() };
    testing::bind(&t, &[testing::input(shape)], false).unwrap()
}

/// Takes rows and is stopped; two lanes go on.
fn restarted(node: &dyn PlanNode, rows: &str) -> Vec<String> {
    let mut logs = testing::TableLogs::new();
    let mut first = Driver::new(node).unwrap();
    first.push_json(rows).unwrap();
    first.save(Extent::Whole, &mut logs).unwrap();
    let mut out = first.rows(0);
    let mut in_state = 0;
    for lane in 0..2 {
        let mut driver = Driver::restored(node, (lane, 2), &[&logs], EventTime::MIN).unwrap();
        in_state += driver.cx.fates.in_state;
        driver.end().unwrap();
        driver.check_schemas(node).unwrap();
        out.extend(driver.rows(0));
    }
    assert_eq!(in_state, first.cx.fates.in_state);
    out.sort();
    out
}

#[test]
fn what_is_computed_before_and_after_does_not_hide_the_state() {
    let rows = r#"[{"v": 1}, {"v": 2}, {"v": 2}]"#;
    let v = json!({"group_by": "v", "combine": {"w": {"value": "(v or 0) * 2", "fn": "sum"}}});
    let node = bound(v, rows, Windowing::global());
    assert_eq!(restarted(node.as_ref(), rows), [r#"{"v":1,"w":2}"#, r#"{"v":2,"w":8}"#]);
}

#[test]
fn what_is_computed_of_results_shows_the_tables_below() {
    let rows = r#"[{"k": 1, "v": 1}, {"k": 2, "v": 2}, {"k": 2, "v": 5}]"#;
    let shape = testing::shape_of(rows).unwrap();
    let function = AggregateFn::resolve("sum", shape.schema.field(1)).unwrap();
    let sum = Aggregation { name: "v".to_owned(), function, column: Some(1) };
    let a = Aggregate::new(shape.schema.clone(), vec![0], vec![sum], shape.windowing.clone()).unwrap();
    let column = crate::expressions::Compiled::column(1, a.output().field(1));
    let finish = Finish::new(vec![("total".to_owned(), column)]).over(a.output());
    let cx = purlin_api::BuildCx::one_lane("T", 100);
    let operator = || Finish::after(Some(&finish), Box::new(a.operator().unwrap()), &cx);
    let mut first = Driver::of(operator());
    first.push_json(rows).unwrap();
    let mut logs = testing::TableLogs::new();
    first.save(Extent::Whole, &mut logs).unwrap();

    let mut second = operator();
    let mut restored = purlin_api::OpCx::new(100);
    let tables = second.tables();
    assert_eq!(tables.len(), 1);
    for table in tables {
        logs[table.name()].iter().for_each(|rows| table.apply(rows).unwrap());
    }
    second.restored(&mut restored).unwrap();
    assert_eq!(restored.fates.in_state, 3);
    restored.watermark = EventTime::MAX;
    second.on_watermark(&mut restored).unwrap();
    let (_, batch) = restored.outputs.pop().unwrap();
    let out: Vec<String> =
        (0..2).map(|row| purlin_api::json::row_to_json(&batch.rows, row).to_string()).collect();
    assert_eq!(out, [r#"{"total":1}"#, r#"{"total":7}"#]);
}

#[test]
fn the_meaning_of_state_is_what_it_was_computed_of() {
    let rows = r#"[{"k": "a", "n": 1, "p": 2.5}]"#;
    let config = json!({"group_by": ["k", "n"], "combine": {
        "p": "sum",
        "big": {"value": "p * n", "fn": {"type": "top", "config": {"n": 3}}},
        "best": {"value": "k", "fn": {"type": "arg_max", "config": {"by": "p"}}},
    }});
    let windowing = Windowing {
        trigger: Trigger::AfterWatermark { early: Some(Box::new(Trigger::AfterCount(5))), late: None },
        allowed_lateness: 7 * SECOND,
        ..Windowing::of(WindowFn::Fixed { size: 30 * SECOND, offset: 0 })
    };
    let node = bound(config.clone(), rows, windowing.clone());
    assert_eq!(
        node.state().unwrap().means,
        "group by k (str), n (int); p: sum, float (p); big: top of the 3 greatest, float (p * n); \
         best: arg_max of the 1 greatest, row<rank: float, value: str> (k by p); windows fixed(30s); \
         trigger after_watermark(early after_count(5)); discarding"
    );
    let longer = bound(config.clone(), rows, Windowing { allowed_lateness: 9 * SECOND, ..windowing.clone() });
    assert_eq!(longer.state(), node.state(), "lateness may change");
    let wider = Windowing::of(WindowFn::Fixed { size: 60 * SECOND, offset: 0 });
    assert_ne!(bound(config, rows, wider).state(), node.state());

    let simple = json!({"group_by": "k", "combine": {"p": "sum"}});
    let node = bound(simple, rows, Windowing::global());
    let lifted = node.lift().unwrap();
    assert_eq!(lifted.complete.state(), node.state());
    assert_eq!(lifted.partial.state().unwrap().means, format!("partial: {}", node.state().unwrap().means));
}

#[test]
fn both_steps_go_on_after_a_restart() {
    let rows = r#"[{"k": "a", "v": 1}, {"k": "b", "v": 2}, {"k": "a", "v": 4}]"#;
    let node = bound(json!({"group_by": "k", "combine": {"v": "sum"}}), rows, Windowing::global());
    let lifted = node.lift().unwrap();
    let mut logs = [testing::TableLogs::new(), testing::TableLogs::new()];
    for (lane, log) in logs.iter_mut().enumerate() {
        let none = testing::TableLogs::new();
        let mut driver =
            Driver::restored(lifted.partial.as_ref(), (lane, 2), &[&none], EventTime::MIN).unwrap();
        driver.push_json(rows).unwrap();
        driver.save(Extent::Changes, log).unwrap();
    }
    let mut partial =
        Driver::restored(lifted.partial.as_ref(), (0, 1), &[&logs[0], &logs[1]], EventTime::MIN).unwrap();
    assert_eq!(partial.cx.fates.in_state, 6);
    partial.push_json(rows).unwrap();
    partial.end().unwrap();
    let mut complete = Driver::new(lifted.complete.as_ref()).unwrap();
    for (_, batch) in std::mem::take(&mut partial.emitted) {
        complete.push(0, batch).unwrap();
    }
    complete.end().unwrap();
    let mut out = complete.rows(0);
    out.sort();
    assert_eq!(out, [r#"{"k":"a","v":15}"#, r#"{"k":"b","v":6}"#]);
}

use super::*;
use crate::testing::config;
use purlin_api::testing::{self, Driver};
use purlin_api::time::SECOND;
use purlin_api::{AccumulationMode, Batch, Distribution, EventTime};
use serde_json::{Value, json};

pub(super) fn input(tag: &str, shape: Shape) -> InputShape {
    InputShape { tag: tag.to_owned(), ..testing::input(shape) }
}

fn shapes(inputs: &[(&str, &str)]) -> Vec<InputShape> {
    inputs.iter().map(|(tag, rows)| input(tag, testing::shape_of(rows).unwrap())).collect()
}

fn bind(v: Value, inputs: &[InputShape]) -> Result<Arc<dyn PlanNode>, String> {
    let t: Join = config(v)?;
    testing::bind(&t, inputs, false)
}

fn run(v: Value, inputs: &[(&str, &str)]) -> Result<Vec<String>, String> {
    let shapes = shapes(inputs);
    let node = bind(v, &shapes)?;
    let mut driver = Driver::new(node.as_ref()).unwrap();
    for (port, (_, rows)) in inputs.iter().enumerate() {
        let rows = testing::rows_of(&shapes[port].shape.schema, rows).unwrap();
        driver.push(port, Batch::untimed(rows)).unwrap();
    }
    assert_eq!(driver.emitted.len(), 0, "nothing before the window ends");
    driver.end().map_err(|e| e.to_string())?;
    driver.check_schemas(node.as_ref()).unwrap();
    assert_eq!(driver.cx.fates.in_state, 0);
    let mut rows = driver.rows(0);
    rows.sort();
    Ok(rows)
}

const A: &str = r#"[{"k": 1, "a": "p"}, {"k": 2, "a": "q"}, {"k": 2, "a": "r"}, {"k": null, "a": "n"}]"#;
const B: &str = r#"[{"k": 2, "b": 20}, {"k": 3, "b": 30}, {"k": null, "b": 0}]"#;

#[test]
fn each_type_keeps_what_it_says() {
    let both = [r#"{"a":"q","b":20}"#, r#"{"a":"r","b":20}"#];
    let left = [r#"{"a":"n","b":null}"#, r#"{"a":"p","b":null}"#];
    let right = [r#"{"a":null,"b":0}"#, r#"{"a":null,"b":30}"#];
    let of = |parts: &[&[&'static str]]| {
        let mut all = parts.concat();
        all.sort_unstable();
        all
    };
    for (join_type, rows) in [
        (json!("inner"), of(&[&both])),
        (json!("left"), of(&[&both, &left])),
        (json!("right"), of(&[&both, &right])),
        (json!("outer"), of(&[&both, &left, &right])),
        (json!({"outer": ["a"]}), of(&[&both, &left])),
        (json!({"outer": ["b"]}), of(&[&both, &right])),
        (json!({"outer": ["b", "a"]}), of(&[&both, &left, &right])),
        (Value::Null, of(&[&both])),
    ] {
        let v = json!({"type": join_type, "equalities": "k", "fields": {"a": ["a"], "b": ["b"]}});
        assert_eq!(run(v, &[("a", A), ("b", B)]).unwrap(), rows, "{join_type}");
    }
}

#[test]
fn pairs_have_the_first_input_and_each_other() {
    let d = r#"[{"k": 2, "d": 200}, {"k": 3, "d": 300}]"#;
    let v = json!({"type": "outer", "equalities": "k", "fields": {"a": ["a"], "b": ["b"], "d": ["d"]}});
    let b = r#"[{"k": 3, "b": 30}]"#;
    // 3 is in `b` and `d` but not in `a`, which both are compared with.
    assert_eq!(
        run(v, &[("a", r#"[{"k": 2, "a": "q"}]"#), ("b", b), ("d", d)]).unwrap(),
        [r#"{"a":"q","b":null,"d":200}"#, r#"{"a":null,"b":30,"d":null}"#, r#"{"a":null,"b":null,"d":300}"#]
    );
}

#[test]
fn types_of_three_follow_neighbours() {
    let c = r#"[{"m": 20, "c": "t"}]"#;
    let b = r#"[{"k": 2, "m": 20, "b": "r"}, {"k": 3, "m": 30, "b": "s"}]"#;
    let v = json!({"type": {"outer": ["b"]}, "equalities": [{"a": "k", "b": "k"}, {"b": "m", "c": "m"}],
        "fields": {"a": ["a"], "b": ["b"], "c": ["c"]}});
    let shapes = shapes(&[("a", r#"[{"k": 1, "a": "p"}]"#), ("b", b), ("c", c)]);
    let node = bind(v.clone(), &shapes).unwrap();
    assert_eq!(node.explain(), "a right join b on a.k = b.k left join c on b.m = c.m");
    let nullable = |n: &Arc<dyn PlanNode>| -> Vec<bool> {
        n.outputs()[0].shape.schema.fields().iter().map(|f| f.is_nullable()).collect()
    };
    assert_eq!(nullable(&node), [true, false, true]);
    assert_eq!(
        run(v, &[("a", r#"[{"k": 2, "a": "q"}]"#), ("b", b), ("c", c)]).unwrap(),
        [r#"{"a":"q","b":"r","c":"t"}"#, r#"{"a":null,"b":"s","c":null}"#]
    );
}

#[test]
fn names_that_are_taken_get_a_number() {
    let rows = r#"[{"id": 1, "id0": 2}]"#;
    let v = json!({"equalities": "id"});
    let all = [("a", rows), ("b", rows), ("c", r#"[{"id": 1}]"#)];
    assert_eq!(run(v, &all).unwrap(), [r#"{"id":1,"id0":2,"id1":1,"id00":2,"id2":1}"#]);
    let v = json!({"equalities": "id", "fields": {"b": {"x": "id0"}, "c": []}});
    assert_eq!(run(v, &all).unwrap(), [r#"{"x":2,"id":1,"id0":2}"#]);
}

#[test]
fn integers_equal_floats_and_nulls_equal_nothing() {
    let v = json!({"equalities": [{"a": "k", "b": "f"}], "fields": {"a": ["k"], "b": ["f"]}});
    let rows = run(v.clone(), &[("a", A), ("b", r#"[{"f": 2.0}, {"f": 2.5}, {"f": null}]"#)]);
    assert_eq!(rows.unwrap(), [r#"{"k":2,"f":2.0}"#; 2]);
    let v =
        json!({"type": "right", "equalities": [{"a": "k", "b": "f"}], "fields": {"a": ["k"], "b": ["f"]}});
    assert_eq!(run(v, &[("a", A), ("b", r#"[{"f": null}]"#)]).unwrap(), [r#"{"k":null,"f":null}"#]);
}

#[test]
fn all_equalities_of_two_inputs_must_hold() {
    let a = r#"[{"k": 1, "m": "x", "v": 1}, {"k": 1, "m": "y", "v": 2}, {"k": 1, "m": null, "v": 3}]"#;
    let b = r#"[{"k": 1, "n": "x"}, {"k": 2, "n": "y"}, {"k": 1, "n": null}]"#;
    let v = json!({"equalities": [{"a": "k", "b": "k"}, {"b": "n", "a": "m"}], "fields": {"a": ["v"], "b": ["n"]}});
    assert_eq!(run(v, &[("a", a), ("b", b)]).unwrap(), [r#"{"v":1,"n":"x"}"#]);
}

#[test]
fn inner_joins_wait_for_what_ties_them() {
    let inputs = [
        ("a", r#"[{"k": 1}, {"k": 2}]"#),
        ("b", r#"[{"m": 7, "b": "x"}, {"m": 8, "b": "y"}]"#),
        ("c", r#"[{"k": 1, "m": 8}]"#),
    ];
    let equalities = json!([{"a": "k", "c": "k"}, {"c": "m", "b": "m"}]);
    let v = json!({"equalities": equalities, "fields": {"a": ["k"], "b": ["b"], "c": ["m"]}});
    assert_eq!(run(v, &inputs).unwrap(), [r#"{"k":1,"b":"y","m":8}"#]);
    let e = run(json!({"type": "left", "equalities": equalities}), &inputs).unwrap_err();
    assert!(e.contains("join/order") && e.contains("`b`"), "{e}");
}

#[test]
fn what_is_wrong_is_named() {
    let two = || shapes(&[("a", A), ("b", B)]);
    for (v, wanted) in [
        (json!({"type": "cross", "equalities": "k"}), r#"join/type: invalid value "cross" for `type`"#),
        (json!({"type": "iner", "equalities": "k"}), "did you mean `inner`?"),
        (json!({"type": {"inner": ["a"]}, "equalities": "k"}), r#"invalid value {"inner":["a"]} for `type`"#),
        (json!({"type": {"outer": []}, "equalities": "k"}), "join/type"),
        (json!({"type": {"outer": ["c"]}, "equalities": "k"}), "join/unknown-input: an invalid input `c`"),
        (json!({"type": 3, "equalities": "k"}), "invalid value 3"),
        (json!({}), "config/missing-field"),
        (json!({"equalities": []}), "join/equality: `equalities` is empty"),
        (json!({"equalities": ["k"]}), "containing at least 2 items"),
        (json!({"equalities": [{"a": "k"}]}), "containing at least 2 items"),
        (json!({"equalities": {"a": "k", "b": "k"}}), "a list of mappings"),
        (json!({"equalities": "b"}), "name/unknown-field: `b` is not a field of all inputs (`a` has: k, a)"),
        (json!({"equalities": [{"a": "k", "c": "k"}]}), "join/unknown-input"),
        (json!({"equalities": [{"a": "k", "b": "kk"}]}), "`kk` is not a valid field in `b`"),
        (
            json!({"equalities": [{"a": "a", "b": "b"}]}),
            "join/types: `a.a` and `b.b` cannot be equal (str and int)",
        ),
        (json!({"equalities": "k", "fields": {"c": ["k"]}}), "join/unknown-input"),
        (json!({"equalities": "k", "fields": {"a": ["x"]}}), "`x` is not a valid field in `a`"),
        (json!({"equalities": "k", "fields": {"a": ["k"], "b": ["k"]}}), "`k` was specified more than once"),
        (json!({"equalities": "k", "fields": {"a": "*"}}), "left out gives all"),
        (json!({"equalities": "k", "fields": {"a": [], "b": []}}), "no field is left"),
        (json!({"equalities": "k", "fields": ["a"]}), "config/wrong-type"),
    ] {
        let e = bind(v.clone(), &two()).unwrap_err();
        assert!(e.contains(wanted), "{v}: {e}");
    }
    let v = json!({"equalities": "k"});
    let e = bind(v.clone(), &two()[..1]).unwrap_err();
    assert!(e.contains("join/inputs") && e.contains("at least 2"), "{e}");
    let three = shapes(&[("a", A), ("b", B), ("c", B)]);
    let e = bind(json!({"equalities": [{"a": "k", "b": "k"}]}), &three).unwrap_err();
    assert!(e.contains("join/unconnected") && e.contains("nothing ties c to `a`"), "{e}");
    let v = json!({"equalities": "k", "fields": [], "type": null});
    assert!(bind(v, &two()).is_ok());
}

#[test]
fn windows_must_be_equal_and_end() {
    let fixed = |seconds: i64| Windowing::of(WindowFn::Fixed { size: seconds * SECOND, offset: 0 });
    let with = |windowing: [Windowing; 2], bounded: bool| {
        let inputs: Vec<InputShape> = shapes(&[("a", A), ("b", B)])
            .into_iter()
            .zip(windowing)
            .map(|(i, w)| input(&i.tag, Shape { windowing: Arc::new(w), bounded, ..i.shape.clone() }))
            .collect();
        bind(json!({"equalities": "k"}), &inputs).map(|n| n.outputs()[0].shape.clone())
    };
    let shape = with([fixed(10), fixed(10)], false).unwrap();
    assert_eq!((shape.bounded, shape.windowing.as_ref()), (false, &fixed(10)));
    assert!(with([fixed(10), fixed(5)], true).unwrap_err().contains("join/windows"));
    let global = || Windowing::of(WindowFn::Global);
    assert!(with([global(), global()], true).is_ok());
    assert!(with([global(), global()], false).unwrap_err().contains("window/unbounded-global"));
    let sessions = || Windowing::of(WindowFn::Sessions { gap: SECOND });
    assert!(with([sessions(), sessions()], false).is_ok());
    assert!(with([sessions(), fixed(10)], true).unwrap_err().contains("join/windows"));
    let on_time = Trigger::AfterWatermark { early: None, late: None };
    assert!(with([fixed(10), Windowing { trigger: on_time, ..fixed(10) }], false).is_ok());
    for windowing in [
        Windowing { trigger: Trigger::AfterCount(2), ..fixed(10) },
        Windowing { late_output: Some("late".to_owned()), ..fixed(10) },
    ] {
        assert!(with([fixed(10), windowing], false).unwrap_err().contains("join/panes"));
    }
}

#[test]
fn late_rows_are_taken_where_nothing_becomes_wrong() {
    let bound = |join_type: &str, windowing: Windowing| {
        let shape = |i: InputShape| {
            let shape = Shape { windowing: Arc::new(windowing.clone()), bounded: false, ..i.shape.clone() };
            input(&i.tag, shape)
        };
        let inputs: Vec<InputShape> = shapes(&[("a", A), ("b", B)]).into_iter().map(shape).collect();
        bind(json!({"type": join_type, "equalities": "k"}), &inputs)
    };
    let late = |window_fn| Windowing { allowed_lateness: 5 * SECOND, ..Windowing::of(window_fn) };
    let fixed = || late(WindowFn::Fixed { size: 10 * SECOND, offset: 0 });
    assert!(bound("inner", fixed()).is_ok());
    for (join_type, windowing, wanted) in [
        ("left", fixed(), "cannot be taken back"),
        ("right", fixed(), "cannot be taken back"),
        ("outer", fixed(), "cannot be taken back"),
        ("inner", late(WindowFn::Sessions { gap: SECOND }), "cannot take late rows into sessions"),
        ("inner", Windowing { accumulation: AccumulationMode::Accumulating, ..fixed() }, "cannot accumulate"),
    ] {
        let e = bound(join_type, windowing).unwrap_err();
        assert!(e.contains("join/lateness") && e.contains(wanted), "{join_type}: {e}");
    }
    let uneven: Vec<InputShape> = shapes(&[("a", A), ("b", B)])
        .into_iter()
        .zip([fixed(), Windowing { allowed_lateness: 0, ..fixed() }])
        .map(|(i, w)| input(&i.tag, Shape { windowing: Arc::new(w), ..i.shape.clone() }))
        .collect();
    assert!(bind(json!({"equalities": "k"}), &uneven).unwrap_err().contains("differently long"));
}

/// Rows of two inputs, their times in seconds, and the watermark before each batch.
fn timed(config: Value, windowing: &Windowing, steps: &[(i64, usize, &str)]) -> (Driver, Vec<String>) {
    let shape = || Shape {
        windowing: Arc::new(windowing.clone()),
        ..testing::shape_of(r#"[{"k": 1, "v": 1}, {"k": null, "v": 1}]"#).unwrap()
    };
    let inputs = [input("a", shape()), input("b", shape()), input("c", shape())];
    let node = bind(config, &inputs[..if steps.iter().any(|s| s.1 == 2) { 3 } else { 2 }]).unwrap();
    let mut driver = Driver::new(node.as_ref()).unwrap();
    for (watermark, port, rows) in steps {
        driver.watermark(EventTime::from_seconds(*watermark)).unwrap();
        let rows: Vec<Value> = serde_json::from_str(rows).unwrap();
        let times = rows.iter().map(|r| r["time"].as_i64().unwrap() * SECOND).collect();
        let rows: Vec<Value> = rows.iter().map(|r| json!({"k": r["k"], "v": r["v"]})).collect();
        let rows = testing::rows_of(&shape().schema, &Value::Array(rows).to_string()).unwrap();
        let batch = Batch::at(rows, purlin_api::Times::Each(times));
        driver.push(*port, crate::windows::assign(batch, &windowing.window_fn).unwrap().0).unwrap();
    }
    driver.end().unwrap();
    driver.check_schemas(node.as_ref()).unwrap();
    let mut out = Vec::new();
    for (_, batch) in &driver.emitted {
        for row in 0..batch.len() {
            let (window, pane) = (batch.windows.get(row), batch.panes.get(row));
            assert_eq!(batch.times.get(row), window.max_timestamp());
            let seconds = |t: EventTime| t.0 / SECOND;
            let json = purlin_api::json::row_to_json(&batch.rows, row);
            let (start, end) = (seconds(window.start()), seconds(window.end()));
            out.push(format!("{start}..{end} {} {} {json}", pane.timing.name(), pane.index));
        }
    }
    out.sort();
    (driver, out)
}

#[test]
fn late_rows_add_their_pairs() {
    let fixed = WindowFn::Fixed { size: 10 * SECOND, offset: 0 };
    let windowing = Windowing { allowed_lateness: 20 * SECOND, ..Windowing::of(fixed) };
    let config = json!({"equalities": "k", "fields": {"a": {"a": "v"}, "b": {"b": "v"}}});
    let (driver, out) = timed(
        config,
        &windowing,
        &[
            (0, 0, r#"[{"k": 1, "v": 10, "time": 1}, {"k": 2, "v": 20, "time": 2}]"#),
            (0, 1, r#"[{"k": 1, "v": 11, "time": 3}]"#),
            // The window has ended: these give what they add, and count for what comes after them.
            (12, 1, r#"[{"k": 2, "v": 21, "time": 4}, {"k": 3, "v": 31, "time": 4}]"#),
            (12, 0, r#"[{"k": 1, "v": 12, "time": 5}, {"k": 3, "v": 30, "time": 5}]"#),
            // Too late.
            (30, 0, r#"[{"k": 1, "v": 13, "time": 6}]"#),
        ],
    );
    assert_eq!(
        out,
        [
            r#"0..10 LATE 1 {"a":12,"b":11}"#,
            r#"0..10 LATE 1 {"a":20,"b":21}"#,
            r#"0..10 LATE 1 {"a":30,"b":31}"#,
            r#"0..10 ON_TIME 0 {"a":10,"b":11}"#,
        ]
    );
    let fates = driver.cx.fates;
    assert_eq!((fates.passed, fates.filtered, fates.late, fates.in_state), (7, 0, 1, 0));
}

#[test]
fn sessions_are_made_of_the_rows_of_all_inputs() {
    let sessions = Windowing::of(WindowFn::Sessions { gap: 10 * SECOND });
    let config = json!({"type": "outer", "equalities": "k", "fields": {"a": {"a": "v"}, "b": {"b": "v"}}});
    let (driver, out) = timed(
        config,
        &sessions,
        &[
            // Key 1: 0 and 16 are one session only by way of 8 in the other input. Key 2 has no partner in time.
            (
                0,
                0,
                r#"[{"k": 1, "v": 1, "time": 0}, {"k": 1, "v": 2, "time": 16}, {"k": 2, "v": 3, "time": 1}]"#,
            ),
            (
                0,
                1,
                r#"[{"k": 1, "v": 8, "time": 8}, {"k": 2, "v": 9, "time": 11}, {"k": null, "v": 7, "time": 2}]"#,
            ),
            (0, 0, r#"[{"k": null, "v": 6, "time": 3}]"#),
            // 1..11 of key 2 is over: this row begins a session, though it lies less than ten seconds after it began.
            (14, 0, r#"[{"k": 2, "v": 4, "time": 5}]"#),
            (14, 0, r#"[{"k": 2, "v": 5, "time": 4}]"#),
        ],
    );
    assert_eq!(
        out,
        [
            r#"0..26 ON_TIME 0 {"a":1,"b":8}"#,
            r#"0..26 ON_TIME 0 {"a":2,"b":8}"#,
            r#"1..11 ON_TIME 0 {"a":3,"b":null}"#,
            r#"2..12 ON_TIME 0 {"a":null,"b":7}"#,
            r#"3..13 ON_TIME 0 {"a":6,"b":null}"#,
            r#"5..21 ON_TIME 0 {"a":4,"b":9}"#,
        ]
    );
    assert_eq!((driver.cx.fates.late, driver.cx.fates.in_state), (1, 0));
}

#[test]
fn sessions_of_three_inputs_have_one_key() {
    let sessions = Windowing::of(WindowFn::Sessions { gap: 10 * SECOND });
    let fields = json!({"a": {"a": "v"}, "b": {"b": "v"}, "c": {"c": "v"}});
    let config = json!({"type": {"outer": ["b"]}, "equalities": "k", "fields": fields});
    let steps = [
        (0, 0, r#"[{"k": 1, "v": 1, "time": 0}]"#),
        (0, 1, r#"[{"k": 1, "v": 2, "time": 9}, {"k": 2, "v": 3, "time": 0}]"#),
        (0, 2, r#"[{"k": 1, "v": 4, "time": 18}, {"k": 2, "v": 5, "time": 10}]"#),
    ];
    // `a right join b left join c`: c has no partner for 2, as its row begins when b's session ends.
    let (_, out) = timed(config, &sessions, &steps);
    let alone = r#"0..10 ON_TIME 0 {"a":null,"b":3,"c":null}"#;
    assert_eq!(out, [alone, r#"0..28 ON_TIME 0 {"a":1,"b":2,"c":4}"#]);

    let three = r#"[{"k": 1, "v": 1}]"#;
    let shape = |tag: &str| {
        let shape = Shape { windowing: Arc::new(sessions.clone()), ..testing::shape_of(three).unwrap() };
        input(tag, shape)
    };
    let inputs = [shape("a"), shape("b"), shape("c")];
    let bound = |equalities: Value| bind(json!({"equalities": equalities}), &inputs);
    assert!(bound(json!([{"c": "k", "a": "v", "b": "k"}])).is_ok());
    for equalities in [
        json!([{"a": "k", "b": "k"}, {"b": "v", "c": "v"}]),
        json!([{"a": "k", "b": "k", "c": "k"}, {"b": "v", "c": "v"}]),
        json!([{"a": "k", "b": "k"}, {"a": "k", "b": "v"}, {"a": "k", "c": "k"}]),
    ] {
        let e = bound(equalities.clone()).unwrap_err();
        assert!(
            e.contains("join/sessions") && e.contains("{a: FIELD, b: FIELD, c: FIELD}"),
            "{equalities}: {e}"
        );
    }
}

/// What is kept is what waits: long after their sessions, rows leave no trace.
#[test]
fn sessions_give_their_memory_back() {
    let sessions = Windowing::of(WindowFn::Sessions { gap: SECOND });
    let shape = || Shape {
        windowing: Arc::new(sessions.clone()),
        ..testing::shape_of(r#"[{"k": 1, "time": 1}]"#).unwrap()
    };
    let inputs = [input("a", shape()), input("b", shape())];
    let node = bind(json!({"equalities": "k", "fields": {"b": []}}), &inputs).unwrap();
    let mut driver = Driver::new(node.as_ref()).unwrap();
    let mut wanted = 0;
    // One key in every batch never pauses, so that each batch has a row that waits until the end.
    for step in 0..120_i64 {
        let rows: Vec<Value> =
            (0..1500).map(|i| json!({"k": if i == 0 { 0 } else { step * 2000 + i }})).collect();
        let rows = testing::rows_of(&shape().schema, &Value::Array(rows).to_string());
        let Ok(rows) = rows else { panic!("rows") };
        let times = purlin_api::Times::One(EventTime(step * SECOND / 2));
        let batch = Batch::at(rows, times);
        let batch = crate::windows::assign(batch, &sessions.window_fn).unwrap().0;
        driver.push(0, batch.clone()).unwrap();
        driver.push(1, batch).unwrap();
        driver.watermark(EventTime(step * SECOND / 2 - SECOND)).unwrap();
        wanted += 1499;
    }
    driver.end().unwrap();
    assert_eq!(driver.emitted.iter().map(|(_, b)| b.len()).sum::<usize>(), wanted + 120 * 120);
    assert_eq!(driver.cx.fates.in_state, 0);
}

#[test]
fn lanes_go_by_what_all_inputs_share() {
    let rows = r#"[{"k": 1, "m": 1, "f": 0.5}]"#;
    let inputs = shapes(&[("a", rows), ("b", rows), ("c", rows)]);
    let spread = |equalities: Value| -> Vec<Distribution> {
        let node = bind(json!({"type": "left", "equalities": equalities}), &inputs).unwrap();
        (0..3).map(|port| node.distribution(port)).collect()
    };
    let keyed = |columns: [&[usize]; 3]| columns.map(|c| Distribution::Keyed(c.to_vec()));
    assert_eq!(spread(json!("k")), keyed([&[0], &[0], &[0]]));
    assert_eq!(
        spread(json!([{"a": "k", "b": "m"}, {"b": "m", "c": "k"}, {"a": "m", "b": "k", "c": "m"}])),
        keyed([&[0, 1], &[1, 0], &[0, 1]])
    );
    // `b` and `c` are tied by another field than `a` and `b`.
    let single = [const { Distribution::Single }; 3];
    assert_eq!(spread(json!([{"a": "k", "b": "k"}, {"b": "m", "c": "m"}])), single);
    // A step that is not tied by the field brings rows together that differ in it.
    assert_eq!(spread(json!([{"a": "k", "c": "k"}, {"b": "k", "c": "k"}, {"a": "m", "b": "m"}])), single);
    // Equal integers and floats have other key bytes.
    assert_eq!(spread(json!([{"a": "k", "b": "f", "c": "k"}])), single);
}

#[test]
fn only_keys_and_fields_that_are_read_are_needed() {
    let inputs = shapes(&[("a", r#"[{"k": 1, "x": 1, "y": 1}]"#), ("b", r#"[{"z": 1, "k": 1, "w": 1}]"#)]);
    let v = json!({"equalities": "k", "fields": {"a": ["x", "y"], "b": ["z"]}});
    let node = bind(v, &inputs).unwrap();
    let shapes: Vec<Shape> = inputs.into_iter().map(|i| i.shape).collect();
    assert_eq!(
        node.columns_needed(&[vec![false, true, false]], &shapes),
        [vec![true, false, true], vec![false, true, false]]
    );
    assert_eq!(node.columns_needed(&[], &shapes), [vec![true; 3], vec![true, true, false]]);
}

#[test]
fn windows_go_out_in_pieces_with_their_time_and_late_rows_are_counted() {
    let rows = r#"[{"k": 1, "time": 1}, {"k": 1, "time": 2}, {"k": 1, "time": 12}, {"k": 2, "time": 13}]"#;
    let mut shape = testing::shape_of(rows).unwrap();
    let windowing = Windowing::of(WindowFn::Fixed { size: 10 * SECOND, offset: 0 });
    shape.windowing = Arc::new(windowing.clone());
    let inputs = [input("a", shape.clone()), input("b", shape)];
    let node = bind(json!({"equalities": "k", "fields": {"a": ["k"], "b": []}}), &inputs).unwrap();
    let mut driver = Driver::new(node.as_ref()).unwrap();
    driver.cx.rows_max = 3;
    let batch = crate::windows::assign(testing::batch(rows).unwrap(), &windowing.window_fn).unwrap().0;
    driver.push(0, batch.clone()).unwrap();
    driver.push(1, batch.clone()).unwrap();
    driver.watermark(EventTime(9 * SECOND)).unwrap();
    assert!(driver.emitted.is_empty());
    driver.watermark(EventTime::from_seconds(10)).unwrap();
    let sizes: Vec<usize> = driver.emitted.iter().map(|(_, b)| b.len()).collect();
    assert_eq!(sizes, [3, 1], "2 × 2 rows, at most 3 at a time");
    driver.push(1, batch).unwrap();
    assert_eq!(driver.cx.fates.late, 2);
    driver.end().unwrap();
    driver.check_schemas(node.as_ref()).unwrap();
    assert_eq!(driver.rows(0), [r#"{"k":1}"#; 6].into_iter().chain([r#"{"k":2}"#; 2]).collect::<Vec<_>>());
    for (_, b) in &driver.emitted {
        assert_eq!(b.panes.single(), Some(&purlin_api::Pane::ONLY));
        let ends = |row: usize| b.times.get(row) == b.windows.get(row).max_timestamp();
        assert!((0..b.len()).all(ends));
    }
    assert_eq!((driver.cx.fates.passed, driver.cx.fates.filtered), (10, 0));
}

/// So many rows that an input is kept in several pieces.
#[test]
fn large_windows_are_joined_in_pieces() {
    const ROWS: i64 = 40_000;
    let shape = testing::shape_of(r#"[{"k": 1, "s": "x", "l": [1], "r": {"p": 1}, "n": null}]"#).unwrap();
    let rows = |from: i64| {
        let row = |k: i64| json!({"k": k, "s": format!("s{k}"), "l": [k, k + 1], "r": {"p": k}, "n": null});
        let list: Vec<Value> = (from..from + ROWS).map(row).collect();
        Batch::untimed(testing::rows_of(&shape.schema, &Value::Array(list).to_string()).unwrap())
    };
    let keys = testing::shape_of(r#"[{"k": 1}]"#).unwrap();
    let wanted = r#"[{"k": 79999}, {"k": -1}, {"k": 3}, {"k": 119999}, {"k": null}]"#;
    let inputs = [input("a", keys.clone()), input("b", shape.clone())];
    let parts = [rows(0), rows(ROWS), rows(2 * ROWS)];
    for (join_type, unmatched) in [("inner", 0), ("left", 2), ("outer", 2)] {
        let v = json!({"type": join_type, "equalities": "k", "fields": {"a": {"key": "k"}}});
        let node = bind(v, &inputs).unwrap();
        let mut driver = Driver::new(node.as_ref()).unwrap();
        for part in &parts {
            driver.push(1, part.clone()).unwrap();
        }
        driver.push(0, Batch::untimed(testing::rows_of(&keys.schema, wanted).unwrap())).unwrap();
        driver.end().unwrap();
        driver.check_schemas(node.as_ref()).unwrap();
        let given = driver.rows(0);
        let alone = if join_type == "outer" { 3 * ROWS as usize - 3 } else { 0 };
        assert_eq!(given.len(), 3 + unmatched + alone);
        let found = |k: i64| {
            format!(r#"{{"key":{k},"k":{k},"s":"s{k}","l":[{k},{}],"r":{{"p":{k}}},"n":null}}"#, k + 1)
        };
        for k in [79_999, 3, 119_999] {
            assert!(given.contains(&found(k)), "{join_type}: {k}");
        }
        if unmatched > 0 {
            assert_eq!(given[1], r#"{"key":-1,"k":null,"s":null,"l":null,"r":null,"n":null}"#);
        }
    }
}

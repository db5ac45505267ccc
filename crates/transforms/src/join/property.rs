//! Joins of random rows against nested loops that say the same in fewer words.

use super::tests::input;
use super::*;
use crate::testing::config;
use arrow_schema::{DataType, Field, Schema};
use purlin_api::pane::Timing;
use purlin_api::testing::{self, Driver};
use purlin_api::time::SECOND;
use purlin_api::{EventTime, Pane, Times, Window};
use serde_json::{Map, Value, json};

const CASES: u64 = 1500;
const TAGS: [&str; 3] = ["a", "b", "c"];

/// SplitMix64: the same cases in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

/// A case: what is joined, how, and in which windows.
struct Case {
    inputs: usize,
    config: Value,
    pairs: Vec<[(usize, &'static str); 2]>,
    keep: Vec<(bool, bool)>,
    windowing: Windowing,
    /// The fields that sessions belong to.
    key: &'static [&'static str],
    /// Whether `m` of an input is a float.
    floats: Vec<bool>,
}

fn case(random: &mut Random) -> Case {
    let inputs = 2 + random.below(2) as usize;
    let ways: [Value; 7] = [
        json!("k"),
        json!([{"a": "k", "b": "k"}]),
        json!([{"b": "m", "a": "m"}, {"a": "k", "b": "k"}]),
        json!([{"c": "k", "a": "k", "b": "k"}]),
        json!([{"a": "k", "b": "k"}, {"b": "m", "c": "m"}]),
        json!([{"a": "k", "b": "k", "c": "k"}, {"c": "m", "b": "m"}]),
        // Only inner joins can be reordered so that this makes sense.
        json!([{"a": "k", "c": "k"}, {"c": "m", "b": "m"}]),
    ];
    let way = random.below(if inputs == 2 { 3 } else { 4 }) as usize;
    let way = if inputs == 3 && way > 0 { way + 3 } else { way };
    let equalities = ways[way].clone();
    let types = if way == 6 { 1 } else { 5 };
    let (join_type, outer): (Value, Vec<usize>) = match random.below(types) {
        0 => (json!("inner"), Vec::new()),
        1 => (json!("left"), Vec::new()),
        2 => (json!("right"), Vec::new()),
        3 => (json!("outer"), (0..inputs).collect()),
        _ => {
            let mut outer: Vec<usize> = (0..inputs).filter(|_| random.below(2) == 0).collect();
            if outer.is_empty() {
                outer.push(random.below(inputs as u64) as usize);
            }
            (json!({"outer": outer.iter().map(|i| TAGS[*i]).collect::<Vec<_>>()}), outer)
        }
    };
    let keep = (1..inputs)
        .map(|i| match join_type.as_str() {
            Some("left") => (true, false),
            Some("right") => (false, true),
            _ => (outer.contains(&(i - 1)), outer.contains(&i)),
        })
        .collect();
    let fields = (0..inputs).map(|i| {
        let names = ["k", "m", "v"].map(|f| (format!("{}{f}", TAGS[i]), json!(f)));
        (TAGS[i].to_owned(), Value::Object(names.into_iter().collect()))
    });
    let fields: Map<String, Value> = fields.collect();
    let shared = way < 4;
    let window_fn = match random.below(if shared { 5 } else { 3 }) {
        0 => WindowFn::Global,
        1 => WindowFn::Fixed { size: 10 * SECOND, offset: 0 },
        2 => WindowFn::Sliding { size: 20 * SECOND, period: 10 * SECOND, offset: 3 * SECOND },
        _ => WindowFn::Sessions { gap: *random.pick(&[SECOND, 4 * SECOND, 9 * SECOND]) },
    };
    let takes_late =
        matches!(window_fn, WindowFn::Fixed { .. } | WindowFn::Sliding { .. }) && join_type == json!("inner");
    let allowed_lateness = if takes_late { *random.pick(&[0, 7 * SECOND, 30 * SECOND]) } else { 0 };
    Case {
        inputs,
        pairs: pairs(&equalities, inputs),
        config: json!({"type": join_type, "equalities": equalities, "fields": fields}),
        keep,
        windowing: Windowing { allowed_lateness, ..Windowing::of(window_fn) },
        key: if way == 2 { &["k", "m"] } else { &["k"] },
        floats: (0..inputs).map(|_| random.below(3) == 0).collect(),
    }
}

fn pairs(equalities: &Value, inputs: usize) -> Vec<[(usize, &'static str); 2]> {
    let name = |v: &Value| if v == "k" { "k" } else { "m" };
    let Value::Array(list) = equalities else {
        return (1..inputs).map(|i| [(0, name(equalities)), (i, name(equalities))]).collect();
    };
    let mut pairs = Vec::new();
    for equality in list {
        let places: Vec<(usize, &str)> = equality
            .as_object()
            .unwrap()
            .iter()
            .map(|(tag, f)| (TAGS.iter().position(|t| t == tag).unwrap(), name(f)))
            .collect();
        pairs.extend(places[1..].iter().map(|other| [places[0], *other]));
    }
    pairs
}

/// Nested loops: an input after the other, all pairs of an input with those before it.
fn reference(case: &Case, sides: &[Vec<Value>]) -> Vec<Vec<Option<usize>>> {
    let mut rows: Vec<Vec<Option<usize>>> = (0..sides[0].len()).map(|r| vec![Some(r)]).collect();
    for (input, side) in sides.iter().enumerate().skip(1) {
        let (keep_left, keep_right) = case.keep[input - 1];
        let value = |row: &[Option<usize>], (i, field): (usize, &str)| {
            let value = &sides[i][row[i]?][field];
            let number = |v: &Value| v.as_f64().map_or_else(|| v.to_string(), |n| n.to_string());
            (!value.is_null()).then(|| number(value))
        };
        let holds = |row: &[Option<usize>]| {
            let mut here = case.pairs.iter().filter(|p| p[0].0.max(p[1].0) == input);
            here.all(|p| value(row, p[0]).is_some_and(|v| Some(v) == value(row, p[1])))
        };
        let mut joined = Vec::new();
        let mut matched = vec![false; side.len()];
        for row in &rows {
            let mut found = false;
            for (right, matched) in matched.iter_mut().enumerate() {
                let both: Vec<_> = row.iter().copied().chain([Some(right)]).collect();
                if holds(&both) {
                    (found, *matched) = (true, true);
                    joined.push(both);
                }
            }
            if keep_left && !found {
                joined.push(row.iter().copied().chain([None]).collect());
            }
        }
        if keep_right {
            let alone = (0..side.len()).filter(|r| !matched[*r]);
            joined.extend(alone.map(|r| vec![None; input].into_iter().chain([Some(r)]).collect()));
        }
        rows = joined;
    }
    rows
}

fn text(case: &Case, sides: &[Vec<Value>], row: &[Option<usize>]) -> String {
    let mut all = Map::new();
    for input in 0..case.inputs {
        for field in ["k", "m", "v"] {
            let value = row[input].map_or(Value::Null, |r| sides[input][r][field].clone());
            all.insert(format!("{}{field}", TAGS[input]), value);
        }
    }
    Value::Object(all).to_string()
}

fn schema(float: bool) -> Arc<Schema> {
    let m = if float { DataType::Float64 } else { DataType::Int64 };
    let field = |name: &str, t| Field::new(name, t, true);
    Arc::new(Schema::new(vec![field("k", DataType::Utf8), field("m", m), field("v", DataType::Int64)]))
}

fn row(random: &mut Random, float: bool, number: u64) -> Value {
    let mut some = |v: Value| if random.below(5) == 0 { Value::Null } else { v };
    let (k, m) = (some(json!("x")), some(json!(0)));
    let k = if k.is_null() { k } else { json!(random.pick(&["x", "y", "z"])) };
    let n = random.below(3);
    let m = match m {
        Value::Null => Value::Null,
        _ if float => json!(n as f64 / if number.is_multiple_of(4) { 2.0 } else { 1.0 }),
        _ => json!(n),
    };
    json!({"k": k, "m": m, "v": number})
}

/// Rows that are joined with each other.
struct Group {
    window: Window,
    /// Of a session; none equals nothing.
    key: Option<String>,
    sides: Vec<Vec<Value>>,
    over: bool,
}

/// Puts a row into its group.
fn put(case: &Case, groups: &mut Vec<Group>, window: Window, port: usize, row: &Value) {
    let sessions = case.windowing.window_fn.merges();
    let number = |v: &Value| v.as_f64().map_or_else(|| v.to_string(), |n| n.to_string());
    let null = sessions && case.key.iter().any(|k| row[k].is_null());
    let key = (!null).then(|| case.key.iter().map(|k| number(&row[k]) + "|").collect::<String>());
    let key = if sessions { key } else { Some(String::new()) };
    let mut group = Group { window, key, sides: vec![Vec::new(); case.inputs], over: false };
    group.sides[port].push(row.clone());
    let meets = |g: &Group, new: &Group| match sessions {
        true => {
            let overlap = g.window.start() < new.window.end() && new.window.start() < g.window.end();
            !g.over && g.key.is_some() && g.key == new.key && overlap
        }
        false => g.window == new.window,
    };
    while let Some(at) = groups.iter().position(|g| meets(g, &group)) {
        let met = groups.remove(at);
        let (start, end) =
            (met.window.start().min(group.window.start()), met.window.end().max(group.window.end()));
        if sessions {
            group.window = Window::Interval { start, end };
        }
        for (own, theirs) in group.sides.iter_mut().zip(met.sides) {
            own.splice(0..0, theirs);
        }
    }
    groups.push(group);
}

/// Sends rows of all inputs in random batches with watermarks between; what is not late is returned.
fn drive(case: &Case, driver: &mut Driver, random: &mut Random) -> (Vec<Group>, u64) {
    let (mut groups, mut late, mut number) = (Vec::new(), 0, 0);
    for _ in 0..random.below(12) {
        let port = random.below(case.inputs as u64) as usize;
        let mut rows = Vec::new();
        let mut times = Vec::new();
        for _ in 0..random.below(7) {
            number += 1;
            let row = row(random, case.floats[port], number);
            let time = EventTime::from_seconds(random.below(40) as i64);
            case.windowing.window_fn.assign(time, |w| {
                if case.windowing.expiry(&w) <= driver.cx.watermark {
                    late += 1;
                } else {
                    put(case, &mut groups, w, port, &row);
                }
            });
            rows.push(row);
            times.push(time.0);
        }
        let rows = testing::rows_of(&schema(case.floats[port]), &Value::Array(rows).to_string()).unwrap();
        let batch = purlin_api::Batch::at(rows, Times::Each(times.into()));
        driver.push(port, crate::windows::assign(batch, &case.windowing.window_fn).unwrap().0).unwrap();
        if random.below(3) == 0 {
            driver.watermark(EventTime::from_seconds(random.below(45) as i64)).unwrap();
            groups.iter_mut().for_each(|g| g.over = g.window.end() <= driver.cx.watermark);
        }
    }
    driver.end().unwrap();
    (groups, late)
}

#[test]
fn joins_equal_nested_loops() {
    let (mut given, mut late_pairs, mut in_sessions) = (0, 0, 0);
    for seed in 0..CASES {
        let random = &mut Random(seed);
        let case = case(random);
        let shape = |i: usize| Shape {
            windowing: Arc::new(case.windowing.clone()),
            ..testing::shape(schema(case.floats[i]))
        };
        let inputs: Vec<InputShape> = (0..case.inputs).map(|i| input(TAGS[i], shape(i))).collect();
        let join: Join = config(case.config.clone()).unwrap();
        let node = testing::bind(&join, &inputs, false).unwrap();
        let mut driver = Driver::new(node.as_ref()).unwrap();
        driver.cx.rows_max = 1 + random.below(9) as usize;
        let (groups, late) = drive(&case, &mut driver, random);
        let about = format!("seed {seed}: {} in {}", case.config, case.windowing.describe());

        let (mut expected, mut passed, mut all) = (Vec::new(), 0, 0);
        for Group { window, sides, .. } in &groups {
            let rows = reference(&case, sides);
            expected.extend(rows.iter().map(|r| (window.clone(), text(&case, sides, r))));
            for (input, side) in sides.iter().enumerate() {
                all += side.len() as u64;
                passed +=
                    (0..side.len()).filter(|r| rows.iter().any(|row| row[input] == Some(*r))).count() as u64;
            }
        }
        driver.check_schemas(node.as_ref()).unwrap();
        let mut emitted = Vec::new();
        for (_, batch) in &driver.emitted {
            assert!(batch.len() <= driver.cx.rows_max, "{about}");
            for row in 0..batch.len() {
                let window = batch.windows.get(row);
                assert_eq!(batch.times.get(row), window.max_timestamp(), "{about}");
                let pane = batch.panes.get(row);
                match case.windowing.allowed_lateness {
                    0 => assert_eq!(pane, &Pane::ONLY, "{about}"),
                    _ => assert!(!pane.is_last && pane.is_first == (pane.index == 0), "{about}: {pane:?}"),
                }
                late_pairs += usize::from(pane.timing == Timing::Late);
                in_sessions += usize::from(case.windowing.window_fn.merges());
                emitted.push((window.clone(), purlin_api::json::row_to_json(&batch.rows, row).to_string()));
            }
        }
        given += emitted.len();
        emitted.sort();
        expected.sort();
        assert_eq!(emitted, expected, "{about}");
        let fates = driver.cx.fates;
        assert_eq!((fates.late, fates.in_state, fates.passed), (late, 0, passed), "{about}");
        assert_eq!(fates.filtered, all - passed, "{about}");
    }
    assert!(given > 10_000, "the cases are too thin: {given} rows");
    assert!(late_pairs > 100 && in_sessions > 1000, "too thin: {late_pairs} late, {in_sessions} in sessions");
}

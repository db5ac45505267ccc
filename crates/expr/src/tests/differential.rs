//! The same expressions in CPython and here: values and error texts must be the same.

use std::io::Write as _;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::cases::batch;
use crate::arrow::Column;
use crate::interp::{Args, Frame, Machine};
use crate::ir::Entry;
use crate::python::{self, Names};
use crate::value::{Res, Value, repr};

const SCRIPT: &str = r"
import json, sys, types
def run(case):
    try:
        if 'def' in case:
            scope = {}
            exec(case['def'], scope)
            value = scope['f'](types.SimpleNamespace(**case['row']))
        else:
            value = eval('(' + case['expr'] + '\n)', dict(case['row']))
        return ['value', repr(value)]
    except Exception as e:
        return ['error', repr(e)]
print(json.dumps([run(case) for case in json.load(sys.stdin)]))
";

/// What CPython gives for each case; `None` if there is none of the version whose texts are copied.
fn cpython(cases: &[Json]) -> Option<Vec<(String, String)>> {
    let version =
        Command::new("python3").args(["-c", "import sys; print(sys.version_info[:2])"]).output().ok()?;
    if !String::from_utf8_lossy(&version.stdout).starts_with("(3, 11)") {
        return None;
    }
    let mut child = Command::new("python3")
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(Json::from(cases.to_vec()).to_string().as_bytes()).ok()?;
    let out = child.wait_with_output().ok()?;
    Some(serde_json::from_slice(&out.stdout).expect("the script prints JSON"))
}

fn value_here(case: &Json) -> Res<Value> {
    let batch = batch(&json!([case["row"].clone()]));
    let schema = batch.schema();
    let fields: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
    let names = Names { fields: &fields, beam_compat: true };
    let compiled = match case.get("def") {
        Some(code) => python::callable(code.as_str().unwrap(), &names),
        None => python::expression(case["expr"].as_str().unwrap(), &names),
    };
    let entry = compiled.map_err(|p| crate::value::Raise::new("SyntaxError", p[0].to_string()))?;
    let columns: Vec<Option<Column>> =
        batch.columns().iter().zip(schema.fields()).map(|(c, f)| Column::new(c, f).ok()).collect();
    let shared = fields.iter().map(|f| f.as_str().into()).collect();
    let mut machine = Machine::new(&columns, shared, Some(0));
    machine.start_row(0);
    match &entry {
        Entry::Expression { body, slots } => {
            let frame = Frame::new(*slots, None);
            machine.eval(body, &frame)
        }
        Entry::Callable { module, slots, callee } => {
            let frame = Frame::new(*slots, None);
            machine.block(module, &frame)?;
            let callee = machine.eval(callee, &frame)?;
            let row = machine.whole_row()?;
            machine.call(&callee, Args::of(vec![row]))
        }
    }
}

fn here(case: &Json) -> (String, String) {
    match value_here(case).and_then(|v| repr(&v)) {
        Ok(text) => ("value".to_owned(), text),
        Err(raise) => ("error".to_owned(), repr(&Value::Exception(raise.exception)).unwrap_or_default()),
    }
}

pub(super) fn compare(cases: &[Json]) {
    let Some(wanted) = cpython(cases) else {
        eprintln!("SKIPPED: needs python3 3.11, whose error texts are compared");
        return;
    };
    let mut wrong = Vec::new();
    for (case, wanted) in cases.iter().zip(&wanted) {
        let found = here(case);
        // How much is too much differs: here a row's memory is bounded.
        let too_much = found.1.starts_with("MemoryError") && wanted.0 == "error";
        // What is not compiled says so.
        let refused = found.0 == "error" && found.1.starts_with("NotImplementedError");
        if found != *wanted && !too_much && !refused {
            wrong.push(format!("{case}\n  CPython {wanted:?}\n  here    {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn with_row(row: &Json, expressions: &str) -> Vec<Json> {
    let lines = expressions.lines().map(str::trim).filter(|l| !l.is_empty());
    lines.map(|l| json!({"expr": l, "row": row})).collect()
}

#[test]
fn expressions_agree_with_cpython() {
    let row = json!({
        "i": 7, "j": -3, "z": 0, "big": i64::MAX, "x": 2.5, "y": -0.1, "s": "Hello, Wörld", "e": "", "n": null,
        "t": true, "l": [3, 1, 2], "w": ["b", "a"], "p": "  a b\tc\n", "num": " 42 ", "d": {"k": 1}
    });
    compare(&with_row(&row, include_str!("expressions.txt")));
}

#[test]
fn functions_agree_with_cpython() {
    let row = json!({
        "i": 7, "s": "2024-03-05 ERROR [db] timeout=30ms", "l": [5, 3, 8], "n": null,
        "t": "2024-01-02T03:04:05+01:00", "j": "{\"a\": [1, 2.5, null], \"b\": {\"c\": \"x\"}}"
    });
    let cases: Vec<Json> =
        include_str!("functions.txt").split("---\n").map(|code| json!({"def": code, "row": row})).collect();
    compare(&cases);
}

fn leaf() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("a".to_owned()),
        Just("b".to_owned()),
        Just("x".to_owned()),
        Just("s".to_owned()),
        Just("n".to_owned()),
        Just("t".to_owned()),
        (-20i64..20).prop_map(|i| format!("({i})")),
        prop::sample::select(vec![
            "0.5", "-2.0", "1e300", "3.0", "'b'", "''", "'ab'", "None", "True", "[1, 2]", "2**63"
        ])
        .prop_map(str::to_owned),
    ]
}

/// Expressions over fields `a`, `b` (int), `x` (float), `s` (text), `n` (null), `t` (bool).
fn expression() -> impl Strategy<Value = String> {
    leaf().prop_recursive(4, 24, 3, |inner| {
        let op = prop::sample::select(vec![
            "+", "-", "*", "/", "//", "%", "<", "<=", "==", "!=", ">", ">=", "and", "or", "in", "is", "&", "|", "^",
        ]);
        let function = prop::sample::select(vec![
            "str", "int", "float", "bool", "len", "abs", "round", "repr", "not ", "-", "~", "sorted", "list", "type",
        ]);
        prop_oneof![
            4 => (inner.clone(), op, inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            2 => (function, inner.clone()).prop_map(|(f, a)| format!("({f}({a}))")),
            1 => (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} if {b} else {c})")),
            1 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("max({a}, {b})")),
            1 => (inner.clone(), -3i64..3).prop_map(|(a, i)| format!("({a})[{i}]")),
            1 => (inner.clone(), -3i64..3, -3i64..3).prop_map(|(a, i, j)| format!("({a})[{i}:{j}]")),
            1 => (inner.clone(), prop::sample::select(vec!["upper", "strip", "title", "split", "isdigit"]))
                .prop_map(|(a, m)| format!("({a}).{m}()")),
            1 => inner.prop_map(|a| format!("'<{{}}>'.format({a})")),
        ]
    })
}

fn some_row() -> impl Strategy<Value = Json> {
    let int = || prop_oneof![-9i64..9, Just(i64::MAX), Just(i64::MIN), any::<i64>()];
    let float = prop_oneof![Just(0.0), Just(-1.5), Just(2.0), Just(1e16), -1e3..1e3];
    let text = prop::sample::select(vec!["", "ab", "Äß ", "12", "-7.5", "x,y"]);
    (int(), int(), float, text, any::<bool>())
        .prop_map(|(a, b, x, s, t)| json!({"a": a, "b": b, "x": x, "s": s, "n": null, "t": t}))
}

#[test]
fn generated_expressions_agree_with_cpython() {
    // One process for all cases, so the strategy is sampled by hand.
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut cases = Vec::new();
    for _ in 0..3000 {
        let tree = (expression(), some_row()).new_tree(&mut runner).expect("a strategy that always succeeds");
        let (expr, row) = proptest::strategy::ValueTree::current(&tree);
        cases.push(json!({"expr": expr, "row": row}));
    }
    compare(&cases);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// Column by column and row by row give the same.
    #[test]
    fn both_evaluators_agree(expr in expression(), rows in prop::collection::vec(some_row(), 1..6)) {
        let batch = batch(&Json::from(rows));
        if let Ok(program) = crate::compile(
            crate::Language::Python, crate::Code::Expression(&expr), &batch.schema(), None, &crate::Options::default(),
        ) {
            let context = crate::RowContext::default();
            let (fast, slow) = (program.eval(&batch, &context), program.eval_by_row(&batch, &context));
            prop_assert_eq!(&fast.errors, &slow.errors);
            prop_assert_eq!(fast.values.as_ref(), slow.values.as_ref());
        }
    }
}

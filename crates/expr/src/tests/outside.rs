//! Python that is not compiled: when it goes to a worker, and what its results become.

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use arrow_array::{Array as _, BinaryArray, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use serde_json::json;
use std::sync::Arc;

use crate::outside::{Outside, Setup};
use crate::{Code, Language, Options, Problem, RowContext, compile};

fn input() -> Schema {
    Schema::new(vec![Field::new("a", DataType::Int64, true), Field::new("s", DataType::Utf8, true)])
}

fn outside(code: Code<'_>, output_type: Option<&serde_json::Value>) -> Result<Outside, Vec<Problem>> {
    let refused = compile(Language::Python, code, &input(), output_type, &Options::default());
    Outside::new(code, &input(), output_type, refused.expect_err("it compiles"))
}

fn construct(code: &str) -> String {
    match outside(Code::Callable(code), None) {
        Ok(outside) => outside.construct().to_owned(),
        Err(problems) => panic!("{problems:?}"),
    }
}

#[test]
fn constructs_that_are_not_compiled_have_names() {
    assert_eq!(construct("class A: pass\ndef f(row):\n  return A()"), "a class");
    assert_eq!(
        construct("import functools\ndef f(row):\n  return functools.reduce(max, [row.a])"),
        "importing `functools`"
    );
    assert_eq!(construct("def f(row):\n  yield row.a"), "`yield`");
    assert_eq!(construct("def f(row):\n  return frozenset.__name__, hash(row.s)"), "`hash()`");
    assert_eq!(construct("def f(row):\n  return row.a.as_integer_ratio()"), "`as_integer_ratio` of int");
    assert_eq!(construct("import math\ndef f(row):\n  return math.lgamma(row.a)"), "`math.lgamma`");
    let by_name = Code::File { text: "@staticmethod\ndef g(row): return 1\ndef f(row): return 2", name: "g" };
    assert_eq!(outside(by_name, None).expect("a job").construct(), "a decorator");
}

#[test]
fn what_is_wrong_stays_refused() {
    let message = |code: &str| match outside(Code::Callable(code), None) {
        Ok(outside) => format!("{outside:?}"),
        Err(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    };
    assert!(message("class A: pass\ndef f(row):\n  return b").contains("unknown name `b`"));
    assert!(message("class A: pass\ndef f(row):\n  return row.b").contains("no field `b`"));
    let numpy = message("import numpy.linalg as la\ndef f(row):\n  return la.norm(1)");
    assert!(numpy.contains("needs numpy, which is not part of Python's standard library"), "{numpy}");
    let beam = message("import apache_beam as beam\ndef f(row):\n  return beam.Map(1)");
    assert!(beam.contains("`apache_beam.Map` is Beam's Python"), "{beam}");
    let names = outside(Code::Expression("id + 1"), None).expect_err("refused");
    assert!(names.iter().any(|p| p.code == "expr/unknown-name"), "{names:?}");
}

#[test]
fn rows_are_encoded_and_an_expression_reads_what_it_names() {
    let job = outside(Code::Expression("hash(s)"), None).expect("a job");
    assert_eq!(job.columns(), [1]);
    let setup = Setup::new(&[&job], &input());
    let text: serde_json::Value = serde_json::from_str(setup.text()).expect("JSON");
    assert_eq!(text["columns"], json!(["s"]));
    assert_eq!(text["jobs"][0]["columns"], json!([0]));
    let columns: Vec<arrow_array::ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![1])), Arc::new(StringArray::from(vec!["x"]))];
    let rows = setup.encode(&RecordBatch::try_new(Arc::new(input()), columns).expect("rows")).expect("bytes");
    assert_eq!(rows.value(0), b"(\x01\0\0\0u\x01\0\0\0x");
}

#[test]
fn results_become_values_of_the_declared_or_annotated_type() {
    let results: BinaryArray = [
        Some(&b"(\x01\0\0\0i\x03\0\0\0"[..]),
        Some(b"(\x01\0\0\0u\x01\0\0\0x"),
        Some(b"(\x02\0\0\0u\x04\0\0\0E(1)u\x02\0\0\0tb"),
        Some(b"(\x01\0\0\0N"),
        None,
    ]
    .into_iter()
    .collect();
    let code = |returns: &str| format!("class A: pass\ndef f(row){returns}:\n  return 1");
    let declared = outside(Code::Callable(&code("")), Some(&json!("integer"))).expect("a job");
    let got = declared.values(&results, &RowContext::default());
    assert_eq!(got.values.as_primitive::<Int64Type>().value(0), 3);
    let messages: Vec<(usize, &str)> = got.errors.iter().map(|e| (e.row, e.message.as_str())).collect();
    assert_eq!(messages[1], (2, "E(1)"));
    assert_eq!(got.errors[1].stack, "tb");
    assert!(messages[0].1.contains("x violates schema"), "{messages:?}");
    assert_eq!((messages.len(), messages[2].0, messages[3].0), (4, 3, 4));

    let annotated = outside(Code::Callable(&code(" -> int | None")), None).expect("a job");
    assert_eq!(annotated.field("v"), Field::new("v", DataType::Int64, true));
    let got = annotated.values(&results, &RowContext::default());
    assert!(got.values.is_null(3) && got.errors.iter().all(|e| e.row != 3));

    let any = outside(Code::Callable(&code("")), None).expect("a job");
    let got = any.values(&results, &RowContext::default());
    let texts = got.values.as_string::<i32>();
    assert_eq!((texts.value(0), texts.value(1)), ("3", "\"x\""));
}

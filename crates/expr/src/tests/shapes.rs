//! Types, truth, columns and the rest of the public interface.

use std::sync::Arc;

use arrow_array::{Array as _, ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use serde_json::{Value as Json, json};

use super::cases::{batch, run};
use crate::{Code, Language, Options, Program, RowContext, any_field, compile, is_any, truthy, truthy_any};

fn program(code: Code<'_>, schema: &Schema) -> Program {
    compile(Language::Python, code, schema, None, &Options::default())
        .unwrap_or_else(|p| panic!("{code:?}: {p:?}"))
}

fn generic(text: &str, schema: &Schema, beam_compat: bool) -> Result<Program, String> {
    let options = Options { beam_compat };
    compile(Language::Generic, Code::Expression(text), schema, None, &options).map_err(|p| p[0].to_string())
}

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("i", DataType::Int64, false),
        Field::new("o", DataType::Int64, true),
        Field::new("x", DataType::Float64, false),
        Field::new("s", DataType::Utf8, false),
        Field::new("my col", DataType::Utf8, true),
        Field::new("l", DataType::List(Arc::new(Field::new("item", DataType::Int64, false))), false),
        Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
    ])
}

#[test]
fn types_are_inferred() {
    let list = |t| DataType::List(Arc::new(Field::new("item", t, true)));
    for (text, wanted, nullable) in [
        ("i + 1", DataType::Int64, false),
        ("i / 2", DataType::Float64, false),
        ("o", DataType::Int64, true),
        ("o + 1", DataType::Int64, false),
        ("o or 0", DataType::Int64, false),
        ("x if i else 0", DataType::Float64, false),
        ("x if i else None", DataType::Float64, true),
        ("f'{i}'", DataType::Utf8, false),
        ("i > 1 and x > 2", DataType::Boolean, false),
        ("s.split(',')", list(DataType::Utf8), false),
        ("[v * 0.5 for v in l]", list(DataType::Float64), false),
        ("sorted(set(l))", list(DataType::Int64), false),
        ("float(ts)", DataType::Float64, false),
        ("ts.micros", DataType::Int64, false),
        ("(ts - 5) > 0", DataType::Boolean, false),
        ("len(s) if s else None", DataType::Int64, true),
        ("s.encode()", DataType::Binary, false),
        ("max(l, default=0)", DataType::Int64, false),
        ("round(x, 2)", DataType::Float64, false),
        ("None", DataType::Null, true),
    ] {
        let found = program(Code::Expression(text), &schema()).field_type();
        assert_eq!(found, (wanted, nullable), "{text}");
    }
    let rows = program(Code::Expression("beam.Row(a=i, b=s)"), &schema());
    assert!(matches!(rows.field_type().0, DataType::Struct(fields) if fields.len() == 2));
    assert!(program(Code::Expression("i if x else s"), &schema()).is_any());
    assert!(is_any(&program(Code::Expression("{'a': i, 'b': s}"), &schema()).field("v")));
}

#[test]
fn common_programs_run_by_column() {
    for text in [
        "i + 1",
        "i * x > 3",
        "s.upper() == 'A'",
        "o is None",
        "i if x > 1 else 0",
        "'a' in s",
        "len(s) - 1",
        "f'{s}-{i}'",
        "s in ('a', 'b')",
        "str(i) + s",
        "0 < i <= 9",
        "not o",
        "int(s)",
    ] {
        assert_eq!(program(Code::Expression(text), &schema()).describe(), "vectorised", "{text}");
    }
    assert_eq!(program(Code::Callable("lambda row: row.i * 2"), &schema()).describe(), "vectorised");
    assert_eq!(program(Code::Expression("i"), &schema()).describe(), "column");
    assert_eq!(program(Code::Expression("s.split()"), &schema()).describe(), "row by row");
}

#[test]
fn only_what_is_read_is_asked_for() {
    let columns = |code| program(code, &schema()).columns();
    assert_eq!(columns(Code::Expression("i + len(l)")), [0, 5]);
    assert_eq!(columns(Code::Callable("lambda row: row.s")), [3]);
    assert_eq!(
        columns(Code::Callable("def f(row):\n  y = row.x\n  return [row.i for _ in row.l]\n")),
        [0, 2, 5]
    );
    assert_eq!(columns(Code::Callable("lambda row: len(row)")).len(), 7);
    assert_eq!(columns(Code::Callable("lambda row: row[1]")), [1]);
    assert_eq!(program(Code::Callable("lambda row: row.s"), &schema()).as_plain_field(), Some(3));
    assert_eq!(program(Code::Expression("my col"), &schema()).as_plain_field(), Some(4));
}

#[test]
fn generic_takes_fields_literals_and_one_comparison() {
    for text in [
        "i",
        "my col",
        "3000000000",
        "-1.5",
        "\"a < b\"",
        "i <= 3",
        "my col == \"x\"",
        "i!=o",
        "2 > 1.",
        " i ",
    ] {
        assert!(generic(text, &schema(), false).is_ok(), "{text}");
    }
    assert!(generic("nosuch", &schema(), false).unwrap_err().contains("unknown field `nosuch`"));
    assert!(generic("i + 1", &schema(), false).unwrap_err().contains("language: python"));
    assert!(generic("'x'", &schema(), false).unwrap_err().contains("'x'"));
    assert!(generic("i < nosuch", &schema(), false).unwrap_err().contains("nosuch"));
    assert!(generic("3000000000", &schema(), true).unwrap_err().contains("3000000000"));
    assert!(generic("99999999999999999999", &schema(), false).unwrap_err().contains("99999999999999999999"));
    assert!(generic("i <= 3", &schema(), true).is_err());
    assert!(generic("i < 3", &schema(), true).is_ok());
}

#[test]
fn beam_compat_fails_on_unknown_names_at_run() {
    let batch = batch(&json!([{"a": 1}]));
    let options = Options { beam_compat: true };
    let program =
        compile(Language::Python, Code::Expression("nosuch + 1"), &batch.schema(), None, &options).unwrap();
    let out = program.eval(&batch, &RowContext::default());
    assert_eq!(out.errors[0].message, "NameError(\"name 'nosuch' is not defined\")");
}

#[test]
fn any_values_are_read_back() {
    let schema = Arc::new(Schema::new(vec![any_field("v")]));
    let values: ArrayRef =
        Arc::new(StringArray::from(vec![Some("{\"a\": [1, 2]}"), Some("3"), Some("\"t\""), None]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![values]).unwrap();
    let program = program(Code::Expression("v['a'][1] if isinstance(v, dict) else v"), &schema);
    let out = program.eval(&batch, &RowContext::default());
    assert!(out.errors.is_empty());
    let texts = out.values.as_any().downcast_ref::<StringArray>().unwrap();
    assert_eq!(texts.iter().collect::<Vec<_>>(), [Some("2"), Some("3"), Some("\"t\""), None]);
}

#[test]
fn truth_is_pythons() {
    let found = |rows: Json| {
        let values = super::cases::column(rows.as_array().unwrap());
        truthy(&values).iter().map(Option::unwrap).collect::<Vec<bool>>()
    };
    assert_eq!(found(json!([0, 2, null, -1])), [false, true, false, true]);
    assert_eq!(found(json!([0.0, -0.5, null])), [false, true, false]);
    assert_eq!(found(json!(["", "0", null])), [false, true, false]);
    assert_eq!(found(json!([[], [0]])), [false, true]);
    assert_eq!(found(json!([null, null])), [false, false]);
    assert_eq!(found(json!([{"a": null}])), [true]);
    let any: ArrayRef = Arc::new(StringArray::from(vec![Some("0"), Some("\"0\""), Some("[]"), None]));
    assert_eq!(
        truthy_any(&any).iter().map(Option::unwrap).collect::<Vec<bool>>(),
        [false, true, false, false]
    );
}

#[test]
fn failures_tell_where() {
    let batch = batch(&json!([{"d": 1}, {"d": 0}]));
    let code = "def f(row):\n  x = 1\n  return x / row.d\n";
    let out = program(Code::Callable(code), &batch.schema()).eval(&batch, &RowContext::default());
    assert_eq!(out.errors.len(), 1);
    assert_eq!(out.errors[0].row, 1);
    assert!(out.errors[0].stack.contains("line 3"), "{}", out.errors[0].stack);
    assert!(out.errors[0].stack.contains("return x / row.d"), "{}", out.errors[0].stack);
    assert!(out.values.is_null(1));
}

#[test]
fn constructs_outside_the_subset_are_named() {
    let rows = json!([{"a": 1}]);
    for (code, wanted) in [
        ("class A:\n  pass\n", "a class"),
        ("def f(row):\n  with x: pass\n", "`with`"),
        ("def f(row):\n  yield 1\n", "`yield`"),
        ("import numpy\ndef f(row):\n  return numpy.pi\n", "`numpy`"),
        ("import re\ndef f(row):\n  return re.nosuch('a')\n", "`re.nosuch`"),
        ("@dec\ndef f(row):\n  return 1\n", "a decorator"),
        ("def f(row):\n  return row.a.nosuch()\n", "`nosuch`"),
        ("def f(row):\n  return nosuch\n", "`nosuch`"),
        ("def f(row):\n  return a\n", "row.a"),
        ("def f(row):\n  return (\n", "invalid Python"),
    ] {
        let found = run(Code::Callable(code), &rows).join("; ");
        assert!(found.contains(wanted), "{code}: {found}");
    }
}

#[test]
fn timestamps_compare_as_seconds() {
    let schema = Arc::new(schema());
    let stamp: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![9_999_000]).with_timezone("UTC"));
    let only = Arc::new(Schema::new(vec![schema.field(6).clone()]));
    let batch = RecordBatch::try_new(Arc::clone(&only), vec![stamp]).unwrap();
    for (text, wanted) in
        [("float(ts) == 9.999", 1), ("ts < 10", 1), ("ts - 9 == 0.999", 1), ("ts.micros == 9999000", 1)]
    {
        let out =
            program(Code::Expression(&format!("int({text})")), &only).eval(&batch, &RowContext::default());
        assert_eq!(out.errors, [], "{text}");
        assert_eq!(out.values.as_any().downcast_ref::<Int64Array>().unwrap().value(0), wanted, "{text}");
    }
}

#[test]
fn named_functions_and_files_are_found() {
    let rows = json!([{"price": 10.0, "qty": 3}]);
    let text = "TAX = 0.25\n\ndef net(row):\n  return row.price * row.qty\n\ndef total(row):\n  return net(row) * (1 + TAX)\n\nother = 1\n";
    assert_eq!(run(Code::File { text, name: "total" }, &rows), ["37.5"]);
    assert!(run(Code::File { text, name: "nope" }, &rows)[0].contains("`nope`"));
    assert_eq!(run(Code::Callable("  def f(row):\n    return row.qty\n"), &rows), ["3"]);
    assert_eq!(run(Code::Callable("len"), &rows), ["2"]);
    assert_eq!(run(Code::Callable("lambda row: row._asdict()['qty']"), &rows)[0], "3.0");
}

/// Whatever CPython computes fits the type that was inferred: none of the shared expressions is refused for it.
#[test]
fn inferred_types_hold() {
    let row = json!([{
        "i": 7, "j": -3, "z": 0, "big": i64::MAX, "x": 2.5, "y": -0.1, "s": "Hello, Wörld", "e": "", "n": null,
        "t": true, "l": [3, 1, 2], "w": ["b", "a"], "p": "  a b\tc\n", "num": " 42 "
    }]);
    for text in include_str!("expressions.txt").lines().filter(|l| !l.trim().is_empty()) {
        let found = run(Code::Expression(text), &row).join("; ");
        assert!(!found.contains("type inferred"), "{text}: {found}");
    }
    let row = json!([{
        "i": 7, "s": "2024-03-05 ERROR [db] timeout=30ms", "l": [5, 3, 8], "n": null,
        "t": "2024-01-02T03:04:05+01:00", "j": "{\"a\": [1, 2.5, null], \"b\": {\"c\": \"x\"}}"
    }]);
    for code in include_str!("functions.txt").split("---\n") {
        let found = run(Code::Callable(code), &row).join("; ");
        assert!(!found.contains("type inferred"), "{code}: {found}");
    }
}

/// What a Python expression or script gives for one row, as text.
fn given(code: Code<'_>) -> String {
    let rows = super::cases::batch(&json!([{"s": "apple", "n": 5}]));
    let program = compile(Language::Python, code, &rows.schema(), None, &Options::default()).unwrap();
    let out = program.eval(&rows, &RowContext::default());
    assert!(out.errors.is_empty(), "{:?}", out.errors);
    arrow_cast::display::array_value_to_string(&out.values, 0).unwrap()
}

#[test]
fn conditions_may_be_objects() {
    let rows = super::cases::batch(&json!([{"s": "apple"}, {"s": "bob"}]));
    let code = Code::Callable("import re\ndef keep(row):\n  return re.match('a', row.s)");
    let compiled = |condition: bool| {
        let mut program = compile(Language::Python, code, &rows.schema(), None, &Options::default()).unwrap();
        if condition {
            program.as_condition();
        }
        program.eval(&rows, &RowContext::default())
    };
    assert_eq!(compiled(false).errors.len(), 1);
    let out = compiled(true);
    assert!(out.errors.is_empty(), "{:?}", out.errors);
    assert_eq!(truthy(&out.values).iter().map(Option::unwrap).collect::<Vec<bool>>(), [true, false]);
}

#[test]
fn small_parts_of_the_library() {
    assert_eq!(given(Code::Expression("s.translate(str.maketrans('pl', 'bL', 'e'))")), "abbL");
    assert_eq!(given(Code::Expression("s.translate(str.maketrans({'a': 'A', 112: None}))")), "Ale");
    let script = |body: &str| format!("import datetime, math\ndef f(row):\n  return {body}");
    let date = script("datetime.datetime(2024, 3, 5, 0, 7).strftime('%-d.%-m.%y %-H:%M|%-j|%-b')");
    assert_eq!(given(Code::Callable(&date)), "5.3.24 0:07|65|Mar");
    let counts = script("str([math.comb(row.n, 2), math.comb(2, row.n), math.perm(row.n, 2), math.perm(4)])");
    assert_eq!(given(Code::Callable(&counts)), "[10, 0, 20, 24]");
}

#[test]
fn timestamps_print_six_digits() {
    let field = Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false);
    let values =
        arrow_array::TimestampMicrosecondArray::from(vec![1_500_000, -2_000_000]).with_timezone("UTC");
    let rows = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::new(values)]).unwrap();
    let program =
        compile(Language::Python, Code::Expression("str(ts)"), &rows.schema(), None, &Options::default())
            .unwrap();
    let out = program.eval(&rows, &RowContext::default()).values;
    let texts = out.as_any().downcast_ref::<StringArray>().unwrap();
    assert_eq!(texts.iter().flatten().collect::<Vec<_>>(), ["Timestamp(1.500000)", "Timestamp(-2)"]);
}

/// What the fuzzer found, and what was like it.
#[test]
fn formats_and_integers_have_bounds() {
    let rows = json!([{"x": 1.5, "a": 7}]);
    let one = |text: &str| run(Code::Expression(text), &rows).remove(0);
    assert_eq!(one("len(f'{x:.70000f}')"), "70002");
    assert_eq!(one("f'{x:.70000e}'[-6:]"), "00e+00");
    assert_eq!(one("len('%.70000f' % x)"), "70002");
    assert_eq!(one("f'{a:08,}' + f'{a:09,}' + f'{a:07,}' + f'{a:01,}'"), "0,000,0070,000,007000,0077");
    assert_eq!(one("len(f'{a:01000000,}')"), "1000001");
    assert!(one("f'{x:.9999999f}'").contains("Too many decimal digits"));
    assert!(one("pow(3, 2**200000, 2**200000 - 1)").starts_with("TimeoutError"));
    assert!(one("'%d' % (1 << 20000)").contains("4300 digits"));
    assert!(one("int('1' * 10**6)").contains("value has 1000000 digits"));
    let shared = "def f(row):\n  a = (1,)\n  for i in range(50): a = (a, a)\n  return a == a\n";
    assert!(run(Code::Callable(shared), &rows)[0].starts_with("TimeoutError"));
    let choose = "import math\ndef f(row): return math.comb(2**100000, 20000)\n";
    assert!(run(Code::Callable(choose), &rows)[0].starts_with("MemoryError"));
    let caught = "import re\ndef f(row):\n  try:\n    return re.search(r'(?:(a+)+)\\1c', 'a' * 60)\n  except Exception: return 1\n";
    assert!(run(Code::Callable(caught), &rows)[0].starts_with("TimeoutError"), "a limit is not caught");
}

#[test]
fn numbers_of_a_dict_keep_their_types() {
    for text in ["{'n': i, 'x': x}", "[{'n': 1, 'x': 0.5}][0]", "{**{'n': 1}, 'x': x}"] {
        let program = program(Code::Expression(text), &schema());
        let field = program.field("v");
        let map = matches!(field.data_type(), DataType::Map(..));
        assert!(!map, "{text}: {field}");
    }
    let rows = json!([{"i": 3, "x": 0.5}]);
    assert_eq!(run(Code::Expression("{'n': i, 'x': x}"), &rows)[0], r#"{"n": 3, "x": 0.5}"#);
    let set = "def f(row):\n  d = {'x': row.x}\n  d['n'] = row.i\n  return d";
    assert_eq!(run(Code::Callable(set), &rows)[0], r#"{"x": 0.5, "n": 3}"#);
}

/// The type that a callable gives for rows with a date, a datetime without a zone and an instant.
#[test]
fn dates_and_times_as_fields() {
    use arrow_array::{Array as _, ArrayRef, Date32Array, RecordBatch, TimestampMicrosecondArray};
    use std::sync::Arc;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("day", Arc::new(Date32Array::from(vec![19_782]))),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![1_500_000]))),
    ];
    let fields: Vec<arrow_schema::Field> =
        columns.iter().map(|(n, c)| arrow_schema::Field::new(*n, c.data_type().clone(), false)).collect();
    let schema = Arc::new(arrow_schema::Schema::new(fields));
    let batch = RecordBatch::try_new(schema, columns.into_iter().map(|(_, c)| c).collect()).unwrap();
    let run = |body: &str, output: Option<serde_json::Value>| {
        let code =
            format!("from datetime import datetime, date, timedelta, timezone\ndef f(row):\n  return {body}");
        let program = crate::compile(
            crate::Language::Python,
            crate::Code::Callable(&code),
            &batch.schema(),
            output.as_ref(),
            &crate::Options::default(),
        );
        let program = program.unwrap_or_else(|p| panic!("{body}: {}", p[0]));
        let result = program.eval(&batch, &crate::RowContext::default());
        match result.errors.first() {
            Some(e) => e.message.clone(),
            None => {
                let t = program.field_type().0;
                // Instants are shown in microseconds: printing them needs a time zone database.
                let shown = match &t {
                    arrow_schema::DataType::Timestamp(_, Some(_)) => {
                        arrow_cast::cast(&result.values, &arrow_schema::DataType::Int64).unwrap()
                    }
                    _ => result.values,
                };
                format!("{t}: {}", arrow_cast::display::array_value_to_string(&shown, 0).unwrap())
            }
        }
    };
    let check = |body: &str, want: &str| assert_eq!(run(body, None), want, "{body}");
    check("row.day + timedelta(days=1)", "Date32: 2024-03-01");
    check("date.fromisoformat('2024-01-31') - timedelta(1)", "Date32: 2024-01-30");
    check("(row.day - date(2024, 2, 1)).days", "Int64: 28");
    check("row.at + timedelta(hours=1)", "Timestamp(µs): 1970-01-01T01:00:01.500");
    check("row.at.replace(microsecond=0)", "Timestamp(µs): 1970-01-01T00:00:01");
    check("row.at.replace(tzinfo=timezone(timedelta(hours=2)))", "Timestamp(µs, \"UTC\"): -7198500000");
    check("row.at.date()", "Date32: 1970-01-01");
    check("datetime(2024, 1, 2, 3)", "Timestamp(µs): 2024-01-02T03:00:00");
    check("datetime.strptime('02/01/2024', '%d/%m/%Y')", "Timestamp(µs): 2024-01-02T00:00:00");
    check(
        "datetime(2024, 1, 2, tzinfo=timezone.utc).astimezone(timezone(timedelta(hours=2))).isoformat()",
        "Utf8: 2024-01-02T02:00:00+02:00",
    );
    let naive = serde_json::json!({"type": "string", "format": "date-time-local"});
    let aware = serde_json::json!({"type": "string", "format": "date-time"});
    assert_eq!(
        run("datetime.fromisoformat('2024-01-02T03:04')", Some(naive.clone())),
        "Timestamp(µs): 2024-01-02T03:04:00"
    );
    assert!(run("datetime.fromisoformat('2024-01-02T03:04')", None).contains("dt has no timezone info"));
    assert!(run("row.at", Some(aware)).contains("dt has no timezone info"));
    assert!(
        run("datetime.fromisoformat('2024-01-02T03:04+01:00')", Some(naive)).contains("dt has a timezone")
    );
}

#[test]
fn imports_that_are_not_used_are_not_missed() {
    let rows = json!([{"i": 3}]);
    let script =
        "import numpy as np\nfrom mine import tool\ndef f(row):\n  import pandas.api\n  return row.i";
    assert_eq!(run(Code::Callable(script), &rows)[0], "3");
    for used in ["import numpy as np\nlambda r: np.mean(r.i)", "from mine import *\nlambda r: r.i"] {
        assert!(run(Code::Callable(used), &rows)[0].contains("is not part of the Python"), "{used}");
    }
}

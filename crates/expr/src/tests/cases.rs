//! Expressions with the values that CPython and Beam give.

use std::sync::Arc;

use arrow_array::{Array as _, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_cast::display::array_value_to_string;
use arrow_schema::{DataType, Field, Schema};
use serde_json::{Value as Json, json};

use crate::{Code, Language, Options, RowContext, compile};

pub(crate) fn column(values: &[Json]) -> ArrayRef {
    let first = values.iter().find(|v| !v.is_null());
    match first {
        Some(Json::Bool(_)) => Arc::new(BooleanArray::from_iter(values.iter().map(Json::as_bool))),
        Some(Json::Number(_)) if values.iter().all(|v| v.is_i64() || v.is_null()) => {
            Arc::new(Int64Array::from_iter(values.iter().map(Json::as_i64)))
        }
        Some(Json::Number(_)) => Arc::new(Float64Array::from_iter(values.iter().map(Json::as_f64))),
        Some(Json::String(_)) => Arc::new(StringArray::from_iter(values.iter().map(Json::as_str))),
        Some(Json::Array(_)) => {
            let items: Vec<Json> =
                values.iter().flat_map(|v| v.as_array().cloned().unwrap_or_default()).collect();
            let lengths = values.iter().map(|v| v.as_array().map_or(0, Vec::len));
            let items = column(&items);
            let field = Field::new("item", items.data_type().clone(), true);
            let offsets = arrow_buffer::OffsetBuffer::from_lengths(lengths);
            Arc::new(arrow_array::ListArray::new(Arc::new(field), offsets, items, None))
        }
        Some(Json::Object(map)) => {
            let columns: Vec<(Arc<Field>, ArrayRef)> = map
                .keys()
                .map(|k| {
                    let c = column(
                        &values.iter().map(|v| v.get(k).cloned().unwrap_or(Json::Null)).collect::<Vec<_>>(),
                    );
                    (Arc::new(Field::new(k, c.data_type().clone(), true)), c)
                })
                .collect();
            Arc::new(arrow_array::StructArray::from(columns))
        }
        Some(Json::Null) | None => arrow_array::new_null_array(&DataType::Null, values.len()),
    }
}

/// Rows as a batch; a field is nullable where one of its values is null.
pub(crate) fn batch(rows: &Json) -> RecordBatch {
    let rows = rows.as_array().cloned().unwrap_or_default();
    let names: Vec<String> = rows[0].as_object().unwrap().keys().cloned().collect();
    let columns: Vec<ArrayRef> =
        names.iter().map(|n| column(&rows.iter().map(|r| r[n].clone()).collect::<Vec<_>>())).collect();
    let fields: Vec<Field> = names
        .iter()
        .zip(&columns)
        .map(|(n, c)| {
            Field::new(n, c.data_type().clone(), c.null_count() > 0 || *c.data_type() == DataType::Null)
        })
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// Each row's value or error as text.
pub(crate) fn run(code: Code<'_>, rows: &Json) -> Vec<String> {
    run_typed(code, rows, None)
}

pub(crate) fn run_typed(code: Code<'_>, rows: &Json, output: Option<Json>) -> Vec<String> {
    let batch = batch(rows);
    let program = match compile(Language::Python, code, &batch.schema(), output.as_ref(), &Options::default())
    {
        Ok(program) => program,
        Err(problems) => return problems.iter().map(ToString::to_string).collect(),
    };
    let out = program.eval(&batch, &RowContext { now_micros: Some(0) });
    let slow = program.eval_by_row(&batch, &RowContext { now_micros: Some(0) });
    assert_eq!(out.errors, slow.errors, "{code:?}");
    assert_eq!(out.values.as_ref(), slow.values.as_ref(), "{code:?}");
    assert_eq!(out.values.data_type(), &program.field_type().0);
    (0..batch.num_rows())
        .map(|row| match out.errors.iter().find(|e| e.row == row) {
            Some(e) => e.message.clone(),
            None if out.values.is_null(row) => "None".to_owned(),
            None => array_value_to_string(&out.values, row).unwrap(),
        })
        .collect()
}

fn expect(text: &str, rows: &Json, wanted: &[&str]) {
    assert_eq!(run(Code::Expression(text), rows), wanted, "{text}");
}

#[test]
fn builtins_of_the_case() {
    let rows = json!([{"a": "42", "x": 2.5, "y": -3.7}, {"a": " 7 ", "x": 3.5, "y": 0.1}]);
    expect("int(a)", &rows, &["42", "7"]);
    expect("float(a)", &rows, &["42.0", "7.0"]);
    expect("str(x)", &rows, &["2.5", "3.5"]);
    expect("int(y)", &rows, &["-3", "0"]);
    expect("round(x)", &rows, &["2", "4"]);
    expect("round(y, 1)", &rows, &["-3.7", "0.1"]);
    expect("max(x, y, 0)", &rows, &["2.5", "3.5"]);
    expect("list(divmod(int(a), 5))", &rows, &["[8, 2]", "[1, 2]"]);
    expect("hex(int(a))", &rows, &["0x2a", "0x7"]);
    expect("ord(a.strip()[0])", &rows, &["52", "55"]);
}

#[test]
fn comprehensions_of_the_case() {
    let rows = json!([{"l": [3, 1, 2], "s": "b,a,,c"}, {"l": [5], "s": ""}]);
    expect("[v * v for v in l]", &rows, &["[9, 1, 4]", "[25]"]);
    expect("[w.upper() for w in s.split(',') if w]", &rows, &["[B, A, C]", "[]"]);
    expect("sum(v * 2 for v in l)", &rows, &["12", "10"]);
    expect("any(v > 4 for v in l)", &rows, &["false", "true"]);
    expect("sorted(l, reverse=True)", &rows, &["[3, 2, 1]", "[5]"]);
    expect("{w: len(w) for w in s.split(',') if w}", &rows, &["{b: 1, a: 1, c: 1}", "{}"]);
    expect("[str(i) + ':' + str(v) for i, v in enumerate(l)]", &rows, &["[0:3, 1:1, 2:2]", "[0:5]"]);
    expect("[a + b for a, b in zip(l, l[1:])]", &rows, &["[4, 3]", "[]"]);
    expect("sorted(set(l + l))", &rows, &["[1, 2, 3]", "[5]"]);
}

#[test]
fn formats_of_the_case() {
    let rows = json!([{"n": 5, "x": 3.25159, "s": "cat"}, {"n": 12345, "x": -2.5, "s": "Ω"}]);
    expect("f'{s}-{n}'", &rows, &["cat-5", "Ω-12345"]);
    expect("f'{x:.2f}|{n:06d}|{n:,}'", &rows, &["3.25|000005|5", "-2.50|012345|12,345"]);
    expect("f'{s:>5}|{s:<5}|{s!r}'", &rows, &["  cat|cat  |'cat'", "    Ω|Ω    |'Ω'"]);
    expect("'{} has {}'.format(s, n)", &rows, &["cat has 5", "Ω has 12345"]);
    expect("'%s=%d (%.1f)' % (s, n, x)", &rows, &["cat=5 (3.3)", "Ω=12345 (-2.5)"]);
    expect("f'{n:x} {x:e}'", &rows, &["5 3.251590e+00", "3039 -2.500000e+00"]);
}

#[test]
fn errors_read_like_cpythons() {
    let rows = json!([{"d": 0}, {"d": 4}, {"d": null}]);
    expect(
        "1 / d",
        &rows,
        &[
            "ZeroDivisionError('division by zero')",
            "0.25",
            "TypeError(\"unsupported operand type(s) for /: 'int' and 'NoneType'\")",
        ],
    );
    let rows = json!([{"a": i64::MAX}]);
    expect("a + 1", &rows, &["OverflowError('Python int too large to convert to 64 bits')"]);
    expect("a + 1 - 1", &rows, &["9223372036854775807"]);
}

#[test]
fn statements_of_the_case() {
    let rows = json!([{"l": [1, 5, 2, 8], "s": "k1=v1&k2=v2"}, {"l": [], "s": ""}]);
    let code = "def f(row):\n  acc, out = 0, []\n  for v in row.l:\n    if v == 2:\n      continue\n    acc += v\n    out.append(acc)\n  return out\n";
    assert_eq!(run(Code::Callable(code), &rows), ["[1, 6, 14]", "[]"]);
    let code = "def f(row):\n  d = {}\n  for part in row.s.split('&'):\n    if '=' not in part:\n      break\n    k, v = part.split('=')\n    d[k] = v\n  return d\n";
    assert_eq!(run(Code::Callable(code), &rows), ["{k1: v1, k2: v2}", "{}"]);
    let code = "def f(row):\n  try:\n    return row.l[2] // (row.l[0] - 1)\n  except (ZeroDivisionError, IndexError) as e:\n    return type(e).__name__\n";
    assert_eq!(run(Code::Callable(code), &rows), ["\"ZeroDivisionError\"", "\"IndexError\""]);
    let code = "def f(row):\n  n = 1\n  while n < 100:\n    n *= 3\n  return n\n";
    assert_eq!(run(Code::Callable(code), &rows), ["243", "243"]);
}

#[test]
fn regex_and_json_of_the_cases() {
    let rows = json!([{"l": "2024-03-05 ERROR [db] timeout=30ms"}, {"l": "garbage"}]);
    let code = "import re\ndef f(row):\n  m = re.match(r'(\\d{4})-(\\d{2})-(\\d{2})', row.l)\n  return m.group(0) if m else None\n";
    assert_eq!(run(Code::Callable(code), &rows), ["2024-03-05", "None"]);
    let code = "import re\ndef f(row):\n  m = re.search(r'\\[(?P<c>\\w+)\\]', row.l)\n  return m.group('c') if m else 'none'\n";
    assert_eq!(run(Code::Callable(code), &rows), ["db", "none"]);
    let code = "import re\ndef f(row):\n  return re.findall(r'\\d+', row.l)\n";
    assert_eq!(run(Code::Callable(code), &rows), ["[2024, 03, 05, 30]", "[]"]);
    let code = "import re\ndef f(row):\n  return re.sub(r'\\d', '#', row.l)\n";
    assert_eq!(run(Code::Callable(code), &rows), ["####-##-## ERROR [db] timeout=##ms", "garbage"]);
    let rows = json!([{"p": "{\"u\": \"ann\", \"n\": [1, 2], \"o\": {\"z\": 1.5}}"}, {"p": "{\"u\": null}"}]);
    let code = "import json\ndef f(row):\n  d = json.loads(row.p)\n  d['seen'] = True\n  return json.dumps(d, sort_keys=True)\n";
    let wanted = [
        "{\"n\": [1, 2], \"o\": {\"z\": 1.5}, \"seen\": true, \"u\": \"ann\"}",
        "{\"seen\": true, \"u\": null}",
    ];
    assert_eq!(run(Code::Callable(code), &rows), wanted);
    let code = "import json\ndef f(row):\n  return json.loads(row.p).get('u')\n";
    assert_eq!(run(Code::Callable(code), &rows), ["\"ann\"", "None"]);
}

#[test]
fn unknown_names_are_refused_before_data() {
    let rows = json!([{"amount": 1}]);
    let found = run(Code::Expression("amont + 1"), &rows);
    assert_eq!(found, ["unknown name `amont`; did you mean `amount`?; fields: amount"]);
    let found = run(Code::Callable("lambda row: row.nosuch"), &rows);
    assert!(found[0].contains("no field `nosuch`"), "{found:?}");
    assert!(run(Code::Expression("re.match('a', 'a')"), &rows)[0].contains("callable"));
}

#[test]
fn declared_types_are_checked() {
    let rows = json!([{"b": "3", "t": true, "n": null, "i": 4}]);
    let typed =
        |text: &str, kind: &str| run_typed(Code::Expression(text), &rows, Some(json!(kind))).remove(0);
    assert_eq!(typed("b", "integer"), "TypeError(\"3 violates schema {'type': 'integer'}\")");
    assert_eq!(typed("t", "integer"), "1");
    assert_eq!(typed("i", "number"), "4.0");
    assert_eq!(typed("n", "string"), "TypeError(\"None violates schema {'type': 'string'}\")");
}

#[test]
fn endless_loops_end_as_row_errors() {
    let rows = json!([{"a": 1}]);
    let found = run(Code::Callable("def f(row):\n  while True:\n    pass\n"), &rows);
    assert!(found[0].starts_with("TimeoutError"), "{found:?}");
    let found = run(Code::Expression("'x' * 10 ** 12"), &rows);
    assert!(found[0].starts_with("MemoryError"), "{found:?}");
    let found = run(Code::Callable("def f(row):\n  return f(row)\n"), &rows);
    assert!(found[0].starts_with("RecursionError"), "{found:?}");
}

#[test]
fn deep_values_do_not_overflow_the_stack() {
    let rows = json!([{"a": 1}]);
    let code = "def f(row):\n  x = []\n  for i in range(300000):\n    x = [x]\n  return 1\n";
    assert_eq!(run(Code::Callable(code), &rows), ["1"]);
    let code = "def f(row):\n  g = lambda: 0\n  for i in range(100000):\n    g = (lambda h: lambda: h)(g)\n  return 1\n";
    assert_eq!(run(Code::Callable(code), &rows), ["1"]);
}

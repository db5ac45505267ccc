//! Decimals: arithmetic as in CPython, and their way from and to columns.

use std::sync::Arc;

use arrow_array::{Array as _, Decimal128Array, Float64Array, RecordBatch};
use arrow_cast::display::array_value_to_string;
use arrow_schema::{DataType, Field, Schema};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::differential::compare;
use crate::{Code, Language, Options, RowContext, compile};

/// A function of two decimals, an integer and a float.
fn case(expr: &str, a: &str, b: &str, i: i64, x: f64) -> Json {
    let imports = "from decimal import Decimal, ROUND_UP, ROUND_DOWN, ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, ROUND_HALF_DOWN, ROUND_HALF_EVEN, ROUND_05UP, InvalidOperation\nimport decimal, math, json\n";
    let code = format!(
        "{imports}def f(row):\n  a, b, i, x = Decimal(row.a), Decimal(row.b), row.i, row.x\n  return {expr}\n"
    );
    json!({"def": code, "row": {"a": a, "b": b, "i": i, "x": x}})
}

fn decimal_text() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "-?[0-9]{1,6}\\.[0-9]{1,4}",
        2 => "-?[0-9]{1,28}(\\.[0-9]{0,28})?",
        1 => "-?0(\\.0{0,5})?(E[+-]?[0-9])?",
        1 => "-?[1-9]\\.?[0-9]{0,3}E[+-]?[0-9]{1,2}",
        1 => "-?[1-9][0-9]{0,3}E[+-]?[0-9]{1,3}",
        1 => prop::sample::select(vec!["1.5", "2.5", "-0.5", "0.125", "1.005", "9.995", "1E+3", "1.50", "1.5000"])
            .prop_map(str::to_owned),
    ]
}

fn expression() -> impl Strategy<Value = String> {
    let operand = prop::sample::select(vec![
        "a",
        "b",
        "a",
        "b",
        "i",
        "x",
        "2",
        "Decimal('0.19')",
        "True",
        "None",
        "'s'",
    ]);
    let op = prop::sample::select(vec![
        "+", "-", "*", "/", "//", "%", "<", "<=", "==", "!=", ">", ">=", "and", "or",
    ]);
    let unary = prop::sample::select(vec![
        "str",
        "int",
        "repr",
        "bool",
        "abs",
        "round",
        "-",
        "+",
        "not ",
        "math.floor",
        "math.ceil",
        "math.trunc",
        "sum",
        "type",
    ]);
    let method = prop::sample::select(vec![
        "normalize()",
        "to_integral_value()",
        "copy_abs()",
        "copy_negate()",
        "is_zero()",
        "is_signed()",
        "adjusted()",
        "as_integer_ratio()",
        "compare(b)",
        "max(b)",
        "min(b)",
        "copy_sign(b)",
        "is_nan()",
        "upper()",
    ]);
    let rounding = prop::sample::select(vec![
        "ROUND_UP",
        "ROUND_DOWN",
        "ROUND_CEILING",
        "ROUND_FLOOR",
        "ROUND_HALF_UP",
        "ROUND_HALF_DOWN",
        "ROUND_HALF_EVEN",
        "ROUND_05UP",
    ]);
    let to = prop::sample::select(vec!["0.01", "1", "0.0001", "1E+2", "0.00"]);
    let spec = prop_oneof![
        Just(String::new()),
        "[<>=^]?[+ -]?0?[0-9]{0,2},?(\\.[0-9])?[eEfFgGn%]?",
        Just(".2f".to_owned()),
        Just("z.1f".to_owned()),
        Just("d".to_owned()),
    ];
    prop_oneof![
        6 => (operand.clone(), op.clone(), operand.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        3 => (operand.clone(), op.clone(), operand.clone(), op, operand.clone())
            .prop_map(|(a, o, b, p, c)| format!("({a} {o} {b}) {p} {c}")),
        2 => (unary, operand).prop_map(|(f, a)| format!("{f}({a})")),
        2 => (-4i64..30).prop_map(|n| format!("round(a, {n})")),
        2 => method.prop_map(|m| format!("a.{m}")),
        3 => (to, rounding).prop_map(|(to, mode)| format!("a.quantize(Decimal('{to}'), rounding={mode})")),
        3 => spec.prop_map(|s| format!("f'{{a:{s}}}'")),
        1 => (-3i64..6).prop_map(|n| format!("a ** {n}")),
        1 => Just("[sum([a, b, i]), max(a, b, i), min(a, b, x), sorted([b, a, i]), {a: 1, i: 2}.get(b)]".to_owned()),
        1 => Just("'%.2f %s %d' % (a, b, i)".to_owned()),
        1 => Just("divmod(a, b)".to_owned()),
        1 => Just("float(a) == a".to_owned()),
    ]
}

#[test]
fn generated_decimals_agree_with_cpython() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = (
        expression(),
        decimal_text(),
        decimal_text(),
        -50i64..50,
        prop::sample::select(vec![0.5, 1.5, 0.1, 1e300]),
    );
    let mut cases = Vec::new();
    for _ in 0..4000 {
        let tree = strategy.new_tree(&mut runner).expect("a strategy that always succeeds");
        let (expr, a, b, i, x) = proptest::strategy::ValueTree::current(&tree);
        cases.push(case(&expr, &a, &b, i, x));
    }
    compare(&cases);
}

#[test]
fn decimals_agree_with_cpython() {
    let exprs = [
        "Decimal('12.50')",
        "Decimal(' 1_000.5 ')",
        "Decimal('abc')",
        "Decimal('١٢')",
        "Decimal('')",
        "Decimal('+.5')",
        "Decimal('5.')",
        "Decimal('1e3')",
        "Decimal(0.1)",
        "Decimal(1.5)",
        "Decimal(-2.0)",
        "Decimal(1e300) == 10**300",
        "Decimal(2**70)",
        "Decimal(True)",
        "Decimal()",
        "Decimal(None)",
        "Decimal([])",
        "a + 1.5",
        "1.5 + a",
        "a * x",
        "a ** x",
        "a < x",
        "a == x",
        "a < 's'",
        "a + 's'",
        "a + None",
        "a[0]",
        "len(a)",
        "a < float('nan')",
        "a == float('nan')",
        "a < float('inf')",
        "-a",
        "a.foo",
        "json.dumps(a)",
        "a / 0",
        "0 / a",
        "Decimal(0) / 0",
        "a // 0",
        "a % 0",
        "Decimal(0) % 0",
        "Decimal(10) ** 30 // 3",
        "Decimal(1) / 3",
        "Decimal(2) ** -1",
        "Decimal(2) ** 100",
        "Decimal(0) ** 0",
        "Decimal('0.00') ** 2",
        "Decimal('1.1') ** 2",
        "Decimal('1e999999') * 10",
        "round(Decimal('2.5'))",
        "round(Decimal('3.5'))",
        "round(Decimal('2.675'), 2)",
        "round(Decimal('1234'), -2)",
        "Decimal('1.005').quantize(Decimal('0.01'))",
        "Decimal('1.005').quantize(Decimal('0.01'), ROUND_HALF_UP)",
        "Decimal('1.005').quantize(Decimal('0.01'), rounding='ROUND_HALF_UP')",
        "Decimal('1.005').quantize(Decimal('0.01'), rounding='x')",
        "Decimal('1e28').quantize(Decimal('0.01'))",
        "f'{a:.2f} {a:>12,.1f} {a:e} {a:%}'",
        "'{:08.3f}|{:+}'.format(a, b)",
        "f'{a:d}'",
        "f'{a:_}'",
        "format(Decimal('1234567.891'), ',.2f')",
        "str(a) + repr(a)",
        "type(a)",
        "isinstance(a, Decimal)",
        "isinstance(a, (int, float))",
        "isinstance(1, Decimal)",
        "{Decimal('1.0'): 1}[1]",
        "{1.5: 2}[Decimal('1.50')]",
        "Decimal('1E+3')",
        "str(Decimal('0.0000001'))",
        "str(Decimal('1E-7') * 1)",
        "Decimal('0E-10') + 1",
        "bool(Decimal('0.00'))",
        "Decimal('-0') + 0",
        "-Decimal('0')",
        "abs(Decimal('-0.0'))",
        "sum([Decimal('0.1')] * 3)",
        "max(a, 1)",
        "min([a, b])",
        "Decimal('3').max(4)",
        "[Decimal('3.10')] == [3.1]",
        "Decimal('0.1') == 0.1",
        "Decimal('0.5') == 0.5",
        "Decimal('0.1') < 0.1",
        "sorted([Decimal('2'), 1, 1.5])",
        "int(Decimal('-3.9'))",
        "float(Decimal('0.1'))",
        "Decimal('9999999999999999999999999999') + 1",
        "Decimal('9999999999999999999999999999') + Decimal('0.5')",
        "Decimal('1e1000') == Decimal('1e1000')",
        "Decimal('1E-1000') + 1",
        "Decimal('1E+40') - Decimal('1E-40')",
        "math.sqrt(Decimal(2))",
        "Decimal('-7') // 2",
        "Decimal('-7') % 2",
        "divmod(Decimal('-7'), 2)",
        "Decimal('7.5') % Decimal('-2')",
    ];
    let cases: Vec<Json> = exprs.iter().map(|e| case(e, "12.50", "-0.125", 7, 2.5)).collect();
    compare(&cases);
}

#[test]
fn exceptions_are_caught_by_their_classes() {
    let code = "from decimal import Decimal, InvalidOperation, DivisionByZero\ndef f(row):\n  out = []\n  for bad in (lambda: Decimal(row.s), lambda: Decimal(1) / 0):\n    try:\n      out.append(bad())\n    except InvalidOperation as e:\n      out.append(repr(e))\n    except ZeroDivisionError as e:\n      out.append(type(e).__name__)\n  return out";
    compare(&[json!({"def": code, "row": {"s": "x"}})]);
}

fn amounts(units: Vec<Option<i128>>) -> RecordBatch {
    let column = Decimal128Array::from(units).with_precision_and_scale(12, 2).unwrap();
    let floats = Float64Array::from(vec![Some(0.5); column.len()]);
    let fields = vec![
        Field::new("amount", column.data_type().clone(), true),
        Field::new("x", DataType::Float64, false),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![Arc::new(column), Arc::new(floats)]).unwrap()
}

/// The type, and the value or error of each row.
fn run(language: Language, expr: &str, output: Option<Json>) -> String {
    let batch = amounts(vec![Some(1250), Some(-1), None]);
    let code = if expr.starts_with("from") { Code::Callable(expr) } else { Code::Expression(expr) };
    let program = match compile(language, code, &batch.schema(), output.as_ref(), &Options::default()) {
        Ok(program) => program,
        Err(problems) => return problems[0].to_string(),
    };
    let result = program.eval(&batch, &RowContext::default());
    let (t, _) = program.field_type();
    let kind = if program.is_any() { "any".to_owned() } else { t.to_string() };
    let values: Vec<String> = (0..2)
        .map(|i| match result.errors.iter().find(|e| e.row == i) {
            Some(e) => e.message.clone(),
            None => array_value_to_string(&result.values, i).unwrap(),
        })
        .collect();
    format!("{kind}: {}", values.join(" | "))
}

#[test]
fn columns_in_and_out() {
    let python = |expr: &str| run(Language::Python, expr, None);
    assert_eq!(python("amount * 3"), "Decimal128(38, 2): 37.50 | -0.03");
    assert_eq!(python("amount * Decimal('0.19')"), "Decimal128(38, 4): 2.3750 | -0.0019");
    assert_eq!(python("round(amount * Decimal('0.19'), 2)"), "Decimal128(38, 2): 2.38 | 0.00");
    assert_eq!(python("(amount / 3).quantize(Decimal('0.01'))"), "Decimal128(38, 2): 4.17 | 0.00");
    assert_eq!(
        python("(amount / 3).quantize(Decimal('0.001'), rounding=ROUND_UP)"),
        "Decimal128(38, 3): 4.167 | -0.004"
    );
    assert_eq!(
        python("amount / 3"),
        "any: 4.166666666666666666666666667 | -0.003333333333333333333333333333"
    );
    assert_eq!(python("-amount if amount > 1 else abs(amount)"), "Decimal128(38, 2): -12.50 | 0.01");
    assert_eq!(python("amount if amount > 1 else 0"), "Decimal128(38, 2): 12.50 | 0.00");
    assert_eq!(python("amount > 10"), "Boolean: true | false");
    assert_eq!(python("f'{amount:.1f}'"), "Utf8: 12.5 | -0.0");
    assert_eq!(python("float(amount)"), "Float64: 12.5 | -0.01");
    assert_eq!(python("int(amount)"), "Int64: 12 | 0");
    assert_eq!(python("max(amount, 0)"), "Decimal128(38, 2): 12.50 | 0.00");
    assert_eq!(
        python("amount * x"),
        "any: TypeError(\"unsupported operand type(s) for *: 'decimal.Decimal' and 'float'\") | TypeError(\"unsupported operand type(s) for *: 'decimal.Decimal' and 'float'\")"
    );
    assert_eq!(
        python(
            "from decimal import Decimal\ndef f(row):\n  total = Decimal(0)\n  for part in (row.amount, row.amount, 1):\n    total += part\n  return total"
        ),
        "Decimal128(38, 2): 26.00 | 0.98"
    );
    assert!(python("decimal.Decimal(1)").starts_with("unknown name `decimal`"));
}

#[test]
fn declared_outputs() {
    let run = |expr: &str, output: Json| run(Language::Python, expr, Some(output));
    let decimal = |scale: u8| json!({"type": "number", "format": "decimal", "scale": scale, "precision": 5});
    assert_eq!(run("amount", decimal(3)), "Decimal128(5, 3): 12.500 | -0.010");
    assert_eq!(run("3", decimal(1)), "Decimal128(5, 1): 3.0 | 3.0");
    assert!(run("amount / 3", decimal(2)).contains("violates schema"), "never rounded");
    assert!(run("amount * 1000", decimal(2)).contains("violates schema"), "too big");
    assert!(run("0.5", decimal(2)).contains("violates schema"), "a float is not exact");
    assert!(
        run("amount", json!("number")).contains("violates schema"),
        "nor does a decimal become one unasked"
    );
    assert_eq!(
        run("amount", json!({"type": "number", "format": "decimal"})),
        "output_type `decimal` needs a `scale`; write how many decimals it has: `{type: number, format: decimal, scale: 2}`"
    );
    assert!(run("1", json!({"type": "decimal", "scale": 39})).contains("from 0 to 38"));
}

#[test]
fn the_generic_language_compares_digits() {
    let generic = |expr: &str| run(Language::Generic, expr, None);
    assert_eq!(generic("amount > 10"), "Boolean: true | false");
    assert_eq!(generic("amount == 12.5"), "Boolean: true | false");
    assert_eq!(generic("amount == -0.01"), "Boolean: false | true");
    assert_eq!(generic("amount <= -0.01"), "Boolean: false | true");
    assert_eq!(generic("amount < x"), "Boolean: false | true");
}

//! Expressions and queries over small tables.

use crate::{Expression, Query};
use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use std::sync::Arc;

pub(crate) fn table() -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("a", Arc::new(Int64Array::from(vec![Some(1), Some(5), None, Some(-3)]))),
        ("b", Arc::new(Int64Array::from(vec![Some(2), Some(0), Some(4), Some(i64::MAX)]))),
        ("s", Arc::new(StringArray::from(vec![Some(" Ab "), Some("xyz"), None, Some("b_c")]))),
        ("f", Arc::new(Float64Array::from(vec![Some(2.5), Some(0.0), Some(-0.5), None]))),
        ("ok", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, Some(true)]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap()
}

fn shown(column: &ArrayRef) -> Vec<String> {
    let options = FormatOptions::default().with_null("null");
    let f = ArrayFormatter::try_new(column, &options).unwrap();
    (0..column.len()).map(|i| f.value(i).to_string()).collect()
}

/// The values of an expression; failed rows are shown as what failed.
fn eval(text: &str) -> Vec<String> {
    let rows = table();
    let e = Expression::compile(text, &rows.schema()).unwrap_or_else(|p| panic!("{text}: {p:?}"));
    let out = e.evaluate(&rows, Some(1_700_000_000_000_000)).unwrap();
    let mut shown = shown(&out.values);
    out.errors.into_iter().for_each(|e| shown[e.row] = format!("! {}", e.message));
    shown
}

fn refused(text: &str) -> crate::Problem {
    Expression::compile(text, &table().schema()).expect_err(text)
}

fn query(text: &str) -> Vec<String> {
    let rows = table();
    let q = Query::compile(text, &[("PCOLLECTION".to_owned(), rows.schema())])
        .unwrap_or_else(|p| panic!("{text}: {p:?}"));
    let out =
        q.run(&[vec![rows.slice(0, 1), rows.slice(1, 3)]], Some(0)).unwrap_or_else(|e| panic!("{text}: {e}"));
    let mut lines = Vec::new();
    for batch in out {
        let columns: Vec<Vec<String>> = batch.columns().iter().map(shown).collect();
        lines.extend(
            (0..batch.num_rows()).map(|r| columns.iter().map(|c| c[r].clone()).collect::<Vec<_>>().join("|")),
        );
    }
    lines
}

#[test]
fn values_of_expressions() {
    let cases = [
        ("a + 1", ["2", "6", "null", "-2"]),
        ("upper(trim(s))", ["AB", "XYZ", "null", "B_C"]),
        ("a / 2", ["0", "2", "null", "-1"]),
        ("ok", ["true", "false", "null", "true"]),
    ];
    for (text, wanted) in cases {
        assert_eq!(eval(text), wanted, "{text}");
    }
}

#[test]
fn rows_fail_alone() {
    assert_eq!(eval("a / b"), ["0", "! division by zero", "null", "0"]);
    assert_eq!(eval("b + 1"), ["3", "1", "5", "! integer overflow: 9223372036854775807 + 1"]);
    assert_eq!(eval("b <> 0 and a / b > -1"), ["true", "false", "null", "true"]);
}

#[test]
fn queries() {
    assert_eq!(query("select a, b from PCOLLECTION where ok"), ["1|2", "-3|9223372036854775807"]);
    assert_eq!(query("select count(*), sum(a), avg(f) from PCOLLECTION"), ["4|3|0.6666666666666666"]);
}

#[test]
fn problems_have_a_place() {
    let p = refused("a + zz");
    assert_eq!((p.code, p.at), ("name/unknown-field", Some(((1, 5), (1, 7)))));
    let p = refused("a +");
    assert_eq!(p.code, "sql/syntax", "{p:?}");
}

#[test]
fn problems_speak_plainly() {
    let rows = table();
    let told =
        |text: &str| Query::compile(text, &[("PCOLLECTION".to_owned(), rows.schema())]).expect_err(text);
    let p = told("select a, s from PCOLLECTION where s = \"open\"");
    assert_eq!((p.code, p.message.as_str()), ("name/unknown-field", "unknown column `open`"));
    assert_eq!(p.help, ["text stands in single quotes: `'open'`"]);
    assert_eq!(told("select opened from PCOLLECTION").help, Vec::<String>::new());

    let p = told("select s,\n  sum(a) from PCOLLECTION");
    assert_eq!((p.code, p.at), ("sql/not-grouped", Some(((1, 8), (1, 9)))));
    assert_eq!(p.message, "column `s` stands beside an aggregate, but is not in `GROUP BY`");
    assert_eq!(p.help, ["add `GROUP BY s`, or say which of its values is wanted, such as `MAX(s)`"]);
    let p = told("select s, a, sum(b) from PCOLLECTION group by s");
    assert_eq!((p.code, p.at), ("sql/not-grouped", Some(((1, 11), (1, 12)))));
    assert!(p.help[0].starts_with("add `a` to `GROUP BY`"), "{p:?}");

    let p = refused("a + s + ok");
    assert_eq!((p.code, p.message.as_str()), ("sql/type", "`+` does not work on an integer and text"));
    assert_eq!(refused("s * f").message, "`*` does not work on text and a float");

    let p = refused("a +");
    assert_eq!(p.message, "expected an expression, but the text ends here");
    assert_eq!(p.at, Some(((1, 4), (1, 5))));
    let p = told("select a\nfrom PCOLLECTION where");
    assert!(p.message.ends_with("but the text ends here"), "{p:?}");
    assert_eq!(p.at, Some(((2, 23), (2, 24))));
}

/// Everything but the value of the first row is left out.
fn first(text: &str) -> String {
    eval(text).swap_remove(0)
}

#[test]
fn spellings_of_calcite() {
    for (text, wanted) in [
        ("MOD(7, 3)", "1"),
        ("MOD(-7, 3)", "-1"),
        ("-7 / 2", "-3"),
        ("IF(a = 1, 'one', 'other')", "one"),
        ("POSITION('b' IN s)", "3"),
        ("CHARACTER_LENGTH(s)", "4"),
        ("SUBSTRING(s FROM 2 FOR 1)", "A"),
        ("TRIM(BOTH ' ' FROM s)", "Ab"),
        ("s SIMILAR TO '_(A|B)b%'", "true"),
        ("s NOT SIMILAR TO 'Ab'", "true"),
        ("REGEXP_LIKE(s, 'A.')", "true"),
        ("TRUNCATE(2.7)", "2.0"),
        ("POWER(2, 3)", "8.0"),
        ("CEIL(f)", "3.0"),
        ("`a` + \"b\"", "3"),
        ("PCOLLECTION.a", "1"),
        ("EXTRACT(YEAR FROM TIMESTAMP '2024-02-29 10:20:30')", "2024"),
        ("EXTRACT(DOW FROM TIMESTAMP '2024-02-25 00:00:00')", "1"),
        ("DAYOFMONTH(DATE '2024-02-29')", "29"),
        ("FLOOR(TIMESTAMP '2024-02-29 10:20:30' TO HOUR)", "2024-02-29T10:00:00Z"),
        ("CEIL(TIMESTAMP '2024-02-29 10:20:30' TO YEAR)", "2025-01-01T00:00:00Z"),
        ("CEIL(TIMESTAMP '2024-02-29 00:00:00' TO DAY)", "2024-02-29T00:00:00Z"),
        ("TIMESTAMPDIFF(MONTH, TIMESTAMP '2024-01-31 00:00:00', TIMESTAMP '2024-02-29 00:00:00')", "0"),
        ("TIMESTAMPDIFF(SECOND, TIMESTAMP '2024-01-01 00:01:00', TIMESTAMP '2024-01-01 00:00:00')", "-60"),
        ("TIMESTAMPADD(MONTH, 1, TIMESTAMP '2024-01-31 00:00:00')", "2024-02-29T00:00:00Z"),
        ("TIMESTAMPADD(WEEK, a, TIMESTAMP '2024-01-01 00:00:00')", "2024-01-08T00:00:00Z"),
        ("CURRENT_TIMESTAMP", "2023-11-14T22:13:20Z"),
        ("CURRENT_DATE", "2023-11-14"),
        ("CAST(a AS VARCHAR) || 'x'", "1x"),
        ("CAST('12' AS INTEGER) + 1", "13"),
        ("CAST(s AS BIGINT)", "! Cast error: Cannot cast string ' Ab ' to value of Int64 type"),
        ("a + NULL", "null"),
        ("-b", "-2"),
        ("- (-9223372036854775807 - 1)", "! integer overflow: - -9223372036854775808"),
        ("f / 0", "! division by zero"),
        ("0.0 / 0.0", "! division by zero"),
        ("1 / 0", "! division by zero"),
        ("CASE WHEN b = 2 THEN 0 ELSE 1 / 0 END", "0"),
        ("COALESCE(a, 1 / 0)", "1"),
    ] {
        assert_eq!(first(text), wanted, "{text}");
    }
}

#[test]
fn patterns_of_sql_as_regular_expressions() {
    assert_eq!(crate::spell::regex("a%_.b", None), "^(?s:a.*.\\.b)$");
    assert_eq!(crate::spell::regex("10!%(x|y)+", Some('!')), "^(?s:10\\%(x|y)+)$");
}

#[test]
fn neighbours_do_not_matter() {
    let rows = table();
    for text in [
        "b <> 0 AND a / b > 0",
        "b = 0 OR a / b > 0",
        "a IS NULL OR (b <> 0 AND 10 / a > 1)",
        "CASE WHEN b > 0 THEN a / b ELSE b + 1 END",
        "COALESCE(a / b, 7)",
        "CAST(s AS BIGINT)",
        "NULLIF(a, b) * b",
    ] {
        let e = Expression::compile(text, &rows.schema()).unwrap();
        let whole = e.evaluate(&rows, None).unwrap();
        for row in 0..rows.num_rows() {
            let alone = e.evaluate(&rows.slice(row, 1), None).unwrap();
            assert_eq!(shown(&alone.values)[0], shown(&whole.values)[row], "{text}, row {row}");
            let failed = whole.errors.iter().find(|f| f.row == row).map(|f| &f.message);
            assert_eq!(alone.errors.first().map(|f| &f.message), failed, "{text}, row {row}");
        }
    }
}

#[test]
fn problems_are_named() {
    for (text, code) in [
        ("", "sql/syntax"),
        ("a b c", "sql/syntax"),
        ("a; b", "sql/syntax"),
        ("'open", "sql/syntax"),
        ("A + 1", "name/unknown-field"),
        ("nosuch(a)", "sql/unknown-function"),
        ("sum(a)", "sql/not-a-row-expression"),
        ("row_number() over ()", "sql/not-a-row-expression"),
        ("(select max(a) from PCOLLECTION)", "sql/not-a-row-expression"),
        ("a in (select a from other)", "sql/unknown-table"),
        ("ceil(a, 2)", "sql/unsupported"),
        ("s similar to s", "sql/unsupported"),
        ("hop(a, b)", "sql/group-window"),
        ("cast(s as time)", "sql/unsupported"),
        ("interval '1' day", "sql/type"),
    ] {
        assert_eq!(refused(text).code, code, "{text}: {:?}", refused(text));
    }
    let deep = format!("{}a{}", "(".repeat(500), ")".repeat(500));
    assert!(["sql/too-deep", "sql/too-long"].contains(&refused(&deep).code));
    assert_eq!(refused(&format!("a{}", " + 1".repeat(5000))).code, "sql/too-long");
    assert_eq!(first(&format!("a{}", " + 1".repeat(200))), "201");
}

#[test]
fn columns_have_names_and_types() {
    let rows = table();
    let schema = |text: &str| {
        let q = Query::compile(text, &[("PCOLLECTION".to_owned(), rows.schema())]).unwrap();
        q.schema()
            .fields()
            .iter()
            .map(|f| format!("{} {}", f.name(), f.data_type()))
            .collect::<Vec<_>>()
            .join(", ")
    };
    assert_eq!(
        schema("select x.a, x.a + 1, y.a, char_length(x.s) as n from PCOLLECTION as x, PCOLLECTION as y"),
        "a Int64, EXPR$1 Int64, a0 Int64, n Int64"
    );
    assert_eq!(
        schema("select cast(a as decimal(10, 2)) as d, cast(f as float) as g from PCOLLECTION"),
        "d Decimal128(10, 2), g Float64"
    );
}

#[test]
fn queries_of_many_kinds() {
    for (text, wanted) in [
        ("select x.a, y.b from PCOLLECTION x join PCOLLECTION y on x.a + 1 = y.b", vec!["1|2"]),
        (
            "select x.a from PCOLLECTION x left join PCOLLECTION y on x.a > y.a and y.b > 3 where x.a = 1",
            vec!["1"],
        ),
        ("select a from PCOLLECTION where a > (select avg(a) from PCOLLECTION)", vec!["5"]),
        (
            "select a from PCOLLECTION x where exists (select 1 from PCOLLECTION y where y.b = x.a + 1)",
            vec!["1"],
        ),
        (
            "select a from PCOLLECTION where b not in (select a from PCOLLECTION where a is not null) order by a",
            vec!["-3", "1", "5", "null"],
        ),
        ("select a from PCOLLECTION union all select b from PCOLLECTION order by 1 limit 2", vec!["-3", "0"]),
        ("select a from PCOLLECTION intersect select 5", vec!["5"]),
        (
            "select lag(a) over (order by b), sum(a) over (order by b rows between 1 preceding and current row) from PCOLLECTION where a > 0 order by b",
            vec!["null|5", "5|6"],
        ),
        (
            "select ok, count(*) as n, sum(a) filter (where a > 0) as s from PCOLLECTION group by ok having count(*) > 1",
            vec!["true|2|1"],
        ),
        ("select count(*) from PCOLLECTION where a > 100", vec!["0"]),
        (
            "select u from (select unnest(make_array(a, b)) as u from PCOLLECTION) as t where u < 2 order by u",
            vec!["-3", "0", "1"],
        ),
        ("with t as (select a as x from PCOLLECTION) select max(x) + min(x) from t", vec!["2"]),
        ("select distinct a > 0 from PCOLLECTION where a is not null order by 1", vec!["false", "true"]),
        ("select sum(b) from PCOLLECTION where b < 9", vec!["6"]),
    ] {
        assert_eq!(query(text), wanted, "{text}");
    }
}

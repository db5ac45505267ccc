//! SQL as users meet it: where problems are shown, how plans are explained, when windows are queried.

use crate::scratch::Scratch;

const PIPELINE: &str = "\
pipeline:
  transforms:
    - {type: ReadFromJson, name: Orders, config: {path: nowhere.json}}
    - {type: MapToFields, name: Real, input: Orders, config: {language: sql, fields: {k: k, v: v * 1}}}
    - type: Sql
      name: Sums
      input: Real
      windowing: {type: fixed, size: 10s}
      config:
        query: |
          SELECT k, SUM(v) AS s
          FROM PCOLLECTION
          GROUP BY k
    - type: Combine
      name: Means
      input: Real
      windowing: {type: fixed, size: 10s, trigger: {after_watermark: {early: {after_count: 1}}}, accumulation_mode: accumulating}
      config: {language: sql, group_by: k, combine: {m: SUM(v) / COUNT(*)}}
    - {type: WriteToJson, name: A, input: Sums, config: {path: a}}
    - {type: WriteToJson, name: B, input: Means, config: {path: b}}
x-purlin:
  tests:
    - name: windows and late rows
      steps:
        - give: {Orders: [{row: {k: a, v: 1}, at: 1s}, {row: {k: a, v: 5}, at: 9s}, {row: {k: b, v: 7}, at: 11s}]}
        - advance_watermark: 10s
        - expect: {Sums: [{row: {k: a, s: 6}, window: [0, 10]}]}
        - give: {Orders: [{row: {k: late, v: 1}, at: 2s}]}
        - end
        - expect: {Sums: [{row: {k: b, s: 7}, window: [10, 20]}]}
";

#[test]
fn windows_are_queried_as_the_watermark_passes() {
    let s = Scratch::new();
    s.write("nowhere.json", "{\"k\": \"a\", \"v\": 1}\n");
    s.write("p.yaml", PIPELINE);
    let ran = s.purlin(&["test", "p.yaml"]);
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test]
fn explain_says_how_sql_runs() {
    let s = Scratch::new();
    s.write("nowhere.json", "{\"k\": \"a\", \"v\": 1}\n");
    s.write("p.yaml", PIPELINE);
    let ran = s.purlin(&["explain", "p.yaml"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for wanted in [
        "v = v * 1",
        "sql, window by window: SELECT k, SUM(v) AS s FROM PCOLLECTION GROUP BY k",
        "then m = SUM(v) / COUNT(*)",
    ] {
        assert!(ran.out.contains(wanted), "`{wanted}` is missing in\n{}", ran.out);
    }
}

/// What `check` says of a query.
fn check(query: &str) -> String {
    let s = Scratch::new();
    let yaml = format!(
        "pipeline:\n  type: chain\n  transforms:\n    - {{type: Create, config: {{elements: [{{amount: 1, city: oslo}}]}}}}\n    - type: Sql\n      \
         config:\n        query: {query}\n    - {{type: LogForTesting}}\n"
    );
    s.write("p.yaml", &yaml);
    let ran = s.purlin(&["check", "p.yaml"]);
    assert_eq!(ran.code, 2, "{query}\n{ran:?}");
    ran.err
}

#[test]
fn problems_have_a_place_in_the_file() {
    let e = check("SELECT city, amuont FROM PCOLLECTION");
    assert!(e.contains("p.yaml:7:29") && e.contains("did you mean `amount`?"), "{e}");
    let e = check("'SELECT city FORM PCOLLECTION x y'");
    assert!(e.contains("p.yaml:7:"), "{e}");
    let e = check("|\n          SELECT city,\n                 amuont\n          FROM PCOLLECTION");
    assert!(e.contains("p.yaml:9:18"), "{e}");
    let e = check("SELECT * FROM Orders");
    assert!(e.contains("p.yaml:7:30") && e.contains("PCOLLECTION"), "{e}");
}

#[test]
fn hostile_queries_are_refused() {
    let deep = format!("SELECT {}1{} AS x FROM PCOLLECTION", "(".repeat(5000), ")".repeat(5000));
    let e = check(&deep);
    assert!(e.contains("nested deeper") || e.contains("operators"), "{e}");
    let long = format!("SELECT 1{} AS x FROM PCOLLECTION", "+1".repeat(100_000));
    assert!(check(&long).contains("operators"), "{long:.60}");
    let huge = format!("SELECT {} AS x FROM PCOLLECTION", "a".repeat(300_000));
    assert!(check(&huge).contains("the limit is"), "huge");
    for query in ["COPY PCOLLECTION TO 'x.csv'", "CREATE TABLE t AS SELECT 1", "DROP TABLE PCOLLECTION"] {
        assert!(check(query).contains("only a query"), "{query}");
    }
    assert!(check("SELECT * FROM read_csv('/etc/passwd')").contains("p.yaml:7:"));
}

#[test]
fn long_queries_within_the_limits_run() {
    let s = Scratch::new();
    let sum = format!("SELECT amount{} AS x FROM PCOLLECTION", " + 1".repeat(200));
    let list: Vec<String> = (0..5000).map(|i| i.to_string()).collect();
    let both = format!("SELECT x FROM ({sum}) AS t WHERE x IN ({})", list.join(", "));
    let yaml = format!(
        "pipeline:\n  type: chain\n  transforms:\n    - {{type: Create, config: {{elements: [{{amount: 1}}]}}}}\n    - type: Sql\n      \
         config:\n        query: {both}\n    - {{type: WriteToJson, config: {{path: out}}}}\n"
    );
    s.write("p.yaml", &yaml);
    let ran = s.purlin(&["run", "p.yaml"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(s.lines("out"), ["{\"x\":201}"]);
}

//! Python that is not compiled, in worker processes: what binds, what fails, and that nothing is lost.

use crate::scratch::{Ran, Scratch};
use std::fmt::Write as _;

/// A pipeline that maps `{n: ...}` rows with one function, and writes good and failed rows.
fn pipeline(rows: std::ops::Range<i64>, code: &str, output_type: Option<&str>) -> String {
    let elements: Vec<String> = rows.map(|n| format!("{{n: {n}}}")).collect();
    let mut callable = String::new();
    for line in code.lines() {
        writeln!(callable, "              {line}").unwrap();
    }
    let output_type = output_type.map_or_else(String::new, |t| format!("            output_type: {t}\n"));
    format!(
        "pipeline:
  transforms:
    - {{type: Create, name: In, config: {{elements: [{}]}}}}
    - type: MapToFields
      name: Map
      input: In
      config:
        language: python
        fields:
          n: n
          r:
            callable: |
{callable}{output_type}        error_handling: {{output: bad}}
    - {{type: WriteToJson, name: G, input: Map, config: {{path: good.jsonl, num_shards: 1}}}}
    - {{type: MapToFields, name: Bad, input: Map.bad, config: {{language: python, fields: {{n: element.n, msg: msg}}}}}}
    - {{type: WriteToJson, name: B, input: Bad, config: {{path: bad.jsonl, num_shards: 1}}}}
",
        elements.join(", ")
    )
}

fn run(scratch: &Scratch, text: &str, env: &[(&str, &str)], args: &[&str]) -> Ran {
    scratch.write("p.yaml", text);
    scratch.purlin_with(&[&["run", "p.yaml"], args].concat(), env)
}

#[test]
fn rows_that_end_hang_or_fill_the_worker_are_error_rows_and_their_neighbours_survive() {
    let scratch = Scratch::new();
    let code = "\
import os
class Trap:
  def go(self, n):
    if n == 3: os._exit(1)
    if n == 5:
      while True: pass
    if n == 7: return len(bytearray(1 << 31))
    if n == 9: raise ValueError('nine')
    if n == 11: os.abort()
    if n == 13: raise SystemExit(4)
    return n * 10
def r(row) -> int:
  print('row', row.n)
  return Trap().go(row.n)";
    let env = [("PURLIN_PYTHON_TIMEOUT", "0.5"), ("PURLIN_PYTHON_MEMORY", "512")];
    let ran = run(&scratch, &pipeline(0..15, code, None), &env, &["--lanes", "3"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("row 14") && !ran.out.contains("row 14"), "{ran:?}");
    let good = scratch.lines("good");
    assert_eq!(good.len(), 9, "{good:?}");
    assert!(good.contains(&r#"{"n":14,"r":140}"#.to_owned()), "{good:?}");
    let bad = scratch.lines("bad").join("\n");
    for message in [
        r#"{"n":3,"msg":"RuntimeError('python3 worker died: exit status: 1')"}"#,
        r#"{"n":5,"msg":"TimeoutError('the row took longer than 0.5 s"#,
        r#"{"n":7,"msg":"MemoryError()"}"#,
        r#"{"n":9,"msg":"ValueError('nine')"}"#,
        r#"{"n":11,"msg":"RuntimeError('python3 worker died: signal: 6"#,
        r#"{"n":13,"msg":"SystemExit(4)"}"#,
    ] {
        assert!(bad.contains(message), "{message}\n{bad}");
    }
}

#[test]
fn values_travel_exactly() {
    let scratch = Scratch::new();
    let text = r#"
pipeline:
  type: chain
  transforms:
    - type: Create
      config:
        elements:
          - {i: 9223372036854775807, f: 0.1, s: "é\u0000\n", b: true, l: [1, null], m: {k: {x: 1.5}}, any: 1}
          - {i: -9223372036854775808, f: -0.0, s: "", b: false, l: [], m: {k: {x: null}}, any: [a, {b: null}]}
    - type: MapToFields
      config:
        language: python
        append: true
        fields:
          same:
            callable: |
              import copy
              def same(row):
                return copy.deepcopy(row)
          shown:
            callable: |
              import pprint
              def shown(row) -> str:
                assert row[0] == row.i == getattr(row, 'i') == row._asdict()['i']
                return repr((row.i, row.f, row.s, row.b, row.l, row.m.k.x, row.any))
          more:
            callable: |
              import collections, datetime, dataclasses, enum
              import apache_beam as beam
              P = collections.namedtuple('P', 'x y')
              @dataclasses.dataclass
              class D:
                z: int
              class E(enum.IntEnum):
                ONE = 1
              def more(row):
                yield beam.Row(a=1, b=[P(1, 'p'), D(2)])
                yield {'set': {3, 1, 2}, 'e': E.ONE, 'c': collections.Counter('aab')}
                yield (datetime.date(2024, 2, 29), datetime.timedelta(days=1), 2**70, float('inf'))
          bad:
            callable: |
              def bad(row) -> int:
                with open('/dev/null'):
                  return row.i
    - {type: WriteToJson, config: {path: r.jsonl, num_shards: 1}}
"#;
    let ran = run(&scratch, text, &[], &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let got: Vec<serde_json::Value> =
        scratch.lines("r.jsonl").iter().map(|l| serde_json::from_str(l).unwrap()).collect();
    let big = got.iter().find(|r| r["i"] == i64::MAX).unwrap();
    let small = got.iter().find(|r| r["i"] == i64::MIN).unwrap();
    for row in [big, small] {
        for field in ["i", "f", "s", "b", "l", "m", "any"] {
            assert_eq!(row["same"][field], row[field], "{field}");
        }
        assert_eq!(row["bad"], row["i"]);
        assert_eq!(row["more"][0], serde_json::json!({"a": 1, "b": [{"x": 1, "y": "p"}, {"z": 2}]}));
        assert_eq!(row["more"][1], serde_json::json!({"set": [1, 2, 3], "e": 1, "c": {"a": 2, "b": 1}}));
    }
    assert_eq!(big["shown"], "(9223372036854775807, 0.1, 'é\\x00\\n', True, [1, None], 1.5, 1)");
    assert_eq!(small["shown"], "(-9223372036854775808, -0.0, '', False, [], None, ['a', {'b': None}])");
}

#[test]
fn what_a_worker_cannot_do_is_refused_before_data_is_read() {
    let scratch = Scratch::new();
    let refused = |code: &str, env: &[(&str, &str)]| {
        let ran = run(&scratch, &pipeline(0..2, code, None), env, &[]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(scratch.lines("good").is_empty());
        ran.err
    };
    let class = "class A:\n  pass\ndef r(row):\n  return str(A())";
    let e = refused("import numpy as np\ndef r(row):\n  return np.sqrt(row.n)", &[]);
    assert!(e.contains("needs numpy, which is not part of Python's standard library"), "{e}");
    let e = refused("import apache_beam as beam\nclass A(beam.DoFn):\n  pass\ndef r(row):\n  return 1", &[]);
    assert!(e.contains("`apache_beam.DoFn` is Beam's Python"), "{e}");
    let e = refused(class, &[("PURLIN_PYTHON", "off")]);
    assert!(e.contains("a class is not part of the Python that is compiled"), "{e}");
    assert!(e.contains("a python3 worker could run it, but PURLIN_PYTHON is `off`"), "{e}");
    let e = refused(class, &[("PURLIN_PYTHON", "/no/such/python")]);
    assert!(e.contains("cannot be started") && e.contains("install Python 3.9 or newer"), "{e}");
    let e = refused("class A:\n  pass\ndef r(row):\n  return nme", &[]);
    assert!(e.contains("unknown name `nme`"), "{e}");
    let e = refused("class A\n  pass\ndef r(row):\n  return 1", &[]);
    assert!(e.contains("invalid Python"), "{e}");
}

#[test]
fn check_warns_and_explain_says_which_way_each_value_goes() {
    let scratch = Scratch::new();
    let code = "from collections import Counter\ndef r(row):\n  return len(Counter([row.n]))";
    scratch.write("p.yaml", pipeline(0..2, code, Some("integer")));
    let check = scratch.purlin(&["check", "p.yaml"]);
    assert_eq!(check.code, 0, "{check:?}");
    let said = format!("{}{}", check.out, check.err);
    assert!(said.contains("runs in a python3 worker: importing `collections` is not compiled"), "{said}");
    let explain = scratch.purlin(&["explain", "p.yaml", "--stages"]);
    assert!(explain.out.contains("[python3 worker: importing `collections`]"), "{}", explain.out);
    assert!(explain.out.contains("Map[python3]") && explain.out.contains("-> n: int, and 1 for the next"));
}

#[test]
fn a_failed_row_without_an_error_output_ends_the_run() {
    let scratch = Scratch::new();
    let text = pipeline(0..3, "import os\ndef r(row):\n  os._exit(2)", None)
        .replace("        error_handling: {output: bad}\n", "");
    let text = text.split("    - {type: MapToFields, name: Bad").next().unwrap().to_owned();
    let ran = run(&scratch, &text, &[], &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.err.contains("python3 worker died: exit status: 2") && ran.err.contains(r#"{"n":0}"#),
        "{ran:?}"
    );
}

#[test]
fn timed_tests_run_through_a_worker() {
    let scratch = Scratch::new();
    scratch.write("p.yaml", TIMED);
    let ran = scratch.purlin(&["test", "p.yaml"]);
    assert_eq!(ran.code, 0, "{ran:?}");
}

const TIMED: &str = include_str!("python_worker_timed.yaml");

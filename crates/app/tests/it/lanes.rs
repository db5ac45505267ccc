//! Readers in several lanes, by the binary.

use crate::scratch::Scratch;
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

/// Sums by key, and the lines that are no objects.
const SUMS: &str = "\
pipeline:
  transforms:
    - type: ReadFromJson
      name: In
      config:
        path: '{{ input }}'
        schema: {properties: {k: {type: string}, v: {type: integer}}}
        error_handling: {output: bad THRESHOLD}
    - {type: Combine, name: Sum, input: In, config: {group_by: k, combine: {v: sum}}}
    - {type: WriteToJson, name: Out, input: Sum, config: {path: out}}
    - {type: WriteToJson, name: Bad, input: In.bad, config: {path: bad}}
";

/// Some lines of JSON; each 50th is cut off.
fn orders() -> (String, Vec<usize>) {
    let mut bad = Vec::new();
    let lines = (1..=2000).map(|n| {
        if n % 50 == 0 {
            bad.push(n);
            return format!("{{\"k\": \"key{}\", \"v\"", n % 7);
        }
        format!("{{\"k\": \"key{}\", \"v\": {n}}}{}", n % 7, if n % 3 == 0 { "\r" } else { "" })
    });
    (lines.collect::<Vec<_>>().join("\n"), bad)
}

fn scratch() -> (Scratch, Vec<usize>) {
    let s = Scratch::new();
    let (text, bad) = orders();
    s.write("p.yaml", SUMS.replace(" THRESHOLD", "")).write("in.jsonl", text);
    (s, bad)
}

#[test]
fn many_lanes_give_what_one_gives_with_the_lines_of_bad_records() {
    let (s, bad) = scratch();
    assert_eq!(s.purlin(&["run", "p.yaml", "--set", "input=in.jsonl", "--lanes=1"]).code, 0);
    let (sums, errors) = (s.lines("out"), s.lines("bad"));
    assert_eq!((sums.len(), errors.len()), (7, bad.len()));
    for (lanes, bytes, rows) in [(2, 1000, 8192), (5, 100, 1), (64, 7, 100)] {
        let ran = s.purlin(&[
            "run",
            "p.yaml",
            "--json",
            "--set",
            "input=in.jsonl",
            &format!("--lanes={lanes}"),
            &format!("--piece-bytes={bytes}"),
            &format!("--batch-rows={rows}"),
        ]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!((s.lines("out"), s.lines("bad")), (sums.clone(), errors.clone()), "{lanes} lanes");
        let summary: Value = serde_json::from_str(&ran.out).expect("JSON");
        assert_eq!(summary["transforms"][0]["rows_in"], 2000, "figures of all lanes: {summary}");
        assert_eq!(summary["transforms"][0]["ledger"]["dead_lettered"], bad.len());
    }
    let mut lines: Vec<u64> = errors
        .iter()
        .filter_map(|e| serde_json::from_str::<Value>(e).ok()?["element"]["line"].as_u64())
        .collect();
    lines.sort_unstable();
    assert_eq!(json!(lines), json!(bad));
}

#[test]
fn a_threshold_is_a_share_of_what_all_lanes_read() {
    for (threshold, code) in [("0.02", 0), ("0.0199", 1)] {
        let (s, _) = scratch();
        s.write("p.yaml", SUMS.replace(" THRESHOLD", &format!(", threshold: {threshold}")));
        let ran = s.purlin(&["run", "p.yaml", "--set", "input=in.jsonl", "--lanes=3", "--piece-bytes=500"]);
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(code == 0 || ran.err.contains("40 of 2000 records could not be read"), "{}", ran.err);
    }
}

#[test]
fn explain_shows_lanes_and_pieces_and_small_inputs_have_neither() {
    let (s, _) = scratch();
    let explain = |more: &[&str]| {
        let args = ["explain", "p.yaml", "--stages", "--set", "input=in.jsonl"];
        let ran = s.purlin(&[&args, more].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.out
    };
    let divided = explain(&["--lanes=4", "--piece-bytes=10000"]);
    assert!(divided.contains("stage 0  4 lanes") && divided.contains("; in 5 pieces"), "{divided}");
    let small = explain(&["--lanes=4"]);
    assert!(small.contains("stage 0  1 lane") && !small.contains("pieces"), "{small}");
    let one = explain(&["--lanes=1", "--piece-bytes=10"]);
    assert!(one.contains("stage 0  1 lane") && !one.contains("pieces"), "{one}");
}

#[test]
fn a_pipe_is_read_in_one_piece() {
    let (s, bad) = scratch();
    let (text, _) = orders();
    let mut run = Command::new(env!("CARGO_BIN_EXE_purlin"))
        .args(["run", "p.yaml", "--set", "input=/dev/stdin", "--lanes=3", "--piece-bytes=100"])
        .current_dir(s.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    run.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it is read");
    let ran = run.wait_with_output().expect("it ends");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(s.lines("bad").len(), bad.len());
    assert_eq!(s.lines("out").len(), 7);
}

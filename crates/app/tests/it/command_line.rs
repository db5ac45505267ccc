//! Commands, options, exit codes.

use crate::scratch::Scratch;
use serde_json::Value;

const GOOD: &str = "\
pipeline:
  type: chain
  transforms:
    - {type: Create, config: {elements: [{k: a, v: 1}, {k: b, v: 2}, {k: a, v: 4}]}}
    - {type: Combine, config: {group_by: k, combine: {v: sum}}}
    - {type: WriteToJson, config: {path: out}}
";

#[test]
fn run_prints_a_summary_and_json_for_machines() {
    let s = Scratch::new();
    s.write("p.yaml", GOOD);
    let ran = s.purlin(&["run", "p.yaml"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{ran:?}");
    assert!(ran.err.contains("ledger: ") && ran.err.contains("every transform balances"), "{}", ran.err);
    assert_eq!(s.lines("out"), [r#"{"k":"a","v":5}"#, r#"{"k":"b","v":2}"#]);

    let ran = s.purlin(&["run", "p.yaml", "--json"]);
    let summary: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(summary["status"], "finished");
    assert_eq!(summary["ledger"]["written"], 2);
    assert_eq!(summary["transforms"][0]["rows_out"]["out"], 3);
    assert_eq!(ran.err, "");
}

#[test]
fn refusals_exit_with_2_and_write_nothing() {
    let s = Scratch::new();
    s.write("p.yaml", GOOD.replace("group_by", "groupby"));
    for command in ["run", "check", "explain", "graph"] {
        let ran = s.purlin(&[command, "p.yaml"]);
        assert_eq!(ran.code, 2, "{command}: {ran:?}");
        assert!(ran.err.contains("did you mean `group_by`?"), "{command}: {}", ran.err);
        assert!(ran.err.contains("p.yaml:5:"), "{command}: {}", ran.err);
    }
    assert_eq!(s.names(), ["p.yaml"]);
    let ran = s.purlin(&["check", "p.yaml", "--json"]);
    let report: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(report[0]["diagnostics"][0]["line"], 5);
}

#[test]
fn variables_come_from_flags_json_and_options() {
    let s = Scratch::new();
    s.write("p.yaml", GOOD.replace("path: out", "path: \"{{ a }}-{{ b }}-{{ c }}\""));
    let args = [
        "run",
        "p.yaml",
        "--set",
        "a=x",
        "--jinja_variables={\"b\": 7}",
        "--jinja_variable_flags=c",
        "--c=z",
    ];
    assert_eq!(s.purlin(&args).code, 0);
    assert_eq!(s.lines("x-7-z").len(), 2);
    let ran = s.purlin(&["run", "p.yaml", "--set", "a=x"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains('b') && ran.err.contains("p.yaml:6"), "{}", ran.err);
    let ran = s.purlin(&["run", "p.yaml", "--set", "a"]);
    assert!(ran.code == 2 && ran.err.contains("NAME=VALUE"), "{ran:?}");
    let ran = s.purlin(&["run", "p.yaml", "--jinja_variables=[1]"]);
    assert!(ran.code == 2 && ran.err.contains("JSON object"), "{ran:?}");
}

#[test]
fn explain_and_graph_show_the_pipeline() {
    let s = Scratch::new();
    s.write("p.yaml", GOOD);
    let ran = s.purlin(&["explain", "p.yaml", "--stages", "--lanes=2"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("Combine") && ran.out.contains('k'), "{}", ran.out);
    assert!(s.purlin(&["graph", "p.yaml"]).out.starts_with("<svg"));
    assert!(s.purlin(&["graph", "p.yaml", "--format=dot"]).out.contains("digraph"));
    let json: Value =
        serde_json::from_str(&s.purlin(&["graph", "p.yaml", "--format=json"]).out).expect("JSON");
    assert!(json["nodes"].as_array().is_some_and(|n| n.len() >= 3), "{json}");
}

#[test]
fn completions_help_and_schema_are_there() {
    let s = Scratch::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(s.purlin(&["completions", shell]).out.contains("purlin"));
    }
    for command in ["run", "check", "explain", "graph", "test", "completions"] {
        let help = s.purlin(&[command, "--help"]);
        assert!(help.code == 0 && help.out.contains("Example"), "{command}");
    }
    let schema: Value = serde_json::from_str(&s.purlin(&["schema"]).out).expect("JSON");
    assert!(schema["$schema"].is_string());
    assert_eq!(s.purlin(&["rnu"]).code, 2);
}

#[test]
fn tests_of_a_file_pass_fail_and_are_fixed() {
    let s = Scratch::new();
    let tests = "\
tests:
  - name: sums
    mock_outputs:
      - {name: Create, elements: [{k: a, v: 1}, {k: a, v: 2}]}
    expected_outputs:
      - name: Combine
        elements:
          - {k: a, v: 4}
";
    s.write("p.yaml", format!("{GOOD}{tests}"));
    let ran = s.purlin(&["test", "p.yaml"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("FAILED") && ran.out.contains("p.yaml:8"), "{}", ran.out);
    let ran = s.purlin(&["test", "p.yaml", "--fix"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = s.purlin(&["test", "."]);
    assert_eq!(ran.code, 0, "{ran:?} {}", s.lines("p.yaml").join("\n"));
    assert!(ran.out.contains("1 passed, 0 failed"), "{}", ran.out);
    s.write("none.yaml", GOOD);
    let ran = s.purlin(&["test", "none.yaml"]);
    assert!(ran.code == 2 && ran.err.contains("no tests"), "{ran:?}");
    assert_eq!(s.purlin(&["run", "p.yaml", "--tests"]).code, 0);
}

#[test]
fn two_writers_of_one_path_are_refused() {
    let s = Scratch::new();
    let twice = format!(
        "{GOOD}  extra_transforms:\n    - {{type: WriteToJson, name: Again, input: Combine, config: {{path: out}}}}\n"
    );
    s.write("p.yaml", twice);
    let ran = s.purlin(&["check", "p.yaml"]);
    assert!(ran.code == 2 && ran.err.contains("both write files `out-*`"), "{ran:?}");
}

#[test]
fn slips_around_projects_are_told() {
    let s = Scratch::new();
    s.write("purlin.yaml", "pipelines: [p.yaml]\n").write("kept", "");
    let up = s.purlin(&["up", "nope.yaml"]);
    assert!(up.code == 2 && up.err.contains("there is no file `nope.yaml`"), "{up:?}");
    let run = s.purlin(&["run", "purlin.yaml"]);
    assert!(run.code == 2 && run.err.contains("is run by `purlin up`"), "{run:?}");
}

#[test]
fn what_is_printed_needs_no_windows() {
    let s = Scratch::new();
    let pipeline = |path: &str| {
        format!(
            "pipeline:\n  type: chain\n  transforms:\n    - {{type: ReadFromPubSub, config: {{subscription: projects/p/\
             subscriptions/lines, format: RAW}}}}\n    - {{type: WriteToText, config: {{path: {path}}}}}\n"
        )
    };
    s.write("print.yaml", pipeline("/dev/stdout")).write("file.yaml", pipeline("out"));
    let ran = s.purlin(&["check", "print.yaml"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = s.purlin(&["check", "file.yaml"]);
    assert!(ran.code == 2 && ran.err.contains("would never finish a file"), "{ran:?}");
}

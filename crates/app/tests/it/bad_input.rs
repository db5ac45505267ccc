//! What a new user gets wrong, and what a hostile file tries: a clear error or dead letters, never a panic,
//! never an unbounded buffer.

use crate::scratch::Scratch;

fn csv_job(extra: &str) -> String {
    format!(
        "pipeline:\n  transforms:\n    - {{type: ReadFromCsv, name: R, config: {{path: in.csv, error_handling: {{output: bad}}{extra}}}}}\n    \
         - {{type: WriteToJson, name: G, input: R, config: {{path: good}}}}\n    \
         - {{type: WriteToJson, name: B, input: R.bad, config: {{path: bad}}}}\n"
    )
}

/// The pipeline is refused; the message has all of `wanted`.
fn refused(yaml: &str, wanted: &[&str]) {
    let s = Scratch::new();
    s.write("p.yaml", yaml);
    let ran = s.purlin(&["run", "p.yaml"]);
    assert_eq!(ran.code, 2, "{yaml}\n{ran:?}");
    for w in wanted {
        assert!(ran.err.contains(w), "`{w}` is missing in\n{}\nfor\n{yaml}", ran.err);
    }
    assert_eq!(s.names(), ["p.yaml"]);
}

fn chain(transforms: &str) -> String {
    format!("pipeline:\n  type: chain\n  transforms:\n{transforms}")
}

#[test]
fn slips_of_the_pen() {
    let create = "    - {type: Create, config: {elements: [{a: 1}]}}\n";
    refused(
        &chain("    - {type: Craete, config: {elements: [1]}}\n"),
        &["p.yaml:4:", "Craete", "did you mean `Create`?"],
    );
    refused(
        &chain("    - {type: Create, config: {elments: [1]}}\n"),
        &["p.yaml:4:", "did you mean `elements`?"],
    );
    refused(&chain("    - {type: Create, elements: [1]}\n"), &["p.yaml:4:", "config"]);
    refused(
        &chain(&format!(
            "{create}    - {{type: WindowInto, windowing: {{type: fixed, size: 30 sec}}}}\n    - {{type: LogForTesting}}\n"
        )),
        &["sec", "ms"],
    );
    refused(
        &chain(&format!(
            "{create}    - {{type: Filter, config: {{keep: aa > 1}}}}\n    - {{type: LogForTesting}}\n"
        )),
        &["aa", "p.yaml:5:"],
    );
    refused("pipelin:\n  transforms: []\n", &["pipeline"]);
    refused("", &["pipeline"]);
    refused("- 1\n- 2\n", &["mapping"]);
    refused("pipeline:\n\ttransforms: []\n", &["p.yaml:2:", "tab"]);
    refused("pipeline: {transforms: [\n", &["p.yaml:"]);
}

#[test]
fn cycles_are_named() {
    refused(
        "pipeline:\n  transforms:\n    - {type: Filter, name: A, input: C, config: {keep: x}}\n    - {type: Filter, name: B, input: A, config: {keep: x}}\n    - {type: Filter, name: C, input: B, config: {keep: x}}\n",
        &["cycle", "->"],
    );
}

#[test]
fn several_problems_are_reported_at_once() {
    let s = Scratch::new();
    s.write("p.yaml", chain("    - {type: Create, config: {elments: [1]}}\n    - {type: Fliter, config: {keep: x}}\n    - {type: LogForTesting, config: {levl: INFO}}\n"));
    let ran = s.purlin(&["check", "p.yaml"]);
    for w in ["elments", "Fliter", "levl"] {
        assert!(ran.err.contains(w), "{w}: {}", ran.err);
    }
}

#[test]
fn files_that_cannot_be_pipelines() {
    let s = Scratch::new();
    let ran = s.purlin(&["run", "nowhere.yaml"]);
    assert!(ran.code == 2 && ran.err.contains("nowhere.yaml"), "{ran:?}");
    let ran = s.purlin(&["run", "."]);
    assert!(ran.code == 2 && ran.err.contains("folder"), "{ran:?}");
    s.write("latin1.yaml", b"pipeline:\n  name: caf\xe9\n");
    let ran = s.purlin(&["run", "latin1.yaml"]);
    assert!(ran.code == 2 && ran.err.contains("UTF-8") && ran.err.contains("line 2"), "{ran:?}");
    s.write("bom.yaml", "\u{feff}pipeline:\r\n  type: chain\r\n  transforms:\r\n    - {type: Create, config: {elements: [1]}}\r\n    - {type: WriteToJson, config: {path: out}}\r\n");
    assert_eq!(s.purlin(&["run", "bom.yaml"]).code, 0);
}

#[test]
fn data_files_that_are_not_there_or_not_files() {
    let s = Scratch::new();
    s.write("p.yaml", csv_job(""));
    let ran = s.purlin(&["run", "p.yaml"]);
    assert!(ran.code == 2 && ran.err.to_lowercase().contains("no file"), "{ran:?}");
    std::fs::create_dir(s.path().join("in.csv")).expect("a folder");
    let ran = s.purlin(&["run", "p.yaml"]);
    assert!(ran.code == 2 && ran.err.contains("in.csv"), "{ran:?}");
    std::fs::remove_dir(s.path().join("in.csv")).expect("a folder");
    s.write("in.csv", "");
    let ran = s.purlin(&["run", "p.yaml"]);
    assert!(ran.code == 2 && ran.err.contains("in.csv"), "an empty file has no header: {ran:?}");
}

#[test]
fn rows_of_the_wrong_width_and_bytes_that_are_no_text() {
    let s = Scratch::new();
    s.write("p.yaml", csv_job(""));
    s.write("in.csv", b"\xef\xbb\xbfa,b\r\n1,x\r\n2,y,z\r\n3\r\n4,\xff\xfe\r\n5,last");
    let ran = s.purlin(&["run", "p.yaml"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let good = s.lines("good");
    assert_eq!(good.len(), 3, "{good:?}");
    assert!(good.iter().any(|l| l.contains("last")));
    let bad = s.lines("bad");
    assert_eq!(bad.len(), 2, "{bad:?}");
    assert!(
        bad.iter().any(|l| l.contains("\"line\":3")) && bad.iter().any(|l| l.contains("\"line\":5")),
        "{bad:?}"
    );
}

#[test]
fn a_line_beyond_the_limit_is_one_dead_letter() {
    let s = Scratch::new();
    s.write("p.yaml", csv_job(", max_line_bytes: 1000"));
    s.write("in.csv", format!("a,b\n1,x\n2,{}\n3,z\n", "y".repeat(5_000_000)));
    let ran = s.purlin(&["run", "p.yaml"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(s.lines("good").len(), 2);
    let bad = s.lines("bad");
    assert!(bad.len() == 1 && bad[0].len() < 200_000 && bad[0].contains("\"line\":3"), "{}", bad[0].len());
}

#[test]
fn ten_thousand_columns() {
    let s = Scratch::new();
    s.write("p.yaml", csv_job(""));
    let header: Vec<String> = (0..10_000).map(|i| format!("c{i}")).collect();
    let row: Vec<String> = (0..10_000).map(|i| i.to_string()).collect();
    s.write("in.csv", format!("{}\n{}\n", header.join(","), row.join(",")));
    let ran = s.purlin(&["run", "p.yaml"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(s.lines("good")[0].contains("\"c9999\":9999"));
}

#[test]
fn a_failed_run_leaves_no_files() {
    let s = Scratch::new();
    s.write("in.csv", "a\n1\n0\n");
    s.write("p.yaml", chain("    - {type: ReadFromCsv, config: {path: in.csv}}\n    - {type: MapToFields, config: {language: python, fields: {b: 1 / a}}}\n    - {type: WriteToJson, config: {path: out}}\n"));
    let ran = s.purlin(&["run", "p.yaml"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    for w in ["ZeroDivisionError", "MapToFields", "error_handling"] {
        assert!(ran.err.contains(w), "{w}: {}", ran.err);
    }
    assert_eq!(s.names(), ["in.csv", "p.yaml"]);
}

#[test]
fn one_slip_gives_one_message() {
    let create = "    - {type: Create, config: {elements: [{a: 1}]}}\n";
    for (slip, says) in [
        (create.replace("config", "confg"), "did you mean `config`?"),
        ("    - {type: Create, elements: [1]}\n".to_owned(), "move `elements` there"),
        (
            format!(
                "{create}    - {{type: Filter, config: {{keep: a > 1, error_handling: {{outpt: x}}}}}}\n"
            ),
            "did you mean `output`?",
        ),
    ] {
        refused(&chain(&slip), &["p.yaml: 1 problem;", says]);
    }
    refused("pipeline:\n  transfroms: []\n", &["p.yaml: 1 problem;", "did you mean `transforms`?"]);
}

#[test]
fn what_does_nothing_is_said() {
    let s = Scratch::new();
    let late = "windowing: {type: fixed, size: 5s, late_output: late}";
    s.write(
        "p.yaml",
        format!(
            "pipeline:\n  type: chain\n  transforms:\n    - {{type: Create, config: {{elements: [{{a: 1}}]}}}}\n    \
             - {{type: Combine, {late}, config: {{group_by: a, combine: {{n: {{value: a, fn: sum}}}}}}}}\n\
             options: {{straming: true}}\n"
        ),
    );
    for command in ["check", "run"] {
        let ran = s.purlin(&[command, "p.yaml", "--lane=4"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        for says in [
            "option `straming` has no effect here",
            "did you mean `streaming`?",
            "did you mean --lanes?",
            "nothing reads the late rows `Combine.late`",
        ] {
            assert!(ran.err.contains(says), "{command}: `{says}` is missing in\n{}", ran.err);
        }
    }
}

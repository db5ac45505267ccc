//! Input from pipes: read once, from front to back, with nothing looked at ahead.

use crate::scratch::Scratch;
use std::io::Write;
use std::process::{Command, Stdio};

fn pipeline(reader: &str, config: &str) -> String {
    format!(
        "pipeline:\n  type: chain\n  transforms:\n    - {{type: {reader}, config: {{{config}}}}}\n    \
         - {{type: WriteToJson, config: {{path: out}}}}\n"
    )
}

const SCHEMA: &str = "schema: {type: object, properties: {a: {type: integer}, b: {type: string}}}";

/// Runs `p.yaml` with this text on standard input, given in two parts.
fn run(s: &Scratch, args: &[&str], text: &str) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_purlin"))
        .args(args)
        .current_dir(s.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let text = text.to_owned();
    let writer = std::thread::Builder::new()
        .spawn(move || {
            let (first, rest) = text.split_at(text.len() / 2);
            // A program that refuses the pipeline does not read.
            let _refused = stdin.write_all(first.as_bytes()).and_then(|()| stdin.flush());
            let _refused = stdin.write_all(rest.as_bytes());
        })
        .expect("a thread");
    let out = child.wait_with_output().expect("an end");
    writer.join().expect("a writer");
    (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
}

#[test]
fn standard_input_is_read_whole() {
    let json: String = (0..50_000).map(|i| format!("{{\"a\":{i},\"b\":\"x{i}\"}}\n")).collect();
    let csv = format!("a,b\n{}", (0..50_000).map(|i| format!("{i},x{i}\n")).collect::<String>());
    let text: String = (0..50_000).map(|i| format!("line {i}\n")).collect();
    for (reader, schema, data, first) in [
        ("ReadFromJson", true, &json, r#"{"a":0,"b":"x0"}"#),
        ("ReadFromCsv", true, &csv, r#"{"a":0,"b":"x0"}"#),
        ("ReadFromText", false, &text, r#"{"line":"line 0"}"#),
    ] {
        let s = Scratch::new();
        let config =
            if schema { format!("path: /dev/stdin, {SCHEMA}") } else { "path: /dev/stdin".to_owned() };
        s.write("p.yaml", pipeline(reader, &config));
        let (code, err) = run(&s, &["run", "p.yaml"], data);
        assert_eq!(code, Some(0), "{reader}: {err}");
        let lines = s.lines("out");
        assert_eq!(lines.len(), 50_000, "{reader}");
        assert!(lines.iter().any(|l| l == first), "{reader}: {:?}", lines.first());
    }
}

#[test]
fn a_pipe_without_a_schema_is_refused_before_it_is_read() {
    for reader in ["ReadFromJson", "ReadFromCsv"] {
        let s = Scratch::new();
        s.write("p.yaml", pipeline(reader, "path: /dev/stdin"));
        let (code, err) = run(&s, &["check", "p.yaml"], "a,b\n1,x\n");
        assert_eq!(code, Some(2), "{reader}: {err}");
        assert!(err.contains("`/dev/stdin` is a pipe") && err.contains("give a `schema`"), "{reader}: {err}");
    }
}

/// Opening a pipe waits for its writer, so checking must not even open it.
#[test]
fn named_pipes_are_opened_once_and_only_by_the_run() {
    let s = Scratch::new();
    let made = Command::new("mkfifo").arg(s.path().join("pipe")).status().expect("mkfifo");
    assert!(made.success());
    s.write("p.yaml", pipeline("ReadFromJson", &format!("path: pipe, {SCHEMA}")));
    assert_eq!(s.purlin(&["check", "p.yaml"]).code, 0);
    let path = s.path().join("pipe");
    let writer = std::thread::Builder::new()
        .spawn(move || std::fs::write(path, "{\"a\":1,\"b\":\"x\"}\n{\"a\":2,\"b\":\"y\"}"))
        .expect("a thread");
    let ran = s.purlin(&["run", "p.yaml"]);
    writer.join().expect("a writer").expect("both lines taken");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(s.lines("out"), [r#"{"a":1,"b":"x"}"#, r#"{"a":2,"b":"y"}"#]);
}

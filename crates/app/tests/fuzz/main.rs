//! Fuzzers of everything that reads: pipeline files (YAML and Jinja), CSV and JSON data. Inputs are mutations
//! of real ones, from a seed. Nothing may panic or hang, and the ledger must balance.
//! Programs are fuzzed beside their code (`expr/src/tests/fuzz.rs`), and so are the two JSON readers
//! (`connectors/src/format/json/fuzz.rs`): both need to see the inside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by these

use purlin::pipeline::{Pipeline, PipelineOptions};
use purlin_engine::StepRun;
use purlin_testkit::fuzz::{Random, mutate};
use std::path::Path;

/// Runs `each` on mutated inputs until the budget is used up.
fn fuzz(name: &str, seeds: &[Vec<u8>], dictionary: &[&str], inputs: u64, each: impl Fn(&[u8], &Path)) {
    assert!(!seeds.is_empty(), "{name} has no seeds");
    let make = |r: &mut Random| {
        let seed: &Vec<u8> = r.pick(seeds);
        mutate(seed, dictionary, r)
    };
    purlin_testkit::fuzz::run(name, inputs, make, each);
}

fn options() -> PipelineOptions {
    let variables = serde_json::json!({"IN": "in", "OUT": "out", "n": 3});
    let serde_json::Value::Object(variables) = variables else { unreachable!() };
    PipelineOptions { variables, beam_compat: false, lanes: 1, piece_bytes: None, rewrite: true }
}

#[test]
fn pipeline_files() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testkit/cases");
    let seeds: Vec<Vec<u8>> = std::fs::read_dir(cases)
        .expect("the cases")
        .flatten()
        .filter_map(|e| std::fs::read(e.path().join("pipeline.yaml")).ok())
        .collect();
    let dictionary = [
        "{{ ",
        " }}",
        "{% for i in range(9) %}",
        "{% endfor %}",
        "{% if n %}",
        "{% endif %}",
        "\n",
        "    - ",
        ": ",
        "&a ",
        "*a",
        "<<: *a",
        "{",
        "}",
        "[",
        "]",
        "type: composite",
        "type: chain",
        "input: ",
        "windowing: {type: fixed, size: 1d}",
        "error_handling: {output: e}",
        "null",
        "1e3",
        "0x1F",
        "12:30:00",
        "\"",
        "'",
        "|\n",
        ">\n",
        "!!str ",
        "---\n",
        "\t",
        "é",
        "\u{feff}",
        "extra_transforms:",
        "providers:",
        "config:",
        "lambda row: ",
        "{{ [1] * 9 }}",
        "{% set x = 1 -%}",
    ];
    fuzz("yaml", &seeds, &dictionary, 3000, |input, _| {
        let text = String::from_utf8_lossy(input);
        let mut p = Pipeline::from_text("fuzz.yaml", &text, &options());
        let good = p.plan(&options()).is_some();
        assert!(good || p.diagnostics.has_errors(), "refused without a reason");
        for d in p.diagnostics.iter() {
            assert!(!d.render(&p.sources).is_empty());
        }
    });
}

fn reader(kind: &str, input: &[u8], folder: &Path) {
    let file = folder.join("data");
    std::fs::write(&file, input).expect("a scratch file");
    let yaml = format!(
        "pipeline:\n  transforms:\n    - {{type: {kind}, name: R, config: {{path: '{}', max_line_bytes: 4096, error_handling: {{output: bad}}}}}}\n    \
         - {{type: LogForTesting, name: G, input: R}}\n    - {{type: LogForTesting, name: B, input: R.bad}}\n",
        file.display()
    );
    let mut p = Pipeline::from_text("fuzz.yaml", &yaml, &options());
    let Some(plan) = p.plan(&options()) else {
        assert!(p.diagnostics.has_errors());
        return;
    };
    // Fails if a source, a transform or the whole job does not balance.
    let mut seen = Vec::new();
    for rows_max in [1, 7, 1024] {
        let mut run = StepRun::new(&plan, rows_max).expect("a job");
        run.run_to_end().expect("bad rows are dead letters");
        let stats: Vec<u64> = run.stats().iter().map(|s| s.rows_in()).collect();
        seen.push(stats);
    }
    assert!(seen.windows(2).all(|w| w[0] == w[1]), "batch sizes change what is read: {seen:?}");
}

#[test]
fn csv_files() {
    let seeds = [
        "a,b,c\n1,x,2.5\n2,\"q \"\"r\"\" s\",3\n3,,\n",
        "id;name\r\n01;\"two\nlines\"\r\n02;é\r\n",
        "t,f\ntrue,1\nFalse,2\nNA,3\n",
        "one\n1\n2\n",
    ];
    let seeds: Vec<Vec<u8>> = seeds.iter().map(|s| s.as_bytes().to_vec()).collect();
    let dictionary = [
        "\"",
        "\"\"",
        ",",
        "\n",
        "\r\n",
        "\u{feff}",
        "nan",
        "-1",
        "1e400",
        "9223372036854775808",
        "\0",
        "NA",
        "0x",
        "007",
    ];
    fuzz("csv", &seeds, &dictionary, 1500, |input, folder| reader("ReadFromCsv", input, folder));
}

#[test]
fn json_files() {
    let seeds = [
        "{\"a\": 1, \"b\": \"x\", \"c\": [1, 2], \"d\": {\"e\": null}}\n{\"a\": 2.5, \"b\": null}\n",
        "{\"t\": true}\n{\"t\": false, \"u\": \"\\u00e9\\ud83d\\ude00\"}\n\n{\"t\": 1}\n",
        "{\"deep\": [[[[{\"x\": [1]}]]]]}\n",
    ];
    let seeds: Vec<Vec<u8>> = seeds.iter().map(|s| s.as_bytes().to_vec()).collect();
    let dictionary = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "\\ud800",
        "null",
        "true",
        "1e999",
        "-0",
        "\n",
        "{\"a\":",
        "[[[[[[[[",
        "\u{feff}",
        "\0",
        "18446744073709551616",
    ];
    fuzz("json", &seeds, &dictionary, 1500, |input, folder| reader("ReadFromJson", input, folder));
}

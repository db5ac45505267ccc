//! What is said about wrong files, and what right files become.

use crate::fixture::{leaves, load_with, problems};
use crate::node::Sources;

mod graphs;
mod mutations;
mod provided;
mod slips;

/// The problems of a text, a line each: `code line:column message`, `?` before a help, `~` before a warning.
fn brief(text: &str, files: &[(&str, &str)], beam_compat: bool) -> String {
    let loaded = load_with(text, files, beam_compat);
    let mut out = String::new();
    for d in loaded.diagnostics.iter() {
        let span = d.span.unwrap_or_default();
        let warning = if d.severity == crate::Severity::Warning { "~" } else { "" };
        let file = if span.file == 0 { String::new() } else { file_name(&loaded.sources, span.file) };
        out.push_str(&format!(
            "{warning}{} {file}{}:{} {}\n",
            d.code, span.start.line, span.start.column, d.message
        ));
        for help in &d.help {
            out.push_str(&format!("  ? {help}\n"));
        }
    }
    out
}

fn file_name(sources: &Sources, file: u32) -> String {
    sources.get(file).map_or("?".to_owned(), |f| format!("{}:", f.name))
}

/// Compares the problems of a pipeline with what is expected; leading line ends and the end are trimmed.
#[track_caller]
fn check(text: &str, expected: &str) {
    check_in(text, &[], false, expected);
}

#[track_caller]
fn check_in(text: &str, files: &[(&str, &str)], beam_compat: bool, expected: &str) {
    let got = brief(text, files, beam_compat);
    assert_eq!(got.trim(), trimmed(expected), "\n{}", problems(text, files, beam_compat));
}

#[track_caller]
fn becomes(text: &str, expected: &str) {
    becomes_in(text, &[], expected);
}

#[track_caller]
fn becomes_in(text: &str, files: &[(&str, &str)], expected: &str) {
    assert_eq!(leaves(text, files, false).trim(), trimmed(expected));
}

/// Takes the indentation of the first line off all lines.
fn trimmed(text: &str) -> String {
    let text = text.trim_start_matches('\n').trim_end();
    let indent = text.len() - text.trim_start_matches(' ').len();
    text.lines().map(|l| l.get(indent..).unwrap_or("")).collect::<Vec<_>>().join("\n")
}

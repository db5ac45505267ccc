//! The shape of files: length, words, changelog, links.

use crate::{root, texts};

const LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 90;

/// Patterns that must not stand in Rust code, and what to do instead. Put together here so that this file
/// does not find itself.
fn banned() -> Vec<(String, &'static str)> {
    [
        (["to", "do!("], "finish it, or say in the documentation that it is not there"),
        (["unimple", "mented!("], "finish it, or refuse the input with an error"),
        (["#[ig", "nore"], "assert what happens today, with a FIXME, instead of leaving a test out"),
        (["#[should_", "panic"], "assert the error"),
        (["dbg", "!("], "take it out"),
        (["thread::", "sleep"], "wait for what you wait for; script time in tests"),
    ]
    .into_iter()
    .map(|(parts, why)| (parts.concat(), why))
    .collect()
}

#[test]
fn rust_files_are_short_and_finished() {
    let mut wrong = Vec::new();
    for (path, text) in texts("crates", &[".rs"]).into_iter().chain(texts("testkit", &[".rs"])) {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            wrong.push(format!("{path}: {lines} lines; at most {LINES_MAX}, one idea a file"));
        }
        for (pattern, instead) in banned() {
            for (i, line) in text.lines().enumerate().filter(|(_, l)| l.contains(&pattern)) {
                wrong.push(format!("{path}:{}: `{}`: {instead}", i + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn functions_are_short() {
    let mut wrong = Vec::new();
    for (path, text) in texts("crates", &[".rs"]) {
        if path.contains("/tests") {
            continue;
        }
        let mut open: Option<(usize, usize, String)> = None;
        for (i, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let code = line.trim_start();
            match &open {
                None if is_function(code) && !line.trim_end().ends_with([';', '}']) => {
                    open = Some((i, indent, code.to_owned()));
                }
                Some((start, at, name)) if indent == *at && code.starts_with('}') => {
                    if i - start > FUNCTION_LINES_MAX {
                        wrong.push(format!("{path}:{}: {} lines: {name}", start + 1, i - start));
                    }
                    open = None;
                }
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "functions of at most {FUNCTION_LINES_MAX} lines: {wrong:#?}");
}

fn is_function(code: &str) -> bool {
    let code =
        code.trim_start_matches("pub ").trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ");
    code.trim_start_matches("async ").trim_start_matches("const ").starts_with("fn ")
}

#[test]
fn changelog_fragments_have_a_type() {
    const TYPES: [&str; 4] = ["feature", "fix", "change", "breaking"];
    for (path, text) in texts("changelog.d", &[".md"]) {
        let name = path.rsplit('/').next().unwrap_or_default();
        if name == "README.md" {
            continue;
        }
        let kind = name.trim_end_matches(".md").rsplit('.').next().unwrap_or_default();
        assert!(TYPES.contains(&kind), "{path}: the name ends in .{{{}}}.md", TYPES.join(","));
        assert!(text.trim().len() > 20, "{path} says nothing");
        assert!(
            kind != "breaking" || text.contains("## Migration"),
            "{path}: a breaking change needs `## Migration`"
        );
    }
}

#[test]
fn decisions_say_what_would_change_them() {
    for (path, text) in texts("docs/adr", &[".md"]) {
        if !path.ends_with("README.md") {
            assert!(text.contains("## Would change if"), "{path} has no `## Would change if`");
        }
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut wrong = Vec::new();
    let mut all = texts("docs", &[".md"]);
    all.extend(texts("pipelines", &[".md"]));
    for top in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        all.push((top.to_owned(), std::fs::read_to_string(root().join(top)).expect("top documents")));
    }
    for (path, text) in all {
        let folder = root().join(&path).parent().map(std::path::Path::to_path_buf).unwrap_or_default();
        for link in text.split("](").skip(1).filter_map(|t| t.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !folder.join(target).exists() {
                wrong.push(format!("{path}: ({link})"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

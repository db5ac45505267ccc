//! What ARCHITECTURE.md and CONTRIBUTING.md promise, held by tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test fails by these

mod arrows;
mod files;
mod metadata;

use std::path::{Path, PathBuf};

/// The folder of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace folder")
}

/// All tracked text files below `folder` with one of these endings, as (path from the root, text).
fn texts(folder: &str, endings: &[&str]) -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    let mut open = vec![root.join(folder)];
    while let Some(f) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&f) else { continue };
        for entry in entries {
            let path = entry.expect("a readable folder").path();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if name.starts_with('.') || name == "target" || name == "node_modules" {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else if endings.iter().any(|e| name.ends_with(e)) {
                let text = std::fs::read_to_string(&path).expect("text files are UTF-8");
                let short = path.strip_prefix(&root).expect("below the root").display().to_string();
                found.push((short, text));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "nothing found below {folder}");
    found
}

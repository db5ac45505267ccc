//! `purlin test`.

use super::Exit;
use super::args::TestArgs;
use super::output::{Output, diagnostics_json};
use crate::pipeline::Pipeline;
use crate::report::error_json;
use crate::testing::run_tests;
use purlin_api::{Error, ErrorKind, Result};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

pub(crate) fn test(args: TestArgs, options: Map<String, Value>, out: &mut Output) -> Exit {
    let prepared = args.load.pipeline_options(&options).and_then(|o| Ok((o, files(&args.paths)?)));
    let (load, files) = match prepared {
        Ok(p) => p,
        Err(e) => {
            out.error(&e);
            return Exit::Refused;
        }
    };
    let (mut passed, mut failed, mut refused) = (0, 0, false);
    let mut reports = Vec::new();
    for (file, named) in files {
        let mut pipeline = match Pipeline::open(&file, &load) {
            Ok(p) => p,
            Err(e) => {
                refused = true;
                reports.push(json!({"pipeline": file, "error": error_json(&e)}));
                if !out.json {
                    out.error(&e);
                }
                continue;
            }
        };
        let report = run_tests(&mut pipeline, &load, args.only.as_deref(), args.fix);
        if !named && report.is_none() && !mentions_tests(&pipeline) {
            // A file found in a folder that is no pipeline with tests (a provider, an include).
            continue;
        }
        out.diagnostics(&pipeline);
        let Some(report) = report else {
            refused = true;
            reports.push(json!({"pipeline": file, "diagnostics": diagnostics_json(&pipeline)}));
            continue;
        };
        if report.tests.is_empty() {
            if named && args.only.is_none() {
                out.error(&Error::new(ErrorKind::Config, format!("`{file}` has no tests")));
                refused = true;
            }
            continue;
        }
        for t in &report.tests {
            match &t.result {
                Ok(()) => {
                    passed += 1;
                    if !out.json {
                        out.print(&format!("ok      {file}:{} {}\n", t.line, t.name));
                    }
                }
                Err(why) => {
                    failed += 1;
                    if !out.json {
                        let why = why.trim_end().replace('\n', "\n        ");
                        out.print(&format!("FAILED  {file}:{} {}\n        {why}\n", t.line, t.name));
                    }
                }
            }
            reports.push(json!({"pipeline": file, "line": t.line, "test": t.name,
                "passed": t.result.is_ok(), "message": t.result.as_ref().err()}));
        }
        if let Some(text) = report.fixed {
            match std::fs::write(&file, text) {
                Ok(()) => out.note(&format!("rewrote the expectations of {file}\n")),
                Err(e) => {
                    out.error(&Error::io("write", &file, e));
                    refused = true;
                }
            }
        }
    }
    if !refused && passed + failed == 0 {
        out.error(&Error::new(ErrorKind::Config, "no tests found"));
        refused = true;
    }
    if out.json {
        out.print_json(&json!({"passed": passed, "failed": failed, "tests": reports}));
    } else if !refused || passed + failed > 0 {
        out.print(&format!("{passed} passed, {failed} failed\n"));
    }
    match (failed, refused) {
        (0, false) => Exit::Success,
        (0, true) => Exit::Refused,
        _ => Exit::Failed,
    }
}

fn mentions_tests(pipeline: &Pipeline) -> bool {
    pipeline
        .sources
        .get(0)
        .is_some_and(|f| f.text.lines().any(|l| l.trim_end() == "tests:" || l.trim() == "tests:"))
}

/// The files to test, and whether each was named itself (and not just found in a folder).
fn files(paths: &[String]) -> Result<Vec<(String, bool)>> {
    let mut files = Vec::new();
    for path in paths {
        if Path::new(path).is_dir() {
            let mut found = Vec::new();
            walk(Path::new(path), &mut found)?;
            found.sort();
            files.extend(found.into_iter().map(|p| (p.display().to_string(), false)));
        } else {
            files.push((path.clone(), true));
        }
    }
    Ok(files)
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let name = folder.display().to_string();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io("list", &name, e))? {
        let path = entry.map_err(|e| Error::io("list", &name, e))?.path();
        if path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.')) {
            continue;
        }
        if path.is_dir() {
            walk(&path, found)?;
        } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
            found.push(path);
        }
    }
    Ok(())
}

//! Runs the pipelines under `testkit/cases` and compares what they write with what Beam wrote (or, where
//! purlin departs from Beam on purpose, with what stands under `better/`).
//!
//! Each case runs as its author would run it, by the binary, in a scratch folder; then again with other
//! lane counts and batch sizes, and with a death after every checkpoint, to the same answer. `testkit/cases/unsupported.txt` lists cases that must
//! still be refused; when one starts to pass, the test fails until its line is taken out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test fails by these

mod compare;

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

fn main() {
    let args = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testkit/cases");
    let unsupported = read_unsupported(&root.join("unsupported.txt"));
    let mut trials = Vec::new();
    let mut names: Vec<PathBuf> = std::fs::read_dir(&root)
        .expect("testkit/cases is part of the repository")
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| p.join("pipeline.yaml").exists())
        .collect();
    names.sort();
    assert!(names.len() > 90, "the cases are missing");
    for case in names {
        let name = case.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        for mode in MODES {
            let (case, mode) = (case.clone(), *mode);
            let known = unsupported.get(&name).filter(|u| u.covers(mode)).cloned();
            let title = format!("{name}::{}", mode.name);
            trials.push(Trial::test(title, move || judge_listed(&case, mode, known.as_ref())));
        }
    }
    libtest_mimic::run(&args, trials).exit();
}

#[derive(Clone, Copy)]
struct Mode {
    name: &'static str,
    flags: &'static [&'static str],
    compat: bool,
}

const MODES: &[Mode] = &[
    Mode { name: "default", flags: &[], compat: false },
    Mode { name: "lanes3_rows1", flags: &["--lanes=3", "--batch-rows=1", "--piece-bytes=16"], compat: false },
    Mode { name: "deaths", flags: &["--rehearse-deaths", "--lanes=2", "--batch-rows=3"], compat: false },
    Mode { name: "compat", flags: &["--beam-compat"], compat: true },
];

/// A line of `unsupported.txt`: `name [compat]: reason`.
#[derive(Clone)]
struct Unsupported {
    compat_only: bool,
    reason: String,
}

impl Unsupported {
    fn covers(&self, mode: Mode) -> bool {
        !self.compat_only || mode.compat
    }
}

fn read_unsupported(file: &Path) -> BTreeMap<String, Unsupported> {
    let text = std::fs::read_to_string(file).expect("testkit/cases/unsupported.txt");
    text.lines()
        .filter(|l| !l.trim().is_empty() && !l.starts_with('#'))
        .map(|l| {
            let (name, reason) = l.split_once(':').expect("each line is `name: reason`");
            let (name, compat_only) = match name.trim().strip_suffix(" compat") {
                Some(n) => (n, true),
                None => (name.trim(), false),
            };
            (name.to_owned(), Unsupported { compat_only, reason: reason.trim().to_owned() })
        })
        .collect()
}

fn judge_listed(case: &Path, mode: Mode, known: Option<&Unsupported>) -> Result<(), Failed> {
    match (judge(case, mode), known) {
        (result, None) => result.map_err(Failed::from),
        (Err(_), Some(_)) => Ok(()),
        (Ok(()), Some(u)) => {
            Err(format!("passes, but unsupported.txt says `{}`: take the line out", u.reason).into())
        }
    }
}

/// Runs a case and says what is wrong with the answer.
fn judge(case: &Path, mode: Mode) -> Result<(), String> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let scratch = std::env::temp_dir().join(format!(
        "purlin-golden-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::SeqCst)
    ));
    let out = scratch.join("out");
    std::fs::create_dir_all(&out).map_err(|e| e.to_string())?;
    let result = run_and_compare(case, mode, &scratch, &out);
    std::fs::remove_dir_all(&scratch).map_err(|e| e.to_string())?;
    result
}

fn run_and_compare(case: &Path, mode: Mode, scratch: &Path, out: &Path) -> Result<(), String> {
    let meta: Value = read_json(&case.join("meta.json"))?;
    let variables = serde_json::json!({"OUT": out, "IN": case.join("in")});
    let run = Command::new(env!("CARGO_BIN_EXE_purlin"))
        .arg("run")
        .arg(case.join("pipeline.yaml"))
        .arg(format!("--jinja_variables={variables}"))
        .args(mode.flags)
        .args(meta["args"].as_array().into_iter().flatten().filter_map(Value::as_str))
        .current_dir(scratch)
        .output()
        .map_err(|e| e.to_string())?;
    let log = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    let code = run.status.code().ok_or("killed by a signal")?;
    if code == 101 {
        return Err(format!("panicked:\n{log}"));
    }
    let better = case.join("better");
    let base = if better.is_dir() && !mode.compat { better } else { case.to_path_buf() };
    let expect_error = base.join("expect_error");
    if expect_error.exists() {
        if code == 0 {
            return Err(format!("ran, but should fail:\n{log}"));
        }
        let wanted = std::fs::read_to_string(&expect_error).map_err(|e| e.to_string())?;
        let wanted = regex_lite::Regex::new(&format!("(?s){}", wanted.trim())).map_err(|e| e.to_string())?;
        if !wanted.is_match(&log) && !mode.compat {
            return Err(format!("fails with other words than `{wanted}`:\n{log}"));
        }
        return match compare::files_of(out)?.keys().next() {
            Some(f) if code == 2 => Err(format!("was refused, but wrote {f}")),
            _ => Ok(()),
        };
    }
    if code != 0 {
        return Err(format!("exit {code}:\n{log}"));
    }
    let exact = meta["exact"].as_bool().unwrap_or(false);
    compare::folders(&base.join("expected"), out, exact)
}

fn read_json(file: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))
}

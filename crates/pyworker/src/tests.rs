#![allow(clippy::unwrap_used)] // a test fails by it

use super::*;
use arrow_array::{Array, BinaryArray};
use std::collections::BTreeMap;

fn python(settings: &[(&str, &str)]) -> Python {
    let settings: BTreeMap<String, String> =
        settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Python::find_with(|name| settings.get(name).cloned().or_else(|| std::env::var(name).ok())).unwrap()
}

/// Rows of one integer each, encoded.
fn rows(numbers: std::ops::Range<i32>) -> BinaryArray {
    let row = |n: i32| [b"(\x01\0\0\0i".as_slice(), &n.to_le_bytes()].concat();
    numbers.map(|n| Some(row(n))).collect()
}

fn start(python: &Python, code: &str) -> Box<dyn Evaluator> {
    let setup = serde_json::json!({
        "columns": ["n"],
        "tagged": [false],
        "jobs": [{"kind": "callable", "code": code, "columns": [0], "truth": false}],
    });
    python.start("T", 0, &setup.to_string()).unwrap()
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// An integer, or the message of a failure.
fn shown(result: &[u8]) -> String {
    match result {
        [b'(', 1, 0, 0, 0, b'i', number @ ..] => i32::from_le_bytes(number.try_into().unwrap()).to_string(),
        [b'(', 2, 0, 0, 0, b'u', a, b, c, d, rest @ ..] => {
            let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
            String::from_utf8_lossy(&rest[..length]).into_owned()
        }
        other => format!("{other:?}"),
    }
}

fn run(python: &Python, code: &str, numbers: std::ops::Range<i32>) -> Vec<String> {
    let mut worker = start(python, code);
    let results = wait(worker.evaluate(rows(numbers))).unwrap();
    assert_eq!(results.len(), 1);
    (0..results[0].len()).map(|row| shown(results[0].value(row))).collect()
}

#[test]
fn values_and_exceptions_come_back_row_by_row() {
    let code = "def f(row):\n  print('to the log')\n  return 10 // row.n";
    let got = run(&python(&[]), code, 0..3);
    assert_eq!(got, ["ZeroDivisionError('integer division or modulo by zero')", "10", "5"]);
}

#[test]
fn large_bundles_come_back_whole() {
    let got = run(&python(&[]), "lambda row: row.n", 0..100_000);
    assert_eq!(got.len(), 100_000);
    assert!(got.iter().enumerate().all(|(i, v)| *v == i.to_string()));
}

#[test]
fn a_row_that_ends_the_process_fails_alone() {
    let code = "import os\ndef f(row):\n  if row.n in (3, 5):\n    os._exit(7)\n  return row.n";
    let got = run(&python(&[]), code, 0..8);
    let dead = "RuntimeError('python3 worker died: exit status: 7')";
    assert_eq!(got, ["0", "1", "2", dead, "4", dead, "6", "7"]);
}

#[test]
fn a_row_that_never_ends_fails_after_the_limit() {
    let code = "def f(row):\n  while row.n == 1:\n    try: 1 / 0\n    except Exception: pass\n  return row.n";
    let got = run(&python(&[(TIMEOUT, "0.5")]), code, 0..3);
    assert_eq!((got[0].as_str(), got[2].as_str()), ("0", "2"));
    assert!(got[1].starts_with("TimeoutError('the row took longer than 0.5 s"), "{}", got[1]);
}

#[test]
fn a_process_that_does_not_answer_is_killed() {
    // The alarm is switched off: only the program can end this.
    let code = "import signal\ndef f(row):\n  if row.n == 1:\n    signal.setitimer(signal.ITIMER_REAL, 0)\n    \
                while True: pass\n  return row.n";
    let got = run(&python(&[(TIMEOUT, "0.2")]), code, 0..3);
    assert_eq!((got[0].as_str(), got[2].as_str()), ("0", "2"));
    assert!(got[1].contains("python3 worker died: it was killed after 5 s"), "{}", got[1]);
}

#[test]
fn a_row_that_takes_too_much_memory_fails_alone() {
    let code = "def f(row):\n  return len(bytearray(1 << 30)) if row.n == 1 else row.n";
    assert_eq!(run(&python(&[(MEMORY, "256")]), code, 0..3), ["0", "MemoryError()", "2"]);
}

#[test]
fn code_that_fails_to_load_fails_each_row() {
    let got = run(&python(&[]), "X = 1 // 0\ndef f(row):\n  return 1", 0..2);
    assert!(got.iter().all(|m| m.starts_with("ZeroDivisionError(")), "{got:?}");
    let mut worker = start(&python(&[]), "import os\nos._exit(3)\ndef f(row):\n  return 1");
    let e = wait(worker.evaluate(rows(0..2))).unwrap_err();
    assert!(e.message().contains("ended while it loaded its code: exit status: 3"), "{e}");
}

/// True while a process is there, and is no zombie.
#[cfg(target_os = "linux")]
fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

#[cfg(target_os = "linux")]
#[test]
fn no_process_outlives_its_worker() {
    let code = "import os\ndef f(row):\n  while row.n == 1: pass\n  return os.getpid()";
    let mut worker = start(&python(&[]), code);
    let results = wait(worker.evaluate(rows(0..1))).unwrap();
    let pid = shown(results[0].value(0));
    assert!(lives(&pid));
    let _in_flight = worker.evaluate(rows(1..2));
    drop(worker);
    assert!(!lives(&pid));
}

#[test]
fn interpreters_that_cannot_be_used_are_refused_with_a_reason() {
    let find = |path: &str| {
        let e = Python::find_with(|name| (name == PYTHON).then(|| path.to_owned())).unwrap_err();
        e.message().to_owned()
    };
    assert!(find("/no/such/python").contains("cannot be started"));
    assert!(find("true").contains("did not tell its version"));
    assert!(find("off").contains("is `off`"));
    let e = Python::find_with(|name| (name == TIMEOUT).then(|| "soon".to_owned())).unwrap_err();
    assert!(e.message().contains("a number of seconds"), "{e}");
}

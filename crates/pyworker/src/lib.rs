//! Runs Python that the program does not compile, in `python3` processes beside it.
//!
//! [`Python::find`] looks the interpreter up; [`Python`] then starts one process for each lane of a transform.
//! A process is a child with two pipes; what it prints goes to standard error. Nothing of Beam or of any other
//! package is needed there: standard library only.
//!
//! **Protocol.** Frames in both directions: length (4 bytes, little endian), kind (1 byte), body.
//!
//! ```text
//!  worker          program
//!  H ------------>          its version, a line break, and known values in its encoding, which must be as expected
//!      <------------ C      JSON: limits, the `beam` module's text, and the setup of the caller (`code`)
//!  R ------------>          the code is loaded
//!      <------------ B      a bundle: number of rows, then for each its length and its bytes
//!  P ------------>          results so far: number of rows, then for each row and job a length and bytes
//!  D ------------>          the last results of the bundle
//! ```
//!
//! Rows and results are opaque here: `purlin_expr::outside` makes and reads them.
//!
//! **Invariants.** No process outlives what started it: it is killed when its [`Evaluator`] is dropped, and ends
//! by itself when its input closes. A row that ends the process, or is not done in time, is a failed row; its
//! neighbours are computed again. Every call answers in the end.

mod bundle;
mod process;
mod worker;

use process::Limits;
use purlin_api::{Error, ErrorKind, Evaluator, Interpreter, Result};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Which interpreter to use; `off` for none.
pub const PYTHON: &str = "PURLIN_PYTHON";
/// How long one row may take, in seconds.
pub const TIMEOUT: &str = "PURLIN_PYTHON_TIMEOUT";
/// How much memory one worker may take, in MiB; 0 for no limit.
pub const MEMORY: &str = "PURLIN_PYTHON_MEMORY";

/// The oldest Python that the worker's script runs on.
const VERSION_MIN: (u32, u32) = (3, 9);
const TIMEOUT_SECONDS: f64 = 60.0;
const MEMORY_MIB: u64 = 2048;

/// A Python interpreter of this machine.
#[derive(Clone, Debug)]
pub struct Python {
    path: String,
    version: String,
    limits: Limits,
}

impl Python {
    /// Looks the interpreter up: the one that [`PYTHON`] names, else `python3`.
    ///
    /// # Errors
    /// There is none, it is too old, or a setting is wrong; the text says what to do.
    pub fn find() -> Result<Python> {
        Python::find_with(|name| std::env::var(name).ok())
    }

    /// The same with settings from elsewhere than the environment.
    ///
    /// # Errors
    /// As [`Python::find`].
    pub fn find_with(setting: impl Fn(&str) -> Option<String>) -> Result<Python> {
        let refuse = |text: String| Error::new(ErrorKind::Config, text);
        let named = setting(PYTHON).filter(|p| !p.is_empty());
        let program = named.clone().unwrap_or_else(|| "python3".to_owned());
        if program == "off" {
            return Err(refuse(format!("{PYTHON} is `off`")));
        }
        let limits = limits(&setting)?;
        let ask = "import sys; print('%d.%d.%d' % sys.version_info[:3]); print(sys.executable)";
        let mut command = Command::new(&program);
        process::isolate(&mut command);
        let asked = command.args(["-c", ask]).stdin(Stdio::null()).stderr(Stdio::null()).output();
        let missing = |why: String| match &named {
            Some(p) => refuse(format!("`{p}`, which {PYTHON} names, {why}")),
            None => refuse(format!("this machine has no `python3` that can be used: it {why}")),
        };
        let output = asked.map_err(|e| missing(format!("cannot be started: {e}")))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut lines = text.lines();
        let version = lines.next().unwrap_or("").trim().to_owned();
        let Some(number) = version_number(&version).filter(|_| output.status.success()) else {
            return Err(missing(format!("did not tell its version ({})", output.status)));
        };
        if number < VERSION_MIN {
            let (major, minor) = VERSION_MIN;
            return Err(missing(format!("has version {version}; at least {major}.{minor} is needed")));
        }
        // Launchers that look the real interpreter up are asked once, not for every worker.
        let path = lines.next().map(str::trim).filter(|p| !p.is_empty()).map_or(program, str::to_owned);
        Ok(Python { path, version, limits })
    }
}

impl Interpreter for Python {
    fn name(&self) -> String {
        format!("python3 {}", self.version)
    }

    fn start(&self, label: &str, lane: usize, setup: &str) -> Result<Box<dyn Evaluator>> {
        let setup = process::setup(&self.limits, setup)?;
        Ok(Box::new(worker::Worker::start(&self.path, label, lane, setup, self.limits)?))
    }
}

fn version_number(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.').map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Some((major, minor)),
        _ => None,
    }
}

fn limits(setting: &impl Fn(&str) -> Option<String>) -> Result<Limits> {
    let wrong = |name: &str, text: &str, what: &str| {
        Error::new(ErrorKind::Config, format!("{name} is `{text}`; it must be {what}"))
    };
    let row = match setting(TIMEOUT) {
        None => TIMEOUT_SECONDS,
        Some(text) => match text.trim().parse::<f64>() {
            Ok(seconds) if (0.1..=1e6).contains(&seconds) => seconds,
            _ => return Err(wrong(TIMEOUT, &text, "a number of seconds, at least 0.1")),
        },
    };
    let mib = match setting(MEMORY) {
        None => MEMORY_MIB,
        Some(text) => match text.trim().parse::<u64>() {
            Ok(mib) if mib == 0 || (64..=1 << 24).contains(&mib) => mib,
            _ => return Err(wrong(MEMORY, &text, "a number of MiB, at least 64, or 0 for no limit")),
        },
    };
    Ok(Limits { row: Duration::from_secs_f64(row), memory_bytes: mib << 20 })
}

#[cfg(test)]
mod tests;

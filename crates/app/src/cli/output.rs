//! Where commands print: results to standard output, everything else to standard error.

use super::Exit;
use crate::pipeline::Pipeline;
use crate::report::error_json;
use purlin_api::Error;
use serde_json::{Value, json};
use std::io::Write;

/// Prints as text or as JSON.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Output { json }
    }

    /// A result.
    pub(crate) fn print(&mut self, text: &str) {
        // A reader that went away (`| head`) is no failure of ours.
        let mut out = std::io::stdout().lock();
        let _gone = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// A result as JSON.
    pub(crate) fn print_json(&mut self, value: &Value) {
        self.print(&format!("{value:#}\n"));
    }

    /// Something for people that is not the result.
    pub(crate) fn note(&mut self, text: &str) {
        let _gone = std::io::stderr().lock().write_all(text.as_bytes());
    }

    /// An error that is not about a place in a file.
    pub(crate) fn error(&mut self, e: &Error) {
        if self.json {
            self.print_json(&json!({"status": "refused", "error": error_json(e)}));
        } else {
            self.note(&format!("error: {e}\n"));
        }
    }

    /// What is wrong with a pipeline. Answers whether it must be refused.
    pub(crate) fn diagnostics(&mut self, p: &Pipeline) -> bool {
        if !p.diagnostics.is_empty() && !self.json {
            self.note(&format!("{}\n", p.diagnostics.render(&p.sources)));
        }
        let refused = p.diagnostics.has_errors();
        if refused && !self.json {
            let n = p.diagnostics.error_count();
            self.note(&format!(
                "{}: {n} {}; nothing was read or written\n",
                p.name,
                if n == 1 { "problem" } else { "problems" }
            ));
        }
        refused
    }

    /// The refusal of a pipeline as JSON.
    pub(crate) fn refusal(&mut self, p: &Pipeline) -> Exit {
        if self.json {
            self.print_json(
                &json!({"pipeline": p.name, "status": "refused", "diagnostics": diagnostics_json(p)}),
            );
        }
        Exit::Refused
    }
}

/// All diagnostics as JSON.
pub(crate) fn diagnostics_json(p: &Pipeline) -> Vec<Value> {
    p.diagnostics.iter().map(|d| d.to_json(&p.sources)).collect()
}

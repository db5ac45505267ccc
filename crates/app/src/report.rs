//! What a run did, for people and for machines.

use purlin_api::{Error, ErrorKind, Fates, OutputRole};
use purlin_engine::{Ending, Left, NodeStats, Outcome};
use purlin_plan::Plan;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What one transform did.
#[derive(Clone, Debug)]
pub struct TransformSummary {
    /// Its label.
    pub label: String,
    /// Its type.
    pub type_name: String,
    /// Rows it was given; for a source, units it read.
    pub rows_in: u64,
    /// Rows it gave, by output tag.
    pub rows_out: Vec<(String, u64)>,
    /// What became of the rows it was given.
    pub fates: Fates,
    /// True if it reads from outside.
    pub is_source: bool,
    /// True if it writes to outside.
    pub is_sink: bool,
    /// True if nothing reads what it gives: rows that reach it have come to the end.
    pub is_end: bool,
    /// True for what the author left implicit; shown only when there is something to say of it.
    pub implicit: bool,
}

/// What each transform of a plan has done so far.
pub fn transforms(plan: &Plan, stats: &[Arc<NodeStats>]) -> Vec<TransformSummary> {
    plan.graph.nodes.iter().zip(stats).map(|(n, s)| summarise(plan, n, s)).collect()
}

/// The ledger of a whole pipeline: what became of rows anywhere; `passed` are those that came to an end of it.
pub fn ledger(transforms: &[TransformSummary]) -> Fates {
    let mut all = Fates::default();
    for t in transforms {
        all.filtered += t.fates.filtered;
        all.late += t.fates.late;
        all.dead += t.fates.dead;
        all.in_state += t.fates.in_state;
        if t.is_end {
            all.passed += t.rows_in;
        }
    }
    all
}

/// How a run ended.
#[derive(Debug)]
pub struct Summary {
    /// The pipeline's name.
    pub name: String,
    /// `None` if it ran to its end.
    pub error: Option<Error>,
    /// Why it ended.
    pub ending: Ending,
    /// Microseconds from start to end.
    pub micros: i64,
    /// Transform by transform, in order.
    pub transforms: Vec<TransformSummary>,
    /// What the sinks made.
    pub made: Vec<String>,
    /// The epoch of the checkpoint that the next run goes on from.
    pub checkpoint: Option<u64>,
}

impl Summary {
    /// From a job's outcome.
    pub fn new(name: &str, plan: &Plan, outcome: Outcome, micros: i64) -> Self {
        let transforms = transforms(plan, &outcome.stats);
        Summary {
            name: name.to_owned(),
            error: outcome.result.err(),
            ending: outcome.ending,
            micros,
            transforms,
            made: outcome.made,
            checkpoint: outcome.checkpoint.filter(|epoch| *epoch > 0),
        }
    }

    /// True if it ran to its end, or was stopped in order.
    pub fn is_success(&self) -> bool {
        self.error.is_none() && self.ending != Ending::Halted
    }

    /// How it ended, in a word: `finished`, `failed`, `stopped` (at once), `drained`, `stopped in order`.
    fn how(&self) -> &'static str {
        match (&self.error, self.ending) {
            (Some(_), _) => "failed",
            (None, Ending::End) => "finished",
            (None, Ending::Halted) => "stopped",
            (None, Ending::Drained(_)) => "drained",
            (None, Ending::Stopped(_)) => "stopped in order",
        }
    }

    /// The ledger of the whole pipeline: units read by its sources, and what became of rows anywhere.
    pub fn ledger(&self) -> Fates {
        ledger(&self.transforms)
    }

    /// As `purlin run` prints it.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        let seconds = self.micros as f64 / 1e6;
        let how = match self.how() {
            "stopped" => "was stopped",
            "drained" => "was drained",
            "stopped in order" => "was stopped in order",
            other => other,
        };
        line(&mut out, format_args!("{} {how} after {seconds:.2} s", self.name));
        let width = self
            .transforms
            .iter()
            .filter(|t| !t.implicit)
            .map(|t| t.label.chars().count())
            .max()
            .unwrap_or(0)
            .clamp(9, 48);
        line(&mut out, format_args!("  {:width$} {:>12} {:>12}", "transform", "rows in", "rows out"));
        for t in self.transforms.iter().filter(|t| !t.implicit || !notes(t).is_empty()) {
            let given = if t.is_source && t.rows_in == 0 { String::new() } else { count(self.rows_given(t)) };
            let gave = if t.is_sink { String::new() } else { count(t.rows_out.first().map_or(0, |o| o.1)) };
            let text = format!("  {:width$} {given:>12} {gave:>12}  {}", t.label, notes(t));
            line(&mut out, format_args!("{}", text.trim_end()));
        }
        for path in &self.made {
            line(&mut out, format_args!("  wrote {path}"));
        }
        let read: u64 = self.transforms.iter().filter(|t| t.is_source).map(|t| t.rows_in).sum();
        let all = self.ledger();
        line(
            &mut out,
            format_args!(
                "  ledger: read {}; {} {}, filtered {}, late {}, dead letters {}, in state {}{}",
                count(read),
                if self.is_success() { "written" } else { "given to writers" },
                count(all.passed),
                count(all.filtered),
                count(all.late),
                count(all.dead),
                count(all.in_state),
                if self.is_success() { " (every transform balances)" } else { "" }
            ),
        );
        if self.error.is_none() {
            ending_notes(self.ending, all.in_state, self.checkpoint)
                .iter()
                .for_each(|n| line(&mut out, format_args!("  = {n}")));
        }
        if let Some(e) = &self.error {
            line(&mut out, format_args!("error: {e}"));
            if let Some(help) = help_for(e) {
                line(&mut out, format_args!("  = help: {help}"));
            }
        }
        out
    }

    /// How it ended and the ledger, in a line for logs.
    pub fn to_line(&self) -> String {
        let read: u64 = self.transforms.iter().filter(|t| t.is_source).map(|t| t.rows_in).sum();
        let all = self.ledger();
        format!(
            "{} after {:.2} s: read {}, written {}, filtered {}, late {}, dead letters {}, in state {}",
            self.how(),
            self.micros as f64 / 1e6,
            count(read),
            count(all.passed),
            count(all.filtered),
            count(all.late),
            count(all.dead),
            count(all.in_state)
        )
    }

    /// The rows a transform was given, before a partial step of its own (which is not shown) thinned them.
    fn rows_given(&self, t: &TransformSummary) -> u64 {
        let partial = format!("{}[partial]", t.label);
        self.transforms.iter().find(|p| p.implicit && p.label == partial).map_or(t.rows_in, |p| p.rows_in)
    }

    /// As `purlin run --json` prints it.
    pub fn to_json(&self) -> Value {
        let fates = |f: &Fates| {
            json!({"passed": f.passed, "filtered": f.filtered, "late": f.late,
                   "dead_lettered": f.dead, "in_state": f.in_state})
        };
        let transforms: Vec<Value> = self
            .transforms
            .iter()
            .map(|t| {
                json!({
                    "name": t.label, "type": t.type_name, "rows_in": t.rows_in,
                    "rows_out": t.rows_out.iter().map(|(k, v)| (k.clone(), json!(v))).collect::<serde_json::Map<_, _>>(),
                    "ledger": fates(&t.fates),
                })
            })
            .collect();
        let ledger = self.ledger();
        json!({
            "pipeline": self.name,
            "status": self.how(),
            "acknowledgements": left(self.ending).map(|l| json!({
                "epochs": l.epochs, "unacknowledged_rows": l.unacknowledged_rows, "early_rows": l.early_rows })),
            "seconds": self.micros as f64 / 1e6,
            "error": self.error.as_ref().map(error_json),
            "transforms": transforms,
            "made": self.made,
            "read": self.transforms.iter().filter(|t| t.is_source).map(|t| t.rows_in).sum::<u64>(),
            "ledger": {"written": ledger.passed, "filtered": ledger.filtered, "late": ledger.late,
                       "dead_lettered": ledger.dead, "in_state": ledger.in_state},
        })
    }
}

fn left(ending: Ending) -> Option<Left> {
    match ending {
        Ending::Stopped(left) | Ending::Drained(left) => Some(left),
        Ending::End | Ending::Halted => None,
    }
}

/// What is to be said of how a job ended.
fn ending_notes(ending: Ending, in_state: u64, checkpoint: Option<u64>) -> Vec<String> {
    let mut notes = Vec::new();
    match ending {
        Ending::End => {}
        Ending::Halted => notes.push(match checkpoint {
            Some(epoch) => format!("stopped at once: the next run goes on from checkpoint {epoch}"),
            None => "files that were not complete have been taken away".to_owned(),
        }),
        Ending::Drained(_) => {
            notes.push("inputs were ended: all windows closed, and everything read is acknowledged".to_owned());
        }
        Ending::Stopped(left) if in_state == 0 && left.unacknowledged_rows == 0 => {
            notes.push("everything read is written and acknowledged".to_owned());
        }
        Ending::Stopped(left) if checkpoint.is_some() && left.unacknowledged_rows == 0 => notes.push(format!(
            "windows stay open with {} rows, which are in the checkpoint: the next run goes on with them (`--drain` \
             closes windows instead)",
            count(in_state)
        )),
        Ending::Stopped(left) => notes.push(format!(
            "windows stay open with {} rows; {} rows read are not acknowledged and come again in the next run \
             (`--drain` closes windows instead)",
            count(in_state),
            count(left.unacknowledged_rows)
        )),
    }
    if let Some(early) = left(ending).map(|l| l.early_rows).filter(|n| *n > 0) {
        notes.push(format!(
            "{} rows were acknowledged while windows with them were open, because too many waited (see \
             `--unacked-rows`): after a crash they would have been missing there",
            count(early)
        ));
    }
    notes
}

/// An error for machines.
pub fn error_json(e: &Error) -> Value {
    json!({"kind": format!("{:?}", e.kind()).to_lowercase(), "message": e.message(), "transform": e.place()})
}

/// What to do about an error, by its kind.
pub fn help_for(e: &Error) -> Option<&'static str> {
    match e.kind() {
        ErrorKind::Data if e.message().contains("than the threshold of") => {
            Some("mend the rows, or raise `threshold`, the fraction of rows that may fail")
        }
        ErrorKind::Data if !e.message().contains("error_handling") => {
            Some("mend the rows, or give the transform `error_handling: {output: NAME}` and consume `NAME`")
        }
        ErrorKind::Unavailable if e.message().contains("Broken pipe") => {
            Some("what read standard output has ended; files that were not complete have been taken away")
        }
        ErrorKind::Unavailable => Some("try again; nothing was made visible"),
        ErrorKind::Exhausted => Some("free space or memory, then run again; nothing was made visible"),
        _ => None,
    }
}

fn summarise(plan: &Plan, node: &purlin_plan::GraphNode, stats: &Arc<NodeStats>) -> TransformSummary {
    let outputs = node.node.outputs();
    let rows_out = outputs
        .iter()
        .zip(&stats.rows_out)
        .map(|(o, n)| (o.tag.clone(), n.load(Ordering::Relaxed)))
        .collect();
    TransformSummary {
        label: stats.label.clone(),
        type_name: stats.type_name.clone(),
        rows_in: stats.rows_in(),
        rows_out,
        fates: stats.fates(),
        is_source: node.inputs.is_empty(),
        is_sink: !outputs.iter().any(|o| o.role == OutputRole::Main),
        is_end: !node.inputs.is_empty()
            && (0..outputs.len()).all(|port| plan.graph.readers((node.id, port)).next().is_none()),
        implicit: node.implicit,
    }
}

fn notes(t: &TransformSummary) -> String {
    let mut notes = Vec::new();
    for (tag, n) in t.rows_out.iter().skip(1).filter(|(_, n)| *n > 0) {
        notes.push(format!("{tag}: {}", count(*n)));
    }
    let parts = [
        ("filtered", t.fates.filtered),
        ("late", t.fates.late),
        (if t.fates.dead == 1 { "dead letter" } else { "dead letters" }, t.fates.dead),
        ("in state", t.fates.in_state),
    ];
    notes.extend(parts.iter().filter(|(_, n)| *n > 0).map(|(what, n)| format!("{} {what}", count(*n))));
    notes.join(", ")
}

/// Digits in groups of three.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    if out.write_fmt(text).is_ok() {
        out.push('\n');
    }
}

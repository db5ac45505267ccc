//! Carrying a replay out, and completing one that was interrupted.

use crate::report::Summary;
use crate::run::{self, RunOptions};
use purlin_api::{Environment, Error, ErrorKind, Result};
use purlin_connectors::dead_letters::journal::{Answer, Event, FailedAgain, Journal};
use purlin_connectors::dead_letters::replay::{answer, answered, failed_again, keeps_letters};
use purlin_connectors::dead_letters::store::Store;
use purlin_engine::job::{PreparedSink, complete as complete_sinks};
use purlin_engine::{Ending, NodeStats};
use purlin_plan::Plan;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Where a test lets the program die, as if it had been killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Death {
    /// The letters are taken.
    Began,
    /// Everything is prepared.
    Prepared,
    /// Everything can be seen.
    Shown,
}

impl Death {
    fn comes(at: Option<Death>, here: Death) {
        if at == Some(here) {
            std::process::abort();
        }
    }
}

/// A replay that is ready to run.
#[derive(Debug)]
pub struct Replay<'a> {
    /// The letters' store.
    pub store: &'a Store,
    /// Its letters.
    pub letters: Vec<String>,
    /// A plan whose readers give nothing but these letters.
    pub plan: Arc<Plan>,
    /// What the run is called, and that it is a replay.
    pub environment: Arc<Environment>,
    /// For tests.
    pub death: Option<Death>,
}

/// What runs of a replay have in common: its name tells connectors what to call what they make.
pub fn environment(pipeline: &str, file: &str, data: &std::path::Path, run: &str) -> Environment {
    Environment {
        run: run.to_owned(),
        lineage: run.to_owned(),
        is_replay: true,
        data: Some(data.to_owned()),
        ..run::environment(pipeline, file)
    }
}

/// Runs a replay. The journal must say that it began.
///
/// # Errors
/// If it cannot be built, or the journal cannot be written. Problems of the run are in the summary.
pub fn carry_out(
    replay: &Replay<'_>,
    options: RunOptions,
    file: &str,
) -> Result<(Summary, Vec<FailedAgain>)> {
    let run = replay.environment.run.clone();
    Death::comes(replay.death, Death::Began);
    let environment = (*replay.environment).clone();
    let mut job = run::job(&replay.plan, &RunOptions { environment, checkpoints: None, ..options })?;
    if let Err(e) = run::stop_on_signal(job.stop_handle(), false) {
        return Err(Error::new(ErrorKind::Unavailable, e));
    }
    let (store, plan, stats) = (replay.store.clone(), replay.plan.clone(), job.stats());
    let (letters, death, name) = (replay.letters.clone(), replay.death, run.clone());
    job.on_prepared(Box::new(move |sinks| {
        let (failed, writers) = answers(&plan, &stats, &letters, &sinks)?;
        let mut journal = Journal::read(&store)?;
        journal.write(&store, Event::Prepared { run: name, failed, writers })?;
        Death::comes(death, Death::Prepared);
        Ok(())
    }));
    let summary = run::run(job, &replay.plan, file);
    let mut journal = Journal::read(replay.store)?;
    let failed = journal.unfinished.as_ref().map(|u| u.failed().to_vec()).unwrap_or_default();
    if summary.is_success() {
        Death::comes(replay.death, Death::Shown);
        journal.write(replay.store, Event::Done { run })?;
    } else if journal.unfinished.as_ref().is_some_and(|u| u.prepared.is_none()) {
        let why = match &summary.error {
            Some(e) => e.to_string(),
            None if summary.ending == Ending::Halted => "it was stopped".to_owned(),
            None => "it did not come to its end".to_owned(),
        };
        journal.write(replay.store, Event::Failed { run, why })?;
    }
    Ok((summary, failed))
}

/// What the journal keeps of what the writers answered; and checks that no letter was lost on the way.
fn answers(
    plan: &Plan,
    stats: &[Arc<NodeStats>],
    letters: &[String],
    sinks: &[PreparedSink],
) -> Result<(Vec<FailedAgain>, Vec<Answer>)> {
    let read: u64 = stats.iter().filter(|s| s.is_source).map(|s| s.rows_in()).sum();
    if read != letters.len() as u64 {
        return Err(Error::internal(format!(
            "{} letters were to be replayed, {read} were read",
            letters.len()
        )));
    }
    let (mut failed, mut writers) = (Vec::new(), Vec::new());
    for sink in sinks {
        let node = plan.graph.nodes.iter().find(|n| n.label == sink.label);
        if node.is_some_and(|n| keeps_letters(&n.type_name)) {
            failed.extend(failed_again(&sink.prepared)?);
        }
        writers.push(answer(&sink.label, &sink.prepared));
    }
    let ours: BTreeSet<&String> = letters.iter().collect();
    let again: BTreeSet<&String> = failed.iter().map(|f| &f.letter).collect();
    if again.len() != failed.len() || !again.is_subset(&ours) {
        return Err(Error::internal("letters failed again that were not replayed, or failed twice"));
    }
    Ok((failed, writers))
}

/// Completes a replay that was prepared: shows what it made, wholly or once more, and says that it is done. Answers
/// what it made.
///
/// # Errors
/// If what was prepared is gone, or the pipeline has no such writers any more.
pub fn complete(
    store: &Store,
    journal: &mut Journal,
    plan: &Plan,
    environment: &Arc<Environment>,
    writers: &[Answer],
) -> Result<Vec<String>> {
    let prepared = writers
        .iter()
        .map(|w| Ok(PreparedSink { label: w.transform.clone(), lane: 0, prepared: answered(w)? }))
        .collect::<Result<Vec<_>>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|e| Error::new(ErrorKind::Exhausted, format!("cannot start threads: {e}")))?;
    let made = runtime.block_on(complete_sinks(plan, run::BATCH_ROWS, environment, prepared))?;
    journal.write(store, Event::Done { run: environment.run.clone() })?;
    Ok(made)
}

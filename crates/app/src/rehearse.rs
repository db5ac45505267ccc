//! Runs a pipeline that ends by itself with a death after every checkpoint: its result must not depend on that.
//!
//! For tests. The process does not really die: the job is dropped where it stands, as a kill would leave it, and another
//! goes on from the checkpoint.

use crate::report::Summary;
use crate::run::RunOptions;
use purlin_api::{Environment, Result};
use purlin_engine::checkpoint::{CheckpointStore, Checkpoints, From, Memory};
use purlin_engine::clock::{Clock, SystemClock};
use purlin_engine::step::Until;
use purlin_engine::{Ending, Outcome, StepRun};
use purlin_plan::Plan;
use std::sync::Arc;

/// Lives after which each life is longer, so that large inputs come to an end.
const SHORT_LIVES: usize = 30;

/// Runs a plan so, and says what happened in its last life (counts are those of all).
pub fn rehearse(plan: &Plan, name: &str, options: &RunOptions) -> Summary {
    let started = SystemClock.now().0;
    let mut last = None;
    let result = lives(plan, options, &mut last);
    let stats = last.as_ref().map(|r| r.stats().to_vec()).unwrap_or_default();
    let outcome = Outcome { result, ending: Ending::End, stats, made: Vec::new(), checkpoint: None };
    Summary::new(name, plan, outcome, SystemClock.now().0.saturating_sub(started))
}

fn lives(plan: &Plan, options: &RunOptions, last: &mut Option<StepRun>) -> Result<()> {
    let store: Arc<dyn CheckpointStore> = Arc::new(Memory::default());
    let ends = [Until::Told, Until::Written, Until::Committed];
    for life in 0.. {
        let checkpoints =
            Checkpoints::open(store.clone(), &options.environment.pipeline, From::Checkpoint, "rehearsal")?;
        let lineage = checkpoints.lineage().to_owned();
        let keeps_letters = plan.graph.keeps_letters();
        let environment = Arc::new(Environment { lineage, keeps_letters, ..options.environment.clone() });
        let run = StepRun::in_environment(plan, options.batch_rows, &environment)?;
        let run = last.insert(run.with_checkpoints(plan, checkpoints)?);
        run.advance_clock(SystemClock.now())?;
        let pulls = 1 + life / SHORT_LIVES * 10;
        let mut more = true;
        for _ in 0..pulls {
            more = more && run.pull()?;
        }
        while more && !run.checkpoint(ends[life % ends.len()])? {
            more = run.pull()?;
        }
        if !more {
            // At the end no source stands in the middle of anything.
            run.checkpoint(Until::Told)?;
            print_log(run, options);
            return run.finish();
        }
        if ends[life % ends.len()] == Until::Told {
            // What is done after a checkpoint is as if it had never been.
            run.pull()?;
        }
        print_log(run, options);
    }
    Ok(())
}

fn print_log(run: &mut StepRun, options: &RunOptions) {
    for (label, level, text) in run.take_log() {
        (options.log)(&label, level, &text);
    }
}

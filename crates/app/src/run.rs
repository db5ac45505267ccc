//! Runs a plan on this machine.

use crate::checkpoints::{CheckpointOptions, DATA};
use crate::report::Summary;
use purlin_api::Environment;
use purlin_engine::channel::Bounds;
use purlin_engine::clock::SystemClock;
use purlin_engine::job::LogSink;
use purlin_engine::{Job, JobOptions, Live, Stop};
use purlin_plan::Plan;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Rows of a batch unless told otherwise: large enough for columns to pay, small enough for caches.
pub const BATCH_ROWS: usize = 8192;

/// How a job runs.
#[derive(Clone)]
pub struct RunOptions {
    /// Rows of a batch at most.
    pub batch_rows: usize,
    /// Threads.
    pub threads: usize,
    /// Where log lines go.
    pub log: LogSink,
    /// For pipelines that do not end by themselves.
    pub live: Live,
    /// What connectors are told; its lineage is that of the checkpoints.
    pub environment: Environment,
    /// For pipelines that do not end by themselves: where they keep what they need to go on.
    pub checkpoints: Option<CheckpointOptions>,
}

/// What connectors know of a run of a file. `pipeline` is what it is called: after its file, unless it was given a name.
pub fn environment(pipeline: &str, file: &str) -> Environment {
    Environment {
        pipeline: pipeline.to_owned(),
        file: file.to_owned(),
        run: purlin_connectors::dead_letters::letter::draw_name(),
        data: Some(DATA.into()),
        ..Environment::default()
    }
}

/// Builds a job from a plan.
///
/// # Errors
/// If a transform cannot be built, or the pipeline cannot go on from its checkpoints.
pub fn job(plan: &Plan, options: &RunOptions) -> purlin_api::Result<Job> {
    let keeps_letters = plan.graph.keeps_letters();
    let mut environment = Environment { keeps_letters, ..options.environment.clone() };
    let checkpoints = options.checkpoints.as_ref().filter(|_| plan.graph.is_live());
    let checkpoints = checkpoints.map(|c| c.open(&environment.pipeline)).transpose()?;
    if let Some(c) = &checkpoints {
        environment.lineage = c.lineage().to_owned();
    }
    let job = Job::new(
        plan,
        JobOptions {
            rows_max: options.batch_rows,
            bounds: Bounds::default(),
            threads: options.threads,
            clock: Arc::new(SystemClock),
            log: options.log.clone(),
            stall_after: Duration::from_secs(5),
            live: options.live.clone(),
            environment: Arc::new(environment),
        },
    )?;
    match checkpoints {
        Some(c) => job.with_checkpoints(c),
        None => Ok(job),
    }
}

/// Runs a job to its end and says what happened.
pub fn run(job: Job, plan: &Plan, name: &str) -> Summary {
    let started = clock_micros();
    let outcome = job.run();
    Summary::new(name, plan, outcome, clock_micros().saturating_sub(started))
}

/// What signals do to the job that runs. A process has one handler of them, and its jobs run one after another.
struct Signals {
    /// The last job, and whether it closes its windows.
    job: Option<(Stop, bool)>,
    heard: usize,
    has_handler: bool,
}

static SIGNALS: Mutex<Signals> = Mutex::new(Signals { job: None, heard: 0, has_handler: false });

impl Signals {
    fn lock() -> MutexGuard<'static, Signals> {
        SIGNALS.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The job takes the place of the last one, with the signals that came so far: they meant the process.
    fn follow(&mut self, stop: Stop, drains: bool) {
        self.job = Some((stop, drains));
        self.tell();
    }

    fn heard(&mut self) {
        self.heard += 1;
        self.tell();
    }

    fn tell(&self) {
        let Some((stop, drains)) = &self.job else { return };
        match self.heard {
            0 => {}
            1 if *drains => stop.drain(),
            1 => stop.stop(),
            _ => stop.halt(),
        }
    }
}

/// Stops a job when the user presses Ctrl-C or the process is told to end: in order the first time (closing its windows
/// if it `drains`), at once the second time. A pipeline that ends by itself is stopped at once.
pub fn stop_on_signal(stop: Stop, drains: bool) -> std::result::Result<(), String> {
    let mut signals = Signals::lock();
    signals.follow(stop, drains);
    if !signals.has_handler {
        ctrlc::set_handler(|| Signals::lock().heard())
            .map_err(|e| format!("cannot listen for signals: {e}"))?;
        signals.has_handler = true;
    }
    Ok(())
}

fn clock_micros() -> i64 {
    use purlin_engine::clock::Clock;
    SystemClock.now().0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{Pipeline, PipelineOptions};
    use purlin_engine::Ending;

    const ROWS: &str = "
pipeline:
  type: chain
  transforms:
    - {type: Create, config: {elements: [{a: 1}]}}
    - {type: LogForTesting}
";

    #[test]
    fn signals_stop_the_job_that_runs_and_those_after_it() {
        let options = PipelineOptions::default();
        let plan = Pipeline::from_text("p.yaml", ROWS, &options).plan(&options).unwrap();
        let options = RunOptions {
            batch_rows: BATCH_ROWS,
            threads: 1,
            log: Arc::new(|_, _, _| {}),
            live: Live::default(),
            environment: Environment::default(),
            checkpoints: None,
        };
        let mut signals = Signals { job: None, heard: 0, has_handler: true };
        let mut ending = |heard: bool| {
            let job = job(&plan, &options).unwrap();
            signals.follow(job.stop_handle(), false);
            if heard {
                signals.heard();
            }
            run(job, &plan, "p").ending
        };
        assert_eq!(ending(false), Ending::End);
        assert_eq!(ending(true), Ending::Halted);
        assert_eq!(ending(false), Ending::Halted);
    }
}

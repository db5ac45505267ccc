//! Keeps one pipeline running: plans it, runs it, starts it again, follows its files.

use super::apply;
use super::backoff::Backoff;
use super::files::Files;
use super::log;
use super::pipe::{Failure, Figures, Pipe, State};
use super::project::{Entry, Pubsub};
use super::resources::Needs;
use super::tally::Tallies;
use super::threads;
use crate::checkpoints::{CheckpointOptions, Place};
use crate::live::door::Door;
use crate::pipeline::{self, Pipeline, PipelineOptions};
use crate::report::Summary;
use crate::run::{self, RunOptions};
use purlin_api::{Delivery, Environment, Error, EventTime};
use purlin_engine::clock::{Clock, SystemClock};
use purlin_engine::{Ending, Job, Live, Stop};
use purlin_plan::Plan;
use purlin_pubsub::{Client, ClientOptions};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often files are looked at and rates are taken, in microseconds.
const LOOK_EVERY: i64 = 1_000_000;
/// How often a file that is refused is tried again though it did not change: what it reads may have come.
pub(crate) const TRY_REFUSED_EVERY: Duration = Duration::from_secs(30);
/// How long a pipeline may take to stop before it is said that it does, in microseconds.
const STOP_PATIENCE: i64 = 60_000_000;
/// How long a keeper waits for messages at most.
const WAIT_MAX: Duration = Duration::from_millis(250);
/// How many messages to a keeper may wait.
const MESSAGES_MAX: usize = 8;

/// What all keepers share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The data folder.
    pub(crate) data: PathBuf,
    /// Where checkpoints are, each pipeline's below by its name.
    pub(crate) checkpoints: Place,
    /// Where Pub/Sub is, as the project says.
    pub(crate) pubsub: Pubsub,
    /// Its address, if it is not as the usual variables say.
    pub(crate) address: Option<String>,
    /// The project of short names.
    pub(crate) project: Option<String>,
    /// Whether topics and subscriptions are made before a pipeline starts.
    pub(crate) applies: bool,
    /// How pipelines are loaded; variables of the project come on top.
    pub(crate) load: PipelineOptions,
    /// How often live pipelines commit, in processing time.
    pub(crate) commit_every: Duration,
    /// See [`TRY_REFUSED_EVERY`].
    pub(crate) try_refused_every: Duration,
    /// What pipelines have counted in this process.
    pub(crate) tallies: Tallies,
    /// How many signals to end have come.
    pub(crate) signals: Arc<AtomicUsize>,
    /// Runs a job to its end.
    pub(crate) run: fn(Job, &Plan, &str) -> Summary,
}

impl Shared {
    /// How a pipeline's file is loaded.
    pub(crate) fn pipeline_options(&self, entry: &Entry) -> PipelineOptions {
        let mut options = self.load.clone();
        let mut variables = entry.variables.clone();
        // The command line wins.
        variables.extend(std::mem::take(&mut options.variables));
        options.variables = variables;
        options.lanes = entry.lanes.unwrap_or(options.lanes);
        options
    }

    /// How a pipeline's job runs: everything that depends on the pipeline is decided here.
    fn run_options(&self, entry: &Entry, delivery: Delivery) -> RunOptions {
        let name = entry.name.clone();
        RunOptions {
            batch_rows: run::BATCH_ROWS,
            threads: self.pipeline_options(entry).lanes.max(crate::cli::args::cores()),
            log: Arc::new(move |transform, level, text| log::of_transform(&name, transform, level, text)),
            live: Live { epoch_every: self.commit_every, ..Live::default() },
            environment: Environment {
                pubsub: self.address.clone(),
                project: self.project.clone(),
                data: Some(self.data.clone()),
                delivery,
                ..run::environment(&entry.name, &entry.file)
            },
            checkpoints: Some(self.checkpoints(entry)),
        }
    }

    fn checkpoints(&self, entry: &Entry) -> CheckpointOptions {
        CheckpointOptions::of_pipeline(&self.checkpoints, &entry.name)
    }

    /// A client of the environment's Pub/Sub, and the project of short names there.
    pub(crate) fn client(&self) -> purlin_api::Result<(Client, Option<String>)> {
        let options = ClientOptions { host: self.address.clone(), token: None };
        let client = Client::new(&options).map_err(crate::cli::pubsub::ours)?;
        let project = client.project(self.project.as_deref());
        Ok((client, project))
    }

    /// Makes what pipelines need, if that is wanted.
    pub(crate) fn apply(&self, needs: &Needs, pipeline: Option<&str>) -> purlin_api::Result<()> {
        if !self.applies || needs.is_empty() {
            return Ok(());
        }
        let (client, project) = self.client()?;
        apply::make(&client, project.as_deref(), needs, |step| {
            tracing::info!(pipeline, "made {} {}", step.kind, step.name);
        })
    }

    /// Why a pipeline that uses Pub/Sub cannot run here.
    fn no_pubsub(&self, needs: &Needs) -> Option<String> {
        let nowhere = self.pubsub == Pubsub::Variable && super::project::emulator().is_none();
        (nowhere && !needs.is_empty()).then(|| {
            "it uses Pub/Sub, and there is none in this environment: the project says `broker: false`, and \
             PUBSUB_EMULATOR_HOST is not set; take the broker, set the variable, or write `environment: gcp`"
                .to_owned()
        })
    }
}

/// What a keeper is told.
enum Message {
    /// Its job has ended; `Err` has what it panicked with.
    Ended(Box<Result<Summary, String>>),
    /// Stop in order, and end.
    Stop,
}

/// A keeper at work.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) entry: Entry,
    pub(crate) pipe: Arc<Pipe>,
    messages: SyncSender<Message>,
    thread: JoinHandle<()>,
}

impl Kept {
    /// Tells it to stop its pipeline in order.
    pub(crate) fn stop(&self) {
        // One that has ended needs no telling.
        let _ended = self.messages.send(Message::Stop);
    }

    /// Waits until it has ended.
    pub(crate) fn join(self) {
        if let Err(e) = self.thread.join() {
            tracing::error!(pipeline = self.entry.name, "its keeper broke down: {}", said(&*e));
        }
    }
}

/// A file that was found good.
struct Prepared {
    text: String,
    plan: Arc<Plan>,
    needs: Needs,
    delivery: Delivery,
}

/// A run of the present version.
struct Run {
    stop: Stop,
    began: EventTime,
    thread: JoinHandle<()>,
    halted: bool,
    /// When it is said (again) that it does not stop; set once it is told to.
    overdue_at: Option<EventTime>,
    /// For `purlin why`.
    door: Option<Door>,
}

impl Run {
    /// Asks it to come to an end in order.
    fn end(&mut self, now: EventTime) {
        self.overdue_at.get_or_insert(now.plus(STOP_PATIENCE));
        self.stop.stop();
    }
}

struct Keeper {
    entry: Entry,
    shared: Arc<Shared>,
    pipe: Arc<Pipe>,
    messages: Receiver<Message>,
    to_self: SyncSender<Message>,
    files: Files,
    /// The text of the last version that was good.
    good: Option<String>,
    /// What is started as soon as nothing runs.
    next: Option<Prepared>,
    run: Option<Run>,
    backoff: Backoff,
    start_at: Option<EventTime>,
    look_at: EventTime,
    stopping: bool,
}

/// Starts a keeper.
///
/// # Errors
/// If the system gives no more threads.
pub(crate) fn start(entry: Entry, shared: Arc<Shared>) -> std::io::Result<Kept> {
    let now = SystemClock.now();
    let pipe = Arc::new(Pipe::new(&entry.name, &entry.file, now, shared.tallies.of(&entry.name)));
    let (to_self, messages) = sync_channel(MESSAGES_MAX);
    let kept_pipe = pipe.clone();
    let mut keeper = Keeper {
        entry: entry.clone(),
        shared,
        pipe: pipe.clone(),
        messages,
        to_self: to_self.clone(),
        files: Files::default(),
        good: None,
        next: None,
        run: None,
        backoff: Backoff::new(),
        start_at: None,
        look_at: now.plus(LOOK_EVERY),
        stopping: false,
    };
    let thread = threads::start(&format!("keep-{}", entry.name), move || {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| keeper.keep())) {
            let text = format!("the keeper of the pipeline broke down: {}", said(&*panic));
            tracing::error!(pipeline = keeper.entry.name, "{text}");
            let at = SystemClock.now();
            kept_pipe.enter(State::Failed, at);
            kept_pipe.change(|l| l.last_error = Some(Failure { text, at }));
            if let Some(run) = &keeper.run {
                run.stop.stop();
            }
        }
    })?;
    Ok(Kept { entry, pipe, messages: to_self, thread })
}

/// The text of a panic.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a text")
}

impl Keeper {
    fn keep(&mut self) {
        self.follow();
        loop {
            match self.messages.recv_timeout(WAIT_MAX) {
                Ok(Message::Ended(end)) => self.ended(*end),
                Ok(Message::Stop) => self.stop(),
                Err(RecvTimeoutError::Timeout) => {}
                // Not while we have a sender ourselves.
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.halt_if_told();
            if self.stopping && self.run.is_none() {
                return;
            }
            self.tick(SystemClock.now());
        }
    }

    fn tick(&mut self, now: EventTime) {
        if now >= self.look_at {
            self.look_at = now.plus(LOOK_EVERY);
            self.pipe.sample(now);
            self.say_if_overdue(now);
            if !self.stopping && self.files.changed() {
                self.follow();
            }
        }
        if !self.stopping && self.start_at.is_some_and(|at| now >= at) {
            self.start_at = None;
            match self.run {
                None => self.start_again(),
                Some(_) => self.follow(),
            }
        }
    }

    fn stop(&mut self) {
        self.stopping = true;
        self.next = None;
        let now = SystemClock.now();
        match &mut self.run {
            Some(run) => {
                self.pipe.enter(State::Stopping, now);
                run.end(now);
            }
            None if self.pipe.look().state == State::Finished => {}
            None => self.pipe.enter(State::Stopped, now),
        }
    }

    fn say_if_overdue(&mut self, now: EventTime) {
        let Some(run) = self.run.as_mut().filter(|r| r.overdue_at.is_some_and(|at| now >= at)) else {
            return;
        };
        run.overdue_at = Some(now.plus(STOP_PATIENCE));
        tracing::warn!(
            pipeline = self.entry.name,
            "was told to stop and still works off what it has read; `purlin why {}` says what it waits for, a second \
             signal stops everything at once",
            self.entry.name
        );
    }

    /// The second signal stops at once.
    fn halt_if_told(&mut self) {
        let told = self.shared.signals.load(Ordering::SeqCst) > 1;
        if let Some(run) = self.run.as_mut().filter(|r| told && !r.halted) {
            run.halted = true;
            run.stop.halt();
        }
    }

    /// Takes up the file as it is now.
    fn follow(&mut self) {
        match self.prepare(None) {
            Ok(prepared) => {
                self.pipe.change(|l| l.refused = None);
                self.backoff = Backoff::new();
                self.start_at = None;
                let now = SystemClock.now();
                match &mut self.run {
                    Some(run) => {
                        tracing::info!(
                            pipeline = self.entry.name,
                            "its file changed: stopping the old version"
                        );
                        self.next = Some(prepared);
                        self.pipe.enter(State::Switching, now);
                        run.end(now);
                    }
                    None => self.launch(prepared),
                }
            }
            Err(text) => self.refuse(text),
        }
    }

    fn refuse(&mut self, text: String) {
        let now = SystemClock.now();
        let goes_on = self.run.is_some() || self.good.is_some();
        if self.pipe.look().refused.is_none_or(|r| r.text != text) {
            let note = if goes_on { "; the version before it stays" } else { "" };
            tracing::error!(pipeline = self.entry.name, "its file is refused{note}:\n{text}");
        }
        self.pipe.change(|l| l.refused = Some(Failure { text, at: now }));
        if !goes_on {
            self.pipe.enter(State::Refused, now);
        }
        if !goes_on || self.run.is_some() {
            // What it was refused for may pass.
            self.start_at = Some(now.plus(self.shared.try_refused_every.as_micros() as i64));
        }
    }

    /// Plans the file, or a text that it had; answers why it is refused.
    fn prepare(&mut self, text: Option<String>) -> Result<Prepared, String> {
        let file = self.entry.file.clone();
        let options = self.shared.pipeline_options(&self.entry);
        // Before the text is read: what changes while it is planned is seen the next time.
        self.files.follow([PathBuf::from(&file)]);
        let text = text.map_or_else(|| pipeline::read(&file), Ok).map_err(|e| e.to_string())?;
        let planned = catch_unwind(AssertUnwindSafe(|| {
            let mut p = Pipeline::from_text(&file, &text, &options);
            let plan = p.plan(&options);
            (p, plan)
        }));
        let (p, plan) = planned.map_err(|e| format!("planning it broke down: {}", said(&*e)))?;
        let included = (0..).map_while(|i| p.sources.get(i)).map(|f| PathBuf::from(&f.name));
        self.files.follow(included.chain([PathBuf::from(&file)]));
        let said = p.diagnostics.render(&p.sources);
        let (Some(plan), Some(spec)) = (plan, &p.spec) else { return Err(said) };
        if !said.is_empty() {
            tracing::warn!(pipeline = self.entry.name, "{said}");
        }
        let mut needs = Needs::default();
        needs.add(&file, spec);
        if let Some(why) = self.shared.no_pubsub(&needs) {
            return Err(why);
        }
        let kept = self.shared.checkpoints(&self.entry).look(&self.entry.name).map_err(|e| e.to_string())?;
        if let Some(fit) = kept.and_then(|c| c.fit(&plan.graph)).filter(|f| !f.is_good()) {
            return Err(format!(
                "state of its last checkpoint would be lost:\n{}give transforms their old names and settings back; or, \
                 to begin without that state, move {} away",
                fit.to_text(),
                self.shared.checkpoints(&self.entry).place
            ));
        }
        Ok(Prepared { text, plan: Arc::new(plan), needs, delivery: p.delivery() })
    }

    /// Starts once more: the file as it is, or, if that is refused, the last version that was good.
    fn start_again(&mut self) {
        let first = match self.prepare(None) {
            Ok(prepared) => {
                self.pipe.change(|l| l.refused = None);
                return self.launch(prepared);
            }
            Err(text) => text,
        };
        self.refuse(first);
        if let Some(text) = self.good.clone() {
            match self.prepare(Some(text)) {
                Ok(prepared) => {
                    self.launch(prepared);
                    let now = SystemClock.now();
                    self.start_at.get_or_insert(now.plus(self.shared.try_refused_every.as_micros() as i64));
                }
                Err(text) => self.fail(text, SystemClock.now()),
            }
        }
    }

    fn launch(&mut self, prepared: Prepared) {
        let now = SystemClock.now();
        self.good = Some(prepared.text.clone());
        match self.try_launch(prepared, now) {
            Ok(()) => tracing::info!(pipeline = self.entry.name, "running {}", self.entry.file),
            Err(e) => self.fail(e.to_string(), now),
        }
    }

    fn try_launch(&mut self, prepared: Prepared, now: EventTime) -> purlin_api::Result<()> {
        self.shared.apply(&prepared.needs, Some(&self.entry.name))?;
        let plan = prepared.plan;
        let job = run::job(&plan, &self.shared.run_options(&self.entry, prepared.delivery))?;
        let watcher = job.watcher();
        let (plan_of, stats) = (plan.clone(), job.stats());
        let checkpoints = job.checkpoints();
        if let Some(status) = &checkpoints {
            let beginning = self.shared.checkpoints(&self.entry).beginning(status.view());
            tracing::info!(pipeline = self.entry.name, "{beginning}");
        }
        let counting = self.pipe.tally.begin(checkpoints.is_none());
        let figures = Figures { plan: plan_of, stats, watcher: watcher.clone(), checkpoints, counting };
        let stop = job.stop_handle();
        let door = watcher.and_then(|w| {
            let door = Door::open(&self.shared.data.join("run"), &self.entry.name, &plan, w);
            door.inspect_err(|e| tracing::warn!(pipeline = self.entry.name, "{e}")).ok()
        });
        let (name, to_keeper, run) = (self.entry.name.clone(), self.to_self.clone(), self.shared.run);
        self.pipe.begin(figures, now);
        let thread = threads::start(&format!("run-{name}"), move || {
            let ended = catch_unwind(AssertUnwindSafe(|| run(job, &plan, &name)));
            let ended = ended.map_err(|e| format!("it broke down: {}", said(&*e)));
            // A keeper that broke down hears nothing more.
            let _told = to_keeper.send(Message::Ended(Box::new(ended)));
        })
        .map_err(|e| Error::new(purlin_api::ErrorKind::Exhausted, format!("cannot start a thread: {e}")))?;
        self.run = Some(Run { stop, began: now, thread, halted: false, overdue_at: None, door });
        Ok(())
    }

    fn ended(&mut self, end: Result<Summary, String>) {
        let now = SystemClock.now();
        let Some(Run { began, thread, door, .. }) = self.run.take() else { return };
        // Before the next one opens at the same place.
        drop(door);
        if thread.join().is_err() {
            tracing::error!(pipeline = self.entry.name, "the thread of its job broke down");
        }
        self.pipe.sample(now);
        self.pipe.settle();
        let name = self.entry.name.as_str();
        let failure = match &end {
            Err(text) => Some(text.clone()),
            Ok(summary) => summary.error.as_ref().map(|e| match crate::report::help_for(e) {
                Some(help) => format!("{e} (help: {help})"),
                None => e.to_string(),
            }),
        };
        if let Ok(summary) = &end {
            tracing::info!(pipeline = name, "{}", summary.to_line());
        }
        let finished = end.as_ref().is_ok_and(|s| s.ending == Ending::End);
        match (failure, self.next.take()) {
            (failure, _) if self.stopping => {
                self.note_failure(failure, now);
                self.pipe.enter(State::Stopped, now);
            }
            (failure, Some(next)) => {
                self.note_failure(failure, now);
                self.launch(next);
            }
            (Some(text), None) => self.fail_after(text, began, now),
            (None, None) if finished => self.pipe.enter(State::Finished, now),
            (None, None) => self.pipe.enter(State::Stopped, now),
        }
    }

    fn note_failure(&self, failure: Option<String>, at: EventTime) {
        if let Some(text) = failure {
            tracing::error!(pipeline = self.entry.name, "failed: {text}");
            self.pipe.change(|l| l.last_error = Some(Failure { text, at }));
        }
    }

    fn fail(&mut self, text: String, now: EventTime) {
        self.fail_after(text, now, now);
    }

    /// Notes why a run failed and when it is started again.
    fn fail_after(&mut self, text: String, began: EventTime, now: EventTime) {
        let again = self.backoff.after(began, now);
        let seconds = again.0.saturating_sub(now.0) / 1_000_000;
        tracing::error!(pipeline = self.entry.name, "failed, starts again in {seconds} s: {text}");
        self.pipe.enter(State::Failed, now);
        self.pipe.change(|l| {
            l.restarts += 1;
            l.last_error = Some(Failure { text, at: now });
            l.next_start = Some(again);
        });
        self.start_at = Some(again);
    }
}

#[cfg(test)]
mod tests;

//! A whole job on many threads: a task for every lane of every stage.

mod complete;
mod duties;
mod outside;
mod sources;
mod supervise;
mod task;

use crate::channel::{Bounds, Inbox};
use crate::checkpoint::{Checkpoints, Loaded, Status};
use crate::clock::Clock;
use crate::commit::Role;
use crate::stats::NodeStats;
use crate::stop::{Ending, Live, Stop};
use crate::why::{Board, Watcher};
use crate::wiring::{self, LaneParts};
use bytes::Bytes;
pub use complete::complete;
use duties::{Duties, LastRites};
use purlin_api::operator::LogLevel;
use purlin_api::{Environment, Error, ErrorKind, Result};
use purlin_plan::{Graph, Plan};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Duration;
use supervise::{Epochs, Supervised, supervise};
use task::Task;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Takes what transforms log: label, level, text.
pub type LogSink = Arc<dyn Fn(&str, LogLevel, &str) + Send + Sync>;

/// The stack of a stage's thread, in bytes: twice what an operator asks for that may recurse deeply. With less it would
/// map a stack of its own for each batch, and unmapping it stops the other threads. The system gives pages only as they
/// are touched.
const STACK_BYTES: usize = 16 << 20;

/// How a job runs.
#[derive(Clone)]
pub struct JobOptions {
    /// Rows a batch has at most.
    pub rows_max: usize,
    /// The bounds of each queue between stages.
    pub bounds: Bounds,
    /// Threads for stages.
    pub threads: usize,
    /// Processing time.
    pub clock: Arc<dyn Clock>,
    /// Where log lines go.
    pub log: LogSink,
    /// After how long without any movement, with every lane waiting, the job counts as stalled.
    pub stall_after: Duration,
    /// For jobs that do not end by themselves.
    pub live: Live,
    /// What connectors know of the job.
    pub environment: Arc<Environment>,
}

/// A job that is wired and ready to run.
pub struct Job {
    lanes: Vec<LaneParts>,
    stats: Vec<Arc<NodeStats>>,
    options: JobOptions,
    stop: Stop,
    /// Set if the job does not end by itself.
    graph: Option<Graph>,
    watcher: Watcher,
    checkpoints: Option<Loaded>,
    on_prepared: Option<OnPrepared>,
}

/// What a sink answered when it was asked to prepare.
#[derive(Clone, Debug)]
pub struct PreparedSink {
    /// The label of its transform.
    pub label: String,
    /// Its lane.
    pub lane: usize,
    /// Its answer.
    pub prepared: Bytes,
}

/// Is told what the sinks of a job that ends have prepared, before any of it can be seen. When it returns, all of it
/// must be safe: from then on the job can be completed by [`complete`], and is not taken back.
pub type OnPrepared = Box<dyn FnOnce(Vec<PreparedSink>) -> Result<()> + Send>;

/// How a job ended.
#[derive(Debug)]
pub struct Outcome {
    /// Whether it ran to its end.
    pub result: Result<()>,
    /// Why it ended.
    pub ending: Ending,
    /// Figures by node of the plan's graph.
    pub stats: Vec<Arc<NodeStats>>,
    /// What the sinks made, such as paths of files.
    pub made: Vec<String>,
    /// The epoch of its last checkpoint, if it has checkpoints: what it goes on from.
    pub checkpoint: Option<u64>,
}

impl Job {
    /// Builds every transform of a plan.
    pub fn new(plan: &Plan, options: JobOptions) -> Result<Self> {
        let wiring = wiring::wire(plan, options.rows_max, &options.environment)?;
        let graph = plan.graph.is_live().then(|| plan.graph.clone());
        let watcher = Watcher {
            looks: Arc::new(watch::channel(0).0),
            board: Arc::new(Board::new(wiring.lanes.iter().map(|l| l.nodes.clone()))),
            began: options.clock.now(),
        };
        let stop = Stop::new(graph.is_some());
        let (lanes, stats) = (wiring.lanes, wiring.stats);
        Ok(Job { lanes, stats, options, stop, graph, watcher, checkpoints: None, on_prepared: None })
    }

    /// Goes on from a pipeline's checkpoints, and writes more. Jobs that end by themselves have none: they are run
    /// again.
    ///
    /// # Errors
    /// If the last checkpoint does not fit the pipeline, or cannot be read.
    pub fn with_checkpoints(mut self, checkpoints: Checkpoints) -> Result<Self> {
        let Some(graph) = &self.graph else { return Ok(self) };
        let loaded = checkpoints.load(graph)?;
        for (node, stats) in graph.nodes.iter().zip(&self.stats) {
            if let Some(saved) = loaded.image.node(&node.label) {
                stats.start_at(&saved.counts);
            }
        }
        self.checkpoints = Some(loaded);
        Ok(self)
    }

    /// Makes everything that it will show one effect: all sinks prepare, then this is called, then they commit. Only
    /// for jobs that end by themselves.
    pub fn on_prepared(&mut self, told: OnPrepared) {
        self.on_prepared = Some(told);
    }

    /// Live figures by node.
    pub fn stats(&self) -> Vec<Arc<NodeStats>> {
        self.stats.clone()
    }

    /// A handle that stops it.
    pub fn stop_handle(&self) -> Stop {
        self.stop.clone()
    }

    /// Looks at it while it runs, if it does not end by itself.
    pub fn watcher(&self) -> Option<Watcher> {
        self.is_live().then(|| self.watcher.clone())
    }

    /// How its checkpoints stand, if it has some.
    pub fn checkpoints(&self) -> Option<Arc<Status>> {
        self.checkpoints.as_ref().map(|c| c.status.clone())
    }

    /// True if it does not end by itself: some source of it is unbounded.
    pub fn is_live(&self) -> bool {
        self.graph.is_some()
    }

    /// Runs to the end, on threads of its own.
    pub fn run(self) -> Outcome {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.options.threads.max(1))
            .thread_name("purlin-stage")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build();
        match runtime {
            Ok(runtime) => runtime.block_on(self.run_async()),
            Err(e) => Outcome {
                result: Err(Error::new(ErrorKind::Exhausted, format!("cannot start threads: {e}"))),
                ending: Ending::End,
                stats: self.stats,
                made: Vec::new(),
                checkpoint: None,
            },
        }
    }

    /// Runs to the end on the present runtime.
    pub async fn run_async(self) -> Outcome {
        let Job { lanes, stats, options, stop, graph, watcher, checkpoints, on_prepared } = self;
        let inboxes: BTreeMap<(usize, usize), Arc<Inbox>> =
            lanes.iter().map(|l| ((l.stage, l.lane), Inbox::new(l.inlets.len(), options.bounds))).collect();
        let shared = Arc::new(Shared {
            inboxes,
            options,
            moves: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            live: AtomicUsize::new(lanes.len()),
            restoring: watch::channel(lanes.len()).0,
            board: graph.is_some().then(|| watcher.board.clone()),
        });
        let roles = lanes.iter().map(|l| Role { sources: !l.sources.is_empty(), sinks: !l.sinks.is_empty() });
        let mut epochs = graph.map(|g| Epochs::new(&g, roles.collect(), &shared, &stats, (&stop, &watcher)));
        let mut image = None;
        let status = checkpoints.as_ref().map(|c| c.status.clone());
        if let (Some(epochs), Some(loaded)) = (&mut epochs, checkpoints) {
            image = Some(Arc::new(epochs.save(loaded)));
        }
        let mut tasks = JoinSet::new();
        for (index, mut lane) in lanes.into_iter().enumerate() {
            let duties =
                epochs.as_ref().map(|e| Duties::new(index, e.orders(), e.reports(), image.is_some()));
            if duties.is_some() {
                lane.core.start_epochs(1);
            }
            tasks.spawn(Task::new(shared.clone(), index, stop.halted(), duties, image.clone()).drive(lane));
        }
        let saves = image.take().is_some();
        let supervised = supervise(&shared, &mut tasks, &stop, epochs.as_mut()).await;
        let outcome = end(supervised, stats, saves, on_prepared).await;
        Outcome { checkpoint: status.map(|s| s.view().epoch), ..outcome }
    }
}

/// Shows what is to be shown, and lets go of the sources.
async fn end(
    supervised: Supervised,
    stats: Vec<Arc<NodeStats>>,
    saves: bool,
    on_prepared: Option<OnPrepared>,
) -> Outcome {
    let Supervised { mut rites, failure, ending, last_epoch } = supervised;
    let mut made = Vec::new();
    let mut result = match (failure, &ending) {
        (Some(e), _) => Err(e),
        // Rows may have been anywhere.
        (None, Ending::Halted) => Ok(()),
        (None, _) => crate::ledger::check_edges(&stats),
    };
    let mut is_decided = false;
    if let (true, Ending::End, Some(told)) = (result.is_ok(), &ending, on_prepared) {
        result = duties::prepare_all(&mut rites).await.and_then(told);
        is_decided = result.is_ok();
    }
    if result.is_ok() && ending != Ending::Halted {
        let finishes = matches!(ending, Ending::End | Ending::Drained(_));
        for rite in &mut rites {
            result = rite.sinks(finishes).await;
            if result.is_err() {
                break;
            }
        }
        rites.iter().for_each(|r| made.extend(r.made()));
        let last_epoch = last_epoch.filter(|_| finishes);
        for rite in rites.iter_mut().filter(|_| result.is_ok()) {
            if let Err(e) = rite.sources(last_epoch).await {
                result = Err(e);
                break;
            }
        }
    }
    let is_over = matches!(ending, Ending::End | Ending::Drained(_));
    // What is open is in the last checkpoint; what is decided is shown by who completes it.
    if !saves && !is_decided && (result.is_err() || !is_over) {
        rites.iter_mut().for_each(LastRites::abort);
    }
    Outcome { result, ending, stats, made, checkpoint: None }
}

struct Shared {
    inboxes: BTreeMap<(usize, usize), Arc<Inbox>>,
    options: JobOptions,
    /// Messages worked off: anything that counts as progress.
    moves: AtomicU64,
    /// Lanes that wait for another lane.
    waiting: AtomicUsize,
    /// Lanes that have not ended.
    live: AtomicUsize,
    /// Lanes that are not yet as they were at the checkpoint.
    restoring: watch::Sender<usize>,
    /// Where lanes of live jobs say how they stand.
    board: Option<Arc<Board>>,
}

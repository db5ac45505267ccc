//! How things stand in a running job: watermarks, who holds them, what lanes are busy with.
//!
//! Nothing is collected until somebody looks: then every lane says how it stands as soon as it is between two
//! messages. Of a lane that is busy, what it is busy with is known instead.

use crate::stop::Left;
use purlin_api::EventTime;
use purlin_plan::NodeId;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// One input of a transform, in one lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputView {
    /// Where it comes from.
    pub from: NodeId,
    /// What it promises.
    pub watermark: EventTime,
    /// Whether it holds time.
    pub state: InputState,
    /// Since when, in processing time, this is so.
    pub since: EventTime,
}

/// Whether an input holds time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputState {
    /// It does.
    Live,
    /// It has nothing for now: it does not.
    Idle,
    /// Nothing more comes of it.
    Ended,
}

/// A hold on a transform's output watermark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldView {
    /// The watermark may reach, and not pass, this.
    pub at: EventTime,
    /// Who holds it.
    pub owner: String,
    /// How often.
    pub count: usize,
}

/// One transform in one lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// The node of the plan's graph.
    pub node: NodeId,
    /// Which lane.
    pub lane: usize,
    /// The merged watermark of its inputs; for a source, its own.
    pub input_watermark: EventTime,
    /// What it told downstream.
    pub output_watermark: EventTime,
    /// Since when, in processing time, it told nothing new.
    pub output_since: EventTime,
    /// It told downstream that it has nothing for now.
    pub is_idle: bool,
    /// It has ended.
    pub has_ended: bool,
    /// Its inputs.
    pub inputs: Vec<InputView>,
    /// What holds its output watermark, earliest first: at most [`HOLDS_MAX`].
    pub holds: Vec<HoldView>,
    /// Rows in state.
    pub rows_in_state: u64,
    /// The first epoch with rows in state.
    pub kept_since: Option<u64>,
    /// Its next timer in processing time.
    pub timer: Option<EventTime>,
}

/// How many holds are told of a transform.
pub const HOLDS_MAX: usize = 5;

/// What a lane is busy with, if it is not between two messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// Nothing that takes long.
    No,
    /// It waits for room in the inbox of a stage.
    Sending {
        /// The stage.
        to_stage: usize,
        /// Since when, in processing time.
        since: EventTime,
    },
    /// It waits for a sink.
    Writing {
        /// The sink.
        node: NodeId,
        /// Since when, in processing time.
        since: EventTime,
    },
}

/// One lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneView {
    /// The transforms it runs.
    pub nodes: Vec<NodeId>,
    /// What it is busy with.
    pub busy: Busy,
    /// How its transforms stood when it was last looked at it.
    pub views: Vec<NodeView>,
    /// True if `views` are of this look, false if they are older.
    pub is_fresh: bool,
    /// It has ended.
    pub has_ended: bool,
}

/// A running job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobView {
    /// When this was, in processing time.
    pub now: EventTime,
    /// When the job began.
    pub began: EventTime,
    /// Epochs and acknowledgements.
    pub left: Left,
    /// All lanes.
    pub lanes: Vec<LaneView>,
}

/// Where lanes write how they stand.
#[derive(Debug)]
pub(crate) struct Board {
    lanes: Vec<Notice>,
    left: Mutex<Left>,
}

#[derive(Debug)]
struct Notice {
    nodes: Vec<NodeId>,
    /// 0: not busy; then stages from 1 and, negative, nodes from -1.
    busy: AtomicI64,
    since: AtomicI64,
    /// Of which look the views are; `u64::MAX` once it has ended.
    look: AtomicU64,
    views: Mutex<Vec<NodeView>>,
}

const ENDED: u64 = u64::MAX;

impl Board {
    pub(crate) fn new(lanes: impl Iterator<Item = Vec<NodeId>>) -> Self {
        let notice = |nodes| Notice {
            nodes,
            busy: AtomicI64::new(0),
            since: AtomicI64::new(0),
            look: AtomicU64::new(0),
            views: Mutex::default(),
        };
        Board { lanes: lanes.map(notice).collect(), left: Mutex::default() }
    }

    pub(crate) fn put(&self, lane: usize, look: u64, views: Vec<NodeView>) {
        if let Some(notice) = self.lanes.get(lane) {
            *notice.views.lock().unwrap_or_else(PoisonError::into_inner) = views;
            notice.look.store(look, Ordering::Release);
        }
    }

    pub(crate) fn ended(&self, lane: usize) {
        if let Some(notice) = self.lanes.get(lane) {
            notice.look.store(ENDED, Ordering::Release);
        }
    }

    pub(crate) fn put_left(&self, left: Left) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = left;
    }

    pub(crate) fn busy(&self, lane: usize, busy: Busy) {
        let Some(notice) = self.lanes.get(lane) else { return };
        let (code, since) = match busy {
            Busy::No => (0, EventTime(0)),
            Busy::Sending { to_stage, since } => (to_stage as i64 + 1, since),
            Busy::Writing { node, since } => (-(node as i64) - 1, since),
        };
        notice.since.store(since.0, Ordering::Relaxed);
        notice.busy.store(code, Ordering::Relaxed);
    }

    fn is_fresh(&self, look: u64) -> bool {
        self.lanes.iter().all(|l| l.look.load(Ordering::Acquire) >= look)
    }

    fn lanes(&self, look: u64) -> Vec<LaneView> {
        let lanes = self.lanes.iter().map(|l| {
            let since = EventTime(l.since.load(Ordering::Relaxed));
            let at = l.look.load(Ordering::Acquire);
            LaneView {
                nodes: l.nodes.clone(),
                busy: match l.busy.load(Ordering::Relaxed) {
                    0 => Busy::No,
                    stage if stage > 0 => Busy::Sending { to_stage: stage as usize - 1, since },
                    node => Busy::Writing { node: (-node) as usize - 1, since },
                },
                views: l.views.lock().unwrap_or_else(PoisonError::into_inner).clone(),
                is_fresh: at >= look,
                has_ended: at == ENDED,
            }
        });
        lanes.collect()
    }
}

/// Looks at a running job from outside. Copies look at the same one.
#[derive(Clone, Debug)]
pub struct Watcher {
    pub(crate) looks: Arc<watch::Sender<u64>>,
    pub(crate) board: Arc<Board>,
    pub(crate) began: EventTime,
}

/// A look that lanes are answering.
#[derive(Debug)]
pub struct Look(u64);

impl Watcher {
    /// Asks all lanes how they stand.
    pub fn ask(&self) -> Look {
        let mut look = 0;
        self.looks.send_modify(|l| {
            *l += 1;
            look = *l;
        });
        Look(look)
    }

    /// True if all lanes have answered. Some may not for as long as they are busy.
    pub fn is_answered(&self, look: &Look) -> bool {
        self.board.is_fresh(look.0)
    }

    /// How things stand, as far as it is known.
    pub fn view(&self, look: &Look, now: EventTime) -> JobView {
        let left = *self.board.left.lock().unwrap_or_else(PoisonError::into_inner);
        JobView { now, began: self.began, left, lanes: self.board.lanes(look.0) }
    }
}

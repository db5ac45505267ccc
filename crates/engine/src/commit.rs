//! The course of an epoch through all lanes: pure.
//!
//! ```text
//!  begin(e) --> every lane has shown the barrier, its sinks have prepared
//!           --> the checkpoint is safe, in jobs that have them
//!           --> commit(e): every lane with sinks has committed
//!           --> tell(a): every lane with sources has acknowledged what nothing depends on any more
//!           --> the next epoch may begin
//! ```
//!
//! A lane that has ended counts as having done everything: what it had prepared is committed with the job's end.

use crate::checkpoint::LanePart;
use crate::epoch::{Ages, Oldest, Unacknowledged};
use std::collections::BTreeSet;

/// What lanes are to do. Numbers only grow; a lane does what it has not done yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Orders {
    /// Sources give the barriers of all epochs up to this one.
    pub(crate) barrier: u64,
    /// Sinks commit what they prepared for epochs up to this one.
    pub(crate) commit: u64,
    /// Counts what sources are told.
    pub(crate) tell: u64,
    /// What sources are told: all up to this epoch is committed.
    pub(crate) acknowledged: u64,
    /// Whether sources are read.
    pub(crate) reading: Reading,
    /// The number of the last request to say how things stand.
    pub(crate) look: u64,
}

/// Whether sources are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reading {
    /// They are.
    #[default]
    On,
    /// No more: the lanes wait for the last epoch.
    Off,
    /// No more: inputs end, so that all windows close.
    Ended,
}

/// What a lane says.
#[derive(Debug)]
pub(crate) enum Report {
    /// It has shown the barrier of this epoch everywhere.
    Passed {
        lane: usize,
        epoch: u64,
        /// Rows its sources gave in the epoch.
        read: u64,
        /// What its transforms keep.
        kept: Oldest,
    },
    /// Its sinks have committed the epoch.
    Committed { lane: usize, epoch: u64 },
    /// Its sources have acknowledged.
    Told { lane: usize, tell: u64 },
    /// What it keeps at the barrier that it passes next: in jobs with checkpoints.
    Part(Box<LanePart>),
    /// Everything in it has ended; it waits for the last epoch. In jobs with checkpoints.
    Done,
}

/// What a lane has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Role {
    pub(crate) sources: bool,
    pub(crate) sinks: bool,
}

#[derive(Debug)]
enum Stage {
    Between,
    Passing {
        left: BTreeSet<usize>,
        read: u64,
        kept: Oldest,
    },
    /// The checkpoint is being written.
    Saving {
        read: u64,
    },
    Committing {
        left: BTreeSet<usize>,
        read: u64,
        needed: Option<u64>,
    },
    Telling {
        left: BTreeSet<usize>,
    },
}

/// Leads all lanes through one epoch after the other.
#[derive(Debug)]
pub(crate) struct Committer {
    /// `None` for lanes that have ended.
    lanes: Vec<Option<Role>>,
    stage: Stage,
    orders: Orders,
    ages: Ages,
    unacknowledged: Unacknowledged,
    /// Checkpoints keep all state: nothing that is committed has to come again.
    saves: bool,
    /// With checkpoints lanes end only with the job, or when it fails: nothing is saved or committed after that.
    over: bool,
}

impl Committer {
    pub(crate) fn new(lanes: Vec<Role>, ages: Ages, unacknowledged_rows_max: u64) -> Self {
        Committer {
            lanes: lanes.into_iter().map(Some).collect(),
            stage: Stage::Between,
            orders: Orders::default(),
            ages,
            unacknowledged: Unacknowledged::new(unacknowledged_rows_max),
            saves: false,
            over: false,
        }
    }

    /// From now on with checkpoints, after this epoch. No epoch may have begun.
    pub(crate) fn save_after(&mut self, epoch: u64) {
        self.saves = true;
        self.orders = Orders { barrier: epoch, commit: epoch, acknowledged: epoch, ..self.orders };
    }

    /// The epoch whose checkpoint is to be written now.
    pub(crate) fn to_save(&self) -> Option<u64> {
        (matches!(self.stage, Stage::Saving { .. }) && !self.over).then_some(self.orders.barrier)
    }

    /// That checkpoint is safe.
    pub(crate) fn saved(&mut self) {
        if let Stage::Saving { read } = self.stage
            && !self.over
        {
            self.orders.commit = self.orders.barrier;
            let left = self.lanes_with(|r| r.sinks);
            self.stage = Stage::Committing { left, read, needed: None };
            self.go_on();
        }
    }

    /// What lanes are to do now.
    pub(crate) fn orders(&self) -> Orders {
        self.orders
    }

    /// True if no epoch is under way.
    pub(crate) fn is_between(&self) -> bool {
        matches!(self.stage, Stage::Between)
    }

    /// The last epoch that began.
    pub(crate) fn epoch(&self) -> u64 {
        self.orders.barrier
    }

    /// Rows read that wait to be acknowledged, and the first epoch that does.
    pub(crate) fn waiting(&self) -> (u64, Option<u64>) {
        self.unacknowledged.waiting()
    }

    /// Rows that were acknowledged although windows with them were still open.
    pub(crate) fn early_rows(&self) -> u64 {
        self.unacknowledged.early_rows
    }

    /// Begins an epoch, if none is under way.
    pub(crate) fn begin(&mut self) {
        if !self.is_between() || self.over {
            return;
        }
        self.orders.barrier += 1;
        self.stage = Stage::Passing { left: self.lanes_with(|_| true), read: 0, kept: Oldest::new() };
        self.go_on();
    }

    /// Sources are not read any more.
    pub(crate) fn stop_reading(&mut self, how: Reading) {
        self.orders.reading = how;
    }

    /// Asks all lanes how things stand, with this number.
    pub(crate) fn look(&mut self, number: u64) {
        self.orders.look = number;
    }

    /// Takes in what a lane says.
    pub(crate) fn report(&mut self, report: Report) {
        let now = self.orders;
        match (&mut self.stage, report) {
            (Stage::Passing { left, read, kept }, Report::Passed { lane, epoch, read: more, kept: also })
                if epoch == now.barrier =>
            {
                left.remove(&lane);
                *read += more;
                for (node, oldest) in also {
                    kept.entry(node).and_modify(|o| *o = (*o).min(oldest)).or_insert(oldest);
                }
            }
            (Stage::Committing { left, .. }, Report::Committed { lane, epoch }) if epoch == now.commit => {
                left.remove(&lane);
            }
            (Stage::Telling { left }, Report::Told { lane, tell }) if tell == now.tell => {
                left.remove(&lane);
            }
            // Of a lane that counted as ended meanwhile, or not for here.
            _ => {}
        }
        self.go_on();
    }

    /// A lane has ended.
    pub(crate) fn lane_ended(&mut self, lane: usize) {
        if let Some(role) = self.lanes.get_mut(lane) {
            *role = None;
        }
        if self.saves {
            // What it kept is not there: an epoch without it would lose that.
            self.over = true;
            return;
        }
        match &mut self.stage {
            Stage::Between | Stage::Saving { .. } => {}
            Stage::Passing { left, .. } | Stage::Committing { left, .. } | Stage::Telling { left } => {
                left.remove(&lane);
            }
        }
        self.go_on();
    }

    fn go_on(&mut self) {
        loop {
            let epoch = self.orders.barrier;
            self.stage = match std::mem::replace(&mut self.stage, Stage::Between) {
                Stage::Passing { left, read, .. } if left.is_empty() && self.saves => Stage::Saving { read },
                Stage::Passing { left, read, kept } if left.is_empty() => {
                    let needed = self.ages.barrier(epoch, &kept);
                    self.orders.commit = epoch;
                    Stage::Committing { left: self.lanes_with(|r| r.sinks), read, needed }
                }
                Stage::Committing { left, read, needed } if left.is_empty() => {
                    self.orders.acknowledged = self.unacknowledged.commit(epoch, read, needed);
                    self.orders.tell += 1;
                    Stage::Telling { left: self.lanes_with(|r| r.sources) }
                }
                Stage::Telling { left } if left.is_empty() => Stage::Between,
                waits => {
                    self.stage = waits;
                    return;
                }
            };
        }
    }

    fn lanes_with(&self, has: impl Fn(&Role) -> bool) -> BTreeSet<usize> {
        let lanes = self.lanes.iter().enumerate();
        lanes.filter(|(_, r)| r.as_ref().is_some_and(&has)).map(|(i, _)| i).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use purlin_plan::Graph;

    fn committer() -> Committer {
        let source = Role { sources: true, sinks: false };
        let sink = Role { sources: false, sinks: true };
        Committer::new(vec![source, Role::default(), sink], Ages::new(&Graph::default()), 100)
    }

    fn passed(lane: usize, epoch: u64) -> Report {
        Report::Passed { lane, epoch, read: 5, kept: Oldest::new() }
    }

    #[test]
    fn nothing_is_committed_before_all_have_prepared_nor_told_before_all_have_committed() {
        let mut c = committer();
        c.begin();
        assert_eq!((c.orders().barrier, c.orders().commit), (1, 0));
        c.report(passed(0, 1));
        c.report(passed(2, 1));
        c.begin();
        assert_eq!((c.epoch(), c.orders().commit), (1, 0), "one epoch at a time, and lane 1 is not through");
        c.report(passed(1, 1));
        assert_eq!((c.orders().commit, c.orders().acknowledged), (1, 0));
        c.report(Report::Committed { lane: 2, epoch: 1 });
        assert_eq!((c.orders().tell, c.orders().acknowledged), (1, 1));
        assert!(!c.is_between());
        c.report(Report::Told { lane: 0, tell: 1 });
        assert!(c.is_between() && c.waiting() == (0, None));
    }

    #[test]
    fn a_checkpoint_without_a_lane_that_failed_is_never_written() {
        let saving = || {
            let mut c = committer();
            c.save_after(6);
            c
        };
        let mut c = saving();
        c.begin();
        (0..3).for_each(|lane| c.report(passed(lane, 7)));
        assert_eq!((c.to_save(), c.orders().commit), (Some(7), 6), "nothing is committed before it is safe");
        c.saved();
        assert_eq!((c.to_save(), c.orders().commit), (None, 7));

        let mut c = saving();
        c.begin();
        c.report(passed(0, 7));
        c.lane_ended(2);
        c.report(passed(1, 7));
        c.lane_ended(0);
        c.lane_ended(1);
        assert_eq!((c.to_save(), c.orders().commit), (None, 6));
        let mut c = saving();
        c.begin();
        (0..3).for_each(|lane| c.report(passed(lane, 7)));
        c.lane_ended(2);
        c.saved();
        assert_eq!(
            (c.to_save(), c.orders().commit),
            (None, 6),
            "it is there, and commits when the job goes on"
        );
    }

    #[test]
    fn lanes_that_end_hold_nothing_up() {
        let mut c = committer();
        c.begin();
        c.report(passed(0, 1));
        c.report(passed(1, 1));
        c.lane_ended(2);
        assert_eq!((c.orders().commit, c.orders().tell), (1, 1), "no sink is left to commit");
        c.lane_ended(0);
        assert!(c.is_between());
        c.lane_ended(1);
        c.begin();
        assert!(c.is_between() && c.epoch() == 2, "nobody is left");
    }
}

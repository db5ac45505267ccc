//! What everybody may see of a pipeline: its state, why it failed, its figures.

use super::tally::{Counting, Series, Tally};
use purlin_api::{EventTime, Fates};
use purlin_engine::checkpoint::Status;
use purlin_engine::{NodeStats, Watcher};
use purlin_plan::Plan;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

/// Over how many looks rates are taken; there is one a second.
const SAMPLES_MAX: usize = 6;

/// How a pipeline stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is being planned for the first time.
    Starting,
    /// It runs.
    Running,
    /// Its old version is being stopped, because its file changed.
    Switching,
    /// It failed, and will be started again.
    Failed,
    /// Its file is refused; it is tried again when it changes.
    Refused,
    /// It read all there was.
    Finished,
    /// It is being stopped with everything else.
    Stopping,
    /// It has been stopped.
    Stopped,
}

impl State {
    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Running => "running",
            State::Switching => "switching",
            State::Failed => "failed",
            State::Refused => "refused",
            State::Finished => "finished",
            State::Stopping => "stopping",
            State::Stopped => "stopped",
        }
    }

    /// True if it does, or did, what it is there for.
    pub fn is_ready(self) -> bool {
        matches!(self, State::Running | State::Finished)
    }

    /// All of them.
    pub const ALL: [State; 8] = [
        State::Starting,
        State::Running,
        State::Switching,
        State::Failed,
        State::Refused,
        State::Finished,
        State::Stopping,
        State::Stopped,
    ];
}

/// Why something did not work, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The error as text.
    pub text: String,
    /// When, in processing time.
    pub at: EventTime,
}

/// The figures of a run.
#[derive(Clone, Debug)]
pub struct Figures {
    /// What runs.
    pub plan: Arc<Plan>,
    /// By node of the plan's graph.
    pub stats: Vec<Arc<NodeStats>>,
    /// Looks at it, if it does not end by itself.
    pub watcher: Option<Watcher>,
    /// How its checkpoints stand, if it has some.
    pub checkpoints: Option<Arc<Status>>,
    /// Which of the pipeline's runs it is.
    pub counting: Counting,
}

/// Rows a second of one transform.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate {
    /// Given to it; for a source, read by it.
    pub rows_in: f64,
    /// Given by it.
    pub rows_out: f64,
}

/// A pipeline at one moment.
#[derive(Clone, Debug)]
pub struct Look {
    /// How it stands.
    pub state: State,
    /// Since when, in processing time.
    pub since: EventTime,
    /// How often it has been started again after a failure.
    pub restarts: u64,
    /// When it will be started again.
    pub next_start: Option<EventTime>,
    /// Why it failed the last time.
    pub last_error: Option<Failure>,
    /// Why its file, as it is now, is refused. An older version may be running.
    pub refused: Option<Failure>,
    /// The figures of the present run, or of the last.
    pub figures: Option<Figures>,
    /// Rates by node, over the last seconds.
    pub rates: Vec<Rate>,
}

impl Look {
    /// True if there is nothing to look after.
    pub fn is_well(&self) -> bool {
        self.state.is_ready() && self.refused.is_none()
    }
}

type Sample = (EventTime, Vec<(u64, u64)>);

#[derive(Debug)]
struct Inner {
    look: Look,
    samples: VecDeque<Sample>,
}

/// A pipeline of `purlin up`. Its keeper writes, others read.
#[derive(Debug)]
pub struct Pipe {
    /// What it goes by.
    pub name: String,
    /// Its file.
    pub file: String,
    /// What all its runs have counted.
    pub(crate) tally: Arc<Tally>,
    /// This pipeline among those that had its name.
    counting: Counting,
    inner: Mutex<Inner>,
}

impl Pipe {
    /// One that starts now.
    pub(crate) fn new(name: &str, file: &str, now: EventTime, tally: Arc<Tally>) -> Self {
        let look = Look {
            state: State::Starting,
            since: now,
            restarts: 0,
            next_start: None,
            last_error: None,
            refused: None,
            figures: None,
            rates: Vec::new(),
        };
        let inner = Mutex::new(Inner { look, samples: VecDeque::new() });
        let counting = tally.begin(true);
        Pipe { name: name.to_owned(), file: file.to_owned(), tally, counting, inner }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How it stands.
    pub fn look(&self) -> Look {
        self.with(|i| i.look.clone())
    }

    pub(crate) fn change(&self, f: impl FnOnce(&mut Look)) {
        self.with(|i| f(&mut i.look));
    }

    pub(crate) fn enter(&self, state: State, now: EventTime) {
        self.change(|l| {
            if l.state != state {
                (l.state, l.since) = (state, now);
            }
            l.next_start = None;
        });
    }

    /// A new run has begun.
    pub(crate) fn begin(&self, figures: Figures, now: EventTime) {
        self.with(|i| {
            i.look.figures = Some(figures);
            i.look.rates.clear();
            i.samples.clear();
            (i.look.state, i.look.since, i.look.next_start) = (State::Running, now, None);
        });
    }

    /// What all runs have counted, with the one that is looked at. These never fall.
    pub fn counters(&self, look: &Look) -> BTreeMap<Series, u64> {
        let mut all = self.tally.tell(self.counting, [(Series::Restarts, look.restarts)].into());
        let Some(figures) = &look.figures else { return all };
        let mut counted: BTreeMap<Series, u64> = [(Series::Read, look.totals().read)].into();
        let mut count = |series, rows| *counted.entry(series).or_default() += rows;
        for t in crate::report::transforms(&figures.plan, &figures.stats) {
            let f = t.fates;
            let fates = [("passed", f.passed), ("filtered", f.filtered), ("late", f.late), ("dead", f.dead)];
            fates.into_iter().for_each(|(fate, rows)| count(Series::Rows(t.label.clone(), fate), rows));
            t.rows_out.into_iter().for_each(|(output, n)| count(Series::Output(t.label.clone(), output), n));
        }
        all.append(&mut self.tally.tell(figures.counting, counted));
        all
    }

    /// The run has ended: what it counted is kept.
    pub(crate) fn settle(&self) {
        self.counters(&self.look());
    }

    /// Notes how far the run is, for the rates.
    pub(crate) fn sample(&self, now: EventTime) {
        self.with(|Inner { look, samples }| {
            let Some(figures) = &look.figures else { return };
            let counts = figures.stats.iter().map(|s| (s.rows_in(), s.rows_out())).collect();
            samples.push_back((now, counts));
            if samples.len() > SAMPLES_MAX {
                samples.pop_front();
            }
            look.rates = rates(samples);
        });
    }
}

fn rates(samples: &VecDeque<Sample>) -> Vec<Rate> {
    let (Some((then, before)), Some((now, after))) = (samples.front(), samples.back()) else {
        return Vec::new();
    };
    let seconds = now.0.saturating_sub(then.0) as f64 / 1e6;
    let rate = |b: u64, a: u64| if seconds > 0.0 { a.saturating_sub(b) as f64 / seconds } else { 0.0 };
    before
        .iter()
        .zip(after)
        .map(|(b, a)| Rate { rows_in: rate(b.0, a.0), rows_out: rate(b.1, a.1) })
        .collect()
}

/// Sums over a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Units read by sources.
    pub read: u64,
    /// Units read a second.
    pub rows_per_second: f64,
    /// What became of rows; `passed` are those that came to an end of the pipeline.
    pub fates: Fates,
    /// The earliest watermark at the ends of the pipeline; `None` before the first, and at the end of time.
    pub watermark: Option<EventTime>,
}

impl Look {
    /// The sums of the present run, or of the last.
    pub fn totals(&self) -> Totals {
        let Some(figures) = &self.figures else { return Totals::default() };
        let transforms = crate::report::transforms(&figures.plan, &figures.stats);
        let fates = crate::report::ledger(&transforms);
        let mut totals = Totals { fates, ..Totals::default() };
        let mut watermark = EventTime::MAX;
        for (i, (t, s)) in transforms.iter().zip(&figures.stats).enumerate() {
            if t.is_source {
                totals.read += t.rows_in;
                totals.rows_per_second += self.rates.get(i).map_or(0.0, |r| r.rows_in);
            }
            if t.is_end {
                watermark = watermark.min(EventTime(s.watermark.load(Ordering::Relaxed)));
            }
        }
        totals.watermark = Some(watermark).filter(|t| is_within(*t));
        totals
    }
}

/// True for times that are not the ends of time.
pub fn is_within(t: EventTime) -> bool {
    t > EventTime::MIN && t < EventTime::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_taken_over_the_samples() {
        let sample = |s: i64, n: u64| (EventTime::from_seconds(s), vec![(n, 2 * n)]);
        let samples: VecDeque<Sample> = [sample(1, 100), sample(2, 140), sample(5, 500)].into();
        assert_eq!(rates(&samples), [Rate { rows_in: 100.0, rows_out: 200.0 }]);
        assert_eq!(rates(&[sample(1, 7)].into()), [Rate::default()]);
        assert!(rates(&VecDeque::new()).is_empty());
    }
}

//! Triggers as state machines: when a pane of one window of one key is due.
//!
//! A [`TriggerMachine`] is made once from an [`api::Trigger`](purlin_api::Trigger) and shared by all
//! windows; what differs per (key, window) is a [`TriggerState`]: a few numbers, none at all for the
//! default trigger. The semantics are those of Beam's model, as its Python SDK has them, with these
//! mended: a processing-time delay that has passed still counts when something else asks (so
//! `after_all` can complete later), a reset takes its timer along (no pane for a timer of an older
//! round), `after_any` finishes when its processing-time member does, and a merge that moves the end
//! of a window ahead of the watermark puts `after_watermark` back before its on-time pane.

use purlin_api::time::{EventTime, Micros};
use purlin_api::trigger::Trigger;

#[cfg(test)]
mod tests;

/// No deadline is set: the value of a delay's slot at rest.
const UNSET: i64 = i64::MAX;

/// What a trigger may look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The input watermark.
    pub watermark: EventTime,
    /// The end of the window: see [`Window::end`](purlin_api::Window::end).
    pub window_end: EventTime,
    /// Processing time.
    pub now: EventTime,
}

impl Moment {
    fn past_end(&self) -> bool {
        self.watermark >= self.window_end
    }
}

/// What a trigger remembers of one window of one key. Made by [`TriggerMachine::start`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TriggerState(Box<[i64]>);

impl TriggerState {
    /// What it is made of, for being stored.
    pub fn numbers(&self) -> &[i64] {
        &self.0
    }

    /// The state that was made of these numbers. Those of another trigger give a state that makes no sense, and
    /// does no harm.
    pub fn from_numbers(numbers: &[i64]) -> Self {
        TriggerState(numbers.into())
    }
}

/// A trigger, ready to run.
#[derive(Clone, Debug)]
pub struct TriggerMachine {
    root: Node,
    /// The slots of a fresh window.
    fresh: Box<[i64]>,
    /// Some part of it is about processing time.
    clock: bool,
}

/// One trigger with the places of its slots in the state.
#[derive(Clone, Debug)]
enum Node {
    Default,
    /// `flag` is 1 once the on-time pane fired.
    Watermark {
        flag: usize,
        early: Option<Box<Node>>,
        late: Option<Box<Node>>,
    },
    /// `due` is the deadline or [`UNSET`].
    Delay {
        due: usize,
        delay: Micros,
    },
    /// `seen` counts rows.
    Count {
        seen: usize,
        rows: i64,
    },
    Repeatedly(Box<Node>),
    Any(Vec<Node>),
    /// `done + i` is 1 once member `i` has finished.
    All {
        done: usize,
        members: Vec<Node>,
    },
    /// `turn` is the member that is running.
    Each {
        turn: usize,
        members: Vec<Node>,
    },
}

impl TriggerMachine {
    /// Prepares a trigger. `early` and `late` of `after_watermark` repeat, as in Beam.
    pub fn new(trigger: &Trigger) -> Self {
        let mut fresh = Vec::new();
        let root = Node::new(trigger, &mut fresh);
        let clock = fresh.contains(&UNSET);
        TriggerMachine { root, fresh: fresh.into(), clock }
    }

    /// The state of a window without rows.
    pub fn start(&self) -> TriggerState {
        TriggerState(self.fresh.clone())
    }

    /// A row came into the window.
    pub fn on_row(&self, state: &mut TriggerState, at: &Moment) {
        self.root.on_row(&mut state.0, at);
    }

    /// Takes up the state of a window that is merged into this one. Commutative and associative; call
    /// [`TriggerMachine::on_window`] once all are in.
    pub fn on_merge(&self, into: &mut TriggerState, from: &TriggerState) {
        self.root.on_merge(&mut into.0, &from.0);
    }

    /// The window has become another one (`at.window_end` is its new end).
    pub fn on_window(&self, state: &mut TriggerState, at: &Moment) {
        self.root.on_window(&mut state.0, &self.fresh, at);
    }

    /// True if a pane is due. Asking changes nothing.
    pub fn should_fire(&self, state: &TriggerState, at: &Moment) -> bool {
        self.root.should_fire(&state.0, at)
    }

    /// A pane fired, because [`TriggerMachine::should_fire`] said so. True if it was the last: the
    /// trigger has finished, and the window closes.
    #[must_use]
    pub fn on_fire(&self, state: &mut TriggerState, at: &Moment) -> bool {
        self.root.on_fire(&mut state.0, &self.fresh, at)
    }

    /// The earliest processing time after `now` at which the answer may change without a row.
    pub fn next_timer(&self, state: &TriggerState, now: EventTime) -> Option<EventTime> {
        self.root.next_timer(&state.0, now)
    }

    /// False if processing time makes no difference: [`TriggerMachine::next_timer`] has no answer ever.
    pub fn uses_clock(&self) -> bool {
        self.clock
    }

    /// True if there is a pane at the end of every window that ever had a row, be it empty.
    pub fn has_on_time_pane(&self) -> bool {
        self.root.has_on_time_pane()
    }
}

impl Node {
    fn new(trigger: &Trigger, fresh: &mut Vec<i64>) -> Node {
        fn slot(fresh: &mut Vec<i64>, value: i64) -> usize {
            fresh.push(value);
            fresh.len() - 1
        }
        fn repeat(t: &Trigger, fresh: &mut Vec<i64>) -> Box<Node> {
            Box::new(Node::Repeatedly(Box::new(Node::new(t, fresh))))
        }
        match trigger {
            Trigger::Default => Node::Default,
            Trigger::AfterWatermark { early, late } => Node::Watermark {
                flag: slot(fresh, 0),
                early: early.as_ref().map(|t| repeat(t, fresh)),
                late: late.as_ref().map(|t| repeat(t, fresh)),
            },
            Trigger::AfterProcessingTime(delay) => Node::Delay { due: slot(fresh, UNSET), delay: *delay },
            Trigger::AfterCount(rows) => {
                // At least one row: Beam refuses 0.
                Node::Count { seen: slot(fresh, 0), rows: i64::try_from(*rows).unwrap_or(i64::MAX).max(1) }
            }
            Trigger::Repeatedly(t) => Node::Repeatedly(Box::new(Node::new(t, fresh))),
            Trigger::AfterAny(l) => Node::Any(l.iter().map(|t| Node::new(t, fresh)).collect()),
            Trigger::AfterAll(l) => {
                let done = fresh.len();
                fresh.extend(l.iter().map(|_| 0));
                Node::All { done, members: l.iter().map(|t| Node::new(t, fresh)).collect() }
            }
            Trigger::AfterEach(l) => {
                let turn = slot(fresh, 0);
                Node::Each { turn, members: l.iter().map(|t| Node::new(t, fresh)).collect() }
            }
        }
    }

    fn on_row(&self, s: &mut [i64], at: &Moment) {
        match self {
            Node::Default => {}
            Node::Watermark { flag, early, late } => {
                let part = if get(s, *flag) != 0 { late } else { early };
                if let Some(part) = part {
                    part.on_row(s, at);
                }
            }
            Node::Delay { due, delay } => {
                if get(s, *due) == UNSET {
                    // Kept below UNSET: a clock at the end of time must not look like no deadline.
                    set(s, *due, at.now.plus(*delay).0);
                }
            }
            Node::Count { seen, .. } => set(s, *seen, get(s, *seen).saturating_add(1)),
            Node::Repeatedly(t) => t.on_row(s, at),
            Node::Any(members) | Node::All { members, .. } => members.iter().for_each(|t| t.on_row(s, at)),
            Node::Each { turn, members } => {
                if let Some(t) = current(s, *turn, members) {
                    t.on_row(s, at);
                }
            }
        }
    }

    fn should_fire(&self, s: &[i64], at: &Moment) -> bool {
        match self {
            Node::Default => at.past_end(),
            Node::Watermark { flag, early, late } => {
                if get(s, *flag) != 0 {
                    late.as_ref().is_some_and(|t| t.should_fire(s, at))
                } else {
                    at.past_end() || early.as_ref().is_some_and(|t| t.should_fire(s, at))
                }
            }
            Node::Delay { due, .. } => {
                let due = get(s, *due);
                due != UNSET && due <= at.now.0
            }
            Node::Count { seen, rows } => get(s, *seen) >= *rows,
            Node::Repeatedly(t) => t.should_fire(s, at),
            Node::Any(members) => members.iter().any(|t| t.should_fire(s, at)),
            Node::All { done, members } => {
                members.iter().enumerate().all(|(i, t)| get(s, done + i) != 0 || t.should_fire(s, at))
            }
            Node::Each { turn, members } => current(s, *turn, members).is_some_and(|t| t.should_fire(s, at)),
        }
    }

    fn on_fire(&self, s: &mut [i64], fresh: &[i64], at: &Moment) -> bool {
        match self {
            Node::Default => false,
            Node::Watermark { flag, early, late } => {
                if get(s, *flag) != 0 {
                    late.as_ref().is_none_or(|t| t.on_fire(s, fresh, at))
                } else if at.past_end() {
                    set(s, *flag, 1);
                    if let Some(t) = early {
                        t.reset(s, fresh);
                    }
                    late.is_none()
                } else {
                    early.as_ref().is_some_and(|t| t.on_fire(s, fresh, at))
                }
            }
            Node::Delay { .. } | Node::Count { .. } => true,
            Node::Repeatedly(t) => {
                if t.on_fire(s, fresh, at) {
                    t.reset(s, fresh);
                }
                false
            }
            Node::Any(members) => {
                // Members after one that finishes need no call: the whole has finished with it.
                members.iter().any(|t| t.should_fire(s, at) && t.on_fire(s, fresh, at))
            }
            Node::All { done, members } => {
                for (i, t) in members.iter().enumerate() {
                    if get(s, done + i) == 0 && t.on_fire(s, fresh, at) {
                        set(s, done + i, 1);
                    }
                }
                (0..members.len()).all(|i| get(s, done + i) != 0)
            }
            Node::Each { turn, members } => match current(s, *turn, members) {
                None => true,
                Some(t) => {
                    if t.on_fire(s, fresh, at) {
                        set(s, *turn, get(s, *turn).saturating_add(1));
                    }
                    current(s, *turn, members).is_none()
                }
            },
        }
    }

    fn on_merge(&self, into: &mut [i64], from: &[i64]) {
        let join =
            |into: &mut [i64], i: usize, f: fn(i64, i64) -> i64| set(into, i, f(get(into, i), get(from, i)));
        match self {
            Node::Default => {}
            Node::Watermark { flag, early, late } => {
                join(into, *flag, i64::max);
                early.iter().chain(late).for_each(|t| t.on_merge(into, from));
            }
            Node::Delay { due, .. } => join(into, *due, i64::min),
            Node::Count { seen, .. } => join(into, *seen, i64::saturating_add),
            Node::Repeatedly(t) => t.on_merge(into, from),
            Node::Any(members) => members.iter().for_each(|t| t.on_merge(into, from)),
            Node::All { done, members } => {
                for (i, t) in members.iter().enumerate() {
                    join(into, done + i, i64::max);
                    t.on_merge(into, from);
                }
            }
            Node::Each { turn, members } => {
                // The furthest wins; members behind it no longer matter, those ahead are fresh.
                join(into, *turn, i64::max);
                members.iter().for_each(|t| t.on_merge(into, from));
            }
        }
    }

    fn on_window(&self, s: &mut [i64], fresh: &[i64], at: &Moment) {
        match self {
            Node::Default | Node::Delay { .. } | Node::Count { .. } => {}
            Node::Watermark { flag, early, late } => {
                // The end has moved ahead of the watermark: the on-time pane is still to come.
                if get(s, *flag) != 0 && !at.past_end() {
                    set(s, *flag, 0);
                    if let Some(t) = late {
                        t.reset(s, fresh);
                    }
                }
                early.iter().chain(late).for_each(|t| t.on_window(s, fresh, at));
            }
            Node::Repeatedly(t) => t.on_window(s, fresh, at),
            Node::Any(members) | Node::All { members, .. } => {
                members.iter().for_each(|t| t.on_window(s, fresh, at));
            }
            Node::Each { turn, members } => {
                if let Some(t) = current(s, *turn, members) {
                    t.on_window(s, fresh, at);
                }
            }
        }
    }

    fn reset(&self, s: &mut [i64], fresh: &[i64]) {
        let clear = |s: &mut [i64], i: usize| set(s, i, get(fresh, i));
        match self {
            Node::Default => {}
            Node::Watermark { flag, early, late } => {
                clear(s, *flag);
                early.iter().chain(late).for_each(|t| t.reset(s, fresh));
            }
            Node::Delay { due, .. } => clear(s, *due),
            Node::Count { seen, .. } => clear(s, *seen),
            Node::Repeatedly(t) => t.reset(s, fresh),
            Node::Any(members) => members.iter().for_each(|t| t.reset(s, fresh)),
            Node::All { done, members } => {
                (0..members.len()).for_each(|i| clear(s, done + i));
                members.iter().for_each(|t| t.reset(s, fresh));
            }
            Node::Each { turn, members } => {
                clear(s, *turn);
                members.iter().for_each(|t| t.reset(s, fresh));
            }
        }
    }

    fn next_timer(&self, s: &[i64], now: EventTime) -> Option<EventTime> {
        match self {
            Node::Default | Node::Count { .. } => None,
            Node::Watermark { flag, early, late } => {
                let part = if get(s, *flag) != 0 { late } else { early };
                part.as_ref().and_then(|t| t.next_timer(s, now))
            }
            Node::Delay { due, .. } => {
                Some(get(s, *due)).filter(|due| *due != UNSET && *due > now.0).map(EventTime)
            }
            Node::Repeatedly(t) => t.next_timer(s, now),
            Node::Any(members) => members.iter().filter_map(|t| t.next_timer(s, now)).min(),
            Node::All { done, members } => {
                let open = members.iter().enumerate().filter(|(i, _)| get(s, done + i) == 0);
                open.filter_map(|(_, t)| t.next_timer(s, now)).min()
            }
            Node::Each { turn, members } => current(s, *turn, members).and_then(|t| t.next_timer(s, now)),
        }
    }

    fn has_on_time_pane(&self) -> bool {
        match self {
            Node::Default | Node::Watermark { .. } => true,
            Node::Delay { .. } | Node::Count { .. } => false,
            Node::Repeatedly(t) => t.has_on_time_pane(),
            Node::Any(members) | Node::All { members, .. } | Node::Each { members, .. } => {
                members.iter().any(Node::has_on_time_pane)
            }
        }
    }
}

/// The member whose turn it is; `None` when all have finished.
fn current<'a>(s: &[i64], turn: usize, members: &'a [Node]) -> Option<&'a Node> {
    usize::try_from(get(s, turn)).ok().and_then(|i| members.get(i))
}

// A state belongs to the machine that made it, so its slots exist; a foreign one reads as zeros.
fn get(s: &[i64], i: usize) -> i64 {
    s.get(i).copied().unwrap_or(0)
}

fn set(s: &mut [i64], i: usize, value: i64) {
    if let Some(v) = s.get_mut(i) {
        *v = value;
    }
}

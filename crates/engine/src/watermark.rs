//! The watermark algebra: pure, and the only place that merges watermarks.
//!
//! `input = max(input, min over live inputs)`; `output = max(output, min(input, least hold))`.
//! An idle input does not count; an ended one, or one that promises the end of time, counts as the end of time, and
//! does not drag idle ones there.
//!
//! Inputs that come from the lanes of one transform are a *group*: an idle one of them counts as long as another is live.
//! Lanes share what they read, so one that says how far time has come may know that from rows which another one, idle
//! until now, has still on their way.

use purlin_api::EventTime;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Live,
    Idle,
    Ended,
}

/// Merges the watermarks of several inputs.
#[derive(Clone, Debug)]
pub struct WatermarkMerge {
    slots: Vec<(EventTime, State)>,
    /// The group of each input, counted from 0.
    groups: Vec<usize>,
    /// Which groups have a live input.
    is_live: Vec<bool>,
    current: EventTime,
}

impl WatermarkMerge {
    /// With this many inputs, all at the start of time, each from another transform.
    pub fn new(slots: usize) -> Self {
        Self::grouped((0..slots).collect())
    }

    /// With an input for each of these groups, counted from 0, all at the start of time.
    pub fn grouped(groups: Vec<usize>) -> Self {
        WatermarkMerge {
            slots: vec![(EventTime::MIN, State::Live); groups.len()],
            is_live: vec![false; groups.iter().max().map_or(0, |g| g + 1)],
            groups,
            current: EventTime::MIN,
        }
    }

    /// The merged watermark.
    pub fn current(&self) -> EventTime {
        self.current
    }

    /// Goes on from what was merged before; the inputs say again where they are.
    pub(crate) fn start_at(&mut self, current: EventTime) {
        self.current = self.current.max(current);
    }

    /// A watermark of one input. Answers the merged watermark if it grew.
    pub fn advance(&mut self, slot: usize, to: EventTime) -> Option<EventTime> {
        let (at, state) = self.slots.get_mut(slot)?;
        if *state == State::Idle {
            *state = State::Live;
        }
        *at = (*at).max(to);
        self.merge()
    }

    /// Rows came: the input is not idle any more.
    pub fn touch(&mut self, slot: usize) {
        if let Some((_, state @ State::Idle)) = self.slots.get_mut(slot) {
            *state = State::Live;
        }
    }

    /// The input has nothing for now.
    pub fn idle(&mut self, slot: usize) -> Option<EventTime> {
        if let Some((_, state @ State::Live)) = self.slots.get_mut(slot) {
            *state = State::Idle;
        }
        self.merge()
    }

    /// The input has ended.
    pub fn end(&mut self, slot: usize) -> Option<EventTime> {
        let (at, state) = self.slots.get_mut(slot)?;
        *at = EventTime::MAX;
        *state = State::Ended;
        self.merge()
    }

    /// True if every input is idle or ended, and not all have ended.
    pub fn all_idle(&self) -> bool {
        !self.all_ended() && self.slots.iter().all(|(_, s)| *s != State::Live)
    }

    /// True if every input has ended.
    pub fn all_ended(&self) -> bool {
        self.slots.iter().all(|(_, s)| *s == State::Ended)
    }

    /// How an input stands.
    pub fn input(&self, slot: usize) -> Option<(EventTime, crate::why::InputState)> {
        use crate::why::InputState;
        let (at, state) = self.slots.get(slot)?;
        let state = match state {
            State::Live => InputState::Live,
            State::Idle => InputState::Idle,
            State::Ended => InputState::Ended,
        };
        Some((*at, state))
    }

    /// The inputs that hold the merged watermark where it is: those with the least watermark of the live ones, and of idle
    /// ones beside a live one of their group.
    pub fn held_by(&self) -> impl Iterator<Item = (usize, EventTime)> + '_ {
        let counts = |state: State, group: usize| match state {
            State::Live => true,
            State::Idle => self.is_live.get(group).is_some_and(|any| *any),
            State::Ended => false,
        };
        let slots = self.slots.iter().zip(&self.groups).enumerate();
        let counting: Vec<(usize, EventTime)> =
            slots.filter(|(_, ((_, s), g))| counts(*s, **g)).map(|(i, ((t, _), _))| (i, *t)).collect();
        let least = counting.iter().map(|(_, t)| *t).min();
        counting.into_iter().filter(move |(_, t)| Some(*t) == least)
    }

    /// The least of the inputs that count: the live ones, and idle ones beside a live one of their group.
    fn waiting(&mut self) -> Option<EventTime> {
        let is_live = |(t, s): &(EventTime, State)| *s == State::Live && *t < EventTime::MAX;
        self.is_live.fill(false);
        for (slot, group) in self.slots.iter().zip(&self.groups) {
            if let Some(any) = self.is_live.get_mut(*group) {
                *any |= is_live(slot);
            }
        }
        let counts = |slot: &(EventTime, State), group: usize| {
            let beside = slot.1 == State::Idle && self.is_live.get(group).is_some_and(|any| *any);
            is_live(slot) || beside
        };
        self.slots.iter().zip(&self.groups).filter(|(s, g)| counts(s, **g)).map(|((t, _), _)| *t).min()
    }

    fn merge(&mut self) -> Option<EventTime> {
        let waiting = self.waiting();
        // With no live input left the idle ones decide: time must not jump past what they promised.
        let least = waiting
            .or_else(|| self.slots.iter().filter(|(_, s)| *s == State::Idle).map(|(t, _)| *t).max())
            .unwrap_or(EventTime::MAX);
        if least > self.current {
            self.current = least;
            return Some(least);
        }
        None
    }
}

/// What may be told downstream, given the input watermark and the least hold.
pub fn output_watermark(input: EventTime, hold: Option<EventTime>) -> EventTime {
    hold.map_or(input, |h| h.min(input))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(s: i64) -> EventTime {
        EventTime::from_seconds(s)
    }

    #[test]
    fn the_least_live_input_decides_and_time_never_goes_back() {
        let mut m = WatermarkMerge::new(2);
        assert_eq!(m.advance(0, t(10)), None);
        assert_eq!(m.advance(1, t(5)), Some(t(5)));
        assert_eq!(m.advance(1, t(3)), None);
        assert_eq!(m.advance(1, t(20)), Some(t(10)));
        assert_eq!(m.held_by().collect::<Vec<_>>(), [(0, t(10))]);
    }

    #[test]
    fn idle_and_ended_inputs_do_not_hold() {
        let mut m = WatermarkMerge::new(3);
        assert_eq!(m.advance(0, t(10)), None);
        assert_eq!(m.idle(1), None);
        assert!(!m.all_idle());
        assert_eq!(m.end(2), Some(t(10)));
        assert_eq!(m.idle(0), None);
        assert!(m.all_idle());
        assert_eq!(m.advance(1, t(4)), None, "a late starter does not pull time back");
        assert_eq!(m.end(0), None);
        assert_eq!(m.end(1), Some(EventTime::MAX));
        assert!(m.all_ended());
    }

    #[test]
    fn an_idle_lane_holds_beside_a_live_one_of_the_same_transform() {
        let mut m = WatermarkMerge::grouped(vec![0, 0, 1]);
        for slot in 0..3 {
            m.advance(slot, t(10));
            m.idle(slot);
        }
        assert_eq!(m.current(), t(10));
        // Lane 0 knows of rows that lane 1 has still to give.
        assert_eq!(m.advance(0, t(50)), None);
        assert_eq!(m.held_by().collect::<Vec<_>>(), [(1, t(10))]);
        m.touch(1);
        assert_eq!(m.advance(1, t(50)), Some(t(50)), "the other transform is idle");
        assert_eq!(m.idle(1), None);
        assert_eq!(m.advance(0, t(60)), None);
        assert_eq!(m.end(1), Some(t(60)));
    }

    #[test]
    fn an_input_that_comes_to_its_end_does_not_end_the_time_of_an_idle_one() {
        let mut m = WatermarkMerge::new(2);
        m.advance(0, t(3));
        assert_eq!(m.idle(0), None);
        assert_eq!(m.advance(1, t(5)), Some(t(5)));
        assert_eq!(m.advance(1, EventTime::MAX), None);
        assert_eq!(m.end(1), None);
        assert_eq!(m.advance(0, t(6)), Some(t(6)));
    }

    #[test]
    fn holds_cap_the_output() {
        assert_eq!(output_watermark(t(9), None), t(9));
        assert_eq!(output_watermark(t(9), Some(t(4))), t(4));
        assert_eq!(output_watermark(t(9), Some(t(14))), t(9));
    }
}

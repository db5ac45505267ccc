//! The watermark algebra: pure, and the only place that merges watermarks.
//!
//! `input = max(input, min over live inputs)`; `output = max(output, min(input, least hold))`.
//! An idle input does not count; an ended one, or one that promises the end of time, counts as the end of time, and
//! does not drag idle ones there.

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
    current: EventTime,
}

impl WatermarkMerge {
    /// With this many inputs, all at the start of time.
    pub fn new(slots: usize) -> Self {
        WatermarkMerge { slots: vec![(EventTime::MIN, State::Live); slots], current: EventTime::MIN }
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

    /// The inputs that hold the merged watermark where it is: the live ones with the least watermark.
    pub fn held_by(&self) -> impl Iterator<Item = (usize, EventTime)> + '_ {
        let least = self.slots.iter().filter(|(_, s)| *s == State::Live).map(|(t, _)| *t).min();
        self.slots
            .iter()
            .enumerate()
            .filter(move |(_, (t, s))| *s == State::Live && Some(*t) == least)
            .map(|(i, (t, _))| (i, *t))
    }

    fn merge(&mut self) -> Option<EventTime> {
        let live = self.slots.iter().filter(|(t, s)| *s == State::Live && *t < EventTime::MAX);
        let waiting = live.map(|(t, _)| *t).min();
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

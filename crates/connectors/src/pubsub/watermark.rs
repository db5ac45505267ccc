//! How far time has come in a subscription. Pure: the time of day comes in as a parameter.
//!
//! A subscription does not say what it still holds, so its watermark is an estimate. The rule, which
//! `docs/guide/pubsub.md` tells authors:
//!
//! - **High** is the greatest event time seen. **Disorder** of a message is how far its event time lay behind
//!   the high of that moment.
//! - **Slack** is the 99.9th percentile of the disorder of the last minutes, rounded up to a power of two of
//!   microseconds, at least [`SLACK_US_MIN`] (or what the author says) and at most [`SLACK_US_MAX`]. While publish times are read that lie
//!   behind the time of day, a backlog, it is at least a tenth of the lag, up to [`BACKLOG_SLACK_US_MAX`]:
//!   several streams bring a backlog in less order than new messages.
//! - The watermark is high less slack, and never goes back. Messages behind it are late.
//! - **Learning**: with a timestamp attribute, unless the author says the slack, there is no watermark before
//!   [`LEARN_MESSAGES`] have come or [`LEARN_US`] have passed since the first one: the disorder of a few says nothing.
//! - **Quiet** is a subscription that had nothing for us for [`QUIET_US`] (from Google, that may take a while with a
//!   backlog: [`QUIET_US_GOOGLE`]) although it could have sent something. With publish times what may still come has not been published yet: the watermark is now less slack, also
//!   if nothing ever came.
//! - With a timestamp attribute nobody knows what may still come. When it has been quiet for
//!   [`IDLE_US`], event time is taken to go on as fast as the clock: the watermark is high less slack plus the
//!   time since the last message. If nothing ever came it does not move.
//! - After [`IDLE_US`] of quiet the source is idle: it does not hold the time of others.
//! - After a restart from a checkpoint the watermark stays where it was for [`HOLD_US`]: messages that the
//!   process before had, and that are not in the checkpoint, come only when their leases have run out.

/// Least slack unless the author says otherwise, in microseconds: what a message may take from the service to us.
pub(super) const SLACK_US_MIN: i64 = 1_000_000;
/// The same for Google's service, which is farther away.
pub(super) const SLACK_US_MIN_GOOGLE: i64 = 2_000_000;
/// Most slack: ten minutes. What is later than that is late.
pub(super) const SLACK_US_MAX: i64 = 600_000_000;
/// Most slack because of a backlog: a minute.
pub(super) const BACKLOG_SLACK_US_MAX: i64 = 60_000_000;
/// After so long without a message a subscription counts as read to its end.
pub(super) const QUIET_US: i64 = 200_000;
/// The same for Google's service.
pub(super) const QUIET_US_GOOGLE: i64 = 5_000_000;
/// From so many messages one can tell how disordered they are: a 99.9th percentile needs them.
pub(super) const LEARN_MESSAGES: u64 = 1000;
/// Where messages are few, time goes on so long after the first one.
pub(super) const LEARN_US: i64 = 10_000_000;
/// After so long it counts as idle.
pub(super) const IDLE_US: i64 = 5_000_000;
/// How long leases are in a pipeline with checkpoints, in seconds: they are kept short, as after a crash
/// the messages come again when they have run out.
pub(super) const CHECKPOINT_LEASE_SECONDS: i32 = 15;
/// How long time stands still after a restart from a checkpoint: until all leases of the process before have run out, and
/// the service has had some seconds to send those messages again.
pub(super) const HOLD_US: i64 = CHECKPOINT_LEASE_SECONDS as i64 * 1_000_000 + 5_000_000;
/// Half of what is remembered of disorder is forgotten after so long.
const FORGET_US: i64 = 60_000_000;

/// What event times are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    /// When the service took a message.
    PublishTime,
    /// What an attribute says.
    Attribute,
}

/// What is known of a subscription's time.
#[derive(Debug)]
pub(super) struct Estimate {
    clock: Clock,
    slack_us_min: i64,
    quiet_us_min: i64,
    /// Until it is known how disordered messages are.
    learning: Learning,
    high: Option<i64>,
    disorder: Disorder,
    watermark: Option<i64>,
    held_until: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Learning {
    /// Nothing has come yet.
    Not,
    /// The first message came at this time of day.
    Since(i64),
    Over,
}

impl Estimate {
    /// Nothing seen yet. `slack_us` is the least slack if the author says it.
    pub(super) fn new(clock: Clock, slack_us: Option<i64>, is_google: bool) -> Self {
        let (slack, quiet_us_min) =
            if is_google { (SLACK_US_MIN_GOOGLE, QUIET_US_GOOGLE) } else { (SLACK_US_MIN, QUIET_US) };
        let learns = clock == Clock::Attribute && slack_us.is_none();
        Estimate {
            clock,
            slack_us_min: slack_us.unwrap_or(slack),
            quiet_us_min,
            learning: if learns { Learning::Not } else { Learning::Over },
            high: None,
            disorder: Disorder::default(),
            watermark: None,
            held_until: None,
        }
    }

    /// What outlives a process: the greatest event time, and how many messages had a disorder of so many bits.
    pub(super) fn known(&self) -> (Option<i64>, [u64; 64]) {
        (self.high, self.disorder.counts)
    }

    /// Takes in what an earlier reader knew, and held itself to.
    pub(super) fn learn(&mut self, high: Option<i64>, counts: impl Iterator<Item = u64>) {
        self.high = self.high.max(high);
        for (mine, count) in self.disorder.counts.iter_mut().zip(counts) {
            // No count comes near this bound, and sums must not pass what an integer can be.
            *mine = (*mine).max(count.min(u64::MAX >> 8));
        }
        self.disorder.total = self.disorder.counts.iter().sum();
    }

    /// Time stands still until this time of day.
    pub(super) fn hold(&mut self, until: i64) {
        self.held_until = self.held_until.max(Some(until));
    }

    /// True if it stands still at `now`.
    pub(super) fn is_held(&self, now: i64) -> bool {
        self.held_until.is_some_and(|until| now < until)
    }

    /// True if too little has come to tell how disordered messages are.
    fn is_learning(&mut self, now: i64) -> bool {
        match self.learning {
            Learning::Over => return false,
            // Nothing moves anyway.
            Learning::Not if self.high.is_none() => return true,
            Learning::Not => self.learning = Learning::Since(now),
            Learning::Since(_) => {}
        }
        let Learning::Since(since) = self.learning else { return false };
        if self.knows_little(since, now) {
            return true;
        }
        self.learning = Learning::Over;
        false
    }

    fn knows_little(&self, since: i64, now: i64) -> bool {
        self.disorder.total < LEARN_MESSAGES && now.saturating_sub(since) < LEARN_US
    }

    /// A message with this event time, in microseconds since 1970, was read.
    pub(super) fn saw(&mut self, time: i64) {
        match self.high {
            Some(high) if time < high => self.disorder.add(high.saturating_sub(time)),
            _ => {
                self.disorder.add(0);
                self.high = Some(time);
            }
        }
    }

    /// A copy of a message that was read before came: it says how far time has come, but not how disordered
    /// messages are, since a copy may come at any time.
    pub(super) fn saw_again(&mut self, time: i64) {
        self.high = self.high.max(Some(time));
    }

    /// The slack at this time of day.
    fn slack(&self, now: i64) -> i64 {
        let backlog = match (self.clock, self.high) {
            (Clock::PublishTime, Some(high)) => (now.saturating_sub(high) / 10).min(BACKLOG_SLACK_US_MAX),
            _ => 0,
        };
        self.disorder.percentile().max(backlog).min(SLACK_US_MAX).max(self.slack_us_min)
    }

    /// The watermark at `now`, if there is one yet. `quiet_since` is when the last message came, or when we began
    /// to wait for one, if nothing is known to be left.
    pub(super) fn watermark(&mut self, now: i64, quiet_since: Option<i64>) -> Option<i64> {
        self.disorder.forget(now);
        if self.is_held(now) || self.is_learning(now) {
            return self.watermark;
        }
        let quiet_us = quiet_since.map_or(0, |since| now.saturating_sub(since));
        let seen = self.high.map(|high| high.saturating_sub(self.slack(now)));
        let estimate = match self.clock {
            Clock::PublishTime if quiet_us >= self.quiet_us_min => {
                let slack = self.disorder.percentile().min(SLACK_US_MAX).max(self.slack_us_min);
                Some(now.saturating_sub(slack))
            }
            Clock::Attribute if quiet_us >= IDLE_US => seen.map(|t| t.saturating_add(quiet_us)),
            _ => seen,
        };
        self.watermark = self.watermark.max(estimate);
        self.watermark
    }

    /// The watermark that was last told.
    pub(super) fn told(&self) -> Option<i64> {
        self.watermark
    }

    /// True if the source does not hold time back.
    pub(super) fn is_idle(&self, now: i64, quiet_since: Option<i64>) -> bool {
        let learns = matches!(self.learning, Learning::Since(since) if self.knows_little(since, now));
        !self.is_held(now) && !learns && quiet_since.is_some_and(|since| now.saturating_sub(since) >= IDLE_US)
    }
}

/// How disordered messages were, by powers of two of microseconds.
#[derive(Debug)]
struct Disorder {
    /// `[i]`: how many had a disorder below `2^i` and not below `2^(i-1)`.
    counts: [u64; 64],
    total: u64,
    forgot_at: Option<i64>,
}

impl Default for Disorder {
    fn default() -> Self {
        Disorder { counts: [0; 64], total: 0, forgot_at: None }
    }
}

impl Disorder {
    fn add(&mut self, us: i64) {
        let bits = 64 - us.max(0).leading_zeros();
        if let Some(count) = self.counts.get_mut(bits as usize) {
            *count += 1;
            self.total += 1;
        }
    }

    /// An upper bound of the disorder of all but a thousandth of the messages.
    fn percentile(&self) -> i64 {
        let mut left = self.total / 1000;
        for (bits, count) in self.counts.iter().enumerate().rev() {
            if *count > left {
                return if bits == 0 { 0 } else { 1_i64.checked_shl(bits as u32).unwrap_or(i64::MAX).max(0) };
            }
            left -= count;
        }
        0
    }

    fn forget(&mut self, now: i64) {
        let since = *self.forgot_at.get_or_insert(now);
        if now.saturating_sub(since) >= FORGET_US {
            self.forgot_at = Some(now);
            self.counts.iter_mut().for_each(|c| *c /= 2);
            self.total = self.counts.iter().sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: i64 = 1_000_000;
    const LEAST: i64 = 250_000;

    fn publish() -> Estimate {
        Estimate::new(Clock::PublishTime, Some(LEAST), false)
    }

    #[test]
    fn in_order_the_slack_is_least() {
        let mut e = publish();
        assert_eq!(e.watermark(100 * S, None), None);
        e.saw(100 * S);
        assert_eq!(e.watermark(100 * S, None), Some(100 * S - LEAST));
        e.saw(101 * S);
        assert_eq!(e.watermark(101 * S, Some(101 * S)), Some(101 * S - LEAST));
    }

    #[test]
    fn copies_move_time_on_and_are_no_disorder() {
        let mut e = publish();
        e.saw(100 * S);
        e.saw_again(10 * S);
        e.saw_again(130 * S);
        assert_eq!(e.watermark(130 * S, None), Some(130 * S - LEAST));
    }

    #[test]
    fn disorder_widens_the_slack_and_is_forgotten() {
        let mut e = publish();
        for i in 0..100 {
            e.saw((100 + i) * S);
            e.saw((100 + i) * S - 3 * S);
        }
        let now = 199 * S;
        assert_eq!(e.watermark(now, None), Some(199 * S - (1 << 22)), "3 s, rounded up to 2^22 us");
        for minute in 1..12 {
            (0..2000).for_each(|i| e.saw(now + minute * 60 * S + i));
            e.watermark(now + minute * 60 * S, None);
        }
        assert_eq!(e.slack(now + 660 * S + 2000), LEAST);
    }

    #[test]
    fn one_stray_in_ten_thousand_does_not_hold_time() {
        let mut e = publish();
        (0..10_000).for_each(|i| e.saw(100 * S + i));
        e.saw(0);
        assert_eq!(e.watermark(100 * S, None), Some(100 * S + 9_999 - LEAST));
    }

    #[test]
    fn a_backlog_has_more_slack() {
        let mut e = publish();
        e.saw(100 * S);
        assert_eq!(e.watermark(200 * S, None), Some(90 * S));
        let mut e = publish();
        e.saw(100 * S);
        assert_eq!(e.watermark(100_000 * S, None), Some(40 * S));
    }

    #[test]
    fn quiet_publish_time_follows_the_clock() {
        let mut e = publish();
        assert_eq!(e.watermark(50 * S, Some(50 * S - QUIET_US + 1)), None, "not quiet for long enough");
        assert_eq!(e.watermark(50 * S, Some(50 * S - QUIET_US)), Some(50 * S - LEAST), "nothing ever came");
        e.saw(55 * S);
        assert_eq!(e.watermark(60 * S, None), Some(55 * S - S / 2), "more may be on its way");
        assert_eq!(e.watermark(60 * S, Some(59 * S)), Some(60 * S - LEAST));
        assert_eq!(e.watermark(58 * S, Some(57 * S)), Some(60 * S - LEAST), "a clock set back");
    }

    #[test]
    fn quiet_attributes_go_on_as_fast_as_the_clock() {
        let mut e = Estimate::new(Clock::Attribute, Some(LEAST), false);
        assert_eq!(e.watermark(1000 * S, Some(0)), None, "nothing ever came");
        assert!(e.is_idle(1000 * S, Some(0)));
        e.saw(10 * S);
        let base = 10 * S - LEAST;
        assert_eq!(e.watermark(1000 * S, Some(1000 * S)), Some(base));
        assert_eq!(e.watermark(1004 * S, Some(1000 * S)), Some(base));
        assert_eq!(e.watermark(1006 * S, Some(1000 * S)), Some(base + 6 * S));
        assert!(!e.is_idle(1004 * S, Some(1000 * S)) && !e.is_idle(1004 * S, None));
    }

    #[test]
    fn a_few_messages_say_nothing_of_disorder() {
        let fresh = || Estimate::new(Clock::Attribute, None, false);
        let mut e = fresh();
        assert_eq!(e.watermark(90 * S, None), None);
        // Few: the first ones are in order by chance, and the next are four seconds behind.
        (0..5).for_each(|i| e.saw(100 * S + i));
        assert_eq!(e.watermark(105 * S, None), None);
        e.saw(96 * S);
        assert_eq!(e.watermark(105 * S + LEARN_US - 1, None), None);
        assert!(!e.is_idle(105 * S + LEARN_US - 1, Some(0)) && e.is_idle(105 * S + LEARN_US, Some(0)));
        assert_eq!(e.watermark(105 * S + LEARN_US, None), Some(100 * S + 4 - (1 << 22)));
        // Many.
        let mut e = fresh();
        (1..LEARN_MESSAGES as i64).for_each(|i| e.saw(100 * S + i));
        assert_eq!(e.watermark(105 * S, None), None);
        e.saw(100 * S + LEARN_MESSAGES as i64);
        assert_eq!(e.watermark(105 * S, None), Some(99 * S + LEARN_MESSAGES as i64));
        assert_eq!(e.watermark(106 * S, None), Some(99 * S + LEARN_MESSAGES as i64), "it has learned");
    }

    #[test]
    fn a_silence_of_google_is_no_quiet() {
        let mut e = Estimate::new(Clock::PublishTime, None, true);
        e.saw(55 * S);
        assert_eq!(e.watermark(60 * S, Some(56 * S)), Some(53 * S), "more of the backlog may be on its way");
        assert_eq!(e.watermark(61 * S, Some(56 * S)), Some(59 * S));
    }

    #[test]
    fn time_stands_still_until_old_leases_have_run_out() {
        let mut e = publish();
        e.hold(120 * S);
        assert_eq!(e.watermark(110 * S, Some(0)), None, "a quiet subscription has nothing for us yet");
        assert!(!e.is_idle(119 * S, Some(0)));
        e.saw_again(115 * S);
        e.saw_again(90 * S);
        assert_eq!(e.watermark(119 * S, None), None);
        assert_eq!(e.watermark(120 * S, None), Some(115 * S - S / 2), "as if all had been in order");
    }

    proptest! {
        #[test]
        fn it_never_goes_back_and_never_passes_what_it_knows(
            steps in prop::collection::vec((0_i64..1000, -50_i64..50, any::<bool>(), any::<bool>()), 1..200),
            attribute in any::<bool>(),
            slack in any::<bool>(),
            google in any::<bool>(),
        ) {
            let clock = if attribute { Clock::Attribute } else { Clock::PublishTime };
            let mut e = Estimate::new(clock, slack.then_some(LEAST), google);
            let (mut now, mut last) = (1_000 * S, None);
            for (ahead, skew, saw, quiet) in steps {
                now += ahead * S / 100;
                if saw {
                    e.saw(now + skew * S);
                }
                let w = e.watermark(now, quiet.then_some(now - S));
                prop_assert!(w >= last);
                let known = e.high.unwrap_or(i64::MIN).max(now);
                prop_assert!(w.is_none_or(|w| w <= known));
                last = w;
            }
        }
    }
}

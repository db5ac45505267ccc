//! The loop of a lane that reads from outside.

use super::duties::{Duties, ordered};
use super::task::{Halt, Task, sleep};
use crate::commit::Reading;
use crate::wiring::LaneParts;
use purlin_api::source::BoxFuture;
use purlin_api::{Budget, EventTime, Pull, Result, Source, SourceStatus};
use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::task::Poll;

/// A source that has not ended, and when it is to be asked again.
#[derive(Clone, Copy)]
struct Open {
    place: usize,
    due: EventTime,
    /// It gave nothing when it was last asked.
    is_quiet: bool,
}

/// What woke the lane.
enum Woken {
    /// Which of the due sources, by place, and what it gave.
    Pulled(usize, Result<Pull>),
    /// A timer, a source that is due now, or an order.
    Other,
}

impl Task {
    /// Asks all sources that are due at once and takes what the first of them gives. Timers fire, barriers pass and the
    /// job stops while they wait: their futures are dropped then, and made anew.
    pub(super) async fn drive_sources(&mut self, lane: &mut LaneParts) -> Result<(), Halt> {
        let budget = Budget { rows_max: self.shared.options.rows_max, bytes_max: 16 << 20 };
        let mut open: Vec<Open> = (0..lane.sources.len())
            .map(|place| Open { place, due: EventTime::MIN, is_quiet: false })
            .collect();
        for place in 0..lane.progress.len() {
            // Of those that had ended before the job went on from a checkpoint, the end is told again.
            if lane.progress.get(place).is_some_and(|p| p.ended) {
                self.end_source(lane, place).await?;
                open.retain(|o| o.place != place);
            }
        }
        open.iter().for_each(|o| active(lane, o.place, true));
        let mut turn = 0;
        while !open.is_empty() {
            let now = self.shared.options.clock.now();
            lane.core.fire_timers(now);
            self.pump(lane).await?;
            let mut due: Vec<usize> = Vec::new();
            match self.attend(lane).await? {
                Reading::On => due.extend(open.iter().filter(|o| o.due <= now).map(|o| o.place)),
                Reading::Off if self.duties.as_ref().is_some_and(Duties::owes_barrier) => {
                    due = self.between_borders(lane, &open);
                }
                Reading::Off => {}
                Reading::Ended => {
                    due = self.between_borders(lane, &open);
                    let (stay, end): (Vec<Open>, Vec<Open>) =
                        open.iter().partition(|o| due.contains(&o.place));
                    open = stay;
                    for o in end {
                        self.end_source(lane, o.place).await?;
                    }
                    if open.is_empty() {
                        continue;
                    }
                }
            }
            if !due.is_empty() {
                turn = (turn + 1) % due.len();
                due.rotate_left(turn);
            }
            let next_due = open.iter().map(|o| o.due).filter(|d| *d > now).min();
            let wake = [next_due, lane.core.next_timer()].into_iter().flatten().min();
            let woken = tokio::select! { biased;
                _ = self.stop.wait_for(|s| *s) => return Err(Halt::Stopped),
                () = ordered(&mut self.duties) => Woken::Other,
                (place, pulled) = first(&mut lane.sources, &due, budget), if !due.is_empty() => {
                    Woken::Pulled(place, pulled)
                }
                () = sleep(&self.shared, wake), if wake.is_some() => Woken::Other,
            };
            let Woken::Pulled(place, pulled) = woken else { continue };
            let awaits = lane.sources.get(place).is_some_and(|(_, s)| s.awaits_more());
            let is_quiet = pulled.as_ref().is_ok_and(|p| p.read == 0) && !awaits;
            let status = self.take(lane, place, pulled).await?;
            let now = self.shared.options.clock.now();
            let due = match status {
                SourceStatus::Done | SourceStatus::Ready => EventTime::MIN,
                SourceStatus::Idle(delay) => now.plus(delay),
            };
            if let Some(o) = open.iter_mut().find(|o| o.place == place) {
                o.due = due;
                let is_quiet = is_quiet || status == SourceStatus::Done;
                if std::mem::replace(&mut o.is_quiet, is_quiet) != is_quiet {
                    active(lane, place, !is_quiet);
                }
            }
            open.retain(|o| o.place != place || status != SourceStatus::Done);
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// With checkpoints: the sources that stand where no barrier can pass. Before they are left, what it takes to get to
    /// such a place is read, or it would come again.
    fn between_borders(&self, lane: &LaneParts, open: &[Open]) -> Vec<usize> {
        if !self.duties.as_ref().is_some_and(Duties::saves) {
            return Vec::new();
        }
        let stands = |o: &&Open| lane.progress.get(o.place).is_some_and(|p| !p.is_resumable());
        open.iter().filter(stands).map(|o| o.place).collect()
    }

    async fn take(
        &mut self,
        lane: &mut LaneParts,
        place: usize,
        pulled: Result<Pull>,
    ) -> Result<SourceStatus, Halt> {
        let Some((node, source)) = lane.sources.get(place) else { return Ok(SourceStatus::Done) };
        let node = *node;
        let pull = pulled.map_err(|e| e.in_place(lane.core.label(node)))?;
        if let (Some((done, total)), Some(stats)) = (source.progress(), lane.core.stats(node)) {
            // Each lane tells of all that share the work, and not in order.
            stats.read_done.fetch_max(done, Ordering::Relaxed);
            stats.read_total.fetch_max(total, Ordering::Relaxed);
        }
        if let Some(duties) = &mut self.duties {
            duties.read += pull.read;
        }
        let status = lane.take_pull(node, pull)?;
        self.pump(lane).await?;
        Ok(status)
    }

    /// Ends a source before it has: all windows behind it close.
    async fn end_source(&mut self, lane: &mut LaneParts, place: usize) -> Result<(), Halt> {
        let Some(node) = lane.sources.get(place).map(|(node, _)| *node) else { return Ok(()) };
        lane.core.deliver_pull(node, Vec::new(), EventTime::MAX, false, true)?;
        self.pump(lane).await
    }
}

/// Counts a source as active, or no more.
fn active(lane: &LaneParts, place: usize, is_active: bool) {
    let Some(stats) = lane.sources.get(place).and_then(|(node, _)| lane.core.stats(*node)) else { return };
    if is_active {
        stats.active.fetch_add(1, Ordering::Relaxed);
    } else {
        stats.active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the first of some sources gives; the others' futures are dropped, which they allow.
async fn first(
    sources: &mut [(usize, Box<dyn Source>)],
    due: &[usize],
    budget: Budget,
) -> (usize, Result<Pull>) {
    if let [only] = due
        && let Some((_, source)) = sources.get_mut(*only)
    {
        return (*only, source.next(budget).await);
    }
    let mut left: Vec<_> = sources.iter_mut().enumerate().filter(|(place, _)| due.contains(place)).collect();
    left.sort_by_key(|(place, _)| std::cmp::Reverse(due.iter().position(|d| d == place)));
    let mut asked: Vec<(usize, BoxFuture<'_, Result<Pull>>)> = Vec::new();
    poll_fn(|cx| {
        for (place, next) in &mut asked {
            if let Poll::Ready(pulled) = next.as_mut().poll(cx) {
                return Poll::Ready((*place, pulled));
            }
        }
        // The next is asked only if those before it wait.
        while let Some((place, (_, source))) = left.pop() {
            let mut next = source.next(budget);
            if let Poll::Ready(pulled) = next.as_mut().poll(cx) {
                return Poll::Ready((place, pulled));
            }
            asked.push((place, next));
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Waker};

    /// Takes its rows when it is asked, or waits for ever.
    struct Eager {
        rows_left: u64,
        waits: bool,
    }

    impl Source for Eager {
        fn next(&mut self, _: Budget) -> BoxFuture<'_, Result<Pull>> {
            if self.waits {
                return Box::pin(std::future::pending());
            }
            self.rows_left -= 1;
            Box::pin(std::future::ready(Ok(Pull { read: 1, ..Pull::done() })))
        }
    }

    #[test]
    fn sources_are_asked_in_turn_and_only_while_those_before_them_wait() {
        let eager = |waits| Box::new(Eager { rows_left: 100, waits }) as Box<dyn Source>;
        let mut sources = vec![(0, eager(false)), (1, eager(true)), (2, eager(false))];
        let budget = Budget { rows_max: 1, bytes_max: 1 };
        let mut ask = |due: &[usize]| {
            let mut first = Box::pin(first(&mut sources, due, budget));
            match first.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready((place, pulled)) => Some((place, pulled.unwrap().read)),
                Poll::Pending => None,
            }
        };
        assert_eq!(ask(&[0, 1, 2]), Some((0, 1)));
        assert_eq!(ask(&[1, 2, 0]), Some((2, 1)));
        assert_eq!(ask(&[2, 0, 1]), Some((2, 1)));
        assert_eq!(ask(&[1]), None);
        assert_eq!(ask(&[0]), Some((0, 1)));
        assert_eq!(ask(&[]), None);
    }

    #[test]
    fn what_was_not_waited_for_is_not_taken() {
        let mut sources: Vec<(usize, Box<dyn Source>)> = Vec::new();
        for node in 0..2 {
            sources.push((node, Box::new(Eager { rows_left: 1, waits: false })));
        }
        let budget = Budget { rows_max: 1, bytes_max: 1 };
        // Were the other asked too, it would have no row left, and fail.
        for place in 0..2 {
            let due = [place, 1 - place];
            let mut first = Box::pin(first(&mut sources, &due, budget));
            let polled = first.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(polled, Poll::Ready((p, Ok(_))) if p == place));
        }
    }
}

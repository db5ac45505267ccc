//! The loop of a lane whose head is an asynchronous operator.

use super::duties::ordered;
use super::task::{Halt, Task, Waiting, sleep};
use crate::align::Alignment;
use crate::flight::{Flight, Landed};
use crate::message::Message;
use crate::wiring::LaneParts;
use purlin_api::{AsyncOperator, Error, Result};

/// What woke the lane.
enum Woken {
    Landed(Landed),
    Came(usize, Message),
    /// A timer, or an order.
    Other,
}

impl Task {
    /// Like the loop of other lanes, but that messages pass through the flight on their way to the core. What
    /// is in flight when the lane stops is dropped with the operator.
    pub(super) async fn drive_outside(
        &mut self,
        lane: &mut LaneParts,
        mut operator: Box<dyn AsyncOperator>,
    ) -> Result<(), Halt> {
        let gone = || Error::internal("a lane without an inbox");
        let inbox = self.shared.inboxes.get(&(lane.stage, lane.lane)).ok_or_else(gone)?.clone();
        let mut align = Alignment::new(lane.inlets.len());
        let mut flight = Flight::new(operator.in_flight_max());
        while !lane.core.all_ended() {
            let now = self.shared.options.clock.now();
            lane.core.fire_timers(now);
            self.pump(lane).await?;
            self.attend(lane).await?;
            let timer = lane.core.next_timer();
            // Waiting for an answer is waiting for something outside, which must answer: no stall.
            let waiting = (flight.is_empty() && timer.is_none()).then(|| Waiting::new(&self.shared.waiting));
            let (empty, room) = (flight.is_empty(), flight.has_room());
            let woken = tokio::select! { biased;
                _ = self.stop.wait_for(|s| *s) => return Err(Halt::Stopped),
                () = ordered(&mut self.duties) => Woken::Other,
                landed = flight.next(), if !empty => {
                    Woken::Landed(landed.map_err(|e| e.in_place(lane.core.label(0)))?)
                }
                (slot, message) = inbox.recv(|s| align.is_blocked(s)), if room => Woken::Came(slot, message),
                () = sleep(&self.shared, timer), if timer.is_some() => Woken::Other,
            };
            drop(waiting);
            match woken {
                Woken::Other => {}
                Woken::Came(slot, message) => {
                    let complete = match &message {
                        Message::Barrier(epoch) => align.barrier(slot, *epoch),
                        Message::End => align.end(slot),
                        _ => None,
                    };
                    if !matches!(message, Message::Barrier(_)) {
                        let inlet = lane.inlets.get(slot).copied().ok_or_else(gone)?;
                        let port = lane.core.port(inlet.node, inlet.slot);
                        flight.take(operator.as_mut(), port, slot, message);
                    }
                    if let Some(epoch) = complete {
                        flight.barrier(epoch);
                    }
                }
                Woken::Landed(Landed::Barrier(epoch)) => {
                    self.pass_barrier(lane, epoch).await?;
                }
                Woken::Landed(landed) => {
                    lane.land(landed)?;
                    self.pump(lane).await?;
                }
            }
        }
        Ok(())
    }
}

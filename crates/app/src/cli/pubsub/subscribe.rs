//! `purlin subscribe`: a handler of messages.

use super::args::SubscribeArgs;
use super::{Service, ask, finish, ours, pause, show};
use crate::cli::Exit;
use crate::cli::output::Output;
use purlin_api::{Error, ErrorKind, Result};
use purlin_pubsub::proto::{PubsubMessage, Subscription};
use purlin_pubsub::{Arrival, Deliveries, Subscriber, SubscriberOptions};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Messages held at a time: a handler works on one, the next ones should be there when it is done.
const HELD_MAX: usize = 1000;
/// How often signals are looked for while nothing comes.
const WAIT: Duration = Duration::from_millis(200);
/// The first and the longest wait after a handler failed.
const FAILED_WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

pub(crate) fn subscribe(args: &SubscribeArgs, out: &mut Output) -> Exit {
    finish(run(args, out), out)
}

fn run(args: &SubscribeArgs, out: &mut Output) -> Result<()> {
    let service = Service::open(&args.service)?;
    let name = service.subscription(&args.subscription)?;
    if let Some(topic) = &args.topic {
        let wanted = Subscription {
            name: name.to_string(),
            topic: service.topic(topic)?.to_string(),
            ..Subscription::default()
        };
        match ask(service.client.create_subscription(wanted)) {
            Err(e) if e.kind() == ErrorKind::Conflict => {}
            made => out.note(&format!("created subscription {}\n", made?.name)),
        }
    } else {
        ask(service.client.get_subscription(&name))?;
    }
    let stopped = Arc::new(AtomicBool::new(false));
    let flag = stopped.clone();
    ctrlc::set_handler(move || flag.store(true, Ordering::SeqCst))
        .map_err(|e| Error::new(ErrorKind::Exhausted, format!("cannot listen for signals: {e}")))?;
    let options = SubscriberOptions { messages_held_max: HELD_MAX, ..SubscriberOptions::default() };
    let subscriber = Subscriber::start(&service.client, &name, options).map_err(ours)?;
    let mut handler = Handler { args, subscriber: &subscriber, stopped: &stopped, done: 0, failures: 0 };
    let handled = handler.all(out);
    let closed = ask(subscriber.close());
    handled.and(closed)
}

struct Handler<'a> {
    args: &'a SubscribeArgs,
    subscriber: &'a Subscriber,
    stopped: &'a AtomicBool,
    done: u64,
    failures: u32,
}

impl Handler<'_> {
    fn ends(&self) -> bool {
        self.stopped.load(Ordering::SeqCst) || self.args.limit.is_some_and(|limit| self.done >= limit)
    }

    fn all(&mut self, out: &mut Output) -> Result<()> {
        while !self.ends() {
            let Some(came) = ask(self.subscriber.next(WAIT))? else { continue };
            for place in 0..came.messages.len() {
                if self.ends() {
                    // What is not handled is given back when the subscriber closes.
                    break;
                }
                self.handle(&came, place, out)?;
            }
        }
        Ok(())
    }

    fn handle(&mut self, came: &Deliveries, place: usize, out: &mut Output) -> Result<()> {
        let Some(arrival) = came.messages.get(place) else { return Ok(()) };
        let ok = match &self.args.exec {
            None => {
                print(arrival, out);
                true
            }
            Some(command) => execute(command, &arrival.message, out)?,
        };
        let range = [came.range(place, place + 1)];
        if ok {
            self.failures = 0;
            self.done += 1;
            return ask(self.subscriber.ack(&range));
        }
        // A handler that fails at once must not be called as fast as the machine can.
        let wait = FAILED_WAIT.0.saturating_mul(1 << self.failures.min(5)).min(FAILED_WAIT.1);
        self.failures += 1;
        let mut left = wait;
        while !left.is_zero() && !self.stopped.load(Ordering::SeqCst) {
            pause(left.min(WAIT));
            left = left.saturating_sub(WAIT);
        }
        ask(self.subscriber.nack(&range))
    }
}

fn print(arrival: &Arrival, out: &mut Output) {
    if out.json {
        // A line each, so that a reader need not wait for the end.
        out.print(&format!("{}\n", show::message(&arrival.message, arrival.delivery_attempt)));
    } else {
        out.print(&show::message_line(&arrival.message, arrival.delivery_attempt));
    }
}

/// Runs the handler; true if it ended well.
fn execute(command: &str, message: &PubsubMessage, out: &mut Output) -> Result<bool> {
    let cannot = |e| Error::io("run", command, e);
    let mut child = Command::new("sh");
    child.arg("-c").arg(command).stdin(Stdio::piped()).env("PURLIN_MESSAGE_ID", &message.message_id);
    for (key, value) in &message.attributes {
        child.env(variable(key), value);
    }
    let mut child = child.spawn().map_err(cannot)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A handler may end without reading all; how it ends says whether that is well.
        let _unread = stdin.write_all(&message.data);
    }
    let status = child.wait().map_err(cannot)?;
    if !status.success() {
        out.note(&format!(
            "warning: `{command}` failed ({status}) on message {}; it will come again\n",
            message.message_id
        ));
    }
    Ok(status.success())
}

/// The variable of an attribute: `order-id` is `PURLIN_ATTRIBUTE_ORDER_ID`.
fn variable(key: &str) -> String {
    let name: String =
        key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    format!("PURLIN_ATTRIBUTE_{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_become_variables() {
        assert_eq!(variable("order-id"), "PURLIN_ATTRIBUTE_ORDER_ID");
        assert_eq!(variable("a=b c"), "PURLIN_ATTRIBUTE_A_B_C");
    }

    #[test]
    fn a_handler_is_told_the_message_and_judged_by_its_end() {
        let message = PubsubMessage {
            data: "42".as_bytes().into(),
            attributes: [("kind".to_owned(), "SPIKE".to_owned())].into(),
            message_id: "m1".to_owned(),
            ..PubsubMessage::default()
        };
        let mut out = Output::new(false);
        let test = r#"test "$(cat)" = 42 -a "$PURLIN_ATTRIBUTE_KIND" = SPIKE -a "$PURLIN_MESSAGE_ID" = m1"#;
        assert!(execute(test, &message, &mut out).unwrap());
        assert!(!execute("exit 3", &message, &mut out).unwrap());
    }
}

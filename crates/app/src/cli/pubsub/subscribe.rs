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
/// How long one variable may be, with its name and the byte that ends it: Linux takes 32 pages and no more.
const VARIABLE_BYTES_MAX: usize = 128 * 1024;
/// The first and the longest wait after a handler failed.
const FAILED_WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

pub(crate) fn subscribe(args: &SubscribeArgs, out: &mut Output) -> Exit {
    finish(run(args, out), out)
}

fn run(args: &SubscribeArgs, out: &mut Output) -> Result<()> {
    if args.exec.as_deref().is_some_and(|command| command.trim().is_empty()) {
        // A shell runs nothing with success, which would acknowledge everything.
        let text = "the command of --exec is empty (a variable of the shell that is not set?), so that messages would be \
                    acknowledged and nobody would see them; write a command such as `--exec ./handle.sh`, or leave \
                    --exec out to print messages";
        return Err(Error::new(ErrorKind::Config, text));
    }
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
    use std::io::ErrorKind as K;
    let mut child = Command::new("sh");
    child.arg("-c").arg(command).stdin(Stdio::piped()).envs(variables(message, out));
    let mut failed = |how: String| {
        let id = &message.message_id;
        out.note(&format!("warning: `{command}` {how} on message {id}; it will come again\n"));
        Ok(false)
    };
    let mut child = match child.spawn() {
        Ok(child) => child,
        // Another message would find no shell either.
        Err(e) if matches!(e.kind(), K::NotFound | K::PermissionDenied) => {
            return Err(Error::io("run", command, e));
        }
        // The system is short of something, or all of this message's attributes are too much for it.
        Err(e) => return failed(format!("could not be started ({e})")),
    };
    if let Some(mut stdin) = child.stdin.take() {
        // A handler may end without reading all; how it ends says whether that is well.
        let _unread = stdin.write_all(&message.data);
    }
    let status = child.wait().map_err(|e| Error::io("run", command, e))?;
    if status.success() { Ok(true) } else { failed(format!("failed ({status})")) }
}

/// What a handler is told in variables. The system takes not everything that an attribute may be.
fn variables<'a>(message: &'a PubsubMessage, out: &mut Output) -> Vec<(String, &'a str)> {
    let id = message.message_id.as_str();
    let mut all = Vec::new();
    if is_taken("PURLIN_MESSAGE_ID", id) {
        all.push(("PURLIN_MESSAGE_ID".to_owned(), id));
    }
    for (key, value) in &message.attributes {
        let name = variable(key);
        if is_taken(&name, value) {
            all.push((name, value.as_str()));
        } else {
            let why = if value.contains('\0') { "has a zero byte" } else { "is too long" };
            out.note(&format!(
                "warning: attribute {key:?} of message {id} {why}: there is no variable {name} for its handler\n"
            ));
        }
    }
    all
}

/// True if the system takes such a variable: `NAME=VALUE`, ended by a zero byte.
fn is_taken(name: &str, value: &str) -> bool {
    !value.contains('\0') && name.len() + value.len() + 2 <= VARIABLE_BYTES_MAX
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

    fn with(attributes: impl Iterator<Item = (String, String)>) -> PubsubMessage {
        PubsubMessage {
            attributes: attributes.collect(),
            message_id: "m2".to_owned(),
            ..PubsubMessage::default()
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_the_system_does_not_take_is_left_out() {
        let longest = VARIABLE_BYTES_MAX - "PURLIN_ATTRIBUTE_LONGEST=".len() - 1;
        let values = [
            ("zero", "a\0b".to_owned()),
            ("long", "x".repeat(longest + 4)),
            ("longest", "x".repeat(longest)),
            ("good", "y".to_owned()),
        ];
        let message = with(values.into_iter().map(|(k, v)| (k.to_owned(), v)));
        let test = format!(
            r#"test -z "${{PURLIN_ATTRIBUTE_ZERO+set}}$PURLIN_ATTRIBUTE_LONG" -a "$PURLIN_ATTRIBUTE_GOOD" = y \
               -a "${{#PURLIN_ATTRIBUTE_LONGEST}}" = {longest}"#
        );
        assert!(execute(&test, &message, &mut Output::new(false)).unwrap());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_cannot_be_started_has_failed() {
        // 12 MiB: more than Linux gives to a program, however it is set.
        let message = with((0..100).map(|n| (n.to_string(), "x".repeat(VARIABLE_BYTES_MAX - 100))));
        assert!(!execute("true", &message, &mut Output::new(false)).unwrap());
    }
}

//! `purlin generate --to`: made-up events into a topic.

use super::{COUNT, create, options, save_truth};
use crate::cli::args::GenerateArgs;
use crate::cli::output::Output;
use crate::cli::pubsub::{Service, ask, pause};
use crate::generate::{Event, Pace, Stream};
use crate::report::count;
use purlin_api::{Error, ErrorKind, Result};
use purlin_engine::clock::{Clock, SystemClock};
use purlin_pubsub::proto::PubsubMessage;
use purlin_pubsub::{Publisher, PublisherOptions};
use serde_json::json;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Events that are made before they are handed to the publisher.
const EVENTS_MAX: u64 = 1000;
/// The longest wait before looking at the clock and the signals again.
const NAP_MICROS: i64 = 50_000;

pub(super) fn publish(args: &GenerateArgs, out: &mut Output) -> Result<()> {
    let short = topic(args.to.as_deref().unwrap_or_default())?;
    let service = Service::open(&args.service)?;
    let topic = service.topic(short)?;
    // Before the CSV file is made: a topic that is not there is the likeliest slip.
    ask(service.client.get_topic(&topic))?;
    let publisher = Publisher::new(&service.client, &topic, PublisherOptions::default())
        .map_err(crate::cli::pubsub::ours)?;
    let csv = match &args.csv {
        Some(path) => Some((BufWriter::new(create(path)?), path.to_string_lossy().into_owned())),
        None => None,
    };
    let limit =
        if args.rate.is_some() { args.count.unwrap_or(u64::MAX) } else { args.count.unwrap_or(COUNT) };
    let mut sending = Sending {
        stream: Stream::new(args.dataset.into(), options(args, limit), args.truth.is_some()),
        publisher,
        csv,
        left: limit,
        sent: 0,
    };
    let sent = sending.all(args);
    // What was taken is published, whatever ended the run.
    let flushed = ask(sending.publisher.flush());
    let saved = sending.save_csv();
    sent.and(flushed).and(saved)?;
    save_truth(args, sending.stream.truth())?;
    if out.json {
        out.print_json(&json!({"topic": topic.as_str(), "published": sending.sent}));
    } else {
        out.note(&format!("published {} messages to {topic}\n", count(sending.sent)));
    }
    Ok(())
}

fn topic(to: &str) -> Result<&str> {
    to.strip_prefix("pubsub://").ok_or_else(|| {
        let message = format!("--to wants a topic such as `pubsub://orders`, found `{to}`");
        Error::new(ErrorKind::Config, message)
    })
}

struct Sending {
    stream: Stream,
    publisher: Publisher,
    csv: Option<(BufWriter<File>, String)>,
    left: u64,
    sent: u64,
}

impl Sending {
    fn all(&mut self, args: &GenerateArgs) -> Result<()> {
        let Some(rate) = args.rate else {
            while self.left > 0 {
                self.send(self.left.min(EVENTS_MAX), None)?;
            }
            return Ok(());
        };
        let stopped = Arc::new(AtomicBool::new(false));
        let flag = stopped.clone();
        ctrlc::set_handler(move || flag.store(true, Ordering::SeqCst))
            .map_err(|e| Error::new(ErrorKind::Exhausted, format!("cannot listen for signals: {e}")))?;
        let start = SystemClock.now().0;
        let end = args.span.map_or(i64::MAX, |span| start.saturating_add(span));
        let mut pace = Pace::new(rate, start);
        while self.left > 0 && !stopped.load(Ordering::SeqCst) {
            let now = SystemClock.now().0;
            if now >= end {
                break;
            }
            let mut due = pace.due(now).min(self.left);
            while due > 0 {
                let some = due.min(EVENTS_MAX);
                self.send(some, Some(now))?;
                due -= some;
            }
            let nap = (pace.next_at().min(end) - SystemClock.now().0).clamp(0, NAP_MICROS);
            pause(Duration::from_micros(nap.unsigned_abs()));
        }
        Ok(())
    }

    fn send(&mut self, events: u64, now: Option<i64>) -> Result<()> {
        let mut lines = Vec::new();
        if self.sent == 0 && self.csv.is_some() {
            lines.extend_from_slice(self.stream.header());
        }
        let mut messages = Vec::with_capacity(events as usize);
        for _ in 0..events {
            let keep = self.csv.is_some().then_some(&mut lines);
            messages.push(message(self.stream.next(now, keep)));
        }
        ask(self.publisher.publish(messages))?;
        self.sent += events;
        self.left -= events;
        match &mut self.csv {
            Some((file, path)) => file.write_all(&lines).map_err(|e| Error::io("write", path, e)),
            None => Ok(()),
        }
    }

    fn save_csv(&mut self) -> Result<()> {
        match &mut self.csv {
            Some((file, path)) => file.flush().map_err(|e| Error::io("write", path, e)),
            None => Ok(()),
        }
    }
}

fn message(event: Event) -> PubsubMessage {
    PubsubMessage {
        data: event.payload.into(),
        attributes: HashMap::from([
            ("event_time".to_owned(), event.micros.div_euclid(1000).to_string()),
            ("id".to_owned(), event.id),
        ]),
        ..PubsubMessage::default()
    }
}

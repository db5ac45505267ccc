//! `purlin publish`.

use super::args::PublishArgs;
use super::{Service, ask, finish, labels};
use crate::cli::Exit;
use crate::cli::output::Output;
use crate::report::count;
use purlin_api::{Error, Result};
use purlin_pubsub::TopicName;
use purlin_pubsub::proto::PubsubMessage;
use serde_json::json;
use std::io::BufRead;

/// Messages of one request, well below the service's limit of 1000.
const MESSAGES_MAX: usize = 500;
/// Bytes of one request, well below the service's limit of 10 MB.
const BYTES_MAX: usize = 4 << 20;

pub(crate) fn publish(args: &PublishArgs, out: &mut Output) -> Exit {
    finish(run(args, out), out)
}

fn run(args: &PublishArgs, out: &mut Output) -> Result<()> {
    let service = Service::open(&args.service)?;
    let topic = service.topic(&args.topic)?;
    let message = |data: Vec<u8>| PubsubMessage {
        data: data.into(),
        attributes: labels(&args.attributes),
        ordering_key: args.ordering_key.clone().unwrap_or_default(),
        ..PubsubMessage::default()
    };
    if let Some(text) = &args.message {
        let ids = send(&service, &topic, vec![message(text.clone().into_bytes())])?;
        if out.json {
            out.print_json(&json!({"messageIds": ids}));
        } else {
            out.print(&format!("published {}\n", ids.join(", ")));
        }
        return Ok(());
    }
    let mut input = std::io::BufReader::new(std::io::stdin().lock());
    let (mut waiting, mut bytes, mut published) = (Vec::new(), 0, 0u64);
    loop {
        let mut line = Vec::new();
        let read = input.read_until(b'\n', &mut line).map_err(|e| Error::io("read", "standard input", e))?;
        while matches!(line.last(), Some(b'\n' | b'\r')) {
            line.pop();
        }
        if !line.is_empty() {
            bytes += line.len();
            waiting.push(message(line));
        }
        // What has come is sent before waiting for more.
        let pause = read == 0 || input.buffer().is_empty();
        if !waiting.is_empty() && (pause || waiting.len() >= MESSAGES_MAX || bytes >= BYTES_MAX) {
            published += send(&service, &topic, std::mem::take(&mut waiting))?.len() as u64;
            bytes = 0;
        }
        if read == 0 {
            break;
        }
    }
    if out.json {
        out.print_json(&json!({"published": published}));
    } else {
        out.print(&format!("published {} messages\n", count(published)));
    }
    Ok(())
}

fn send(service: &Service, topic: &TopicName, messages: Vec<PubsubMessage>) -> Result<Vec<String>> {
    ask(service.client.publish_once(topic, messages))
}

//! `purlin pull`.

use super::args::PullArgs;
use super::{Service, ask, finish, show};
use crate::cli::Exit;
use crate::cli::output::Output;
use purlin_api::Result;
use serde_json::Value;
use std::time::Duration;

/// How long to wait for a first message.
const WAIT_MAX: Duration = Duration::from_secs(5);

pub(crate) fn pull(args: &PullArgs, out: &mut Output) -> Exit {
    finish(run(args, out), out)
}

fn run(args: &PullArgs, out: &mut Output) -> Result<()> {
    let service = Service::open(&args.service)?;
    let name = service.subscription(&args.subscription)?;
    let received = ask(service.client.pull_once(&name, args.limit, WAIT_MAX))?;
    if out.json {
        out.print_json(&Value::Array(received.iter().map(show::received).collect()));
    } else {
        for r in &received {
            out.print(&show::message_line(&r.message.clone().unwrap_or_default(), r.delivery_attempt));
        }
        if received.is_empty() {
            out.note("nothing to deliver now\n");
        }
    }
    if args.auto_ack && !received.is_empty() {
        ask(service.client.acknowledge_once(&name, received.into_iter().map(|r| r.ack_id).collect()))?;
    }
    Ok(())
}

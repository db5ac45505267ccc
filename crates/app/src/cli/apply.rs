//! `purlin apply`.

use super::Exit;
use super::args::ApplyArgs;
use super::output::Output;
use super::pubsub::ours;
use crate::pipeline::Pipeline;
use crate::up::apply::Plan;
use crate::up::project::{Entry, Project, Pubsub, emulator};
use crate::up::record::Record;
use crate::up::resources::Needs;
use purlin_api::{ErrorKind, Result};
use purlin_pubsub::{Client, ClientOptions};
use serde_json::{Map, json};
use std::io::{BufRead, IsTerminal};

pub(crate) fn apply(args: &ApplyArgs, out: &mut Output) -> Exit {
    let Some(project) = super::up::open(&args.files, out) else { return Exit::Refused };
    let needs = match needs(&project, args, out) {
        Ok(Some(needs)) => needs,
        Ok(None) => return Exit::Refused,
        Err(e) => {
            out.error(&e);
            return Exit::Refused;
        }
    };
    match run(&project, &needs, args, out) {
        Ok(exit) => exit,
        Err(e) => {
            out.error(&e);
            if e.kind() == ErrorKind::Config { Exit::Refused } else { Exit::Failed }
        }
    }
}

/// What all pipelines need; `None` if one of them is refused, which has been said then.
fn needs(project: &Project, args: &ApplyArgs, out: &mut Output) -> Result<Option<Needs>> {
    let mut needs = Needs::default();
    let given = args.load.pipeline_options(&Map::new())?;
    for entry in &project.pipelines {
        let mut options = given.clone();
        options.variables = variables(entry, &given.variables);
        let pipeline = Pipeline::open(&entry.file, &options)?;
        if out.diagnostics(&pipeline) {
            out.refusal(&pipeline);
            return Ok(None);
        }
        if let Some(spec) = &pipeline.spec {
            needs.add(&entry.file, spec);
        }
    }
    Ok(Some(needs))
}

fn variables(entry: &Entry, given: &Map<String, serde_json::Value>) -> Map<String, serde_json::Value> {
    let mut all = entry.variables.clone();
    all.extend(given.clone());
    all
}

/// Where the project's Pub/Sub is: of one that runs, its broker.
fn host(project: &Project, args: &ApplyArgs) -> Option<String> {
    let running = || Record::read(&project.data).ok().and_then(|r| r.broker).map(|b| b.to_string());
    match &project.pubsub {
        _ if args.service.host.is_some() => args.service.host.clone(),
        Pubsub::At(at) => Some(at.clone()),
        // Without one running, it may be a broker that was started alone.
        Pubsub::Embedded if emulator().is_none() => {
            running().or_else(|| project.broker.map(|b| b.address.to_string()))
        }
        Pubsub::Embedded => running(),
        Pubsub::Variable | Pubsub::Google => None,
    }
}

fn run(project: &Project, needs: &Needs, args: &ApplyArgs, out: &mut Output) -> Result<Exit> {
    let host = host(project, args);
    let client = Client::new(&ClientOptions { host, token: None }).map_err(ours)?;
    let name = client.project(args.service.project.as_deref().or(project.project.as_deref()));
    let plan = Plan::new(&client, name.as_deref(), needs)?;
    if !out.json {
        out.print(&plan.to_text());
    }
    let wanted = plan.has_work() && !args.dry_run;
    let agreed = wanted && (args.yes || (!out.json && asked(out)));
    if agreed {
        plan.carry_out(&client)?;
    }
    if out.json {
        out.print_json(&json!({"steps": plan.to_json(), "applied": agreed}));
    } else if agreed {
        out.note("done\n");
    } else if plan.has_work() {
        out.note(&format!("nothing was changed; `purlin apply {} --yes` does it\n", args.files.join(" ")));
    }
    let undone = plan.has_work() && !agreed;
    Ok(if undone || plan.problems().next().is_some() { Exit::Failed } else { Exit::Success })
}

/// Asks whoever sits there; nobody is asked if input or output is no terminal.
fn asked(out: &mut Output) -> bool {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return false;
    }
    out.note("Do it? [y/N] ");
    let mut line = String::new();
    // Who says nothing does not agree.
    std::io::stdin().lock().read_line(&mut line).is_ok() && matches!(line.trim(), "y" | "Y" | "yes")
}

//! `purlin up`.

use super::Exit;
use super::args::UpArgs;
use super::output::Output;
use crate::up::log;
use crate::up::project::{self, Listen, Project};
use crate::up::record::Record;
use purlin_api::{Error, ErrorKind};
use serde_json::{Map, json};
use std::path::Path;

pub(crate) fn up(args: &UpArgs, out: &mut Output) -> Exit {
    let Some(mut project) = open(&args.files, out) else { return Exit::Refused };
    if let Some(data) = &args.data {
        project.data.clone_from(data);
    }
    if args.checkpoints.is_some() {
        project.checkpoints.clone_from(&args.checkpoints);
    }
    project.http.address = args.http.unwrap_or(project.http.address);
    if let Some(address) = args.broker {
        project.broker = Some(Listen { address, open: project.broker.is_some_and(|b| b.open) });
    }
    if let Some(refused) = [Some(project.http), project.broker]
        .into_iter()
        .flatten()
        .find(|l| !l.address.ip().is_loopback() && !l.open)
    {
        out.error(&Error::new(
            ErrorKind::Config,
            format!(
                "{} can be reached from other machines, and nobody is asked who they are; listen on 127.0.0.1, or \
                 write `{{listen: …, allow_anyone: true}}` in the project file",
                refused.address
            ),
        ));
        return Exit::Refused;
    }
    project.apply &= !args.no_apply;
    let load = match args.load.pipeline_options(&Map::new()) {
        Ok(load) => load,
        Err(e) => {
            out.error(&e);
            return Exit::Refused;
        }
    };
    if let Err(e) = log::start(args.log_format) {
        out.note(&format!("warning: {e}\n"));
    }
    match crate::up::up(&project, load, |record| announce(record, &project, out)) {
        Ok(true) => Exit::Success,
        Ok(false) => Exit::Failed,
        Err(e) => {
            out.error(&e);
            Exit::Refused
        }
    }
}

/// A project from what was named: one project file, pipeline files, or `purlin.yaml` in this folder.
pub(super) fn open(files: &[String], out: &mut Output) -> Option<Project> {
    let refuse = |text: String, out: &mut Output| {
        out.error(&Error::new(ErrorKind::Config, text));
        None
    };
    let default = [project::FILE.to_owned()];
    let files = match files {
        [] if Path::new(project::FILE).is_file() => &default[..],
        [] => {
            let text = format!(
                "there is no `{}` in this folder; write one (`pipelines: [FILE, …]`), or name pipeline files",
                project::FILE
            );
            return refuse(text, out);
        }
        files => files,
    };
    match files {
        [one] if project::is_project(one) => read(one, out),
        files => {
            if let Some(project) = files.iter().find(|f| project::is_project(f)) {
                return refuse(format!("`{project}` is a project: name it alone"), out);
            }
            // One that a project file names may come later; one that was typed just now is a slip.
            if let Some(missing) = files.iter().find(|f| !Path::new(f).exists()) {
                return refuse(
                    format!("there is no file `{missing}`; name pipeline files, or a project file"),
                    out,
                );
            }
            Project::of_files(files).map_err(|e| out.error(&e)).ok()
        }
    }
}

fn read(file: &str, out: &mut Output) -> Option<Project> {
    let read = Project::read(file).map_err(|e| out.error(&e)).ok()?;
    if out.json && read.project.is_none() {
        let list: Vec<_> = read.diagnostics.iter().map(|d| d.to_json(&read.sources)).collect();
        out.print_json(&json!({"project": file, "status": "refused", "diagnostics": list}));
    } else if !read.diagnostics.is_empty() {
        out.note(&format!("{}\n", read.diagnostics.render(&read.sources)));
    }
    read.project
}

fn announce(record: &Record, project: &Project, out: &mut Output) {
    if out.json {
        let broker = record.broker.map(|b| b.to_string());
        out.print(&format!(
            "{}\n",
            json!({"http": record.http.to_string(), "broker": broker, "pid": record.pid, "data": project.data})
        ));
        return;
    }
    let mut text = format!("purlin up: {} of {}\n", pipelines(project.pipelines.len()), project.name);
    if let Some(broker) = record.broker {
        text.push_str(&format!("  broker  {broker}    export PUBSUB_EMULATOR_HOST={broker}\n"));
    }
    text.push_str(&format!(
        "  http    http://{}    /healthz /readyz /metrics /api/v1/pipelines\n",
        record.http
    ));
    text.push_str(&format!("  data    {}\n", project.data.display()));
    out.print(&text);
}

fn pipelines(n: usize) -> String {
    if n == 1 { "1 pipeline".to_owned() } else { format!("{n} pipelines") }
}

//! `purlin plan`: what becomes of the state of a pipeline that was changed.

use super::Exit;
use super::args::PlanArgs;
use super::output::Output;
use crate::checkpoints::is_live;
use crate::pipeline::Pipeline;
use purlin_engine::checkpoint::{Change, Fit};
use serde_json::{Map, Value, json};

pub(crate) fn plan(args: &PlanArgs, options: &Map<String, Value>, out: &mut Output) -> Exit {
    let opened = args.load.pipeline_options(options).and_then(|o| Ok((Pipeline::open(&args.file, &o)?, o)));
    let (mut pipeline, load) = match opened {
        Ok(p) => p,
        Err(e) => {
            out.error(&e);
            return Exit::Refused;
        }
    };
    let plan = pipeline.plan(&load);
    out.diagnostics(&pipeline);
    let Some(plan) = plan else { return out.refusal(&pipeline) };
    let (name, checkpoints) = args.checkpoints.of_file(&args.file);
    let found = match checkpoints.look(&name) {
        Ok(found) => found,
        Err(e) => {
            out.error(&e);
            return Exit::Failed;
        }
    };
    let resumes = found.as_ref().and_then(|c| c.resumes_from());
    let fit = found.as_ref().and_then(|c| c.fit(&plan.graph));
    let good = fit.as_ref().is_none_or(Fit::is_good);
    if out.json {
        let transforms: Vec<Value> = fit.iter().flat_map(|f| &f.transforms).map(change_json).collect();
        out.print_json(&json!({
            "file": args.file,
            "checkpoint": resumes.map(|(epoch, at)| json!({"epoch": epoch, "at": at.to_string()})),
            "resumes": resumes.is_some() && good,
            "transforms": transforms,
        }));
    } else {
        out.print(&match (&fit, resumes) {
            (Some(fit), Some((epoch, at))) => {
                let head = format!("checkpoint {epoch} of {at} in {}\n", checkpoints.folder.display());
                let end = match good {
                    true => "the pipeline goes on from it\n",
                    false => {
                        "the pipeline would be refused: state would be lost (`--from scratch` starts anew)\n"
                    }
                };
                format!("{head}{}{end}", fit.to_text())
            }
            _ if !is_live(&plan) => "the pipeline ends by itself: it has no checkpoints\n".to_owned(),
            _ => format!(
                "no checkpoint in {}: the pipeline starts from scratch\n",
                checkpoints.folder.display()
            ),
        });
    }
    if good { Exit::Success } else { Exit::Refused }
}

fn change_json((label, change): &(String, Change)) -> Value {
    match change {
        Change::Keeps => json!({"transform": label, "state": "keeps"}),
        Change::Gains => json!({"transform": label, "state": "gains"}),
        Change::Loses { was } => json!({"transform": label, "state": "loses", "was": was}),
        Change::Differs { was, is } => json!({"transform": label, "state": "differs", "was": was, "is": is}),
    }
}

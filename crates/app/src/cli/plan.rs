//! `purlin plan`: what becomes of the state of a pipeline that was changed.

use super::Exit;
use super::args::PlanArgs;
use super::explain;
use super::output::Output;
use purlin_engine::checkpoint::{Change, Checkpoints, Fit, From};
use serde_json::{Map, Value, json};

pub(crate) fn plan(args: &PlanArgs, options: &Map<String, Value>, out: &mut Output) -> Exit {
    let plan = match explain::plan(&args.file, &args.load, options, out) {
        Ok(plan) => plan,
        Err(exit) => return exit,
    };
    let (name, checkpoints) = args.checkpoints.of_file(&args.file);
    let uses = plan.graph.is_live() && !args.checkpoints.off && checkpoints.from == From::Checkpoint;
    let found = checkpoints.look(&name).and_then(|found| {
        let found = found.filter(|_| uses);
        // What is damaged is said now, and not when the pipeline starts.
        found.iter().try_for_each(Checkpoints::verify)?;
        Ok(found)
    });
    let found = match found {
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
                let head = format!("checkpoint {epoch} of {at} in {}\n", checkpoints.place);
                let end = match good {
                    true => "the pipeline goes on from it\n",
                    false => {
                        "the pipeline would be refused: state would be lost (`--from scratch` starts anew)\n"
                    }
                };
                format!("{head}{}{end}", fit.to_text())
            }
            _ if !plan.graph.is_live() => "the pipeline ends by itself: it has no checkpoints\n".to_owned(),
            _ if args.checkpoints.off => {
                "the pipeline starts from scratch, and keeps no checkpoints\n".to_owned()
            }
            _ if !uses => format!("the pipeline starts from scratch, whatever is in {}\n", checkpoints.place),
            _ => format!("no checkpoint in {}: the pipeline starts from scratch\n", checkpoints.place),
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

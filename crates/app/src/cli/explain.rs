//! `purlin explain`.

use super::Exit;
use super::args::{ExplainArgs, LoadArgs};
use super::output::Output;
use crate::pipeline::Pipeline;
use purlin_plan::Plan;
use serde_json::{Map, Value};

pub(crate) fn explain(args: ExplainArgs, options: Map<String, Value>, out: &mut Output) -> Exit {
    let plan = match plan(&args.file, &args.load, &options, out) {
        Ok(plan) => plan,
        Err(exit) => return exit,
    };
    if out.json {
        out.print_json(&purlin_plan::to_json(&plan));
        return Exit::Success;
    }
    out.print(&purlin_plan::explain::logical(&plan.graph));
    if args.stages {
        out.print("\n");
        out.print(&purlin_plan::explain::staged(&plan));
    }
    Exit::Success
}

/// The plan of a file, or what to exit with after its problems were printed.
pub(crate) fn plan(
    file: &str,
    load: &LoadArgs,
    options: &Map<String, Value>,
    out: &mut Output,
) -> Result<Plan, Exit> {
    let opened = load.pipeline_options(options).and_then(|o| Ok((Pipeline::open(file, &o)?, o)));
    let (mut pipeline, load) = opened.map_err(|e| {
        out.error(&e);
        Exit::Refused
    })?;
    let plan = pipeline.plan(&load);
    out.diagnostics(&pipeline);
    plan.ok_or_else(|| out.refusal(&pipeline))
}

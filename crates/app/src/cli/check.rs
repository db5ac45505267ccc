//! `purlin check`.

use super::Exit;
use super::args::FilesArgs;
use super::options;
use super::output::{Output, diagnostics_json};
use crate::pipeline::Pipeline;
use crate::report::error_json;
use purlin_plan::guarantee;
use serde_json::{Map, Value, json};

pub(crate) fn check(args: FilesArgs, options: Map<String, Value>, out: &mut Output) -> Exit {
    let load = match args.load.pipeline_options(&options) {
        Ok(load) => load,
        Err(e) => {
            out.error(&e);
            return Exit::Refused;
        }
    };
    out.note(&options::stray_flags(&options, &args.load));
    let (mut exit, mut reports) = (Exit::Success, Vec::new());
    for file in &args.files {
        let mut pipeline = match Pipeline::open(file, &load) {
            Ok(p) => p,
            Err(e) => {
                exit = Exit::Refused;
                reports.push(json!({"pipeline": file, "status": "refused", "error": error_json(&e)}));
                if !out.json {
                    out.error(&e);
                }
                continue;
            }
        };
        let plan = pipeline.plan(&load);
        let good = plan.is_some();
        let promised = plan.map(|p| guarantee::promised(&p.graph, pipeline.delivery()));
        options::warn(&mut pipeline);
        out.diagnostics(&pipeline);
        if !good {
            exit = Exit::Refused;
        } else if !out.json {
            out.print(&format!("{file}: good\n"));
            if let Some(line) = promised.as_ref().and_then(|p| p.line(&pipeline.sources)) {
                out.print(&format!("guarantee: {line}\n"));
            }
        }
        let status = if good { "good" } else { "refused" };
        let promised = promised.map(|p| p.to_json(&pipeline.sources));
        reports.push(json!({
            "pipeline": file, "status": status, "guarantee": promised, "diagnostics": diagnostics_json(&pipeline)
        }));
    }
    if out.json {
        out.print_json(&Value::Array(reports));
    }
    exit
}

//! `purlin check`.

use super::Exit;
use super::args::FilesArgs;
use super::options;
use super::output::{Output, diagnostics_json};
use crate::pipeline::Pipeline;
use crate::report::error_json;
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
        let good = pipeline.plan(&load).is_some();
        options::warn(&mut pipeline);
        out.diagnostics(&pipeline);
        if !good {
            exit = Exit::Refused;
        } else if !out.json {
            out.print(&format!("{file}: good\n"));
        }
        let status = if good { "good" } else { "refused" };
        reports.push(json!({"pipeline": file, "status": status, "diagnostics": diagnostics_json(&pipeline)}));
    }
    if out.json {
        out.print_json(&Value::Array(reports));
    }
    exit
}

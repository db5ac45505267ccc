//! `purlin graph`.

use super::Exit;
use super::args::{GraphArgs, GraphFormat};
use super::output::Output;
use serde_json::{Map, Value};

pub(crate) fn graph(args: GraphArgs, options: Map<String, Value>, out: &mut Output) -> Exit {
    let plan = match super::explain::plan(&args.file, &args.load, &options, out) {
        Ok(plan) => plan,
        Err(exit) => return exit,
    };
    match args.format {
        GraphFormat::Svg => out.print(&purlin_plan::to_svg_staged(&plan)),
        GraphFormat::Dot => out.print(&purlin_plan::to_dot(&plan.graph)),
        GraphFormat::Json => out.print_json(&purlin_plan::to_json(&plan)),
    }
    Exit::Success
}

//! `purlin why`.

use super::Exit;
use super::args::WhyArgs;
use super::data;
use super::output::Output;
use crate::live::door;
use purlin_api::{Error, ErrorKind};
use serde_json::Value;

pub(crate) fn why(args: &WhyArgs, out: &mut Output) -> Exit {
    let given = args.data.as_deref();
    let folder = data::folder(given, out);
    let mut answers = door::ask(&folder.join("run"), args.pipeline.as_deref());
    if let Some(runs) = data::of_runs(given, &folder) {
        answers.extend(door::ask(&runs.join("run"), args.pipeline.as_deref()));
    }
    if answers.is_empty() {
        let text = match &args.pipeline {
            Some(p) => format!(
                "`{p}` is not running in this folder, or does not read an unbounded source; start it with \
                 `purlin run {p}`, and ask from the same folder"
            ),
            None => "no pipeline that reads an unbounded source is running in this folder".to_owned(),
        };
        out.error(&Error::new(ErrorKind::Unavailable, text));
        return Exit::Failed;
    }
    if out.json {
        let states: Vec<Value> = answers.into_iter().map(|a| a.state).collect();
        out.print_json(&Value::Array(states));
    } else {
        for (i, a) in answers.iter().enumerate() {
            out.print(&format!("{}{}", if i > 0 { "\n" } else { "" }, a.text));
        }
    }
    Exit::Success
}

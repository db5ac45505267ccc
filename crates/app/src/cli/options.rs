//! Pipeline options that do nothing here: said, so that a slip in one does not pass in silence.

use super::args::{Cli, LoadArgs};
use crate::pipeline::Pipeline;
use clap::CommandFactory;
use purlin_spec::{Diagnostic, suggest};
use serde_json::{Map, Value};

/// Options of Beam that change nothing here, and so need no warning.
const QUIET: &[&str] = &[
    "streaming",
    "runner",
    "temp_location",
    "yaml_experimental_features",
    "job_name",
    "project",
    "region",
    "save_main_session",
];

/// Warns of what stands under `options:` and has no effect.
pub(crate) fn warn(pipeline: &mut Pipeline) {
    let Some(options) = pipeline.spec.as_ref().and_then(|s| s.options.clone()) else { return };
    for (name, entry) in options.as_map().into_iter().flatten().filter(|(n, _)| !QUIET.contains(&n.as_str()))
    {
        pipeline.diagnostics.push(
            Diagnostic::warning("options/ignored", entry.key, format!("option `{name}` has no effect here"))
                .label("options are for Beam's runners")
                .maybe_help(suggest::did_you_mean(name, QUIET.iter().copied())),
        );
    }
    pipeline.diagnostics.sort();
}

/// A line for each `--name=value` that is no option of ours, no variable and none that Beam is known to take.
pub(crate) fn stray_flags(options: &Map<String, Value>, load: &LoadArgs) -> String {
    let command = Cli::command();
    let mut ours: Vec<&str> =
        command.get_subcommands().flat_map(|c| c.get_arguments()).filter_map(clap::Arg::get_long).collect();
    ours.extend(QUIET);
    options
        .keys()
        .filter(|n| !QUIET.contains(&n.as_str()) && !load.jinja_variable_flags.contains(n))
        .map(|n| {
            let help =
                suggest::nearest(n, ours.iter().copied()).map(|near| format!("; did you mean --{near}?"));
            format!("warning: option --{n} has no effect here{}\n", help.unwrap_or_default())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn a_misspelt_flag_is_named() {
        let cli = Cli::parse_from(["purlin", "run", "p.yaml", "--jinja_variable_flags", "day"]);
        let crate::cli::args::Command::Run(run) = cli.command else { unreachable!("run was parsed") };
        let given = |name: &str| [(name.to_owned(), Value::from("1"))].into_iter().collect::<Map<_, _>>();
        assert_eq!(
            stray_flags(&given("lane"), &run.load),
            "warning: option --lane has no effect here; did you mean --lanes?\n"
        );
        assert_eq!(stray_flags(&given("day"), &run.load), "");
        assert_eq!(stray_flags(&given("runner"), &run.load), "");
    }
}

//! What can be written on the command line.

mod checkpoints;
mod up;

pub use checkpoints::{Begin, CheckpointArgs, CheckpointsCommand, PlanArgs};
pub use up::{ApplyArgs, StatusArgs, UpArgs};

use super::deadletters::args::DeadlettersArgs;
use super::pubsub::args::{PublishArgs, PullArgs, ServiceArgs, SubscribeArgs, SubscriptionsArgs, TopicsArgs};
use crate::generate::Rate;
use crate::pipeline::PipelineOptions;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use purlin_api::{Error, ErrorKind, Micros, Result};
use purlin_engine::UNACKNOWLEDGED_ROWS_MAX;
use serde_json::{Map, Value};
use std::ffi::OsString;
use std::path::PathBuf;

/// Run Apache Beam YAML pipelines natively.
#[derive(Debug, Parser)]
#[command(name = "purlin", version, about, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Print JSON for machines instead of text for people.
    #[arg(long, global = true)]
    pub json: bool,
}

const EXAMPLES: &str = "\
Examples:
  purlin run pipeline.yaml
  purlin run pipeline.yaml --set input=orders.csv --set day=2024-03-05
  purlin check pipelines/*.yaml
  purlin test pipelines/
  purlin explain pipeline.yaml --stages

Exit codes: 0 done, 1 ran and failed, 2 refused (nothing was read or written).";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a pipeline to its end (a stream until it is stopped).
    #[command(after_help = "\
Examples:
  purlin run pipeline.yaml
  purlin run pipeline.yaml --jinja_variables='{\"IN\": \"data\", \"OUT\": \"out\"}'
  purlin run pipeline.yaml --set IN=data --set OUT=out --json
  purlin run live.yaml --until-idle 5s    a stream, until nothing comes for 5 s; windows are closed then
Other `--name=value` options become pipeline options, as in Beam.")]
    Run(RunArgs),
    /// Run a project: a broker and pipelines in one process, until it is stopped.
    #[command(after_help = "\
Examples:
  purlin up                       what `purlin.yaml` in this folder names
  purlin up pipelines/purchases/pipeline.yaml
  purlin up --log-format json
Ctrl-C or SIGTERM stops it in order, a second one at once. `purlin status` says how it stands.")]
    Up(UpArgs),
    /// Say how the pipelines of a running `purlin up` stand.
    #[command(after_help = "Example:\n  purlin status --json\nExit code 1 if some pipeline is not well.")]
    Status(StatusArgs),
    /// Make the topics and subscriptions that pipelines need.
    #[command(after_help = "\
Examples:
  purlin apply                    for what `purlin.yaml` in this folder names
  purlin apply pipeline.yaml --dry-run
  purlin apply pipeline.yaml --yes --host localhost:8085
What is needed stands in pipelines under `x-purlin: resources:`; topics that are written to are made, too.")]
    Apply(ApplyArgs),
    /// Say what a running pipeline waits for: who holds its watermark, since when, and by which rule.
    #[command(after_help = "\
Examples:
  purlin why pipeline.yaml
  purlin why --json       every pipeline that runs in this folder
Ask from the folder that the pipeline was started in.")]
    Why(WhyArgs),
    /// Say what becomes of a live pipeline's state after its file was changed: what goes on, what begins without, what
    /// would be lost.
    #[command(after_help = "Example:\n  purlin plan pipeline.yaml")]
    Plan(PlanArgs),
    /// Look after the places where checkpoints are kept.
    #[command(subcommand)]
    Checkpoints(CheckpointsCommand),
    /// Say everything that is wrong with pipelines, without running them.
    #[command(after_help = "Example:\n  purlin check pipelines/*.yaml --json")]
    Check(FilesArgs),
    /// Show what a pipeline will do: transforms, schemas, windowing, stages.
    #[command(after_help = "Example:\n  purlin explain pipeline.yaml --stages")]
    Explain(ExplainArgs),
    /// Draw a pipeline.
    #[command(
        after_help = "Examples:\n  purlin graph pipeline.yaml > pipeline.svg\n  purlin graph pipeline.yaml --format dot | dot -Tpng > p.png"
    )]
    Graph(GraphArgs),
    /// Run the tests that stand in pipeline files, in virtual time.
    #[command(after_help = "\
Examples:
  purlin test pipeline.yaml
  purlin test pipelines/             every file below that has tests
  purlin test pipeline.yaml --fix    write what the tests gave as what they expect")]
    Test(TestArgs),
    /// Show, mend, replay and drop the rows that failed and were kept by WriteToDeadLetters.
    #[command(after_help = "\
Examples:
  purlin deadletters list orders --state waiting
  purlin deadletters edit k3f9x2ab.1.7 --set amount=12.5
  purlin deadletters replay orders.yaml --all --dry-run
Do it in the folder that the pipeline is started in.")]
    Deadletters(DeadlettersArgs),
    /// Run a server of Google's Pub/Sub API, for any client.
    #[command(after_help = "\
Examples:
  purlin broker
  purlin broker --listen 127.0.0.1:9000 --data /var/lib/purlin/broker
  purlin broker --listen 0.0.0.0:8085 --token SECRET
Clients find it by PUBSUB_EMULATOR_HOST.")]
    Broker(BrokerArgs),
    /// Print the JSON schema of the language, for editors.
    #[command(after_help = "Example:\n  purlin schema > beam-yaml.schema.json")]
    Schema,
    /// Write the reference pages into a folder.
    #[command(hide = true)]
    Reference(ReferenceArgs),
    /// Write made-up orders or purchases, for benchmarks and first steps.
    #[command(after_help = "\
Examples:
  purlin generate orders --count 1000000 --bad 1% --out orders.jsonl
  purlin generate orders --count 100000 --truth truth.json > orders.jsonl
  purlin generate purchases --count 1000 --late 10s --seed 7
  purlin generate purchases --to pubsub://purchases --rate 500/min --csv purchases.csv
Without --rate the same options give the same data on every machine.")]
    Generate(GenerateArgs),
    /// Make, show and remove topics.
    #[command(after_help = "\
Examples:
  purlin topics create orders order-alerts
  purlin topics list --json")]
    Topics(TopicsArgs),
    /// Make, show, move and remove subscriptions.
    #[command(after_help = "\
Examples:
  purlin subscriptions create orders-pipeline --topic orders
  purlin subscriptions seek orders-pipeline --time 2024-03-05T12:00:00Z")]
    Subscriptions(SubscriptionsArgs),
    /// Publish messages to a topic.
    #[command(after_help = "\
Examples:
  purlin publish orders --message '{\"order_id\": 1}' --attribute country=India
  purlin publish orders < orders.jsonl      a message a line")]
    Publish(PublishArgs),
    /// Take some messages from a subscription, once.
    #[command(after_help = "Example:\n  purlin pull orders-pipeline --limit 10 --auto-ack")]
    Pull(PullArgs),
    /// Print messages of a subscription as they come, or run a command for each.
    #[command(after_help = "\
Examples:
  purlin subscribe order-alerts-log
  purlin subscribe order-alerts-log --topic order-alerts --exec ./notify.sh")]
    Subscribe(SubscribeArgs),
    /// Print shell completions.
    #[command(after_help = "Example:\n  purlin completions bash > /etc/bash_completion.d/purlin")]
    Completions(CompletionsArgs),
}

/// What every command that loads pipelines takes.
#[derive(Args, Clone, Debug, Default)]
pub struct LoadArgs {
    /// Jinja variables, as a JSON object.
    #[arg(long = "jinja_variables", alias = "jinja-variables", value_name = "JSON")]
    pub jinja_variables: Option<String>,
    /// Names of other options that are Jinja variables too: `a,b` makes `--a=1 --b=2` variables.
    #[arg(
        long = "jinja_variable_flags",
        alias = "jinja-variable-flags",
        value_name = "NAMES",
        value_delimiter = ','
    )]
    pub jinja_variable_flags: Vec<String>,
    /// One Jinja variable; the value is text. May be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Copy Beam's quirks instead of fixing them.
    #[arg(long = "beam-compat", alias = "beam_compat")]
    pub beam_compat: bool,
    /// Lanes of stages that can have several (default: one a core).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub lanes: Option<u16>,
    /// Divide readers into pieces of this many bytes, however small they are: for tests.
    #[arg(long = "piece-bytes", value_name = "N", hide = true, value_parser = clap::value_parser!(u64).range(1..))]
    pub piece_bytes: Option<u64>,
}

/// `purlin run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// The pipeline file.
    #[arg(value_name = "FILE")]
    pub file: String,
    /// How it is loaded.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Run the file's tests instead of the pipeline.
    #[arg(long)]
    pub tests: bool,
    /// Rows of a batch at most.
    #[arg(long = "batch-rows", value_name = "N", default_value_t = crate::run::BATCH_ROWS as u32, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub batch_rows: u32,
    /// Print no progress and no summary.
    #[arg(long, short)]
    pub quiet: bool,
    /// Dies after every checkpoint and goes on from it: for tests of pipelines that end by themselves.
    #[arg(long = "rehearse-deaths", hide = true)]
    pub rehearse_deaths: bool,
    /// For pipelines that do not end by themselves.
    #[command(flatten)]
    pub live: LiveArgs,
    /// What such a pipeline keeps.
    #[command(flatten)]
    pub checkpoints: CheckpointArgs,
}

/// How a pipeline runs that reads an unbounded source.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Live pipelines")]
pub struct LiveArgs {
    /// When stopped (Ctrl-C, SIGTERM), close all windows and emit what they have. Otherwise open windows stay open:
    /// the next run goes on with them.
    #[arg(long)]
    pub drain: bool,
    /// Stop and drain once the sources gave nothing for this long.
    #[arg(long = "until-idle", value_name = "DURATION", value_parser = duration)]
    pub until_idle: Option<Micros>,
    /// Stop and drain after this long.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub run_for: Option<Micros>,
    /// How often results are committed and messages acknowledged.
    #[arg(long = "commit-every", value_name = "DURATION", default_value = "1s", value_parser = duration)]
    pub commit_every: Micros,
    /// How many rows may wait to be acknowledged because windows are open; beyond that the oldest are acknowledged, and
    /// would be missing in open windows after a crash.
    #[arg(long = "unacked-rows", value_name = "N", default_value_t = UNACKNOWLEDGED_ROWS_MAX, value_parser = clap::value_parser!(u64).range(0..=2 * UNACKNOWLEDGED_ROWS_MAX))]
    pub unacked_rows: u64,
}

impl LiveArgs {
    /// As the engine takes them.
    pub fn options(&self) -> purlin_engine::Live {
        let of = |micros: Micros| std::time::Duration::from_micros(micros.unsigned_abs());
        purlin_engine::Live {
            epoch_every: of(self.commit_every),
            unacknowledged_rows_max: self.unacked_rows,
            until_idle: self.until_idle.map(of),
            run_for: self.run_for.map(of),
        }
    }

    /// The flags that only make sense for such a pipeline and were given.
    pub fn given(&self) -> Vec<&'static str> {
        let flags = [
            ("--drain", self.drain),
            ("--until-idle", self.until_idle.is_some()),
            ("--for", self.run_for.is_some()),
        ];
        flags.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag).collect()
    }
}

/// `purlin why`.
#[derive(Args, Debug)]
pub struct WhyArgs {
    /// The pipeline's file, or its name without folder and ending; all that run here, if it is left out.
    #[arg(value_name = "PIPELINE")]
    pub pipeline: Option<String>,
    /// The data folder of the `purlin up` that runs it (default: that of `purlin.yaml` in this folder, and `.purlin`).
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// `purlin check`.
#[derive(Args, Debug)]
pub struct FilesArgs {
    /// Pipeline files.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<String>,
    /// How they are loaded.
    #[command(flatten)]
    pub load: LoadArgs,
}

/// `purlin explain`.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// The pipeline file.
    #[arg(value_name = "FILE")]
    pub file: String,
    /// How it is loaded.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Show the stages that will run too.
    #[arg(long)]
    pub stages: bool,
}

/// What `purlin graph` prints.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum GraphFormat {
    /// A picture.
    #[default]
    Svg,
    /// Text for Graphviz.
    Dot,
    /// Nodes and edges.
    Json,
}

/// `purlin graph`.
#[derive(Args, Debug)]
pub struct GraphArgs {
    /// The pipeline file.
    #[arg(value_name = "FILE")]
    pub file: String,
    /// How it is loaded.
    #[command(flatten)]
    pub load: LoadArgs,
    /// What to print.
    #[arg(long, value_enum, default_value_t)]
    pub format: GraphFormat,
}

/// `purlin test`.
#[derive(Args, Debug)]
pub struct TestArgs {
    /// Pipeline files, or folders whose `.yaml` files with tests are run.
    #[arg(value_name = "FILE|FOLDER", required = true)]
    pub paths: Vec<String>,
    /// How they are loaded.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Rewrite the expectations of failing tests to what they gave.
    #[arg(long)]
    pub fix: bool,
    /// Run only tests whose name contains this.
    #[arg(long, value_name = "TEXT")]
    pub only: Option<String>,
}

/// `purlin reference`.
#[derive(Args, Debug)]
pub struct ReferenceArgs {
    /// The folder to write into.
    pub folder: PathBuf,
}

/// What `purlin generate` can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dataset {
    /// JSON lines: order_id, customer_id, amount, status, country, event_time.
    Orders,
    /// CSV (in a topic JSON): Customer ID, Purchase Amount, Time Stamp.
    Purchases,
}

impl From<Dataset> for crate::generate::Dataset {
    fn from(d: Dataset) -> Self {
        match d {
            Dataset::Orders => crate::generate::Dataset::Orders,
            Dataset::Purchases => crate::generate::Dataset::Purchases,
        }
    }
}

/// `purlin generate`.
#[derive(Args, Debug)]
pub struct GenerateArgs {
    /// What to write.
    #[arg(value_enum)]
    pub dataset: Dataset,
    /// How many lines (default: 1000; with --rate no end).
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// How many of them are bad, as `1%` or `0.01`.
    #[arg(long, value_name = "SHARE", default_value = "0%", value_parser = per_million)]
    pub bad: u32,
    /// How far event times lie before or after their place in the file, at most.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub late: Micros,
    /// Where the random numbers start.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// The file to write; standard output unless given.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write here what a correct pipeline finds in the data, as JSON.
    #[arg(long, value_name = "FILE", conflicts_with = "rate")]
    pub truth: Option<PathBuf>,
    /// Publish to a topic, each line a message of JSON: `pubsub://TOPIC` or `pubsub://projects/P/topics/TOPIC`.
    /// Attributes: `event_time`, in milliseconds since 1970, and `id`.
    #[arg(long, value_name = "TOPIC", conflicts_with = "out")]
    pub to: Option<String>,
    /// Publish so many, such as `500/min` or `20/s`, as events of the present. Without it all are published at
    /// once, with the times that they have in a file.
    #[arg(long, value_name = "RATE", requires = "to")]
    pub rate: Option<Rate>,
    /// Stop after this time.
    #[arg(long = "for", value_name = "DURATION", requires = "rate", value_parser = duration)]
    pub span: Option<Micros>,
    /// Write what is published to a CSV file too.
    #[arg(long, value_name = "FILE", requires = "to")]
    pub csv: Option<PathBuf>,
    /// Where the service is.
    #[command(flatten)]
    pub service: ServiceArgs,
}

/// A share as a whole number in a million.
fn per_million(text: &str) -> std::result::Result<u32, String> {
    let (number, whole) = match text.trim().strip_suffix('%') {
        Some(number) => (number.trim_end(), 100.0),
        None => (text.trim(), 1.0),
    };
    let share = number.parse::<f64>().map_or(f64::NAN, |n| n / whole);
    if (0.0..=1.0).contains(&share) {
        return Ok((share * 1e6).round() as u32);
    }
    Err("wants a share between `0%` and `100%`".to_owned())
}

/// A span of time that is not negative.
pub(super) fn duration(text: &str) -> std::result::Result<Micros, String> {
    let duration = purlin_spec::types::Duration::parse(text)?;
    if duration.micros() < 0 {
        return Err("must not be negative".to_owned());
    }
    Ok(duration.micros())
}

/// `purlin broker`.
#[derive(Args, Debug)]
pub struct BrokerArgs {
    /// Where to listen; port 0 takes any that is free.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8085")]
    pub listen: std::net::SocketAddr,
    /// The folder for messages and subscriptions; created if it is not there.
    #[arg(long, value_name = "DIR", default_value = ".purlin/broker")]
    pub data: PathBuf,
    /// Answer only calls with `Authorization: Bearer TOKEN`.
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Send `Authorization: Bearer TOKEN` with the pushes of subscriptions that have an `oidc_token`.
    #[arg(long = "push-token", value_name = "TOKEN")]
    pub push_token: Option<String>,
    /// Speak TLS with this certificate (PEM, with what signs it).
    #[arg(long = "tls-cert", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The key of the certificate (PEM).
    #[arg(long = "tls-key", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Listen where other machines can reach it although it asks for no token.
    #[arg(long = "allow-anyone")]
    pub allow_anyone: bool,
}

/// `purlin completions`.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

impl LoadArgs {
    /// The options of loading, with pipeline options that are named as variables.
    pub fn pipeline_options(&self, options: &Map<String, Value>) -> Result<PipelineOptions> {
        let refuse = |m: String| Error::new(ErrorKind::Config, m);
        let mut variables = match &self.jinja_variables {
            None => Map::new(),
            Some(text) => match serde_json::from_str(text) {
                Ok(Value::Object(map)) => map,
                Ok(other) => {
                    return Err(refuse(format!(
                        "--jinja_variables wants a JSON object such as '{{\"name\": \"value\"}}', found {other}"
                    )));
                }
                Err(e) => return Err(refuse(format!("--jinja_variables is not JSON: {e}"))),
            },
        };
        for name in &self.jinja_variable_flags {
            let value = options.get(name).ok_or_else(|| {
                refuse(format!(
                    "--jinja_variable_flags names `{name}`, but there is no option --{name}=VALUE"
                ))
            })?;
            variables.insert(name.clone(), value.clone());
        }
        for pair in &self.set {
            let (name, value) = pair
                .split_once('=')
                .filter(|(n, _)| !n.is_empty())
                .ok_or_else(|| refuse(format!("--set wants NAME=VALUE, found `{pair}`")))?;
            variables.insert(name.to_owned(), Value::String(value.to_owned()));
        }
        let lanes = self.lanes.map_or_else(cores, usize::from);
        Ok(PipelineOptions {
            variables,
            beam_compat: self.beam_compat,
            lanes,
            piece_bytes: self.piece_bytes,
            rewrite: true,
        })
    }
}

/// How many threads the machine runs at once.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Takes `--name=value` options that are not ours off the command line: they become pipeline options.
pub fn split_pipeline_options(args: Vec<OsString>) -> (Vec<OsString>, Map<String, Value>) {
    let command = Cli::command();
    let known = |name: &str| {
        let mut all: Vec<&clap::Arg> = command.get_arguments().collect();
        all.extend(command.get_subcommands().flat_map(clap::Command::get_arguments));
        name == "help"
            || name == "version"
            || all
                .iter()
                .any(|a| a.get_long() == Some(name) || a.get_all_aliases().is_some_and(|l| l.contains(&name)))
    };
    let mut options = Map::new();
    let loads = args
        .get(1)
        .is_some_and(|a| ["run", "check", "explain", "graph", "test"].iter().any(|c| a == c))
        || (args.get(1).is_some_and(|a| a == "deadletters") && args.get(2).is_some_and(|a| a == "replay"));
    let kept = args
        .into_iter()
        .filter(|a| {
            let Some((name, value)) = a.to_str().and_then(|a| a.strip_prefix("--")?.split_once('=')) else {
                return true;
            };
            if !loads || known(name) || name.is_empty() {
                return true;
            }
            options.insert(name.to_owned(), Value::String(value.to_owned()));
            false
        })
        .collect();
    (kept, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_pipeline_are_taken_off_and_ours_are_not() {
        let args = [
            "purlin",
            "run",
            "p.yaml",
            "--runner=DirectRunner",
            "--set=a=b",
            "--beam-compat",
            "--set",
            "c=d",
        ];
        let (kept, options) = split_pipeline_options(args.iter().map(OsString::from).collect());
        assert_eq!(options.get("runner"), Some(&Value::from("DirectRunner")));
        let Command::Run(run) = Cli::try_parse_from(kept).unwrap().command else { panic!("run") };
        let options = run.load.pipeline_options(&options).unwrap();
        assert_eq!(Value::Object(options.variables), serde_json::json!({"a": "b", "c": "d"}));
        assert!(options.beam_compat);
    }

    #[test]
    fn shares_and_durations_are_checked() {
        assert_eq!(per_million("1%"), Ok(10_000));
        assert_eq!(per_million("0.5 %"), Ok(5000));
        assert_eq!(per_million("1"), Ok(1_000_000));
        for wrong in ["", "%", "101%", "-1%", "NaN", "much"] {
            assert!(per_million(wrong).is_err(), "{wrong}");
        }
        assert_eq!(duration("1.5s"), Ok(1_500_000));
        assert!(duration("-1s").is_err() && duration("soon").is_err());
    }

    #[test]
    fn readers_can_hold_more_than_what_may_wait_for_windows() {
        // A reader that is full while an open window waits for its next message would stand still for ever.
        let held = purlin_pubsub::SubscriberOptions::default().messages_held_max as u64;
        assert!(held > 2 * UNACKNOWLEDGED_ROWS_MAX, "{held}");
        assert!(Cli::try_parse_from(["purlin", "run", "p.yaml", "--unacked-rows", "900000"]).is_err());
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}

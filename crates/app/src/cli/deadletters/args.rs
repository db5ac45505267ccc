//! What can be written after `deadletters`.

use crate::cli::args::LoadArgs;
use crate::replay::Death;
use clap::{Args, Subcommand, ValueEnum};
use purlin_api::EventTime;
use purlin_connectors::dead_letters::journal::State;
use std::path::PathBuf;

/// `purlin deadletters`.
#[derive(Args, Debug)]
pub struct DeadlettersArgs {
    /// The data folder of the pipelines (default: that of `purlin.yaml` in this folder, else `.purlin`).
    #[arg(long, value_name = "DIR", global = true)]
    pub data: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: DeadlettersCommand,
}

/// The commands below `purlin deadletters`.
#[derive(Debug, Subcommand)]
pub enum DeadlettersCommand {
    /// Show letters, a line each, and how many there are.
    List(ListArgs),
    /// Show all that is known of letters: the row, the reason, and what was done to them.
    Show {
        /// Their names, or beginnings of them.
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
    /// Change the row that a replay will give back. What was kept stays as it is.
    Edit(EditArgs),
    /// Say that letters are not to be replayed. They stay, and are shown as dropped.
    Drop(DropArgs),
    /// Give letters to the pipeline once more: each to the transform that refused it, at its time and in its window.
    /// Results go to the pipeline's own outputs, each once, however often the command is killed and repeated.
    Replay(Box<ReplayArgs>),
}

/// `purlin deadletters list`.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// The pipeline's file, or its name without folder and ending; all, if it is left out.
    #[arg(value_name = "PIPELINE")]
    pub pipeline: Option<String>,
    /// Only letters in this state.
    #[arg(long, value_enum)]
    pub state: Option<StateName>,
    /// Which letters.
    #[command(flatten)]
    pub wanted: Wanted,
}

/// States on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StateName {
    /// To be worked off.
    Waiting,
    /// Given to the pipeline by a replay.
    Replayed,
    /// Not to be replayed.
    Dropped,
}

impl From<StateName> for State {
    fn from(s: StateName) -> Self {
        match s {
            StateName::Waiting => State::Waiting,
            StateName::Replayed => State::Replayed,
            StateName::Dropped => State::Dropped,
        }
    }
}

/// Which letters.
#[derive(Args, Clone, Debug, Default)]
pub struct Wanted {
    /// Only letters of this transform.
    #[arg(long, value_name = "TRANSFORM")]
    pub transform: Option<String>,
    /// Only letters kept since then: an instant in RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub since: Option<EventTime>,
    /// Only letters kept before then.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub until: Option<EventTime>,
    /// Only letters of which this is true: `FIELD=TEXT`, or `FIELD~TEXT` if the text is part of it. A field is
    /// `reason`, `stack`, `position`, `id`, or a path in the row, such as `customer.name`. May be repeated.
    #[arg(long = "where", value_name = "FIELD~TEXT", value_parser = condition)]
    pub conditions: Vec<Condition>,
}

impl Wanted {
    /// True if nothing was asked for.
    pub fn is_empty(&self) -> bool {
        self.transform.is_none() && self.since.is_none() && self.until.is_none() && self.conditions.is_empty()
    }
}

/// Something that must be true of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// `reason`, `stack`, `position`, `id`, or a path in the row.
    pub field: String,
    /// What it must be, or have in it.
    pub text: String,
    /// Whether it must be just that.
    pub whole: bool,
}

fn condition(text: &str) -> Result<Condition, String> {
    let at = text.find(['~', '=']).filter(|at| *at > 0);
    let at = at.ok_or_else(|| "wants FIELD=TEXT or FIELD~TEXT".to_owned())?;
    let (field, rest) = text.split_at(at);
    let whole = rest.starts_with('=');
    let text = rest.get(1..).unwrap_or_default().to_owned();
    Ok(Condition { field: field.trim().to_owned(), text, whole })
}

fn instant(text: &str) -> Result<EventTime, String> {
    purlin_api::time::parse_rfc3339(text)
        .ok_or_else(|| "wants an instant such as 2024-03-05T12:00:00Z".to_owned())
}

/// `purlin deadletters edit`.
#[derive(Args, Debug)]
pub struct EditArgs {
    /// The letter.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Gives a field of the row another value: JSON, or else text; where the field is text, what is written. Paths go
    /// down: `customer.name`, `items[0].price`. May be repeated.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// Takes the unit that a reader refused (the text of a line, the payload of a message) from a file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["set", "editor"])]
    pub payload_file: Option<PathBuf>,
    /// Opens the row, as JSON, in $EDITOR.
    #[arg(long, conflicts_with = "set")]
    pub editor: bool,
    /// Only say what would be changed.
    #[arg(long)]
    pub dry_run: bool,
}

/// `purlin deadletters drop`.
#[derive(Args, Debug)]
pub struct DropArgs {
    /// Letters, by name or beginning of it.
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// All letters of this pipeline that wait, instead of single ones.
    #[arg(long, value_name = "PIPELINE", conflicts_with = "ids", num_args = 0..=1, default_missing_value = "")]
    pub all: Option<String>,
    /// Which of them.
    #[command(flatten)]
    pub wanted: Wanted,
    /// Only say which would be dropped.
    #[arg(long)]
    pub dry_run: bool,
}

/// `purlin deadletters replay`.
#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// The pipeline file.
    #[arg(value_name = "FILE")]
    pub file: String,
    /// Letters that wait, by name or beginning of it.
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// The pipeline's name, if a project file gives it one that is not that of its file.
    #[arg(long, value_name = "NAME")]
    pub pipeline: Option<String>,
    /// All letters that wait.
    #[arg(long, conflicts_with = "ids")]
    pub all: bool,
    /// Which of them.
    #[command(flatten)]
    pub wanted: Wanted,
    /// Only check, and say which letters would be given to which transforms.
    #[arg(long)]
    pub dry_run: bool,
    /// Die there, as if killed: for tests.
    #[arg(long, value_enum, hide = true)]
    pub die_at: Option<Death>,
    /// How the file is loaded. Variables must be the same as in the run.
    #[command(flatten)]
    pub load: LoadArgs,
}

//! The command line: one file a command.

mod apply;
pub mod args;
mod broker;
mod check;
mod checkpoints;
mod data;
pub mod deadletters;
mod explain;
mod generate;
mod graph;
mod options;
mod output;
mod plan;
pub mod pubsub;
mod run;
mod schema;
mod status;
mod test;
mod up;
mod why;

use args::{Cli, Command};
use clap::Parser;
use output::Output;

pub use schema::reference_pages;
use std::ffi::OsString;
use std::process::ExitCode;

/// How a command ended. The numbers are an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked.
    Success = 0,
    /// It ran and failed: bad rows, a failed test, something outside.
    Failed = 1,
    /// The file (or the command line) was refused; nothing was read or written.
    Refused = 2,
}

impl From<Exit> for ExitCode {
    fn from(e: Exit) -> Self {
        ExitCode::from(e as u8)
    }
}

/// Runs a command line.
pub fn main(args: Vec<OsString>) -> ExitCode {
    let (args, options) = args::split_pipeline_options(args);
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(e) => {
            let refused = e.use_stderr();
            // Standard output may be closed; there is nobody left to tell then.
            let printed = e.print();
            return if refused || printed.is_err() { Exit::Refused } else { Exit::Success }.into();
        }
    };
    let mut out = Output::new(cli.json);
    let exit = match cli.command {
        Command::Run(a) => run::run(a, options, &mut out),
        Command::Up(a) => up::up(&a, &mut out),
        Command::Status(a) => status::status(&a, &mut out),
        Command::Apply(a) => apply::apply(&a, &mut out),
        Command::Why(a) => why::why(&a, &mut out),
        Command::Checkpoints(c) => checkpoints::checkpoints(&c, &mut out),
        Command::Plan(a) => plan::plan(&a, &options, &mut out),
        Command::Check(a) => check::check(a, options, &mut out),
        Command::Explain(a) => explain::explain(a, options, &mut out),
        Command::Graph(a) => graph::graph(a, options, &mut out),
        Command::Test(a) => test::test(a, options, &mut out),
        Command::Generate(a) => generate::generate(a, &mut out),
        Command::Topics(a) => pubsub::topics(&a, &mut out),
        Command::Subscriptions(a) => pubsub::subscriptions(&a, &mut out),
        Command::Publish(a) => pubsub::publish(&a, &mut out),
        Command::Pull(a) => pubsub::pull(&a, &mut out),
        Command::Subscribe(a) => pubsub::subscribe(&a, &mut out),
        Command::Deadletters(a) => deadletters::deadletters(a, options, &mut out),
        Command::Broker(a) => broker::broker(&a, &mut out),
        Command::Schema => schema::schema(&mut out),
        Command::Reference(a) => schema::reference(&a, &mut out),
        Command::Completions(a) => schema::completions(&a, &mut out),
    };
    exit.into()
}

//! What can be written after `up`, `status` and `apply`.

use super::LoadArgs;
use crate::checkpoints::Place;
use crate::cli::pubsub::args::ServiceArgs;
use crate::up::log::Format;
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;

/// `purlin up`.
#[derive(Args, Debug)]
pub struct UpArgs {
    /// A project file, or pipeline files (default: `purlin.yaml` in this folder).
    #[arg(value_name = "FILE")]
    pub files: Vec<String>,
    /// The data folder (default: as the project says, else `.purlin`).
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where checkpoints are, each pipeline's below by its name: a folder, or `s3://BUCKET/PREFIX`, `gs://…`, `az://…`
    /// (default: as the project says, else in the data folder).
    #[arg(long, value_name = "PLACE")]
    pub checkpoints: Option<Place>,
    /// Where the broker listens; port 0 takes any that is free (default: as the project says, else 127.0.0.1:8085).
    #[arg(long, value_name = "ADDRESS")]
    pub broker: Option<SocketAddr>,
    /// Where HTTP is served; port 0 takes any that is free (default: as the project says, else 127.0.0.1:8090).
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<SocketAddr>,
    /// Make no topics and subscriptions.
    #[arg(long = "no-apply")]
    pub no_apply: bool,
    /// How log lines look.
    #[arg(long = "log-format", value_enum, default_value_t)]
    pub log_format: Format,
    /// How pipelines are loaded. Variables win over those of the project.
    #[command(flatten)]
    pub load: LoadArgs,
}

/// `purlin status`.
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// The data folder of the `purlin up` that is asked (default: that of `purlin.yaml` in this folder, else `.purlin`).
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// `purlin apply`.
#[derive(Args, Debug)]
pub struct ApplyArgs {
    /// A project file, or pipeline files (default: `purlin.yaml` in this folder).
    #[arg(value_name = "FILE")]
    pub files: Vec<String>,
    /// Do it without asking.
    #[arg(long, short)]
    pub yes: bool,
    /// Only say what would be done; exit code 1 if that is something.
    #[arg(long = "dry-run", conflicts_with = "yes")]
    pub dry_run: bool,
    /// Where the service is.
    #[command(flatten)]
    pub service: ServiceArgs,
    /// How pipelines are loaded. Variables win over those of the project.
    #[command(flatten)]
    pub load: LoadArgs,
}

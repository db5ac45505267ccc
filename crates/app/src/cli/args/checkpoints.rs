//! Flags about checkpoints.

use super::LoadArgs;
use crate::checkpoints::{CheckpointOptions, DATA, Place};
use crate::live::door;
use crate::up::project::name_of_file;
use clap::{Args, Subcommand, ValueEnum};
use purlin_engine::checkpoint::From;
use std::path::Path;

/// Where a pipeline that does not end by itself begins, and where it keeps what it needs to go on.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Checkpoints of live pipelines")]
pub struct CheckpointArgs {
    /// Where this pipeline's checkpoints are: a folder, or `s3://BUCKET/PREFIX`, `gs://…`, `az://…` (default:
    /// `.purlin/checkpoints/NAME`, by the file's name and place).
    #[arg(long = "checkpoints", value_name = "PLACE")]
    pub place: Option<Place>,
    /// Where to begin: at the last checkpoint if there is one, or at the beginning, whatever was kept.
    #[arg(long = "from", value_enum, default_value_t = Begin::Checkpoint, value_name = "WHERE")]
    pub from: Begin,
    /// Keep no checkpoints: what is in open windows lives in messages that are not acknowledged.
    #[arg(long = "no-checkpoints", conflicts_with_all = ["place", "from"])]
    pub off: bool,
}

/// Where a pipeline begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Begin {
    /// At the last checkpoint, if there is one.
    Checkpoint,
    /// At the beginning.
    Scratch,
}

impl CheckpointArgs {
    /// What a pipeline's file is called, and where its checkpoints are: files of one name have folders of their own.
    pub fn of_file(&self, file: &str) -> (String, CheckpointOptions) {
        let mut options =
            CheckpointOptions::of_pipeline(&Place::in_data(Path::new(DATA)), &door::name_of(file));
        if let Some(place) = &self.place {
            options.place.clone_from(place);
        }
        options.from = match self.from {
            Begin::Checkpoint => From::Checkpoint,
            Begin::Scratch => From::Scratch,
        };
        (name_of_file(file), options)
    }
}

/// The commands below `purlin checkpoints`.
#[derive(Debug, Subcommand)]
pub enum CheckpointsCommand {
    /// Try whether checkpoints can be kept there: that objects can be written, read, listed and deleted, and that none
    /// is ever replaced. What is there already is left alone.
    #[command(after_help = "Example:\n  AWS_REGION=eu-central-1 purlin checkpoints try s3://bucket/shop")]
    Try {
        /// A folder, or `s3://BUCKET/PREFIX`, `gs://…`, `az://…`.
        #[arg(value_name = "PLACE")]
        place: Place,
    },
}

/// `purlin plan`.
#[derive(Args, Debug)]
pub struct PlanArgs {
    /// The pipeline file.
    #[arg(value_name = "FILE")]
    pub file: String,
    /// How it is loaded.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Where its checkpoints are.
    #[command(flatten)]
    pub checkpoints: CheckpointArgs,
}

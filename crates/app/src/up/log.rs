//! Log lines of `purlin up`: text for people, or a JSON object a line.

use purlin_api::operator::LogLevel;
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, fmt};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// An object a line: `timestamp`, `level`, `message`, `pipeline`, `transform`.
    Json,
}

/// Sends log lines to standard error from now on.
///
/// # Errors
/// If that was done before in this process.
pub fn start(format: Format) -> Result<(), String> {
    let ours = Targets::new().with_default(LevelFilter::WARN).with_target("purlin", Level::DEBUG);
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let subscriber = match format {
        Format::Text => Registry::default().with(lines.with_ansi(false).with_filter(ours).boxed()),
        Format::Json => Registry::default().with(lines.json().flatten_event(true).with_filter(ours).boxed()),
    };
    tracing::subscriber::set_global_default(subscriber).map_err(|e| format!("cannot log: {e}"))
}

/// A line that a transform of a pipeline logs.
pub fn of_transform(pipeline: &str, transform: &str, level: LogLevel, text: &str) {
    match level {
        LogLevel::Error => tracing::error!(pipeline, transform, "{text}"),
        LogLevel::Info => tracing::info!(pipeline, transform, "{text}"),
        LogLevel::Debug => tracing::debug!(pipeline, transform, "{text}"),
    }
}

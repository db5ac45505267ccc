//! `purlin run`.

use super::Exit;
use super::args::{RunArgs, cores};
use super::options;
use super::output::Output;
use crate::live::door::{self, Door};
use crate::pipeline::Pipeline;
use crate::rehearse::rehearse;
use crate::report::{Summary, count};
use crate::run::{self, RunOptions};
use indicatif::{ProgressBar, ProgressStyle};
use purlin_api::operator::LogLevel;
use purlin_api::{Environment, ErrorKind, EventTime};
use purlin_engine::NodeStats;
use purlin_engine::clock::{Clock, SystemClock};
use serde_json::{Map, Value};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(crate) fn run(args: RunArgs, options: Map<String, Value>, out: &mut Output) -> Exit {
    if args.tests {
        let test = super::args::TestArgs { paths: vec![args.file], load: args.load, fix: false, only: None };
        return super::test::test(test, options, out);
    }
    let opened = args.load.pipeline_options(&options).and_then(|o| Ok((Pipeline::open(&args.file, &o)?, o)));
    let (mut pipeline, load) = match opened {
        Ok(p) => p,
        Err(e) => {
            out.error(&e);
            return Exit::Refused;
        }
    };
    let plan = pipeline.plan(&load);
    options::warn(&mut pipeline);
    out.diagnostics(&pipeline);
    out.note(&options::stray_flags(&options, &args.load));
    let Some(plan) = plan else { return out.refusal(&pipeline) };
    let (name, checkpoints) = args.checkpoints.of_file(&args.file);
    let run_options = RunOptions {
        batch_rows: args.batch_rows as usize,
        threads: load.lanes.max(cores()),
        log: Arc::new(print_log),
        live: args.live.options(),
        environment: Environment { delivery: pipeline.delivery(), ..run::environment(&name, &args.file) },
        checkpoints: (!args.checkpoints.off).then_some(checkpoints),
    };
    if args.rehearse_deaths && !plan.graph.is_live() {
        let summary = rehearse(&plan, &args.file, &run_options);
        return report(&summary, args.quiet, out);
    }
    let job = match run::job(&plan, &run_options) {
        Ok(job) => job,
        Err(e) => {
            out.error(&e);
            let kind = e.kind();
            return if kind == ErrorKind::Config { Exit::Refused } else { Exit::Failed };
        }
    };
    if !job.is_live() && !args.live.given().is_empty() {
        let flags = args.live.given().join(" and ");
        out.note(&format!("warning: this pipeline ends by itself: {flags} changes nothing\n"));
    }
    if let Err(e) = run::stop_on_signal(job.stop_handle(), args.live.drain) {
        out.note(&format!("warning: {e}\n"));
    }
    if let (Some(status), Some(kept), false) =
        (job.checkpoints(), &run_options.checkpoints, args.quiet || out.json)
    {
        out.note(&format!("{}\n", kept.beginning(status.view())));
    }
    let plan = Arc::new(plan);
    let door = job.watcher().map(|w| Door::open(Path::new(door::FOLDER), &args.file, &plan, w));
    if let Some(Err(e)) = &door {
        out.note(&format!("warning: {e}\n"));
    }
    let progress = Progress::start(job.stats(), job.is_live(), args.quiet || out.json);
    let summary = run::run(job, &plan, &args.file);
    progress.finish();
    drop(door);
    report(&summary, args.quiet, out)
}

fn report(summary: &Summary, quiet: bool, out: &mut Output) -> Exit {
    if out.json {
        out.print_json(&summary.to_json());
    } else if !quiet || !summary.is_success() {
        out.note(&summary.to_text());
    }
    if summary.is_success() { Exit::Success } else { Exit::Failed }
}

pub(super) fn print_log(label: &str, level: LogLevel, text: &str) {
    use std::io::Write;
    let level = match level {
        LogLevel::Error => "ERROR",
        LogLevel::Info => "INFO",
        LogLevel::Debug => "DEBUG",
    };
    // A log that nobody reads is no failure.
    let _gone = writeln!(std::io::stderr().lock(), "{level} {label}: {text}");
}

/// A line that shows how many rows have been read and written, after the first second.
struct Progress {
    done: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Progress {
    #[allow(clippy::disallowed_methods)] // a thread for the terminal: no part of the job
    fn start(stats: Vec<Arc<NodeStats>>, is_live: bool, quiet: bool) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        if quiet {
            return Progress { done, thread: None };
        }
        let flag = done.clone();
        let thread = std::thread::spawn(move || show_progress(&stats, is_live, &flag));
        Progress { done, thread: Some(thread) }
    }

    fn finish(self) {
        self.done.store(true, Ordering::SeqCst);
        if let Some(t) = self.thread {
            t.thread().unpark();
            // It only draws; if it broke down there is nothing to save.
            let _drawn = t.join();
        }
    }
}

fn show_progress(stats: &[Arc<NodeStats>], is_live: bool, done: &AtomicBool) {
    std::thread::park_timeout(Duration::from_secs(1));
    let mut rate = Rate::default();
    let bar = ProgressBar::new(0);
    while !done.load(Ordering::SeqCst) {
        let sum = |of: fn(&NodeStats) -> u64| stats.iter().map(|s| of(s)).sum::<u64>();
        let total = sum(|s| s.read_total.load(Ordering::Relaxed));
        // Sources that do not know how much there is get a count instead of a bar.
        let template = if total > 0 {
            "{bar:30} {percent:>3} %  {elapsed_precise}  {msg}"
        } else {
            "{spinner} {elapsed_precise}  {msg}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_length(total.max(1));
        bar.set_position(sum(|s| s.read_done.load(Ordering::Relaxed)));
        let read = sum(|s| if s.is_source { s.rows_in() } else { 0 });
        let live = if is_live { format!("{}, ", rate.describe(read, stats)) } else { String::new() };
        bar.set_message(format!(
            "{live}read {}, written {}, dead letters {}, late {}",
            count(read),
            count(sum(|s| if s.is_sink { s.rows_in() } else { 0 })),
            count(sum(|s| s.fates().dead)),
            count(sum(|s| s.fates().late)),
        ));
        bar.tick();
        std::thread::park_timeout(Duration::from_millis(200));
    }
    bar.finish_and_clear();
}

/// How fast rows are read, and how far time is.
#[derive(Default)]
struct Rate {
    last: Option<(EventTime, u64)>,
    rows_per_second: f64,
}

impl Rate {
    /// Smoothed over about two seconds, so that it can be read.
    fn describe(&mut self, read: u64, stats: &[Arc<NodeStats>]) -> String {
        let now = SystemClock.now();
        if let Some((then, before)) = self.last.replace((now, read)) {
            let seconds = (now.0 - then.0).max(1) as f64 / 1e6;
            let rate = read.saturating_sub(before) as f64 / seconds;
            self.rows_per_second += (rate - self.rows_per_second) * (seconds / 2.0).min(1.0);
        }
        let marks = stats.iter().filter(|s| s.is_sink).map(|s| s.watermark.load(Ordering::Relaxed));
        let watermark = match marks.min().map(EventTime) {
            Some(t) if t > EventTime::MIN && t < EventTime::MAX => {
                let lag = (now.0.saturating_sub(t.0)).max(0) as f64 / 1e6;
                format!("watermark {} ({lag:.1} s behind)", EventTime(t.0 - t.0.rem_euclid(1_000_000)))
            }
            _ => "no watermark yet".to_owned(),
        };
        format!("{}/s, {watermark}", count(self.rows_per_second.round() as u64))
    }
}

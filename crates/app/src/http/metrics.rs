//! Figures in the text format of Prometheus (OpenMetrics).
//!
//! Counters are those of all runs of a pipeline in this process, so that they never fall.

use crate::report;
use crate::up::Up;
use crate::up::pipe::is_within;
use crate::up::tally::Series;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use purlin_api::EventTime;
use purlin_engine::clock::{Clock, SystemClock};
use std::sync::atomic::{AtomicU64, Ordering};

/// What is answered.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;
type Counters = Family<Labels, Counter>;
type Gauges = Family<Labels, Gauge>;
type Seconds = Family<Labels, Gauge<f64, AtomicU64>>;

/// All families.
#[derive(Default)]
struct Families {
    refused: Gauge,
    up: Gauges,
    well: Gauges,
    restarts: Counters,
    read: Counters,
    rows: Counters,
    rows_out: Counters,
    in_state: Gauges,
    watermark: Seconds,
    lag: Seconds,
    pipeline_lag: Seconds,
    backlog: Gauges,
}

fn small(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl Families {
    fn registry(&self) -> Registry {
        let mut r = Registry::with_prefix("purlin");
        r.register(
            "project_refused",
            "1 while the project file, as it is now, is refused, and what it said before goes on",
            self.refused.clone(),
        );
        r.register("pipeline_up", "1 while the pipeline runs, or has finished", self.up.clone());
        r.register("pipeline_well", "1 if it is up and its file is not refused", self.well.clone());
        r.register("pipeline_restarts", "How often the pipeline failed", self.restarts.clone());
        r.register("pipeline_read_rows", "Rows read by the sources of the pipeline", self.read.clone());
        r.register(
            "transform_rows",
            "Rows that a transform was given, by what became of them: passed, filtered, late, dead",
            self.rows.clone(),
        );
        r.register("transform_output_rows", "Rows that a transform gave, by output", self.rows_out.clone());
        r.register("transform_in_state_rows", "Rows that wait in a transform", self.in_state.clone());
        r.register(
            "transform_watermark_timestamp_seconds",
            "The output watermark of a transform, in seconds since 1970",
            self.watermark.clone(),
        );
        r.register(
            "transform_watermark_lag_seconds",
            "How far the output watermark of a transform is behind the clock",
            self.lag.clone(),
        );
        r.register(
            "pipeline_watermark_lag_seconds",
            "How far the earliest watermark at the ends of the pipeline is behind the clock",
            self.pipeline_lag.clone(),
        );
        r.register(
            "subscription_backlog_messages",
            "Messages of a subscription of this process's broker that are not acknowledged",
            self.backlog.clone(),
        );
        r
    }

    fn count(&self, of_pipe: &Labels, series: &Series, n: u64) {
        let (family, labels) = match series {
            Series::Restarts => (&self.restarts, of_pipe.clone()),
            Series::Read => (&self.read, of_pipe.clone()),
            Series::Rows(transform, fate) => {
                (&self.rows, with(of_pipe, &[("transform", transform), ("fate", fate)]))
            }
            Series::Output(transform, output) => {
                (&self.rows_out, with(of_pipe, &[("transform", transform), ("output", output)]))
            }
        };
        family.get_or_create(&labels).inc_by(n);
    }

    fn fill(&self, up: &Up, now: EventTime) {
        let lag = |t: EventTime| now.0.saturating_sub(t.0).max(0) as f64 / 1e6;
        self.refused.set(i64::from(up.refused().is_some()));
        for (name, waiting) in up.backlogs() {
            self.backlog.get_or_create(&vec![("subscription", name)]).set(small(waiting));
        }
        for pipe in up.pipes() {
            let look = pipe.look();
            let of_pipe: Labels = vec![("pipeline", pipe.name.clone())];
            self.up.get_or_create(&of_pipe).set(i64::from(look.state.is_ready()));
            self.well.get_or_create(&of_pipe).set(i64::from(look.is_well()));
            for (series, n) in pipe.counters(&look) {
                self.count(&of_pipe, &series, n);
            }
            if let Some(t) = look.totals().watermark {
                self.pipeline_lag.get_or_create(&of_pipe).set(lag(t));
            }
            let Some(figures) = &look.figures else { continue };
            for (t, s) in report::transforms(&figures.plan, &figures.stats).iter().zip(&figures.stats) {
                let of = with(&of_pipe, &[("transform", &t.label)]);
                self.in_state.get_or_create(&of).set(small(t.fates.in_state));
                let watermark = EventTime(s.watermark.load(Ordering::Relaxed));
                if is_within(watermark) {
                    self.watermark.get_or_create(&of).set(watermark.0 as f64 / 1e6);
                    self.lag.get_or_create(&of).set(lag(watermark));
                }
            }
        }
    }
}

/// Labels and more of them.
fn with(labels: &Labels, more: &[(&'static str, &str)]) -> Labels {
    labels.iter().cloned().chain(more.iter().map(|(k, v)| (*k, (*v).to_owned()))).collect()
}

/// The figures as they stand.
pub(super) fn text(up: &Up) -> Result<String, std::fmt::Error> {
    let families = Families::default();
    families.fill(up, SystemClock.now());
    let mut out = String::new();
    encode(&mut out, &families.registry())?;
    Ok(out)
}

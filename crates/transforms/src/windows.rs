//! Putting rows into windows.

use arrow_array::UInt32Array;
use purlin_api::trigger::Trigger;
use purlin_api::window::aligned;
use purlin_api::{
    AccumulationMode, Batch, BuildCx, Dict, Error, EventTime, More, OpCx, Operator, Output, OutputRole,
    PlanNode, Port, Result, Running, Shape, Times, Window, WindowFn, Windowing,
};
use purlin_spec::types as spec;
use std::collections::HashMap;
use std::sync::Arc;

/// The windowing that a `windowing:` block means.
pub fn windowing_from_spec(w: &spec::Windowing) -> Windowing {
    let window_fn = match w.window {
        spec::WindowFn::Global => WindowFn::Global,
        spec::WindowFn::Fixed { size, offset } => {
            WindowFn::Fixed { size: size.micros(), offset: shift(offset, size) }
        }
        spec::WindowFn::Sliding { size, period, offset } => {
            WindowFn::Sliding { size: size.micros(), period: period.micros(), offset: shift(offset, period) }
        }
        spec::WindowFn::Sessions { gap } => WindowFn::Sessions { gap: gap.micros() },
    };
    Windowing {
        window_fn,
        trigger: w.trigger.as_ref().map_or(Trigger::Default, trigger),
        accumulation: match w.accumulation_mode {
            None | Some(spec::Accumulation::Discarding) => AccumulationMode::Discarding,
            Some(spec::Accumulation::Accumulating) => AccumulationMode::Accumulating,
            Some(spec::Accumulation::Retracting) => AccumulationMode::Retracting,
        },
        allowed_lateness: w.allowed_lateness.map_or(0, spec::Duration::micros),
        late_output: w.late_output.as_ref().map(|o| o.value.clone()),
    }
}

/// An offset within one period.
fn shift(offset: spec::Duration, period: spec::Duration) -> i64 {
    offset.micros().checked_rem_euclid(period.micros()).unwrap_or(0)
}

fn trigger(t: &spec::Trigger) -> Trigger {
    let boxed = |t: &spec::Trigger| Box::new(trigger(t));
    let list = |l: &[spec::Trigger]| l.iter().map(trigger).collect();
    match t {
        spec::Trigger::Default => Trigger::Default,
        spec::Trigger::AfterWatermark { early, late } => {
            Trigger::AfterWatermark { early: early.as_deref().map(boxed), late: late.as_deref().map(boxed) }
        }
        spec::Trigger::AfterProcessingTime(d) => Trigger::AfterProcessingTime(d.micros()),
        spec::Trigger::AfterCount(n) => Trigger::AfterCount(u64::try_from(*n).unwrap_or(1).max(1)),
        spec::Trigger::Repeatedly(t) => Trigger::Repeatedly(boxed(t)),
        spec::Trigger::AfterAny(l) => Trigger::AfterAny(list(l)),
        spec::Trigger::AfterAll(l) => Trigger::AfterAll(list(l)),
        spec::Trigger::AfterEach(l) => Trigger::AfterEach(list(l)),
    }
}

/// A node that puts the rows of a collection into the windows of `windowing`.
pub fn assign_windows(input: &Shape, windowing: Windowing) -> Arc<dyn PlanNode> {
    let shape = Shape { windowing: Arc::new(windowing), ..input.clone() };
    let outputs = vec![Output { tag: "out".to_owned(), shape, role: OutputRole::Main }];
    Arc::new(AssignNode { outputs })
}

#[derive(Debug)]
struct AssignNode {
    outputs: Vec<Output>,
}

impl PlanNode for AssignNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        self.outputs.first().map(|o| o.shape.windowing.describe()).unwrap_or_default()
    }

    fn columns_needed(&self, outputs: &[Vec<bool>], inputs: &[Shape]) -> Vec<Vec<bool>> {
        inputs.iter().map(|s| crate::common::read_columns(outputs, 0, s.schema.fields().len())).collect()
    }

    fn build(&self, _: &BuildCx) -> Result<Running> {
        let output = self.outputs.first().ok_or_else(|| Error::internal("no output"))?;
        Ok(Running::Operator(Box::new(Assign { window_fn: output.shape.windowing.window_fn.clone() })))
    }
}

#[derive(Debug)]
struct Assign {
    window_fn: WindowFn,
}

impl Operator for Assign {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        let rows = batch.len() as u64;
        let (batch, lost) = assign(batch, &self.window_fn)?;
        cx.fates.passed += rows - lost;
        cx.fates.filtered += lost;
        cx.emit(0, batch);
        Ok(More::No)
    }
}

/// The rows in their windows, by their timestamps. A row in several windows becomes several rows; the
/// number of rows that are in none (sliding windows with gaps between them) is the second result.
pub(crate) fn assign(batch: Batch, window_fn: &WindowFn) -> Result<(Batch, u64)> {
    match window_fn {
        WindowFn::Global => Ok((Batch { windows: Dict::one(Window::Global), ..batch }, 0)),
        WindowFn::Fixed { size, offset } => {
            let windows = fixed(&batch, *size, *offset);
            Ok((Batch { windows, ..batch }, 0))
        }
        WindowFn::Sessions { .. } => {
            let rows = (0..batch.len()).map(|row| first(window_fn, batch.times.get(row)));
            let windows = match &batch.times {
                Times::One(t) => Dict::one(first(window_fn, *t)),
                Times::Each(_) => Dict::from_rows(rows, Window::Global),
            };
            Ok((Batch { windows, ..batch }, 0))
        }
        WindowFn::Sliding { .. } => several(&batch, window_fn),
    }
}

fn first(window_fn: &WindowFn, t: EventTime) -> Window {
    let mut found = None;
    window_fn.assign(t, |w| {
        found.get_or_insert(w);
    });
    found.unwrap_or(Window::Global)
}

fn fixed(batch: &Batch, size: i64, offset: i64) -> Dict<Window> {
    let window = |t: i64| aligned(t, size, offset);
    let times = match &batch.times {
        Times::One(t) => {
            let (start, end) = window(t.0);
            return Dict::one(Window::interval(start, end));
        }
        Times::Each(times) => times,
    };
    let Some(first) = times.first() else {
        let (start, end) = window(0);
        return Dict::one(Window::interval(start, end));
    };
    let mut known: HashMap<i64, u32> = HashMap::new();
    let mut windows = Vec::new();
    let mut find = |t: i64| {
        let (start, end) = window(t);
        let key = *known.entry(start).or_insert_with(|| {
            windows.push(Window::interval(start, end));
            (windows.len() - 1) as u32
        });
        (start, end, key)
    };
    // Neighbours are mostly in one window, or around a border in one of two: look there first.
    let mut last = find(*first);
    let mut before = last;
    let keys = times.iter().map(|t| {
        if *t < last.0 || *t >= last.1 {
            std::mem::swap(&mut last, &mut before);
            if *t < last.0 || *t >= last.1 {
                last = find(*t);
            }
        }
        last.2
    });
    let keys = keys.collect();
    Dict::new(windows, keys)
}

fn several(batch: &Batch, window_fn: &WindowFn) -> Result<(Batch, u64)> {
    let (mut rows, mut windows, mut lost) = (Vec::new(), Vec::new(), 0);
    for row in 0..batch.len() {
        let before = rows.len();
        window_fn.assign(batch.times.get(row), |w| {
            rows.push(row as u32);
            windows.push(w);
        });
        lost += u64::from(rows.len() == before);
    }
    let taken = batch.take(&UInt32Array::from(rows))?;
    Ok((Batch { windows: Dict::from_rows(windows, Window::Global), ..taken }, lost))
}

#[cfg(test)]
mod tests {
    use super::*;
    use purlin_api::testing::{self, Driver};
    use purlin_api::time::SECOND;

    fn run(window_fn: WindowFn, times: &[f64]) -> (Vec<String>, Driver) {
        let rows = times.iter().map(|t| format!(r#"{{"time": {t:?}}}"#)).collect::<Vec<_>>().join(",");
        let json = format!("[{rows}]");
        let node = assign_windows(&testing::shape_of(&json).unwrap(), Windowing::of(window_fn));
        let mut driver = Driver::new(node.as_ref()).unwrap();
        driver.push_json(&json).unwrap();
        driver.end().unwrap();
        let mut all = Vec::new();
        for (_, b) in &driver.emitted {
            for row in 0..b.len() {
                let t = b.times.get(row).0 as f64 / 1e6;
                all.push(format!("{t} {}", crate::python::window_text(b.windows.get(row))));
            }
        }
        (all, driver)
    }

    #[test]
    fn fixed_windows_start_at_multiples() {
        let ten = WindowFn::Fixed { size: 10 * SECOND, offset: 0 };
        let (rows, _) = run(ten.clone(), &[3.0, 12.0, -1.0, 4.5, -10.0, 0.0]);
        assert_eq!(
            rows,
            [
                "3 [0.0, 10.0)",
                "12 [10.0, 20.0)",
                "-1 [-10.0, 0.0)",
                "4.5 [0.0, 10.0)",
                "-10 [-10.0, 0.0)",
                "0 [0.0, 10.0)"
            ]
        );
        let (_, driver) = run(ten, &[3.0, 9.999]);
        assert!(driver.emitted[0].1.windows.single().is_some(), "one window is kept once");
        let shifted = WindowFn::Fixed { size: SECOND / 2, offset: SECOND / 4 };
        assert_eq!(run(shifted, &[0.0, 0.4]).0, ["0 [-0.25, 0.25)", "0.4 [0.25, 0.75)"]);
    }

    #[test]
    fn sliding_windows_copy_rows_and_may_have_gaps() {
        let overlapping = WindowFn::Sliding { size: 20 * SECOND, period: 10 * SECOND, offset: 0 };
        assert_eq!(run(overlapping, &[12.0]).0, ["12 [10.0, 30.0)", "12 [0.0, 20.0)"]);
        let gaps = WindowFn::Sliding { size: 2 * SECOND, period: 10 * SECOND, offset: 0 };
        let (rows, driver) = run(gaps, &[1.0, 5.0]);
        assert_eq!(rows, ["1 [0.0, 2.0)"]);
        assert_eq!((driver.cx.fates.passed, driver.cx.fates.filtered), (1, 1));
    }

    #[test]
    fn sessions_begin_alone() {
        assert_eq!(
            run(WindowFn::Sessions { gap: 10 * SECOND }, &[0.0, 5.0]).0,
            ["0 [0.0, 10.0)", "5 [5.0, 15.0)"]
        );
    }

    #[test]
    fn rows_without_timestamps_share_a_window() {
        let batch = testing::batch(r#"[{"a": 1}, {"a": 2}]"#).unwrap();
        let (batch, _) = assign(batch, &WindowFn::Fixed { size: 3600 * SECOND, offset: 0 }).unwrap();
        let window = batch.windows.single().unwrap();
        assert!(window.start() <= EventTime::MIN && window.end() > EventTime::MIN, "{window:?}");
    }
}

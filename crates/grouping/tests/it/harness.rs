//! Runs a pane driver over numbers, checking at every step what must always hold.

use purlin_api::time::SECOND;
use purlin_api::{AccumulationMode, EventTime, Holds, Pane, Timing, Window, Windowing};
use purlin_grouping::panes::{Cells, Firing, PaneCx, PaneDriver, Placed, TimestampCombiner};
use std::sync::Arc;

/// Cells that hold the values themselves, and know when they are misused.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    cells: Vec<Option<Vec<i64>>>,
}

impl Lists {
    pub(crate) fn get(&mut self, cell: u32) -> &mut Vec<i64> {
        self.cells.get_mut(cell as usize).and_then(Option::as_mut).expect("the cell is live")
    }

    /// All values in all cells.
    pub(crate) fn all(&self) -> Vec<i64> {
        self.cells.iter().flatten().flatten().copied().collect()
    }

    pub(crate) fn live(&self) -> usize {
        self.cells.iter().flatten().count()
    }
}

impl Cells for Lists {
    fn add(&mut self) -> u32 {
        // Numbers are given again, as a real keeper does.
        if let Some(i) = self.cells.iter().position(Option::is_none) {
            self.cells[i] = Some(Vec::new());
            return i as u32;
        }
        self.cells.push(Some(Vec::new()));
        (self.cells.len() - 1) as u32
    }

    fn merge(&mut self, into: u32, from: u32) {
        assert_ne!(into, from);
        let values = std::mem::take(self.get(from));
        self.get(into).extend(values);
    }

    fn clear(&mut self, cell: u32) {
        self.get(cell).clear();
    }

    fn remove(&mut self, cell: u32) {
        self.get(cell);
        self.cells[cell as usize] = None;
    }
}

/// A pane that came out; times in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Out {
    pub(crate) key: String,
    pub(crate) window: Window,
    pub(crate) values: Vec<i64>,
    pub(crate) pane: Pane,
    pub(crate) timestamp: EventTime,
    pub(crate) rows_new: u64,
}

impl Out {
    /// `a [0,10) [1, 2] ON_TIME 0/0 first last @9`
    pub(crate) fn show(&self) -> String {
        let second = |t: EventTime| t.0.div_euclid(SECOND);
        let window = match &self.window {
            Window::Global => "global".to_owned(),
            w => format!("[{},{})", second(w.start()), second(w.end())),
        };
        format!(
            "{} {window} {:?} {} {}/{}{}{} @{}",
            self.key,
            self.values,
            self.pane.timing.name(),
            self.pane.index,
            self.pane.nonspeculative_index,
            if self.pane.is_first { " first" } else { "" },
            if self.pane.is_last { " last" } else { "" },
            if self.timestamp == EventTime::END_OF_GLOBAL_WINDOW {
                "end".to_owned()
            } else {
                second(self.timestamp).to_string()
            },
        )
    }
}

/// A driver with its surroundings.
pub(crate) struct Sim {
    pub(crate) windowing: Arc<Windowing>,
    pub(crate) driver: PaneDriver,
    pub(crate) cells: Lists,
    pub(crate) holds: Holds,
    pub(crate) watermark: EventTime,
    pub(crate) now: EventTime,
    /// The output watermark, as a runner would move it.
    pub(crate) output: EventTime,
    pub(crate) late: Vec<i64>,
}

pub(crate) fn seconds(t: i64) -> EventTime {
    EventTime::from_seconds(t)
}

impl Sim {
    pub(crate) fn new(windowing: Windowing, combiner: TimestampCombiner) -> Self {
        let windowing = Arc::new(windowing);
        Sim {
            driver: PaneDriver::with_combiner(windowing.clone(), combiner),
            windowing,
            cells: Lists::default(),
            holds: Holds::default(),
            watermark: EventTime::MIN,
            now: seconds(0),
            output: EventTime::MIN,
            late: Vec::new(),
        }
    }

    /// A row at `t` seconds, in all its windows.
    pub(crate) fn row(&mut self, key: &str, t: i64, value: i64) -> Vec<Out> {
        let mut windows = Vec::new();
        self.windowing.window_fn.assign(seconds(t), |w| windows.push(w));
        windows.into_iter().flat_map(|w| self.place(key, &w, t, value)).collect()
    }

    fn place(&mut self, key: &str, window: &Window, t: i64, value: i64) -> Vec<Out> {
        let mut fired = Vec::new();
        let mut cx = PaneCx::new(self.watermark, self.now, &mut self.holds);
        match self.driver.on_row(key.as_bytes(), window, seconds(t), &mut cx, &mut self.cells) {
            Placed::Late => self.late.push(value),
            Placed::Cell(cell) => self.cells.get(cell).push(value),
        }
        let promised = self.driver.fires_after_row(&cx);
        self.driver.after_row(&mut cx, &mut self.cells, &mut fired);
        assert_eq!(fired.len(), usize::from(promised), "fires_after_row was wrong");
        self.read(fired)
    }

    /// The watermark moves to `t` seconds.
    pub(crate) fn watermark(&mut self, t: i64) -> Vec<Out> {
        self.watermark_to(seconds(t))
    }

    /// The watermark moves to the end of time.
    pub(crate) fn finish(&mut self) -> Vec<Out> {
        self.watermark_to(EventTime::MAX)
    }

    fn watermark_to(&mut self, t: EventTime) -> Vec<Out> {
        self.watermark = self.watermark.max(t);
        let mut fired = Vec::new();
        let mut cx = PaneCx::new(self.watermark, self.now, &mut self.holds);
        self.driver.on_watermark(&mut cx, &mut self.cells, &mut fired);
        self.read(fired)
    }

    /// The clock moves to `t` seconds, through every timer on the way.
    pub(crate) fn clock(&mut self, t: i64) -> Vec<Out> {
        let mut out = Vec::new();
        loop {
            let next = self.driver.next_timer().filter(|next| *next <= seconds(t));
            self.now = self.now.max(next.unwrap_or(seconds(t)));
            let mut fired = Vec::new();
            let mut cx = PaneCx::new(self.watermark, self.now, &mut self.holds);
            self.driver.on_timer(&mut cx, &mut self.cells, &mut fired);
            out.extend(self.read(fired));
            if next.is_none() {
                return out;
            }
            assert!(self.driver.next_timer().is_none_or(|t| t > self.now), "a timer rings for ever");
        }
    }

    /// Reads and settles panes, then moves the output watermark.
    fn read(&mut self, fired: Vec<Firing>) -> Vec<Out> {
        let mut out = Vec::new();
        for firing in fired {
            let mut values = firing.cell.map(|c| self.cells.get(c).clone()).unwrap_or_default();
            values.sort_unstable();
            assert_eq!(values.len() as u64, firing.rows, "{firing:?}");
            assert!(firing.rows_new <= firing.rows);
            if firing.pane.timing != Timing::Late {
                assert!(firing.timestamp >= self.output, "{firing:?} is behind {:?}", self.output);
            }
            let (start, end) = (firing.window.start(), firing.window.max_timestamp());
            // Sessions without a gap are empty, and their greatest timestamp is before their start.
            let inside = start > end || (start <= firing.timestamp && firing.timestamp <= end);
            assert!(inside, "{firing:?}");
            firing.settle(&mut self.cells);
            out.push(Out {
                key: String::from_utf8(firing.key.to_vec()).expect("text"),
                window: firing.window,
                values,
                pane: firing.pane,
                timestamp: firing.timestamp,
                rows_new: firing.rows_new,
            });
        }
        let held = self.holds.min().unwrap_or(EventTime::MAX);
        assert!(held >= self.output, "a hold at {held:?} behind the output watermark {:?}", self.output);
        self.output = self.output.max(held.min(self.watermark));
        if self.driver.is_empty() {
            assert!(self.holds.is_empty() && self.cells.live() == 0);
        }
        assert!(self.cells.live() <= self.driver.len());
        out
    }

    pub(crate) fn discards(&self) -> bool {
        self.windowing.accumulation == AccumulationMode::Discarding
    }
}

//! Windows, window functions, and the windowing of a collection.

use crate::time::{EventTime, Micros};
use crate::trigger::Trigger;
use std::sync::Arc;

/// A window: a stretch of event time that rows are grouped in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Window {
    /// All of time.
    Global,
    /// `[start, end)`.
    Interval {
        /// First instant inside.
        start: EventTime,
        /// First instant after.
        end: EventTime,
    },
    /// A window made outside: its encoding, and its greatest timestamp.
    Opaque {
        /// The encoded window.
        bytes: Arc<[u8]>,
        /// The greatest timestamp inside.
        max: EventTime,
    },
}

impl Window {
    /// `[start, end)` in microseconds.
    pub fn interval(start: i64, end: i64) -> Self {
        Window::Interval { start: EventTime(start), end: EventTime(end) }
    }

    /// The greatest timestamp inside, in Beam's milliseconds: one millisecond before the end.
    pub fn max_timestamp(&self) -> EventTime {
        match self {
            Window::Global => EventTime::END_OF_GLOBAL_WINDOW,
            Window::Interval { end, .. } => end.plus(-crate::time::MILLISECOND),
            Window::Opaque { max, .. } => *max,
        }
    }

    /// When the watermark has passed the window: the instant at which no row of it is on time.
    pub fn end(&self) -> EventTime {
        match self {
            Window::Global => EventTime::END_OF_GLOBAL_WINDOW,
            Window::Interval { end, .. } => *end,
            Window::Opaque { max, .. } => max.plus(crate::time::MILLISECOND),
        }
    }

    /// First instant inside.
    pub fn start(&self) -> EventTime {
        match self {
            Window::Interval { start, .. } => *start,
            Window::Global | Window::Opaque { .. } => EventTime::MIN,
        }
    }
}

/// How rows are put into windows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WindowFn {
    /// One window for all of time.
    Global,
    /// Windows of `size`, starting at multiples of it plus `offset`.
    Fixed {
        /// Length.
        size: Micros,
        /// Shift of the starts, in `[0, size)`.
        offset: Micros,
    },
    /// Windows of `size` that start every `period`.
    Sliding {
        /// Length.
        size: Micros,
        /// Distance of the starts.
        period: Micros,
        /// Shift of the starts, in `[0, period)`.
        offset: Micros,
    },
    /// A window lasts as long as rows of a key follow each other by less than `gap`.
    Sessions {
        /// Longest silence inside a session, exclusive.
        gap: Micros,
    },
}

impl WindowFn {
    /// True if windows merge at the aggregation.
    pub fn merges(&self) -> bool {
        matches!(self, WindowFn::Sessions { .. })
    }

    /// Calls `each` with every window that a row of this timestamp goes into, earliest start last for
    /// sliding windows (Beam's order).
    pub fn assign(&self, t: EventTime, mut each: impl FnMut(Window)) {
        match *self {
            WindowFn::Global => each(Window::Global),
            WindowFn::Fixed { size, offset } => {
                let (start, end) = aligned(t.0, size, offset);
                each(Window::interval(start, end));
            }
            WindowFn::Sliding { size, period, offset } => {
                let (mut start, _) = aligned(t.0, period, offset);
                while start > t.0.saturating_sub(size) {
                    each(Window::interval(start, start.saturating_add(size)));
                    let Some(next) = start.checked_sub(period) else { break };
                    start = next;
                }
            }
            WindowFn::Sessions { gap } => each(Window::interval(t.0, t.0.saturating_add(gap))),
        }
    }

    /// The name that `explain` prints, such as `fixed(30s)`.
    pub fn describe(&self) -> String {
        let d = describe_micros;
        let shift = |o: Micros| if o == 0 { String::new() } else { format!(", offset {}", d(o)) };
        match *self {
            WindowFn::Global => "global".to_owned(),
            WindowFn::Fixed { size, offset } => format!("fixed({}{})", d(size), shift(offset)),
            WindowFn::Sliding { size, period, offset } => {
                format!("sliding({} every {}{})", d(size), d(period), shift(offset))
            }
            WindowFn::Sessions { gap } => format!("sessions(gap {})", d(gap)),
        }
    }
}

/// The fixed window around `t`: start = t − (t − offset) mod size.
pub fn aligned(t: i64, size: Micros, offset: Micros) -> (i64, i64) {
    let start = t.saturating_sub(t.saturating_sub(offset).rem_euclid(size));
    (start, start.saturating_add(size))
}

/// A duration as an author would write it: `30s`, `5m`, `1.5s`.
pub fn describe_micros(d: Micros) -> String {
    const UNITS: [(Micros, &str); 4] =
        [(86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s")];
    for (unit, name) in UNITS {
        if d != 0 && d % unit == 0 {
            return format!("{}{name}", d / unit);
        }
    }
    if d % 1000 == 0 && d.abs() < 1_000_000 {
        return format!("{}ms", d / 1000);
    }
    format!("{}s", d as f64 / 1e6)
}

/// What later panes of a window contain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AccumulationMode {
    /// Only what came since the last pane.
    #[default]
    Discarding,
    /// All that came so far.
    Accumulating,
    /// All that came so far, after a retraction of the pane before.
    Retracting,
}

/// The windowing of a collection: how rows get windows, when panes fire, how late rows may be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Windowing {
    /// How rows are put into windows.
    pub window_fn: WindowFn,
    /// When panes fire.
    pub trigger: Trigger,
    /// What later panes contain.
    pub accumulation: AccumulationMode,
    /// How long after its end a window takes rows, counted in event time.
    pub allowed_lateness: Micros,
    /// The name of the output that late rows go to, if they are wanted as data.
    pub late_output: Option<String>,
}

impl Windowing {
    /// The windowing of collections that nobody windowed.
    pub fn global() -> Self {
        Windowing::of(WindowFn::Global)
    }

    /// A window function with the default trigger and no lateness.
    pub fn of(window_fn: WindowFn) -> Self {
        Windowing {
            window_fn,
            trigger: Trigger::Default,
            accumulation: AccumulationMode::Discarding,
            allowed_lateness: 0,
            late_output: None,
        }
    }

    /// When a window's state goes: its end plus the allowed lateness.
    pub fn expiry(&self, window: &Window) -> EventTime {
        match window {
            Window::Global => EventTime::END_OF_GLOBAL_WINDOW,
            w => w.end().plus(self.allowed_lateness).min(EventTime::END_OF_GLOBAL_WINDOW),
        }
    }

    /// One line for `explain`.
    pub fn describe(&self) -> String {
        let mut s = self.window_fn.describe();
        if self.trigger != Trigger::Default {
            s.push_str(&format!(", trigger {}", self.trigger.describe()));
            s.push_str(match self.accumulation {
                AccumulationMode::Discarding => ", discarding",
                AccumulationMode::Accumulating => ", accumulating",
                AccumulationMode::Retracting => ", retracting",
            });
        }
        if self.allowed_lateness != 0 {
            s.push_str(&format!(", lateness {}", describe_micros(self.allowed_lateness)));
        }
        s
    }
}

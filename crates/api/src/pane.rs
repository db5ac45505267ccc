//! What is known of a pane: which firing of a window a row comes from.

/// Whether a pane fired before, at, or after the watermark passed the window's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Timing {
    /// Before.
    Early,
    /// At.
    OnTime,
    /// After.
    Late,
    /// Not the result of an aggregation.
    #[default]
    Unknown,
}

impl Timing {
    /// Beam's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Timing::Early => "EARLY",
            Timing::OnTime => "ON_TIME",
            Timing::Late => "LATE",
            Timing::Unknown => "UNKNOWN",
        }
    }
}

/// Beam's `PaneInfo`, all five fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pane {
    /// The first pane of its window and key.
    pub is_first: bool,
    /// The last one that can be.
    pub is_last: bool,
    /// When it fired.
    pub timing: Timing,
    /// 0 for the first pane, then counting.
    pub index: i64,
    /// Counts panes that are not early; −1 for early ones.
    pub nonspeculative_index: i64,
}

impl Pane {
    /// The pane of rows that no aggregation made (Beam's `PANE_INFO_UNKNOWN`).
    pub const UNKNOWN: Pane =
        Pane { is_first: true, is_last: true, timing: Timing::Unknown, index: 0, nonspeculative_index: 0 };
    /// The only pane of a window that fires once, on time.
    pub const ONLY: Pane =
        Pane { is_first: true, is_last: true, timing: Timing::OnTime, index: 0, nonspeculative_index: 0 };
}

impl Default for Pane {
    fn default() -> Self {
        Pane::UNKNOWN
    }
}

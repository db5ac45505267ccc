//! Triggers as data.

use crate::time::Micros;
use crate::window::describe_micros;

/// When panes of a window fire.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// Once when the watermark passes the end of the window, then for every late row.
    Default,
    /// When the watermark passes the end of the window; `early` panes before, `late` ones after.
    AfterWatermark {
        /// Fires (repeatedly) before the end.
        early: Option<Box<Trigger>>,
        /// Fires (repeatedly) after the end.
        late: Option<Box<Trigger>>,
    },
    /// This long, in processing time, after the first row of a pane.
    AfterProcessingTime(Micros),
    /// When a pane has this many rows.
    AfterCount(u64),
    /// Again and again.
    Repeatedly(Box<Trigger>),
    /// When any of them fires.
    AfterAny(Vec<Trigger>),
    /// When all of them have fired.
    AfterAll(Vec<Trigger>),
    /// One after the other.
    AfterEach(Vec<Trigger>),
}

impl Trigger {
    /// As `explain` prints it.
    pub fn describe(&self) -> String {
        let list = |l: &[Trigger]| l.iter().map(Trigger::describe).collect::<Vec<_>>().join(", ");
        match self {
            Trigger::Default => "default".to_owned(),
            Trigger::AfterWatermark { early, late } => {
                let mut parts = Vec::new();
                parts.extend(early.as_ref().map(|t| format!("early {}", t.describe())));
                parts.extend(late.as_ref().map(|t| format!("late {}", t.describe())));
                if parts.is_empty() {
                    "after_watermark".to_owned()
                } else {
                    format!("after_watermark({})", parts.join(", "))
                }
            }
            Trigger::AfterProcessingTime(d) => format!("after_processing_time({})", describe_micros(*d)),
            Trigger::AfterCount(n) => format!("after_count({n})"),
            Trigger::Repeatedly(t) => format!("repeatedly({})", t.describe()),
            Trigger::AfterAny(l) => format!("after_any({})", list(l)),
            Trigger::AfterAll(l) => format!("after_all({})", list(l)),
            Trigger::AfterEach(l) => format!("after_each({})", list(l)),
        }
    }
}

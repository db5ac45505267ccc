//! Whether a checkpoint fits a pipeline that may have been changed since.

use super::manifest::Manifest;
use purlin_plan::Graph;

/// What becomes of the state of a transform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It goes on.
    Keeps,
    /// It begins with none.
    Gains,
    /// The transform is gone, or has no state any more.
    Loses {
        /// What the state that was saved means.
        was: String,
    },
    /// It means something else now.
    Differs {
        /// What the state that was saved means.
        was: String,
        /// What it means now.
        is: String,
    },
}

/// What becomes of all state, by label, in the order of the pipeline (what is gone comes last).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    /// Transforms with state, before or now.
    pub transforms: Vec<(String, Change)>,
}

impl Fit {
    pub(crate) fn new(saved: &Manifest, graph: &Graph) -> Self {
        let mut transforms = Vec::new();
        for node in &graph.nodes {
            let old = saved.transform(&node.label);
            let was = old.filter(|t| saved.has_state(t)).and_then(|t| t.means.clone());
            let change = match (was, node.node.state().map(|s| s.means)) {
                (None, None) => continue,
                // It had none so far, which it keeps.
                (None, is) if old.is_some_and(|t| t.means == is) => Change::Keeps,
                (None, Some(_)) => Change::Gains,
                (Some(was), None) => Change::Loses { was },
                (Some(was), Some(is)) if was == is => Change::Keeps,
                (Some(was), Some(is)) => Change::Differs { was, is },
            };
            transforms.push((node.label.clone(), change));
        }
        for old in saved.transforms.iter().filter(|t| saved.has_state(t)) {
            if graph.nodes.iter().all(|n| n.label != old.label)
                && let Some(was) = old.means.clone()
            {
                transforms.push((old.label.clone(), Change::Loses { was }));
            }
        }
        Fit { transforms }
    }

    /// True if nothing that was kept is lost.
    pub fn is_good(&self) -> bool {
        self.transforms.iter().all(|(_, c)| matches!(c, Change::Keeps | Change::Gains))
    }

    /// A line a transform, for people.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (label, change) in &self.transforms {
            let line = match change {
                Change::Keeps => format!("  = {label}: keeps its state\n"),
                Change::Gains => format!("  + {label}: begins without state\n"),
                Change::Loses { was } => format!("  - {label}: its state would be lost ({was})\n"),
                Change::Differs { was, is } => {
                    format!("  ! {label}: its state does not fit\n      was {was}\n      is  {is}\n")
                }
            };
            text.push_str(&line);
        }
        text
    }
}

//! Types that several configs share: durations, expressions, error outputs, windowing.

mod duration;
mod expression;
mod trigger;
mod windowing;

#[cfg(test)]
mod tests;

pub use duration::Duration;
pub use expression::{Code, Expression, Snippet};
pub use trigger::Trigger;
pub(crate) use windowing::parse_text as parse_windowing_text;
pub use windowing::{Accumulation, WindowFn, Windowing};

use crate::config::Spanned;

crate::config! {
    /// Where rows that fail go, instead of failing the run.
    pub struct ErrorHandling {
        /// Name of the error output; another transform must read `Name.output`.
        pub output: Spanned<String>,
        /// Fraction of failed rows (0 to 1) in a window above which the run fails all the same.
        pub threshold: Option<f64>,
    }
}

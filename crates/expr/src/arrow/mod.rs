//! Between Arrow columns and Python values.

mod column;
mod store;

pub(crate) use column::Column;
pub(crate) use store::{Misfit, build, conform};

//! The program: the only crate that knows all the others.
//!
//! [`pipeline`] takes a file from text to a plan, [`run`] runs it, [`report`] says what happened;
//! [`cli`] is the command line around them.

pub mod checkpoints;
pub mod cli;
pub mod generate;
pub mod http;
pub mod live;
pub mod loader;
pub mod pipeline;
pub mod probe;
pub mod rehearse;
pub mod replay;
pub mod report;
pub mod run;
pub mod testing;
pub mod up;

use purlin_api::Catalog;

/// Every transform and connector of this build.
pub fn catalog() -> Catalog {
    Catalog::new([purlin_transforms::catalog(), purlin_connectors::catalog()])
}

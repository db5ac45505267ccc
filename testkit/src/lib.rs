//! Development only: the repository's own checks (`tests/tidy`), the cases that pipelines are judged by
//! (`cases/`), the scripts behind `make`, and what all fuzzers share.

pub mod fuzz;

//! Development only: the repository's own checks (`tests/tidy`), the cases that pipelines are judged by
//! (`cases/`), and the scripts behind `make`.

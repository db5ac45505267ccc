//! Dead letters: rows that failed, kept until somebody mends, replays or drops them.
//!
//! A pipeline's letters lie in a folder `DATA/deadletters/PIPELINE/`. [`store`] reads it, [`journal`] keeps what was done
//! to letters, [`Summary`](store::Summary) says what became of all of them. The writer appends files of letters and
//! nothing else; the journal belongs to the commands of people. So both may work at the same time.
//!
//! **Invariants.** What was kept is never changed: an edit is a line in the journal. A line that was damaged is told
//! with its file and number, and hides no other. `kept = waiting + replayed + dropped`.

pub mod config;
pub mod edit;
pub mod journal;
pub mod letter;
pub mod replay;
pub mod store;

mod lines;
mod required;
mod rows;
pub(crate) mod sink;
mod wrap;
mod writer;

#[cfg(test)]
mod tests;

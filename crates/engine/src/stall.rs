//! Why nothing moves.

use purlin_api::Error;

/// The error for a job in which nothing can go on: who waits for what.
pub(crate) fn stalled(waiting: &[String]) -> Error {
    const SHOWN_MAX: usize = 20;
    let mut text = "the job stalled: nothing is left to do, but these have not ended:".to_owned();
    for line in waiting.iter().take(SHOWN_MAX) {
        text.push_str("\n  ");
        text.push_str(line);
    }
    if waiting.len() > SHOWN_MAX {
        text.push_str(&format!("\n  and {} more", waiting.len() - SHOWN_MAX));
    }
    Error::internal(text)
}

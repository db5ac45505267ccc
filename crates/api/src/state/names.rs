//! Names of tables of which there are as many as a transform has inputs.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// All that were asked for: few, and the same ones again and again.
static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// `NAME NUMBER`.
pub fn numbered(name: &str, number: usize) -> &'static str {
    let text = format!("{name} {number}");
    // Nothing panics while it is locked.
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(text.as_str()) {
        return known;
    }
    let new: &'static str = Box::leak(text.into_boxed_str());
    names.insert(new);
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_made_once() {
        let a = numbered("rows", 3);
        assert_eq!((a, numbered("rows", 4)), ("rows 3", "rows 4"));
        assert!(std::ptr::eq(a, numbered("rows", 3)));
    }
}

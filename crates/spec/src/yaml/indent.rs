//! Lines inside of `{…}`, `[…]` and quotes that stand too far to the left.
//!
//! YAML 1.2 wants them deeper than what they belong to. PyYAML does not look at the indentation there, and
//! real files close a brace below the key that opened it. Space before such a line means nothing, so it is
//! added, until the parser is content.

use saphyr_parser::{Parser, ScanError};
use std::collections::BTreeMap;

/// So many lines are moved at most: each costs a run of the parser.
const LINES_MAX: usize = 200;

/// The text with such lines moved to the right, and which were moved by how much; `None` if this is not
/// what is wrong with it.
pub(super) fn mended(text: &str, error: &ScanError) -> Option<(String, BTreeMap<u32, u32>)> {
    let indentation = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let deep = text.lines().map(indentation).max()? + 1;
    let mut moved: BTreeMap<usize, u32> = BTreeMap::new();
    let mut error = error.clone();
    for _ in 0..LINES_MAX {
        let at = error.marker().line();
        let line = match error.info() {
            "invalid indentation" | "invalid indentation in flow construct" => at,
            // The place is that of the first quote.
            "invalid indentation in quoted scalar" => {
                let further = text.lines().zip(1..).skip(at);
                further
                    .filter(|(l, n)| !l.trim().is_empty() && !moved.contains_key(n))
                    .map(|(_, n)| n)
                    .next()?
            }
            _ => return None,
        };
        if moved.insert(line, u32::try_from(deep).ok()?).is_some() {
            return None;
        }
        let lines = text.split_inclusive('\n').zip(1..);
        let spaces = " ".repeat(deep);
        let pieces = lines.map(|(l, n)| if moved.contains_key(&n) { [spaces.as_str(), l] } else { ["", l] });
        let wider: String = pieces.flatten().collect();
        let mut parser = Parser::new_from_str(&wider);
        let mut next = None;
        while let Some(event) = parser.next_event() {
            if let Err(e) = event {
                next = Some(e);
                break;
            }
        }
        match next {
            Some(e) => error = e,
            None => {
                let moved = moved.into_iter().map(|(n, by)| Some((u32::try_from(n).ok()?, by)));
                return Some((wider, moved.collect::<Option<_>>()?));
            }
        }
    }
    None
}

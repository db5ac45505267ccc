//! Names in `--where` that no letter has: mostly slips.

use super::args::{Condition, Wanted};
use super::{Output, Shelf};
use purlin_connectors::dead_letters::edit::member;
use purlin_spec::suggest;
use serde_json::Value;
use std::collections::BTreeSet;

/// What can be asked of every letter.
const OF_LETTERS: [&str; 4] = ["reason", "id", "stack", "position"];

/// Which of the names that were asked for there are.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// Those that some letter has.
    found: BTreeSet<String>,
    /// The fields of all rows.
    known: BTreeSet<String>,
    has_letters: bool,
}

impl Fields {
    /// Looks at the letters of a pipeline.
    pub(super) fn look(&mut self, shelf: &Shelf, wanted: &Wanted) {
        let asked: Vec<&Condition> = of_rows(wanted).collect();
        if asked.is_empty() {
            return;
        }
        for letter in &shelf.contents.letters {
            self.has_letters = true;
            let Ok(row) = serde_json::from_str::<Value>(shelf.journal.given(letter).element.get()) else {
                continue;
            };
            self.known.extend(row.as_object().into_iter().flatten().map(|(name, _)| name.clone()));
            let found = asked.iter().filter(|c| member(&row, &c.field).is_some());
            self.found.extend(found.map(|c| c.field.clone()));
        }
    }

    /// Says which names no letter has.
    pub(super) fn tell(&self, wanted: &Wanted, out: &mut Output) {
        for c in of_rows(wanted).filter(|c| self.has_letters && !self.found.contains(&c.field)) {
            let known = || OF_LETTERS.into_iter().chain(self.known.iter().map(String::as_str));
            let near = suggest::nearest(&c.field, known());
            let near = near.map(|n| format!("did you mean `{n}`? ")).unwrap_or_default();
            out.note(&format!(
                "note: no letter has a field `{}`; {near}There are {}, and of the rows {}\n",
                c.field,
                OF_LETTERS.join(", "),
                self.known.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
            ));
        }
    }
}

fn of_rows(wanted: &Wanted) -> impl Iterator<Item = &Condition> {
    wanted.conditions.iter().filter(|c| !OF_LETTERS.contains(&c.field.as_str()))
}

//! `purlin deadletters`: rows that failed, from looking at them to giving them back.

pub mod args;
mod drop;
mod edit;
mod fields;
mod list;
mod replay;
mod show;

use super::Exit;
use super::data;
use super::output::Output;
use crate::up::project::name_of_file;
use args::{Condition, DeadlettersArgs, DeadlettersCommand, Wanted};
use purlin_api::{Error, ErrorKind, Result};
use purlin_connectors::dead_letters::edit::member;
use purlin_connectors::dead_letters::journal::{Journal, State};
use purlin_connectors::dead_letters::letter::{Letter, draw_name, told};
use purlin_connectors::dead_letters::store::{Contents, Store};
use serde_json::{Map, Value, json};
use std::path::Path;

pub(crate) fn deadletters(args: DeadlettersArgs, options: Map<String, Value>, out: &mut Output) -> Exit {
    let data = &data::folder(args.data.as_deref(), out);
    let done = match args.command {
        DeadlettersCommand::List(a) => {
            let elsewhere = data::of_runs(args.data.as_deref(), data);
            list::list(&a, data, out).inspect(|_| list::tell_of_others(elsewhere, out))
        }
        DeadlettersCommand::Show { ids } => show::show(&ids, data, out),
        DeadlettersCommand::Edit(a) => edit::edit(&a, data, out),
        DeadlettersCommand::Drop(a) => drop::drop(&a, data, out),
        DeadlettersCommand::Replay(a) => replay::replay(&a, &options, data, out),
    };
    done.unwrap_or_else(|e| {
        out.error(&e);
        if e.kind() == ErrorKind::Config { Exit::Refused } else { Exit::Failed }
    })
}

/// A pipeline's letters, read.
struct Shelf {
    pipeline: String,
    store: Store,
    contents: Contents,
    journal: Journal,
}

impl Shelf {
    fn open(data: &Path, pipeline: &str) -> Result<Self> {
        let store = Store::new(data, pipeline);
        let journal = Journal::read(&store)?;
        let contents = store.read()?;
        Ok(Shelf { pipeline: pipeline.to_owned(), store, contents, journal })
    }

    /// Reads what can be read, for looking at it.
    fn look(data: &Path, pipeline: &str) -> Result<Self> {
        let store = Store::new(data, pipeline);
        let (journal, damaged) = Journal::look(&store)?;
        let mut contents = store.read()?;
        contents.damaged.extend(damaged);
        Ok(Shelf { pipeline: pipeline.to_owned(), store, contents, journal })
    }

    /// Says what cannot be read. Answers whether there is something.
    fn tell_damage(&self, out: &mut Output) -> bool {
        for e in &self.contents.damaged {
            out.note(&format!("error: {}\n", e.message()));
        }
        !self.contents.damaged.is_empty()
    }

    /// The letters that are asked for, in a state if one is given.
    fn wanted<'s>(&'s self, wanted: &'s Wanted, state: Option<State>) -> impl Iterator<Item = &'s Letter> {
        self.contents
            .letters
            .iter()
            .filter(move |l| state.is_none_or(|s| self.journal.state(&l.id) == s) && self.matches(wanted, l))
    }

    fn matches(&self, wanted: &Wanted, letter: &Letter) -> bool {
        wanted.transform.as_ref().is_none_or(|t| *t == letter.transform)
            && wanted.since.is_none_or(|t| letter.kept_us >= t.0)
            && wanted.until.is_none_or(|t| letter.kept_us < t.0)
            && wanted.conditions.iter().all(|c| self.holds(c, letter))
    }

    fn holds(&self, condition: &Condition, letter: &Letter) -> bool {
        let is = |text: &str| {
            if condition.whole { text == condition.text } else { text.contains(&condition.text) }
        };
        match condition.field.as_str() {
            "reason" => is(self.reason(letter)),
            "id" => is(&letter.id),
            "stack" => is(&letter.stack),
            "position" => letter.position.as_deref().is_some_and(is),
            path => {
                let row = serde_json::from_str::<Value>(self.journal.given(letter).element.get());
                row.ok().as_ref().and_then(|row| member(row, path)).is_some_and(|v| match v {
                    Value::String(text) => is(text),
                    other => is(&other.to_string()),
                })
            }
        }
    }

    /// Why it failed the last time.
    fn reason<'s>(&'s self, letter: &'s Letter) -> &'s str {
        let again = self.journal.fate(&letter.id).and_then(|f| f.reason.as_deref());
        again.unwrap_or(&letter.reason)
    }

    /// The letter of this name, or the only one whose name begins so.
    fn find(&self, id: &str) -> Vec<&Letter> {
        let all = &self.contents.letters;
        match all.iter().find(|l| l.id == id) {
            Some(letter) => vec![letter],
            None => all.iter().filter(|l| l.id.starts_with(id)).collect(),
        }
    }

    fn json(&self, letter: &Letter) -> Value {
        let given = self.journal.given(letter);
        json!({
            "id": letter.id, "pipeline": self.pipeline, "state": self.journal.state(&letter.id).name(),
            "attempts": self.journal.attempts(&letter.id), "kept_at": letter.kept_at, "time": letter.time,
            "window": letter.window.map(|_| window_text(letter)),
            "transform": letter.transform, "reason": self.reason(letter), "stack": letter.stack,
            "position": letter.position, "message": letter.message,
            "element": told(given.element.get(), given.row),
        })
    }
}

/// Refuses to change a letter whose state is decided, or that a replay has taken.
fn must_be_free(shelf: &Shelf, letter: &Letter) -> Result<()> {
    let refuse = |why: String| Err(Error::new(ErrorKind::Config, format!("letter {} {why}", letter.id)));
    if let Some(open) = shelf.journal.unfinished.as_ref().filter(|u| u.letters.contains(&letter.id)) {
        return refuse(format!(
            "belongs to replay {}, which was interrupted; `purlin deadletters replay FILE` completes it",
            open.run
        ));
    }
    match shelf.journal.state(&letter.id) {
        State::Waiting => Ok(()),
        other => refuse(format!("is {} and does not wait any more", other.name())),
    }
}

fn window_text(letter: &Letter) -> String {
    let window = letter.window();
    format!("{} to {}", window.start().to_rfc3339(), window.end().to_rfc3339())
}

/// The shelf and the place of each letter named; each is to be found in one pipeline only.
fn find_all(ids: &[String], data: &Path, only: Option<&str>) -> Result<Vec<(Shelf, Vec<Letter>)>> {
    let names = match only {
        Some(name) => vec![name_of_file(name)],
        None => Store::pipelines(data)?,
    };
    let shelves = names.iter().map(|name| Shelf::look(data, name)).collect::<Result<Vec<_>>>()?;
    let mut found: Vec<Vec<Letter>> = vec![Vec::new(); shelves.len()];
    for id in ids {
        let hits: Vec<(usize, &Letter)> = shelves
            .iter()
            .enumerate()
            .flat_map(|(i, s)| s.find(id).into_iter().map(move |l| (i, l)))
            .collect();
        match hits.as_slice() {
            [(shelf, letter)] => {
                if let Some(of) = found.get_mut(*shelf).filter(|of| of.iter().all(|l| l.id != letter.id)) {
                    of.push((*letter).clone());
                }
            }
            [] => {
                let text = format!("there is no letter `{id}`; `purlin deadletters list` shows all");
                return Err(Error::new(ErrorKind::Config, text));
            }
            [(_, a), (_, b), ..] => {
                let text = format!("{} letters begin with `{id}`, such as {} and {}", hits.len(), a.id, b.id);
                return Err(Error::new(ErrorKind::Config, text));
            }
        }
    }
    Ok(shelves.into_iter().zip(found).filter(|(_, letters)| !letters.is_empty()).collect())
}

//! What was done to letters, in order: a file that only grows.

use super::letter::Letter;
use super::lines;
use super::store::{JOURNAL, Store};
use super::writer::{failed, now_us};
use purlin_api::{Error, EventTime, Result};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};

const WHAT: &str = "journal of dead letters";

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Note {
    /// When, for people.
    pub at: String,
    /// What.
    pub what: Event,
}

/// What may happen to letters.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The row was changed; the last change counts.
    Edited(Edited),
    /// They are not to be replayed.
    Dropped {
        /// Which.
        letters: Vec<String>,
        /// By which rule.
        by: String,
    },
    /// A replay takes these letters. Nothing of it has been seen outside.
    Began {
        /// Its name.
        run: String,
        /// Which letters, each once.
        letters: Vec<String>,
    },
    /// A replay has done its work, and all that it will show is safe. From here on it can only be completed.
    Prepared {
        /// Its name.
        run: String,
        /// The letters that failed again; all others were replayed.
        failed: Vec<FailedAgain>,
        /// What its writers answered.
        writers: Vec<Answer>,
    },
    /// All that a replay made can be seen.
    Done {
        /// Its name.
        run: String,
    },
    /// A replay failed before anything of it could be seen.
    Failed {
        /// Its name.
        run: String,
        /// Why.
        why: String,
    },
}

/// A row that was changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Edited {
    /// Its letter.
    pub letter: String,
    /// The row, for people.
    pub element: Box<RawValue>,
    /// The row with its types.
    pub row: String,
}

/// A letter that was replayed and failed where it had failed before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedAgain {
    /// Which.
    pub letter: String,
    /// Why this time.
    pub reason: String,
    /// Where.
    pub stack: String,
}

/// What a writer answered when it was asked to prepare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The label of its transform.
    pub transform: String,
    /// In base 64.
    pub prepared: String,
}

/// Where a letter stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// To be worked off.
    #[default]
    Waiting,
    /// A replay has given it to the pipeline.
    Replayed,
    /// Somebody said that it is not to be replayed.
    Dropped,
}

impl State {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Replayed => "replayed",
            State::Dropped => "dropped",
        }
    }
}

/// What became of a letter that something was done to.
#[derive(Clone, Debug, Default)]
pub struct Fate {
    /// Where it stands.
    pub state: State,
    /// How often it was replayed.
    pub replays: u64,
    /// The reason of its last failure, if it failed again.
    pub reason: Option<String>,
    /// Its row, if it was changed.
    pub edited: Option<Edited>,
    /// All of it in words: when, and what.
    pub history: Vec<(String, String)>,
}

/// A replay that was not brought to its end.
#[derive(Clone, Debug)]
pub struct Unfinished {
    /// Its name.
    pub run: String,
    /// Its letters.
    pub letters: Vec<String>,
    /// If it was prepared: what its writers answered.
    pub prepared: Option<Vec<Answer>>,
    failed: Vec<FailedAgain>,
}

impl Unfinished {
    /// The letters that failed again, if it was prepared.
    pub fn failed(&self) -> &[FailedAgain] {
        &self.failed
    }
}

/// The journal, as far as it was written.
#[derive(Debug, Default)]
pub struct Journal {
    fates: HashMap<String, Fate>,
    /// Letters by replay, of all replays.
    runs: BTreeMap<String, BTreeSet<String>>,
    /// The last replay, if it was not brought to its end. One is under way at a time.
    pub unfinished: Option<Unfinished>,
}

/// The row to give back for a letter.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// For people.
    pub element: &'a RawValue,
    /// With its types.
    pub row: &'a str,
}

impl Journal {
    /// Reads the journal of a store; without one nothing has been done.
    ///
    /// # Errors
    /// If a line is damaged: then nobody knows what became of the letters.
    pub fn read(store: &Store) -> Result<Self> {
        let (journal, damaged) = Journal::look(store)?;
        match damaged.first() {
            None => Ok(journal),
            Some(e) => Err(Error::data(format!(
                "{}; it tells what became of the letters, so that nothing is done to them before it is restored",
                e.message()
            ))),
        }
    }

    /// Reads what can be read, for looking at it, and what is damaged.
    ///
    /// # Errors
    /// If the file cannot be read, or is of another version.
    pub fn look(store: &Store) -> Result<(Self, Vec<Error>)> {
        let path = store.folder().join(JOURNAL);
        let (mut journal, mut damaged) = (Journal::default(), Vec::new());
        if path.exists() {
            lines::read::<Note>(&path, WHAT, |_, note| match note {
                Ok(note) => journal.apply(&note),
                Err(e) => damaged.push(e),
            })?;
        }
        Ok((journal, damaged))
    }

    fn apply(&mut self, note: &Note) {
        let at = note.at.as_str();
        let tell = |fates: &mut HashMap<String, Fate>, letter: &String, text: String| {
            fates.entry(letter.clone()).or_default().history.push((at.to_owned(), text));
        };
        match &note.what {
            Event::Edited(edited) => {
                tell(&mut self.fates, &edited.letter, format!("edited to {}", edited.element.get()));
                self.fates.entry(edited.letter.clone()).or_default().edited = Some(edited.clone());
            }
            Event::Dropped { letters, by } => {
                for letter in letters {
                    tell(&mut self.fates, letter, format!("dropped ({by})"));
                    self.fates.entry(letter.clone()).or_default().state = State::Dropped;
                }
            }
            Event::Began { run, letters } => {
                letters.iter().for_each(|l| tell(&mut self.fates, l, format!("taken by replay {run}")));
                self.runs.insert(run.clone(), letters.iter().cloned().collect());
                let letters = letters.clone();
                self.unfinished =
                    Some(Unfinished { run: run.clone(), letters, prepared: None, failed: Vec::new() });
            }
            Event::Prepared { failed, writers, .. } => {
                if let Some(open) = &mut self.unfinished {
                    open.prepared = Some(writers.clone());
                    open.failed.clone_from(failed);
                }
            }
            Event::Done { run } => {
                let Some(open) = self.unfinished.take() else { return };
                let failed: HashMap<&String, &FailedAgain> =
                    open.failed.iter().map(|f| (&f.letter, f)).collect();
                for letter in &open.letters {
                    let text = match failed.get(letter) {
                        Some(f) => format!("failed again in replay {run}: {}", f.reason),
                        None => format!("replayed in {run}"),
                    };
                    tell(&mut self.fates, letter, text);
                    let fate = self.fates.entry(letter.clone()).or_default();
                    fate.replays += 1;
                    match failed.get(letter) {
                        Some(f) => fate.reason = Some(f.reason.clone()),
                        None => fate.state = State::Replayed,
                    }
                }
            }
            Event::Failed { run, why } => {
                let Some(open) = self.unfinished.take() else { return };
                for letter in &open.letters {
                    tell(&mut self.fates, letter, format!("replay {run} failed and showed nothing: {why}"));
                }
            }
        }
    }

    /// What became of a letter; nothing was done to it if there is no answer.
    pub fn fate(&self, letter: &str) -> Option<&Fate> {
        self.fates.get(letter)
    }

    /// Where a letter stands.
    pub fn state(&self, letter: &str) -> State {
        self.fate(letter).map_or(State::Waiting, |f| f.state)
    }

    /// How often the row of a letter was tried: once when it failed, and in each replay.
    pub fn attempts(&self, letter: &str) -> u64 {
        1 + self.fate(letter).map_or(0, |f| f.replays)
    }

    /// The letters of a replay.
    pub fn letters_of(&self, run: &str) -> BTreeSet<String> {
        self.runs.get(run).cloned().unwrap_or_default()
    }

    /// The row to give back for a letter: as it was edited, else as it was kept.
    pub fn given<'a>(&'a self, letter: &'a Letter) -> Given<'a> {
        match self.fate(&letter.id).and_then(|f| f.edited.as_ref()) {
            Some(edited) => Given { element: &edited.element, row: &edited.row },
            None => Given { element: &letter.element, row: &letter.row },
        }
    }

    /// Adds a line, and makes it safe before it returns.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&mut self, store: &Store, what: Event) -> Result<()> {
        let note = Note { at: EventTime(now_us()).to_rfc3339(), what };
        append(store, &lines::line(&note)?)?;
        self.apply(&note);
        Ok(())
    }
}

fn append(store: &Store, line: &[u8]) -> Result<()> {
    let path = store.folder().join(JOURNAL);
    let io = |e| failed("write", &path, e);
    let mut file =
        OpenOptions::new().create(true).read(true).write(true).truncate(false).open(&path).map_err(io)?;
    let end = whole(&mut file).map_err(io)?;
    // What stands behind the last whole line was never said to be written.
    file.set_len(end).map_err(io)?;
    file.seek(SeekFrom::Start(end)).map_err(io)?;
    if end == 0 {
        file.write_all(&lines::header(WHAT, "")?).map_err(io)?;
    }
    file.write_all(line).and_then(|()| file.sync_all()).map_err(io)?;
    if end == 0 {
        let folder = store.folder();
        File::open(folder).and_then(|f| f.sync_all()).map_err(|e| failed("sync the folder", folder, e))?;
    }
    Ok(())
}

/// Where the last whole line of a file ends.
fn whole(file: &mut File) -> std::io::Result<u64> {
    const STEP: u64 = 1 << 16;
    let mut end = file.seek(SeekFrom::End(0))?;
    while end > 0 {
        let start = end.saturating_sub(STEP);
        file.seek(SeekFrom::Start(start))?;
        let mut piece = Vec::new();
        Read::by_ref(file).take(end - start).read_to_end(&mut piece)?;
        if let Some(at) = memchr::memrchr(b'\n', &piece) {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

//! The folder of a pipeline's letters.

use super::journal::{Fate, Journal, State};
use super::letter::{Letter, Line};
use super::lines;
use purlin_api::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

/// What files of letters say that they are.
pub(super) const LETTERS: &str = "dead letters";
/// The folder below the data folder.
const FOLDER: &str = "deadletters";
/// The name of the journal.
pub(super) const JOURNAL: &str = "journal.jsonl";
/// Longest name of a pipeline in a path, in characters.
const NAME_CHARS_MAX: usize = 100;

/// A pipeline's letters.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

/// What could be read.
#[derive(Debug, Default)]
pub struct Contents {
    /// Letters, in the order of files and lines.
    pub letters: Vec<Letter>,
    /// What could not, each with file and line.
    pub damaged: Vec<Error>,
}

/// What became of a pipeline's letters: `kept = waiting + replayed + dropped`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// All.
    pub kept: u64,
    /// Those to be worked off.
    pub waiting: u64,
    /// Those that a replay has given to the pipeline.
    pub replayed: u64,
    /// Those that somebody dropped.
    pub dropped: u64,
    /// Lines of files of letters that cannot be read: letters that are not among those kept.
    pub damaged: u64,
}

/// Held while letters are worked on; given back when dropped.
#[derive(Debug)]
pub struct Guard {
    _file: File,
}

impl Store {
    /// The store of a pipeline of this name below a data folder. It need not exist.
    pub fn new(data: &Path, pipeline: &str) -> Self {
        let safe = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' };
        let name: String = pipeline.chars().map(safe).take(NAME_CHARS_MAX).collect();
        let name = name.trim_start_matches('.');
        let name = if name.is_empty() { "pipeline" } else { name };
        Store { folder: data.join(FOLDER).join(name) }
    }

    /// The names of all pipelines that have letters, sorted.
    ///
    /// # Errors
    /// If the data folder cannot be read.
    pub fn pipelines(data: &Path) -> Result<Vec<String>> {
        let folder = data.join(FOLDER);
        let mut names: Vec<String> = files(&folder)?
            .into_iter()
            .filter(|p| p.is_dir())
            .filter_map(|p| Some(p.file_name()?.to_str()?.to_owned()))
            .collect();
        names.sort();
        Ok(names)
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn file_name(run: &str, epoch: u64) -> String {
        format!("letters-{run}-{epoch:06}.jsonl")
    }

    /// Reads all letters.
    ///
    /// # Errors
    /// If the folder cannot be read, or a file is of another version.
    pub fn read(&self) -> Result<Contents> {
        let mut paths: Vec<PathBuf> = files(&self.folder)?.into_iter().filter(|p| is_letters(p)).collect();
        paths.sort();
        let mut contents = Contents::default();
        let mut seen: BTreeMap<String, PathBuf> = BTreeMap::new();
        for path in paths {
            let Contents { letters, damaged } = read_file(&path)?;
            contents.damaged.extend(damaged);
            for letter in letters {
                match seen.get(&letter.id) {
                    Some(first) => contents.damaged.push(Error::data(format!(
                        "`{}` has the letter {} that `{}` has too: one of the files was copied",
                        path.display(),
                        letter.id,
                        first.display()
                    ))),
                    None => {
                        seen.insert(letter.id.clone(), path.clone());
                        contents.letters.push(letter);
                    }
                }
            }
        }
        Ok(contents)
    }

    /// Keeps others from working on these letters. Pipelines that keep letters are not hindered.
    ///
    /// # Errors
    /// If somebody does work on them, or there are none.
    pub fn lock(&self) -> Result<Guard> {
        let path = self.folder.join(".lock");
        let shown = path.display().to_string();
        let made = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = made.map_err(|e| Error::io("open", &shown, e))?;
        match file.try_lock() {
            Ok(()) => Ok(Guard { _file: file }),
            Err(std::fs::TryLockError::WouldBlock) => Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "another command works on these letters (`{shown}` is locked); try again when it has ended"
                ),
            )),
            Err(std::fs::TryLockError::Error(e)) => Err(Error::io("lock", &shown, e)),
        }
    }
}

/// What became of the letters of a pipeline.
///
/// # Errors
/// If they cannot be read, or the journal is damaged.
pub fn counts(data: &Path, pipeline: &str) -> Result<Summary> {
    let store = Store::new(data, pipeline);
    let journal = Journal::read(&store)?;
    let contents = store.read()?;
    Ok(Summary::of(&contents, &journal))
}

impl Summary {
    /// Counts letters by what the journal says of them.
    pub fn of(contents: &Contents, journal: &Journal) -> Self {
        let mut sum = Summary { damaged: contents.damaged.len() as u64, ..Summary::default() };
        for letter in &contents.letters {
            sum.kept += 1;
            match journal.fate(&letter.id).map_or(State::Waiting, |f: &Fate| f.state) {
                State::Waiting => sum.waiting += 1,
                State::Replayed => sum.replayed += 1,
                State::Dropped => sum.dropped += 1,
            }
        }
        sum
    }
}

fn is_letters(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    name.starts_with("letters-") && name.ends_with(".jsonl")
}

/// What is in a folder; nothing if there is no such folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let io = |e| Error::io("read the folder", &folder.display().to_string(), e);
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|e| e.map(|e| e.path()).map_err(io)).collect(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(io(e)),
    }
}

fn read_file(path: &Path) -> Result<Contents> {
    let mut contents = Contents::default();
    let (mut last, mut end) = (1, None);
    let header = lines::read::<Line>(path, LETTERS, |number, line| {
        last = number;
        match line {
            Ok(Line::Letter(letter)) => contents.letters.push(*letter),
            Ok(Line::End(count)) => end = Some(count),
            Err(e) => contents.damaged.push(e),
        }
    })?;
    for letter in &mut contents.letters {
        letter.file = header.as_ref().map(|h| h.file.clone()).unwrap_or_default();
    }
    let read = contents.letters.len() as u64;
    if end.is_none_or(|count| count > read + contents.damaged.len() as u64) {
        let why = match end {
            Some(count) => format!("it has {read} letters where {count} were written"),
            None => "it was cut off: its last line is missing, and maybe letters before it".to_owned(),
        };
        contents.damaged.push(lines::damaged(path, last + 1, &why));
    }
    Ok(contents)
}

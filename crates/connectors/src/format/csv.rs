//! Rows of fields between delimiters, read and written as pandas does.

pub(crate) mod cell;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod infer;
pub(crate) mod split;

#[cfg(test)]
mod tests;

use crate::shared::scan::Framing;
use std::collections::{HashMap, HashSet};

/// How a CSV file is laid out.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// Between fields.
    pub(crate) delimiter: u8,
    /// Around fields that hold delimiters or line ends.
    pub(crate) quote: Option<u8>,
    /// Starts a comment.
    pub(crate) comment: Option<u8>,
    /// Takes the meaning of the character behind it.
    pub(crate) escape: Option<u8>,
    /// Whether the first row names the columns.
    pub(crate) header: bool,
    /// Names that replace those of the header.
    pub(crate) names: Option<Vec<String>>,
    /// Lines passed over.
    pub(crate) skip: SkipLines,
    /// Blank lines are passed over; otherwise they are rows of nulls.
    pub(crate) skip_blank: bool,
    /// Spaces after a delimiter are dropped.
    pub(crate) skip_space: bool,
    /// Texts that mean null.
    pub(crate) nulls: cell::Nulls,
    /// Texts that are truth values.
    pub(crate) truths: cell::Truths,
    /// How numbers are written.
    pub(crate) numbers: cell::Numbers,
    /// Rows before the header.
    pub(crate) before_header: u64,
    /// Most rows of each file.
    pub(crate) rows_max: Option<u64>,
    /// Numbers with leading zeros are numbers, as in Beam.
    pub(crate) beam_compat: bool,
}

/// Lines to pass over, counted from the beginning of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum SkipLines {
    /// None.
    #[default]
    None,
    /// That many at the beginning.
    First(u64),
    /// These, from 0.
    These(HashSet<u64>),
}

impl SkipLines {
    /// True for a line (from 1) to pass over.
    pub(crate) fn has(&self, line: u64) -> bool {
        match self {
            SkipLines::None => false,
            SkipLines::First(n) => line <= *n,
            SkipLines::These(lines) => line.checked_sub(1).is_some_and(|l| lines.contains(&l)),
        }
    }
}

impl Default for Layout {
    fn default() -> Self {
        Layout {
            delimiter: b',',
            quote: Some(b'"'),
            comment: None,
            escape: None,
            header: true,
            names: None,
            skip: SkipLines::None,
            skip_blank: true,
            skip_space: false,
            nulls: cell::Nulls::default(),
            truths: cell::Truths::default(),
            numbers: cell::Numbers::default(),
            before_header: 0,
            rows_max: None,
            beam_compat: false,
        }
    }
}

impl Layout {
    /// How files are divided into records.
    pub(crate) fn framing(&self) -> Framing {
        let Layout { delimiter, quote, comment, skip_space, escape, .. } = *self;
        Framing::Csv { delimiter, quote, comment, skip_space, escape }
    }

    /// True for a record that holds nothing: blank, or only a comment.
    pub(crate) fn is_blank(&self, record: &str) -> bool {
        let blank = |c: char| (c == ' ' || c == '\t') && c != char::from(self.delimiter);
        let rest = record.trim_start_matches(blank);
        match rest.as_bytes().first() {
            None => self.skip_blank,
            Some(b) => Some(*b) == self.comment,
        }
    }
}

/// Names of columns from a header row: an empty one becomes `Unnamed: N`, a further one of the same name
/// gets `.1`, `.2`, ... (pandas' rules).
pub(crate) fn column_names<'a>(header: impl Iterator<Item = &'a str>) -> Vec<String> {
    let given: Vec<String> = header
        .enumerate()
        .map(|(i, name)| if name.is_empty() { format!("Unnamed: {i}") } else { name.to_owned() })
        .collect();
    let mut taken: HashSet<String> = HashSet::with_capacity(given.len());
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut names = Vec::with_capacity(given.len());
    for name in &given {
        let mut unique = name.clone();
        while !taken.insert(unique.clone()) {
            let n = counts.entry(name).or_insert(0);
            *n += 1;
            unique = format!("{name}.{n}");
        }
        names.push(unique);
    }
    names
}

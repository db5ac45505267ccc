//! Types of CSV columns from the beginning of a file.

use super::cell::{CellType, Seen};
use super::split::Fields;
use super::{Layout, column_names};
use crate::format::text::utf8;
use crate::shared::records::Records;
use bytes::Bytes;
use purlin_api::Result;

/// What the beginning of a file shows.
#[derive(Debug)]
pub(crate) struct Sample {
    /// Names and types of the columns, in the file's order.
    pub(crate) columns: Vec<(String, CellType)>,
    /// How many rows were looked at.
    pub(crate) rows: usize,
    /// True if more of the file would tell more.
    pub(crate) wants_more: bool,
    /// The first cell of each column that is not null.
    pub(crate) firsts: Vec<Option<String>>,
}

/// Looks at up to `rows_max` rows of a file's beginning; `whole` says that `head` is all of the file.
/// `None`: the file has no row that could name or count the columns.
///
/// # Errors
/// A file that is not text.
pub(crate) fn sample(head: &Bytes, whole: bool, layout: &Layout, rows_max: usize) -> Result<Option<Sample>> {
    let input = std::io::Cursor::new(head.clone());
    let mut records = Records::new(Box::new(input), "", layout.framing(), head.len().max(1));
    let mut names = if layout.header { None } else { layout.names.clone() };
    let (mut seen, mut fields, mut rows) = (Vec::<Seen>::new(), Fields::default(), 0);
    let (mut cut, mut before_header) = (false, layout.before_header);
    let mut firsts = Vec::new();
    let rows_max =
        layout.rows_max.map_or(rows_max, |n| rows_max.min(usize::try_from(n).unwrap_or(usize::MAX)));
    while rows < rows_max.max(1) {
        let Some(record) = records.next()? else { break };
        let (bytes, line, fault) = (record.bytes.to_vec(), record.line, record.fault);
        // The last record of a head may go on behind it.
        if !whole && records.position().0 >= head.len() as u64 {
            cut = true;
            break;
        }
        if layout.skip.has(line) || fault.is_some() {
            continue;
        }
        let Ok(text) = utf8(&bytes) else { continue };
        if layout.is_blank(text) {
            continue;
        }
        if names.is_none() && before_header > 0 {
            before_header -= 1;
            continue;
        }
        fields.split(text, layout);
        let Some(names) = &mut names else {
            names = Some(match (&layout.names, layout.header) {
                (Some(names), true) => names.clone(),
                (None, true) => column_names(fields.iter(text)),
                // pandas numbers the columns of files without a header.
                (_, false) => (0..fields.len()).map(|i| i.to_string()).collect(),
            });
            if !layout.header {
                note(&mut firsts, &fields, text, layout);
                add(&mut seen, &fields, text, layout, fields.len());
                rows += 1;
            }
            continue;
        };
        if fields.len() <= names.len() {
            note(&mut firsts, &fields, text, layout);
            add(&mut seen, &fields, text, layout, names.len());
            rows += 1;
        }
    }
    let wants_more = !whole && (cut || rows < rows_max);
    let Some(names) = names else {
        return Ok(wants_more.then(|| Sample { columns: Vec::new(), rows, wants_more, firsts }));
    };
    let types = names.iter().enumerate().map(|(i, _)| seen.get(i).copied().unwrap_or_default().cell_type());
    let columns = names.iter().cloned().zip(types).collect();
    Ok(Some(Sample { columns, rows, wants_more, firsts }))
}

fn note(firsts: &mut Vec<Option<String>>, fields: &Fields, text: &str, layout: &Layout) {
    for (i, cell) in fields.iter(text).enumerate() {
        if firsts.len() <= i {
            firsts.push(None);
        }
        if let Some(first) = firsts.get_mut(i).filter(|f| f.is_none() && !layout.nulls.has(cell)) {
            *first = Some(cell.to_owned());
        }
    }
}

fn add(seen: &mut Vec<Seen>, fields: &Fields, text: &str, layout: &Layout, columns: usize) {
    seen.resize(columns.max(seen.len()), Seen::default());
    for (i, s) in seen.iter_mut().enumerate() {
        match fields.get(text, i) {
            Some(cell) => s.add(cell, layout),
            None => s.add_null(),
        }
    }
}

//! Bundles on the pipe: rows out, results in.

use arrow_array::builder::BinaryBuilder;
use arrow_array::{Array, BinaryArray};
use purlin_api::{Error, ErrorKind, Result};

/// The body of a message that asks for `rows[from..to]`.
pub(crate) fn request(rows: &BinaryArray, from: usize, to: usize) -> Vec<u8> {
    let count = to.saturating_sub(from);
    let mut body = Vec::with_capacity(4 + count * 4 + rows.values().len());
    body.extend(narrow(count).to_le_bytes());
    for row in (from..to).filter(|r| *r < rows.len()) {
        let bytes = rows.value(row);
        body.extend(narrow(bytes.len()).to_le_bytes());
        body.extend(bytes);
    }
    body
}

/// Arrow's arrays end at 2 GiB, and so does what is in them.
fn narrow(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The results of a bundle, row by row, one column for each job.
pub(crate) struct Results {
    columns: Vec<BinaryBuilder>,
    bytes: usize,
    /// Rows that have all their results.
    pub(crate) rows: usize,
}

impl Results {
    pub(crate) fn new(jobs: usize) -> Self {
        Results { columns: (0..jobs).map(|_| BinaryBuilder::new()).collect(), bytes: 0, rows: 0 }
    }

    /// Takes the body of a message with results of at most `rows_max` rows.
    pub(crate) fn take(&mut self, body: &[u8], rows_max: usize) -> Result<()> {
        let broken = || Error::internal("the python3 worker sent results that cannot be read");
        let mut rest = body;
        let number = |rest: &mut &[u8]| {
            let (head, tail) = rest.split_first_chunk::<4>().ok_or_else(broken)?;
            *rest = tail;
            Ok::<usize, Error>(u32::from_le_bytes(*head) as usize)
        };
        let rows = number(&mut rest)?;
        if rows > rows_max {
            return Err(broken());
        }
        for _ in 0..rows {
            for column in &mut self.columns {
                let length = number(&mut rest)?;
                let (bytes, tail) = rest.split_at_checked(length).ok_or_else(broken)?;
                rest = tail;
                self.bytes = self.bytes.saturating_add(length);
                if i32::try_from(self.bytes).is_err() {
                    let text = "the values of a batch from python3 need more than 2 GiB: use smaller batches";
                    return Err(Error::new(ErrorKind::Exhausted, text));
                }
                column.append_value(bytes);
            }
        }
        self.rows += rows;
        if rest.is_empty() { Ok(()) } else { Err(broken()) }
    }

    /// A row that failed in all jobs.
    pub(crate) fn fail(&mut self, failure: &[u8]) {
        self.columns.iter_mut().for_each(|c| c.append_value(failure));
        self.bytes = self.bytes.saturating_add(failure.len());
        self.rows += 1;
    }

    pub(crate) fn finish(mut self) -> Vec<BinaryArray> {
        self.columns.iter_mut().map(BinaryBuilder::finish).collect()
    }
}

/// A failure in the script's encoding: a tuple of message and traceback.
pub(crate) fn failure(message: &str) -> Vec<u8> {
    let mut out = b"(\x02\0\0\0".to_vec();
    for text in [message, message] {
        out.push(b'u');
        out.extend(narrow(text.len()).to_le_bytes());
        out.extend(text.as_bytes());
    }
    out
}

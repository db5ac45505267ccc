//! Files of lines, each with a checksum, that only grow.

use purlin_api::{Error, ErrorKind, Result, key};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// The longest line that is read: some times the longest record of a reader.
const LINE_BYTES_MAX: u64 = 1 << 30;
/// The format that is written.
const VERSION: u32 = 1;

/// What a file begins with.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    /// What is in it.
    pub(super) purlin: String,
    /// The version of its format.
    pub(super) version: u32,
    /// The pipeline's file.
    pub(super) file: String,
}

#[derive(Serialize)]
struct Out<'a> {
    sum: String,
    of: &'a RawValue,
}

#[derive(Deserialize)]
struct In<'a> {
    sum: &'a str,
    #[serde(borrow)]
    of: &'a RawValue,
}

fn sum(text: &str) -> String {
    format!("{:016x}", key::hash(text.as_bytes()))
}

/// The header line of a file.
pub(super) fn header(what: &str, file: &str) -> Result<Vec<u8>> {
    line(&Header { purlin: what.to_owned(), version: VERSION, file: file.to_owned() })
}

/// One line, with its end.
pub(super) fn line<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let odd = |e: serde_json::Error| Error::internal(format!("a dead letter cannot be written: {e}"));
    let of = serde_json::value::to_raw_value(value).map_err(odd)?;
    let mut text = serde_json::to_vec(&Out { sum: sum(of.get()), of: &of }).map_err(odd)?;
    text.push(b'\n');
    Ok(text)
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())?;
    let line: In<'_> =
        serde_json::from_str(text).map_err(|e| format!("it is no line of this program: {e}"))?;
    if line.sum != sum(line.of.get()) {
        return Err("it is not what was written: its checksum differs".to_owned());
    }
    serde_json::from_str(line.of.get()).map_err(|e| format!("it is of an unknown form: {e}"))
}

/// A line that cannot be read.
pub(super) fn damaged(path: &Path, line: u64, why: &str) -> Error {
    Error::data(format!("`{}`, line {line} is damaged: {why}", path.display()))
}

/// Reads a file line by line; what is wrong with a line is given like a line. A last line without an end was never
/// written to its end and does not count: who wrote it was told of a failure, or died.
pub(super) fn read<T: DeserializeOwned>(
    path: &Path,
    what: &str,
    mut each: impl FnMut(u64, Result<T>),
) -> Result<Option<Header>> {
    let shown = path.display().to_string();
    let io = |e| Error::io("read", &shown, e);
    let mut input = BufReader::new(File::open(path).map_err(io)?);
    let (mut number, mut header, mut text) = (0, None, Vec::new());
    loop {
        text.clear();
        let read = input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut text).map_err(io)?;
        if read == 0 || text.pop() != Some(b'\n') {
            return Ok(header);
        }
        number += 1;
        if number > 1 {
            each(number, parse(&text).map_err(|why| damaged(path, number, &why)));
            continue;
        }
        match parse::<Header>(&text) {
            Ok(h) if h.purlin == what && h.version == VERSION => header = Some(h),
            Ok(h) if h.purlin == what => {
                let why = format!(
                    "`{shown}` is of version {} of its format, which this program does not know; use the program that \
                     wrote it",
                    h.version
                );
                return Err(Error::new(ErrorKind::Config, why));
            }
            Ok(h) => {
                each(number, Err(damaged(path, number, &format!("it says `{}`, not `{what}`", h.purlin))))
            }
            // The lines behind it have checksums of their own.
            Err(why) => each(number, Err(damaged(path, number, &why))),
        }
    }
}

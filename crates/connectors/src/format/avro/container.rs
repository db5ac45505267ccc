//! The frame of a file: magic bytes, a header with the schema, blocks that end in a mark.

use super::codec::{BLOCK_BYTES_MAX, Codec};
use std::io::{BufRead, Read};

/// What a file begins with.
pub(super) const MAGIC: [u8; 4] = *b"Obj\x01";
/// Longest header.
const HEADER_BYTES_MAX: u64 = 64 << 20;
/// The key under which a header holds the schema.
pub(super) const SCHEMA_KEY: &str = "avro.schema";
/// The key under which it holds the name of the codec.
pub(super) const CODEC_KEY: &str = "avro.codec";

/// Why a file cannot be read further.
#[derive(Debug)]
pub(super) enum Flaw {
    /// It ends too early.
    Cut,
    /// It is not as it should be.
    Bad(String),
    /// It cannot be read at all.
    Io(std::io::Error),
}

impl From<std::io::Error> for Flaw {
    fn from(e: std::io::Error) -> Self {
        if e.kind() == std::io::ErrorKind::UnexpectedEof { Flaw::Cut } else { Flaw::Io(e) }
    }
}

fn bad<T>(what: impl Into<String>) -> Result<T, Flaw> {
    Err(Flaw::Bad(what.into()))
}

/// What stands before the blocks.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) schema: String,
    pub(super) codec: Codec,
    /// The mark that ends each block.
    pub(super) mark: [u8; 16],
}

/// Reads the header.
pub(super) fn header(input: &mut impl Read) -> Result<Header, Flaw> {
    let mut magic = [0; 4];
    input.read_exact(&mut magic)?;
    if magic != MAGIC {
        return bad("it does not begin like an Avro file");
    }
    let (mut schema, mut codec, mut left) = (None, Codec::Null, HEADER_BYTES_MAX);
    loop {
        let count = long(input)?;
        if count == 0 {
            break;
        }
        if count < 0 {
            long(input)?;
        }
        for _ in 0..count.unsigned_abs() {
            let key = text(input, &mut left)?;
            let value = text(input, &mut left)?;
            match key.as_str() {
                SCHEMA_KEY => schema = Some(value),
                CODEC_KEY => match Codec::of(&value) {
                    Some(known) => codec = known,
                    None => {
                        return bad(format!(
                            "its blocks are compressed with `{value}`, which is not read here"
                        ));
                    }
                },
                _ => {}
            }
        }
    }
    let mut mark = [0; 16];
    input.read_exact(&mut mark)?;
    match schema {
        Some(schema) => Ok(Header { schema, codec, mark }),
        None => bad("its header has no schema"),
    }
}

/// Bytes of the header with their length before them; what is no text is not one of the keys we know.
fn text(input: &mut impl Read, left: &mut u64) -> Result<String, Flaw> {
    let len = long(input)?;
    let Some(len) = u64::try_from(len).ok().filter(|len| *len <= *left) else {
        return bad("its header is damaged");
    };
    // What is empty counts too, so that the number of keys has a bound.
    *left = left.saturating_sub(len.max(1));
    let bytes = exactly(input, len)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// As many bytes as there should be; room is made for them as they come.
fn exactly(input: &mut impl Read, len: u64) -> Result<Vec<u8>, Flaw> {
    let mut bytes = Vec::new();
    input.take(len).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == len { Ok(bytes) } else { Err(Flaw::Cut) }
}

/// An integer in Avro's zigzag form.
fn long(input: &mut impl Read) -> Result<i64, Flaw> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        input.read_exact(&mut byte)?;
        let [byte] = byte;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(unzigzag(value));
        }
    }
    bad("an integer in it has no end")
}

/// The integer that a zigzag form stands for.
pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Appends an integer in Avro's zigzag form.
pub(super) fn put_long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends bytes with their length before them.
pub(super) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_long(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}

/// The next block: how many rows it says it has, and its bytes, decompressed. `None` at the end.
pub(super) fn block(input: &mut impl BufRead, header: &Header) -> Result<Option<(u64, Vec<u8>)>, Flaw> {
    if input.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let rows = long(input)?;
    let len = long(input)?;
    let Ok(rows) = u64::try_from(rows) else { return bad(format!("it says that it has {rows} rows")) };
    let Some(len) = u64::try_from(len).ok().filter(|len| *len <= BLOCK_BYTES_MAX as u64) else {
        return bad(format!("it says that it has {len} bytes"));
    };
    let bytes = exactly(input, len)?;
    let mut mark = [0; 16];
    input.read_exact(&mut mark)?;
    if mark != header.mark {
        return bad("it does not end in the mark of the file");
    }
    match header.codec.decompress(bytes) {
        Ok(bytes) => Ok(Some((rows, bytes))),
        Err(e) => bad(format!("it cannot be decompressed ({}): {e}", header.codec.name())),
    }
}

/// Appends a header.
pub(super) fn put_header(header: &Header, out: &mut Vec<u8>) {
    out.extend_from_slice(&MAGIC);
    put_long(2, out);
    for (key, value) in [(SCHEMA_KEY, header.schema.as_str()), (CODEC_KEY, header.codec.name())] {
        put_bytes(key.as_bytes(), out);
        put_bytes(value.as_bytes(), out);
    }
    put_long(0, out);
    out.extend_from_slice(&header.mark);
}

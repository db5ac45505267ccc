//! The beginning of a segment file.

use super::{VERSION, i64_at, u32_at, u64_at};

const MAGIC: &[u8; 8] = b"PURLNLOG";
const FIXED: usize = 44;

/// The greatest header of this version: the fixed part, a name of 128 bytes, the checksum.
pub(crate) const SEGMENT_HEADER_MAX: usize = FIXED + 128 + 4;

/// What a segment file says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Begins every block of this file and of no other, so that blocks can be found again behind damage, and nothing
    /// that a payload holds can pass for one.
    pub(crate) mark: u64,
    /// The offset of the first entry.
    pub(crate) base: u64,
    /// The greatest time of all entries of the log before this segment.
    pub(crate) time_before: i64,
    /// The log's name.
    pub(crate) log: String,
}

/// Why a header was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    /// A whole header of a version to come.
    Newer(u32),
    /// The file ends before the header does.
    Short,
    /// Something else.
    Bad(&'static str),
}

impl SegmentHeader {
    /// Bytes that the header of a log with this name takes.
    pub(crate) fn len_for(log: &str) -> usize {
        FIXED + log.len() + 4
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let len = Self::len_for(&self.log);
        let mut out = Vec::with_capacity(len);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&(len as u32).to_le_bytes());
        out.extend_from_slice(&self.mark.to_le_bytes());
        out.extend_from_slice(&self.base.to_le_bytes());
        out.extend_from_slice(&self.time_before.to_le_bytes());
        out.extend_from_slice(&(self.log.len() as u32).to_le_bytes());
        out.extend_from_slice(self.log.as_bytes());
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads the header at the start of `bytes`; gives its length too.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(Self, usize), HeaderError> {
        // Magic, version, length and the checksum at the end keep their places in all versions.
        let Some(magic) = bytes.get(..8) else { return Err(HeaderError::Short) };
        if magic != MAGIC {
            return Err(HeaderError::Bad("it does not begin as a segment does"));
        }
        let (Some(version), Some(len)) = (u32_at(bytes, 8), u32_at(bytes, 12)) else {
            return Err(HeaderError::Short);
        };
        let len = len as usize;
        if !(20..=4096).contains(&len) {
            return Err(HeaderError::Bad("the length of its header is impossible"));
        }
        let (Some(body), Some(crc)) = (bytes.get(..len - 4), u32_at(bytes, len - 4)) else {
            return Err(HeaderError::Short);
        };
        if crc32c::crc32c(body) != crc {
            return Err(HeaderError::Bad("the checksum of its header does not fit"));
        }
        if version > VERSION {
            return Err(HeaderError::Newer(version));
        }
        let read = || {
            let name = body.get(FIXED..)?;
            if version != VERSION || u32_at(body, 40)? as usize != name.len() {
                return None;
            }
            Some(Self {
                mark: u64_at(body, 16)?,
                base: u64_at(body, 24)?,
                time_before: i64_at(body, 32)?,
                log: String::from_utf8(name.to_vec()).ok()?,
            })
        };
        read().map(|header| (header, len)).ok_or(HeaderError::Bad("its header cannot be read"))
    }
}

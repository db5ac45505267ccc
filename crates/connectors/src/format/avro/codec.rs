//! How the blocks of a file are compressed.

use crate::shared::compression::Compression;
use std::io::{Cursor, Read, Write};

/// A block, decompressed, has at most this many bytes: columns of text hold 2 GiB.
pub(super) const BLOCK_BYTES_MAX: usize = 1 << 30;
/// The level that the encoder of xz is given: higher ones make room for blocks many times as large as ours.
const XZ_LEVEL: u32 = 1;

/// A codec, by its name in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    /// Not compressed.
    Null,
    Deflate,
    Snappy,
    Bzip2,
    Zstandard,
    Xz,
}

impl Codec {
    /// The names by which files and authors know them.
    pub(crate) const NAMES: [(&'static str, Codec); 6] = [
        ("deflate", Codec::Deflate),
        ("null", Codec::Null),
        ("snappy", Codec::Snappy),
        ("zstandard", Codec::Zstandard),
        ("bzip2", Codec::Bzip2),
        ("xz", Codec::Xz),
    ];

    /// The codec of a name.
    pub(crate) fn of(name: &str) -> Option<Codec> {
        Codec::NAMES.iter().find(|(n, _)| *n == name).map(|(_, codec)| *codec)
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        Codec::NAMES.iter().find(|(_, codec)| *codec == self).map_or("null", |(n, _)| n)
    }

    /// What a block stands for.
    ///
    /// # Errors
    /// Why that cannot be told.
    pub(super) fn decompress(self, block: Vec<u8>) -> Result<Vec<u8>, String> {
        match self {
            Codec::Null => Ok(block),
            Codec::Deflate => bounded(flate2::read::DeflateDecoder::new(block.as_slice())),
            Codec::Bzip2 => bounded(bzip2::read::BzDecoder::new(block.as_slice())),
            Codec::Xz => bounded(lzma_rust2::XzReader::new(block.as_slice(), true)),
            Codec::Zstandard => {
                bounded(Compression::Zstd.reader(Cursor::new(block)).map_err(|e| e.to_string())?)
            }
            Codec::Snappy => snappy(&block),
        }
    }

    /// A block as it is written.
    pub(super) fn compress(self, bytes: Vec<u8>) -> std::io::Result<Vec<u8>> {
        match self {
            Codec::Null => Ok(bytes),
            Codec::Deflate => {
                let mut out = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
                out.write_all(&bytes)?;
                out.finish()
            }
            Codec::Bzip2 => {
                let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
                out.write_all(&bytes)?;
                out.finish()
            }
            Codec::Xz => {
                let options = lzma_rust2::XzOptions::with_preset(XZ_LEVEL);
                let mut out = lzma_rust2::XzWriter::new(Vec::new(), options)?;
                out.write_all(&bytes)?;
                out.finish()
            }
            Codec::Zstandard => {
                let level = ruzstd::encoding::CompressionLevel::Fastest;
                Ok(ruzstd::encoding::compress_to_vec(bytes.as_slice(), level))
            }
            Codec::Snappy => {
                let mut out =
                    snap::raw::Encoder::new().compress_vec(&bytes).map_err(std::io::Error::other)?;
                out.extend(crc32fast::hash(&bytes).to_be_bytes());
                Ok(out)
            }
        }
    }
}

fn bounded(input: impl Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    input.take(BLOCK_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() > BLOCK_BYTES_MAX { Err(too_long()) } else { Ok(bytes) }
}

fn too_long() -> String {
    format!("it is longer than {} MiB", BLOCK_BYTES_MAX >> 20)
}

/// Raw Snappy with the checksum of the bytes it stands for behind it.
fn snappy(block: &[u8]) -> Result<Vec<u8>, String> {
    let Some((packed, sum)) = block.split_last_chunk::<4>() else {
        return Err("it is too short for Snappy".to_owned());
    };
    let len = snap::raw::decompress_len(packed).map_err(|e| e.to_string())?;
    if len > BLOCK_BYTES_MAX {
        return Err(too_long());
    }
    // No three bytes of Snappy stand for more than 64.
    if len > packed.len().saturating_mul(64) {
        return Err("it claims to be longer than it can be".to_owned());
    }
    let bytes = snap::raw::Decoder::new().decompress_vec(packed).map_err(|e| e.to_string())?;
    if crc32fast::hash(&bytes) == u32::from_be_bytes(*sum) {
        Ok(bytes)
    } else {
        Err("its checksum is wrong".to_owned())
    }
}

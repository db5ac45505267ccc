//! Compressed files.

use purlin_api::{Error, Result};
use std::fs::File;
use std::io::{Read, Write};

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    /// Not at all.
    None,
    /// gzip, also several members one after the other.
    Gzip,
    /// bzip2, also several streams one after the other.
    Bzip2,
    /// Zstandard.
    Zstd,
    /// zlib (Beam's `deflate`).
    Deflate,
}

/// Extensions of compressions that files have and that are not read here.
const UNREADABLE: [&str; 5] = ["xz", "lzma", "zip", "lz4", "tar"];

impl Compression {
    /// What the end of a file's name says.
    ///
    /// # Errors
    /// A compression that cannot be read.
    pub(crate) fn of(path: &str) -> Result<Self, String> {
        let extension = path.rsplit_once('.').map_or("", |(_, e)| e).to_ascii_lowercase();
        Ok(match extension.as_str() {
            "gz" | "gzip" => Compression::Gzip,
            "bz2" => Compression::Bzip2,
            "zst" | "zstd" => Compression::Zstd,
            "deflate" => Compression::Deflate,
            e if UNREADABLE.contains(&e) => {
                return Err(format!(
                    "cannot read `.{e}` files; compressions read here: .gz, .bz2, .zst, .deflate"
                ));
            }
            _ => Compression::None,
        })
    }

    /// What comes after the names of files written so.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Compression::None => "",
            Compression::Gzip => ".gz",
            Compression::Bzip2 => ".bz2",
            Compression::Zstd => ".zst",
            Compression::Deflate => ".deflate",
        }
    }

    /// A reader of what the compressed bytes stand for.
    pub(crate) fn reader(self, input: impl Read + Send + 'static) -> std::io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Compression::None => Box::new(input),
            Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(input)),
            Compression::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(input)),
            Compression::Zstd => Box::new(Frames::new(input)),
            Compression::Deflate => Box::new(flate2::read::ZlibDecoder::new(input)),
        })
    }
}

/// Opens a file for reading what it stands for.
pub(crate) fn open(path: &str) -> Result<(Box<dyn Read + Send>, Compression)> {
    let compression = Compression::of(path).map_err(|e| Error::data(format!("`{path}`: {e}")))?;
    let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
    let reader = compression.reader(file).map_err(|e| failed(path, compression, e))?;
    Ok((reader, compression))
}

/// A failed read, as an error that says whether the disk or the content is at fault.
pub(crate) fn failed(path: &str, compression: Compression, e: std::io::Error) -> Error {
    use std::io::ErrorKind as K;
    let content = matches!(e.kind(), K::UnexpectedEof | K::InvalidData | K::InvalidInput | K::Other);
    if compression != Compression::None && content {
        let what = format!("cannot decompress `{path}`: {e}; the file is damaged or was cut off");
        return Error::data(what).caused_by(e);
    }
    Error::io("read", path, e)
}

/// Zstandard frames one after the other: a decoder ends with its frame, a file may have several.
struct Frames<R: Read> {
    /// `None` between two frames and at the end.
    decoder: Option<Box<ruzstd::decoding::StreamingDecoder<Peek<R>, ruzstd::decoding::FrameDecoder>>>,
    rest: Option<Peek<R>>,
}

impl<R: Read> Frames<R> {
    fn new(input: R) -> Self {
        Frames { decoder: None, rest: Some(Peek { input, first: None }) }
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        loop {
            if let Some(decoder) = &mut self.decoder {
                let n = decoder.read(buf)?;
                if n > 0 || buf.is_empty() {
                    return Ok(n);
                }
            }
            if let Some(decoder) = self.decoder.take() {
                self.rest = Some(decoder.into_inner());
            }
            let Some(mut rest) = self.rest.take() else { return Ok(0) };
            if rest.at_end()? {
                return Ok(0);
            }
            let decoder = ruzstd::decoding::StreamingDecoder::new(rest)
                .map_err(|e| std::io::Error::new(std::io::ErrorKind::InvalidData, e.to_string()))?;
            self.decoder = Some(Box::new(decoder));
        }
    }
}

/// A reader that can tell whether there is more.
struct Peek<R> {
    input: R,
    first: Option<u8>,
}

impl<R: Read> Peek<R> {
    fn at_end(&mut self) -> std::io::Result<bool> {
        let mut byte = [0];
        while self.first.is_none() {
            match self.input.read(&mut byte) {
                Ok(0) => return Ok(true),
                Ok(_) => self.first = Some(byte[0]),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(false)
    }
}

impl<R: Read> Read for Peek<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        match (self.first, buf.first_mut()) {
            (Some(byte), Some(to)) => {
                *to = byte;
                self.first = None;
                Ok(1)
            }
            _ => self.input.read(buf),
        }
    }
}

/// One compressed stream that is being appended to a file.
pub(crate) enum Compressor {
    /// Bytes as they are.
    Plain(File),
    /// A gzip member.
    Gzip(Box<flate2::write::GzEncoder<File>>),
    /// A bzip2 stream.
    Bzip2(Box<bzip2::write::BzEncoder<File>>),
}

impl Compressor {
    /// Starts a stream. Only compressions whose streams may follow each other in one file are written;
    /// a config cannot ask for another.
    pub(crate) fn new(file: File, compression: Compression) -> Self {
        match compression {
            Compression::Gzip => Compressor::Gzip(Box::new(flate2::write::GzEncoder::new(
                file,
                flate2::Compression::default(),
            ))),
            Compression::Bzip2 => {
                Compressor::Bzip2(Box::new(bzip2::write::BzEncoder::new(file, bzip2::Compression::default())))
            }
            Compression::None | Compression::Zstd | Compression::Deflate => Compressor::Plain(file),
        }
    }

    /// Appends bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Compressor::Plain(w) => w.write_all(bytes),
            Compressor::Gzip(w) => w.write_all(bytes),
            Compressor::Bzip2(w) => w.write_all(bytes),
        }
    }

    /// Ends the stream and gives the file back.
    pub(crate) fn finish(self) -> std::io::Result<File> {
        match self {
            Compressor::Plain(file) => Ok(file),
            Compressor::Gzip(w) => w.finish(),
            Compressor::Bzip2(w) => w.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(compression: Compression, parts: &[&[u8]]) -> Vec<u8> {
        let file = tempfile::NamedTempFile::new().unwrap();
        for part in parts {
            let out = std::fs::OpenOptions::new().append(true).open(file.path()).unwrap();
            let mut out = Compressor::new(out, compression);
            out.write(part).unwrap();
            out.finish().unwrap();
        }
        std::fs::read(file.path()).unwrap()
    }

    fn read(compression: Compression, bytes: Vec<u8>) -> std::io::Result<Vec<u8>> {
        let mut out = Vec::new();
        compression.reader(std::io::Cursor::new(bytes))?.read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn streams_one_after_the_other_are_one_text() {
        for compression in [Compression::None, Compression::Gzip, Compression::Bzip2] {
            let bytes = written(compression, &[b"one\n", b"two\n"]);
            assert_eq!(read(compression, bytes).unwrap(), b"one\ntwo\n", "{compression:?}");
        }
    }

    #[test]
    fn zstd_frames_one_after_the_other_are_one_text() {
        let frame = |text: &[u8]| {
            ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest)
        };
        let both = [frame(b"one\n"), frame(b"two\n")].concat();
        assert_eq!(read(Compression::Zstd, both).unwrap(), b"one\ntwo\n");
        assert_eq!(read(Compression::Zstd, Vec::new()).unwrap(), b"");
        assert!(read(Compression::Zstd, b"no frame at all".to_vec()).is_err());
        let mut cut = frame(&[7; 5000]);
        cut.truncate(cut.len() - 3);
        assert!(read(Compression::Zstd, cut).is_err());
    }

    #[test]
    fn a_cut_file_is_an_error() {
        for compression in [Compression::Gzip, Compression::Bzip2] {
            let mut bytes = written(compression, &[&[b'x'; 1000]]);
            bytes.truncate(bytes.len() - 5);
            assert!(read(compression, bytes).is_err(), "{compression:?}");
        }
    }

    #[test]
    fn names_say_the_compression() {
        assert_eq!(Compression::of("a/b.csv.GZ"), Ok(Compression::Gzip));
        assert_eq!(Compression::of("a.bz2"), Ok(Compression::Bzip2));
        assert_eq!(Compression::of("a.csv"), Ok(Compression::None));
        assert_eq!(Compression::of("gz"), Ok(Compression::None));
        assert!(Compression::of("a.xz").is_err());
    }
}

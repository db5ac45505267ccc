//! The work of a reader in pieces, which lanes take one after the other: many more pieces than lanes, so that
//! all are busy to the end however long each piece takes.
//!
//! Big files of lines that are not compressed are cut into ranges of bytes. All else is read whole: where a
//! record begins in a compressed file, or in one with line ends inside quotes, shows only from its beginning;
//! and a pipe or device has no size and cannot be sought in. Small files share a piece.

use crate::shared::compression::Compression;
use crate::shared::scan::Framing;
use purlin_api::{Division, FileInfo};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Less than this is read in one lane: it is done before other lanes would pay. In bytes.
const DIVIDED_BYTES_MIN: u64 = 16 << 20;
/// How large pieces are, in bytes: each costs an open file and two cut lines; each is read by one lane.
const PIECE_BYTES: Range<u64> = 4 << 20..16 << 20;
/// How many pieces each lane gets at least, where they do not become too small.
const PIECES_PER_LANE: u64 = 8;
/// How many pieces there are at most, whatever their size.
const PIECES_MAX: u64 = 16 << 10;

/// How files are made pieces of. The same way makes the same pieces of the same files, whatever lanes there are: a
/// checkpoint keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Cut {
    /// All are one piece.
    Together,
    /// Each is a piece.
    Apart,
    /// Pieces have about so many bytes.
    Bytes(u64),
}

impl Cut {
    /// The pieces, in the order of the files.
    pub(crate) fn pieces(self, files: &[FileInfo], framing: Framing) -> Vec<Piece> {
        match self {
            Cut::Together => undivided(files),
            Cut::Apart => (0..files.len())
                .zip(files)
                .map(|(i, f)| Piece { files: i..i + 1, part: None, bytes: f.bytes })
                .collect(),
            Cut::Bytes(piece_bytes) => cut(files, framing, piece_bytes),
        }
    }
}

/// Some files, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The files, by index.
    pub(crate) files: Range<usize>,
    /// Which part of the only file.
    pub(crate) part: Option<Part>,
    /// How much there is to read, in bytes of the file as it lies on disk.
    pub(crate) bytes: u64,
}

/// A range of bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The how manieth of its file, from 0. The parts before it are the pieces before this one.
    pub(crate) number: usize,
    /// The first byte.
    pub(crate) start: u64,
    /// The first byte behind it; `None`: as far as the file goes by then.
    pub(crate) end: Option<u64>,
}

/// All files in one piece; none if there are none.
fn undivided(files: &[FileInfo]) -> Vec<Piece> {
    let bytes = files.iter().map(|f| f.bytes).sum();
    let all = Piece { files: 0..files.len(), part: None, bytes };
    if files.is_empty() { Vec::new() } else { vec![all] }
}

/// How to make several pieces, if that pays, and how many they are.
pub(crate) fn divided(files: &[FileInfo], framing: Framing, how: Division) -> Option<(Cut, usize)> {
    let total: u64 = files.iter().map(|f| f.bytes).sum();
    let piece_bytes = match how.piece_bytes {
        Some(bytes) => bytes.max(1),
        None if total < DIVIDED_BYTES_MIN => return None,
        None => {
            let share = total / (how.lanes as u64).saturating_mul(PIECES_PER_LANE).max(1);
            share.clamp(PIECE_BYTES.start, PIECE_BYTES.end)
        }
    };
    let cut = Cut::Bytes(piece_bytes.max(total / PIECES_MAX));
    let pieces = cut.pieces(files, framing).len();
    (pieces > 1).then_some((cut, pieces))
}

/// Cuts files into pieces of about so many bytes.
fn cut(files: &[FileInfo], framing: Framing, piece_bytes: u64) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for (i, file) in files.iter().enumerate() {
        let parts = if in_parts(file, framing) { file.bytes.div_ceil(piece_bytes) } else { 1 };
        if parts < 2 {
            match pieces.last_mut() {
                Some(last) if last.part.is_none() && last.bytes + file.bytes <= piece_bytes => {
                    last.files.end = i + 1;
                    last.bytes += file.bytes;
                }
                _ => pieces.push(Piece { files: i..i + 1, part: None, bytes: file.bytes }),
            }
            continue;
        }
        // Equal parts: a short last one would leave its lane idle while the others work on theirs.
        let part_bytes = file.bytes.div_ceil(parts);
        let mut start = 0;
        for number in 0.. {
            let next = start + part_bytes;
            let end = (next < file.bytes).then_some(next);
            let bytes = end.unwrap_or(file.bytes) - start;
            let part = Some(Part { number, start, end });
            pieces.push(Piece { files: i..i + 1, part, bytes });
            start = next;
            if end.is_none() {
                break;
            }
        }
    }
    pieces
}

/// True if a file can be read from its middle.
fn in_parts(file: &FileInfo, framing: Framing) -> bool {
    framing == Framing::Lines
        && Compression::of(&file.path) == Ok(Compression::None)
        // Pipes and devices tell no size; what `/dev/stdin` stands for may be a file, but it is read as a pipe.
        && file.bytes > 0
        && !file.path.starts_with("/dev/")
        && !file.path.starts_with("/proc/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(path: &str, bytes: u64) -> FileInfo {
        FileInfo { path: path.to_owned(), bytes }
    }

    #[test]
    fn what_pays_is_divided() {
        let how = Division { lanes: 4, piece_bytes: None };
        let lines = |files: &[FileInfo]| divided(files, Framing::Lines, how).map_or(1, |p| p.1);
        assert_eq!(lines(&[file("a", (16 << 20) - 1)]), 1, "small");
        assert_eq!(lines(&[file("a", 20 << 20)]), 5);
        assert_eq!(lines(&[file("a", 1 << 30)]), 64);
        assert_eq!(lines(&[file("a.gz", 1 << 30)]), 1, "compressed");
        assert_eq!(lines(&[file("/dev/stdin", 1 << 30)]), 1);
        assert_eq!(lines(&vec![file("a.gz", 1 << 20); 64]), 16, "small files share a piece");
        let files = vec![file("a", 1 << 30); 3];
        let (cut, whole) = divided(&files, Framing::JsonArray, how).unwrap();
        assert!(whole == 3 && cut.pieces(&files, Framing::JsonArray).iter().all(|p| p.part.is_none()));
        assert_eq!(cut.pieces(&files, Framing::JsonArray), Cut::Apart.pieces(&files, Framing::JsonArray));
        let tiny = Division { lanes: 4, piece_bytes: Some(1) };
        assert_eq!(divided(&[file("a", 10)], Framing::Lines, tiny).unwrap().1, 10);
        assert_eq!(divided(&[file("a", 1 << 40)], Framing::Lines, tiny).unwrap().1 as u64, PIECES_MAX);
        assert_eq!(divided(&[], Framing::Lines, tiny), None);
    }

    proptest! {
        #[test]
        fn pieces_are_all_there_is_in_order(
            sizes in prop::collection::vec((0u64..100, any::<bool>()), 0..8), piece_bytes in 1u64..40
        ) {
            let name = |zipped: bool| if zipped { "a.gz" } else { "a" };
            let files: Vec<FileInfo> = sizes.iter().map(|(n, zipped)| file(name(*zipped), *n)).collect();
            let pieces = cut(&files, Framing::Lines, piece_bytes);
            let (mut next, mut at) = (0, 0);
            for p in &pieces {
                match p.part {
                    None => {
                        prop_assert!(p.files.start == next && !p.files.is_empty() && at == 0);
                        prop_assert!(p.bytes <= piece_bytes || p.files.len() == 1);
                        next = p.files.end;
                    }
                    Some(part) => {
                        prop_assert_eq!((p.files.start, part.start, p.files.len()), (next, at, 1));
                        prop_assert!((part.number == 0) == (at == 0) && p.bytes > 0 && p.bytes <= piece_bytes);
                        at = part.end.unwrap_or(0);
                        next = if part.end.is_none() { next + 1 } else { next };
                    }
                }
            }
            prop_assert_eq!((next, at), (files.len(), 0));
            prop_assert_eq!(pieces.iter().map(|p| p.bytes).sum::<u64>(), files.iter().map(|f| f.bytes).sum::<u64>());
        }
    }
}

//! Arbitrary, cut and changed bytes: never a panic, never an entry that was not written.

use std::sync::Arc;

use proptest::prelude::*;

use super::sim::SimDisk;
use crate::store::Batch;
use crate::store::format::{
    BlockHeader, Encoder, IndexEntry, SegmentHeader, check_body, decode_index_header,
};
use crate::store::scan::{Scanner, Step};
use crate::store::{Disk, DiskFile};

const MARK: u64 = 0x0123_4567_89AB_CDEF;

fn file(bytes: &[u8]) -> Arc<dyn DiskFile> {
    let file = SimDisk::new(0).mount().open("file", true).unwrap();
    file.write_at(bytes, 0).unwrap();
    file
}

/// Offset, time, payload.
type Written = (u64, i64, Vec<u8>);

/// All entries found in `bytes`, with their offsets.
fn scan(bytes: &[u8]) -> Vec<Written> {
    let file = file(bytes);
    let scanner = Scanner { file: &file, path: "file", segment: 0, mark: MARK, end: bytes.len() as u64 };
    let (mut position, mut expected) = (0, 0);
    let mut found = Vec::new();
    loop {
        match scanner.step(position, expected).unwrap() {
            Step::Chunk(chunk) => {
                chunk.records(0, |r| {
                    found.push((r.offset, r.time, r.payload.to_vec()));
                    true
                });
                assert!(chunk.end() > position);
                (position, expected) = (chunk.end(), chunk.next());
            }
            Step::Bad { to: Some((to, _)), .. } => {
                assert!(to > position);
                position = to;
            }
            Step::Bad { to: None, .. } | Step::End => return found,
        }
    }
}

fn batches() -> impl Strategy<Value = Vec<Vec<(i64, Vec<u8>)>>> {
    let entry = (any::<i64>(), prop::collection::vec(any::<u8>(), 0..40));
    prop::collection::vec(prop::collection::vec(entry, 0..6), 1..8)
}

/// The file's bytes, and what is in them.
fn encode(batches: &[Vec<(i64, Vec<u8>)>]) -> (Vec<u8>, Vec<Written>) {
    let mut encoder = Encoder::new(MARK, 0, 100, 0);
    let mut all = Vec::new();
    for entries in batches {
        let mut batch = Batch::new();
        entries.iter().for_each(|(time, payload)| batch.push(*time, payload));
        assert_eq!(encoder.add(batch), all.len() as u64);
        for (time, payload) in entries {
            all.push((all.len() as u64, *time, payload.clone()));
        }
    }
    (encoder.finish().0, all)
}

proptest! {
    #[test]
    fn what_is_written_is_read(batches in batches()) {
        let (bytes, all) = encode(&batches);
        prop_assert_eq!(scan(&bytes), all);
    }

    #[test]
    fn changed_bytes_give_no_wrong_entry(
        batches in batches(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 0..4),
        keep in any::<prop::sample::Index>(),
        cut in any::<bool>(),
        tail in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let (mut bytes, all) = encode(&batches);
        for (at, change) in &changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] ^= change;
            }
        }
        if cut {
            bytes.truncate(keep.index(bytes.len() + 1));
        }
        bytes.extend(tail);
        let found = scan(&bytes);
        let mut rest = all.iter();
        for entry in &found {
            prop_assert!(rest.any(|e| e == entry), "{:?} was not written, or not there", entry);
        }
        if changes.is_empty() && !cut {
            prop_assert_eq!(found, all);
        }
    }

    #[test]
    fn a_block_inside_a_payload_is_none(batches in batches()) {
        // Somebody who knows the format, but not the file's mark.
        let (mut inner, _) = encode(&batches);
        for at in 0..inner.len().saturating_sub(8) {
            if inner[at..at + 8] == MARK.to_le_bytes() {
                inner[at] ^= 1;
            }
        }
        let (mut bytes, _) = encode(&[vec![(0, inner)]]);
        bytes[8] ^= 1;
        prop_assert_eq!(scan(&bytes), vec![]);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300), header in any::<bool>()) {
        prop_assert!(SegmentHeader::decode(&bytes).is_err());
        prop_assert!(decode_index_header(&bytes).is_none());
        prop_assert!(IndexEntry::decode(&bytes, MARK).is_none());
        prop_assert!(BlockHeader::decode(&bytes, MARK).is_none());
        let count = bytes.first().copied().map_or(1, u32::from);
        let body_crc = if header { crc32c::crc32c(&bytes) } else { 1 };
        let header = BlockHeader { body_crc, body_len: bytes.len() as u32, count, base: 0, time_max: 0 };
        // Only that it does not panic: the checksum may fit.
        let _fits = check_body(&header, &bytes).is_ok();
        prop_assert_eq!(scan(&bytes), vec![]);
    }
}

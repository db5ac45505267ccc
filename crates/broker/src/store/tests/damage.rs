//! Flipped bits, cut files, lost files: found, reported, and nothing else is lost.

use std::ops::Range;
use std::sync::Arc;

use super::Rng;
use super::sim::SimDisk;
use crate::store::{
    Batch, Damage, Journal, JournalOptions, Log, LogId, LogOptions, StateMachine, Store, StoreError,
    StoreOptions,
};

pub(super) fn options() -> StoreOptions {
    StoreOptions {
        reserve_bytes: 0,
        block_bytes: 300,
        index_bytes: 500,
        index_batch: 2,
        tail_bytes_max: 0,
        read_bytes_max: 2000,
        ..StoreOptions::default()
    }
}

pub(super) fn small() -> LogOptions {
    LogOptions { segment_bytes: 3000, uses_reserve: false }
}

pub(super) fn open(disk: &SimDisk) -> (Store, Vec<Damage>) {
    let (store, recovery) = Store::open_stepped(disk.mount(), options()).unwrap();
    (store, recovery.damage)
}

pub(super) fn payload(offset: u64) -> Vec<u8> {
    let mut rng = Rng(offset);
    let len = 10 + rng.below(60);
    offset.to_le_bytes().into_iter().chain((0..len).map(|_| rng.next() as u8)).collect()
}

pub(super) fn append(store: &Store, log: &Log, offsets: Range<u64>) -> u64 {
    let mut batch = Batch::new();
    offsets.clone().for_each(|o| batch.push(o as i64, &payload(o)));
    let answer = log.append(batch, store.room_now(1000).unwrap());
    store.commit_now();
    answer.wait_blocking().unwrap()
}

/// 200 entries in several segments.
pub(super) fn filled(seed: u64, close: bool) -> SimDisk {
    let disk = SimDisk::new(seed);
    let (store, _) = open(&disk);
    let log = store.log(&LogId::new("log").unwrap(), small()).unwrap();
    for i in 0..40 {
        assert_eq!(append(&store, &log, i * 5..i * 5 + 5), i * 5);
    }
    if close {
        store.close();
    }
    disk.kill();
    disk
}

/// What can be read, and all that was reported.
pub(super) fn read_all(log: &Log, damage: &mut Vec<Damage>) -> Vec<u64> {
    let bounds = log.bounds();
    let mut from = bounds.first;
    let mut offsets = Vec::new();
    while from < bounds.next {
        let page = log.read(from, 500).unwrap();
        assert!(page.next > from, "reading stands still at {from} of {bounds:?}");
        for record in page.records {
            assert_eq!(record.payload[..], payload(record.offset)[..], "entry {}", record.offset);
            assert_eq!(record.time, record.offset as i64);
            assert!(offsets.last().is_none_or(|last| *last < record.offset));
            offsets.push(record.offset);
        }
        damage.extend(page.damage);
        from = page.next;
    }
    offsets
}

fn covered(offset: u64, damage: &[Damage]) -> bool {
    damage.iter().any(|d| d.offsets.contains(&offset))
}

#[test]
fn a_flipped_bit_anywhere_costs_little_and_is_reported() {
    for seed in 0..400 {
        let mut rng = Rng(seed);
        let close = rng.once_in(2);
        let disk = filled(seed, close);
        let files: Vec<(String, u64)> = disk.files().into_iter().filter(|(_, n)| *n > 0).collect();
        let (path, size) = &files[rng.below(files.len() as u64) as usize];
        let bit = rng.below(size * 8);
        disk.edit(path, |bytes| bytes[(bit / 8) as usize] ^= 1 << (bit % 8));
        let (store, mut damage) = open(&disk);
        let log = store.log(&LogId::new("log").unwrap(), small()).unwrap();
        let found = read_all(&log, &mut damage);
        let cut = damage.iter().any(|d| d.done.contains("was removed"));
        let place = format!("seed {seed}: bit {bit} of {path} ({size} bytes), {damage:?}");
        let lost: Vec<u64> = (0..200).filter(|o| found.binary_search(o).is_err()).collect();
        assert!(lost.len() <= 15, "{place}: lost {lost:?}");
        if close || !cut {
            assert!(lost.iter().all(|o| covered(*o, &damage)), "{place}: lost {lost:?}");
            assert!(log.bounds().next >= 200, "{place}: {:?}", log.bounds());
        } else {
            // Without a clean end the last block cannot be told from a write that was never finished.
            assert!(lost.iter().all(|o| *o >= 190), "{place}: lost {lost:?}");
        }
        if path.ends_with(".seg") && !lost.is_empty() {
            assert!(damage.iter().any(|d| d.path == *path), "{place}");
        }
        let next = log.bounds().next;
        assert_eq!(append(&store, &log, next..next + 3), next, "{place}");
        let found = read_all(&log, &mut damage);
        assert!(found.ends_with(&[next, next + 1, next + 2]), "{place}: {found:?}");
    }
}

#[test]
fn files_without_their_ends_lose_only_those() {
    for seed in 0..200 {
        let mut rng = Rng(seed);
        let disk = filled(seed, true);
        let segments: Vec<(String, u64)> =
            disk.files().into_iter().filter(|(p, _)| p.ends_with(".seg")).collect();
        let (path, size) = &segments[rng.below(segments.len() as u64) as usize];
        let keep = rng.below(*size);
        disk.edit(path, |bytes| bytes.truncate(keep as usize));
        let (store, mut damage) = open(&disk);
        let log = store.log(&LogId::new("log").unwrap(), small()).unwrap();
        let found = read_all(&log, &mut damage);
        let lost: Vec<u64> = (0..200).filter(|o| found.binary_search(o).is_err()).collect();
        let place = format!("seed {seed}: {path} cut to {keep} of {size}: {damage:?}");
        let just_begun = damage.iter().any(|d| d.done.contains("made again"));
        assert!(just_begun || lost.iter().all(|o| covered(*o, &damage)), "{place}: lost {lost:?}");
        let next = log.bounds().next;
        assert_eq!(append(&store, &log, next..next + 3), next, "{place}");
    }
}

#[test]
fn an_index_is_made_again() {
    let disk = filled(1, true);
    for (path, _) in disk.files() {
        if path.ends_with(".idx") {
            disk.edit(&path, Vec::clear);
        }
    }
    let (store, mut damage) = open(&disk);
    let log = store.log(&LogId::new("log").unwrap(), small()).unwrap();
    for time in [0, 77, 150, 199] {
        assert_eq!(log.first_at(time).unwrap(), time as u64);
    }
    assert_eq!(log.first_at(200).unwrap(), 200);
    assert_eq!(read_all(&log, &mut damage).len(), 200);
    assert_eq!(damage, []);
}

#[test]
fn a_newer_version_is_refused() {
    let disk = filled(1, true);
    let (path, _) = disk.files().into_iter().rfind(|(p, _)| p.ends_with(".seg")).unwrap();
    disk.edit(&path, |bytes| {
        let len = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
        bytes[8..12].copy_from_slice(&2_u32.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..len - 4]);
        bytes[len - 4..len].copy_from_slice(&crc.to_le_bytes());
    });
    let error = Store::open_stepped(disk.mount(), options()).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 2, known: 1, .. }), "{error}");
    let shown = error.to_string();
    assert!(shown.contains(&path) && shown.contains("use a newer program"), "{shown}");
}

#[test]
fn a_log_that_names_another_is_not_taken_for_this_one() {
    let disk = filled(1, true);
    let (store, _) = open(&disk);
    let other = store.log(&LogId::new("other").unwrap(), small()).unwrap();
    append(&store, &other, 0..5);
    store.close();
    disk.kill();
    let mut bytes = Vec::new();
    disk.edit("logs/other/00000000000000000000.seg", |b| bytes.clone_from(b));
    disk.edit("logs/log/00000000000000000000.seg", |b| *b = bytes);
    let (store, mut damage) = open(&disk);
    let log = store.log(&LogId::new("log").unwrap(), small()).unwrap();
    let found = read_all(&log, &mut damage);
    assert!(found.first().is_some_and(|o| *o > 0), "{found:?}");
    assert!(damage.iter().any(|d| d.offsets.start == 0), "{damage:?}");
}

#[derive(Debug, Default, PartialEq)]
struct Sum(u64);

impl StateMachine for Sum {
    fn apply(&mut self, delta: &[u8]) -> Result<(), String> {
        self.0 += u64::from(*delta.first().ok_or("empty")?);
        Ok(())
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_le_bytes());
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        self.0 = u64::from_le_bytes(snapshot.try_into().map_err(|_| "not 8 bytes")?);
        Ok(())
    }
}

#[test]
fn a_damaged_journal_opens_only_if_told_to() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk);
    let id = LogId::new("sums").unwrap();
    let mut journal = Journal::open(&store, &id, Sum::default()).unwrap();
    for _ in 0..10 {
        let answer = journal.apply(&[1; 8], 0, store.room_now(100).unwrap()).unwrap();
        store.commit_now();
        answer.wait_blocking().unwrap();
    }
    store.close();
    disk.kill();
    let path = "logs/sums/00000000000000000000.seg";
    disk.edit(path, |bytes| {
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
    });
    let (store, _) = open(&disk);
    let error = Journal::open(&store, &id, Sum::default()).unwrap_err();
    assert!(matches!(&error, StoreError::Damaged { path: p, .. } if p == path), "{error}");
    let options = JournalOptions { skip_damage: true, ..JournalOptions::default() };
    let mut journal = Journal::open_with(&store, &id, options, Sum::default()).unwrap();
    assert_eq!(journal.state(), &Sum(9));
    assert_eq!(journal.skipped().len(), 1);
    // A snapshot makes what is damaged needless.
    let answer = journal.snapshot(0, store.room_now(100).unwrap());
    store.commit_now();
    answer.wait_blocking().unwrap();
    drop(journal);
    let journal = Journal::open(&store, &id, Sum::default()).unwrap();
    assert_eq!(journal.state(), &Sum(9));
    drop(Arc::new(journal));
}

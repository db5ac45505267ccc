//! Full disks, disks that cannot sync, limits, and two programs in one folder.

use std::sync::Arc;

use super::damage::{append, open, options, payload, read_all, small};
use super::sim::SimDisk;
use crate::store::{
    Batch, Journal, Log, LogId, LogOptions, RealDisk, StateMachine, Store, StoreError, StoreOptions,
};

fn log(store: &Store) -> Log {
    store.log(&LogId::new("log").unwrap(), small()).unwrap()
}

fn try_append(store: &Store, log: &Log, entries: u64) -> Result<u64, StoreError> {
    let mut batch = Batch::new();
    let next = log.bounds().next;
    (next..next + entries).for_each(|o| batch.push(o as i64, &payload(o)));
    let answer = log.append(batch, store.room_now(1000).unwrap());
    store.commit_now();
    answer.wait_blocking()
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk);
    let log = log(&store);
    append(&store, &log, 0..10);
    disk.set_free(Some(100));
    for _ in 0..5 {
        let error = try_append(&store, &log, 10).unwrap_err();
        assert!(error.is_no_space(), "{error}");
        assert_eq!(log.bounds().next, 10);
    }
    assert_eq!(read_all(&log, &mut Vec::new()).len(), 10);
    disk.set_free(None);
    assert_eq!(try_append(&store, &log, 10).unwrap(), 10);
    disk.crash();
    let (store, damage) = open(&disk);
    assert_eq!(damage, []);
    assert_eq!(read_all(&self::log(&store), &mut Vec::new()).len(), 20);
}

#[test]
fn the_reserve_lets_some_go_on_when_the_disk_is_full() {
    let disk = SimDisk::new(1);
    let with_reserve = StoreOptions { reserve_bytes: 1 << 20, ..options() };
    let (store, _) = Store::open_stepped(disk.mount(), with_reserve).unwrap();
    let log = log(&store);
    let urgent = store.log(&LogId::new("acks").unwrap(), LogOptions::journal()).unwrap();
    append(&store, &log, 0..10);
    disk.set_free(Some(0));
    assert!(try_append(&store, &log, 10).unwrap_err().is_no_space());
    assert_eq!(try_append(&store, &urgent, 10).unwrap(), 0);
    assert_eq!(try_append(&store, &urgent, 10).unwrap(), 10);
    // The reserve is taken back when there is space.
    disk.set_free(None);
    for _ in 0..300 {
        try_append(&store, &log, 1).unwrap();
    }
    assert!(disk.files().contains(&("RESERVE".to_owned(), 1 << 20)));
}

#[test]
fn after_a_failed_sync_nothing_is_written_until_reopened() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk);
    let log = log(&store);
    let other = store.log(&LogId::new("other").unwrap(), small()).unwrap();
    append(&store, &log, 0..10);
    disk.fail_syncs(1);
    let error = try_append(&store, &log, 10).unwrap_err();
    assert!(matches!(error, StoreError::Io { what: "sync", .. }), "{error}");
    let error = try_append(&store, &log, 10).unwrap_err();
    assert!(matches!(&error, StoreError::Poisoned { why, .. } if why.contains("cannot sync")), "{error}");
    assert_eq!(try_append(&store, &other, 10).unwrap(), 0);
    assert_eq!(read_all(&log, &mut Vec::new()).len(), 10);
    log.reopen().unwrap();
    assert_eq!(try_append(&store, &log, 5).unwrap(), 10);
    disk.crash();
    let (store, _) = open(&disk);
    assert_eq!(read_all(&self::log(&store), &mut Vec::new()).len(), 15);
}

#[test]
fn a_folder_is_used_once() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk);
    let error = Store::open(disk.mount(), options()).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    store.close();
    drop(store);
    open(&disk);
}

#[test]
fn a_closed_store_says_so() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk);
    let log = log(&store);
    let (early, late) = (store.room_now(10).unwrap(), store.room_now(10).unwrap());
    let mut batch = Batch::new();
    batch.push(0, &payload(0));
    let queued = log.append(batch.clone(), early);
    store.close();
    assert_eq!(queued.wait_blocking().unwrap(), 0);
    assert!(matches!(log.append(batch, late).wait_blocking(), Err(StoreError::Closed)));
    assert!(store.room_now(10).is_none());
}

#[test]
fn large_entries_and_large_batches() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk);
    let log = store.log(&LogId::new("large").unwrap(), LogOptions::default()).unwrap();
    let entry = vec![7_u8; Batch::ENTRY_BYTES_MAX];
    let mut batch = Batch::new();
    batch.push(1, b"small");
    batch.push(2, &entry);
    batch.push(3, &entry);
    batch.push(4, b"");
    let answer = log.append(batch, store.room_now(1000).unwrap());
    store.commit_now();
    assert_eq!(answer.wait_blocking().unwrap(), 0);
    for from in 0..4 {
        let page = log.read(from, 10).unwrap();
        assert_eq!((page.records[0].offset, page.records[0].time), (from, from as i64 + 1));
    }
    assert_eq!(log.read(2, 10).unwrap().records[0].payload.len(), entry.len());
    assert_eq!(log.read(3, 10).unwrap().records[0].payload.len(), 0);
    let mut batch = Batch::new();
    batch.push(1, &vec![0; Batch::ENTRY_BYTES_MAX + 1]);
    let error = log.append(batch, store.room_now(1000).unwrap()).wait_blocking().unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
}

#[test]
fn deleting_frees_and_names_can_be_used_again() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk);
    let first = log(&store);
    append(&store, &first, 0..10);
    assert!(store.delete_log(first.id()).unwrap());
    assert!(!store.delete_log(first.id()).unwrap());
    assert!(matches!(first.read(0, 10), Err(StoreError::Deleted { .. })));
    assert!(matches!(try_append(&store, &first, 1), Err(StoreError::Deleted { .. })));
    let second = log(&store);
    assert_eq!(second.bounds().next, 0);
    append(&store, &second, 0..5);
    assert!(disk.files().iter().all(|(p, _)| !p.contains(".gone")));
    disk.crash();
    let (store, _) = open(&disk);
    assert_eq!(store.log_ids(), [LogId::new("log").unwrap()]);
    assert_eq!(read_all(&log(&store), &mut Vec::new()).len(), 5);
}

#[test]
fn trimming_removes_files() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk);
    let log = log(&store);
    for i in 0..40 {
        append(&store, &log, i * 5..i * 5 + 5);
    }
    let before = log.bytes_on_disk();
    let first = log.trim(100).unwrap();
    assert!((50..=100).contains(&first), "{first}");
    assert_eq!(log.bounds().first, first);
    assert!(log.bytes_on_disk() < before * 3 / 4);
    assert_eq!(log.read(0, 1).unwrap().records[0].offset, first);
    let older = log.trim_older(150).unwrap();
    assert!((first..=150).contains(&older), "{older}");
    store.close();
    disk.kill();
    let (store, _) = open(&disk);
    assert_eq!(self::log(&store).bounds().first, older);
}

#[derive(Debug, Default)]
struct Big(Vec<u8>);

impl StateMachine for Big {
    fn apply(&mut self, delta: &[u8]) -> Result<(), String> {
        self.0.extend_from_slice(delta);
        Ok(())
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), String> {
        self.0 = snapshot.to_vec();
        Ok(())
    }
}

#[test]
fn a_snapshot_may_be_larger_than_an_entry() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk);
    let id = LogId::new("big").unwrap();
    let mut journal = Journal::open(&store, &id, Big::default()).unwrap();
    let delta: Vec<u8> = (0..600_000_u32).map(|i| (i ^ (i >> 8)) as u8).collect();
    for _ in 0..6 {
        let answer = journal.apply(&delta, 0, store.room_now(1000).unwrap()).unwrap();
        store.commit_now();
        answer.wait_blocking().unwrap();
    }
    let state = journal.state().0.clone();
    assert_eq!(state.len(), 3_600_000);
    disk.crash();
    let (store, _) = open(&disk);
    let journal = Journal::open(&store, &id, Big::default()).unwrap();
    assert!(journal.state().0 == state);
}

#[test]
fn who_waits_is_told_by_the_thread() {
    let disk = SimDisk::new(1);
    let (store, _) = Store::open(disk.mount(), options()).unwrap();
    let log = log(&store);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let log = log.clone();
            runtime.spawn(async move {
                for _ in 0..50 {
                    let mut batch = Batch::new();
                    batch.push(0, b"entry");
                    log.write(batch).await.unwrap();
                }
            })
        })
        .collect();
    tasks.into_iter().for_each(|t| runtime.block_on(t).unwrap());
    assert_eq!(log.bounds().next, 400);
    log.append_lazy(
        [crate::store::Entry { time: 1, payload: "late".into() }].into_iter().collect(),
        store.room_now(9).unwrap(),
    );
    let mut next = log.watch_next();
    runtime.block_on(next.wait_for(|n| *n == 401)).unwrap();
}

#[test]
fn nobody_waits_for_a_thread_that_ended() {
    let disk = SimDisk::new(1);
    let (store, _) = Store::open(disk.mount(), options()).unwrap();
    let log = log(&store);
    let mut batch = Batch::new();
    batch.push(0, &payload(0));
    disk.fail_writes(u32::MAX);
    for _ in 0..2 {
        let answer = log.append(batch.clone(), store.room_now(100).unwrap()).wait_blocking();
        assert!(matches!(answer, Err(StoreError::Closed)), "{answer:?}");
    }
}

#[test]
fn many_logs_are_written_at_once() {
    let folder = std::env::temp_dir().join(format!("purlin-logs-{}", std::process::id()));
    let open = || {
        let disk = Arc::new(RealDisk::new(&folder).unwrap());
        let options = StoreOptions { tail_bytes_max: 4000, ..options() };
        Store::open(disk, options).unwrap().0
    };
    let log = |store: &Store, n: u64| store.log(&LogId::new(format!("log-{n}")).unwrap(), small()).unwrap();
    let store = open();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let tasks: Vec<_> = (0..6)
        .map(|n| {
            let log = log(&store, n);
            runtime.spawn(async move {
                for i in 0..40 {
                    let mut batch = Batch::new();
                    (i * 3..i * 3 + 3).for_each(|o| batch.push(o as i64, &payload(o)));
                    assert_eq!(log.write(batch).await.unwrap(), i * 3);
                }
            })
        })
        .collect();
    tasks.into_iter().for_each(|t| runtime.block_on(t).unwrap());
    drop(store);
    let store = open();
    for n in 0..6 {
        let mut damage = Vec::new();
        assert_eq!(read_all(&log(&store, n), &mut damage), (0..120).collect::<Vec<u64>>());
        assert_eq!(damage, []);
    }
    drop(store);
    std::fs::remove_dir_all(&folder).unwrap();
}

//! How many entries a second the store appends and reads, and what opening it costs when much is in it.
//!
//! `cargo run --release -p purlin-broker --example store -- [FOLDER] [millions of entries] [bytes of one] [log]`
//!
//! Entries have 150 bytes, batches 1000 entries; 4 tasks append, each waits for its last batch before the next. Entries
//! are messages, so that a topic's log can be filled.

#![allow(
    clippy::disallowed_methods,
    reason = "a measurement reads the clock; nothing here is part of the broker"
)]
#![allow(clippy::print_stdout, reason = "the measurement is the output")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use prost::Message;
use pubsub_proto::google::pubsub::v1::PubsubMessage;
use purlin_broker::store::{Batch, Log, LogId, LogOptions, RealDisk, Store, StoreOptions};

const BATCH: u64 = 1000;
const TASKS: u64 = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().map_or_else(|| std::env::temp_dir().join("purlin-store"), PathBuf::from);
    let millions: u64 = args.next().map_or(Ok(10), |n| n.parse())?;
    let bytes: usize = args.next().map_or(Ok(150), |n| n.parse())?;
    let name = args.next().unwrap_or_else(|| "bench".to_owned());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;

    let (store, log) = open(&folder, &name)?;
    let before = log.bounds().next;
    let entries = (millions * 1_000_000).saturating_sub(before);
    let start = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..TASKS {
        let log = log.clone();
        tasks.push(runtime.spawn(async move { append(&log, entries / TASKS / BATCH, bytes).await }));
    }
    for task in tasks {
        runtime.block_on(task)??;
    }
    let seconds = start.elapsed().as_secs_f64();
    let appended = log.bounds().next - before;
    println!("append  {:>12.0} entries/s ({appended} in {seconds:.2} s)", appended as f64 / seconds);
    drop(log);
    store.close();
    drop(store);

    let resident = resident_mib();
    let start = Instant::now();
    let (store, log) = open(&folder, &name)?;
    let opened = start.elapsed().as_secs_f64() * 1e3;
    let bounds = log.bounds();
    let grown = resident_mib() - resident;
    println!(
        "open    {opened:>12.2} ms, {grown:.1} MiB more memory, with {} entries",
        bounds.next - bounds.first
    );
    let start = Instant::now();
    let middle = log.read(bounds.next / 2, 1)?.records.len();
    println!("seek    {:>12.2} ms to the middle ({middle} entry)", start.elapsed().as_secs_f64() * 1e3);

    let start = Instant::now();
    let (mut from, mut read, mut sum) = (bounds.first, 0_u64, 0_u64);
    let end = bounds.next.min(bounds.first + 10_000_000);
    while from < end {
        let page = log.read(from, 1 << 20)?;
        read += page.records.len() as u64;
        sum += page.records.iter().map(|r| u64::from(r.payload.first().copied().unwrap_or(0))).sum::<u64>();
        from = page.next;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("read    {:>12.0} entries/s ({read} in {seconds:.2} s, {sum})", read as f64 / seconds);
    println!("memory  {:>12.1} MiB resident at the end", resident_mib());
    drop(log);
    drop(store);
    Ok(())
}

fn open(folder: &Path, name: &str) -> Result<(Store, Log), Box<dyn Error>> {
    let disk = Arc::new(RealDisk::new(folder)?);
    let (store, recovery) = Store::open(disk, StoreOptions::default())?;
    for damage in &recovery.damage {
        println!("{damage:?}");
    }
    let log = store.log(&LogId::new(name)?, LogOptions::default())?;
    Ok((store, log))
}

async fn append(log: &Log, batches: u64, bytes: usize) -> Result<(), purlin_broker::store::StoreError> {
    let payload = PubsubMessage { data: vec![b'x'; bytes.saturating_sub(3)].into(), ..Default::default() };
    let payload = payload.encode_to_vec();
    for i in 0..batches {
        let mut batch = Batch::with_capacity(BATCH as usize, BATCH as usize * bytes);
        for j in 0..BATCH {
            batch.push((i * BATCH + j) as i64, &payload);
        }
        log.write(batch).await?;
    }
    Ok(())
}

/// Memory of this process, where the system says.
fn resident_mib() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap_or(0.0);
    pages * 4096.0 / f64::from(1 << 20)
}

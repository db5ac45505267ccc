//! What all fuzzers share: inputs made of real ones from a fixed seed, a budget, and a watch for hangs.
//!
//! A few thousand inputs each by default; `PURLIN_FUZZ_SECONDS=60` goes on for that long (`make fuzz`), and
//! `PURLIN_FUZZ_SEED` begins elsewhere.

#![allow(clippy::expect_used, clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)] // tests fail by these

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// xorshift64*: small, and the same everywhere.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed, which must not be zero.
    pub fn new(seed: u64) -> Random {
        Random(seed.max(1))
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n.max(1) as u64) as usize
    }

    /// One of these; they must not be empty.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// Cuts, doubles, swaps and inserts.
pub fn mutate(seed: &[u8], dictionary: &[&str], r: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=r.below(6) {
        let at = r.below(bytes.len() + 1);
        let end = (at + r.below(24)).min(bytes.len());
        match r.below(6) {
            0 => drop(bytes.drain(at..end)),
            1 => {
                let piece = bytes[at..end].to_vec();
                let to = r.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            2 | 3 => {
                let word = r.pick(dictionary).as_bytes();
                bytes.splice(at..at, word.iter().copied());
            }
            4 if at < bytes.len() => bytes[at] = r.bits() as u8,
            _ => bytes.truncate(bytes.len() - r.below(4).min(bytes.len())),
        }
    }
    bytes
}

/// One input may take so long, in a build without optimisation on a busy machine.
const INPUT_SECONDS_MAX: u64 = 600;

/// Runs `each` on inputs that `make` gives until the budget is used up. `each` also gets a scratch folder, in
/// which the last input is left behind as `last-input` when it fails.
///
/// # Panics
/// If a file cannot be written. An input that hangs ends the process.
pub fn run(
    name: &str,
    inputs: u64,
    mut make: impl FnMut(&mut Random) -> Vec<u8>,
    each: impl Fn(&[u8], &Path),
) {
    let number = |name: &str| std::env::var(name).ok().and_then(|s| s.parse::<u64>().ok());
    let seconds = number("PURLIN_FUZZ_SECONDS").unwrap_or(0);
    let start = Instant::now();
    let folder: PathBuf = std::env::temp_dir().join(format!("purlin-fuzz-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a scratch folder");
    let mut r = Random::new(number("PURLIN_FUZZ_SEED").unwrap_or(0x9E37_79B9_7F4A_7C15));
    let done = Arc::new(AtomicU64::new(0));
    let watch = watched(name, &folder, &done);
    let mut slowest = Duration::ZERO;
    while done.load(Ordering::Relaxed) < inputs || start.elapsed().as_secs() < seconds {
        let input = make(&mut r);
        std::fs::write(folder.join("last-input"), &input).expect("a scratch file");
        let begin = Instant::now();
        each(&input, &folder);
        if begin.elapsed() > slowest {
            slowest = begin.elapsed();
            std::fs::write(folder.join("slowest-input"), &input).expect("a scratch file");
            if slowest > Duration::from_secs(5) {
                println!("{name}: {slowest:?} for {:?}", String::from_utf8_lossy(&input));
            }
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
    drop(watch);
    std::fs::remove_dir_all(&folder).expect("the scratch folder");
    println!("{name}: {} inputs, the slowest took {slowest:?}", done.load(Ordering::Relaxed));
}

/// Ends the process when an input takes too long: a test that hangs says nothing. The watch ends with its handle.
fn watched(name: &str, folder: &Path, done: &Arc<AtomicU64>) -> Arc<()> {
    let handle = Arc::new(());
    let (alive, done, name, folder) =
        (Arc::downgrade(&handle), Arc::clone(done), name.to_owned(), folder.display().to_string());
    std::thread::spawn(move || {
        let (mut seen, mut since) = (0, Instant::now());
        while alive.strong_count() > 0 {
            std::thread::park_timeout(Duration::from_millis(200));
            let now = done.load(Ordering::Relaxed);
            if now != seen {
                (seen, since) = (now, Instant::now());
            } else if since.elapsed().as_secs() > INPUT_SECONDS_MAX {
                eprintln!("{name}: no end after {INPUT_SECONDS_MAX} s with {folder}/last-input");
                std::process::abort();
            }
        }
    });
    handle
}

//! Settings of stores and logs.

use std::time::Duration;

/// When an append counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncMode {
    /// When the disk has it (`fdatasync`).
    #[default]
    Durable,
    /// When the operating system has it: lost with the machine, not with the process. For tests.
    Os,
}

/// Settings of a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// When an append counts as done.
    pub sync: SyncMode,
    /// Bytes that may wait to be written; then [`super::Store::room`] waits.
    pub queue_bytes_max: usize,
    /// Bytes of recent entries kept in memory, over all logs.
    pub tail_bytes_max: usize,
    /// Bytes of older entries, read from disk, kept in memory, over all logs.
    pub read_bytes_max: usize,
    /// Files kept open, over all logs.
    pub files_max: usize,
    /// Bytes on disk held back so that logs with [`LogOptions::uses_reserve`] can go on when the disk is full.
    pub reserve_bytes: u64,
    /// Batches that come together go into one block until it has so many bytes. Damage costs a block, and to read an
    /// entry is to read its block.
    pub block_bytes: usize,
    /// Bytes written at once to a file.
    pub write_bytes: usize,
    /// A segment's index has an entry for so many bytes, or for every block if they are larger.
    pub index_bytes: u64,
    /// Index entries written at once. Opening checks the blocks that its index does not cover yet.
    pub index_batch: usize,
    /// Threads that write when what waits is for several logs.
    pub commit_threads: usize,
    /// How long entries nobody waits for may stay unwritten.
    pub lazy_wait: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            sync: SyncMode::Durable,
            queue_bytes_max: 64 << 20,
            tail_bytes_max: 64 << 20,
            read_bytes_max: 32 << 20,
            files_max: 128,
            reserve_bytes: 8 << 20,
            block_bytes: 256 << 10,
            write_bytes: 8 << 20,
            index_bytes: 64 << 10,
            index_batch: 32,
            commit_threads: 4,
            lazy_wait: Duration::from_millis(20),
        }
    }
}

/// Settings of a log.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// A segment file is closed and another begun once it is this large.
    pub segment_bytes: u64,
    /// May use the bytes held back when the disk is full: for what frees space, such as acknowledgements.
    pub uses_reserve: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { segment_bytes: 256 << 20, uses_reserve: false }
    }
}

impl LogOptions {
    /// For a [`super::Journal`]: small segments, and the reserve when the disk is full.
    #[must_use]
    pub fn journal() -> Self {
        Self { segment_bytes: 16 << 20, uses_reserve: true }
    }
}

/// Settings of a [`super::Journal`].
#[derive(Clone, Copy, Debug)]
pub struct JournalOptions {
    /// Of its log.
    pub log: LogOptions,
    /// A snapshot is due once the deltas since the last come to this many bytes ...
    pub delta_bytes_min: u64,
    /// ... and to this many times its size.
    pub delta_times: u64,
    /// Go on without deltas that cannot be read, instead of failing to open.
    pub skip_damage: bool,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self { log: LogOptions::journal(), delta_bytes_min: 256 << 10, delta_times: 4, skip_damage: false }
    }
}

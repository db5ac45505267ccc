//! What a store asks of a disk.

mod real;

pub use real::RealDisk;

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

/// A folder on a disk. Paths are relative to it, with `/` between names.
///
/// What must hold: after [`DiskFile::sync`] the bytes of a file survive a crash, and after [`Disk::sync_folder`] the
/// names in a folder do. Without, any part of them may be lost.
pub trait Disk: Debug + Send + Sync {
    /// Opens a file for reading and writing; `create` makes an empty one if there is none.
    ///
    /// # Errors
    /// As the operating system's.
    fn open(&self, path: &str, create: bool) -> io::Result<Arc<dyn DiskFile>>;

    /// What is in a folder, in any order.
    ///
    /// # Errors
    /// As the operating system's.
    fn list(&self, folder: &str) -> io::Result<Vec<DiskEntry>>;

    /// Makes a folder, with those above it. No error if it is there.
    ///
    /// # Errors
    /// As the operating system's.
    fn create_folder(&self, folder: &str) -> io::Result<()>;

    /// Renames a file or folder, replacing a file that has the new name.
    ///
    /// # Errors
    /// As the operating system's.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// As the operating system's.
    fn remove_file(&self, path: &str) -> io::Result<()>;

    /// Removes an empty folder.
    ///
    /// # Errors
    /// As the operating system's.
    fn remove_folder(&self, folder: &str) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// As the operating system's.
    fn sync_folder(&self, folder: &str) -> io::Result<()>;

    /// Takes the lock at `path` for as long as the answer lives; `None` if somebody else has it.
    ///
    /// # Errors
    /// As the operating system's.
    fn lock(&self, path: &str) -> io::Result<Option<Box<dyn Debug + Send + Sync>>>;

    /// A number that no earlier call gave, as good as certainly.
    fn unique(&self) -> u64;

    /// How a path is shown to people.
    fn show(&self, path: &str) -> String;
}

/// What a folder has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DiskEntry {
    /// Its name in the folder.
    pub name: String,
    /// Whether it is a folder itself.
    pub folder: bool,
    /// Bytes, if it is a file.
    pub bytes: u64,
}

/// An open file.
pub trait DiskFile: Debug + Send + Sync {
    /// Reads up to `buffer.len()` bytes at `position`; fewer only at the end of the file.
    ///
    /// # Errors
    /// As the operating system's.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `position`. After an error any part of them may be there.
    ///
    /// # Errors
    /// As the operating system's.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()>;

    /// Its length in bytes.
    ///
    /// # Errors
    /// As the operating system's.
    fn size(&self) -> io::Result<u64>;

    /// Cuts it off, or lengthens it with zeros.
    ///
    /// # Errors
    /// As the operating system's.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes its bytes and its length durable.
    ///
    /// # Errors
    /// As the operating system's. After an error nothing is known about what was written since the last success.
    fn sync(&self) -> io::Result<()>;
}

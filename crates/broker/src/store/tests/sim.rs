//! A disk in memory that forgets what was not synced, and fails when told to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::Rng;
use crate::store::{Disk, DiskEntry, DiskFile};

#[derive(Clone, Debug)]
enum Op {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

impl Op {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(at, data) => {
                let (at, end) = (*at as usize, *at as usize + data.len());
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[at..end].copy_from_slice(data);
            }
            Self::SetLen(len) => bytes.resize(*len as usize, 0),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Inode {
    /// What a crash leaves at least.
    durable: Vec<u8>,
    /// What reading shows.
    current: Vec<u8>,
    /// What was done since the last sync.
    ops: Vec<Op>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Node {
    File(usize),
    Folder,
}

#[derive(Clone, Debug)]
enum NameOp {
    Link(String, Node),
    Unlink(String),
    Rename(String, String),
}

fn apply_name(names: &mut BTreeMap<String, Node>, op: &NameOp) {
    match op {
        NameOp::Link(path, node) => drop(names.insert(path.clone(), *node)),
        NameOp::Unlink(path) => drop(names.remove(path)),
        NameOp::Rename(from, to) => {
            let inside = format!("{from}/");
            let moved: Vec<String> =
                names.keys().filter(|p| *p == from || p.starts_with(&inside)).cloned().collect();
            for path in moved {
                let node = names.remove(&path).unwrap();
                names.insert(format!("{to}{}", &path[from.len()..]), node);
            }
        }
    }
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Lies that a disk may be made to tell, to see that they are found out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Lie {
    /// Files are not synced.
    Sync,
    /// Folders are not synced.
    SyncFolder,
}

#[derive(Debug)]
struct Sim {
    rng: Rng,
    mounts: u64,
    inodes: Vec<Inode>,
    names: BTreeMap<String, Node>,
    durable_names: BTreeMap<String, Node>,
    /// With the folder that must be synced.
    name_ops: Vec<(String, NameOp)>,
    locks: BTreeSet<String>,
    bytes_max: Option<u64>,
    fail_syncs: u32,
    fail_writes: u32,
    lie: Option<Lie>,
    numbers: u64,
}

impl Sim {
    fn used(&self) -> u64 {
        let linked = self.names.values();
        linked.map(|n| if let Node::File(i) = n { self.inodes[*i].current.len() as u64 } else { 0 }).sum()
    }

    fn name_op(&mut self, op: NameOp) {
        let path = match &op {
            NameOp::Link(path, _) | NameOp::Unlink(path) | NameOp::Rename(_, path) => path,
        };
        self.name_ops.push((folder_of(path).to_owned(), op.clone()));
        apply_name(&mut self.names, &op);
    }
}

/// The disk itself, which outlives crashes.
#[derive(Clone, Debug)]
pub(crate) struct SimDisk(Arc<Mutex<Sim>>);

impl SimDisk {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Sim {
            rng: Rng(seed),
            mounts: 0,
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            name_ops: Vec::new(),
            locks: BTreeSet::new(),
            bytes_max: None,
            fail_syncs: 0,
            fail_writes: 0,
            lie: None,
            numbers: seed,
        })))
    }

    fn sim(&self) -> MutexGuard<'_, Sim> {
        self.0.lock().unwrap()
    }

    /// The disk as one run of the program sees it: until the next crash.
    pub(crate) fn mount(&self) -> Arc<Mount> {
        Arc::new(Mount { disk: self.clone(), mounts: self.sim().mounts })
    }

    pub(crate) fn lie(&self, lie: Lie) {
        self.sim().lie = Some(lie);
    }

    /// Free space from now on; `None` for as much as one likes.
    pub(crate) fn set_free(&self, free: Option<u64>) {
        let mut sim = self.sim();
        sim.bytes_max = free.map(|free| sim.used() + free);
    }

    pub(crate) fn fail_syncs(&self, n: u32) {
        self.sim().fail_syncs = n;
    }

    /// The next writes fail; `u32::MAX` for a panic.
    pub(crate) fn fail_writes(&self, n: u32) {
        self.sim().fail_writes = n;
    }

    /// Power goes: of each file's changes since its last sync a beginning is kept, the last one perhaps in part; of the
    /// changes of names since the last sync of the folder any are kept.
    pub(crate) fn crash(&self) {
        let mut sim = self.sim();
        let sim = &mut *sim;
        sim.mounts += 1;
        sim.locks.clear();
        self.calm(sim);
        for inode in &mut sim.inodes {
            let keep = sim.rng.below(inode.ops.len() as u64 + 1) as usize;
            let ops = std::mem::take(&mut inode.ops);
            for op in &ops[..keep] {
                op.apply(&mut inode.durable);
            }
            if let Some(Op::Write(at, data)) = ops.get(keep) {
                let torn = sim.rng.below(data.len() as u64 + 1) as usize;
                Op::Write(*at, data[..torn].to_vec()).apply(&mut inode.durable);
                // The length may be there without the bytes.
                if sim.rng.once_in(4) {
                    let len = (*at as usize + data.len()).max(inode.durable.len());
                    inode.durable.resize(len, if sim.rng.once_in(2) { 0 } else { 0xA5 });
                }
            }
            inode.current = inode.durable.clone();
        }
        for (_, op) in std::mem::take(&mut sim.name_ops) {
            if sim.rng.once_in(2) {
                apply_name(&mut sim.durable_names, &op);
            }
        }
        sim.names = sim.durable_names.clone();
    }

    /// The program ends at once; the disk keeps what it was given.
    pub(crate) fn kill(&self) {
        let mut sim = self.sim();
        sim.mounts += 1;
        sim.locks.clear();
        self.calm(&mut sim);
    }

    fn calm(&self, sim: &mut Sim) {
        sim.bytes_max = None;
        (sim.fail_syncs, sim.fail_writes) = (0, 0);
    }

    /// All files, in order.
    pub(crate) fn files(&self) -> Vec<(String, u64)> {
        let sim = self.sim();
        let file = |(path, node): (&String, &Node)| match node {
            Node::File(i) => Some((path.clone(), sim.inodes[*i].current.len() as u64)),
            Node::Folder => None,
        };
        sim.names.iter().filter_map(file).collect()
    }

    /// Changes a file behind the program's back.
    pub(crate) fn edit(&self, path: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut sim = self.sim();
        let Some(Node::File(i)) = sim.names.get(path).copied() else { panic!("no file {path}") };
        let inode = &mut sim.inodes[i];
        edit(&mut inode.current);
        inode.durable = inode.current.clone();
        inode.ops.clear();
    }
}

#[derive(Debug)]
pub(crate) struct Mount {
    disk: SimDisk,
    mounts: u64,
}

impl Mount {
    fn sim(&self) -> io::Result<MutexGuard<'_, Sim>> {
        let sim = self.disk.sim();
        if sim.mounts == self.mounts { Ok(sim) } else { Err(io::Error::other("the power went")) }
    }
}

fn missing() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

impl Disk for Mount {
    fn open(&self, path: &str, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        let mut sim = self.sim()?;
        let inode = match sim.names.get(path) {
            Some(Node::File(i)) => *i,
            Some(Node::Folder) => return Err(io::Error::from(io::ErrorKind::IsADirectory)),
            None if !create => return Err(missing()),
            None => {
                if !folder_of(path).is_empty() && !sim.names.contains_key(folder_of(path)) {
                    return Err(missing());
                }
                sim.inodes.push(Inode::default());
                let inode = sim.inodes.len() - 1;
                sim.name_op(NameOp::Link(path.to_owned(), Node::File(inode)));
                inode
            }
        };
        Ok(Arc::new(SimFile { disk: self.disk.clone(), mounts: self.mounts, inode }))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<DiskEntry>> {
        let sim = self.sim()?;
        if sim.names.get(folder) != Some(&Node::Folder) {
            return Err(missing());
        }
        let entries = sim.names.iter().filter(|(path, _)| folder_of(path) == folder).map(|(path, node)| {
            let (folder, bytes) = match node {
                Node::Folder => (true, 0),
                Node::File(i) => (false, sim.inodes[*i].current.len() as u64),
            };
            DiskEntry { name: path.rsplit('/').next().unwrap().to_owned(), folder, bytes }
        });
        Ok(entries.collect())
    }

    fn create_folder(&self, folder: &str) -> io::Result<()> {
        let mut sim = self.sim()?;
        let ends = folder.match_indices('/').map(|(i, _)| i).chain([folder.len()]);
        for end in ends {
            let path = &folder[..end];
            if !sim.names.contains_key(path) {
                sim.name_op(NameOp::Link(path.to_owned(), Node::Folder));
            }
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut sim = self.sim()?;
        if !sim.names.contains_key(from) {
            return Err(missing());
        }
        sim.name_op(NameOp::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        let mut sim = self.sim()?;
        if !matches!(sim.names.get(path), Some(Node::File(_))) {
            return Err(missing());
        }
        sim.name_op(NameOp::Unlink(path.to_owned()));
        Ok(())
    }

    fn remove_folder(&self, folder: &str) -> io::Result<()> {
        let mut sim = self.sim()?;
        let inside = format!("{folder}/");
        if sim.names.keys().any(|p| p.starts_with(&inside)) {
            return Err(io::Error::from(io::ErrorKind::DirectoryNotEmpty));
        }
        sim.name_op(NameOp::Unlink(folder.to_owned()));
        Ok(())
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        let mut sim = self.sim()?;
        let sim = &mut *sim;
        if sim.lie == Some(Lie::SyncFolder) {
            return Ok(());
        }
        let (synced, rest) = std::mem::take(&mut sim.name_ops).into_iter().partition(|(f, _)| f == folder);
        sim.name_ops = rest;
        for (_, op) in synced as Vec<(String, NameOp)> {
            apply_name(&mut sim.durable_names, &op);
        }
        Ok(())
    }

    fn lock(&self, path: &str) -> io::Result<Option<Box<dyn Debug + Send + Sync>>> {
        let mut sim = self.sim()?;
        if !sim.locks.insert(path.to_owned()) {
            return Ok(None);
        }
        Ok(Some(Box::new(SimLock { disk: self.disk.clone(), mounts: self.mounts, path: path.to_owned() })))
    }

    fn unique(&self) -> u64 {
        let mut sim = self.disk.sim();
        sim.numbers += 1;
        Rng(sim.numbers).next()
    }

    fn show(&self, path: &str) -> String {
        path.to_owned()
    }
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    mounts: u64,
    path: String,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut sim = self.disk.sim();
        if sim.mounts == self.mounts {
            sim.locks.remove(&self.path);
        }
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    mounts: u64,
    inode: usize,
}

impl SimFile {
    fn sim(&self) -> io::Result<MutexGuard<'_, Sim>> {
        let sim = self.disk.sim();
        if sim.mounts == self.mounts { Ok(sim) } else { Err(io::Error::other("the power went")) }
    }

    fn op(&self, sim: &mut Sim, op: Op) {
        let inode = &mut sim.inodes[self.inode];
        op.apply(&mut inode.current);
        inode.ops.push(op);
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let sim = self.sim()?;
        let bytes = &sim.inodes[self.inode].current;
        let at = (position as usize).min(bytes.len());
        let n = buffer.len().min(bytes.len() - at);
        buffer[..n].copy_from_slice(&bytes[at..at + n]);
        Ok(n)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        let mut sim = self.sim()?;
        if sim.fail_writes == u32::MAX {
            drop(sim);
            panic!("as a test wants it");
        }
        let sim = &mut *sim;
        let len = sim.inodes[self.inode].current.len() as u64;
        let more = (position + bytes.len() as u64).saturating_sub(len);
        let free = sim.bytes_max.map_or(u64::MAX, |max| max.saturating_sub(sim.used()));
        if sim.fail_writes > 0 {
            sim.fail_writes -= 1;
            let some = sim.rng.below(bytes.len() as u64 + 1) as usize;
            self.op(sim, Op::Write(position, bytes[..some].to_vec()));
            return Err(io::Error::other("the disk cannot write"));
        }
        if more > free {
            let fits = bytes.len() - (more - free) as usize;
            if fits > 0 {
                self.op(sim, Op::Write(position, bytes[..fits].to_vec()));
            }
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.op(sim, Op::Write(position, bytes.to_vec()));
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.sim()?.inodes[self.inode].current.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.op(&mut *self.sim()?, Op::SetLen(len));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut sim = self.sim()?;
        let sim = &mut *sim;
        let inode = &mut sim.inodes[self.inode];
        if sim.lie == Some(Lie::Sync) {
            return Ok(());
        }
        let ops = std::mem::take(&mut inode.ops);
        if sim.fail_syncs > 0 {
            sim.fail_syncs -= 1;
            // As some systems do: what could not be written is taken for written, and shown until memory forgets it.
            return Err(io::Error::other("the disk cannot sync"));
        }
        for op in ops {
            op.apply(&mut inode.durable);
        }
        Ok(())
    }
}

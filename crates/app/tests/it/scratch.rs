//! A folder of its own for each test, and the binary run in it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) struct Scratch(PathBuf);

/// What a run of the binary gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("purlin-it-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a scratch folder");
        Scratch(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Self {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, bytes).expect("a writable scratch folder");
        self
    }

    /// Runs `purlin ARGS` in the folder.
    pub(crate) fn purlin(&self, args: &[&str]) -> Ran {
        self.purlin_with(args, &[])
    }

    /// The same with further variables in its environment.
    pub(crate) fn purlin_with(&self, args: &[&str], env: &[(&str, &str)]) -> Ran {
        let run = Command::new(env!("CARGO_BIN_EXE_purlin"))
            .args(args)
            .envs(env.iter().copied())
            .current_dir(&self.0)
            .output()
            .expect("the binary starts");
        let ran = Ran {
            code: run.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&run.stdout).into_owned(),
            err: String::from_utf8_lossy(&run.stderr).into_owned(),
        };
        assert!(ran.code != 101 && ran.code != -1, "crashed: {ran:?}");
        ran
    }

    /// Runs `purlin ARGS`, which is to be ended by a signal. Answers whether it ended by itself.
    pub(crate) fn dies(&self, args: &[&str]) -> bool {
        let run = Command::new(env!("CARGO_BIN_EXE_purlin")).args(args).current_dir(&self.0).output();
        run.expect("the binary starts").status.code().is_some()
    }

    /// The lines of all files whose name starts with `prefix`, sorted.
    pub(crate) fn lines(&self, prefix: &str) -> Vec<String> {
        let mut lines = Vec::new();
        let (folder, start) = match prefix.rsplit_once('/') {
            Some((f, s)) => (self.0.join(f), s),
            None => (self.0.clone(), prefix),
        };
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(start) {
                let text = std::fs::read_to_string(entry.path()).expect("text");
                lines.extend(text.lines().map(str::to_owned));
            }
        }
        lines.sort();
        lines
    }

    /// Names of everything in the folder, hidden files too.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(&self.0)
            .expect("the folder")
            .flatten()
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A folder left behind in the temporary folder harms nobody.
        let _left = std::fs::remove_dir_all(&self.0);
    }
}

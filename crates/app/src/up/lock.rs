//! One process for each data folder.

use purlin_api::{Error, ErrorKind, Result};
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

/// A data folder that is ours for as long as this lives. The system lets go of it with the process, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes `DATA/lock`, and writes the number of this process into it.
    ///
    /// # Errors
    /// If another process has it (`Conflict`), a file has its name (`Config`), or the folder cannot be written to.
    pub fn take(data: &Path) -> Result<Self> {
        let path = data.join("lock");
        let cannot =
            |e: std::io::Error| Error::io("lock the data folder with", &path.display().to_string(), e);
        std::fs::create_dir_all(data).map_err(|e| file_in_the_way(data).unwrap_or_else(|| cannot(e)))?;
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(cannot)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // What cannot be read is not known; that it is locked is.
                let _unknown = file.read_to_string(&mut pid);
                let pid = pid.trim();
                let who = if pid.is_empty() { String::new() } else { format!(" (process {pid})") };
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!(
                        "another `purlin up`{who} works on the data folder `{}`; stop it first, or use another \
                         folder with `data:` or --data",
                        data.display()
                    ),
                ));
            }
            Err(TryLockError::Error(e)) => return Err(cannot(e)),
        }
        file.set_len(0).map_err(cannot)?;
        file.rewind().map_err(cannot)?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes()).map_err(cannot)?;
        Ok(Lock { _file: file })
    }
}

/// What to say if the data folder, or a folder that it is in, is a file.
fn file_in_the_way(data: &Path) -> Option<Error> {
    let file = data.ancestors().find(|p| p.is_file())?;
    Some(Error::new(
        ErrorKind::Config,
        format!(
            "the data folder `{}` cannot be made: `{}` is a file and not a folder; use another folder with `data:` or \
             --data",
            data.display(),
            file.display()
        ),
    ))
}

//! `DATA/run/up.json`: where a running `purlin up` is, for other commands.

use purlin_api::{Error, ErrorKind, Result};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What is written there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The process.
    pub pid: u32,
    /// The project's name.
    pub name: String,
    /// Where it answers HTTP.
    pub http: SocketAddr,
    /// Where its broker listens.
    pub broker: Option<SocketAddr>,
}

fn path(data: &Path) -> PathBuf {
    data.join("run").join("up.json")
}

/// A record that is there as long as this.
#[derive(Debug)]
pub struct Recorded(PathBuf);

impl Drop for Recorded {
    fn drop(&mut self) {
        // A record that stays behind names a process that is gone; who reads it finds that out.
        let _gone = std::fs::remove_file(&self.0);
    }
}

impl Record {
    /// Writes it, so that it is there whole or not at all.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn write(&self, data: &Path) -> Result<Recorded> {
        let path = path(data);
        let cannot = |e: std::io::Error| Error::io("write", &path.display().to_string(), e);
        let text = json!({"pid": self.pid, "name": self.name, "http": self.http.to_string(),
                          "broker": self.broker.map(|b| b.to_string())});
        std::fs::create_dir_all(data.join("run")).map_err(cannot)?;
        let new = path.with_extension("json.new");
        std::fs::write(&new, format!("{text:#}\n")).map_err(cannot)?;
        std::fs::rename(&new, &path).map_err(cannot)?;
        Ok(Recorded(path))
    }

    /// Reads that of a data folder.
    ///
    /// # Errors
    /// If there is none, or it is damaged.
    pub fn read(data: &Path) -> Result<Self> {
        let path = path(data);
        let shown = path.display();
        let text = std::fs::read_to_string(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Error::new(
                ErrorKind::Unavailable,
                format!(
                    "nothing runs on the data folder `{}` (there is no `{shown}`); start it with `purlin up`, or name \
                     another folder with --data",
                    data.display()
                ),
            ),
            _ => Error::io("read", &shown.to_string(), e),
        })?;
        let damaged = || Error::new(ErrorKind::Data, format!("`{shown}` is damaged; restart `purlin up`"));
        let json: Value = serde_json::from_str(&text).map_err(|_| damaged())?;
        let text = |key: &str| json.get(key).and_then(Value::as_str);
        let address = |key: &str| text(key).and_then(|t| t.parse().ok());
        Ok(Record {
            pid: json
                .get("pid")
                .and_then(Value::as_u64)
                .and_then(|p| u32::try_from(p).ok())
                .ok_or_else(damaged)?,
            name: text("name").unwrap_or_default().to_owned(),
            http: address("http").ok_or_else(damaged)?,
            broker: address("broker"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_written_and_goes_with_its_writer() {
        let data = std::env::temp_dir().join(format!("purlin-record-{}", std::process::id()));
        let record = Record {
            pid: 7,
            name: "shop".to_owned(),
            http: ([127, 0, 0, 1], 8090).into(),
            broker: Some(([127, 0, 0, 1], 8085).into()),
        };
        let written = record.write(&data).unwrap();
        assert_eq!(Record::read(&data).unwrap(), record);
        drop(written);
        assert_eq!(Record::read(&data).unwrap_err().kind(), ErrorKind::Unavailable);
        std::fs::write(path(&data), "{").unwrap();
        assert_eq!(Record::read(&data).unwrap_err().kind(), ErrorKind::Data);
        std::fs::remove_dir_all(&data).unwrap();
    }
}

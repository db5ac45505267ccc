//! Addresses of local files and the patterns that match several.

use glob::{MatchOptions, Pattern};
use purlin_api::{Error, ErrorKind, FileInfo, Result};
use std::path::{Path, PathBuf};

/// The local path of an address: a path as it is, or what follows `file://`.
///
/// # Errors
/// The address names another system (`gs://`, `s3://`, ...), or is empty.
pub(crate) fn local(address: &str) -> Result<&str> {
    let path = match address.split_once("://") {
        Some(("file", path)) => path.strip_prefix("localhost/").map_or(path, |_| path.split_at(9).1),
        Some((scheme, _)) if is_scheme(scheme) => {
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "`{address}` is on `{scheme}`, which this transform cannot reach; it takes local paths and `file://`"
                ),
            ));
        }
        _ => address,
    };
    if path.is_empty() {
        return Err(Error::new(ErrorKind::Config, "the path is empty"));
    }
    Ok(path)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// True if there is something at a path that is neither a file nor a folder: a pipe, a terminal, a socket.
pub(crate) fn is_stream(path: &str) -> bool {
    std::fs::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir())
}

/// True if a path holds characters that make it a pattern.
fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// The files a path or pattern names, sorted by path. `*` and `?` stop at `/` and do not match hidden
/// files, `**` stands for any folders; folders that match a pattern are left out.
///
/// # Errors
/// A malformed pattern, another system's address, a path that names a folder, a folder that may not be read.
pub(crate) fn find(address: &str) -> Result<Vec<FileInfo>> {
    let path = local(address)?;
    match std::fs::metadata(path) {
        Ok(m) if m.is_dir() => {
            let all = format!("{}/*", path.trim_end_matches('/'));
            return Err(Error::new(
                ErrorKind::Denied,
                format!("`{path}` is a directory; to read the files in it write `{all}`"),
            ));
        }
        Ok(m) => return Ok(vec![FileInfo { path: path.to_owned(), bytes: m.len() }]),
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => return Err(Error::io("open", path, e)),
        Err(_) => {}
    }
    if !is_pattern(path) {
        return Ok(Vec::new());
    }
    matching(path)
}

fn matching(pattern: &str) -> Result<Vec<FileInfo>> {
    let malformed = |e: glob::PatternError| {
        Error::new(ErrorKind::Config, format!("`{pattern}` is not a valid pattern: {e}"))
    };
    Pattern::new(pattern).map_err(malformed)?;
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let mut found = Vec::new();
    for entry in glob::glob_with(pattern, options).map_err(malformed)? {
        let path = entry.map_err(|e| {
            let path = e.path().display().to_string();
            Error::io("read the folder", &path, e.into())
        })?;
        let metadata =
            std::fs::metadata(&path).map_err(|e| Error::io("open", &path.display().to_string(), e))?;
        if metadata.is_dir() {
            continue;
        }
        let Some(text) = path.to_str() else {
            return Err(Error::new(
                ErrorKind::Config,
                format!("the name of the file `{}` is not UTF-8", path.display()),
            ));
        };
        found.push(FileInfo { path: text.to_owned(), bytes: metadata.len() });
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Checks that files can be made at `address`: the nearest folder that exists can be written to.
/// Folders that are missing in between are made when the files are.
///
/// # Errors
/// Why not.
pub(crate) fn can_create(address: &str) -> Result<()> {
    let path = local(address)?;
    let (folder, _) = split(path);
    let mut at = if folder.is_empty() { PathBuf::from(".") } else { PathBuf::from(folder) };
    loop {
        match std::fs::metadata(&at) {
            Ok(m) if !m.is_dir() => {
                return Err(Error::new(
                    ErrorKind::Denied,
                    format!("cannot write to `{path}`: `{}` is not a folder", at.display()),
                ));
            }
            Ok(m) if m.permissions().readonly() => {
                return Err(Error::new(
                    ErrorKind::Denied,
                    format!("cannot write to `{path}`: the folder `{}` is read-only", at.display()),
                ));
            }
            Ok(_) => return Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                at = match at.parent() {
                    Some(p) if p != Path::new("") => p.to_owned(),
                    _ => PathBuf::from("."),
                };
            }
            Err(e) => return Err(Error::io("write to", path, e)),
        }
    }
}

/// Folder (with its last `/`) and the rest of a path.
pub(crate) fn split(path: &str) -> (&str, &str) {
    path.split_at(path.rfind('/').map_or(0, |i| i + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let cases = [
            ("a/b.csv", Some("a/b.csv")),
            ("/a/b.csv", Some("/a/b.csv")),
            ("file:///a/b", Some("/a/b")),
            ("file://localhost/a/b", Some("/a/b")),
            ("gs://bucket/x", None),
            ("", None),
            ("file://", None),
            ("odd name://x", Some("odd name://x")),
        ];
        for (address, want) in cases {
            assert_eq!(local(address).ok(), want, "{address}");
        }
    }

    #[test]
    fn patterns_skip_folders_and_hidden_files() {
        let dir = tempfile::tempdir().unwrap();
        let at = |n: &str| format!("{}/{n}", dir.path().display());
        for n in ["b.csv", "a.csv", ".c.csv", "x[1].csv"] {
            std::fs::write(at(n), n).unwrap();
        }
        std::fs::create_dir_all(at("sub.csv/deep")).unwrap();
        std::fs::write(at("sub.csv/deep/d.csv"), "").unwrap();
        let names = |p: &str| -> Vec<String> {
            let root = at("");
            find(&at(p)).unwrap().into_iter().map(|f| f.path.replace(&root, "")).collect()
        };
        assert_eq!(names("*.csv"), ["a.csv", "b.csv", "x[1].csv"]);
        assert_eq!(names("**/d.csv"), ["sub.csv/deep/d.csv"]);
        assert_eq!(names("x[1].csv"), ["x[1].csv"], "a file that exists under the very name wins");
        assert_eq!(names("[ab].csv"), ["a.csv", "b.csv"]);
        assert_eq!(names("none*"), Vec::<String>::new());
        assert!(find(&at("sub.csv")).unwrap_err().message().contains("is a directory"));
        assert!(find(&at("[")).is_err());
    }

    #[test]
    fn missing_folders_are_fine_and_files_in_the_way_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let at = |n: &str| format!("{}/{n}", dir.path().display());
        std::fs::write(at("file"), "").unwrap();
        assert!(can_create(&at("new/deeper/out")).is_ok());
        assert!(can_create("out").is_ok());
        assert!(can_create(&at("file/out")).is_err());
        assert!(can_create("gs://b/out").is_err());
    }
}

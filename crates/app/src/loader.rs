//! Where included templates and providers come from: the local file system, in Beam's order.

use purlin_spec::template::{LoadedText, Loader};
use std::path::{Path, PathBuf};

/// Looks a template up as a literal path, then beside the file that names it, then beside the pipeline,
/// then in the working folder.
#[derive(Clone, Debug)]
pub struct FileLoader {
    folder: PathBuf,
}

impl FileLoader {
    /// For a pipeline file.
    pub fn beside(pipeline: &Path) -> Self {
        FileLoader { folder: pipeline.parent().map(Path::to_path_buf).unwrap_or_default() }
    }

    fn candidates(&self, path: &str, from: Option<&str>) -> Vec<PathBuf> {
        let path = path.strip_prefix("file://").unwrap_or(path);
        let mut all = vec![PathBuf::from(path)];
        all.extend(from.and_then(|f| Path::new(f).parent()).map(|p| p.join(path)));
        all.push(self.folder.join(path));
        all.dedup();
        all
    }
}

impl Loader for FileLoader {
    fn load(&self, path: &str, from: Option<&str>) -> Result<LoadedText, String> {
        let candidates = self.candidates(path, from);
        for file in &candidates {
            if !file.is_file() {
                continue;
            }
            let name = file.display().to_string();
            return match std::fs::read(file) {
                Ok(bytes) => String::from_utf8(bytes)
                    .map(|text| LoadedText { name: name.clone(), text })
                    .map_err(|e| format!("`{name}` is not UTF-8 (byte {})", e.utf8_error().valid_up_to())),
                Err(e) => Err(format!("cannot read `{name}`: {e}")),
            };
        }
        let tried: Vec<String> = candidates.iter().map(|p| p.display().to_string()).collect();
        Err(format!("no such file; looked for {}", tried.join(", ")))
    }
}

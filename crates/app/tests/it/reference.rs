//! What is generated from the definitions is checked in, and in step with them.

use std::path::Path;

#[test]
fn reference_pages_and_schema_are_in_step() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    let mut wanted: Vec<String> = Vec::new();
    for (name, text) in purlin::cli::reference_pages() {
        let have = std::fs::read_to_string(folder.join(&name)).unwrap_or_default();
        assert!(have == text, "docs/reference/{name} is not in step; run `make reference`");
        wanted.push(name);
    }
    for entry in std::fs::read_dir(&folder).expect("docs/reference").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(wanted.contains(&name), "docs/reference/{name} belongs to no transform; take it out");
    }
}

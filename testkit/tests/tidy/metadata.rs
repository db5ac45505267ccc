//! What we build on: licences and reasons.

use serde_json::Value;
use std::process::Command;

/// Licences that may be linked into an Apache-2.0 binary.
const LICENCES: &[&str] = &[
    "Apache-2.0",
    "MIT",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unlicense",
    "CC0-1.0",
    "0BSD",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "BSL-1.0",
    "MIT-0",
    "bzip2-1.0.6",
    "Apache-2.0 WITH LLVM-exception",
];

#[test]
fn every_library_has_a_licence_we_may_link() {
    // Only what is built on this machine: the rest has not been fetched.
    let version = Command::new("rustc").arg("-vV").output().expect("rustc");
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let host = version.lines().find_map(|l| l.strip_prefix("host: ")).expect("rustc names its host");
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", host])
        .current_dir(crate::root())
        .output()
        .expect("cargo metadata");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let metadata: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(packages.len() > 20, "metadata lists too few packages");
    let mut wrong = Vec::new();
    for p in packages {
        let licence = p["license"].as_str().unwrap_or("");
        let fits =
            |part: &str| part.split(" AND ").all(|l| LICENCES.contains(&l.trim().trim_matches(['(', ')'])));
        if !licence.replace('/', " OR ").split(" OR ").any(fits) {
            wrong.push(format!("{} {}: `{licence}`", p["name"], p["version"]));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

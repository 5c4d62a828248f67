//! The files of the project itself, for tests of how it is written.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folder of the project.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files of the tree that people or programs wrote, as `path from the root, text`.
pub fn texts() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("reads a folder").flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                if name != "target" && name != ".git" && name != ".aml" {
                    walk(&path, found);
                }
            } else if name != ".git" {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(root(), &mut found);
    found.sort();
    let name = |path: &Path| {
        path.strip_prefix(root())
            .expect("below")
            .display()
            .to_string()
    };
    let read = |path: PathBuf| Some((name(&path), fs::read_to_string(&path).ok()?));
    found.into_iter().filter_map(read).collect()
}

/// Those of [`texts`] that are Rust.
pub fn rust_files() -> Vec<(String, String)> {
    let mut files = texts();
    files.retain(|(file, _)| Path::new(file).extension().is_some_and(|ext| ext == "rs"));
    files
}

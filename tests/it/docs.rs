//! Generated documents are what the code generates; `UPDATE_DOCS=1 cargo test` writes them.

use std::fs;

use crate::support::root;

/// Compares a committed file with what it should be, or writes it when asked to.
#[track_caller]
pub fn assert_fresh(file: &str, text: &str) {
    let path = root().join(file);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("makes the folder");
        fs::write(&path, text).expect("writes the document");
        return;
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "{file} is stale; write it with: UPDATE_DOCS=1 cargo test"
    );
}

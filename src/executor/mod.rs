//! Executing things on a machine: environments, processes and their supervision.
//!
//! Knows neither workspace nor client: a job comes in as plain data, files and exit codes go out.

pub mod environment;
pub mod local;
mod process_table;
mod python;
pub mod supervisor;
mod tool;

use std::{collections::BTreeMap, io, path::Path};

use crate::api::{Error, Result};

/// Variables of the machine that every process gets, `PATH` among them.
pub type Variables = BTreeMap<String, String>;

/// Says what a failed file operation was about.
fn io_error(verb: &str, path: &Path, error: &io::Error) -> Error {
    let message = format!("Cannot {verb} `{}`: {error}", path.display());
    match error.kind() {
        io::ErrorKind::StorageFull => Error::full(message),
        _ => Error::unavailable(message),
    }
}

/// Makes a folder, and those above it, that only its owner can enter.
fn private_dir(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| io_error("make", path, &e))
}

/// Writes a file whole or not at all.
fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, content)
        .and_then(|()| std::fs::rename(&temporary, path))
        .map_err(|e| io_error("write", path, &e))
}

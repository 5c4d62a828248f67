//! Executing things on a machine: environments, processes and their supervision.
//!
//! Knows neither workspace nor client: a job comes in as plain data, files and exit codes go out.

mod build;
pub mod compiled;
mod conda;
pub mod engine;
pub mod environment;
mod install;
pub mod limits;
pub mod local;
pub mod log;
mod notice;
mod own;
mod pins;
pub mod process_table;
mod python;
pub mod redact;
mod seal;
pub mod spares;
pub mod succession;
pub mod supervisor;
mod tool;
pub mod use_of;
mod watch;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use api::{Error, Result};

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

/// Writes a file whole or not at all, also when several write it at once.
fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", uuid::Uuid::new_v4().simple()));
    std::fs::write(&temporary, content)
        .and_then(|()| std::fs::rename(&temporary, path))
        .inspect_err(|_| drop(std::fs::remove_file(&temporary)))
        .map_err(|e| io_error("write", path, &e))
}

/// Writes a new file that only its owner can read.
pub fn write_new(path: &Path, content: &str) -> io::Result<()> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    file?.write_all(content.as_bytes())
}

/// Waits until nobody else holds the lock on a file.
async fn lock(file: std::fs::File, path: &Path) -> Result<std::fs::File> {
    let locked = on_files(move || file.lock().map(|()| file)).await?;
    locked.map_err(|e| io_error("lock", path, &e))
}

/// Does work on many files where it keeps nobody waiting.
async fn on_files<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Error::internal(format!("Work on files ended early: {e}")))
}

/// Removes a half-made environment when dropped. (One left by a killed process has no marker and is
/// removed by whoever makes it next.)
struct Unfinished(Option<PathBuf>);

impl Unfinished {
    fn new(folder: &Path) -> Self {
        Self(Some(folder.to_owned()))
    }

    fn finished(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(folder) = &self.0 {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::write_whole;

    #[test]
    fn a_file_that_many_write_at_once_is_always_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        write_whole(&path, b"whole").unwrap();
                        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
                    }
                });
            }
        });
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

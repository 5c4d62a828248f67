//! Logs of runs: one growing file each, beside the database.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use bytes::Bytes;

use super::{
    Store,
    blobs::blocking,
    home::{io_error, private_dir},
};
use api::Result;

impl Store {
    /// Bytes of a run's log.
    pub fn log_length(&self, workspace: i64, run: i64) -> Result<u64> {
        let path = self.home.run_log(workspace, run);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(metadata.len()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(e) => Err(io_error("read", &path, &e)),
        }
    }

    /// Writes what begins at `offset` of the log, without what is there already, and answers the
    /// log's length; none when it would leave a gap.
    pub async fn append_log(
        &self,
        workspace: i64,
        run: i64,
        offset: u64,
        bytes: Bytes,
    ) -> Result<Option<u64>> {
        let path = self.home.run_log(workspace, run);
        blocking(move || append(&path, offset, &bytes).map_err(|e| io_error("write", &path, &e))?)
            .await
    }

    /// At most `limit` bytes of the log from `offset` on; nothing at its end.
    pub async fn read_log(
        &self,
        workspace: i64,
        run: i64,
        offset: u64,
        limit: usize,
    ) -> Result<Bytes> {
        let path = self.home.run_log(workspace, run);
        blocking(move || match read(&path, offset, limit) {
            Ok(bytes) => Ok(bytes.into()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Bytes::new()),
            Err(e) => Err(io_error("read", &path, &e)),
        })
        .await
    }

    pub fn remove_log(&self, workspace: i64, run: i64) -> Result<()> {
        let path = self.home.run_log(workspace, run);
        gone(&path, fs::remove_file(&path))
    }

    /// Removes the logs of all runs of a workspace.
    pub fn remove_logs(&self, workspace: i64) -> Result<()> {
        match self.home.run_log(workspace, 0).parent() {
            Some(folder) => gone(folder, fs::remove_dir_all(folder)),
            None => Ok(()),
        }
    }
}

/// Two workers may append when one took the run over from the other: the file's lock orders them.
fn append(path: &Path, offset: u64, bytes: &[u8]) -> io::Result<Result<Option<u64>>> {
    if let Some(folder) = path.parent()
        && let Err(error) = private_dir(folder)
    {
        return Ok(Err(error));
    }
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    file.lock()?;
    let length = file.metadata()?.len();
    if offset > length {
        return Ok(Ok(None));
    }
    let known = usize::try_from(length - offset).unwrap_or(usize::MAX);
    let new = bytes.get(known..).unwrap_or_default();
    file.write_all(new)?;
    Ok(Ok(Some(length + new.len() as u64)))
}

fn read(path: &Path, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(limit as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn gone(path: &Path, result: io::Result<()>) -> Result<()> {
    match result {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io_error("remove", path, &e)),
        _ => Ok(()),
    }
}

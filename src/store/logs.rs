//! Logs of runs: one growing file each, beside the database.

use std::{fs, io, path::Path};

use super::{Store, home::io_error};
use crate::api::Result;

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

fn gone(path: &Path, result: io::Result<()>) -> Result<()> {
    match result {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io_error("remove", path, &e)),
        _ => Ok(()),
    }
}

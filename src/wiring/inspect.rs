//! Looking at a state directory without changing it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use api::Result;
use cli::wiring::StateReport;
use store::{self, Home, Lock};

/// With less free space than this the disk is full.
const FULL: u64 = 64 << 10;

/// Looks at a state directory, which need not exist.
pub fn inspect(directory: &Path) -> StateReport {
    let existing = directory.ancestors().find(|folder| folder.exists());
    let mut report = StateReport {
        free: existing.and_then(free_space),
        problem: existing.and_then(|folder| writable(folder).err()),
        ..StateReport::default()
    };
    if directory.is_dir() {
        let home = Home::at(directory.to_owned());
        report.size = size_of_database(&home);
        report.uv = executor::environment::uv_of(directory);
        report.open_to_others = home.is_open_to_others();
        report.holders = holders(&home);
        let format = store::format(&home.database());
        let found = format.and_then(|format| {
            // With a database there was a key.
            format.map_or(Ok([0; 32]), |_| home.key())?;
            Ok(format)
        });
        match found {
            Ok(format) => report.format = format,
            Err(error) => report.problem = report.problem.or(Some(error)),
        }
    }
    report
}

/// Whether nothing more can be written where a directory lies.
pub fn disk_is_full(directory: &Path) -> bool {
    free_space(directory).is_some_and(|free| free < FULL)
}

fn free_space(folder: &Path) -> Option<u64> {
    let stat = nix::sys::statvfs::statvfs(folder).ok()?;
    Some(stat.blocks_available() * stat.fragment_size())
}

/// Tries it, since permissions do not tell all (a file system can be read-only).
fn writable(folder: &Path) -> Result<()> {
    let probe = folder.join(format!(".probe-{}", std::process::id()));
    let tried = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&probe);
    match tried {
        Ok(_) => {
            let _ = fs::remove_file(&probe);
            Ok(())
        }
        Err(e) => Err(store::io_error("write in", folder, &e)),
    }
}

/// With what was written lately, which SQLite keeps beside it.
fn size_of_database(home: &Home) -> u64 {
    let files = [home.database(), home.database().with_extension("db-wal")];
    let sizes = files.iter().filter_map(|file| fs::metadata(file).ok());
    sizes.map(|meta| meta.len()).sum()
}

fn holders(home: &Home) -> Vec<String> {
    let workers = files(&home.workers()).into_iter();
    let workers = workers.filter(|file| file.extension().is_some_and(|end| end == "lock"));
    let hosts = files(&home.endpoints()).into_iter();
    let hosts = hosts.map(|folder| folder.join("lock"));
    let server = ("server", home.server_lock());
    let workers = workers.map(|lock| ("worker", lock));
    let hosts = hosts.map(|lock| ("endpoint host", lock));
    std::iter::once(server)
        .chain(workers)
        .chain(hosts)
        .filter_map(|(kind, lock)| match Lock::holder(&lock)? {
            note if note.is_empty() => Some(kind.to_owned()),
            note => Some(note),
        })
        .collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    files
}

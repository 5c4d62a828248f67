//! Logs that programs append to.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

/// Bytes of a log that are looked at.
const LOOKED_AT: u64 = 256 << 10;

/// Opens a log to append to.
pub fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// The log from `start` on, its last part when it is long.
pub fn read(log: &Path, start: u64) -> String {
    let tail = || {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(start.max(length.saturating_sub(LOOKED_AT))))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        io::Result::Ok(bytes)
    };
    String::from_utf8_lossy(&tail().unwrap_or_default()).into_owned()
}

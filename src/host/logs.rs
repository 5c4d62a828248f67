//! Keeps the logs of an endpoint from filling the disk.

use std::{
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// A log that is longer is begun anew; what was in it is kept once, beside it.
const LONGEST: u64 = 64 << 20;
/// How much of it is kept.
const KEPT: u64 = 16 << 20;
const LOOK: Duration = Duration::from_secs(2);

/// Looks after the logs in the endpoint's folder until dropped.
pub async fn keep(folder: PathBuf) {
    loop {
        tokio::time::sleep(LOOK).await;
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            let is_log = path.extension().is_some_and(|end| end == "log")
                || path.file_name().is_some_and(|name| name == "log");
            let length = fs::metadata(&path).map_or(0, |meta| meta.len());
            if is_log && length > LONGEST {
                // A disk that is full may have room again later.
                let _ = begin_anew(&path, length, KEPT);
            }
        }
    }
}

/// Keeps the end of a log beside it and empties it. Whoever has it open goes on at its new end, for it
/// is opened to append to.
fn begin_anew(path: &Path, length: u64, kept: u64) -> io::Result<()> {
    use io::{Read, Seek, Write};
    let mut file = fs::File::open(path)?;
    file.seek(io::SeekFrom::Start(length.saturating_sub(kept)))?;
    let mut old = path.as_os_str().to_owned();
    old.push(".old");
    let mut end = fs::File::create(old)?;
    io::copy(&mut file.take(kept), &mut end)?;
    end.flush()?;
    OpenOptions::new().write(true).open(path)?.set_len(0)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use super::begin_anew;

    #[test]
    fn a_log_begins_anew_under_its_writers_and_its_end_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d1.log");
        let mut writer = super::super::process::append(&path).unwrap();
        writer.write_all(b"one\ntwo\n").unwrap();
        begin_anew(&path, 8, 4).unwrap();
        writer.write_all(b"three\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
        let old = folder.path().join("d1.log.old");
        assert_eq!(fs::read_to_string(old).unwrap(), "two\n");
    }
}

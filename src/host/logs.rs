//! Keeps the logs of an endpoint from filling the disk.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use executor::{log::append, redact::Redactor};

/// How long a log may become.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// One that is longer is begun anew; what was in it is kept once, beside it.
    longest: u64,
    /// How much of it is kept.
    kept: u64,
}

const BOUNDS: Bounds = Bounds {
    longest: 64 << 20,
    kept: 16 << 20,
};
const LOOK: Duration = Duration::from_secs(2);
/// What is passed on at once.
const PART: usize = 64 << 10;

/// Looks after the logs in the endpoint's folder until dropped.
pub async fn keep(folder: PathBuf) {
    loop {
        tokio::time::sleep(LOOK).await;
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            let is_log = path.extension().is_some_and(|end| end == "log")
                || path.file_name().is_some_and(|name| name == "log");
            if is_log {
                // A disk that is full may have room again later.
                let _ = BOUNDS.hold(&path);
            }
        }
    }
}

/// Passes on what a scoring process writes, without its secrets, into a log that it cannot make longer
/// than it may be, until nothing writes any more. What does not fit on the disk is lost, and the process
/// goes on.
pub fn pass_on(from: impl Read, redactor: Redactor, log: &Path) -> io::Result<()> {
    BOUNDS.pass_on(from, redactor, log)
}

impl Bounds {
    fn pass_on(self, mut from: impl Read, mut redactor: Redactor, path: &Path) -> io::Result<()> {
        let mut log = append(path)?;
        let mut part = vec![0; PART];
        let mut held = Vec::new();
        let mut written = 0;
        loop {
            let room = PART.saturating_sub(held.len()).max(1);
            let read = match from.read(&mut part[..room]) {
                Ok(0) => break,
                Ok(read) => read,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            held.append(&mut redactor.push(&part[..read]));
            // Others write lines between those that are whole.
            let end_of_line = held.iter().rposition(|byte| *byte == b'\n');
            let whole = match end_of_line {
                Some(end) if read == room => end + 1,
                _ => held.len(),
            };
            let _ = log.write_all(&held[..whole]);
            held.drain(..whole);
            written += whole as u64;
            if written > self.longest / 64 {
                written = 0;
                let _ = self.hold(path);
            }
        }
        held.append(&mut redactor.finish());
        log.write_all(&held)
    }

    /// Keeps the end of a log that is too long beside it and empties it. Whoever has it open goes on at its
    /// new end, for it is opened to append to.
    fn hold(self, path: &Path) -> io::Result<()> {
        if fs::metadata(path)?.len() <= self.longest {
            return Ok(());
        }
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        file.lock()?;
        let length = file.metadata()?.len();
        // Another may just have done it.
        if length <= self.longest {
            return Ok(());
        }
        file.seek(SeekFrom::Start(length.saturating_sub(self.kept)))?;
        let mut old = path.as_os_str().to_owned();
        old.push(".old");
        let mut end = File::create(old)?;
        let kept = io::copy(&mut (&file).take(self.kept), &mut end);
        file.set_len(0)?;
        kept.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{self, Cursor, Read, Write},
        path::PathBuf,
    };

    use super::{Bounds, Redactor};

    fn no_secrets() -> Redactor {
        Redactor::new([])
    }

    #[test]
    fn secrets_are_taken_out_wherever_a_part_ends() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("d1.log");
        let secret = "s3cret".to_owned();
        let written = Cursor::new("with s3").chain(Cursor::new("cret in it\nat the end s3cret"));
        super::pass_on(written, Redactor::new([&secret]), &log).unwrap();
        let log = fs::read_to_string(log).unwrap();
        assert_eq!(log, "with *** in it\nat the end ***");
    }

    #[test]
    fn a_log_begins_anew_under_its_writers_and_its_end_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d1.log");
        let mut writer = super::append(&path).unwrap();
        writer.write_all(b"one\ntwo\n").unwrap();
        let bounds = Bounds {
            longest: 7,
            kept: 4,
        };
        bounds.hold(&path).unwrap();
        writer.write_all(b"three\n").unwrap();
        bounds.hold(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
        let old = folder.path().join("d1.log.old");
        assert_eq!(fs::read_to_string(old).unwrap(), "two\n");
    }

    /// Writes without end, and looks how long the log has become.
    struct Talker {
        log: PathBuf,
        left: usize,
        longest: u64,
    }

    impl Read for &mut Talker {
        fn read(&mut self, part: &mut [u8]) -> io::Result<usize> {
            let length = fs::metadata(&self.log).map_or(0, |meta| meta.len());
            self.longest = self.longest.max(length);
            let count = part.len().min(self.left);
            part[..count].fill(b'x');
            self.left -= count;
            Ok(count)
        }
    }

    #[test]
    fn nobody_writes_a_log_longer_than_it_may_be() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("d1.log");
        let bounds = Bounds {
            longest: 1 << 20,
            kept: 1 << 18,
        };
        let mut talker = Talker {
            log: log.clone(),
            left: 20 << 20,
            longest: 0,
        };
        bounds.pass_on(&mut talker, no_secrets(), &log).unwrap();
        assert_eq!(talker.left, 0);
        assert!(
            talker.longest <= (1 << 20) + (1 << 17),
            "{}",
            talker.longest
        );
        let old = folder.path().join("d1.log.old");
        assert_eq!(fs::metadata(old).unwrap().len(), 1 << 18);
    }

    #[test]
    fn what_is_written_comes_whole() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("d1.log");
        let lines = "some line\n".repeat(30_000);
        super::pass_on(Cursor::new(format!("{lines}no end")), no_secrets(), &log).unwrap();
        assert_eq!(fs::read_to_string(&log).unwrap(), format!("{lines}no end"));
    }
}

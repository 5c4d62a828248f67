//! A run's log: from the file its process writes to the workspace, without secrets, in order, once.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use axum::body::Bytes;

use super::persist;
use api::{Error, Result};
use client::Client;
use executor::redact::Redactor;

/// Bytes read and sent at once.
const CHUNK: usize = 1 << 20;
/// How soon the file is looked at again: at once after something came, then less and less often.
const SOONEST: Duration = Duration::from_millis(10);
const LATEST: Duration = Duration::from_millis(200);

/// Sends a growing log.
pub struct Log {
    client: Client,
    workspace: String,
    run: String,
    path: PathBuf,
    file: Option<File>,
    redactor: Redactor,
    /// Bytes of the redacted log that are stored already and must not be sent again.
    skip: u64,
    /// Where the next append begins.
    offset: u64,
    /// What was read and is not stored yet.
    unsent: Vec<u8>,
    pause: Duration,
}

impl Log {
    /// Begins or goes on where `stored` bytes of the redacted log are stored.
    pub fn new(
        client: &Client,
        names: (&str, &str),
        path: &Path,
        redactor: Redactor,
        stored: u64,
    ) -> Self {
        Self {
            client: client.clone(),
            workspace: names.0.to_owned(),
            run: names.1.to_owned(),
            path: path.to_owned(),
            file: None,
            redactor,
            skip: stored,
            offset: stored,
            unsent: Vec::new(),
            pause: SOONEST,
        }
    }

    /// How long to wait before looking at the file again.
    pub fn pause(&self) -> Duration {
        self.pause
    }

    /// Sends what is new. What a full disk did not let through is sent the next time.
    pub async fn send_new(&mut self) -> Result<()> {
        let (before, pause) = (self.offset, self.pause);
        self.pause = LATEST;
        self.append(Vec::new()).await?;
        loop {
            let bytes = self.read()?;
            if bytes.is_empty() {
                break;
            }
            let redacted = self.redactor.push(&bytes);
            self.append(redacted).await?;
        }
        self.pause = if self.offset > before {
            SOONEST
        } else {
            (pause * 2).min(LATEST)
        };
        Ok(())
    }

    /// Sends the rest; the process has ended. `notes` are lines of the worker's own.
    pub async fn finish(&mut self, notes: &[String]) -> Result<()> {
        let sent = self.send_new().await;
        let mut rest = self.redactor.finish();
        rest.extend(note_lines(notes).into_bytes());
        if sent.is_err() {
            self.unsent.append(&mut rest);
        }
        sent?;
        self.append(rest).await
    }

    fn read(&mut self) -> Result<Vec<u8>> {
        let failed = |e: io::Error| Error::unavailable(format!("Cannot read the run's log: {e}"));
        if self.file.is_none() {
            self.file = match File::open(&self.path) {
                Ok(file) => Some(self.at_the_unsent(file).map_err(failed)?),
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(e) => return Err(failed(e)),
            };
        }
        let mut bytes = Vec::new();
        if let Some(file) = &mut self.file {
            let limit = CHUNK as u64;
            file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
        }
        Ok(bytes)
    }

    /// Without secrets what is stored is what was written, and need not be read again.
    fn at_the_unsent(&mut self, mut file: File) -> io::Result<File> {
        if self.redactor.is_idle() {
            let length = file.metadata()?.len();
            let start = self.skip.min(length);
            file.seek(SeekFrom::Start(start))?;
            self.skip -= start;
        }
        Ok(file)
    }

    async fn append(&mut self, mut bytes: Vec<u8>) -> Result<()> {
        let skipped = bytes
            .len()
            .min(usize::try_from(self.skip).unwrap_or(usize::MAX));
        bytes.drain(..skipped);
        self.skip -= skipped as u64;
        self.unsent.append(&mut bytes);
        if self.unsent.is_empty() {
            return Ok(());
        }
        let bytes = Bytes::copy_from_slice(&self.unsent);
        let sent = || {
            self.client
                .append_log(&self.workspace, &self.run, self.offset, bytes.clone())
        };
        self.offset = persist(sent).await?;
        self.unsent.clear();
        Ok(())
    }
}

/// Writes the whole log as people may see it to a file of its own.
pub fn write_redacted(
    log: &Path,
    to: &Path,
    mut redactor: Redactor,
    notes: &[String],
) -> io::Result<()> {
    let mut out = io::BufWriter::new(File::create(to)?);
    match File::open(log) {
        Ok(mut file) => {
            let mut chunk = vec![0; CHUNK];
            loop {
                match file.read(&mut chunk)? {
                    0 => break,
                    read => out.write_all(&redactor.push(&chunk[..read]))?,
                }
            }
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    out.write_all(&redactor.finish())?;
    out.write_all(note_lines(notes).as_bytes())?;
    out.flush()
}

fn note_lines(notes: &[String]) -> String {
    let lines: Vec<String> = notes.iter().map(|note| format!("aml: {note}\n")).collect();
    lines.concat()
}

//! A file of elsewhere of which parts are on this machine.

use std::{
    fs::{self, File},
    io,
    ops::Range,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use api::{Error, Result};
use client::{Client, inputs::Located};
use table::Parts;

/// A file of which some ranges are on this machine.
pub struct Here<'a> {
    client: &'a Client,
    located: &'a Located,
    path: PathBuf,
    file: File,
    parts: Vec<Range<u64>>,
    size: u64,
}

impl<'a> Here<'a> {
    /// Makes the file, of the right size and without content.
    pub fn create(
        client: &'a Client,
        located: &'a Located,
        path: &Path,
        size: u64,
    ) -> Result<Self> {
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        let made = made.and_then(|()| {
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(true);
            let file = options.open(path)?;
            file.set_len(size)?;
            Ok(file)
        });
        Ok(Self {
            client,
            located,
            path: path.to_owned(),
            file: made.map_err(|e| failed(path, &e))?,
            parts: Vec::new(),
            size,
        })
    }

    /// False where parts are not to be had any more.
    pub async fn bring(&mut self, part: Range<u64>) -> Result<bool> {
        if part.is_empty() {
            return Ok(true);
        }
        let Some(bytes) = self.client.read_part(self.located, part.clone()).await? else {
            return Ok(false);
        };
        let written = self.file.write_all_at(&bytes, part.start);
        written.map_err(|e| failed(&self.path, &e))?;
        let before = self
            .parts
            .iter_mut()
            .find(|before| before.end == part.start);
        match before {
            Some(before) => before.end = part.end,
            None => self.parts.push(part),
        }
        Ok(true)
    }

    /// How long the part at the end is that describes a Parquet file, with its own length behind it.
    pub fn end_of_parquet(&self) -> Result<Option<u64>> {
        let Some(at) = self.size.checked_sub(8) else {
            return Ok(None);
        };
        let mut length = [0; 4];
        let read = self.file.read_exact_at(&mut length, at);
        read.map_err(|e| failed(&self.path, &e))?;
        let whole = u64::from(u32::from_le_bytes(length)) + 8;
        Ok(Some(whole).filter(|whole| *whole <= self.size))
    }

    pub fn parts(&self) -> Parts {
        Arc::new(joined(self.parts.clone(), 0))
    }
}

/// Ranges in their order, as one where no more than `gap` is between them.
pub fn joined(mut parts: Vec<Range<u64>>, gap: u64) -> Vec<Range<u64>> {
    parts.sort_by_key(|part| part.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for part in parts {
        match joined.last_mut() {
            Some(last) if last.end + gap >= part.start => last.end = last.end.max(part.end),
            _ => joined.push(part),
        }
    }
    joined
}

pub fn failed(path: &Path, error: &io::Error) -> Error {
    Error::invalid(format!("Cannot write `{}`: {error}", path.display()))
}

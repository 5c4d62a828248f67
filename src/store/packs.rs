//! Pack files: where the content of blobs lies. A pack is written once and never changed.
//!
//! Its writer holds a lock on the file from its first byte until its rows are committed. So a file
//! without rows whose lock is free belongs to nobody: whoever wrote it has died.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::home::{io_error, private_dir};
use api::{Error, Result, files::Hash, frames};

/// Blobs up to this size share a pack.
const SHARED: u64 = 8 << 20;
/// A pack takes no further blob beyond this size.
const FULL: u64 = 32 << 20;
const BUFFER: usize = 1 << 20;
/// The ending of the name of a pack that is being written.
pub const UNFINISHED: &str = "tmp";

/// A blob in a pack.
#[derive(Debug, Clone)]
pub struct Placed {
    pub hash: Hash,
    pub size: u64,
    pub start: u64,
}

/// A finished pack, on disk under its name. Dropped without rows, it is left to the next collection.
#[derive(Debug)]
pub struct Pack {
    pub name: String,
    pub blobs: Vec<Placed>,
    path: PathBuf,
    _locked: File,
}

impl Pack {
    /// Removes the file: no row names it.
    pub fn discard(self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// A pack that is being written; its file is removed when it is dropped unfinished.
pub struct PackWriter {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    length: u64,
    blobs: Vec<Placed>,
}

impl PackWriter {
    pub fn create(folder: &Path) -> Result<Self> {
        private_dir(folder)?;
        loop {
            let name = uuid::Uuid::new_v4().simple().to_string();
            let path = folder.join(name).with_extension(UNFINISHED);
            let file = OpenOptions::new()
                .write(true)
                .read(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
                .map_err(|e| io_error("make", &path, &e))?;
            file.lock().map_err(|e| io_error("lock", &path, &e))?;
            // A collection may have removed it before it was locked.
            if file.metadata().is_ok_and(|metadata| metadata.nlink() > 0) {
                return Ok(Self {
                    path,
                    file: Some(BufWriter::with_capacity(BUFFER, file)),
                    length: 0,
                    blobs: Vec::new(),
                });
            }
        }
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(file) = &mut self.file {
            file.write_all(bytes)
                .map_err(|e| io_error("write", &self.path, &e))?;
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Names what was written since the last blob, `size` bytes.
    pub fn place(&mut self, hash: Hash, size: u64) {
        self.blobs.push(Placed {
            hash,
            size,
            start: self.length - size,
        });
    }

    fn has_room(&self, size: u64) -> bool {
        self.length == 0 || (size <= SHARED && self.length + size <= FULL)
    }

    /// Brings everything to disk and gives the pack its name.
    pub fn finish(mut self) -> Result<Pack> {
        let failed = |path: &Path, e: &io::Error| io_error("write", path, e);
        let Some(buffer) = self.file.take() else {
            return Err(Error::internal("A pack was finished twice"));
        };
        let mut remove = RemoveOnDrop(Some(self.path.clone()));
        let file = buffer
            .into_inner()
            .map_err(|e| failed(&self.path, e.error()))?;
        let path = self.path.with_extension("");
        fs::rename(&self.path, &path).map_err(|e| failed(&path, &e))?;
        remove.0 = Some(path.clone());
        // No row names it before both are on disk, so they may be waited for at the same time.
        std::thread::scope(|scope| {
            let named = scope.spawn(|| sync_folder(&path));
            file.sync_data().map_err(|e| failed(&path, &e))?;
            named
                .join()
                .unwrap_or_else(|_| Err(Error::internal("Syncing a folder came down")))
        })?;
        remove.0 = None;
        let name = path.file_name().unwrap_or_default();
        Ok(Pack {
            name: name.to_string_lossy().into_owned(),
            blobs: std::mem::take(&mut self.blobs),
            path,
            _locked: file,
        })
    }
}

impl Drop for PackWriter {
    fn drop(&mut self) {
        if self.file.is_some() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

struct RemoveOnDrop(Option<PathBuf>);

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

/// Makes the name of a file in its folder last through a power loss.
fn sync_folder(file: &Path) -> Result<()> {
    let folder = file.parent().unwrap_or(file);
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|e| io_error("write", folder, &e))
}

/// Writes the blobs of a framed body into packs. When one does not hash to its name, or a chunk is
/// an error, or the body ends early, nothing is left of it.
pub fn receive(
    folder: &Path,
    chunks: impl Iterator<Item = Result<bytes::Bytes>>,
) -> Result<Vec<Pack>> {
    let mut intake = Intake {
        folder,
        writer: None,
        finished: Vec::new(),
        hasher: blake3::Hasher::new(),
        blob: (Hash([0; 32]), 0),
    };
    let mut reader = frames::Reader::default();
    let read = (|| {
        for chunk in chunks {
            reader.feed(chunk?, &mut |part| intake.take(part))?;
        }
        reader.finish()?;
        intake.seal()
    })();
    match read {
        Ok(()) => Ok(intake.finished),
        Err(error) => {
            intake.finished.into_iter().for_each(Pack::discard);
            Err(error)
        }
    }
}

struct Intake<'a> {
    folder: &'a Path,
    writer: Option<PackWriter>,
    finished: Vec<Pack>,
    hasher: blake3::Hasher,
    blob: (Hash, u64),
}

impl Intake<'_> {
    fn take(&mut self, part: frames::Part) -> Result<()> {
        match part {
            frames::Part::Begin { hash, size } => {
                if self.writer.as_ref().is_some_and(|w| !w.has_room(size)) {
                    self.seal()?;
                }
                if self.writer.is_none() {
                    self.writer = Some(PackWriter::create(self.folder)?);
                }
                self.blob = (hash, size);
                self.hasher.reset();
            }
            frames::Part::Content(bytes) => {
                self.hasher.update(&bytes);
                if let Some(writer) = &mut self.writer {
                    writer.write(&bytes)?;
                }
            }
            frames::Part::End => {
                let (hash, size) = self.blob;
                if self.hasher.finalize() != hash.0 {
                    return Err(Error::invalid(format!(
                        "The content sent for the blob {hash} does not hash to it"
                    )));
                }
                if let Some(writer) = &mut self.writer {
                    writer.place(hash, size);
                }
            }
        }
        Ok(())
    }

    fn seal(&mut self) -> Result<()> {
        if let Some(writer) = self.writer.take() {
            self.finished.push(writer.finish()?);
        }
        Ok(())
    }
}

/// Writes one blob of any size, whose hash is not known before, into a pack of its own.
pub fn receive_one(
    folder: &Path,
    chunks: impl Iterator<Item = Result<bytes::Bytes>>,
) -> Result<Pack> {
    let mut writer = PackWriter::create(folder)?;
    let mut hasher = blake3::Hasher::new();
    for chunk in chunks {
        let chunk = chunk?;
        hasher.update(&chunk);
        writer.write(&chunk)?;
    }
    let size = writer.length;
    writer.place(Hash(*hasher.finalize().as_bytes()), size);
    writer.finish()
}

/// An open blob: it can be read to its end whatever is collected meanwhile.
#[derive(Debug, Clone)]
pub struct OpenBlob {
    pub hash: Hash,
    pub size: u64,
    pub(super) start: u64,
    pub(super) file: Arc<File>,
    pub(super) path: Arc<PathBuf>,
}

impl OpenBlob {
    /// Fills `buffer` with what is at `offset`.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.file
            .read_exact_at(buffer, self.start + offset)
            .map_err(|e| io_error("read", &self.path, &e))
    }

    /// Reads it from its beginning.
    pub fn reader(&self) -> impl io::Read + '_ {
        BlobReader { blob: self, at: 0 }
    }

    /// All of it; for blobs that are known to be small.
    pub fn read(&self) -> Result<Vec<u8>> {
        let mut content = vec![0; usize::try_from(self.size).unwrap_or(usize::MAX)];
        self.read_at(&mut content, 0)?;
        Ok(content)
    }
}

struct BlobReader<'a> {
    blob: &'a OpenBlob,
    at: u64,
}

impl io::Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.blob.size - self.at).unwrap_or(usize::MAX);
        let length = left.min(buffer.len());
        let start = self.blob.start + self.at;
        self.blob.file.read_exact_at(&mut buffer[..length], start)?;
        self.at += length as u64;
        Ok(length)
    }
}

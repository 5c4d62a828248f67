//! Where the files of datastores are: a folder, or a container of a cloud.

#[cfg_attr(not(feature = "cloud"), path = "no_cloud.rs")]
mod cloud;
mod folder;

use std::{fs::File, iter, path::PathBuf, sync::Arc};

use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::sync::{Semaphore, mpsc};

use super::{
    Chunks,
    blobs::{blocking, blocking_iter},
    home::io_error,
};
use api::{
    Error, Result, Time,
    datastores::{DatastoreType, StoredFile},
    files::check_path,
};

/// Bytes in one piece of a stream.
const PIECE: usize = 256 << 10;
/// Pieces on their way at once.
const PIECES: usize = 8;
/// Held by who keeps a thread from other requests while it waits for the disk.
static ON_THE_SPOT: Semaphore = Semaphore::const_new(1);

/// A datastore that can be opened. It has secrets, so it cannot be printed.
#[derive(Clone)]
pub struct Address {
    pub kind: DatastoreType,
    pub spec: Map<String, Value>,
    pub credentials: Map<String, Value>,
}

#[cfg(feature = "cloud")]
impl Address {
    fn text(&self, key: &str) -> &str {
        let value = self.spec.get(key);
        value.and_then(Value::as_str).unwrap_or_default()
    }

    fn credential(&self, key: &str) -> Option<&str> {
        self.credentials.get(key).and_then(Value::as_str)
    }
}

/// An open place of files. Paths are plain and relative; none leads out of it.
#[derive(Debug, Clone)]
pub enum FilePlace {
    Folder(PathBuf),
    Cloud(cloud::Cloud),
}

/// A file of a place, open for reading.
#[derive(Debug)]
pub struct PlacedFile {
    pub size: u64,
    pub modified_at: Time,
    content: PlacedContent,
}

#[derive(Debug)]
enum PlacedContent {
    File(Arc<File>, PathBuf),
    Cloud(cloud::Cloud, String),
}

impl FilePlace {
    /// A place in a cloud; an error says what is missing to reach it. Nothing is sent so far.
    pub fn cloud(address: &Address) -> Result<Self> {
        cloud::Cloud::new(address).map(FilePlace::Cloud)
    }

    /// Files at or below `path`, all when it is empty, sorted by path.
    pub async fn list(&self, path: &str, limit: Option<u64>) -> Result<Vec<StoredFile>> {
        if !path.is_empty() {
            check_path(path)?;
        }
        match self {
            FilePlace::Folder(root) => {
                let (root, path) = (root.clone(), path.to_owned());
                blocking(move || folder::list(&root, &path, limit)).await
            }
            FilePlace::Cloud(cloud) => cloud.list(path, limit).await,
        }
    }

    /// Opens a file; none when it is not there, or is a folder.
    pub async fn open(&self, path: &str) -> Result<Option<PlacedFile>> {
        check_path(path)?;
        match self {
            FilePlace::Folder(root) => {
                let (root, path) = (root.clone(), path.to_owned());
                blocking(move || folder::open(&root, &path)).await
            }
            FilePlace::Cloud(cloud) => {
                let found = cloud.head(path).await?;
                Ok(found.map(|file| PlacedFile {
                    size: file.size,
                    modified_at: file.modified_at,
                    content: PlacedContent::Cloud(cloud.clone(), path.to_owned()),
                }))
            }
        }
    }

    /// Writes a file, whole or not at all, over what is there.
    pub async fn write(&self, path: &str, chunks: Chunks, now: Time) -> Result<StoredFile> {
        check_path(path)?;
        let size = match self {
            FilePlace::Folder(root) => {
                let (root, path) = (root.clone(), path.to_owned());
                blocking(move || folder::write(&root, &path, blocking_iter(chunks))).await?
            }
            FilePlace::Cloud(cloud) => cloud.write(path, chunks).await?,
        };
        Ok(StoredFile {
            path: path.to_owned(),
            size,
            modified_at: now,
        })
    }

    /// The same with all there is, which is little: one such file at a time is written on the spot, for
    /// waking another thread takes as long.
    pub async fn write_little(&self, path: &str, bytes: Bytes, now: Time) -> Result<StoredFile> {
        check_path(path)?;
        let size = bytes.len() as u64;
        match self {
            FilePlace::Folder(root) => match ON_THE_SPOT.try_acquire() {
                Ok(_spot) => folder::write(root, path, iter::once(Ok(bytes)))?,
                Err(_) => {
                    let (root, path) = (root.clone(), path.to_owned());
                    blocking(move || folder::write(&root, &path, iter::once(Ok(bytes)))).await?
                }
            },
            FilePlace::Cloud(cloud) => cloud.write(path, only(bytes)).await?,
        };
        Ok(StoredFile {
            path: path.to_owned(),
            size,
            modified_at: now,
        })
    }

    /// Adds to the end of a file, made if it is not there. A cloud's files cannot be added to: there what
    /// is added is a file of its own, whose name begins as this one's.
    pub async fn append(&self, path: &str, bytes: Vec<u8>, now: Time) -> Result<()> {
        check_path(path)?;
        match self {
            FilePlace::Folder(root) => {
                let (root, path) = (root.clone(), path.to_owned());
                blocking(move || folder::append(&root, &path, &bytes)).await
            }
            FilePlace::Cloud(cloud) => {
                let (begin, end) = path.rsplit_once('.').unwrap_or((path, ""));
                let part = format!("{begin}-{}-{}.{end}", now.0, uuid::Uuid::new_v4().simple());
                cloud.write(&part, only(bytes.into())).await.map(drop)
            }
        }
    }

    /// Removes the file at `path`, or all below it; answers how many there were.
    pub async fn remove(&self, path: &str) -> Result<u64> {
        check_path(path)?;
        match self {
            FilePlace::Folder(root) => {
                let (root, path) = (root.clone(), path.to_owned());
                blocking(move || folder::remove(&root, &path)).await
            }
            FilePlace::Cloud(cloud) => cloud.remove(path).await,
        }
    }
}

/// One chunk, as they come.
fn only(chunk: Bytes) -> Chunks {
    let (sender, chunks) = mpsc::channel(1);
    // There is room for it.
    let _ = sender.try_send(Ok(chunk));
    chunks
}

impl PlacedFile {
    /// The bytes in a range, which must be within the file.
    pub fn pieces(self, range: std::ops::Range<u64>) -> mpsc::Receiver<Result<Bytes>> {
        let (sender, receiver) = mpsc::channel(PIECES);
        match self.content {
            PlacedContent::File(file, path) => {
                tokio::task::spawn_blocking(move || send(&file, &path, range, &sender));
            }
            PlacedContent::Cloud(cloud, path) => {
                tokio::spawn(async move { cloud.send(&path, range, &sender).await });
            }
        }
        receiver
    }
}

fn send(
    file: &File,
    path: &std::path::Path,
    range: std::ops::Range<u64>,
    sender: &mpsc::Sender<Result<Bytes>>,
) {
    use std::os::unix::fs::FileExt;
    let mut at = range.start;
    while at < range.end {
        let length = usize::try_from(range.end - at)
            .unwrap_or(usize::MAX)
            .min(PIECE);
        let mut piece = vec![0; length];
        let read = file.read_exact_at(&mut piece, at);
        let read = read
            .map(|()| piece.into())
            .map_err(|e| io_error("read", path, &e));
        let failed = read.is_err();
        if sender.blocking_send(read).is_err() || failed {
            return;
        }
        at += length as u64;
    }
}

/// A key that the description of a datastore must have.
#[cfg_attr(not(feature = "cloud"), expect(dead_code, reason = "for clouds only"))]
fn missing(address: &Address, key: &str) -> Error {
    Error::invalid(format!("The {} datastore has no `{key}`", address.kind)).at(key)
}

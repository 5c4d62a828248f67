//! Blobs by their hash: which are stored, in which pack each lies.
//!
//! A blob that was acknowledged survives a kill, and a power loss as soon as anything that survives
//! that refers to it: its pack was on disk before its row, and its row is before what refers to it.
//! A blob that hashes to something else is never stored.

use std::{
    collections::HashMap,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Store,
    db::{Tx, count, params},
    home::io_error,
    packs::{OpenBlob, Pack, receive, receive_one},
};
use api::{Error, Result, Time, files::Hash};

/// What was touched within this is not touched again: it saves a write on every repeated upload.
pub(super) const TOUCH_MS: i64 = 60_000;

/// Where a blob lies.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub hash: Hash,
    pub size: u64,
    pub pack: String,
    pub start: u64,
}

impl Place {
    pub fn open(self, folder: &Path) -> Result<OpenBlob> {
        let path = folder.join(&self.pack);
        let file = File::open(&path).map_err(|e| io_error("open", &path, &e))?;
        Ok(OpenBlob {
            hash: self.hash,
            size: self.size,
            start: self.start,
            file: Arc::new(file),
            path: Arc::new(path),
        })
    }
}

pub(super) fn place(tx: &Tx<'_>, hash: Hash) -> Result<Option<Place>> {
    tx.one(
        "SELECT size, pack, start FROM blobs WHERE hash = ?1",
        params![hash],
        |row| {
            Ok(Place {
                hash,
                size: count(row, 0)?,
                pack: row.get(1)?,
                start: count(row, 2)?,
            })
        },
    )
}

/// Bytes on their way into the store, from a request's body.
pub type Chunks = tokio::sync::mpsc::Receiver<Result<bytes::Bytes>>;

impl Store {
    /// Which of `hashes` are not stored, each once. Those that are count as just stored.
    pub async fn missing_blobs(&self, mut hashes: Vec<Hash>, now: Time) -> Result<Vec<Hash>> {
        hashes.sort_unstable();
        hashes.dedup();
        let (mut missing, stale) = self
            .db
            .read(move |tx| {
                let (mut missing, mut stale) = (Vec::new(), Vec::new());
                for hash in hashes {
                    match touched_at(tx, hash)? {
                        None => missing.push(hash),
                        Some(at) if now.since(at) >= TOUCH_MS => stale.push(hash),
                        Some(_) => {}
                    }
                }
                Ok((missing, stale))
            })
            .await?;
        if !stale.is_empty() {
            missing.extend(
                self.db
                    .write_soon(move |tx| {
                        let sql = "UPDATE blobs SET touched_at = ?2 WHERE hash = ?1";
                        let mut gone = Vec::new();
                        for hash in stale {
                            if tx.execute(sql, params![hash, now])? == 0 {
                                gone.push(hash);
                            }
                        }
                        Ok(gone)
                    })
                    .await?,
            );
        }
        Ok(missing)
    }

    /// Stores the blobs of a framed body, all or none; answers how many are new.
    pub async fn add_blobs(&self, chunks: Chunks, now: Time) -> Result<u64> {
        let folder = self.home.blobs();
        let packs = blocking(move || receive(&folder, blocking_iter(chunks))).await?;
        self.add_packs(packs, now).await
    }

    /// Writes one blob of any size to disk; it is stored once its row is (see `add_artifact`).
    pub async fn receive_blob(&self, chunks: Chunks) -> Result<Pack> {
        let folder = self.home.blobs();
        blocking(move || receive_one(&folder, blocking_iter(chunks))).await
    }

    async fn add_packs(&self, packs: Vec<Pack>, now: Time) -> Result<u64> {
        let (stored, unused) = self
            .db
            .write_soon(move |tx| {
                // The packs go through the transaction so that their locks outlast the commit.
                let (mut stored, mut unused, mut used) = (0, Vec::new(), Vec::new());
                for pack in packs {
                    let new = insert(tx, &pack, now)?;
                    stored += new;
                    if new == 0 { &mut unused } else { &mut used }.push(pack);
                }
                Ok((stored, (unused, used)))
            })
            .await?;
        unused.0.into_iter().for_each(Pack::discard);
        Ok(stored)
    }

    /// Opens a blob; none when it is not stored.
    pub async fn open_blob(&self, hash: Hash) -> Result<Option<OpenBlob>> {
        Ok(self.open_blobs(vec![hash]).await?.pop())
    }

    /// Opens the stored ones of `hashes`, in the order in which they lie on disk.
    pub async fn open_blobs(&self, hashes: Vec<Hash>) -> Result<Vec<OpenBlob>> {
        let mut last = None;
        // A collection may move blobs between the look-up and the opening.
        for _ in 0..5 {
            let places = self.places(hashes.clone()).await?;
            match self.open_places(places) {
                Err((path, e)) if e.kind() == io::ErrorKind::NotFound => last = Some((path, e)),
                Err((path, e)) => return Err(io_error("open", &path, &e)),
                Ok(open) => return Ok(open),
            }
        }
        Err(match last {
            Some((path, e)) => io_error("open", &path, &e)
                .hint("The state directory is damaged; restore it from a copy"),
            None => Error::internal("No blob was opened"),
        })
    }

    /// Sorts hashes by where they lie, so that reading them in this order goes through each pack once.
    pub async fn sort_by_place(&self, hashes: Vec<Hash>) -> Result<Vec<Hash>> {
        let places = self.places(hashes).await?;
        Ok(places.into_iter().map(|place| place.hash).collect())
    }

    async fn places(&self, hashes: Vec<Hash>) -> Result<Vec<Place>> {
        let mut places: Vec<Place> = self
            .db
            .read(move |tx| {
                let places = hashes.into_iter().map(|hash| place(tx, hash));
                places.filter_map(Result::transpose).collect()
            })
            .await?;
        places.sort_by(|a, b| (&a.pack, a.start).cmp(&(&b.pack, b.start)));
        Ok(places)
    }

    fn open_places(
        &self,
        places: Vec<Place>,
    ) -> std::result::Result<Vec<OpenBlob>, (PathBuf, io::Error)> {
        let mut files: HashMap<String, (Arc<File>, Arc<PathBuf>)> = HashMap::new();
        let mut open = Vec::with_capacity(places.len());
        for place in places {
            let (file, path) = match files.get(&place.pack) {
                Some(found) => found.clone(),
                None => {
                    let path = self.home.blobs().join(&place.pack);
                    let file = File::open(&path).map_err(|e| (path.clone(), e))?;
                    let entry = (Arc::new(file), Arc::new(path));
                    files.insert(place.pack, entry.clone());
                    entry
                }
            };
            open.push(OpenBlob {
                hash: place.hash,
                size: place.size,
                start: place.start,
                file,
                path,
            });
        }
        Ok(open)
    }
}

fn touched_at(tx: &Tx<'_>, hash: Hash) -> Result<Option<Time>> {
    tx.one(
        "SELECT touched_at FROM blobs WHERE hash = ?1",
        params![hash],
        |row| row.get(0),
    )
}

/// Records what a pack holds; answers how many blobs are new.
pub(super) fn insert(tx: &Tx<'_>, pack: &Pack, now: Time) -> Result<u64> {
    let mut new = 0;
    // In the order of the table, so that each of its pages is written once.
    let mut blobs: Vec<_> = pack.blobs.iter().collect();
    blobs.sort_unstable_by_key(|blob| blob.hash);
    for blob in blobs {
        let inserted = tx.execute(
            "INSERT INTO blobs(hash, size, pack, start, touched_at) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT(hash) DO NOTHING",
            params![blob.hash, blob.size, pack.name, blob.start, now],
        )?;
        if inserted == 0 {
            tx.execute(
                "UPDATE blobs SET touched_at = ?2 WHERE hash = ?1",
                params![blob.hash, now],
            )?;
        }
        new += inserted as u64;
    }
    Ok(new)
}

/// The first of `blobs` that is not stored with the size it is said to have.
pub(super) fn first_missing(tx: &Tx<'_>, mut blobs: Vec<(Hash, u64)>) -> Result<Option<Hash>> {
    // In the order of the table, so that each of its pages is looked at once.
    blobs.sort_unstable();
    blobs.dedup();
    for (hash, size) in blobs {
        let stored = tx.one(
            "SELECT size FROM blobs WHERE hash = ?1",
            params![hash],
            |row| count(row, 0),
        )?;
        if stored != Some(size) {
            return Ok(Some(hash));
        }
    }
    Ok(None)
}

pub(super) fn blocking_iter(mut chunks: Chunks) -> impl Iterator<Item = Result<bytes::Bytes>> {
    std::iter::from_fn(move || chunks.blocking_recv())
}

/// Runs work that waits for the disk where it blocks nobody else.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| Error::internal(format!("Work on the disk ended early: {e}")))?
}

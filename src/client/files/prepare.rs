//! What is to be uploaded: the files' hashes, taken on all cores, from the cache where they are known.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use axum::body::Bytes;

use super::{
    Attempt, Report, Step, Trouble, UploadOptions,
    stat_cache::StatCache,
    walk::{Found, Stat, Walked, walk},
};
use api::{
    Error,
    files::{Hash, Tree, TreeEntry},
};

const BUFFER: usize = 1 << 20;

/// Entries of a tree and where their contents are.
#[derive(Debug)]
pub struct Prepared {
    pub tree: Tree,
    contents: Contents,
}

/// Where the contents of entries are, by their numbers. Of a folder with many files nothing is kept
/// that the entries say already.
#[derive(Debug)]
struct Contents {
    /// The folder below which the others are, at their paths.
    root: PathBuf,
    own: HashMap<usize, Content>,
}

#[derive(Debug, Clone)]
pub enum Content {
    File(PathBuf),
    Memory(Bytes),
}

impl Prepared {
    /// Adds contents that are in memory under their paths.
    pub fn add(&mut self, contents: &[(String, Bytes)]) {
        for (path, content) in contents {
            let own = Content::Memory(content.clone());
            self.contents.own.insert(self.tree.entries.len(), own);
            self.tree.entries.push(TreeEntry {
                path: path.clone(),
                hash: Hash::of(content),
                size: content.len() as u64,
                executable: false,
                symlink: false,
            });
        }
    }

    /// Where the content of an entry is.
    pub fn content(&self, number: usize) -> Content {
        match self.contents.own.get(&number) {
            Some(own) => own.clone(),
            None => Content::File(self.contents.root.join(&self.tree.entries[number].path)),
        }
    }
}

/// A folder as it was listed, before anything of it was read.
pub struct Listed {
    root: PathBuf,
    walked: Walked,
    known: Vec<Option<Hash>>,
    cache: Option<StatCache>,
    /// The tree that all of it was when nothing has changed since.
    pub unchanged: Option<Hash>,
}

/// Lists a folder, refuses it when it is too large, and says what of it has not changed.
pub fn list(root: &Path, options: &UploadOptions) -> Attempt<Listed> {
    let (given, shown) = (root, root.display());
    let root = fs::canonicalize(given)
        .map_err(|e| Error::invalid(format!("The folder `{shown}` cannot be used: {e}")))?;
    if !root.is_dir() {
        return Err(Error::invalid(format!("`{shown}` is not a folder")).into());
    }
    let cache = options
        .cache
        .as_ref()
        .and_then(|caches| StatCache::open(caches, &root, options.take));
    let walked = walk(&root, options.take)?;
    options.limit.check(given, &walked.files)?;
    let (known, unchanged) = match &cache {
        Some(cache) => cache.known(&walked.files),
        None => (vec![None; walked.files.len()], None),
    };
    Ok(Listed {
        root,
        walked,
        known,
        cache,
        unchanged,
    })
}

impl Listed {
    pub fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.walked.warnings)
    }

    /// Hashes what has changed. Answers the tree as well.
    pub fn read(self, report: Option<&Report>) -> Attempt<(Prepared, Hash)> {
        let (root, mut known) = (self.root, self.known);
        let files = self.walked.files;
        for (found, known) in files.iter().zip(&mut known) {
            if let Some(target) = &found.link {
                *known = Some(Hash::of(target.as_bytes()));
            }
        }
        let path = |number: usize| root.join(&files[number].path);
        let stat = |number: usize| files[number].stat;
        let hashes = hash_unknown(path, stat, known, report)?;
        let (prepared, stats) = assemble(root, files, hashes);
        let hash = prepared.tree.hash();
        if let Some(cache) = self.cache {
            cache.save(&prepared.tree.entries, &stats, hash);
        }
        Ok((prepared, hash))
    }
}

/// Prepares single files under the paths they shall have.
pub fn files(files: &[(String, PathBuf)]) -> Attempt<Prepared> {
    let mut found = Vec::with_capacity(files.len());
    for (path, file) in files {
        let metadata = fs::metadata(file).map_err(|e| unreadable(file, &e))?;
        if !metadata.is_file() {
            return Err(Error::invalid(format!("`{}` is not a file", file.display())).into());
        }
        found.push(super::walk::file(path.clone(), &metadata));
    }
    let path = |number: usize| files[number].1.clone();
    let stat = |number: usize| found[number].stat;
    let hashes = hash_unknown(path, stat, vec![None; files.len()], None)?;
    let (mut prepared, _) = assemble(PathBuf::new(), found, hashes);
    let own = files.iter().map(|(_, file)| Content::File(file.clone()));
    prepared.contents.own.extend(own.enumerate());
    Ok(prepared)
}

fn assemble(root: PathBuf, files: Vec<Found>, hashes: Vec<Hash>) -> (Prepared, Vec<Stat>) {
    let mut entries = Vec::with_capacity(files.len());
    let mut stats = Vec::with_capacity(files.len());
    let mut own = HashMap::new();
    for (found, hash) in files.into_iter().zip(hashes) {
        let symlink = found.link.is_some();
        let size = found
            .link
            .as_ref()
            .map_or(found.stat.size, |target| target.len() as u64);
        if let Some(target) = found.link {
            own.insert(entries.len(), Content::Memory(Bytes::from(target)));
        }
        entries.push(TreeEntry {
            path: found.path,
            hash,
            size,
            executable: found.executable,
            symlink,
        });
        stats.push(found.stat);
    }
    let contents = Contents { root, own };
    let tree = Tree { entries };
    (Prepared { tree, contents }, stats)
}

/// Hashes the files whose hash is not known, several at once.
fn hash_unknown(
    path: impl Fn(usize) -> PathBuf + Sync,
    stat: impl Fn(usize) -> Stat + Sync,
    known: Vec<Option<Hash>>,
    report: Option<&Report>,
) -> Attempt<Vec<Hash>> {
    let unknown: Vec<usize> = (0..known.len())
        .filter(|&number| known[number].is_none())
        .collect();
    let total: u64 = unknown.iter().map(|&number| stat(number).size).sum();
    let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
    let work = || -> Attempt<Vec<(usize, Hash)>> {
        let size = usize::try_from(total).unwrap_or(BUFFER);
        let mut buffer = vec![0; size.clamp(1, BUFFER)];
        let mut hashed = Vec::new();
        while let Some(&number) = unknown.get(next.fetch_add(1, Ordering::Relaxed)) {
            let each = |length| {
                let done = done.fetch_add(length, Ordering::Relaxed) + length;
                if let Some(report) = report {
                    report(Step::Read, done, total);
                }
            };
            let hash = hash_file(&path(number), &stat(number), &mut buffer, each)?;
            hashed.push((number, hash));
        }
        Ok(hashed)
    };
    let threads = match unknown.len() {
        0 | 1 => 0,
        several => super::walk::threads().min(several),
    };
    let results: Vec<Attempt<Vec<(usize, Hash)>>> = std::thread::scope(|scope| {
        if threads == 0 {
            return vec![work()];
        }
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ended = || Err(Error::internal("Reading files ended early").into());
        handles
            .into_iter()
            .map(|handle| handle.join().unwrap_or_else(|_| ended()))
            .collect()
    });
    let mut hashes = known;
    for result in results {
        for (number, hash) in result? {
            hashes[number] = Some(hash);
        }
    }
    Ok(hashes.into_iter().flatten().collect())
}

/// The hash of as many bytes as the file had when it was listed: one that only grows is no trouble.
fn hash_file(path: &Path, stat: &Stat, buffer: &mut [u8], each: impl Fn(u64)) -> Attempt<Hash> {
    let mut file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Trouble::Changed),
        opened => opened.map_err(|e| unreadable(path, &e))?,
    };
    let mut hasher = blake3::Hasher::new();
    let mut left = stat.size;
    while left > 0 {
        let most = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let length = file
            .read(&mut buffer[..most])
            .map_err(|e| unreadable(path, &e))?;
        if length == 0 {
            return Err(Trouble::Changed);
        }
        hasher.update(&buffer[..length]);
        left -= length as u64;
        each(length as u64);
    }
    Ok(Hash(*hasher.finalize().as_bytes()))
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::invalid(format!("Cannot read `{}`: {error}", path.display()))
}

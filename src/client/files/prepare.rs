//! What is to be uploaded: the files' hashes, taken on all cores, from the cache where they are known.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use axum::body::Bytes;

use super::{
    Attempt, Report, Step, Trouble, UploadOptions,
    send::{Content, Source},
    stat_cache::StatCache,
    walk::{Found, Stat, walk},
};
use api::{
    Error,
    files::{Hash, TreeEntry},
};

const BUFFER: usize = 1 << 20;

/// Entries of a tree and where their contents are.
#[derive(Debug)]
pub struct Prepared {
    pub entries: Vec<TreeEntry>,
    pub sources: Vec<Source>,
    pub warnings: Vec<String>,
}

impl Prepared {
    /// Adds contents that are in memory under their paths.
    pub fn add(&mut self, contents: &[(String, Bytes)]) {
        for (path, content) in contents {
            let (hash, size) = (Hash::of(content), content.len() as u64);
            self.entries.push(TreeEntry {
                path: path.clone(),
                hash,
                size,
                executable: false,
                symlink: false,
            });
            self.sources.push(Source {
                hash,
                size,
                content: Content::Memory(content.clone()),
            });
        }
    }
}

/// Prepares a folder: lists it, refuses it when it is too large, then hashes what changed.
pub fn folder(root: &Path, options: &UploadOptions) -> Attempt<Prepared> {
    let (given, shown) = (root, root.display());
    let root = fs::canonicalize(given)
        .map_err(|e| Error::invalid(format!("The folder `{shown}` cannot be used: {e}")))?;
    if !root.is_dir() {
        return Err(Error::invalid(format!("`{shown}` is not a folder")).into());
    }
    let cache = options
        .cache
        .as_ref()
        .and_then(|caches| StatCache::open(caches, &root));
    let walked = walk(&root, options.take)?;
    options.limit.check(given, &walked.files)?;
    let mut known = match &cache {
        Some(cache) => cache.known(&walked.files),
        None => vec![None; walked.files.len()],
    };
    for (found, known) in walked.files.iter().zip(&mut known) {
        if let Some(target) = &found.link {
            *known = Some(Hash::of(target.as_bytes()));
        }
    }
    let files: Vec<(PathBuf, &Found)> = walked
        .files
        .iter()
        .map(|found| (root.join(&found.path), found))
        .collect();
    let hashes = hash_unknown(&files, known, options.report.as_ref())?;
    if let Some(cache) = cache {
        let real = walked.files.iter().zip(hashes.iter().copied());
        cache.save(real.filter(|(found, _)| found.link.is_none()));
    }
    let mut prepared = assemble(files, hashes);
    prepared.warnings = walked.warnings;
    Ok(prepared)
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
    let files: Vec<(PathBuf, &Found)> = files
        .iter()
        .zip(&found)
        .map(|((_, file), found)| (file.clone(), found))
        .collect();
    let hashes = hash_unknown(&files, vec![None; files.len()], None)?;
    Ok(assemble(files, hashes))
}

fn assemble(files: Vec<(PathBuf, &Found)>, hashes: Vec<Hash>) -> Prepared {
    let mut entries = Vec::with_capacity(files.len());
    let mut sources = Vec::with_capacity(files.len());
    for ((file, found), hash) in files.into_iter().zip(hashes) {
        let size = match &found.link {
            Some(target) => target.len() as u64,
            None => found.stat.size,
        };
        entries.push(TreeEntry {
            path: found.path.clone(),
            hash,
            size,
            executable: found.executable,
            symlink: found.link.is_some(),
        });
        let content = match &found.link {
            Some(target) => Content::Memory(Bytes::from(target.clone())),
            None => Content::File(file),
        };
        sources.push(Source {
            hash,
            size,
            content,
        });
    }
    Prepared {
        entries,
        sources,
        warnings: Vec::new(),
    }
}

/// Hashes the files whose hash is not known, several at once.
fn hash_unknown(
    files: &[(PathBuf, &Found)],
    known: Vec<Option<Hash>>,
    report: Option<&Report>,
) -> Attempt<Vec<Hash>> {
    let unknown: Vec<usize> = (0..files.len())
        .filter(|&index| known[index].is_none())
        .collect();
    let total: u64 = unknown.iter().map(|&index| files[index].1.stat.size).sum();
    let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
    let work = || -> Attempt<Vec<(usize, Hash)>> {
        let mut buffer = vec![0; BUFFER];
        let mut hashed = Vec::new();
        while let Some(&index) = unknown.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (path, found) = &files[index];
            let each = |length| {
                let done = done.fetch_add(length, Ordering::Relaxed) + length;
                if let Some(report) = report {
                    report(Step::Read, done, total);
                }
            };
            hashed.push((index, hash_file(path, &found.stat, &mut buffer, each)?));
        }
        Ok(hashed)
    };
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let threads = cores.min(8).min(unknown.len());
    let results: Vec<Attempt<Vec<(usize, Hash)>>> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ended = || Err(Error::internal("Reading files ended early").into());
        handles
            .into_iter()
            .map(|handle| handle.join().unwrap_or_else(|_| ended()))
            .collect()
    });
    let mut hashes = known;
    for result in results {
        for (index, hash) in result? {
            hashes[index] = Some(hash);
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

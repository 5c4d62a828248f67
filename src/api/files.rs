//! Content-addressed files: blobs, trees (snapshots, models) and a run's artifacts.
//!
//! Bytes travel outside operations, on routes of their own; each takes `?workspace=`:
//! - `PUT /api/v1/blobs` takes many blobs in one body, framed as [`super::frames`] says; answers
//!   [`BlobsStored`]. When one does not hash to its name, nothing of the body is kept.
//! - `GET /api/v1/trees/<hash>/files` answers all files of a tree, framed, each content once and in
//!   any order; with `&path=` those below it. `GET /api/v1/trees/<hash>/files/<path>` answers one.
//! - `GET /api/v1/runs/<run>/artifacts` answers a run's artifacts in the same way.
//! - `PUT|GET|DELETE /api/v1/runs/<run>/artifacts/<path>` streams or removes one artifact.
//! - `PUT /api/v1/uploads/<upload>/<number>` streams one part of a file (see `uploads`).
//! - `PUT /api/v1/runs/<run>/log?offset=` appends to a run's log (see `work`).
//! - `GET /api/v1/runs/<run>/log?offset=&follow=` reads it; with `follow=true` the answer ends when
//!   the run has ended.
//!
//! One file is answered with its hash as `ETag`, to `HEAD` and to `Range` as well. There is no route
//! to a blob by its hash alone: a blob is read through a tree or artifact of a workspace that the
//! caller may read.

use std::{
    collections::HashSet,
    io::{self, BufWriter},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Done, Error, Result, Time, environments::FreedEnvironments, operation};

/// The BLAKE3 hash of some content; 64 hexadecimal digits in JSON.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    pub fn hex(&self) -> String {
        self.with_hex(str::to_owned)
    }

    /// Gives the digits to `take`. Trees of many files are written and hashed with them at each look.
    fn with_hex<T>(&self, take: impl FnOnce(&str) -> T) -> T {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        take(str::from_utf8(&text).unwrap_or_default())
    }

    pub fn parse(text: &str) -> Result<Self> {
        blake3::Hash::from_hex(text)
            .map(|hash| Self(*hash.as_bytes()))
            .map_err(|_| Error::invalid(format!("`{text}` is not a hash of 64 hexadecimal digits")))
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.with_hex(|hex| f.write_str(hex))
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.with_hex(|hex| f.write_str(hex))
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.with_hex(|hex| serializer.serialize_str(hex))
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Hash::parse(&text).map_err(de::Error::custom)
    }
}

/// One file of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeEntry {
    /// Relative, `/`-separated, normal components only (see [`check_path`]).
    pub path: String,
    pub hash: Hash,
    pub size: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
    /// The content is the target of a symbolic link.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub symlink: bool,
}

/// An immutable folder: its entries sorted by path. Its hash is that of its compact JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    pub entries: Vec<TreeEntry>,
}

impl Tree {
    pub fn new(mut entries: Vec<TreeEntry>) -> Self {
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Self { entries }
    }

    /// The bytes that are stored and hashed.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.entries.len() * 160);
        if serde_json::to_writer(&mut bytes, self).is_err() {
            bytes.clear();
        }
        bytes
    }

    /// The hash of those bytes, which there may be too many of to have at once.
    pub fn hash(&self) -> Hash {
        let mut writer = BufWriter::with_capacity(1 << 16, blake3::Hasher::new());
        let written = serde_json::to_writer(&mut writer, self).map_err(io::Error::from);
        match written.and_then(|()| writer.into_inner().map_err(io::IntoInnerError::into_error)) {
            Ok(hasher) => Hash(*hasher.finalize().as_bytes()),
            // As for the bytes: nothing of it can fail.
            Err(_) => Hash::of(&[]),
        }
    }

    /// How many those bytes are.
    pub fn encoded_len(&self) -> u64 {
        #[derive(Default)]
        struct Count(u64);
        impl io::Write for Count {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 += bytes.len() as u64;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut count = Count::default();
        // Counting cannot fail.
        let _ = serde_json::to_writer(&mut count, self);
        count.0
    }

    pub fn size(&self) -> u64 {
        self.entries.iter().map(|entry| entry.size).sum()
    }

    /// Accepts entries that can be laid out in a folder: plain paths, each once, none below a file.
    pub fn check(&self) -> Result<()> {
        let paths: HashSet<&str> = self.entries.iter().map(|e| e.path.as_str()).collect();
        if paths.len() < self.entries.len() {
            return Err(Error::invalid("A path is in the tree twice").at("tree"));
        }
        let mut last = None;
        for entry in &self.entries {
            check_path(&entry.path)?;
            let folder = parents(&entry.path).next();
            let seen = std::mem::replace(&mut last, folder) == folder;
            if !seen && let Some(file) = parents(&entry.path).find(|at| paths.contains(at)) {
                return Err(Error::invalid(format!(
                    "`{file}` is a file of the tree and has files below it"
                ))
                .at("tree"));
            }
            if entry.symlink && entry.size > LONGEST_LINK {
                return Err(Error::invalid(format!(
                    "The link `{}` is longer than {LONGEST_LINK} bytes",
                    entry.path
                ))
                .at("tree"));
            }
        }
        Ok(())
    }
}

/// Bytes of a tree as it is stored, at most: some seven million files.
pub const LONGEST_TREE: u64 = 1 << 30;

/// Bytes of the target of a symbolic link, at most.
const LONGEST_LINK: u64 = 4096;

/// The folders that a path is in, from the innermost: `a/b` and `a` for `a/b/c`.
pub fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.rmatch_indices('/').map(|(at, _)| &path[..at])
}

/// Accepts the target of a link at `path` that cannot lead out of the tree: relative, with `..` only
/// at its start and no more of them than the link is deep.
pub fn check_link(path: &str, target: &str) -> Result<()> {
    let depth = path.matches('/').count();
    let ups = target.split('/').take_while(|part| *part == "..").count();
    let inside = !target.is_empty()
        && !target.starts_with('/')
        && ups <= depth
        && !target.split('/').skip(ups).any(|part| part == "..")
        && !target.chars().any(char::is_control);
    if inside {
        Ok(())
    } else {
        Err(Error::invalid(format!(
            "The link `{path}` leads out of its folder: `{}`",
            target.escape_debug()
        ))
        .at("path"))
    }
}

/// Accepts a relative path of normal components: no `..`, no root, no empty part, no backslash,
/// no control character. Every path from the network goes through here before it is used.
pub fn check_path(path: &str) -> Result<()> {
    let fine = !path.is_empty()
        && path.len() <= 4096
        && path.split('/').all(|part| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && part.len() <= 255
                && !part.contains('\\')
                && !part.chars().any(char::is_control)
        })
        && !(path.len() >= 2
            && path.as_bytes()[1] == b':'
            && path.as_bytes()[0].is_ascii_alphabetic());
    if fine {
        Ok(())
    } else {
        Err(Error::invalid(format!(
            "`{}` is not a plain relative path",
            path.escape_debug()
        ))
        .at("path"))
    }
}

/// Which of these blobs the store does not have. Those it has are kept for an hour at least.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MissingBlobs {
    pub workspace: String,
    pub hashes: Vec<Hash>,
}
operation!(MissingBlobs => Vec<Hash>, "blobs.missing");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobsStored {
    /// Blobs that were not there before.
    pub stored: u64,
}

/// A tree as it is known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeInfo {
    pub hash: Hash,
    pub files: u64,
    /// Bytes of all files.
    pub size: u64,
}

/// Whether a tree is stored in this workspace; sent before its entries are, which may be many.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FindTree {
    pub workspace: String,
    pub hash: Hash,
}
operation!(FindTree => Option<TreeInfo>, "trees.find");

/// Stores a tree whose blobs are all stored; a missing blob is a conflict: upload it again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreateTree {
    pub workspace: String,
    pub tree: Tree,
}
operation!(CreateTree => TreeInfo, "trees.create");

/// Stores a tree whose bytes, a gibibyte at most, were sent as a blob. A blob that
/// is missing, this one or one of its entries, is a conflict: upload it again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RecordTree {
    pub workspace: String,
    pub hash: Hash,
}
operation!(RecordTree => TreeInfo, "trees.record");

/// The entries of a stored tree.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetTree {
    pub workspace: String,
    pub hash: Hash,
}
operation!(GetTree => Tree, "trees.get");

/// One file that a run has put out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    pub path: String,
    pub size: u64,
    pub hash: Hash,
    pub updated_at: Time,
}

/// A run's artifacts below `path` (all of them when empty), sorted by path, at any depth.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListArtifacts {
    pub workspace: String,
    pub run: String,
    #[serde(default)]
    pub path: String,
}
operation!(ListArtifacts => Vec<Artifact>, "artifacts.list");

/// Records stored blobs as artifacts of a run, replacing those at the same paths. A missing blob is a
/// conflict, and so is a file where the run has a folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AddArtifacts {
    pub workspace: String,
    pub run: String,
    pub files: Vec<TreeEntry>,
}
operation!(AddArtifacts => Done, "artifacts.add");

/// Removes an artifact, or all artifacts below a folder, or all of the run when the path is empty.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RemoveArtifacts {
    pub workspace: String,
    pub run: String,
    pub path: String,
}
operation!(RemoveArtifacts => Done, "artifacts.remove");

/// Frees what nothing refers to any more: trees that no run, model, asset or endpoint uses, blobs that no
/// tree and no artifact has, what broken uploads left behind, logs of deleted runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CollectGarbage {
    /// Count only.
    #[serde(default)]
    pub dry_run: bool,
    /// Leave what was stored or asked for in the last so many seconds.
    pub grace_seconds: u64,
    /// Also free environments of the server's machine that nothing has used for so many seconds;
    /// a month when absent.
    #[serde(default)]
    pub environments_unused_seconds: Option<u64>,
}
operation!(CollectGarbage => Collected, "blobs.collect");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    pub blobs: u64,
    /// Bytes of disk freed.
    pub bytes: u64,
    /// Bytes that nothing refers to and that are left because of the grace.
    pub recent: u64,
    #[serde(default)]
    pub environments: FreedEnvironments,
    /// Images of deployments that are no more.
    #[serde(default)]
    pub images: u64,
}

//! Laying out stored files in a folder. Nothing is ever written outside it: every path is checked,
//! and no folder is entered through a link.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use axum::{
    body::{Body, Bytes},
    http::Request,
};
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::{Attempt, Client, Report, Step, blocking};
use crate::address::address;
use api::{
    Error, Result,
    files::{Artifact, GetTree, Hash, ListArtifacts, Tree, TreeEntry, check_link, parents},
    frames::{Part, Reader},
};

const PIECES: usize = 16;

impl Client {
    /// Lays out a tree in the folder `to`, made when it is not there. What is there already stays,
    /// except for files at the tree's paths, which are replaced.
    pub async fn download_tree(
        &self,
        workspace: &str,
        hash: Hash,
        to: &Path,
        report: Option<&Report>,
    ) -> Result<Tree> {
        let workspace = workspace.to_owned();
        let get = GetTree { workspace, hash };
        let tree = self.call(&get).await?;
        let place = address(
            &["trees", &hash.hex(), "files"],
            &[("workspace", &get.workspace)],
        );
        self.lay_out(tree, place, to, report).await
    }

    /// Lays out a run's artifacts at or below `path` (all when it is empty) in the folder `to`, each
    /// at its whole path. Answers them.
    pub async fn download_artifacts(
        &self,
        workspace: &str,
        run: &str,
        path: &str,
        to: &Path,
        report: Option<&Report>,
    ) -> Result<Vec<Artifact>> {
        let list = ListArtifacts {
            workspace: workspace.to_owned(),
            run: run.to_owned(),
            path: path.to_owned(),
        };
        let artifacts = self.call(&list).await?;
        let entry = |artifact: &Artifact| TreeEntry {
            path: artifact.path.clone(),
            hash: artifact.hash,
            size: artifact.size,
            executable: false,
            symlink: false,
        };
        let tree = Tree::new(artifacts.iter().map(entry).collect());
        let place = address(
            &["runs", run, "artifacts"],
            &[("workspace", workspace), ("path", path)],
        );
        self.lay_out(tree, place, to, report).await?;
        Ok(artifacts)
    }

    pub(super) async fn lay_out(
        &self,
        tree: Tree,
        place: String,
        to: &Path,
        report: Option<&Report>,
    ) -> Result<Tree> {
        tree.check()?;
        let request = Request::get(place)
            .body(Body::empty())
            .map_err(|e| Error::internal(format!("Cannot make the request: {e}")))?;
        let mut body = self.send(request).await?.into_data_stream();
        let (sender, mut receiver) = mpsc::channel::<Result<Bytes>>(PIECES);
        let (to, report) = (to.to_owned(), report.cloned());
        let writing = blocking(move || {
            let pieces = std::iter::from_fn(|| receiver.blocking_recv());
            Ok(write(tree, &to, pieces, report.as_ref())?)
        });
        let receiving = async move {
            while let Some(piece) = body.next().await {
                let broke = |e| Error::unavailable(format!("The download broke off: {e}"));
                if sender.send(piece.map_err(broke)).await.is_err() {
                    return;
                }
            }
        };
        let (written, ()): (Attempt<Tree>, ()) = tokio::join!(writing, receiving);
        match written {
            Ok(tree) => Ok(tree),
            Err(super::Trouble::Failed(error)) => Err(error),
            Err(super::Trouble::Changed) => Err(Error::internal("A download was changed")),
        }
    }
}

/// Writes the files of `tree` from frames with their contents.
pub(super) fn write(
    tree: Tree,
    to: &Path,
    pieces: impl Iterator<Item = Result<Bytes>>,
    report: Option<&Report>,
) -> Result<Tree> {
    fs::create_dir_all(to).map_err(|e| failed("make", to, &e))?;
    remove_abandoned(to);
    let mut wanted: HashMap<Hash, Vec<&TreeEntry>> = HashMap::new();
    for entry in &tree.entries {
        wanted.entry(entry.hash).or_default().push(entry);
    }
    let total = wanted.values().map(|entries| entries[0].size).sum();
    let mut folder = Folder {
        root: to,
        made: HashSet::new(),
        links: Vec::new(),
        file: None,
        wanted,
    };
    let (mut reader, mut done) = (Reader::default(), 0);
    for piece in pieces {
        let piece = piece?;
        reader.feed(piece, &mut |part| {
            if let Part::Content(content) = &part {
                done += content.len() as u64;
                if let Some(report) = report {
                    report(Step::Receive, done, total);
                }
            }
            folder.take(part)
        })?;
    }
    reader.finish()?;
    folder.finish()?;
    Ok(tree)
}

struct Folder<'a> {
    root: &'a Path,
    /// Folders that are known to be folders and no links.
    made: HashSet<&'a str>,
    /// Made last, so that nothing is written through one.
    links: Vec<(&'a TreeEntry, Vec<u8>)>,
    file: Option<Incoming<'a>>,
    wanted: HashMap<Hash, Vec<&'a TreeEntry>>,
}

struct Incoming<'a> {
    hash: Hash,
    entries: Vec<&'a TreeEntry>,
    hasher: blake3::Hasher,
    temporary: Temporary,
}

impl<'a> Folder<'a> {
    fn take(&mut self, part: Part) -> Result<()> {
        match part {
            Part::Begin { hash, .. } => {
                let Some(entries) = self.wanted.remove(&hash) else {
                    return Err(Error::unavailable(
                        "The server sent a file that was not asked for",
                    ));
                };
                for entry in &entries {
                    self.make_parents(&entry.path)?;
                }
                self.file = Some(Incoming {
                    hash,
                    temporary: Temporary::create(&self.root.join(&entries[0].path))?,
                    entries,
                    hasher: blake3::Hasher::new(),
                });
            }
            Part::Content(content) => {
                if let Some(file) = &mut self.file {
                    file.hasher.update(&content);
                    file.temporary.write(&content)?;
                }
            }
            Part::End => {
                if let Some(file) = self.file.take() {
                    self.put(file)?;
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, file: Incoming<'a>) -> Result<()> {
        if file.hasher.finalize() != file.hash.0 {
            return Err(Error::unavailable(format!(
                "`{}` was damaged on the way or in the store",
                file.entries[0].path
            )));
        }
        let mut unused = Some(file.temporary);
        let (links, files): (Vec<_>, Vec<_>) = file.entries.iter().partition(|e| e.symlink);
        for entry in links {
            if let Some(temporary) = &unused {
                let target =
                    fs::read(&temporary.path).map_err(|e| failed("read", &temporary.path, &e))?;
                self.links.push((entry, target));
            }
        }
        let mut first: Option<PathBuf> = None;
        for entry in files {
            let path = self.root.join(&entry.path);
            let mode = if entry.executable { 0o777 } else { 0o666 };
            let temporary = match (unused.take(), &first) {
                (Some(temporary), _) => temporary,
                (None, Some(first)) => Temporary::copy(first, &path)?,
                (None, None) => return Err(Error::internal("A file came without content")),
            };
            temporary.place(&path, mode)?;
            first = Some(path);
        }
        Ok(())
    }

    /// Makes the folders above `path`. One that is there as a link is not gone through.
    fn make_parents(&mut self, path: &'a str) -> Result<()> {
        let mut above: Vec<&str> = parents(path)
            .take_while(|p| !self.made.contains(p))
            .collect();
        while let Some(folder) = above.pop() {
            let full = self.root.join(folder);
            if !make_folder(&full)? {
                remove_abandoned(&full);
            }
            self.made.insert(folder);
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        if let Some(entry) = self.wanted.values().flatten().next() {
            return Err(Error::unavailable(format!(
                "The server did not send `{}`",
                entry.path
            )));
        }
        for (entry, target) in self.links {
            let target = String::from_utf8(target)
                .map_err(|_| Error::invalid(format!("The link `{}` is not UTF-8", entry.path)))?;
            check_link(&entry.path, &target)?;
            let path = self.root.join(&entry.path);
            let temporary = temporary_beside(&path);
            symlink(&target, &temporary)
                .and_then(|()| fs::rename(&temporary, &path))
                .inspect_err(|_| drop(fs::remove_file(&temporary)))
                .map_err(|e| failed("make", &path, &e))?;
        }
        Ok(())
    }
}

/// Makes a folder, or says that it was there. One that is there as a link is not taken for one.
pub fn make_folder(full: &Path) -> Result<bool> {
    match fs::create_dir(full) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            if fs::symlink_metadata(full).is_ok_and(|metadata| metadata.is_dir()) {
                return Ok(false);
            }
            Err(Error::conflict(format!(
                "`{}` is in the way: it is a file or a link where a folder is needed",
                full.display()
            ))
            .hint("Move it away, or choose another folder"))
        }
        Err(e) => Err(failed("make", full, &e)),
    }
}

/// A file on its way to its name; removed when it does not get there. Locked meanwhile.
pub(super) struct Temporary {
    path: PathBuf,
    file: Option<File>,
}

impl Temporary {
    pub(super) fn create(target: &Path) -> Result<Self> {
        let path = temporary_beside(target);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o666)
            .open(&path);
        let file = file.map_err(|e| failed("write", target, &e))?;
        // Without a lock it may be taken for what a killed process has left behind.
        let _ = file.try_lock();
        Ok(Self {
            path,
            file: Some(file),
        })
    }

    fn copy(from: &Path, target: &Path) -> Result<Self> {
        let mut temporary = Self::create(target)?;
        if let Some(file) = &mut temporary.file {
            File::open(from)
                .and_then(|mut from| io::copy(&mut from, file))
                .map_err(|e| failed("write", target, &e))?;
        }
        Ok(temporary)
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.file {
            Some(file) => file
                .write_all(bytes)
                .map_err(|e| failed("write", &self.path, &e)),
            None => Ok(()),
        }
    }

    pub(super) fn place(mut self, path: &Path, mode: u32) -> Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let made = file.metadata().and_then(|metadata| {
            // What the user's mask took from 0666 it takes from 0777 as well.
            let mask = metadata.permissions().mode() & 0o666;
            let wanted = mode & (mask | (mask >> 2) & 0o111);
            if wanted != mask {
                file.set_permissions(fs::Permissions::from_mode(wanted))?;
            }
            fs::rename(&self.path, path)
        });
        made.map_err(|e| failed("write", path, &e))?;
        self.file = None;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.file.is_some() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

const BEGIN: &str = ".aml-";
const END: &str = ".tmp";

fn temporary_beside(path: &Path) -> PathBuf {
    let name = uuid::Uuid::new_v4().simple();
    path.with_file_name(format!("{BEGIN}{name}{END}"))
}

/// Whether a file is one on its way to its name.
fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let id = name.strip_prefix(BEGIN).and_then(|id| id.strip_suffix(END));
    id.is_some_and(|id| uuid::Uuid::try_parse(id).is_ok())
}

/// Removes what processes that were killed have left in a folder on the way to its name.
fn remove_abandoned(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        if is_temporary(&path) && File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(&path);
        }
    }
}

pub(super) fn failed(verb: &str, path: &Path, error: &io::Error) -> Error {
    let error_text = format!("Cannot {verb} `{}`: {error}", path.display());
    match error.kind() {
        io::ErrorKind::StorageFull => {
            Error::full(error_text).hint("Free some space, or choose another folder")
        }
        _ => Error::invalid(error_text),
    }
}

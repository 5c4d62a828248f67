//! Files: storing blobs, trees and artifacts, and who may read them.
//!
//! Bytes come and go as streams, in constant memory, whatever their size.

use std::ops::Range;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;

use super::{Action, Caller, Perform, Service};
use api::{
    Done, Error, Result,
    files::{
        AddArtifacts, Artifact, BlobsStored, CreateTree, FindTree, GetTree, Hash, ListArtifacts,
        MissingBlobs, RecordTree, RemoveArtifacts, Tree, TreeInfo, check_path, parents,
    },
    frames,
};
use store::{Chunks, Holder, OpenBlob, PlacedFile, Stored};

/// Bytes in one piece of a stream.
const PIECE: usize = 256 << 10;
/// Pieces on their way at once.
const PIECES: usize = 8;
/// Blobs opened at once while many are sent.
const OPEN: usize = 128;

/// Bytes of a refused body that are read before the connection is closed.
const DROP: usize = 64 << 20;

/// Bytes on their way out. An error breaks the answer off.
pub type Pieces = mpsc::Receiver<Result<Bytes>>;

/// A stored file, open.
#[derive(Debug)]
pub struct Content {
    pub size: u64,
    /// Changes with the content.
    pub tag: String,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Blob(OpenBlob),
    Placed(PlacedFile),
}

impl From<PlacedFile> for Content {
    fn from(file: PlacedFile) -> Self {
        Self {
            size: file.size,
            tag: format!("{:x}-{:x}", file.size, file.modified_at.0),
            source: Source::Placed(file),
        }
    }
}

impl Content {
    /// The bytes in a range, which must be within the file.
    pub fn pieces(self, range: Range<u64>) -> Pieces {
        let blob = match self.source {
            Source::Blob(blob) => blob,
            Source::Placed(file) => return file.pieces(range),
        };
        let (sender, receiver) = mpsc::channel(PIECES);
        tokio::task::spawn_blocking(move || {
            let mut at = range.start;
            while at < range.end {
                let length = (range.end - at).min(PIECE as u64);
                let mut piece = BytesMut::zeroed(usize::try_from(length).unwrap_or(PIECE));
                let read = blob.read_at(&mut piece, at).map(|()| piece.freeze());
                let failed = read.is_err();
                if sender.blocking_send(read).is_err() || failed {
                    return;
                }
                at += length;
            }
        });
        receiver
    }
}

impl Service {
    /// Stores the blobs of a framed body, all or none.
    pub async fn store_blobs<E: std::fmt::Display>(
        &self,
        caller: &Caller,
        workspace: &str,
        body: impl Stream<Item = std::result::Result<Bytes, E>> + Unpin,
    ) -> Result<BlobsStored> {
        self.enter(caller, workspace, Action::StoreFiles).await?;
        let (chunks, forward) = forward(body);
        let (stored, ()) = tokio::join!(self.store.add_blobs(chunks, self.now()), forward);
        Ok(BlobsStored { stored: stored? })
    }

    /// Stores one file as an artifact of a run, replacing what is at its path.
    pub async fn write_artifact<E: std::fmt::Display>(
        &self,
        caller: &Caller,
        workspace: &str,
        run: &str,
        path: &str,
        body: impl Stream<Item = std::result::Result<Bytes, E>> + Unpin,
    ) -> Result<Artifact> {
        check_path(path)?;
        let (_, run) = self
            .enter_run(caller, workspace, run, Action::WriteRuns)
            .await?;
        let (chunks, forward) = forward(body);
        let (pack, ()) = tokio::join!(self.store.receive_blob(chunks), forward);
        self.store
            .add_artifact(Holder::Run(run.id), path.to_owned(), pack?, self.now())
            .await
    }

    /// Opens an artifact of a run.
    pub async fn read_artifact(
        &self,
        caller: &Caller,
        workspace: &str,
        run: &str,
        path: &str,
    ) -> Result<Content> {
        check_path(path)?;
        let row = self.enter(caller, workspace, Action::Read).await?;
        let id = self.find_run(&row, run).await?;
        match self
            .store
            .artifact(Holder::Run(id), path.to_owned())
            .await?
        {
            Some(artifact) => self.open(artifact.hash).await,
            None => Err(self.unknown_artifact(id, run, path).await?),
        }
    }

    /// Opens a file of a tree.
    pub async fn read_tree_file(
        &self,
        caller: &Caller,
        workspace: &str,
        tree: Hash,
        path: &str,
    ) -> Result<Content> {
        check_path(path)?;
        let tree = self.tree(caller, workspace, tree).await?;
        let found = tree.entries.iter().find(|entry| entry.path == path);
        let Some(entry) = found else {
            return Err(Error::not_found(format!("No file `{path}` in the tree")));
        };
        self.open(entry.hash).await
    }

    /// The contents of all files of a tree below `path`, framed, each once.
    pub async fn read_tree_files(
        &self,
        caller: &Caller,
        workspace: &str,
        tree: Hash,
        path: &str,
    ) -> Result<Pieces> {
        check_folder(path)?;
        let tree = self.tree(caller, workspace, tree).await?;
        let entries = tree.entries.into_iter();
        let below = entries.filter(|entry| is_at_or_below(&entry.path, path));
        self.frames(below.map(|entry| entry.hash).collect()).await
    }

    /// The contents of a run's artifacts below `path`, framed, each once.
    pub async fn read_artifacts(
        &self,
        caller: &Caller,
        workspace: &str,
        run: &str,
        path: &str,
    ) -> Result<Pieces> {
        let list = ListArtifacts {
            workspace: workspace.to_owned(),
            run: run.to_owned(),
            path: path.to_owned(),
        };
        let artifacts = list.perform(self, caller).await?;
        let hashes = artifacts.into_iter().map(|artifact| artifact.hash);
        self.frames(hashes.collect()).await
    }

    async fn tree(&self, caller: &Caller, workspace: &str, hash: Hash) -> Result<Tree> {
        let row = self.enter(caller, workspace, Action::Read).await?;
        match self.store.read_tree(row.id, hash).await? {
            Some(tree) => Ok(tree),
            None => Err(Error::not_found(format!(
                "No tree {hash} in `{}`",
                row.workspace.name
            ))),
        }
    }

    pub(super) async fn open(&self, hash: Hash) -> Result<Content> {
        match self.store.open_blob(hash).await? {
            Some(blob) => Ok(Content {
                size: blob.size,
                tag: hash.hex(),
                source: Source::Blob(blob),
            }),
            None => Err(lost(hash)),
        }
    }

    /// Sends blobs in the order in which they lie on disk.
    async fn frames(&self, mut hashes: Vec<Hash>) -> Result<Pieces> {
        hashes.sort_unstable();
        hashes.dedup();
        let count = hashes.len();
        let hashes = self.store.sort_by_place(hashes).await?;
        if hashes.len() < count {
            return Err(Error::unavailable(
                "Stored files are gone; the state directory is damaged",
            ));
        }
        let (sender, receiver) = mpsc::channel(PIECES);
        let service = self.clone();
        tokio::spawn(async move {
            for group in hashes.chunks(OPEN) {
                let blobs = match service.store.open_blobs(group.to_vec()).await {
                    Ok(blobs) if blobs.len() == group.len() => Ok(blobs),
                    Ok(_) => Err(lost(group[0])),
                    Err(error) => Err(error),
                };
                let failed = blobs.is_err();
                let next = sender.clone();
                let sent = tokio::task::spawn_blocking(move || match blobs {
                    Ok(blobs) => send_frames(&blobs, &next),
                    Err(error) => next.blocking_send(Err(error)).is_ok(),
                });
                if failed || !sent.await.unwrap_or(false) {
                    return;
                }
            }
        });
        Ok(receiver)
    }

    pub(super) async fn unknown_artifact(&self, id: i64, run: &str, path: &str) -> Result<Error> {
        let error = Error::not_found(format!("Run `{run}` has no artifact `{path}`"));
        let below = self
            .store
            .list_artifacts(Holder::Run(id), path.to_owned())
            .await?;
        if let Some(artifact) = below.first() {
            return Ok(error.hint(format!("It is a folder; it has `{}`", artifact.path)));
        }
        let all = self
            .store
            .list_artifacts(Holder::Run(id), String::new())
            .await?;
        let nearest = api::names::nearest(path, all.iter().map(|artifact| artifact.path.as_str()));
        Ok(match nearest {
            Some(nearest) => error.hint(format!("Did you mean `{nearest}`?")),
            None => error,
        })
    }
}

/// Passes a body on to where it is written. When the writer stops early, some more is read and
/// dropped, so that a client that is still sending hears why.
pub(super) fn forward<E: std::fmt::Display>(
    mut body: impl Stream<Item = std::result::Result<Bytes, E>> + Unpin,
) -> (Chunks, impl Future<Output = ()>) {
    let (sender, receiver) = mpsc::channel(PIECES);
    let forward = async move {
        let mut dropped = 0;
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|e| Error::invalid(format!("The body broke off: {e}")));
            let length = chunk.as_ref().map_or(DROP, Bytes::len);
            if sender.send(chunk).await.is_err() {
                dropped += length;
            }
            if dropped >= DROP {
                return;
            }
        }
    };
    (receiver, forward)
}

/// Answers whether all was sent; the receiver may have gone, or a read failed.
fn send_frames(blobs: &[OpenBlob], sender: &mpsc::Sender<Result<Bytes>>) -> bool {
    let mut piece = BytesMut::with_capacity(2 * PIECE);
    for blob in blobs {
        piece.extend_from_slice(&frames::header(blob.hash, blob.size));
        let mut at = 0;
        while at < blob.size {
            let begin = piece.len();
            let length = (blob.size - at).min(PIECE as u64);
            piece.resize(begin + usize::try_from(length).unwrap_or(PIECE), 0);
            if let Err(error) = blob.read_at(&mut piece[begin..], at) {
                let _ = sender.blocking_send(Err(error));
                return false;
            }
            at += length;
            if piece.len() >= PIECE && sender.blocking_send(Ok(piece.split().freeze())).is_err() {
                return false;
            }
        }
    }
    piece.is_empty() || sender.blocking_send(Ok(piece.freeze())).is_ok()
}

/// A folder may be empty, for all.
pub(super) fn check_folder(path: &str) -> Result<()> {
    if path.is_empty() {
        Ok(())
    } else {
        check_path(path)
    }
}

fn is_at_or_below(path: &str, folder: &str) -> bool {
    folder.is_empty() || path == folder || parents(path).any(|parent| parent == folder)
}

fn lost(hash: Hash) -> Error {
    Error::unavailable(format!("The stored content {hash} is gone"))
        .hint("The state directory is damaged; restore it from a copy")
}

fn again(hash: Hash) -> Error {
    Error::conflict(format!("The content {hash} is not stored with that size"))
        .hint("Upload it again")
}

#[async_trait]
impl Perform for MissingBlobs {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<Hash>> {
        service
            .enter(caller, &self.workspace, Action::StoreFiles)
            .await?;
        let now = service.now();
        service.store.missing_blobs(self.hashes, now).await
    }
}

#[async_trait]
impl Perform for FindTree {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Option<TreeInfo>> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let now = service.now();
        service.store.find_tree(row.id, self.hash, now).await
    }
}

#[async_trait]
impl Perform for CreateTree {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<TreeInfo> {
        let row = service
            .enter(caller, &self.workspace, Action::StoreFiles)
            .await?;
        let tree = Tree::new(self.tree.entries);
        tree.check()?;
        let now = service.now();
        match service.store.create_tree(row.id, tree, now).await? {
            Stored::Done(info) => Ok(info),
            Stored::Missing(hash) => Err(again(hash)),
        }
    }
}

#[async_trait]
impl Perform for RecordTree {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<TreeInfo> {
        let row = service
            .enter(caller, &self.workspace, Action::StoreFiles)
            .await?;
        let Some(tree) = service.store.tree_of_blob(self.hash).await? else {
            return Err(again(self.hash));
        };
        let now = service.now();
        match service
            .store
            .record_tree(row.id, self.hash, tree, now)
            .await?
        {
            Stored::Done(info) => Ok(info),
            Stored::Missing(hash) => Err(again(hash)),
        }
    }
}

#[async_trait]
impl Perform for GetTree {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Tree> {
        service.tree(caller, &self.workspace, self.hash).await
    }
}

#[async_trait]
impl Perform for ListArtifacts {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<Artifact>> {
        check_folder(&self.path)?;
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let run = service.find_run(&row, &self.run).await?;
        service
            .store
            .list_artifacts(Holder::Run(run), self.path)
            .await
    }
}

#[async_trait]
impl Perform for AddArtifacts {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let (_, run) = service
            .enter_run(caller, &self.workspace, &self.run, Action::WriteRuns)
            .await?;
        for file in &self.files {
            check_path(&file.path)?;
        }
        let now = service.now();
        match service
            .store
            .add_artifacts(Holder::Run(run.id), self.files, now)
            .await?
        {
            Stored::Done(()) => Ok(Done {}),
            Stored::Missing(hash) => Err(again(hash)),
        }
    }
}

#[async_trait]
impl Perform for RemoveArtifacts {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        check_folder(&self.path)?;
        let (_, run) = service
            .enter_run(caller, &self.workspace, &self.run, Action::WriteRuns)
            .await?;
        let removed = service
            .store
            .remove_artifacts(Holder::Run(run.id), self.path.clone())
            .await?;
        if removed > 0 || self.path.is_empty() {
            return Ok(Done {});
        }
        Err(service
            .unknown_artifact(run.id, &self.run, &self.path)
            .await?)
    }
}

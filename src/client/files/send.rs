//! Sending the contents that a workspace does not have, many in one request, several at once.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read},
    iter::Peekable,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use axum::{
    body::{Body, Bytes},
    http::{Method, Request},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;

use super::{
    Attempt, Client, Report, Step, Trouble,
    prepare::{Content, Prepared},
};
use crate::address::address;
use api::{
    Code, Error, Result,
    files::{Hash, MissingBlobs, Tree, TreeEntry},
    frames,
};

/// Bytes in one request, beyond which it takes no further file.
const BATCH: u64 = 16 << 20;
/// Requests at once.
const REQUESTS: usize = 2;
/// Bytes in one piece of a body.
const PIECE: usize = 256 << 10;
const PIECES: usize = 8;

/// Hashes that are asked for at once.
const ASKED: usize = 50_000;

/// Content to send.
struct Source {
    hash: Hash,
    size: u64,
    content: Content,
}

/// Counts what was sent by all requests.
#[derive(Clone)]
struct Counter {
    sent: Arc<AtomicU64>,
    total: u64,
    report: Option<Report>,
}

impl Counter {
    fn add(&self, bytes: usize) {
        let sent = self.sent.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        if let Some(report) = &self.report {
            report(Step::Send, sent.min(self.total), self.total);
        }
    }
}

impl Client {
    /// Sends what the workspace does not have, and with it the entries as the blob `tree`; answers the
    /// size of the contents.
    pub(super) async fn send_missing(
        &self,
        workspace: &str,
        prepared: &Prepared,
        tree: Option<Hash>,
        report: Option<&Report>,
    ) -> Attempt<u64> {
        let missing = self.missing(workspace, &prepared.tree.entries).await?;
        let size = |number: &usize| prepared.tree.entries[*number].size;
        let counter = Counter {
            sent: Arc::default(),
            total: missing.iter().map(size).sum(),
            report: report.cloned(),
        };
        let mut left = missing.into_iter().peekable();
        let mut tree = tree;
        // Each batch is put together when it is its turn.
        let batches = std::iter::from_fn(|| {
            let mut batch = batch(prepared, &mut left);
            if left.peek().is_none()
                && let Some(hash) = tree.take()
            {
                batch.push(described(&prepared.tree, hash));
            }
            (!batch.is_empty()).then_some(batch)
        });
        stream::iter(batches)
            .map(|batch| self.put_batch(workspace, batch, counter.clone()))
            .buffer_unordered(REQUESTS)
            .try_collect::<()>()
            .await?;
        Ok(counter.total)
    }

    /// The numbers of the entries whose content the workspace does not have, one for each content, in
    /// their order.
    async fn missing(&self, workspace: &str, entries: &[TreeEntry]) -> Result<Vec<usize>> {
        let mut numbers: Vec<usize> = (0..entries.len()).collect();
        numbers.sort_by_key(|number| entries[*number].hash);
        numbers.dedup_by_key(|number| entries[*number].hash);
        let mut missing = Vec::new();
        for asked in numbers.chunks(ASKED) {
            let ask = MissingBlobs {
                workspace: workspace.to_owned(),
                hashes: asked.iter().map(|number| entries[*number].hash).collect(),
            };
            let answer: HashSet<Hash> = self.call(&ask).await?.into_iter().collect();
            let is_missing = |number: &usize| answer.contains(&entries[*number].hash);
            missing.extend(asked.iter().copied().filter(is_missing));
        }
        missing.sort_unstable();
        Ok(missing)
    }

    async fn put_batch(
        &self,
        workspace: &str,
        batch: Vec<Source>,
        counter: Counter,
    ) -> Attempt<()> {
        let (sender, mut receiver) = mpsc::channel::<io::Result<Bytes>>(PIECES);
        let changed = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&changed);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = write_frames(&batch, &counter, &sender) {
                seen.store(
                    error.kind() == io::ErrorKind::UnexpectedEof,
                    Ordering::Relaxed,
                );
                let _ = sender.blocking_send(Err(error));
            }
        });
        let pieces = stream::poll_fn(move |context| receiver.poll_recv(context));
        let request = Request::builder()
            .method(Method::PUT)
            .uri(address(&["blobs"], &[("workspace", workspace)]))
            .body(Body::from_stream(pieces))
            .map_err(|e| Error::internal(format!("Cannot make the request: {e}")))?;
        match self.send(request).await {
            Ok(_) => Ok(()),
            Err(_) if changed.load(Ordering::Relaxed) => Err(Trouble::Changed),
            // The server found content that does not hash to its name.
            Err(error) if error.code == Code::Invalid => Err(Trouble::Changed),
            Err(error) => Err(Trouble::Failed(error)),
        }
    }
}

/// The entries as the blob by which a tree is recorded.
fn described(tree: &Tree, hash: Hash) -> Source {
    let bytes = Bytes::from(tree.encode());
    Source {
        hash,
        size: bytes.len() as u64,
        content: Content::Memory(bytes),
    }
}

/// The next contents that go in one request; a large one goes alone.
fn batch(prepared: &Prepared, left: &mut Peekable<impl Iterator<Item = usize>>) -> Vec<Source> {
    let (mut batch, mut room) = (Vec::new(), BATCH);
    while let Some(&number) = left.peek() {
        let entry = &prepared.tree.entries[number];
        let size = entry.size + frames::HEADER as u64;
        if size > room && !batch.is_empty() {
            break;
        }
        room = room.saturating_sub(size);
        left.next();
        batch.push(Source {
            hash: entry.hash,
            size: entry.size,
            content: prepared.content(number),
        });
    }
    batch
}

/// Sends frames in pieces of a good size. A file that became shorter is an unexpected end.
fn write_frames(
    batch: &[Source],
    counter: &Counter,
    sender: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let mut piece = Vec::with_capacity(2 * PIECE);
    // An error tells that the request has ended; whoever waits for its answer knows why.
    let send = |piece: &mut Vec<u8>| {
        counter.add(piece.len());
        let full = std::mem::replace(piece, Vec::with_capacity(2 * PIECE));
        sender.blocking_send(Ok(full.into())).is_ok()
    };
    for source in batch {
        piece.extend_from_slice(&frames::header(source.hash, source.size));
        match &source.content {
            Content::Memory(content) if content.len() < PIECE => piece.extend_from_slice(content),
            // Of much a copy would be as much again.
            Content::Memory(content) => {
                let mut rest = content.clone();
                let before = std::mem::take(&mut piece);
                let mut next = Bytes::from(before);
                while !next.is_empty() {
                    counter.add(next.len());
                    if sender.blocking_send(Ok(next)).is_err() {
                        return Ok(());
                    }
                    next = rest.split_to(rest.len().min(PIECE));
                }
            }
            Content::File(path) => {
                let mut file =
                    File::open(path).map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
                let mut left = source.size;
                while left > 0 {
                    let begin = piece.len();
                    let most = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE);
                    piece.resize(begin + most, 0);
                    file.read_exact(&mut piece[begin..])?;
                    left -= most as u64;
                    if piece.len() >= PIECE && !send(&mut piece) {
                        return Ok(());
                    }
                }
            }
        }
    }
    if !piece.is_empty() {
        send(&mut piece);
    }
    Ok(())
}

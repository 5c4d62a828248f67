//! Sending the contents that a workspace does not have, many in one request, several at once.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read},
    path::PathBuf,
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

use super::{Attempt, Client, Report, Step, Trouble};
use crate::address::address;
use api::{
    Code, Error,
    files::{Hash, MissingBlobs},
    frames,
};

/// Bytes in one request, beyond which it takes no further file.
const BATCH: u64 = 16 << 20;
/// Requests at once.
const REQUESTS: usize = 2;
/// Bytes in one piece of a body.
const PIECE: usize = 256 << 10;
const PIECES: usize = 8;

/// Content to send.
#[derive(Debug, Clone)]
pub struct Source {
    pub hash: Hash,
    pub size: u64,
    pub content: Content,
}

#[derive(Debug, Clone)]
pub enum Content {
    File(PathBuf),
    Memory(Bytes),
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
    /// Sends what the workspace does not have; answers its size.
    pub(super) async fn send_missing(
        &self,
        workspace: &str,
        mut sources: Vec<Source>,
        report: Option<&Report>,
    ) -> Attempt<u64> {
        let mut seen = HashSet::with_capacity(sources.len());
        sources.retain(|source| seen.insert(source.hash));
        let ask = MissingBlobs {
            workspace: workspace.to_owned(),
            hashes: sources.iter().map(|source| source.hash).collect(),
        };
        let missing: HashSet<Hash> = self.call(&ask).await?.into_iter().collect();
        sources.retain(|source| missing.contains(&source.hash));
        let counter = Counter {
            sent: Arc::default(),
            total: sources.iter().map(|source| source.size).sum(),
            report: report.cloned(),
        };
        stream::iter(batches(sources))
            .map(|batch| self.put_batch(workspace, batch, counter.clone()))
            .buffer_unordered(REQUESTS)
            .try_collect::<()>()
            .await?;
        Ok(counter.total)
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

/// Splits contents into requests; a large one goes alone.
fn batches(sources: Vec<Source>) -> Vec<Vec<Source>> {
    let mut batches: Vec<Vec<Source>> = Vec::new();
    let mut room = 0;
    for source in sources {
        let size = source.size + frames::HEADER as u64;
        match batches.last_mut() {
            Some(last) if size <= room => last.push(source),
            _ => {
                room = BATCH;
                batches.push(vec![source]);
            }
        }
        room = room.saturating_sub(size);
    }
    batches
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
            Content::Memory(content) => piece.extend_from_slice(content),
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

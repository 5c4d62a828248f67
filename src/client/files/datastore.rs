//! Files between a folder and a datastore, several at once.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    body::{Body, Bytes},
    http::{Method, Request},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;

use super::{
    Client, Report, Step,
    download::{Temporary, failed, make_folder},
    walk,
};
use crate::address::address;
use api::{
    Error, Result,
    datastores::{ListStoredFiles, StoredFile},
    files::{check_path, parents},
};

/// Files at once.
const FILES: usize = 8;
/// Bytes of a small file.
const SMALL: u64 = 16 << 10;
const PIECE: usize = 256 << 10;
const PIECES: usize = 4;

/// Bytes done of all.
#[derive(Clone)]
struct Counter {
    done: Arc<AtomicU64>,
    total: u64,
    step: Step,
    report: Option<Report>,
}

impl Counter {
    fn new(step: Step, total: u64, report: Option<&Report>) -> Self {
        Self {
            done: Arc::default(),
            total,
            step,
            report: report.cloned(),
        }
    }

    fn add(&self, bytes: usize) {
        let done = self.done.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        if let Some(report) = &self.report {
            report(self.step, done.min(self.total), self.total);
        }
    }
}

impl Client {
    /// Puts a file, or all files of a folder, into a datastore below `to`; a file goes under its own
    /// name when `to` is empty or ends with `/`. Answers how many files and bytes.
    pub async fn upload_to_datastore(
        &self,
        workspace: &str,
        datastore: &str,
        from: &Path,
        to: &str,
        report: Option<&Report>,
    ) -> Result<(u64, u64)> {
        let all = |_: &str| true;
        self.upload_chosen_to_datastore(workspace, datastore, from, to, report, all)
            .await
    }

    /// The same of the files whose paths in the datastore are chosen.
    pub async fn upload_chosen_to_datastore(
        &self,
        workspace: &str,
        datastore: &str,
        from: &Path,
        to: &str,
        report: Option<&Report>,
        chosen: impl Fn(&str) -> bool,
    ) -> Result<(u64, u64)> {
        let mut files = files_of(from, to)?;
        files.retain(|(path, ..)| chosen(path));
        let total = files.iter().map(|(_, _, size)| size).sum();
        let counter = Counter::new(Step::Send, total, report);
        let count = files.len() as u64;
        stream::iter(files)
            .map(|(path, file, _)| {
                self.put_stored_file(workspace, datastore, path, file, counter.clone())
            })
            .buffer_unordered(FILES)
            .try_collect::<()>()
            .await?;
        Ok((count, total))
    }

    async fn put_stored_file(
        &self,
        workspace: &str,
        datastore: &str,
        path: String,
        file: PathBuf,
        counter: Counter,
    ) -> Result<()> {
        let request = stored_file(Method::PUT, workspace, datastore, &path)?;
        let body = match small(&file) {
            // Sooner read than another thread is woken for it.
            Some(bytes) => {
                counter.add(bytes.len());
                Body::from(bytes)
            }
            None => Body::from_stream(pieces_of(file, counter)),
        };
        self.send(request.map(|_| body)).await.map(|_| ())
    }

    /// Copies the files of a datastore at or below `path` to the folder `to`, relative to `path`; a
    /// single file keeps its name. Answers them.
    pub async fn download_from_datastore(
        &self,
        workspace: &str,
        datastore: &str,
        path: &str,
        to: &Path,
        report: Option<&Report>,
    ) -> Result<Vec<StoredFile>> {
        let all = |_: &Path| true;
        self.download_chosen_from_datastore(workspace, datastore, path, to, report, all)
            .await
    }

    /// The same of the files that become files of this machine that are chosen.
    pub async fn download_chosen_from_datastore(
        &self,
        workspace: &str,
        datastore: &str,
        path: &str,
        to: &Path,
        report: Option<&Report>,
        chosen: impl Fn(&Path) -> bool,
    ) -> Result<Vec<StoredFile>> {
        let list = ListStoredFiles {
            workspace: workspace.to_owned(),
            datastore: datastore.to_owned(),
            path: path.to_owned(),
            limit: None,
        };
        let mut files = self.call(&list).await?;
        if files.is_empty() {
            return Err(Error::not_found(format!(
                "Nothing is at `{path}` in datastore `{datastore}`"
            ))
            .hint(format!("See what is there: aml datastore ls {datastore}")));
        }
        files.retain(|file| {
            let relative = relative(&file.path, path);
            relative.map_or(true, |relative| chosen(&to.join(relative)))
        });
        let counter = Counter::new(
            Step::Receive,
            files.iter().map(|file| file.size).sum(),
            report,
        );
        fs::create_dir_all(to).map_err(|e| failed("make", to, &e))?;
        let mut made = HashSet::new();
        let mut targets = Vec::with_capacity(files.len());
        for file in &files {
            let relative = relative(&file.path, path)?;
            let above: Vec<&str> = parents(relative).collect();
            for folder in above.into_iter().rev() {
                if made.insert(folder.to_owned()) {
                    make_folder(&to.join(folder))?;
                }
            }
            targets.push((file.path.clone(), to.join(relative)));
        }
        stream::iter(targets)
            .map(|(path, target)| {
                self.get_stored_file(workspace, datastore, path, target, counter.clone())
            })
            .buffer_unordered(FILES)
            .try_collect::<()>()
            .await?;
        Ok(files)
    }

    async fn get_stored_file(
        &self,
        workspace: &str,
        datastore: &str,
        path: String,
        target: PathBuf,
        counter: Counter,
    ) -> Result<()> {
        let request = stored_file(Method::GET, workspace, datastore, &path)?;
        let body = self.send(request).await?;
        save(body, &target, |length| counter.add(length)).await
    }
}

/// All of a file, when that is little.
fn small(file: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut file = File::open(file).ok()?.take(SMALL + 1);
    file.read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= SMALL).then_some(bytes)
}

/// A file, read by another thread.
fn pieces_of(
    file: PathBuf,
    counter: Counter,
) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    let (sender, mut receiver) = mpsc::channel::<std::io::Result<Bytes>>(PIECES);
    tokio::task::spawn_blocking(move || {
        let read = (|| {
            let mut file = File::open(&file)?;
            let mut buffer = vec![0; PIECE];
            loop {
                let length = file.read(&mut buffer)?;
                if length == 0 {
                    return Ok(());
                }
                counter.add(length);
                let piece = Bytes::copy_from_slice(&buffer[..length]);
                if sender.blocking_send(Ok(piece)).is_err() {
                    return Ok(());
                }
            }
        })();
        if let Err(error) = read {
            let _ = sender.blocking_send(Err(error));
        }
    });
    stream::poll_fn(move |context| receiver.poll_recv(context))
}

/// Writes a body to a file, whole or not at all.
pub async fn save(body: Body, target: &Path, each: impl Fn(usize)) -> Result<()> {
    let mut body = body.into_data_stream();
    let mut temporary = Temporary::create(target)?;
    while let Some(piece) = body.next().await {
        let piece =
            piece.map_err(|e| Error::unavailable(format!("The download broke off: {e}")))?;
        each(piece.len());
        temporary.write(&piece)?;
    }
    temporary.place(target, 0o666)
}

/// A request about one file of a datastore.
fn stored_file(
    method: Method,
    workspace: &str,
    datastore: &str,
    path: &str,
) -> Result<Request<Body>> {
    let mut segments = vec!["datastores", datastore, "files"];
    segments.extend(path.split('/'));
    Request::builder()
        .method(method)
        .uri(address(&segments, &[("workspace", workspace)]))
        .body(Body::empty())
        .map_err(|e| Error::internal(format!("Cannot make the request: {e}")))
}

/// The path of a file below the one that was asked for; a single file's own name.
fn relative<'a>(file: &'a str, asked: &str) -> Result<&'a str> {
    let asked = asked.trim_matches('/');
    let rest = match file.strip_prefix(asked) {
        _ if asked.is_empty() => file,
        Some("") => file.rsplit('/').next().unwrap_or(file),
        Some(rest) => rest.trim_start_matches('/'),
        None => file,
    };
    check_path(rest)?;
    Ok(rest)
}

/// What is uploaded where: path in the datastore, file, size.
fn files_of(from: &Path, to: &str) -> Result<Vec<(String, PathBuf, u64)>> {
    let metadata = fs::metadata(from)
        .map_err(|e| Error::invalid(format!("Cannot read `{}`: {e}", from.display())))?;
    let folder = to.trim_matches('/');
    let join = |path: &str| match folder {
        "" => path.to_owned(),
        folder => format!("{folder}/{path}"),
    };
    let files = if metadata.is_file() {
        let own = from.file_name().unwrap_or_default().to_string_lossy();
        let path = if to.is_empty() || to.ends_with('/') {
            join(&own)
        } else {
            folder.to_owned()
        };
        vec![(path, from.to_owned(), metadata.len())]
    } else {
        let below = walk::files_of(from)?.into_iter();
        below
            .map(|(path, stat)| (join(&path), from.join(&path), stat.size))
            .collect()
    };
    for (path, ..) in &files {
        check_path(path)?;
    }
    Ok(files)
}

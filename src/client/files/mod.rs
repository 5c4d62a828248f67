//! Files between a folder and a workspace: uploads that send only what is new, downloads that never
//! write outside their folder.

mod below;
#[cfg(test)]
mod cache_tests;
mod datastore;
mod download;
mod limit;
mod model;
mod prepare;
mod read;
mod send;
mod stat_cache;
#[cfg(test)]
mod tests;
mod walk;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

pub use below::Fetched;
pub use datastore::save;
pub(super) use download::make_folder;
pub use limit::Limit;
use prepare::Prepared;
pub use walk::{Take, walk_everything};
pub(super) use walk::{few_of, stats_of};

use axum::{
    body::{Body, Bytes},
    http::Request,
};

use super::{Client, address::address};
use api::{
    Code, Error, Result,
    files::{
        AddArtifacts, FindTree, Hash, LONGEST_TREE, RecordTree, TreeEntry, TreeInfo, check_path,
    },
};

/// How often files that change while they are uploaded are looked at anew.
const ATTEMPTS: u32 = 3;

/// So many files are described by less than a tree may have.
const COUNTED: usize = 200_000;

/// What a transfer is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Reading files to know whether they changed.
    Read,
    Send,
    Receive,
}

/// Told of bytes that were done and the total in a step.
pub type Report = Arc<dyn Fn(Step, u64, u64) + Send + Sync>;

/// How a folder is uploaded.
#[derive(Clone)]
pub struct UploadOptions {
    /// Folder of the stat caches; without one every file is read every time.
    pub cache: Option<PathBuf>,
    pub limit: Limit,
    pub take: Take,
    pub report: Option<Report>,
}

/// A folder that is stored.
#[derive(Debug, Clone)]
pub struct Uploaded {
    pub tree: TreeInfo,
    /// Bytes that were sent because the workspace did not have them.
    pub sent: u64,
    /// What was left out and why.
    pub warnings: Vec<String>,
}

impl Client {
    /// Stores a folder as a tree, leaving out what its ignore files say. Nothing is sent when the
    /// workspace has it.
    pub async fn upload_folder(
        &self,
        workspace: &str,
        root: &Path,
        options: &UploadOptions,
    ) -> Result<Uploaded> {
        settle(root, || async {
            let (folder, own) = (root.to_owned(), options.clone());
            let mut listed = blocking(move || prepare::list(&folder, &own)).await?;
            let warnings = listed.warnings();
            if let Some(hash) = listed.unchanged
                && let Some(tree) = self.find_tree(workspace, hash).await?
            {
                let sent = 0;
                return Ok(Uploaded {
                    tree,
                    sent,
                    warnings,
                });
            }
            let report = options.report.clone();
            let (prepared, hash) = blocking(move || listed.read(report.as_ref())).await?;
            let report = options.report.as_ref();
            let (tree, sent) = self.store_tree(workspace, prepared, hash, report).await?;
            Ok(Uploaded {
                tree,
                sent,
                warnings,
            })
        })
        .await
    }

    /// Stores one file as a tree of one entry, under its own name.
    pub async fn upload_file(
        &self,
        workspace: &str,
        file: &Path,
        report: Option<&Report>,
    ) -> Result<Uploaded> {
        let name = file.file_name().and_then(|name| name.to_str());
        let Some(name) = name.filter(|name| check_path(name).is_ok()) else {
            let shown = file.display();
            return Err(Error::invalid(format!(
                "`{shown}` is not a name that can be stored"
            )));
        };
        settle(file, || async {
            let files = vec![(name.to_owned(), file.to_owned())];
            let prepared = blocking(move || prepare::files(&files)).await?;
            let hash = prepared.tree.hash();
            let (tree, sent) = self.store_tree(workspace, prepared, hash, report).await?;
            Ok(Uploaded {
                tree,
                sent,
                warnings: Vec::new(),
            })
        })
        .await
    }

    /// Stores files as artifacts of a run: pairs of the artifact's path and the file. Answers the
    /// bytes that were sent.
    pub async fn upload_artifacts(
        &self,
        workspace: &str,
        run: &str,
        files: &[(String, PathBuf)],
        report: Option<&Report>,
    ) -> Result<u64> {
        for (path, _) in files {
            check_path(path)?;
        }
        let Some((_, first)) = files.first() else {
            return Ok(0);
        };
        settle(first, || async {
            let files = files.to_vec();
            let prepared = blocking(move || prepare::files(&files)).await?;
            let sent = self
                .send_missing(workspace, &prepared, None, report)
                .await?;
            let add = AddArtifacts {
                workspace: workspace.to_owned(),
                run: run.to_owned(),
                files: prepared.tree.entries,
            };
            match self.call(&add).await {
                // A collection came between; a conflict about a path has a target.
                Err(error) if error.code == Code::Conflict && error.target.is_none() => {
                    Err(Trouble::Changed)
                }
                added => Ok(added.map(|_| sent)?),
            }
        })
        .await
    }

    /// Stores contents without recording them: files, and what is in memory. Answers entries under
    /// the paths given, first of the files; the contents are kept for an hour at least.
    pub async fn store_contents(
        &self,
        workspace: &str,
        files: &[(String, PathBuf)],
        memory: &[(String, Bytes)],
    ) -> Result<Vec<TreeEntry>> {
        let first = files.first().map_or(Path::new("."), |(_, file)| file);
        settle(first, || async {
            let files = files.to_vec();
            let mut prepared = blocking(move || prepare::files(&files)).await?;
            prepared.add(memory);
            self.send_missing(workspace, &prepared, None, None).await?;
            Ok(prepared.tree.entries)
        })
        .await
    }

    /// Records stored contents as artifacts of a run.
    pub async fn add_artifacts(
        &self,
        workspace: &str,
        run: &str,
        files: Vec<TreeEntry>,
    ) -> Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        let add = AddArtifacts {
            workspace: workspace.to_owned(),
            run: run.to_owned(),
            files,
        };
        self.call(&add).await.map(drop)
    }

    /// Stores what comes as one artifact of a run.
    pub async fn put_artifact(
        &self,
        workspace: &str,
        run: &str,
        path: &str,
        content: Body,
    ) -> Result<()> {
        let mut segments = vec!["runs", run, "artifacts"];
        segments.extend(path.split('/'));
        let request = Request::put(address(&segments, &[("workspace", workspace)]))
            .body(content)
            .map_err(|e| Error::internal(format!("Cannot make the request: {e}")))?;
        self.send(request).await.map(drop)
    }

    async fn find_tree(&self, workspace: &str, hash: Hash) -> Result<Option<TreeInfo>> {
        let workspace = workspace.to_owned();
        self.call(&FindTree { workspace, hash }).await
    }

    /// Stores a tree by its hash, with what of its contents is missing. Answers the bytes that were sent
    /// as well.
    async fn store_tree(
        &self,
        workspace: &str,
        prepared: Prepared,
        hash: Hash,
        report: Option<&Report>,
    ) -> Attempt<(TreeInfo, u64)> {
        if let Some(tree) = self.find_tree(workspace, hash).await? {
            return Ok((tree, 0));
        }
        let files = prepared.tree.entries.len();
        if files > COUNTED && prepared.tree.encoded_len() > LONGEST_TREE {
            return Err(
                Error::invalid(format!("{files} files are too many to be stored as one"))
                    .hint("Pack them into archives, or store parts of the folder by themselves")
                    .into(),
            );
        }
        let sent = self
            .send_missing(workspace, &prepared, Some(hash), report)
            .await?;
        drop(prepared);
        let workspace = workspace.to_owned();
        match self.call(&RecordTree { workspace, hash }).await {
            // A collection came between; what it took is sent again.
            Err(error) if error.code == Code::Conflict => Err(Trouble::Changed),
            recorded => Ok((recorded?, sent)),
        }
    }
}

/// Why an upload did not come to its end.
#[derive(Debug)]
enum Trouble {
    /// A file was changed, or what was stored was collected: look again.
    Changed,
    Failed(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

type Attempt<T> = std::result::Result<T, Trouble>;

/// Tries again when files change while they are uploaded.
async fn settle<T, F: Future<Output = Attempt<T>>>(
    path: &Path,
    attempt: impl Fn() -> F,
) -> Result<T> {
    for _ in 0..ATTEMPTS {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(Trouble::Failed(error)) => return Err(error),
            Err(Trouble::Changed) => {}
        }
    }
    Err(Error::conflict(format!(
        "Files in `{}` keep changing while they are uploaded",
        path.display()
    ))
    .hint("Stop what writes to them, or leave them out: add them to .amlignore"))
}

/// Runs work that waits for the disk where it blocks nobody else.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Attempt<T> + Send + 'static,
) -> Attempt<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(e) => Err(Error::internal(format!("Work on files ended early: {e}")).into()),
    }
}

//! What located folders have, and parts of single files: of a tree, of a run, of a datastore or of a web
//! server.

use std::{fs, io::Write as _, ops::Range, path::Path};

use axum::{
    body::{Body, Bytes},
    http::{StatusCode, header::CONTENT_RANGE},
};

use super::{At, Located, fetch::web};
use crate::{Client, save};
use api::{
    Error, Result,
    datastores::ListStoredFiles,
    files::{FindTree, GetTree, ListArtifacts, check_path},
};

/// What a located folder has.
#[derive(Debug)]
pub enum Below {
    /// Files by their paths from there, with their sizes.
    Files(Vec<(String, u64)>),
    TooMany,
    /// It is a single file of this size itself.
    File(u64),
    /// It cannot be listed.
    Nothing,
}

impl Located {
    /// One of the files of a [listed](Client::files_below) folder.
    #[must_use]
    pub fn file(&self, file: &str) -> Self {
        let mut located = self.clone();
        if let At::Tree { path, .. } | At::Artifacts { path, .. } | At::Datastore { path, .. } =
            &mut located.at
        {
            let folder = path.trim_matches('/');
            *path = match folder {
                "" => file.to_owned(),
                folder => format!("{folder}/{file}"),
            };
        }
        located.kind = Some("uri_file".to_owned());
        located
    }
}

impl Client {
    /// The files of a located folder, unless there are more.
    pub async fn files_below(&self, located: &Located, most: usize) -> Result<Below> {
        if let At::Tree {
            workspace, hash, ..
        } = &located.at
        {
            let (workspace, hash) = (workspace.clone(), *hash);
            let info = self.call(&FindTree { workspace, hash }).await?;
            if info.is_some_and(|info| info.files > most as u64) {
                return Ok(Below::TooMany);
            }
        }
        let Some((path, all)) = self.files_at(located, most as u64 + 1).await? else {
            return Ok(Below::Nothing);
        };
        if let Some((_, size)) = all.iter().find(|(file, _)| file == path) {
            return Ok(Below::File(*size));
        }
        if all.len() > most {
            return Ok(Below::TooMany);
        }
        let below = |(file, size): (String, u64)| {
            let rest = match path {
                "" => file.as_str(),
                path => file.strip_prefix(path)?.strip_prefix('/')?,
            };
            check_path(rest).ok()?;
            Some((rest.to_owned(), size))
        };
        let below: Vec<_> = all.into_iter().filter_map(below).collect();
        Ok(if below.is_empty() {
            Below::Nothing
        } else {
            Below::Files(below)
        })
    }

    /// A place's path, and all that is at or below it, with whole paths; of a datastore not more than
    /// the first so many.
    async fn files_at<'a>(
        &self,
        located: &'a Located,
        limit: u64,
    ) -> Result<Option<(&'a str, Vec<(String, u64)>)>> {
        let (path, files) = match &located.at {
            At::Tree {
                workspace,
                hash,
                path,
            } => {
                let workspace = workspace.clone();
                let hash = *hash;
                let tree = self.call(&GetTree { workspace, hash }).await?;
                if tree.entries.iter().any(|entry| entry.symlink) {
                    return Ok(None);
                }
                let entries = tree.entries.into_iter();
                (path, entries.map(|it| (it.path, it.size)).collect())
            }
            At::Artifacts {
                workspace,
                run,
                path,
            } => {
                let list = ListArtifacts {
                    workspace: workspace.clone(),
                    run: run.clone(),
                    path: path.clone(),
                };
                let all = self.call(&list).await?.into_iter();
                (path, all.map(|it| (it.path, it.size)).collect())
            }
            At::Datastore {
                workspace,
                datastore,
                path,
            } => {
                let list = ListStoredFiles {
                    workspace: workspace.clone(),
                    datastore: datastore.clone(),
                    path: path.trim_matches('/').to_owned(),
                    limit: Some(limit),
                };
                let all = self.call(&list).await?.into_iter();
                (path, all.map(|it| (it.path, it.size)).collect())
            }
            At::Here(_) | At::Url(_) | At::Git { .. } => return Ok(None),
        };
        Ok(Some((path.trim_matches('/'), files)))
    }

    /// Writes the first bytes of one located file, which is of this size if that is known, to the file
    /// `to`. None of what is not to be had so; else whether that is all of the file.
    pub async fn fetch_beginning(
        &self,
        located: &Located,
        size: Option<u64>,
        to: &Path,
        bytes: u64,
    ) -> Result<Option<bool>> {
        match (&located.at, size) {
            (At::Url(url), _) if located.kind.as_deref().is_none_or(|it| it == "uri_file") => {
                first_of_url(self, url, to, bytes).await
            }
            (At::Tree { .. } | At::Artifacts { .. } | At::Datastore { .. }, Some(size)) => {
                let body = self.part_of(located, 0..bytes.min(size)).await?;
                save(body, to, |_| {}).await?;
                Ok(Some(size <= bytes))
            }
            _ => Ok(None),
        }
    }

    /// The size of the file of a web server of which a part can be read. None of any other.
    pub async fn size_of_url(&self, url: &str) -> Option<u64> {
        let address = web(url)?;
        // An empty file has no first byte, and what refuses a part may have the whole.
        let answer = self.ask(url, &address, Some(0..1)).await.ok()?;
        let range = answer.headers().get(CONTENT_RANGE)?.to_str().ok()?;
        let (_, size) = range.rsplit_once('/')?;
        size.parse().ok()
    }

    /// The bytes in a range of one located file whose size is known. None where its server has come to
    /// answer something else.
    pub async fn read_part(&self, located: &Located, part: Range<u64>) -> Result<Option<Bytes>> {
        let length = part.end - part.start;
        let body = match &located.at {
            At::Url(url) => {
                let address = web(url).unwrap_or_else(|| url.clone());
                let answer = self.ask(url, &address, Some(part)).await?;
                if answer.status() != StatusCode::PARTIAL_CONTENT {
                    return Ok(None);
                }
                Body::from_stream(answer.bytes_stream())
            }
            _ => self.part_of(located, part).await?,
        };
        let broken = |cause: &dyn std::fmt::Display| {
            Error::unavailable(format!("The download broke off: {cause}"))
        };
        let most = usize::try_from(length).unwrap_or(usize::MAX);
        let bytes = axum::body::to_bytes(body, most).await;
        let bytes = bytes.map_err(|e| broken(&e))?;
        if bytes.len() as u64 != length {
            return Err(broken(&format!("{} of {length} bytes came", bytes.len())));
        }
        Ok(Some(bytes))
    }

    /// A part of a file that the workspace's server has or reaches.
    async fn part_of(&self, located: &Located, part: Range<u64>) -> Result<Body> {
        if part.is_empty() {
            return Ok(Body::empty());
        }
        match &located.at {
            At::Tree {
                workspace,
                hash,
                path,
            } => {
                let place = ["trees", &hash.hex(), "files"];
                let path = path.trim_matches('/');
                self.stored_file(workspace, place, path, Some(part)).await
            }
            At::Artifacts {
                workspace,
                run,
                path,
            } => {
                let place = ["runs", run, "artifacts"];
                let path = path.trim_matches('/');
                self.stored_file(workspace, place, path, Some(part)).await
            }
            At::Datastore {
                workspace,
                datastore,
                path,
            } => {
                let place = ["datastores", datastore, "files"];
                let path = path.trim_matches('/');
                self.stored_file(workspace, place, path, Some(part)).await
            }
            At::Here(_) | At::Url(_) | At::Git { .. } => Err(Error::internal(
                "Only what a workspace has is read in parts",
            )),
        }
    }
}

/// Reads no more of a file of a web server than its first bytes, also where the server knows no ranges.
async fn first_of_url(client: &Client, url: &str, to: &Path, bytes: u64) -> Result<Option<bool>> {
    let Some(address) = web(url) else {
        return Ok(None);
    };
    // A server may refuse a part of what is empty.
    let mut answer = match client.ask(url, &address, Some(0..bytes)).await {
        Ok(answer) => answer,
        Err(_) => client.ask(url, &address, None).await?,
    };
    let cannot =
        |e: std::io::Error| Error::invalid(format!("Cannot write `{}`: {e}", to.display()));
    let mut file = fs::File::create(to).map_err(cannot)?;
    let mut left = bytes;
    loop {
        let piece = answer.chunk().await;
        let piece =
            piece.map_err(|e| Error::unavailable(format!("The download broke off: {e}")))?;
        let Some(piece) = piece else {
            return Ok(Some(left > 0));
        };
        let taken = usize::try_from(left).map_or(piece.len(), |left| left.min(piece.len()));
        file.write_all(&piece[..taken]).map_err(cannot)?;
        left -= taken as u64;
        if taken < piece.len() {
            return Ok(Some(false));
        }
    }
}

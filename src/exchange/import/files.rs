//! The files of runs and models: those on this machine and small ones from elsewhere are stored many
//! at once, large ones from elsewhere flow through.

use std::path::PathBuf;

use axum::body::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Import, State};
use crate::record::{File, Owner};
use api::{
    Result,
    files::{TreeEntry, check_path},
};
use client::collect;

/// The largest file that is held in memory, and how much of such is at once.
const SMALL: u64 = 1 << 20;
const HELD: u64 = 64 << 20;
/// Requests at once.
const REQUESTS: usize = 8;

/// The files of one run or model.
#[derive(Debug, Default)]
pub struct Gathered {
    /// Those that are stored and can be recorded.
    pub entries: Vec<TreeEntry>,
    /// Those that have to be sent by themselves.
    pub later: Vec<File>,
    /// Whether they could be looked at.
    pub reached: bool,
}

impl Import<'_> {
    /// Stores the files of several runs or models, but for large ones from elsewhere.
    pub(super) async fn gather(
        &self,
        owners: &[Owner<'_>],
        state: &mut State,
    ) -> Result<Vec<Gathered>> {
        let listed = stream::iter(owners).map(|owner| self.source.files(*owner));
        let listed: Vec<Option<Vec<File>>> = listed.buffered(REQUESTS).try_collect().await?;
        let mut gathered: Vec<Gathered> = owners.iter().map(|_| Gathered::default()).collect();
        let mut disk: Vec<(usize, String, PathBuf)> = Vec::new();
        let mut small: Vec<(usize, File)> = Vec::new();
        let mut held = 0;
        for (at, files) in listed.into_iter().enumerate() {
            gathered[at].reached = files.is_some();
            if files.is_none() {
                state.tally.without_files += 1;
            }
            for file in files.into_iter().flatten() {
                if let Err(error) = check_path(&file.path) {
                    state.remark(format!("A file of `{}`: {error}", owners[at].id()));
                    continue;
                }
                state.tally.files += 1;
                state.tally.bytes += file.size;
                match &file.disk {
                    Some(path) => disk.push((at, file.path.clone(), path.clone())),
                    None if file.size <= SMALL && held < HELD => {
                        held += file.size;
                        small.push((at, file));
                    }
                    None => gathered[at].later.push(file),
                }
            }
        }
        let contents = self.fetch(owners, &small).await?;
        let files: Vec<(String, PathBuf)> = disk
            .iter()
            .map(|(_, path, file)| (path.clone(), file.clone()))
            .collect();
        let entries = self
            .client
            .store_contents(self.workspace, &files, &contents)
            .await?;
        let places = disk
            .iter()
            .map(|(at, ..)| *at)
            .chain(small.iter().map(|(at, _)| *at));
        for (at, entry) in places.zip(entries) {
            gathered[at].entries.push(entry);
        }
        Ok(gathered)
    }

    async fn fetch(
        &self,
        owners: &[Owner<'_>],
        files: &[(usize, File)],
    ) -> Result<Vec<(String, Bytes)>> {
        let fetched = stream::iter(files).map(|(at, file)| async {
            let content = collect(self.source.read(owners[*at], file).await?).await?;
            Ok((file.path.clone(), content))
        });
        fetched.buffered(REQUESTS).try_collect().await
    }

    /// Sends one file as an artifact of a run of this name.
    pub(super) async fn stream(
        &self,
        owner: Owner<'_>,
        file: &File,
        run: &str,
        path: &str,
    ) -> Result<()> {
        let body = self.source.read(owner, file).await?;
        self.client
            .put_artifact(self.workspace, run, path, body)
            .await
    }
}

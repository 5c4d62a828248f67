//! Laying out a part of a tree or of a run's artifacts: what is below a path, relative to it.

use std::path::{Path, PathBuf};

use super::{Client, Report};
use crate::address::address;
use api::{
    Error, Result,
    files::{GetTree, Hash, ListArtifacts, Tree, TreeEntry},
};

/// Files that were fetched, and where they are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The file, or the folder with the files.
    pub path: PathBuf,
    pub is_file: bool,
    pub files: u64,
    pub bytes: u64,
}

impl Client {
    /// Lays out what a tree has at or below `path` in the folder `to`; a file keeps its own name.
    pub async fn fetch_tree(
        &self,
        workspace: &str,
        hash: Hash,
        path: &str,
        to: &Path,
        report: Option<&Report>,
    ) -> Result<Fetched> {
        let get = GetTree {
            workspace: workspace.to_owned(),
            hash,
        };
        let tree = self.call(&get).await?;
        let place = address(
            &["trees", &hash.hex(), "files"],
            &[("workspace", workspace), ("path", path)],
        );
        self.lay_out_below(tree.entries, place, path, to, report)
            .await
    }

    /// Lays out what a run has put out at or below `path` in the folder `to`.
    pub async fn fetch_artifacts(
        &self,
        workspace: &str,
        run: &str,
        path: &str,
        to: &Path,
        report: Option<&Report>,
    ) -> Result<Fetched> {
        let list = ListArtifacts {
            workspace: workspace.to_owned(),
            run: run.to_owned(),
            path: path.to_owned(),
        };
        let artifacts = self.call(&list).await?.into_iter();
        let entry = |artifact: api::files::Artifact| TreeEntry {
            path: artifact.path,
            hash: artifact.hash,
            size: artifact.size,
            executable: false,
            symlink: false,
        };
        let place = address(
            &["runs", run, "artifacts"],
            &[("workspace", workspace), ("path", path)],
        );
        self.lay_out_below(artifacts.map(entry).collect(), place, path, to, report)
            .await
    }

    async fn lay_out_below(
        &self,
        entries: Vec<TreeEntry>,
        place: String,
        path: &str,
        to: &Path,
        report: Option<&Report>,
    ) -> Result<Fetched> {
        let is_file = entries.iter().any(|entry| entry.path == path);
        let below: Vec<TreeEntry> = entries
            .into_iter()
            .filter_map(|entry| relative(entry, path))
            .collect();
        if below.is_empty() && !path.is_empty() {
            return Err(Error::not_found(format!("Nothing is at `{path}`")).at("path"));
        }
        let tree = Tree::new(below);
        let tree = self.lay_out(tree, place, to, report).await?;
        Ok(Fetched {
            path: match tree.entries.first().filter(|_| is_file) {
                Some(file) => to.join(&file.path),
                None => to.to_owned(),
            },
            is_file,
            files: tree.entries.len() as u64,
            bytes: tree.size(),
        })
    }
}

fn relative(mut entry: TreeEntry, path: &str) -> Option<TreeEntry> {
    let rest = match entry.path.strip_prefix(path)? {
        _ if path.is_empty() => return Some(entry),
        "" => entry.path.rsplit('/').next().unwrap_or_default(),
        rest => rest.strip_prefix('/')?,
    };
    entry.path = String::from(rest);
    Some(entry)
}

//! The files that a path means, brought to this machine: for commands and for jobs' inputs.
//!
//! First a path is located (mirrors, assets, datastores, runs), then it is fetched into a folder of
//! its own, or mounted: laid out once, read-only, for all who want to read it.

mod fetch;
mod mount;
mod mounts;
mod part;

pub use super::files::Fetched;

use std::path::{Path, PathBuf};

pub use mount::{Hold, forget_unused, remove_all};
pub use mounts::Mounts;
pub use part::Below;

use super::{Client, Report};
use api::{
    Error, Result,
    files::Hash,
    lineage::Node,
    mirrors::{Mirrors, alike},
    paths::{Files, Location, ResolvePath},
};

/// Which files are wanted, and by whom.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub workspace: &'a str,
    /// Any form of a path.
    pub path: &'a str,
    /// A short reference is a model's.
    pub model: bool,
    pub mirrors: &'a Mirrors,
}

/// Where wanted files are now.
#[derive(Debug, Clone, PartialEq)]
pub struct Located {
    /// The address that goes on meaning them.
    pub uri: String,
    /// Of an asset: `uri_file`, `uri_folder`, `mltable`, `mlflow_model`, ….
    pub kind: Option<String>,
    pub asset: Option<Node>,
    pub at: At,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// On this machine, in a place that others use too.
    Here(PathBuf),
    Tree {
        workspace: String,
        hash: Hash,
        path: String,
    },
    Artifacts {
        workspace: String,
        run: String,
        path: String,
    },
    Datastore {
        workspace: String,
        datastore: String,
        path: String,
    },
    Url(String),
    Git {
        url: String,
        revision: Option<String>,
        path: String,
    },
}

impl Located {
    /// Where they are, if that is on this machine.
    fn here(&self) -> Option<&Path> {
        match &self.at {
            At::Here(path) => Some(path),
            _ => None,
        }
    }

    /// Whether only this program has them, so that nobody else can read them by their address.
    pub fn is_kept_content(&self) -> bool {
        matches!(self.at, At::Tree { .. } | At::Artifacts { .. })
    }

    /// Where another path of the datastore is in which this is at `path`.
    pub fn moved(&self, path: &str, to: &str) -> Option<Self> {
        let beside = |at: &str| Some([at.strip_suffix(path)?, to].concat());
        let at = match &self.at {
            At::Here(folder) => At::Here(beside(folder.to_str()?)?.into()),
            At::Datastore {
                workspace,
                datastore,
                ..
            } => At::Datastore {
                workspace: workspace.clone(),
                datastore: datastore.clone(),
                path: to.to_owned(),
            },
            At::Tree { .. } | At::Artifacts { .. } | At::Url(_) | At::Git { .. } => return None,
        };
        Some(Self {
            uri: beside(&self.uri)?,
            kind: None,
            asset: None,
            at,
        })
    }

    /// What a process is told that reads the files by itself (mode `direct`): their path where they
    /// are on this machine, else their address.
    pub fn direct(&self) -> String {
        match &self.at {
            At::Here(path) => path.to_string_lossy().into_owned(),
            At::Url(url) => url.clone(),
            At::Tree { .. } | At::Artifacts { .. } | At::Datastore { .. } | At::Git { .. } => {
                self.uri.clone()
            }
        }
    }
}

impl Client {
    /// Finds out where the files of a path are.
    pub async fn locate(&self, wanted: Wanted<'_>) -> Result<Located> {
        if let Some(target) = wanted.mirrors.find(wanted.path) {
            return mirrored(wanted.path, &target);
        }
        let plain = |at: At| Located {
            uri: wanted.path.to_owned(),
            kind: None,
            asset: None,
            at,
        };
        match Location::parse(wanted.path)? {
            Location::Local(path) => Ok(plain(At::Here(path.into()))),
            Location::Url(url) => Ok(plain(At::Url(url))),
            Location::Git {
                url,
                revision,
                path,
            } => Ok(plain(git(wanted.mirrors, url, revision, path))),
            Location::Asset(_) | Location::Datastore { .. } | Location::Run { .. } => {
                self.locate_stored(wanted).await
            }
        }
    }

    async fn locate_stored(&self, wanted: Wanted<'_>) -> Result<Located> {
        let resolve = ResolvePath {
            workspace: wanted.workspace.to_owned(),
            path: wanted.path.to_owned(),
            model: wanted.model,
        };
        let found = self.call(&resolve).await?;
        let at = match found.files {
            Files::Tree {
                workspace,
                hash,
                path,
            } => At::Tree {
                workspace,
                hash,
                path,
            },
            Files::Artifacts {
                workspace,
                run,
                path,
            } => At::Artifacts {
                workspace,
                run,
                path,
            },
            Files::Git {
                url,
                revision,
                path,
            } => git(wanted.mirrors, url, revision, path),
            Files::Url { url } => match wanted.mirrors.find(&url) {
                Some(target) => mirrored(&url, &target)?.at,
                None => At::Url(url),
            },
            Files::Datastore {
                workspace,
                datastore,
                path,
                url,
                folder,
            } => {
                let mirror = |address: &str| wanted.mirrors.find(address);
                if let Some(target) = mirror(&found.uri).or_else(|| mirror(&url)) {
                    mirrored(&found.uri, &target)?.at
                } else if let Some(path) =
                    folder.filter(|_| self.is_in_process()).map(PathBuf::from)
                {
                    At::Here(path)
                } else {
                    At::Datastore {
                        workspace,
                        datastore,
                        path,
                    }
                }
            }
        };
        Ok(Located {
            uri: found.uri,
            kind: found.kind,
            asset: found.asset,
            at,
        })
    }
}

/// What stands for an address: a folder or file of this machine, or another address.
fn mirrored(address: &str, target: &str) -> Result<Located> {
    let at = match Location::parse(target)? {
        Location::Local(path) => {
            let path = PathBuf::from(path);
            if !path.exists() {
                return Err(Error::not_found(format!(
                    "The mirror of `{address}` has nothing at `{target}`"
                ))
                .at("mirrors")
                .hint("Put the files there, or correct [mirrors] in config.toml"));
            }
            At::Here(path)
        }
        Location::Url(url) => At::Url(url),
        Location::Git {
            url,
            revision,
            path,
        } => At::Git {
            url,
            revision,
            path,
        },
        Location::Asset(_) | Location::Datastore { .. } | Location::Run { .. } => {
            return Err(Error::invalid(format!(
                "`{target}` cannot be the mirror of `{address}`: name a folder or a URL"
            ))
            .at("mirrors"));
        }
    };
    Ok(Located {
        uri: address.to_owned(),
        kind: None,
        asset: None,
        at,
    })
}

fn git(mirrors: &Mirrors, url: String, revision: Option<String>, path: String) -> At {
    let url = alike(&url)
        .iter()
        .find_map(|address| mirrors.find(address))
        .unwrap_or(url);
    At::Git {
        url,
        revision,
        path,
    }
}

/// How files are brought here.
#[derive(Clone, Copy)]
pub struct Bring<'a> {
    /// Where what is mounted is laid out for all.
    pub cache: &'a Path,
    /// What this process has mounted before.
    pub mounts: Option<&'a Mounts>,
    pub report: Option<&'a Report>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_path_of_a_datastore_is_beside_the_first() {
        let at = |path: &str, at: At| Located {
            uri: format!("azureml://datastores/d/paths/{path}"),
            kind: None,
            asset: None,
            at,
        };
        let here = |path: &str| at(path, At::Here(format!("/home/storage/{path}").into()));
        assert_eq!(here("a/b/o/").moved("a/b/o/", "a/c/o"), Some(here("a/c/o")));
        let far = |path: &str| {
            let (workspace, datastore) = ("w".to_owned(), "d".to_owned());
            let path = path.to_owned();
            At::Datastore {
                workspace,
                datastore,
                path,
            }
        };
        let there = |path: &str| at(path, far(path));
        assert_eq!(there("a/b").moved("a/b", "c"), Some(there("c")));
        assert_eq!(here("a/b").moved("a/x", "c"), None);
        let tree = At::Url("https://host/a/b".to_owned());
        assert_eq!(at("a/b", tree).moved("a/b", "c"), None);
    }
}

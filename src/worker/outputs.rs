//! What a run puts out: `outputs/` and `logs/` in its folder, stored as they grow.

use std::{
    collections::{HashMap, HashSet},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use super::io_error;
use api::{
    Code, Result,
    files::{RemoveArtifacts, check_path},
};
use client::Client;

/// Folders whose files are artifacts of the run.
pub const FOLDERS: [&str; 2] = ["outputs", "logs"];
/// How often they are looked through while the run goes on; rarer when there is much to do.
const INTERVAL: Duration = Duration::from_secs(3);
/// Files are sent in portions, so that one that cannot be sent does not hold up all others.
const PORTION: usize = 500;
/// Links to folders may go round in circles.
const DEPTH: usize = 64;

/// Removes the folders while nothing is in them: code may have something else of these names.
pub fn make_way(root: &Path) {
    for folder in FOLDERS {
        let _ = fs::remove_dir(root.join(folder));
    }
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    /// Where file systems keep it.
    created: Option<SystemTime>,
}

impl Stamp {
    /// Whether both are of one file, which may have another name and content now.
    fn is_of_the_same(&self, other: &Self) -> bool {
        self.inode == other.inode
            && match (self.created, other.created) {
                (Some(one), Some(other)) => one == other,
                _ => (self.size, self.modified) == (other.size, other.modified),
            }
    }
}

/// A file below one of the folders.
#[derive(Debug, Clone)]
struct Found {
    path: String,
    file: PathBuf,
    stamp: Stamp,
}

/// Knows what is stored already.
pub struct Outputs {
    /// Working directory of the run.
    root: PathBuf,
    stored: HashMap<String, Stamp>,
    /// Those of them that this run has put out.
    sent: HashSet<String>,
    next: Instant,
    /// Files that cannot be stored under their name.
    refused: Vec<String>,
}

impl Outputs {
    /// Makes the folders. What is in them when a run begins came with its code and is not put out.
    pub fn begin(root: &Path) -> Result<Self> {
        for folder in FOLDERS {
            super::private_dir(&root.join(folder))?;
        }
        let mut outputs = Self::resume(root);
        let found = outputs.find();
        outputs.stored = found.into_iter().map(|f| (f.path, f.stamp)).collect();
        Ok(outputs)
    }

    /// Goes on with a run that another worker began; what that one stored is found to be stored.
    pub fn resume(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            stored: HashMap::new(),
            sent: HashSet::new(),
            next: Instant::now() + INTERVAL,
            refused: Vec::new(),
        }
    }

    /// When to store what is new.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Stores what is new while the run goes on. What fails is tried again later.
    pub async fn store_new(&mut self, client: &Client, workspace: &str, run: &str) {
        let begun = Instant::now();
        let _ = self.store(client, workspace, run).await;
        self.next = Instant::now() + INTERVAL.max(begun.elapsed() * 10);
    }

    /// Stores all that is new. Answers the files that could not be stored because of their names.
    pub async fn store_all(
        &mut self,
        client: &Client,
        workspace: &str,
        run: &str,
    ) -> Result<Vec<String>> {
        self.store(client, workspace, run).await?;
        Ok(std::mem::take(&mut self.refused))
    }

    async fn store(&mut self, client: &Client, workspace: &str, run: &str) -> Result<()> {
        self.refused.clear();
        let found = self.find();
        let in_the_way = self.in_the_way(&found);
        let renamed = self.renamed(&found);
        let (blocked, free): (Vec<Found>, Vec<Found>) = found
            .into_iter()
            .filter(|found| self.stored.get(&found.path) != Some(&found.stamp))
            .partition(|found| in_the_way.iter().any(|old| excludes(old, &found.path)));
        // What has another name now is stored under it before the old one goes.
        self.send_changed(client, workspace, run, &free).await?;
        for path in in_the_way {
            self.remove(client, workspace, run, path).await?;
        }
        self.send_changed(client, workspace, run, &blocked).await?;
        for path in renamed {
            if self.sent.contains(&path) {
                self.remove(client, workspace, run, path).await?;
            }
        }
        Ok(())
    }

    async fn send_changed(
        &mut self,
        client: &Client,
        workspace: &str,
        run: &str,
        changed: &[Found],
    ) -> Result<()> {
        for portion in changed.chunks(PORTION) {
            match self.send(client, workspace, run, portion).await {
                // Some file grows faster than it can be read; the others are not kept waiting.
                Err(error) if error.code == Code::Conflict => {
                    for found in portion {
                        self.send_copy(client, workspace, run, found).await?;
                    }
                }
                sent => sent?,
            }
        }
        Ok(())
    }

    /// Names of stored files that are gone and where a folder is now, or above which a file is.
    fn in_the_way(&self, found: &[Found]) -> Vec<String> {
        let names: HashSet<&str> = found.iter().map(|found| found.path.as_str()).collect();
        let gone = self
            .sent
            .iter()
            .filter(|path| !names.contains(path.as_str()));
        let gone: Vec<&String> = gone.collect();
        if gone.is_empty() {
            return Vec::new();
        }
        let folders: HashSet<&str> = names.iter().copied().flat_map(above).collect();
        let is_replaced = |path: &&&String| {
            folders.contains(path.as_str()) || above(path).any(|folder| names.contains(folder))
        };
        gone.iter().filter(is_replaced).copied().cloned().collect()
    }

    /// Names of files that were stored and have another name now. What was removed stays stored.
    fn renamed(&self, found: &[Found]) -> Vec<String> {
        let names: HashSet<&str> = found.iter().map(|found| found.path.as_str()).collect();
        let by_inode: HashMap<u64, &Found> = found.iter().map(|f| (f.stamp.inode, f)).collect();
        let is_elsewhere = |path: &&String| {
            let stamp = self.stored.get(*path);
            let same = |stamp: &Stamp| {
                let now = by_inode.get(&stamp.inode);
                now.is_some_and(|now| now.stamp.is_of_the_same(stamp))
            };
            !names.contains(path.as_str()) && stamp.is_some_and(same)
        };
        self.sent.iter().filter(is_elsewhere).cloned().collect()
    }

    async fn remove(
        &mut self,
        client: &Client,
        workspace: &str,
        run: &str,
        path: String,
    ) -> Result<()> {
        let remove = RemoveArtifacts {
            workspace: workspace.to_owned(),
            run: run.to_owned(),
            path,
        };
        match client.call(&remove).await {
            Err(error) if error.code != Code::NotFound => return Err(error),
            _ => {}
        }
        self.sent.remove(&remove.path);
        self.stored.remove(&remove.path);
        Ok(())
    }

    async fn send(
        &mut self,
        client: &Client,
        workspace: &str,
        run: &str,
        portion: &[Found],
    ) -> Result<()> {
        let pair = |found: &Found| (found.path.clone(), found.file.clone());
        let files: Vec<(String, PathBuf)> = portion.iter().map(pair).collect();
        client
            .upload_artifacts(workspace, run, &files, None)
            .await?;
        let stamps = portion
            .iter()
            .map(|found| (found.path.clone(), found.stamp));
        self.stored.extend(stamps);
        self.sent
            .extend(portion.iter().map(|found| found.path.clone()));
        Ok(())
    }

    /// Stores a file as it is now, through a copy that does not change.
    async fn send_copy(
        &mut self,
        client: &Client,
        workspace: &str,
        run: &str,
        found: &Found,
    ) -> Result<()> {
        let copy = self.root.with_file_name("growing");
        fs::copy(&found.file, &copy).map_err(|e| io_error("copy", &found.file, &e))?;
        let found = Found {
            file: copy,
            ..found.clone()
        };
        self.send(client, workspace, run, &[found]).await
    }

    fn find(&mut self) -> Vec<Found> {
        let mut found = Vec::new();
        for folder in FOLDERS {
            self.find_below(folder, DEPTH, &mut found);
        }
        found
    }

    fn find_below(&mut self, folder: &str, depth: usize, found: &mut Vec<Found>) {
        let Ok(entries) = fs::read_dir(self.root.join(folder)) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let path = format!("{folder}/{}", name.to_string_lossy());
            // Follows links: what a run links into its outputs is meant to be put out.
            let Ok(metadata) = fs::metadata(entry.path()) else {
                continue;
            };
            if name.to_str().is_none() || check_path(&path).is_err() {
                self.refused.push(path);
            } else if metadata.is_dir() && depth > 0 {
                self.find_below(&path, depth - 1, found);
            } else if metadata.is_file() {
                found.push(Found {
                    path,
                    file: entry.path(),
                    stamp: Stamp {
                        inode: metadata.ino(),
                        size: metadata.size(),
                        modified: (metadata.mtime(), metadata.mtime_nsec()),
                        created: metadata.created().ok(),
                    },
                });
            }
        }
    }
}

/// The folders that a path is in, below each other.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(move |(end, _)| &path[..end])
}

/// Whether there cannot be files of both names.
fn excludes(one: &str, other: &str) -> bool {
    above(one).any(|folder| folder == other) || above(other).any(|folder| folder == one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(outputs: &mut Outputs) -> Vec<String> {
        let mut paths: Vec<String> = outputs.find().into_iter().map(|f| f.path).collect();
        paths.sort();
        paths
    }

    #[test]
    fn files_are_found_at_any_depth_through_links_and_with_names_that_can_be_stored() {
        let root = tempfile::tempdir().unwrap();
        let mut outputs = Outputs::begin(root.path()).unwrap();
        let below = |path: &str| root.path().join(path);
        fs::create_dir_all(below("outputs/model/a")).unwrap();
        fs::write(below("outputs/model/a/w.bin"), "w").unwrap();
        fs::write(below("logs/x.log"), "x").unwrap();
        fs::write(below("outputs/a\\b"), "").unwrap();
        fs::write(below("elsewhere"), "e").unwrap();
        std::os::unix::fs::symlink("../elsewhere", below("outputs/link")).unwrap();
        std::os::unix::fs::symlink("nowhere", below("outputs/broken")).unwrap();
        let expected = ["logs/x.log", "outputs/link", "outputs/model/a/w.bin"];
        assert_eq!(paths(&mut outputs), expected);
        assert_eq!(outputs.refused, ["outputs/a\\b"]);
    }

    #[test]
    fn a_circle_of_links_ends() {
        let root = tempfile::tempdir().unwrap();
        let mut outputs = Outputs::begin(root.path()).unwrap();
        std::os::unix::fs::symlink(".", root.path().join("outputs/again")).unwrap();
        assert!(paths(&mut outputs).is_empty());
    }

    #[test]
    fn a_file_with_another_name_is_the_same_and_one_that_was_removed_is_not() {
        let root = tempfile::tempdir().unwrap();
        let mut outputs = Outputs::begin(root.path()).unwrap();
        let below = |path: &str| root.path().join(path);
        for name in ["part", "kept", "gone"] {
            fs::write(below("outputs").join(name), "1").unwrap();
        }
        let found = outputs.find();
        outputs.sent = found.iter().map(|found| found.path.clone()).collect();
        outputs.stored = found.into_iter().map(|f| (f.path, f.stamp)).collect();
        fs::write(below("outputs/part"), "more").unwrap();
        fs::rename(below("outputs/part"), below("outputs/whole")).unwrap();
        fs::rename(below("outputs/gone"), below("elsewhere")).unwrap();
        let found = outputs.find();
        assert_eq!(outputs.renamed(&found), ["outputs/part"]);
    }

    #[test]
    fn what_became_a_folder_or_a_file_is_in_the_way() {
        let root = tempfile::tempdir().unwrap();
        let mut outputs = Outputs::begin(root.path()).unwrap();
        let below = |path: &str| root.path().join("outputs").join(path);
        fs::create_dir(below("folder")).unwrap();
        for name in ["file", "folder/a", "gone", "stays"] {
            fs::write(below(name), name).unwrap();
        }
        let found = outputs.find();
        outputs.sent = found.iter().map(|found| found.path.clone()).collect();
        outputs.stored = found.into_iter().map(|f| (f.path, f.stamp)).collect();
        fs::rename(below("file"), below("moved")).unwrap();
        fs::create_dir(below("file")).unwrap();
        fs::write(below("file/part"), "p").unwrap();
        fs::remove_dir_all(below("folder")).unwrap();
        fs::write(below("folder"), "f").unwrap();
        fs::remove_file(below("gone")).unwrap();
        let found = outputs.find();
        let mut in_the_way = outputs.in_the_way(&found);
        in_the_way.sort();
        assert_eq!(in_the_way, ["outputs/file", "outputs/folder/a"]);
        assert!(excludes("outputs/file", "outputs/file/part"));
        assert!(!excludes("outputs/file", "outputs/files"));
    }

    #[test]
    fn what_came_with_the_code_is_known_until_it_changes() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("outputs")).unwrap();
        let old = root.path().join("outputs/old");
        fs::write(&old, "1").unwrap();
        let mut outputs = Outputs::begin(root.path()).unwrap();
        let is_new = |outputs: &mut Outputs| {
            let found = outputs.find().remove(0);
            outputs.stored.get(&found.path) != Some(&found.stamp)
        };
        assert!(!is_new(&mut outputs));
        fs::write(&old, "22").unwrap();
        assert!(is_new(&mut outputs));
    }
}

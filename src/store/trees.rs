//! Trees: immutable folders that a workspace has stored. A tree's entries are a blob of its hash.

use std::io::BufReader;

use super::{
    Store,
    blobs::{TOUCH_MS, blocking, first_missing, insert, place},
    db::{Tx, count, params},
    packs::{OpenBlob, receive_one},
};
use api::{
    Error, Result, Time,
    files::{Hash, LONGEST_TREE, Tree, TreeInfo},
};

/// What the bytes of every tree begin with.
const BEGIN: &[u8; 12] = b"{\"entries\":[";

/// How the storing of files that were uploaded before came out.
#[derive(Debug)]
pub enum Stored<T> {
    Done(T),
    /// This blob is not stored, or not with the size that was said.
    Missing(Hash),
}

impl Store {
    /// A tree of a workspace; it then counts as just stored.
    pub async fn find_tree(
        &self,
        workspace: i64,
        hash: Hash,
        now: Time,
    ) -> Result<Option<TreeInfo>> {
        let found = self.db.read(move |tx| tree(tx, workspace, hash)).await?;
        match found {
            Some((_, touched_at)) if now.since(touched_at) >= TOUCH_MS => {
                self.db
                    .write(move |tx| {
                        tx.execute(
                        "UPDATE trees SET touched_at = ?3 WHERE workspace_id = ?1 AND hash = ?2",
                        params![workspace, hash, now],
                    )?;
                        Ok(tree(tx, workspace, hash)?.map(|(info, _)| info))
                    })
                    .await
            }
            found => Ok(found.map(|(info, _)| info)),
        }
    }

    /// Stores a tree whose blobs are stored. The same tree again is no error.
    pub async fn create_tree(
        &self,
        workspace: i64,
        tree: Tree,
        now: Time,
    ) -> Result<Stored<TreeInfo>> {
        let encoded = tree.encode();
        let info = described(&tree, Hash::of(&encoded));
        let blobs = blobs_of(tree);
        let folder = self.home.blobs();
        let pack = blocking(move || receive_one(&folder, [Ok(encoded.into())].into_iter())).await?;
        let (outcome, used, pack) = self
            .db
            .write(move |tx| {
                if let Some(missing) = first_missing(tx, blobs)? {
                    return Ok((Stored::Missing(missing), false, pack));
                }
                let new = insert(tx, &pack, now)?;
                record(tx, workspace, &info, now)?;
                Ok((Stored::Done(info), new > 0, pack))
            })
            .await?;
        if !used {
            pack.discard();
        }
        Ok(outcome)
    }

    /// What a stored blob says as a tree that can be laid out; none when it is not stored.
    pub async fn tree_of_blob(&self, hash: Hash) -> Result<Option<Tree>> {
        match self.open_blob(hash).await? {
            Some(blob) => blocking(move || described_by(&blob)).await.map(Some),
            None => Ok(None),
        }
    }

    /// Stores the tree that is kept as a blob, whose blobs are stored. The same tree again is no error.
    pub async fn record_tree(
        &self,
        workspace: i64,
        hash: Hash,
        tree: Tree,
        now: Time,
    ) -> Result<Stored<TreeInfo>> {
        let info = described(&tree, hash);
        let blobs = blobs_of(tree);
        self.db
            .write(move |tx| {
                if place(tx, hash)?.is_none() {
                    return Ok(Stored::Missing(hash));
                }
                if let Some(missing) = first_missing(tx, blobs)? {
                    return Ok(Stored::Missing(missing));
                }
                record(tx, workspace, &info, now)?;
                Ok(Stored::Done(info))
            })
            .await
    }

    /// The tree of a workspace whose hash begins with these hexadecimal digits, 16 at least.
    pub async fn tree_named(&self, workspace: i64, prefix: &str) -> Result<Option<Hash>> {
        let digits = prefix.len();
        if !(16..=64).contains(&digits) {
            return Ok(None);
        }
        let (first, last) = (
            Hash::parse(&format!("{prefix:0<64}")),
            Hash::parse(&format!("{prefix:f<64}")),
        );
        let (Ok(first), Ok(last)) = (first, last) else {
            return Ok(None);
        };
        self.db
            .read(move |tx| {
                tx.one(
                    "SELECT hash FROM trees WHERE workspace_id = ?1 AND hash BETWEEN ?2 AND ?3",
                    params![workspace, first, last],
                    |row| row.get(0),
                )
            })
            .await
    }

    /// The entries of a tree of a workspace.
    pub async fn read_tree(&self, workspace: i64, hash: Hash) -> Result<Option<Tree>> {
        let found = self.db.read(move |tx| tree(tx, workspace, hash)).await?;
        if found.is_none() {
            return Ok(None);
        }
        let Some(blob) = self.open_blob(hash).await? else {
            return Ok(None);
        };
        blocking(move || decode(&blob.read()?)).await.map(Some)
    }
}

/// Reads a blob as a tree. It may be any content: nothing of it is in the error, and not more of it is
/// read than tells that it is none.
fn described_by(blob: &OpenBlob) -> Result<Tree> {
    let hash = blob.hash;
    let none = |why: &str| {
        Error::invalid(format!(
            "The content {hash} is not a tree as it is stored: {why}"
        ))
        .at("hash")
    };
    let mut begin = [0; BEGIN.len()];
    if blob.size > LONGEST_TREE {
        return Err(none("it is too long"));
    }
    if blob.size < BEGIN.len() as u64 {
        return Err(none("it is too short"));
    }
    blob.read_at(&mut begin, 0)?;
    if begin != *BEGIN {
        return Err(none("it begins with something else"));
    }
    let reader = BufReader::with_capacity(1 << 18, blob.reader());
    let read: serde_json::Result<Tree> = serde_json::from_reader(reader);
    let tree = read.map_err(|e| none(&format!("line {} column {}", e.line(), e.column())))?;
    // Other bytes that say the same would be another tree of the same files.
    if tree.hash() != hash || !tree.entries.is_sorted_by(|a, b| a.path <= b.path) {
        return Err(none("it is written in another way"));
    }
    tree.check()?;
    Ok(tree)
}

fn described(tree: &Tree, hash: Hash) -> TreeInfo {
    TreeInfo {
        hash,
        files: tree.entries.len() as u64,
        size: tree.size(),
    }
}

fn blobs_of(tree: Tree) -> Vec<(Hash, u64)> {
    let entries = tree.entries.into_iter();
    entries.map(|entry| (entry.hash, entry.size)).collect()
}

fn record(tx: &Tx<'_>, workspace: i64, info: &TreeInfo, now: Time) -> Result<()> {
    tx.execute(
        "INSERT INTO trees(workspace_id, hash, files, size, touched_at) \
         VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT(workspace_id, hash) DO UPDATE SET touched_at = ?5",
        params![workspace, info.hash, info.files, info.size, now],
    )
    .map(drop)
}

pub(super) fn decode(manifest: &[u8]) -> Result<Tree> {
    serde_json::from_slice(manifest)
        .map_err(|e| Error::unavailable(format!("A stored tree is damaged: {e}")))
}

pub(super) fn tree(tx: &Tx<'_>, workspace: i64, hash: Hash) -> Result<Option<(TreeInfo, Time)>> {
    tx.one(
        "SELECT files, size, touched_at FROM trees WHERE workspace_id = ?1 AND hash = ?2",
        params![workspace, hash],
        |row| {
            let info = TreeInfo {
                hash,
                files: count(row, 0)?,
                size: count(row, 1)?,
            };
            Ok((info, row.get(2)?))
        },
    )
}

//! The files that runs have put out: a path in a run, and the blob that is there.

use super::{
    Store,
    blobs::{first_missing, insert},
    db::{Row, RowResult, Tx, count, params},
    packs::Pack,
    trees::Stored,
};
use crate::api::{
    Error, Result, Time,
    files::{Artifact, TreeEntry, parents},
};

/// Matches `path` and what is below the folder `?2`; `0` comes right after `/`.
const AT_OR_BELOW: &str = "(path = ?2 OR (path >= ?2 || '/' AND path < ?2 || '0'))";

fn artifact(row: &Row<'_>) -> RowResult<Artifact> {
    Ok(Artifact {
        path: row.get(0)?,
        size: count(row, 1)?,
        hash: row.get(2)?,
        updated_at: row.get(3)?,
    })
}

impl Store {
    /// A run's artifacts at or below `path`, all when it is empty, sorted by path.
    pub async fn list_artifacts(&self, run: i64, path: String) -> Result<Vec<Artifact>> {
        self.db
            .read(move |tx| {
                tx.all(
                    &format!(
                        "SELECT path, size, hash, updated_at FROM artifacts \
                         WHERE run_id = ?1 AND (?2 = '' OR {AT_OR_BELOW}) ORDER BY path"
                    ),
                    params![run, path],
                    artifact,
                )
            })
            .await
    }

    pub async fn artifact(&self, run: i64, path: String) -> Result<Option<Artifact>> {
        self.db
            .read(move |tx| {
                tx.one(
                    "SELECT path, size, hash, updated_at FROM artifacts \
                     WHERE run_id = ?1 AND path = ?2",
                    params![run, path],
                    artifact,
                )
            })
            .await
    }

    /// Records stored blobs as artifacts, all or none.
    pub async fn add_artifacts(
        &self,
        run: i64,
        files: Vec<TreeEntry>,
        now: Time,
    ) -> Result<Stored<()>> {
        let blobs: Vec<_> = files.iter().map(|file| (file.hash, file.size)).collect();
        self.db
            .write(move |tx| {
                if let Some(missing) = first_missing(tx, &blobs)? {
                    return Ok(Stored::Missing(missing));
                }
                for file in files {
                    if let Some(conflict) = obstacle(tx, run, &file.path)? {
                        return Err(conflict);
                    }
                    put(
                        tx,
                        run,
                        &Artifact {
                            path: file.path,
                            size: file.size,
                            hash: file.hash,
                            updated_at: now,
                        },
                    )?;
                }
                Ok(Stored::Done(()))
            })
            .await
    }

    /// Stores the one blob of `pack` and records it as an artifact.
    pub async fn add_artifact(
        &self,
        run: i64,
        path: String,
        pack: Pack,
        now: Time,
    ) -> Result<Artifact> {
        let Some(blob) = pack.blobs.first() else {
            return Err(Error::internal("An artifact came without content"));
        };
        let artifact = Artifact {
            path,
            size: blob.size,
            hash: blob.hash,
            updated_at: now,
        };
        let (outcome, used, pack) = self
            .db
            .write(move |tx| {
                if let Some(conflict) = obstacle(tx, run, &artifact.path)? {
                    return Ok((Err(conflict), false, pack));
                }
                let new = insert(tx, &pack, now)?;
                put(tx, run, &artifact)?;
                Ok((Ok(artifact), new > 0, pack))
            })
            .await?;
        if !used {
            pack.discard();
        }
        outcome
    }

    /// Removes the artifacts at or below `path`; answers how many there were.
    pub async fn remove_artifacts(&self, run: i64, path: String) -> Result<usize> {
        self.db
            .write(move |tx| {
                tx.execute(
                    &format!("DELETE FROM artifacts WHERE run_id = ?1 AND {AT_OR_BELOW}"),
                    params![run, path],
                )
            })
            .await
    }
}

/// What keeps a file from being at a path: a folder there, or a file where a folder would have to be.
pub(super) fn obstacle(tx: &Tx<'_>, run: i64, path: &str) -> Result<Option<Error>> {
    let below = tx.one(
        "SELECT 1 FROM artifacts WHERE run_id = ?1 AND path >= ?2 || '/' AND path < ?2 || '0' LIMIT 1",
        params![run, path],
        |_| Ok(()),
    )?;
    if below.is_some() {
        let message = format!("`{path}` is a folder of the run's artifacts");
        return Ok(Some(Error::conflict(message).at("path")));
    }
    for parent in parents(path) {
        let file = tx.one(
            "SELECT 1 FROM artifacts WHERE run_id = ?1 AND path = ?2",
            params![run, parent],
            |_| Ok(()),
        )?;
        if file.is_some() {
            let message = format!("`{parent}` is a file of the run's artifacts, not a folder");
            return Ok(Some(Error::conflict(message).at("path")));
        }
    }
    Ok(None)
}

pub(super) fn put(tx: &Tx<'_>, run: i64, artifact: &Artifact) -> Result<()> {
    tx.execute(
        "INSERT INTO artifacts(run_id, path, hash, size, updated_at) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT(run_id, path) DO UPDATE SET hash = ?3, size = ?4, updated_at = ?5",
        params![
            run,
            artifact.path,
            artifact.hash,
            artifact.size,
            artifact.updated_at
        ],
    )?;
    Ok(())
}

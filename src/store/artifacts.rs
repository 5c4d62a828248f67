//! The files that runs have put out, and those of traces: a path in one, and the blob that is there.

use super::{
    Store,
    blobs::{first_missing, insert},
    db::{Row, RowResult, Tx, count, params},
    packs::Pack,
    trees::Stored,
};
use api::{
    Error, Result, Time,
    files::{Artifact, TreeEntry, parents},
};

/// Whose files they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    Run(i64),
    Trace(i64),
}

impl Holder {
    /// The table, its column that says whose file it is, and what is there.
    fn place(self) -> (&'static str, &'static str, i64) {
        match self {
            Holder::Run(id) => ("artifacts", "run_id", id),
            Holder::Trace(id) => ("trace_artifacts", "trace_id", id),
        }
    }
}

/// The hashes of all files of runs and traces, and of parts of files that are on their way.
pub(super) const HELD: &str = "SELECT hash FROM artifacts UNION ALL SELECT hash FROM trace_artifacts \
                               UNION ALL SELECT hash FROM upload_parts";

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
    /// The files at or below `path`, all when it is empty, sorted by path.
    pub async fn list_artifacts(&self, of: Holder, path: String) -> Result<Vec<Artifact>> {
        let (table, column, id) = of.place();
        self.db
            .read(move |tx| {
                tx.all(
                    &format!(
                        "SELECT path, size, hash, updated_at FROM {table} \
                         WHERE {column} = ?1 AND (?2 = '' OR {AT_OR_BELOW}) ORDER BY path"
                    ),
                    params![id, path],
                    artifact,
                )
            })
            .await
    }

    pub async fn artifact(&self, of: Holder, path: String) -> Result<Option<Artifact>> {
        let (table, column, id) = of.place();
        self.db
            .read(move |tx| {
                tx.one(
                    &format!(
                        "SELECT path, size, hash, updated_at FROM {table} \
                         WHERE {column} = ?1 AND path = ?2"
                    ),
                    params![id, path],
                    artifact,
                )
            })
            .await
    }

    /// Records stored blobs as artifacts, all or none.
    pub async fn add_artifacts(
        &self,
        of: Holder,
        files: Vec<TreeEntry>,
        now: Time,
    ) -> Result<Stored<()>> {
        self.db.write(move |tx| add(tx, of, files, now)).await
    }

    /// Stores the one blob of `pack` and records it as an artifact.
    pub async fn add_artifact(
        &self,
        of: Holder,
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
                if let Some(conflict) = obstacle(tx, of, &artifact.path)? {
                    return Ok((Err(conflict), false, pack));
                }
                let new = insert(tx, &pack, now)?;
                put(tx, of, &artifact)?;
                Ok((Ok(artifact), new > 0, pack))
            })
            .await?;
        if !used {
            pack.discard();
        }
        outcome
    }

    /// Removes the files at or below `path`, all when it is empty; answers how many there were.
    pub async fn remove_artifacts(&self, of: Holder, path: String) -> Result<usize> {
        let (table, column, id) = of.place();
        self.db
            .write(move |tx| {
                tx.execute(
                    &format!(
                        "DELETE FROM {table} WHERE {column} = ?1 AND (?2 = '' OR {AT_OR_BELOW})"
                    ),
                    params![id, path],
                )
            })
            .await
    }
}

/// Records stored blobs as artifacts, all or none.
pub(super) fn add(tx: &Tx<'_>, of: Holder, files: Vec<TreeEntry>, now: Time) -> Result<Stored<()>> {
    let blobs: Vec<_> = files.iter().map(|file| (file.hash, file.size)).collect();
    if let Some(missing) = first_missing(tx, blobs)? {
        return Ok(Stored::Missing(missing));
    }
    for file in files {
        if let Some(conflict) = obstacle(tx, of, &file.path)? {
            return Err(conflict);
        }
        let artifact = Artifact {
            path: file.path,
            size: file.size,
            hash: file.hash,
            updated_at: now,
        };
        put(tx, of, &artifact)?;
    }
    Ok(Stored::Done(()))
}

/// What keeps a file from being at a path: a folder there, or a file where a folder would have to be.
pub(super) fn obstacle(tx: &Tx<'_>, of: Holder, path: &str) -> Result<Option<Error>> {
    let (table, column, id) = of.place();
    let below = tx.one(
        &format!(
            "SELECT 1 FROM {table} WHERE {column} = ?1 AND path >= ?2 || '/' AND path < ?2 || '0' LIMIT 1"
        ),
        params![id, path],
        |_| Ok(()),
    )?;
    if below.is_some() {
        let message = format!("`{path}` is a folder of the artifacts");
        return Ok(Some(Error::conflict(message).at("path")));
    }
    for parent in parents(path) {
        let file = tx.one(
            &format!("SELECT 1 FROM {table} WHERE {column} = ?1 AND path = ?2"),
            params![id, parent],
            |_| Ok(()),
        )?;
        if file.is_some() {
            let message = format!("`{parent}` is a file of the artifacts, not a folder");
            return Ok(Some(Error::conflict(message).at("path")));
        }
    }
    Ok(None)
}

pub(super) fn put(tx: &Tx<'_>, of: Holder, artifact: &Artifact) -> Result<()> {
    let (table, column, id) = of.place();
    tx.execute(
        &format!(
            "INSERT INTO {table}({column}, path, hash, size, updated_at) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT({column}, path) DO UPDATE SET hash = ?3, size = ?4, updated_at = ?5"
        ),
        params![
            id,
            artifact.path,
            artifact.hash,
            artifact.size,
            artifact.updated_at
        ],
    )?;
    Ok(())
}

//! Uploads in parts, and the blobs that have arrived for them.

use super::{
    Holder, Store,
    artifacts::{obstacle, put},
    blobs::insert,
    db::{Row, RowResult, Tx, count, params},
    packs::Pack,
};
use api::{
    Error, Result, Time,
    files::Artifact,
    uploads::{Upload, UploadedPart},
};

/// An upload as stored.
#[derive(Debug)]
pub struct UploadRow {
    pub id: i64,
    pub run_id: i64,
    pub upload: Upload,
}

/// What becomes of an upload's parts.
pub enum Joined {
    /// They are one blob, written anew.
    Pack(Pack),
    /// There is one, which is the file.
    Single(UploadedPart),
}

fn row(row: &Row<'_>) -> RowResult<UploadRow> {
    Ok(UploadRow {
        id: row.get(0)?,
        run_id: row.get(1)?,
        upload: Upload {
            id: row.get(2)?,
            run: row.get(3)?,
            path: row.get(4)?,
            parts: row.get(5)?,
            expires_at: row.get(6)?,
        },
    })
}

fn gone() -> Error {
    Error::not_found("The upload was completed, aborted or has expired").hint("Begin another one")
}

impl Store {
    /// Records that a file is on its way, and forgets those whose time is over.
    pub async fn create_upload(&self, run_id: i64, upload: Upload, now: Time) -> Result<Upload> {
        self.db
            .write(move |tx| {
                drop_expired(tx, now)?;
                if let Some(conflict) = obstacle(tx, Holder::Run(run_id), &upload.path)? {
                    return Err(conflict);
                }
                tx.execute(
                    "INSERT INTO uploads(uuid, run_id, path, parts, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![upload.id, run_id, upload.path, upload.parts, upload.expires_at],
                )?;
                Ok(upload)
            })
            .await
    }

    /// An upload of a run of a workspace that is not over.
    pub async fn upload(
        &self,
        workspace: i64,
        uuid: String,
        now: Time,
    ) -> Result<Option<UploadRow>> {
        self.db
            .read(move |tx| {
                tx.one(
                    "SELECT u.id, u.run_id, u.uuid, r.name, u.path, u.parts, u.expires_at \
                     FROM uploads u JOIN runs r ON r.id = u.run_id \
                     WHERE u.uuid = ?1 AND r.workspace_id = ?2 AND u.expires_at > ?3",
                    params![uuid, workspace, now],
                    row,
                )
            })
            .await
    }

    /// The parts that have arrived, by number.
    pub async fn upload_parts(&self, upload: i64) -> Result<Vec<UploadedPart>> {
        self.db
            .read(move |tx| {
                tx.all(
                    "SELECT number, hash, size FROM upload_parts WHERE upload_id = ?1 ORDER BY number",
                    params![upload],
                    |row| {
                        Ok(UploadedPart {
                            number: row.get(0)?,
                            hash: row.get(1)?,
                            size: count(row, 2)?,
                        })
                    },
                )
            })
            .await
    }

    /// Stores the one blob of `pack` as a part of an upload.
    pub async fn add_part(
        &self,
        upload: i64,
        number: u32,
        pack: Pack,
        now: Time,
    ) -> Result<UploadedPart> {
        let Some(blob) = pack.blobs.first() else {
            return Err(Error::internal("A part came without content"));
        };
        let part = UploadedPart {
            number,
            hash: blob.hash,
            size: blob.size,
        };
        let (outcome, used, pack) = self
            .db
            .write(move |tx| {
                let sql = "SELECT 1 FROM uploads WHERE id = ?1";
                if tx.one(sql, params![upload], |_| Ok(()))?.is_none() {
                    return Ok((Err(gone()), false, pack));
                }
                let new = insert(tx, &pack, now)?;
                tx.execute(
                    "INSERT INTO upload_parts(upload_id, number, hash, size) VALUES (?1, ?2, ?3, ?4) \
                     ON CONFLICT(upload_id, number) DO UPDATE SET hash = ?3, size = ?4",
                    params![upload, part.number, part.hash, part.size],
                )?;
                Ok((Ok(part), new > 0, pack))
            })
            .await?;
        if !used {
            pack.discard();
        }
        outcome
    }

    /// Records an upload's file as an artifact of its run, and forgets the upload.
    pub async fn complete_upload(
        &self,
        of: UploadRow,
        joined: Joined,
        now: Time,
    ) -> Result<Artifact> {
        let (outcome, unused) = self.db.write(move |tx| finish(tx, of, joined, now)).await?;
        if let Some(pack) = unused {
            pack.discard();
        }
        outcome
    }

    /// Forgets an upload; answers whether there was one.
    pub async fn abort_upload(&self, upload: i64) -> Result<bool> {
        self.db
            .write(move |tx| {
                Ok(tx.execute("DELETE FROM uploads WHERE id = ?1", params![upload])? > 0)
            })
            .await
    }

    /// Forgets uploads whose time was over by then.
    pub(super) async fn drop_expired_uploads(&self, by: Time) -> Result<()> {
        self.db.write(move |tx| drop_expired(tx, by)).await
    }
}

fn drop_expired(tx: &Tx<'_>, by: Time) -> Result<()> {
    tx.execute("DELETE FROM uploads WHERE expires_at <= ?1", params![by])?;
    Ok(())
}

/// Whether a part is the one that it was when it was read. While a row refers to its blob, the blob
/// is not collected.
fn is_still(tx: &Tx<'_>, upload: i64, part: &UploadedPart) -> Result<bool> {
    let sql = "SELECT 1 FROM upload_parts WHERE upload_id = ?1 AND number = ?2 AND hash = ?3";
    let found = tx.one(sql, params![upload, part.number, part.hash], |_| Ok(()))?;
    Ok(found.is_some())
}

fn replaced(part: u32) -> Error {
    Error::conflict(format!(
        "Part {part} was sent again, or the upload ended, while it was being completed"
    ))
    .hint("Complete the upload again, or begin another one")
}

type Finished = (Result<Artifact>, Option<Pack>);

/// The pack goes through the transaction so that its lock outlasts the commit.
fn finish(tx: &Tx<'_>, of: UploadRow, joined: Joined, now: Time) -> Result<Finished> {
    let unused = |joined| match joined {
        Joined::Pack(pack) => Some(pack),
        Joined::Single(_) => None,
    };
    let holder = Holder::Run(of.run_id);
    if let Some(conflict) = obstacle(tx, holder, &of.upload.path)? {
        return Ok((Err(conflict), unused(joined)));
    }
    if let Joined::Single(part) = &joined
        && !is_still(tx, of.id, part)?
    {
        return Ok((Err(replaced(part.number)), None));
    }
    if tx.execute("DELETE FROM uploads WHERE id = ?1", params![of.id])? == 0 {
        return Ok((Err(gone()), unused(joined)));
    }
    let (hash, size) = match &joined {
        Joined::Single(part) => (part.hash, part.size),
        Joined::Pack(pack) => match pack.blobs.first() {
            Some(blob) => (blob.hash, blob.size),
            None => return Err(Error::internal("A file came without content")),
        },
    };
    let artifact = Artifact {
        path: of.upload.path,
        size,
        hash,
        updated_at: now,
    };
    put(tx, holder, &artifact)?;
    let pack = match joined {
        Joined::Pack(pack) if insert(tx, &pack, now)? == 0 => Some(pack),
        Joined::Pack(_) | Joined::Single(_) => None,
    };
    Ok((Ok(artifact), pack))
}

//! Files of runs that arrive in parts.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::mpsc;

use super::{Action, Caller, Perform, Service, files::forward};
use api::{
    Done, Error, Result,
    files::{Artifact, check_path},
    uploads::{AbortUpload, CompleteUpload, CreateUpload, PARTS, Upload, UploadedPart},
};
use store::{Chunks, Joined, UploadRow};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Pieces of a part on their way at once.
const PIECES: usize = 8;

impl Service {
    /// Stores one part of a file, replacing what came as the same before.
    pub async fn write_part<E: std::fmt::Display>(
        &self,
        caller: &Caller,
        workspace: &str,
        upload: &str,
        number: u32,
        body: impl Stream<Item = std::result::Result<Bytes, E>> + Unpin,
    ) -> Result<UploadedPart> {
        let found = self.find_upload(caller, workspace, upload).await?;
        let parts = found.upload.parts;
        if !(1..=parts).contains(&number) {
            return Err(Error::invalid(format!(
                "The upload has the parts 1 to {parts}, and no part {number}"
            ))
            .at("number"));
        }
        let (chunks, forward) = forward(body);
        let (pack, ()) = tokio::join!(self.store.receive_blob(chunks), forward);
        self.store
            .add_part(found.id, number, pack?, self.now())
            .await
    }

    async fn find_upload(&self, caller: &Caller, workspace: &str, id: &str) -> Result<UploadRow> {
        let row = self.enter(caller, workspace, Action::WriteRuns).await?;
        let found = self.store.upload(row.id, id.to_owned(), self.now()).await?;
        let Some(found) = found else {
            return Err(Error::not_found(format!(
                "No upload `{id}` is under way in `{}`",
                row.workspace.name
            ))
            .hint("It was completed, aborted or has expired; begin another one"));
        };
        self.allow_run_tree(caller, found.run_id).await?;
        Ok(found)
    }

    /// Reads the parts one after the other, in constant memory.
    fn join(&self, parts: Vec<UploadedPart>) -> (Chunks, impl Future<Output = ()>) {
        let (sender, receiver) = mpsc::channel(PIECES);
        let read = async move {
            for part in parts {
                let content = match self.open(part.hash).await {
                    Ok(content) => content,
                    Err(error) => return drop(sender.send(Err(error)).await),
                };
                let size = content.size;
                let mut pieces = content.pieces(0..size);
                while let Some(piece) = pieces.recv().await {
                    if sender.send(piece).await.is_err() {
                        return;
                    }
                }
            }
        };
        (receiver, read)
    }
}

#[async_trait]
impl Perform for CreateUpload {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Upload> {
        check_path(&self.path)?;
        if !(1..=PARTS).contains(&self.parts) {
            return Err(Error::invalid(format!(
                "A file comes in 1 to {PARTS} parts, not in {}",
                self.parts
            ))
            .at("parts"));
        }
        let (_, run) = service
            .enter_run(caller, &self.workspace, &self.run, Action::WriteRuns)
            .await?;
        let now = service.now();
        let upload = Upload {
            id: uuid::Uuid::new_v4().simple().to_string(),
            run: run.run.name,
            path: self.path,
            parts: self.parts,
            expires_at: now.plus_ms(DAY_MS),
        };
        service.store.create_upload(run.id, upload, now).await
    }
}

#[async_trait]
impl Perform for CompleteUpload {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Artifact> {
        let found = service
            .find_upload(caller, &self.workspace, &self.upload)
            .await?;
        let parts = service.store.upload_parts(found.id).await?;
        if self.hashes.len() != found.upload.parts as usize {
            return Err(Error::invalid(format!(
                "The upload has {} parts, and {} were named",
                found.upload.parts,
                self.hashes.len()
            ))
            .at("hashes"));
        }
        for (number, named) in (1..).zip(&self.hashes) {
            let arrived = parts.iter().find(|part| part.number == number);
            let arrived = arrived.ok_or_else(|| {
                Error::invalid(format!("Part {number} has not arrived"))
                    .at("hashes")
                    .hint("Send it, then complete the upload again")
            })?;
            if named.is_some_and(|named| named != arrived.hash) {
                return Err(Error::invalid(format!(
                    "Part {number} is not the one that was named: it has the hash {}",
                    arrived.hash
                ))
                .at("hashes"));
            }
        }
        let joined = match parts.as_slice() {
            [single] => Joined::Single(*single),
            _ => {
                let (chunks, read) = service.join(parts);
                let (pack, ()) = tokio::join!(service.store.receive_blob(chunks), read);
                Joined::Pack(pack?)
            }
        };
        let now = service.now();
        service.store.complete_upload(found, joined, now).await
    }
}

#[async_trait]
impl Perform for AbortUpload {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let found = service
            .find_upload(caller, &self.workspace, &self.upload)
            .await?;
        service.store.abort_upload(found.id).await?;
        Ok(Done {})
    }
}

//! Files of traces: what clients keep beside the spans, or instead of them.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;

use super::{
    Action, Caller, Content, Perform, Service,
    files::{check_folder, forward},
};
use api::{
    Error, Result,
    files::{Artifact, check_path},
    traces::{ListTraceFiles, RemoveTraceFiles},
};
use store::Holder;

impl Service {
    /// Stores one file of a trace, replacing what is at its path.
    pub async fn write_trace_file<E: std::fmt::Display>(
        &self,
        caller: &Caller,
        workspace: &str,
        trace: &str,
        path: &str,
        body: impl Stream<Item = std::result::Result<Bytes, E>> + Unpin,
    ) -> Result<Artifact> {
        check_path(path)?;
        let (_, trace) = self
            .enter_trace(caller, workspace, trace, Action::WriteRuns)
            .await?;
        let (chunks, forward) = forward(body);
        let (pack, ()) = tokio::join!(self.store.receive_blob(chunks), forward);
        self.store
            .add_artifact(Holder::Trace(trace.id), path.to_owned(), pack?, self.now())
            .await
    }

    /// Opens a file of a trace.
    pub async fn read_trace_file(
        &self,
        caller: &Caller,
        workspace: &str,
        trace: &str,
        path: &str,
    ) -> Result<Content> {
        check_path(path)?;
        let (_, found) = self
            .enter_trace(caller, workspace, trace, Action::Read)
            .await?;
        let of = Holder::Trace(found.id);
        match self.store.artifact(of, path.to_owned()).await? {
            Some(file) => self.open(file.hash).await,
            None => Err(Error::not_found(format!(
                "The trace `{trace}` has no file `{path}`"
            ))),
        }
    }
}

#[async_trait]
impl Perform for ListTraceFiles {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<Artifact>> {
        check_folder(&self.path)?;
        let (_, trace) = service
            .enter_trace(caller, &self.workspace, &self.trace, Action::Read)
            .await?;
        let of = Holder::Trace(trace.id);
        service.store.list_artifacts(of, self.path).await
    }
}

#[async_trait]
impl Perform for RemoveTraceFiles {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<u64> {
        check_folder(&self.path)?;
        let (_, trace) = service
            .enter_trace(caller, &self.workspace, &self.trace, Action::WriteRuns)
            .await?;
        let of = Holder::Trace(trace.id);
        let removed = service.store.remove_artifacts(of, self.path).await?;
        Ok(removed as u64)
    }
}

//! Logs of runs: appended in order, read while they grow.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};

use super::{Action, Caller, Service};
use api::{Error, Result, runs::RunStatus};

/// How often a follower looks for what other processes have written.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Bytes read at once.
const CHUNK: usize = 256 << 10;

impl Service {
    /// Appends what begins at `offset` of the log and answers its length. What is there already is
    /// skipped; a gap is a conflict.
    pub async fn append_log(
        &self,
        caller: &Caller,
        workspace: &str,
        run: &str,
        offset: u64,
        bytes: Bytes,
    ) -> Result<u64> {
        let row = self.enter(caller, workspace, Action::WriteRuns).await?;
        let id = self.find_run(&row, run).await?;
        self.allow_run_tree(caller, id).await?;
        let Some(length) = self.store.append_log(row.id, id, offset, bytes).await? else {
            let length = self.store.log_length(row.id, id)?;
            return Err(Error::conflict(format!(
                "The log of `{run}` has {length} bytes; an append at {offset} would leave a gap"
            ))
            .at("offset"));
        };
        self.logs.notify_waiters();
        Ok(length)
    }

    /// A run's log from `offset` on: what there is or, to follow it, until the run has ended.
    pub async fn read_log(
        &self,
        caller: &Caller,
        workspace: &str,
        run: &str,
        offset: u64,
        follow: bool,
    ) -> Result<impl Stream<Item = Result<Bytes>> + Send + use<>> {
        let row = self.enter(caller, workspace, Action::Read).await?;
        let id = self.find_run(&row, run).await?;
        let reader = Reader {
            service: self.clone(),
            workspace: row.id,
            run: id,
            offset,
            follow,
        };
        Ok(stream::try_unfold(reader, |mut reader| async move {
            let next = reader.next().await?;
            Ok(next.map(|bytes| (bytes, reader)))
        }))
    }
}

struct Reader {
    service: Service,
    workspace: i64,
    run: i64,
    offset: u64,
    follow: bool,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            // Listening begins before looking, so that nothing falls between.
            let notified = self.service.logs.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            let store = &self.service.store;
            // The status first: what was written before the end is read after it.
            let ended = !self.follow
                || store
                    .run_status(self.run)
                    .await?
                    .is_none_or(RunStatus::ended);
            let bytes = store
                .read_log(self.workspace, self.run, self.offset, CHUNK)
                .await?;
            if !bytes.is_empty() {
                self.offset += bytes.len() as u64;
                return Ok(Some(bytes));
            }
            if ended {
                return Ok(None);
            }
            let _ = tokio::time::timeout(LOOK_AGAIN, notified).await;
        }
    }
}

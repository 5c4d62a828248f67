//! Logs of runs: appended by workers, read and followed by people.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    http::{Method, Request},
};
use futures_util::{Stream, StreamExt, stream};
use http_body_util::BodyExt;

use super::{Client, address::address, collect};
use api::{Error, Result, work::LogLength};

/// How often, and how long apart, a broken connection is made again while nothing comes.
const RETRIES: u32 = 20;
const RETRY_AFTER: Duration = Duration::from_millis(500);

impl Client {
    /// Appends to a run's log what begins at `offset` of it, and answers its length. Bytes that are
    /// there already are left out, so that an append can be repeated; a gap is a conflict.
    pub async fn append_log(
        &self,
        workspace: &str,
        run: &str,
        offset: u64,
        bytes: Bytes,
    ) -> Result<u64> {
        let query = [("workspace", workspace), ("offset", &offset.to_string())];
        let body = self
            .send(request(Method::PUT, run, &query, Body::from(bytes))?)
            .await?;
        let answer: LogLength = serde_json::from_slice(&collect(body).await?)
            .map_err(|e| Error::internal(format!("The answer is not understood: {e}")))?;
        Ok(answer.length)
    }

    /// What a run has written so far, from `offset` on.
    pub async fn read_log(&self, workspace: &str, run: &str, offset: u64) -> Result<Bytes> {
        let query = [("workspace", workspace), ("offset", &offset.to_string())];
        collect(
            self.send(request(Method::GET, run, &query, Body::empty())?)
                .await?,
        )
        .await
    }

    /// What a run writes, from `offset` on, until it has ended. A broken connection is made again
    /// where it broke.
    pub fn follow_log(
        &self,
        workspace: &str,
        run: &str,
        offset: u64,
    ) -> impl Stream<Item = Result<Bytes>> + Send + use<> {
        let follower = Follower {
            client: self.clone(),
            workspace: workspace.to_owned(),
            run: run.to_owned(),
            offset,
            body: None,
            failures: 0,
        };
        stream::try_unfold(follower, |mut follower| async move {
            let next = follower.next().await?;
            Ok(next.map(|bytes| (bytes, follower)))
        })
        .boxed()
    }
}

struct Follower {
    client: Client,
    workspace: String,
    run: String,
    offset: u64,
    body: Option<Body>,
    /// Since the last byte came.
    failures: u32,
}

impl Follower {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            match self.attempt().await {
                Ok(bytes) => {
                    self.failures = 0;
                    self.offset += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
                    return Ok(bytes);
                }
                Err(error) if error.code.retryable() && self.failures < RETRIES => {
                    self.body = None;
                    self.failures += 1;
                    tokio::time::sleep(RETRY_AFTER).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn attempt(&mut self) -> Result<Option<Bytes>> {
        let body = match &mut self.body {
            Some(body) => body,
            None => {
                let query = [
                    ("workspace", self.workspace.as_str()),
                    ("offset", &self.offset.to_string()),
                    ("follow", "true"),
                ];
                let request = request(Method::GET, &self.run, &query, Body::empty())?;
                self.body.insert(self.client.send(request).await?)
            }
        };
        while let Some(frame) = body.frame().await {
            let frame = frame
                .map_err(|e| Error::unavailable(format!("The log's connection broke: {e}")))?;
            if let Ok(bytes) = frame.into_data()
                && !bytes.is_empty()
            {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}

fn request(method: Method, run: &str, query: &[(&str, &str)], body: Body) -> Result<Request<Body>> {
    Request::builder()
        .method(method)
        .uri(address(&["runs", run, "log"], query))
        .body(body)
        .map_err(|e| Error::internal(format!("Cannot make the request: {e}")))
}

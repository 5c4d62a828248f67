//! Stands for the clouds in a build without the feature `cloud`.
#![expect(clippy::unused_async, reason = "asked like those that are there")]

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Address, Chunks};
use api::{Error, Result, datastores::StoredFile};

/// A place in a cloud, of which there is none in this build.
#[derive(Debug, Clone)]
pub enum Cloud {}

impl Cloud {
    pub fn new(address: &Address) -> Result<Self> {
        Err(Error::unsupported(format!(
            "This aml was built without clouds, and the datastore is one of type {}",
            address.kind
        ))
        .hint("Build it with them: cargo install --path . --features cloud"))
    }

    pub async fn list(&self, _path: &str, _limit: Option<u64>) -> Result<Vec<StoredFile>> {
        match *self {}
    }

    pub async fn head(&self, _path: &str) -> Result<Option<StoredFile>> {
        match *self {}
    }

    pub async fn send(
        &self,
        _path: &str,
        _range: std::ops::Range<u64>,
        _sender: &mpsc::Sender<Result<Bytes>>,
    ) {
        match *self {}
    }

    pub async fn write(&self, _path: &str, _chunks: Chunks) -> Result<u64> {
        match *self {}
    }

    pub async fn remove(&self, _path: &str) -> Result<u64> {
        match *self {}
    }
}

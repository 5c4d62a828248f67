//! Reading one stored file.

use axum::{
    body::{Body, Bytes},
    http::Request,
};

use crate::{Client, address::address, collect};
use api::{Error, Result, files::Hash};

impl Client {
    /// The content of the file at `path` of a tree.
    pub async fn read_tree_file(&self, workspace: &str, tree: Hash, path: &str) -> Result<Bytes> {
        let tree = tree.hex();
        let mut segments = vec!["trees", tree.as_str(), "files"];
        segments.extend(path.split('/'));
        let request = Request::get(address(&segments, &[("workspace", workspace)]))
            .body(Body::empty())
            .map_err(|e| Error::internal(format!("Cannot make the request: {e}")))?;
        collect(self.send(request).await?).await
    }
}

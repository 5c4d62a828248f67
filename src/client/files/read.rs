//! Reading one stored file, or a part of one.

use std::ops::Range;

use axum::{
    body::{Body, Bytes},
    http::{Request, header::RANGE},
};

use crate::{Client, address::address, collect};
use api::{Error, Result, files::Hash};

impl Client {
    /// The content of the file at `path` of a tree.
    pub async fn read_tree_file(&self, workspace: &str, tree: Hash, path: &str) -> Result<Bytes> {
        let place = ["trees", &tree.hex(), "files"];
        collect(self.stored_file(workspace, place, path, None).await?).await
    }

    /// The file at `path` of a place of a workspace, or the bytes of it in a range, which is not empty.
    pub(crate) async fn stored_file(
        &self,
        workspace: &str,
        place: [&str; 3],
        path: &str,
        part: Option<Range<u64>>,
    ) -> Result<Body> {
        let segments: Vec<&str> = place.into_iter().chain(path.split('/')).collect();
        let mut request = Request::get(address(&segments, &[("workspace", workspace)]));
        if let Some(part) = part {
            request = request.header(RANGE, format!("bytes={}-{}", part.start, part.end - 1));
        }
        let request = request
            .body(Body::empty())
            .map_err(|e| Error::internal(format!("Cannot make the request: {e}")))?;
        self.send(request).await
    }
}

//! The routes on which bytes travel (see `api::files`), and how a stored file is answered.

use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, Query, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE},
    },
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde::Deserialize;

use super::Failure;
use api::{
    Done,
    datastores::StoredFile,
    files::{Artifact, BlobsStored, Hash, RemoveArtifacts},
    uploads::UploadedPart,
};
use service::{Caller, Content, Perform, Pieces, Service};

const BYTES: &str = "application/octet-stream";

#[derive(Deserialize)]
pub struct Place {
    workspace: String,
    /// Folder to answer files of; all when empty.
    #[serde(default)]
    path: String,
}

pub async fn put_blobs(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Query(place): Query<Place>,
    body: Body,
) -> Result<Json<BlobsStored>, Failure> {
    let stream = body.into_data_stream();
    let stored = service.store_blobs(&caller, &place.workspace, stream);
    Ok(Json(stored.await?))
}

pub async fn get_tree_files(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Path(hash): Path<String>,
    Query(place): Query<Place>,
) -> Result<Response, Failure> {
    let hash = Hash::parse(&hash)?;
    let pieces = service
        .read_tree_files(&caller, &place.workspace, hash, &place.path)
        .await?;
    Ok(([(CONTENT_TYPE, BYTES)], body(pieces)).into_response())
}

pub async fn get_tree_file(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Path((hash, path)): Path<(String, String)>,
    Query(place): Query<Place>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let hash = Hash::parse(&hash)?;
    let content = service
        .read_tree_file(&caller, &place.workspace, hash, &path)
        .await?;
    Ok(answer(content, &headers))
}

pub async fn get_artifacts(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Path(run): Path<String>,
    Query(place): Query<Place>,
) -> Result<Response, Failure> {
    let pieces = service
        .read_artifacts(&caller, &place.workspace, &run, &place.path)
        .await?;
    Ok(([(CONTENT_TYPE, BYTES)], body(pieces)).into_response())
}

pub async fn get_artifact(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Path((run, path)): Path<(String, String)>,
    Query(place): Query<Place>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let content = service
        .read_artifact(&caller, &place.workspace, &run, &path)
        .await?;
    Ok(answer(content, &headers))
}

pub async fn put_artifact(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Path((run, path)): Path<(String, String)>,
    Query(place): Query<Place>,
    body: Body,
) -> Result<Json<Artifact>, Failure> {
    let stream = body.into_data_stream();
    let stored = service.write_artifact(&caller, &place.workspace, &run, &path, stream);
    Ok(Json(stored.await?))
}

pub async fn put_part(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Path((upload, number)): Path<(String, u32)>,
    Query(place): Query<Place>,
    body: Body,
) -> Result<Json<UploadedPart>, Failure> {
    let stream = body.into_data_stream();
    let stored = service.write_part(&caller, &place.workspace, &upload, number, stream);
    Ok(Json(stored.await?))
}

pub async fn delete_artifact(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Path((run, path)): Path<(String, String)>,
    Query(place): Query<Place>,
) -> Result<Json<Done>, Failure> {
    let workspace = place.workspace;
    let remove = RemoveArtifacts {
        workspace,
        run,
        path,
    };
    Ok(Json(remove.perform(&service, &caller).await?))
}

pub async fn get_stored_file(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Path((datastore, path)): Path<(String, String)>,
    Query(place): Query<Place>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let content = service
        .read_stored_file(&caller, &place.workspace, &datastore, &path)
        .await?;
    Ok(answer(content, &headers))
}

pub async fn put_stored_file(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Path((datastore, path)): Path<(String, String)>,
    Query(place): Query<Place>,
    body: Body,
) -> Result<Json<StoredFile>, Failure> {
    let stream = body.into_data_stream();
    let stored = service.write_stored_file(&caller, &place.workspace, &datastore, &path, stream);
    Ok(Json(stored.await?))
}

/// Answers a stored file, or the range of it that the request asks for.
pub fn answer(content: Content, request: &HeaderMap) -> Response {
    let size = content.size;
    let tag = format!("\"{}\"", content.tag);
    let asked = request.get(RANGE).and_then(|value| value.to_str().ok());
    let range = asked.map_or(Asked::All, |asked| parse_range(asked, size));
    let (status, range) = match range {
        Asked::All => (StatusCode::OK, 0..size),
        Asked::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Asked::Beyond => {
            let headers = [(CONTENT_RANGE, format!("bytes */{size}"))];
            return (StatusCode::RANGE_NOT_SATISFIABLE, headers).into_response();
        }
    };
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(CONTENT_TYPE, BYTES);
    set(ACCEPT_RANGES, "bytes");
    set(ETAG, &tag);
    set(CONTENT_LENGTH, &(range.end - range.start).to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        let (first, last) = (range.start, range.end - 1);
        set(CONTENT_RANGE, &format!("bytes {first}-{last}/{size}"));
    }
    (status, headers, body(content.pieces(range))).into_response()
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    All,
    Part(std::ops::Range<u64>),
    Beyond,
}

/// Understands one range of bytes; anything else is answered with the whole file, as RFC 9110 allows.
fn parse_range(header: &str, size: u64) -> Asked {
    let Some((first, last)) = header
        .strip_prefix("bytes=")
        .and_then(|range| range.trim().split_once('-'))
    else {
        return Asked::All;
    };
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Ok(first), Err(_)) if last.is_empty() => first..size,
        (Err(_), Ok(last)) if first.is_empty() => size.saturating_sub(last)..size,
        _ => return Asked::All,
    };
    if range.is_empty() {
        Asked::Beyond
    } else {
        Asked::Part(range)
    }
}

fn body(pieces: Pieces) -> Body {
    Body::from_stream(stream::unfold(pieces, async |mut pieces| {
        pieces.recv().await.map(|piece| (piece, pieces))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_within_the_file_or_refused() {
        let check = |header, expected| assert_eq!(parse_range(header, 10), expected, "{header}");
        check("bytes=0-3", Asked::Part(0..4));
        check("bytes=4-", Asked::Part(4..10));
        check("bytes=8-99", Asked::Part(8..10));
        check("bytes=-3", Asked::Part(7..10));
        check("bytes=-99", Asked::Part(0..10));
        check("bytes=10-", Asked::Beyond);
        check("bytes=-0", Asked::Beyond);
        check("bytes=0-18446744073709551615", Asked::Part(0..10));
        for whole in [
            "bytes=3-1",
            "bytes=0-1,4-5",
            "lines=0-3",
            "bytes=",
            "bytes=-",
        ] {
            check(whole, Asked::All);
        }
        assert_eq!(parse_range("bytes=0-", 0), Asked::Beyond);
    }
}

//! The front's own answers.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
};
use tokio::time::timeout;

use super::{
    backend::Answer,
    front::{REQUEST_ID, REQUEST_IDS},
};
use api::{Error, error::Envelope};

/// How much of a request that is not handed on is read, and for how long.
const READ_OFF: usize = 1 << 20;
const READ_OFF_TIME: Duration = Duration::from_secs(1);

/// Reads the rest of a request that is answered without it. The connection goes on only after all of
/// it was read; a caller that is not told would send its next one into a connection that is being
/// closed.
pub async fn read_off(body: Incoming, answer: &mut Response<Answer>) {
    if !is_read_off(body).await {
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(header::CONNECTION, close);
    }
}

/// False when it is too long or does not come.
async fn is_read_off(mut body: Incoming) -> bool {
    let mut left = READ_OFF;
    let read = async {
        while let Some(frame) = body.frame().await {
            let length = match &frame {
                Ok(frame) => frame.data_ref().map_or(0, Bytes::len),
                Err(_) => return false,
            };
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return false,
            }
        }
        true
    };
    timeout(READ_OFF_TIME, read).await.unwrap_or(false)
}

/// The request's id, given by the caller by one of its names or made here; the scoring process gets it
/// too.
pub fn request_id(headers: &mut HeaderMap) -> Option<HeaderValue> {
    if let Some(id) = headers.get(&REQUEST_ID) {
        return Some(id.clone());
    }
    let names = REQUEST_IDS;
    let given = names.iter().filter_map(|name| headers.get(name).cloned());
    if let Some(id) = given.into_iter().find(|id| !id.is_empty()) {
        headers.insert(REQUEST_ID, id.clone());
        return Some(id);
    }
    let id = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()).ok()?;
    headers.insert(REQUEST_ID, id.clone());
    Some(id)
}

pub fn unavailable(reason: &str) -> Response<Answer> {
    soon(StatusCode::SERVICE_UNAVAILABLE, &Error::unavailable(reason))
}

/// A failure that may be none in a second.
pub fn soon(status: StatusCode, error: &Error) -> Response<Answer> {
    let mut response = failure(status, error);
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

pub fn failure(status: StatusCode, error: &Error) -> Response<Answer> {
    let envelope = Envelope {
        error: error.clone(),
    };
    let body = Bytes::from(serde_json::to_vec(&envelope).unwrap_or_default());
    let mut response = Response::new(Answer::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

//! Handing a request on to a scoring process and its answer back: again when it fails before the
//! answer begins, and as a copy.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::{Body, Incoming},
    header::{self, HeaderName},
    http::request::Parts,
};
use tokio::time::{sleep, timeout};

use super::{
    answers::{failure, soon, unavailable},
    backend::{Answer, Backend, Place, Sent},
    front::{Chosen, DEPLOYMENT, now},
    target::{NoPlace, Target},
};
use api::Error;

/// A request of this length or less is kept whole, so that it can be sent again.
const KEPT: u64 = 1 << 20;
/// The longest request.
const LONGEST: usize = 1 << 30;

/// Headers that are about one connection and must not be handed on.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Hands a request on and its answer back. A process that fails before its answer begins is replaced
/// once by another one; scoring is taken to change nothing.
pub async fn forward(chosen: &Chosen, request: Request<Incoming>) -> Response<Answer> {
    let (mut parts, body) = request.into_parts();
    strip(&mut parts.headers);
    parts.headers.remove(header::AUTHORIZATION);
    parts.headers.remove(DEPLOYMENT);
    let length = body.size_hint().exact();
    if length.is_some_and(|length| length > LONGEST as u64) {
        return failure(
            StatusCode::PAYLOAD_TOO_LARGE,
            &Error::invalid(format!("A request has at most {LONGEST} bytes")),
        );
    }
    let target = &chosen.target;
    if length.is_none_or(|length| length > KEPT) {
        let sent = Request::from_parts(parts, Either::Left(Limited::new(body, LONGEST)));
        return match attempt(target, None, sent).await {
            Ok(response) => response,
            Err(Failed::Answered(response)) => *response,
            Err(Failed::Silent(_, reason)) => silent(target, &reason),
        };
    }
    let whole = match body.collect().await {
        Ok(whole) => whole.to_bytes(),
        Err(_) => {
            let error = Error::invalid("The request ended before its body did");
            return failure(StatusCode::BAD_REQUEST, &error);
        }
    };
    if let Some(mirror) = &chosen.mirror {
        copy(Arc::clone(mirror), parts.clone(), whole.clone());
    }
    let sent = |parts: Parts| -> Request<Sent> {
        Request::from_parts(parts, Either::Right(Full::from(whole.clone())))
    };
    match attempt(target, None, sent(parts.clone())).await {
        Ok(response) => response,
        Err(Failed::Answered(response)) => *response,
        Err(Failed::Silent(failed, reason)) => {
            target.write(&format!(
                "{} W front - The process did not answer ({reason}); another one is asked\n",
                now()
            ));
            match attempt(target, Some(&failed), sent(parts)).await {
                Ok(response) => response,
                Err(Failed::Answered(response)) => *response,
                Err(Failed::Silent(_, reason)) => silent(target, &reason),
            }
        }
    }
}

enum Failed {
    /// There is an answer to it.
    Answered(Box<Response<Answer>>),
    /// The process did not begin to answer.
    Silent(Arc<Backend>, String),
}

async fn attempt(
    target: &Target,
    failed: Option<&Arc<Backend>>,
    request: Request<Sent>,
) -> Result<Response<Answer>, Failed> {
    let answered = |answer| Failed::Answered(Box::new(answer));
    let place: Place = target.place(failed).await.map_err(|none| match none {
        NoPlace::Nobody(reason) => answered(unavailable(&reason)),
        NoPlace::Busy => answered(soon(
            StatusCode::TOO_MANY_REQUESTS,
            &Error::unavailable("All processes of the deployment are busy"),
        )),
    })?;
    let patience = target.patience();
    match timeout(patience, place.backend().send(request)).await {
        Ok(Ok(mut response)) => {
            strip(response.headers_mut());
            Ok(response.map(|body| Answer::of(body, place)))
        }
        Ok(Err(reason)) => {
            let backend = Arc::clone(place.backend());
            drop(place);
            // What is dead is taken out of the pool first.
            sleep(std::time::Duration::from_millis(5)).await;
            Err(Failed::Silent(backend, reason))
        }
        Err(_) => Err(answered(failure(
            StatusCode::REQUEST_TIMEOUT,
            &Error::unavailable(format!(
                "The scoring process has not answered within {} ms",
                patience.as_millis()
            ))
            .hint("Allow more: request_settings.request_timeout_ms"),
        ))),
    }
}

fn silent(target: &Target, reason: &str) -> Response<Answer> {
    let error = Error::unavailable(format!("The scoring process did not answer: {reason}"));
    failure(
        StatusCode::BAD_GATEWAY,
        &error.hint(format!(
            "Look at its log: aml endpoint logs NAME --deployment {}",
            target.name
        )),
    )
}

/// Sends a copy of a request, whose answer nobody gets. While too many copies are on their way it is
/// dropped.
fn copy(mirror: Arc<Target>, parts: Parts, whole: Bytes) {
    let Ok(place) = Arc::clone(&mirror.copies).try_acquire_owned() else {
        return;
    };
    tokio::spawn(async move {
        let _place = place;
        let begun = std::time::Instant::now();
        let method = parts.method.clone();
        let path = parts.uri.path().to_owned();
        let request = Request::from_parts(parts, Either::Right(Full::from(whole)));
        let answer = match attempt(&mirror, None, request).await {
            Ok(answer) => answer,
            Err(Failed::Answered(answer)) => *answer,
            Err(Failed::Silent(_, reason)) => silent(&mirror, &reason),
        };
        let (took, status) = (begun.elapsed(), answer.status().as_u16());
        mirror.counters.count(status, took);
        mirror.write(&format!(
            "{} I front - copy of {method} {} {status} {:.3}ms\n",
            now(),
            path.escape_debug(),
            took.as_secs_f64() * 1e3
        ));
        let mut body = answer.into_body();
        let drained = async { while let Some(Ok(_)) = body.frame().await {} };
        let _ = timeout(mirror.patience(), drained).await;
    });
}

fn strip(headers: &mut HeaderMap) {
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}

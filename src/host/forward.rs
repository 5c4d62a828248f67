//! Handing a request on to a scoring process and its answer back: again when it fails before the
//! answer begins.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri,
    body::{Body, Incoming},
    header::{self, HeaderName},
    http::request::Parts,
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{sleep, timeout},
};

use super::{
    answers::{failure, soon, unavailable},
    backend::{Answer, Backend, Got, NoAnswer, Place, Sent},
    copies::{self, Coming, Copied},
    front::{Chosen, DEPLOYMENT, SCORE, now},
    gzip, payloads,
    pool::Heeded,
    target::{NoPlace, Target},
};
use api::Error;

/// A request of this length or less is kept whole, so that it can be sent again.
const KEPT: u64 = 1 << 20;
/// The longest request.
const LONGEST: usize = 1 << 30;
/// An answer of this length or less is awaited whole.
const SHORT: u64 = 64 << 10;
/// The longest request that comes compressed, or is scored in this process; and what a compressed one
/// may hold.
const LONGEST_PACKED: usize = 64 << 20;
const LONGEST_UNPACKED: usize = 256 << 20;

/// How long a process is looked for that can be reached, and how soon after one that failed: what is dead
/// is taken out of the pool meanwhile.
const UNREACHED: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

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
    // A program has its own ways with compressed bodies.
    let packs = !chosen.target.is_program();
    let taken = packs && gzip::is_taken(request.headers());
    let answer = hand_on(chosen, request, packs).await;
    if !taken {
        return answer;
    }
    let packed = gzip::pack(answer).await;
    packed.unwrap_or_else(|reason| silent(&chosen.target, &reason))
}

async fn hand_on(chosen: &Chosen, request: Request<Incoming>, packs: bool) -> Response<Answer> {
    let (mut parts, body) = request.into_parts();
    strip(&mut parts.headers);
    parts.headers.remove(header::AUTHORIZATION);
    parts.headers.remove(DEPLOYMENT);
    let target = &chosen.target;
    if parts.method == Method::OPTIONS {
        // It may come without a key: nothing of it is kept.
        parts.headers.remove(header::CONTENT_LENGTH);
        parts.headers.remove(header::CONTENT_ENCODING);
        return again(target, parts, Bytes::new()).await;
    }
    let length = body.size_hint().exact();
    let packed = packs && gzip::is_packed(&parts.headers);
    let longest = longest(packed, &target.heeded());
    if length.is_some_and(|length| length > longest as u64) {
        return too_long(longest);
    }
    if !packed && length.is_none_or(|length| length > KEPT) {
        if let Some(inlet) = target.inlet() {
            inlet.leave_out();
        }
        let mirror = mirror_of(chosen, &parts).cloned();
        let copied = mirror.map(|mirror| Copied::new(mirror, parts.clone()));
        let sent = Either::Left(Limited::new(Coming::new(body, copied), longest));
        let sent = Request::from_parts(parts, sent);
        return match attempt(target, None, sent).await {
            Ok(response) => response,
            Err(Failed::Answered(response)) => *response,
            Err(Failed::Silent(_, reason) | Failed::Unreached(_, reason)) => {
                silent(target, &reason)
            }
        };
    }
    let mut room = None;
    let whole = match whole(target, body, longest).await {
        Ok(whole) if packed => match take_room(target, whole.len()).await {
            Ok(taken) => {
                room = Some(taken);
                unpacked(&mut parts, whole).await
            }
            Err(answer) => Err(answer),
        },
        whole => whole,
    };
    let whole = match whole {
        Ok(whole) => whole,
        Err(answer) => return *answer,
    };
    if let Some(mirror) = mirror_of(chosen, &parts) {
        copies::send(Arc::clone(mirror), parts.clone(), whole.clone());
    }
    let collects = target.inlet().filter(|_| parts.method == Method::POST);
    let exchange = collects.and_then(|inlet| payloads::request(inlet, &parts, &whole));
    let response = again(target, parts, whole).await;
    drop(room);
    match exchange {
        Some(exchange) => {
            let (parts, body) = response.into_parts();
            let tee = exchange.answered(&parts);
            Response::from_parts(parts, body.seen_by(tee))
        }
        None => response,
    }
}

/// Who gets a copy of a request.
fn mirror_of<'a>(chosen: &'a Chosen, parts: &Parts) -> Option<&'a Arc<Target>> {
    let mirror = chosen.mirror.as_ref();
    mirror.filter(|_| parts.uri.path() == SCORE)
}

/// Sends a request that is kept whole, and to another process when one does not answer and it may be
/// done twice.
async fn again(target: &Target, parts: Parts, whole: Bytes) -> Response<Answer> {
    let twice =
        parts.uri.path() == SCORE || parts.method.is_idempotent() && parts.method != Method::DELETE;
    let sent = |parts: Parts| -> Request<Sent> {
        Request::from_parts(parts, Either::Right(Full::from(whole.clone())))
    };
    let until = Instant::now() + UNREACHED;
    let mut failed = None;
    let mut is_first = true;
    let mut pause = LOOK_AGAIN;
    loop {
        match attempt(target, failed.as_ref(), sent(parts.clone())).await {
            Ok(response) => return response,
            Err(Failed::Answered(response)) => return *response,
            Err(Failed::Unreached(backend, _)) if Instant::now() < until => {
                failed = Some(backend);
                sleep(pause).await;
                pause = LONGEST_PAUSE.min(pause * 2);
            }
            Err(Failed::Silent(backend, reason)) if twice && is_first => {
                target.write(&format!(
                    "{} W front - The process did not answer ({reason}); another one is asked\n",
                    now()
                ));
                failed = Some(backend);
                is_first = false;
            }
            Err(Failed::Silent(_, reason) | Failed::Unreached(_, reason)) => {
                return silent(target, &reason);
            }
        }
    }
}

/// Room in memory for what compressed requests hold, in MiB.
static ROOM: Semaphore = Semaphore::const_new(1024);
/// The most that a compressed byte can hold.
const MOST_PACKED: usize = 1032;

/// Waits for room for what `packed` bytes can hold at most; it is given back when it is dropped.
pub(super) async fn take_room(
    target: &Target,
    packed: usize,
) -> Result<SemaphorePermit<'static>, Box<Response<Answer>>> {
    let most = packed.saturating_mul(MOST_PACKED).min(LONGEST_UNPACKED);
    let mebibytes = u32::try_from(most >> 20).unwrap_or(u32::MAX) + 1;
    let patience = target.heeded().patience();
    match timeout(patience, ROOM.acquire_many(mebibytes)).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(Box::new(soon(
            StatusCode::TOO_MANY_REQUESTS,
            &Error::unavailable("There is no room for another compressed request"),
        ))),
    }
}

/// How long a request may be.
fn longest(packed: bool, heeded: &Heeded) -> usize {
    if packed || heeded.native {
        LONGEST_PACKED
    } else {
        LONGEST
    }
}

/// `/score` of the endpoint is another path of the program; other paths are the same.
fn at_route(uri: &Uri, route: &str) -> Uri {
    let path = if uri.path() == SCORE {
        route
    } else {
        uri.path()
    };
    let query = uri.query().map(|query| {
        let more = if path.contains('?') { '&' } else { '?' };
        format!("{more}{query}")
    });
    let text = format!("{path}{}", query.unwrap_or_default());
    text.parse().unwrap_or_else(|_| uri.clone())
}

/// Reads a body to its end, for which the caller has as long as the answer may take to begin.
async fn whole(
    target: &Target,
    body: Incoming,
    longest: usize,
) -> Result<Bytes, Box<Response<Answer>>> {
    let patience = target.heeded().patience();
    let answer = match timeout(patience, Limited::new(body, longest).collect()).await {
        Ok(Ok(whole)) => return Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => too_long(longest),
        Ok(Err(_)) => cut_off(),
        Err(_) => failure(
            StatusCode::REQUEST_TIMEOUT,
            &Error::invalid(format!(
                "The request did not come to its end within {} ms",
                patience.as_millis()
            )),
        ),
    };
    Err(Box::new(answer))
}

/// What a compressed request holds, with headers that say so.
pub(super) async fn unpacked(
    parts: &mut Parts,
    packed: Bytes,
) -> Result<Bytes, Box<Response<Answer>>> {
    match gzip::unpack(packed, LONGEST_UNPACKED).await {
        Ok(plain) => {
            parts.headers.remove(header::CONTENT_ENCODING);
            let length = plain.len().into();
            parts.headers.insert(header::CONTENT_LENGTH, length);
            Ok(plain)
        }
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            Err(Box::new(too_long(LONGEST_UNPACKED)))
        }
        Err(error) => {
            let error = Error::invalid(format!("The request says that it is gzip: {error}"));
            Err(Box::new(failure(StatusCode::BAD_REQUEST, &error)))
        }
    }
}

fn cut_off() -> Response<Answer> {
    let error = Error::invalid("The request ended before its body did, or its parts are malformed");
    failure(StatusCode::BAD_REQUEST, &error)
}

fn too_long(longest: usize) -> Response<Answer> {
    let error = Error::invalid(format!("A request has at most {longest} bytes"));
    failure(StatusCode::PAYLOAD_TOO_LARGE, &error)
}

pub(super) enum Failed {
    /// There is an answer to it.
    Answered(Box<Response<Answer>>),
    /// The process did not begin to answer.
    Silent(Arc<Backend>, String),
    /// The process could not be reached.
    Unreached(Arc<Backend>, String),
}

pub(super) async fn attempt(
    target: &Target,
    failed: Option<&Arc<Backend>>,
    mut request: Request<Sent>,
) -> Result<Response<Answer>, Failed> {
    let answered = |answer| Failed::Answered(Box::new(answer));
    let place: Place = target.place(failed).await.map_err(|none| match none {
        NoPlace::Nobody(reason) => answered(unavailable(&reason)),
        NoPlace::Busy => answered(soon(
            StatusCode::TOO_MANY_REQUESTS,
            &Error::unavailable("All processes of the deployment are busy"),
        )),
    })?;
    // As the generation takes it that answers.
    let heeded = place.heeded();
    if let Some(route) = &heeded.program {
        *request.uri_mut() = at_route(request.uri(), route);
    }
    let (patience, longest) = (heeded.patience(), longest(false, heeded));
    let answer = async {
        let response = place.backend().send(request).await?;
        whole_if_short(response).await
    };
    match timeout(patience, answer).await {
        Ok(Ok(mut response)) => {
            strip(response.headers_mut());
            Ok(response.map(|body| Answer::of(body, place)))
        }
        Ok(Err(NoAnswer::TooLong)) => Err(answered(too_long(longest))),
        Ok(Err(NoAnswer::CutOff)) => Err(answered(cut_off())),
        Ok(Err(NoAnswer::Silent(reason))) => {
            let backend = Arc::clone(place.backend());
            drop(place);
            // What is dead is taken out of the pool first.
            sleep(LOOK_AGAIN).await;
            Err(Failed::Silent(backend, reason))
        }
        Ok(Err(NoAnswer::Unreached(reason))) => {
            Err(Failed::Unreached(Arc::clone(place.backend()), reason))
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

/// Waits for all of a short answer, so that one which breaks off is none: another process is asked.
async fn whole_if_short(response: Response<Got>) -> Result<Response<Got>, NoAnswer> {
    let length = response.body().size_hint().exact();
    if length.is_none_or(|length| length > SHORT) {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let whole = body.collect().await;
    let whole = whole.map_err(|error| NoAnswer::Silent(error.to_string()))?;
    let whole = Either::Right(Full::from(whole.to_bytes()));
    Ok(Response::from_parts(parts, whole))
}

pub(super) fn silent(target: &Target, reason: &str) -> Response<Answer> {
    let error = Error::unavailable(format!("The scoring process did not answer: {reason}"));
    failure(
        StatusCode::BAD_GATEWAY,
        &error.hint(format!(
            "Look at its log: aml endpoint logs NAME --deployment {}",
            target.name
        )),
    )
}

fn strip(headers: &mut HeaderMap) {
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}

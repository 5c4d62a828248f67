//! Copies of requests for a deployment whose answers nobody gets, and a request's body as it comes, of
//! which a copy may be kept.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::{
    Request,
    body::{Body, Frame, Incoming, SizeHint},
    http::request::Parts,
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use super::{
    backend::CutOff,
    forward::{Failed, attempt, silent, take_room, unpacked},
    front::now,
    gzip,
    target::Target,
};

/// The longest request of which a copy is kept while it passes, in bytes.
const LONGEST: usize = 16 << 20;
/// Room in memory for all copies of requests that are passing or on their way, in bytes.
static ROOM: Semaphore = Semaphore::const_new(64 << 20);

/// What comes from the caller, whose faults are told from those of a process.
pub struct Coming {
    body: Incoming,
    copied: Option<Copied>,
}

/// A copy of a request that is passing, sent when all of it has passed.
pub struct Copied {
    mirror: Arc<Target>,
    parts: Parts,
    seen: Vec<u8>,
    room: Option<SemaphorePermit<'static>>,
}

impl Copied {
    pub fn new(mirror: Arc<Target>, parts: Parts) -> Self {
        Self {
            mirror,
            parts,
            seen: Vec::new(),
            room: None,
        }
    }

    /// False when no copy can be kept.
    fn see(&mut self, data: &[u8]) -> bool {
        let reason = if self.seen.len() + data.len() > LONGEST {
            "it is too long"
        } else if self.take_room(data.len()) {
            self.seen.extend_from_slice(data);
            return true;
        } else {
            "there are too many at once"
        };
        self.mirror.recorder.leave_out();
        self.mirror.write(&format!(
            "{} W front - no copy of {} {}: {reason}\n",
            now(),
            self.parts.method,
            self.parts.uri.path().escape_debug()
        ));
        false
    }

    fn take_room(&mut self, length: usize) -> bool {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let Ok(more) = ROOM.try_acquire_many(length) else {
            return false;
        };
        match &mut self.room {
            Some(room) => room.merge(more),
            none => *none = Some(more),
        }
        true
    }

    fn send(self) {
        send_with(self.mirror, self.parts, self.seen.into(), self.room);
    }
}

impl Coming {
    pub fn new(body: Incoming, copied: Option<Copied>) -> Self {
        Self { body, copied }
    }
}

impl Body for Coming {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let this = &mut *self;
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let data = frame.data_ref();
                let kept = |copied: &mut Copied| data.is_none_or(|data| copied.see(data));
                if this.copied.as_mut().is_some_and(|copied| !kept(copied)) {
                    this.copied = None;
                }
            }
            Poll::Ready(Some(Err(_))) => this.copied = None,
            Poll::Ready(None) | Poll::Pending => {}
        }
        // Whoever knows the length asks for nothing after the last part.
        let whole = matches!(polled, Poll::Ready(None)) || this.body.is_end_stream();
        if whole && let Some(copied) = this.copied.take() {
            copied.send();
        }
        polled.map(|frame| frame.map(|frame| frame.map_err(CutOff::of)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Sends a copy of a request, whose answer nobody gets. While too many copies are on their way it is
/// dropped and counted.
pub fn send(mirror: Arc<Target>, parts: Parts, whole: Bytes) {
    send_with(mirror, parts, whole, None);
}

/// The same; `room` is given back when it has been answered.
fn send_with(
    mirror: Arc<Target>,
    parts: Parts,
    whole: Bytes,
    room: Option<SemaphorePermit<'static>>,
) {
    let Ok(place) = Arc::clone(&mirror.copies).try_acquire_owned() else {
        mirror.recorder.leave_out();
        return;
    };
    tokio::spawn(async move {
        let (_place, _kept) = (place, room);
        let begun = std::time::Instant::now();
        let method = parts.method.clone();
        let path = parts.uri.path().to_owned();
        let (mut parts, mut whole) = (parts, whole);
        if !mirror.is_program() && gzip::is_packed(&parts.headers) {
            let room = take_room(&mirror, whole.len()).await;
            let plain = unpacked(&mut parts, whole).await;
            let (Ok(_room), Ok(plain)) = (room, plain) else {
                return;
            };
            whole = plain;
        }
        let request = Request::from_parts(parts, Either::Right(Full::from(whole)));
        let answer = match attempt(&mirror, None, request).await {
            Ok(answer) => answer,
            Err(Failed::Answered(answer)) => *answer,
            Err(Failed::Silent(_, reason) | Failed::Unreached(_, reason)) => {
                silent(&mirror, &reason)
            }
        };
        let (took, status) = (begun.elapsed(), answer.status().as_u16());
        mirror.count(status, took);
        mirror.write(&format!(
            "{} I front - copy of {method} {} {status} {:.3}ms\n",
            now(),
            path.escape_debug(),
            took.as_secs_f64() * 1e3
        ));
        let mut body = answer.into_body();
        let drained = async { while let Some(Ok(_)) = body.frame().await {} };
        let _ = timeout(mirror.heeded().patience(), drained).await;
    });
}

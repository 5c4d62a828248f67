//! Whether anybody is being answered: from the beginning of a request to the end of its answer.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::Request,
    middleware::{Next, from_fn},
};
use hyper::body::{Frame, SizeHint};
use tokio::{sync::watch, time::timeout};

/// Counts the requests that are being answered.
#[derive(Debug, Clone, Default)]
pub struct Activity(watch::Sender<Count>);

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    now: u64,
    begun: u64,
}

impl Activity {
    /// The router, whose requests are counted.
    pub fn counted(&self, router: Router) -> Router {
        let own = self.clone();
        router.layer(from_fn(move |request: Request, next: Next| {
            let one = One::begin(&own);
            async move {
                let answer = next.run(request).await;
                answer.map(|body| Body::new(Counted { body, _one: one }))
            }
        }))
    }

    /// Waits until nobody has been answered for so long.
    pub async fn quiet(&self, long: Duration) {
        let mut count = self.0.subscribe();
        loop {
            let idle = count.wait_for(|count| count.now == 0).await;
            let Ok(begun) = idle.map(|count| count.begun) else {
                return;
            };
            let next = count.wait_for(|count| count.begun > begun);
            if timeout(long, next).await.is_err() {
                return;
            }
        }
    }
}

/// One request; it has been answered when this is dropped.
struct One(Activity);

impl One {
    fn begin(activity: &Activity) -> Self {
        activity.0.send_modify(|count| {
            count.now += 1;
            count.begun += 1;
        });
        Self(activity.clone())
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| count.now -= 1);
    }
}

/// A body that counts until its end.
struct Counted {
    body: Body,
    _one: One,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use futures_util::{poll, stream};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_long_answer_is_no_quiet() {
        let activity = Activity::default();
        let endless =
            || async { Body::from_stream(stream::pending::<Result<Bytes, axum::Error>>()) };
        let router = activity.counted(Router::new().route("/", get(endless)));
        let answer = router.oneshot(Request::new(Body::empty())).await.unwrap();
        let mut quiet = Box::pin(activity.quiet(Duration::ZERO));
        assert!(poll!(&mut quiet).is_pending(), "it is being answered");
        drop(answer);
        quiet.await;
    }
}

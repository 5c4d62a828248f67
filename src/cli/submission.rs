//! Ctrl-C while something is submitted: whether there is a run by then is said.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::Pin,
    task::Poll,
    time::Duration,
};

use tokio::time::timeout;

use super::{
    context::Context,
    error::{Exit, INTERRUPTED},
    interrupt::Listening,
};
use api::Result;

/// How long the answer to what was sent is waited for.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How far a submission is.
#[derive(Default)]
pub struct Submission {
    stage: Cell<Stage>,
    run: RefCell<String>,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Stage {
    /// The workspace knows of nothing.
    #[default]
    Before,
    Sent,
    Made,
}

impl Submission {
    /// Makes the call that makes the run.
    pub async fn send<T>(&self, run: &str, call: impl Future<Output = Result<T>>) -> Result<T> {
        run.clone_into(&mut self.run.borrow_mut());
        self.stage.set(Stage::Sent);
        let made = call.await;
        self.stage.set(match &made {
            Err(error) if !error.code.retryable() => Stage::Before,
            Err(_) => Stage::Sent,
            Ok(_) => Stage::Made,
        });
        made
    }

    /// Does what makes the run, and what comes then, until ctrl-C. Parts that have something to say of that
    /// themselves say it.
    pub async fn until_ctrl_c<T>(
        &self,
        ctx: &Context,
        mut work: impl Future<Output = anyhow::Result<T>> + Unpin,
    ) -> anyhow::Result<T> {
        let mut listening = Listening::begin();
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = listening.interrupted() => {}
        }
        if self.stage.get() == Stage::Sent {
            let answered = poll_fn(|context| match Pin::new(&mut work).poll(context) {
                Poll::Pending if self.stage.get() == Stage::Sent => Poll::Pending,
                Poll::Pending => Poll::Ready(Ok(())),
                Poll::Ready(done) => Poll::Ready(done.map(drop)),
            });
            if let Ok(Err(error)) = timeout(LAST_WORDS, answered).await {
                return Err(error.context(Exit(INTERRUPTED)));
            }
        }
        Err(self.interrupted(ctx))
    }

    fn interrupted(&self, ctx: &Context) -> anyhow::Error {
        let run = self.run.borrow();
        match self.stage.get() {
            Stage::Before => ctx.ui.status("\nInterrupted: nothing was submitted."),
            Stage::Sent => {
                ctx.ui.status(&format!(
                    "\nInterrupted: whether the run {run} was submitted is not known."
                ));
                ctx.ui.hint(&format!("See: aml run show {run}"));
            }
            Stage::Made => return goes_on(ctx, &run),
        }
        Exit(INTERRUPTED).into()
    }
}

/// Says that a run is not followed any more.
pub fn goes_on(ctx: &Context, run: &str) -> anyhow::Error {
    ctx.ui.status(&format!("\nThe run {run} goes on."));
    ctx.ui
        .hint(&format!("Follow it again: aml run logs {run} --follow"));
    ctx.ui.hint(&format!("Stop it: aml run cancel {run}"));
    Exit(INTERRUPTED).into()
}

//! Following a run to its end: its log on stdout, where it stands on stderr. Where a format was named,
//! stdout has the run once it has ended, and the log is on stderr.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{MissedTickBehavior, interval};

use super::failed;
use crate::{
    context::Context,
    error::{Exit, RUN_CANCELED, RUN_FAILED},
    interrupt,
    submission::goes_on,
    views::duration,
};
use api::{
    Error, Result,
    runs::{GetRun, Run, RunStatus},
};
use client::Client;

/// How often a run that writes nothing is asked where it stands.
const ASK: Duration = Duration::from_millis(400);

/// Prints a run's log until it has ended; a run that did not complete ends the command with an exit
/// code of its own. Ctrl-C stops the following, not the run.
pub async fn follow(ctx: &Context, workspace: &str, run: &str) -> anyhow::Result<()> {
    let ended = to_the_end(ctx, workspace, run).await?;
    conclude(ctx, workspace, &ended).await
}

/// Prints a run's log until it has ended, and answers the run.
pub async fn to_the_end(ctx: &Context, workspace: &str, run: &str) -> anyhow::Result<Run> {
    let follower = Follower {
        ctx,
        client: ctx.client().await?,
        request: GetRun {
            workspace: workspace.to_owned(),
            run: run.to_owned(),
        },
    };
    tokio::select! {
        ended = follower.to_the_end() => ended,
        () = interrupt::ctrl_c() => Err(goes_on(ctx, run)),
    }
}

/// Says how a run that was followed has ended.
pub async fn conclude(ctx: &Context, workspace: &str, run: &Run) -> anyhow::Result<()> {
    ctx.ui.show_if_asked(run)?;
    let name = &run.name;
    let took = run
        .duration_ms()
        .map(|ms| format!(" after {}", duration(ms)));
    let took = took.unwrap_or_default();
    let reason = run.reason.as_ref().map(|reason| format!(": {reason}"));
    let reason = reason.unwrap_or_default();
    match run.status {
        RunStatus::Completed => {
            ctx.ui.status(&format!("Run {name} completed{took}."));
            Ok(())
        }
        RunStatus::Canceled => {
            ctx.ui
                .status(&format!("Run {name} was cancelled{took}{reason}"));
            Err(Exit(RUN_CANCELED).into())
        }
        _ => {
            ctx.ui.status(&format!("Run {name} failed{took}{reason}"));
            if failed::of_others(run).is_some() {
                failed::hint(ctx, workspace, run).await;
            }
            ctx.ui.hint(&format!("See all of it: aml run show {name}"));
            Err(Exit(RUN_FAILED).into())
        }
    }
}

/// What a follower has said already.
#[derive(Default)]
struct Said {
    /// Lines of the run's history.
    changes: usize,
    /// That it is being prepared waits for a moment: what is done for that is said with it.
    waiting: bool,
    /// That it runs.
    running: bool,
    trouble: String,
}

struct Follower<'a> {
    ctx: &'a Context,
    client: &'a Client,
    request: GetRun,
}

impl Follower<'_> {
    async fn to_the_end(&self) -> anyhow::Result<Run> {
        let GetRun { workspace, run } = &self.request;
        let mut offset = 0;
        let mut said = Said::default();
        loop {
            let mut log = self.client.follow_log(workspace, run, offset);
            let mut tick = interval(ASK);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    biased;
                    bytes = log.next() => match bytes {
                        Some(bytes) => {
                            let bytes = bytes.map_err(|error| self.goes_on(error))?;
                            offset += bytes.len() as u64;
                            if !said.running {
                                // What it writes comes after the word that it runs.
                                let _ = self.say_news(&mut said, true).await;
                            }
                            self.ctx.ui.print_followed(&bytes)?;
                        }
                        None => break,
                    },
                    _ = tick.tick() => match self.say_news(&mut said, true).await {
                        // The log is followed through a restart of the server; so is the status.
                        Err(error) if !error.code.retryable() => return Err(error.into()),
                        Err(error) => self.say_once(&mut said, &error.to_string()),
                        Ok(_) => self.warn_of_a_full_disk(&mut said),
                    },
                }
            }
            // A server that stops ends the log before the run does.
            match self.say_news(&mut said, false).await {
                Ok(run) if run.status.ended() => return Ok(run),
                Err(error) if !error.code.retryable() => return Err(error.into()),
                _ => {}
            }
            tick.tick().await;
        }
    }

    /// Whoever cannot follow any more is told that the run does not mind.
    fn goes_on(&self, error: Error) -> Error {
        if !error.code.retryable() {
            return error;
        }
        let run = &self.request.run;
        error.hint(format!(
            "The run goes on; follow it again: aml run logs {run} --follow"
        ))
    }

    /// Says what has been added to the run's history, except how it ended. While more of its log may
    /// come, what followed in a run that has ended waits for the end of the log.
    async fn say_news(&self, said: &mut Said, log_goes_on: bool) -> Result<Run> {
        let run = self.client.call(&self.request).await?;
        let later = log_goes_on && run.status.ended();
        while let Some(change) = run.history.get(said.changes) {
            if later && change.status > RunStatus::Running {
                break;
            }
            let next = run.history.get(said.changes + 1);
            if change.status == RunStatus::Preparing && change.reason.is_none() {
                if next.is_none() && !std::mem::replace(&mut said.waiting, true) {
                    break;
                }
                if next.is_some_and(|next| next.status == change.status) {
                    said.changes += 1;
                    continue;
                }
            }
            said.changes += 1;
            let reason = change.reason.as_ref().map(|reason| format!(": {reason}"));
            if !change.status.ended() {
                let reason = reason.unwrap_or_default();
                self.ctx.ui.status(&format!("{}{reason}", change.status));
            }
        }
        said.running |= run.status >= RunStatus::Running;
        Ok(run)
    }

    /// On this machine it can be seen why a run does not get on.
    fn warn_of_a_full_disk(&self, said: &mut Said) {
        let home = &self.ctx.config.home;
        if self.ctx.profile().is_none() && self.ctx.wiring.disk_is_full(home) {
            let home = home.display();
            self.say_once(said, &format!("The disk that holds `{home}` is full"));
        }
    }

    /// Says why nothing comes, until it is something else.
    fn say_once(&self, said: &mut Said, trouble: &str) {
        if said.trouble != trouble {
            self.ctx.ui.warn(&format!("{trouble}; still waiting"));
            trouble.clone_into(&mut said.trouble);
        }
    }
}

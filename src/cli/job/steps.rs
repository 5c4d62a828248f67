//! Following a pipeline or a sweep: the logs of all its steps or trials as they come, and where they
//! stand.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    Stream, StreamExt,
    stream::{self, SelectAll},
};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{
    context::Context,
    error::{Exit, INTERRUPTED},
    interrupt,
    run::failed::OF_OTHERS,
    views::duration,
};
use api::{
    Result,
    pipelines::{ListSteps, PipelineStep},
    runs::{GetRun, Run, RunStatus},
};
use client::Client;

/// How often the pipeline is asked how its steps stand.
const ASK: Duration = Duration::from_millis(400);

/// How seldom its steps are, at most.
const SELDOM: Duration = Duration::from_secs(5);

/// Prints what the steps of a pipeline or the trials of a sweep write until it has ended, and answers
/// its run.
pub async fn to_the_end(
    ctx: &Context,
    workspace: &str,
    run: &str,
    what: &str,
) -> anyhow::Result<Run> {
    let follower = Follower {
        ctx,
        client: ctx.client().await?,
        workspace,
        run,
        list_at: Instant::now(),
        said: BTreeMap::new(),
        followed: BTreeSet::new(),
        logs: SelectAll::new(),
        begun: BTreeMap::new(),
    };
    tokio::select! {
        ended = follower.follow_all() => ended,
        () = interrupt::ctrl_c() => {
            ctx.ui.status(&format!("\nThe {what} {run} goes on."));
            ctx.ui.hint(&format!("Follow it again: aml job stream {run}"));
            ctx.ui.hint(&format!("Stop it: aml job cancel {run}"));
            Err(Exit(INTERRUPTED).into())
        }
    }
}

/// What a run writes.
type Log = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;
/// A step's path, and what it has written; none at the end of its log.
type Piece = (String, Option<Result<Bytes>>);

async fn next_of(log: &mut Option<Log>) -> Option<Result<Bytes>> {
    log.as_mut()?.next().await
}

/// Nothing while a server is restarted; the logs are followed through that as well.
fn unless_away<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Err(error) if error.code.retryable() => Ok(None),
        answer => answer.map(Some),
    }
}

struct Follower<'a> {
    ctx: &'a Context,
    client: &'a Client,
    workspace: &'a str,
    run: &'a str,
    /// When it is asked next how its steps stand: of many that takes a while, which they need themselves.
    list_at: Instant,
    /// What was said of each step last.
    said: BTreeMap<String, RunStatus>,
    followed: BTreeSet<String>,
    logs: SelectAll<Pin<Box<dyn Stream<Item = Piece> + Send>>>,
    /// Lines that steps have begun to write.
    begun: BTreeMap<String, Vec<u8>>,
}

impl Follower<'_> {
    async fn follow_all(mut self) -> anyhow::Result<Run> {
        let mut tick = interval(ASK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The run itself writes nothing, but its log ends with it. To ask for the run would bring all that
        // is written of it each time.
        let mut own = Some(self.own_log());
        loop {
            tokio::select! {
                biased;
                Some(piece) = self.logs.next() => self.write(piece)?,
                next = next_of(&mut own), if own.is_some() => {
                    own = own.filter(|_| matches!(next, Some(Ok(_))));
                    if own.is_none() && let Some(run) = unless_away(self.ended().await)?.flatten() {
                        while let Some(piece) = self.logs.next().await {
                            self.write(piece)?;
                        }
                        return Ok(run);
                    }
                }
                _ = tick.tick() => {
                    // A server that stops ends the log before the run does.
                    own.get_or_insert_with(|| self.own_log());
                    unless_away(self.look().await)?;
                }
            }
        }
    }

    fn own_log(&self) -> Log {
        self.client.follow_log(self.workspace, self.run, 0).boxed()
    }

    /// The run when it has ended, after what is new of the steps was said.
    async fn ended(&mut self) -> Result<Option<Run>> {
        let get = GetRun {
            workspace: self.workspace.to_owned(),
            run: self.run.to_owned(),
        };
        let run = self.client.call(&get).await?;
        if !run.status.ended() {
            return Ok(None);
        }
        self.list_at = Instant::now();
        self.look().await?;
        Ok(Some(run))
    }

    /// Says what is new of the steps.
    async fn look(&mut self) -> Result<()> {
        let begun = Instant::now();
        if begun < self.list_at {
            return Ok(());
        }
        let list = ListSteps {
            workspace: self.workspace.to_owned(),
            run: self.run.to_owned(),
        };
        let steps = self.client.call(&list).await?;
        self.list_at = begun + (begun.elapsed() * 20).min(SELDOM);
        self.steps(&steps, "");
        Ok(())
    }

    fn steps(&mut self, steps: &[PipelineStep], at: &str) {
        for step in steps {
            let path = format!("{at}{}", step.name);
            self.steps(&step.steps, &format!("{path}."));
            let (Some(run), Some(status)) = (&step.run, step.status) else {
                continue;
            };
            if self.said.insert(path.clone(), status) != Some(status) {
                self.say(&path, step, status);
            }
            // What consists of other runs writes nothing itself.
            let runs = !OF_OTHERS.contains(&step.kind.as_str()) && step.reuses.is_none();
            if runs && status >= RunStatus::Running && self.followed.insert(run.clone()) {
                self.follow(path, run);
            }
        }
    }

    fn say(&self, path: &str, step: &PipelineStep, status: RunStatus) {
        if let Some(reuses) = &step.reuses {
            let said = format!("{path}: nothing has changed; it has the outputs of {reuses}");
            return self.ctx.ui.status(&said);
        }
        let took = match (step.started_at, step.ended_at) {
            (Some(started), Some(ended)) => format!(" after {}", duration(ended.since(started))),
            _ => String::new(),
        };
        let why = step.reason.as_ref().map(|reason| format!(": {reason}"));
        let why = why.unwrap_or_default();
        self.ctx.ui.status(&format!("{path}: {status}{took}{why}"));
    }

    fn follow(&mut self, path: String, run: &str) {
        let log = self.client.follow_log(self.workspace, run, 0);
        let end = path.clone();
        let pieces = log.map(move |bytes| (path.clone(), Some(bytes)));
        let whole = pieces.chain(stream::once(async move { (end, None) }));
        self.logs.push(whole.boxed());
    }

    /// Prints the whole lines there are, each with its step.
    fn write(&mut self, (path, bytes): Piece) -> anyhow::Result<()> {
        let mut text = self.begun.remove(&path).unwrap_or_default();
        let ended = bytes.is_none();
        if let Some(bytes) = bytes {
            text.extend_from_slice(&bytes?);
        }
        let whole = match text.iter().rposition(|byte| *byte == b'\n') {
            _ if ended => text.len(),
            Some(at) => at + 1,
            None => 0,
        };
        let rest = text.split_off(whole);
        let mut out = Vec::with_capacity(text.len() + 64);
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            out.extend_from_slice(format!("[{path}] ").as_bytes());
            out.extend_from_slice(line);
            if !line.ends_with(b"\n") {
                out.push(b'\n');
            }
        }
        if !rest.is_empty() {
            self.begun.insert(path, rest);
        }
        self.ctx.ui.print_followed(&out)
    }
}

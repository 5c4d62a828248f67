//! One run, from its assignment to its end.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::{
    FULL_TRIES, Fate, Settings,
    cause::{self, DISK_FULL},
    io_error,
    keep::Stored,
    log::{Log, write_redacted},
    means_lost, metrics,
    outputs::Outputs,
    persist, persist_until,
    ports::{Bound, Ports},
    private_dir,
    redact::Redactor,
    task,
};
use crate::executor::{
    environment::{self, Place, Ready},
    local::{End, Process},
    supervisor::{Stopped, Task},
    use_of::Held,
};
use api::{
    Code, Error, Result,
    jobs::SERVICE_TAG,
    metrics::LogBatch,
    runs::Usage,
    work::{Assignment, Outcome, Progress, ReportRun},
};
use client::{Client, inputs::remove_all};

/// How often the message of a long preparation is passed on.
const MESSAGE_EVERY: Duration = Duration::from_secs(2);

/// How long a run that has completed waits for room on a full disk before its outputs are given up.
const FULL_PATIENCE: Duration = Duration::from_secs(20);

/// A run this worker has.
pub struct Execution {
    client: Client,
    settings: Arc<Settings>,
    assignment: Assignment,
    fate: watch::Receiver<Fate>,
    folder: PathBuf,
    /// The process runs, and the workspace does not know yet.
    unreported: AtomicBool,
}

/// What is reported as the end of a run.
struct Ended {
    outcome: Outcome,
    exit_code: Option<i32>,
    reason: Option<String>,
    usage: Option<Usage>,
}

impl Ended {
    fn failed(reason: String) -> Self {
        Self {
            outcome: Outcome::Failed,
            exit_code: None,
            reason: Some(reason),
            usage: None,
        }
    }

    /// Its outputs are lost to a full disk.
    fn without_outputs(mut self, error: &Error) -> Self {
        let first = self.reason.take();
        if self.outcome == Outcome::Completed {
            self.outcome = Outcome::Failed;
        }
        let first = first.as_deref().unwrap_or("The command completed");
        let first = first.strip_suffix(DISK_FULL).unwrap_or(first);
        let lost = format!("{DISK_FULL}, and its outputs could not be stored ({error})");
        self.reason = Some(format!("{first}{lost}"));
        self
    }

    /// The reason stays the one that was given with the request to cancel.
    fn canceled() -> Self {
        Self {
            outcome: Outcome::Canceled,
            exit_code: None,
            reason: None,
            usage: None,
        }
    }
}

impl Execution {
    pub fn new(
        client: &Client,
        settings: &Arc<Settings>,
        assignment: Assignment,
        fate: watch::Receiver<Fate>,
    ) -> Self {
        let folder = settings.work().join(&assignment.workspace);
        Self {
            client: client.clone(),
            settings: settings.clone(),
            folder: folder.join(&assignment.run),
            assignment,
            fate,
            unreported: AtomicBool::new(false),
        }
    }

    /// Brings the run to its end and reports it. A run that is lost is stopped and not reported.
    pub async fn execute(self) {
        let mut fate = self.fate.clone();
        let done = tokio::select! {
            done = self.to_the_end() => done,
            () = turned(&mut fate, Fate::Lost) => Err(Error::conflict("The run is another worker's")),
        };
        if let Err(error) = done {
            if let Some(process) = Process::find(&self.folder) {
                process.stop();
                let _ = process.ended().await;
            }
            if error.code == Code::Full {
                // Makes room for the report.
                let _ = remove_all(&self.code());
            }
            if !means_lost(&error) {
                let _ = self.report_end(Ended::failed(error.explained())).await;
            }
        }
        let _ = remove_all(&self.folder);
    }

    async fn to_the_end(&self) -> Result<()> {
        let begun = match Process::find(&self.folder) {
            Some(process) => Ok((process, Outputs::resume(&self.code()))),
            None if self.assignment.handle.is_some() => Err(Ended::failed(
                "The run's process was on a machine whose worker is gone".to_owned(),
            )),
            None => self.begin().await?,
        };
        let (process, outputs) = match begun {
            Ok(begun) => begun,
            Err(ended) => {
                self.store_build_log().await;
                return self.report_end(ended).await;
            }
        };
        self.watch(process, outputs).await
    }

    fn code(&self) -> PathBuf {
        self.folder.join("code")
    }

    fn build_log(&self) -> PathBuf {
        self.folder.join("environment.log")
    }

    fn names(&self) -> (&str, &str) {
        (&self.assignment.workspace, &self.assignment.run)
    }

    fn redactor(&self) -> Redactor {
        Redactor::new(self.assignment.secrets.values())
    }

    /// Prepares and starts the process; what ends the run before that is an end, not an error.
    async fn begin(&self) -> Result<std::result::Result<(Process, Outputs), Ended>> {
        let mut fate = self.fate.clone();
        let prepared = tokio::select! {
            biased;
            () = turned(&mut fate, Fate::Cancel) => return Ok(Err(Ended::canceled())),
            prepared = self.prepare() => prepared,
        };
        // Its supervisor holds the environment from its start on.
        let (outputs, task, _held) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return Ok(Err(Ended::failed(error.explained()))),
        };
        let process = Process::start(&self.settings.program, &self.folder, &task).await?;
        self.unreported.store(true, Ordering::Relaxed);
        self.report_running(&process).await?;
        Ok(Ok((process, outputs)))
    }

    /// Reports that the process runs, unless that is done. On a full disk it is done later.
    async fn report_running(&self, process: &Process) -> Result<()> {
        if !self.unreported.load(Ordering::Relaxed) {
            return Ok(());
        }
        let running = Progress::Running {
            handle: process.handle(),
            node: self.settings.node.clone(),
        };
        let reported = self.report(running).await;
        self.unreported.store(reported.is_err(), Ordering::Relaxed);
        unless_full(reported)
    }

    async fn prepare(&self) -> Result<(Outputs, Task, Option<Held>)> {
        let Assignment { workspace, job, .. } = &self.assignment;
        // What a worker that was killed had begun.
        if let Err(e) = remove_all(&self.folder)
            && e.kind() != io::ErrorKind::NotFound
        {
            return Err(io_error("remove", &self.folder, &e));
        }
        let code = self.code();
        private_dir(&code)?;
        let layout = async {
            if let Some(snapshot) = job.snapshot {
                let lay_out = || self.client.download_tree(workspace, snapshot, &code, None);
                persist(lay_out).await?;
            }
            Outputs::begin(&code)
        };
        let (outputs, ready, bound) = tokio::try_join!(layout, self.environment(), self.bind())?;
        let machine = ready.variables;
        let made = task::of_run(&self.settings, &self.assignment, &bound, machine, code)?;
        for message in ready.notes.into_iter().chain(made.notes) {
            self.report(Progress::Preparing { message }).await?;
        }
        self.record_services(made.services).await?;
        Ok((outputs, made.task, ready.held))
    }

    /// Notes on the run where its services answer.
    async fn record_services(&self, services: Vec<(String, String)>) -> Result<()> {
        if services.is_empty() {
            return Ok(());
        }
        let tag = |(name, endpoint)| (format!("{SERVICE_TAG}{name}"), endpoint);
        let (workspace, run) = self.names();
        let log = LogBatch {
            workspace: workspace.to_owned(),
            run: run.to_owned(),
            tags: services.into_iter().map(tag).collect(),
            ..LogBatch::default()
        };
        persist(|| self.client.call(&log)).await.map(drop)
    }

    /// The inputs and outputs of a job that was described with some.
    fn ports(&self) -> Result<Option<Ports<'_>>> {
        let Some(described) = self.assignment.job.described.as_deref() else {
            return Ok(None);
        };
        Ok(Some(Ports {
            client: &self.client,
            settings: &self.settings,
            assignment: &self.assignment,
            described,
            folder: &self.folder,
            mirrors: (self.settings.mirrors)()?,
        }))
    }

    async fn bind(&self) -> Result<Bound> {
        match self.ports()? {
            Some(ports) => ports.bind().await,
            None => Ok(Bound::default()),
        }
    }

    /// Keeps the named outputs. What cannot be kept makes a run fail that had completed; whatever its
    /// reason does not say is noted.
    async fn store_named(&self, ended: Ended, notes: &mut Vec<String>) -> Ended {
        let completed = ended.outcome == Outcome::Completed;
        let stored = match self.ports() {
            Ok(Some(ports)) => ports.store(completed).await,
            Ok(None) => return ended,
            Err(error) => Stored {
                errors: vec![error],
                notes: Vec::new(),
            },
        };
        notes.extend(stored.notes);
        let mut errors = stored.errors.into_iter();
        let reason = if completed { errors.next() } else { None };
        notes.extend(errors.map(|error| error.to_string()));
        match reason {
            Some(error) => Ended {
                outcome: Outcome::Failed,
                reason: Some(error.explained()),
                ..ended
            },
            None => ended,
        }
    }

    /// Makes the environment ready and passes on what people want to know meanwhile.
    async fn environment(&self) -> Result<Ready> {
        let (sender, mut messages) = watch::channel(String::new());
        let log = self.build_log();
        let own = self.folder.join("environment");
        let place = Place {
            home: &self.settings.home,
            variables: &self.settings.variables,
            log: &log,
            progress: &|line| drop(sender.send(line.to_owned())),
            own: Some(&own),
        };
        let ready = environment::prepare(&self.assignment.job.environment, place);
        tokio::pin!(ready);
        let mut next = Instant::now();
        loop {
            tokio::select! {
                biased;
                ready = &mut ready => return ready,
                Ok(()) = messages.changed() => {}
            }
            if Instant::now() >= next {
                next = Instant::now() + MESSAGE_EVERY;
                let message = messages.borrow_and_update().trim().to_owned();
                self.report(Progress::Preparing { message }).await?;
            }
        }
    }

    /// Follows the process to its end and stores what it leaves.
    async fn watch(&self, process: Process, mut outputs: Outputs) -> Result<()> {
        let (workspace, run) = self.names();
        let stored = self.assignment.log_length;
        let mut log = Log::new(
            &self.client,
            (workspace, run),
            &process.log(),
            self.redactor(),
            stored,
        );
        let ended = process.ended();
        tokio::pin!(ended);
        let mut fate = self.fate.clone();
        let mut canceled = false;
        let end = loop {
            tokio::select! {
                end = &mut ended => break end?,
                () = turned(&mut fate, Fate::Cancel), if !canceled => {
                    canceled = true;
                    process.stop();
                }
                () = tokio::time::sleep(log.pause()) => unless_full(log.send_new().await)?,
                () = tokio::time::sleep_until(outputs.next().into()) => {
                    self.report_running(&process).await?;
                    outputs.store_new(&self.client, workspace, run).await;
                }
            }
        };
        let mut ended = self.judge(end, &process.log(), canceled);
        self.report_running(&process).await?;
        unless_full(log.send_new().await)?;
        self.report_finalizing().await?;
        let patience = match ended.outcome {
            Outcome::Completed => FULL_PATIENCE,
            Outcome::Failed | Outcome::Canceled => MESSAGE_EVERY,
        };
        let stored = self.store_outputs(&mut outputs, patience).await;
        let (mut notes, stored) = match stored {
            Err(error) if error.code == Code::Full => (Vec::new(), Err(error)),
            stored => (stored?, Ok(())),
        };
        notes.extend(self.log_metrics().await?);
        ended = self.store_named(ended, &mut notes).await;
        if let Err(error) = stored {
            notes.push(format!("some outputs were not stored: {error}"));
            ended = ended.without_outputs(&error);
            // They cannot be kept; without them there is room to say so.
            let _ = remove_all(&self.code());
            self.report_finalizing().await?;
        }
        unless_full(log.finish(&notes).await)?;
        // The run has its log already; without this copy among its artifacts it has ended all the same.
        let _ = self.store_log(&process, &notes).await;
        self.report_end(ended).await
    }

    /// Stores what the run put out. What cannot be stored is answered; a disk that stays full is an
    /// error.
    async fn store_outputs(
        &self,
        outputs: &mut Outputs,
        patience: Duration,
    ) -> Result<Vec<String>> {
        let (workspace, run) = self.names();
        let mut attempts = 3;
        let mut full_since = None;
        let refused = loop {
            match outputs.store_all(&self.client, workspace, run).await {
                Ok(refused) => break refused,
                Err(error) if error.code == Code::Full => {
                    if full_since.get_or_insert_with(Instant::now).elapsed() > patience {
                        return Err(error);
                    }
                    tokio::time::sleep(MESSAGE_EVERY).await;
                }
                Err(error) if error.code.retryable() => {
                    tokio::time::sleep(MESSAGE_EVERY).await;
                }
                Err(error) => {
                    attempts -= 1;
                    if attempts == 0 {
                        return Ok(vec![format!("some outputs were not stored: {error}")]);
                    }
                }
            }
        };
        if full_since.is_some() {
            self.report_finalizing().await?;
        }
        let note = |path: String| format!("{path:?} was not stored because of its name");
        Ok(refused.into_iter().map(note).collect())
    }

    /// Logs `outputs/metrics.json`. A file that cannot be understood is answered.
    async fn log_metrics(&self) -> Result<Option<String>> {
        let path = self.code().join("outputs/metrics.json");
        let Ok(text) = fs::read_to_string(&path) else {
            return Ok(None);
        };
        let (workspace, run) = self.names();
        let batch = metrics::parse(&text, modified_ms(&path)).map(|metrics| LogBatch {
            workspace: workspace.to_owned(),
            run: run.to_owned(),
            metrics,
            ..LogBatch::default()
        });
        let logged = match batch {
            Ok(batch) => persist(|| self.client.call(&batch)).await,
            Err(error) => Err(error),
        };
        Ok(logged
            .err()
            .map(|error| format!("outputs/metrics.json was not logged: {error}")))
    }

    /// Stores the whole log, and that of the environment if one was built, as artifacts.
    async fn store_log(&self, process: &Process, notes: &[String]) -> Result<()> {
        let whole = self.folder.join("std_log.txt");
        write_redacted(&process.log(), &whole, self.redactor(), notes)
            .map_err(|e| io_error("write", &whole, &e))?;
        self.store_file("user_logs/std_log.txt", &whole).await?;
        self.store_build_log().await;
        Ok(())
    }

    async fn store_build_log(&self) {
        let log = self.build_log();
        if log.exists() {
            let _ = self.store_file("system_logs/environment.log", &log).await;
        }
    }

    async fn store_file(&self, path: &str, file: &Path) -> Result<()> {
        let (workspace, run) = self.names();
        let files = [(path.to_owned(), file.to_owned())];
        let store = || self.client.upload_artifacts(workspace, run, &files, None);
        persist(store).await.map(drop)
    }

    /// What the end of the process means for the run.
    fn judge(&self, end: End, log: &Path, canceled: bool) -> Ended {
        let exit = match end {
            End::Vanished(_) if canceled => return Ended::canceled(),
            End::Vanished(reason) => return Ended::failed(reason),
            End::Exited(exit) => exit,
        };
        let limit = self.assignment.job.timeout_seconds.unwrap_or_default();
        let reason = match exit.stopped {
            Some(Stopped::Asked) if canceled => None,
            Some(Stopped::Asked) => Some("Its supervisor was asked to stop it".to_owned()),
            Some(Stopped::Timeout) => Some(format!("It was stopped at its limit of {limit} s")),
            None => cause::of(&exit, log, self.redactor()),
        };
        let outcome = match (exit.stopped, &reason) {
            (Some(Stopped::Asked), _) if canceled => Outcome::Canceled,
            (_, Some(_)) => Outcome::Failed,
            (_, None) => Outcome::Completed,
        };
        Ended {
            outcome,
            // As shells tell it.
            exit_code: exit.code.or(exit.signal.map(|signal| 128 + signal)),
            reason,
            usage: Some(exit.usage),
        }
    }

    /// An end is reported whenever that becomes possible; all else that a full disk does not let
    /// through is left out.
    async fn report(&self, progress: Progress) -> Result<()> {
        let ends = matches!(progress, Progress::Ended { .. });
        let tries = if ends { None } else { Some(FULL_TRIES) };
        let report = ReportRun {
            workspace: self.assignment.workspace.clone(),
            run: self.assignment.run.clone(),
            worker: self.settings.name.clone(),
            progress,
        };
        persist_until(tries, || self.client.call(&report)).await?;
        Ok(())
    }

    /// Said again once there is room if a full disk did not let it through; twice is once.
    async fn report_finalizing(&self) -> Result<()> {
        unless_full(self.report(Progress::Finalizing).await)
    }

    async fn report_end(&self, ended: Ended) -> Result<()> {
        self.report(Progress::Ended {
            outcome: ended.outcome,
            exit_code: ended.exit_code,
            reason: ended.reason,
            usage: ended.usage,
        })
        .await
    }
}

/// A full disk does not keep a run from its end.
fn unless_full(done: Result<()>) -> Result<()> {
    match done {
        Err(error) if error.code == Code::Full => Ok(()),
        done => done,
    }
}

/// Waits until a run's fate is this one. A worker that leaves decides nothing.
async fn turned(fate: &mut watch::Receiver<Fate>, to: Fate) {
    let seen = fate.wait_for(|fate| *fate == to).await.is_ok();
    if !seen {
        std::future::pending::<()>().await;
    }
}

fn modified_ms(path: &Path) -> i64 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).map_or(0, |m| m.mtime() * 1000 + m.mtime_nsec() / 1_000_000)
}

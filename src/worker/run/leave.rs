//! What a run leaves when its command has ended: stored, with how it has ended by that.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::Duration,
};

use tokio::time::Instant;

use super::{Execution, MESSAGE_EVERY, unless_full};
use crate::{
    begun::Begun,
    cause::{self, DISK_FULL},
    io_error,
    keep::Stored,
    log::{Log, write_redacted},
    metrics,
    outputs::Outputs,
    persist, persist_until,
};
use api::{
    Code, Error, Result,
    files::{Hash, TreeEntry},
    lineage::RunLink,
    metrics::LogBatch,
    runs::Usage,
    work::{Outcome, Progress},
};
use client::inputs::remove_all;
use executor::{
    local::{End, Process},
    spares,
    supervisor::Stopped,
};

/// How long a run that has completed waits for room on a full disk before its outputs are given up.
const FULL_PATIENCE: Duration = Duration::from_secs(20);

/// The log among the artifacts of a run.
const LOG: &str = "user_logs/std_log.txt";
/// For so long what a workspace has is known to be there: much longer is kept what nothing refers to.
const STORED: Duration = Duration::from_secs(30);

/// What is reported as the end of a run.
pub(super) struct Ended {
    pub outcome: Outcome,
    pub exit_code: Option<i32>,
    pub reason: Option<String>,
    pub usage: Option<Usage>,
    pub made: Vec<RunLink>,
}

impl Ended {
    pub fn failed(reason: String) -> Self {
        Self {
            outcome: Outcome::Failed,
            exit_code: None,
            reason: Some(reason),
            usage: None,
            made: Vec::new(),
        }
    }

    /// Its outputs are lost to a full disk.
    pub fn without_outputs(mut self, error: &Error) -> Self {
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
    pub fn canceled() -> Self {
        Self {
            outcome: Outcome::Canceled,
            exit_code: None,
            reason: None,
            usage: None,
            made: Vec::new(),
        }
    }
}

impl Execution {
    /// An end is reported whenever that becomes possible.
    pub(super) async fn report_end(&self, ended: Ended, artifacts: Vec<TreeEntry>) -> Result<()> {
        let ending = self.machine.endings.begin();
        let end = Progress::Ended {
            outcome: ended.outcome,
            exit_code: ended.exit_code,
            reason: ended.reason,
            usage: ended.usage,
            artifacts,
            uses: self.note_uses(Vec::new()),
            made: ended.made,
        };
        let mut report = self.report_of(self.running(), end);
        report.slots = ending.slots();
        let reported = persist_until(None, || self.client.call(&report)).await?;
        self.stage.ended.store(true, Ordering::Relaxed);
        ending.answered(reported.take);
        if reported.soon {
            // Its folder is kept until the end is on disk, while others begin.
            report.slots = None;
            persist_until(None, || self.client.call(&report)).await?;
        }
        Ok(())
    }

    /// Ends what may be left of its containers.
    pub(super) async fn remove_containers(&self) {
        if let Some(containers) = Begun::read(&self.folder).containers {
            containers.remove().await;
        }
    }

    /// What the end of the process means for the run.
    pub(super) fn judge(&self, end: End, log: &Path, canceled: bool) -> Ended {
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
            made: Vec::new(),
        }
    }

    /// Lets the next run begin beside the storing of what this one leaves, in its environment.
    pub(super) fn make_room(&self) {
        let (own, stage) = (self.own().take(), self.stage());
        let endings = self.machine.endings.clone();
        tokio::task::spawn_blocking(move || {
            if let Some(own) = own {
                spares::keep(&own);
            }
            stage.over.store(true, Ordering::Relaxed);
            endings.make_room();
        });
    }

    /// Stores what the run leaves; how it has ended by that, and its logs among its artifacts.
    pub(super) async fn store(
        &self,
        mut ended: Ended,
        process: &Process,
        mut log: Log,
        mut outputs: Outputs,
    ) -> Result<(Ended, Vec<TreeEntry>)> {
        unless_full(log.send_new().await)?;
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
        let logs = self.store_logs(process, &notes).await.unwrap_or_default();
        Ok((ended, logs))
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
                    self.machine.folders.clear(&self.machine.settings.work());
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

    /// Stores the whole log, and that of the environment if one was built; what they are as artifacts.
    async fn store_logs(&self, process: &Process, notes: &[String]) -> Result<Vec<TreeEntry>> {
        let mut whole = process.log();
        // Nobody writes to it any more.
        let as_it_is = notes.is_empty() && self.redactor().is_idle() && whole.exists();
        if !as_it_is {
            whole = self.folder.join("std_log.txt");
            write_redacted(&process.log(), &whole, self.redactor(), notes)
                .map_err(|e| io_error("write", &whole, &e))?;
        }
        let built = self.built_log();
        let empty = built.is_none() && fs::metadata(&whole).is_ok_and(|log| log.len() == 0);
        let (recent, fact) = (
            &self.machine.places.recent,
            format!("empty {}", self.assignment.workspace),
        );
        if empty && recent.was(&fact, STORED) {
            return Ok(vec![TreeEntry {
                path: LOG.to_owned(),
                hash: Hash::of(b""),
                size: 0,
                executable: false,
                symlink: false,
            }]);
        }
        let mut files = vec![(LOG.to_owned(), whole)];
        files.extend(built);
        let stored = self.store_files(&files).await?;
        if empty {
            recent.is(fact);
        }
        Ok(stored)
    }

    pub(super) async fn store_build_log(&self) -> Vec<TreeEntry> {
        match self.built_log() {
            Some(log) => self.store_files(&[log]).await.unwrap_or_default(),
            None => Vec::new(),
        }
    }

    fn built_log(&self) -> Option<(String, PathBuf)> {
        let log = self.build_log();
        let stored = "system_logs/environment.log";
        log.exists().then(|| (stored.to_owned(), log))
    }

    async fn store_files(&self, files: &[(String, PathBuf)]) -> Result<Vec<TreeEntry>> {
        let workspace = &self.assignment.workspace;
        persist(|| self.client.store_contents(workspace, files, &[])).await
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
                ..Stored::default()
            },
        };
        notes.extend(stored.notes);
        let ended = Ended {
            made: stored.made,
            ..ended
        };
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
}

fn modified_ms(path: &Path) -> i64 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).map_or(0, |m| m.mtime() * 1000 + m.mtime_nsec() / 1_000_000)
}

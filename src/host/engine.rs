//! Podman or docker, whichever the machine has.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{process::Command, time::timeout};

use super::{explain, process::append};
use api::{Error, Result};

/// What can run containers, the one that needs no daemon first.
const ENGINES: [&str; 2] = ["podman", "docker"];
/// How long it is waited for one whose daemon may hang, where nothing but space depends on it.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Debug, Clone)]
pub struct Engine {
    pub name: &'static str,
    /// Gets what it writes.
    pub log: PathBuf,
    variables: BTreeMap<String, String>,
}

impl Engine {
    /// The one on the PATH that `variables` say.
    pub fn find(variables: &BTreeMap<String, String>, log: PathBuf) -> Result<Self> {
        let path = variables.get("PATH").cloned().unwrap_or_default();
        let has = |name: &&str| {
            path.split(':')
                .any(|folder| Path::new(folder).join(name).is_file())
        };
        let name = ENGINES.into_iter().find(has).ok_or_else(|| {
            Error::unavailable("A container needs podman or docker, and neither is on the PATH")
                .hint("Install one: apt install podman")
                .hint("Or deploy without --container, as a process of this machine")
        })?;
        Ok(Self {
            name,
            log,
            variables: variables.clone(),
        })
    }

    /// What the machine is called in its containers.
    pub fn machine(&self) -> &'static str {
        match self.name {
            "podman" => "host.containers.internal",
            _ => "host.docker.internal",
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.name);
        command
            .args(words)
            .env_clear()
            .envs(&self.variables)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs it to its end; what it writes goes to the log.
    pub async fn run(&self, words: &[&str], what: &str) -> Result<()> {
        self.run_with(words, what, Stdio::null()).await
    }

    /// The same by a process that holds a lock as long as it runs, also when this one has died.
    pub async fn run_alone(&self, words: &[&str], what: &str, lock: File) -> Result<()> {
        self.run_with(words, what, Stdio::from(lock)).await
    }

    async fn run_with(&self, words: &[&str], what: &str, stdin: Stdio) -> Result<()> {
        let failed = |e: io::Error| Error::unavailable(format!("Cannot {what}: {e}"));
        let log: File = append(&self.log).map_err(failed)?;
        let begin = log.metadata().map_err(failed)?.len();
        let mut command = self.command(words);
        command.stdin(stdin);
        command.stdout(log.try_clone().map_err(failed)?).stderr(log);
        let status = command.status().await.map_err(failed)?;
        if status.success() {
            return Ok(());
        }
        let said = explain::read(&self.log, begin);
        let lines: Vec<&str> = said
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        let last = lines.last().copied().unwrap_or("it says nothing of why");
        let before = &lines[lines.len().saturating_sub(5)..lines.len().saturating_sub(1)];
        // The first line of it is what short answers say.
        let mut why = format!("`{} {}` failed: {last}", self.name, words[0]);
        if !before.is_empty() {
            why = format!("{why}\nBefore that it said:\n{}", before.join("\n"));
        }
        Err(Error::invalid(why))
    }

    /// What it answers, unless it fails.
    pub async fn answer(&self, words: &[&str]) -> Option<String> {
        let output = self.command(words).output().await.ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(text)
    }

    pub async fn has(&self, image: &str) -> bool {
        self.answer(&["image", "inspect", image]).await.is_some()
    }

    /// Removes the images of generations before; those that still run stay until the next time.
    async fn remove_old(&self, name: &str, generation: u64) {
        let words = ["images", name, "--format", "{{.Tag}}"];
        for tag in self.answer(&words).await.unwrap_or_default().lines() {
            if tag.parse().is_ok_and(|tag: u64| tag < generation) {
                let _ = self.answer(&["rmi", &format!("{name}:{tag}")]).await;
            }
        }
    }
}

/// What the images of a deployment were before a generation.
#[derive(Debug)]
pub struct Outdated {
    pub engine: Engine,
    pub name: String,
    pub generation: u64,
}

impl Outdated {
    /// Removes them. The last one that answered is wanted until another one does.
    pub async fn remove(self) {
        self.engine.remove_old(&self.name, self.generation).await;
    }
}

/// The images of this machine whose names begin so, with the engine that has each.
pub async fn images(begin: &str) -> Vec<(&'static str, String)> {
    let filter = format!("reference={begin}*");
    let words = [
        "images",
        "--filter",
        &filter,
        "--format",
        "{{.Repository}}:{{.Tag}}",
    ];
    let mut found = Vec::new();
    for name in ENGINES {
        let text = said(name, &words).await.unwrap_or_default();
        let ours = text.lines().filter(|line| line.starts_with(begin));
        found.extend(ours.map(|line| (name, line.to_owned())));
    }
    found
}

/// Whether an image is removed; one that still runs is not.
pub async fn remove(engine: &str, image: &str) -> bool {
    said(engine, &["rmi", image]).await.is_some()
}

/// What an engine answers, unless it fails, hangs or is not there.
async fn said(engine: &str, words: &[&str]) -> Option<String> {
    let mut command = Command::new(engine);
    command.args(words).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.ok()?.ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(text)
}

//! Podman or docker, whichever the machine has: building images, and what finds containers again.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::File,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{process::Command, time::timeout};

use super::{io_error, lock, log, private_dir, python::on_path, write_new};
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
        let has = |name: &&str| !on_path(name, variables).is_empty();
        let name = ENGINES.into_iter().find(has).ok_or_else(|| {
            Error::unavailable("A container needs podman or docker, and neither is on the PATH")
                .hint("Install one: apt install podman")
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
        let log: File = log::append(&self.log).map_err(failed)?;
        let begin = log.metadata().map_err(failed)?.len();
        let mut command = self.command(words);
        command.stdin(stdin);
        command.stdout(log.try_clone().map_err(failed)?).stderr(log);
        let status = command.status().await.map_err(failed)?;
        if status.success() {
            return Ok(());
        }
        let said = log::read(&self.log, begin);
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

    /// Options by which what a container writes is this process's user's.
    pub fn as_owner(&self) -> Vec<String> {
        let own = std::fs::metadata("/proc/self");
        let (user, group) = own.map_or((0, 0), |own| (own.uid(), own.gid()));
        if self.name == "podman" || user == 0 {
            return vec!["--user=0:0".to_owned()];
        }
        vec![
            format!("--user={user}:{group}"),
            "--env=HOME=/tmp".to_owned(),
        ]
    }

    /// Whether it can limit what a container uses.
    pub async fn limits(&self) -> bool {
        if self.name == "docker" {
            return true;
        }
        let ask = ["info", "--format", "{{.Host.CgroupControllers}}"];
        self.answer(&ask)
            .await
            .is_some_and(|names| names.contains("memory"))
    }

    /// Removes the images of generations before; those that still run stay until the next time.
    pub async fn remove_old(&self, name: &str, generation: u64) {
        let words = ["images", name, "--format", "{{.Tag}}"];
        for tag in self.answer(&words).await.unwrap_or_default().lines() {
            if tag.parse().is_ok_and(|tag: u64| tag < generation) {
                let _ = self.answer(&["rmi", &format!("{name}:{tag}")]).await;
            }
        }
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

/// Ends and removes the containers that have a label.
pub async fn remove_containers(engine: &str, label: &str, value: &str) {
    let filter = format!("label={label}={value}");
    let words = ["ps", "--all", "--quiet", "--filter", &filter];
    for container in said(engine, &words).await.unwrap_or_default().lines() {
        let _ = said(engine, &["rm", "--force", container]).await;
    }
}

/// Names a state directory among those of the machine, whose images are in one place.
pub fn home_label(home: &Path) -> String {
    let home = blake3::hash(home.as_os_str().as_encoded_bytes());
    home.to_hex()[..12].to_owned()
}

/// What images are called on this machine.
pub fn local(label: &str) -> String {
    format!("localhost/aml/{label}")
}

/// Writes variables of a container to a file that only its owner can read: they are neither for the list
/// of processes nor for the engine itself. Answers those that no such file can have.
pub fn write_variables<'a>(
    file: &Path,
    all: impl Iterator<Item = (&'a String, &'a String)>,
) -> Result<BTreeMap<String, String>> {
    let (mut text, mut long) = (String::new(), BTreeMap::new());
    for (name, value) in all {
        if value.contains('\n') || value.trim() != value {
            long.insert(name.clone(), value.clone());
        } else {
            let _ = writeln!(text, "{name}={value}");
        }
    }
    let written = write_new(file, &text);
    written.map_err(|e| io_error("write", file, &e))?;
    Ok(long)
}

/// Images that runs are in, by what they are made of.
pub mod of_runs {
    use std::{
        fs::{self, File},
        path::{Path, PathBuf},
        time::Duration,
    };

    use super::{home_label, images, io_error, local, lock, private_dir, remove};
    use api::Result;

    /// Images that nobody has used for so long are freed.
    const UNUSED: Duration = Duration::from_hours(30 * 24);

    fn folder(home: &Path) -> PathBuf {
        home.join("cache/images")
    }

    /// What the image of this key is called.
    pub fn name(home: &Path, key: &str) -> String {
        format!("{}-run:{key}", local(&home_label(home)))
    }

    /// The file on which a lock is held while something runs in an image; it says when that was.
    pub fn use_of(home: &Path, key: &str) -> Result<PathBuf> {
        let folder = folder(home);
        private_dir(&folder)?;
        let path = folder.join(key);
        fs::write(&path, b"").map_err(|e| io_error("write", &path, &e))?;
        Ok(path)
    }

    /// Waits until nobody else makes the image; they go on when this is dropped.
    pub async fn turn(use_of: &Path) -> Result<File> {
        let path = use_of.with_extension("lock");
        let file = File::create(&path).map_err(|e| io_error("make", &path, &e))?;
        lock(file, &path).await
    }

    /// Removes, or with `dry_run` counts, those that nobody has used for long.
    pub async fn free(home: &Path, dry_run: bool) -> u64 {
        if !folder(home).exists() {
            return 0;
        }
        let begin = name(home, "");
        let mut freed = 0;
        for (engine, image) in images(&begin).await {
            let Some(key) = image.strip_prefix(&begin) else {
                continue;
            };
            let path = folder(home).join(key);
            let used = fs::metadata(&path).and_then(|meta| meta.modified());
            let recent = used.is_ok_and(|at| at.elapsed().is_ok_and(|age| age < UNUSED));
            let held = File::open(&path).is_ok_and(|file| file.try_lock().is_err());
            if !recent && !held && (dry_run || remove(engine, &image).await) {
                freed += 1;
            }
        }
        freed
    }
}

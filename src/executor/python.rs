//! Finding a Python, and uv to install packages with.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::process::Command;

use super::{Variables, io_error, private_dir, tool::Tools};
use api::{Error, Result};

/// A Python interpreter that was seen working.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Python {
    /// What was found on the PATH.
    #[serde(skip)]
    pub program: PathBuf,
    /// `3.11.7`.
    pub version: String,
    /// `linux-x86_64` or the like.
    pub platform: String,
    /// The interpreter itself, where `program` may be a link or a shim.
    pub executable: PathBuf,
}

impl Python {
    /// `3.11`.
    pub fn minor(&self) -> &str {
        let mut dots = self.version.match_indices('.');
        match dots.nth(1) {
            Some((at, _)) => &self.version[..at],
            None => &self.version,
        }
    }

    /// Whether it is this version, or a patch of it.
    pub fn is(&self, wanted: &str) -> bool {
        is_version(&self.version, wanted)
    }

    /// Whether it has a way to install uv, or to do without.
    pub async fn can_install(&self, variables: &Variables) -> bool {
        self.has_venv(variables).await || self.answers("import pip", variables).await
    }

    async fn has_venv(&self, variables: &Variables) -> bool {
        self.answers("import venv, ensurepip", variables).await
    }

    async fn answers(&self, script: &str, variables: &Variables) -> bool {
        let words = ["-c", script];
        answer_of(&self.program, &words, variables).await.is_some()
    }

    pub fn cannot_install(&self) -> Error {
        let minor = self.minor();
        Error::unavailable(format!(
            "Python {minor} ({}) can neither install uv nor make virtual environments: it has no venv module",
            self.program.display()
        ))
        .hint(format!("Debian, Ubuntu: apt-get install -y python{minor}-venv"))
        .hint("Or install uv, see https://docs.astral.sh/uv, and have it on the PATH")
    }
}

const PROBE: &str = "import sys, json, sysconfig\n\
    print(json.dumps({'version': '%d.%d.%d' % sys.version_info[:3], \
    'platform': sysconfig.get_platform(), 'executable': sys.executable}))";
const PROBE_TIMEOUT: Duration = Duration::from_secs(20);
/// Older ones cannot be used with today's packages.
const OLDEST: (u32, u32) = (3, 8);

/// Finds a working Python on the machine's PATH: of version `wanted` (such as `3.11`) if there is
/// one, else the first that works.
pub async fn find(wanted: Option<&str>, variables: &Variables) -> Result<Python> {
    let mut names = vec!["python3".to_owned(), "python".to_owned()];
    if let Some(wanted) = wanted {
        names.insert(0, format!("python{}", minor_of(wanted)));
    }
    let mut first = None;
    for name in names {
        for program in on_path(&name, variables) {
            let Some(python) = probe(&program, variables).await else {
                continue;
            };
            if wanted.is_none_or(|wanted| is_version(&python.version, wanted)) {
                return Ok(python);
            }
            first.get_or_insert(python);
        }
    }
    first.ok_or_else(|| {
        Error::unavailable("There is no Python 3.8 or newer on the PATH")
            .hint("Debian, Ubuntu: apt-get install -y python3 python3-venv")
            .hint("Fedora: dnf install -y python3; macOS: brew install python")
    })
}

fn minor_of(version: &str) -> String {
    version.split('.').take(2).collect::<Vec<_>>().join(".")
}

/// Whether `found` is `wanted` or a patch of it.
fn is_version(found: &str, wanted: &str) -> bool {
    found == wanted || minor_of(found) == wanted || minor_of(found) == minor_of(wanted)
}

/// The files of that name on the machine's PATH, in its order.
pub(super) fn on_path(name: &str, variables: &Variables) -> Vec<PathBuf> {
    let path = variables
        .get("PATH")
        .map(String::as_str)
        .unwrap_or_default();
    path.split(':')
        .filter(|folder| !folder.is_empty())
        .map(|folder| Path::new(folder).join(name))
        .filter(|file| file.is_file())
        .collect()
}

/// Asks a Python what it is; none when it does not work (a shim for an absent version, say).
pub(super) async fn probe(program: &Path, variables: &Variables) -> Option<Python> {
    let text = answer_of(program, &["-c", PROBE], variables).await?;
    let mut python: Python = serde_json::from_str(text.lines().last()?).ok()?;
    let mut numbers = python
        .version
        .split('.')
        .map_while(|part| part.parse::<u32>().ok());
    if (numbers.next()?, numbers.next()?) < OLDEST {
        return None;
    }
    program.clone_into(&mut python.program);
    Some(python)
}

/// The standard output of a program that succeeds soon.
pub(super) async fn answer_of(
    program: &Path,
    arguments: &[&str],
    variables: &Variables,
) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(variables)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PROBE_TIMEOUT, output)
        .await
        .ok()?
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A Python of this version that uv has, or gets now; none when that cannot be.
pub async fn by_uv(uv: &Path, wanted: &str, with: Tools<'_>) -> Option<Python> {
    let found = async || {
        let words = ["python", "find", "--no-project", wanted];
        let answer = answer_of(uv, &words, with.variables).await?;
        let python = probe(Path::new(answer.trim()), with.variables).await?;
        python.is(wanted).then_some(python)
    };
    if let Some(python) = found().await {
        return Some(python);
    }
    (with.progress)(&format!("Getting Python {wanted}"));
    // Where nothing can be reached nobody shall wait long.
    let mut variables = with.variables.clone();
    for (name, value) in [
        ("UV_HTTP_RETRIES", "0"),
        ("UV_HTTP_TIMEOUT", "10"),
        // Nobody else is to find it on the PATH.
        ("UV_PYTHON_INSTALL_BIN", "0"),
    ] {
        let entry = variables.entry(name.to_owned());
        entry.or_insert_with(|| value.to_owned());
    }
    let with_patience = Tools {
        variables: &variables,
        ..with
    };
    let words = ["python", "install", wanted];
    let outcome = with_patience.run(uv, &words).await.ok()?;
    if !outcome.status.success() {
        return None;
    }
    found().await
}

/// What installs packages.
pub enum Installer {
    Uv(PathBuf),
    /// Python's own venv and pip.
    Pip,
}

/// Where a directory's own uv is, once one was needed.
pub fn own_uv(home: &Path) -> PathBuf {
    home.join("tools/uv")
}

/// Finds uv on the PATH or in `tools`, else installs it there. Without uv there is pip.
pub async fn installer(tools: &Path, python: &Python, with: Tools<'_>) -> Result<Installer> {
    if let Some(program) = find_uv(with.variables).await {
        return Ok(Installer::Uv(program));
    }
    private_dir(tools)?;
    let lock_path = tools.join("lock");
    let lock = File::create(&lock_path).map_err(|e| io_error("make", &lock_path, &e))?;
    let lock = super::lock(lock, &lock_path).await?;
    let uv = tools.join("uv");
    if answer_of(&uv, &["--version"], with.variables)
        .await
        .is_some()
    {
        return Ok(Installer::Uv(uv));
    }
    (with.progress)("Installing uv");
    let with = Tools {
        lock: &lock,
        ..with
    };
    if install_uv(tools, &uv, python, with).await {
        return Ok(Installer::Uv(uv));
    }
    if python.has_venv(with.variables).await {
        return Ok(Installer::Pip);
    }
    Err(python.cannot_install())
}

/// Whether a uv that works is on the PATH.
pub async fn has_uv(variables: &Variables) -> bool {
    find_uv(variables).await.is_some()
}

pub(super) async fn find_uv(variables: &Variables) -> Option<PathBuf> {
    for program in on_path("uv", variables) {
        if answer_of(&program, &["--version"], variables)
            .await
            .is_some()
        {
            return Some(program);
        }
    }
    None
}

/// Puts the `uv` program at `uv`: through a virtual environment, else with the machine's own pip.
async fn install_uv(tools: &Path, uv: &Path, python: &Python, with: Tools<'_>) -> bool {
    let folder = tools.join("installing");
    let _ = fs::remove_dir_all(&folder);
    let target = folder.to_string_lossy().into_owned();
    let succeeded = async |program: &Path, arguments: &[&str]| {
        let outcome = with.run(program, arguments).await;
        outcome.is_ok_and(|outcome| outcome.status.success())
    };
    let installed = (succeeded(&python.program, &["-m", "venv", &target]).await
        && succeeded(
            &folder.join("bin/python"),
            &["-m", "pip", "install", "--quiet", "uv"],
        )
        .await)
        || succeeded(
            &python.program,
            &[
                "-m",
                "pip",
                "install",
                "--quiet",
                "--upgrade",
                "--target",
                &target,
                "uv",
            ],
        )
        .await;
    // uv is one program that needs nothing around it.
    let moved = installed && fs::rename(folder.join("bin/uv"), uv).is_ok();
    let _ = fs::remove_dir_all(&folder);
    moved
}

//! What the machine has: programs and ports.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use futures_util::future::join_all;
use tokio::process::Command;

use super::Check;

pub const PYTHON: &str = "python";

/// A program that does not answer in this time is not counted.
const PATIENCE: Duration = Duration::from_secs(10);

/// The programs that runs and endpoints may need.
pub async fn programs(path: &str) -> Vec<Check> {
    let (python, uv, conda, git, engine) =
        tokio::join!(python(path), uv(path), conda(path), git(path), engine(path));
    vec![python, uv, conda, git, engine]
}

async fn python(path: &str) -> Check {
    let minors = (8..20).rev().map(|minor| format!("python3.{minor}"));
    let names = ["python3", "python"]
        .map(str::to_owned)
        .into_iter()
        .chain(minors);
    let mut files = BTreeSet::new();
    for name in names {
        if let Some(file) = find(path, &name) {
            files.insert(file.canonicalize().unwrap_or(file));
        }
    }
    let versions = join_all(files.iter().map(|file| answer(file, &["--version"]))).await;
    let mut found = BTreeMap::new();
    for (file, version) in files.iter().zip(versions) {
        if let Some(version) = version
            .ok()
            .as_deref()
            .and_then(|v| v.strip_prefix("Python 3"))
        {
            found.entry(format!("3{version}")).or_insert(file.display());
        }
    }
    if found.is_empty() {
        let advice = "Runs of Python scripts, environments and endpoints need it; on Debian: apt install python3 python3-venv";
        return Check::missing(PYTHON, advice);
    }
    let found: Vec<_> = found
        .iter()
        .map(|(version, file)| format!("{version} ({file})"))
        .collect();
    Check::ok(PYTHON, found.join(", "))
}

async fn uv(path: &str) -> Check {
    let advice = "Makes Python environments, with any Python version; without it venv and pip of the machine's Python do: pip install uv";
    version("uv", path, advice).await
}

async fn conda(path: &str) -> Check {
    let name = "micromamba, mamba or conda";
    let advice = "Makes environments of conda files that ask for more than Python packages; without it those are made of these alone";
    for program in ["micromamba", "mamba", "conda"] {
        if find(path, program).is_some() {
            let found = version(program, path, advice).await;
            return Check {
                name: name.to_owned(),
                ..found
            };
        }
    }
    Check::missing(name, advice)
}

async fn git(path: &str) -> Check {
    let advice =
        "Runs record the commit of the folder they are submitted from; on Debian: apt install git";
    version("git", path, advice).await
}

async fn version(name: &str, path: &str, advice: &str) -> Check {
    let Some(file) = find(path, name) else {
        return Check::missing(name, advice);
    };
    match answer(&file, &["--version"]).await {
        Ok(version) => Check::ok(name, format!("{version} ({})", file.display())),
        Err(why) => Check::problem(name, format!("{}: {why}", file.display()), advice),
    }
}

async fn engine(path: &str) -> Check {
    let name = "podman or docker";
    let advice = "Runs environments that are container images; on Debian: apt install podman";
    let mut broken = Vec::new();
    for (engine, ask) in [
        ("podman", ["version", "--format", "{{.Client.Version}}"]),
        ("docker", ["version", "--format", "{{.Server.Version}}"]),
    ] {
        let Some(file) = find(path, engine) else {
            continue;
        };
        match answer(&file, &ask).await {
            Ok(version) => return Check::ok(name, format!("{engine} {version}")),
            Err(why) => broken.push(format!("{engine}: {why}")),
        }
    }
    if broken.is_empty() {
        return Check::missing(name, advice);
    }
    let advice = "Runs environments that are container images: start the engine, or install podman, \
                  which needs no daemon";
    Check {
        found: broken.join("; "),
        ..Check::missing(name, advice)
    }
}

/// Whether a server can listen on its usual port.
pub fn port(port: u16) -> Check {
    let name = format!("port {port}");
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => Check::ok(&name, "free"),
        Err(e) => Check::problem(
            &name,
            e.to_string(),
            "Serve on another one: aml serve --port PORT",
        ),
    }
}

fn find(path: &str, program: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let executable = |file: &PathBuf| {
        file.metadata()
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    path.split(':')
        .filter(|folder| !folder.is_empty())
        .map(|folder| Path::new(folder).join(program))
        .find(executable)
}

/// The first line a program prints, or why there is none.
async fn answer(program: &Path, words: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match tokio::time::timeout(PATIENCE, output).await {
        Ok(output) => output.map_err(|e| e.to_string())?,
        Err(_) => return Err("it does not answer".to_owned()),
    };
    let first = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.trim().lines().next().unwrap_or_default().to_owned()
    };
    if output.status.success() {
        Ok(first(&output.stdout))
    } else {
        Err(first(&output.stderr))
    }
}

//! What the machine has: programs and ports.

use std::{
    fs::File,
    io::Read,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::Command;

use super::{Check, State};

pub const PYTHON: &str = "python";

/// A program that does not answer in this time is not counted.
const PATIENCE: Duration = Duration::from_secs(10);

/// The programs that runs and endpoints may need.
///
/// `own_uv` is the one that was got for environments made before.
pub async fn programs(path: &str, own_uv: Option<&Path>) -> Vec<Check> {
    let (python, uv, conda, git, engine) = tokio::join!(
        python(path),
        uv(path, own_uv),
        conda(path),
        git(path),
        engine(path)
    );
    vec![python, uv, conda, git, engine]
}

/// The Python that is taken where none is named is asked what it is. Others say it by their names;
/// but scripts that look for one of a name, such as those of pyenv, may find none: only asking would
/// tell, and there may be dozens.
async fn python(path: &str) -> Check {
    let mut found = Vec::new();
    for name in ["python3", "python"] {
        let Some(file) = find(path, name) else {
            continue;
        };
        let version = answer(&file, &["--version"]).await.unwrap_or_default();
        if let Some(version) = version.strip_prefix("Python ")
            && version.starts_with('3')
        {
            found.push((version.to_owned(), file.canonicalize().unwrap_or(file)));
            break;
        }
    }
    for minor in (8..20).rev() {
        let version = format!("3.{minor}");
        let file = find(path, &format!("python{version}"));
        let file = file.map(|file| file.canonicalize().unwrap_or(file));
        if let Some(file) = file.filter(|file| !is_script(file))
            && found.iter().all(|(_, known)| *known != file)
        {
            found.push((version, file));
        }
    }
    if found.is_empty() {
        let advice = "Runs of Python scripts, environments and endpoints need it; on Debian: apt install python3 python3-venv";
        return Check::missing(PYTHON, advice);
    }
    let found: Vec<_> = found
        .iter()
        .map(|(version, file)| format!("{version} ({})", file.display()))
        .collect();
    Check::ok(PYTHON, found.join(", "))
}

async fn uv(path: &str, own: Option<&Path>) -> Check {
    let name = "uv";
    let advice = "Makes Python environments, with any Python version; the first environment gets one of its own, or is made by venv and pip of the machine's Python";
    let found = version(name, path, advice).await;
    match (found.state, own) {
        (State::Ok, _) | (_, None) => found,
        (_, Some(own)) => asked(name, own, advice).await,
    }
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
    match find(path, name) {
        Some(file) => asked(name, &file, advice).await,
        None => Check::missing(name, advice),
    }
}

async fn asked(name: &str, file: &Path, advice: &str) -> Check {
    match answer(file, &["--version"]).await {
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

fn is_script(file: &Path) -> bool {
    let mut begin = [0; 2];
    let read = File::open(file).and_then(|mut file| file.read_exact(&mut begin));
    read.is_ok() && begin == *b"#!"
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

//! Building a Python environment: once for all who want the same, and anew when it was changed.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    Unfinished, Variables,
    compiled::{self, Pace},
    environment::{MARKER, NOTES, Place, REQUESTS},
    io_error, on_files, own,
    pins::Pins,
    private_dir,
    python::{self, Installer, Python},
    seal,
    spares::{self, Own},
    tool::{self, Outcome, Progress, Tools},
    use_of, write_whole,
};
use api::{Error, Result};

/// Counts ways of building that make different environments of the same requirements.
const FORMAT: u32 = 2;
/// Where distributions keep the certificates they trust.
const SYSTEM_CERTIFICATES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];
/// Lines of a failed build that are worth showing.
const SHOWN: usize = 20;

pub struct Wanted<'a> {
    pub version: Option<&'a str>,
    pub requirements: &'a [String],
    pub name: &'a str,
}

/// What makes two environments the same.
#[derive(Serialize)]
struct Key<'a> {
    format: u32,
    requirements: Vec<String>,
    python: &'a Python,
}

/// What makes two requests on one machine the same, without asking a Python what it is.
#[derive(Serialize)]
struct Request<'a> {
    format: u32,
    version: Option<&'a str>,
    requirements: &'a [String],
    variables: Vec<(&'a String, &'a String)>,
}

impl Wanted<'_> {
    /// The environment's folder, built when it is not there, and its Python's version.
    pub async fn folder(&self, place: Place<'_>) -> Result<(PathBuf, String)> {
        let root = place.home.join("environments");
        let request = root.join(REQUESTS).join(self.request_key(place)?);
        if let Ok(name) = fs::read_to_string(&request)
            && let State::Whole(found) = look(&root.join(name.trim())).await?
        {
            return Ok(found);
        }
        let python = python::find(self.version, place.variables).await?;
        let key = hash(&Key {
            format: FORMAT,
            requirements: self.normalised(),
            python: &python,
        })?;
        private_dir(&root.join(REQUESTS))?;
        // One that was changed while others use it stays theirs; the next has a name of its own.
        let mut number = 0;
        loop {
            let name = match number {
                0 => key.clone(),
                number => format!("{key}-{number}"),
            };
            if let Some(found) = self.at(&root.join(&name), &python, place).await? {
                write_whole(&request, name.as_bytes())?;
                return Ok(found);
            }
            number += 1;
        }
    }

    /// An environment that another user has left as it was, and its Python's version; none when there is
    /// none, whatever the reason.
    pub async fn spare(&self, place: Place<'_>, spares: &Path) -> Result<Option<(Own, String)>> {
        let root = place.home.join("environments");
        let request = root.join(REQUESTS).join(self.request_key(place)?);
        let spares = spares.to_owned();
        on_files(move || {
            let name = fs::read_to_string(&request).ok()?;
            let from = compiled::or(root.join(name.trim()));
            // Nobody frees what it was made of meanwhile, and it counts as used.
            let _held = use_of::hold(&from)?;
            let version = fs::read_to_string(from.join(MARKER)).ok()?;
            Some((spares::take(&spares, &from)?, version))
        })
        .await
    }

    /// The same, made anew of an environment.
    pub async fn own(&self, from: &Path, spares: &Path) -> Result<Own> {
        let (from, spares) = (from.to_owned(), spares.to_owned());
        on_files(move || own::make(&from, &spares)).await?
    }

    /// Compiles an environment whose modules are not, when nobody else does.
    pub async fn compile(&self, folder: &Path, place: Place<'_>) -> Result<()> {
        let path = compiled::beside(folder).with_extension("lock");
        let lock = take_lock(&path, self.name, place.progress).await?;
        (place.progress)(&format!("Compiling the environment {}", self.name));
        compiled::make(folder, Pace::Now, place.variables, &lock).await
    }

    /// The environment in this folder, built unless it is there; none when it was changed and is in
    /// use.
    async fn at(
        &self,
        folder: &Path,
        python: &Python,
        place: Place<'_>,
    ) -> Result<Option<(PathBuf, String)>> {
        if let State::Whole(found) = look(folder).await? {
            return Ok(Some(found));
        }
        let lock = take_lock(&folder.with_extension("lock"), self.name, place.progress).await?;
        match look(folder).await? {
            State::Whole(found) => return Ok(Some(found)),
            State::Changed(what) if what != seal::CHANGED => {
                let name = self.name;
                let said = format!(
                    "The environment {name} was changed since it was built ({what}) and is built anew"
                );
                (place.progress)(&said);
                tool::note(place.log, &said);
            }
            State::Changed(_) | State::Absent => {}
        }
        // One whose Python is gone may be in use as well. Who compiles it holds it.
        for folder in [folder, &compiled::beside(folder)] {
            if !use_of::remove_unheld(folder)? {
                seal::condemn(folder)?;
                return Ok(None);
            }
        }
        self.build(folder, python, &lock, place).await.map(Some)
    }

    fn request_key(&self, place: Place<'_>) -> Result<String> {
        let relevant = |name: &str| name == "PATH" || name.starts_with("PYENV");
        hash(&Request {
            format: FORMAT,
            version: self.version,
            requirements: self.requirements,
            variables: place
                .variables
                .iter()
                .filter(|(name, _)| relevant(name))
                .collect(),
        })
    }

    fn normalised(&self) -> Vec<String> {
        let words = |line: &String| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut lines: Vec<String> = self.requirements.iter().map(words).collect();
        lines.sort();
        lines.dedup();
        lines
    }

    async fn build(
        &self,
        folder: &Path,
        python: &Python,
        lock: &File,
        place: Place<'_>,
    ) -> Result<(PathBuf, String)> {
        (place.progress)(&format!("Building the environment {}", self.name));
        let tools = Tools {
            variables: &installer_variables(place.variables),
            lock,
            log: place.log,
            progress: place.progress,
        };
        let unfinished = Unfinished::new(folder);
        let installer = python::installer(&place.home.join("tools"), python, tools).await?;
        self.install(folder, python, &installer, tools).await?;
        if self.installs() {
            compiled::put_off(folder)?;
        }
        let sealed = folder.to_owned();
        // The work goes on when nobody waits for it any more; nobody else may build meanwhile.
        let held = lock.try_clone().map_err(|e| io_error("hold", folder, &e))?;
        on_files(move || {
            let _held = held;
            seal::seal(&sealed)
        })
        .await??;
        write_whole(&folder.join(MARKER), python.version.as_bytes())?;
        unfinished.finished();
        Ok((folder.to_owned(), python.version.clone()))
    }

    /// Whether it has more than a Python. All that such a Python imports is compiled, or not worth it.
    fn installs(&self) -> bool {
        self.requirements
            .iter()
            .any(|line| !line.starts_with("-c "))
    }

    async fn install(
        &self,
        folder: &Path,
        python: &Python,
        installer: &Installer,
        tools: Tools<'_>,
    ) -> Result<()> {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let target = path(folder);
        let executable = path(&python.executable);
        match installer {
            Installer::Uv(uv) => {
                let make = [
                    "venv",
                    "--seed",
                    "--no-project",
                    "--python",
                    &executable,
                    &target,
                ];
                self.step(tools, uv, &make).await?;
                let notes = self.install_nearest(folder, python, uv, tools).await?;
                self.compile_hooks(folder, python, tools).await?;
                write_whole(&folder.join(NOTES), notes.join("\n").as_bytes())
            }
            Installer::Pip => {
                self.step(tools, &python.program, &["-m", "venv", &target])
                    .await?;
                let files = write_files(folder, self.requirements)?;
                let mut install = vec!["-m", "pip", "install", "--disable-pip-version-check"];
                install.push("--no-compile");
                install.extend(files.iter().map(String::as_str));
                self.step(tools, &folder.join("bin/python"), &install).await
            }
        }
    }

    /// Installs the requirements. A pinned version that has no wheel for this Python gives way to the
    /// nearest that has; says so.
    async fn install_nearest(
        &self,
        folder: &Path,
        python: &Python,
        uv: &Path,
        tools: Tools<'_>,
    ) -> Result<Vec<String>> {
        let interpreter = folder.join("bin/python").to_string_lossy().into_owned();
        let mut pins = Pins::of(self.requirements, python.minor());
        loop {
            let files = write_files(folder, &pins.lines())?;
            let mut install = vec!["pip", "install", "--python", &interpreter];
            let not_built = pins.not_built().flat_map(|name| ["--only-binary", name]);
            install.extend(not_built);
            install.extend(files.iter().map(String::as_str));
            let outcome = tools
                .run(uv, &install)
                .await
                .map_err(|e| io_error("run", uv, &e))?;
            if outcome.status.success() {
                return Ok(pins.notes(python.minor()));
            }
            let Some(refused) = pins.refused(&outcome.output) else {
                return Err(self.failed(&outcome));
            };
            let mut found = None;
            for wanted in pins.wanted(refused) {
                let file = folder.join("wanted.txt");
                write_whole(&file, wanted.as_bytes())?;
                let file = file.to_string_lossy();
                let mut nearest = vec!["pip", "compile", "--quiet", "--python", &interpreter];
                nearest.extend(["--no-build", "--resolution"]);
                nearest.extend(if refused.by_needs {
                    &["lowest-direct"][..]
                } else {
                    &["lowest", "--no-deps"][..]
                });
                nearest.extend(["--no-header", "--no-annotate", &file]);
                let outcome = tools
                    .run(uv, &nearest)
                    .await
                    .map_err(|e| io_error("run", uv, &e))?;
                if outcome.status.success() {
                    found = pins.found(refused, &outcome.output).map(str::to_owned);
                    break;
                }
            }
            pins.settle(refused.pin, found.as_deref());
        }
    }

    /// Compiles what each Python imports that starts, which the first of each run would add else.
    async fn compile_hooks(&self, folder: &Path, python: &Python, tools: Tools<'_>) -> Result<()> {
        let hooks = format!("lib/python{}/site-packages/_distutils_hack", python.minor());
        let hooks = folder.join(hooks);
        if !hooks.exists() {
            return Ok(());
        }
        let compile = ["-m", "compileall", "-q", &hooks.to_string_lossy()];
        self.step(tools, &folder.join("bin/python"), &compile).await
    }

    async fn step(&self, tools: Tools<'_>, program: &Path, arguments: &[&str]) -> Result<()> {
        let outcome = tools
            .run(program, arguments)
            .await
            .map_err(|e| io_error("run", program, &e))?;
        if outcome.status.success() {
            return Ok(());
        }
        Err(self.failed(&outcome))
    }

    fn failed(&self, outcome: &Outcome) -> Error {
        let said: Vec<&str> = outcome.output.lines().filter_map(tool::told).collect();
        // What it was doing says nothing of why it failed, unless it said nothing else.
        let lines = match &said[..] {
            [] => outcome.output.lines().collect(),
            _ => said,
        };
        let shown = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
        let error = Error::invalid(format!(
            "The environment {} could not be built:\n{shown}",
            self.name
        ));
        let offline = [
            "dns error",
            "Failed to fetch",
            "error sending request",
            "Temporary failure in name resolution",
        ];
        if offline.iter().any(|sign| outcome.output.contains(sign)) {
            return error.hint("The package index cannot be reached: check the network, HTTPS_PROXY or PIP_INDEX_URL");
        }
        error
    }
}

/// Writes the requirements into the environment; the arguments that name them.
fn write_files(folder: &Path, lines: &[String]) -> Result<Vec<String>> {
    let mut constraints = String::new();
    let mut requirements = String::new();
    for line in lines {
        let (file, line) = match line.strip_prefix("-c ") {
            Some(line) => (&mut constraints, line),
            None => (&mut requirements, line.as_str()),
        };
        file.push_str(line);
        file.push('\n');
    }
    let mut arguments = Vec::new();
    for (option, name, content) in [
        ("-r", "requirements.txt", requirements),
        ("-c", "constraints.txt", constraints),
    ] {
        // The installer warns of constraints that are none.
        if option == "-c" && content.is_empty() {
            continue;
        }
        let path = folder.join(name);
        write_whole(&path, content.as_bytes())?;
        arguments.extend([option.to_owned(), path.to_string_lossy().into_owned()]);
    }
    Ok(arguments)
}

/// What is found where an environment may be.
enum State {
    /// The folder, and its Python's version.
    Whole((PathBuf, String)),
    /// Something of it is not as it was built.
    Changed(String),
    Absent,
}

/// Looks whether an environment is there, whole and as it was built, and its Python too. That it was
/// compiled tells its folder.
async fn look(folder: &Path) -> Result<State> {
    let folder = compiled::or(folder.to_owned());
    on_files(move || {
        let version = fs::read_to_string(folder.join(MARKER)).ok();
        let Some(version) = version.filter(|_| folder.join("bin/python").exists()) else {
            return State::Absent;
        };
        match seal::changed(&folder) {
            Some(what) => State::Changed(what),
            None => State::Whole((folder, version)),
        }
    })
    .await
}

async fn take_lock(path: &Path, name: &str, progress: Progress<'_>) -> Result<File> {
    let file = File::create(path).map_err(|e| io_error("make", path, &e))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(e)) => return Err(io_error("lock", path, &e)),
    }
    progress(&format!(
        "Waiting for another process that builds the environment {name}"
    ));
    tokio::task::spawn_blocking(move || file.lock().map(|()| file))
        .await
        .map_err(|e| Error::internal(e.to_string()))?
        .map_err(|e| io_error("lock", path, &e))
}

/// uv reads other variables than pip; what the machine says to pip holds for both.
fn installer_variables(machine: &Variables) -> Variables {
    let mut variables = machine.clone();
    for (pip, uv) in [
        ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
        ("PIP_EXTRA_INDEX_URL", "UV_INDEX"),
        ("PIP_FIND_LINKS", "UV_FIND_LINKS"),
        ("PIP_CERT", "SSL_CERT_FILE"),
    ] {
        if let Some(value) = machine.get(pip) {
            variables
                .entry(uv.to_owned())
                .or_insert_with(|| value.clone());
        }
    }
    // A link into the installer's cache would hand on what somebody writes into a file.
    variables.insert("UV_LINK_MODE".to_owned(), "copy".to_owned());
    // uv has certificates of its own and would not know a company's proxy; pip uses the machine's.
    if SYSTEM_CERTIFICATES
        .iter()
        .any(|file| Path::new(file).exists())
    {
        variables
            .entry("UV_SYSTEM_CERTS".to_owned())
            .or_insert_with(|| "true".to_owned());
    }
    variables
}

fn hash<T: Serialize>(value: &T) -> Result<String> {
    let text = serde_json::to_vec(value).map_err(|e| Error::internal(e.to_string()))?;
    Ok(blake3::hash(&text).to_hex()[..20].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_in_use_whose_python_is_gone_stays_and_is_not_used_again() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("environments/key");
        fs::create_dir_all(folder.join("bin")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.join("bin/python")).unwrap();
        fs::write(folder.join(MARKER), "3.11.7").unwrap();
        let held = use_of::hold(&folder).unwrap();
        let wanted = Wanted {
            version: None,
            requirements: &[],
            name: "e",
        };
        let python = Python {
            program: "python3".into(),
            version: "3.11.7".to_owned(),
            platform: "linux-x86_64".to_owned(),
            executable: "/usr/bin/python3".into(),
        };
        let place = Place {
            home: home.path(),
            variables: &Variables::new(),
            log: &home.path().join("log"),
            progress: &|_| (),
            spares: None,
        };
        let found = wanted.at(&folder, &python, place).await.unwrap();
        assert!(found.is_none() && folder.join(MARKER).exists());
        assert!(folder.join(seal::CHANGED).exists());
        drop(held);
        // A process that another test is starting has the lock, too, until its program begins.
        let mut tries = 0;
        while !use_of::remove_unheld(&folder).unwrap() {
            tries += 1;
            assert!(tries < 400, "it is still held");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

//! Environments: from what is wanted to variables under which a process finds it.
//!
//! Python environments are virtual environments below `<home>/environments`, kept by content and
//! built once, whoever asks.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Serialize;

use super::{
    Variables, io_error, own,
    pins::Pins,
    private_dir,
    python::{self, Installer, Python},
    tool::{Outcome, Progress, Tools},
    use_of::{Held, hold},
    write_whole,
};
use api::{Error, Result, environments::Environment};

/// Counts ways of building that make different environments of the same requirements.
const FORMAT: u32 = 1;
/// Says that an environment is whole; written last.
pub const MARKER: &str = "aml-complete";
/// What could not be installed as it was asked for, a sentence a line.
const NOTES: &str = "aml-notes";
/// The folder in which is kept what was asked for.
pub const REQUESTS: &str = "requests";
/// Where distributions keep the certificates they trust.
const SYSTEM_CERTIFICATES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];
/// How often, and after how long, an environment that was being freed is asked for again.
const HOLD_TRIES: u32 = 100;
const HOLD_AGAIN: Duration = Duration::from_millis(20);
/// Lines of a failed build that are worth showing.
const SHOWN: usize = 20;

/// Where environments are made, and with what.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The state directory.
    pub home: &'a Path,
    /// Variables of the machine; `PATH` is where Python is looked for.
    pub variables: &'a Variables,
    /// Gets what the build writes; made when something is built.
    pub log: &'a Path,
    /// Called with lines for people while something takes long.
    pub progress: Progress<'a>,
    /// Where a Python environment is made again for one user, who may change it; not there yet.
    pub own: Option<&'a Path>,
}

/// An environment that can be used.
#[derive(Debug, Clone)]
pub struct Ready {
    /// All variables a process in it gets from the machine and the environment.
    pub variables: Variables,
    /// What could not be reproduced, a sentence each.
    pub notes: Vec<String>,
    /// Keeps a Python environment until processes are started in it.
    pub held: Option<Held>,
}

/// Makes an environment ready. One that is there already costs a look at a file. Two builds of the
/// same wait for each other; a broken build leaves nothing. Stops building when dropped.
pub async fn prepare(environment: &Environment, place: Place<'_>) -> Result<Ready> {
    let mut variables = place.variables.clone();
    if let Some(path) = environment.path() {
        variables.insert("PATH".to_owned(), path.to_owned());
    }
    let mut notes = Vec::new();
    let mut held = None;
    match environment {
        Environment::Host | Environment::HostPath { .. } => {}
        Environment::Python {
            version,
            requirements,
            notes: known,
            name,
            path: _,
        } => {
            let wanted = Wanted {
                version: version.as_deref(),
                requirements,
                name,
            };
            let place = Place {
                variables: &variables,
                ..place
            };
            let (mut folder, mut python) = wanted.folder(place).await?;
            held = hold(&folder);
            for _ in 0..HOLD_TRIES {
                if held.is_some() {
                    break;
                }
                // It is being freed at this very moment.
                tokio::time::sleep(HOLD_AGAIN).await;
                (folder, python) = wanted.folder(place).await?;
                held = hold(&folder);
            }
            if held.is_none() {
                return Err(Error::unavailable(format!(
                    "The environment {name} is freed again and again"
                ))
                .hint("Try again when `aml gc` has ended"));
            }
            if let Some(own) = place.own {
                own::make(&folder, own).await?;
                own.clone_into(&mut folder);
                held = None;
            }
            notes.clone_from(known);
            let said = fs::read_to_string(folder.join(NOTES)).unwrap_or_default();
            notes.extend(said.lines().map(str::to_owned));
            if let Some(version) = version
                && !python.starts_with(version.as_str())
                && !version.starts_with(&python)
            {
                notes.push(format!(
                    "Python {version} was not found on the PATH; used {python}"
                ));
            }
            let path = variables
                .get("PATH")
                .map(String::as_str)
                .unwrap_or_default();
            let path = format!("{}:{path}", folder.join("bin").display());
            variables.insert("PATH".to_owned(), path);
            variables.insert("VIRTUAL_ENV".to_owned(), folder.display().to_string());
        }
    }
    Ok(Ready {
        variables,
        notes,
        held,
    })
}

/// Whether a Python is there, and something to install packages with.
pub async fn check_machine(variables: &Variables) -> Result<()> {
    let python = python::find(None, variables).await?;
    if python::has_uv(variables).await || python.can_install(variables).await {
        return Ok(());
    }
    Err(python.cannot_install())
}

struct Wanted<'a> {
    version: Option<&'a str>,
    requirements: &'a [String],
    name: &'a str,
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
    async fn folder(&self, place: Place<'_>) -> Result<(PathBuf, String)> {
        let root = place.home.join("environments");
        let request = root.join(REQUESTS).join(self.request_key(place)?);
        if let Ok(key) = fs::read_to_string(&request)
            && let Some(found) = complete(&root.join(key.trim()))
        {
            return Ok(found);
        }
        let python = python::find(self.version, place.variables).await?;
        let key = hash(&Key {
            format: FORMAT,
            requirements: self.normalised(),
            python: &python,
        })?;
        let folder = root.join(&key);
        private_dir(&root.join(REQUESTS))?;
        let found = match complete(&folder) {
            Some(found) => found,
            None => self.build(&folder, &python, place).await?,
        };
        write_whole(&request, key.as_bytes())?;
        Ok(found)
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
        place: Place<'_>,
    ) -> Result<(PathBuf, String)> {
        let lock = take_lock(&folder.with_extension("lock"), self.name, place.progress).await?;
        if let Some(found) = complete(folder) {
            return Ok(found);
        }
        (place.progress)(&format!("Building the environment {}", self.name));
        remove(folder)?;
        let tools = Tools {
            variables: &installer_variables(place.variables),
            lock: &lock,
            log: place.log,
            progress: place.progress,
        };
        let unfinished = Unfinished(Some(folder));
        let installer = python::installer(&place.home.join("tools"), python, tools).await?;
        self.install(folder, python, &installer, tools).await?;
        write_whole(&folder.join(MARKER), python.version.as_bytes())?;
        unfinished.finished();
        Ok((folder.to_owned(), python.version.clone()))
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
                write_whole(&folder.join(NOTES), notes.join("\n").as_bytes())
            }
            Installer::Pip => {
                self.step(tools, &python.program, &["-m", "venv", &target])
                    .await?;
                let files = write_files(folder, self.requirements)?;
                let mut install = vec!["-m", "pip", "install", "--disable-pip-version-check"];
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
        let mut pins = Pins::of(self.requirements);
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
            let Some(pin) = pins.refused(&outcome.output) else {
                return Err(self.failed(&outcome));
            };
            let wanted = folder.join("wanted.txt");
            write_whole(&wanted, pins.wanted(pin).as_bytes())?;
            let wanted = wanted.to_string_lossy();
            let mut nearest = vec!["pip", "compile", "--quiet", "--python", &interpreter];
            nearest.extend(["--resolution", "lowest", "--no-build", "--no-deps"]);
            nearest.extend(["--no-header", "--no-annotate", &wanted]);
            let outcome = tools
                .run(uv, &nearest)
                .await
                .map_err(|e| io_error("run", uv, &e))?;
            let found = outcome
                .output
                .lines()
                .find_map(|line| line.split_once("=="));
            let found = found.filter(|_| outcome.status.success());
            pins.settle(pin, found.map(|(_, version)| version.trim()));
        }
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
        let lines: Vec<&str> = outcome
            .output
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
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
        let path = folder.join(name);
        write_whole(&path, content.as_bytes())?;
        arguments.extend([option.to_owned(), path.to_string_lossy().into_owned()]);
    }
    Ok(arguments)
}

/// The folder and its Python's version, when it is a whole environment whose Python is still there.
fn complete(folder: &Path) -> Option<(PathBuf, String)> {
    let version = fs::read_to_string(folder.join(MARKER)).ok()?;
    let there = folder.join("bin/python").exists();
    there.then(|| (folder.to_owned(), version))
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io_error("remove", folder, &e)),
        _ => Ok(()),
    }
}

/// Removes a half-built environment when dropped. (One left by a killed process has no marker and
/// is removed by the next build.)
struct Unfinished<'a>(Option<&'a Path>);

impl Unfinished<'_> {
    fn finished(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(folder) = self.0 {
            let _ = fs::remove_dir_all(folder);
        }
    }
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
    use std::sync::Mutex;

    use super::*;

    fn machine() -> Variables {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test of what is on the machine"
        )]
        let path = std::env::var("PATH").unwrap_or_default();
        let home = std::env::temp_dir().display().to_string();
        Variables::from([("PATH".to_owned(), path), ("HOME".to_owned(), home)])
    }

    fn python(requirements: &[&str]) -> Environment {
        Environment::Python {
            version: None,
            requirements: requirements.iter().map(|line| (*line).to_owned()).collect(),
            notes: Vec::new(),
            name: "test".to_owned(),
            path: None,
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_at_once_build_once_and_a_third_finds_it() {
        let home = tempfile::tempdir().unwrap();
        let variables = machine();
        let said = Mutex::new(Vec::new());
        let log = home.path().join("log");
        let place = Place {
            home: home.path(),
            variables: &variables,
            log: &log,
            progress: &|line| said.lock().unwrap().push(line.to_owned()),
            own: None,
        };
        let environment = python(&[]);
        let (a, b) = tokio::join!(prepare(&environment, place), prepare(&environment, place));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!(a.variables, b.variables);
        let interpreter = Path::new(&a.variables["VIRTUAL_ENV"]).join("bin/python");
        assert!(interpreter.exists());
        assert!(a.variables["PATH"].starts_with(&a.variables["VIRTUAL_ENV"]));
        let builds = |said: &[String]| {
            said.iter()
                .filter(|line| line.starts_with("Building"))
                .count()
        };
        assert_eq!(builds(&said.lock().unwrap()), 1);
        fs::remove_file(&log).unwrap();
        prepare(&environment, place).await.unwrap();
        assert!(!log.exists(), "nothing is built the third time");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_broken_build_leaves_nothing_and_says_why() {
        let home = tempfile::tempdir().unwrap();
        let variables = machine();
        let log = home.path().join("log");
        let place = Place {
            home: home.path(),
            variables: &variables,
            log: &log,
            progress: &|_| (),
            own: None,
        };
        let missing = "--no-index\nno-such-package-at-all==1";
        let error = prepare(&python(&[missing]), place).await.unwrap_err();
        assert!(error.message.contains("no-such-package-at-all"), "{error}");
        let left: Vec<_> = fs::read_dir(home.path().join("environments"))
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| !name.contains("lock") && name != "requests")
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }

    #[tokio::test]
    async fn without_python_the_error_says_how_to_get_it() {
        let home = tempfile::tempdir().unwrap();
        let variables = Variables::from([("PATH".to_owned(), "/nowhere".to_owned())]);
        let place = Place {
            home: home.path(),
            variables: &variables,
            log: &home.path().join("log"),
            progress: &|_| (),
            own: None,
        };
        let error = prepare(&python(&[]), place).await.unwrap_err();
        assert!(error.hints[0].contains("apt-get install"), "{error:?}");
    }
}

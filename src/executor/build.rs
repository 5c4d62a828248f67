//! Building a Python environment: once for all who want the same, and anew when it was changed.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::Serialize;

use super::{
    Unfinished,
    compiled::{self, Pace},
    conda::{self, Tool},
    environment::{MARKER, Place, REQUESTS, UNMET, environments},
    install::installer_variables,
    io_error, lock, on_files, own, private_dir,
    python::{self, Python},
    seal,
    spares::{self, Own},
    tool::{self, Progress, Tools},
    use_of, write_whole,
};
use api::{
    Error, Result,
    environments::{Conda, UseOfConda},
};

/// Counts ways of building that make different environments of the same requirements.
const FORMAT: u32 = 2;
/// How long nobody looks again for a Python that could not be had.
const LOOK_AGAIN: Duration = Duration::from_hours(1);
/// What an error is about that no channel could be reached.
pub(super) const CHANNELS: &str = "channels";

pub struct Wanted<'a> {
    pub version: Option<&'a str>,
    pub requirements: &'a [String],
    pub name: &'a str,
    pub conda: Option<&'a Conda>,
}

/// What an environment is made with.
#[derive(Clone, Copy)]
enum Maker<'a> {
    Python(&'a Python),
    Conda(&'a Tool, &'a Conda),
}

/// What makes two environments the same.
#[derive(Serialize)]
struct Key<'a> {
    format: u32,
    requirements: Vec<String>,
    python: &'a Python,
}

/// The same of those that conda makes.
#[derive(Serialize)]
struct CondaKey<'a> {
    format: u32,
    version: Option<&'a str>,
    channels: &'a [String],
    packages: &'a [String],
    requirements: Vec<String>,
    platform: &'static str,
}

/// What makes two requests on one machine the same, without asking a Python what it is.
#[derive(Serialize)]
struct Request<'a> {
    format: u32,
    version: Option<&'a str>,
    requirements: &'a [String],
    variables: Vec<(&'a String, &'a String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conda: Option<(PathBuf, &'a Conda, UseOfConda)>,
}

impl Wanted<'_> {
    /// The environment's folder, built when it is not there, and its Python's version.
    pub async fn folder(&self, place: Place<'_>) -> Result<(PathBuf, String)> {
        let root = environments(place.home);
        let request = root.join(REQUESTS).join(self.request_key(place)?);
        if let Some(name) = known(&request)
            && let State::Whole(found) = look(&root.join(name)).await?
            && (self.is_met_by(&found.1) || unmet(&request).exists())
        {
            return Ok(found);
        }
        private_dir(&root.join(REQUESTS))?;
        let found = python::find(self.version, place.variables).await;
        let wants_conda = self.wants_conda(found.as_ref().ok(), place)?;
        let by_conda = wants_conda.as_ref().filter(|_| !conda::is_away(&request));
        if let Some((tool, conda)) = by_conda {
            match self
                .made_with(Maker::Conda(tool, conda), &root, place)
                .await
            {
                Err(error) if error.target.as_deref() == Some(CHANNELS) => {
                    tool::note(place.log, &error.message);
                    conda::note_away(&request)?;
                }
                made => {
                    let (name, found) = made?;
                    write_whole(&request, name.as_bytes())?;
                    return Ok(found);
                }
            }
        }
        let is_wanted = |python: &Python| self.version.is_none_or(|wanted| python.is(wanted));
        let python = match found {
            Ok(python) if is_wanted(&python) => python,
            found => match self.python_by_uv(&request, place).await? {
                Some(python) => python,
                None => found?,
            },
        };
        let made = self.made_with(Maker::Python(&python), &root, place);
        let made = match (made.await, self.could_by_conda(place)) {
            (Err(error), Some((tool, conda))) if by_conda.is_none() && is_unknown(&error) => {
                tool::note(place.log, &format!("{} may have them", tool.name));
                let made = self.made_with(Maker::Conda(&tool, conda), &root, place);
                Ok(made.await?)
            }
            (made, _) => made,
        };
        let (name, found) = made?;
        // The next one tries conda again.
        if wants_conda.is_none() {
            write_whole(&request, name.as_bytes())?;
        }
        Ok(found)
    }

    /// Whether a version of Python is the one that is wanted, as far as that says.
    pub fn is_met_by(&self, version: &str) -> bool {
        self.version
            .is_none_or(|wanted| version.starts_with(wanted) || wanted.starts_with(version))
    }

    /// The Python that is wanted and not on the PATH, if uv has it or gets it.
    async fn python_by_uv(&self, request: &Path, place: Place<'_>) -> Result<Option<Python>> {
        let Some(version) = self.version else {
            return Ok(None);
        };
        let lock = take_lock(&request.with_extension("lock"), self.name, place.progress).await?;
        let tools = Tools {
            variables: &installer_variables(place.variables),
            lock: &lock,
            log: place.log,
            progress: place.progress,
        };
        let own = python::own_uv(place.home);
        let uv = match python::find_uv(place.variables).await {
            None => Some(own).filter(|uv| uv.is_file()),
            found => found,
        };
        let python = match uv {
            Some(uv) => python::by_uv(&uv, version, tools).await,
            None => None,
        };
        let unmet = unmet(request);
        match &python {
            None => write_whole(&unmet, b"")?,
            Some(_) => drop(fs::remove_file(&unmet)),
        }
        Ok(python)
    }

    /// The program of conda that makes it, where one shall.
    fn wants_conda(
        &self,
        python: Option<&Python>,
        place: Place<'_>,
    ) -> Result<Option<(Tool, &Conda)>> {
        let Some(conda) = self.conda else {
            return Ok(None);
        };
        let is_version = |version| python.is_some_and(|python| python.is(version));
        let wants = match place.settings.conda {
            UseOfConda::Always => true,
            UseOfConda::Never => false,
            UseOfConda::Auto => {
                !conda.left_out.is_empty() || self.version.is_some_and(|v| !is_version(v))
            }
        };
        let tool = Tool::find(place.variables).filter(|_| wants);
        if tool.is_none() && place.settings.conda == UseOfConda::Always {
            return Err(Error::unavailable(format!(
                "The environment {} is to be made by conda, and neither micromamba, mamba nor conda is on the PATH",
                self.name
            ))
            .hint("Install one, or write conda = \"auto\" below [environments] in config.toml"));
        }
        Ok(tool.map(|tool| (tool, conda)))
    }

    /// The program of conda that may make it.
    fn could_by_conda(&self, place: Place<'_>) -> Option<(Tool, &Conda)> {
        let allowed = place.settings.conda != UseOfConda::Never;
        let conda = self.conda.filter(|_| allowed)?;
        Some((Tool::find(place.variables)?, conda))
    }

    /// What is to be said of an environment that conda could have made otherwise.
    pub fn without_conda(&self, place: Place<'_>) -> Result<Vec<String>> {
        let Some(conda) = self.conda else {
            return Ok(Vec::new());
        };
        let requests = environments(place.home).join(REQUESTS);
        let mut notes = Vec::new();
        let name = self.name;
        let mut because = "";
        match Tool::find(place.variables) {
            _ if place.settings.conda == UseOfConda::Never => {}
            None => because = ": neither micromamba, mamba nor conda is on the PATH",
            Some(tool) if conda::is_away(&requests.join(self.request_key(place)?)) => notes.push(format!(
                "{} could not reach the channels of {name}, so the environment has Python packages from the package index only",
                tool.name
            )),
            Some(_) => {}
        }
        if !conda.left_out.is_empty() {
            let left_out = conda.left_out.join(", ");
            notes.push(format!("Not installed from {name}: {left_out}{because}"));
        }
        Ok(notes)
    }

    /// What it is called below `root`, with its folder and its Python's version.
    async fn made_with(
        &self,
        maker: Maker<'_>,
        root: &Path,
        place: Place<'_>,
    ) -> Result<(String, (PathBuf, String))> {
        let key = match maker {
            Maker::Python(python) => hash(&Key {
                format: FORMAT,
                requirements: self.normalised(),
                python,
            })?,
            Maker::Conda(_, conda) => hash(&CondaKey {
                format: FORMAT,
                version: self.version,
                channels: &conda.channels,
                packages: &conda.packages,
                requirements: self.normalised(),
                platform: std::env::consts::ARCH,
            })?,
        };
        // One that was changed while others use it stays theirs; the next has a name of its own.
        let mut number = 0;
        loop {
            let name = match number {
                0 => key.clone(),
                number => format!("{key}-{number}"),
            };
            if let Some(found) = self.at(&root.join(&name), maker, place).await? {
                return Ok((name, found));
            }
            number += 1;
        }
    }

    /// An environment that another user has left as it was, and its Python's version; none when there is
    /// none, whatever the reason.
    pub async fn spare(&self, place: Place<'_>, spares: &Path) -> Result<Option<(Own, String)>> {
        let root = environments(place.home);
        let request = root.join(REQUESTS).join(self.request_key(place)?);
        let spares = spares.to_owned();
        on_files(move || {
            let from = compiled::or(root.join(known(&request)?));
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
        let _waiting = compiled::wait_for(folder).await?;
        let lock = take_lock(&path, self.name, place.progress).await?;
        (place.progress)(&format!("Compiling the environment {}", self.name));
        compiled::make(folder, Pace::Now, place.variables, &lock).await
    }

    /// The environment in this folder, built unless it is there; none when it was changed and is in
    /// use.
    async fn at(
        &self,
        folder: &Path,
        maker: Maker<'_>,
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
        self.build(folder, maker, &lock, place).await.map(Some)
    }

    fn request_key(&self, place: Place<'_>) -> Result<String> {
        let relevant = |name: &str| name == "PATH" || name.starts_with("PYENV");
        let conda = self.could_by_conda(place);
        hash(&Request {
            format: FORMAT,
            version: self.version,
            requirements: self.requirements,
            variables: place
                .variables
                .iter()
                .filter(|(name, _)| relevant(name))
                .collect(),
            conda: conda.map(|(tool, conda)| (tool.program, conda, place.settings.conda)),
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
        maker: Maker<'_>,
        lock: &File,
        place: Place<'_>,
    ) -> Result<(PathBuf, String)> {
        let with = match maker {
            Maker::Python(_) => String::new(),
            Maker::Conda(tool, _) => format!(" with {}", tool.name),
        };
        (place.progress)(&format!("Building the environment {}{with}", self.name));
        let tools = Tools {
            variables: &installer_variables(place.variables),
            lock,
            log: place.log,
            progress: place.progress,
        };
        let unfinished = Unfinished::new(folder);
        let own = place.home.join("tools");
        let version = match maker {
            Maker::Python(python) => {
                let installer = python::installer(&own, python, tools).await?;
                self.install(folder, python, &installer, tools).await?;
                python.version.clone()
            }
            Maker::Conda(tool, conda) => {
                self.install_by_conda(folder, (tool, conda), &own, tools)
                    .await?
            }
        };
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
        write_whole(&folder.join(MARKER), version.as_bytes())?;
        unfinished.finished();
        Ok((folder.to_owned(), version))
    }

    /// Whether it has more than a Python. All that such a Python imports is compiled, or not worth it.
    fn installs(&self) -> bool {
        self.requirements
            .iter()
            .any(|line| !line.starts_with("-c "))
    }
}

/// Whether packages are asked for that the package index does not know.
fn is_unknown(error: &Error) -> bool {
    let signs = [
        "not found in the package registry",
        "No matching distribution found",
    ];
    signs.iter().any(|sign| error.message.contains(sign))
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

/// The name of the environment that a request was answered with. One for another Python than was asked
/// for counts a while.
fn known(request: &Path) -> Option<String> {
    let noted = fs::metadata(unmet(request)).and_then(|meta| meta.modified());
    let is_old = |at: SystemTime| at.elapsed().is_ok_and(|age| age >= LOOK_AGAIN);
    if noted.is_ok_and(is_old) {
        return None;
    }
    let name = fs::read_to_string(request).ok()?;
    Some(name.trim().to_owned())
}

/// Where it is noted that the Python of a request could not be had.
fn unmet(request: &Path) -> PathBuf {
    request.with_extension(UNMET)
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
    lock(file, path).await
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
            conda: None,
        };
        let python = Python {
            program: "python3".into(),
            version: "3.11.7".to_owned(),
            platform: "linux-x86_64".to_owned(),
            executable: "/usr/bin/python3".into(),
        };
        let place = Place {
            home: home.path(),
            variables: &crate::Variables::new(),
            log: &home.path().join("log"),
            progress: &|_| (),
            spares: None,
            settings: &super::super::environment::tests::SETTINGS,
        };
        let maker = Maker::Python(&python);
        let found = wanted.at(&folder, maker, place).await.unwrap();
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

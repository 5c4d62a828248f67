//! Environments: from what is wanted to variables under which a process finds it.
//!
//! Python environments are virtual environments, or such of conda, below `<home>/environments`, kept by
//! content and built once, whoever asks.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::future::BoxFuture;

use super::{
    Variables,
    build::Wanted,
    compiled, conda, python,
    spares::Own,
    tool::Progress,
    use_of::{Held, hold},
};
use api::{
    Error, Result,
    environments::{Environment, EnvironmentSettings},
};

/// Says that an environment is whole; written last.
pub const MARKER: &str = "aml-complete";
/// What uv locks, at the root of an environment, while it installs into it.
pub(super) const INSTALLER_LOCK: &str = ".lock";
/// What could not be installed as it was asked for, a sentence a line.
pub(super) const NOTES: &str = "aml-notes";
/// The folder in which is kept what was asked for.
pub const REQUESTS: &str = "requests";
/// The extension of a note there that the Python of a request could not be had.
pub const UNMET: &str = "python";
/// How often, and after how long, an environment that was being freed is asked for again.
const HOLD_TRIES: u32 = 100;
const HOLD_AGAIN: Duration = Duration::from_millis(20);

/// Where the environments of a state directory are. It may be a link to another disk or to a folder that
/// several share: programs in them name the place that they were made at.
pub(super) fn environments(home: &Path) -> PathBuf {
    let folder = home.join("environments");
    let linked = folder.is_symlink().then(|| folder.canonicalize().ok());
    linked.flatten().unwrap_or(folder)
}

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
    /// Where a Python environment is made again for one user, who may change it, and where those are that
    /// others have left as they were.
    pub spares: Option<&'a Path>,
    pub settings: &'a EnvironmentSettings,
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
    /// The user's own environment.
    pub own: Option<Own>,
}

/// Makes an environment ready. One that is there already costs a look at a file. Two builds of the
/// same wait for each other; a broken build leaves nothing. Stops building when dropped.
pub fn prepare<'a>(environment: &'a Environment, place: Place<'a>) -> BoxFuture<'a, Result<Ready>> {
    Box::pin(async move {
        let mut variables = place.variables.clone();
        if let Some(path) = environment.path() {
            variables.insert("PATH".to_owned(), path.to_owned());
        }
        let mut notes = Vec::new();
        let mut found = Found::default();
        match environment {
            Environment::Host | Environment::HostPath { .. } => {}
            Environment::Python {
                version,
                requirements,
                notes: known,
                name,
                path: _,
                conda,
                image: _,
            } => {
                let wanted = Wanted {
                    version: version.as_deref(),
                    requirements,
                    name,
                    conda: conda.as_deref(),
                };
                let place = Place {
                    variables: &variables,
                    ..place
                };
                found = find(&wanted, place).await?;
                notes.clone_from(known);
                let said = fs::read_to_string(found.folder.join(NOTES)).unwrap_or_default();
                notes.extend(said.lines().map(str::to_owned));
                let by_conda = conda::made(&found.folder);
                if !by_conda {
                    notes.extend(wanted.without_conda(place)?);
                }
                let python = &found.python;
                if let Some(version) = version
                    && !wanted.is_met_by(python)
                {
                    notes.push(format!(
                        "Python {version} is not on the PATH and uv could not get it; used {python}"
                    ));
                }
                enter(&found.folder, by_conda, &mut variables);
                if by_conda {
                    conda::activate(&found.folder, &mut variables).await;
                }
            }
        }
        Ok(Ready {
            variables,
            notes,
            held: found.held,
            own: found.own,
        })
    })
}

/// The variable that names a virtual environment, and the one for those of conda.
const FOLDER: [&str; 2] = ["VIRTUAL_ENV", "CONDA_PREFIX"];

/// The Python environment of processes with these variables.
pub fn folder_in(variables: &Variables) -> Option<&Path> {
    let folder = FOLDER.iter().find_map(|name| variables.get(*name));
    folder.map(Path::new)
}

/// Lets processes find an environment.
fn enter(folder: &Path, by_conda: bool, variables: &mut Variables) {
    let path = variables
        .get("PATH")
        .map(String::as_str)
        .unwrap_or_default();
    let path = format!("{}:{path}", folder.join("bin").display());
    variables.insert("PATH".to_owned(), path);
    let name = FOLDER[usize::from(by_conda)];
    variables.insert(name.to_owned(), folder.display().to_string());
    // What is installed later is nobody's but this environment's.
    variables
        .entry("UV_LINK_MODE".to_owned())
        .or_insert_with(|| "copy".to_owned());
}

/// A Python environment that is there.
#[derive(Default)]
struct Found {
    folder: PathBuf,
    /// Its version.
    python: String,
    held: Option<Held>,
    own: Option<Own>,
}

async fn find(wanted: &Wanted<'_>, place: Place<'_>) -> Result<Found> {
    let own = |(own, python): (Own, String)| Found {
        folder: own.path().to_owned(),
        python,
        held: None,
        own: Some(own),
    };
    if let Some(spares) = place.spares
        && let Some(spare) = wanted.spare(place, spares).await?
    {
        return Ok(own(spare));
    }
    for _ in 0..HOLD_TRIES {
        let (folder, python) = wanted.folder(place).await?;
        let Some(held) = hold(&folder) else {
            // It is being freed at this very moment.
            tokio::time::sleep(HOLD_AGAIN).await;
            continue;
        };
        let put_off = compiled::is_put_off(&folder);
        let Some(spares) = place.spares else {
            // What Python compiles there would be noted by nobody.
            if put_off {
                drop(held);
                wanted.compile(&folder, place).await?;
                continue;
            }
            return Ok(Found {
                folder,
                python,
                held: Some(held),
                own: None,
            });
        };
        let made = wanted.own(&folder, spares).await?;
        if put_off {
            compiled::make_later(folder, place.variables.clone());
        }
        return Ok(own((made, python)));
    }
    let name = wanted.name;
    Err(
        Error::unavailable(format!("The environment {name} is freed again and again"))
            .hint("Try again when `aml gc` has ended"),
    )
}

/// The uv that was got for the environments of a directory, if one was.
pub fn uv_of(home: &Path) -> Option<PathBuf> {
    Some(python::own_uv(home)).filter(|uv| uv.is_file())
}

/// Whether a Python is there, and something to install packages with.
pub async fn check_machine(variables: &Variables) -> Result<()> {
    let python = python::find(None, variables).await?;
    if python::has_uv(variables).await || python.can_install(variables).await {
        return Ok(());
    }
    Err(python.cannot_install())
}

#[cfg(test)]
pub(super) mod tests {
    use std::{os::unix::fs::PermissionsExt, sync::Mutex};

    use api::environments::UseOfConda;

    use super::*;

    pub const SETTINGS: EnvironmentSettings = EnvironmentSettings {
        conda: UseOfConda::Auto,
        container: false,
    };

    pub fn machine() -> Variables {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test of what is on the machine"
        )]
        let path = std::env::var("PATH").unwrap_or_default();
        let home = std::env::temp_dir().display().to_string();
        Variables::from([("PATH".to_owned(), path), ("HOME".to_owned(), home)])
    }

    fn quiet<'a>(home: &'a Path, variables: &'a Variables, log: &'a Path) -> Place<'a> {
        Place {
            home,
            variables,
            log,
            progress: &|_| (),
            spares: None,
            settings: &SETTINGS,
        }
    }

    fn python(requirements: &[&str]) -> Environment {
        Environment::Python {
            version: None,
            requirements: requirements.iter().map(|line| (*line).to_owned()).collect(),
            notes: Vec::new(),
            name: "test".to_owned(),
            path: None,
            conda: None,
            image: None,
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
            spares: None,
            settings: &SETTINGS,
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
    async fn one_that_was_changed_is_built_anew_beside_those_who_use_it() {
        let home = tempfile::tempdir().unwrap();
        let variables = machine();
        let log = home.path().join("log");
        let place = quiet(home.path(), &variables, &log);
        let environment = python(&[]);
        let ready = async || prepare(&environment, place).await.unwrap();
        let folder = |ready: &Ready| ready.variables["VIRTUAL_ENV"].clone();
        let write_over = |ready: &Ready| {
            let path = Path::new(&folder(ready)).join("pyvenv.cfg");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            fs::write(&path, "").unwrap();
        };
        let first = ready().await;
        write_over(&first);
        let second = ready().await;
        assert_eq!(folder(&second), format!("{}-1", folder(&first)));
        let said = fs::read_to_string(&log).unwrap();
        assert!(said.contains("(pyvenv.cfg) and is built anew"), "{said}");
        assert_eq!(folder(&ready().await), folder(&second));
        // Unused, it makes room for the next.
        write_over(&second);
        let (unused, used) = (folder(&second), folder(&first));
        drop((first, second));
        let third = ready().await;
        assert_eq!(folder(&third), used);
        assert!(fs::read_to_string(Path::new(&used).join("pyvenv.cfg")).unwrap() != "");
        assert!(Path::new(&unused).exists());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_broken_build_leaves_nothing_and_says_why() {
        let home = tempfile::tempdir().unwrap();
        let variables = machine();
        let log = home.path().join("log");
        let place = quiet(home.path(), &variables, &log);
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

    /// A package of one module, in a folder.
    const WHEEL: &str = "\
import sys, zipfile
files = {
    'tiny.py': 'a = 1',
    'tiny-1.dist-info/METADATA': 'Metadata-Version: 2.1\\nName: tiny\\nVersion: 1\\n',
    'tiny-1.dist-info/WHEEL': 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n',
}
files['tiny-1.dist-info/RECORD'] = ''.join(f'{name},,\\n' for name in files)
with zipfile.ZipFile(sys.argv[1] + '/tiny-1-py3-none-any.whl', 'w') as wheel:
    for name, text in files.items():
        wheel.writestr(name, text)
";

    #[tokio::test(flavor = "multi_thread")]
    async fn it_is_used_before_it_is_compiled_and_compiled_after() {
        let home = tempfile::tempdir().unwrap();
        let mut make = std::process::Command::new("python3");
        let made = make.args(["-c", WHEEL]).arg(home.path()).status();
        assert!(made.unwrap().success());
        let variables = machine();
        let log = home.path().join("log");
        let spares = home.path().join("spares");
        let place = Place {
            spares: Some(&spares),
            ..quiet(home.path(), &variables, &log)
        };
        let packages = format!("--find-links {}", home.path().display());
        let environment = python(&["--no-index", &packages, "tiny==1"]);
        let compiled = |ready: &Ready| {
            let folder = Path::new(&ready.variables["VIRTUAL_ENV"]);
            let python = fs::read_dir(folder.join("lib")).unwrap().next();
            let packages = python.unwrap().unwrap().path().join("site-packages");
            assert!(packages.join("tiny.py").exists());
            packages.join("__pycache__").exists()
        };
        let first = prepare(&environment, place).await.unwrap();
        assert!(!compiled(&first));
        let mut tries = 0;
        while compiled::under_way() {
            tries += 1;
            assert!(tries < 1200, "it is still compiled");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let second = prepare(&environment, place).await.unwrap();
        assert!(compiled(&second) && !compiled(&first));
        // Who has none of their own waits, and here finds it done.
        let shared = prepare(&environment, quiet(home.path(), &variables, &log));
        let shared = shared.await.unwrap();
        assert!(compiled(&shared) && shared.held.is_some());
        let built = fs::read_to_string(&log).unwrap();
        // Where there is no uv, one was made for the tool as well.
        let of_environments =
            |line: &&str| line.contains(" venv ") && line.contains("/environments/");
        assert_eq!(built.lines().filter(of_environments).count(), 1, "{built}");
        // What older packages take for granted is there.
        let script =
            "import sys\nif sys.version_info < (3, 12): __import__('pkg_resources')".to_owned();
        let folder = PathBuf::from(&shared.variables["VIRTUAL_ENV"]);
        let mut python = std::process::Command::new(folder.join("bin/python"));
        assert!(
            python
                .args(["-W", "ignore", "-c", &script])
                .status()
                .unwrap()
                .success()
        );
    }

    /// A uv that has the Python of its folder once there is a file `has`, and gets none.
    const UV: &str = "#!/bin/sh\n\
here=$(dirname \"$0\")\n\
case \"$1 $2\" in\n\
'python find') test -e $here/has && echo $here/python ;;\n\
'python install') echo asked >> $here/asked; exit 1 ;;\n\
*) exec REAL \"$@\" ;;\n\
esac\n";

    #[tokio::test(flavor = "multi_thread")]
    async fn a_python_that_is_not_there_is_asked_of_uv() {
        let mut variables = machine();
        // What stands for it hands on to a real one.
        let Some(real) = python::find_uv(&variables).await else {
            return;
        };
        let found = python::find(None, &variables).await.unwrap();
        let home = tempfile::tempdir().unwrap();
        let programs = home.path().join("programs");
        fs::create_dir(&programs).unwrap();
        let write = |name: &str, text: &str| {
            fs::write(programs.join(name), text).unwrap();
            let executable = fs::Permissions::from_mode(0o755);
            fs::set_permissions(programs.join(name), executable).unwrap();
        };
        write("uv", &UV.replace("REAL", &real.to_string_lossy()));
        let about = serde_json::json!({
            "version": "3.99.1", "platform": found.platform, "executable": found.executable,
        });
        write("python", &format!("#!/bin/sh\necho '{about}'\n"));
        let path = format!("{}:{}", programs.display(), variables["PATH"]);
        variables.insert("PATH".to_owned(), path);
        let log = home.path().join("log");
        let place = quiet(home.path(), &variables, &log);
        let wanted = |name: &str| {
            let mut environment = python(&[&format!("# {name}")]);
            let Environment::Python { version, .. } = &mut environment else {
                panic!("it is one of Python");
            };
            *version = Some("3.99".to_owned());
            environment
        };
        // Its folder is on the PATH: it is seen that the Python there is another one.
        fs::rename(programs.join("python"), home.path().join("python")).unwrap();
        for _ in 0..2 {
            let ready = prepare(&wanted("without"), place).await.unwrap();
            let note = format!(
                "Python 3.99 is not on the PATH and uv could not get it; used {}",
                found.version
            );
            assert_eq!(ready.notes, [note]);
        }
        let asked = fs::read_to_string(programs.join("asked")).unwrap();
        assert_eq!(asked, "asked\n", "it is not asked each time");

        write(
            "uv",
            &UV.replace("REAL", &real.to_string_lossy())
                .replace("$here/python", "$here/../python"),
        );
        write("has", "");
        let ready = prepare(&wanted("with"), place).await.unwrap();
        assert_eq!(ready.notes, Vec::<String>::new());
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
            spares: None,
            settings: &SETTINGS,
        };
        let error = prepare(&python(&[]), place).await.unwrap_err();
        assert!(error.hints[0].contains("apt-get install"), "{error:?}");
    }
}

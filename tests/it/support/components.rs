//! Programs that tests use and machines may lack: installed once, on demand, below the target folder.

use std::{
    fs::{self, File},
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{LazyLock, Mutex},
};

/// A user that owns nothing.
const NOBODY: u32 = 65534;

/// Where components are kept between test runs.
pub fn folder() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    target.expect("below target").join("test-components")
}

/// The machine's PATH, with uv on it once it is installed.
pub fn path() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{}:{path}", folder().join("tools/bin").display())
}

/// One installation at a time, across the threads and processes of tests.
fn alone<T>(install: impl FnOnce() -> T) -> T {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    fs::create_dir_all(folder()).expect("makes the folder");
    let lock = File::create(folder().join("lock")).expect("makes the lock file");
    lock.lock().expect("takes the lock");
    install()
}

/// Makes `folder` once; what is half made is made again.
fn made(folder: &Path, make: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let done = folder.join("done");
    alone(|| {
        if done.exists() {
            return Ok(());
        }
        let _ = fs::remove_dir_all(folder);
        make()?;
        File::create(&done).map(drop).map_err(|e| e.to_string())
    })
}

fn run(command: &mut Command) -> Result<(), String> {
    eprintln!("installing: {command:?}");
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|e| format!("{command:?}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?}: {}", text.trim()))
}

/// The `uv` program.
pub fn uv() -> Result<PathBuf, String> {
    static UV: LazyLock<Result<(), String>> = LazyLock::new(|| {
        let tools = folder().join("tools");
        made(&tools, || {
            run(Command::new("python3").args(["-m", "venv"]).arg(&tools))?;
            run(Command::new(tools.join("bin/pip")).args(["install", "--quiet", "uv"]))
        })
    });
    UV.clone().map(|()| folder().join("tools/bin/uv"))
}

/// A folder for environments that tests of this process share. Those of processes that are gone go.
pub fn environments() -> PathBuf {
    const PREFIX: &str = "environments-";
    static MINE: LazyLock<PathBuf> = LazyLock::new(|| {
        let mine = folder().join(format!("{PREFIX}{}", std::process::id()));
        alone(|| {
            for entry in fs::read_dir(folder()).expect("reads the folder").flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let process = name.strip_prefix(PREFIX);
                if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
                    let _ = fs::remove_dir_all(entry.path());
                }
            }
            fs::create_dir_all(&mine).expect("makes the folder");
        });
        mine
    });
    MINE.clone()
}

/// A Python environment with exactly these packages; the folder of its programs.
pub fn python_with(packages: &[&str]) -> Result<PathBuf, String> {
    let uv = uv()?;
    let name = blake3::hash(packages.join(" ").as_bytes()).to_hex();
    let folder = folder().join(format!("python-{}", &name[..16]));
    made(&folder, || {
        let cache = self::folder().join("uv-cache");
        let uv = || {
            let mut uv = Command::new(&uv);
            uv.env("UV_CACHE_DIR", &cache).arg("--quiet");
            uv
        };
        run(uv().arg("venv").arg(&folder))?;
        run(uv()
            .args(["pip", "install", "--python"])
            .arg(folder.join("bin/python"))
            .args(packages))
    })?;
    Ok(folder.join("bin"))
}

/// A program of a Debian package, installed when it is missing and this is root.
pub fn debian(program: &str, package: &str) -> Result<PathBuf, String> {
    debian_in(program, package, || {
        path().split(':').map(PathBuf::from).collect()
    })
}

/// The same of a program that is in one of these folders.
fn debian_in(
    program: &str,
    package: &str,
    folders: impl Fn() -> Vec<PathBuf>,
) -> Result<PathBuf, String> {
    let found = || {
        let mut files = folders().into_iter().map(|folder| folder.join(program));
        files.find(|file| file.is_file())
    };
    if let Some(program) = found() {
        return Ok(program);
    }
    if !is_root() {
        return Err(format!(
            "`{program}` is missing; as root: apt-get install {package}"
        ));
    }
    alone(|| {
        if found().is_some() {
            return Ok(());
        }
        let apt = |words: &[&str]| {
            let mut apt = Command::new("apt-get");
            run(apt.env("DEBIAN_FRONTEND", "noninteractive").args(words))
        };
        let install = ["install", "-y", "-q", "--no-install-recommends", package];
        apt(&install).or_else(|_| apt(&["update", "-q"]).and_then(|()| apt(&install)))
    })?;
    found().ok_or_else(|| format!("`{package}` has no program `{program}`"))
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0)
}

/// A program of PostgreSQL's server, which refuses to run as root: as nobody, then.
pub fn postgres(program: &str) -> Result<Command, String> {
    let folders = || {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
        let folders = versions.flatten().map(|version| version.path().join("bin"));
        folders.collect()
    };
    let mut command = Command::new(debian_in(program, "postgresql", folders)?);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    Ok(command)
}

/// Gives a folder to who runs [`postgres`].
pub fn give_to_postgres(folder: &Path) {
    if is_root() {
        chown(folder, Some(NOBODY), Some(NOBODY)).expect("gives the folder away");
    }
}

/// Says why a test proves nothing here. Only what this machine truly cannot have may be skipped.
pub fn skipped(why: &str) {
    let name = std::thread::current();
    eprintln!("SKIPPED {}: {why}", name.name().unwrap_or("a test"));
}

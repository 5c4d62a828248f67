//! Environments whose modules are compiled as a whole. That takes many times as long as installing them,
//! so an environment is used as soon as its packages are there, by runs that have copies and compile what
//! they import. Meanwhile it is made again beside it, compiled, and that one takes its place.

use std::{
    fs::{self, File},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use super::{
    Unfinished, Variables,
    environment::{INSTALLER_LOCK, MARKER},
    io_error, on_files, own,
    seal::{self, CHANGED, MANIFEST},
    tool::Tools,
    use_of, write_whole,
};
use api::{Error, Result};

/// Says that an environment is to be made again, compiled.
const UNCOMPILED: &str = "aml-uncompiled";
/// What the name of the compiled one ends with.
const COMPILED: &str = "-compiled";
/// What the name of the file ends with that is locked while somebody waits for the compiled one.
const AWAITED: &str = "awaited";
/// Compiles what is below a folder, in time that nobody else wants. That can take for ever, so it ends
/// itself with all it has started when somebody waits: who is idle may not become more than that. What
/// cannot be compiled is left: its import says why.
const COMPILE: &str = "\
import compileall, fcntl, os, signal, sys, time

def compile():
    try:
        compileall.compile_dir(sys.argv[1], quiet=2, workers=0)
    except Exception:
        compileall.compile_dir(sys.argv[1], quiet=2)

def idle():
    os.nice(19)
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError):
        pass

if sys.argv[2] == 'now':
    compile()
    sys.exit()
compiling = os.fork()
if not compiling:
    idle()
    compile()
    sys.stdout.flush()
    os._exit(0)
awaited = open(sys.argv[3], 'a')
while True:
    ended, status = os.waitpid(compiling, os.WNOHANG)
    if ended:
        sys.exit(1 if status else 0)
    try:
        fcntl.flock(awaited, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(awaited, fcntl.LOCK_UN)
    except OSError:
        os.killpg(0, signal.SIGKILL)
    time.sleep(0.1)
";

static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// Whether this process compiles an environment that nobody waits for.
pub fn under_way() -> bool {
    UNDER_WAY.load(Ordering::Relaxed) > 0
}

/// Counts while it lives.
struct UnderWay;

impl UnderWay {
    fn new() -> Self {
        UNDER_WAY.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where the compiled one of an environment is, or will be.
pub fn beside(folder: &Path) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(COMPILED);
    folder.with_file_name(name)
}

/// The compiled one of an environment if there is one, else the environment.
pub fn or(folder: PathBuf) -> PathBuf {
    let compiled = beside(&folder);
    if compiled.join(MARKER).exists() {
        compiled
    } else {
        folder
    }
}

/// Notes of an environment which is being built that it is not compiled.
pub fn put_off(folder: &Path) -> Result<()> {
    write_whole(&folder.join(UNCOMPILED), b"")
}

pub fn is_put_off(folder: &Path) -> bool {
    folder.join(UNCOMPILED).exists()
}

/// Whether somebody waits for it from the beginning.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    Now,
    Later,
}

/// The file that is locked while somebody waits for the compiled one of an environment.
fn awaited(folder: &Path) -> PathBuf {
    beside(folder).with_extension(AWAITED)
}

/// Says until it is dropped that somebody waits for the compiled one of an environment, wherever it is
/// being made.
pub async fn wait_for(folder: &Path) -> Result<File> {
    let path = awaited(folder);
    let file = File::create(&path).map_err(|e| io_error("make", &path, &e))?;
    let locked = on_files(move || file.lock_shared().map(|()| file)).await?;
    locked.map_err(|e| io_error("lock", &path, &e))
}

/// Makes the compiled one of an environment while the caller does something else. When that fails, or
/// this process ends before, the next who wants the environment does it again.
pub fn make_later(folder: PathBuf, variables: Variables) {
    let counted = UnderWay::new();
    tokio::spawn(async move {
        let _counted = counted;
        let path = beside(&folder).with_extension("lock");
        // Else somebody is at it.
        if let Ok(lock) = File::create(&path)
            && lock.try_lock().is_ok()
        {
            let _ = make(&folder, Pace::Later, &variables, &lock).await;
        }
    });
}

/// Makes the compiled one of an environment, which goes when nobody holds it. Nothing is made of one that
/// is gone or was changed, or when it is done. The caller holds the lock for it.
pub async fn make(folder: &Path, pace: Pace, variables: &Variables, lock: &File) -> Result<()> {
    let compiled = beside(folder);
    let Some(held) = use_of::hold(folder) else {
        return Ok(());
    };
    if compiled.join(MARKER).exists() {
        return Ok(());
    }
    let unfinished = Unfinished::new(&compiled);
    let (from, to) = (folder.to_owned(), compiled.clone());
    on_files(move || {
        use_of::remove_unheld(&to)?;
        let without = [UNCOMPILED, MARKER, MANIFEST, CHANGED, INSTALLER_LOCK];
        own::copy(&from, &to, &without)
    })
    .await??;
    let tools = Tools {
        variables,
        lock,
        log: Path::new("/dev/null"),
        progress: &|_| (),
    };
    let modules = compiled.join("lib").to_string_lossy().into_owned();
    let python = compiled.join("bin/python");
    let awaited = awaited(folder).to_string_lossy().into_owned();
    let compile = async |pace: &str| {
        let arguments = ["-I", "-c", COMPILE, &modules, pace, &awaited];
        let compiling = tools.run(&python, &arguments).await;
        compiling.map_err(|e| io_error("run", &python, &e))
    };
    let begin = match pace {
        Pace::Now => "now",
        Pace::Later => "later",
    };
    let mut compiling = compile(begin).await?;
    // What it has compiled when somebody came to wait is not compiled again.
    if pace == Pace::Later && compiling.status.signal().is_some() {
        compiling = compile("now").await?;
    }
    // Modules that do not compile are no failure of it; half of it would never be made whole.
    if !compiling.status.success() {
        return Err(Error::unavailable(format!(
            "Compiling the environment ended with {}",
            compiling.status
        )));
    }
    let (from, to) = (folder.to_owned(), compiled);
    on_files(move || {
        seal::seal(&to)?;
        // Its files are those of the other one.
        if seal::changed(&from).is_some() {
            return Ok(());
        }
        let version = fs::read(from.join(MARKER)).map_err(|e| io_error("read", &from, &e))?;
        write_whole(&to.join(MARKER), &version)?;
        unfinished.finished();
        drop(held);
        let build = from.with_extension("lock");
        if let Ok(build) = File::create(build)
            && build.try_lock().is_ok()
        {
            use_of::remove_unheld(&from)?;
        }
        Ok(())
    })
    .await?
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, process::Command, time::Duration};

    use super::{super::environment::tests::machine, *};

    /// An environment as it is when it was built, and a module of it.
    fn built(home: &Path) -> (PathBuf, String) {
        built_with(home, "")
    }

    /// The same, whose Python does something else first.
    fn built_with(home: &Path, first: &str) -> (PathBuf, String) {
        let folder = home.join("key");
        let mut make = Command::new("python3");
        make.args(["-m", "venv", "--without-pip"]).arg(&folder);
        assert!(make.status().unwrap().success());
        let versions = fs::read_dir(folder.join("lib")).unwrap();
        let version = versions.flatten().next().unwrap().file_name();
        let module = format!("lib/{}/site-packages/a.py", version.display());
        fs::write(folder.join(&module), "a = 1").unwrap();
        let customize = folder.join(&module).with_file_name("sitecustomize.py");
        fs::write(customize, first).unwrap();
        put_off(&folder).unwrap();
        seal::seal(&folder).unwrap();
        fs::write(folder.join(MARKER), "3.11.7").unwrap();
        (folder, module)
    }

    async fn make_now(folder: &Path) {
        let lock = File::create(beside(folder).with_extension("lock")).unwrap();
        make(folder, Pace::Now, &machine(), &lock).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_compiled_one_takes_the_place_of_the_other() {
        let home = tempfile::tempdir().unwrap();
        let (folder, module) = built(home.path());
        assert_eq!(or(folder.clone()), folder);
        let held = use_of::hold(&folder);
        make_now(&folder).await;
        let compiled = or(folder.clone());
        assert_eq!(compiled, beside(&folder));
        assert!(is_put_off(&folder) && !is_put_off(&compiled));
        assert_eq!(seal::changed(&compiled), None);
        let bytecode = compiled.join(&module).with_file_name("__pycache__");
        let bytecode = fs::read_dir(bytecode).unwrap().flatten().next().unwrap();
        assert_eq!(bytecode.metadata().unwrap().permissions().mode() & 0o222, 0);
        let pip = fs::read_to_string(compiled.join("bin/activate")).unwrap();
        assert!(pip.contains(&*compiled.to_string_lossy()), "{pip}");
        drop(held);
        // Nothing is left to do, but for who removes what is not used.
        make_now(&folder).await;
        assert!(use_of::remove_unheld(&folder).unwrap());
        assert_eq!(or(folder.clone()), compiled);
    }

    /// Lets what compiles in idle time get none.
    const NEVER_IDLE: &str = "\
import os, time
if b'later' in open('/proc/self/cmdline', 'rb').read().split(b'\\0'):
    os.register_at_fork(after_in_child=lambda: time.sleep(1000))
";

    #[tokio::test(flavor = "multi_thread")]
    async fn whoever_waits_does_not_wait_for_idle_time() {
        let home = tempfile::tempdir().unwrap();
        let (folder, _) = built_with(home.path(), NEVER_IDLE);
        let variables = machine();
        let lock = File::create(beside(&folder).with_extension("lock")).unwrap();
        let mut made = std::pin::pin!(make(&folder, Pace::Later, &variables, &lock));
        let short = Duration::from_secs(2);
        let early = tokio::time::timeout(short, &mut made).await;
        assert!(early.is_err(), "nobody waits, and no time is idle");
        let _waiting = wait_for(&folder).await.unwrap();
        let long = Duration::from_mins(2);
        tokio::time::timeout(long, made).await.unwrap().unwrap();
        assert!(beside(&folder).join(MARKER).exists());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_that_was_written_over_is_not_compiled() {
        let home = tempfile::tempdir().unwrap();
        let (folder, module) = built(home.path());
        let module = folder.join(module);
        fs::set_permissions(&module, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&module, "a = 22").unwrap();
        make_now(&folder).await;
        assert!(folder.exists() && !beside(&folder).exists());
    }
}

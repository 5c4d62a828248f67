//! The binary in a home of its own: nothing of the machine's environment but what is named here.

use std::{
    ffi::OsString,
    fs,
    os::unix::{
        fs::{DirBuilderExt, symlink},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{Output, Process, Words, components, process};

/// Variables of the machine that tests need to reach package registries.
const PASSED_ON: [&str; 16] = [
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "PIP_CERT",
    "PIP_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_DEFAULT_TIMEOUT",
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
];

/// `aml` as a user on a fresh machine would have it. Clones share the machine.
#[derive(Clone)]
pub struct Aml {
    machine: Arc<Machine>,
    folder: PathBuf,
    variables: Vec<(String, OsString)>,
    limit: Duration,
}

/// Fields are dropped in this order: the server ends, the rest is swept, the folder goes.
struct Machine {
    server: Option<Process>,
    url: Option<String>,
    _sweep: Sweep,
    root: TempDir,
}

struct Sweep(PathBuf);

impl Drop for Sweep {
    fn drop(&mut self) {
        process::sweep(&self.0);
    }
}

/// Tells the same story in local mode and against a server on another address.
pub fn each_mode(story: impl Fn(&Aml)) {
    story(&Aml::local());
    // An expectation can be written once; then it must hold in the other mode.
    if std::env::var_os("UPDATE_EXPECT").is_none() {
        story(&Aml::remote());
    }
}

/// [`each_mode`], with the programs of a folder before all others, for commands and server.
pub fn each_mode_with(programs: &Path, story: impl Fn(&Aml)) {
    let with_programs = |aml: Aml| {
        let path = format!("{}:{}", programs.display(), components::path());
        aml.with("PATH", path)
    };
    story(&Aml::on(with_programs, |_| (None, None)));
    story(&Aml::on(with_programs, Aml::serve));
}

impl Aml {
    /// A machine with nothing on it.
    pub fn local() -> Self {
        Self::on(|aml| aml, |_| (None, None))
    }

    /// A machine with nothing on it but the profile `team` of a server that was just started.
    pub fn remote() -> Self {
        Self::on(|aml| aml, Self::serve)
    }

    fn serve(&self) -> (Option<Process>, Option<String>) {
        let mut command = self.command(["serve", "--port", "0"]);
        command.env("AML_HOME", self.root().join("server"));
        let server = Process::start(command, "aml serve --port 0".to_owned(), self.root());
        let line = server.stderr_line("Listening on ", 20);
        let url = line.rsplit(' ').next().expect("a URL").to_owned();
        let profile = format!("[profiles.team]\nurl = \"{url}\"\n");
        fs::write(self.root().join("config.toml"), profile).expect("writes the profile");
        (Some(server), Some(url))
    }

    fn on(
        prepare: impl FnOnce(Aml) -> Aml,
        serve: impl FnOnce(&Aml) -> (Option<Process>, Option<String>),
    ) -> Self {
        let root = tempfile::Builder::new().prefix("aml-").tempdir();
        let root = root.expect("makes a temporary folder");
        for folder in ["home", "here", "tmp"] {
            fs::create_dir(root.path().join(folder)).expect("makes a folder");
        }
        let mut aml = Self {
            folder: root.path().join("here"),
            machine: Arc::new(Machine {
                server: None,
                url: None,
                _sweep: Sweep(root.path().to_owned()),
                root,
            }),
            variables: Vec::new(),
            limit: Duration::from_mins(2),
        };
        aml = prepare(aml);
        let (server, url) = serve(&aml);
        if url.is_some() {
            aml.variables.push(("AML_PROFILE".into(), "team".into()));
        }
        let machine = Arc::get_mut(&mut aml.machine).expect("nobody else has it yet");
        (machine.server, machine.url) = (server, url);
        aml
    }

    /// Everything of this machine lies below.
    pub fn root(&self) -> &Path {
        self.machine.root.path()
    }

    /// The state directory that commands read and write: the server's in remote mode.
    pub fn state(&self) -> PathBuf {
        let name = if self.is_remote() { "server" } else { "state" };
        self.root().join(name)
    }

    /// Lets its environments be those of other tests, whichever of them builds one first: for tests of what
    /// happens in environments, before the first is needed.
    pub fn share_environments(&self) {
        let state = self.state();
        if !state.exists() {
            let mut private = fs::DirBuilder::new();
            private.mode(0o700).create(&state).expect("makes a folder");
        }
        let environments = state.join("environments");
        if !environments.is_symlink() {
            symlink(components::environments(), environments).expect("makes a link");
        }
    }

    pub fn is_remote(&self) -> bool {
        self.machine.url.is_some()
    }

    /// The server's URL in remote mode.
    pub fn url(&self) -> Option<&str> {
        self.machine.url.as_deref()
    }

    /// The server's process in remote mode.
    pub fn server(&self) -> Option<&Process> {
        self.machine.server.as_ref()
    }

    /// The same machine, with one more variable in the environment.
    pub fn with(&self, name: &str, value: impl Into<OsString>) -> Self {
        let mut aml = self.clone();
        aml.variables.push((name.to_owned(), value.into()));
        aml
    }

    /// The same machine, in another folder (made if it is not there), relative to this one.
    pub fn within(&self, folder: &str) -> Self {
        let mut aml = self.clone();
        aml.folder = self.folder.join(folder);
        fs::create_dir_all(&aml.folder).expect("makes the folder");
        aml
    }

    /// The same machine, with another limit for each command.
    pub fn within_seconds(&self, seconds: u64) -> Self {
        let mut aml = self.clone();
        aml.limit = Duration::from_secs(seconds);
        aml
    }

    /// A path relative to the current folder.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// Writes a file relative to the current folder, with the folders above it.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("makes the folder");
        fs::write(&path, content).expect("writes the file");
        path
    }

    /// Reads a text file relative to the current folder.
    #[track_caller]
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|e| panic!("cannot read {path}: {e}"))
    }

    /// `aml` with these words, not started yet.
    pub fn command(&self, words: impl Words) -> Command {
        let mut command = self.program(env!("CARGO_BIN_EXE_aml"));
        // As a shell calls what it has found on the PATH.
        command.arg0("aml").args(words.words());
        command
    }

    /// The binary as scripts written for Azure call it, with these words, run to the end.
    #[track_caller]
    pub fn az(&self, words: impl Words) -> Output {
        let words = words.words();
        let line = format!("az {}", words.join(" "));
        let mut command = self.program(env!("CARGO_BIN_EXE_aml"));
        command.arg0("az").args(words);
        process::run(command, line, None, self.root(), self.limit)
    }

    /// Any program in the environment that `aml` gets.
    pub fn program(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let root = self.root();
        let mut command = Command::new(program);
        command
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", components::path())
            .env("HOME", root.join("home"))
            .env("TMPDIR", root.join("tmp"))
            .env("TZ", "UTC")
            .env("LANG", "C.UTF-8")
            .env("AML_HOME", root.join("state"))
            .env("AML_CONFIG", root.join("config.toml"))
            // Packages are downloaded once for all tests.
            .env("UV_CACHE_DIR", components::folder().join("uv-cache"));
        for name in PASSED_ON {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs to the end, whatever it is.
    #[track_caller]
    pub fn run(&self, words: impl Words) -> Output {
        self.run_command(words, None)
    }

    /// Runs to the end with this text as standard input.
    #[track_caller]
    pub fn run_with_stdin(&self, words: impl Words, stdin: &str) -> Output {
        self.run_command(words, Some(stdin))
    }

    #[track_caller]
    fn run_command(&self, words: impl Words, stdin: Option<&str>) -> Output {
        let words = words.words();
        let line = format!("aml {}", words.join(" "));
        process::run(self.command(words), line, stdin, self.root(), self.limit)
    }

    /// Runs any other program of [`Aml::program`] to the end.
    #[track_caller]
    pub fn finish(&self, command: Command) -> Output {
        let line = format!("{command:?}");
        process::run(command, line, None, self.root(), self.limit)
    }

    /// The PATH with `aml` on it.
    pub fn path_with_aml(&self) -> String {
        let folder = Path::new(env!("CARGO_BIN_EXE_aml")).parent();
        let folder = folder.expect("a binary has a folder").display();
        format!("{folder}:{}", components::path())
    }

    /// Runs a line in `sh`, where `aml` is on the PATH.
    #[track_caller]
    pub fn sh(&self, script: &str) -> Output {
        let mut command = self.program("/bin/sh");
        command.args(["-c", script]);
        command.env("PATH", self.path_with_aml());
        self.finish(command)
    }

    /// Runs, must succeed; the standard output.
    #[track_caller]
    pub fn ok(&self, words: impl Words) -> String {
        self.run(words).ok()
    }

    /// Runs, must succeed; the standard output read as JSON.
    #[track_caller]
    pub fn json(&self, words: impl Words) -> Value {
        self.run(words).json()
    }

    /// Runs, must end with this exit code; the normalised standard error.
    #[track_caller]
    pub fn fails(&self, status: i32, words: impl Words) -> String {
        self.run(words).failed(status)
    }

    /// Starts in the background; killed when dropped.
    pub fn start(&self, words: impl Words) -> Process {
        let words = words.words();
        let line = format!("aml {}", words.join(" "));
        Process::start(self.command(words), line, self.root())
    }

    /// The processes of this machine that are running now, with their command lines.
    pub fn processes(&self) -> Vec<(nix::unistd::Pid, String)> {
        process::processes_of(self.root())
    }

    /// The supervisors of commands, without those that wait for one.
    pub fn supervisors(&self) -> Vec<nix::unistd::Pid> {
        let all = self.processes().into_iter();
        let supervises = |(pid, line): &(nix::unistd::Pid, String)| {
            let works_in = std::fs::read_link(format!("/proc/{pid}/cwd"));
            line.starts_with("aml supervise")
                && works_in.is_ok_and(|folder| folder.parent().is_some())
        };
        all.filter(supervises).map(|(pid, _)| pid).collect()
    }
}

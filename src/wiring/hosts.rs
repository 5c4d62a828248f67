//! Endpoint hosts: starting one, and being one.

use std::{collections::BTreeMap, fs, io, path::Path, process::Stdio};

use super::{service_of, worker::program};
use api::{Code, Error, Result, work::GetHostOrders};
use cli::config::Config;
use client::Client;
use host::Settings;
use nix::{
    sys::resource::{Resource, getrlimit, setrlimit},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use server::Trust;
use service::Hosts;
use store::{Home, Lock, Store};

/// The subcommand that is a host.
const HOST_COMMAND: &str = "endpoint-host";

/// What the service does with host processes.
pub const HOSTS: Hosts = Hosts {
    start: start_endpoint_host,
    end: end_endpoint_host,
    native: host::SCORES_NATIVELY,
};

/// Starts the host process of an endpoint. It outlives this process; its own errors go to the
/// endpoint's log.
fn start_endpoint_host(home: &Path, endpoint: i64) -> Result<()> {
    let log = Home::open(home.to_owned())?.endpoint_log(endpoint);
    let failed =
        |e: io::Error| Error::unavailable(format!("Cannot start the endpoint's host: {e}"));
    let output = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .map_err(failed)?;
    // Not waited for: the runtime collects it should it end before this process.
    tokio::process::Command::new(program())
        .arg0("aml")
        .args([HOST_COMMAND, "--profile", "local"])
        .arg(endpoint.to_string())
        .env("AML_HOME", home)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(output)
        .spawn()
        .map_err(failed)?;
    Ok(())
}

/// Tells the process that holds an endpoint's lock to end, or kills it; it may be of another version.
fn end_endpoint_host(home: &Path, endpoint: i64, at_once: bool) {
    // As the kernel names it.
    let Some(lock) = Home::open(home.to_owned())
        .ok()
        .and_then(|home| home.endpoint_lock(endpoint).canonicalize().ok())
    else {
        return;
    };
    let signal = if at_once {
        Signal::SIGKILL
    } else {
        Signal::SIGTERM
    };
    for pid in hosts_with(&lock) {
        let _ = kill(pid, signal);
    }
}

/// Hosts that have the lock file open. Others open it too, to look whether it is held.
fn hosts_with(lock: &Path) -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let host = |entry: fs::DirEntry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let is_host = line.split(|byte| *byte == 0).nth(1) == Some(HOST_COMMAND.as_bytes());
        let mut files = fs::read_dir(entry.path().join("fd")).ok()?;
        let is_lock = |file: io::Result<fs::DirEntry>| {
            file.is_ok_and(|file| fs::read_link(file.path()).is_ok_and(|path| path == lock))
        };
        (is_host && files.any(is_lock)).then(|| Pid::from_raw(pid))
    };
    processes.flatten().filter_map(host).collect()
}

/// Lets this process have as many connections as the machine allows one to have.
pub fn allow_many_files() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Serves an endpoint in this process until it is stopped; nothing happens when another process
/// does. `variables` are what the scoring process gets of the machine's.
pub async fn host_endpoint(
    home: &Path,
    endpoint: i64,
    variables: BTreeMap<String, String>,
) -> Result<()> {
    allow_many_files();
    // Away from the terminal and the signals of whoever started this; fails when that is so already.
    let _ = nix::unistd::setsid();
    let home = Home::open(home.to_owned())?;
    let store = Store::open(home.root().to_owned())?.answering_requests();
    let service = service_of(store, String::new(), None)?;
    let client = Client::in_process(server::router(service, Trust::Owner));
    let Some(lock) = Lock::try_take(&home.endpoint_lock(endpoint))? else {
        return Ok(());
    };
    if let Some(orders) = client.call(&GetHostOrders { endpoint }).await? {
        lock.note(&format!(
            "host of {} in {}, process {}",
            orders.name,
            orders.workspace,
            std::process::id()
        ));
    }
    // Held to the end of the process: who finds it free finds nothing of the host left.
    std::mem::forget(lock);
    let database = home.database();
    let settings = Settings {
        endpoint,
        home: home.root().to_owned(),
        folder: home.endpoint(endpoint),
        log: home.endpoint_log(endpoint),
        access: home.access_log(endpoint),
        stamp: home.endpoint_stamp(endpoint),
        loads: home.endpoint_loads(endpoint),
        variables,
        environments: Config::environments,
        outdated: Box::new(move || {
            store::format(&database).is_err_and(|error| error.code == Code::Unsupported)
        }),
    };
    host::run(client, settings).await
}

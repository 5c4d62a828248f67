//! Endpoint hosts: starting one, and being one.

use std::{collections::BTreeMap, fs, io, path::Path, process::Stdio};

use super::{service_of, worker::program};
use crate::{
    host::{self, Settings},
    server::{self, Trust},
};
use api::{Error, Result, work::GetHostOrders};
use client::Client;
use store::{Home, Lock, Store};

/// Starts the host process of an endpoint. It outlives this process; its own errors go to the
/// endpoint's log.
pub fn start_endpoint_host(home: &Path, endpoint: i64) -> Result<()> {
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
        .args(["endpoint-host", "--profile", "local"])
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

/// Serves an endpoint in this process until it is stopped; nothing happens when another process
/// does. `variables` are what the scoring process gets of the machine's.
pub async fn host_endpoint(
    home: &Path,
    endpoint: i64,
    variables: BTreeMap<String, String>,
) -> Result<()> {
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
    let settings = Settings {
        endpoint,
        home: home.root().to_owned(),
        folder: home.endpoint(endpoint),
        log: home.endpoint_log(endpoint),
        stamp: home.endpoint_stamp(endpoint),
        loads: home.endpoint_loads(endpoint),
        variables,
    };
    host::run(client, settings).await
}

/// Runs the scoring process of an endpoint and ends it when stdin closes; answers its exit code.
pub fn watch_endpoint(command: &[String]) -> io::Result<u8> {
    host::watch(command)
}

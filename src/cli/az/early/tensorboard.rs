//! `az ml run monitor-tensorboard`: what a run logs for TensorBoard, shown by the one of this machine.

use std::{io, path::Path, process::Stdio, time::Duration};

use serde_json::Value;

use super::run;
use crate::{
    az::{Az, given::Given},
    interrupt,
};
use api::{Code, Error, Result, runs::Run};

/// The folder of a run in which TensorBoard's files are looked for.
const LOGS: &str = "logs";
/// How often new ones are fetched.
const AGAIN: Duration = Duration::from_secs(5);

/// Fetches the files while the run goes on; ends with TensorBoard or by ctrl-C.
pub async fn monitor(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut run = run::get(az, given).await?;
    let own = format!("tensorboard-{}", run.name);
    let to = given.text("local-directory").unwrap_or(&own);
    let to = az.ctx.folder.join(to);
    if !fetch(az, &run.name, &to).await? && run.status.ended() {
        let message = format!("The run `{}` has left nothing in `{LOGS}`", run.name);
        return Err(Error::not_found(message)
            .hint(format!("Write what TensorBoard shall show below ./{LOGS}"))
            .into());
    }
    let mut shown = tokio::process::Command::new("tensorboard")
        .arg("--logdir")
        .arg(&to)
        .args(["--host", "127.0.0.1"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => Error::unavailable("TensorBoard is not installed here")
                .hint("Install it: pip install tensorboard"),
            _ => Error::unavailable(format!("Cannot start TensorBoard: {e}")),
        })?;
    loop {
        tokio::select! {
            ended = shown.wait() => {
                ended.map_err(|e| Error::unavailable(format!("TensorBoard: {e}")))?;
                return Ok(Value::Null);
            }
            () = interrupt::ctrl_c() => return Ok(Value::Null),
            () = tokio::time::sleep(AGAIN), if !run.status.ended() => {
                match again(az, given, &to).await {
                    Ok(now) => run = now,
                    // Who watches for hours sees servers come and go.
                    Err(error) if error.code.retryable() => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
}

/// Looks at the run, and fetches what is new.
async fn again(az: &Az, given: &Given, to: &Path) -> Result<Run> {
    let run = run::get(az, given).await?;
    fetch(az, &run.name, to).await?;
    Ok(run)
}

/// Whether there are any.
async fn fetch(az: &Az, run: &str, to: &Path) -> Result<bool> {
    let (client, workspace) = (az.ctx.client().await?, az.here().await?);
    let files = client
        .download_artifacts(&workspace, run, LOGS, to, None)
        .await;
    match files {
        Ok(files) => Ok(!files.is_empty()),
        Err(error) if error.code == Code::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

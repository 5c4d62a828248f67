//! `aml supervise`: what a worker starts for each run; not for people.

use clap::Args;

use crate::wiring;

/// Start the command described on stdin and write down how it ends
#[derive(Debug, Args)]
pub struct SuperviseArgs {}

pub async fn supervise(_args: SuperviseArgs) -> anyhow::Result<()> {
    wiring::supervise().await?;
    Ok(())
}

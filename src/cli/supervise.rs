//! `aml supervise`: what a worker starts for each run; not for people.

use std::path::PathBuf;

use clap::Args;

use crate::wiring;

/// Start the command described on stdin and write down how it ends
#[derive(Debug, Args)]
pub struct SuperviseArgs {
    /// Folder of the run
    folder: PathBuf,
}

pub async fn supervise(args: SuperviseArgs) -> anyhow::Result<()> {
    wiring::supervise(&args.folder).await?;
    Ok(())
}

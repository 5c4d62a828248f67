//! `aml run outputs`

use clap::Args;

use super::{RunArg, download::check_path};
use crate::context::Context;
use api::files::ListArtifacts;

/// List the files that a run has put out
#[derive(Debug, Args)]
pub struct OutputsArgs {
    #[command(flatten)]
    run: RunArg,
    /// Only this file or folder of the run
    #[arg(
        long,
        value_name = "PATH",
        default_value = "",
        hide_default_value = true
    )]
    path: String,
}

pub async fn outputs(ctx: &Context, args: OutputsArgs) -> anyhow::Result<()> {
    let path = args.path.trim_matches('/');
    let request = ListArtifacts {
        workspace: ctx.workspace().await?,
        run: args.run.name,
        path: String::new(),
    };
    let mut all = ctx.client().await?.call(&request).await?;
    if !path.is_empty() {
        check_path(&request.run, &all, path)?;
        let below = format!("{path}/");
        all.retain(|file| file.path == path || file.path.starts_with(&below));
    }
    ctx.ui.show(&all)
}

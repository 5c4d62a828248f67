//! `aml run outputs`

use clap::Args;

use super::RunArg;
use crate::cli::context::Context;
use api::files::ListArtifacts;

/// List the files that a run has put out
#[derive(Debug, Args)]
pub struct OutputsArgs {
    #[command(flatten)]
    run: RunArg,
    /// Only what is in this folder of the run
    #[arg(
        long,
        value_name = "PATH",
        default_value = "",
        hide_default_value = true
    )]
    path: String,
}

pub async fn outputs(ctx: &Context, args: OutputsArgs) -> anyhow::Result<()> {
    let request = ListArtifacts {
        workspace: ctx.workspace().await?,
        run: args.run.name,
        path: args.path.trim_matches('/').to_owned(),
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}

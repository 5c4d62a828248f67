//! `aml experiment show`

use clap::Args;

use crate::context::Context;
use api::experiments::GetExperiment;

/// Show an experiment
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Experiment to show
    #[arg(value_name = "NAME")]
    name: String,
}

pub async fn show(ctx: &Context, args: ShowArgs) -> anyhow::Result<()> {
    let request = GetExperiment {
        workspace: ctx.workspace().await?,
        name: Some(args.name),
        id: None,
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}

//! `aml model show`

use clap::Args;

use super::resolve;
use crate::cli::context::Context;
use api::models::ModelRef;

/// Show a model version and where it came from
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Model to show: NAME:VERSION, NAME@ALIAS, or NAME for the newest version
    #[arg(value_name = "MODEL")]
    model: ModelRef,
}

pub async fn show(ctx: &Context, args: ShowArgs) -> anyhow::Result<()> {
    let workspace = ctx.workspace().await?;
    let model = resolve(ctx.client().await?, &workspace, &args.model).await?;
    ctx.ui.show(&model)
}

//! `aml model show`

use clap::Args;

use super::{ModelArg, resolve};
use crate::context::Context;

/// Show a model version and where it came from
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    model: ModelArg,
}

pub async fn show(ctx: &Context, args: ShowArgs) -> anyhow::Result<()> {
    let workspace = ctx.workspace().await?;
    let model = resolve(ctx.client().await?, &workspace, &args.model.reference()?).await?;
    ctx.ui.show(&model)
}

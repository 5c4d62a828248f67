//! `aml compute delete`

use clap::Args;

use crate::{context::Context, views::Named};
use api::computes::DeleteCompute;

/// Delete a compute; what runs on it goes on
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Compute to delete
    #[arg(short, long)]
    name: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub async fn delete(ctx: &Context, args: DeleteArgs) -> anyhow::Result<()> {
    let name = args.name;
    ctx.ui
        .confirm(args.yes, &format!("Delete the compute {name}?"))?;
    let request = DeleteCompute {
        workspace: ctx.workspace().await?,
        name: name.clone(),
    };
    ctx.client().await?.call(&request).await?;
    ctx.ui.done(
        &format!("Deleted the compute {name}."),
        &Named::new(name.as_str()),
    )
}

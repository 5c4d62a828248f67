//! `aml workspace show`

use clap::Args;

use super::NameArg;
use crate::context::Context;
use api::workspaces::GetWorkspace;

/// Show a workspace and its associated resources
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    name: NameArg,
}

pub async fn show(ctx: &Context, args: ShowArgs) -> anyhow::Result<()> {
    let workspace = args.name.resolve(ctx).await?;
    let workspace = ctx
        .client()
        .await?
        .call(&GetWorkspace { workspace })
        .await?;
    ctx.ui.show(&workspace)?;
    if workspace.mlflow_tracking_uri.is_none() && ctx.ui.asks_for("mlflow_tracking_uri") {
        ctx.ui
            .warn("Nothing listens for MLflow's clients on this state directory.");
        ctx.ui
            .hint("For one command: aml mlflow -- COMMAND; for longer, start a server: aml serve");
    }
    Ok(())
}

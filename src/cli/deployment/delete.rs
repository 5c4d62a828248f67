//! `aml deployment delete`

use clap::Args;

use super::TargetArgs;
use crate::{context::Context, views::Named};
use api::deployments::DeleteDeployment;

/// End a deployment and delete it with its log
///
/// One that gets requests is refused: share them with another one first.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Delete it though it gets requests
    #[arg(long)]
    force: bool,
}

pub async fn delete(ctx: &Context, args: DeleteArgs) -> anyhow::Result<()> {
    let found = args.target.get(ctx).await?;
    let endpoint = args.target.endpoint;
    let question = format!("Delete the deployment `{}` of `{endpoint}`?", found.name);
    ctx.ui.confirm(args.yes, &question)?;
    let request = DeleteDeployment {
        workspace: ctx.workspace().await?,
        endpoint,
        name: found.name.clone(),
        force: args.force,
    };
    ctx.client().await?.call(&request).await?;
    ctx.ui.done(
        &format!("Deleted the deployment {}.", found.name),
        &Named::new(found.name.as_str()),
    )
}

//! `aml batch delete`

use clap::Args;

use crate::{context::Context, views::Named};
use api::batch::{DeleteBatchDeployment, DeleteBatchEndpoint, GetBatchDeployment};

/// Delete a batch endpoint with its deployments, or one of them
///
/// The jobs that were started stay.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Batch endpoint to delete
    name: String,
    /// Deployment of it to delete instead
    #[arg(short, long, value_name = "NAME")]
    deployment: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub async fn delete(ctx: &Context, args: DeleteArgs) -> anyhow::Result<()> {
    let workspace = ctx.workspace().await?;
    let client = ctx.client().await?;
    let (what, name) = match args.deployment {
        None => {
            let found = super::get(ctx, &workspace, &args.name).await?;
            let question = format!("Delete the batch endpoint `{}`?", found.name);
            ctx.ui.confirm(args.yes, &question)?;
            let name = found.name.clone();
            client
                .call(&DeleteBatchEndpoint { workspace, name })
                .await?;
            ("batch endpoint", found.name)
        }
        Some(name) => {
            let get = GetBatchDeployment {
                workspace: workspace.clone(),
                endpoint: args.name,
                name,
            };
            let found = client.call(&get).await?;
            let (name, endpoint) = (found.name, found.endpoint);
            let question = format!("Delete the deployment `{name}` of `{endpoint}`?");
            ctx.ui.confirm(args.yes, &question)?;
            let delete = DeleteBatchDeployment {
                workspace,
                endpoint,
                name: name.clone(),
            };
            client.call(&delete).await?;
            ("deployment", name)
        }
    };
    let sentence = format!("Deleted the {what} {name}.");
    ctx.ui.done(&sentence, &Named::new(name))
}

//! `aml datastore list`

use clap::Args;

use crate::context::Context;
use api::datastores::ListDatastores;

/// List the datastores of the workspace
#[derive(Debug, Args)]
pub struct ListArgs {}

pub async fn list(ctx: &Context, _args: ListArgs) -> anyhow::Result<()> {
    let request = ListDatastores {
        workspace: ctx.workspace().await?,
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}

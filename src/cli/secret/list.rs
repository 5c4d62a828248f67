//! `aml secret list`

use clap::Args;

use crate::context::Context;
use api::secrets::ListSecrets;

/// List the names of the secrets
#[derive(Debug, Args)]
pub struct ListArgs {}

pub async fn list(ctx: &Context, _args: ListArgs) -> anyhow::Result<()> {
    let request = ListSecrets {
        workspace: ctx.workspace().await?,
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}

//! `aml secret get`

use clap::Args;

use crate::context::Context;
use api::secrets::GetSecret;

/// Print the value of a secret
#[derive(Debug, Args)]
pub struct GetArgs {
    /// Name of the secret
    name: String,
}

pub async fn get(ctx: &Context, args: GetArgs) -> anyhow::Result<()> {
    let request = GetSecret {
        workspace: ctx.workspace().await?,
        name: args.name,
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}

//! `aml user rotate-token`

use clap::Args;

use crate::context::Context;
use api::access::RotateToken;

/// Replace a user's token; the old one stops working at once
#[derive(Debug, Args)]
pub struct RotateTokenArgs {
    /// Name of the user
    name: String,
}

pub async fn rotate_token(ctx: &Context, args: RotateTokenArgs) -> anyhow::Result<()> {
    let request = RotateToken { user: args.name };
    let created = ctx.client().await?.call(&request).await?;
    ctx.ui.show(&created)?;
    ctx.ui
        .hint("The token is not shown again; log in with it: aml login URL");
    Ok(())
}

//! `aml endpoint token`

use clap::Args;

use crate::context::Context;
use api::endpoints::GetEndpointToken;

/// Issue a token for an endpoint that takes tokens
///
/// The token opens the endpoint until it expires, as `Authorization: Bearer TOKEN`. A new key ends all
/// tokens that were issued before.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// Endpoint to open
    name: String,
    /// How long it is good for [default: 3600]
    #[arg(long, value_name = "N")]
    seconds: Option<u32>,
}

pub async fn token(ctx: &Context, args: TokenArgs) -> anyhow::Result<()> {
    let request = GetEndpointToken {
        workspace: ctx.workspace().await?,
        name: args.name,
        seconds: args.seconds,
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}

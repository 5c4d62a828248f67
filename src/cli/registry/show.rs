//! `aml registry show`

use clap::Args;

use crate::context::Context;
use api::registries::GetRegistry;

/// Show a registry
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Registry to show
    #[arg(short, long)]
    name: String,
}

pub async fn show(ctx: &Context, args: ShowArgs) -> anyhow::Result<()> {
    let request = GetRegistry {
        registry: args.name,
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}

//! `aml registry list`

use clap::Args;

use crate::context::Context;
use api::registries::ListRegistries;

/// List the registries of the server
#[derive(Debug, Args)]
pub struct ListArgs {}

pub async fn list(ctx: &Context, _args: ListArgs) -> anyhow::Result<()> {
    ctx.ui
        .show(&ctx.client().await?.call(&ListRegistries {}).await?)
}

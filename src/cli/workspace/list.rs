//! `aml workspace list`

use clap::Args;

use crate::context::Context;
use api::workspaces::ListWorkspaces;

/// List the workspaces you may read
#[derive(Debug, Args)]
pub struct ListArgs {}

pub async fn list(ctx: &Context, _args: ListArgs) -> anyhow::Result<()> {
    let mut workspaces = ctx.client().await?.call(&ListWorkspaces {}).await?;
    let fits = |wanted: &Option<String>, found: &str| {
        wanted
            .as_ref()
            .is_none_or(|wanted| wanted.eq_ignore_ascii_case(found))
    };
    workspaces.retain(|workspace| {
        fits(&ctx.resource_group, &workspace.resource_group)
            && fits(&ctx.subscription, &workspace.subscription)
    });
    ctx.ui.show(&workspaces)
}

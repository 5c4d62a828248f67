//! `aml datastore show`

use clap::Args;

use crate::context::Context;
use api::datastores::GetDatastore;

/// Show a datastore; what opens it only when asked to
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Datastore to show [default: the default one]
    #[arg(short, long)]
    name: Option<String>,
    /// Show the credentials in plain
    #[arg(long)]
    populate_secrets: bool,
}

pub async fn show(ctx: &Context, args: ShowArgs) -> anyhow::Result<()> {
    let request = GetDatastore {
        workspace: ctx.workspace().await?,
        name: args.name,
        secrets: args.populate_secrets,
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}

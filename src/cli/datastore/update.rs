//! `aml datastore update`

use clap::Args;

use crate::{
    args::{Hidden, parse_credentials, parse_pairs},
    context::Context,
};
use api::datastores::UpdateDatastore;

/// Change what is given of a datastore and leave the rest
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// Datastore to change
    #[arg(short, long)]
    name: String,
    /// What opens it from now on, as KEY=VALUE; `KEY=-` asks for it
    #[arg(long = "credential", value_name = "KEY=VALUE", num_args = 1..)]
    credentials: Vec<Hidden>,
    /// Make it the default one
    #[arg(long)]
    default: bool,
    /// New description
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Tag to set, as KEY=VALUE; KEY= removes one
    #[arg(long = "tag", alias = "tags", value_name = "KEY=VALUE", num_args = 1..)]
    tags: Vec<String>,
}

pub async fn update(ctx: &Context, args: UpdateArgs) -> anyhow::Result<()> {
    let credentials = parse_credentials(&args.credentials)?;
    let request = UpdateDatastore {
        workspace: ctx.workspace().await?,
        name: args.name,
        description: args.description,
        tags: parse_pairs("--tag", &args.tags)?,
        credentials: (!credentials.is_empty()).then_some(credentials),
        make_default: args.default,
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}

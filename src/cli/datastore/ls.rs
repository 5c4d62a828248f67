//! `aml datastore ls`

use clap::Args;

use super::InStoreArgs;
use crate::context::Context;
use api::datastores::ListStoredFiles;

/// List the files of a datastore
#[derive(Debug, Args)]
pub struct LsArgs {
    #[command(flatten)]
    place: InStoreArgs,
    /// At most so many
    #[arg(short = 'r', long, value_name = "N")]
    max_results: Option<u64>,
}

pub async fn ls(ctx: &Context, args: LsArgs) -> anyhow::Result<()> {
    let request = ListStoredFiles {
        workspace: ctx.workspace().await?,
        datastore: args.place.datastore,
        path: args.place.path,
        limit: args.max_results,
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}

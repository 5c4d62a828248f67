//! `aml datastore test`

use clap::Args;

use crate::context::Context;
use api::datastores::TestDatastore;

/// Check that a datastore can be reached
#[derive(Debug, Args)]
pub struct TestArgs {
    /// Datastore to check
    #[arg(short, long)]
    name: String,
}

pub async fn test(ctx: &Context, args: TestArgs) -> anyhow::Result<()> {
    let name = args.name;
    let request = TestDatastore {
        workspace: ctx.workspace().await?,
        name: name.clone(),
    };
    ctx.client().await?.call(&request).await?;
    ctx.ui
        .status(&format!("The datastore {name} can be reached."));
    Ok(())
}

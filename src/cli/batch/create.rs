//! `aml batch create`

use clap::Args;

use crate::{args::parse_pairs, context::Context};
use api::batch::PutBatchEndpoint;

/// Create a batch endpoint, or change one that is there
///
/// What is not given stays as it is. A new one does nothing before something is deployed behind it:
/// `aml batch deploy`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Batch endpoint to create
    name: String,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Tag, as KEY=VALUE; may be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<String>,
    /// Deployment that runs when none is named
    #[arg(long, value_name = "DEPLOYMENT")]
    default: Option<String>,
}

pub async fn create(ctx: &Context, args: CreateArgs) -> anyhow::Result<()> {
    let tags = parse_pairs("--tag", &args.tags)?;
    let request = PutBatchEndpoint {
        workspace: ctx.workspace().await?,
        name: args.name,
        description: args.description,
        tags: (!tags.is_empty()).then_some(tags),
        default_deployment: args.default,
        ..PutBatchEndpoint::default()
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}

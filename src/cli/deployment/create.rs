//! `aml deployment create`

use std::path::PathBuf;

use clap::Args;

use super::described::{self, Wanted};
use crate::{
    context::Context,
    document::{Draft, edits},
    error,
};
use spec::overrides::Values;

/// Deploy what a YAML file describes behind an endpoint and wait until it answers
///
/// The file is that of Azure ML's online deployments. What it names on this machine is uploaded first.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// YAML file of the deployment
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// Endpoint to deploy behind [default: the file's]
    #[arg(id = "endpoint", short = 'e', long = "endpoint", value_name = "NAME")]
    endpoint: Option<String>,
    /// Name of the deployment [default: the file's]
    #[arg(id = "deployment", short = 'n', long = "name", value_name = "NAME")]
    name: Option<String>,
    /// Value to change first, such as `instance_count=2`; several can follow
    #[arg(long, value_name = "KEY=VALUE", num_args = 1..)]
    set: Vec<String>,
    /// Give it all requests of the endpoint once it answers
    #[arg(long)]
    all_traffic: bool,
    /// Do not wait until it answers
    #[arg(long)]
    no_wait: bool,
}

pub async fn create(ctx: &Context, args: CreateArgs) -> anyhow::Result<()> {
    let file = args.file.to_string_lossy();
    let mut draft = Draft::open(Some(&file), &ctx.folder)?;
    if let Some(endpoint) = args.endpoint {
        draft.put("endpoint_name", endpoint, "--endpoint");
    }
    if let Some(name) = args.name {
        draft.put("name", name, "--name");
    }
    draft.edit(&edits(&args.set)?, Values::Strings)?;
    let fields = draft.check("online-deployment")?;
    let wanted = Wanted {
        all_traffic: args.all_traffic,
        no_wait: args.no_wait,
        ..Wanted::default()
    };
    let workspace = ctx.workspace().await?;
    let deployed = described::put(ctx, &workspace, fields, wanted).await;
    let deployed = deployed.map_err(|error| error::amend(error, |error| draft.located(error)))?;
    ctx.ui.show(&deployed)
}

//! `aml deployment update`

use std::path::PathBuf;

use clap::Args;

use super::{
    TargetArgs,
    described::{self, Wanted},
};
use crate::{
    context::Context,
    document::{Draft, edits},
};
use spec::overrides::Values;

/// Change a deployment and wait until the change answers
///
/// What answers now goes on until the new processes do, and for good when they do not come to that.
#[derive(Debug, Args)]
pub struct UpdateArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// YAML file with what is to change
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// Value to change, such as `instance_count=2`; several can follow
    #[arg(long, value_name = "KEY=VALUE", num_args = 1..)]
    set: Vec<String>,
    /// Do not wait until it answers
    #[arg(long)]
    no_wait: bool,
}

pub async fn update(ctx: &Context, args: UpdateArgs) -> anyhow::Result<()> {
    let found = args.target.get(ctx).await?;
    let file = args.file.as_ref().map(|file| file.to_string_lossy());
    let mut draft = Draft::open(file.as_deref(), &ctx.folder)?;
    draft.put("name", found.name.clone(), "the deployment");
    draft.put(
        "endpoint_name",
        args.target.endpoint.clone(),
        "the endpoint",
    );
    described::over(
        &mut draft,
        &described::written(&args.target.endpoint, &found),
    );
    draft.edit(&edits(&args.set)?, Values::Json)?;
    let fields = draft.check("online-deployment")?;
    let wanted = Wanted {
        existing: true,
        no_wait: args.no_wait,
        ..Wanted::default()
    };
    let workspace = ctx.workspace().await?;
    ctx.ui
        .show(&described::put(ctx, &workspace, fields, wanted).await?)
}

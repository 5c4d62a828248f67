//! `aml batch deploy`

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value};

use super::uploads::bring;
use crate::{
    context::Context,
    document::{Draft, edits},
    job::create::say_of_computes,
};
use api::{
    Result,
    batch::{BatchDeployment, PutBatchDeployment},
};
use spec::overrides::Values;

/// Deploy what a YAML file describes behind a batch endpoint
///
/// The file is that of Azure ML's batch deployments, of a model or of a pipeline component. What it
/// names on this machine is uploaded first.
#[derive(Debug, Args)]
pub struct DeployArgs {
    /// Batch endpoint to deploy behind [default: the file's]
    name: Option<String>,
    /// YAML file of the deployment
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// Name of the deployment [default: the file's]
    #[arg(short, long, value_name = "NAME")]
    deployment: Option<String>,
    /// Value to change first, such as `settings.mini_batch_size=5`; several can follow
    #[arg(long, value_name = "KEY=VALUE", num_args = 1..)]
    set: Vec<String>,
    /// Let it run when none is named
    #[arg(long)]
    set_default: bool,
}

pub async fn deploy(ctx: &Context, args: DeployArgs) -> anyhow::Result<()> {
    let file = args.file.to_string_lossy();
    let mut draft = Draft::open(Some(&file), &ctx.folder)?;
    for (key, given, flag) in [
        ("endpoint_name", args.name, "NAME"),
        ("name", args.deployment, "--deployment"),
    ] {
        if let Some(given) = given {
            draft.put(key, given, flag);
        }
    }
    draft.edit(&edits(&args.set)?, Values::Strings)?;
    let fields = draft.check("batch-deployment")?;
    let workspace = ctx.workspace().await?;
    let put = put(ctx, &workspace, fields, |request| {
        request.set_default = args.set_default;
    });
    ctx.ui
        .show(&put.await.map_err(|error| draft.located(error))?)
}

/// Makes or changes the deployment that the checked fields describe, with what they name on this machine.
pub async fn put(
    ctx: &Context,
    workspace: &str,
    mut fields: Map<String, Value>,
    change: impl FnOnce(&mut PutBatchDeployment),
) -> Result<BatchDeployment> {
    bring(ctx, workspace, &mut fields).await?;
    let text = |key: &str| {
        let text = fields.get(key).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let mut request = PutBatchDeployment {
        workspace: workspace.to_owned(),
        endpoint: text("endpoint_name"),
        name: text("name"),
        definition: fields,
        existing: false,
        set_default: false,
    };
    change(&mut request);
    let made = ctx.client().await?.call(&request).await?;
    say_of_computes(ctx, workspace, &made.definition, false).await;
    Ok(made)
}

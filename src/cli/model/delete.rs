//! `aml model delete`

use clap::Args;

use super::versioned;
use crate::cli::context::Context;
use api::models::{DeleteModel, ModelRef};

/// Delete a model version, or all versions of a model
///
/// Refused while an endpoint has it. The numbers of deleted versions are not used again.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Model version, as NAME:VERSION; only NAME with --all-versions
    #[arg(value_name = "MODEL")]
    model: ModelRef,
    /// Delete every version
    #[arg(long)]
    all_versions: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub async fn delete(ctx: &Context, args: DeleteArgs) -> anyhow::Result<()> {
    let name = args.model.name.clone();
    let (version, what) = if args.all_versions {
        (None, format!("every version of the model {name}"))
    } else {
        let version = versioned(&args.model)?;
        (Some(version), format!("the model {name}:{version}"))
    };
    ctx.ui.confirm(args.yes, &format!("Delete {what}?"))?;
    let request = DeleteModel {
        workspace: ctx.workspace().await?,
        name,
        version,
        forget_numbers: false,
    };
    ctx.client().await?.call(&request).await?;
    ctx.ui.status(&format!("Deleted {what}."));
    Ok(())
}

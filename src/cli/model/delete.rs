//! `aml model delete`

use clap::Args;

use super::{ModelArg, versioned};
use crate::{context::Context, views::Named};
use api::models::DeleteModel;

/// Delete a model version, or all versions of a model
///
/// A version must be named, by its number. Refused while an endpoint has it. The numbers of deleted versions are not used again.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    #[command(flatten)]
    model: ModelArg,
    /// Delete every version of the model
    #[arg(long, conflicts_with = "version")]
    all_versions: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub async fn delete(ctx: &Context, args: DeleteArgs) -> anyhow::Result<()> {
    let model = args.model.reference()?;
    let name = model.name.clone();
    let (version, what) = if args.all_versions {
        (None, format!("every version of the model {name}"))
    } else {
        let version = versioned(ctx, &model).await.map_err(|error| {
            error.hint(format!(
                "All of them: aml model delete {name} --all-versions"
            ))
        })?;
        (Some(version), format!("the model {model}"))
    };
    ctx.ui.confirm(args.yes, &format!("Delete {what}?"))?;
    let request = DeleteModel {
        workspace: ctx.workspace().await?,
        name,
        version,
        forget_numbers: false,
    };
    ctx.client().await?.call(&request).await?;
    let deleted = Named {
        version: version.map(|version| version.to_string()),
        ..Named::new(request.name)
    };
    ctx.ui.done(&format!("Deleted {what}."), &deleted)
}

//! `aml data delete`, and so on.

use clap::Args;

use super::TargetArgs;
use crate::{context::Context, views::Named};
use api::{
    Error,
    assets::{AssetKind, DeleteAsset, Pick},
};

/// Delete a version of an asset, or all its versions
///
/// The numbers of deleted versions are not used again. `aml gc` frees the space.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Delete every version
    #[arg(long)]
    all_versions: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub async fn delete(ctx: &Context, kind: AssetKind, args: DeleteArgs) -> anyhow::Result<()> {
    let asset = args.target.asset()?;
    let name = asset.name;
    let (version, what) = match (&asset.pick, args.all_versions) {
        (_, true) => (None, format!("every version of the {kind} {name}")),
        (Pick::Version(version), false) => (
            Some(version.clone()),
            format!("the {kind} {name}:{version}"),
        ),
        (Pick::Latest | Pick::Label(_), false) => {
            return Err(Error::invalid(format!("Which version of `{name}`?"))
                .hint(format!("Name it, as in {name}:1, or add --all-versions"))
                .hint(format!("See all: aml {kind} list --name {name}"))
                .into());
        }
    };
    ctx.ui.confirm(args.yes, &format!("Delete {what}?"))?;
    let request = DeleteAsset {
        workspace: args.target.workspace(ctx).await?,
        kind,
        name,
        version,
    };
    ctx.client().await?.call(&request).await?;
    let deleted = Named {
        version: request.version,
        ..Named::new(request.name)
    };
    ctx.ui.done(&format!("Deleted {what}."), &deleted)
}

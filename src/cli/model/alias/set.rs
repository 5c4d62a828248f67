//! `aml model alias set`

use clap::Args;

use crate::{
    context::Context,
    model::{VersionArg, resolve},
    views::Named,
};
use api::{models::ModelRef, names, registered_models::SetModelAlias};

/// Give a model version an alias
///
/// A version of the model that had it loses it: `aml model alias set iris:4 champion` makes version 4
/// what `iris@champion` means from then on.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// Model version: NAME:VERSION, NAME@ALIAS, or NAME for the newest version
    #[arg(value_name = "MODEL")]
    model: ModelRef,
    #[command(flatten)]
    version: VersionArg,
    /// Alias, of letters, digits, `-` and `_`
    #[arg(value_name = "ALIAS")]
    alias: String,
}

pub async fn set(ctx: &Context, args: SetArgs) -> anyhow::Result<()> {
    names::check_alias(&args.alias)?;
    let workspace = ctx.workspace().await?;
    let client = ctx.client().await?;
    let found = resolve(client, &workspace, &args.version.of(args.model)?).await?;
    let request = SetModelAlias {
        workspace,
        name: found.name,
        version: found.version,
        alias: args.alias,
    };
    client.call(&request).await?;
    let said = format!(
        "{}@{} is version {}.",
        request.name, request.alias, request.version
    );
    let set = Named {
        version: Some(request.version.to_string()),
        alias: Some(request.alias),
        name: request.name,
    };
    ctx.ui.done(&said, &set)
}

//! `aml model alias delete`

use clap::Args;

use crate::{context::Context, model::resolve, views::Named};
use api::{
    Error,
    models::{ModelRef, Which},
    registered_models::DeleteModelAlias,
};

/// Take an alias away from the version that has it
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Alias, as NAME@ALIAS
    #[arg(value_name = "MODEL")]
    model: ModelRef,
}

pub async fn delete(ctx: &Context, args: DeleteArgs) -> anyhow::Result<()> {
    let Which::Alias(alias) = &args.model.which else {
        return Err(Error::invalid(format!("`{}` names no alias", args.model))
            .at("model")
            .hint(format!("Name it, as in {}@champion", args.model.name))
            .into());
    };
    let workspace = ctx.workspace().await?;
    let client = ctx.client().await?;
    resolve(client, &workspace, &args.model).await?;
    let request = DeleteModelAlias {
        workspace,
        name: args.model.name.clone(),
        alias: alias.clone(),
    };
    client.call(&request).await?;
    let deleted = Named {
        alias: Some(request.alias),
        ..Named::new(request.name)
    };
    ctx.ui.done(&format!("Deleted {}.", args.model), &deleted)
}

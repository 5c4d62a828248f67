//! `aml model restore`

use clap::Args;

use crate::{
    context::Context,
    model::{ModelArg, versioned},
};
use api::models::{Stage, UpdateModel};

/// Bring an archived model version back
///
/// It is in no stage then, and can be the newest again.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    #[command(flatten)]
    model: ModelArg,
}

pub async fn restore(ctx: &Context, args: RestoreArgs) -> anyhow::Result<()> {
    let model = args.model.reference()?;
    let request = UpdateModel {
        version: versioned(ctx, &model).await?,
        workspace: ctx.workspace().await?,
        name: model.name,
        stage: Some(Stage::None),
        ..UpdateModel::default()
    };
    let model = ctx.client().await?.call(&request).await?;
    ctx.ui.done(
        &format!("Restored {}:{}.", model.name, model.version),
        &model,
    )
}

//! `aml model archive`

use clap::Args;

use crate::{
    context::Context,
    model::{ModelArg, versioned},
};
use api::models::{Stage, UpdateModel};

/// Hide a model version from lists and from being the newest
///
/// This is MLflow's stage Archived. Endpoints that serve it go on. `aml model restore` brings it back.
#[derive(Debug, Args)]
pub struct ArchiveArgs {
    #[command(flatten)]
    model: ModelArg,
}

pub async fn archive(ctx: &Context, args: ArchiveArgs) -> anyhow::Result<()> {
    let model = args.model.reference()?;
    let request = UpdateModel {
        version: versioned(ctx, &model).await?,
        workspace: ctx.workspace().await?,
        name: model.name,
        stage: Some(Stage::Archived),
        ..UpdateModel::default()
    };
    let model = ctx.client().await?.call(&request).await?;
    ctx.ui.done(
        &format!("Archived {}:{}.", model.name, model.version_called()),
        &model,
    )
}

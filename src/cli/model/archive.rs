//! `aml model archive`

use clap::Args;

use crate::cli::{context::Context, model::versioned};
use api::models::{ModelRef, Stage, UpdateModel};

/// Hide a model version from lists and from being the newest
///
/// This is MLflow's stage Archived. Endpoints that serve it go on. `aml model restore` brings it back.
#[derive(Debug, Args)]
pub struct ArchiveArgs {
    /// Model version, as NAME:VERSION
    #[arg(value_name = "MODEL")]
    model: ModelRef,
}

pub async fn archive(ctx: &Context, args: ArchiveArgs) -> anyhow::Result<()> {
    let request = UpdateModel {
        workspace: ctx.workspace().await?,
        version: versioned(&args.model)?,
        name: args.model.name,
        stage: Some(Stage::Archived),
        ..UpdateModel::default()
    };
    let model = ctx.client().await?.call(&request).await?;
    ctx.ui
        .status(&format!("Archived {}:{}.", model.name, model.version));
    Ok(())
}

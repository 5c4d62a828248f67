//! `aml model restore`

use clap::Args;

use crate::cli::{context::Context, model::versioned};
use api::models::{ModelRef, Stage, UpdateModel};

/// Bring an archived model version back
///
/// It is in no stage then, and can be the newest again.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// Model version, as NAME:VERSION
    #[arg(value_name = "MODEL")]
    model: ModelRef,
}

pub async fn restore(ctx: &Context, args: RestoreArgs) -> anyhow::Result<()> {
    let request = UpdateModel {
        workspace: ctx.workspace().await?,
        version: versioned(&args.model)?,
        name: args.model.name,
        stage: Some(Stage::None),
        ..UpdateModel::default()
    };
    let model = ctx.client().await?.call(&request).await?;
    ctx.ui
        .status(&format!("Restored {}:{}.", model.name, model.version));
    Ok(())
}

//! `aml model update`

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};

use super::{ModelArg, resolve};
use crate::{args::parse_pairs, context::Context};
use api::models::{Stage, UpdateModel};

/// Change what is given of a model version and leave the rest
#[derive(Debug, Args)]
pub struct UpdateArgs {
    #[command(flatten)]
    model: ModelArg,
    /// New description
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Tag to set, as KEY=VALUE; KEY= removes one
    #[arg(long = "tag", alias = "tags", value_name = "KEY=VALUE", num_args = 1..)]
    tags: Vec<String>,
    /// Property to add, as KEY=VALUE; one that is there stays as it is
    #[arg(long = "property", value_name = "KEY=VALUE", num_args = 1..)]
    properties: Vec<String>,
    /// Stage to move it to
    #[arg(long, value_enum)]
    stage: Option<StageArg>,
    /// Archive the other versions in that stage
    #[arg(long, requires = "stage")]
    archive_others: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StageArg {
    None,
    Staging,
    Production,
    Archived,
}

pub async fn update(ctx: &Context, args: UpdateArgs) -> anyhow::Result<()> {
    let workspace = ctx.workspace().await?;
    let client = ctx.client().await?;
    let found = resolve(client, &workspace, &args.model.reference()?).await?;
    let (removed, set): (BTreeMap<_, _>, BTreeMap<_, _>) = parse_pairs("--tag", &args.tags)?
        .into_iter()
        .partition(|(_, value)| value.is_empty());
    let request = UpdateModel {
        workspace,
        name: found.name,
        version: found.version,
        description: args.description,
        set_tags: set,
        remove_tags: removed.into_keys().collect(),
        add_properties: parse_pairs("--property", &args.properties)?,
        flavors: None,
        stage: args.stage.map(|stage| match stage {
            StageArg::None => Stage::None,
            StageArg::Staging => Stage::Staging,
            StageArg::Production => Stage::Production,
            StageArg::Archived => Stage::Archived,
        }),
        archive_others: args.archive_others,
    };
    ctx.ui.show(&client.call(&request).await?)
}

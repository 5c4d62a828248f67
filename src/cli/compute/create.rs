//! `aml compute create`

use clap::Args;

use crate::{
    asset::texts,
    context::Context,
    document::{Draft, edits},
};
use api::computes::CreateCompute;
use spec::overrides::Values;

/// Create a compute, or replace what one of that name says
///
/// A cluster (`amlcompute`) has as many slots as instances, a `computeinstance` has one. Jobs that
/// name it wait until a slot is free.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Name of the compute
    #[arg(short, long, required_unless_present = "file")]
    name: Option<String>,
    /// `amlcompute`, `computeinstance`, or of one that exists: `virtualmachine`, `kubernetes`,
    /// `synapsespark`
    #[arg(
        short = 't',
        long = "type",
        value_name = "TYPE",
        required_unless_present = "file"
    )]
    kind: Option<String>,
    /// YAML file that describes it; options go before what it says
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: Option<String>,
    /// Value to change, as KEY=VALUE; the key with dots
    #[arg(long, value_name = "KEY=VALUE", num_args = 1..)]
    set: Vec<String>,
    /// Size of the machines, such as `Standard_DS3_v2` [see: aml compute list-sizes]
    #[arg(long)]
    size: Option<String>,
    /// Least number of instances
    #[arg(long, value_name = "N")]
    min_instances: Option<u32>,
    /// Greatest number of instances
    #[arg(long, value_name = "N")]
    max_instances: Option<u32>,
    /// Seconds after which an idle instance goes
    #[arg(long, value_name = "SECONDS")]
    idle_time_before_scale_down: Option<u32>,
    /// Description
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

pub async fn create(ctx: &Context, args: CreateArgs) -> anyhow::Result<()> {
    let mut draft = Draft::open(args.file.as_deref(), &ctx.folder)?;
    for (key, text) in [
        ("name", args.name),
        ("type", args.kind),
        ("size", args.size),
        ("description", args.description),
    ] {
        if let Some(text) = text {
            draft.put(key, text, &format!("--{key}"));
        }
    }
    for (key, number) in [
        ("min_instances", args.min_instances),
        ("max_instances", args.max_instances),
        (
            "idle_time_before_scale_down",
            args.idle_time_before_scale_down,
        ),
    ] {
        if let Some(number) = number {
            draft.put(key, number, &format!("--{}", key.replace('_', "-")));
        }
    }
    draft.edit(&edits(&args.set)?, Values::Strings)?;
    let mut fields = draft.check("compute")?;
    let mut text = |key: &str| match fields.shift_remove(key) {
        Some(serde_json::Value::String(text)) => Some(text),
        _ => None,
    };
    let mut request = CreateCompute {
        workspace: ctx.workspace().await?,
        name: text("name").unwrap_or_default(),
        kind: text("type").unwrap_or_default(),
        location: text("location"),
        description: text("description").unwrap_or_default(),
        tags: [].into(),
        spec: serde_json::Map::new(),
    };
    request.tags = texts(&fields, "tags");
    fields.shift_remove("tags");
    request.spec = fields;
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}

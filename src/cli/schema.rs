//! `aml schema`

use clap::Args;

use super::{context::Context, validate::kind_named};
use spec::schema;

/// Print the JSON Schema of a kind of Azure ML YAML file
///
/// Editors complete and check files with it: save it, and put
/// `# yaml-language-server: $schema=FILE` on the first line of a YAML file.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// What the file describes: job, component, data, environment, …
    #[arg(value_name = "KIND")]
    kind: String,
}

pub fn schema(ctx: &Context, args: &SchemaArgs) -> anyhow::Result<()> {
    let kind = kind_named(&args.kind)?;
    let text = serde_json::to_string_pretty(&schema::of_kind(kind))?;
    ctx.ui.print(&(text + "\n"))
}

//! `aml connection create`

use clap::Args;

use super::described;
use crate::{
    args::{Hidden, parse_credentials},
    context::Context,
    document::{Draft, edits},
};
use spec::overrides::Values;

/// Create a connection from a YAML file, or replace the one of that name
///
/// What lets one in goes to the workspace's vault.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// YAML file that describes it
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: String,
    /// Name, instead of the file's
    #[arg(short, long)]
    name: Option<String>,
    /// Value to change, as KEY=VALUE; the key with dots
    #[arg(long, value_name = "KEY=VALUE", num_args = 1..)]
    set: Vec<String>,
    /// What lets one in, as KEY=VALUE, in addition to what the file says; `KEY=-` asks for it
    #[arg(long = "credential", value_name = "KEY=VALUE", num_args = 1..)]
    credentials: Vec<Hidden>,
}

pub async fn create(ctx: &Context, args: CreateArgs) -> anyhow::Result<()> {
    let mut draft = Draft::open(Some(&args.file), &ctx.folder)?;
    if let Some(name) = args.name {
        draft.put("name", name, "--name");
    }
    draft.edit(&edits(&args.set)?, Values::Strings)?;
    let fields = draft.check("connection")?;
    let mut request = described(&ctx.workspace().await?, &fields);
    request
        .credentials
        .extend(parse_credentials(&args.credentials)?);
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}

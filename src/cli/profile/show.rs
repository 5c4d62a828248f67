//! `aml profile show`

use clap::Args;

use crate::context::Context;

/// Show a profile
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Profile to show [default: the one in use]
    name: Option<String>,
}

pub fn show(ctx: &Context, args: &ShowArgs) -> anyhow::Result<()> {
    let name = args.name.as_deref().or(ctx.profile()).unwrap_or("local");
    ctx.ui.show(&super::info(ctx, name)?)
}

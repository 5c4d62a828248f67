//! `aml profile use`

use clap::Args;

use crate::cli::context::Context;

/// Choose the profile to use when none is named
#[derive(Debug, Args)]
pub struct UseArgs {
    /// Profile to use; `local` is this machine
    name: String,
}

pub fn use_(ctx: &Context, args: &UseArgs) -> anyhow::Result<()> {
    if args.name == "local" {
        ctx.config.change(|settings| settings.profile = None)?;
        ctx.ui.status("Using this machine.");
        return Ok(());
    }
    let url = ctx.known_profile(&args.name)?.url.clone();
    ctx.config
        .change(|settings| settings.profile = Some(args.name.clone()))?;
    ctx.ui.status(&format!("Using the server {url}"));
    Ok(())
}

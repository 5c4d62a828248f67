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
    let mut config = ctx.config.clone();
    if args.name == "local" {
        config.settings.profile = None;
        config.save()?;
        ctx.ui.status("Using this machine.");
        return Ok(());
    }
    let url = ctx.known_profile(&args.name)?.url.clone();
    config.settings.profile = Some(args.name.clone());
    config.save()?;
    ctx.ui.status(&format!("Using the server {url}"));
    Ok(())
}

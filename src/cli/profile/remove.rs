//! `aml profile remove`

use clap::Args;

use crate::cli::context::Context;

/// Forget a server and its token
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Profile to forget
    name: String,
}

pub fn remove(ctx: &Context, args: &RemoveArgs) -> anyhow::Result<()> {
    ctx.known_profile(&args.name)?;
    let mut config = ctx.config.clone();
    config.settings.profiles.remove(&args.name);
    if config.settings.profile.as_deref() == Some(&args.name) {
        config.settings.profile = None;
        ctx.ui
            .status("It was the default; this machine is used now.");
    }
    config.store_token(&args.name, None)?;
    config.save()?;
    ctx.ui.status(&format!("Forgot the profile {}.", args.name));
    Ok(())
}

//! `aml profile remove`

use clap::Args;

use crate::{context::Context, views::Named};

/// Forget a server and its tokens
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Profile to forget
    name: String,
}

pub fn remove(ctx: &Context, args: &RemoveArgs) -> anyhow::Result<()> {
    ctx.known_profile(&args.name)?;
    // Also those for servers that it named before.
    ctx.config.forget_tokens(&args.name)?;
    let mut was_default = false;
    ctx.config.change(|settings| {
        settings.profiles.remove(&args.name);
        was_default = settings.profile.as_deref() == Some(&args.name);
        if was_default {
            settings.profile = None;
        }
    })?;
    if was_default {
        ctx.ui
            .status("It was the default; this machine is used now.");
    }
    ctx.ui.done(
        &format!("Forgot the profile {}.", args.name),
        &Named::new(args.name.as_str()),
    )
}

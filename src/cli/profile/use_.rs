//! `aml profile use`

use clap::Args;

use crate::{context::Context, views::Named};

/// Choose the profile to use when none is named
#[derive(Debug, Args)]
pub struct UseArgs {
    /// Profile to use; `local` is this machine
    name: String,
}

pub fn use_(ctx: &Context, args: &UseArgs) -> anyhow::Result<()> {
    if args.name == "local" {
        ctx.config.change(|settings| settings.profile = None)?;
        return ctx.ui.done("Using this machine.", &Named::new("local"));
    }
    let url = ctx.known_profile(&args.name)?.url.clone();
    ctx.config
        .change(|settings| settings.profile = Some(args.name.clone()))?;
    let said = format!("Using the server {url}");
    ctx.ui.done(&said, &Named::new(args.name.as_str()))
}

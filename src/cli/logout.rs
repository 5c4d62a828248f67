//! `aml logout`

use clap::Args;

use super::{context::Context, profile};
use api::Error;

/// Forget the token of a profile
///
/// The profile stays; `aml profile remove` forgets it as a whole.
#[derive(Debug, Args)]
pub struct LogoutArgs {
    /// Profile to log out of [default: the one in use]
    name: Option<String>,
}

pub fn logout(ctx: &Context, args: &LogoutArgs) -> anyhow::Result<()> {
    let Some(name) = args.name.as_deref().or(ctx.profile()) else {
        return Err(Error::invalid("Local mode has no token to forget")
            .hint("Name a profile: aml logout NAME; see which there are: aml profile list")
            .into());
    };
    ctx.known_profile(name)?;
    let said = match ctx.config.stored_token(name)? {
        Some(_) => format!("Logged out of `{name}`."),
        None => format!("`{name}` had no token."),
    };
    // Also one whose server is not known.
    ctx.config.store_token(name, None)?;
    ctx.ui.done(&said, &profile::info(ctx, name)?)
}

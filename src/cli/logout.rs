//! `aml logout`

use clap::Args;

use super::{context::Context, profile};
use crate::config::Others;
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
    let own = ctx.config.stored_token(name)?;
    let others = ctx.config.other_tokens(name)?;
    // Also one whose server is not known.
    ctx.config.store_token(name, None)?;
    let said = match (own, &others) {
        (Some(_), _) | (None, Some(Others::Unknown)) => format!("Logged out of `{name}`."),
        (None, _) => format!("`{name}` had no token for the server it names."),
    };
    ctx.ui.done(&said, &profile::info(ctx, name)?)?;
    if let Some(Others::For(servers)) = others {
        // Another configuration file in the folder may call one of them by this name.
        ctx.ui.hint(&format!(
            "Its tokens for {} are kept; forget them with the profile: aml profile remove {name}",
            servers.join(", ")
        ));
    }
    Ok(())
}

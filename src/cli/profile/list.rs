//! `aml profile list`

use clap::Args;

use super::{ProfileInfo, info};
use crate::context::Context;
use api::Result;

/// List the servers you have logged in to, and this machine
#[derive(Debug, Args)]
pub struct ListArgs {}

pub fn list(ctx: &Context, _args: &ListArgs) -> anyhow::Result<()> {
    let names = ctx.config.settings.profiles.keys().map(String::as_str);
    let profiles: Vec<ProfileInfo> = std::iter::once("local")
        .chain(names)
        .map(|name| info(ctx, name))
        .collect::<Result<_>>()?;
    ctx.ui.show(&profiles)
}

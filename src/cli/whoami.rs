//! `aml whoami`

use clap::Args;

use super::context::Context;
use crate::api::access::WhoAmI;

/// Show who you are to the server, or to this machine
#[derive(Debug, Args)]
pub struct WhoamiArgs {}

pub async fn whoami(ctx: &Context, _args: WhoamiArgs) -> anyhow::Result<()> {
    ctx.ui.show(&ctx.client().await?.call(&WhoAmI {}).await?)
}

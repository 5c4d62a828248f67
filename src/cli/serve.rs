//! `aml serve`

use clap::Args;

use super::context::Context;
use crate::wiring::{self, ServeSettings};

/// Serve the workspaces of this machine over HTTP
///
/// On loopback a caller without a token is the owner until the first user is created; on any other
/// address a token is needed. Stops on ctrl-C or SIGTERM; runs and endpoints go on.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Port to listen on; 0 takes any free one
    #[arg(long, default_value_t = 5000)]
    port: u16,
    /// Need a token on loopback too
    #[arg(long)]
    require_token: bool,
}

pub async fn serve(ctx: &Context, args: ServeArgs) -> anyhow::Result<()> {
    let settings = ServeSettings {
        home: ctx.config.home.clone(),
        host: args.host,
        port: args.port,
        require_token: args.require_token,
    };
    let listening = |url: &str| ctx.ui.status(&format!("Listening on {url}"));
    wiring::serve(settings, listening).await?;
    Ok(())
}

//! `aml endpoint keys`

use clap::{Args, ValueEnum};

use crate::context::Context;
use api::endpoints::{GetEndpointKeys, KeyKind, RegenerateEndpointKey};

/// Show the keys of an endpoint, or make a new one
///
/// Either key opens the endpoint, as `Authorization: Bearer KEY`. A key that is regenerated stops
/// working at once; the other one goes on.
#[derive(Debug, Args)]
pub struct KeysArgs {
    /// Endpoint whose keys to show
    name: String,
    /// Make a new key in the place of this one
    #[arg(long, value_enum, value_name = "KEY")]
    regenerate: Option<Which>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    Primary,
    Secondary,
}

pub async fn keys(ctx: &Context, args: KeysArgs) -> anyhow::Result<()> {
    let workspace = ctx.workspace().await?;
    let client = ctx.client().await?;
    let name = args.name;
    let keys = match args.regenerate {
        None => client.call(&GetEndpointKeys { workspace, name }).await?,
        Some(which) => {
            let key = match which {
                Which::Primary => KeyKind::Primary,
                Which::Secondary => KeyKind::Secondary,
            };
            let request = RegenerateEndpointKey {
                workspace,
                name,
                key,
            };
            client.call(&request).await?
        }
    };
    ctx.ui.show(&keys)
}

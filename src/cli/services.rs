//! `aml service`

use clap::Args;

use super::{az, context::Context};

/// Manage endpoints as services, with the commands and flags of 2020
///
/// A service is an endpoint: `list`, `show`, `run`, `update`, `delete`, `get-keys`, `regen-key`,
/// `get-access-token` and `get-logs`, each with the flags of `az ml service`, such as
/// `aml service run -n iris-ep -d '{"data": [[5.1, 3.5, 1.4, 0.2]]}'`.
#[derive(Debug, Args)]
pub struct ServiceArgs {
    /// Command and its flags
    #[arg(
        value_name = "COMMAND",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    words: Vec<String>,
}

pub async fn service(ctx: &Context, args: ServiceArgs) -> anyhow::Result<()> {
    az::service(ctx, &args.words).await
}

//! `aml mlflow`

mod child;

use std::{collections::BTreeMap, path::Path};

use clap::Args;

use super::context::Context;
use crate::{config::MLFLOW_CA, wiring::Lent};
use api::{access::WhoAmI, workspaces::GetWorkspace};

/// Run a command whose MLflow logs to the workspace
///
/// Sets `MLFLOW_TRACKING_URI` and the token that goes with it. Without a profile a server on loopback is
/// there for as long as the command is; with one it is the profile's server. Ends with the command's
/// own exit code.
#[derive(Debug, Args)]
pub struct MlflowArgs {
    /// Program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub async fn mlflow(ctx: &Context, args: MlflowArgs) -> anyhow::Result<()> {
    let client = ctx.client().await?;
    let workspace = ctx.workspace().await?;
    let workspace = client.call(&GetWorkspace { workspace }).await?.name;
    let user = client.call(&WhoAmI {}).await?.name;
    let profile = ctx.profile();
    let known = profile.map(|profile| ctx.known_profile(profile));
    let ca = known
        .transpose()?
        .and_then(|known| known.ca_file.as_deref());
    // From here on a signal is the command's.
    let signals = child::Signals::listen()?;
    let lent = ctx.wiring.lend(&ctx.target()?).await?;
    let mut variables = tracking(&lent, &workspace, &user, ca);
    // For `aml` itself, when the command calls it.
    variables.insert("AML_WORKSPACE", Some(workspace));
    variables.insert("AML_PROFILE", Some(profile.unwrap_or("local").to_owned()));
    if profile.is_none() {
        // A proxy knows another loopback than this machine's.
        for name in ["NO_PROXY", "no_proxy"] {
            let others = ctx.config.passed_on.get(name).map(String::as_str);
            let others = others.filter(|others| !others.is_empty());
            let all = others.into_iter().chain(["127.0.0.1"]).collect::<Vec<_>>();
            variables.insert(name, Some(all.join(",")));
        }
    }
    let ended = child::run(&args.command, variables, signals).await;
    lent.take_back.await;
    child::conclude(ended?)
}

/// What MLflow's clients read, with what would lead them elsewhere taken away.
fn tracking(
    lent: &Lent,
    workspace: &str,
    user: &str,
    ca: Option<&Path>,
) -> BTreeMap<&'static str, Option<String>> {
    let uri = format!("{}/ws/{}", lent.url, workspace.to_lowercase());
    let token = lent.token.clone();
    let user = token.is_some().then(|| user.to_owned());
    let ca = ca.map(|ca| std::path::absolute(ca).unwrap_or_else(|_| ca.to_owned()));
    [
        ("MLFLOW_TRACKING_URI", Some(uri)),
        ("MLFLOW_TRACKING_TOKEN", token.clone()),
        // Clients prefer a name and password that they find in a file of the user's to a token.
        ("MLFLOW_TRACKING_USERNAME", user),
        ("MLFLOW_TRACKING_PASSWORD", token),
        (MLFLOW_CA, ca.map(|ca| ca.display().to_string())),
        // The links would lead to pages that are not there; and nothing here phones home.
        (
            "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT",
            Some("true".to_owned()),
        ),
        ("MLFLOW_DISABLE_TELEMETRY", Some("true".to_owned())),
        ("MLFLOW_REGISTRY_URI", None),
        ("MLFLOW_TRACKING_AUTH", None),
        ("MLFLOW_WORKSPACE", None),
    ]
    .into()
}

//! `az login`, `az version` and other commands that stand alone.

use serde_json::{Value, json};

use super::{
    Az, account, configure,
    given::Given,
    grammar::{Flag, Group, Verb, flag, switch, verb},
};
use crate::cli::login;
use api::Error;

/// The release of Azure's command line and of its `ml` extension whose grammar is spoken.
const CLI: &str = "2.77.0";
pub const EXTENSION: &str = "2.39.0";

const LOGIN: &[Flag] = &[
    switch("identity", "As the machine's identity"),
    switch("service-principal", "As a service principal"),
    switch("use-device-code", "With a code on another device"),
    switch("allow-no-subscriptions", "Also without a subscription"),
    flag("username", "User name, or id of the service principal").short('u'),
    flag("password", "Token, or secret of the service principal").short('p'),
    flag("tenant", "Tenant").short('t'),
    flag("client-id", "Id of the identity"),
    flag("object-id", "Object id of the identity"),
    flag("resource-id", "Resource id of the identity"),
    flag("federated-token", "Token of a federated identity"),
    flag("scope", "Scope of the token").many(),
];

pub const TOP: Group = Group {
    path: "",
    about: "",
    verbs: &[
        verb!("login", "Log in", [LOGIN], log_in),
        verb!(
            "logout",
            "Forget who is logged in",
            [&[flag("username", "User name")]],
            log_out
        ),
        verb!("version", "Show the versions", [], version),
        verb!(
            "upgrade",
            "Not needed here",
            [&[
                switch("yes", "Do not ask").short('y'),
                flag("all", "Extensions too").maybe()
            ]],
            upgrade
        ),
        verb!(
            "configure",
            "Manage defaults",
            [configure::FLAGS],
            configure::configure
        ),
    ],
};

/// `az --version`.
pub const VERSION_TEXT: Verb = verb!("version", "Show the versions", [], version_text);

/// In local mode whoever may run the command is let in. A server is asked who this is; a password
/// is the token by which it knows.
async fn log_in(az: &Az, given: &Given) -> anyhow::Result<Value> {
    if let (Some(profile), Some(token)) = (az.ctx.profile(), given.owned("password")) {
        let mut remote = az.ctx.remote(profile)?;
        remote.token = Some(token);
        login::verify(&remote).await?;
        az.ctx.config.store_token(profile, remote.token)?;
    }
    Ok(json!([account::shown(az).await?]))
}

async fn log_out(az: &Az, _given: &Given) -> anyhow::Result<Value> {
    if let Some(profile) = az.ctx.profile() {
        az.ctx.config.store_token(profile, None)?;
    }
    Ok(Value::Null)
}

async fn version(_az: &Az, _given: &Given) -> anyhow::Result<Value> {
    Ok(json!({
        "azure-cli": CLI,
        "azure-cli-core": CLI,
        "azure-cli-telemetry": "1.1.0",
        "extensions": {"ml": EXTENSION},
        "amlite": env!("CARGO_PKG_VERSION"),
    }))
}

async fn version_text(az: &Az, _given: &Given) -> anyhow::Result<Value> {
    let own = env!("CARGO_PKG_VERSION");
    az.ctx.ui.print(&format!(
        "azure-cli  {CLI}\n\ncore       {CLI}\n\nExtensions:\nml         {EXTENSION}\n\nAMLite     {own}\n"
    ))?;
    Ok(Value::Null)
}

async fn upgrade(_az: &Az, _given: &Given) -> anyhow::Result<Value> {
    Err(
        Error::unsupported("This `az` is AMLite, which does not replace itself")
            .hint("Install a newer AMLite")
            .into(),
    )
}

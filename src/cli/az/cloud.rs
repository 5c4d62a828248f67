//! `az login`, `az version` and other commands that stand alone.

use serde_json::{Value, json};

use super::{
    Az, account, configure,
    given::Given,
    grammar::{Flag, Group, Verb, flag, switch, verb},
};
use crate::login;
use api::{Error, names};

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

/// Commands of Azure's that scripts call on their way, and why they do not work here.
pub const NOT_HERE: &[(&str, &str)] = &[
    ("aks", "no clusters of Kubernetes are made"),
    ("appservice", NO_APPS),
    ("bicep", NO_TEMPLATES),
    (
        "cloud",
        "there is no cloud to choose; a profile chooses a server",
    ),
    ("cognitiveservices", NO_SERVED),
    ("connectedk8s", "no clusters of Kubernetes are connected"),
    ("container", NO_APPS),
    ("containerapp", NO_APPS),
    ("cosmosdb", NO_DATABASES),
    ("deployment", NO_TEMPLATES),
    ("disk", NO_MACHINES),
    ("feature", "nothing of Azure is behind a feature"),
    ("functionapp", NO_APPS),
    (
        "interactive",
        "`source <(aml completions bash --program az)` completes commands",
    ),
    ("k8s-extension", "no clusters of Kubernetes are connected"),
    ("keyvault delete", WITH_WORKSPACE),
    (
        "keyvault set-policy",
        "who may read secrets follows from the role: az role assignment create",
    ),
    ("ml azure-openai-deployment", NO_SERVED),
    ("ml capability-host", NO_SERVED),
    ("ml deployment-template", NO_SERVED),
    ("ml feature-set", NO_FEATURES),
    ("ml feature-store", NO_FEATURES),
    ("ml feature-store-entity", NO_FEATURES),
    ("ml index", NO_SERVED),
    ("ml marketplace-subscription", NO_SERVED),
    (
        "ml pipeline",
        "pipelines are not published: az ml run submit-pipeline runs one, az ml component create keeps one",
    ),
    ("ml serverless-endpoint", NO_SERVED),
    (
        "ml workspace private-endpoint",
        "there are no networks but the machine's own",
    ),
    ("monitor diagnostic-settings", NO_METRICS),
    ("monitor log-analytics", NO_METRICS),
    ("monitor metrics", NO_METRICS),
    ("mysql", NO_DATABASES),
    ("network", "there are no networks but the machine's own"),
    ("postgres", NO_DATABASES),
    (
        "policy",
        "no policies are kept; roles are: az role assignment create",
    ),
    (
        "rest",
        "no resource manager answers; `aml serve` has an API of its own",
    ),
    ("search", "there is no search service"),
    ("sql", NO_DATABASES),
    ("storage account delete", WITH_WORKSPACE),
    (
        "storage blob directory",
        "blobs make their folders: az storage blob upload-batch",
    ),
    (
        "synapse",
        "Spark runs on the machine itself: spark jobs need nothing",
    ),
    (
        "tag",
        "tags are those of each thing: az ml workspace update --tags",
    ),
    ("vm", NO_MACHINES),
    ("vmss", NO_MACHINES),
    ("webapp", NO_APPS),
];
const NO_APPS: &str = "only endpoints are served: az ml online-endpoint create";
const NO_DATABASES: &str = "there are no databases";
const NO_FEATURES: &str = "features are not materialised; aml validate checks their files";
const NO_METRICS: &str = "an endpoint says what it does: az ml online-deployment get-logs";
const NO_SERVED: &str = "only models of the workspace are served: az ml online-endpoint create";
const WITH_WORKSPACE: &str = "it belongs to its workspace and goes with it: az ml workspace delete";
const NO_MACHINES: &str = "there are no virtual machines; jobs run on the worker's machine";
const NO_TEMPLATES: &str = "templates are not deployed: az ml workspace create makes a workspace";

/// Those of which there is something here.
const PROVIDERS: [&str; 7] = [
    "Microsoft.Authorization",
    "Microsoft.ContainerRegistry",
    "Microsoft.Insights",
    "Microsoft.KeyVault",
    "Microsoft.MachineLearningServices",
    "Microsoft.ManagedIdentity",
    "Microsoft.Storage",
];
const NAMESPACE: &[Flag] = &[
    flag("namespace", "Namespace, such as Microsoft.Storage")
        .short('n')
        .required(),
    switch("wait", "Until it is done"),
];

pub const PROVIDER: Group = Group {
    path: "provider",
    about: "What kinds of resources there are",
    verbs: &[
        verb!(
            "show",
            "Show whether there are any of a namespace",
            [NAMESPACE],
            provider
        ),
        verb!(
            "register",
            "Not needed here: the namespace must be there",
            [NAMESPACE],
            register
        ),
        verb!("list", "List the namespaces", [], providers),
    ],
};

fn shown(namespace: &str, registered: bool) -> Value {
    json!({
        "id": format!("/subscriptions/{}/providers/{namespace}", super::ids::NO_ID),
        "namespace": namespace,
        "registrationPolicy": "RegistrationRequired",
        "registrationState": if registered { "Registered" } else { "NotRegistered" },
        "resourceTypes": [],
    })
}

fn known(namespace: &str) -> Option<&'static str> {
    PROVIDERS
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(namespace))
}

async fn provider(_az: &Az, given: &Given) -> anyhow::Result<Value> {
    let namespace = given.required("namespace")?;
    Ok(match known(namespace) {
        Some(known) => shown(known, true),
        None => shown(namespace, false),
    })
}

async fn providers(_az: &Az, _given: &Given) -> anyhow::Result<Value> {
    Ok(PROVIDERS
        .iter()
        .map(|namespace| shown(namespace, true))
        .collect())
}

async fn register(_az: &Az, given: &Given) -> anyhow::Result<Value> {
    let namespace = given.required("namespace")?;
    match known(namespace) {
        Some(_) => Ok(Value::Null),
        None => {
            let nearest = names::nearest(namespace, PROVIDERS);
            Err(Error::unknown("resources of", namespace, " are here", nearest).into())
        }
    }
}

/// `az --version`.
pub const VERSION_TEXT: Verb = verb!("version", "Show the versions", [], version_text);

/// In local mode whoever may run the command is let in. A server is asked who this is; a password
/// is the token by which it knows.
async fn log_in(az: &Az, given: &Given) -> anyhow::Result<Value> {
    if let (Some(profile), Some(token)) = (az.ctx.profile(), given.owned("password")) {
        let mut remote = az.ctx.remote(profile)?;
        remote.token = Some(token);
        login::verify(&az.ctx, &remote).await?;
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

//! `az ml service` and `az ml endpoint realtime`: a service is an endpoint, a version of one a
//! deployment behind it.

use serde_json::{Map, Value, json};

use super::{ASYNC, COMMON, METADATA, NAME, VERBOSE, answer, deploy, serve};
use crate::{
    az::{
        Az,
        given::{Given, is_tagged},
        grammar::{Flag, Group, flag, switch, verb},
        ids,
    },
    endpoint,
};
use api::{
    Error, Result,
    deployments::{DeleteDeployment, ModelVersion},
    endpoints::{
        AuthMode, DeleteEndpoint, Endpoint, EndpointState, GetEndpoint, GetEndpointKeys,
        GetEndpointLog, GetEndpointToken, KeyKind, LOCAL, ListEndpoints, PutEndpoint,
        RegenerateEndpointKey,
    },
};

const VERSION: &[Flag] = &[flag("version-name", "Version of the endpoint")
    .alias(&["vn"])
    .required()];
const SHARE: &[Flag] = &[
    flag("traffic-percentile", "Percent of the requests it gets").alias(&["tp"]),
    flag("is-default", "Give it what the others do not get").maybe(),
    flag("control-version-type", "Accepted")
        .alias(&["cvt"])
        .maybe(),
];
const CHANGES: &[Flag] = &[
    flag("add-tag", "Tag, as KEY=VALUE").repeated(),
    flag("remove-tag", "Tag to remove").repeated(),
    flag("add-property", "Property, as KEY=VALUE").repeated(),
];
const INPUT: &[Flag] = &[flag("input-data", "Document to send").short('d')];
const THE_KEY: &[Flag] = &[
    flag("key", "primary or secondary")
        .short('k')
        .required()
        .choices(&["primary", "secondary"]),
    flag("set-key", "Not here: keys are made by chance").short('s'),
];
const LINES: &[Flag] = &[
    flag("num_lines", "The last so many lines")
        .short('l')
        .alias(&["num-lines"]),
    switch("init", "Of the start").short('i'),
];

pub const GROUP: Group = Group {
    path: "ml service",
    about: "Services, as the commands of 2020 know them",
    verbs: &[
        verb!(
            "list",
            "List the services",
            [
                COMMON,
                METADATA,
                VERBOSE,
                &[
                    flag("name", "Of this name").short('n'),
                    flag("compute-type", "Accepted").short('c'),
                    flag("model-id", "That serve this model"),
                    flag("model-name", "That serve a version of this model"),
                    flag("tag", "With this tag, as KEY or KEY=VALUE").repeated(),
                    flag("property", "With this property").repeated(),
                ]
            ],
            list
        ),
        verb!(
            "show",
            "Show a service",
            [COMMON, METADATA, VERBOSE, NAME],
            show
        ),
        verb!(
            "run",
            "Send a document to a service",
            [COMMON, METADATA, VERBOSE, NAME, INPUT],
            run
        ),
        verb!(
            "update",
            "Change a service",
            [
                COMMON,
                METADATA,
                VERBOSE,
                ASYNC,
                NAME,
                deploy::WHAT,
                deploy::HOW,
                CHANGES
            ],
            serve::update
        ),
        verb!(
            "delete",
            "Delete a service",
            [COMMON, VERBOSE, NAME],
            delete
        ),
        verb!(
            "get-keys",
            "Show the keys",
            [COMMON, METADATA, VERBOSE, NAME],
            keys
        ),
        verb!(
            "regen-key",
            "Make a key new",
            [COMMON, METADATA, VERBOSE, NAME, THE_KEY],
            regenerate
        ),
        verb!(
            "get-access-token",
            "Get a token that opens a service for a while",
            [COMMON, METADATA, VERBOSE, NAME],
            token
        ),
        verb!(
            "get-logs",
            "Print the log of a service",
            [COMMON, VERBOSE, NAME, LINES],
            logs
        ),
    ],
};

pub const REALTIME: Group = Group {
    path: "ml endpoint realtime",
    about: "Endpoints with versions, as the commands of 2020 know them",
    verbs: &[
        verb!(
            "create-version",
            "Serve a model by a version of an endpoint",
            [
                COMMON,
                METADATA,
                VERBOSE,
                ASYNC,
                NAME,
                VERSION,
                SHARE,
                deploy::WHAT,
                deploy::HOW
            ],
            serve::create_version
        ),
        verb!(
            "update-version",
            "Change a version of an endpoint",
            [
                COMMON,
                METADATA,
                VERBOSE,
                ASYNC,
                NAME,
                VERSION,
                SHARE,
                deploy::WHAT,
                deploy::HOW,
                CHANGES
            ],
            serve::update_version
        ),
        verb!(
            "delete-version",
            "Delete a version of an endpoint",
            [COMMON, VERBOSE, NAME, VERSION],
            delete_version
        ),
        verb!(
            "show",
            "Show an endpoint",
            [COMMON, METADATA, VERBOSE, NAME],
            show
        ),
        verb!(
            "list",
            "List the endpoints",
            [COMMON, METADATA, VERBOSE],
            list
        ),
        verb!(
            "run",
            "Send a document to an endpoint",
            [COMMON, METADATA, VERBOSE, NAME, INPUT],
            run
        ),
        verb!(
            "update",
            "Change an endpoint",
            [COMMON, METADATA, VERBOSE, ASYNC, NAME, deploy::HOW, CHANGES],
            serve::update
        ),
        verb!(
            "delete",
            "Delete an endpoint",
            [COMMON, VERBOSE, NAME],
            delete
        ),
        verb!(
            "get-keys",
            "Show the keys",
            [COMMON, METADATA, VERBOSE, NAME],
            keys
        ),
        verb!(
            "regen-key",
            "Make a key new",
            [COMMON, METADATA, VERBOSE, NAME, THE_KEY],
            regenerate
        ),
        verb!(
            "get-access-token",
            "Get a token that opens an endpoint for a while",
            [COMMON, METADATA, VERBOSE, NAME],
            token
        ),
        verb!(
            "get-logs",
            "Print the log of an endpoint",
            [
                COMMON,
                VERBOSE,
                NAME,
                LINES,
                &[flag("version-name", "Version of the endpoint").alias(&["vn"])]
            ],
            logs
        ),
    ],
};

/// A service with the keys of that time.
pub fn shown(found: &Endpoint) -> Value {
    let state = match found.state {
        EndpointState::Starting => "Transitioning",
        // Nothing answers yet.
        EndpointState::Healthy if found.deployments.is_empty() => "Unhealthy",
        EndpointState::Healthy => "Healthy",
        EndpointState::Failed => "Failed",
        EndpointState::Stopped => "Unhealthy",
    };
    let served = found.deployments.iter();
    let models = served.filter_map(|one| one.deployment.model.as_ref());
    let models: Vec<Value> = models
        .map(
            |model| json!({"id": model.to_string(), "name": model.model, "version": model.version}),
        )
        .collect();
    let versions = found.deployments.iter().map(|one| {
        let about = json!({
            "state": one.state.name(),
            "trafficPercentile": one.traffic,
            "type": if one.traffic > 0 { "Control" } else { "Treatment" },
        });
        (one.name.clone(), about)
    });
    let base = found.scoring_uri.strip_suffix("/score");
    json!({
        "authEnabled": found.auth_mode == AuthMode::Key,
        "computeType": "LOCAL",
        "createdTime": ids::time(found.created_at),
        "description": found.description,
        "error": found.message.as_ref().map(|message| json!({"message": message})),
        "models": models,
        "name": found.name,
        "properties": found.properties,
        "scoringUri": found.scoring_uri,
        "state": state,
        "swaggerUri": base.map(|base| format!("{base}/swagger.json")),
        "tags": found.tags,
        "tokenAuthEnabled": found.auth_mode != AuthMode::Key,
        "updatedTime": ids::time(found.updated_at),
        "versions": versions.collect::<Map<_, _>>(),
    })
}

pub async fn get(az: &Az, name: &str) -> Result<Endpoint> {
    let get = GetEndpoint {
        workspace: az.here().await?,
        name: name.to_owned(),
    };
    az.call(&get).await
}

async fn list(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.here().await?;
    let mut all = az.call(&ListEndpoints { workspace }).await?;
    let (name, id) = (given.text("name"), given.text("model-id"));
    let model = given.text("model-name");
    let serves = |one: &Endpoint, what: &dyn Fn(&ModelVersion) -> bool| {
        let mut models = one.deployments.iter().flat_map(|one| &one.deployment.model);
        models.any(what)
    };
    all.retain(|one| !one.name.starts_with(LOCAL));
    all.retain(|one| name.is_none_or(|name| one.name.eq_ignore_ascii_case(name)));
    all.retain(|one| id.is_none_or(|id| serves(one, &|model| model.to_string() == id)));
    all.retain(|one| model.is_none_or(|name| serves(one, &|model| model.model == name)));
    let (tags, properties) = (given.words("tag"), given.words("property"));
    all.retain(|one| tags.iter().all(|tag| is_tagged(&one.tags, tag)));
    all.retain(|one| {
        properties
            .iter()
            .all(|pair| is_tagged(&one.properties, pair))
    });
    answer(az, given, all.iter().map(shown).collect())
}

async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let found = get(az, given.required("name")?).await?;
    answer(az, given, shown(&found))
}

/// What is JSON is answered as such.
async fn run(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let document = given.text("input-data").unwrap_or("{}");
    let said = ask(az, given.required("name")?, document).await?;
    let text = String::from_utf8_lossy(&said).into_owned();
    let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    answer(az, given, value)
}

pub async fn ask(az: &Az, name: &str, document: &str) -> anyhow::Result<Vec<u8>> {
    let workspace = az.here().await?;
    let document = document.as_bytes().to_vec();
    endpoint::ask::ask(&az.ctx, &workspace, name, None, document).await
}

/// The deployment that a service is; of an endpoint with versions the first that gets requests.
pub fn served(found: &Endpoint) -> Result<&str> {
    let all = &found.deployments;
    let first = all.iter().find(|one| one.traffic > 0).or(all.first());
    first.map(|one| one.name.as_str()).ok_or_else(|| {
        let name = &found.name;
        Error::conflict(format!("Nothing is deployed behind `{name}`")).hint(format!(
            "Deploy: az ml model deploy --name {name} --overwrite"
        ))
    })
}

/// What it got of the requests goes to the version that has most.
async fn delete_version(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let (endpoint, name) = (given.required("name")?, given.required("version-name")?);
    let found = get(az, endpoint).await?;
    let mut traffic = found.traffic.clone();
    let mut own = 0;
    traffic.retain(|one, share| {
        let is_it = one.eq_ignore_ascii_case(name);
        own += if is_it { *share } else { 0 };
        !is_it
    });
    if let Some((_, most)) = traffic.iter_mut().max_by_key(|(_, share)| **share)
        && own > 0
    {
        *most += own;
        let request = PutEndpoint {
            workspace: az.here().await?,
            name: endpoint.to_owned(),
            existing: true,
            traffic: Some(traffic),
            ..PutEndpoint::default()
        };
        az.call(&request).await?;
    }
    let request = DeleteDeployment {
        workspace: az.here().await?,
        endpoint: endpoint.to_owned(),
        name: name.to_owned(),
        force: true,
    };
    az.call(&request).await?;
    Ok(Value::Null)
}

pub async fn remove(az: &Az, name: &str) -> Result<()> {
    let request = DeleteEndpoint {
        workspace: az.here().await?,
        name: name.to_owned(),
    };
    az.call(&request).await.map(drop)
}

async fn delete(az: &Az, given: &Given) -> anyhow::Result<Value> {
    remove(az, given.required("name")?).await?;
    Ok(Value::Null)
}

async fn keys(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let request = GetEndpointKeys {
        workspace: az.here().await?,
        name: given.required("name")?.to_owned(),
    };
    let keys = az.call(&request).await?;
    let both = json!({"primaryKey": keys.primary, "secondaryKey": keys.secondary});
    answer(az, given, both)
}

async fn regenerate(az: &Az, given: &Given) -> anyhow::Result<Value> {
    if given.has("set-key") {
        let error = Error::invalid("A key cannot be chosen").at("--set-key");
        return Err(error.hint("Leave it out: a new key is made").into());
    }
    let secondary = given.required("key")?.eq_ignore_ascii_case("secondary");
    let request = RegenerateEndpointKey {
        workspace: az.here().await?,
        name: given.required("name")?.to_owned(),
        key: if secondary {
            KeyKind::Secondary
        } else {
            KeyKind::Primary
        },
    };
    az.call(&request).await?;
    keys(az, given).await
}

async fn token(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let request = GetEndpointToken {
        workspace: az.here().await?,
        name: given.required("name")?.to_owned(),
        seconds: None,
    };
    let token = az.call(&request).await?;
    let all = json!({
        "accessToken": token.token,
        "expiryOn": ids::time(token.expires_at),
        "refreshAfter": ids::time(token.refresh_after),
        "tokenType": "Bearer",
    });
    answer(az, given, all)
}

async fn logs(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let found = get(az, given.required("name")?).await?;
    let version = match given.text("version-name") {
        Some(version) => version,
        None => served(&found)?,
    };
    let request = GetEndpointLog {
        workspace: az.here().await?,
        name: found.name.clone(),
        deployment: Some(version.to_owned()),
        lines: Some(given.number("num_lines")?.unwrap_or(5000)),
        offset: 0,
        access: false,
    };
    az.ctx.ui.print(&az.call(&request).await?.text)?;
    Ok(Value::Null)
}

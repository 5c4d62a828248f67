//! `az ml online-endpoint`

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    asset::put_flags,
    named_draft,
    online_deployment::{IS_LOCAL, address},
    tags,
};
use crate::{
    asset::texts,
    az::{
        Az,
        given::Given,
        grammar::{
            FILE, Flag, GENERIC, Group, NAME, NO_WAIT, PLACE, SET, THE_NAME, YES, flag, switch,
            verb,
        },
        ids,
    },
    document::Draft,
    endpoint,
};
use api::{
    Error, Result,
    endpoints::{
        AuthMode, DeleteEndpoint, Endpoint, EndpointState, GetEndpoint, GetEndpointKeys,
        GetEndpointToken, KeyKind, LOCAL, ListEndpoints, PutEndpoint, RegenerateEndpointKey,
        Traffic,
    },
    workspaces::Workspace,
};
use spec::overrides::Values;

const KIND: &str = "online-endpoint";
const WEB: &[Flag] = &[switch("web", "Say where its page is").short('e')];
const AUTH: &[Flag] = &[flag("auth-mode", "key, aml_token or aad_token")];
const TRAFFIC: &[Flag] = &[
    flag("traffic", "Shares of the requests, as \"blue=90 green=10\"")
        .short('r')
        .many(),
    flag(
        "mirror-traffic",
        "Share of the requests that is copied, as green=10",
    )
    .many(),
];

pub const GROUP: Group = Group {
    path: "ml online-endpoint",
    about: "Online endpoints: addresses that answer requests",
    verbs: &[
        verb!(
            "create",
            "Create an endpoint",
            [PLACE, NAME, FILE, SET, NO_WAIT, IS_LOCAL, WEB, AUTH],
            create
        ),
        verb!(
            "show",
            "Show an endpoint",
            [PLACE, THE_NAME, IS_LOCAL, WEB],
            show
        ),
        verb!("list", "List the endpoints", [PLACE, IS_LOCAL], list),
        verb!(
            "update",
            "Change an endpoint, such as who gets which share of its requests",
            [PLACE, NAME, FILE, GENERIC, NO_WAIT, IS_LOCAL, WEB, TRAFFIC],
            update
        ),
        verb!(
            "delete",
            "Delete an endpoint with its deployments",
            [PLACE, THE_NAME, IS_LOCAL, NO_WAIT, YES],
            delete
        ),
        verb!(
            "invoke",
            "Send a request to an endpoint",
            [
                PLACE,
                THE_NAME,
                IS_LOCAL,
                &[
                    flag("deployment-name", "Deployment that shall answer").short('d'),
                    flag("request-file", "File to send").short('r').required(),
                ]
            ],
            invoke
        ),
        verb!(
            "get-credentials",
            "Show what opens an endpoint",
            [PLACE, THE_NAME],
            get_credentials
        ),
        verb!(
            "regenerate-keys",
            "Make a key of an endpoint new",
            [
                PLACE,
                THE_NAME,
                NO_WAIT,
                &[flag("key-type", "primary or secondary").choices(&["primary", "secondary"])]
            ],
            regenerate
        ),
    ],
};

/// What a file says that changes nothing here; it is kept in properties, and shown.
const KEPT: [&str; 3] = ["compute", "identity", "public_network_access"];

/// The property that keeps a field.
fn keeper(field: &str) -> String {
    format!("azureml.{field}")
}

/// The properties as they were given, and the fields that are kept in others.
fn apart(endpoint: &Endpoint) -> (BTreeMap<String, String>, Map<String, Value>) {
    let mut properties = endpoint.properties.clone();
    let mut take = |field: &str| {
        // One that somebody gave says what it likes.
        let kept = serde_json::from_str(properties.get(&keeper(field))?).ok()?;
        properties.remove(&keeper(field));
        Some((field.to_owned(), kept))
    };
    let kept = KEPT.into_iter().filter_map(&mut take).collect();
    (properties, kept)
}

/// The properties of checked fields, with those that keep fields.
fn properties(fields: &Map<String, Value>) -> Option<BTreeMap<String, String>> {
    let kept = KEPT.into_iter().filter_map(|field| {
        let value = fields.get(field).filter(|value| !value.is_null())?;
        Some((keeper(field), value.to_string()))
    });
    let kept: BTreeMap<_, _> = kept.collect();
    (fields.contains_key("properties") || !kept.is_empty()).then(|| {
        let mut all = texts(fields, "properties");
        all.extend(kept);
        all
    })
}

/// Who an endpoint is for others: with an id of its own, unless only users' identities are named.
fn identity(workspace: &Workspace, said: Option<Value>) -> Value {
    let mut all = match said {
        Some(Value::Object(said)) => said,
        _ => Map::new(),
    };
    let kind = all.entry("type").or_insert(json!("system_assigned"));
    let own = kind.as_str().is_none_or(|kind| kind.contains("system"));
    let users = all.get("user_assigned_identities");
    if users.and_then(Value::as_array).is_some_and(Vec::is_empty) {
        all.remove("user_assigned_identities");
    }
    let id = if own {
        json!(workspace.id)
    } else {
        Value::Null
    };
    all.insert("principal_id".to_owned(), id);
    all.insert("tenant_id".to_owned(), json!(ids::NO_ID));
    all.sort_keys();
    Value::Object(all)
}

fn the_address(given: &Given) -> Result<String> {
    Ok(address(given, given.required("name")?))
}

/// The name without what sets local ones apart.
fn own_name(endpoint: &Endpoint) -> &str {
    let name = &endpoint.name;
    name.strip_prefix(LOCAL).unwrap_or(name)
}

/// An address stands by itself, whatever is behind it.
fn provisioning_state(endpoint: &Endpoint) -> &'static str {
    match endpoint.state {
        EndpointState::Failed if endpoint.deployments.is_empty() => "Failed",
        _ if endpoint.scoring_uri.is_empty() => "Creating",
        _ => "Succeeded",
    }
}

/// An endpoint as Azure's command line shows it.
fn shown(workspace: &Workspace, endpoint: &Endpoint) -> Value {
    let name = own_name(endpoint);
    let openapi = endpoint.scoring_uri.strip_suffix("/score");
    let id = ids::within(workspace, &format!("onlineEndpoints/{name}"));
    let (mut properties, mut kept) = apart(endpoint);
    properties.insert("azureml.onlineendpointid".to_owned(), id.clone());
    let access = kept.remove("public_network_access");
    let identity = identity(workspace, kept.remove("identity"));
    let mut all = ids::fields(json!({
        "auth_mode": endpoint.auth_mode.name(),
        "description": endpoint.description,
        "id": id,
        "identity": identity,
        "kind": "Managed",
        "location": workspace.location,
        "mirror_traffic": endpoint.mirror_traffic,
        "name": name,
        "openapi_uri": openapi.map(|base| format!("{base}/swagger.json")),
        "properties": properties,
        "provisioning_state": provisioning_state(endpoint),
        "public_network_access": access.unwrap_or_else(|| json!("enabled")),
        "resourceGroup": workspace.resource_group,
        "scoring_uri": endpoint.scoring_uri,
        "tags": endpoint.tags,
        "traffic": endpoint.traffic,
    }));
    if let Some(compute) = kept.remove("compute") {
        all.insert("compute".to_owned(), compute);
        all.insert("kind".to_owned(), json!("K8S"));
        all.sort_keys();
    }
    Value::Object(all)
}

/// What a file of the endpoint would say.
fn written(endpoint: &Endpoint) -> Map<String, Value> {
    let (properties, kept) = apart(endpoint);
    let mut all = ids::fields(json!({
        "name": own_name(endpoint),
        "auth_mode": endpoint.auth_mode.name(),
        "description": endpoint.description,
        "tags": endpoint.tags,
        "properties": properties,
        "traffic": endpoint.traffic,
        "mirror_traffic": endpoint.mirror_traffic,
    }));
    all.extend(kept);
    all
}

fn shares(fields: &Map<String, Value>, key: &str) -> Result<Option<Traffic>> {
    let Some(Value::Object(shares)) = fields.get(key) else {
        return Ok(None);
    };
    let share = |(name, share): (&String, &Value)| {
        let share = share.as_u64().and_then(|share| u8::try_from(share).ok());
        match share.filter(|share| *share <= 100) {
            Some(share) => Ok((name.clone(), share)),
            None => Err(
                Error::invalid(format!("The share of `{name}` is not between 0 and 100")).at(key),
            ),
        }
    };
    shares.iter().map(share).collect::<Result<_>>().map(Some)
}

/// What is asked for by the checked fields.
fn request(
    workspace: &str,
    given: &Given,
    fields: &Map<String, Value>,
    existing: bool,
) -> Result<PutEndpoint> {
    let name = ids::text(fields, "name").unwrap_or_default();
    let auth = ids::text(fields, "auth_mode");
    let auth = auth.as_deref().and_then(AuthMode::called);
    Ok(PutEndpoint {
        workspace: workspace.to_owned(),
        name: address(given, &name),
        existing,
        auth_mode: auth,
        traffic: shares(fields, "traffic")?.filter(|all| existing || !all.is_empty()),
        mirror_traffic: shares(fields, "mirror_traffic")?.filter(|all| existing || !all.is_empty()),
        description: ids::text(fields, "description"),
        tags: fields.contains_key("tags").then(|| tags(fields)),
        properties: properties(fields),
        port: None,
    })
}

async fn create(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut draft = named_draft(az, given)?;
    put_flags(&mut draft, given, &["name", "auth-mode"]);
    draft.edit(&given.edits()?, Values::Strings)?;
    let fields = draft.check(KIND)?;
    let workspace = az.this_workspace().await?;
    let request = request(&workspace.name, given, &fields, false)?;
    Ok(shown(&workspace, &az.call(&request).await?))
}

async fn get(az: &Az, workspace: &str, name: String) -> Result<Endpoint> {
    let get = GetEndpoint {
        workspace: workspace.to_owned(),
        name,
    };
    az.call(&get).await
}

async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.this_workspace().await?;
    let found = get(az, &workspace.name, the_address(given)?).await?;
    Ok(shown(&workspace, &found))
}

async fn list(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.this_workspace().await?;
    let request = ListEndpoints {
        workspace: workspace.name.clone(),
    };
    let local = given.switch("local");
    let all = az.call(&request).await?;
    let meant = all
        .iter()
        .filter(|one| one.name.starts_with(LOCAL) == local);
    Ok(meant.map(|one| shown(&workspace, one)).collect())
}

async fn update(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut draft = Draft::open(given.text("file"), &az.ctx.folder)?;
    put_flags(&mut draft, given, &["name"]);
    for flag in ["traffic", "mirror-traffic"] {
        if given.has(flag) {
            let shares = endpoint::traffic::parse(&given.words(flag))?;
            draft.put(&flag.replace('-', "_"), json!(shares), &format!("--{flag}"));
        }
    }
    let name = draft.text("name").map(str::to_owned);
    let name = name.ok_or_else(|| crate::az::given::missing(&["name/-n"]))?;
    let workspace = az.this_workspace().await?;
    let found = get(az, &workspace.name, address(given, &name)).await?;
    for (key, value) in written(&found) {
        if !draft.has(&key) {
            draft.put(&key, value, "what is there");
        }
    }
    draft.edit(&given.edits()?, given.values())?;
    let fields = draft.check(KIND)?;
    let request = request(&workspace.name, given, &fields, true)?;
    Ok(shown(&workspace, &az.call(&request).await?))
}

async fn delete(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.this_workspace().await?;
    let found = get(az, &workspace.name, the_address(given)?).await?;
    let question = format!("Delete the endpoint {}?", own_name(&found));
    az.ctx.ui.confirm(given.switch("yes"), &question)?;
    let request = DeleteEndpoint {
        workspace: workspace.name,
        name: found.name,
    };
    az.call(&request).await?;
    Ok(Value::Null)
}

async fn invoke(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let file = std::path::Path::new(given.required("request-file")?);
    let document = endpoint::score::read(&az.ctx, file);
    let document = document.map_err(|error| error.at("--request-file"))?;
    let (workspace, name) = (az.workspace()?, the_address(given)?);
    let deployment = given.text("deployment-name");
    let answer = endpoint::ask::ask(&az.ctx, &workspace, &name, deployment, document);
    Ok(String::from_utf8_lossy(&answer.await?).into_owned().into())
}

async fn get_credentials(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.workspace()?;
    let name = given.required("name")?.to_owned();
    let found = get(az, &workspace, name.clone()).await?;
    if found.auth_mode == AuthMode::Key {
        let keys = az.call(&GetEndpointKeys { workspace, name }).await?;
        return Ok(json!({"primaryKey": keys.primary, "secondaryKey": keys.secondary}));
    }
    let request = GetEndpointToken {
        workspace,
        name,
        seconds: None,
    };
    let token = az.call(&request).await?;
    Ok(json!({
        "accessToken": token.token,
        "expiryTimeUtc": token.expires_at.0 / 1000,
        "refreshAfterTimeUtc": token.refresh_after.0 / 1000,
        "tokenType": "Bearer",
    }))
}

async fn regenerate(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let key = match given.text("key-type") {
        Some(word) if word.eq_ignore_ascii_case("secondary") => KeyKind::Secondary,
        _ => KeyKind::Primary,
    };
    let request = RegenerateEndpointKey {
        workspace: az.workspace()?,
        name: given.required("name")?.to_owned(),
        key,
    };
    az.call(&request).await?;
    Ok(Value::Null)
}

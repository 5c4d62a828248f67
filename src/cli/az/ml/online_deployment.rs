//! `az ml online-deployment`

use serde_json::{Value, json};

use super::asset::put_flags;
use crate::{
    az::{
        Az,
        given::Given,
        grammar::{
            FILE, Flag, GENERIC, Group, NAME, NO_WAIT, PLACE, SET, THE_FILE, THE_NAME, YES, flag,
            switch, verb,
        },
        ids,
    },
    deployment::described::{self, Wanted},
    document::Draft,
    error,
};
use api::{
    Result,
    deployments::{DeleteDeployment, Deployed, GetDeployment, Probe},
    endpoints::{EndpointState, GetEndpoint, GetEndpointLog, LOCAL},
    workspaces::Workspace,
};
use spec::overrides::Values;

pub const ENDPOINT: &[Flag] = &[flag("endpoint-name", "Name of the endpoint").short('e')];
pub const THE_ENDPOINT: &[Flag] = &[flag("endpoint-name", "Name of the endpoint")
    .short('e')
    .required()];
pub const IS_LOCAL: &[Flag] = &[switch(
    "local",
    "On the machine of the workspace, apart from the others",
)];
const WEB: &[Flag] = &[switch("web", "Say where its page is")];
const CHECKS: &[Flag] = &[
    switch("skip-script-validation", "Accepted; the script is tried"),
    switch("local-enable-gpu", "Accepted; the machine is used as it is"),
    switch(
        "vscode-debug",
        "Accepted; there is no container to attach to",
    ),
];

pub const GROUP: Group = Group {
    path: "ml online-deployment",
    about: "Deployments behind online endpoints",
    verbs: &[
        verb!(
            "create",
            "Deploy behind an endpoint",
            [
                PLACE,
                NAME,
                ENDPOINT,
                THE_FILE,
                SET,
                NO_WAIT,
                IS_LOCAL,
                WEB,
                CHECKS,
                &[
                    switch("all-traffic", "Give it all requests once it answers"),
                    switch("package-model", "Accepted; no image is needed")
                        .alias(&["with-package"]),
                ]
            ],
            create
        ),
        verb!(
            "update",
            "Change a deployment",
            [
                PLACE, NAME, ENDPOINT, FILE, GENERIC, NO_WAIT, IS_LOCAL, WEB, CHECKS
            ],
            update
        ),
        verb!(
            "show",
            "Show a deployment",
            [PLACE, THE_NAME, THE_ENDPOINT, IS_LOCAL, WEB],
            show
        ),
        verb!(
            "list",
            "List the deployments of an endpoint",
            [PLACE, THE_ENDPOINT, IS_LOCAL],
            list
        ),
        verb!(
            "delete",
            "Delete a deployment",
            [PLACE, THE_NAME, THE_ENDPOINT, IS_LOCAL, NO_WAIT, YES],
            delete
        ),
        verb!(
            "get-logs",
            "Print the log of a deployment",
            [
                PLACE,
                THE_NAME,
                THE_ENDPOINT,
                IS_LOCAL,
                &[
                    flag("lines", "The last so many lines").short('l'),
                    flag("container", "inference-server or storage-initializer").short('c'),
                ]
            ],
            get_logs
        ),
    ],
};

/// The name by which an endpoint is known to the workspace.
pub fn address(given: &Given, name: &str) -> String {
    if given.switch("local") {
        format!("{LOCAL}{name}")
    } else {
        name.to_owned()
    }
}

fn the_address(given: &Given) -> Result<String> {
    Ok(address(given, given.required("endpoint-name")?))
}

fn state(state: EndpointState) -> &'static str {
    match state {
        EndpointState::Starting => "Creating",
        EndpointState::Healthy | EndpointState::Stopped => "Succeeded",
        EndpointState::Failed => "Failed",
    }
}

fn probe(probe: Option<Probe>) -> Value {
    let probe = probe.unwrap_or_default();
    json!({
        "failure_threshold": probe.failure_threshold,
        "initial_delay": probe.initial_delay,
        "period": probe.period,
        "success_threshold": probe.success_threshold,
        "timeout": probe.timeout,
    })
}

/// A deployment as Azure's command line shows it.
fn shown(workspace: &Workspace, endpoint: &str, deployed: &Deployed) -> Value {
    let path = format!("onlineEndpoints/{endpoint}/deployments/{}", deployed.name);
    let deployment = &deployed.deployment;
    let requests = deployment.requests;
    let mut all = ids::fields(json!({
        "app_insights_enabled": false,
        "description": null,
        "egress_public_network_access": "enabled",
        "environment": null,
        "environment_variables": {},
        "id": ids::within(workspace, &path),
        "instance_type": null,
        "liveness_probe": probe(deployment.liveness),
        "model": null,
        "properties": {},
        "readiness_probe": probe(deployment.readiness),
        "request_settings": {
            "max_concurrent_requests_per_instance": requests.max_concurrent,
            "max_queue_wait_ms": requests.max_queue_wait_ms,
            "request_timeout_ms": requests.timeout_ms,
        },
        "scale_settings": {"type": "default"},
        "tags": {},
        "type": "managed",
    }));
    let own = ["liveness_probe", "readiness_probe", "request_settings"];
    for (key, value) in described::written(endpoint, deployed) {
        if !own.contains(&key.as_str()) {
            all.insert(key, value);
        }
    }
    all.insert(
        "provisioning_state".to_owned(),
        json!(state(deployed.state)),
    );
    all.insert("resourceGroup".to_owned(), json!(workspace.resource_group));
    all.sort_keys();
    Value::Object(all)
}

async fn create(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut draft = Draft::open(given.text("file"), &az.ctx.folder)?;
    put_flags(&mut draft, given, &["name", "endpoint-name"]);
    draft.edit(&given.edits()?, Values::Strings)?;
    save(az, given, draft, false).await
}

async fn save(az: &Az, given: &Given, draft: Draft, existing: bool) -> anyhow::Result<Value> {
    let fields = draft.check("online-deployment")?;
    let workspace = az.this_workspace().await?;
    let endpoint = ids::text(&fields, "endpoint_name").unwrap_or_default();
    let wanted = Wanted {
        existing,
        all_traffic: given.switch("all-traffic"),
        no_wait: given.switch("no-wait"),
        local: given.switch("local"),
    };
    let put = described::put(&az.ctx, &workspace.name, fields, wanted).await;
    let put = put.map_err(|error| error::amend(error, |error| draft.located(error)))?;
    Ok(shown(&workspace, &endpoint, &put))
}

/// The file and the flags say what changes; the deployment may be named by either.
async fn update(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut draft = Draft::open(given.text("file"), &az.ctx.folder)?;
    put_flags(&mut draft, given, &["name", "endpoint-name"]);
    let edits = given.edits()?;
    let values = match given.text("file") {
        Some(_) => Values::Strings,
        None => given.values(),
    };
    // `--set` may say what is to be changed, and changes what is there otherwise.
    let mut named = Draft::open(given.text("file"), &az.ctx.folder)?;
    put_flags(&mut named, given, &["name", "endpoint-name"]);
    let _ = named.edit(&edits, values);
    let text = |key: &str, flag: &str| {
        let text = named.text(key).map(str::to_owned);
        text.ok_or_else(|| crate::az::given::missing(&[flag]))
    };
    let name = text("name", "name/-n")?;
    let endpoint = text("endpoint_name", "endpoint-name/-e")?;
    let get = GetDeployment {
        workspace: az.workspace()?,
        endpoint: address(given, &endpoint),
        name,
    };
    let found = az.call(&get).await?;
    described::over(&mut draft, &described::written(&endpoint, &found));
    draft.edit(&edits, values)?;
    save(az, given, draft, true).await
}

async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.this_workspace().await?;
    let get = GetDeployment {
        workspace: workspace.name.clone(),
        endpoint: the_address(given)?,
        name: given.required("name")?.to_owned(),
    };
    let endpoint = given.required("endpoint-name")?;
    Ok(shown(&workspace, endpoint, &az.call(&get).await?))
}

async fn list(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.this_workspace().await?;
    let get = GetEndpoint {
        workspace: workspace.name.clone(),
        name: the_address(given)?,
    };
    let endpoint = given.required("endpoint-name")?;
    let found = az.call(&get).await?;
    let all = found.deployments.iter();
    Ok(all.map(|one| shown(&workspace, endpoint, one)).collect())
}

/// One that gets requests is refused, as in Azure; a local one gets all there are.
async fn delete(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let name = given.required("name")?.to_owned();
    let question = format!("Delete the deployment {name}?");
    az.ctx.ui.confirm(given.switch("yes"), &question)?;
    let request = DeleteDeployment {
        workspace: az.workspace()?,
        endpoint: the_address(given)?,
        name,
        force: given.switch("local"),
    };
    az.call(&request).await?;
    Ok(Value::Null)
}

async fn get_logs(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let request = GetEndpointLog {
        workspace: az.workspace()?,
        name: the_address(given)?,
        deployment: Some(given.required("name")?.to_owned()),
        lines: Some(given.number("lines")?.unwrap_or(5000)),
        offset: 0,
        access: false,
    };
    let log = az.call(&request).await?;
    // There is no container that brings the files.
    if given.text("container") != Some("storage-initializer") {
        az.ctx.ui.print(&log.text)?;
    }
    Ok(Value::Null)
}

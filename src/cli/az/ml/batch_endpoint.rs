//! `az ml batch-endpoint`

use serde_json::{Map, Value, json};

use super::{asset::put_flags, batch_deployment::shown_jobs, named_draft, tags};
use crate::{
    asset::texts,
    az::{
        Az,
        given::Given,
        grammar::{
            FILE, Flag, GENERIC, Group, NAME, NO_WAIT, PLACE, SET, THE_NAME, YES, flag, verb,
        },
        ids,
    },
    batch::{invoke, jobs::jobs_of},
    document::Draft,
    job,
    run::naming,
};
use api::{
    Result,
    batch::{
        BatchEndpoint, DeleteBatchEndpoint, GetBatchEndpoint, InvokeBatch, ListBatchEndpoints,
        PutBatchEndpoint, scoring_uri,
    },
    workspaces::Workspace,
};
use spec::overrides::{Edit, Values};

const KIND: &str = "batch-endpoint";
const INVOKE: &[Flag] = &[
    flag("deployment-name", "Deployment that shall run").short('d'),
    flag("experiment-name", "Experiment of the job"),
    flag("file", "YAML file with inputs and outputs").short('f'),
    flag("input", "Data to score: an asset, a path or an address"),
    flag("input-type", "uri_folder or uri_file").choices(&["uri_folder", "uri_file"]),
    flag(
        "inputs",
        "Values to change of the inputs, as name.path=value",
    )
    .many(),
    flag("instance-count", "Number of instances").short('c'),
    flag("job-name", "Name of the job"),
    flag("mini-batch-size", "Files of a mini-batch").short('m'),
    flag("output-path", "Address that the scores are written to"),
    flag(
        "outputs",
        "Values to change of the outputs, as name.path=value",
    )
    .many(),
];

pub const GROUP: Group = Group {
    path: "ml batch-endpoint",
    about: "Batch endpoints: addresses that score folders of data",
    verbs: &[
        verb!(
            "create",
            "Create a batch endpoint",
            [PLACE, NAME, FILE, SET, NO_WAIT],
            create
        ),
        verb!("show", "Show a batch endpoint", [PLACE, THE_NAME], show),
        verb!("list", "List the batch endpoints", [PLACE], list),
        verb!(
            "update",
            "Change a batch endpoint, such as its default deployment",
            [
                PLACE,
                NAME,
                FILE,
                GENERIC,
                NO_WAIT,
                &[flag("defaults", "What runs by itself, as deployment_name=NAME").many()]
            ],
            update
        ),
        verb!(
            "delete",
            "Delete a batch endpoint with its deployments",
            [PLACE, THE_NAME, NO_WAIT, YES],
            delete
        ),
        verb!(
            "invoke",
            "Start a job that scores data",
            [PLACE, THE_NAME, SET, INVOKE],
            start
        ),
        verb!(
            "list-jobs",
            "List the jobs of a batch endpoint",
            [PLACE, THE_NAME],
            list_jobs
        ),
    ],
};

/// A batch endpoint as Azure's command line shows it.
fn shown(workspace: &Workspace, endpoint: &BatchEndpoint) -> Value {
    let name = &endpoint.name;
    json!({
        "auth_mode": "aad_token",
        "defaults": {"deployment_name": endpoint.default_deployment},
        "description": endpoint.description,
        "id": ids::within(workspace, &format!("batchEndpoints/{name}")),
        "location": workspace.location,
        "name": name,
        "properties": endpoint.properties,
        "provisioning_state": "Succeeded",
        "resourceGroup": workspace.resource_group,
        "scoring_uri": endpoint.scoring_uri,
        "tags": endpoint.tags,
    })
}

fn request(workspace: &str, fields: &Map<String, Value>, existing: bool) -> PutBatchEndpoint {
    let default = fields
        .get("defaults")
        .and_then(|d| d.get("deployment_name"));
    PutBatchEndpoint {
        workspace: workspace.to_owned(),
        name: ids::text(fields, "name").unwrap_or_default(),
        existing,
        description: ids::text(fields, "description"),
        tags: fields.contains_key("tags").then(|| tags(fields)),
        properties: fields
            .contains_key("properties")
            .then(|| texts(fields, "properties")),
        default_deployment: default.and_then(Value::as_str).map(str::to_owned),
    }
}

async fn create(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut draft = named_draft(az, given)?;
    put_flags(&mut draft, given, &["name"]);
    draft.edit(&given.edits()?, Values::Strings)?;
    let fields = draft.check(KIND)?;
    let workspace = az.this_workspace().await?;
    let request = request(&workspace.name, &fields, false);
    let mut made = az.call(&request).await?;
    if asks_for_address(given) == Some(true) {
        reachable(az, &workspace, [&mut made]).await?;
    }
    Ok(shown(&workspace, &made))
}

async fn get(az: &Az, workspace: &str, name: &str) -> Result<BatchEndpoint> {
    let get = GetBatchEndpoint {
        workspace: workspace.to_owned(),
        name: name.to_owned(),
    };
    az.call(&get).await
}

async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.this_workspace().await?;
    let mut found = get(az, &workspace.name, given.required("name")?).await?;
    if asks_for_address(given) != Some(false) {
        reachable(az, &workspace, [&mut found]).await?;
    }
    Ok(shown(&workspace, &found))
}

/// Whether the query asks for the address; none where there is no query.
fn asks_for_address(given: &Given) -> Option<bool> {
    let query = given.text("query")?;
    // What ends so answers whole endpoints.
    let whole = query.trim_end().ends_with(['@', ']']);
    Some(whole || query.contains("scoring_uri") || query.contains('*'))
}

/// Fills in the addresses in local mode. Whoever is given one must find somebody there: a server is started
/// in the background when there is none.
async fn reachable<'a>(
    az: &Az,
    workspace: &Workspace,
    endpoints: impl IntoIterator<Item = &'a mut BatchEndpoint>,
) -> Result<()> {
    let mut lacking = endpoints
        .into_iter()
        .filter(|endpoint| endpoint.scoring_uri.is_empty())
        .peekable();
    if az.ctx.profile().is_some() || lacking.peek().is_none() {
        return Ok(());
    }
    let url = az.ctx.wiring.ensure_server(&az.ctx.config.home).await?;
    for endpoint in lacking {
        endpoint.scoring_uri = scoring_uri(&url, &workspace.name, &endpoint.name);
    }
    Ok(())
}

async fn list(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.this_workspace().await?;
    let request = ListBatchEndpoints {
        workspace: workspace.name.clone(),
    };
    let mut all = az.call(&request).await?;
    if asks_for_address(given) != Some(false) {
        // Where no server can be started, what there is is listed all the same.
        let _ = reachable(az, &workspace, &mut all).await;
    }
    Ok(all.iter().map(|one| shown(&workspace, one)).collect())
}

async fn update(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut draft = Draft::open(given.text("file"), &az.ctx.folder)?;
    put_flags(&mut draft, given, &["name"]);
    let name = draft.text("name").map(str::to_owned);
    let name = name.ok_or_else(|| crate::az::given::missing(&["name/-n"]))?;
    if given.has("defaults") {
        draft.put("defaults", json!(given.pairs("defaults")), "--defaults");
    }
    let workspace = az.this_workspace().await?;
    let found = get(az, &workspace.name, &name).await?;
    let mut before = ids::fields(json!({
        "description": found.description,
        "tags": found.tags,
        "properties": found.properties,
    }));
    if let Some(default) = &found.default_deployment {
        before.insert("defaults".to_owned(), json!({"deployment_name": default}));
    }
    for (key, value) in before {
        if !draft.has(&key) {
            draft.put(&key, value, "what is there");
        }
    }
    draft.edit(&given.edits()?, given.values())?;
    let fields = draft.check(KIND)?;
    let request = request(&workspace.name, &fields, true);
    Ok(shown(&workspace, &az.call(&request).await?))
}

async fn delete(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.workspace()?;
    let found = get(az, &workspace, given.required("name")?).await?;
    let question = format!("Delete the batch endpoint {}?", found.name);
    az.ctx.ui.confirm(given.switch("yes"), &question)?;
    let name = found.name;
    az.call(&DeleteBatchEndpoint { workspace, name }).await?;
    Ok(Value::Null)
}

async fn start(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.this_workspace().await?;
    let mut edits = given.edits()?;
    for part in ["inputs", "outputs"] {
        for word in given.words(part) {
            edits.push(Edit::set(&format!("{part}.{word}"))?);
        }
    }
    let said = invoke::Given {
        file: given.text("file"),
        edits: &edits,
        input: given.text("input"),
        input_type: given.text("input-type"),
        output_path: given.text("output-path"),
    };
    let written = said.written(&az.ctx, &workspace.name).await?;
    let request = InvokeBatch {
        workspace: workspace.name.clone(),
        endpoint: given.required("name")?.to_owned(),
        deployment: given.owned("deployment-name"),
        job: given.owned("job-name").unwrap_or_else(naming::new_name),
        experiment: given.owned("experiment-name"),
        mini_batch_size: given.number("mini-batch-size")?.or(written.mini_batch_size),
        instance_count: given.number("instance-count")?.or(written.instance_count),
        search_path: az
            .ctx
            .profile()
            .is_none()
            .then(|| az.ctx.config.path.clone()),
        ..written
    };
    let run = az.call(&request).await?;
    az.ctx
        .ui
        .show(&job::entity::Entity::new(&run, &workspace))?;
    Ok(Value::Null)
}

async fn list_jobs(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.this_workspace().await?;
    let name = get(az, &workspace.name, given.required("name")?)
        .await?
        .name;
    let jobs = jobs_of(&az.ctx, &workspace.name, &name, None).await?;
    Ok(shown_jobs(&workspace, &jobs))
}

//! `az ml batch-deployment`

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
    batch::{deploy::put, jobs::jobs_of},
    deployment::described::over,
    document::Draft,
    job::entity::Entity,
};
use api::{
    Result,
    batch::{BatchDeployment, DeleteBatchDeployment, GetBatchDeployment, ListBatchDeployments},
    runs::Run,
    workspaces::Workspace,
};
use spec::overrides::Values;

const KIND: &str = "batch-deployment";
const ENDPOINT: &[Flag] = &[flag("endpoint-name", "Name of the endpoint").short('e')];
const THE_ENDPOINT: &[Flag] = &[flag("endpoint-name", "Name of the endpoint")
    .short('e')
    .required()];

pub const GROUP: Group = Group {
    path: "ml batch-deployment",
    about: "Deployments behind batch endpoints",
    verbs: &[
        verb!(
            "create",
            "Create a batch deployment",
            [
                PLACE,
                NAME,
                ENDPOINT,
                THE_FILE,
                SET,
                NO_WAIT,
                &[
                    switch("set-default", "Let it run when none is named"),
                    switch("skip-script-validation", "Accepted"),
                ]
            ],
            create
        ),
        verb!(
            "update",
            "Change a batch deployment",
            [PLACE, NAME, ENDPOINT, FILE, GENERIC, NO_WAIT],
            update
        ),
        verb!(
            "show",
            "Show a batch deployment",
            [PLACE, THE_NAME, THE_ENDPOINT],
            show
        ),
        verb!(
            "list",
            "List the deployments of a batch endpoint",
            [PLACE, THE_ENDPOINT],
            list
        ),
        verb!(
            "delete",
            "Delete a batch deployment",
            [PLACE, THE_NAME, THE_ENDPOINT, NO_WAIT, YES],
            delete
        ),
        verb!(
            "list-jobs",
            "List the jobs of a batch deployment",
            [PLACE, THE_NAME, THE_ENDPOINT],
            list_jobs
        ),
    ],
};

/// A batch deployment as Azure's command line shows it.
fn shown(workspace: &Workspace, deployment: &BatchDeployment) -> Value {
    let path = format!(
        "batchEndpoints/{}/deployments/{}",
        deployment.endpoint, deployment.name
    );
    let mut all = ids::fields(json!({
        "description": null,
        "id": ids::within(workspace, &path),
        "properties": {},
        "provisioning_state": "Succeeded",
        "resourceGroup": workspace.resource_group,
        "tags": {},
    }));
    all.extend(deployment.definition.clone());
    all.insert("name".to_owned(), json!(deployment.name));
    all.insert("endpoint_name".to_owned(), json!(deployment.endpoint));
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
    let fields = draft.check(KIND)?;
    let workspace = az.this_workspace().await?;
    let put = put(&az.ctx, &workspace.name, fields, |request| {
        request.existing = existing;
        request.set_default = given.switch("set-default");
    });
    let put = put.await.map_err(|error| draft.located(error))?;
    Ok(shown(&workspace, &put))
}

async fn get(az: &Az, workspace: &str, endpoint: &str, name: &str) -> Result<BatchDeployment> {
    let get = GetBatchDeployment {
        workspace: workspace.to_owned(),
        endpoint: endpoint.to_owned(),
        name: name.to_owned(),
    };
    az.call(&get).await
}

async fn the_deployment(az: &Az, given: &Given, workspace: &str) -> Result<BatchDeployment> {
    let endpoint = given.required("endpoint-name")?;
    get(az, workspace, endpoint, given.required("name")?).await
}

async fn update(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut draft = Draft::open(given.text("file"), &az.ctx.folder)?;
    put_flags(&mut draft, given, &["name", "endpoint-name"]);
    let text = |key: &str, flag: &str| {
        let text = draft.text(key).map(str::to_owned);
        text.ok_or_else(|| crate::az::given::missing(&[flag]))
    };
    let name = text("name", "name/-n")?;
    let endpoint = text("endpoint_name", "endpoint-name/-e")?;
    let found = get(az, &az.workspace()?, &endpoint, &name).await?;
    over(&mut draft, &found.definition);
    draft.edit(&given.edits()?, given.values())?;
    save(az, given, draft, true).await
}

async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.this_workspace().await?;
    let found = the_deployment(az, given, &workspace.name).await?;
    Ok(shown(&workspace, &found))
}

async fn list(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.this_workspace().await?;
    let request = ListBatchDeployments {
        workspace: workspace.name.clone(),
        endpoint: given.required("endpoint-name")?.to_owned(),
    };
    let all = az.call(&request).await?;
    Ok(all.iter().map(|one| shown(&workspace, one)).collect())
}

async fn delete(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.workspace()?;
    let found = the_deployment(az, given, &workspace).await?;
    let question = format!("Delete the deployment {}?", found.name);
    az.ctx.ui.confirm(given.switch("yes"), &question)?;
    let request = DeleteBatchDeployment {
        workspace,
        endpoint: found.endpoint,
        name: found.name,
    };
    az.call(&request).await?;
    Ok(Value::Null)
}

pub fn shown_jobs(workspace: &Workspace, jobs: &[Run]) -> Value {
    let one = |run: &Run| {
        let entity = Entity::new(run, workspace);
        serde_json::to_value(&entity).unwrap_or_default()
    };
    jobs.iter().map(one).collect()
}

async fn list_jobs(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.this_workspace().await?;
    let found = the_deployment(az, given, &workspace.name).await?;
    let jobs = jobs_of(&az.ctx, &workspace.name, &found.endpoint, Some(&found.name)).await?;
    Ok(shown_jobs(&workspace, &jobs))
}

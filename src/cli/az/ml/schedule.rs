//! `az ml schedule`

use serde_json::{Value, json};

use super::asset::put_flags;
use crate::{
    az::{
        Az,
        given::Given,
        grammar::{
            GENERIC, Group, MAX, NAME, NO_WAIT, PLACE, SET, THE_FILE, THE_NAME, switch, verb,
        },
        ids,
    },
    document::Draft,
    run::naming,
    schedule::{
        create::{request, what_it_needs},
        update::change,
    },
};
use api::{
    schedules::{
        DeleteSchedule, GetSchedule, ListSchedules, Schedule, TriggerSchedule, UpdateSchedule,
    },
    workspaces::Workspace,
};
use spec::overrides::Values;

pub const GROUP: Group = Group {
    path: "ml schedule",
    about: "Schedules: jobs that are created again and again",
    verbs: &[
        verb!(
            "create",
            "Create a schedule, or replace the one of that name",
            [PLACE, NAME, THE_FILE, SET, NO_WAIT],
            create
        ),
        verb!("show", "Show a schedule", [PLACE, THE_NAME], show),
        verb!(
            "list",
            "List the enabled schedules",
            [
                PLACE,
                MAX,
                &[
                    switch("disabled-only", "List disabled ones alone"),
                    switch("include-disabled", "List disabled ones too"),
                ]
            ],
            list
        ),
        verb!(
            "update",
            "Change a schedule",
            [PLACE, THE_NAME, GENERIC, NO_WAIT],
            update
        ),
        verb!(
            "enable",
            "Enable a schedule",
            [PLACE, THE_NAME, NO_WAIT],
            turn,
            true
        ),
        verb!(
            "disable",
            "Disable a schedule",
            [PLACE, THE_NAME, NO_WAIT],
            turn,
            false
        ),
        verb!(
            "trigger",
            "Create the job of a schedule now",
            [PLACE, THE_NAME],
            trigger
        ),
        verb!(
            "delete",
            "Delete a schedule",
            [PLACE, THE_NAME, NO_WAIT],
            delete
        ),
    ],
};

/// A schedule as Azure's command line shows it.
fn shown(workspace: &Workspace, schedule: &Schedule) -> Value {
    let created_by = schedule.created_by.as_str();
    let (what, definition) = match &schedule.create_monitor {
        Some(monitor) => ("create_monitor", monitor),
        None => ("create_job", &schedule.create_job),
    };
    json!({
        what: definition,
        "creation_context": ids::creation(
            (schedule.created_at, created_by),
            (schedule.updated_at, created_by),
        ),
        "description": schedule.description,
        "display_name": schedule.display_name,
        "id": ids::within(workspace, &format!("schedules/{}", schedule.name)),
        "is_enabled": schedule.enabled,
        "name": schedule.name,
        "properties": schedule.properties,
        "provisioning_state": "Succeeded",
        "resourceGroup": workspace.resource_group,
        "tags": schedule.tags,
        "trigger": schedule.trigger,
    })
}

async fn create(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut draft = Draft::open(given.text("file"), &az.ctx.folder)?;
    put_flags(&mut draft, given, &["name"]);
    draft.edit(&given.edits()?, Values::Strings)?;
    let fields = draft.check("schedule")?;
    let workspace = az.this_workspace().await?;
    let made = async { az.call(&request(&az.ctx, fields).await?).await }.await;
    let made = made.map_err(|error| draft.located(error))?;
    if let Some(needs) = what_it_needs(&az.ctx, &made) {
        az.note(given, needs);
    }
    Ok(shown(&workspace, &made))
}

async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.this_workspace().await?;
    let get = GetSchedule {
        workspace: workspace.name.clone(),
        name: given.required("name")?.to_owned(),
    };
    Ok(shown(&workspace, &az.call(&get).await?))
}

async fn list(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.this_workspace().await?;
    let name = workspace.name.clone();
    let mut all = az.call(&ListSchedules { workspace: name }).await?;
    let (only, too) = (
        given.switch("disabled-only"),
        given.switch("include-disabled"),
    );
    all.retain(
        |schedule| {
            if schedule.enabled { !only } else { only || too }
        },
    );
    if let Some(max) = given.number("max-results")? {
        all.truncate(max as usize);
    }
    Ok(all
        .iter()
        .map(|schedule| shown(&workspace, schedule))
        .collect())
}

async fn update(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.this_workspace().await?;
    let name = given.required("name")?;
    let changed = change(&az.ctx, name, &given.edits()?, given.values()).await?;
    Ok(shown(&workspace, &changed))
}

async fn turn(az: &Az, given: &Given, enabled: bool) -> anyhow::Result<Value> {
    let update = UpdateSchedule {
        workspace: az.workspace()?,
        name: given.required("name")?.to_owned(),
        enabled: Some(enabled),
        ..UpdateSchedule::default()
    };
    az.call(&update).await?;
    Ok(Value::Null)
}

async fn trigger(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let trigger = TriggerSchedule {
        workspace: az.workspace()?,
        name: given.required("name")?.to_owned(),
        job: naming::new_name(),
    };
    let fired = az.call(&trigger).await?;
    Ok(json!({"job_name": fired.job, "schedule_action_type": "CreateJob"}))
}

async fn delete(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let delete = DeleteSchedule {
        workspace: az.workspace()?,
        name: given.required("name")?.to_owned(),
    };
    az.call(&delete).await?;
    Ok(Value::Null)
}

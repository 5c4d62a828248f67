//! Runs: made, changed, deleted and searched.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{
    call::{Call, Place},
    error::Failure,
    experiments::{self, not_found},
    limits, names,
    wire::{self, Answer, answer, done},
};
use api::{
    Code, Error, Time,
    runs::{CreateRun, GetRun, ListRuns, Run as OurRun, RunStatus, UpdateRun},
};

/// The tag that is the run's name as well.
const NAME_TAG: &str = "mlflow.runName";

/// MLflow's sentences for a run that is missing or deleted; other errors stay.
pub fn run_error(run: &str, error: Error) -> Failure {
    match error.code {
        Code::Conflict => Failure::invalid(format!(
            "The run {run} must be in the 'active' state. Current state is deleted."
        )),
        _ => not_found(error, format!("Run with id={run} not found")),
    }
}

/// Reads a run.
pub async fn find(place: &Place, run: &str) -> Result<OurRun, Failure> {
    let get = GetRun {
        workspace: place.workspace.clone(),
        run: run.to_owned(),
    };
    place
        .perform(get)
        .await
        .map_err(|error| run_error(run, error))
}

#[derive(serde::Serialize)]
struct OneRun {
    run: wire::Run,
}

pub async fn create(call: Call) -> Answer {
    let fields = &call.fields;
    let mut tags: BTreeMap<String, String> = BTreeMap::new();
    for (index, (key, value)) in fields.pairs("tags")?.into_iter().enumerate() {
        limits::check_key(&format!("tags[{index}].key"), &key)?;
        tags.insert(key, value);
    }
    let name = run_name(fields.some_text("run_name")?, tags.get(NAME_TAG))?;
    let id = fields.some_text("experiment_id")?;
    let experiment =
        experiments::find(&call, id.as_deref().unwrap_or(wire::DEFAULT_EXPERIMENT_ID)).await?;
    if experiment.deleted {
        return Err(Failure::invalid(format!(
            "The experiment {} must be in the 'active' state. Current state is deleted.",
            experiment.id
        )));
    }
    let user = fields.some_text("user_id")?;
    let user = user.or_else(|| tags.get("mlflow.user").cloned());
    let create = CreateRun {
        workspace: call.workspace.clone(),
        name: Uuid::new_v4().simple().to_string(),
        experiment_id: experiment.id,
        display_name: name,
        user: user.unwrap_or_else(|| call.caller.name().to_owned()),
        status: RunStatus::Running,
        started_at: fields.integer("start_time")?.filter(|at| *at > 0).map(Time),
        tags,
    };
    let run = call.perform(create).await?;
    answer(&OneRun {
        run: wire::Run {
            info: (&run).into(),
            data: run.into(),
            inputs: wire::RunInputs::default(),
            outputs: wire::RunOutputs::default(),
        },
    })
}

/// A run's name is given by the field or by the tag, or is made up.
fn run_name(field: Option<String>, tag: Option<&String>) -> Result<String, Failure> {
    match (field, tag.filter(|tag| !tag.is_empty())) {
        (Some(field), Some(tag)) if field != *tag => Err(Failure::invalid(format!(
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values \
             (run_name='{field}', mlflow.runName='{tag}')."
        ))),
        (Some(name), _) => Ok(name),
        (None, Some(tag)) => Ok(tag.clone()),
        (None, None) => Ok(names::made_up()),
    }
}

pub async fn get(call: Call) -> Answer {
    let run = find(&call, &call.fields.run_id()?).await?;
    let run = super::links::with_links(&call, vec![run]).await?.pop();
    match run {
        Some(run) => answer(&OneRun { run }),
        None => done(),
    }
}

async fn change(call: &Call, update: UpdateRun) -> Result<OurRun, Failure> {
    let run = update.run.clone();
    call.perform(update)
        .await
        .map_err(|error| run_error(&run, error))
}

#[derive(serde::Serialize)]
struct UpdatedRun {
    run_info: wire::RunInfo,
}

pub async fn update(call: Call) -> Answer {
    let fields = &call.fields;
    let status = match fields.text("status") {
        Ok(name) => name,
        Err(failure) => match fields.integer("status") {
            Ok(number) => number.map(|number| number.to_string()),
            Err(_) => return Err(failure),
        },
    };
    let update = UpdateRun {
        workspace: call.workspace.clone(),
        run: fields.run_id()?,
        display_name: fields.some_text("run_name")?,
        status: status.as_deref().and_then(wire::run_status),
        ended_at: fields.integer("end_time")?.map(Time),
        deleted: None,
        experiment: None,
    };
    let run = change(&call, update).await?;
    answer(&UpdatedRun {
        run_info: (&run).into(),
    })
}

pub async fn delete(call: Call) -> Answer {
    set_deleted(call, true).await
}

pub async fn restore(call: Call) -> Answer {
    set_deleted(call, false).await
}

async fn set_deleted(call: Call, deleted: bool) -> Answer {
    let run = call.fields.run_id()?;
    let update = UpdateRun {
        workspace: call.workspace.clone(),
        run: run.clone(),
        deleted: Some(deleted),
        ..UpdateRun::default()
    };
    // A conflict here is a run that is still executed, which our own words say best.
    call.perform(update)
        .await
        .map_err(|error| match error.code {
            Code::Conflict => error.into(),
            _ => run_error(&run, error),
        })?;
    done()
}

pub async fn search(call: Call) -> Answer {
    let fields = &call.fields;
    let limit = fields.max_results(1000, limits::SEARCH_RESULTS)?;
    let wanted = fields.texts("experiment_ids")?;
    let experiment_ids = experiments::ids(&call, &wanted).await?;
    let nowhere = experiment_ids.is_empty();
    let mut order_by = fields.texts("order_by")?;
    let list = ListRuns {
        workspace: call.workspace.clone(),
        experiment_ids,
        filter: fields.some_text("filter")?,
        any_status: true,
        view: experiments::view(&call, "run_view_type")?,
        order_by: {
            complete_order(&mut order_by);
            order_by
        },
        limit: Some(limit),
        page: fields.some_text("page_token")?,
        ..ListRuns::default()
    };
    if nowhere {
        return done();
    }
    let page = call.perform(list).await?;
    let runs = super::links::with_links(&call, page.items).await?;
    wire::page("runs", &runs, page.next)
}

/// Equals come newest first, then by id.
fn complete_order(order_by: &mut Vec<String>) {
    let names = |key: &str, names: &[&str]| {
        let field = key.split_whitespace().next().unwrap_or_default();
        names.contains(&field.rsplit('.').next().unwrap_or_default())
    };
    let has = |fields: &[&str]| order_by.iter().any(|key| names(key, fields));
    let by_time = has(&["start_time", "created", "Created"]);
    let by_id = has(&["run_id"]);
    if !by_time {
        order_by.push("attributes.start_time DESC".to_owned());
    }
    if !by_id {
        order_by.push("attributes.run_id".to_owned());
    }
}

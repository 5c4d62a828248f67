//! Experiments.

use std::collections::BTreeMap;

use super::{
    call::{Call, Place},
    error::{ErrorCode, Failure},
    fields::missing,
    limits,
    wire::{self, Answer, DEFAULT_EXPERIMENT, DEFAULT_EXPERIMENT_ID, answer, done},
};
use api::{
    Code, Error,
    experiments::{
        CreateExperiment, Experiment, GetExperiment, SearchExperiments, UpdateExperiment,
    },
    runs::View,
};

/// Finds an experiment by the id a client knows it by. The default one is made when first asked for.
pub async fn find(place: &Place, id: &str) -> Result<Experiment, Failure> {
    if id == DEFAULT_EXPERIMENT_ID {
        return default_experiment(place).await;
    }
    check_id(id)?;
    let get = GetExperiment {
        workspace: place.workspace.clone(),
        name: None,
        id: Some(id.to_owned()),
    };
    place
        .perform(get)
        .await
        .map_err(|error| not_found(error, format!("No Experiment with id={id} exists")))
}

async fn default_experiment(place: &Place) -> Result<Experiment, Failure> {
    let get = || GetExperiment {
        workspace: place.workspace.clone(),
        name: Some(DEFAULT_EXPERIMENT.to_owned()),
        id: None,
    };
    match place.perform(get()).await {
        Err(error) if error.code == Code::NotFound => {}
        found => return Ok(found?),
    }
    let create = CreateExperiment {
        workspace: place.workspace.clone(),
        name: DEFAULT_EXPERIMENT.to_owned(),
        artifact_location: Some(format!(
            "{}/{DEFAULT_EXPERIMENT_ID}",
            place.service.artifact_root()
        )),
        tags: BTreeMap::new(),
    };
    match place.perform(create).await {
        Err(error) if error.code == Code::Conflict => Ok(place.perform(get()).await?),
        made => Ok(made?),
    }
}

/// [`default_experiment`], if there is one or the caller may make it: who may only read can search
/// a workspace that nobody has logged to.
async fn default_if_any(place: &Place) -> Result<Option<Experiment>, Failure> {
    match default_experiment(place).await {
        Ok(found) => Ok(Some(found)),
        Err(failure) if failure.code == ErrorCode::PermissionDenied => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The store's ids for ids that clients know; an id of nothing is left out.
pub async fn ids(place: &Place, ids: &[String]) -> Result<Vec<String>, Failure> {
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        if id == DEFAULT_EXPERIMENT_ID {
            found.extend(default_if_any(place).await?.map(|experiment| experiment.id));
        } else {
            check_id(id)?;
            found.push(id.clone());
        }
    }
    Ok(found)
}

fn check_id(id: &str) -> Result<(), Failure> {
    match id.parse::<i64>() {
        Ok(_) => Ok(()),
        Err(_) => Err(Failure::invalid(format!(
            "Invalid experiment ID '{id}'. Experiment ID must be a valid integer."
        ))),
    }
}

/// MLflow's sentence for what is not there; other errors stay, also that of a workspace that is not
/// there, which a client's user has to see.
pub fn not_found(error: Error, message: String) -> Failure {
    match error.code {
        Code::NotFound if !error.is_unknown("workspace") => Failure::missing(message),
        _ => error.into(),
    }
}

#[derive(serde::Serialize)]
struct OneExperiment {
    experiment: wire::Experiment,
}

pub async fn create(call: Call) -> Answer {
    let name = call.fields.required("name")?;
    limits::check_length("name", limits::EXPERIMENT_NAME, &name)?;
    let tags = tags(call.fields.pairs("tags")?)?;
    let location = call.fields.some_text("artifact_location")?;
    if name.eq_ignore_ascii_case(DEFAULT_EXPERIMENT) {
        default_experiment(&call).await?;
    }
    let create = CreateExperiment {
        workspace: call.workspace.clone(),
        name: name.clone(),
        artifact_location: location
            .map(|location| call.service.whole_location(location.trim_end_matches('/'))),
        tags,
    };
    let created = call
        .perform(create)
        .await
        .map_err(|error| taken(error, &name))?;
    answer(&serde_json::json!({"experiment_id": created.id}))
}

fn taken(error: Error, name: &str) -> Failure {
    match error.code {
        Code::Conflict => Failure::new(
            ErrorCode::AlreadyExists,
            format!("Experiment(name={name}) already exists."),
        ),
        _ => error.into(),
    }
}

fn tags(pairs: Vec<(String, String)>) -> Result<BTreeMap<String, String>, Failure> {
    for (key, value) in &pairs {
        limits::check_key("key", key)?;
        limits::check_length("key", limits::KEY, key)?;
        limits::check_length("value", limits::EXPERIMENT_TAG_VALUE, value)?;
    }
    Ok(pairs.into_iter().collect())
}

pub async fn get(call: Call) -> Answer {
    let experiment = find(&call, &call.fields.required("experiment_id")?).await?;
    one(&call, experiment)
}

fn one(call: &Call, experiment: Experiment) -> Answer {
    answer(&OneExperiment {
        experiment: wire::Experiment::new(experiment, &call.workspace),
    })
}

pub async fn get_by_name(call: Call) -> Answer {
    let name = call.fields.required("experiment_name")?;
    if name.eq_ignore_ascii_case(DEFAULT_EXPERIMENT) {
        return one(&call, default_experiment(&call).await?);
    }
    let get = GetExperiment {
        workspace: call.workspace.clone(),
        name: Some(name.clone()),
        id: None,
    };
    let experiment = call.perform(get).await.map_err(|error| {
        not_found(
            error,
            format!("Could not find experiment with name '{name}'"),
        )
    })?;
    one(&call, experiment)
}

pub async fn search(call: Call) -> Answer {
    let limit = call.fields.max_results(0, limits::SEARCH_RESULTS)?;
    default_if_any(&call).await?;
    let search = SearchExperiments {
        workspace: call.workspace.clone(),
        view: view(&call, "view_type")?,
        filter: call.fields.some_text("filter")?,
        order_by: call.fields.texts("order_by")?,
        limit: Some(limit),
        page: call.fields.some_text("page_token")?,
    };
    let page = call.perform(search).await?;
    let shown = |experiment| wire::Experiment::new(experiment, &call.workspace);
    let experiments: Vec<wire::Experiment> = page.items.into_iter().map(shown).collect();
    wire::page("experiments", &experiments, page.next)
}

/// What a search sees, by MLflow's name or number for it.
pub fn view(call: &Call, name: &str) -> Result<View, Failure> {
    let number = match call.fields.integer(name) {
        Ok(number) => number.map(|number| number.to_string()),
        Err(_) => call.fields.text(name)?,
    };
    Ok(match number.as_deref() {
        Some("DELETED_ONLY" | "2") => View::Deleted,
        Some("ALL" | "3") => View::All,
        _ => View::Active,
    })
}

async fn change(
    call: &Call,
    change: impl FnOnce(&mut UpdateExperiment) -> Result<(), Failure>,
) -> Answer {
    let id = call.fields.required("experiment_id")?;
    let found = find(call, &id).await?;
    let mut update = UpdateExperiment {
        workspace: call.workspace.clone(),
        id: found.id,
        ..UpdateExperiment::default()
    };
    change(&mut update)?;
    let name = update.name.clone().unwrap_or_default();
    call.perform(update)
        .await
        .map_err(|error| match error.code {
            Code::Conflict if found.deleted => Failure::invalid(format!(
                "The experiment {id} must be in the 'active' state. Current state is deleted."
            )),
            _ => taken(error, &name),
        })?;
    done()
}

pub async fn update(call: Call) -> Answer {
    let name = call.fields.required("new_name")?;
    limits::check_length("name", limits::EXPERIMENT_NAME, &name)?;
    change(&call, |update| {
        update.name = Some(name);
        Ok(())
    })
    .await
}

pub async fn delete(call: Call) -> Answer {
    change(&call, |update| {
        update.deleted = Some(true);
        Ok(())
    })
    .await
}

pub async fn restore(call: Call) -> Answer {
    change(&call, |update| {
        update.deleted = Some(false);
        Ok(())
    })
    .await
}

pub async fn set_tag(call: Call) -> Answer {
    let key = call.fields.required("key")?;
    let value = call.fields.text("value")?.unwrap_or_default();
    change(&call, |update| {
        update.set_tags = tags(vec![(key, value)])?;
        Ok(())
    })
    .await
}

pub async fn delete_tag(call: Call) -> Answer {
    let key = call.fields.required("key")?;
    let id = call.fields.some_text("experiment_id")?;
    let id = id.ok_or_else(|| missing("experiment_id"))?;
    if !find(&call, &id).await?.tags.contains_key(&key) {
        return Err(Failure::missing(format!(
            "No tag with name: {key} in experiment with id {id}"
        )));
    }
    change(&call, |update| {
        update.remove_tags = vec![key];
        Ok(())
    })
    .await
}

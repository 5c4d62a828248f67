//! Experiments: made when a run names them, renamed, deleted and restored with their runs.

use super::{
    Action, Caller, Perform, Service,
    filter::{self, Listing},
};
use api::{
    Error, Page, Result,
    experiments::{
        CreateExperiment, Experiment, GetExperiment, ListExperiments, SearchExperiments,
        UpdateExperiment,
    },
    names,
    runs::View,
};
use async_trait::async_trait;
use store::{ExperimentChange, WorkspaceRow};

impl Service {
    /// The experiment of that name, deleted or not.
    pub async fn find_experiment(&self, row: &WorkspaceRow, name: &str) -> Result<Experiment> {
        match self.store.experiment_named(row.id, name.to_owned()).await? {
            Some(experiment) => Ok(experiment),
            None => Err(self.unknown_experiment(row, name).await?),
        }
    }

    async fn unknown_experiment(&self, row: &WorkspaceRow, name: &str) -> Result<Error> {
        let all = self.store.list_experiments(row.id, false).await?;
        let nearest = names::nearest(name, all.iter().map(|e| e.name.as_str()));
        let place = format!(" in `{}`", row.workspace.name);
        let error = Error::unknown("experiment", name, &place, nearest);
        Ok(if all.is_empty() {
            error.hint(format!(
                "Experiments are made by their first run: aml run submit --experiment {name} -- COMMAND"
            ))
        } else {
            error.or_hint("See which there are: aml experiment list")
        })
    }
}

/// Reads an experiment's id, which is a number.
pub(super) fn parse_id(id: &str) -> Result<i64> {
    id.parse().map_err(|_| {
        Error::invalid(format!("`{id}` is not the id of an experiment")).at("experiment_id")
    })
}

fn no_such_id(row: &WorkspaceRow, id: &str) -> Error {
    Error::not_found(format!(
        "No experiment with the id `{id}` in `{}`",
        row.workspace.name
    ))
    .hint("See which there are: aml experiment list")
}

#[async_trait]
impl Perform for CreateExperiment {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Experiment> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteRuns)
            .await?;
        names::EXPERIMENT.check(&self.name)?;
        super::metrics::check_tags(&self.tags)?;
        let name = self.name.clone();
        let created = service
            .store
            .create_experiment(
                row.id,
                self.name,
                self.artifact_location,
                service.artifact_root().to_owned(),
                self.tags,
                service.now(),
            )
            .await?;
        created.ok_or_else(|| {
            Error::conflict(format!("There is an experiment `{name}` already")).at("name")
        })
    }
}

#[async_trait]
impl Perform for ListExperiments {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<Experiment>> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        service
            .store
            .list_experiments(row.id, self.include_deleted)
            .await
    }
}

#[async_trait]
impl Perform for SearchExperiments {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Page<Experiment>> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let mut all = service.store.list_experiments(row.id, true).await?;
        all.retain(|experiment| match self.view {
            View::Active => !experiment.deleted,
            View::Deleted => experiment.deleted,
            View::All => true,
        });
        let listing = Listing {
            filter: self.filter.as_deref().unwrap_or_default(),
            order_by: &self.order_by,
            limit: self.limit,
            page: self.page.as_deref(),
        };
        filter::select_experiments(all, &listing)
    }
}

#[async_trait]
impl Perform for GetExperiment {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Experiment> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        match (self.name, self.id) {
            (Some(name), None) => service.find_experiment(&row, &name).await,
            (None, Some(id)) => match service.store.experiment(row.id, parse_id(&id)?).await? {
                Some(experiment) => Ok(experiment),
                None => Err(no_such_id(&row, &id)),
            },
            _ => Err(Error::invalid(
                "An experiment is asked for by either its name or its id",
            )),
        }
    }
}

#[async_trait]
impl Perform for UpdateExperiment {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Experiment> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteRuns)
            .await?;
        if matches!(caller, Caller::Run { .. }) {
            return Err(Error::denied(
                "A run's token may only be used for its own run",
            ));
        }
        let id = parse_id(&self.id)?;
        let Some(found) = service.store.experiment(row.id, id).await? else {
            return Err(no_such_id(&row, &self.id));
        };
        super::metrics::check_tags(&self.set_tags)?;
        if let Some(name) = &self.name {
            names::EXPERIMENT.check(name)?;
            if found.deleted && self.deleted != Some(false) {
                return Err(Error::conflict(format!(
                    "The experiment `{}` is deleted and cannot be renamed",
                    found.name
                )));
            }
        }
        let change = ExperimentChange {
            name: self.name,
            deleted: self.deleted,
            set_tags: self.set_tags,
            remove_tags: self.remove_tags,
        };
        match service
            .store
            .update_experiment(row.id, id, change, service.now())
            .await?
        {
            Some(experiment) => Ok(experiment),
            None => Err(no_such_id(&row, &self.id)),
        }
    }
}

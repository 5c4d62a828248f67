//! Logged models, and what runs read and made besides their files.

use std::collections::BTreeMap;

use super::{
    Action, Caller, Perform, Service, experiments,
    filter::{self, Listing},
    metrics,
};
use api::{
    Done, Error, Page, Result,
    logged_models::{
        CreateLoggedModel, DatasetSummary, GetLoggedModel, GetRunLinks, LinkRun, ListDatasets,
        LoggedModel, MeasuredMetric, RunLinks, SearchLoggedModels, UpdateLoggedModel,
    },
};
use async_trait::async_trait;
use store::{LoggedModelChange, NewLoggedModel, WorkspaceRow};

impl Service {
    /// The newest logged model of that name that a run made, if it made one.
    pub async fn resolve_logged_model(
        &self,
        row: &WorkspaceRow,
        run: i64,
        name: &str,
    ) -> Result<Option<LoggedModel>> {
        let all = self.store.list_logged_models(row.id, Some(run)).await?;
        let called = |model: &LoggedModel| model.name == name || model.id == name;
        Ok(all.into_iter().find(called))
    }

    async fn find_logged_model(&self, row: &WorkspaceRow, id: &str) -> Result<LoggedModel> {
        match self.store.logged_model(row.id, id).await? {
            Some(model) => Ok(model),
            None => Err(no_such_model(row, id)),
        }
    }

    /// Refuses a run's token that is used for a model which neither the run nor its children made.
    async fn allow_model(
        &self,
        caller: &Caller,
        row: &WorkspaceRow,
        model: &LoggedModel,
    ) -> Result<()> {
        match (&model.run, caller) {
            (Some(run), _) => {
                let run = self.find_run(row, run).await?;
                self.allow_run_tree(caller, run).await
            }
            (None, Caller::Run { .. }) => Err(Error::denied(
                "A run's token may only be used for its own run",
            )),
            (None, Caller::Owner | Caller::User { .. }) => Ok(()),
        }
    }
}

fn no_such_model(row: &WorkspaceRow, id: &str) -> Error {
    Error::not_found(format!(
        "No logged model `{id}` in `{}`",
        row.workspace.name
    ))
}

#[async_trait]
impl Perform for CreateLoggedModel {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<LoggedModel> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteRuns)
            .await?;
        check_name(&self.name)?;
        metrics::check_params(&self.params)?;
        metrics::check_tags(&self.tags)?;
        let experiment = experiments::parse_id(&self.experiment_id)?;
        match service.store.experiment(row.id, experiment).await? {
            None => {
                return Err(Error::not_found(format!(
                    "No experiment with the id `{experiment}`"
                )));
            }
            Some(found) if found.deleted => {
                return Err(Error::conflict(format!(
                    "The experiment `{}` is deleted",
                    found.name
                )));
            }
            Some(_) => {}
        }
        let run = match (&self.run, caller) {
            (Some(run), _) => {
                let run = service.store.run_id(row.id, run).await?;
                service
                    .allow_run_tree(caller, run.unwrap_or_default())
                    .await?;
                run
            }
            // What a script logs without saying where belongs to the script's run.
            (None, Caller::Run { run, .. }) => Some(*run),
            (None, Caller::Owner | Caller::User { .. }) => None,
        };
        let new = NewLoggedModel {
            workspace: row.id,
            experiment,
            run,
            made_by: self.run,
            id: self.id.clone(),
            name: self.name,
            kind: self.kind,
            params: self.params,
            tags: self.tags,
            now: service.now(),
        };
        let created = service.store.create_logged_model(new).await?;
        created.ok_or_else(|| {
            Error::conflict(format!("There is a logged model `{}` already", self.id)).at("id")
        })
    }
}

fn check_name(name: &str) -> Result<()> {
    match name.chars().find(|c| "/:.%\"'".contains(*c)) {
        _ if name.is_empty() => {
            Err(Error::invalid("The name of a logged model cannot be empty").at("name"))
        }
        Some(bad) => Err(Error::invalid(format!(
            "The name of a logged model cannot contain `{bad}`: `{name}`"
        ))
        .at("name")),
        None => Ok(()),
    }
}

#[async_trait]
impl Perform for GetLoggedModel {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<LoggedModel> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let model = service.find_logged_model(&row, &self.id).await?;
        if model.deleted && !self.include_deleted {
            return Err(no_such_model(&row, &self.id));
        }
        Ok(model)
    }
}

#[async_trait]
impl Perform for UpdateLoggedModel {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<LoggedModel> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteRuns)
            .await?;
        let model = service.find_logged_model(&row, &self.id).await?;
        service.allow_model(caller, &row, &model).await?;
        if model.deleted {
            return Err(no_such_model(&row, &self.id));
        }
        metrics::check_params(&self.params)?;
        metrics::check_tags(&self.set_tags)?;
        let run = match &self.run {
            Some(run) => Some(service.find_run(&row, run).await?),
            None => None,
        };
        let id = self.id.clone();
        let change = LoggedModelChange::of(self, run);
        let changed = service
            .store
            .update_logged_model(row.id, id.clone(), change, service.now())
            .await?;
        changed.ok_or_else(|| no_such_model(&row, &id))
    }
}

#[async_trait]
impl Perform for SearchLoggedModels {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Page<LoggedModel>> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let run = match &self.run {
            Some(run) => Some(service.find_run(&row, run).await?),
            None => None,
        };
        let mut all = service.store.list_logged_models(row.id, run).await?;
        let of_experiment = |model: &LoggedModel| {
            self.experiment_ids.is_empty() || self.experiment_ids.contains(&model.experiment_id)
        };
        all.retain(of_experiment);
        let measured = |model: &LoggedModel| {
            let counts =
                |found: &MeasuredMetric| self.datasets.iter().any(|one| one.fits(&found.metric));
            self.datasets.is_empty() || model.metrics.iter().any(counts)
        };
        all.retain(measured);
        let listing = Listing {
            filter: self.filter.as_deref().unwrap_or_default(),
            order_by: &self.order_by,
            limit: self.limit,
            page: self.page.as_deref(),
        };
        let datasets = [self.datasets, self.order_datasets].concat();
        filter::select_logged_models(all, &listing, &datasets)
    }
}

#[async_trait]
impl Perform for LinkRun {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let (_, run) = service
            .enter_run(caller, &self.workspace, &self.run, Action::WriteRuns)
            .await?;
        if run.run.deleted {
            return Err(Error::conflict(format!("Run `{}` is deleted", self.run)));
        }
        service.store.link_run(run.id, self.links).await?;
        Ok(Done {})
    }
}

#[async_trait]
impl Perform for GetRunLinks {
    async fn perform(
        self,
        service: &Service,
        caller: &Caller,
    ) -> Result<BTreeMap<String, RunLinks>> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        service.store.run_links(row.id, self.runs).await
    }
}

#[async_trait]
impl Perform for ListDatasets {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<DatasetSummary>> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let ids = self.experiment_ids.iter();
        let ids = ids.map(|id| experiments::parse_id(id));
        service
            .store
            .list_datasets(row.id, ids.collect::<Result<_>>()?, self.limit)
            .await
    }
}

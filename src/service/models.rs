//! Models: registering their versions, changing them, what keeps a version from being deleted.

use super::{
    Action, Caller, Perform, Service, events,
    filter::{Listing, ModelSearch},
    metrics::check_tags,
    model_files::check_kind,
};
use api::{
    Done, Error, Page, Result,
    files::Hash,
    models::{
        DeleteModel, GetModel, LATEST, ListModels, Model, ModelType, RegisterModel, SearchModels,
        UpdateModel, Which, check_version_name,
    },
    names,
};
use async_trait::async_trait;
use store::{ModelChange, ModelDeletion, ModelRow, NewModel, Registration, WorkspaceRow};

impl Service {
    /// One version of a model, with its files as soon as they are there, or why there is none.
    pub(super) async fn find_model(
        &self,
        row: &WorkspaceRow,
        name: &str,
        which: Which,
    ) -> Result<ModelRow> {
        match self.store.model(row.id, name, which.clone()).await? {
            Some(found) => self.with_files(row, found).await,
            None => Err(self.unknown_model(row, name, &which).await?),
        }
    }

    pub(super) async fn unknown_model(
        &self,
        row: &WorkspaceRow,
        name: &str,
        which: &Which,
    ) -> Result<Error> {
        let place = format!(" in workspace `{}`", row.workspace.name);
        let Some(found) = self.store.registered_model(row.id, name).await? else {
            let all = self.store.list_registered_models(row.id).await?;
            let nearest = names::nearest(name, all.iter().map(|row| row.model.name.as_str()));
            return Ok(Error::unknown("model", name, &place, nearest)
                .or_hint("See which there are: aml model list"));
        };
        let name = &found.name;
        let Some(newest) = found.latest.iter().map(|version| version.version).max() else {
            return Ok(
                Error::not_found(format!("The model `{name}` has no version")).hint(format!(
                    "Register one: aml model register -n {name} --path FOLDER"
                )),
            );
        };
        Ok(match which {
            Which::Version(version) => Error::not_found(format!(
                "No model `{name}` version {version}{place}"
            ))
            .hint(format!(
                "The newest version is {newest}; see all: aml model list --name {name}"
            )),
            Which::Named(version) => {
                Error::not_found(format!("No model `{name}` version {version}{place}"))
                    .hint(format!("See all: aml model list --name {name}"))
            }
            Which::Alias(alias) => {
                let error = Error::not_found(format!("No alias `{alias}` of the model `{name}`"));
                let known: Vec<&str> = found.aliases.keys().map(String::as_str).collect();
                match names::nearest(alias, known.iter().copied()) {
                    Some(nearest) => error.hint(format!("Did you mean `{nearest}`?")),
                    None if known.is_empty() => error.hint(format!(
                        "It has none; set it: aml model alias set {name}:{newest} {alias}"
                    )),
                    None => error.hint(format!("It has `{}`", known.join("`, `"))),
                }
            }
            Which::Newest => Error::not_found(format!("Every version of `{name}` is archived"))
                .hint(format!("aml model restore {name}:{newest}")),
        })
    }
}

#[async_trait]
impl Perform for RegisterModel {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Model> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteModels)
            .await?;
        names::MODEL.check(&self.name)?;
        check_tags(&self.tags)?;
        self.version_name
            .as_deref()
            .map_or(Ok(()), check_version_name)?;
        let mut found = service
            .model_files(caller, &row, self.source, self.files_later)
            .await?;
        if self.run.is_some() && found.lineage.run != self.run {
            found.lineage.run = self.run;
            found.lineage.experiment = None;
        }
        service
            .lineage_of_run(caller, &row, &mut found.lineage)
            .await;
        let lineage = &mut found.lineage;
        lineage.logged_model = self.logged_model.or(lineage.logged_model.take());
        lineage.run_link = self.run_link.or(lineage.run_link.take());
        let kind = match found.kind {
            Some(kind) => kind,
            None if found.tree.is_none() => self.kind.unwrap_or(ModelType::Custom),
            None => check_kind(self.kind, &found.entries)?,
        };
        let flavors = match kind {
            ModelType::Mlflow if self.flavors.is_empty() => {
                service.flavors_of(&found.entries).await?
            }
            _ => self.flavors,
        };
        let new = NewModel {
            name: self.name.clone(),
            version: self.version,
            version_name: self.version_name,
            properties: self.properties,
            flavors,
            existing: self.existing,
            kind,
            description: self.description,
            tags: self.tags,
            tree: found.tree,
            source: self.uri,
            location: found.location,
            lineage: found.lineage,
            created_by: caller.name().to_owned(),
            now: service.now(),
            announce: events::of_registration,
        };
        match service.store.register_model(row.id, new).await? {
            Registration::Registered(registered) => {
                service.wake_courier().await?;
                Ok(registered.model)
            }
            Registration::NoTree => {
                Err(Error::conflict("The model's files were deleted meanwhile")
                    .hint("Register it again"))
            }
            Registration::Taken(taken) if same_files(&taken.model, found.tree) => Ok(taken.model),
            Registration::Taken(taken) => Err(Error::conflict(format!(
                "The model `{}` version {} exists with other files; versions do not change",
                taken.model.name,
                taken.model.version_called()
            ))
            .at("version")
            .hint("Leave the version out, and it becomes the next one")),
            Registration::NoModel => Err(service
                .unknown_model(&row, &self.name, &Which::Newest)
                .await?),
        }
    }
}

/// Whether a version has the files of a tree.
fn same_files(model: &Model, tree: Option<Hash>) -> bool {
    model.files.as_ref().map(|files| files.hash) == tree
}

#[async_trait]
impl Perform for ListModels {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<Model>> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let rows = service
            .store
            .list_models(
                row.id,
                self.name.clone(),
                self.include_archived,
                self.prompts,
            )
            .await?;
        match self.name {
            Some(name) if rows.is_empty() => {
                // Its versions may all be archived.
                let all = service
                    .store
                    .list_models(row.id, Some(name.clone()), true, true);
                if all.await?.is_empty() {
                    return Err(service.unknown_model(&row, &name, &Which::Newest).await?);
                }
                Ok(Vec::new())
            }
            _ => Ok(rows.into_iter().map(|row| row.model).collect()),
        }
    }
}

#[async_trait]
impl Perform for GetModel {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Model> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let version = self.version.map(Which::Version);
        let version = version.or(self.version_name.map(Which::Named));
        let which = match (version, self.alias) {
            (Some(_), Some(_)) => {
                return Err(Error::invalid(
                    "A version is asked for by either its number or an alias",
                ));
            }
            (Some(version), None) => version,
            (None, Some(alias)) if !alias.eq_ignore_ascii_case(LATEST) => Which::Alias(alias),
            (None, _) => Which::Newest,
        };
        Ok(service.find_model(&row, &self.name, which).await?.model)
    }
}

#[async_trait]
impl Perform for UpdateModel {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Model> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteModels)
            .await?;
        check_tags(&self.set_tags)?;
        let of_model = service.store.registered_model(row.id, &self.name).await?;
        let occurred = of_model.map(|model| {
            events::of_version_tags(&model, self.version, &self.set_tags, &self.remove_tags)
        });
        let change = ModelChange {
            occurred: occurred.unwrap_or_default(),
            description: self.description,
            set_tags: self.set_tags,
            remove_tags: self.remove_tags,
            add_properties: self.add_properties,
            flavors: self.flavors,
            stage: self.stage,
            archive_others: self.archive_others,
        };
        let updated = service
            .store
            .update_model(row.id, &self.name, self.version, service.now(), change)
            .await?;
        match updated {
            Some(updated) => {
                service.wake_courier().await?;
                Ok(updated.model)
            }
            None => Err(service
                .unknown_model(&row, &self.name, &Which::Version(self.version))
                .await?),
        }
    }
}

#[async_trait]
impl Perform for SearchModels {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Page<Model>> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let listing = Listing {
            filter: self.filter.as_deref().unwrap_or_default(),
            order_by: &self.order_by,
            limit: self.limit,
            page: self.page.as_deref(),
        };
        let search = ModelSearch::of_versions(&listing)?;
        let rows = service.store.models(row.id, search.common()).await?;
        search.select_versions(rows)
    }
}

#[async_trait]
impl Perform for DeleteModel {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        service.allow_person(caller)?;
        let row = service
            .enter(caller, &self.workspace, Action::WriteModels)
            .await?;
        let name = &self.name;
        match service
            .store
            .delete_model(
                row.id,
                name,
                self.version,
                self.forget_numbers,
                service.now(),
            )
            .await?
        {
            ModelDeletion::Deleted => Ok(Done {}),
            ModelDeletion::Missing => {
                let which = self.version.map_or(Which::Newest, Which::Version);
                Err(service.unknown_model(&row, name, &which).await?)
            }
            ModelDeletion::Deployed { endpoint, version } => Err(Error::conflict(format!(
                "`{name}:{version}` is deployed as the endpoint `{endpoint}`"
            ))
            .hint(format!(
                "Delete the endpoint first: aml endpoint delete {endpoint}"
            ))),
        }
    }
}

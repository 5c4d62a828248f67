//! Registered models: their names, tags and aliases.

use super::{
    Action, Caller, Perform, Service,
    filter::{Listing, ModelSearch},
    metrics::check_tags,
};
use crate::{
    api::{
        Done, Error, Page, Result,
        models::Which,
        names,
        registered_models::{
            CreateRegisteredModel, DeleteModelAlias, GetRegisteredModel, RegisteredModel,
            SearchRegisteredModels, SetModelAlias, UpdateRegisteredModel,
        },
    },
    store::{RegisteredModelChange, RegisteredModelUpdate},
};

fn taken(name: &str) -> Error {
    Error::conflict(format!("There is a model `{name}` already"))
        .at("name")
        .hint(format!("See its versions: aml model list --name {name}"))
}

impl Perform for CreateRegisteredModel {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<RegisteredModel> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteModels)
            .await?;
        names::MODEL.check(&self.name)?;
        check_tags(&self.tags)?;
        let name = self.name.clone();
        let created = service
            .store
            .create_registered_model(
                row.id,
                self.name,
                self.description,
                self.tags,
                service.now(),
            )
            .await?;
        created.ok_or_else(|| taken(&name))
    }
}

impl Perform for GetRegisteredModel {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<RegisteredModel> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        match service.store.registered_model(row.id, &self.name).await? {
            Some(model) => Ok(model),
            None => Err(service
                .unknown_model(&row, &self.name, &Which::Newest)
                .await?),
        }
    }
}

impl Perform for UpdateRegisteredModel {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<RegisteredModel> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteModels)
            .await?;
        if let Some(name) = &self.new_name {
            service.allow_person(caller)?;
            names::MODEL.check(name)?;
        }
        check_tags(&self.set_tags)?;
        let new_name = self.new_name.clone().unwrap_or_default();
        let change = RegisteredModelChange {
            name: self.new_name,
            description: self.description,
            set_tags: self.set_tags,
            remove_tags: self.remove_tags,
        };
        let now = service.now();
        match service
            .store
            .update_registered_model(row.id, &self.name, change, now)
            .await?
        {
            RegisteredModelUpdate::Updated(model) => Ok(model),
            RegisteredModelUpdate::Taken => Err(taken(&new_name)),
            RegisteredModelUpdate::Missing => Err(service
                .unknown_model(&row, &self.name, &Which::Newest)
                .await?),
        }
    }
}

impl Perform for SearchRegisteredModels {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Page<RegisteredModel>> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let listing = Listing {
            filter: self.filter.as_deref().unwrap_or_default(),
            order_by: &self.order_by,
            limit: self.limit,
            page: self.page.as_deref(),
        };
        let search = ModelSearch::of_models(&listing)?;
        let rows = service.store.list_registered_models(row.id).await?;
        let page = search.select_models(rows)?;
        Ok(Page {
            items: service.store.with_latest(page.items).await?,
            next: page.next,
        })
    }
}

impl Perform for SetModelAlias {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteModels)
            .await?;
        names::check_alias(&self.alias)?;
        let set = service
            .store
            .set_model_alias(row.id, &self.name, self.version, self.alias)
            .await?;
        if set {
            return Ok(Done {});
        }
        let which = Which::Version(self.version);
        Err(service.unknown_model(&row, &self.name, &which).await?)
    }
}

impl Perform for DeleteModelAlias {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteModels)
            .await?;
        let deleted = service
            .store
            .delete_model_alias(row.id, &self.name, self.alias)
            .await?;
        match deleted {
            Some(_) => Ok(Done {}),
            None => Err(service
                .unknown_model(&row, &self.name, &Which::Newest)
                .await?),
        }
    }
}

//! Registered models: their names, tags and aliases.

use super::{
    Action, Caller, Perform, Service, events,
    filter::{Listing, ModelSearch},
    metrics::check_tags,
};
use api::{
    Done, Error, Page, Result,
    models::Which,
    names,
    registered_models::{
        CreateRegisteredModel, DeleteModelAlias, GetRegisteredModel, RegisteredModel,
        SearchRegisteredModels, SetModelAlias, UpdateRegisteredModel,
    },
};
use async_trait::async_trait;
use store::{
    NewAlias, NewRegisteredModel, RegisteredModelChange, RegisteredModelUpdate, WorkspaceRow,
};

fn taken(name: &str) -> Error {
    Error::conflict(format!("There is a model `{name}` already"))
        .at("name")
        .hint(format!("See its versions: aml model list --name {name}"))
}

impl Service {
    async fn find_registered_model(
        &self,
        row: &WorkspaceRow,
        name: &str,
    ) -> Result<RegisteredModel> {
        match self.store.registered_model(row.id, name).await? {
            Some(model) => Ok(model),
            None => Err(self.unknown_model(row, name, &Which::Newest).await?),
        }
    }
}

#[async_trait]
impl Perform for CreateRegisteredModel {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<RegisteredModel> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteModels)
            .await?;
        names::MODEL.check(&self.name)?;
        check_tags(&self.tags)?;
        let name = self.name.clone();
        let new = NewRegisteredModel {
            occurred: vec![events::of_new_model(&name, &self.description, &self.tags)],
            name: self.name,
            description: self.description,
            tags: self.tags,
            now: service.now(),
        };
        let created = service.store.create_registered_model(row.id, new).await?;
        service.wake_courier().await?;
        created.ok_or_else(|| taken(&name))
    }
}

#[async_trait]
impl Perform for GetRegisteredModel {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<RegisteredModel> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        service.find_registered_model(&row, &self.name).await
    }
}

#[async_trait]
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
        let found = service.find_registered_model(&row, &self.name).await?;
        let new_name = self.new_name.clone().unwrap_or_default();
        let change = RegisteredModelChange {
            occurred: events::of_model_tags(&found, &self.set_tags, &self.remove_tags),
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
            RegisteredModelUpdate::Updated(model) => {
                service.wake_courier().await?;
                Ok(model)
            }
            RegisteredModelUpdate::Taken => Err(taken(&new_name)),
            RegisteredModelUpdate::Missing => Err(service
                .unknown_model(&row, &self.name, &Which::Newest)
                .await?),
        }
    }
}

#[async_trait]
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

#[async_trait]
impl Perform for SetModelAlias {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteModels)
            .await?;
        names::check_alias(&self.alias)?;
        let model = service.find_registered_model(&row, &self.name).await?;
        let new = NewAlias {
            occurred: vec![events::of_alias(&model, self.version, &self.alias)],
            name: self.name.clone(),
            version: self.version,
            alias: self.alias,
            now: service.now(),
        };
        if service.store.set_model_alias(row.id, new).await? {
            service.wake_courier().await?;
            return Ok(Done {});
        }
        let which = Which::Version(self.version);
        Err(service.unknown_model(&row, &self.name, &which).await?)
    }
}

#[async_trait]
impl Perform for DeleteModelAlias {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteModels)
            .await?;
        let model = service.find_registered_model(&row, &self.name).await?;
        let occurred = events::of_no_alias(&model, &self.alias);
        let now = service.now();
        let known = service
            .store
            .delete_model_alias(row.id, &self.name, self.alias, occurred, now)
            .await?;
        if known {
            service.wake_courier().await?;
            return Ok(Done {});
        }
        Err(service
            .unknown_model(&row, &self.name, &Which::Newest)
            .await?)
    }
}

//! Registries: workspaces without runs, which every user may read.

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::{Action, Caller, Perform, Service};
use api::{
    Done, Error, Result, names,
    registries::{
        CURATED, CreateRegistry, DeleteRegistry, GetRegistry, ListRegistries, Registry,
        UpdateRegistry, place,
    },
};
use store::WorkspaceChange;

impl Service {
    pub(super) async fn unknown_registry(&self, name: &str) -> Result<Error> {
        let rows = self.store.list_registries().await?;
        let nearest = names::nearest(name, rows.iter().map(|row| row.name.as_str()));
        Ok(Error::unknown("registry", name, "", nearest)
            .or_hint("See which there are: aml registry list"))
    }

    async fn find_registry(&self, name: &str) -> Result<Registry> {
        if name.eq_ignore_ascii_case(CURATED) {
            self.ensure_curated().await?;
        }
        match self.store.registry(name).await? {
            Some(row) => Ok(row),
            None => Err(self.unknown_registry(name).await?),
        }
    }
}

#[async_trait]
impl Perform for CreateRegistry {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Registry> {
        service.allow_admin(caller, "create registries")?;
        names::REGISTRY.check(&self.name)?;
        self.tags.keys().try_for_each(|key| names::TAG.check(key))?;
        let now = service.now();
        let registry = Registry {
            display_name: self.display_name.unwrap_or_else(|| self.name.clone()),
            name: self.name.clone(),
            id: uuid::Uuid::new_v4().to_string(),
            description: self.description,
            location: self.location.unwrap_or_else(|| "local".to_owned()),
            tags: self.tags,
            spec: self.spec,
            created_at: now,
            updated_at: now,
        };
        match service.store.create_registry(registry).await? {
            Some(registry) => Ok(registry),
            None => Err(
                Error::conflict(format!("There is a registry `{}` already", self.name))
                    .at("name")
                    .hint(format!("Change it: aml registry update -n {}", self.name)),
            ),
        }
    }
}

#[async_trait]
impl Perform for ListRegistries {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<Registry>> {
        service.allow_person(caller)?;
        service.ensure_curated().await?;
        service.store.list_registries().await
    }
}

#[async_trait]
impl Perform for GetRegistry {
    async fn perform(self, service: &Service, _caller: &Caller) -> Result<Registry> {
        service.find_registry(&self.registry).await
    }
}

#[async_trait]
impl Perform for UpdateRegistry {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Registry> {
        let row = service
            .enter(caller, &place(&self.registry), Action::ManageWorkspace)
            .await?;
        self.tags.keys().try_for_each(|key| names::TAG.check(key))?;
        let change = WorkspaceChange {
            description: self.description,
            display_name: self.display_name,
            tags: self.tags,
            ..WorkspaceChange::default()
        };
        service
            .store
            .update_workspace(row.id, service.now(), change)
            .await?;
        if !self.spec.is_empty() {
            let found = service.find_registry(&self.registry).await?;
            let merged: Map<String, Value> = found.spec.into_iter().chain(self.spec).collect();
            service.store.set_registry_spec(row.id, merged).await?;
        }
        service.find_registry(&self.registry).await
    }
}

#[async_trait]
impl Perform for DeleteRegistry {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let row = service
            .enter(caller, &place(&self.registry), Action::ManageWorkspace)
            .await?;
        if self.registry.eq_ignore_ascii_case(CURATED) {
            return Err(Error::conflict(format!(
                "The registry `{CURATED}` holds the curated environments and stays"
            )));
        }
        service.store.delete_workspace(row.id, false).await?;
        Ok(Done {})
    }
}

//! Resource groups: those that were created, and those that workspaces and registries name.

use super::{Caller, Perform, Service};
use api::{
    Done, Error, Result, names,
    resource_groups::{
        CreateResourceGroup, DeleteResourceGroup, GetResourceGroup, ListResourceGroups,
        ResourceGroup,
    },
    workspaces::ListWorkspaces,
};
use async_trait::async_trait;

impl Service {
    async fn groups(&self, caller: &Caller) -> Result<Vec<ResourceGroup>> {
        let mut groups = self.store.list_resource_groups().await?;
        let workspaces = (ListWorkspaces {}).perform(self, caller).await?;
        let of_workspaces = workspaces
            .into_iter()
            .map(|workspace| (workspace.resource_group, workspace.location));
        let registries = self.store.list_registries().await?;
        let of_registries = registries.into_iter().filter_map(|registry| {
            let name = registry.spec.get("resourceGroup")?.as_str()?;
            Some((name.to_owned(), registry.location))
        });
        for (name, location) in of_workspaces.chain(of_registries) {
            if !groups
                .iter()
                .any(|group| group.name.eq_ignore_ascii_case(&name))
            {
                groups.push(ResourceGroup {
                    name,
                    location,
                    tags: [].into(),
                });
            }
        }
        groups.sort_by_key(|group| group.name.to_lowercase());
        Ok(groups)
    }

    async fn find_group(&self, caller: &Caller, name: &str) -> Result<ResourceGroup> {
        let groups = self.groups(caller).await?;
        let found = groups
            .iter()
            .find(|group| group.name.eq_ignore_ascii_case(name));
        found.cloned().ok_or_else(|| {
            let nearest = names::nearest(name, groups.iter().map(|group| group.name.as_str()));
            Error::unknown("resource group", name, "", nearest)
        })
    }
}

#[async_trait]
impl Perform for CreateResourceGroup {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<ResourceGroup> {
        service.allow_admin(caller, "create resource groups")?;
        names::RESOURCE_GROUP.check(&self.name)?;
        for key in self.tags.iter().flatten().map(|(key, _)| key) {
            names::TAG.check(key)?;
        }
        // What a workspace or registry named is kept as it is written there.
        let known = service.find_group(caller, &self.name).await.ok();
        let (name, location) = match known {
            Some(known) => (known.name, known.location),
            None => (
                self.name,
                self.location.unwrap_or_else(|| "local".to_owned()),
            ),
        };
        let put = service.store.put_resource_group(name, location, self.tags);
        put.await?
            .ok_or_else(|| Error::internal("A resource group was not written"))
    }
}

#[async_trait]
impl Perform for ListResourceGroups {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<ResourceGroup>> {
        service.allow_person(caller)?;
        service.groups(caller).await
    }
}

#[async_trait]
impl Perform for GetResourceGroup {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<ResourceGroup> {
        service.allow_person(caller)?;
        service.find_group(caller, &self.name).await
    }
}

#[async_trait]
impl Perform for DeleteResourceGroup {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        service.allow_admin(caller, "delete resource groups")?;
        let group = service.find_group(caller, &self.name).await?;
        let (workspaces, endpoints) = service.store.delete_resource_group(&group.name).await?;
        service.forget_workspaces(&workspaces, &endpoints).await?;
        Ok(Done {})
    }
}

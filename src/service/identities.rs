//! Identities that computes and endpoints can be given.

use super::{Caller, Perform, Service};
use api::{
    Done, Error, Result,
    identities::{CreateIdentity, DeleteIdentity, ListIdentities, ManagedIdentity},
    names,
};
use async_trait::async_trait;

#[async_trait]
impl Perform for CreateIdentity {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<ManagedIdentity> {
        service.allow_admin(caller, "create identities")?;
        names::IDENTITY.check(&self.name)?;
        self.tags.keys().try_for_each(|key| names::TAG.check(key))?;
        let id = || uuid::Uuid::new_v4().to_string();
        let new = ManagedIdentity {
            name: self.name,
            resource_group: self.resource_group,
            location: self.location.unwrap_or_else(|| "local".to_owned()),
            tags: self.tags,
            principal_id: id(),
            client_id: id(),
            created_at: service.now(),
        };
        let put = service.store.put_identity(new).await?;
        put.ok_or_else(|| Error::internal("An identity was not written"))
    }
}

#[async_trait]
impl Perform for ListIdentities {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<ManagedIdentity>> {
        service.allow_person(caller)?;
        service.store.list_identities(self.resource_group).await
    }
}

#[async_trait]
impl Perform for DeleteIdentity {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        service.allow_admin(caller, "delete identities")?;
        let deleted = service
            .store
            .delete_identity(&self.resource_group, &self.name);
        if deleted.await? {
            return Ok(Done {});
        }
        let all = service
            .store
            .list_identities(Some(self.resource_group))
            .await?;
        let nearest = names::nearest(&self.name, all.iter().map(|found| found.name.as_str()));
        Err(Error::unknown("identity", &self.name, "", nearest))
    }
}

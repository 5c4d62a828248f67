//! Secrets of a workspace's key vault: sealed at rest, shown only when asked for by name.

use super::{Action, Caller, Perform, Service};
use api::{
    Done, Error, Result, names,
    secrets::{DeleteSecret, GetSecret, ListSecrets, Secret, SecretValue, SetSecret},
};
use async_trait::async_trait;
use store::WorkspaceRow;

/// Azure's own limit is 25 kB.
const MAX_BYTES: usize = 64 << 10;

/// Binds a sealed value to its place, so that it opens nowhere else. Names do not differ by case.
fn context(row: &WorkspaceRow, name: &str) -> String {
    format!(
        "workspaces/{}/secrets/{}",
        row.workspace.id,
        name.to_lowercase()
    )
}

impl Service {
    /// The value of a secret, for a run that names it.
    pub async fn open_secret(&self, row: &WorkspaceRow, name: &str) -> Result<String> {
        Ok(self.unseal(row, name).await?.value)
    }

    async fn unseal(&self, row: &WorkspaceRow, name: &str) -> Result<SecretValue> {
        let Some((name, sealed)) = self.store.sealed_secret(row.id, name).await? else {
            return Err(self
                .unknown_secret(row, name, &format!("Set it: aml secret set {name}"))
                .await?);
        };
        let plain = self.vault.open(&context(row, &name), &sealed)?;
        let value = String::from_utf8(plain)
            .map_err(|_| Error::internal(format!("The secret `{name}` is not text")))?;
        Ok(SecretValue { name, value })
    }

    async fn unknown_secret(&self, row: &WorkspaceRow, name: &str, advice: &str) -> Result<Error> {
        let secrets = self.store.list_secrets(row.id).await?;
        let nearest = names::nearest(name, secrets.iter().map(|secret| secret.name.as_str()));
        let workspace = &row.workspace.name;
        Ok(
            Error::unknown("secret", name, &format!(" in `{workspace}`"), nearest)
                .or_hint(format!("{advice} -w {workspace}")),
        )
    }
}

#[async_trait]
impl Perform for SetSecret {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Secret> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteSecrets)
            .await?;
        names::SECRET.check(&self.name)?;
        if self.value.is_empty() {
            return Err(Error::invalid("The value of a secret cannot be empty").at("value"));
        }
        if self.value.len() > MAX_BYTES {
            return Err(Error::invalid(format!(
                "The value has {} bytes; a secret has at most {MAX_BYTES}",
                self.value.len()
            ))
            .at("value"));
        }
        let sealed = service
            .vault
            .seal(&context(&row, &self.name), self.value.as_bytes())?;
        let set = service
            .store
            .set_secret(row.id, self.name, sealed, service.now());
        match set.await? {
            Some(secret) => Ok(secret),
            None => Err(service.unknown_workspace(caller, &self.workspace).await?),
        }
    }
}

#[async_trait]
impl Perform for GetSecret {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<SecretValue> {
        let row = service
            .enter(caller, &self.workspace, Action::ReadSecrets)
            .await?;
        service.unseal(&row, &self.name).await
    }
}

#[async_trait]
impl Perform for ListSecrets {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<Secret>> {
        service.allow_person(caller)?;
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        service.store.list_secrets(row.id).await
    }
}

#[async_trait]
impl Perform for DeleteSecret {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteSecrets)
            .await?;
        if service.store.delete_secret(row.id, &self.name).await? {
            return Ok(Done {});
        }
        let advice = "See which there are: aml secret list";
        Err(service.unknown_secret(&row, &self.name, advice).await?)
    }
}

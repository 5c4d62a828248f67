//! What opens endpoints: their keys, and tokens made of them.

use super::{Action, Caller, Perform, Service};
use api::{
    Error, Result, endpoint_tokens,
    endpoints::{
        AuthMode, EndpointKeys, EndpointToken, GetEndpointKeys, GetEndpointToken, KeyKind,
        RegenerateEndpointKey,
    },
};
use async_trait::async_trait;
use store::EndpointRow;

/// How long a token is good for when nothing is said, and at most; seconds.
const TOKEN_SECONDS: u32 = 3600;
const MOST_TOKEN_SECONDS: u32 = 24 * 3600;

impl Service {
    pub(super) fn new_keys(&self) -> Result<EndpointKeys> {
        Ok(EndpointKeys {
            primary: self.vault.new_token("amlkey")?,
            secondary: self.vault.new_token("amlkey")?,
        })
    }

    pub(super) fn seal_keys(
        &self,
        workspace: i64,
        name: &str,
        keys: &EndpointKeys,
    ) -> Result<Vec<u8>> {
        let plain = serde_json::to_vec(keys).map_err(|e| Error::internal(e.to_string()))?;
        self.vault.seal(&keys_context(workspace, name), &plain)
    }

    pub(super) fn open_keys(&self, row: &EndpointRow) -> Result<EndpointKeys> {
        let context = keys_context(row.workspace, &row.name);
        let plain = self.vault.open(&context, &row.sealed_keys)?;
        serde_json::from_slice(&plain).map_err(|e| Error::internal(e.to_string()))
    }
}

fn keys_context(workspace: i64, name: &str) -> String {
    format!("endpoints/{workspace}/{}", name.to_lowercase())
}

#[async_trait]
impl Perform for GetEndpointKeys {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<EndpointKeys> {
        let row = service
            .enter(caller, &self.workspace, Action::Score)
            .await?;
        let found = service.find_endpoint(&row, &self.name).await?;
        service.open_keys(&found)
    }
}

#[async_trait]
impl Perform for RegenerateEndpointKey {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<EndpointKeys> {
        let row = service
            .enter(caller, &self.workspace, Action::Deploy)
            .await?;
        let new = service.vault.new_token("amlkey")?;
        // Again when somebody made the other key new meanwhile.
        loop {
            let found = service.find_endpoint(&row, &self.name).await?;
            let mut keys = service.open_keys(&found)?;
            match self.key {
                KeyKind::Primary => keys.primary.clone_from(&new),
                KeyKind::Secondary => keys.secondary.clone_from(&new),
            }
            let sealed = service.seal_keys(row.id, &found.name, &keys)?;
            let replaced = service
                .store
                .replace_endpoint_keys(found.id, found.sealed_keys, sealed);
            if replaced.await? {
                service.store.touch_endpoint(found.id)?;
                return Ok(keys);
            }
        }
    }
}

#[async_trait]
impl Perform for GetEndpointToken {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<EndpointToken> {
        let row = service
            .enter(caller, &self.workspace, Action::Score)
            .await?;
        let found = service.find_endpoint(&row, &self.name).await?;
        if found.auth_mode == AuthMode::Key {
            return Err(Error::conflict(format!(
                "The endpoint `{}` takes keys, not tokens",
                found.name
            ))
            .hint(format!("See its keys: aml endpoint keys {}", found.name)));
        }
        let seconds = self.seconds.unwrap_or(TOKEN_SECONDS);
        if seconds == 0 || seconds > MOST_TOKEN_SECONDS {
            return Err(Error::invalid(format!(
                "A token is good for 1 to {MOST_TOKEN_SECONDS} seconds, not {seconds}"
            ))
            .at("seconds"));
        }
        let keys = service.open_keys(&found)?;
        let millis = i64::from(seconds) * 1000;
        let expires_at = service.now().plus_ms(millis);
        Ok(EndpointToken {
            token: endpoint_tokens::issue(&keys, expires_at),
            expires_at,
            refresh_after: service.now().plus_ms(millis / 2),
        })
    }
}

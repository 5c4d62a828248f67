//! Connections: what is secret in them is sealed, and shown only to who may read secrets and asks.

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::{Action, Caller, Perform, Service};
use api::{
    Done, Error, Result,
    connections::{Connection, CreateConnection, DeleteConnection, GetConnection, ListConnections},
    names,
};
use store::{ConnectionRow, WorkspaceRow};

/// Ways to be let in that have no secret.
const OPEN: [&str; 4] = ["none", "aad", "managed_identity", "identity"];
/// What names the identity that is let in.
const IDENTITY: [&str; 3] = ["client_id", "resource_id", "object_id"];
/// Where that is kept, in the spec.
const KEPT: &str = "identity";

/// Binds sealed credentials to their place. Names do not differ by case.
fn context(row: &WorkspaceRow, name: &str) -> String {
    let id = &row.workspace.id;
    format!("workspaces/{id}/connections/{}", name.to_lowercase())
}

/// Which way to be let in the credentials are.
fn credential_type(credentials: &Map<String, Value>) -> String {
    let said = credentials.get("type").and_then(Value::as_str);
    let said = said.map(str::to_owned);
    said.unwrap_or_else(|| {
        let has = |key: &str| credentials.contains_key(key);
        let known = [
            ("api_key", has("key") || has("api_key")),
            ("username_password", has("password")),
            ("account_key", has("account_key")),
            ("sas", has("sas_token")),
            ("pat", has("pat")),
            ("service_principal", has("client_secret")),
            ("access_key", has("secret_access_key")),
        ];
        let found = known.iter().find(|(_, has)| *has);
        found.map_or("none", |(name, _)| name).to_owned()
    })
}

impl Service {
    fn open_connection(
        &self,
        row: &WorkspaceRow,
        found: ConnectionRow,
        secrets: bool,
    ) -> Result<Connection> {
        let mut connection = found.connection;
        if let Some(sealed) = found.sealed_credentials.filter(|_| secrets) {
            let plain = self.vault.open(&context(row, &connection.name), &sealed)?;
            connection.credentials =
                serde_json::from_slice(&plain).map_err(|e| Error::internal(e.to_string()))?;
        }
        if OPEN.contains(&connection.credential_type.as_str()) {
            let kept = connection.spec.shift_remove(KEPT);
            if let Some(Value::Object(identity)) = kept {
                connection.credentials.extend(identity);
            }
        }
        Ok(connection)
    }

    async fn unknown_connection(&self, row: &WorkspaceRow, name: &str) -> Result<Error> {
        let all = self.store.list_connections(row.id, None).await?;
        let nearest = names::nearest(name, all.iter().map(|row| row.connection.name.as_str()));
        let place = format!(" in workspace `{}`", row.workspace.name);
        Ok(Error::unknown("connection", name, &place, nearest)
            .or_hint("See which there are: aml connection list"))
    }

    /// Enters for reading, with secrets or without.
    async fn enter_connections(
        &self,
        caller: &Caller,
        workspace: &str,
        secrets: bool,
    ) -> Result<WorkspaceRow> {
        let action = if secrets {
            Action::ReadSecrets
        } else {
            Action::Read
        };
        self.enter(caller, workspace, action).await
    }
}

#[async_trait]
impl Perform for CreateConnection {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Connection> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteSecrets)
            .await?;
        names::CONNECTION.check(&self.name)?;
        self.tags.keys().try_for_each(|key| names::TAG.check(key))?;
        if self.kind.is_empty() {
            return Err(Error::invalid("The connection has no type").at("type"));
        }
        let credential_type = credential_type(&self.credentials);
        let mut secret = self.credentials;
        let mut spec = self.spec;
        if OPEN.contains(&credential_type.as_str()) {
            secret.shift_remove("type");
            let identity = IDENTITY.iter().filter_map(|key| {
                let value = secret.shift_remove(*key)?;
                Some(((*key).to_owned(), value))
            });
            let identity: Map<String, Value> = identity.collect();
            if !identity.is_empty() {
                spec.insert(KEPT.to_owned(), Value::Object(identity));
            }
        }
        let sealed = if secret.is_empty() {
            None
        } else {
            let plain = serde_json::to_vec(&secret).map_err(|e| Error::internal(e.to_string()))?;
            Some(service.vault.seal(&context(&row, &self.name), &plain)?)
        };
        let now = service.now();
        let new = ConnectionRow {
            connection: Connection {
                name: self.name,
                kind: self.kind,
                target: self.target,
                spec,
                credential_type,
                credentials: Map::new(),
                description: self.description,
                tags: self.tags,
                created_by: caller.name().to_owned(),
                created_at: now,
                updated_at: now,
            },
            sealed_credentials: sealed,
        };
        let put = service.store.put_connection(row.id, new).await?;
        let put = put.ok_or_else(|| Error::internal("A connection was not written"))?;
        service.open_connection(&row, put, false)
    }
}

#[async_trait]
impl Perform for ListConnections {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<Connection>> {
        let row = service
            .enter_connections(caller, &self.workspace, self.secrets)
            .await?;
        let all = service.store.list_connections(row.id, self.kind).await?;
        all.into_iter()
            .map(|found| service.open_connection(&row, found, self.secrets))
            .collect()
    }
}

#[async_trait]
impl Perform for GetConnection {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Connection> {
        let row = service
            .enter_connections(caller, &self.workspace, self.secrets)
            .await?;
        match service.store.connection(row.id, &self.name).await? {
            Some(found) => service.open_connection(&row, found, self.secrets),
            None => Err(service.unknown_connection(&row, &self.name).await?),
        }
    }
}

#[async_trait]
impl Perform for DeleteConnection {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteSecrets)
            .await?;
        if service.store.delete_connection(row.id, &self.name).await? {
            return Ok(Done {});
        }
        Err(service.unknown_connection(&row, &self.name).await?)
    }
}

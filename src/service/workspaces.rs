//! Workspaces: editions, associated resources, keys.

use super::{Action, Caller, Perform, Service};
use api::{
    Done, Error, Result, names,
    workspaces::{
        CreateWorkspace, DeleteWorkspace, ExistingResources, GetWorkspace, ListWorkspaceKeys,
        ListWorkspaces, Resource, ResourceState, Resources, UpdateWorkspace, UpgradeWorkspace,
        Workspace, WorkspaceKeys,
    },
};
use async_trait::async_trait;
use store::{NewWorkspace, WorkspaceChange, WorkspaceRow};

/// Recorded when a workspace is created without one.
const NO_SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";

impl Service {
    fn show(&self, row: WorkspaceRow) -> Workspace {
        let mut workspace = row.workspace;
        workspace.mlflow_tracking_uri = self.tracking_uri(&workspace.name);
        workspace
    }

    async fn change(
        &self,
        caller: &Caller,
        row: &WorkspaceRow,
        change: WorkspaceChange,
    ) -> Result<Workspace> {
        match self
            .store
            .update_workspace(row.id, self.now(), change)
            .await?
        {
            Some(row) => Ok(self.show(row)),
            None => Err(self.unknown_workspace(caller, &row.workspace.name).await?),
        }
    }
}

#[async_trait]
impl Perform for CreateWorkspace {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Workspace> {
        // First, as a hint is to be pasted.
        names::WORKSPACE.check(&self.name)?;
        let allowed = service.allow_admin(caller, "create workspaces");
        allowed.map_err(|error| match caller {
            Caller::User { name: user, .. } => Error {
                hints: Vec::new(),
                ..error
            }
            .hint(format!(
                "An admin can create it and make you its owner: aml workspace create -n {name} && aml workspace share add -n {name} --user {user} --role Owner",
                name = self.name
            )),
            Caller::Owner | Caller::Run { .. } => error,
        })?;
        check_tags(&self.tags)?;
        let id = uuid::Uuid::new_v4().to_string();
        let keys = WorkspaceKeys {
            storage_account: String::new(),
            storage_key: Some(service.vault.new_token("key")?),
            application_insights_instrumentation_key: Some(uuid::Uuid::new_v4().to_string()),
        };
        let plain = serde_json::to_vec(&keys).map_err(|e| Error::internal(e.to_string()))?;
        let now = service.now();
        let workspace = Workspace {
            resources: resources(&self.name, &id, self.existing)?,
            display_name: self.display_name.unwrap_or_else(|| self.name.clone()),
            name: self.name.clone(),
            edition: self.edition,
            description: self.description,
            location: self.location.unwrap_or_else(|| "local".to_owned()),
            resource_group: self.resource_group.unwrap_or_else(|| "default".to_owned()),
            subscription: self
                .subscription
                .unwrap_or_else(|| NO_SUBSCRIPTION.to_owned()),
            tags: self.tags,
            spec: self.spec,
            mlflow_tracking_uri: None,
            created_at: now,
            updated_at: now,
            id: id.clone(),
        };
        let sealed_keys = service.vault.seal(&keys_context(&id), &plain)?;
        match service
            .store
            .create_workspace(NewWorkspace {
                workspace,
                sealed_keys,
            })
            .await?
        {
            Some(row) => Ok(service.show(row)),
            None => {
                let existing = service.store.workspace(&self.name).await?;
                let existing = existing.map_or(self.name.clone(), |row| row.workspace.name);
                let error = Error::conflict(format!("There is a workspace `{existing}` already"));
                let error = error.at("name").hint(if existing == self.name {
                    "Choose another name: they are unique in all subscriptions and resource groups"
                } else {
                    "Names do not differ by case alone; choose another name"
                });
                Err(error.hint(format!("Or work in it: aml workspace use {existing}")))
            }
        }
    }
}

fn keys_context(id: &str) -> String {
    format!("workspaces/{id}/keys")
}

fn check_tags(tags: &std::collections::BTreeMap<String, String>) -> Result<()> {
    tags.keys().try_for_each(|key| names::TAG.check(key))
}

/// New resources are named after the workspace and the beginning of its id.
fn resources(name: &str, id: &str, existing: ExistingResources) -> Result<Resources> {
    let stem: String = name
        .to_lowercase()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(10)
        .collect();
    let resource = |given: Option<String>, suffix: &str, state| match given {
        Some(name) => Resource {
            name,
            state: ResourceState::Ready,
            owned: false,
        },
        None => Resource {
            name: format!("{stem}{suffix}{}", &id[..8]),
            state,
            owned: true,
        },
    };
    if let Some(account) = &existing.storage_account {
        check_storage_account(account)?;
    }
    Ok(Resources {
        storage_account: resource(existing.storage_account, "storage", ResourceState::Ready),
        key_vault: resource(existing.key_vault, "vault", ResourceState::Ready),
        application_insights: resource(
            existing.application_insights,
            "insights",
            ResourceState::Ready,
        ),
        container_registry: resource(
            existing.container_registry,
            "registry",
            ResourceState::Pending,
        ),
    })
}

/// An account is given as a name, a resource id, or an id with properties after `?`, of which
/// `sku` and `hns` say whether it can be the default store.
fn check_storage_account(account: &str) -> Result<()> {
    let lower = account.to_lowercase();
    let refused = if lower.contains("sku=premium") {
        Some("a premium account")
    } else if lower.contains("hns=true") {
        Some("an account with a hierarchical namespace")
    } else {
        None
    };
    match refused {
        None => Ok(()),
        Some(what) => Err(Error::invalid(format!("{what} cannot be the default store of a workspace"))
            .at("storage_account")
            .hint("Give a standard account without hierarchical namespace, or leave it out and one is made")),
    }
}

#[async_trait]
impl Perform for ListWorkspaces {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<Workspace>> {
        let mut visible = Vec::new();
        for row in service.store.list_workspaces().await? {
            if service.allow(caller, &row, Action::Read).await.is_ok() {
                visible.push(service.show(row));
            }
        }
        Ok(visible)
    }
}

#[async_trait]
impl Perform for GetWorkspace {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Workspace> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        Ok(service.show(row))
    }
}

#[async_trait]
impl Perform for UpdateWorkspace {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Workspace> {
        let row = service
            .enter(caller, &self.workspace, Action::ManageWorkspace)
            .await?;
        check_tags(&self.tags)?;
        let unchanged = [
            &self.description,
            &self.display_name,
            &self.container_registry,
            &self.application_insights,
        ];
        if unchanged.iter().all(|field| field.is_none())
            && self.tags.is_empty()
            && self.spec.is_empty()
            && self.subscription.is_none()
        {
            return Err(Error::invalid("Nothing to change was given")
                .hint("See what can be changed: aml workspace update --help"));
        }
        if let Some(subscription) = &self.subscription
            && !subscription.eq_ignore_ascii_case(&row.workspace.subscription)
        {
            return Err(Error::invalid(format!(
                "A workspace cannot be moved to another subscription: `{}` belongs to `{}`, and its \
                 associated resources, role assignments and endpoints are bound to that",
                row.workspace.name, row.workspace.subscription
            ))
            .at("subscription")
            .hint("Create a workspace in the other subscription and register the models there"));
        }
        let given = |name| Resource {
            name,
            state: ResourceState::Ready,
            owned: false,
        };
        let change = WorkspaceChange {
            edition: None,
            description: self.description,
            display_name: self.display_name,
            tags: self.tags,
            container_registry: self.container_registry.map(given),
            application_insights: self.application_insights.map(given),
            spec: self.spec,
        };
        service.change(caller, &row, change).await
    }
}

#[async_trait]
impl Perform for UpgradeWorkspace {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Workspace> {
        let row = service
            .enter(caller, &self.workspace, Action::ManageWorkspace)
            .await?;
        if self.edition < row.workspace.edition {
            return Err(Error::conflict(format!(
                "`{}` is an {} workspace and cannot be downgraded",
                row.workspace.name, row.workspace.edition
            ))
            .at("edition")
            .hint(format!(
                "Create another workspace: aml workspace create -n NAME --edition {}",
                self.edition
            )));
        }
        if self.edition == row.workspace.edition {
            return Ok(service.show(row));
        }
        let change = WorkspaceChange {
            edition: Some(self.edition),
            ..WorkspaceChange::default()
        };
        service.change(caller, &row, change).await
    }
}

#[async_trait]
impl Perform for DeleteWorkspace {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let row = service
            .enter(caller, &self.workspace, Action::ManageWorkspace)
            .await?;
        let endpoints = service.store.list_endpoints(Some(row.id)).await?;
        service
            .store
            .delete_workspace(row.id, self.if_empty)
            .await?;
        let endpoints: Vec<i64> = endpoints.iter().map(|row| row.id).collect();
        service.forget_workspaces(&[row], &endpoints).await?;
        Ok(Done {})
    }
}

impl Service {
    /// Ends what goes on for workspaces that were deleted, and removes what was kept beside the
    /// database.
    pub(super) async fn forget_workspaces(
        &self,
        rows: &[WorkspaceRow],
        endpoints: &[i64],
    ) -> Result<()> {
        let mut removed = Ok(());
        for row in rows {
            removed = removed
                .and(self.store.remove_logs(row.id))
                .and(self.store.remove_storage(&row.workspace.id));
        }
        // Workers learn that what they held of it is lost.
        self.ring();
        self.leave_endpoints(endpoints).await?;
        removed
    }
}

#[async_trait]
impl Perform for ListWorkspaceKeys {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<WorkspaceKeys> {
        let row = service
            .enter(caller, &self.workspace, Action::ManageWorkspace)
            .await?;
        let workspace = row.workspace;
        let Some(sealed) = service.store.sealed_workspace_keys(row.id).await? else {
            return Err(service.unknown_workspace(caller, &workspace.name).await?);
        };
        let plain = service.vault.open(&keys_context(&workspace.id), &sealed)?;
        let mut keys: WorkspaceKeys =
            serde_json::from_slice(&plain).map_err(|e| Error::internal(e.to_string()))?;
        let resources = workspace.resources;
        keys.storage_key = keys.storage_key.filter(|_| resources.storage_account.owned);
        keys.application_insights_instrumentation_key = keys
            .application_insights_instrumentation_key
            .filter(|_| resources.application_insights.owned);
        keys.storage_account = resources.storage_account.name;
        Ok(keys)
    }
}

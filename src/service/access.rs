//! Who is calling, and what roles allow.

use super::{Perform, Service};
use api::{
    Done, Error, Result,
    access::{
        AssignRole, CreateUser, CreatedToken, DeleteUser, Identity, ListRoles, ListUsers,
        RemoveRole, Role, RoleAssignment, RotateToken, User, WhoAmI,
    },
    names, registries,
};
use async_trait::async_trait;
use store::WorkspaceRow;

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// The owner of the state directory, or of a server that has no users yet.
    Owner,
    User {
        id: i64,
        name: String,
        admin: bool,
    },
    /// The process of a run; may touch that run only, and register models.
    Run {
        workspace: i64,
        run: i64,
    },
}

impl Caller {
    /// What is recorded as the maker of things.
    pub fn name(&self) -> &str {
        match self {
            Caller::Owner => "owner",
            Caller::User { name, .. } => name,
            Caller::Run { .. } => "run",
        }
    }
}

/// What a role may or may not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// See the workspace and what it holds, but no secret and no key.
    Read,
    /// Upload files, for runs, models and assets.
    StoreFiles,
    /// Submit, cancel and delete runs; log to them; make experiments.
    WriteRuns,
    /// Create, change, archive and delete assets; put files into datastores.
    WriteAssets,
    /// Register, change and delete models.
    WriteModels,
    /// Deploy, start, stop and delete endpoints.
    Deploy,
    /// Score with endpoints: see their keys and get tokens for them.
    Score,
    /// Update and upgrade the workspace, delete it, see the keys of its resources; create, change and
    /// delete computes.
    ManageWorkspace,
    ReadSecrets,
    WriteSecrets,
    /// Assign roles.
    ManageAccess,
}

impl Action {
    #[cfg(test)]
    pub const ALL: [Action; 11] = [
        Action::Read,
        Action::StoreFiles,
        Action::WriteRuns,
        Action::WriteAssets,
        Action::WriteModels,
        Action::Deploy,
        Action::Score,
        Action::ManageWorkspace,
        Action::ReadSecrets,
        Action::WriteSecrets,
        Action::ManageAccess,
    ];

    /// What is done, and to which workspace.
    fn describe(self, workspace: &str) -> String {
        let what = match self {
            Action::Read => "read anything",
            Action::StoreFiles => "upload files",
            Action::WriteRuns => "change runs",
            Action::WriteAssets => "change assets",
            Action::WriteModels => "change models",
            Action::Deploy => "manage endpoints",
            Action::Score => "score with endpoints, or see their keys,",
            Action::ManageWorkspace => return format!("manage the workspace `{workspace}`"),
            Action::ReadSecrets => "read secrets",
            Action::WriteSecrets => "change secrets",
            Action::ManageAccess => "assign roles",
        };
        format!("{what} in `{workspace}`")
    }

    /// The least role that allows it.
    fn least(self) -> Role {
        match self {
            Action::Read => Role::Reader,
            // Who may submit a run that names a secret could make it print it.
            Action::StoreFiles
            | Action::WriteRuns
            | Action::WriteAssets
            | Action::WriteModels
            | Action::Deploy
            | Action::Score
            | Action::ReadSecrets => Role::DataScientist,
            Action::ManageWorkspace | Action::WriteSecrets => Role::Contributor,
            Action::ManageAccess => Role::Owner,
        }
    }
}

/// Whether a role allows an action: each role allows what the ones below it do.
pub fn allows(role: Role, action: Action) -> bool {
    role.covers(action.least())
}

/// Refuses what no registry has.
fn allow_in_registry(registry: &str, action: Action) -> Result<()> {
    match action {
        Action::Read
        | Action::StoreFiles
        | Action::WriteAssets
        | Action::WriteModels
        | Action::ManageWorkspace
        | Action::ManageAccess => Ok(()),
        Action::WriteRuns
        | Action::Deploy
        | Action::Score
        | Action::ReadSecrets
        | Action::WriteSecrets => Err(Error::invalid(format!(
            "`{registry}` is a registry: it holds assets and models, no runs, endpoints or secrets"
        ))
        .at("workspace")
        .hint("Name a workspace; see which there are: aml workspace list")),
    }
}

impl Service {
    /// Refuses what the caller's role in the workspace does not allow.
    pub async fn allow(&self, caller: &Caller, row: &WorkspaceRow, action: Action) -> Result<()> {
        let registry = registries::named_in(&row.workspace.name);
        if let Some(registry) = registry {
            allow_in_registry(registry, action)?;
        }
        let role = match caller {
            Caller::Owner | Caller::User { admin: true, .. } => return Ok(()),
            // Registries share what they hold with all workspaces.
            _ if registry.is_some() && action == Action::Read => return Ok(()),
            Caller::User { id, .. } => self.store.role_of(row.id, *id).await?,
            Caller::Run { workspace, .. }
                if *workspace == row.id
                    && matches!(
                        action,
                        Action::Read | Action::StoreFiles | Action::WriteRuns | Action::WriteModels
                    ) =>
            {
                return Ok(());
            }
            Caller::Run { .. } => None,
        };
        if role.is_some_and(|role| allows(role, action)) {
            return Ok(());
        }
        let who = match (caller, role) {
            (Caller::Run { .. }, _) => {
                let what = action.describe(&row.workspace.name);
                return Err(Error::denied(format!("A run's token may not {what}")).hint(
                    "A run reads its workspace, writes itself and registers models; do the rest outside of it",
                ));
            }
            (_, Some(role)) => format!("`{}` has the role {role} and", caller.name()),
            (_, None) => format!("`{}` has no role in the workspace and", caller.name()),
        };
        let name = &row.workspace.name;
        let least = action.least().name();
        let quoted = if least.contains(' ') {
            format!("\"{least}\"")
        } else {
            least.to_owned()
        };
        let what = action.describe(name);
        Err(Error::denied(format!("{who} may not {what}")).hint(format!(
            "The role {least} allows it; an owner can assign it: aml workspace share add -n {name} --user {} --role {quoted}",
            caller.name(),
        )))
    }

    /// Whether a caller has no business in a workspace, and so may not even know of it: a user without
    /// a role, a run of another one. Registries are known to all.
    pub async fn is_stranger(&self, caller: &Caller, row: &WorkspaceRow) -> Result<bool> {
        if registries::named_in(&row.workspace.name).is_some() {
            return Ok(false);
        }
        match caller {
            Caller::Owner | Caller::User { admin: true, .. } => Ok(false),
            Caller::User { id, .. } => Ok(self.store.role_of(row.id, *id).await?.is_none()),
            Caller::Run { workspace, .. } => Ok(*workspace != row.id),
        }
    }

    /// Whether it is the owner or an admin who calls.
    pub fn is_admin(caller: &Caller) -> bool {
        matches!(caller, Caller::Owner | Caller::User { admin: true, .. })
    }

    /// Refuses everyone but the owner and admins; `what` is what they may do.
    pub fn allow_admin(&self, caller: &Caller, what: &str) -> Result<()> {
        match caller {
            _ if Self::is_admin(caller) => Ok(()),
            Caller::User { name, .. } => Err(Error::denied(format!(
                "`{name}` is not an admin of the server and may not {what}"
            ))
            .hint("An admin can do it")),
            Caller::Run { .. } | Caller::Owner => Err(Error::denied(
                "A run's token may only be used for its own run",
            )),
        }
    }

    /// Refuses a run's token that is used for another run than its own.
    pub fn allow_run(&self, caller: &Caller, run: i64) -> Result<()> {
        match caller {
            Caller::Run { run: own, .. } if *own != run => Err(Error::denied(
                "A run's token may only be used for its own run",
            )),
            Caller::Owner | Caller::User { .. } | Caller::Run { .. } => Ok(()),
        }
    }

    /// Refuses a run's token for what no run needs to see.
    pub fn allow_person(&self, caller: &Caller) -> Result<()> {
        match caller {
            Caller::Owner | Caller::User { .. } => Ok(()),
            Caller::Run { .. } => Err(Error::denied(
                "A run's token may only be used for its own run",
            )),
        }
    }

    /// Whether anyone but the owner may log in.
    pub async fn has_users(&self) -> Result<bool> {
        self.store.has_users().await
    }

    /// Who a token belongs to, if to anyone.
    pub async fn authenticate(&self, token: &str) -> Result<Option<Caller>> {
        if let Some((workspace, run)) = self.vault.open_run_token(token) {
            // It ends with its run: one that leaked is soon worth nothing.
            let status = self.store.run_status(run).await?;
            let goes_on = status.is_some_and(|status| !status.ended());
            return Ok(goes_on.then_some(Caller::Run { workspace, run }));
        }
        let row = self
            .store
            .user_by_token(self.vault.hash_token(token))
            .await?;
        Ok(row.map(|row| Caller::User {
            id: row.id,
            name: row.user.name,
            admin: row.user.admin,
        }))
    }

    async fn unknown_user(&self, name: &str) -> Result<Error> {
        let users = self.store.list_users().await?;
        let nearest = names::nearest(name, users.iter().map(|row| row.user.name.as_str()));
        Ok(Error::unknown("user", name, "", nearest).or_hint("See which there are: aml user list"))
    }
}

#[async_trait]
impl Perform for CreateUser {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<CreatedToken> {
        service.allow_admin(caller, "create users")?;
        names::USER.check(&self.name)?;
        // The first user must be able to make the others: afterwards nobody is the owner by default.
        let admin = self.admin || !service.store.has_users().await?;
        let user = User {
            name: self.name.clone(),
            admin,
            created_at: service.now(),
        };
        let token = service.vault.new_token("aml")?;
        let hash = service.vault.hash_token(&token);
        match service.store.create_user(user, hash).await? {
            Some(row) => Ok(CreatedToken {
                user: row.user,
                token,
            }),
            None => Err(
                Error::conflict(format!("There is a user `{}` already", self.name)).hint(format!(
                    "Give them a new token: aml user rotate-token {}",
                    self.name
                )),
            ),
        }
    }
}

#[async_trait]
impl Perform for RotateToken {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<CreatedToken> {
        if !matches!(caller, Caller::User { name, .. } if name.eq_ignore_ascii_case(&self.user)) {
            service.allow_admin(caller, "replace another user's token")?;
        }
        let token = service.vault.new_token("aml")?;
        let hash = service.vault.hash_token(&token);
        match service.store.replace_token(self.user.clone(), hash).await? {
            Some(row) => Ok(CreatedToken {
                user: row.user,
                token,
            }),
            None => Err(service.unknown_user(&self.user).await?),
        }
    }
}

#[async_trait]
impl Perform for ListUsers {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<User>> {
        service.allow_admin(caller, "list the users")?;
        let rows = service.store.list_users().await?;
        Ok(rows.into_iter().map(|row| row.user).collect())
    }
}

#[async_trait]
impl Perform for DeleteUser {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        service.allow_admin(caller, "delete users")?;
        if service.store.delete_user(self.user.clone()).await? {
            Ok(Done {})
        } else {
            Err(service.unknown_user(&self.user).await?)
        }
    }
}

#[async_trait]
impl Perform for WhoAmI {
    async fn perform(self, _service: &Service, caller: &Caller) -> Result<Identity> {
        Ok(Identity {
            name: caller.name().to_owned(),
            admin: matches!(caller, Caller::Owner | Caller::User { admin: true, .. }),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }
}

#[async_trait]
impl Perform for AssignRole {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<RoleAssignment> {
        let row = service
            .enter(caller, &self.workspace, Action::ManageAccess)
            .await?;
        let now = service.now();
        match service
            .store
            .assign_role(row.id, self.user.clone(), self.role, now)
            .await?
        {
            Some(assignment) => Ok(assignment),
            None => {
                let error = service.unknown_user(&self.user).await?;
                let near = error.unknown.as_ref().and_then(|it| it.nearest.as_ref());
                Err(match near {
                    None if names::USER.check(&self.user).is_ok() => {
                        error.hint(format!("Or make one: aml user create {}", self.user))
                    }
                    _ => error,
                })
            }
        }
    }
}

#[async_trait]
impl Perform for ListRoles {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<RoleAssignment>> {
        service.allow_person(caller)?;
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        service.store.list_roles(row.id).await
    }
}

#[async_trait]
impl Perform for RemoveRole {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let row = service
            .enter(caller, &self.workspace, Action::ManageAccess)
            .await?;
        if service.store.remove_role(row.id, self.user.clone()).await? {
            return Ok(Done {});
        }
        Err(Error::not_found(format!(
            "`{}` has no role in `{}`",
            self.user, row.workspace.name
        ))
        .hint(format!(
            "See who has: aml workspace share list -n {}",
            row.workspace.name
        )))
    }
}

//! Who may do what: users, tokens, roles and role assignments.

use serde::{Deserialize, Serialize};

use super::{Done, Time, operation};

/// What a client has for a token that needs none and must send one; whoever needs none takes it for none.
pub const NO_TOKEN: &str = "not-needed";

/// A built-in role. What each allows is listed in `docs/architecture.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    Owner,
    Contributor,
    Reader,
    #[serde(rename = "AzureML Data Scientist")]
    DataScientist,
}

impl Role {
    pub const ALL: [Role; 4] = [
        Role::Owner,
        Role::Contributor,
        Role::Reader,
        Role::DataScientist,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Role::Owner => "Owner",
            Role::Contributor => "Contributor",
            Role::Reader => "Reader",
            Role::DataScientist => "AzureML Data Scientist",
        }
    }

    /// Whether it allows all that another one does.
    pub fn covers(self, other: Role) -> bool {
        let rank = |role| match role {
            Role::Reader => 0,
            Role::DataScientist => 1,
            Role::Contributor => 2,
            Role::Owner => 3,
        };
        rank(self) >= rank(other)
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub name: String,
    /// May do everything in every workspace and manage users.
    pub admin: bool,
    pub created_at: Time,
}

/// Creates a user and answers a token, once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreateUser {
    pub name: String,
    #[serde(default)]
    pub admin: bool,
}
operation!(CreateUser => CreatedToken, "users.create");

#[derive(Clone, Serialize, Deserialize)]
pub struct CreatedToken {
    pub user: User,
    /// Shown this once; only its hash is kept.
    pub token: String,
}

/// Replaces a user's token; the old one stops working at once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RotateToken {
    pub user: String,
}
operation!(RotateToken => CreatedToken, "users.rotate_token");

/// Everyone who may log in, by name. Admins only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListUsers {}
operation!(ListUsers => Vec<User>, "users.list");

/// Deletes a user with their roles; their token stops working at once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteUser {
    pub user: String,
}
operation!(DeleteUser => Done, "users.delete");

/// Who the caller is, as the server sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WhoAmI {}
operation!(WhoAmI => Identity, "users.whoami");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub name: String,
    pub admin: bool,
    /// Version of the server.
    pub version: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleAssignment {
    pub user: String,
    pub role: Role,
    pub created_at: Time,
}

/// Gives a user a role in a workspace. One user has one role; assigning again replaces it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AssignRole {
    pub workspace: String,
    pub user: String,
    pub role: Role,
}
operation!(AssignRole => RoleAssignment, "roles.assign");

/// Who has which role in a workspace.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListRoles {
    pub workspace: String,
}
operation!(ListRoles => Vec<RoleAssignment>, "roles.list");

/// Takes a user's role in a workspace away.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RemoveRole {
    pub workspace: String,
    pub user: String,
}
operation!(RemoveRole => Done, "roles.remove");

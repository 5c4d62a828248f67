//! `az role assignment`: who may do what in a workspace.

use serde_json::{Value, json};

use super::{
    Az,
    given::{Given, missing},
    grammar::{Flag, Group, YES, flag, switch, verb},
    ids,
};
use crate::workspace::parse_role;
use api::{
    Error, Result,
    access::{AssignRole, ListRoles, RemoveRole, RoleAssignment, WhoAmI},
    workspaces::{GetWorkspace, ListWorkspaces, Workspace},
};

const WHERE: &[Flag] = &[
    flag("scope", "Id of the workspace, or of the resource group"),
    flag("resource-group", "Name of the resource group").short('g'),
];
const WHO: &[Flag] = &[
    flag("assignee", "User"),
    flag("assignee-object-id", "User"),
    flag("assignee-principal-type", "Recorded nowhere"),
    flag(
        "role",
        "Role: Owner, Contributor, Reader or AzureML Data Scientist",
    ),
    flag("description", "Recorded nowhere"),
];

pub const GROUP: Group = Group {
    path: "role assignment",
    about: "Who may do what in a workspace",
    verbs: &[
        verb!("create", "Give a user a role", [WHERE, WHO], create),
        verb!(
            "list",
            "List who has which role",
            [
                WHERE,
                WHO,
                &[
                    switch("all", "In all workspaces"),
                    switch("include-inherited", "Also those of groups"),
                ]
            ],
            list
        ),
        verb!(
            "delete",
            "Take a user's role away",
            [WHERE, WHO, YES, &[flag("ids", "Ids").many()]],
            delete
        ),
    ],
};

pub const AD: Group = Group {
    path: "ad signed-in-user",
    about: "Who is logged in",
    verbs: &[verb!("show", "Show who is logged in", [], signed_in)],
};

fn assignee(given: &Given) -> Result<String> {
    let user = given
        .owned("assignee")
        .or_else(|| given.owned("assignee-object-id"));
    user.ok_or_else(|| missing(&["assignee"]))
}

/// The workspaces that a scope covers: one, or those of a group or subscription.
async fn scope(az: &Az, given: &Given) -> Result<Vec<Workspace>> {
    let Some(scope) = given.text("scope") else {
        let Some(group) = given.text("resource-group") else {
            return Ok(vec![az.this_workspace().await?]);
        };
        return in_group(az, Some(group)).await;
    };
    let parts: Vec<&str> = scope.trim_matches('/').split('/').collect();
    let after = |word: &str| {
        let at = parts
            .iter()
            .position(|part| part.eq_ignore_ascii_case(word))?;
        parts.get(at + 1).copied()
    };
    if let Some(workspace) = after("workspaces") {
        let workspace = workspace.to_owned();
        return Ok(vec![az.call(&GetWorkspace { workspace }).await?]);
    }
    if after("providers").is_some() || after("subscriptions").is_none() {
        return Err(Error::unsupported(format!(
            "Roles are given in workspaces here; `{scope}` is none"
        ))
        .hint("Name a workspace: --scope \"$(az ml workspace show --query id -o tsv)\""));
    }
    in_group(az, after("resourceGroups")).await
}

async fn in_group(az: &Az, group: Option<&str>) -> Result<Vec<Workspace>> {
    let mut all = az.call(&ListWorkspaces {}).await?;
    if let Some(group) = group {
        all.retain(|workspace| workspace.resource_group.eq_ignore_ascii_case(group));
    }
    Ok(all)
}

fn shown(workspace: &Workspace, assignment: &RoleAssignment) -> Value {
    let scope = ids::workspace(workspace);
    let user = &assignment.user;
    json!({
        "createdOn": ids::time(assignment.created_at),
        "id": format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{user}"),
        "name": user,
        "principalId": user,
        "principalName": user,
        "principalType": "User",
        "resourceGroup": workspace.resource_group,
        "roleDefinitionName": assignment.role.name(),
        "scope": scope,
        "type": "Microsoft.Authorization/roleAssignments",
    })
}

async fn create(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let user = assignee(given)?;
    let role = parse_role(given.text("role").ok_or_else(|| missing(&["role"]))?)?;
    let mut made = Vec::new();
    for workspace in scope(az, given).await? {
        let has = of_user(az, &workspace, &user).await?;
        if let Some(has) = has.filter(|has| has.role.covers(role)) {
            // In Azure a lesser role beside this one takes nothing away; here a user has one.
            if has.role != role {
                let (name, own) = (&workspace.name, has.role.name());
                let sentence = format!(
                    "{user} stays {own} of {name}, which includes {}",
                    role.name()
                );
                az.note(given, &sentence);
            }
            made.push(shown(&workspace, &has));
            continue;
        }
        let request = AssignRole {
            workspace: workspace.name.clone(),
            user: user.clone(),
            role,
        };
        made.push(shown(&workspace, &az.call(&request).await?));
    }
    match made.len() {
        0 => Err(Error::not_found("There is no workspace in this scope").into()),
        1 => Ok(made.swap_remove(0)),
        _ => Ok(Value::Array(made)),
    }
}

/// The role that a user has in a workspace.
async fn of_user(az: &Az, workspace: &Workspace, user: &str) -> Result<Option<RoleAssignment>> {
    let workspace = workspace.name.clone();
    let all = az.call(&ListRoles { workspace }).await?;
    Ok(all
        .into_iter()
        .find(|assignment| assignment.user.eq_ignore_ascii_case(user)))
}

async fn list(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspaces = if given.switch("all") {
        in_group(az, None).await?
    } else {
        scope(az, given).await?
    };
    let user = assignee(given).ok();
    let role = given.text("role").map(parse_role).transpose()?;
    let mut all = Vec::new();
    for workspace in workspaces {
        let request = ListRoles {
            workspace: workspace.name.clone(),
        };
        for assignment in az.call(&request).await? {
            let wanted = user
                .as_ref()
                .is_none_or(|user| assignment.user.eq_ignore_ascii_case(user))
                && role.is_none_or(|role| assignment.role == role);
            if wanted {
                all.push(shown(&workspace, &assignment));
            }
        }
    }
    Ok(Value::Array(all))
}

async fn delete(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let user = assignee(given)?;
    let role = given.text("role").map(parse_role).transpose()?;
    for workspace in scope(az, given).await? {
        if let Some(role) = role {
            let has = of_user(az, &workspace, &user).await?;
            if has.is_none_or(|has| has.role != role) {
                let (name, role) = (&workspace.name, role.name());
                az.note(
                    given,
                    &format!("{user} is no {role} of {name}; nothing was taken away"),
                );
                continue;
            }
        }
        let request = RemoveRole {
            workspace: workspace.name,
            user: user.clone(),
        };
        az.call(&request).await?;
    }
    Ok(Value::Null)
}

async fn signed_in(az: &Az, _given: &Given) -> anyhow::Result<Value> {
    let user = az.call(&WhoAmI {}).await?.name;
    Ok(json!({"displayName": user, "id": user, "userPrincipalName": user}))
}

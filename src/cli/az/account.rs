//! `az account`: the subscription in use, and who uses it.

use serde_json::{Value, json};

use super::{
    Az,
    given::Given,
    grammar::{Group, flag, switch, verb},
    ids::NO_ID,
};
use crate::config::CLOUD;
use api::{
    Result,
    access::{NO_TOKEN, WhoAmI},
    workspaces::ListWorkspaces,
};

pub const GROUP: Group = Group {
    path: "account",
    about: "The subscription in use",
    verbs: &[
        verb!(
            "show",
            "Show the subscription in use",
            [&[flag("name", "Name or id").short('n')]],
            show
        ),
        verb!(
            "list",
            "List the subscriptions",
            [&[switch("all", "All of them"), switch("refresh", "Ask again")]],
            list
        ),
        verb!(
            "set",
            "Choose the subscription to use",
            [&[flag("name", "Name or id").short('n').also('s')]],
            set
        ),
        verb!("clear", "Forget which subscription was chosen", [], clear),
        verb!(
            "get-access-token",
            "Show the token by which the server knows the caller",
            [&[
                flag("resource", "What the token is for"),
                flag("scope", "Scope of the token").many(),
                flag("resource-type", "Kind of what the token is for"),
                flag("tenant", "Tenant").short('t'),
                flag("name", "Name or id of the subscription")
                    .short('n')
                    .also('s'),
            ]],
            access_token
        ),
    ],
};

impl Az {
    /// The subscription to work in: the one named, else the one chosen.
    pub fn subscription(&self) -> Result<String> {
        if let Some(named) = &self.subscription {
            return Ok(named.clone());
        }
        Ok(self
            .config
            .subscription()?
            .unwrap_or_else(|| NO_ID.to_owned()))
    }
}

/// The subscription in use and who uses it.
pub async fn shown(az: &Az) -> Result<Value> {
    subscription(az, &az.subscription()?, true).await
}

async fn subscription(az: &Az, id: &str, default: bool) -> Result<Value> {
    let user = az.call(&WhoAmI {}).await?;
    Ok(json!({
        "environmentName": CLOUD,
        "homeTenantId": NO_ID,
        "id": id,
        "isDefault": default,
        "managedByTenants": [],
        "name": if id == NO_ID { "AMLite" } else { id },
        "state": "Enabled",
        "tenantId": NO_ID,
        "user": {"name": user.name, "type": "user"},
    }))
}

async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    match given.text("name") {
        Some(name) => Ok(subscription(az, name, name == az.subscription()?).await?),
        None => Ok(shown(az).await?),
    }
}

/// The chosen one, and those that workspaces were created with.
async fn list(az: &Az, _given: &Given) -> anyhow::Result<Value> {
    let chosen = az.subscription()?;
    let mut ids = vec![chosen.clone()];
    for workspace in az.call(&ListWorkspaces {}).await? {
        if !ids.contains(&workspace.subscription) {
            ids.push(workspace.subscription);
        }
    }
    let mut all = Vec::new();
    for id in ids {
        all.push(subscription(az, &id, id == chosen).await?);
    }
    Ok(Value::Array(all))
}

async fn set(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let name = given.text("name").or(given.text("subscription"));
    let name = name.ok_or_else(|| super::given::missing(&["name/-n"]))?;
    az.config.choose_subscription(Some(name.to_owned()))?;
    Ok(Value::Null)
}

async fn clear(az: &Az, _given: &Given) -> anyhow::Result<Value> {
    az.config.choose_subscription(None)?;
    Ok(Value::Null)
}

async fn access_token(az: &Az, _given: &Given) -> anyhow::Result<Value> {
    let token = match az.ctx.profile() {
        Some(profile) => az.ctx.remote(profile)?.token,
        None => az.ctx.config.token.clone(),
    };
    Ok(json!({
        // Scripts get one first, also where nobody asks for it.
        "accessToken": token.as_deref().unwrap_or(NO_TOKEN),
        "expiresOn": "9999-12-31 23:59:59.000000",
        "expires_on": 253_402_300_799_i64,
        "subscription": az.subscription()?,
        "tenant": NO_ID,
        "tokenType": "Bearer",
    }))
}

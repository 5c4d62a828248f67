//! `az identity`: identities that computes and endpoints can be given.

use serde_json::{Value, json};

use super::{
    Az,
    given::Given,
    grammar::{Flag, GROUP as IN_GROUP, Group, flag, verb},
    ids,
};
use api::{
    Error, Result,
    identities::{CreateIdentity, DeleteIdentity, ListIdentities, ManagedIdentity},
    names,
};

const NAMED: &[Flag] = &[flag("name", "Name of the identity").short('n').required()];

pub const GROUP: Group = Group {
    path: "identity",
    about: "Identities that computes and endpoints can be given",
    verbs: &[
        verb!(
            "create",
            "Create an identity",
            [
                IN_GROUP,
                NAMED,
                &[
                    flag("location", "Location to record").short('l'),
                    flag("tags", "Tags, as KEY=VALUE").many(),
                ]
            ],
            create
        ),
        verb!("show", "Show an identity", [IN_GROUP, NAMED], show),
        verb!("list", "List the identities", [IN_GROUP], list),
        verb!("delete", "Delete an identity", [IN_GROUP, NAMED], delete),
    ],
};

fn shown(az: &Az, identity: &ManagedIdentity) -> Result<Value> {
    let group = ids::group(&az.subscription()?, &identity.resource_group);
    let name = &identity.name;
    Ok(json!({
        "clientId": identity.client_id,
        "id": format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"),
        "location": identity.location,
        "name": name,
        "principalId": identity.principal_id,
        "resourceGroup": identity.resource_group,
        "tags": identity.tags,
        "tenantId": ids::NO_ID,
        "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
    }))
}

async fn create(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let request = CreateIdentity {
        name: given.required("name")?.to_owned(),
        resource_group: az.group()?.to_owned(),
        location: given
            .owned("location")
            .or_else(|| az.config.default("location")),
        tags: given.pairs("tags"),
    };
    Ok(shown(az, &az.call(&request).await?)?)
}

async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let name = given.required("name")?;
    let request = ListIdentities {
        resource_group: Some(az.group()?.to_owned()),
    };
    let all = az.call(&request).await?;
    match all
        .iter()
        .find(|found| found.name.eq_ignore_ascii_case(name))
    {
        Some(found) => Ok(shown(az, found)?),
        None => {
            let nearest = names::nearest(name, all.iter().map(|found| found.name.as_str()));
            Err(Error::unknown("identity", name, "", nearest).into())
        }
    }
}

async fn list(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let request = ListIdentities {
        resource_group: given.owned("resource-group"),
    };
    let all = az.call(&request).await?;
    Ok(all
        .iter()
        .map(|found| shown(az, found))
        .collect::<Result<_>>()?)
}

async fn delete(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let request = DeleteIdentity {
        name: given.required("name")?.to_owned(),
        resource_group: az.group()?.to_owned(),
    };
    az.call(&request).await?;
    Ok(Value::Null)
}

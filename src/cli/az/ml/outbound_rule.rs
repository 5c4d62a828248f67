//! `az ml workspace outbound-rule`: what a shut-off workspace may reach; recorded.

use serde_json::{Map, Value, json};

use crate::az::{
    Az,
    given::Given,
    grammar::{Flag, Group, NO_WAIT, PLACE, YES, flag, verb},
};
use api::{
    Error, Result, names,
    workspaces::{UpdateWorkspace, Workspace},
};

const RULE: &[Flag] = &[flag("rule", "Name of the rule").required()];

pub const GROUP: Group = Group {
    path: "ml workspace outbound-rule",
    about: "What a shut-off workspace may reach",
    verbs: &[
        verb!("list", "List the rules", [PLACE], list),
        verb!("show", "Show a rule", [PLACE, RULE], show),
        verb!(
            "set",
            "Add or replace a rule",
            [
                PLACE,
                RULE,
                NO_WAIT,
                &[
                    flag("type", "fqdn, private_endpoint or service_tag").required(),
                    flag("destination", "Name that may be reached"),
                    flag("service-resource-id", "Resource behind a private endpoint"),
                    flag("subresource-target", "Part of that resource"),
                    flag("spark-enabled", "Also for Spark").maybe(),
                    flag("fqdns", "Names of a private endpoint").many(),
                    flag("service-tag", "Service that may be reached"),
                    flag("protocol", "Protocol of a service"),
                    flag("port-ranges", "Ports of a service"),
                    flag("address-prefixes", "Addresses of a service").many(),
                ]
            ],
            set
        ),
        verb!(
            "remove",
            "Remove a rule",
            [PLACE, RULE, NO_WAIT, YES],
            remove
        ),
    ],
};

fn rules(workspace: &Workspace) -> Vec<Value> {
    let rules = workspace
        .spec
        .get("managed_network")
        .map(|network| &network["outbound_rules"]);
    rules.and_then(Value::as_array).cloned().unwrap_or_default()
}

fn is(rule: &Value, name: &str) -> bool {
    rule["name"]
        .as_str()
        .is_some_and(|found| found.eq_ignore_ascii_case(name))
}

fn find(rules: &[Value], name: &str) -> Result<Value> {
    let found = rules.iter().find(|rule| is(rule, name));
    found.cloned().ok_or_else(|| {
        let all = rules.iter().filter_map(|rule| rule["name"].as_str());
        Error::unknown("outbound rule", name, "", names::nearest(name, all))
    })
}

async fn save(az: &Az, workspace: Workspace, rules: Vec<Value>) -> Result<()> {
    let network = workspace
        .spec
        .get("managed_network")
        .and_then(Value::as_object);
    let mut network = network.cloned().unwrap_or_default();
    network.insert("outbound_rules".to_owned(), Value::Array(rules));
    let spec = Map::from_iter([("managed_network".to_owned(), Value::Object(network))]);
    let request = UpdateWorkspace {
        workspace: workspace.name,
        spec,
        ..UpdateWorkspace::default()
    };
    az.call(&request).await.map(drop)
}

async fn list(az: &Az, _given: &Given) -> anyhow::Result<Value> {
    Ok(Value::Array(rules(&az.this_workspace().await?)))
}

async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let rules = rules(&az.this_workspace().await?);
    Ok(find(&rules, given.required("rule")?)?)
}

async fn set(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let name = given.required("rule")?;
    let kind = given.required("type")?.to_lowercase();
    let destination = match kind.as_str() {
        "fqdn" => json!(given.required("destination")?),
        "private_endpoint" => json!({
            "service_resource_id": given.required("service-resource-id")?,
            "subresource_target": given.required("subresource-target")?,
            "spark_enabled": given.truth("spark-enabled")?.unwrap_or(false),
        }),
        "service_tag" => json!({
            "service_tag": given.required("service-tag")?,
            "protocol": given.required("protocol")?,
            "port_ranges": given.required("port-ranges")?,
            "address_prefixes": given.words("address-prefixes"),
        }),
        _ => {
            return Err(
                Error::invalid(format!("argument --type: '{kind}' is not a valid value"))
                    .hint("Allowed values: fqdn, private_endpoint, service_tag")
                    .into(),
            );
        }
    };
    let mut rule = json!({"name": name, "type": kind, "destination": destination});
    if given.has("fqdns") {
        rule["fqdns"] = json!(given.words("fqdns"));
    }
    let workspace = az.this_workspace().await?;
    let mut all = rules(&workspace);
    all.retain(|rule| !is(rule, name));
    all.push(rule.clone());
    save(az, workspace, all).await?;
    Ok(rule)
}

async fn remove(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let name = given.required("rule")?;
    let workspace = az.this_workspace().await?;
    let mut all = rules(&workspace);
    find(&all, name)?;
    let question = format!("Remove the outbound rule {name}?");
    az.ctx.ui.confirm(given.switch("yes"), &question)?;
    all.retain(|rule| !is(rule, name));
    save(az, workspace, all).await?;
    Ok(Value::Null)
}

//! `az resource`: what is named by a type and a name, or by an id. Each kind of resource has commands of
//! its own, and those do it.

use serde_json::{Map, Value, json};

use super::{
    Az, GROUPS,
    given::{Given, is_tagged, missing},
    grammar::{Flag, GROUP as IN_GROUP, Group, NO_WAIT, Verb, flag, switch, verb},
    ids,
    output::title,
    wait::{self, Wait},
};
use api::{Error, Result, names};

const ML: &str = "Microsoft.MachineLearningServices";

/// Types of resources, and the commands for what is of them.
const KINDS: [(&str, &str); 16] = [
    (
        "Microsoft.MachineLearningServices/workspaces",
        "ml workspace",
    ),
    (
        "Microsoft.MachineLearningServices/workspaces/onlineEndpoints",
        "ml online-endpoint",
    ),
    (
        "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/deployments",
        "ml online-deployment",
    ),
    (
        "Microsoft.MachineLearningServices/workspaces/batchEndpoints",
        "ml batch-endpoint",
    ),
    (
        "Microsoft.MachineLearningServices/workspaces/batchEndpoints/deployments",
        "ml batch-deployment",
    ),
    (
        "Microsoft.MachineLearningServices/workspaces/computes",
        "ml compute",
    ),
    (
        "Microsoft.MachineLearningServices/workspaces/datastores",
        "ml datastore",
    ),
    (
        "Microsoft.MachineLearningServices/workspaces/connections",
        "ml connection",
    ),
    (
        "Microsoft.MachineLearningServices/workspaces/schedules",
        "ml schedule",
    ),
    (
        "Microsoft.MachineLearningServices/workspaces/models/versions",
        "ml model",
    ),
    (
        "Microsoft.MachineLearningServices/workspaces/data/versions",
        "ml data",
    ),
    (
        "Microsoft.MachineLearningServices/registries",
        "ml registry",
    ),
    ("Microsoft.Storage/storageAccounts", "storage account"),
    ("Microsoft.KeyVault/vaults", "keyvault"),
    ("Microsoft.ContainerRegistry/registries", "acr"),
    (
        "Microsoft.ManagedIdentity/userAssignedIdentities",
        "identity",
    ),
];

/// Keys whose name in a resource is not the same word in another style.
const RENAMED: [(&str, &str); 2] = [
    ("mlflow_tracking_uri", "mlFlowTrackingUri"),
    ("openapi_uri", "swaggerUri"),
];

const NAMED: &[Flag] = &[
    flag("ids", "Ids of the resources").alias(&["id"]).many(),
    flag("name", "Name; of one within another PARENT/NAME").short('n'),
    flag(
        "resource-type",
        "Type, such as Microsoft.MachineLearningServices/workspaces",
    ),
    flag("namespace", "What the type begins with"),
    flag("parent", "What it is in, such as workspaces/NAME"),
    flag("resource-group", "Name of the resource group").short('g'),
    flag("api-version", "Not needed here"),
    switch("latest-include-preview", "Not needed here").short('v'),
];

pub const GROUP: Group = Group {
    path: "resource",
    about: "Resources, whatever they are",
    verbs: &[
        verb!(
            "list",
            "List the resources of a resource group, or of the subscription",
            [
                IN_GROUP,
                &[
                    flag("name", "Those of this name").short('n'),
                    flag("resource-type", "Those of this type"),
                    flag("namespace", "Those whose type begins with it"),
                    flag("location", "Those in this location").short('l'),
                    flag("tag", "Those with this tag, as KEY=VALUE or KEY"),
                ]
            ],
            list
        ),
        verb!(
            "show",
            "Show a resource",
            [NAMED, &[switch("include-response-body", "Not needed here")]],
            show
        ),
        verb!("delete", "Delete a resource", [NAMED, NO_WAIT], delete),
        verb!(
            "tag",
            "Set the tags of a resource",
            [
                NAMED,
                &[
                    flag("tags", "Tags, as KEY=VALUE").many(),
                    switch("is-incremental", "Keep the other tags").short('i'),
                ]
            ],
            tag
        ),
        verb!(
            "wait",
            "Wait until a resource is as it should be",
            [NAMED, wait::FLAGS],
            wait_for
        ),
    ],
};

/// A resource as its id names it.
struct Resource {
    group: String,
    kind: &'static str,
    /// The commands for it.
    commands: &'static str,
    /// Its own name is the last; before it are those of what it is in.
    names: Vec<String>,
}

impl Resource {
    fn parse(id: &str) -> Result<Self> {
        let wrong = || {
            Error::invalid(format!("argument --ids: `{id}` is no id of a resource")).hint(
                "One is /subscriptions/S/resourceGroups/G/providers/Microsoft.MachineLearningServices/workspaces/W",
            )
        };
        let path = id.strip_prefix("azureml:").unwrap_or(id).trim_matches('/');
        let parts: Vec<&str> = path.split('/').collect();
        let [s, _, g, group, p, namespace, rest @ ..] = parts.as_slice() else {
            return Err(wrong());
        };
        let fixed = [
            (s, "subscriptions"),
            (g, "resourceGroups"),
            (p, "providers"),
        ];
        let is_id = fixed
            .iter()
            .all(|(part, word)| part.eq_ignore_ascii_case(word));
        if !is_id || rest.is_empty() || rest.len() % 2 == 1 {
            return Err(wrong());
        }
        let types = rest.iter().step_by(2).copied();
        let types: Vec<&str> = std::iter::once(*namespace).chain(types).collect();
        let (kind, commands) = kind(&types.join("/"))?;
        let names = rest.iter().skip(1).step_by(2);
        Ok(Self {
            group: (*group).to_owned(),
            kind,
            commands,
            names: names.map(|name| (*name).to_owned()).collect(),
        })
    }

    /// The flags by which its commands know it.
    fn flags(&self) -> Vec<String> {
        let flags: &[&str] = match (self.kind.strip_prefix(ML), self.names.len()) {
            (Some(_), 2) => &["-w", "-n"],
            (Some(kind), 3) if kind.ends_with("/versions") => &["-w", "-n", "-v"],
            (Some(_), 3) => &["-w", "-e", "-n"],
            _ => &["-n"],
        };
        let named = flags.iter().zip(&self.names);
        named
            .flat_map(|(flag, name)| [(*flag).to_owned(), name.clone()])
            .collect()
    }

    /// Calls a command for it, with more flags.
    async fn call(&self, az: &Az, called: &str, more: &[String]) -> anyhow::Result<Value> {
        let words = [self.flags().as_slice(), more].concat();
        call(az, self.commands, called, Some(&self.group), words).await
    }
}

/// The type as it is written, and its commands.
fn kind(name: &str) -> Result<(&'static str, &'static str)> {
    let known = KINDS
        .iter()
        .find(|(kind, _)| kind.eq_ignore_ascii_case(name));
    known.copied().ok_or_else(|| {
        let nearest = names::nearest(name, KINDS.iter().map(|(kind, _)| *kind));
        Error::unknown("type of resources", name, " is here", nearest)
    })
}

/// The resources that the command line names.
fn named(az: &Az, given: &Given) -> Result<Vec<Resource>> {
    let ids = given.words("ids");
    if !ids.is_empty() {
        return ids.iter().map(|id| Resource::parse(id)).collect();
    }
    let (Some(name), Some(kind)) = (given.text("name"), given.text("resource-type")) else {
        return Err(missing(&["ids"]).hint("Or name it: -g GROUP -n NAME --resource-type TYPE"));
    };
    let (namespace, kind) = match given.text("namespace") {
        Some(namespace) => (namespace, kind),
        None => kind.split_once('/').unwrap_or((ML, kind)),
    };
    let parent = given.text("parent").unwrap_or_default().trim_matches('/');
    let mut types: Vec<&str> = parent
        .split('/')
        .step_by(2)
        .filter(|t| !t.is_empty())
        .collect();
    let mut names: Vec<&str> = parent.split('/').skip(1).step_by(2).collect();
    types.extend(kind.split('/'));
    names.extend(name.split('/'));
    if types.len() != names.len() {
        return Err(Error::invalid(format!(
            "argument --name: `{name}` does not name one of the type `{kind}`"
        ))
        .hint("What is in another is named PARENT/NAME"));
    }
    let path: Vec<String> = types
        .iter()
        .zip(&names)
        .map(|(kind, name)| format!("{kind}/{name}"))
        .collect();
    let group = ids::group(&az.subscription()?, az.group()?);
    let id = format!("{group}/providers/{namespace}/{}", path.join("/"));
    Ok(vec![Resource::parse(&id)?])
}

fn command(commands: &str, called: &str) -> Result<&'static Verb> {
    let group = GROUPS.iter().filter(|group| group.path == commands);
    let verb = group
        .flat_map(|group| group.verbs)
        .find(|verb| verb.name == called);
    verb.ok_or_else(|| Error::unsupported(format!("There is no `az {commands} {called}`")))
}

/// Calls another command; the group is said and no question asked where it has flags for that.
async fn call(
    az: &Az,
    commands: &str,
    called: &str,
    in_group: Option<&str>,
    mut words: Vec<String>,
) -> anyhow::Result<Value> {
    let verb = command(commands, called)?;
    if let Some(name) = in_group.filter(|_| verb.knows("--resource-group")) {
        words.extend(["-g".to_owned(), name.to_owned()]);
    }
    if verb.knows("--yes") {
        words.push("--yes".to_owned());
    }
    let parsed = verb.command(called.to_owned()).try_get_matches_from(words);
    let given = Given(parsed.map_err(|e| Error::internal(e.to_string()))?);
    let mut inner = Az::new(&given, None, az.ctx.wiring)?;
    inner.ctx.share_client(&az.ctx).await?;
    (verb.run)(&inner, &given).await
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).into()
}

/// What a command answers, as a resource.
fn resource(entity: Value) -> Result<Value> {
    let mut entity = ids::fields(entity);
    let id = ids::text(&entity, "id").unwrap_or_default();
    let id = id.strip_prefix("azureml:").unwrap_or(&id).to_owned();
    let found = Resource::parse(&id)?;
    let mut take = |key: &str| entity.shift_remove(key).unwrap_or_default();
    let sku = match take("sku") {
        Value::String(name) => {
            let name = title(&name);
            json!({"name": name, "tier": name})
        }
        other => other,
    };
    let mut whole = json!({
        "id": id,
        "identity": camel(take("identity")),
        "kind": take("kind"),
        "location": take("location"),
        "managedBy": null,
        "name": found.names.join("/"),
        "plan": null,
        "resourceGroup": found.group,
        "sku": sku,
        "tags": take("tags"),
        "type": found.kind,
    });
    for own in ["id", "name", "type", "resourceGroup", "resource_group"] {
        take(own);
    }
    let properties = match take("properties") {
        Value::Object(own) if !own.is_empty() && entity.is_empty() => Value::Object(own),
        own => {
            entity.extend(ids::fields(own));
            camel(Value::Object(entity))
        }
    };
    whole["properties"] = properties;
    Ok(whole)
}

/// The keys of a mapping in the style of resources.
fn camel(value: Value) -> Value {
    let Value::Object(fields) = value else {
        return value;
    };
    let fields = fields.into_iter().map(|(key, value)| {
        let renamed = RENAMED.iter().find(|(from, _)| *from == key);
        let key = match renamed {
            Some((_, to)) => (*to).to_owned(),
            None => key
                .split('_')
                .enumerate()
                .map(|(at, word)| match at {
                    0 => word.to_owned(),
                    _ => title(word),
                })
                .collect(),
        };
        (key, value)
    });
    Value::Object(fields.collect::<Map<_, _>>())
}

async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut all = Vec::new();
    for found in named(az, given)? {
        all.push(resource(found.call(az, "show", &[]).await?)?);
    }
    match <[Value; 1]>::try_from(all) {
        Ok([one]) => Ok(one),
        Err(all) => Ok(Value::Array(all)),
    }
}

async fn wait_for(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let wait = Wait::of(given)?;
    for found in named(az, given)? {
        let look = async || Ok(resource(found.call(az, "show", &[]).await?)?);
        wait.until(look).await?;
    }
    Ok(Value::Null)
}

async fn delete(az: &Az, given: &Given) -> anyhow::Result<Value> {
    for found in all_with(az, given, "delete")? {
        found.call(az, "delete", &[]).await?;
    }
    Ok(Value::Null)
}

/// The named resources, all of which have the command.
fn all_with(az: &Az, given: &Given, called: &str) -> Result<Vec<Resource>> {
    let all = named(az, given)?;
    for found in &all {
        command(found.commands, called).map_err(|error| {
            let name = found.names.join("/");
            error.hint(format!("`{name}` is of the type {}", found.kind))
        })?;
    }
    Ok(all)
}

/// Nothing is changed unless all can be.
async fn tag(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut changes = Vec::new();
    for found in all_with(az, given, "update")? {
        let before = found.call(az, "show", &[]).await?;
        let mut tags = if given.switch("is-incremental") {
            ids::fields(before["tags"].clone())
        } else {
            Map::new()
        };
        let pairs = given.pairs("tags").into_iter();
        tags.extend(pairs.map(|(key, value)| (key, value.into())));
        changes.push((found, tags));
    }
    for (found, tags) in changes {
        // All as one value: in a path the dots of a key would part it.
        let set = format!("tags={}", Value::Object(tags));
        found.call(az, "update", &words(["--set", &set])).await?;
    }
    show(az, given).await
}

async fn list(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let group = az.group.as_deref();
    let mut all = Vec::new();
    for commands in [
        "storage account",
        "keyvault",
        "acr",
        "identity",
        "ml registry",
    ] {
        add(
            &mut all,
            call(az, commands, "list", group, Vec::new()).await?,
        )?;
    }
    let workspaces = call(az, "ml workspace", "list", group, Vec::new()).await?;
    for workspace in workspaces.as_array().into_iter().flatten() {
        let name = workspace["name"].as_str().unwrap_or_default();
        for kind in ["online", "batch"] {
            let commands = format!("ml {kind}-endpoint");
            let endpoints = call(az, &commands, "list", None, words(["-w", name])).await?;
            for endpoint in endpoints.as_array().into_iter().flatten() {
                let own = endpoint["name"].as_str().unwrap_or_default();
                let of = words(["-w", name, "-e", own]);
                let commands = format!("ml {kind}-deployment");
                add(&mut all, call(az, &commands, "list", None, of).await?)?;
            }
            add(&mut all, endpoints)?;
        }
    }
    add(&mut all, workspaces)?;
    let here = |resource: &Value| {
        let own = resource["resourceGroup"].as_str().unwrap_or_default();
        group.is_none_or(|group| group.eq_ignore_ascii_case(own))
    };
    all.retain(|resource| here(resource) && wanted(given, resource));
    Ok(Value::Array(all))
}

fn add(all: &mut Vec<Value>, more: Value) -> Result<()> {
    let more = match more {
        Value::Array(more) => more,
        _ => Vec::new(),
    };
    for entity in more {
        let mut one = resource(entity)?;
        // A list tells what there is, not what each is like.
        one["properties"] = Value::Null;
        all.push(one);
    }
    Ok(())
}

fn wanted(given: &Given, resource: &Value) -> bool {
    let text = |key: &str| resource[key].as_str().unwrap_or_default();
    let is = |flag: &str, key: &str| {
        let asked = given.text(flag);
        asked.is_none_or(|asked| asked.eq_ignore_ascii_case(text(key)))
    };
    let begins = given.text("namespace").is_none_or(|namespace| {
        let own = text("type").split('/').next().unwrap_or_default();
        own.eq_ignore_ascii_case(namespace)
    });
    let tagged = given.text("tag").is_none_or(|tag| {
        let tags = ids::fields(resource["tags"].clone()).into_iter();
        let tags = tags.map(|(key, value)| (key, value.as_str().unwrap_or_default().to_owned()));
        is_tagged(&tags.collect(), tag)
    });
    is("name", "name")
        && is("resource-type", "type")
        && is("location", "location")
        && begins
        && tagged
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Resource, resource};

    #[test]
    fn an_id_names_what_its_commands_know_by_flags() {
        let of = |path: &str| {
            let id = format!("/subscriptions/s/resourcegroups/g/providers/{path}");
            let found = Resource::parse(&id).map(|found| (found.commands, found.flags().join(" ")));
            found.map_err(|error| error.message)
        };
        let ml = "microsoft.machinelearningservices/workspaces/w";
        let is = |commands, flags: &str| Ok((commands, flags.to_owned()));
        assert_eq!(of(ml), is("ml workspace", "-n w"));
        assert_eq!(
            of(&format!("{ml}/computes/c")),
            is("ml compute", "-w w -n c")
        );
        let deployment = format!("{ml}/onlineendpoints/e/deployments/d");
        assert_eq!(
            of(&deployment),
            is("ml online-deployment", "-w w -e e -n d")
        );
        assert_eq!(
            of(&format!("{ml}/models/m/versions/2")),
            is("ml model", "-w w -n m -v 2")
        );
        assert_eq!(of("Microsoft.KeyVault/vaults/v"), is("keyvault", "-n v"));
        assert!(of("Microsoft.Compute/virtualMachines/v").is_err());
        assert!(of("Microsoft.KeyVault/vaults").is_err());
    }

    #[test]
    fn an_answer_becomes_a_resource() {
        let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w";
        let entity = json!({"id": id, "name": "w", "sku": "basic", "workspace_id": "1",
            "tags": {"a_b": "c"}, "mlflow_tracking_uri": "http://x", "resource_group": "g"});
        let made = resource(entity).unwrap();
        assert_eq!(
            made["properties"],
            json!({"workspaceId": "1", "mlFlowTrackingUri": "http://x"})
        );
        assert_eq!(made["sku"], json!({"name": "Basic", "tier": "Basic"}));
        assert_eq!(
            (&made["name"], &made["tags"]),
            (&json!("w"), &json!({"a_b": "c"}))
        );
    }
}

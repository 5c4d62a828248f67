//! `az ml computetarget`: computes, as the commands of 2020 know them.

use serde_json::{Map, Value, json};

use super::{ASYNC, COMMON, METADATA, NAME, VERBOSE, answer};
use crate::{
    az::{
        Az,
        given::Given,
        grammar::{Flag, Group, flag, verb},
        ids,
        ml::{
            compute::{self as today, get, turn},
            refuse, tags,
        },
    },
    document::Draft,
};
use api::{
    Error, Result,
    computes::{CLUSTER, Compute, CreateCompute, DeleteCompute, INSTANCE, ListComputes, Switch},
};

const SIZE: &[Flag] = &[flag("vm-size", "Size of a machine").short('s').required()];
const NODES: &[Flag] = &[
    flag("max-nodes", "Greatest number of instances"),
    flag("min-nodes", "Least number of instances"),
    flag(
        "idle-seconds-before-scaledown",
        "Seconds until an idle one goes",
    ),
];
const NEW: &[Flag] = &[
    flag("description", "Description"),
    flag("tag", "Tag, as KEY=VALUE").repeated(),
    flag("location", "Location to record").short('l'),
    flag("admin-username", "User of a machine"),
    flag("admin-user-password", "Password of that user"),
    flag("admin-user-ssh-key", "Public key of that user").alias(&["admin-user-ssh-public-key"]),
    flag("vnet-name", "Network"),
    flag("subnet-name", "Part of the network"),
    flag("vnet-resourcegroup-name", "Resource group of the network"),
    flag(
        "assign-identity",
        "Identities, by commas; [system] is its own",
    ),
];
const IDENTITIES_OF: &[Flag] = &[flag(
    "identities",
    "Identities, by commas; [system] is its own",
)];

pub const GROUP: Group = Group {
    path: "ml computetarget",
    about: "Computes, as the commands of 2020 know them",
    verbs: &[
        verb!(
            "list",
            "List the computes",
            [COMMON, METADATA, VERBOSE],
            list
        ),
        verb!(
            "show",
            "Show a compute",
            [COMMON, METADATA, VERBOSE, NAME],
            show
        ),
        verb!(
            "delete",
            "Delete a compute",
            [COMMON, VERBOSE, NAME],
            delete
        ),
        verb!(
            "detach",
            "Forget an attached compute",
            [COMMON, VERBOSE, NAME],
            delete
        ),
        verb!(
            "get-credentials",
            "Show what opens a compute",
            [COMMON, METADATA, VERBOSE, NAME],
            get_credentials
        ),
    ],
};

pub const CREATE: Group = Group {
    path: "ml computetarget create",
    about: "Create computes",
    verbs: &[
        verb!(
            "amlcompute",
            "Create a cluster",
            [
                COMMON,
                METADATA,
                VERBOSE,
                ASYNC,
                NAME,
                SIZE,
                NODES,
                NEW,
                &[
                    flag("vm-priority", "dedicated or lowpriority").short('p'),
                    flag("remote-login-port-public-access", "Recorded"),
                ]
            ],
            create,
            CLUSTER
        ),
        verb!(
            "computeinstance",
            "Create a compute instance",
            [
                COMMON,
                METADATA,
                VERBOSE,
                ASYNC,
                NAME,
                SIZE,
                NEW,
                &[flag("ssh-public-access", "True or False")]
            ],
            create,
            INSTANCE
        ),
        verb!(
            "aks",
            "Not here: services run on this machine",
            [COMMON, METADATA, VERBOSE, ASYNC, NAME, NEW],
            refuse,
            "There is no cluster to make: services run on this machine",
            "Deploy without one: az ml model deploy --name NAME --model NAME:VERSION"
        ),
        verb!(
            "datafactory",
            "Not here: data is copied by hand",
            [COMMON, METADATA, VERBOSE, NAME, NEW],
            refuse,
            "There are no data factories here",
            "Copy the files: az ml datastore upload"
        ),
    ],
};

pub const ATTACH: Group = Group {
    path: "ml computetarget attach",
    about: "Record computes that exist",
    verbs: &[
        verb!(
            "remote",
            "Record a machine",
            [
                COMMON,
                METADATA,
                VERBOSE,
                NAME,
                &[
                    flag("address", "Address of the machine")
                        .short('a')
                        .required(),
                    flag("username", "User").short('u').required(),
                    flag("password", "Password"),
                    flag("ssh-port", "Port"),
                    flag("private-key-file", "Private key").short('p'),
                    flag("private-key-passphrase", "What opens the key"),
                ]
            ],
            attach_remote
        ),
        verb!(
            "aks",
            "Record a Kubernetes cluster",
            [
                COMMON,
                METADATA,
                VERBOSE,
                NAME,
                &[
                    flag("compute-resource-id", "Id of the cluster")
                        .short('i')
                        .required(),
                    flag("namespace", "Namespace"),
                ]
            ],
            attach_cluster
        ),
    ],
};

pub const UPDATE: Group = Group {
    path: "ml computetarget update",
    about: "Change computes",
    verbs: &[verb!(
        "amlcompute",
        "Change a cluster",
        [COMMON, METADATA, VERBOSE, NAME, NODES],
        update
    )],
};

pub const INSTANCES: Group = Group {
    path: "ml computetarget computeinstance",
    about: "Start and stop compute instances",
    verbs: &[
        verb!(
            "start",
            "Start a compute instance",
            [COMMON, VERBOSE, ASYNC, NAME],
            turn,
            Switch::Start
        ),
        verb!(
            "stop",
            "Stop a compute instance",
            [COMMON, VERBOSE, ASYNC, NAME],
            turn,
            Switch::Stop
        ),
        verb!(
            "restart",
            "Start a compute instance again",
            [COMMON, VERBOSE, ASYNC, NAME],
            turn,
            Switch::Restart
        ),
    ],
};

pub const IDENTITIES: Group = Group {
    path: "ml computetarget amlcompute identity",
    about: "Identities of clusters",
    verbs: &[
        verb!(
            "assign",
            "Give a cluster identities",
            [COMMON, VERBOSE, NAME, IDENTITIES_OF],
            identify
        ),
        verb!(
            "remove",
            "Take a cluster's identities away",
            [COMMON, VERBOSE, NAME, IDENTITIES_OF],
            forget_identity
        ),
        verb!(
            "show",
            "Show the identities of a cluster",
            [COMMON, METADATA, VERBOSE, NAME],
            identity
        ),
    ],
};

/// A compute with the keys of that time.
fn shown(compute: &Compute) -> Value {
    let kind = match compute.kind.as_str() {
        CLUSTER => "AmlCompute",
        INSTANCE => "ComputeInstance",
        "virtualmachine" => "VirtualMachine",
        "kubernetes" => "AKS",
        other => other,
    };
    let spec = |key: &str| compute.spec.get(key).cloned().unwrap_or_default();
    json!({
        "computeType": kind,
        "creationTime": ids::time(compute.created_at),
        "description": compute.description,
        "location": compute.location,
        "name": compute.name,
        "properties": {
            "scaleSettings": {
                "maxNodeCount": spec("max_instances"),
                "minNodeCount": spec("min_instances"),
                "nodeIdleTimeBeforeScaleDown": spec("idle_time_before_scale_down"),
            },
            "vmPriority": spec("tier"),
            "vmSize": spec("size"),
        },
        "provisioningState": "Succeeded",
        "status": compute.state,
        "tags": compute.tags,
    })
}

async fn list(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let request = ListComputes {
        workspace: az.here().await?,
        kind: None,
    };
    let all = az.call(&request).await?;
    answer(az, given, all.iter().map(shown).collect())
}

async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let found = get(az, given).await?;
    answer(az, given, shown(&found))
}

async fn delete(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let request = DeleteCompute {
        workspace: az.here().await?,
        name: get(az, given).await?.name,
    };
    az.call(&request).await?;
    Ok(Value::Null)
}

/// What opens an attached machine; passwords are kept sealed and are not told.
async fn get_credentials(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let found = get(az, given).await?;
    let settings = found.spec.get("ssh_settings").cloned();
    answer(
        az,
        given,
        json!({"name": found.name, "sshSettings": settings}),
    )
}

fn put(fields: &mut Map<String, Value>, key: &str, value: Value) {
    fields.insert(key.to_owned(), value);
}

fn put_nodes(fields: &mut Map<String, Value>, given: &Given) -> Result<()> {
    for (flag, key) in [
        ("max-nodes", "max_instances"),
        ("min-nodes", "min_instances"),
        (
            "idle-seconds-before-scaledown",
            "idle_time_before_scale_down",
        ),
    ] {
        if let Some(number) = given.number(flag)? {
            put(fields, key, json!(number));
        }
    }
    Ok(())
}

/// The words of a mapping that flags give; none where they give nothing.
fn section(given: &Given, flags: &[(&str, &str)]) -> Option<Value> {
    let words = flags
        .iter()
        .filter_map(|(flag, key)| Some(((*key).to_owned(), json!(given.text(flag)?))));
    let words: Map<String, Value> = words.collect();
    (!words.is_empty()).then_some(Value::Object(words))
}

fn identities(words: &str) -> Value {
    let own: Vec<Value> = words
        .split(',')
        .filter(|word| !word.is_empty() && *word != "[system]")
        .map(|id| json!({"resource_id": id}))
        .collect();
    if own.is_empty() {
        return json!({"type": "system_assigned"});
    }
    json!({"type": "user_assigned", "user_assigned_identities": own})
}

/// Makes what the fields describe, which are those of a file of today.
async fn make(az: &Az, given: &Given, fields: Map<String, Value>) -> anyhow::Result<Value> {
    let mut draft = Draft::open(None, &az.ctx.folder)?;
    for (key, value) in fields {
        draft.put(&key, value, "the command line");
    }
    let checked = draft.check("compute")?;
    let text = |key: &str| ids::text(&checked, key);
    let request = CreateCompute {
        workspace: az.here().await?,
        name: text("name").unwrap_or_default(),
        kind: text("type").unwrap_or_default(),
        location: text("location"),
        description: text("description").unwrap_or_default(),
        tags: tags(&checked),
        spec: today::rest(checked),
    };
    answer(az, given, shown(&az.call(&request).await?))
}

async fn create(az: &Az, given: &Given, kind: &str) -> anyhow::Result<Value> {
    let mut fields = Map::new();
    put(&mut fields, "name", json!(given.required("name")?));
    put(&mut fields, "type", json!(kind));
    put(&mut fields, "size", json!(given.required("vm-size")?));
    put(&mut fields, "tags", json!(given.pairs("tag")));
    if kind == CLUSTER && !given.has("max-nodes") {
        return Err(crate::az::given::missing(&["max-nodes"]).into());
    }
    put_nodes(&mut fields, given)?;
    if let Some(priority) = given.text("vm-priority") {
        let low = priority.to_ascii_lowercase().starts_with("low");
        let tier = if low { "low_priority" } else { "dedicated" };
        put(&mut fields, "tier", json!(tier));
    }
    for key in ["description", "location"] {
        fields.extend(given.text(key).map(|text| (key.to_owned(), json!(text))));
    }
    let key = ("admin-user-ssh-key", "ssh_key_value");
    let user = [
        ("admin-username", "admin_username"),
        ("admin-user-password", "admin_password"),
        key,
    ];
    let login = if kind == CLUSTER { &user[..] } else { &[key] };
    let network = [("vnet-name", "vnet_name"), ("subnet-name", "subnet")];
    for (key, flags) in [("ssh_settings", login), ("network_settings", &network)] {
        fields.extend(section(given, flags).map(|section| (key.to_owned(), section)));
    }
    if let Some(words) = given.text("assign-identity") {
        put(&mut fields, "identity", identities(words));
    }
    make(az, given, fields).await
}

async fn attach_remote(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut settings = json!({"admin_username": given.required("username")?});
    if let Some(port) = given.number("ssh-port")? {
        settings["ssh_port"] = json!(port);
    }
    for (flag, key) in [
        ("password", "admin_password"),
        ("private-key-file", "ssh_private_key_file"),
    ] {
        if let Some(text) = given.text(flag) {
            settings[key] = json!(text);
        }
    }
    let fields = json!({
        "name": given.required("name")?,
        "type": "virtualmachine",
        "resource_id": given.required("address")?,
        "ssh_settings": settings,
    });
    make(az, given, ids::fields(fields)).await
}

async fn attach_cluster(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let fields = json!({
        "name": given.required("name")?,
        "type": "kubernetes",
        "resource_id": given.required("compute-resource-id")?,
        "namespace": given.text("namespace").unwrap_or("default"),
    });
    make(az, given, ids::fields(fields)).await
}

/// Changes what a cluster says; `change` gets the fields of its file.
async fn changed(
    az: &Az,
    given: &Given,
    change: impl FnOnce(&mut Map<String, Value>) -> Result<()>,
) -> anyhow::Result<Value> {
    let found = get(az, given).await?;
    if found.kind != CLUSTER {
        let message = format!("`{}` is no cluster", found.name);
        return Err(Error::conflict(message).into());
    }
    let mut fields = today::writable(&found);
    change(&mut fields)?;
    make(az, given, fields).await
}

async fn update(az: &Az, given: &Given) -> anyhow::Result<Value> {
    changed(az, given, |fields| put_nodes(fields, given)).await
}

async fn identify(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let words = given.text("identities").unwrap_or("[system]");
    changed(az, given, |fields| {
        put(fields, "identity", identities(words));
        Ok(())
    })
    .await?;
    Ok(Value::Null)
}

async fn forget_identity(az: &Az, given: &Given) -> anyhow::Result<Value> {
    changed(az, given, |fields| {
        fields.remove("identity");
        Ok(())
    })
    .await?;
    Ok(Value::Null)
}

async fn identity(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let found = get(az, given).await?;
    let identity = found.spec.get("identity").cloned();
    answer(
        az,
        given,
        identity.unwrap_or_else(|| json!({"type": "None"})),
    )
}

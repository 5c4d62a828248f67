//! `az ml compute`

use serde_json::{Map, Value, json};

use super::{asset::put_flags, named_draft, refuse, tags};
use crate::{
    az::{
        Az,
        given::{Given, missing},
        grammar::{
            FILE, Flag, GENERIC, Group, MAX, NAME, NO_WAIT, PLACE, SET, THE_NAME, YES, flag,
            switch, verb,
        },
        ids,
    },
    document::Draft,
};
use api::{
    Error, Result,
    computes::{
        CLUSTER, Compute, CreateCompute, DeleteCompute, GetCompute, IDLE_SHUTDOWN, INSTANCE,
        ListComputes, Size, Switch, SwitchCompute, sizes,
    },
    runs::{ListRuns, Run, RunStatus},
    workspaces::Workspace,
};
use spec::overrides::Values;

/// Running jobs that are looked at for the nodes of a cluster.
const MOST_RUNNING: usize = 1000;

const SCALE: &[Flag] = &[
    flag("min-instances", "Least number of instances"),
    flag("max-instances", "Greatest number of instances"),
    flag(
        "idle-time-before-scale-down",
        "Seconds after which an idle instance goes",
    )
    .short('d'),
    flag("identity-type", "system_assigned, user_assigned or none"),
    flag("user-assigned-identities", "Ids of identities")
        .short('i')
        .many(),
    flag("tags", "Tags, as KEY=VALUE").many(),
];
const NEW: &[Flag] = &[
    flag("type", "Type: amlcompute or computeinstance").short('t'),
    flag("size", "Size of the machines"),
    flag("description", "Description"),
    flag("location", "Location to record").short('l'),
    flag("tier", "dedicated or low_priority"),
    flag("admin-username", "User for SSH"),
    flag("admin-password", "Password for SSH"),
    flag("ssh-key-value", "Public key for SSH"),
    flag("ssh-public-access-enabled", "SSH from outside")
        .short('p')
        .maybe(),
    flag("enable-node-public-ip", "Recorded").maybe(),
    flag("subnet", "Subnet; recorded"),
    flag("vnet-name", "Network; recorded"),
    flag("user-object-id", "Owner of a compute instance; recorded"),
    flag("user-tenant-id", "Tenant of that owner; recorded"),
];
const ATTACH: &[Flag] = &[
    flag("type", "Type: virtualmachine, kubernetes or synapsespark").short('t'),
    flag("resource-id", "Id of what is attached"),
    flag("namespace", "Namespace of a Kubernetes cluster"),
    flag("admin-username", "User for SSH"),
    flag("admin-password", "Password for SSH"),
    flag("ssh-port", "Port for SSH"),
    flag("ssh-private-key-file", "Private key for SSH"),
    flag("identity-type", "system_assigned, user_assigned or none"),
    flag("user-assigned-identities", "Ids of identities")
        .short('i')
        .many(),
];
const LOCATION: &[Flag] = &[
    flag("location", "Location").short('l'),
    flag("type", "Type of compute").short('t'),
];

pub const GROUP: Group = Group {
    path: "ml compute",
    about: "Computes: where jobs run",
    verbs: &[
        verb!(
            "create",
            "Create a compute",
            [PLACE, NAME, FILE, SET, NO_WAIT, SCALE, NEW],
            create
        ),
        verb!(
            "attach",
            "Attach a machine or cluster that exists",
            [PLACE, NAME, FILE, SET, NO_WAIT, ATTACH],
            attach
        ),
        verb!("show", "Show a compute", [PLACE, THE_NAME], show),
        verb!(
            "list",
            "List the computes",
            [PLACE, MAX, &[flag("type", "Of one type alone").short('t')]],
            list
        ),
        verb!(
            "update",
            "Change a compute",
            [PLACE, THE_NAME, GENERIC, NO_WAIT, SCALE],
            update
        ),
        verb!(
            "delete",
            "Delete a compute",
            [PLACE, THE_NAME, NO_WAIT, YES],
            delete
        ),
        verb!(
            "detach",
            "Forget an attached compute",
            [PLACE, THE_NAME, NO_WAIT, YES],
            detach
        ),
        verb!(
            "start",
            "Start a compute instance",
            [PLACE, THE_NAME, NO_WAIT],
            turn,
            Switch::Start
        ),
        verb!(
            "stop",
            "Stop a compute instance",
            [PLACE, THE_NAME, NO_WAIT],
            turn,
            Switch::Stop
        ),
        verb!(
            "restart",
            "Start a compute instance again",
            [PLACE, THE_NAME, NO_WAIT],
            turn,
            Switch::Restart
        ),
        verb!(
            "list-sizes",
            "List the sizes of machines",
            [PLACE, LOCATION],
            list_sizes
        ),
        verb!(
            "list-usage",
            "Show how much of what there is, is taken",
            [PLACE, LOCATION],
            list_usage
        ),
        verb!(
            "list-nodes",
            "List the instances of a cluster",
            [PLACE, THE_NAME],
            list_nodes
        ),
        verb!(
            "enable-sso",
            "Let people log in to a compute instance",
            [PLACE, THE_NAME, &[switch("disable", "Let them not")]],
            enable_sso
        ),
        verb!(
            "connect-ssh",
            "Not here: jobs run on the machine of the worker",
            [
                PLACE,
                THE_NAME,
                &[flag("private-key-file-path", "Private key").short('f')]
            ],
            refuse,
            "There is no other machine to connect to: jobs run on the worker's",
            "Look at what a job writes: az ml job stream"
        ),
    ],
};

/// Keys of the file that are fields of their own here.
const OWN: [&str; 6] = ["name", "type", "location", "description", "tags", "id"];

/// A compute as Azure's command line shows it.
fn shown(workspace: &Workspace, compute: &Compute) -> Value {
    let mut all = ids::fields(json!({
        "created_on": ids::time(compute.created_at),
        "description": compute.description,
        "id": ids::within(workspace, &format!("computes/{}", compute.name)),
        "location": compute.location,
        "name": compute.name,
        "provisioning_state": "Succeeded",
        "resourceGroup": workspace.resource_group,
        "tags": compute.tags,
        "type": compute.kind,
    }));
    for (key, value) in &compute.spec {
        all.insert(key.clone(), value.clone());
    }
    if let Some(state) = compute.state {
        let idle = compute.last_operation == IDLE_SHUTDOWN;
        all.insert("state".to_owned(), json!(state));
        all.insert(
            "last_operation".to_owned(),
            json!({
                "operation_name": if idle { "Stop" } else { compute.last_operation.as_str() },
                "operation_status": "Succeeded",
                "operation_time": ids::time(compute.updated_at),
                "operation_trigger": if idle { IDLE_SHUTDOWN } else { "User" },
            }),
        );
    }
    Value::Object(all)
}

/// What a file of the compute would say.
pub fn writable(compute: &Compute) -> Map<String, Value> {
    let mut fields = ids::fields(json!({
        "name": compute.name,
        "type": compute.kind,
        "location": compute.location,
        "description": compute.description,
        "tags": compute.tags,
    }));
    fields.extend(compute.spec.clone());
    fields
}

fn put_scale(draft: &mut Draft, given: &Given) -> Result<()> {
    for flag in [
        "min-instances",
        "max-instances",
        "idle-time-before-scale-down",
    ] {
        if let Some(number) = given.number(flag)? {
            draft.put(&flag.replace('-', "_"), number, &format!("--{flag}"));
        }
    }
    put_flags(draft, given, &["tags"]);
    if given.has("identity-type") || given.has("user-assigned-identities") {
        let words = given.words("user-assigned-identities");
        let identities = words.iter().flat_map(|word| word.split(','));
        let identities: Vec<Value> = identities
            .filter(|id| !id.is_empty())
            .map(|id| json!({"resource_id": id}))
            .collect();
        let kind = given.text("identity-type").unwrap_or("user_assigned");
        let mut identity = json!({"type": kind});
        if !identities.is_empty() {
            identity["user_assigned_identities"] = json!(identities);
        }
        draft.put("identity", identity, "--identity-type");
    }
    Ok(())
}

/// Settings that are mappings in the file.
fn put_settings(draft: &mut Draft, given: &Given, key: &str, flags: &[(&str, &str)]) {
    let values = flags.iter().filter_map(|(flag, key)| {
        let text = given.text(flag)?;
        Some(((*key).to_owned(), json!(text)))
    });
    let values: Map<String, Value> = values.collect();
    if !values.is_empty() {
        let flag = flags.first().map_or("", |(flag, _)| flag);
        draft.put(key, Value::Object(values), &format!("--{flag}"));
    }
}

const SSH: [(&str, &str); 5] = [
    ("admin-username", "admin_username"),
    ("admin-password", "admin_password"),
    ("ssh-key-value", "ssh_key_value"),
    ("ssh-port", "ssh_port"),
    ("ssh-private-key-file", "ssh_private_key_file"),
];

async fn create(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut draft = named_draft(az, given)?;
    put_flags(
        &mut draft,
        given,
        &["name", "type", "size", "description", "location", "tier"],
    );
    put_scale(&mut draft, given)?;
    put_settings(&mut draft, given, "ssh_settings", &SSH);
    let network = [("vnet-name", "vnet_name"), ("subnet", "subnet")];
    put_settings(&mut draft, given, "network_settings", &network);
    let owner = [
        ("user-object-id", "user_object_id"),
        ("user-tenant-id", "user_tenant_id"),
    ];
    put_settings(&mut draft, given, "create_on_behalf_of", &owner);
    for flag in ["ssh-public-access-enabled", "enable-node-public-ip"] {
        if let Some(truth) = given.truth(flag)? {
            draft.put(&flag.replace('-', "_"), truth, &format!("--{flag}"));
        }
    }
    save(az, given, draft).await
}

async fn attach(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut draft = named_draft(az, given)?;
    put_flags(
        &mut draft,
        given,
        &["name", "type", "resource-id", "namespace"],
    );
    put_scale(&mut draft, given)?;
    put_settings(&mut draft, given, "ssh_settings", &SSH);
    if let Some(kind) = draft
        .text("type")
        .filter(|kind| !is_attached(&kind.to_lowercase()))
    {
        let message = format!("Computes of the type `{kind}` are made here, not attached");
        let error = Error::invalid(message).at("type");
        return Err(error.hint("Make it: az ml compute create").into());
    }
    save(az, given, draft).await
}

async fn save(az: &Az, given: &Given, mut draft: Draft) -> anyhow::Result<Value> {
    draft.edit(&given.edits()?, Values::Strings)?;
    if !given.has("file") && !draft.has("type") {
        let types =
            "Possible are amlcompute, computeinstance, virtualmachine, kubernetes, synapsespark";
        return Err(missing(&["type/-t"]).hint(types).into());
    }
    let fields = draft.check("compute")?;
    put(az, fields).await
}

/// What a file says beside the fields of a compute's own.
pub fn rest(fields: Map<String, Value>) -> Map<String, Value> {
    let rest = fields.into_iter();
    rest.filter(|(key, _)| !OWN.contains(&key.as_str()))
        .collect()
}

async fn put(az: &Az, fields: Map<String, Value>) -> anyhow::Result<Value> {
    let text = |key: &str| fields.get(key).and_then(Value::as_str).map(str::to_owned);
    let workspace = az.this_workspace().await?;
    let request = CreateCompute {
        workspace: workspace.name.clone(),
        name: text("name").unwrap_or_default(),
        kind: text("type").unwrap_or_default(),
        location: text("location"),
        description: text("description").unwrap_or_default(),
        tags: tags(&fields),
        spec: rest(fields),
    };
    Ok(shown(&workspace, &az.call(&request).await?))
}

pub async fn get(az: &Az, given: &Given) -> Result<Compute> {
    let request = GetCompute {
        workspace: az.here().await?,
        name: given.required("name")?.to_owned(),
    };
    az.call(&request).await
}

async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.this_workspace().await?;
    Ok(shown(&workspace, &get(az, given).await?))
}

async fn list(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.this_workspace().await?;
    let request = ListComputes {
        workspace: workspace.name.clone(),
        kind: given.owned("type"),
    };
    let mut all = az.call(&request).await?;
    if let Some(max) = given.number("max-results")? {
        all.truncate(max as usize);
    }
    Ok(all
        .iter()
        .map(|compute| shown(&workspace, compute))
        .collect())
}

async fn update(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let found = get(az, given).await?;
    let before = writable(&found);
    let mut draft = Draft::of(&before, &az.ctx.folder);
    put_scale(&mut draft, given)?;
    draft.edit(&given.edits()?, given.values())?;
    let mut fields = draft.check("compute")?;
    if !is_attached(&found.kind) && fields.get("size") != before.get("size") {
        let message = format!("The size of `{}` stays what it was made with", found.name);
        let error = Error::invalid(message).at("size");
        return Err(error.hint("Make another one, or delete it first").into());
    }
    // What the service has set is no part of a file.
    for key in ["principal_id", "tenant_id"] {
        let own = before
            .get("identity")
            .and_then(|identity| identity.get(key))
            .cloned();
        if let (Some(own), Some(Value::Object(identity))) = (own, fields.get_mut("identity")) {
            identity.insert(key.to_owned(), own);
        }
    }
    put(az, fields).await
}

/// Whether computes of that type are made elsewhere and attached here.
fn is_attached(kind: &str) -> bool {
    ![CLUSTER, INSTANCE].contains(&kind)
}

async fn detach(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let found = get(az, given).await?;
    if !is_attached(&found.kind) {
        let message = format!(
            "The compute `{}` is of the type {}, which is made here and not attached",
            found.name, found.kind
        );
        let hint = format!("Delete it: az ml compute delete -n {}", found.name);
        return Err(Error::invalid(message).hint(hint).into());
    }
    delete(az, given).await
}

async fn delete(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let name = get(az, given).await?.name;
    let question = format!("Delete the compute {name}?");
    az.ctx.ui.confirm(given.switch("yes"), &question)?;
    let workspace = az.here().await?;
    az.call(&DeleteCompute { workspace, name }).await?;
    Ok(Value::Null)
}

pub async fn turn(az: &Az, given: &Given, to: Switch) -> anyhow::Result<Value> {
    let request = SwitchCompute {
        workspace: az.here().await?,
        name: given.required("name")?.to_owned(),
        to,
    };
    az.call(&request).await?;
    Ok(Value::Null)
}

async fn enable_sso(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let found = get(az, given).await?;
    if found.kind != INSTANCE {
        let error = Error::invalid(format!("`{}` is no compute instance", found.name));
        return Err(error.into());
    }
    let mut fields = writable(&found);
    fields.insert("enable_sso".to_owned(), json!(!given.switch("disable")));
    put(az, fields).await
}

fn size(size: &Size) -> Value {
    json!({
        "family": size.family,
        "gpus": size.gpus,
        "low_priority_capable": true,
        "memory_gb": size.memory_gb,
        "name": size.name,
        "premium_io": true,
        "supported_compute_types": ["AmlCompute", "ComputeInstance"],
        "v_cp_us": size.cores,
        "vCPUs": size.cores,
    })
}

async fn list_sizes(_az: &Az, _given: &Given) -> anyhow::Result<Value> {
    Ok(sizes().map(|found| size(&found)).collect())
}

/// Cores by family: those that there may be at once, of those that computes were made for.
async fn list_usage(az: &Az, _given: &Given) -> anyhow::Result<Value> {
    let workspace = az.this_workspace().await?;
    let request = ListComputes {
        workspace: workspace.name.clone(),
        kind: None,
    };
    let mut families: Vec<(String, u64, u64)> = Vec::new();
    for compute in az.call(&request).await? {
        let (Some(size), Some(slots)) = (&compute.size, compute.slots()) else {
            continue;
        };
        let least = compute.spec.get("min_instances").and_then(Value::as_u64);
        let taken = least.unwrap_or(slots) * u64::from(size.cores);
        let limit = slots * u64::from(size.cores);
        match families
            .iter_mut()
            .find(|(family, ..)| *family == size.family)
        {
            Some((_, all, most)) => {
                *all += taken;
                *most += limit;
            }
            None => families.push((size.family.clone(), taken, limit)),
        }
    }
    let one = |(family, taken, limit): &(String, u64, u64)| {
        json!({
            "aml_workspace_location": workspace.location,
            "current_value": taken,
            "id": ids::within(&workspace, &format!("usages/{family}")),
            "limit": limit,
            "name": {"localized_value": family, "value": family},
            "unit": "count",
        })
    };
    Ok(families.iter().map(one).collect())
}

/// The instances that a cluster has now: one for each job that runs there, and as many idle ones as it
/// keeps. The machine stands in for each.
async fn list_nodes(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let found = get(az, given).await?;
    if found.kind != CLUSTER {
        let error = Error::invalid(format!("`{}` is no cluster", found.name));
        return Err(error
            .hint("Only computes of type amlcompute have nodes")
            .into());
    }
    let list = ListRuns {
        workspace: az.here().await?,
        status: Some(RunStatus::Running),
        ..ListRuns::default()
    };
    let running = az.ctx.client().await?.runs(list, MOST_RUNNING).await?.items;
    let jobs: Vec<&str> = running
        .iter()
        .filter(|run| on(run, &found.name))
        .map(|run| run.name.as_str())
        .collect();
    let least = found.spec.get("min_instances").and_then(Value::as_u64);
    let least = usize::try_from(least.unwrap_or(0)).unwrap_or(0);
    let one = |number: usize| {
        let job = jobs.get(number);
        json!({
            "current_job_name": job,
            "node_id": format!("{}-{number}", found.name),
            "node_state": if job.is_some() { "running" } else { "idle" },
            "port": null,
            "private_ip_address": "127.0.0.1",
            "public_ip_address": null,
        })
    };
    Ok((0..jobs.len().max(least)).map(one).collect())
}

/// Whether a run's job names a compute.
fn on(run: &Run, compute: &str) -> bool {
    let described = run.job.as_ref().and_then(|job| job.described.as_ref());
    let named = described.and_then(|job| job.definition.get("compute")?.as_str());
    named.is_some_and(|named| {
        let name = named.strip_prefix("azureml:").unwrap_or(named);
        let name = name.rsplit('/').next().unwrap_or(name);
        name.eq_ignore_ascii_case(compute)
    })
}

//! All kinds by name, and which of them a file is.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::yaml::Node;
use kinds::{
    any::{AnyComponent, AnyJob},
    assets::{Data, DataImport, Model},
    batch::BatchDeployment,
    compute::Compute,
    connection::Connection,
    datastore::Datastore,
    environment::Environment,
    features::{FeatureSet, FeatureSetBackfill, FeatureStore, FeatureStoreEntity},
    flow::{Flow, FlowRun},
    generative::{
        CapabilityHost, DeploymentTemplate, Index, MarketplaceSubscription, ServerlessEndpoint,
    },
    schedule::Schedule,
    serving::{BatchEndpoint, ModelPackage, OnlineDeployment, OnlineEndpoint},
    shape::{Choice, Described, Mismatch, Shape},
    table::Mltable,
    workspace::{Registry, Workspace},
};

#[cfg(test)]
mod tests;

/// A kind of file, named as the command group that takes it.
#[derive(Debug)]
pub struct Kind {
    pub name: &'static str,
    /// What it is, in a line.
    pub doc: &'static str,
    pub shape: Shape,
    /// Whether the canonical form can be read into the kind's type.
    pub reads: fn(&Value) -> Result<(), Mismatch>,
    /// The same, and writes it again.
    #[cfg(test)]
    pub reread: fn(&Value) -> Result<Option<Value>, Mismatch>,
    /// The last parts of the `$schema` addresses that files of it have.
    schemas: &'static [&'static str],
    /// Keys that tell it from others when there is no `$schema`.
    marks: &'static [&'static str],
    /// Keys that a flag of the command may give instead of the file.
    pub given_by_flags: &'static [&'static str],
}

const fn kind<T: Described>(
    name: &'static str,
    doc: &'static str,
    schemas: &'static [&'static str],
    marks: &'static [&'static str],
    given_by_flags: &'static [&'static str],
) -> Kind {
    Kind {
        name,
        doc,
        shape: T::SHAPE,
        reads: reads::<T>,
        #[cfg(test)]
        reread: reread::<T>,
        schemas,
        marks,
        given_by_flags,
    }
}

const NAME: &[&str] = &["name"];

#[rustfmt::skip]
pub static KINDS: &[Kind] = &[
    kind::<AnyJob>("job", "A job of any type",
        &["commandJob", "pipelineJob", "sweepJob", "sparkJob", "autoMLJob", "finetuningJob", "distillationJob"],
        &["command", "trial", "jobs", "experiment_name", "task", "entry", "search_space"], &[]),
    kind::<AnyComponent>("component", "A component of any type",
        &["commandComponent", "pipelineComponent", "parallelComponent", "sparkComponent"],
        &["is_deterministic", "additional_includes", "version", "command", "jobs"], NAME),
    kind::<Data>("data", "A data asset", &["data"], &["path"], &["name", "path"]),
    kind::<DataImport>("data-import", "Data that is copied from elsewhere and registered",
        &["dataImport"], &["source", "path"], &["name", "path"]),
    kind::<Datastore>("datastore", "A datastore of any type",
        &["azureBlob", "azureFile", "azureDataLakeGen1", "azureDataLakeGen2", "oneLake", "hdfs"],
        &["account_name", "store_name", "name_node_address"], NAME),
    kind::<Environment>("environment", "An environment", &["environment"],
        &["image", "conda_file", "build"], NAME),
    kind::<Model>("model", "A model", &["model"], &["flavors", "stage", "path"], NAME),
    kind::<ModelPackage>("model-package", "How a model is packed with what it needs",
        &["modelVersionPackage"], &["target_environment", "inferencing_server"], &[]),
    kind::<OnlineEndpoint>("online-endpoint", "An online endpoint",
        &["managedOnlineEndpoint", "kubernetesOnlineEndpoint"],
        &["auth_mode", "traffic", "mirror_traffic"], NAME),
    kind::<OnlineDeployment>("online-deployment", "An online deployment of any type",
        &["managedOnlineDeployment", "kubernetesOnlineDeployment"],
        &["endpoint_name", "instance_type", "request_settings"], &["name", "endpoint_name"]),
    kind::<BatchEndpoint>("batch-endpoint", "A batch endpoint", &["batchEndpoint"],
        &["auth_mode", "defaults"], NAME),
    kind::<BatchDeployment>("batch-deployment", "A batch deployment of any type",
        &["batchDeployment", "modelBatchDeployment", "pipelineComponentBatchDeployment"],
        &["endpoint_name", "mini_batch_size", "output_action", "job_definition"],
        &["name", "endpoint_name", "compute"]),
    kind::<Compute>("compute", "A compute of any type",
        &["amlCompute", "computeInstance", "vmCompute", "kubernetesCompute", "synapseSparkCompute"],
        &["size", "min_instances", "max_instances", "resource_id"], NAME),
    kind::<Schedule>("schedule", "A schedule of jobs, imports or monitors",
        &["schedule", "monitorSchedule", "importDataSchedule"],
        &["trigger", "create_job", "create_monitor", "import_data"], NAME),
    kind::<Workspace>("workspace", "A workspace, hub or project", &["workspace", "hub", "project"],
        &["hbi_workspace", "managed_network", "storage_account", "key_vault", "container_registry"], NAME),
    kind::<Connection>("connection", "A connection of any type", &["connection", "workspaceConnection"],
        &["credentials", "target", "api_key"], NAME),
    kind::<Registry>("registry", "A registry", &["registry"], &["replication_locations"], NAME),
    kind::<ServerlessEndpoint>("serverless-endpoint", "A model of the catalogue, paid by use",
        &["serverlessEndpoint"], &["model_id"], NAME),
    kind::<MarketplaceSubscription>("marketplace-subscription", "The right to use a model of the catalogue",
        &["marketplaceSubscription"], &["model_id"], NAME),
    kind::<FeatureStore>("feature-store", "A workspace for features", &["featureStore"],
        &["offline_store", "online_store", "compute_runtime"], NAME),
    kind::<FeatureSet>("feature-set", "Features that are computed together", &["featureSet", "featureset"],
        &["specification", "entities"], NAME),
    kind::<FeatureStoreEntity>("feature-store-entity", "What features belong to",
        &["featureStoreEntity"], &["index_columns"], NAME),
    kind::<FeatureSetBackfill>("feature-set-backfill", "Computes the features of a time that has passed",
        &["featureSetBackfill"], &["feature_window", "data_status"], NAME),
    kind::<Index>("index", "An index for search", &["index"], &["path", "stage"], NAME),
    kind::<CapabilityHost>("capability-host", "A capability host", &["capabilityHost"],
        &["capability_host_kind", "storage_connections"], NAME),
    kind::<DeploymentTemplate>("deployment-template", "How models of a registry are deployed",
        &["deploymentTemplate"], &["deployment_template_type", "allowed_instance_types"], NAME),
    kind::<Flow>("flow", "A prompt flow", &["flow"], &["nodes", "node_variants"], &[]),
    kind::<FlowRun>("flow-run", "A run of a prompt flow", &["run"], &["flow", "column_mapping"], &[]),
    kind::<Mltable>("mltable", "Which files make a table", &["mltable"],
        &["paths", "transformations"], &[]),
];

fn reads<T: Described>(value: &Value) -> Result<(), Mismatch> {
    T::read(Some(value)).map(drop)
}

#[cfg(test)]
fn reread<T: Described>(value: &Value) -> Result<Option<Value>, Mismatch> {
    T::read(Some(value)).map(|read| read.write())
}

/// Keys that many kinds have: right as they are, and tell nothing.
const OF_MANY: [&str; 7] = [
    "name",
    "version",
    "type",
    "description",
    "display_name",
    "tags",
    "properties",
];

/// The key nearest to this one of those that tell kinds apart, with the first kind that it tells.
pub fn nearest_mark(key: &str) -> Option<(&'static str, &'static str)> {
    if OF_MANY.contains(&key) {
        return None;
    }
    let marks = || {
        KINDS
            .iter()
            .flat_map(|kind| kind.marks.iter().map(|mark| (kind.name, *mark)))
    };
    let nearest = api::names::nearest(key, marks().map(|(_, mark)| mark))?;
    marks().find(|(_, mark)| *mark == nearest)
}

/// The kind of that name.
pub fn named(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

/// The kinds that a file may be, the likeliest first: by its `$schema`, else by its keys. None for a
/// file that has neither.
pub fn candidates(root: &Node) -> Vec<&'static Kind> {
    if let Some(schema) = root.get("$schema").and_then(Node::as_str) {
        let last = schema.trim().rsplit('/').next().unwrap_or_default();
        let stem = last.split('.').next().unwrap_or_default();
        let has = |kind: &&Kind| {
            let mut schemas = kind.schemas.iter();
            schemas.any(|known| known.eq_ignore_ascii_case(stem))
        };
        if let Some(kind) = KINDS.iter().find(has) {
            return vec![kind];
        }
    }
    let ranked = |score: fn(&Kind, &Node) -> usize| {
        let kinds = KINDS.iter().map(|kind| (score(kind, root), kind));
        let mut scored: Vec<_> = kinds.filter(|(score, _)| *score > 0).collect();
        scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        scored.into_iter().map(|(_, kind)| kind).collect::<Vec<_>>()
    };
    match ranked(Kind::score) {
        // It has the keys of a kind and a `type` that is nearly one: that is what is wrong with it.
        none if none.is_empty() => ranked(Kind::score_of_near_type),
        kinds => kinds,
    }
}

/// The keys below which some kind holds secrets.
pub fn secret_keys() -> BTreeSet<&'static str> {
    let kinds = KINDS.iter().flat_map(|kind| kind.shape.secret_keys());
    kinds.chain(["credentials"]).collect()
}

/// Whether a text has one of these keys.
pub fn names_secret(text: &str) -> bool {
    let keys = secret_keys();
    // A key stands before a colon, perhaps in quotes.
    text.split(':').any(|before| {
        let before = before.trim_end().trim_end_matches(['"', '\'']);
        let mut words = before.rsplit(|c: char| !c.is_alphanumeric() && c != '_');
        words.next().is_some_and(|word| keys.contains(word))
    })
}

impl Kind {
    /// How much of a file speaks for the kind; nothing if its `type` is none of the kind's.
    fn score(&self, root: &Node) -> usize {
        let given = root.get("type").filter(|value| value.as_str().is_some());
        let choices = type_choices(&self.shape);
        let of_type = match given {
            Some(value) if !choices.is_empty() => {
                if !choices
                    .iter()
                    .any(|choice| choice.find(&value.text).is_some())
                {
                    return 0;
                }
                2
            }
            _ => 0,
        };
        of_type + self.score_of_keys(root)
    }

    /// The same of a file whose `type` is nearly one of the kind's, by its keys alone.
    fn score_of_near_type(&self, root: &Node) -> usize {
        let given = root.get("type").and_then(Node::as_str);
        let near = given.is_some_and(|given| {
            let choices = type_choices(&self.shape);
            let words = choices.iter().flat_map(|choice| choice.words);
            api::names::nearest(given, words.copied()).is_some()
        });
        if near { self.score_of_keys(root) } else { 0 }
    }

    fn score_of_keys(&self, root: &Node) -> usize {
        let found = self.marks.iter().filter(|mark| root.get(mark).is_some());
        let ports = self.name == "component" && has_ports(root);
        found.count() + if ports { 3 } else { 0 }
    }
}

fn type_choices(shape: &Shape) -> Vec<&'static Choice> {
    match shape {
        Shape::Record(record) => {
            let choice = record().choice("type");
            choice.into_iter().map(|(choice, _)| choice).collect()
        }
        Shape::Union(union) => union.flat().iter().flat_map(type_choices).collect(),
        _ => Vec::new(),
    }
}

/// A component says what its inputs are; a job gives them.
fn has_ports(root: &Node) -> bool {
    let inputs = root.get("inputs").map(Node::entries).unwrap_or_default();
    let is_port = |port: &Node| port.get("type").is_some() && port.get("path").is_none();
    !inputs.is_empty() && inputs.iter().all(|entry| is_port(&entry.value))
}

//! All kinds by name, and which of them a file is.

use serde_json::Value;

use super::{
    assets::{Data, DataImport, Model},
    component::CommandComponent,
    compute::Compute,
    datastore::Datastore,
    environment::Environment,
    job::CommandJob,
    serving::{BatchEndpoint, ModelPackage, OnlineDeployment, OnlineEndpoint},
    workspace::{Registry, Workspace},
};
use crate::spec::{
    shape::{Described, Mismatch, Shape},
    yaml::Node,
};

/// A kind of file, named as the command group that takes it.
#[derive(Debug)]
pub struct Kind {
    pub name: &'static str,
    /// Whether it is one of them, for lists and schemas: `A job of any type`.
    pub doc: &'static str,
    pub shape: Shape,
    /// Reads the canonical form into the kind's type and writes it again.
    pub reread: fn(&Value) -> Result<Option<Value>, Mismatch>,
    /// The last parts of the `$schema` addresses that files of it have.
    schemas: &'static [&'static str],
    /// Keys that tell it from others when there is no `$schema`.
    marks: &'static [&'static str],
    /// Keys that a flag of the command may give instead of the file.
    pub given_by_flags: &'static [&'static str],
}

pub static KINDS: &[Kind] = &[
    Kind {
        name: "job",
        doc: "A job of any type",
        shape: CommandJob::SHAPE,
        reread: reread::<CommandJob>,
        schemas: &["commandJob"],
        marks: &["command"],
        given_by_flags: &[],
    },
    Kind {
        name: "component",
        doc: "A component of any type",
        shape: CommandComponent::SHAPE,
        reread: reread::<CommandComponent>,
        schemas: &["commandComponent"],
        marks: &["is_deterministic"],
        given_by_flags: &["name"],
    },
    Kind {
        name: "data",
        doc: "A data asset",
        shape: Data::SHAPE,
        reread: reread::<Data>,
        schemas: &["data"],
        marks: &["path"],
        given_by_flags: &["name", "path"],
    },
    Kind {
        name: "data-import",
        doc: "Data that is copied from elsewhere and registered",
        shape: DataImport::SHAPE,
        reread: reread::<DataImport>,
        schemas: &["dataImport"],
        marks: &["source"],
        given_by_flags: &["name", "path"],
    },
    Kind {
        name: "datastore",
        doc: "A datastore of any type",
        shape: Datastore::SHAPE,
        reread: reread::<Datastore>,
        schemas: &[
            "azureBlob",
            "azureFile",
            "azureDataLakeGen1",
            "azureDataLakeGen2",
            "oneLake",
            "hdfs",
        ],
        marks: &["account_name", "store_name", "name_node_address"],
        given_by_flags: &["name"],
    },
    Kind {
        name: "environment",
        doc: "An environment",
        shape: Environment::SHAPE,
        reread: reread::<Environment>,
        schemas: &["environment"],
        marks: &["image", "conda_file", "build"],
        given_by_flags: &["name"],
    },
    Kind {
        name: "model",
        doc: "A model",
        shape: Model::SHAPE,
        reread: reread::<Model>,
        schemas: &["model"],
        marks: &["flavors"],
        given_by_flags: &["name"],
    },
    Kind {
        name: "model-package",
        doc: "How a model is packed with what it needs",
        shape: ModelPackage::SHAPE,
        reread: reread::<ModelPackage>,
        schemas: &["modelVersionPackage"],
        marks: &["target_environment", "inferencing_server"],
        given_by_flags: &[],
    },
    Kind {
        name: "online-endpoint",
        doc: "An online endpoint",
        shape: OnlineEndpoint::SHAPE,
        reread: reread::<OnlineEndpoint>,
        schemas: &["managedOnlineEndpoint", "kubernetesOnlineEndpoint"],
        marks: &["auth_mode", "traffic", "mirror_traffic"],
        given_by_flags: &["name"],
    },
    Kind {
        name: "online-deployment",
        doc: "An online deployment of any type",
        shape: OnlineDeployment::SHAPE,
        reread: reread::<OnlineDeployment>,
        schemas: &["managedOnlineDeployment", "kubernetesOnlineDeployment"],
        marks: &["endpoint_name", "instance_type", "request_settings"],
        given_by_flags: &["name", "endpoint_name"],
    },
    Kind {
        name: "batch-endpoint",
        doc: "A batch endpoint",
        shape: BatchEndpoint::SHAPE,
        reread: reread::<BatchEndpoint>,
        schemas: &["batchEndpoint"],
        marks: &["auth_mode", "defaults"],
        given_by_flags: &["name"],
    },
    Kind {
        name: "compute",
        doc: "A compute of any type",
        shape: Compute::SHAPE,
        reread: reread::<Compute>,
        schemas: &[
            "amlCompute",
            "computeInstance",
            "vmCompute",
            "kubernetesCompute",
            "synapseSparkCompute",
        ],
        marks: &["size", "min_instances", "max_instances"],
        given_by_flags: &["name"],
    },
    Kind {
        name: "workspace",
        doc: "A workspace, hub or project",
        shape: Workspace::SHAPE,
        reread: reread::<Workspace>,
        schemas: &["workspace", "hub", "project"],
        marks: &[
            "hbi_workspace",
            "managed_network",
            "storage_account",
            "key_vault",
        ],
        given_by_flags: &["name"],
    },
    Kind {
        name: "registry",
        doc: "A registry",
        shape: Registry::SHAPE,
        reread: reread::<Registry>,
        schemas: &["registry"],
        marks: &["replication_locations"],
        given_by_flags: &["name"],
    },
];

fn reread<T: Described>(value: &Value) -> Result<Option<Value>, Mismatch> {
    T::read(Some(value)).map(|read| read.write())
}

/// The kind of that name.
pub fn named(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

/// The kinds that a file may be, the likeliest first: by its `$schema`, else by its keys.
pub fn candidates(root: &Node) -> Vec<&'static Kind> {
    if let Some(schema) = root.get("$schema").and_then(Node::as_str) {
        let last = schema.trim().rsplit('/').next().unwrap_or_default();
        let stem = last.split('.').next().unwrap_or_default();
        let has = |kind: &&Kind| {
            kind.schemas
                .iter()
                .any(|known| known.eq_ignore_ascii_case(stem))
        };
        if let Some(kind) = KINDS.iter().find(has) {
            return vec![kind];
        }
    }
    let marks = |kind: &Kind| {
        let found = kind.marks.iter().filter(|mark| root.get(mark).is_some());
        found.count()
    };
    let mut kinds: Vec<&'static Kind> = KINDS.iter().filter(|kind| marks(kind) > 0).collect();
    kinds.sort_by_key(|kind| std::cmp::Reverse(marks(kind)));
    if kinds.is_empty() {
        kinds = KINDS.iter().collect();
    }
    kinds
}

//! Feature stores, feature sets and entities.

use serde_json::Value;

use crate::{
    declare::{record, words},
    described::{Map, Required, Scalar, Version},
    reference::{ArmId, DataPath},
    schedule::Recurrence,
    workspace::{
        CustomerManagedKey, ManagedNetwork, NamedIdentity, PublicAccess, WorkspaceIdentity,
    },
};

record! {
    /// A workspace for features.
    FeatureStore = "feature store" {
        name: String,
        display_name: Option<String>,
        description: Option<String>,
        tags: Map<Scalar>,
        location: Option<String>,
        resource_group: Option<String>,
        compute_runtime: Option<ComputeRuntime>,
        offline_store: Option<MaterializationStore>,
        online_store: Option<MaterializationStore>,
        materialization_identity: Option<NamedIdentity>,
        hbi_workspace: Option<bool>,
        storage_account: Option<ArmId>,
        container_registry: Option<ArmId>,
        key_vault: Option<ArmId>,
        application_insights: Option<ArmId>,
        customer_managed_key: Option<CustomerManagedKey>,
        image_build_compute: Option<String>,
        public_network_access: Option<PublicAccess>,
        identity: Option<WorkspaceIdentity>,
        primary_user_assigned_identity: Option<String>,
        managed_network: Option<ManagedNetwork>,
    }

    ComputeRuntime = "compute runtime" { spark_runtime_version: Option<Scalar>, }

    MaterializationStore = "materialization store" {
        r#type: String,
        target: String,
    }

    /// Features that are computed together.
    FeatureSet = "feature set" (read_only: &["latest_version", "resourceGroup"]) {
        name: String,
        version: Version,
        specification: FeatureSetSpecification,
        /// The entities whose features these are.
        entities: Required<Vec<String>>,
        stage: Stage = "Development",
        description: Option<String>,
        tags: Map<Scalar>,
        materialization_settings: Option<Materialization>,
    }

    FeatureSetSpecification = "specification" {
        /// The folder of the specification.
        path: DataPath,
    }

    Materialization = "materialization settings" {
        schedule: Option<Recurrence>,
        notification: Option<Notification>,
        resource: Option<MaterializationResource>,
        spark_configuration: Map<Value>,
        offline_enabled: Option<bool>,
        online_enabled: Option<bool>,
    }

    Notification = "notification" {
        email_on: Required<Vec<NotificationEvent>>,
        emails: Required<Vec<String>>,
    }

    MaterializationResource = "resource" { instance_type: Option<String>, }

    /// What features belong to.
    FeatureStoreEntity = "feature store entity" (read_only: &["latest_version", "resourceGroup"]) {
        name: String,
        version: Version,
        index_columns: Required<Vec<IndexColumn>>,
        stage: Stage = "Development",
        description: Option<String>,
        tags: Map<Scalar>,
        properties: Map<Scalar>,
    }

    IndexColumn = "index column" {
        name: String,
        r#type: String,
    }

    /// Computes the features of a time that has passed.
    FeatureSetBackfill = "backfill" {
        name: String,
        version: Version,
        feature_window: Option<FeatureWindow>,
        description: Option<String>,
        tags: Map<Scalar>,
        resource: Option<MaterializationResource>,
        spark_configuration: Map<Value>,
        data_status: Vec<String>,
        job_id: Option<String>,
    }

    FeatureWindow = "feature window" {
        feature_window_start: Option<String>,
        feature_window_end: Option<String>,
    }
}

words! {
    Stage = "a stage" ["Development", "Production", "Archived"]
    NotificationEvent = "an event" ["JobCompleted", "JobFailed", "JobCancelled"]
}

//! Workspaces, hubs, projects and registries.

use serde_json::Value;

use crate::{
    compute::IdentityType,
    declare::{choice, record, union, words},
    described::{Map, Scalar},
    reference::{ArmId, Url},
};

record! {
    /// A workspace, hub or project.
    Workspace = "workspace" (read_only: &[
        "id", "mlflow_tracking_uri", "associated_workspaces", "provisioning_state", "sku", "workspace_id",
        "resourceGroup",
    ]) {
        name: String,
        /// Absent: a plain workspace.
        kind: Option<WorkspaceKind>,
        location: Option<String>,
        display_name: Option<String>,
        description: Option<String>,
        tags: Map<Scalar>,
        resource_group: Option<String>,
        discovery_url: Option<String>,
        /// Keep data of high business impact.
        hbi_workspace: Option<bool>,
        /// ARM id of an existing storage account.
        storage_account: Option<ArmId>,
        container_registry: Option<ArmId>,
        key_vault: Option<ArmId>,
        application_insights: Option<ArmId>,
        customer_managed_key: Option<CustomerManagedKey>,
        image_build_compute: Option<String>,
        public_network_access: Option<PublicAccess>,
        network_acls: Option<NetworkAcls>,
        system_datastores_auth_mode: Option<String>,
        identity: Option<WorkspaceIdentity>,
        primary_user_assigned_identity: Option<String>,
        workspace_hub: Option<ArmId>,
        /// ARM id of the hub of a project.
        hub_id: Option<String>,
        default_resource_group: Option<String>,
        managed_network: Option<ManagedNetwork>,
        provision_network_now: Option<bool>,
        enable_data_isolation: Option<bool>,
        allow_roleassignment_on_rg: Option<bool>,
        serverless_compute: Option<ServerlessCompute>,
    }

    CustomerManagedKey = "customer managed key" {
        key_vault: Option<String>,
        key_uri: Option<Url>,
        cosmosdb_id: Option<String>,
        storage_id: Option<String>,
        search_id: Option<String>,
    }

    NetworkAcls = "network rules" {
        default_action: String,
        ip_rules: Vec<IpRule>,
    }

    IpRule = "IP rule" { value: String, }

    WorkspaceIdentity = "identity" {
        r#type: Option<IdentityType>,
        principal_id: Option<String>,
        tenant_id: Option<String>,
        user_assigned_identities: Map<Option<NamedIdentity>>,
    }

    NamedIdentity = "user assigned identity" {
        principal_id: Option<String>,
        client_id: Option<String>,
        resource_id: Option<String>,
    }

    ManagedNetwork = "managed network" (read_only: &["network_id"], open: true) {
        isolation_mode: Option<IsolationMode>,
        outbound_rules: Vec<OutboundRule>,
        firewall_sku: Option<FirewallSku>,
        status: Option<Value>,
    }

    FqdnRule = "outbound rule" (
        read_only: &["parent_rule_names", "category", "status"], open: true,
    ) {
        name: String,
        r#type: FqdnType,
        destination: String,
    }

    PrivateEndpointRule = "outbound rule" (
        read_only: &["parent_rule_names", "category", "status"], open: true,
    ) {
        name: String,
        r#type: PrivateEndpointType,
        destination: PrivateEndpointDestination,
        fqdns: Vec<String>,
    }

    ServiceTagRule = "outbound rule" (
        read_only: &["parent_rule_names", "category", "status"], open: true,
    ) {
        name: String,
        r#type: ServiceTagType,
        destination: ServiceTagDestination,
    }

    PrivateEndpointDestination = "destination" {
        service_resource_id: String,
        subresource_target: String,
        spark_enabled: bool,
    }

    ServiceTagDestination = "destination" {
        service_tag: String,
        protocol: String,
        port_ranges: Scalar,
        address_prefixes: Vec<String>,
    }

    ServerlessCompute = "serverless compute" {
        custom_subnet: Option<String>,
        no_public_ip: bool = false,
    }

    /// Assets shared between workspaces.
    Registry = "registry" (read_only: &[
        "identity", "kind", "sku", "managed_resource_group", "mlflow_registry_uri", "discovery_url",
        "display_name", "resourceGroup",
    ]) {
        name: String,
        location: String,
        description: Option<String>,
        tags: Map<Scalar>,
        public_network_access: Option<PublicAccess>,
        replication_locations: Vec<Region>,
        intellectual_property: Option<Publisher>,
        container_registry: Option<ContainerRegistry>,
        id: Option<String>,
    }

    Region = "region" {
        location: Option<String>,
        storage_config: Option<StorageConfig>,
    }

    NewStorage = "storage" (read_only: &["arm_resource_id", "replicated_ids"]) {
        storage_account_hns: bool = false,
        storage_account_type: StorageType = "standard_lrs",
        replication_count: i64 = 1,
    }

    Publisher = "publisher" { publisher: Option<String>, }

    NewContainerRegistry = "container registry" (read_only: &["arm_resource_id"]) {
        acr_account_sku: Option<AcrSku>,
    }
}

union! {
    OutboundRule = "an outbound rule (`type: fqdn`, `private_endpoint` or `service_tag`)" {
        PrivateEndpoint(PrivateEndpointRule),
        ServiceTag(ServiceTagRule),
        Fqdn(FqdnRule),
    }

    StorageConfig = "storage (a mapping, or a list of ARM ids)" {
        New(NewStorage),
        Existing(Vec<String>),
    }

    ContainerRegistry = "a container registry (a mapping, or an ARM id)" {
        New(NewContainerRegistry),
        Existing(String),
    }
}

choice! {
    WorkspaceKind = "a kind of workspace" {
        Default = "default",
        Hub = "hub",
        Project = "project",
    }

    PublicAccess = "an access" {
        Enabled = "enabled",
        Disabled = "disabled",
    }
}

words! {
    IsolationMode = "an isolation mode" [
        "disabled", "allow_internet_outbound", "allow_only_approved_outbound",
    ]
    FirewallSku = "a kind of firewall" ["standard", "basic"]
    FqdnType = "a type of outbound rule" ["fqdn"]
    PrivateEndpointType = "a type of outbound rule" ["private_endpoint"]
    ServiceTagType = "a type of outbound rule" ["service_tag"]
    AcrSku = "a kind of container registry" ["premium"]
    StorageType = "a type of storage" [
        "standard_lrs", "standard_grs", "standard_ragrs", "standard_zrs", "standard_gzrs",
        "standard_ragzrs", "premium_lrs", "premium_zrs",
    ]
}

//! Online endpoints and deployments, batch endpoints, and model packages.

use serde_json::{Map as Object, Value};

use crate::{
    assets::InlineModel,
    declare::{choice, record, union, words},
    described::{Map, Scalar, Within},
    environment::{EnvironmentSource, Route},
    reference::{ComputeName, EndpointName, ModelName},
    shape::{Fault, Wrong},
};
use api::deployments::MOST_INSTANCES;

record! {
    /// What every endpoint may say.
    EndpointBase = "endpoint" (read_only: &["kind", "resourceGroup"]) {
        name: EndpointName,
        description: Option<String>,
        tags: Map<Scalar>,
        properties: Map<Scalar>,
        identity: Option<EndpointIdentity>,
        id: Option<String>,
        location: Option<String>,
        provisioning_state: Option<String>,
        scoring_uri: Option<String>,
        openapi_uri: Option<String>,
    }

    /// An address that answers requests at once.
    OnlineEndpoint = "online endpoint" (rule: Some(check_traffic), in_parts: true) {
        ..base: EndpointBase,
        auth_mode: AuthMode = "key",
        /// Percent of the requests that each deployment gets.
        traffic: Map<Percent>,
        /// Percent of the requests that are copied to a deployment.
        mirror_traffic: Map<Percent>,
        public_network_access: Option<NetworkAccess>,
        /// The Kubernetes compute that serves it.
        compute: Option<ComputeName>,
    }

    /// An address that scores folders of data.
    BatchEndpoint = "batch endpoint" {
        ..base: EndpointBase,
        auth_mode: AuthMode = "aad_token",
        defaults: Option<BatchDefaults>,
    }

    BatchDefaults = "defaults" {
        /// The deployment that runs when none is named.
        deployment_name: Option<String>,
    }

    EndpointIdentity = "identity" {
        r#type: Option<EndpointIdentityType>,
        principal_id: Option<String>,
        tenant_id: Option<String>,
        user_assigned_identities: Vec<Map<String>>,
    }

    /// What every deployment may say.
    DeploymentBase = "deployment" (read_only: &["creation_context", "resourceGroup"]) {
        name: String,
        /// The endpoint it belongs to.
        endpoint_name: String,
        description: Option<String>,
        tags: Map<Scalar>,
        properties: Map<Scalar>,
        model: Option<ModelSource>,
        /// The script that loads the model and answers.
        code_configuration: Option<CodeConfiguration>,
        environment: Option<EnvironmentSource>,
        environment_variables: Map<Scalar>,
        id: Option<String>,
        provisioning_state: Option<String>,
    }

    /// What every online deployment may say.
    OnlineDeploymentBase = "online deployment" {
        ..base: DeploymentBase,
        app_insights_enabled: bool = false,
        scale_settings: Option<ScaleSettings>,
        request_settings: Option<RequestSettings>,
        liveness_probe: Option<Probe>,
        readiness_probe: Option<Probe>,
        /// How many processes answer.
        instance_count: Option<Instances>,
        /// Where the model is mounted in a container.
        model_mount_path: Option<String>,
        data_collector: Option<DataCollector>,
    }

    /// A model that answers requests.
    ManagedOnlineDeployment = "online deployment" {
        ..base: OnlineDeploymentBase,
        r#type: ManagedType = "managed",
        /// The size of the machines, such as `Standard_DS3_v2`.
        instance_type: String,
        egress_public_network_access: Option<NetworkAccess>,
        private_network_connection: Option<bool>,
    }

    /// A model that answers requests on Kubernetes.
    KubernetesOnlineDeployment = "Kubernetes online deployment" {
        ..base: OnlineDeploymentBase,
        r#type: KubernetesType,
        instance_type: Option<String>,
        resources: Option<ResourceRequirements>,
    }

    /// The script that loads the model and answers.
    CodeConfiguration = "code configuration" {
        /// The folder of the script.
        code: Option<crate::reference::DataPath>,
        /// The script, from the folder.
        scoring_script: Option<String>,
    }

    RequestSettings = "request settings" {
        request_timeout_ms: Option<i64>,
        max_concurrent_requests_per_instance: Option<i64>,
        max_queue_wait_ms: Option<i64>,
    }

    /// How it is asked whether it is well; times in seconds.
    Probe = "probe" {
        initial_delay: Option<i64>,
        period: Option<i64>,
        timeout: Option<i64>,
        success_threshold: Option<i64>,
        failure_threshold: Option<i64>,
    }

    DefaultScale = "scale settings" { r#type: DefaultScaleType, }

    /// As many instances as the load asks for.
    TargetUtilization = "scale settings" {
        r#type: TargetUtilizationType,
        min_instances: Option<i64>,
        max_instances: Option<i64>,
        /// Seconds between two looks.
        polling_interval: Option<i64>,
        target_utilization_percentage: Option<i64>,
    }

    /// Which requests and answers are kept.
    DataCollector = "data collector" {
        collections: Map<Collection>,
        rolling_rate: Option<RollingRate>,
        /// Between 0 and 1.
        sampling_rate: Option<f64>,
        request_logging: Option<RequestLogging>,
    }

    Collection = "collection" {
        enabled: TrueOrFalse,
        data: Option<CollectionData>,
        client_id: Option<String>,
    }

    CollectionAsset = "data of a collection" {
        name: Option<String>,
        path: Option<String>,
        version: Option<String>,
        data_id: Option<String>,
    }

    RequestLogging = "request logging" { capture_headers: Vec<String>, }

    ResourceRequirements = "resources" {
        requests: Option<ResourceAmounts>,
        limits: Option<ResourceAmounts>,
    }

    ResourceAmounts = "resources" {
        cpu: Option<String>,
        memory: Option<String>,
        gpu: Option<String>,
    }

    /// How a model is packed with what it needs.
    ModelPackage = "model package" {
        target_environment: Option<TargetEnvironment>,
        inferencing_server: Option<InferenceServer>,
        base_environment_source: Option<BaseEnvironment>,
        model_configuration: Option<ModelConfiguration>,
        inputs: Vec<PackageInput>,
        tags: Map<Scalar>,
        environment_variables: Map<Scalar>,
    }

    PackageName = "environment name" (open: true) { name: Option<String>, }

    BaseEnvironment = "base environment" {
        r#type: Option<String>,
        resource_id: Option<String>,
    }

    InferenceServer = "inference server" {
        r#type: ServerType,
        code_configuration: Option<CodeConfiguration>,
        inference_configuration: Option<InferenceConfiguration>,
    }

    InferenceConfiguration = "inference configuration" {
        liveness_route: Option<Route>,
        readiness_route: Option<Route>,
        scoring_route: Option<Route>,
        entry_script: Option<String>,
        configuration: Map<Value>,
    }

    ModelConfiguration = "model configuration" {
        mode: Option<CopyMode>,
        mount_path: Option<String>,
    }

    PackageInput = "package input" {
        r#type: Option<PackageInputType>,
        mode: Option<PackageInputMode>,
        path: Option<PackageInputPath>,
        mount_path: Option<String>,
    }

    PackageInputPath = "path of a package input" {
        input_path_type: Option<PackagePathType>,
        resource_id: Option<String>,
        url: Option<String>,
        resource_name: Option<String>,
        resource_version: Option<String>,
    }
}

union! {
    /// A model that answers requests.
    OnlineDeployment = "an online deployment" (default_type: Some("managed")) {
        Managed(Box<ManagedOnlineDeployment>),
        Kubernetes(Box<KubernetesOnlineDeployment>),
    }

    /// A registered model by name, or one written here.
    ModelSource = "a model (`azureml:NAME:VERSION`, or a mapping)" {
        Name(ModelName),
        Inline(Box<InlineModel>),
    }

    ScaleSettings = "scale settings" {
        Default(DefaultScale),
        TargetUtilization(TargetUtilization),
    }

    CollectionData = "data of a collection" {
        Name(String),
        Asset(CollectionAsset),
    }

    TargetEnvironment = "the name of an environment" {
        Name(String),
        Named(PackageName),
    }
}

/// A share of the requests.
pub type Percent = Within<0, 100>;
/// How many processes a deployment may have.
pub type Instances = Within<1, { MOST_INSTANCES as i64 }>;

choice! {
    AuthMode = "a way of authentication" {
        Key = "key",
        AmlToken = "aml_token",
        AadToken = "aad_token",
    }

    NetworkAccess = "an access" {
        Enabled = "enabled",
        Disabled = "disabled",
    }

    TrueOrFalse = "`true` or `false`" {
        True = "true",
        False = "false",
    }

    RollingRate = "a rate" {
        Minute = "minute",
        Hour = "hour",
        Day = "day",
    }
}

words! {
    EndpointIdentityType = "a type of identity" ["system_assigned", "user_assigned", "none"]
    ManagedType = "a type of online deployment" ["managed"]
    KubernetesType = "a type of online deployment" ["kubernetes"]
    DefaultScaleType = "a type of scale settings" ["default"]
    TargetUtilizationType = "a type of scale settings" ["target_utilization"]
    ServerType = "a type of inference server" [
        "azureml_online", "azureml_batch", "triton", "custom",
    ]
    CopyMode = "a mode" ["copy", "download"]
    PackageInputType = "a type of input" ["uri_file", "uri_folder"]
    PackageInputMode = "a mode of an input" ["read_only_mount", "download"]
    PackagePathType = "a type of path" ["path_id", "url", "path_version"]
}

/// The shares of an endpoint are a whole or nothing. One that is wrong was reported, and what they add up
/// to is not known.
fn check_traffic(endpoint: &Object<String, Value>) -> Vec<Wrong> {
    let traffic = endpoint.get("traffic").and_then(Value::as_object);
    let percent = traffic.into_iter().flat_map(Object::values);
    let sum: Option<i64> = percent.map(Value::as_i64).sum();
    match sum {
        None | Some(0 | 100) => Vec::new(),
        Some(sum) => {
            let fault = Fault::new(format!(
                "The traffic adds up to {sum} percent, not 100 or 0"
            ));
            let fault = fault.hint("Let the shares make 100 together, such as 90 and 10");
            vec![Wrong::at(["traffic"], fault)]
        }
    }
}

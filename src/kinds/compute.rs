//! Computes: where jobs run.

use serde_json::Value;

use crate::{
    declare::{choice, record, union, words},
    described::{Map, Scalar},
    reference::Secret,
    schedule::CronExpression,
    time_zone::TimeZone,
};

record! {
    /// What every compute may say.
    ComputeBase = "compute" (secret: true, read_only: &[
        "id", "provisioning_errors", "provisioning_state", "created_on", "compute_location", "resourceGroup",
    ]) {
        /// The name that jobs use: `azureml:NAME`.
        name: String,
        description: Option<String>,
        location: Option<String>,
        tags: Map<Scalar>,
    }

    /// Nodes that come and go with the work.
    AmlCompute = "compute cluster" {
        ..base: ComputeBase,
        r#type: AmlComputeType,
        /// The size of the nodes, such as `Standard_DS3_v2`.
        size: Option<String>,
        tier: Option<Tier>,
        min_instances: i64 = 0,
        max_instances: i64 = 4,
        /// Seconds after which an idle node goes.
        idle_time_before_scale_down: i64 = 120,
        ssh_public_access_enabled: Option<bool>,
        ssh_settings: Option<ClusterSsh>,
        network_settings: Option<Network>,
        identity: Option<ComputeIdentity>,
        enable_node_public_ip: bool = true,
        resource_id: Option<String>,
    }

    /// A machine of one person.
    ComputeInstance = "compute instance" (read_only: &[
        "state", "last_operation", "services", "os_image_metadata",
    ]) {
        ..base: ComputeBase,
        r#type: ComputeInstanceType,
        /// The size of the machine, such as `Standard_DS3_v2`.
        size: Option<String>,
        /// When it is started and stopped.
        schedules: Option<ComputeSchedules>,
        setup_scripts: Option<SetupScripts>,
        custom_applications: Vec<CustomApplication>,
        create_on_behalf_of: Option<OnBehalfOf>,
        /// Such as `PT30M`.
        idle_time_before_shutdown: Option<String>,
        idle_time_before_shutdown_minutes: Option<i64>,
        network_settings: Option<Network>,
        ssh_settings: Option<InstanceSsh>,
        ssh_public_access_enabled: Option<bool>,
        identity: Option<ComputeIdentity>,
        enable_node_public_ip: bool = true,
        enable_sso: bool = true,
        enable_root_access: bool = true,
        release_quota_on_stop: Option<bool>,
        enable_os_patching: Option<bool>,
        resource_id: Option<String>,
    }

    /// A machine that exists already.
    VirtualMachine = "virtual machine" {
        ..base: ComputeBase,
        r#type: VirtualMachineType,
        resource_id: String,
        ssh_settings: Option<MachineSsh>,
    }

    /// A Kubernetes cluster.
    KubernetesCompute = "Kubernetes compute" {
        ..base: ComputeBase,
        r#type: KubernetesComputeType,
        resource_id: Option<String>,
        namespace: String,
        properties: Map<Value>,
        identity: Option<ComputeIdentity>,
    }

    /// A Spark pool.
    SynapseSpark = "Spark pool" (read_only: &[
        "node_family", "node_size", "node_count", "spark_version",
    ]) {
        ..base: ComputeBase,
        r#type: SynapseSparkType,
        resource_id: String,
        identity: Option<ComputeIdentity>,
        scale_settings: Option<SparkScale>,
        auto_pause_settings: Option<SparkPause>,
    }

    SparkScale = "scale settings" (read_only: &[
        "min_node_count", "max_node_count", "auto_scale_enabled",
    ]) {}

    SparkPause = "auto pause settings" (read_only: &["delay_in_minutes", "auto_pause_enabled"]) {}

    ClusterSsh = "SSH settings" {
        admin_username: Option<String>,
        admin_password: Option<Secret>,
        ssh_key_value: Option<String>,
    }

    InstanceSsh = "SSH settings" (read_only: &["admin_username", "ssh_port"]) {
        ssh_key_value: Option<String>,
    }

    MachineSsh = "SSH settings" {
        admin_username: Option<String>,
        admin_password: Option<Secret>,
        ssh_port: Option<i64>,
        ssh_private_key_file: Option<String>,
    }

    Network = "network settings" (read_only: &["public_ip_address", "private_ip_address"]) {
        vnet_name: Option<String>,
        subnet: Option<String>,
    }

    ComputeIdentity = "identity" (read_only: &["principal_id", "tenant_id"]) {
        r#type: Option<IdentityType>,
        user_assigned_identities: Vec<UserAssignedIdentity>,
    }

    UserAssignedIdentity = "user assigned identity" (read_only: &[
        "principal_id", "client_id", "tenant_id",
    ]) {
        resource_id: Option<String>,
    }

    OnBehalfOf = "owner" {
        user_tenant_id: Option<String>,
        user_object_id: Option<String>,
    }

    ComputeSchedules = "schedules" {
        compute_start_stop: Vec<StartStop>,
    }

    /// When a machine is started or stopped.
    StartStop = "schedule" (read_only: &["schedule_id", "provisioning_state"]) {
        action: StartOrStop,
        state: Option<Enabled>,
        trigger: Option<ComputeTrigger>,
    }

    ComputeCron = "cron trigger" {
        r#type: CronType,
        expression: CronExpression,
        start_time: Option<String>,
        time_zone: Option<TimeZone>,
    }

    ComputeRecurrence = "recurrence" {
        r#type: RecurrenceType,
        frequency: Frequency,
        interval: Option<i64>,
        schedule: Option<ComputeTimes>,
        start_time: Option<String>,
        time_zone: Option<TimeZone>,
    }

    ComputeTimes = "times" {
        week_days: Vec<WeekDay>,
        hours: Vec<i64>,
        minutes: Vec<i64>,
    }

    CustomApplication = "application" {
        name: String,
        r#type: Option<ApplicationType>,
        image: Option<ApplicationImage>,
        endpoints: Vec<ApplicationEndpoint>,
        environment_variables: Map<Scalar>,
        bind_mounts: Vec<BindMount>,
    }

    ApplicationImage = "image" { reference: Option<String>, }

    ApplicationEndpoint = "endpoint" {
        target: Option<i64>,
        published: Option<i64>,
    }

    BindMount = "bind mount" {
        source: Option<String>,
        target: Option<String>,
    }

    SetupScripts = "setup scripts" {
        creation_script: Option<Script>,
        startup_script: Option<Script>,
    }

    Script = "script" {
        path: Option<String>,
        command: Option<String>,
        timeout_minutes: Option<i64>,
    }
}

union! {
    /// Where jobs run.
    Compute = "a compute" {
        Cluster(Box<AmlCompute>),
        Instance(Box<ComputeInstance>),
        VirtualMachine(VirtualMachine),
        Kubernetes(KubernetesCompute),
        Spark(SynapseSpark),
    }

    ComputeTrigger = "a trigger (`type: cron` or `type: recurrence`)" {
        Cron(ComputeCron),
        Recurrence(ComputeRecurrence),
    }
}

choice! {
    Tier = "a tier" {
        Dedicated = "dedicated",
        LowPriority = "low_priority",
    }

    StartOrStop = "an action" {
        Start = "start",
        Stop = "stop",
    }

    Enabled = "a state" {
        Enabled = "enabled",
        Disabled = "disabled",
    }

    Frequency = "a frequency" {
        Minute = "minute",
        Hour = "hour",
        Day = "day",
        Week = "week",
        Month = "month",
    }

    WeekDay = "a day of the week" {
        Monday = "monday",
        Tuesday = "tuesday",
        Wednesday = "wednesday",
        Thursday = "thursday",
        Friday = "friday",
        Saturday = "saturday",
        Sunday = "sunday",
    }
}

words! {
    AmlComputeType = "a type of compute" ["amlcompute"]
    ComputeInstanceType = "a type of compute" ["computeinstance"]
    VirtualMachineType = "a type of compute" ["virtualmachine"]
    KubernetesComputeType = "a type of compute" ["kubernetes"]
    SynapseSparkType = "a type of compute" ["synapsespark"]
    IdentityType = "a type of identity" [
        "system_assigned", "user_assigned", "none", "system_assigned,user_assigned",
    ]
    CronType = "a type of trigger" ["cron"]
    RecurrenceType = "a type of trigger" ["recurrence"]
    ApplicationType = "a type of application" ["docker"]
}

//! Jobs: what all have, and the command job.

use crate::{
    declare::{choice, record, union, words},
    described::{Map, Positive, Scalar},
    environment::EnvironmentSource,
    graph::check_command,
    io::{JobInput, JobOutput},
    reference::{Code, ComputeName},
    shape::Own,
};

record! {
    /// What every job may say.
    JobBase = "job" (read_only: &[
        "id", "status", "creation_context", "log_files", "parameters", "error", "resourceGroup",
    ]) {
        /// The job's name; made up when absent.
        name: Option<String>,
        /// What the job is for.
        description: Option<String>,
        /// Words to find the job by.
        tags: Map<Scalar>,
        /// The name that lists show.
        display_name: Option<String>,
        /// The experiment to record the job under.
        experiment_name: Option<String>,
        /// Facts about the job that stay as they are.
        properties: Map<Scalar>,
        /// Programs that run beside the job: a notebook server, TensorBoard.
        services: Map<Service>,
        /// Where it runs: `azureml:NAME`, `serverless` or `local`.
        compute: Option<ComputeName>,
        /// Who the job is to other services.
        identity: Option<JobIdentity>,
    }

    /// Runs one command.
    CommandJob = "command job" (rule: Some(check_command), in_parts: true) {
        ..base: JobBase,
        ..run: Command,
        /// The kind of job.
        r#type: CommandType = "command",
        /// How long it may take.
        limits: Option<Limits>,
        /// What it works on, by name: `${{inputs.NAME}}` in the command.
        inputs: Map<JobInput>,
        /// What it makes, by name: `${{outputs.NAME}}` in the command.
        outputs: Map<Option<JobOutput>>,
        /// The job that this one belongs to.
        parent_job_name: Option<String>,
    }

    /// A command with what it needs to run.
    Command = "command" {
        /// The command line, run by bash.
        command: String,
        /// The folder or file that the command finds in its working directory.
        code: Option<Code>,
        /// The packages and programs it runs with, such as `azureml://registries/azureml/environments/sklearn-1.5/labels/latest`.
        environment: EnvironmentSource,
        /// Variables the command finds set.
        environment_variables: Map<Scalar>,
        /// How much of the compute it gets.
        resources: Option<Resources>,
        /// How it is spread over several processes.
        distribution: Option<Distribution>,
        /// Its place in the queue.
        queue_settings: Option<QueueSettings>,
    }

    /// How much of a compute a job gets.
    Resources = "resources" {
        /// How many nodes.
        instance_count: Option<Positive>,
        /// The size of the nodes.
        instance_type: Option<String>,
        /// For the service that runs it.
        properties: Map<serde_json::Value>,
        /// Regions it may run in.
        locations: Vec<String>,
        /// Shared memory of a container, such as `2g`.
        shm_size: Option<String>,
        /// To how many nodes it may grow.
        max_instance_count: Option<i64>,
        /// Options for the container engine.
        docker_args: Option<OneOrMore>,
    }

    /// How long a job may take.
    Limits = "limits" {
        /// Seconds after which the job is cancelled.
        timeout: Option<i64>,
    }

    /// The place of a job in the queue.
    QueueSettings = "queue settings" {
        job_tier: Option<JobTier>,
        priority: Option<Priority>,
    }

    /// PyTorch's distributed launch: `RANK`, `WORLD_SIZE`, `MASTER_ADDR`, … are set.
    PyTorch = "PyTorch distribution" {
        r#type: PyTorchType,
        /// Processes on each node.
        process_count_per_instance: Option<i64>,
    }

    /// MPI.
    Mpi = "MPI distribution" {
        r#type: MpiType,
        /// Processes on each node.
        process_count_per_instance: Option<i64>,
    }

    /// TensorFlow: `TF_CONFIG` is set.
    TensorFlow = "TensorFlow distribution" {
        r#type: TensorFlowType,
        parameter_server_count: Option<i64>,
        worker_count: Option<i64>,
    }

    /// Ray.
    Ray = "Ray distribution" {
        r#type: RayType,
        port: Option<i64>,
        address: Option<String>,
        include_dashboard: Option<bool>,
        dashboard_port: Option<i64>,
        head_node_additional_args: Option<String>,
        worker_node_additional_args: Option<String>,
    }

    /// A program that runs beside the job.
    Service = "service" (
        read_only: &["endpoint", "status", "error_message"],
        own: Some(Own { key: "type", has: |kind| matches!(kind, "Studio" | "Tracking") }),
    ) {
        r#type: Option<ServiceType>,
        port: Option<i64>,
        /// `all`, or the first node when absent.
        nodes: Option<ServiceNodes>,
        properties: Map<serde_json::Value>,
        /// Where TensorBoard finds its logs.
        log_dir: Option<String>,
        /// Keys that may log in.
        ssh_public_keys: Option<String>,
    }

    ManagedIdentity = "managed identity" {
        r#type: ManagedIdentityType,
        client_id: Option<String>,
        object_id: Option<String>,
        msi_resource_id: Option<String>,
    }

    AmlTokenIdentity = "token identity" { r#type: AmlTokenType, }

    UserIdentity = "user identity" { r#type: UserIdentityType, }
}

union! {
    Distribution = "a distribution" {
        PyTorch(PyTorch),
        TensorFlow(TensorFlow),
        Mpi(Mpi),
        Ray(Ray),
    }

    JobIdentity = "an identity" {
        Managed(ManagedIdentity),
        AmlToken(AmlTokenIdentity),
        User(UserIdentity),
    }

    OneOrMore = "a string or a list of strings" {
        One(String),
        More(Vec<String>),
    }
}

choice! {
    ServiceType = "a kind of service" {
        Ssh = "ssh",
        TensorBoard = "tensor_board",
        VsCode = "vs_code",
        JupyterLab = "jupyter_lab",
    }

    Priority = "a priority" {
        Low = "low",
        Medium = "medium",
        High = "high",
    }
}

words! {
    CommandType = "the type of a command job" ["command"]
    PyTorchType = "a type of distribution" ["pytorch"]
    MpiType = "a type of distribution" ["mpi"]
    TensorFlowType = "a type of distribution" ["tensorflow"]
    RayType = "a type of distribution" ["ray"]
    ManagedIdentityType = "a type of identity" ["managed", "managed_identity"]
    AmlTokenType = "a type of identity" ["aml_token"]
    UserIdentityType = "a type of identity" ["user_identity"]
    ServiceNodes = "a choice of nodes" ["all"]
    JobTier = "a job tier" ["null", "spot", "basic", "standard", "premium"]
}

//! Fine-tuning, distillation, serverless endpoints and what else goes with generative models.

use serde_json::Value;

use crate::{
    connection::{GenericConnection, ServerlessConnection},
    declare::{record, union, words},
    described::{Map, Scalar, Version},
    environment::EnvironmentSource,
    io::{DataInput, JobOutput, ModelInput},
    job::{JobBase, QueueSettings},
    reference::{DataPath, ModelName},
    serving::RequestSettings,
};

record! {
    /// What every fine-tuning job may say.
    FinetuningBase = "fine-tuning job" {
        ..base: JobBase,
        r#type: FinetuningType,
        task: FinetuningTask,
        /// The model that is tuned.
        model: ModelInput,
        training_data: Option<TrainingData>,
        validation_data: Option<TrainingData>,
        outputs: Map<Option<JobOutput>>,
        queue_settings: Option<QueueSettings>,
        resources: Option<JobSizes>,
    }

    /// Tunes a model of the catalogue or of one's own.
    CustomFinetuning = "fine-tuning job" {
        ..base: FinetuningBase,
        model_provider: CustomProvider,
        hyperparameters: Map<Scalar>,
    }

    /// Tunes a model of Azure OpenAI.
    OpenAiFinetuning = "fine-tuning job" {
        ..base: FinetuningBase,
        model_provider: OpenAiProvider,
        hyperparameters: Option<OpenAiHyperparameters>,
    }

    OpenAiHyperparameters = "hyperparameters" {
        n_epochs: Option<i64>,
        learning_rate_multiplier: Option<f64>,
        batch_size: Option<i64>,
    }

    JobSizes = "resources" { instance_types: Vec<String>, }

    /// Trains a small model on the answers of a large one.
    Distillation = "distillation job" {
        ..base: JobBase,
        r#type: DistillationType,
        data_generation_type: DataGeneration,
        data_generation_task_type: DataGenerationTask,
        /// How the large model is reached.
        teacher_model_endpoint_connection: TeacherConnection,
        student_model: StudentModel,
        training_data: Option<TrainingData>,
        validation_data: Option<TrainingData>,
        teacher_model_settings: Option<TeacherSettings>,
        prompt_settings: Option<PromptSettings>,
        hyperparameters: Map<Scalar>,
        resources: Option<DistillationResources>,
        outputs: Map<Option<JobOutput>>,
    }

    TeacherSettings = "teacher model settings" {
        inference_parameters: Map<Value>,
        endpoint_request_settings: Option<TeacherRequests>,
    }

    TeacherRequests = "request settings" {
        request_batch_size: Option<i64>,
        min_endpoint_success_ratio: Option<f64>,
    }

    PromptSettings = "prompt settings" {
        enable_chain_of_thought: Option<bool>,
        enable_chain_of_density: Option<bool>,
        max_len_summary: Option<i64>,
    }

    DistillationResources = "resources" {
        instance_count: Option<i64>,
        instance_type: Option<String>,
        properties: Map<Value>,
    }

    /// A model of the catalogue, paid by use.
    ServerlessEndpoint = "serverless endpoint" (read_only: &[
        "id", "location", "provisioning_state", "scoring_uri", "headers", "system_data",
    ]) {
        name: String,
        model_id: String,
        auth_mode: Option<ServerlessAuth>,
        description: Option<String>,
        tags: Map<Scalar>,
        properties: Map<Scalar>,
    }

    /// The right to use a model of the catalogue.
    MarketplaceSubscription = "marketplace subscription" (read_only: &[
        "id", "marketplace_plan", "status", "provisioning_state", "system_data",
    ]) {
        name: String,
        model_id: String,
    }

    /// An index for search.
    Index = "index" (read_only: &["id", "creation_context", "latest_version", "resourceGroup"]) {
        name: String,
        version: Option<Version>,
        description: Option<String>,
        tags: Map<Scalar>,
        properties: Map<Scalar>,
        stage: String = "Development",
        path: DataPath,
        datastore: Option<String>,
        auto_delete_setting: Option<crate::environment::AutoDelete>,
    }

    CapabilityHost = "capability host" {
        name: Option<String>,
        description: Option<String>,
        capability_host_kind: Option<String>,
        vector_store_connections: Vec<String>,
        ai_services_connections: Vec<String>,
        storage_connections: Vec<String>,
        thread_storage_connections: Vec<String>,
    }

    /// How models of a registry are deployed.
    DeploymentTemplate = "deployment template" {
        name: String,
        version: Option<Version>,
        display_name: Option<String>,
        description: Option<String>,
        tags: Map<Scalar>,
        r#type: Option<String>,
        deployment_template_type: Option<String>,
        environment: Option<EnvironmentSource>,
        environment_variables: Map<Scalar>,
        request_settings: Option<RequestSettings>,
        liveness_probe: Option<TemplateProbe>,
        readiness_probe: Option<TemplateProbe>,
        instance_count: Option<i64>,
        model_mount_path: Option<String>,
        allowed_instance_types: Vec<String>,
        default_instance_type: Option<String>,
        accelerator_maps: Vec<AcceleratorMap>,
        scoring_port: Option<i64>,
        scoring_path: Option<String>,
    }

    TemplateProbe = "probe" {
        initial_delay: Option<i64>,
        period: Option<i64>,
        timeout: Option<i64>,
        success_threshold: Option<i64>,
        failure_threshold: Option<i64>,
        scheme: Option<String>,
        method: Option<String>,
        path: Option<String>,
        port: Option<i64>,
    }

    AcceleratorMap = "accelerator map" {
        accelerator_type: String,
        number_of_accelerators_per_model_instance: i64,
        default: Option<bool>,
    }
}

union! {
    Finetuning = "a fine-tuning job" {
        Custom(Box<CustomFinetuning>),
        OpenAi(Box<OpenAiFinetuning>),
    }

    TrainingData = "data (a path, or a mapping with `type` and `path`)" {
        Path(DataPath),
        Data(DataInput),
    }

    TeacherConnection = "a connection" {
        Generic(GenericConnection),
        Serverless(ServerlessConnection),
    }

    StudentModel = "a model (`azureml:NAME:VERSION`, or a mapping)" {
        Name(ModelName),
        Model(ModelInput),
    }
}

words! {
    FinetuningType = "the type of a fine-tuning job" ["finetuning"]
    CustomProvider = "a model provider" ["custom"]
    OpenAiProvider = "a model provider" ["azure_open_ai"]
    FinetuningTask = "a fine-tuning task" [
        "chatCompletion", "textCompletion", "textClassification", "questionAnswering",
        "textSummarization", "tokenClassification", "textTranslation", "imageClassification",
        "imageInstanceSegmentation", "imageObjectDetection", "videoMultiObjectTracking",
    ]
    DistillationType = "the type of a distillation job" ["distillation"]
    DataGeneration = "a type of data generation" ["label_generation", "data_generation"]
    DataGenerationTask = "a task of data generation" [
        "nli", "nlu_qa", "conversation", "math", "summarization",
    ]
    ServerlessAuth = "a way of authentication" ["key", "aad"]
}

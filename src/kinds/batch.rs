//! Batch deployments: of a model (also in the older flat form) and of a pipeline.

use crate::{
    declare::{choice, record, union, words},
    described::{Map, Positive, Scalar},
    job::Resources,
    node::PipelineNode,
    pipeline::{PipelineComponentSource, PipelineSettings},
    reference::{ComputeName, JobName},
    serving::DeploymentBase,
};

record! {
    /// A model that scores folders of data.
    ModelBatchDeployment = "batch deployment" {
        ..base: DeploymentBase,
        r#type: ModelDeploymentType = "model",
        /// Where it runs.
        compute: ComputeName,
        resources: Option<Resources>,
        error_threshold: Option<i64>,
        settings: Option<BatchSettings>,
    }

    /// How a batch is scored.
    BatchSettings = "batch settings" {
        /// How many files are a batch.
        mini_batch_size: Option<Positive>,
        max_concurrency_per_instance: Option<Positive>,
        instance_count: Option<Positive>,
        /// What becomes of the results.
        output_action: OutputAction = "append_row",
        /// The file of the results.
        output_file_name: Option<String>,
        retry_settings: Option<BatchRetries>,
        /// How many files may fail; -1 is any number.
        error_threshold: Option<i64>,
        logging_level: Option<String>,
        environment_variables: Map<Scalar>,
    }

    BatchRetries = "retry settings" {
        max_retries: Option<i64>,
        /// Seconds for a batch.
        timeout: Option<i64>,
    }

    /// A model that scores folders of data, with its settings at the top (an older form).
    FlatBatchDeployment = "batch deployment" {
        ..base: DeploymentBase,
        r#type: Option<ModelDeploymentType>,
        compute: Option<ComputeName>,
        resources: Option<Resources>,
        error_threshold: Option<i64>,
        retry_settings: Option<BatchRetries>,
        mini_batch_size: Option<Positive>,
        logging_level: Option<String>,
        output_action: OutputAction = "append_row",
        output_file_name: Option<String>,
        max_concurrency_per_instance: Option<Positive>,
    }

    /// A pipeline that is run on demand.
    PipelineBatchDeployment = "pipeline batch deployment" {
        name: Option<String>,
        endpoint_name: Option<String>,
        description: Option<String>,
        tags: Map<Scalar>,
        r#type: PipelineDeploymentType,
        /// The pipeline component.
        component: Option<PipelineComponentSource>,
        /// `azureml:JOB` of a finished pipeline job, or a pipeline step.
        job_definition: Option<JobDefinition>,
        settings: Option<PipelineSettings>,
    }
}

union! {
    /// What a batch endpoint runs.
    BatchDeployment = "a batch deployment" {
        Model(Box<ModelBatchDeployment>),
        Flat(Box<FlatBatchDeployment>),
        Pipeline(PipelineBatchDeployment),
    }

    JobDefinition = "a job (`azureml:JOB`) or a pipeline step" {
        Job(JobName),
        Step(PipelineNode),
    }
}

choice! {
    OutputAction = "an output action" {
        AppendRow = "append_row",
        SummaryOnly = "summary_only",
    }
}

words! {
    ModelDeploymentType = "a type of batch deployment" ["model"]
    PipelineDeploymentType = "a type of batch deployment" ["pipeline"]
}

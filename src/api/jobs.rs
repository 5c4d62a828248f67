//! Jobs: runs that are described in the words of Azure's YAML. A job's name is its run's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    operation,
    runs::{Git, Run},
};

/// The tag by which MLflow's clients know a run's description.
pub const DESCRIPTION_TAG: &str = "mlflow.note.content";

/// How tags begin that say where a service of a job answers; the service's name follows.
pub const SERVICE_TAG: &str = "aml.service.";
/// How tags begin that say with which exit code a service of a job has ended before the job.
pub const SERVICE_ENDED_TAG: &str = "aml.service-ended.";

/// Types of jobs that try one thing with many values: what they have made is what their best trial has.
pub const SEARCHES: [&str; 2] = ["sweep", "automl"];

/// Creates a job and queues it as a run.
///
/// What it names is looked up now: labels become versions, outputs get the address they will have.
/// Its compute can be any; one without a pool of its own is the machine of the worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreateJob {
    pub workspace: String,
    /// Chosen by the caller, so that a retry is not a second job; a taken name with the same job
    /// answers that one, with another job it is a conflict.
    pub name: String,
    /// Where the job does not name one itself.
    pub experiment: String,
    /// The job in the words of Azure's YAML. What it names on the machine of whoever wrote it was
    /// uploaded before: its `code` is `azureml:NAME:VERSION`, paths are addresses.
    pub definition: Map<String, Value>,
    /// What is known of the folder the code was taken from.
    #[serde(default)]
    pub git: Option<Git>,
    /// Where programs are looked for, when it is written on the machine that runs it.
    #[serde(default)]
    pub search_path: Option<String>,
}
operation!(CreateJob => Run, "jobs.create");

/// How a job gets the files of an input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputMode {
    /// A path to read from, which others read too.
    #[default]
    RoMount,
    /// A copy of its own.
    Download,
    /// Their address.
    Direct,
    /// The files that an `MLTable` names, read as with `RoMount`.
    EvalMount,
    /// A copy of the files that an `MLTable` names.
    EvalDownload,
}

/// How a job gives the files of an output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputMode {
    /// What is in the folder is kept, however the command ends.
    #[default]
    #[serde(alias = "mount")]
    RwMount,
    /// What is in the folder is kept when the command succeeds.
    Upload,
    /// The command writes to the address by itself.
    Direct,
}

/// What a job works on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum JobInput {
    Value {
        value: String,
        /// A step wrote it: where it is put into a line, it is text and nothing else.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        made: bool,
    },
    Files {
        /// `uri_file`, `uri_folder`, `mltable`, `mlflow_model`, `custom_model` or `triton_model`.
        #[serde(rename = "type")]
        kind: String,
        /// Any form of an address.
        path: String,
        #[serde(default)]
        mode: InputMode,
        /// Where the command expects it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path_on_compute: Option<String>,
    },
}

/// What a job makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobOutput {
    /// `uri_file`, `uri_folder`, `mltable`, `mlflow_model`, `custom_model` or `triton_model`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it is kept: `azureml://datastores/NAME/paths/PATH`.
    pub path: String,
    #[serde(default)]
    pub mode: OutputMode,
    /// Registered under this name when the job has completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// How the processes of a job find each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framework {
    /// `RANK`, `WORLD_SIZE`, `MASTER_ADDR` and the like.
    Pytorch,
    /// `OMPI_COMM_WORLD_RANK` and the like, under `mpirun` where there is one.
    Mpi,
    /// `TF_CONFIG`.
    Tensorflow,
    /// A cluster that `ray start` made.
    Ray,
}

/// A job of several processes. All of them run on the worker's machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    pub framework: Framework,
    /// Nodes; each has its own number.
    pub nodes: u32,
    /// Processes of a node; of TensorFlow, workers in all.
    pub processes: u32,
    /// TensorFlow's parameter servers.
    #[serde(default)]
    pub parameter_servers: u32,
}

/// A program that runs beside a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobService {
    /// `jupyter_lab`, `tensor_board`, `vs_code` or `ssh`.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Where TensorBoard finds its logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_dir: Option<String>,
}

/// What a job has that was described in Azure's words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    /// The whole of it, as it is shown. The command in it has its `${{…}}` still.
    pub definition: Map<String, Value>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, JobInput>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, JobOutput>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<Distribution>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<String, JobService>,
    /// What makes it a step of a pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Box<StepFacts>>,
}

impl Described {
    /// Shows the ports as they are, in place of how they were written.
    pub fn show_ports(&mut self) {
        if !self.inputs.is_empty() {
            let inputs = self.inputs.iter().map(|(name, input)| {
                let shown = match input {
                    JobInput::Value { value, .. } => json!(value),
                    files @ JobInput::Files { .. } => json!(files),
                };
                (name.clone(), shown)
            });
            let inputs = Value::Object(inputs.collect());
            self.definition.insert("inputs".to_owned(), inputs);
        }
        if !self.outputs.is_empty() {
            let outputs = json!(self.outputs);
            self.definition.insert("outputs".to_owned(), outputs);
        }
    }

    /// Whether a step's definition leaves its ports out, which are kept beside it: there may be many, and
    /// nobody but who is shown the step reads them there.
    pub fn leaves_ports_out(&self) -> bool {
        let shown = |key: &str| self.definition.contains_key(key);
        self.step.is_some() && !shown("inputs") && !shown("outputs")
    }
}

/// What decides, beside the job itself, whether a step of a pipeline has to run again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFacts {
    /// The same inputs give the same outputs.
    pub deterministic: bool,
    /// Input → what its files were when the step began, where its address does not tell.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stamps: BTreeMap<String, String>,
    /// Output → the path that was asked for, as it was written.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub places: BTreeMap<String, String>,
}

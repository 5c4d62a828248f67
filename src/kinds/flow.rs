//! Prompt flows, as far as pipelines use them as steps.

use serde_json::Value;

use crate::{
    declare::{record, words},
    described::{Map, Scalar, Version},
    environment::EnvironmentSource,
    reference::{IncludePath, LocalPath},
};

record! {
    /// A prompt flow as a step.
    FlowComponent = "flow component" (read_only: &["creation_context", "latest_version"]) {
        r#type: FlowComponentType,
        name: Option<String>,
        version: Option<Version>,
        display_name: Option<String>,
        description: Option<String>,
        tags: Map<Scalar>,
        id: Option<String>,
        is_deterministic: bool = true,
        variant: Option<String>,
        column_mappings: Map<String>,
        connections: Map<Map<String>>,
        environment: Option<EnvironmentSource>,
        environment_variables: Map<Scalar>,
        properties: Map<String>,
        code: Option<LocalPath>,
        additional_includes: Vec<IncludePath>,
    }

    /// `flow.dag.yaml`.
    Flow = "flow" (open: true) {
        name: Option<String>,
        version: Option<Version>,
        display_name: Option<String>,
        description: Option<String>,
        tags: Map<Scalar>,
        environment_variables: Map<Scalar>,
        additional_includes: Vec<IncludePath>,
        inputs: Map<Value>,
        outputs: Map<Value>,
        nodes: Vec<Value>,
        node_variants: Map<Value>,
        environment: Option<Value>,
        azureml: Option<FlowOverrides>,
    }

    /// `run.yml` of a flow.
    FlowRun = "flow run" (open: true) {
        name: Option<String>,
        version: Option<Version>,
        display_name: Option<String>,
        description: Option<String>,
        tags: Map<Scalar>,
        /// The folder of the flow.
        flow: LocalPath,
        data: Option<String>,
        variant: Option<String>,
        column_mapping: Map<Value>,
        column_mappings: Map<String>,
        connections: Map<Map<String>>,
        environment_variables: Map<Scalar>,
        azureml: Option<FlowOverrides>,
    }

    FlowOverrides = "overrides of a flow" {
        environment: Option<EnvironmentSource>,
        is_deterministic: Option<bool>,
    }
}

words! {
    FlowComponentType = "the type of a flow component" ["promptflow_parallel"]
}

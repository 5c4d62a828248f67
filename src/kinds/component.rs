//! Components: steps that pipelines are made of.

use serde_json::Value;

use crate::{
    declare::{record, words},
    described::{Map, Scalar, Version},
    environment::{AutoDelete, EnvironmentSource},
    graph::{check_command, check_ports},
    io::{ComponentInput, ComponentOutput},
    job::{Distribution, QueueSettings, Resources},
    reference::{Code, ComponentName, IncludePath},
};

record! {
    /// What every component may say.
    ComponentBase = "component" (
        read_only: &["creation_context", "latest_version", "properties", "resourceGroup"],
        rule: Some(check_ports),
    ) {
        /// The next one when absent.
        version: Option<Version>,
        display_name: Option<String>,
        description: Option<String>,
        tags: Map<Scalar>,
        /// The same inputs give the same outputs, so a step need not run again.
        is_deterministic: bool = true,
        /// What it works on, by name: `${{inputs.NAME}}` in the command.
        inputs: Map<ComponentInput>,
        /// What it makes, by name: `${{outputs.NAME}}` in the command.
        outputs: Map<ComponentOutput>,
        id: Option<String>,
        auto_delete_setting: Option<AutoDelete>,
    }

    /// What a command component is.
    CommandComponentParts = "command component" (rule: Some(check_command), in_parts: true) {
        ..base: ComponentBase,
        r#type: CommandComponentType = "command",
        /// The command line, run by bash.
        command: String,
        /// The folder or file that the command finds in its working directory.
        code: Option<Code>,
        /// The packages and programs it runs with.
        environment: EnvironmentSource,
        /// Variables the command finds set.
        environment_variables: Map<Scalar>,
        /// How much of a compute it gets.
        resources: Option<Resources>,
        /// How it is spread over several processes.
        distribution: Option<Distribution>,
        queue_settings: Option<QueueSettings>,
        properties: Map<Value>,
        /// Files and folders of elsewhere that are put beside the code.
        additional_includes: Vec<IncludePath>,
    }

    /// A step that runs a command.
    CommandComponent = "command component" {
        ..parts: CommandComponentParts,
        /// The name that pipelines use: `azureml:NAME:VERSION`.
        name: ComponentName,
    }

    /// A command component in the file of a pipeline, or in one that a pipeline names.
    InlineCommandComponent = "command component" {
        ..parts: CommandComponentParts,
        name: Option<String>,
    }
}

words! {
    CommandComponentType = "the type of a command component" ["command"]
}

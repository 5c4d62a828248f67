//! Inputs and outputs: of jobs, of nodes and of components.

use crate::{
    declare::{choice, record, union, words},
    described::{Literal, Scalar, Version},
    reference::DataPath,
    shape::Own,
};

record! {
    /// A file or folder.
    DataInput = "data input" {
        /// Absent: a folder.
        r#type: Option<DataKind>,
        /// What it is: local, `azureml:NAME:VERSION`, `azureml://…`, a URL.
        path: Option<DataPath>,
        /// How the command gets it.
        mode: Option<InputMode>,
        /// Where on the compute it is put.
        path_on_compute: Option<String>,
        /// The datastore that a local path is uploaded to.
        datastore: Option<String>,
    }

    /// A model.
    ModelInput = "model input" {
        r#type: ModelKind,
        /// What it is: local, `azureml:NAME:VERSION`, `azureml://…`, `runs:/…`, a URL.
        path: Option<DataPath>,
        /// How the command gets it.
        mode: Option<InputMode>,
        /// The datastore that a local path is uploaded to.
        datastore: Option<String>,
    }

    /// A table, described by an `MLTable` file.
    TableInput = "mltable input" {
        r#type: TableKind,
        /// The folder of the `MLTable` file.
        path: Option<DataPath>,
        /// How the command gets it; `eval_mount` and `eval_download` give the files of the table.
        mode: Option<TableMode>,
        path_on_compute: Option<String>,
        /// The datastore that a local path is uploaded to.
        datastore: Option<String>,
    }

    /// A value, written at length.
    ValueInput = "value input" {
        value: Literal,
    }

    /// What a job makes.
    JobOutput = "output" (own: Some(Own { key: "path", has: is_folder_of_run })) {
        /// Absent: a folder.
        r#type: Option<AssetKind>,
        /// Where it is kept; a place of the job's own when absent.
        path: Option<String>,
        /// How the command writes it.
        mode: Option<OutputMode>,
        /// Register it under this name when the job has ended.
        name: Option<String>,
        /// The version to register; the next one when absent.
        version: Option<Version>,
    }

    /// A parameter of a component.
    Parameter = "component parameter" {
        /// What kind of value it is.
        r#type: ParameterKind,
        /// May be left out.
        optional: Option<bool>,
        /// The value when none is given.
        default: Option<Literal>,
        description: Option<String>,
        min: Option<Literal>,
        max: Option<Literal>,
        /// The values that are possible.
        r#enum: Vec<Scalar>,
    }

    /// A file, folder, table or model that a component works on.
    InputPort = "component input" {
        /// What kind of data it is.
        r#type: PortKind,
        /// May be left out.
        optional: Option<bool>,
        default: Option<String>,
        description: Option<String>,
        mode: Option<PortMode>,
    }

    /// A file, folder, table or model that a component makes.
    OutputPort = "component output" {
        /// What kind of data it is.
        r#type: PortKind,
        description: Option<String>,
        mode: Option<PortMode>,
    }

    /// A value that a component makes.
    ValueOutput = "component output" (open: true) {
        r#type: ParameterKind,
        description: Option<String>,
        mode: Option<PortMode>,
    }
}

union! {
    /// What a job works on: data, a model, a table, or a plain value.
    JobInput = "an input (a value, or a mapping with `type` and `path`)" {
        Data(DataInput),
        Model(ModelInput),
        Table(TableInput),
        Value(ValueInput),
        Literal(Literal),
    }

    /// An input of a component.
    ComponentInput = "an input of a component (a mapping with a `type`)" {
        Parameter(Parameter),
        Port(InputPort),
    }

    /// An output of a component.
    ComponentOutput = "an output of a component (a mapping with a `type`)" {
        Port(OutputPort),
        Value(ValueOutput),
    }
}

choice! {
    DataKind = "a type of data" {
        File = "uri_file",
        Folder = "uri_folder",
    }

    ModelKind = "a type of model" {
        Custom = "custom_model",
        Mlflow = "mlflow_model",
        Triton = "triton_model",
    }

    AssetKind = "a type of data or model" {
        File = "uri_file",
        Folder = "uri_folder",
        Table = "mltable",
        CustomModel = "custom_model",
        MlflowModel = "mlflow_model",
        TritonModel = "triton_model",
    }

    PortKind = "a type of data or model" {
        File = "uri_file",
        Folder = "uri_folder",
        Table = "mltable",
        CustomModel = "custom_model",
        MlflowModel = "mlflow_model",
        TritonModel = "triton_model",
        Path = "path",
    }

    ParameterKind = "a type of parameter" {
        Text = "string",
        Number = "number",
        Integer = "integer",
        Boolean = "boolean",
    }

    InputMode = "a mode of an input" {
        Mount = "ro_mount",
        Download = "download",
        Direct = "direct",
    }

    TableMode = "a mode of an mltable input" {
        Mount = "ro_mount",
        Download = "download",
        Direct = "direct",
        EvalMount = "eval_mount",
        EvalDownload = "eval_download",
    }

    OutputMode = "a mode of an output" {
        ReadWriteMount = "rw_mount",
        Mount = "mount",
        Upload = "upload",
        Direct = "direct",
    }
}

words! {
    TableKind = "a type of table" ["mltable"]
    PortMode = "a mode" [
        "direct", "download", "eval_download", "eval_mount", "mount", "ro_mount", "rw_mount",
        "upload", "link",
    ]
}

/// Whether it is the folder that every job keeps its own files in, which `show` prints as the output
/// `default`.
fn is_folder_of_run(path: &str) -> bool {
    let of_run = path.strip_prefix("azureml://jobs/");
    of_run.is_some_and(|path| path.ends_with("/outputs/artifacts"))
}

//! Data and models.

use std::path::Path;

use serde_json::{Map as Object, Value};

use crate::{
    declare::{choice, record, union, words},
    described::{Map, Scalar, Version},
    environment::AutoDelete,
    io::ModelKind,
    reference::DataPath,
    shape::{Fault, Wrong},
};

record! {
    /// A file, folder or table with a name and a version.
    Data = "data asset" (read_only: &["creation_context", "latest_version", "properties", "resourceGroup"]) {
        /// The name that jobs use: `azureml:NAME:VERSION`.
        name: String,
        /// The next one when absent.
        version: Option<Version>,
        description: Option<String>,
        tags: Map<Scalar>,
        r#type: DataType = "uri_folder",
        /// What it is: local, `azureml://…`, a URL.
        path: DataPath,
        /// The datastore that a local path is uploaded to.
        datastore: Option<String>,
        auto_delete_setting: Option<AutoDelete>,
        id: Option<String>,
    }

    /// A model with a name and a version.
    Model = "model" {
        ..parts: ModelParts,
        /// The name that deployments use: `azureml:NAME:VERSION`.
        name: String,
        /// What it is: local, `azureml://jobs/…`, `runs:/…`, `azureml://datastores/…`.
        path: Option<DataPath>,
    }

    /// A model written where it is used.
    InlineModel = "model" (rule: Some(must_be_there)) {
        ..parts: ModelParts,
        /// Register it under this name.
        name: Option<String>,
        /// What it is: local, `azureml://jobs/…`, `runs:/…`, `azureml://datastores/…`.
        path: Option<DataPath>,
    }

    /// What a model is.
    ModelParts = "model" (read_only: &["id", "utc_time_created", "creation_context", "job_name", "latest_version", "intellectual_property", "resourceGroup"]) {
        /// The next one when absent.
        version: Option<Version>,
        description: Option<String>,
        tags: Map<Scalar>,
        properties: Map<Scalar>,
        r#type: ModelKind = "custom_model",
        /// Where in its life it is, such as `Production`.
        stage: Option<String>,
        /// How MLflow loads it.
        flavors: Map<Value>,
        /// The datastore that a local path is uploaded to.
        datastore: Option<String>,
        system_metadata: Map<Value>,
        default_deployment_template: Option<DeploymentTemplateReference>,
        allowed_deployment_templates: Vec<DeploymentTemplateReference>,
    }

    DeploymentTemplateReference = "reference to a deployment template" {
        asset_id: Option<String>,
    }

    /// Data that is copied from elsewhere and registered.
    DataImport = "data import" (read_only: &["creation_context", "latest_version", "properties", "resourceGroup"]) {
        name: String,
        version: Option<Version>,
        description: Option<String>,
        tags: Map<Scalar>,
        r#type: DataType = "uri_folder",
        /// Where the copy is put; may hold `${{name}}`.
        path: DataPath,
        datastore: Option<String>,
        auto_delete_setting: Option<AutoDelete>,
        id: Option<String>,
        /// Where it comes from.
        source: ImportSource,
    }

    /// A database, through a connection.
    Database = "database" {
        r#type: DatabaseType,
        /// `azureml:NAME` of the connection.
        connection: String,
        query: Option<String>,
        table_name: Option<String>,
        stored_procedure: Option<String>,
        stored_procedure_params: Vec<StoredProcedureParameter>,
    }

    StoredProcedureParameter = "parameter of a stored procedure" {
        name: Option<String>,
        value: Option<String>,
        r#type: Option<String>,
    }

    /// Files behind a connection, such as an S3 bucket.
    FileSystem = "file system" {
        r#type: Option<FileSystemType>,
        /// `azureml:NAME` of the connection.
        connection: String,
        path: Option<String>,
    }
}

union! {
    ImportSource = "a source (`type: database` or `type: file_system`)" {
        Database(Database),
        FileSystem(FileSystem),
    }
}

choice! {
    DataType = "a type of data" {
        File = "uri_file",
        Folder = "uri_folder",
        Table = "mltable",
    }
}

words! {
    DatabaseType = "a type of source" ["database"]
    FileSystemType = "a type of source" ["file_system"]
}

/// A model without a name is registered by its content, so the content must be there.
fn must_be_there(model: &Object<String, Value>) -> Vec<Wrong> {
    let path = model.get("path").and_then(Value::as_str);
    let local = path.map(Path::new).filter(|path| path.is_absolute());
    match local {
        Some(path) if !model.contains_key("name") && !path.exists() => {
            let fault = Fault::new(format!("There is no file or folder {}", path.display()));
            vec![Wrong::at(["path"], fault)]
        }
        _ => Vec::new(),
    }
}

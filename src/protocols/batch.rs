//! Azure's REST calls at the scoring address of a batch endpoint: a job is started, and told of.
//!
//! The three ages of the body are read: `InputData` and `OutputData` of today, of any spelling of their
//! keys, and the `dataset` and `outputDataset` of the first.

use serde_json::{Map, Value, json};

use api::{
    Error, Result,
    batch::{DEPLOYMENT_TAG, ENDPOINT_TAG, INPUT, InvokeBatch, SCORE},
    paths::is_local,
    runs::Run,
    workspaces::Workspace,
};

/// Names the deployment that shall run.
pub const DEPLOYMENT: &str = "azureml-model-deployment";

/// What the body of an invocation may say; of some of it nothing depends here.
const PROPERTIES: [&str; 20] = [
    "inputData",
    "inputs",
    "outputData",
    "outputs",
    "dataset",
    "outputDataset",
    "outputFileName",
    "experimentName",
    "miniBatchSize",
    "errorThreshold",
    "retrySettings",
    "maxConcurrencyPerInstance",
    "loggingLevel",
    "compute",
    "name",
    "displayName",
    "description",
    "tags",
    "properties",
    "partitionKeys",
];

/// Who is asked, and what the job shall be called.
pub struct Asked {
    pub workspace: String,
    pub endpoint: String,
    pub deployment: Option<String>,
    pub job: String,
}

/// The invocation that a body asks for; an empty one asks for a job without inputs.
pub fn invocation(asked: Asked, body: &[u8]) -> Result<InvokeBatch> {
    let document: Value = match body.trim_ascii() {
        [] => Value::Null,
        text => serde_json::from_slice(text)
            .or_else(|e| serde_json::from_slice(&without_last_commas(text)).map_err(|_| e))
            .map_err(|e| Error::invalid(format!("The body is no JSON: {e}")))?,
    };
    let properties = properties(&document)?;
    let mut inputs = Map::new();
    for (name, written) in mapping(properties, &["inputData", "inputs"])? {
        let input = data(written).map_err(|e| e.at(format!("properties.InputData.{name}")))?;
        inputs.insert(name.clone(), input);
    }
    if let Some(dataset) = field(properties, &["dataset"]) {
        let input = dataset_of(dataset).map_err(|e| e.at("properties.dataset"))?;
        inputs.insert(INPUT.to_owned(), input);
    }
    let mut outputs = Map::new();
    for (name, written) in mapping(properties, &["outputData", "outputs"])? {
        let output = data(written).map_err(|e| e.at(format!("properties.OutputData.{name}")))?;
        outputs.insert(name.clone(), output);
    }
    if let Some(dataset) = field(properties, &["outputDataset"]) {
        let path = placed(dataset).map_err(|e| e.at("properties.outputDataset"))?;
        let output = json!({"type": "uri_folder", "path": path});
        outputs.insert(SCORE.to_owned(), output);
    }
    let retries = match field(properties, &["retrySettings"]) {
        Some(other) if !other.is_object() => {
            return Err(wrong(other, "an object", "retrySettings"));
        }
        retries => retries,
    };
    let count = field(properties, &["compute"]).and_then(|at| field(at, &["instanceCount"]));
    let text = |key: &str| match field(properties, &[key]) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.to_owned())),
        Some(other) => Err(wrong(other, "text", key)),
    };
    Ok(InvokeBatch {
        workspace: asked.workspace,
        endpoint: asked.endpoint,
        deployment: asked.deployment,
        job: asked.job,
        experiment: text("experimentName")?,
        inputs,
        outputs,
        mini_batch_size: number(field(properties, &["miniBatchSize"]), "miniBatchSize")?,
        instance_count: number(count, "compute.instanceCount")?,
        output_file_name: text("outputFileName")?,
        error_threshold: number(field(properties, &["errorThreshold"]), "errorThreshold")?,
        max_retries: number(
            retries.and_then(|at| field(at, &["maxRetries"])),
            "retrySettings.maxRetries",
        )?,
        timeout: seconds(
            retries.and_then(|at| field(at, &["timeout"])),
            "retrySettings.timeout",
        )?,
        max_concurrency_per_instance: number(
            field(properties, &["maxConcurrencyPerInstance"]),
            "maxConcurrencyPerInstance",
        )?,
        logging_level: text("loggingLevel")?.map(|level| level.to_lowercase()),
        search_path: None,
    })
}

/// JSON without commas behind the last of several things. Azure takes them, and examples have them.
fn without_last_commas(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut comma = None;
    let mut last = b'{';
    let mut quoted = false;
    let mut escaped = false;
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'}' | b']' if !quoted => {
                if let Some(at) = comma {
                    plain[at] = b' ';
                }
            }
            _ => {}
        }
        if !byte.is_ascii_whitespace() {
            let follows = !matches!(last, b'{' | b'[' | b',');
            comma = (*byte == b',' && !quoted && follows).then_some(plain.len());
            last = *byte;
        }
        plain.push(*byte);
    }
    plain
}

/// The job as Azure tells of it.
pub fn told(workspace: &Workspace, endpoint: &str, run: &Run) -> Value {
    let id = format!(
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.MachineLearningServices/workspaces/{}\
         /batchEndpoints/{endpoint}/jobs/{}",
        workspace.subscription, workspace.resource_group, workspace.name, run.name
    );
    json!({
        "id": id,
        "name": run.name,
        "type": "Microsoft.MachineLearningServices/workspaces/batchEndpoints/jobs",
        "properties": {
            "name": run.name,
            "experimentName": run.experiment,
            "deploymentName": run.tags.get(DEPLOYMENT_TAG),
            "status": run.status,
            "error": run.reason,
        },
    })
}

/// Whether a job is one that an endpoint has started.
pub fn is_of(run: &Run, endpoint: &str) -> bool {
    let of = run.tags.get(ENDPOINT_TAG);
    of.is_some_and(|of| of.eq_ignore_ascii_case(endpoint))
}

/// A field by its name in any case, the first of several names that is there.
fn field<'a>(value: &'a Value, names: &[&str]) -> Option<&'a Value> {
    let fields = value.as_object()?;
    names.iter().find_map(|name| {
        let mut all = fields.iter();
        let (_, found) = all.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        (!found.is_null()).then_some(found)
    })
}

/// What a body says, found to be nothing else than what one may say.
fn properties(document: &Value) -> Result<&Value> {
    if document.is_null() {
        return Ok(document);
    }
    let Some(properties) = field(document, &["properties"]) else {
        return Err(Error::invalid("The body has no `properties`")
            .hint("Write it as {\"properties\": {\"InputData\": {…}}}, or leave it out"));
    };
    let Some(fields) = properties.as_object() else {
        return Err(Error::invalid("It is no object").at("properties"));
    };
    let known = |key: &str| {
        PROPERTIES
            .iter()
            .any(|known| known.eq_ignore_ascii_case(key))
    };
    match fields.keys().find(|key| !known(key)) {
        None => Ok(properties),
        Some(key) => {
            let nearest = api::names::nearest(key, PROPERTIES);
            let error = Error::invalid("An invocation has no such setting");
            let error = error.at(format!("properties.{key}"));
            Err(match nearest {
                Some(nearest) => error.hint(format!("Did you mean `{nearest}`?")),
                None => error,
            })
        }
    }
}

/// The entries of the first of several fields that is there.
fn mapping<'a>(
    properties: &'a Value,
    names: &[&str],
) -> Result<impl Iterator<Item = (&'a String, &'a Value)>> {
    let found = match field(properties, names) {
        Some(Value::Object(found)) => Some(found),
        Some(other) => return Err(wrong(other, "an object", names[0])),
        None => None,
    };
    Ok(found.into_iter().flatten())
}

fn wrong(value: &Value, what: &str, key: &str) -> Error {
    Error::invalid(format!("{value} is not {what}")).at(format!("properties.{key}"))
}

/// An input or output as jobs write it; a literal is its value.
fn data(written: &Value) -> Result<Value> {
    let kind = field(written, &["jobInputType", "jobOutputType", "type"]);
    let kind = kind.and_then(Value::as_str).unwrap_or("UriFolder");
    let plain: String = kind.chars().filter(|letter| *letter != '_').collect();
    let kind = match plain.to_ascii_lowercase().as_str() {
        "literal" => {
            let value = field(written, &["value"]).cloned();
            return value.ok_or_else(|| Error::invalid("A literal has a `Value`"));
        }
        "urifolder" => "uri_folder",
        "urifile" => "uri_file",
        "mltable" => "mltable",
        "mlflowmodel" => "mlflow_model",
        "custommodel" => "custom_model",
        "tritonmodel" => "triton_model",
        _ => return Err(Error::invalid(format!("`{kind}` is no type of data"))),
    };
    match field(written, &["uri", "path"]).and_then(Value::as_str) {
        Some(uri) => Ok(json!({"type": kind, "path": reachable(uri)?})),
        None if field(written, &["jobOutputType"]).is_some() => Ok(json!({"type": kind})),
        None => Err(Error::invalid("It has no `Uri`")),
    }
}

/// The one input of the first bodies: an address, or a version of a data asset.
fn dataset_of(written: &Value) -> Result<Value> {
    let text = |key: &str| field(written, &[key]).and_then(Value::as_str);
    if let Some(name) = text("datasetName") {
        let version = text("datasetVersion").map_or(String::new(), |version| format!(":{version}"));
        return Ok(json!({"path": format!("azureml:{name}{version}")}));
    }
    let path = text("path")
        .or_else(|| text("assetId"))
        .or_else(|| text("datasetId"));
    match path {
        // What it is tells the asset.
        Some(path) => Ok(json!({"path": reachable(path)?})),
        None => Err(Error::invalid("It has no `Path`")),
    }
}

/// Where the first bodies want the scores: a path in a datastore.
fn placed(written: &Value) -> Result<String> {
    let text = |key: &str| field(written, &[key]).and_then(Value::as_str);
    let path = text("path").unwrap_or_default().trim_matches('/');
    let Some(datastore) = text("datastoreId") else {
        return Ok(reachable(path)?.to_owned());
    };
    let name = datastore.trim_end_matches('/').rsplit('/').next();
    let name = name.unwrap_or_default().trim_start_matches("azureml:");
    Ok(format!("azureml://datastores/{name}/paths/{path}"))
}

/// Refuses what lies on the caller's machine.
fn reachable(uri: &str) -> Result<&str> {
    if is_local(uri) {
        return Err(
            Error::invalid(format!("`{uri}` is no address that the server can read"))
                .hint("Register it first: az ml data create"),
        );
    }
    Ok(uri)
}

fn number<T: TryFrom<i64>>(value: Option<&Value>, at: &str) -> Result<Option<T>> {
    let Some(value) = value else {
        return Ok(None);
    };
    let number = value.as_i64().and_then(|number| T::try_from(number).ok());
    let wrong = || Error::invalid(format!("{value} is no such number"));
    number
        .map(Some)
        .ok_or_else(|| wrong().at(format!("properties.{at}")))
}

/// A duration such as `PT30S`, or a number of seconds.
fn seconds(value: Option<&Value>, at: &str) -> Result<Option<i64>> {
    let Some(Value::String(text)) = value else {
        return number(value, at);
    };
    let seconds = spec::durations::seconds(text);
    let wrong = || {
        Error::invalid(format!("`{text}` is no duration"))
            .at(format!("properties.{at}"))
            .hint("Write it as PT30S or PT5M, or as a number of seconds")
    };
    seconds.map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &Value) -> Result<InvokeBatch> {
        let asked = Asked {
            workspace: "w".to_owned(),
            endpoint: "scores".to_owned(),
            deployment: None,
            job: "j".to_owned(),
        };
        invocation(asked, body.to_string().as_bytes())
    }

    #[test]
    fn bodies_of_all_ages_are_read() {
        let today = read(&json!({"properties": {
            "InputData": {
                "heart": {"JobInputType": "UriFolder", "Uri": "azureml:heart@latest"},
                "mode": {"JobInputType": "Literal", "Value": "append"},
            },
            "OutputData": {"score": {
                "JobOutputType": "UriFile", "Uri": "azureml://datastores/d/paths/p",
            }},
            "MiniBatchSize": 7,
            "retrySettings": {"maxRetries": 2, "Timeout": "PT1M30S"},
            "maxConcurrencyPerInstance": 3,
            "loggingLevel": "Debug",
        }}));
        let today = today.unwrap();
        let heart = json!({"type": "uri_folder", "path": "azureml:heart@latest"});
        assert_eq!(today.inputs["heart"], heart);
        assert_eq!(today.inputs["mode"], "append");
        assert_eq!(
            today.outputs["score"],
            json!({"type": "uri_file", "path": "azureml://datastores/d/paths/p"})
        );
        assert_eq!(
            (today.mini_batch_size, today.max_retries),
            (Some(7), Some(2))
        );
        assert_eq!(
            (today.timeout, today.max_concurrency_per_instance),
            (Some(90), Some(3))
        );
        assert_eq!(today.logging_level.as_deref(), Some("debug"));
        let plain = read(&json!({"properties": {"retrySettings": {"timeout": 20}}}));
        assert_eq!(plain.unwrap().timeout, Some(20));

        let first = read(&json!({"properties": {
            "dataset": {"dataInputType": "DataUrl", "Path": "https://h/data"},
            "outputDataset": {"datastoreId": "/subscriptions/s/datastores/blobs", "path": "/out"},
            "outputFileName": "rows.csv",
        }}));
        let first = first.unwrap();
        assert_eq!(first.inputs[INPUT], json!({"path": "https://h/data"}));
        assert_eq!(
            first.outputs[SCORE]["path"],
            "azureml://datastores/blobs/paths/out"
        );
        assert_eq!(first.output_file_name.as_deref(), Some("rows.csv"));
        assert!(read(&Value::Null).unwrap().inputs.is_empty());
    }

    #[test]
    fn commas_behind_the_last_of_several_are_taken() {
        let asked = |job: &str| Asked {
            workspace: "w".to_owned(),
            endpoint: "scores".to_owned(),
            deployment: None,
            job: job.to_owned(),
        };
        let body = br#"{"properties": {
            "InputData": {"d": {"JobInputType": "Literal", "Value": "a,} \",]"},},
            "outputFileName": "rows.csv" ,
        },}"#;
        let read = invocation(asked("j"), body).unwrap();
        assert_eq!(read.inputs["d"], "a,} \",]");
        assert_eq!(read.output_file_name.as_deref(), Some("rows.csv"));
        for wrong in [
            "{,}",
            "{\"properties\": {,}}",
            "{\"properties\": {},, }",
            "{\"properties\": [1 2]}",
        ] {
            assert!(invocation(asked("j"), wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_only_the_caller_can_read_is_refused() {
        let body = json!({"properties": {"InputData": {"x": {
            "JobInputType": "UriFile", "Uri": "/etc/passwd",
        }}}});
        let error = read(&body).unwrap_err();
        assert_eq!(error.target.as_deref(), Some("properties.InputData.x"));
        let body = json!({"properties": {"miniBatchSize": "many"}});
        assert!(read(&body).is_err());
        let refused = [
            (json!({"InputData": {}}), None),
            (
                json!({"properties": {"inputDatas": {}}}),
                Some("properties.inputDatas"),
            ),
            (
                json!({"properties": {"InputData": [1]}}),
                Some("properties.inputData"),
            ),
            (
                json!({"properties": {"outputFileName": 5}}),
                Some("properties.outputFileName"),
            ),
            (
                json!({"properties": {"retrySettings": 3}}),
                Some("properties.retrySettings"),
            ),
        ];
        for (body, place) in refused {
            let error = read(&body).unwrap_err();
            assert_eq!(error.target.as_deref(), place, "{body}");
        }
        let body = json!({"properties": {"retrySettings": {"timeout": "soon"}}});
        let error = read(&body).unwrap_err();
        let place = Some("properties.retrySettings.timeout");
        assert_eq!(error.target.as_deref(), place);
    }
}

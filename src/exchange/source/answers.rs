//! The answers of MLflow's protocol, read.

use serde_json::Value as Json;

use crate::record::{self, Experiment, Model, Pairs, Registered, Run, Version};
use api::{
    Code, Error, Time,
    logged_models::{DatasetUse, LoggedModelStatus, ModelMetric, ModelOutput, RunLinks},
    metrics::{MetricPoint, Value},
};

pub fn text(json: &Json) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

/// Numbers may come as texts.
pub fn integer(json: &Json) -> Option<i64> {
    json.as_i64().or_else(|| json.as_str()?.parse().ok())
}

pub fn time(json: &Json) -> Option<Time> {
    integer(json).map(Time)
}

pub fn list<'a>(json: &'a Json, name: &str) -> &'a [Json] {
    json[name].as_array().map_or(&[], Vec::as_slice)
}

pub fn next(page: &Json) -> Option<String> {
    Some(text(&page["next_page_token"])).filter(|token| !token.is_empty())
}

pub fn pairs(json: &Json, name: &str) -> Pairs {
    let pair = |json: &Json| (text(&json["key"]), text(&json["value"]));
    list(json, name).iter().map(pair).collect()
}

pub fn experiment(json: &Json) -> Experiment {
    let created_at = time(&json["creation_time"]).unwrap_or(Time(0));
    Experiment {
        id: text(&json["experiment_id"]),
        name: text(&json["name"]),
        deleted: json["lifecycle_stage"] == "deleted",
        tags: pairs(json, "tags"),
        created_at,
        updated_at: time(&json["last_update_time"]).unwrap_or(created_at),
    }
}

pub fn point(json: &Json) -> MetricPoint {
    let number = match &json["value"] {
        Json::String(text) => Value::parse(text).map_or(f64::NAN, |value| value.0),
        value => value.as_f64().unwrap_or(f64::NAN),
    };
    MetricPoint {
        key: text(&json["key"]),
        value: record::value(number, false),
        timestamp: integer(&json["timestamp"]),
        step: integer(&json["step"]).unwrap_or_default(),
    }
}

pub fn run(json: &Json) -> Run {
    let (info, data) = (&json["info"], &json["data"]);
    let mut latest: Vec<MetricPoint> = list(data, "metrics").iter().map(point).collect();
    latest.sort_by(|a, b| a.key.cmp(&b.key));
    let tags = pairs(data, "tags");
    let id = match text(&info["run_id"]) {
        id if id.is_empty() => text(&info["run_uuid"]),
        id => id,
    };
    let name = Some(text(&info["run_name"])).filter(|name| !name.is_empty());
    Run {
        name: name
            .or_else(|| tags.get("mlflow.runName").cloned())
            .unwrap_or_else(|| id.clone()),
        user: text(&info["user_id"]),
        status: record::status(&text(&info["status"])),
        started_at: time(&info["start_time"]),
        ended_at: time(&info["end_time"]),
        deleted: info["lifecycle_stage"] == "deleted",
        params: pairs(data, "params"),
        latest,
        links: links(json),
        artifact_uri: text(&info["artifact_uri"]),
        folder: std::path::PathBuf::new(),
        tags,
        id,
    }
}

fn links(run: &Json) -> RunLinks {
    let dataset = |json: &Json| {
        let dataset = &json["dataset"];
        DatasetUse {
            name: text(&dataset["name"]),
            digest: text(&dataset["digest"]),
            source_type: text(&dataset["source_type"]),
            source: text(&dataset["source"]),
            schema: dataset["schema"].as_str().map(str::to_owned),
            profile: dataset["profile"].as_str().map(str::to_owned),
            tags: pairs(json, "tags"),
        }
    };
    let output = |json: &Json| ModelOutput {
        model: text(&json["model_id"]),
        step: integer(&json["step"]).unwrap_or_default(),
    };
    let inputs = list(&run["inputs"], "model_inputs").iter();
    RunLinks {
        datasets: list(&run["inputs"], "dataset_inputs")
            .iter()
            .map(dataset)
            .collect(),
        model_inputs: inputs.map(|json| text(&json["model_id"])).collect(),
        model_outputs: list(&run["outputs"], "model_outputs")
            .iter()
            .map(output)
            .collect(),
    }
}

pub fn model(json: &Json) -> Model {
    let (info, data) = (&json["info"], &json["data"]);
    let id = text(&info["model_id"]);
    let metric = |json: &Json| {
        let metric = ModelMetric {
            model: id.clone(),
            point: point(json),
            dataset_name: json["dataset_name"].as_str().map(str::to_owned),
            dataset_digest: json["dataset_digest"].as_str().map(str::to_owned),
        };
        (text(&json["run_id"]), metric)
    };
    let status = |known: &LoggedModelStatus| info["status"] == known.mlflow_name();
    Model {
        name: text(&info["name"]),
        kind: text(&info["model_type"]),
        status: LoggedModelStatus::ALL
            .into_iter()
            .find(status)
            .unwrap_or(LoggedModelStatus::Pending),
        run: Some(text(&info["source_run_id"])).filter(|run| !run.is_empty()),
        params: pairs(data, "params"),
        tags: pairs(info, "tags"),
        metrics: list(data, "metrics").iter().map(metric).collect(),
        deleted: false,
        created_at: time(&info["creation_timestamp_ms"]).unwrap_or(Time(0)),
        updated_at: time(&info["last_updated_timestamp_ms"]).unwrap_or(Time(0)),
        artifact_uri: text(&info["artifact_uri"]),
        id,
    }
}

pub fn registered(json: &Json) -> Registered {
    let alias = |json: &Json| {
        let version = integer(&json["version"]).unwrap_or_default();
        (text(&json["alias"]), version.unsigned_abs())
    };
    let created_at = time(&json["creation_timestamp"]).unwrap_or(Time(0));
    Registered {
        name: text(&json["name"]),
        description: text(&json["description"]),
        tags: pairs(json, "tags"),
        aliases: list(json, "aliases").iter().map(alias).collect(),
        created_at,
        updated_at: time(&json["last_updated_timestamp"]).unwrap_or(created_at),
        versions: Vec::new(),
    }
}

pub fn version(json: &Json) -> Version {
    let some = |name: &str| Some(text(&json[name])).filter(|text| !text.is_empty());
    let number = integer(&json["version"]).unwrap_or_default().unsigned_abs();
    let created_at = time(&json["creation_timestamp"]).unwrap_or(Time(0));
    Version {
        id: format!("{}/{number}", text(&json["name"])),
        number,
        description: text(&json["description"]),
        tags: pairs(json, "tags"),
        stage: record::stage(&text(&json["current_stage"])),
        user: text(&json["user_id"]),
        source: text(&json["source"]),
        location: text(&json["source"]),
        run: some("run_id"),
        run_link: some("run_link"),
        created_at,
        updated_at: time(&json["last_updated_timestamp"]).unwrap_or(created_at),
    }
}

/// Files that were listed by their names in a folder, with the folder before them.
pub fn below_folder(mut listed: Json, folder: &str) -> Json {
    if let Some(files) = listed["files"].as_array_mut()
        && !folder.is_empty()
    {
        for file in files {
            file["path"] = format!("{folder}/{}", text(&file["path"])).into();
        }
    }
    listed
}

/// MLflow's own message, out of what was made of an answer that the client does not know.
pub fn explain(mut error: Error) -> Error {
    if let Some(at) = error.message.find('{')
        && let Ok(json) = serde_json::from_str::<Json>(&error.message[at..])
        && json["message"].is_string()
    {
        error.message = format!("The server says: {}", text(&json["message"]));
    }
    if matches!(error.code, Code::Unauthenticated | Code::Denied) {
        error.hints = vec![
            "Set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
                .to_owned(),
        ];
    }
    error
}

/// Whether the server does not know the call.
pub fn is_no_call(error: &Error) -> bool {
    matches!(error.code, Code::NotFound | Code::Unsupported)
}

//! A job as Azure ML's own command line shows it: the keys of its YAML, and what the service adds.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::views::{self, Show, View};
use api::{
    Time,
    jobs::{DESCRIPTION_TAG, SEARCHES, SERVICE_ENDED_TAG, SERVICE_TAG},
    pipelines::PipelineStep,
    runs::Run,
    workspaces::Workspace,
};

/// The address that `aml serve` has when it is given none.
const SERVER: &str = "http://127.0.0.1:5000";
/// Tags that say what other keys say.
const SYSTEM_TAGS: &str = "mlflow.";
/// How tags begin that the worker and pipelines set.
const OWN_TAGS: &str = "aml.";

/// The tag of a sweep that names its best trial, and that of its metric.
pub const BEST_TAG: &str = "best_child_run_id";
const SCORE_TAG: &str = "score";

/// Keys in the order of their names, as scripts that print them as columns expect.
#[derive(Debug, Clone)]
pub struct Entity {
    fields: Map<String, Value>,
    /// The steps of a pipeline, drawn.
    graph: String,
    /// Where its page is, if a server shows it.
    page: Option<String>,
}

/// A time as Azure's answers write it.
pub fn time(time: Time) -> String {
    time.datetime()
        .format("%Y-%m-%dT%H:%M:%S%.6f+00:00")
        .to_string()
}

/// Whether a run consists of steps.
pub fn is_pipeline(run: &Run) -> bool {
    kind(run) == Some("pipeline")
}

/// The type that a job's definition says.
pub fn kind(run: &Run) -> Option<&str> {
    let described = run.job.as_ref().and_then(|job| job.described.as_ref());
    described?.definition.get("type")?.as_str()
}

impl Entity {
    pub fn new(run: &Run, workspace: &Workspace) -> Self {
        let described = run.job.as_ref().and_then(|job| job.described.as_ref());
        let mut fields: BTreeMap<String, Value> = match described {
            Some(described) => described.definition.clone().into_iter().collect(),
            None => plain(run),
        };
        fields.remove("name");
        let mut set = |key: &str, value: Value| {
            fields.insert(key.to_owned(), value);
        };
        set("name", json!(run.name));
        set("id", json!(id(workspace, &run.name)));
        set("display_name", json!(run.display_name));
        set("experiment_name", json!(run.experiment));
        set("status", json!(run.status));
        set("resourceGroup", json!(workspace.resource_group));
        set(
            "creation_context",
            json!({
                "created_at": time(run.created_at),
                "created_by": run.user,
                "created_by_type": "User",
            }),
        );
        let own_tags = run
            .tags
            .iter()
            .filter(|(key, _)| !key.starts_with(SYSTEM_TAGS) && !key.starts_with(OWN_TAGS));
        set("tags", json!(own_tags.collect::<BTreeMap<_, _>>()));
        set("parameters", json!(run.params));
        if let Some(description) = run.tags.get(DESCRIPTION_TAG) {
            set("description", json!(description));
        }
        if let Some(parent) = &run.parent {
            set("parent_job_name", json!(parent));
        }
        if let Some(reason) = &run.reason {
            set("error", json!({"message": reason}));
        }
        for key in ["inputs", "outputs", "properties"] {
            fields.entry(key.to_owned()).or_insert_with(|| json!({}));
        }
        if fields.get("type").is_none_or(|kind| kind == "command") {
            let none = || json!({});
            fields
                .entry("environment_variables".to_owned())
                .or_insert_with(none);
        }
        if fields.get("type").is_none_or(|kind| kind != "pipeline") {
            fields
                .entry("compute".to_owned())
                .or_insert_with(|| json!("azureml:serverless"));
        }
        of_search(&mut fields, run);
        services(&mut fields, run, workspace);
        outputs(&mut fields, run);
        Self {
            fields: fields.into_iter().collect(),
            graph: String::new(),
            page: shown_page(workspace, &run.name),
        }
    }

    /// Lets people see how the steps stand.
    pub fn draw(&mut self, steps: &[PipelineStep]) {
        self.graph = views::drawn(steps);
    }

    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    fn text(&self, key: &str) -> String {
        let value = self.fields.get(key).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    }

    /// What is said to who asks for its page.
    pub fn web_view(&self) -> String {
        match &self.page {
            Some(page) => format!("Web View: {page}"),
            None => "No server runs that would show its page; start one: aml serve".to_owned(),
        }
    }

    pub fn row(&self) -> [String; 5] {
        ["name", "display_name", "experiment_name", "type", "status"].map(|key| self.text(key))
    }
}

impl Serialize for Entity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.fields.serialize(serializer)
    }
}

impl Show for Entity {
    fn view(&self) -> View {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            Value::Object(fields) if fields.is_empty() => String::new(),
            other => serde_saphyr::to_string(other)
                .map(|text| text.trim_end().to_owned())
                .unwrap_or_default(),
        };
        let drawn = !self.graph.is_empty();
        let lines = self
            .fields
            .iter()
            .filter(|(key, _)| !drawn || *key != "jobs")
            .map(|(key, value)| (key.as_str(), text(value)));
        views::record(lines.chain([("steps", self.graph.clone())]))
    }
}

/// By these properties Azure's clients know the best trial.
fn of_search(fields: &mut BTreeMap<String, Value>, run: &Run) {
    let kind = fields.get("type").and_then(Value::as_str);
    let kind = kind.unwrap_or_default().to_owned();
    if !SEARCHES.contains(&&*kind) {
        return;
    }
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        if kind == "sweep" {
            properties.insert("runTemplate".to_owned(), json!("HyperDrive"));
        }
        for key in [BEST_TAG, SCORE_TAG] {
            properties.extend(run.tags.get(key).map(|tag| (key.to_owned(), json!(tag))));
        }
    }
}

/// What a run says that was not described in Azure's words.
fn plain(run: &Run) -> BTreeMap<String, Value> {
    let mut fields = BTreeMap::from([("type".to_owned(), json!("command"))]);
    if let Some(job) = &run.job {
        fields.insert("command".to_owned(), json!(views::command(job)));
        fields.insert("environment".to_owned(), json!(job.environment.name()));
        let variables = json!(job.environment_variables);
        fields.insert("environment_variables".to_owned(), variables);
    }
    fields
}

fn id(workspace: &Workspace, name: &str) -> String {
    format!(
        "azureml:/subscriptions/{}/resourceGroups/{}/providers/Microsoft.MachineLearningServices/workspaces/{}/jobs/{name}",
        workspace.subscription, workspace.resource_group, workspace.name
    )
}

/// Where people look at a job: at the server of its workspace. None where no server runs.
pub fn shown_page(workspace: &Workspace, name: &str) -> Option<String> {
    let server = workspace.mlflow_tracking_uri.as_ref();
    server.map(|uri| format!("{uri}/jobs/{name}"))
}

/// Where its page is, or will be with a server.
fn page(workspace: &Workspace, name: &str) -> String {
    shown_page(workspace, name)
        .unwrap_or_else(|| format!("{SERVER}/ws/{}/jobs/{name}", workspace.name.to_lowercase()))
}

fn services(fields: &mut BTreeMap<String, Value>, run: &Run, workspace: &Workspace) {
    let mut services = match fields.remove("services") {
        Some(Value::Object(services)) => services,
        _ => Map::new(),
    };
    for (name, service) in &mut services {
        let tag = run.tags.get(&format!("{SERVICE_TAG}{name}"));
        if let (Value::Object(service), Some(endpoint)) = (service, tag) {
            service.insert("endpoint".to_owned(), json!(endpoint));
            let ended = run.tags.get(&format!("{SERVICE_ENDED_TAG}{name}"));
            let status = match ended.map(String::as_str) {
                Some("0") => "Stopped",
                Some(_) => "Failed",
                None if run.status.ended() => "Stopped",
                None => "Running",
            };
            service.insert("status".to_owned(), json!(status));
        }
    }
    let own = |kind: &str, endpoint: String| json!({"endpoint": endpoint, "type": kind});
    let studio = own("Studio", page(workspace, &run.name));
    services.insert("Studio".to_owned(), studio);
    let tracking = workspace.mlflow_tracking_uri.clone().unwrap_or_default();
    services.insert("Tracking".to_owned(), own("Tracking", tracking));
    fields.insert("services".to_owned(), Value::Object(services));
}

/// Each output with its address, and the one that every job has.
fn outputs(fields: &mut BTreeMap<String, Value>, run: &Run) {
    let described = run.job.as_ref().and_then(|job| job.described.as_ref());
    let definition = described.map(|described| &described.definition);
    let pipeline = definition.filter(|it| it.get("type").is_some_and(|kind| kind == "pipeline"));
    let mut outputs = Map::new();
    for (name, output) in described.iter().flat_map(|described| &described.outputs) {
        // A pipeline knows them by the steps that make them, and shows where those have put them.
        let shown = pipeline.and_then(|definition| definition.get("outputs")?.get(name));
        outputs.insert(
            name.clone(),
            shown.cloned().unwrap_or_else(|| json!(output)),
        );
    }
    outputs.entry("default").or_insert_with(|| {
        json!({
            "mode": "rw_mount",
            "path": format!("azureml://jobs/{}/outputs/artifacts", run.name),
            "type": "uri_folder",
        })
    });
    fields.insert("outputs".to_owned(), Value::Object(outputs));
}

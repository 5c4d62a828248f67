//! What a job names on this machine, brought to its workspace: code, environments, data.
//!
//! What is uploaded becomes an anonymous asset, so that the same is stored once and is not collected
//! while a job names it.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use crate::{context::Context, gathered::Gathered, run::script};
use api::{
    Error, Result,
    assets::{AssetKind, CreateAsset},
    paths::{apart, is_local},
};
use client::{Limit, inputs::Wanted};
use spec::reference::missing;

/// The folder of a job's code, if it is on this machine.
pub fn code_folder(definition: &Map<String, Value>) -> Option<PathBuf> {
    let code = PathBuf::from(definition.get("code").and_then(local_text)?);
    if code.is_file() {
        return code.parent().map(Path::to_owned);
    }
    Some(code)
}

pub fn local_text(value: &Value) -> Option<&str> {
    let text = value.as_str()?;
    let expression = text.contains("${{");
    (is_local(text) && !expression).then(|| text.strip_prefix("file://").unwrap_or(text))
}

/// Uploads what a job names on this machine, and puts in its place what names it there. The steps of a
/// pipeline are jobs, too.
pub async fn bring(
    ctx: &Context,
    workspace: &str,
    definition: &mut Map<String, Value>,
) -> Result<()> {
    let mut brought = Brought {
        ctx,
        workspace,
        known: HashMap::new(),
    };
    brought.part(definition, "").await
}

/// Puts what is nowhere yet in the place of what a job names on this machine: where only the rest of it
/// is looked at.
pub fn leave_out(part: &mut Map<String, Value>) {
    if part.get("code").and_then(local_text).is_some() {
        part.shift_remove("code");
    }
    if part.get("environment").is_some_and(Value::is_object) {
        part.insert("environment".to_owned(), json!({"image": "any"}));
    }
    for (_, input) in data_of(part) {
        if input.get("path").and_then(local_text).is_some() {
            input.insert("path".to_owned(), Value::from("https://localhost/any"));
        }
    }
    for key in PARTS {
        if let Some(Value::Object(inside)) = part.get_mut(key) {
            leave_out(inside);
        }
    }
    let steps = part.get_mut("jobs").and_then(Value::as_object_mut);
    for (_, step) in steps.into_iter().flatten() {
        if let Value::Object(step) = step {
            leave_out(step);
        }
    }
}

/// The addresses of what a job and its steps read, each with the keys that lead to it.
pub fn addresses(part: &mut Map<String, Value>, at: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (name, input) in data_of(part) {
        if let Some(path) = input.get("path").and_then(Value::as_str) {
            all.push((format!("{at}{name}.path"), path.to_owned()));
        }
    }
    for key in PARTS {
        if let Some(Value::Object(inside)) = part.get_mut(key) {
            all.extend(addresses(inside, &format!("{at}{key}.")));
        }
    }
    let steps = part.get_mut("jobs").and_then(Value::as_object_mut);
    for (name, step) in steps.into_iter().flatten() {
        if let Value::Object(step) = step {
            all.extend(addresses(step, &format!("{at}jobs.{name}.")));
        }
    }
    all
}

/// What a job or step reads, by where it is said.
fn data_of(part: &mut Map<String, Value>) -> Vec<(String, &mut Map<String, Value>)> {
    let mut data = Vec::new();
    for (key, value) in part {
        let Value::Object(members) = value else {
            continue;
        };
        match key.as_str() {
            "inputs" => data.extend(members.iter_mut().filter_map(|(name, input)| {
                let input = input.as_object_mut()?;
                Some((format!("inputs.{name}"), input))
            })),
            key if TABLES.contains(&key) => data.push((key.to_owned(), members)),
            _ => {}
        }
    }
    data
}

/// What was brought for a job already.
struct Brought<'a> {
    ctx: &'a Context,
    workspace: &'a str,
    /// What was written → what names it in the workspace.
    known: HashMap<String, String>,
}

/// The tables of AutoML jobs.
const TABLES: [&str; 3] = ["training_data", "validation_data", "test_data"];
/// Parts of a step that name things as the step itself does.
const PARTS: [&str; 3] = ["component", "trial", "task"];

impl Brought<'_> {
    /// A job, a step, a component.
    async fn part(&mut self, part: &mut Map<String, Value>, at: &str) -> Result<()> {
        let own = part.get("code").and_then(local_text).map(PathBuf::from);
        let gathered = Gathered::of(self.ctx, own.as_deref(), part)?;
        let folder = gathered.as_ref().map(|gathered| gathered.path.as_path());
        script_is_there(part, folder.or(own.as_deref()))
            .map_err(|error| under(error, at, "command"))?;
        if let Some(gathered) = gathered {
            let reference = code_asset(self.ctx, self.workspace, &gathered.path).await;
            let reference = reference.map_err(|e| under(e, at, "code"))?;
            part.insert("code".to_owned(), Value::from(reference));
        }
        if let Some(code) = part.get("code").and_then(Value::as_str)
            && (code.starts_with("git+") || local_text(&part["code"]).is_some())
        {
            let code = code.to_owned();
            let reference = self.code(&code).await.map_err(|e| under(e, at, "code"))?;
            part.insert("code".to_owned(), Value::from(reference));
        }
        if let Some(Value::Object(environment)) = part.get("environment") {
            let environment = environment.clone();
            let reference = self.environment(environment).await;
            let reference = reference.map_err(|e| under(e, at, "environment"))?;
            part.insert("environment".to_owned(), Value::from(reference));
        }
        for (name, input) in data_of(part) {
            let brought = self.data(input).await;
            brought.map_err(|e| under(e, at, &format!("{name}.path")))?;
        }
        for key in PARTS {
            if let Some(Value::Object(inside)) = part.get_mut(key) {
                let at = format!("{at}{key}.");
                Box::pin(self.part(inside, &at)).await?;
            }
        }
        if let Some(Value::Object(steps)) = part.get_mut("jobs") {
            for (name, step) in steps {
                if let Value::Object(step) = step {
                    let at = format!("{at}jobs.{name}.");
                    Box::pin(self.part(step, &at)).await?;
                }
            }
        }
        Ok(())
    }

    async fn code(&mut self, code: &str) -> Result<String> {
        if let Some(known) = self.known.get(code) {
            return Ok(known.clone());
        }
        let reference = if code.starts_with("git+") {
            repository(self.ctx, self.workspace, code).await?
        } else {
            let path = Path::new(code.strip_prefix("file://").unwrap_or(code));
            code_asset(self.ctx, self.workspace, path).await?
        };
        self.known.insert(code.to_owned(), reference.clone());
        Ok(reference)
    }

    async fn environment(&mut self, environment: Map<String, Value>) -> Result<String> {
        let key = format!("environment {}", Value::Object(environment.clone()));
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let reference = environment_asset(self.ctx, self.workspace, environment).await?;
        self.known.insert(key, reference.clone());
        Ok(reference)
    }

    async fn data(&mut self, input: &mut Map<String, Value>) -> Result<()> {
        let text = input.get("path").and_then(Value::as_str);
        if text.is_some_and(|text| text.starts_with("git+") && apart(text).1.is_some()) {
            return data(self.ctx, self.workspace, input).await;
        }
        let Some(path) = input.get("path").and_then(local_text) else {
            return Ok(());
        };
        let kind = input.get("type").and_then(Value::as_str);
        let key = format!("data {} {path}", kind.unwrap_or_default());
        if let Some(known) = self.known.get(&key) {
            input.insert("path".to_owned(), Value::from(known.clone()));
            return Ok(());
        }
        data(self.ctx, self.workspace, input).await?;
        let address = input.get("path").and_then(Value::as_str);
        self.known
            .insert(key, address.unwrap_or_default().to_owned());
        Ok(())
    }
}

/// Refuses a command whose script is plainly not in the code, where the code is on this machine.
fn script_is_there(part: &Map<String, Value>, code: Option<&Path>) -> Result<()> {
    let elsewhere = code.is_none() && part.contains_key("code");
    match part.get("command").and_then(Value::as_str) {
        Some(command) if !elsewhere => script::check_job(command, code),
        _ => Ok(()),
    }
}

/// An error with the keys that lead to what it is about.
fn under(error: Error, at: &str, key: &str) -> Error {
    match &error.target {
        Some(target) if *target != key => error,
        _ => error.at(format!("{at}{key}")),
    }
}

/// Stores what a git repository has now; answers the code asset that it is.
pub async fn repository(ctx: &Context, workspace: &str, address: &str) -> Result<String> {
    let stored = async {
        let cloned = Cloned::of(ctx, workspace, address).await?;
        code_asset(ctx, workspace, &cloned.path).await
    };
    stored.await.map_err(|error| match error.target {
        Some(_) => error,
        None => error.at("code"),
    })
}

/// The files of a git repository, here for a while.
struct Cloned {
    path: PathBuf,
    folder: PathBuf,
}

impl Cloned {
    async fn of(ctx: &Context, workspace: &str, address: &str) -> Result<Self> {
        let client = ctx.client().await?;
        let located = client
            .locate(Wanted {
                workspace,
                path: address,
                model: false,
                mirrors: &ctx.config.settings.mirrors,
            })
            .await?;
        let id = uuid::Uuid::new_v4().simple();
        let mut cloned = Self {
            path: PathBuf::new(),
            folder: ctx.config.home.join(format!("cache/code-{id}")),
        };
        cloned.path = client.fetch(&located, &cloned.folder, None).await?.path;
        Ok(cloned)
    }
}

impl Drop for Cloned {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Stores code and answers its reference.
pub async fn code_asset(ctx: &Context, workspace: &str, code: &Path) -> Result<String> {
    let uploaded = if code.is_file() {
        ctx.upload_model(workspace, code).await?
    } else {
        ctx.upload_folder(workspace, code, Limit::default()).await?
    };
    let mut spec = Map::new();
    spec.insert("path".to_owned(), Value::from(name_of(code)));
    let asset = CreateAsset {
        files: Some(uploaded.tree.hash),
        ..anonymous(workspace, AssetKind::Code, spec)
    };
    let asset = ctx.client().await?.call(&asset).await?;
    Ok(format!("azureml:{}:{}", asset.name, asset.version))
}

/// Stores an environment that is written in the job, under its name if it has one, and answers its
/// reference.
pub async fn environment_asset(
    ctx: &Context,
    workspace: &str,
    mut spec: Map<String, Value>,
) -> Result<String> {
    let mut text = |key: &str| match spec.shift_remove(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let (name, version, description) = (text("name"), text("version"), text("description"));
    let tags = match spec.shift_remove("tags") {
        Some(Value::Object(tags)) => tags
            .into_iter()
            .map(|(key, value)| (key, value.as_str().unwrap_or_default().to_owned()))
            .collect(),
        _ => std::collections::BTreeMap::new(),
    };
    let mut files = None;
    if let Some(Value::Object(build)) = spec.get_mut("build")
        && let Some(path) = build.get("path").and_then(local_text)
    {
        let folder = PathBuf::from(path);
        let uploaded = ctx.upload_folder(workspace, &folder, Limit::default());
        files = Some(uploaded.await?.tree.hash);
        build.insert("path".to_owned(), Value::from(name_of(&folder)));
    }
    let asset = CreateAsset {
        name,
        version,
        description,
        tags,
        files,
        ..anonymous(workspace, AssetKind::Environment, spec)
    };
    let asset = ctx.client().await?.call(&asset).await;
    let asset = asset.map_err(|error| error.at("environment"))?;
    Ok(format!("azureml:{}:{}", asset.name, asset.version))
}

/// Uploads the files of an input, and makes its path their address.
async fn data(ctx: &Context, workspace: &str, input: &mut Map<String, Value>) -> Result<()> {
    if let Some(address) = input.get("path").and_then(Value::as_str)
        && address.starts_with("git+")
        && apart(address).1.is_some()
    {
        // What lets one in stays here.
        let cloned = Cloned::of(ctx, workspace, address).await?;
        return upload(ctx, workspace, input, &cloned.path).await;
    }
    let Some(path) = input.get("path").and_then(local_text) else {
        return Ok(());
    };
    let path = PathBuf::from(path);
    let kind = input.get("type").and_then(Value::as_str);
    let is_file = path.is_file();
    if !path.exists() {
        let shown = path.display().to_string();
        return Err(missing("file or folder", &shown, &path));
    }
    if kind == Some("uri_file") && !is_file {
        return Err(Error::invalid(format!(
            "`{}` is a folder, not a file",
            path.display()
        )));
    }
    if matches!(kind, None | Some("uri_folder" | "mltable")) && is_file {
        return Err(
            Error::invalid(format!("`{}` is a file, not a folder", path.display()))
                .hint("For a file say type: uri_file"),
        );
    }
    upload(ctx, workspace, input, &path).await
}

/// Stores files, and makes their address the path of an input.
async fn upload(
    ctx: &Context,
    workspace: &str,
    input: &mut Map<String, Value>,
    path: &Path,
) -> Result<()> {
    let is_file = path.is_file();
    let uploaded = ctx.upload_model(workspace, path).await?;
    let slash = if is_file { "" } else { "/" };
    let mut spec = Map::new();
    let own = if is_file { "uri_file" } else { "uri_folder" };
    spec.insert("type".to_owned(), Value::from(own));
    spec.insert(
        "path".to_owned(),
        Value::from(format!("{}{slash}", name_of(path))),
    );
    let asset = CreateAsset {
        files: Some(uploaded.tree.hash),
        ..anonymous(workspace, AssetKind::Data, spec)
    };
    let asset = ctx.client().await?.call(&asset).await?;
    let address = asset.text("path").unwrap_or_default();
    input.insert("path".to_owned(), Value::from(address));
    Ok(())
}

fn anonymous(workspace: &str, kind: AssetKind, spec: Map<String, Value>) -> CreateAsset {
    CreateAsset {
        workspace: workspace.to_owned(),
        kind,
        name: None,
        version: None,
        spec,
        description: None,
        tags: [].into(),
        properties: [].into(),
        files: None,
        labels: Vec::new(),
    }
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

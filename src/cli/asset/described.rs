//! Assets as files describe them: what is local is uploaded, the rest becomes what the asset says.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use super::Local;
use crate::{context::Context, gathered::Gathered, job::local::repository};
use api::{
    Error, Result,
    assets::{Asset, AssetKind, CreateAsset},
    paths::{apart, is_local},
};
use table::Definition;

/// Keys that are fields of a version, not part of what it is made of.
const FIELDS: [&str; 6] = ["name", "version", "description", "tags", "properties", "id"];

/// Creates an asset from the checked, canonical form of its file, whose local paths are absolute.
pub async fn create_described(
    ctx: &Context,
    workspace: &str,
    kind: AssetKind,
    mut fields: Map<String, Value>,
    labels: Vec<String>,
) -> Result<Asset> {
    let mut request = CreateAsset {
        workspace: workspace.to_owned(),
        kind,
        name: text(&fields, "name"),
        version: text(&fields, "version"),
        spec: Map::new(),
        description: text(&fields, "description"),
        tags: texts(&fields, "tags"),
        properties: texts(&fields, "properties"),
        files: None,
        labels,
    };
    for key in FIELDS {
        fields.shift_remove(key);
    }
    // Where a local path is uploaded to is the workspace's own choice.
    fields.shift_remove("datastore");
    let gathered;
    let local = match kind {
        AssetKind::Data => data(&mut fields)?,
        AssetKind::Environment => environment(&mut fields)?,
        AssetKind::Component => {
            brought_along(ctx, workspace, &mut fields).await?;
            let address = fields.get("code").and_then(Value::as_str);
            if let Some(address) =
                address.filter(|it| it.starts_with("git+") && apart(it).1.is_some())
            {
                // What lets one in stays here.
                let stored = repository(ctx, workspace, address).await?;
                fields.insert("code".to_owned(), Value::from(stored));
            }
            let code = code(&mut fields);
            let own = code.as_ref().map(|code| code.path.as_path());
            gathered = Gathered::of(ctx, own, &mut fields)?;
            match &gathered {
                None => code,
                Some(gathered) => {
                    let name = base_name(&gathered.path, true);
                    fields.insert("code".to_owned(), Value::from(name));
                    let path = gathered.path.clone();
                    Some(Local { path, code: true })
                }
            }
        }
        AssetKind::Code => code_path(&mut fields, "path"),
    };
    if let Some(local) = local {
        let uploaded = ctx.upload_asset(workspace, &local).await?;
        request.files = Some(uploaded.tree.hash);
    }
    request.spec = fields;
    ctx.client().await?.call(&request).await
}

fn text(fields: &Map<String, Value>, key: &str) -> Option<String> {
    match fields.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        other => Some(other.to_string()),
    }
}

/// The texts below a key, such as `tags`.
pub fn texts(fields: &Map<String, Value>, key: &str) -> BTreeMap<String, String> {
    let found = fields.get(key).and_then(Value::as_object);
    let pair = |(key, value): (&String, &Value)| {
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        (key.clone(), value)
    };
    found.into_iter().flatten().map(pair).collect()
}

/// The name of a path, with a slash after a folder's.
fn base_name(path: &Path, slash: bool) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("{name}{}", if slash { "/" } else { "" })
}

/// A path of this machine that a file names, when it is one.
fn local_at(fields: &Map<String, Value>, key: &str) -> Option<PathBuf> {
    let path = fields.get(key)?.as_str()?;
    is_local(path).then(|| PathBuf::from(path.strip_prefix("file://").unwrap_or(path)))
}

fn found(path: &Path, key: &str) -> Result<PathBuf> {
    path.canonicalize().map_err(|_| {
        let shown = path.display();
        let error = Error::invalid(format!("No such file or directory: {shown}")).at(key);
        match spec::reference::nearest_sibling(path) {
            Some(nearest) => error.hint(format!("Did you mean `{nearest}`?")),
            None => error,
        }
    })
}

/// Refuses a table whose `MLTable` file cannot be read as one.
pub fn check_table(fields: &Map<String, Value>) -> Result<()> {
    match local_at(fields, "path") {
        Some(folder) if text(fields, "type").as_deref() == Some("mltable") => {
            Definition::check(&folder)
        }
        _ => Ok(()),
    }
}

/// The type must be what the files are.
fn data(fields: &mut Map<String, Value>) -> Result<Option<Local>> {
    let Some(path) = local_at(fields, "path") else {
        return Ok(None);
    };
    let path = found(&path, "path")?;
    let kind = text(fields, "type").unwrap_or_default();
    let shown = path.display();
    let wrong = match (kind.as_str(), path.is_file()) {
        ("uri_file", false) => Some(format!("File path does not exist: {shown} is a folder")),
        ("uri_folder", true) => Some(format!("Folder path does not exist: {shown} is a file")),
        ("mltable", _) if !path.join("MLTable").is_file() => Some(format!(
            "{shown} has no file `MLTable`, which says how to read the table"
        )),
        _ => None,
    };
    if let Some(message) = wrong {
        return Err(Error::invalid(message).at("type"));
    }
    let name = base_name(&path, kind != "uri_file");
    fields.insert("path".to_owned(), Value::from(name));
    Ok(Some(Local { path, code: false }))
}

fn environment(fields: &mut Map<String, Value>) -> Result<Option<Local>> {
    let Some(Value::Object(build)) = fields.get_mut("build") else {
        return Ok(None);
    };
    let Some(path) = local_at(build, "path") else {
        return Ok(None);
    };
    let path = found(&path, "build.path")?;
    let dockerfile = text(build, "dockerfile_path").unwrap_or_else(|| "Dockerfile".to_owned());
    let dockerfile = dockerfile.trim_start_matches(['/', '.']);
    if !path.join(dockerfile).is_file() {
        let shown = path.display();
        let error = Error::invalid(format!("{shown} has no file `{dockerfile}`"));
        return Err(error.at("build.dockerfile_path"));
    }
    build.insert("dockerfile_path".to_owned(), Value::from(dockerfile));
    build.insert("path".to_owned(), Value::from(base_name(&path, true)));
    Ok(Some(Local { path, code: true }))
}

fn code(fields: &mut Map<String, Value>) -> Option<Local> {
    match fields.get_mut("task") {
        Some(Value::Object(task)) if task.contains_key("code") => code_path(task, "code"),
        _ => code_path(fields, "code"),
    }
}

fn code_path(fields: &mut Map<String, Value>, key: &str) -> Option<Local> {
    let path = local_at(fields, key)?;
    fields.insert(key.to_owned(), Value::from(base_name(&path, true)));
    Some(Local { path, code: true })
}

/// Creates what a component brings along: environments and components written in it.
async fn brought_along(
    ctx: &Context,
    workspace: &str,
    fields: &mut Map<String, Value>,
) -> Result<()> {
    for key in ["environment", "task"] {
        let holder = match (key, fields.get_mut("task")) {
            ("task", Some(Value::Object(task))) => task,
            ("environment", _) => &mut *fields,
            _ => continue,
        };
        if let Some(Value::Object(inline)) = holder.get("environment").cloned() {
            let made = Box::pin(create_described(
                ctx,
                workspace,
                AssetKind::Environment,
                inline,
                Vec::new(),
            ));
            let made = made.await?;
            holder.insert("environment".to_owned(), reference(&made));
        }
    }
    let Some(Value::Object(jobs)) = fields.get_mut("jobs") else {
        return Ok(());
    };
    for job in jobs.values_mut() {
        let Some(job) = job.as_object_mut() else {
            continue;
        };
        for key in ["component", "trial"] {
            if let Some(Value::Object(inline)) = job.get(key).cloned() {
                let made =
                    create_described(ctx, workspace, AssetKind::Component, inline, Vec::new());
                let made = Box::pin(made).await?;
                job.insert(key.to_owned(), reference(&made));
            }
        }
        Box::pin(brought_along(ctx, workspace, job)).await?;
    }
    Ok(())
}

fn reference(asset: &Asset) -> Value {
    json!(format!("azureml:{}:{}", asset.name, asset.version))
}
